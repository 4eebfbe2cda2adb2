package cache

import "time"

// A Rule is how the answers of one route are kept. It is read at each
// request: a shorter TTL after a reload holds for what is stored already.
type Rule struct {
	// TTL is how long an answer is fresh, whatever its own fields say.
	TTL time.Duration
	// StaleWhileRevalidate is how long after that an answer is given at once
	// while a new one is fetched (RFC 5861 section 3).
	StaleWhileRevalidate time.Duration
	// StaleIfError is how long after TTL an answer is given where the
	// upstream fails (RFC 5861 section 4).
	StaleIfError time.Duration
	// Public tells that everybody shares the answers: the scope is public.
	// Then no answer marked private is kept.
	Public bool
}

// Fields is what the cache reads of a request. The fields should be as the
// upstream sees them: its Vary speaks of those.
//
// Field returns the lines of that name (given in lower case), joined by a
// comma and a space where there are several (RFC 9110 section 5.3), and how
// many there are.
type Fields interface {
	Field(name string) (value string, n int)
}

// keeps tells whether an answer with that status may be kept by an
// operator's TTL: those that say something about the resource and not about
// this request, this moment or this caller.
func (r *Rule) keeps(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308:
		return true
	}
	return false
}

// storable tells whether the rule lets the answer be given to others. vary
// is the answer's Vary, as parseVary understood it.
//
// What the request says about caching does not matter where the operator
// sets the TTL: a browser's no-cache, no-store or max-age=0 would otherwise
// let any page ask the upstream as often as it likes.
func (r *Rule) storable(a *Answer, vary variance) bool {
	if !r.keeps(a.status) || vary.any {
		return false
	}
	if _, n := a.Field("set-cookie"); n > 0 {
		return false
	}
	if !whole(a) {
		return false
	}
	d := parseCacheControl(a)
	return !d.noStore && (!d.private || !r.Public)
}

// whole tells whether the body is all of the answer.
func whole(a *Answer) bool {
	if _, n := a.Field("content-range"); n > 0 {
		return false
	}
	length, n := a.Field("content-length")
	if n == 0 {
		return true
	}
	want, ok := parseDigits(length)
	return n == 1 && ok && want == int64(len(a.body))
}
