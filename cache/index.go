package cache

import (
	"bytes"
	"hash/maphash"
	"sync"
)

// The number of shards of the index.
const shardCount = 64

// index finds what is stored, and what is being fetched, by key. It is the
// only authority on what is stored. Two keys of one hash cannot be stored at
// once; the hash is seeded anew in each process, so that nobody can choose
// such keys.
type index struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu      sync.RWMutex
	slots   map[uint64]*slot
	flights map[string]*flight
	closed  bool
	_       [64]byte // a cache line between two shards' locks
}

// A slot is all that is stored under one key. It does not change once the
// index has it, but for what the store notes on it; another variant makes
// another slot.
type slot struct {
	hash    uint64
	key     []byte
	entries []*entry // the latest first; never empty
	cost    int64

	// The store's notes, under its lock.
	place      place
	prev, next *slot
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	for i := range x.shards {
		x.shards[i].slots = make(map[uint64]*slot)
		x.shards[i].flights = make(map[string]*flight)
	}
	return x
}

func (x *index) hash(key []byte) uint64 { return maphash.Bytes(x.seed, key) }

func (x *index) shard(hash uint64) *shard { return &x.shards[hash%shardCount] }

// find returns what is stored under the key, or nil.
func (x *index) find(hash uint64, key []byte) *slot {
	sh := x.shard(hash)
	sh.mu.RLock()
	s := sh.slots[hash]
	sh.mu.RUnlock()
	if s == nil || !bytes.Equal(s.key, key) {
		return nil
	}
	return s
}

// close empties the index for good.
func (x *index) close() {
	for i := range x.shards {
		sh := &x.shards[i]
		sh.mu.Lock()
		sh.closed = true
		clear(sh.slots)
		sh.mu.Unlock()
	}
}

// remove takes the slot out, and tells whether it was still in.
func (x *index) remove(s *slot) bool {
	sh := x.shard(s.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.slots[s.hash] != s {
		return false
	}
	delete(sh.slots, s.hash)
	return true
}

// replace puts s in the place of what has its hash, which it returns.
func (x *index) replace(s *slot) (old *slot) {
	sh := x.shard(s.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old = sh.slots[s.hash]
	sh.slots[s.hash] = s
	return old
}

// pick returns the latest answer that may be given to the request, or nil.
func (s *slot) pick(req Fields) *entry {
	if s == nil {
		return nil
	}
	for _, e := range s.entries {
		if e.matches(req) {
			return e
		}
	}
	return nil
}
