package cache

import (
	"sync/atomic"
	"time"
)

// loners remembers keys whose last answer could not be shared, so that the
// next requests for them do not wait for one another in vain. It is a table
// of fixed size; what falls on the same place is forgotten.
type loners struct {
	places [1024]atomic.Uint64
}

// How long such a key is remembered.
const lonerTime = 10 * time.Second

// passed remembers keys for which a client's conditions went upstream, in a
// table like that of loners. None is forgotten but for another that falls on
// its place.
type passed struct {
	places [1024]atomic.Uint64
}

// first tells whether the key is not remembered, and remembers it.
func (p *passed) first(hash uint64) bool {
	return p.places[hash%uint64(len(p.places))].Swap(hash) != hash
}

// A place holds the upper half of a hash, and until when in seconds.
const hashHalf = 0xffffffff << 32

func (l *loners) add(hash uint64, now instant) {
	until := uint32((time.Duration(now.mono) + lonerTime) / time.Second)
	l.places[hash%uint64(len(l.places))].Store(hash&hashHalf | uint64(until))
}

func (l *loners) remove(hash uint64) {
	place := &l.places[hash%uint64(len(l.places))]
	if v := place.Load(); v != 0 && v&hashHalf == hash&hashHalf {
		place.CompareAndSwap(v, 0)
	}
}

func (l *loners) has(hash uint64, now instant) bool {
	v := l.places[hash%uint64(len(l.places))].Load()
	left := int64(uint32(v)) - now.mono/int64(time.Second)
	return v != 0 && v&hashHalf == hash&hashHalf && 0 < left && left <= int64(lonerTime/time.Second)
}
