package token

import (
	"hash/maphash"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// knownBytes bounds the memory of the verified-token cache where the
	// configuration does not: enough for 100,000 tokens of 600 bytes.
	knownBytes = 128 << 20

	knownShards = 16 // a power of two
	slotBytes   = 48 // of the table an entry's share: 16 in a slot, of which a third is in use
)

// knownLimit gives the bound of the verified-token cache that is set, or where
// none is, [knownBytes], of which a process that has little memory keeps a
// quarter at most.
func knownLimit(set int64) int {
	if set > 0 {
		return int(set)
	}
	limit := debug.SetMemoryLimit(-1) // asks for it
	if limit == math.MaxInt64 {
		return knownBytes
	}
	return int(min(knownBytes, limit/4))
}

// known is the verified-token cache: from the exact token to its principal,
// for as long as verifying it again could give nothing else. Only tokens that
// were found valid enter. It is safe for concurrent use, and lookups take no
// lock.
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
	table atomic.Pointer[[]slot] // a power of two long

	mu     sync.Mutex // for all but reading the table
	newest *verified
	oldest *verified
	hand   *verified // where the search for room goes on; nil: at the oldest
	live   int       // entries
	used   int       // slots of the table that are not free, those of removed entries included
	bytes  int
	max    int
	_      [64]byte // keeps what two shards write on different cache lines
}

// slot is a place of a table in which the next free one is looked for one by
// one. Entries never move within a table, so that a reader needs no lock; a
// table that becomes too full is replaced by another.
type slot struct {
	hash  atomic.Uint64
	entry atomic.Pointer[verified] // nil: free; removed: it was in use
}

// removed stands for an entry that is no more. It equals no token.
var removed = &verified{}

// verified is what comes of a token that is valid, and an entry of the
// verified-token cache. Once it is shared it is immutable but for used and
// what the shard's lock guards.
type verified struct {
	// What a lookup reads stands together, so that it touches few cache
	// lines.
	issuer *issuer
	key    *key
	until  int64 // Unix nanoseconds from which on it is no longer valid
	size   int   // of the token, which is its text(size); 0: it is no entry
	used   atomic.Bool

	cost int32 // guarded by the shard's lock; 0 once it was removed

	principal Principal // of an entry, its texts are in the block

	shard        *knownShard
	hash         uint64
	newer, older *verified // guarded by the shard's lock
}

// live tells whether an entry still stands at the moment now, in Unix
// nanoseconds: the token has not expired and its key is still in use.
func (r *verified) live(now int64) bool { return now < r.until && r.key.live(now) }

func newKnown(bytes int) *known {
	n := &known{seed: maphash.MakeSeed()}
	for i := range n.shards {
		s := &n.shards[i]
		s.max = bytes / knownShards
		s.rebuild()
	}
	return n
}

// limit changes the bound.
func (n *known) limit(bytes int, now int64) {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		s.max = bytes / knownShards
		s.shrink(now)
		s.mu.Unlock()
	}
}

// get gives what is known of a token that one of the issuers vouched for, nil
// where it is not known. It does not allocate and keeps nothing of tok.
func (n *known) get(owners []*issuer, tok string, now int64) *verified {
	hash := maphash.String(n.seed, tok)
	for _, owner := range owners {
		// The salt keeps apart what issuers with other settings made of the
		// same token.
		h := hash ^ owner.salt
		r := n.shard(h).find(h, owner, tok)
		if r == nil || !r.live(now) {
			continue
		}
		if !r.used.Load() { // a write only where it changes something
			r.used.Store(true)
		}
		return r
	}
	return nil
}

func (n *known) shard(hash uint64) *knownShard { return &n.shards[hash>>60] }

func (s *knownShard) find(hash uint64, owner *issuer, tok string) *verified {
	table := *s.table.Load()
	last := uint64(len(table) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		r := table[i].entry.Load()
		if r == nil {
			return nil
		}
		if table[i].hash.Load() == hash && r.issuer == owner && r.size == len(tok) && r.text(len(tok)) == tok {
			return r
		}
	}
}

// put adds a valid token, and gives its principal. tok is copied. A token that
// would take more than an eighth of a shard is not kept.
func (n *known) put(tok string, r *verified, now int64) *Principal {
	hash := maphash.String(n.seed, tok) ^ r.issuer.salt
	s := n.shard(hash)
	i := roomFor(len(tok) + r.principal.textBytes())
	if i < 0 {
		return &r.principal
	}
	cost := room[i].size + r.principal.listBytes() + slotBytes
	s.mu.Lock()
	defer s.mu.Unlock()
	if cost > s.max/8 {
		return &r.principal
	}
	e := room[i].make()
	e.issuer, e.key, e.until = r.issuer, r.key, r.until
	e.shard, e.hash, e.cost = s, hash, int32(cost)
	e.own(tok, &r.principal)
	if old := s.find(hash, e.issuer, tok); old != nil {
		s.remove(old)
	}
	// The oldest expire first where all tokens live equally long, so that
	// looking at two for each new one finds what is dead.
	for range 2 {
		if s.oldest != nil && !s.oldest.live(now) {
			s.remove(s.oldest)
		}
	}
	s.bytes += cost
	s.shrink(now)
	s.add(e)
	return &e.principal
}

// own copies a token and its principal, whose lists it takes over and whose
// texts it puts behind the token.
func (r *verified) own(tok string, from *Principal) {
	p := &r.principal
	p.Issuer, p.IssuerName, p.Preset, p.ExpiresAt = from.Issuer, from.IssuerName, from.Preset, from.ExpiresAt
	p.Roles, p.Permissions, p.Scopes = from.Roles, from.Permissions, from.Scopes
	texts, lists := p.texts(), p.lists()

	size := len(tok) + from.textBytes()
	b := append(r.texts(size)[:0], tok...)
	for _, t := range from.texts() {
		b = append(b, *t...)
	}
	for _, list := range lists {
		for _, t := range list {
			b = append(b, t...)
		}
	}
	rest := r.text(size)
	cut := func(n int) (s string) {
		s, rest = rest[:n], rest[n:]
		return s
	}
	tok = cut(len(tok))
	for i, t := range from.texts() {
		*texts[i] = cut(len(*t))
	}
	for _, list := range lists {
		for i := range list {
			list[i] = cut(len(list[i]))
		}
	}
	r.size = len(tok)
	_, payload, _ := strings.Cut(tok, ".")
	p.payload, _, _ = strings.Cut(payload, ".")
	p.entry = r
}

// add puts an entry whose bytes are counted already into table and list.
func (s *knownShard) add(r *verified) {
	if table := *s.table.Load(); s.used+1 > len(table)*3/4 {
		s.rebuild()
	}
	s.place(*s.table.Load(), r)
	s.live++
	if r.older = s.newest; r.older != nil {
		r.older.newer = r
	} else {
		s.oldest = r
	}
	s.newest = r
}

// place puts an entry into a table that has a free slot.
func (s *knownShard) place(table []slot, r *verified) {
	last := uint64(len(table) - 1)
	i := r.hash & last
	for {
		e := table[i].entry.Load()
		if e == nil {
			s.used++
			break
		}
		if e == removed {
			break
		}
		i = (i + 1) & last
	}
	// In this order, so that whoever sees the entry sees its hash.
	table[i].hash.Store(r.hash)
	table[i].entry.Store(r)
}

// rebuild gives the shard a table that is a quarter to half full.
func (s *knownShard) rebuild() {
	size := 8
	for size < 2*s.live {
		size *= 2
	}
	table := make([]slot, size)
	s.used = 0
	for r := s.oldest; r != nil; r = r.newer {
		s.place(table, r)
	}
	s.table.Store(&table)
}

func (s *knownShard) remove(r *verified) {
	table := *s.table.Load()
	last := uint64(len(table) - 1)
	i := r.hash & last
	for table[i].entry.Load() != r {
		i = (i + 1) & last
	}
	table[i].entry.Store(removed)
	s.live--
	s.bytes -= int(r.cost)
	if s.hand == r {
		s.hand = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		s.newest = r.older
	}
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		s.oldest = r.newer
	}
	// Whoever still has the principal must not keep its neighbours alive.
	r.newer, r.older, r.cost = nil, nil, 0
}

// shrink makes room until the bound is kept: it removes entries, from the hand
// on towards the newest and around, that are dead or were not used since the
// hand last passed.
func (s *knownShard) shrink(now int64) {
	for s.bytes > s.max && s.oldest != nil {
		r := s.hand
		if r == nil {
			r = s.oldest
		}
		for r.live(now) && r.used.Swap(false) {
			if r = r.newer; r == nil {
				r = s.oldest
			}
		}
		s.hand = r
		s.remove(r)
	}
}

// grow counts what an entry takes beyond what it took when it was put in.
func (r *verified) grow(bytes int) {
	s := r.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.cost == 0 {
		return
	}
	r.cost += int32(bytes)
	s.bytes += bytes
	s.shrink(0) // there is no clock here; others find what is dead
}

// sweep removes what is dead, so that tokens that have expired take no memory
// when no new ones come.
func (n *known) sweep(now int64) {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		for r := s.oldest; r != nil; {
			next := r.newer
			if !r.live(now) {
				s.remove(r)
			}
			r = next
		}
		if len(*s.table.Load()) > max(8, 8*s.live) {
			s.rebuild()
		}
		s.mu.Unlock()
	}
}

// sweepInterval is how often dead entries are looked for.
const sweepInterval = 30 * time.Second
