package cache

import (
	"hash/maphash"
	"sync/atomic"
)

// A Tag is what purges name: a route, a principal, an organization, a URI, a
// tag that an upstream gave. It is valid for the cache that made it.
//
// Tags are kept by a hash in a table of fixed size, so that a purge takes
// the same time and memory however much is stored. Two tags that fall
// together are purged together: now and then an answer is fetched anew that
// need not be, and never the other way round. Each tag has two places in the
// table, so that for one purge this is less than one in a million tags.
type Tag uint32

// Kinds of tags. A route, a principal and an organization of the same name
// have nothing to do with each other.
const (
	TagRoute        = "route"
	TagPrincipal    = "principal"
	TagOrganization = "organization"
	TagSession      = "session"
	TagURI          = "uri" // see [Cache.TagURI]
	TagUpstream     = "tag" // Cache-Tag and Surrogate-Key
	tagKey          = "key"
)

// purges counts purges, and knows for each tag the last that named it. An
// answer is purged if a purge that reaches it has a higher number than there
// were when its fetch began; so a fetch that is under way is reached as well.
type purges struct {
	seed  maphash.Seed
	count atomic.Uint64
	all   purgeCell
	cells []purgeCell // a power of two, at most 1<<16
}

type purgeCell struct {
	hard, soft atomic.Uint64
	softAt     atomic.Int64 // when, by the monotonic clock
}

const (
	purgeCellBytes                   = 24
	fewestPurgeCells, mostPurgeCells = 1 << 10, 1 << 14
	bytesPerPurgeCell                = 4 << 10 // of the cache's bound
)

func purgeCells(maxBytes int64) int64 {
	n := int64(fewestPurgeCells)
	for n < mostPurgeCells && n*bytesPerPurgeCell < maxBytes {
		n *= 2
	}
	return n
}

func newPurges(maxBytes int64) *purges {
	return &purges{seed: maphash.MakeSeed(), cells: make([]purgeCell, purgeCells(maxBytes))}
}

// places returns where a tag is noted. It is purged by what is noted at both.
func (p *purges) places(tag uint32) (a, b *purgeCell) {
	mask := uint32(len(p.cells) - 1)
	return &p.cells[tag&mask], &p.cells[tag>>16&mask]
}

// Tag returns the tag of that kind and value. It does not allocate.
func (c *Cache) Tag(kind, value string) Tag { return Tag(c.purges.tag(kind, value)) }

// TagKey returns the tag that all answers under a key have by themselves.
func (c *Cache) TagKey(key []byte) Tag { return Tag(c.purges.keyTag(key)) }

func (p *purges) tag(kind string, parts ...string) uint32 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	h.WriteString(kind)
	h.WriteByte(0)
	for _, part := range parts {
		h.WriteString(part)
	}
	return uint32(h.Sum64())
}

func (p *purges) keyTag(key []byte) uint32 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	h.WriteString(tagKey)
	h.WriteByte(0)
	h.Write(key)
	return uint32(h.Sum64())
}

// Purge makes every answer with one of the tags unusable, in constant time
// and before it returns: what is stored, and what is being fetched by a
// request that came before. Such a fetch is of use to those who asked before
// the purge, and to nobody else.
//
// A soft purge makes answers stale instead: they are given while others are
// fetched, and where that fails, as long after the purge as their rules
// allow.
func (c *Cache) Purge(soft bool, tags ...Tag) {
	n, now := c.purges.count.Add(1), c.clock.instant()
	for _, tag := range tags {
		a, b := c.purges.places(uint32(tag))
		a.note(soft, n, now)
		b.note(soft, n, now)
	}
}

// PurgeAll is Purge for everything.
func (c *Cache) PurgeAll(soft bool) {
	n, now := c.purges.count.Add(1), c.clock.instant()
	c.purges.all.note(soft, n, now)
}

func (cell *purgeCell) note(soft bool, n uint64, now instant) {
	last := &cell.hard
	if soft {
		cell.softAt.Store(now.mono)
		last = &cell.soft
	}
	for {
		old := last.Load()
		if old >= n || last.CompareAndSwap(old, n) {
			return
		}
	}
}

// purge is what purges did to an answer.
type purge struct {
	hard, soft bool
	at         int64 // when the soft one was, by the monotonic clock
}

// since returns what purges since the one numbered born did to what has the
// tags.
func (p *purges) since(born uint64, tags []uint32) purge {
	if p.count.Load() == born {
		return purge{}
	}
	result := purge{}.with(&p.all, &p.all, born)
	for _, tag := range tags {
		a, b := p.places(tag)
		result = result.with(a, b, born)
	}
	return result
}

// with adds what is noted at both places. Of several soft purges the first
// counts, which makes what it reached the stalest.
func (known purge) with(a, b *purgeCell, born uint64) purge {
	known.hard = known.hard || a.hard.Load() > born && b.hard.Load() > born
	if a.soft.Load() > born && b.soft.Load() > born {
		at := min(a.softAt.Load(), b.softAt.Load())
		if known.soft {
			at = min(at, known.at)
		}
		known.soft, known.at = true, at
	}
	return known
}

// Most tags that an upstream can give an answer; one with more is not kept,
// since a purge must reach it by each.
const maxUpstreamTags = 128

// upstreamTags returns the tags that an answer names itself:
// Cache-Tag separates them by commas, Surrogate-Key by white space.
func (p *purges) upstreamTags(a *Answer) (tags []uint32, ok bool) {
	for i := range a.count {
		name, value := a.FieldAt(i)
		commas := equalFold(name, "cache-tag")
		if !commas && !equalFold(name, "surrogate-key") {
			continue
		}
		start := 0
		for j := 0; j <= len(value); j++ {
			if j < len(value) && value[j] != ',' && (commas || !isSpace(value[j])) {
				continue
			}
			if tag := trim(value[start:j]); len(tag) > 0 {
				tags = append(tags, p.tag(TagUpstream, string(tag)))
			}
			start = j + 1
		}
		if len(tags) > maxUpstreamTags {
			return nil, false
		}
	}
	return tags, true
}
