package cache

import (
	"bytes"
	"sync/atomic"
	"time"
)

// An entry is one stored answer and what is known of it.
type entry struct {
	answer  *Answer
	names   []string // the request fields it varies by
	variant []byte   // their values, see appendVariant

	stored instant       // when it was received
	age    time.Duration // how old it was then
	took   time.Duration // how long it took to fetch

	// What the answer itself says. lifetime is how long from its generation
	// it is fresh; 0 where it does not say.
	lifetime             time.Duration
	explicit             bool // the lifetime is said and not guessed
	staleWhileRevalidate seconds
	staleIfError         seconds
	noCache, private     bool
	mustRevalidate       bool

	// order is that in which the fetches began.
	order uint64
	// born is the count of purges when the fetch began, tags those by
	// which they reach the answer.
	born uint64
	tags []uint32

	// holdoff is when, by the monotonic clock, a refresh that failed may be
	// tried again.
	holdoff atomic.Int64
}

// matches tells whether the answer may be given to the request by what it
// varies by.
func (e *entry) matches(req Fields) bool {
	if len(e.names) == 0 {
		return true
	}
	var room [256]byte
	return bytes.Equal(e.variant, appendVariant(room[:0], e.names, req))
}
