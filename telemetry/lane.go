package telemetry

import (
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
	t := tickets.Get().(*lane)
	n := *t
	tickets.Put(t)
	return n
}

var (
	tickets = sync.Pool{New: func() any {
		n := lane((issued.Add(1) - 1) % lanes)
		return &n
	}}
	issued atomic.Uint32
)

// apart keeps what stands before it from sharing a cache line with what
// follows; processors fetch lines in pairs.
type apart [128]byte
