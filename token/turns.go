package token

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// turns lets a bounded number of signatures be checked at a time, in the
// order in which they came. A check holds a processor for 30 µs to 1 ms
// without giving way, so a flood of new tokens, which anybody can make up,
// would take all processors from requests whose tokens are known.
type turns struct {
	slots   chan struct{}
	waiting atomic.Int64
	most    int64 // that may wait
	single  bool  // all share one processor
	rested  time.Time
}

// waitingPerTurn is how many may wait for one that checks: about 60 ms for
// ES256.
const waitingPerTurn = 1024

// newTurns leaves one processor to others where there are several.
func newTurns() *turns {
	procs := runtime.GOMAXPROCS(0)
	n := max(1, procs-1)
	return &turns{slots: make(chan struct{}, n), most: int64(n) * waitingPerTurn, single: procs == 1}
}

// take waits for a turn, no longer than ctx. waited tells that it did not come
// at once. The error wraps ErrOverloaded; without one, give must be called.
func (t *turns) take(ctx context.Context) (waited bool, err error) {
	waited, err = t.wait(ctx)
	if t.single && err == nil {
		t.rest(waited)
	}
	return waited, err
}

// rest lets those who are quick go first, where the only processor would have
// no time for them. As long as there is something to run it looks for what has
// come from the network every 10 ms only; when all pause it looks at once. So
// where others wait, a pause a millisecond makes known tokens wait 1 ms
// instead of 10. Only whose turn it is may call it.
func (t *turns) rest(waited bool) {
	if !waited || time.Since(t.rested) < time.Millisecond {
		runtime.Gosched()
		return
	}
	time.Sleep(10 * time.Microsecond)
	t.rested = time.Now()
}

func (t *turns) wait(ctx context.Context) (waited bool, err error) {
	select {
	case t.slots <- struct{}{}:
		return false, nil
	default:
	}
	// Whoever gives back its turn hands it to the one that waits longest, so
	// nobody overtakes.
	if t.waiting.Add(1) > t.most {
		t.waiting.Add(-1)
		return true, fmt.Errorf("%d others wait: %w", t.most, ErrOverloaded)
	}
	defer t.waiting.Add(-1)
	select {
	case t.slots <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return true, fmt.Errorf("the caller did not wait: %w: %w", context.Cause(ctx), ErrOverloaded)
	}
}

func (t *turns) give() { <-t.slots }
