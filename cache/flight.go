package cache

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"time"
)

// A flight is one fetch that is under way, and all who wait for it.
type flight struct {
	// done is closed when what follows is set.
	done chan struct{}
	res  Fetched
	err  error
	// shared is the answer as others may have it, nil where they may not.
	shared *entry
}

// What a fetch that returns neither an answer nor an error, or does not
// return, becomes.
var errNoAnswer = errors.New("the fetch brought no answer")

// How long after a refresh that brought nothing to store another is tried.
const refreshHoldoff = time.Second

// Fetch gets the answer to a request for which [Cache.Get] had none to give.
// The first who comes for a key fetches; those who come meanwhile wait for
// that answer, each at most until its own ctx ends, and have ErrNotShared if
// it is not theirs. That one of them leaves, the first included, does not
// matter to the others: the fetch runs on, and what it brings is stored.
// Errors of the fetch are given to everybody.
//
// The key is lent, and fetch must not return an answer that it changes
// later. req must stay valid and unchanged until the fetch has ended, which
// may be after Fetch has returned: the caller gives a copy of its own.
func (c *Cache) Fetch(ctx context.Context, key []byte, req Fields, rule *Rule, fetch Fetch) (Fetched, error) {
	hash := c.index.hash(key)
	f, e, leads := c.join(hash, key, req, rule)
	switch {
	case e != nil:
		found := e.judge(rule, c.clock.instant())
		return Fetched{Answer: e.answer, Collapsed: true, Stored: true, TTL: found.TTL}, nil
	case leads && !c.launch(f, hash, bytes.Clone(key), req, rule, fetch):
		return Fetched{}, ErrClosed
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return Fetched{}, context.Cause(ctx)
	}
	switch {
	case leads:
		return f.res, f.err
	case f.err != nil:
		return Fetched{}, f.err
	case f.shared == nil || !f.shared.matches(req):
		return Fetched{}, ErrNotShared
	}
	return Fetched{Answer: f.shared.answer, Collapsed: true, Stored: f.res.Stored, TTL: f.res.TTL}, nil
}

// Refresh fetches in the background, unless the key is being fetched
// already, and returns at once. The key is lent; req is used as by Fetch.
func (c *Cache) Refresh(key []byte, req Fields, rule *Rule, fetch Fetch) {
	hash := c.index.hash(key)
	if f, _, leads := c.join(hash, key, req, rule); leads {
		c.launch(f, hash, bytes.Clone(key), req, rule, fetch)
	}
}

// fetching tells whether the key is being fetched.
func (x *index) fetching(hash uint64, key []byte) bool {
	sh := x.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.flights[string(key)] != nil
}

// join returns the flight for the key, a new one if leads, or else the fresh
// answer that another flight has stored since the caller looked.
func (c *Cache) join(hash uint64, key []byte, req Fields, rule *Rule) (f *flight, e *entry, leads bool) {
	now := c.clock.instant()
	sh := c.index.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.slots[hash]; s != nil && bytes.Equal(s.key, key) {
		if e := s.pick(req); e != nil && e.judge(rule, now).State == Fresh {
			return nil, e, false
		}
	}
	if f := sh.flights[string(key)]; f != nil {
		return f, nil, false
	}
	f = &flight{done: make(chan struct{})}
	sh.flights[string(key)] = f
	return f, nil, true
}

// launch runs the flight in a goroutine of its own, unless the cache is
// closed.
func (c *Cache) launch(f *flight, hash uint64, key []byte, req Fields, rule *Rule, fetch Fetch) bool {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.running.Add(1)
	}
	c.mu.Unlock()
	if closed {
		f.err = ErrClosed
		c.land(f, hash, key)
		return false
	}
	go func() {
		defer c.running.Done()
		// Whatever happens in the fetch, even runtime.Goexit, the flight
		// lands, or everybody would wait for it.
		defer c.land(f, hash, key)
		f.err = errNoAnswer
		answer, err := call(c.ctx, fetch)
		c.keep(f, hash, key, req, rule, answer, err)
	}()
	return true
}

// land ends the flight. What it stored is found by those who come later.
func (c *Cache) land(f *flight, hash uint64, key []byte) {
	sh := c.index.shard(hash)
	sh.mu.Lock()
	delete(sh.flights, string(key))
	sh.mu.Unlock()
	close(f.done)
}

func call(ctx context.Context, fetch Fetch) (answer *Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			answer, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fetch(ctx)
}

// keep stores what the flight brought, if that may be, and sets what those
// who wait for it get.
func (c *Cache) keep(f *flight, hash uint64, key []byte, req Fields, rule *Rule, answer *Answer, err error) {
	now := c.clock.instant()
	f.err = err
	if err == nil && answer == nil {
		f.err = errNoAnswer
	}
	if f.err != nil {
		c.holdOff(hash, key, req, now)
		return
	}
	f.res.Answer = answer
	vary := parseVary(answer, rule.Public)
	if !rule.storable(answer, vary) {
		if failed(answer.status) {
			c.holdOff(hash, key, req, now)
		} else if replaces(answer.status) {
			c.store.drop(hash, key, req)
		}
		return
	}
	e := &entry{answer: answer, names: vary.names, stored: now}
	if len(vary.names) > 0 {
		e.variant = appendVariant(nil, vary.names, req)
	}
	f.shared = e
	if int64(len(answer.body)) <= c.maxBodyBytes && c.store.put(hash, key, e, req) {
		f.res.Stored, f.res.TTL = true, rule.TTL
	} else {
		c.store.drop(hash, key, req)
	}
}

// holdOff notes on a stored answer that the upstream failed.
func (c *Cache) holdOff(hash uint64, key []byte, req Fields, now instant) {
	if e := c.index.find(hash, key).pick(req); e != nil {
		e.holdoff.Store(now.mono + int64(refreshHoldoff))
	}
}

// failed tells whether a status says that the upstream could not answer,
// rather than what the answer is; what is stored stays good then.
func failed(status int) bool {
	return status >= 500 || status == 408 || status == 425 || status == 429
}

// replaces tells whether an answer of that status shows that what is stored
// is no longer right. Those that answer a part of the target or a
// precondition do not, nor does an interim one.
func replaces(status int) bool {
	switch status {
	case 206, 304, 412, 416:
		return false
	}
	return status >= 200
}
