package token

import (
	lists "container/list"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
)

// turns lets a bounded number of signatures be checked at a time. A check
// holds a processor for 30 µs to 1 ms without giving way, so a flood of new
// tokens, which anybody can make up, would take all processors from requests
// whose tokens are known.
//
// Those who wait come in turn by client, and each client's in the order in
// which they came: a client that floods waits for itself. Where no more may
// wait, it is a client with many that gives up its last.
type turns struct {
	most   int  // that may wait
	single bool // all share one processor
	others *yielder

	mu      sync.Mutex
	free    int // turns that nobody has
	waiting int
	clients map[netip.Addr]*line
	ring    lists.List // of lines; the first is the next whose turn it is
}

// line are the waiters of one client, which are never none.
type line struct {
	client  netip.Addr
	place   *lists.Element // in the ring
	waiters lists.List     // of *waiter
}

type waiter struct {
	line  *line
	place *lists.Element // among its line's waiters; nil once it waits no more
	over  chan error     // gets the end of the wait: nil where it is its turn
}

// waitingPerTurn is how many may wait for one that checks: half a second for
// ES256.
const waitingPerTurn = 8192

// newTurns leaves one processor to others where there are several.
func newTurns() *turns {
	procs := runtime.GOMAXPROCS(0)
	n := max(1, procs-1)
	return turnsOf(n, n*waitingPerTurn, procs == 1)
}

func turnsOf(n, most int, single bool) *turns {
	t := &turns{free: n, most: most, single: single, clients: make(map[netip.Addr]*line)}
	if single {
		t.others = newYielder()
	}
	return t
}

// take waits for a turn, no longer than ctx. waited tells that it did not come
// at once. The error wraps ErrOverloaded; without one, give must be called.
func (t *turns) take(ctx context.Context, client netip.Addr) (waited bool, err error) {
	waited, err = t.wait(ctx, client)
	if t.single && err == nil {
		// Those who are quick go first, where the only processor would have no
		// time for them.
		t.others.yield()
	}
	return waited, err
}

func (t *turns) wait(ctx context.Context, client netip.Addr) (waited bool, err error) {
	if client.Is6() {
		// One subscriber has a /64 of addresses.
		if p, err := client.Prefix(64); err == nil {
			client = p.Addr()
		}
	}
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return false, nil
	}
	w := t.join(client)
	t.mu.Unlock()
	if w == nil {
		return true, errCrowded
	}
	select {
	case err := <-w.over:
		return true, err
	case <-ctx.Done():
	}
	t.mu.Lock()
	left := w.place != nil
	if left {
		t.leave(w)
	}
	t.mu.Unlock()
	if !left && <-w.over == nil {
		t.give() // its turn came at the same moment
	}
	return true, fmt.Errorf("the caller did not wait: %w: %w", context.Cause(ctx), ErrOverloaded)
}

var errCrowded = fmt.Errorf("too many others wait: %w", ErrOverloaded)

// join lets one more wait, or gives nil where that may not be.
func (t *turns) join(client netip.Addr) *waiter {
	l, own := t.clients[client], 0
	if l != nil {
		own = l.waiters.Len()
	}
	if t.waiting >= t.most {
		longest := t.longest()
		if longest.waiters.Len() <= own+1 {
			return nil // it would be the one with more
		}
		last := longest.waiters.Back().Value.(*waiter)
		t.leave(last)
		last.over <- errCrowded
	}
	if l == nil {
		l = &line{client: client}
		l.place = t.ring.PushBack(l)
		t.clients[client] = l
	}
	w := &waiter{line: l, over: make(chan error, 1)}
	w.place = l.waiters.PushBack(w)
	t.waiting++
	return w
}

// longest gives the line with the most waiters, or one that has more than
// twice the mean: so a flood does not make it look at all. Somebody has to
// wait.
func (t *turns) longest() *line {
	var longest *line
	share := 2 * t.waiting / max(1, len(t.clients))
	for e := t.ring.Front(); e != nil; e = e.Next() {
		l := e.Value.(*line)
		if longest == nil || l.waiters.Len() > longest.waiters.Len() {
			if longest = l; l.waiters.Len() > share {
				break
			}
		}
	}
	return longest
}

// leave ends a wait.
func (t *turns) leave(w *waiter) {
	w.line.waiters.Remove(w.place)
	w.place = nil
	t.waiting--
	if w.line.waiters.Len() == 0 {
		t.ring.Remove(w.line.place)
		delete(t.clients, w.line.client)
	}
}

// give hands a turn on to the client who is next, and of its waiters to the
// one that waits longest, so that nobody overtakes.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.ring.Front()
	if next == nil {
		t.free++
		return
	}
	l := next.Value.(*line)
	w := l.waiters.Front().Value.(*waiter)
	t.ring.MoveToBack(next)
	t.leave(w)
	w.over <- nil
}
