package cache

import (
	"bytes"
	"strings"
)

// Parts are answers of status 206. They are kept where the whole answer is
// not: it is too large, or nobody asked for it. A part is stored beside the
// key of what it is a part of, one for each variant, and is given to those
// alone who ask for what lies within it (RFC 9111 section 3.3).

// A part is where the body of a 206 belongs.
type part struct {
	first, last int
	size        int // of the whole, -1 where it is not known
}

// part reads the Content-Range of an answer whose body is just one range of
// bytes (RFC 9110 section 14.4).
func (a *Answer) part() (p part, ok bool) {
	value, n := a.Field("content-range")
	const unit = "bytes "
	if a.status != 206 || n != 1 || len(value) <= len(unit) || !equalFold(value[:len(unit)], unit) {
		return part{}, false
	}
	span, whole, found := bytes.Cut(value[len(unit):], []byte("/"))
	from, to, both := bytes.Cut(span, []byte("-"))
	first, ok1 := parseDigits(from)
	last, ok2 := parseDigits(to)
	if !found || !both || !ok1 || !ok2 || first > last || last-first+1 != int64(len(a.body)) {
		return part{}, false
	}
	p = part{first: int(first), last: int(last), size: -1}
	if string(whole) != "*" {
		size, ok := parseDigits(whole)
		if !ok || size <= last {
			return part{}, false
		}
		p.size = int(size)
	}
	return p, true
}

// within gives the range that a request asks for, where it lies within the
// part.
func (p part) within(a *Answer, req Fields) (first, last int, ok bool) {
	value, n := req.Field("range")
	if n != 1 || !a.ifRange(req) {
		return 0, 0, false
	}
	size := p.size
	if size < 0 {
		// Neither a suffix nor an open end has a place in it.
		size = p.last + 2
		if len(value) > 0 && (value[len(value)-1] == '-' || strings.Contains(value, "=-")) {
			return 0, 0, false
		}
	}
	first, last, ok = parseRange(value, size)
	return first, last, ok && p.first <= first && last <= p.last
}

// replyPart answers from a part: by the range asked for where it has that,
// and by itself where it is an upstream's own answer to the request.
func (a *Answer) replyPart(req Fields) Reply {
	p, ok := a.part()
	if !ok {
		return Reply{Status: a.status, Body: a.body}
	}
	first, last, ok := p.within(a, req)
	if !ok {
		return Reply{Status: a.status, Body: a.body}
	}
	return Reply{Status: 206, Cut: true, Body: a.body[first-p.first : last-p.first+1], first: first, size: p.size}
}

// appendPartKey appends the key of what is stored of parts.
func appendPartKey(dst, key []byte) []byte { return append(append(dst, key...), "\x00part"...) }

// storesPart tells whether an answer is a part that may be kept for the query.
func (q *Query) storesPart(a *Answer) bool {
	if a.status != 206 || !q.Rule.obeys() || !q.has("range") {
		return false
	}
	_, ok := a.part()
	return ok
}

// lookupPart looks for a fresh part that has what the query asks for.
func (c *Cache) lookupPart(q *Query, req *directives) (found Found, ok bool) {
	if q.method() != "GET" || !q.Rule.obeys() || !q.has("range") {
		return Found{}, false
	}
	var room [512]byte
	key := appendPartKey(room[:0], q.Key)
	e := c.store.lookup(c.index.hash(key), key).pick(q.Fields)
	if e == nil {
		return Found{}, false
	}
	p, ok := e.answer.part()
	if !ok {
		return Found{}, false
	}
	if _, _, ok = p.within(e.answer, q.Fields); !ok {
		return Found{}, false
	}
	found = c.judge(e, q.Rule, req)
	return found, (found.State == Fresh || found.State == Stale) && !found.Refresh
}

// keepPart stores a part.
func (c *Cache) keepPart(f *flight, answer *Answer, e *entry) {
	key := appendPartKey(nil, f.q.Key)
	f.res.Stored = int64(len(answer.body)) <= c.maxBodyBytes && e.worthKeeping(f.q.Rule) && c.store.put(c.index.hash(key), key, e, f.q.Fields)
}
