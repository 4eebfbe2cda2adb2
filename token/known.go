package token

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// knownBytes bounds the memory of the verified-token cache. It is a bound,
// not an allocation: an entry takes its token, its principal and some 250
// bytes, from 2 to 3 KiB for the session tokens of most providers.
const knownBytes = 64 << 20

const (
	knownShards = 64  // a power of two
	knownEntry  = 256 // bytes of an entry's bookkeeping, its share of the map included
)

// known is the verified-token cache: from the exact token to its principal,
// for as long as verifying it again could give nothing else. Only tokens that
// were found valid enter. It is safe for concurrent use.
//
// An entry is seen from the moment on at which put returns. Where the memory
// is used up, one that was not used since its shard last looked makes room
// (the SIEVE algorithm), so that tokens used once do not push out those in
// use.
type known struct {
	seed   maphash.Seed
	shards [knownShards]knownShard
}

type knownShard struct {
	mu      sync.RWMutex
	entries map[uint64]*knownToken
	newest  *knownToken
	oldest  *knownToken
	hand    *knownToken // where the search for room goes on; nil: at the oldest
	bytes   int
	max     int
	_       [64]byte // keeps the locks of two shards on different cache lines
}

// knownToken is immutable but for used and its place in the list, which the
// shard's lock guards.
type knownToken struct {
	token     string
	principal *Principal
	owner     *issuer
	key       *key
	until     int64 // Unix nanoseconds from which on it is no longer valid
	hash      uint64
	cost      int

	used         atomic.Bool
	newer, older *knownToken
}

func newKnown(bytes int) *known {
	n := &known{seed: maphash.MakeSeed()}
	for i := range n.shards {
		n.shards[i].max = bytes / knownShards
		n.shards[i].entries = map[uint64]*knownToken{}
	}
	return n
}

// live tells whether an entry still stands at the moment now, in Unix
// nanoseconds: the token has not expired and its key is still in use.
func (e *knownToken) live(now int64) bool { return now < e.until && e.key.live(now) }

// get gives the principal of a token that one of the issuers vouched for, nil
// where it is not known. It does not allocate and keeps nothing of tok.
func (n *known) get(owners []*issuer, tok string, now int64) *Principal {
	hash := maphash.String(n.seed, tok)
	for _, owner := range owners {
		// The salt keeps apart what issuers with other settings made of the
		// same token.
		h := hash ^ owner.salt
		s := n.shard(h)
		s.mu.RLock()
		e := s.entries[h]
		s.mu.RUnlock()
		if e == nil || e.owner != owner || e.token != tok || !e.live(now) {
			continue
		}
		if !e.used.Load() { // a write only where it changes something
			e.used.Store(true)
		}
		return e.principal
	}
	return nil
}

func (n *known) shard(hash uint64) *knownShard { return &n.shards[hash>>58] }

// put adds a valid token. tok is copied. An entry that would take more than
// an eighth of a shard is not kept.
func (n *known) put(owner *issuer, tok string, r *verified, now int64) {
	e := &knownToken{
		principal: r.principal,
		owner:     owner,
		key:       r.key,
		until:     r.until.UnixNano(),
		hash:      maphash.String(n.seed, tok) ^ owner.salt,
		cost:      knownEntry + len(tok) + r.principal.cost(),
	}
	s := n.shard(e.hash)
	if e.cost > s.max/8 {
		return
	}
	e.token = strings.Clone(tok)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[e.hash]; old != nil {
		s.remove(old)
	}
	// The oldest expire first where all tokens live equally long, so that
	// looking at two for each new one finds what is dead.
	for range 2 {
		if s.oldest != nil && !s.oldest.live(now) {
			s.remove(s.oldest)
		}
	}
	for s.bytes+e.cost > s.max {
		s.evict(now)
	}
	s.add(e)
}

func (s *knownShard) add(e *knownToken) {
	s.entries[e.hash] = e
	s.bytes += e.cost
	if e.older = s.newest; e.older != nil {
		e.older.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
}

func (s *knownShard) remove(e *knownToken) {
	delete(s.entries, e.hash)
	s.bytes -= e.cost
	if s.hand == e {
		s.hand = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
}

// evict removes the first entry, from the hand on towards the newest and
// around, that is dead or was not used since the hand last passed.
func (s *knownShard) evict(now int64) {
	e := s.hand
	if e == nil {
		e = s.oldest
	}
	for e.live(now) && e.used.Swap(false) {
		if e = e.newer; e == nil {
			e = s.oldest
		}
	}
	s.hand = e
	s.remove(e)
}

// sweep removes what is dead, so that tokens that have expired take no memory
// when no new ones come.
func (n *known) sweep(now int64) {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		for e := s.oldest; e != nil; {
			next := e.newer
			if !e.live(now) {
				s.remove(e)
			}
			e = next
		}
		if len(s.entries) == 0 {
			s.entries = map[uint64]*knownToken{} // maps do not shrink
		}
		s.mu.Unlock()
	}
}

// sweepInterval is how often dead entries are looked for.
const sweepInterval = 30 * time.Second
