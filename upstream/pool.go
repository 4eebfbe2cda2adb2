package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Options are what a pool takes beside its configuration. The zero Options
// are ready to use.
type Options struct {
	// Now is the clock by which connections age, endpoints are set aside
	// and the retry budget counts. Nil means the
	// system's clock, by which timeouts always run.
	Now func() time.Time
}

// Pool is an upstream at run time. It is safe for concurrent use and has no
// goroutine of its own, but net/http has some for each connection of HTTP/2.
type Pool struct {
	name     string
	settings settings
	secret   string // name of the secret's field
	now      func() moment

	// sameClock tells that now is the clock by which timeouts run.
	sameClock bool

	multiplexed bool   // HTTP/2 is spoken
	credential  string // the secret itself

	mu        sync.Mutex
	endpoints []*endpoint
	waiting   []*waiter
	queued    []chan struct{} // exchanges that wait for a place on a session
	budget    budget
	sweeper   *time.Timer
	closed    bool
}

// waiter is an exchange that waits for a connection, or for leave to open
// one.
type waiter struct {
	got chan taken // holds one
}

// taken is a connection, or where that is nil a place to open one to an
// endpoint.
type taken struct {
	c *conn
	e *endpoint
}

// Close closes the idle connections. Open exchanges finish, and later ones
// still work, each on a connection of its own.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	if p.sweeper != nil {
		p.sweeper.Stop()
	}
	var idle []*conn
	for _, e := range p.endpoints {
		idle = append(idle, e.idle...)
		e.open -= len(e.idle)
		e.idle = nil
	}
	unused := p.retireAll()
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
	for _, s := range unused {
		_ = s.conn.Close()
	}
}

// take gets a kept connection, or a place to open one, waiting until ctx or
// the time is over. avoid, where not nil, is an endpoint that just failed.
func (p *Pool) take(ctx context.Context, avoid *endpoint, a *attempt) (taken, error) {
	now := a.now
	if !p.sameClock {
		now = p.now()
	}
	p.mu.Lock()
	if a.first {
		p.budget.request(now)
	}
	if t := p.choose(now, avoid); t.e != nil {
		p.mu.Unlock()
		return t, nil
	}
	if len(p.waiting) >= p.settings.maxConns*len(p.endpoints) {
		p.mu.Unlock()
		return taken{}, fmt.Errorf("%w: too many requests wait", ErrOverloaded)
	}
	w := &waiter{got: make(chan taken, 1)}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()

	patience := time.NewTimer(min(p.settings.connect, a.until.left()))
	defer patience.Stop()
	var err error
	select {
	case t := <-w.got:
		a.now = readClock()
		return t, nil
	case <-ctx.Done():
		err = broken(ctx, ctx.Err())
	case <-patience.C:
		err = fmt.Errorf("%w: none became free", ErrOverloaded)
	}
	p.forget(w)
	return taken{}, err
}

// forget takes back a place in the queue, and what was given meanwhile.
func (p *Pool) forget(w *waiter) {
	p.mu.Lock()
	for i, x := range p.waiting {
		if x == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	t := <-w.got
	p.give(t.e, t.c)
}

// choose takes a connection of the endpoint that the request goes to, or a
// place at it: the less loaded of two random ones among those that have
// room and are not set aside. Where all are set aside, one is tried all the
// same.
func (p *Pool) choose(now moment, avoid *endpoint) taken {
	e := p.pick(now, avoid)
	if e == nil {
		return taken{}
	}
	e.tried(now)
	for len(e.idle) > 0 {
		last := len(e.idle) - 1
		c := e.idle[last]
		e.idle[last] = nil
		e.idle = e.idle[:last]
		if now < c.expires && now.since(c.used) < p.settings.idle {
			c.used = now
			return taken{c, e}
		}
		e.open--
		c.close()
	}
	e.open++
	return taken{nil, e}
}

func (p *Pool) pick(now moment, avoid *endpoint) *endpoint {
	if len(p.endpoints) == 1 {
		return p.roomy(p.endpoints[0])
	}
	fit := func(e *endpoint) bool { return e != avoid && e.usable(now) && p.roomy(e) != nil }
	n := 0
	for _, e := range p.endpoints {
		if fit(e) {
			n++
		}
	}
	if n == 0 {
		return p.lastResort(now, avoid)
	}
	i, j := rand.IntN(n), 0 //nolint:gosec // balances load, keeps no secret
	if n > 1 {
		if j = rand.IntN(n - 1); j >= i { //nolint:gosec // the same
			j++
		}
	}
	var one, two *endpoint
	n = 0
	for _, e := range p.endpoints {
		if !fit(e) {
			continue
		}
		if n == i {
			one = e
		}
		if n == j {
			two = e
		}
		n++
	}
	if two.load() < one.load() {
		return two
	}
	return one
}

// lastResort picks among endpoints that just failed or are set aside: the
// one whose time aside ends first, rather another than avoid.
func (p *Pool) lastResort(now moment, avoid *endpoint) *endpoint {
	var best *endpoint
	for _, e := range p.endpoints {
		if e == avoid || p.roomy(e) == nil {
			continue
		}
		if best == nil || e.until < best.until {
			best = e
		}
	}
	if best == nil && avoid != nil || best != nil && !best.usable(now) && avoid != nil && avoid.usable(now) {
		if e := p.roomy(avoid); e != nil {
			return e
		}
	}
	return best
}

// roomy gives e where it has a connection or may open one, else nil.
func (p *Pool) roomy(e *endpoint) *endpoint {
	if p.multiplexed {
		if e.seats(p.now(), p.settings.maxConns) {
			return e
		}
		return nil
	}
	if len(e.idle) > 0 || e.open < p.settings.maxConns {
		return e
	}
	return nil
}

// give gives back a connection to be kept, or with c nil a place.
func (p *Pool) give(e *endpoint, c *conn) {
	p.mu.Lock()
	p.put(e, c)
	p.mu.Unlock()
}

// served gives back a connection that served an exchange well, or with c nil
// its place.
func (p *Pool) served(e *endpoint, c *conn) {
	p.mu.Lock()
	e.succeeded()
	if c != nil {
		c.kept = true
	}
	p.put(e, c)
	p.mu.Unlock()
}

// put is give under the mutex.
func (p *Pool) put(e *endpoint, c *conn) {
	if c != nil && (p.closed || c.used >= c.expires) {
		c.close()
		c = nil
	}
	switch {
	case len(p.waiting) > 0:
		w := p.waiting[0]
		p.waiting = append(p.waiting[:0], p.waiting[1:]...)
		w.got <- taken{c, e}
	case c == nil:
		e.open--
	default:
		e.idle = append(e.idle, c)
		if p.sweeper == nil {
			p.sweeper = time.AfterFunc(p.settings.idle, p.sweep)
		}
	}
}

// report notes what became of an exchange with an endpoint.
func (p *Pool) report(e *endpoint, connecting bool) {
	now := p.now()
	p.mu.Lock()
	e.failed(now, connecting)
	p.mu.Unlock()
}

// mayRetry asks the budget for leave to repeat a request.
func (p *Pool) mayRetry() bool {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.budget.retry(now, p.settings.budget)
}

// sweep closes connections that were idle too long. It runs while any is
// idle.
func (p *Pool) sweep() {
	now := p.now()
	var old []*conn
	left := 0
	p.mu.Lock()
	for _, e := range p.endpoints {
		kept := e.idle[:0]
		for _, c := range e.idle {
			if now.since(c.used) >= p.settings.idle || now >= c.expires {
				old = append(old, c)
			} else {
				kept = append(kept, c)
			}
		}
		e.open -= len(e.idle) - len(kept)
		clear(e.idle[len(kept):])
		e.idle = kept
		left += len(kept)
	}
	p.sweeper = nil
	if left > 0 && !p.closed {
		p.sweeper = time.AfterFunc(max(p.settings.idle/4, time.Millisecond), p.sweep)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// connect opens a connection at a place that was taken.
func (p *Pool) connect(ctx context.Context, e *endpoint, a *attempt) (*conn, error) {
	left := a.until.left()
	timeout := p.settings.connect
	if left <= 0 {
		return nil, context.DeadlineExceeded
	}
	now := p.now()
	c, err := e.dial(ctx, now, min(timeout, left))
	if err != nil {
		return nil, connectFault(err)
	}
	c.used = now
	a.now = readClock()
	return c, nil
}
