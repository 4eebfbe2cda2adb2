package token

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
)

// turns lets a bounded number of signatures be checked at a time, in the
// order in which they came. A check holds a processor for 30 µs to 1 ms
// without giving way, so a flood of new tokens, which anybody can make up,
// would take all processors from requests whose tokens are known.
type turns struct {
	slots   chan struct{}
	waiting atomic.Int64
	most    int64 // that may wait
}

// waitingPerTurn is how many may wait for one that checks: about 60 ms for
// ES256.
const waitingPerTurn = 1024

// newTurns leaves one processor to others where there are several.
func newTurns() *turns {
	n := max(1, runtime.GOMAXPROCS(0)-1)
	return &turns{slots: make(chan struct{}, n), most: int64(n) * waitingPerTurn}
}

// take waits for a turn, no longer than ctx. waited tells that it did not come
// at once. The error wraps ErrOverloaded; without one, give must be called.
func (t *turns) take(ctx context.Context) (waited bool, err error) {
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
