package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Options are how a cache is made.
type Options struct {
	// MaxBytes is the most memory that stored answers may take, all
	// bookkeeping included. Below 2 MiB about 400 KiB come on top.
	MaxBytes int64
	// MaxEntryBytes is the largest body that is stored. However large it is,
	// one entry takes half of MaxBytes at most.
	MaxEntryBytes int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random returns numbers in [0, 1), for decisions that spread load; nil
	// means those of math/rand/v2.
	Random func() float64
}

// Cache holds answers. Its methods are safe for concurrent use.
type Cache struct {
	index        *index
	store        *store
	purges       *purges
	loners       loners
	passed       passed
	flights      atomic.Uint64
	clock        clock
	random       func() float64
	maxBodyBytes int64

	// What is under way lives in ctx and is counted in running.
	ctx     context.Context
	cancel  context.CancelFunc
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// New makes an empty cache. It takes little memory at first and grows.
func New(o Options) (*Cache, error) {
	if o.MaxBytes <= 0 || o.MaxEntryBytes <= 0 {
		return nil, fmt.Errorf("cannot make a cache of %d bytes with entries of %d: both must be positive", o.MaxBytes, o.MaxEntryBytes)
	}
	x := newIndex()
	st, err := newStore(x, o.MaxBytes, o.MaxEntryBytes)
	if err != nil {
		return nil, err
	}
	c := &Cache{
		index:        x,
		store:        st,
		purges:       newPurges(o.MaxBytes),
		clock:        newClock(o.Now),
		random:       o.Random,
		maxBodyBytes: o.MaxEntryBytes,
	}
	if c.random == nil {
		c.random = rand.Float64
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close cancels the fetches under way, waits until they have returned and
// frees what is stored. Afterwards Lookup finds nothing and Do fails.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
	c.store.close()
}

// Stats is the state of a cache.
type Stats struct {
	Bytes     int64  // memory that stored answers take, estimated
	Entries   int64  // answers
	Evictions uint64 // answers that made room for others
}

// Stats returns the state of the cache.
func (c *Cache) Stats() Stats {
	return Stats{Bytes: c.store.cost.Load(), Entries: c.store.entries.Load(), Evictions: c.store.evictions.Load()}
}

// Lookup returns what the cache has for the query. It does not allocate.
func (c *Cache) Lookup(q *Query) Found {
	if m := q.method(); m != "GET" && m != "HEAD" {
		return Found{State: Bypass, Forward: ForwardMethod}
	}
	if q.has("if-match") || q.has("if-unmodified-since") {
		// These are for the origin (RFC 9111 section 4.3.2).
		return Found{State: Bypass, Forward: ForwardBypass}
	}
	var req directives
	if q.Rule.obeys() {
		req = requestDirectives(q.Fields)
	}
	hash := c.index.hash(q.Key)
	s := c.store.lookup(hash, q.Key)
	e := s.pick(q.Fields)
	found := Found{Forward: ForwardURIMiss}
	switch {
	case e != nil:
		now := c.clock.of(q.Now)
		if q.Now.IsZero() {
			now = c.clock.instant()
		}
		found = e.judge(q.Rule, &req, now, c.purges.since(e.born, e.tags))
	case s != nil:
		found.Forward = ForwardVaryMiss
	}
	if e == nil {
		if part, ok := c.lookupPart(q, &req); ok {
			return part
		}
	}
	switch found.State {
	case Fresh:
		found.Refresh = e.early(q.Rule, found.TTL, c.random)
	case Miss:
		found.Age, found.TTL = 0, 0
		fallthrough
	case Expired:
		if value, n := q.Fields.Field("cache-control"); n > 0 && onlyIfCached(value) {
			return Found{State: OnlyIfCached, Forward: found.Forward}
		}
	}
	if e == nil && q.wantsLess() {
		own := q.method() == "GET" && q.Rule.obeys()
		if c.loners.has(hash, c.clock.instant()) {
			// What is not kept need not be fetched whole.
			if !own || !q.has("range") {
				return Found{State: Bypass, Forward: found.Forward}
			}
			found.Conditions = true // but a part may be
		} else {
			found.Conditions = own && !q.has("range") && c.passed.first(hash)
		}
	}
	if found.Refresh {
		found.Refresh = c.clock.instant().mono >= e.holdoff.Load() && !c.index.fetching(hash, q.Key, s, q.Fields)
	}
	return found
}

// judge says what the entry is good for now.
func (c *Cache) judge(e *entry, rule *Rule, req *directives) Found {
	return e.judge(rule, req, c.clock.instant(), c.purges.since(e.born, e.tags))
}

func onlyIfCached(list string) bool {
	var d directives
	parse(&d, list)
	return d.onlyIfCached
}
