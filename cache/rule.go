package cache

import "time"

// A Rule is how the answers of one route are kept. It is read at each
// request: a shorter TTL after a reload holds for what is stored already.
type Rule struct {
	// TTL is how long an answer is fresh, whatever its own fields say. It
	// does not count where Origin is set.
	TTL time.Duration
	// NegativeTTL is the same for answers that say that there is nothing, or
	// nothing for this caller: 403, 404 and 410. 0 keeps none of these,
	// unless Origin is set and they allow it themselves.
	NegativeTTL time.Duration
	// StaleWhileRevalidate is how long after that an answer is given at once
	// while a new one is fetched (RFC 5861 section 3). Where Origin is set,
	// an answer's own stale-while-revalidate goes before it.
	StaleWhileRevalidate time.Duration
	// StaleIfError is how long after TTL an answer is given where the
	// upstream fails (RFC 5861 section 4), with the same exception.
	StaleIfError time.Duration

	// Public tells that everybody shares the answers: the scope is public.
	// Then no answer marked private is kept, and with Origin none to a
	// request with Authorization that does not allow it (RFC 9111 section
	// 3.5).
	Public bool
	// Personal tells that the scope is one user. Only then does Origin keep
	// what is marked private.
	Personal bool

	// Origin follows what the answers say (RFC 9111, 5861 and 9213).
	Origin bool
	// Heuristic lets Origin keep answers that do not say how long they are
	// fresh, for a tenth of the time since they were last modified, at most
	// a day (RFC 9111 section 4.2.2).
	Heuristic bool
	// IgnoreRequest makes Origin, too, ignore what requests say about
	// caching. An operator's TTL always does: a browser's no-cache, no-store
	// or max-age=0 would let any page ask the upstream as often as it likes.
	// only-if-cached is obeyed in any case.
	IgnoreRequest bool
	// NoEarlyRefresh turns off that a hot answer is fetched anew shortly
	// before it is stale.
	NoEarlyRefresh bool
}

// Fields is what the cache reads of a request. Those that an answer may vary
// by should be as the upstream sees them.
//
// Field returns the lines of that name (given in lower case), joined by a
// comma and a space where there are several (RFC 9110 section 5.3), and how
// many there are.
type Fields interface {
	Field(name string) (value string, n int)
}

// obeys tells whether what a request says about caching counts.
func (r *Rule) obeys() bool { return r.Origin && !r.IgnoreRequest }

// negative tells whether the status is one of those that NegativeTTL is for.
func negative(status int) bool { return status == 403 || status == 404 || status == 410 }
