package cache

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"
)

// ErrNotShared is what [Cache.Do] returns to those who waited for another
// request's answer that turned out not to be theirs: it must not be given to
// anybody else, or it varies by fields in which their requests differ. They
// should forward their own requests, at once and side by side. An
// [Exchange] may also return it if it has dealt with its answer itself, for
// example by streaming it.
var ErrNotShared = errors.New("the fetched answer is for the request alone that fetched it")

// ErrClosed is what [Cache.Do] returns after [Cache.Close].
var ErrClosed = errors.New("the cache is closed")

// What an exchange that returns neither an answer nor an error, or does not
// return, becomes.
var errNoAnswer = errors.New("the fetch brought no answer")

// PanicError is what a panic in an [Exchange] becomes for everybody who
// waited for it.
type PanicError struct {
	Value any    // what was given to panic; it may hold secrets
	Stack []byte // where
}

func (e *PanicError) Error() string { return "the fetch panicked" }

// An Exchange gets an answer from the upstream. Where it is told validators
// it asks with these, and a 304 confirms what is stored; it may be called a
// second time, without, if that 304 was for something else. A long answer it
// may give away as it arrives, see [Transfer.Begin].
//
// Its context belongs to no request: it has no deadline and no values, and
// ends when the cache is closed. The exchange bounds its own time. The answer
// holds what the upstream said, Age, Connection's fields and Content-Length
// included where they were there; none that broke off may be returned.
type Exchange func(ctx context.Context, t *Transfer) (*Answer, error)

// Fetched is an answer from [Cache.Do].
type Fetched struct {
	Answer *Answer
	// Arrival is set while the body is still arriving. Then it has the body,
	// that of Answer is empty, and whether the answer will be stored is not
	// known.
	Arrival *Arrival
	// Age is how old the answer is.
	Age time.Duration
	// Status is what the upstream answered: 304 if it confirmed what was
	// stored.
	Status int
	// Collapsed tells that another request fetched the answer.
	Collapsed bool
	// Stored tells that the answer is stored, and TTL how long it is fresh.
	Stored bool
	TTL    time.Duration
}

// A flight is one fetch that is under way, and all who wait for it.
type flight struct {
	id    string // see appendFlight; empty if nobody else can join
	hash  uint64
	q     Query    // with a key of its own
	born  uint64   // the count of purges when it began
	order uint64   // that in which flights began
	reach []uint32 // the tags by which purges reach it

	// asked is when the upstream was.
	asked instant

	// begun is closed when the next two are set.
	begun   chan struct{}
	arrival *Arrival
	opening opening

	// done is closed when what follows is set.
	done chan struct{}
	res  Fetched
	err  error
	// shared is the answer as others may have it, nil where they may not.
	shared *entry
}

// opening is what those get who come while the body arrives.
type opening struct {
	res    Fetched
	shared *entry
}

// How long after a refresh that brought nothing to store another is tried.
const refreshHoldoff = time.Second

// How often somebody who waited for an answer that was purged meanwhile
// waits for another.
const maxJoins = 3

// Do gets the answer to a query for which [Cache.Lookup] had none to give.
// The first who comes for a key fetches; those who come meanwhile wait for
// that answer, each at most until its own ctx ends, and have ErrNotShared if
// it is not theirs. That one of them leaves, the first included, does not
// matter to the others: the fetch runs on, and what it brings is stored.
// Errors of the exchange are given to everybody.
//
// Requests for ranges, HEAD requests, those that want an answer of their own
// (no-cache and the like, where the rule obeys) and those for keys whose last
// answer could not be shared fetch side by side.
func (c *Cache) Do(ctx context.Context, q *Query, do Exchange) (Fetched, error) {
	for range maxJoins {
		f, e, leads := c.join(q, false)
		switch {
		case e != nil:
			found := c.judge(e, q.Rule, new(directives))
			return Fetched{Answer: e.answer, Age: found.Age, Status: e.answer.status, Collapsed: true, Stored: true, TTL: found.TTL}, nil
		case leads && !c.launch(f, do):
			return Fetched{}, ErrClosed
		}
		select {
		case <-f.done:
		case <-f.begun:
		case <-ctx.Done():
			return Fetched{}, context.Cause(ctx)
		}
		got, shared, err := f.outcome()
		switch {
		case leads || err != nil:
			return got, err
		case shared == nil || !shared.matches(q.Fields):
			return Fetched{}, ErrNotShared
		}
		if c.purges.since(shared.born, shared.tags) != (purge{}) {
			continue
		}
		var req directives
		if q.Rule.obeys() {
			req = requestDirectives(q.Fields)
		}
		found := c.judge(shared, q.Rule, &req)
		if found.State != Fresh && found.State != Stale {
			return Fetched{}, ErrNotShared
		}
		got.Answer, got.Age, got.TTL, got.Collapsed = shared.answer, found.Age, found.TTL, true
		return got, nil
	}
	return Fetched{}, ErrNotShared
}

// outcome is what a flight brought: all of it if it is done, or else what is
// known while the body arrives. One of these has happened.
func (f *flight) outcome() (Fetched, *entry, error) {
	select {
	case <-f.done:
		return f.res, f.shared, f.err
	default:
		return f.opening.res, f.opening.shared, nil
	}
}

// begin gives the answer that begins to arrive to all who wait.
func (c *Cache) begin(f *flight) {
	now := c.clock.instant()
	took := max(now.since(f.asked), 0)
	head := f.arrival.head
	f.opening.res = Fetched{Answer: head, Arrival: f.arrival, Status: head.status, Age: initialAge(head, c.clock.now(), took)}
	// Judged as if the body were there, which has just the length it must.
	whole := *head
	whole.body = f.arrival.body
	if e := c.entryOf(f, &f.q, &whole, now, took); e != nil && !failed(head.status) {
		bare := *e.answer
		bare.body = nil
		e.answer = &bare
		f.opening.shared = e
	}
	close(f.begun)
}

// Renew fetches in the background, unless the answer is being fetched
// already, and returns at once. The query's method counts as GET.
func (c *Cache) Renew(q *Query, do Exchange) {
	get := *q
	get.Method = ""
	if f, _, leads := c.join(&get, true); leads {
		c.launch(f, do)
	}
}

// appendFlight appends what separates two fetches: the key, and what the
// latest answer stored under it varies by.
func appendFlight(dst []byte, key []byte, s *slot, req Fields) []byte {
	dst = append(dst, key...)
	if s != nil && len(s.entries[0].names) > 0 {
		dst = append(dst, 0)
		dst = appendVariant(dst, s.entries[0].names, req)
	}
	return dst
}

// fetching tells whether the answer is being fetched.
func (x *index) fetching(hash uint64, key []byte, s *slot, req Fields) bool {
	var room [512]byte
	id := appendFlight(room[:0], key, s, req)
	sh := x.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.flights[string(id)] != nil
}

// join returns the flight for the query, a new one if leads, or else the
// fresh answer that another flight has stored since the caller looked. Where
// renewing, one that will soon be stale is not fresh enough.
func (c *Cache) join(q *Query, renewing bool) (f *flight, e *entry, leads bool) {
	hash := c.index.hash(q.Key)
	var req directives
	if q.Rule.obeys() {
		req = requestDirectives(q.Fields)
	}
	f = &flight{hash: hash, begun: make(chan struct{}), done: make(chan struct{}), born: c.purges.count.Load()}
	f.reach = append(f.reach, c.purges.keyTag(q.Key))
	for _, tag := range q.Tags {
		f.reach = append(f.reach, uint32(tag))
	}
	sh := c.index.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.slots[hash]
	if s != nil && !bytes.Equal(s.key, q.Key) {
		s = nil
	}
	alone := q.Alone || q.method() != "GET" || q.has("range") || req.noCache || req.noStore || c.loners.has(hash, c.clock.instant())
	if e := s.pick(q.Fields); e != nil {
		switch found := c.judge(e, q.Rule, &req); {
		case found.State == Fresh && (!renewing || !e.soon(q.Rule, found.TTL)):
			return nil, e, false
		case found.Forward == ForwardRequest:
			alone = true
		}
	}
	if !alone {
		f.id = string(appendFlight(nil, q.Key, s, q.Fields))
		// Who comes after a purge does not wait for what began before it.
		if other := sh.flights[f.id]; other != nil && c.purges.since(other.born, other.reach) == (purge{}) {
			return other, nil, false
		}
		sh.flights[f.id] = f
	}
	f.order = c.flights.Add(1)
	f.q = *q
	f.q.Key, f.q.Tags = bytes.Clone(q.Key), nil
	return f, nil, true
}

// launch runs the flight in a goroutine of its own, unless the cache is
// closed.
func (c *Cache) launch(f *flight, do Exchange) bool {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.running.Add(1)
	}
	c.mu.Unlock()
	if closed {
		f.err = ErrClosed
		c.land(f)
		return false
	}
	go func() {
		defer c.running.Done()
		// Whatever happens in the exchange, even runtime.Goexit, the flight
		// lands, or everybody would wait for it.
		defer c.land(f)
		f.err = errNoAnswer
		c.fly(f, do)
	}()
	return true
}

// land ends the flight. What it stored is found by those who come later.
func (c *Cache) land(f *flight) {
	if f.arrival != nil {
		f.arrival.end(f.err)
	}
	if f.id != "" {
		sh := c.index.shard(f.hash)
		sh.mu.Lock()
		if sh.flights[f.id] == f {
			delete(sh.flights, f.id)
		}
		sh.mu.Unlock()
	}
	close(f.done)
}

func (c *Cache) call(f *flight, do Exchange, v Validators) (answer *Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			answer, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	answer, err = do(c.ctx, &Transfer{Validators: v, cache: c, flight: f})
	switch {
	case err != nil:
		return nil, err
	case f.arrival != nil:
		// Others have what was written to it, so it is that and no other.
		return f.arrival.Answer()
	case answer == nil:
		return nil, errNoAnswer
	}
	return answer, nil
}

// fly fetches the answer, validates what is stored where that is possible,
// stores what may be stored, and sets what those who wait get.
func (c *Cache) fly(f *flight, do Exchange) {
	old := c.index.find(f.hash, f.q.Key).pick(f.q.Fields)
	if old != nil && c.purges.since(old.born, old.tags).hard {
		old = nil
	}
	var v Validators
	if old != nil && f.q.method() == "GET" && !f.q.has("range") {
		v = old.answer.validators()
	}
	f.asked = c.clock.instant()
	answer, err := c.call(f, do, v)
	if err == nil && answer.status == 304 && v != (Validators{}) {
		f.res.Status = 304
		if merged := old.answer.freshened(answer); merged != nil {
			answer = merged
		} else {
			f.asked = c.clock.instant()
			answer, err = c.call(f, do, Validators{})
			f.res.Status = 0
		}
	}
	now := c.clock.instant()
	f.err = err
	if err != nil {
		if errors.Is(err, ErrNotShared) {
			c.loners.add(f.hash, now)
		}
		c.holdOff(f, now)
		return
	}
	if f.res.Status == 0 {
		f.res.Status = answer.status
	}
	f.res.Answer = answer
	c.keep(f, answer, now, max(now.since(f.asked), 0))
}

// keep stores what the flight brought, if that may be.
func (c *Cache) keep(f *flight, answer *Answer, now instant, took time.Duration) {
	if f.q.method() == "HEAD" {
		c.updateByHead(f, answer, now, took)
		return
	}
	e := c.entryOf(f, &f.q, answer, now, took)
	if failed(answer.status) && c.holdOff(f, now) {
		e = nil // what is stored stays good
	}
	if e == nil {
		f.res.Age = initialAge(answer, c.clock.now(), took)
		switch {
		case failed(answer.status):
		case f.q.Rule.obeys() && requestDirectives(f.q.Fields).noStore:
		case replaces(answer.status):
			c.store.drop(f.hash, f.q.Key, f.q.Fields, f.order)
			c.loners.add(f.hash, now)
		}
		return
	}
	if answer.status == 206 {
		found := c.judge(e, f.q.Rule, new(directives))
		f.res.Age, f.res.TTL = found.Age, found.TTL
		c.keepPart(f, answer, e)
		return
	}
	f.shared = e
	found := e.judge(f.q.Rule, new(directives), now, c.purges.since(e.born, e.tags))
	f.res.Age, f.res.TTL = found.Age, found.TTL
	if found.State == Fresh || found.State == Stale {
		c.loners.remove(f.hash)
	} else {
		c.loners.add(f.hash, now)
	}
	if int64(len(answer.body)) <= c.maxBodyBytes && e.worthKeeping(f.q.Rule) && c.store.put(f.hash, f.q.Key, e, f.q.Fields) {
		f.res.Stored = true
	} else {
		c.store.drop(f.hash, f.q.Key, f.q.Fields, f.order)
	}
}

// entryOf makes an entry of what the flight brought, or nil where it must not
// be given to others.
func (c *Cache) entryOf(f *flight, q *Query, answer *Answer, now instant, took time.Duration) *entry {
	e := q.classify(answer, now, c.clock.now(), took)
	if e == nil {
		return nil
	}
	tags, ok := c.purges.upstreamTags(answer)
	if !ok {
		return nil
	}
	e.order, e.born, e.tags = f.order, f.born, slices.Concat(f.reach, tags)
	return e
}

// updateByHead does to a stored answer what an answer to HEAD says of it
// (RFC 9111 section 4.3.5): its fields are updated, or it is dropped if it is
// no longer what a GET would bring.
func (c *Cache) updateByHead(f *flight, head *Answer, now instant, took time.Duration) {
	f.res.Age = initialAge(head, c.clock.now(), took)
	if failed(head.status) {
		return
	}
	old := c.index.find(f.hash, f.q.Key).pick(f.q.Fields)
	if old == nil || c.purges.since(old.born, old.tags).hard {
		return
	}
	if head.status != old.answer.status || !old.answer.sameRepresentation(head) {
		c.store.drop(f.hash, f.q.Key, f.q.Fields, f.order)
		return
	}
	get := f.q
	get.Method = ""
	e := c.entryOf(f, &get, old.answer.updated(head), now, took)
	if e == nil {
		c.store.drop(f.hash, f.q.Key, f.q.Fields, f.order)
		return
	}
	c.store.put(f.hash, f.q.Key, e, f.q.Fields)
}

// holdOff notes on a stored answer that the upstream failed, and tells
// whether there is one that may be given instead.
func (c *Cache) holdOff(f *flight, now instant) bool {
	e := c.index.find(f.hash, f.q.Key).pick(f.q.Fields)
	if e == nil {
		return false
	}
	e.holdoff.Store(now.mono + int64(refreshHoldoff))
	return c.judge(e, f.q.Rule, new(directives)).Answer != nil
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
