package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// presence is the context of everything that is done for the client of one
// HTTP/1.1 connection: it is done when the client has left. Since a
// connection serves one request at a time, it is made once per connection
// and costs a request nothing.
//
// It has AfterFunc, so that nothing needs a goroutine to watch it.
type presence struct {
	waiting atomic.Int64 // when the wait that is under way began, in ns since 1970; 0: none
	conn    *conn
	stop    func() bool // the method stopped, bound once

	mu   sync.Mutex
	done chan struct{}
	gone bool
	cut  func() // to be called when the client leaves
}

var _ context.Context = (*presence)(nil)

func newPresence(c *conn) *presence {
	p := &presence{conn: c, done: make(chan struct{})}
	p.stop = p.stopped
	return p
}

// Deadline implements context.Context.
func (p *presence) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (p *presence) Done() <-chan struct{} { return p.done }

// Err implements context.Context.
func (p *presence) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return context.Canceled
	}
	return nil
}

// Value implements context.Context.
func (p *presence) Value(any) any { return nil }

// AfterFunc calls f in its own goroutine when the client leaves, unless the
// function it returns is called before. Only one f is kept.
func (p *presence) AfterFunc(f func()) func() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		go f()
		return p.stop
	}
	p.cut = f
	return p.stop
}

// stopped forgets the function; it tells whether it will not be called.
func (p *presence) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.cut != nil
	p.cut = nil
	return kept
}

// left tells all who wait that the client has left.
func (p *presence) left() {
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return
	}
	p.gone = true
	close(p.done)
	cut := p.cut
	p.cut = nil
	p.mu.Unlock()
	if cut != nil {
		cut()
	}
}

// begin and end frame a wait for somebody else on the client's behalf.
func (p *presence) begin(now time.Time) { p.waiting.Store(now.UnixNano()) }
func (p *presence) end()                { p.waiting.Store(0) }

const (
	// watchEvery is how often those who wait are looked at, and how long a
	// wait is left alone: nearly all are over by then.
	watchEvery = 300 * time.Millisecond
)

// watcher notices clients that leave while an upstream is waited for: the
// transport does not read then and sees nothing. Its connections are those
// of one server.
type watcher struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
}

func newWatcher() *watcher { return &watcher{conns: make(map[*conn]struct{})} }

func (w *watcher) add(c *conn) {
	w.mu.Lock()
	w.conns[c] = struct{}{}
	w.mu.Unlock()
}

func (w *watcher) remove(c *conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

// retire closes the connections that nobody is at work on.
func (w *watcher) retire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.retire()
	}
}

// wait returns when there are no connections, or when ctx is done.
func (w *watcher) wait(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		w.mu.Lock()
		left := len(w.conns)
		w.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// run looks at the connections until ctx is done.
func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var waiting []*conn
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			waiting = w.look(now, waiting[:0])
		}
	}
}

// look tells those whose clients have left.
func (w *watcher) look(now time.Time, waiting []*conn) []*conn {
	before := now.Add(-watchEvery).UnixNano()
	w.mu.Lock()
	for c := range w.conns {
		if since := c.presence.waiting.Load(); since != 0 && since <= before {
			waiting = append(waiting, c)
		}
	}
	w.mu.Unlock()
	for _, c := range waiting {
		if c.hungUp() {
			c.presence.left()
		}
	}
	clear(waiting)
	return waiting
}
