package cache

import "time"

// The forms of a date (RFC 9110 section 5.6.7): the one that is written, and
// two that are still read.
const (
	imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"
	rfc850     = "Monday, 02-Jan-06 15:04:05 GMT"
	asctime    = "Mon Jan _2 15:04:05 2006"
)

// parseDate reads a date. now settles the century of a year of two digits:
// one that seems to be more than 50 years ahead is past.
func parseDate[T text](b T, now time.Time) (time.Time, bool) {
	s := string(b)
	// A fraction of a second, which package time accepts everywhere, makes
	// the text longer than the form.
	if len(s) == len(imfFixdate) {
		if t, err := time.Parse(imfFixdate, s); err == nil {
			return t, true
		}
	}
	if len(s) == len(asctime) {
		if t, err := time.Parse(asctime, s); err == nil {
			return t, true
		}
	}
	if t, err := time.Parse(rfc850, s); err == nil && t.Nanosecond() == 0 {
		century := now.Year() / 100 * 100
		t = t.AddDate(century-t.Year()/100*100, 0, 0)
		if t.After(now.AddDate(50, 0, 0)) {
			t = t.AddDate(-100, 0, 0)
		}
		return t, true
	}
	return time.Time{}, false
}
