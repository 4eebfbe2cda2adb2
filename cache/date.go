package cache

import "time"

// The forms of a date (RFC 9110 section 5.6.7): the one that is written, and
// two that are still read.
const (
	imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"
	rfc850     = "Monday, 02-Jan-06 15:04:05 GMT"
	asctime    = "Mon Jan _2 15:04:05 2006"
)

// parseDate reads a date, without regard to case (RFC 9111 section 4.2). now
// settles the century of a year of two digits: one that seems to be more than
// 50 years ahead is past.
func parseDate[T text](b T, now time.Time) (time.Time, bool) {
	var room [40]byte
	if len(b) > len(room) {
		return time.Time{}, false
	}
	s := string(append(room[:0], b...))
	switch {
	case len(s) < len(asctime):
		return time.Time{}, false
	case len(s) == len(asctime):
		return parseForm(asctime, s)
	case s[3] == ',':
		return parseForm(imfFixdate, s)
	}
	t, ok := parseForm(rfc850, s)
	if ok {
		century := now.Year() / 100 * 100
		t = t.AddDate(century-t.Year()/100*100, 0, 0)
		if t.After(now.AddDate(50, 0, 0)) {
			t = t.AddDate(-100, 0, 0)
		}
	}
	return t, ok
}

// parseForm reads a date of one form. Package time takes more than the form
// says (other numbers of spaces and digits, fractions of a second), so that
// what it reads is written again and compared. The name of the day counts for
// nothing.
func parseForm(form, s string) (time.Time, bool) {
	const zone = "GMT"
	parsed := s
	if n := len(s) - len(zone); form != asctime {
		if !equalFold(s[n:], zone) {
			return time.Time{}, false
		}
		form, parsed = form[:len(form)-len(zone)], s[:n]
	}
	t, err := time.Parse(form, parsed)
	if err != nil {
		return time.Time{}, false
	}
	var room [40]byte
	again := t.AppendFormat(room[:0], form)
	return t, equalFold(afterDay(again), afterDay(parsed))
}

// afterDay is a date without the name of its day.
func afterDay[T text](date T) T {
	for len(date) > 0 && date[0] != ' ' {
		date = date[1:]
	}
	return date
}
