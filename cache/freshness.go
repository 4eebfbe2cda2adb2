package cache

import (
	"math"
	"time"
)

// The guess for an answer that does not say how long it is fresh (RFC 9111
// section 4.2.2).
const (
	heuristicShare = 10
	heuristicMost  = 24 * time.Hour
)

// lifetime returns how long after its generation the answer is fresh (RFC
// 9111 section 4.2.1): s-maxage before max-age before Expires before a guess.
// explicit tells that it is no guess; without either it is 0. A time that
// cannot be understood is 0, but explicit. at is when the answer came.
//
// s-maxage counts in every scope: whatever shares one, hopgate is not the
// browser that max-age is for.
func (d *directives) lifetime(a *Answer, targeted, heuristic bool, at time.Time) (life time.Duration, explicit bool) {
	switch {
	case d.sMaxAge.given:
		return d.sMaxAge.Duration, true
	case d.maxAge.given:
		return d.maxAge.Duration, true
	}
	date := dateOf(a, at)
	if !targeted {
		if expires, n := a.Field("expires"); n > 0 {
			t, ok := parseDate(expires, at)
			if !ok || n > 1 {
				return 0, true
			}
			return min(max(t.Sub(date), 0), maxSeconds*time.Second), true
		}
	}
	if heuristic && (d.public || heuristicallyCacheable(a.status)) {
		if modified, n := a.Field("last-modified"); n == 1 {
			if t, ok := parseDate(modified, at); ok && t.Before(date) {
				return min(date.Sub(t)/heuristicShare, heuristicMost), false
			}
		}
	}
	return 0, false
}

// dateOf is when the answer was generated: its Date, or when it came.
func dateOf(a *Answer, at time.Time) time.Time {
	if date, n := a.Field("date"); n > 0 {
		if t, ok := parseDate(date, at); ok {
			return t
		}
	}
	return at
}

// initialAge returns how old the answer was when it came (RFC 9111 section
// 4.2.3), which took so long. The first of several values of Age counts; one
// that is no number does not (section 5.1).
func initialAge(a *Answer, at time.Time, took time.Duration) time.Duration {
	apparent := max(at.Sub(dateOf(a, at)), 0)
	corrected := took
	if value, n := a.Field("age"); n > 0 {
		first, _ := (&members[[]byte]{rest: value}).next()
		if s, ok := parseDigits(first); ok {
			corrected += time.Duration(min(s, maxSeconds)) * time.Second
		}
	}
	return min(max(apparent, corrected), math.MaxInt64/4)
}

// heuristicallyCacheable tells whether answers of that status may be kept
// without being told (RFC 9110 section 15.1). 206 is one of them, but no
// part is ever kept here.
func heuristicallyCacheable(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood tells whether we know what a status code asks of caches. Those
// that RFC 9110 defines ask nothing beyond what its fields say, but for 206
// and 304, which are no answers that can be kept.
func understood(status int) bool {
	switch {
	case status >= 200 && status <= 205, status >= 300 && status <= 303, status == 305, status == 307, status == 308,
		status >= 400 && status <= 417, status == 421, status == 422, status == 426, status >= 500 && status <= 505:
		return true
	}
	return false
}
