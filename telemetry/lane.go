package telemetry

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// lanes is how many shares the figures and the log's lines are kept in, so
// that two cores do not pass the same memory to and fro. Readers add the
// shares up. What a lane holds is made when the lane is first used: a small
// machine uses as many as it has cores.
const lanes = 8

// lane is the number of a share, below lanes.
type lane uint8

// here gives the lane of the core that runs the caller. It is a hint, and no
// lane belongs to anybody: each has its lock, which is then mostly free. A
// sync.Pool is the one thing of the standard library that knows the core.
func here() lane {
	t := tickets.Get().(*ticket)
	n := t.lane
	tickets.Put(t)
	return n
}

// ticket is what a core holds of its lane.
type ticket struct {
	lane lane
	_    *ticket // so that it has memory of its own, as cleanups want it
}

var (
	tickets = sync.Pool{New: func() any { return newTicket() }}
	taken   atomic.Uint32 // bit n: lane n has a ticket
	crowd   atomic.Uint32 // tickets made when no lane was free
)

// newTicket gives out the first lane that is free. The pool forgets what was
// not used between two collections; such a lane is free again.
func newTicket() *ticket {
	for {
		now := taken.Load()
		n := bits.TrailingZeros32(^now)
		if n >= lanes {
			return &ticket{lane: lane(crowd.Add(1) % lanes)}
		}
		if taken.CompareAndSwap(now, now|1<<n) {
			t := &ticket{lane: lane(n)}
			runtime.AddCleanup(t, func(n int) { taken.And(^uint32(1 << n)) }, n)
			return t
		}
	}
}

// apart keeps what stands before it from sharing a cache line with what
// follows; processors fetch lines in pairs.
type apart [128]byte
