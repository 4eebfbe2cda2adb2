package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
}

// Cache holds answers. Its methods are safe for concurrent use.
type Cache struct {
	index        *index
	store        *store
	clock        clock
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
	c := &Cache{index: x, store: st, clock: newClock(o.Now), maxBodyBytes: o.MaxEntryBytes}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close cancels the fetches under way, waits until they have returned and
// frees what is stored. Afterwards Get finds nothing and Fetch fails.
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

// State is what a stored answer is good for.
type State uint8

// The states of a stored answer.
const (
	// Miss: there is none, or none that may be used.
	Miss State = iota
	// Fresh: it may be given.
	Fresh
	// Stale: it may be given at once, while a new one is fetched behind.
	Stale
	// Expired: it may be given if the upstream fails, and not otherwise.
	Expired
)

func (s State) String() string {
	switch s {
	case Miss:
		return "miss"
	case Fresh:
		return "fresh"
	case Stale:
		return "stale"
	case Expired:
		return "expired"
	}
	return "invalid"
}

// Found is what the cache has for a request.
type Found struct {
	Answer *Answer // nil exactly if State is Miss
	State  State
	Age    time.Duration // how old the answer is
	TTL    time.Duration // how long it stays fresh; negative when it no longer is

	// Refresh tells that the caller should call [Cache.Refresh]: the answer
	// is stale, nobody is fetching another, and no attempt failed just now.
	Refresh bool
}

// Get returns what the cache has for the request. It does not allocate. The
// key and req are lent.
func (c *Cache) Get(key []byte, req Fields, rule *Rule) Found {
	hash := c.index.hash(key)
	e := c.store.lookup(hash, key).pick(req)
	if e == nil {
		return Found{}
	}
	now := c.clock.instant()
	found := e.judge(rule, now)
	if found.State == Stale {
		found.Refresh = now.mono >= e.holdoff.Load() && !c.index.fetching(hash, key)
	}
	return found
}

// judge says what the entry is good for now.
func (e *entry) judge(rule *Rule, now instant) Found {
	age := now.since(e.stored)
	ttl := rule.TTL - age
	found := Found{Answer: e.answer, Age: age, TTL: ttl}
	switch {
	case age < 0:
		// Nobody can tell how old it is.
		return Found{}
	case ttl > 0:
		found.State = Fresh
	case -ttl < rule.StaleWhileRevalidate:
		found.State = Stale
	case -ttl < rule.StaleIfError:
		found.State = Expired
	default:
		return Found{}
	}
	return found
}

// ErrNotShared is what [Cache.Fetch] returns to those who waited for another
// request's answer that turned out not to be theirs: it must not be stored,
// or it varies by fields in which their requests differ. They should forward
// their own requests, at once and side by side. A [Fetch] may also return it
// if it has dealt with its answer itself, for example by streaming it.
var ErrNotShared = errors.New("the fetched answer is for the request alone that fetched it")

// ErrClosed is what [Cache.Fetch] returns after [Cache.Close].
var ErrClosed = errors.New("the cache is closed")

// Fetch gets an answer from the upstream. Its context belongs to no request:
// it has no deadline and no values, and ends when the cache is closed. The
// fetch bounds its own time.
type Fetch func(ctx context.Context) (*Answer, error)

// PanicError is what a panic in a [Fetch] becomes for everybody who waited
// for it.
type PanicError struct {
	Value any    // what was given to panic; it may hold secrets
	Stack []byte // where
}

func (e *PanicError) Error() string { return "the fetch panicked" }

// Fetched is an answer from [Cache.Fetch].
type Fetched struct {
	Answer *Answer
	// Collapsed tells that another request fetched the answer.
	Collapsed bool
	// Stored tells that the answer is stored, and TTL how long it is fresh.
	Stored bool
	TTL    time.Duration
}
