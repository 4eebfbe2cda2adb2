package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// place is which part of the store has a slot.
type place uint8

const (
	inWindow place = iota
	inMain
)

// store keeps slots within a bound of bytes. See the package documentation
// for its parts.
type store struct {
	index *index

	// budget is what all slots together may cost, window what those in the
	// window may.
	budget, window int64

	cost      atomic.Int64
	slots     atomic.Int64
	entries   atomic.Int64
	evictions atomic.Uint64

	// mu is held for every change and while ristretto works off its queue;
	// ristretto's callbacks must therefore not take it.
	mu         sync.Mutex
	closed     bool
	head       slot // of the ring of slots in the window: next is the oldest
	windowCost int64
	peak       int64 // the most slots that there ever were
	queued     int   // writes that ristretto may not have worked off
	main       *ristretto.Cache[uint64, *slot]
}

const (
	// The longest that ristretto's queue of writes becomes. It has room for
	// 32,768 and drops what is beyond.
	maxQueued = 1024
	// What ristretto takes with nothing in it: its queue and 256 maps.
	ristrettoBytes = 320 << 10
	// Room for what a slot holds beside a body: fields, key, bookkeeping.
	besideBody = 64 << 10
	// What the index takes with nothing in it.
	indexBytes = 32 << 10
	// Bytes of the bound for each of ristretto's counters, and what each of
	// those takes.
	bytesPerCounter, counterBytes = 512, 4
)

func newStore(x *index, maxBytes, maxEntryBytes int64) (*store, error) {
	counters := max(maxBytes/bytesPerCounter, 1024)
	fixed := ristrettoBytes + indexBytes + counters*counterBytes + purgeCells(maxBytes)*purgeCellBytes
	budget := max(maxBytes-fixed, maxBytes/2)
	st := &store{
		index:  x,
		budget: budget,
		window: max(budget/16, min(maxEntryBytes+besideBody, budget/2)),
	}
	st.head.prev, st.head.next = &st.head, &st.head
	main, err := ristretto.NewCache(&ristretto.Config[uint64, *slot]{
		NumCounters:        counters,
		MaxCost:            budget - st.window,
		BufferItems:        16,
		IgnoreInternalCost: true,
		// The index compares whole keys; here a hash is all there is.
		KeyToHash: func(hash uint64) (uint64, uint64) { return hash, 0 },
		OnEvict:   func(item *ristretto.Item[*slot]) { st.displaced(item.Value) },
		OnReject:  func(item *ristretto.Item[*slot]) { st.displaced(item.Value) },
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make the store of cached answers: %w", err)
	}
	st.main = main
	return st, nil
}

// put stores e under the key, in the place of those answers there that the
// same request would have been given, and tells whether it did. It does not
// if one of them comes from a fetch that began later. The key is copied.
func (st *store) put(hash uint64, key []byte, e *entry, req Fields) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return false
	}
	s := &slot{hash: hash, entries: []*entry{e}}
	if old := st.index.find(hash, key); old != nil {
		s.key = old.key
		for _, other := range old.entries {
			if other.order > e.order && other.matches(req) {
				return false
			}
			if !other.matches(req) && len(s.entries) < maxVariants {
				s.entries = append(s.entries, other)
			}
		}
	} else {
		s.key = append([]byte(nil), key...)
	}
	s.cost = s.measure()
	for s.cost > st.window && len(s.entries) > 1 {
		s.entries = s.entries[:len(s.entries)-1]
		s.cost = s.measure()
	}
	if s.cost > st.window {
		return false
	}
	if old := st.index.replace(s); old != nil {
		st.forget(old)
	}
	st.remember(s)
	st.settle()
	return true
}

// remember counts s, which the index has now, and puts it in the window.
func (st *store) remember(s *slot) {
	st.cost.Add(s.cost)
	st.entries.Add(int64(len(s.entries)))
	st.peak = max(st.peak, st.slots.Add(1))
	st.touch(s.hash)
	s.place = inWindow
	s.prev, s.next = st.head.prev, &st.head
	s.prev.next, s.next.prev = s, s
	st.windowCost += s.cost
	for st.windowCost > st.window {
		oldest := st.head.next
		st.leaveWindow(oldest)
		oldest.place = inMain
		st.main.UpdateMaxCost(max(st.limit()-st.window, 1))
		st.main.Set(oldest.hash, oldest, oldest.cost)
		st.queued++
	}
}

// forget uncounts old, which the index has no more.
func (st *store) forget(old *slot) {
	st.uncount(old)
	if old.place == inWindow {
		st.leaveWindow(old)
		return
	}
	st.main.Del(old.hash)
	st.queued++
}

func (st *store) leaveWindow(s *slot) {
	s.prev.next, s.next.prev = s.next, s.prev
	s.prev, s.next = nil, nil
	st.windowCost -= s.cost
}

// limit is what all slots may cost now. Go's maps never shrink: what they
// took when there were more slots is still taken.
func (st *store) limit() int64 {
	return st.budget - mapShare*(st.peak-st.slots.Load())
}

// settle lets ristretto work off its queue where that may be needed: to
// displace slots when there are too many, and before its queue overflows.
func (st *store) settle() {
	if st.cost.Load() > st.limit() || st.queued >= maxQueued {
		st.main.Wait()
		st.queued = 0
	}
}

// displaced is ristretto's word that s has no place. It is nil, or no more
// in the index, if it was replaced meanwhile.
func (st *store) displaced(s *slot) {
	if s != nil && st.index.remove(s) {
		st.uncount(s)
		st.evictions.Add(uint64(len(s.entries)))
	}
}

func (st *store) uncount(s *slot) {
	st.cost.Add(-s.cost)
	st.slots.Add(-1)
	st.entries.Add(-int64(len(s.entries)))
}

// touch counts a request for the hash. ristretto must not be closed.
func (st *store) touch(hash uint64) { st.main.Get(hash) }

// One lookup of so many is told to ristretto, which cares for proportions
// only.
const touchEvery = 4

// lookup returns what is stored under the key for somebody who asks for it,
// or nil.
func (st *store) lookup(hash uint64, key []byte) *slot {
	sh := st.index.shard(hash)
	sh.mu.RLock()
	s := sh.slots[hash]
	if !sh.closed && rand.Uint32()%touchEvery == 0 { //nolint:gosec // spreads statistics, guards nothing
		st.touch(hash)
	}
	sh.mu.RUnlock()
	if s == nil || !bytes.Equal(s.key, key) {
		return nil
	}
	return s
}

// close forgets everything. ristretto panics if it is asked for a key while
// it closes, which is why lookups are told before.
func (st *store) close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	st.closed = true
	st.index.close()
	st.head.prev, st.head.next, st.windowCost = &st.head, &st.head, 0
	st.cost.Store(0)
	st.slots.Store(0)
	st.entries.Store(0)
	st.main.Close()
}

// drop takes those answers out that the request would be given, but for
// those from fetches that began after the one of that order.
func (st *store) drop(hash uint64, key []byte, req Fields, order uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	old := st.index.find(hash, key)
	if e := old.pick(req); st.closed || e == nil || e.order > order {
		return
	}
	s := &slot{hash: hash, key: old.key}
	for _, e := range old.entries {
		if e.order > order || !e.matches(req) {
			s.entries = append(s.entries, e)
		}
	}
	if len(s.entries) == 0 {
		if st.index.remove(old) {
			st.forget(old)
		}
		return
	}
	s.cost = s.measure()
	if gone := st.index.replace(s); gone != nil {
		st.forget(gone)
	}
	st.remember(s)
	st.settle()
}
