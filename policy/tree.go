package policy

import (
	"bytes"
	"strings"
)

// tree is the route table of one host pattern: a tree of segments. Looking a
// path up costs as many steps as the path has segments, whatever the number
// of routes, except that it turns back where a more specific branch proves
// to lead nowhere. It visits no node twice.
type tree struct {
	root node
}

// node is a place in the tree: what may follow the segments on the way to
// it, and the routes whose template ends here.
type node struct {
	literals branches
	decoded  map[string]bool // what those stand for whose text is encoded
	single   *node
	ends     []end // routes that end here
	rests    []end // routes that take everything from here on
}

// branches are the nodes that literal segments lead to. Most nodes have one
// or two, and there are several to a route: a map for each would be most of
// the table's memory.
type branches struct {
	few  []branch
	many map[string]*node // instead of few from manyBranches on
}

type branch struct {
	text string
	node *node
}

const manyBranches = 8

// get gives the node of a text, or nil.
func (b *branches) get(text string) *node {
	if b.many != nil {
		return b.many[text]
	}
	for i := range b.few {
		if b.few[i].text == text {
			return b.few[i].node
		}
	}
	return nil
}

// has tells whether a text has a node.
func (b *branches) has(text []byte) bool {
	if b.many != nil {
		return b.many[string(text)] != nil
	}
	for i := range b.few {
		if b.few[i].text == string(text) {
			return true
		}
	}
	return false
}

// put adds the node of a text that has none.
func (b *branches) put(text string, n *node) {
	if b.many == nil && len(b.few) < manyBranches {
		b.few = append(b.few, branch{text, n})
		return
	}
	if b.many == nil {
		b.many = make(map[string]*node, 2*manyBranches)
		for _, c := range b.few {
			b.many[c.text] = c.node
		}
		b.few = nil
	}
	b.many[text] = n
}

// end is a route for one method.
type end struct {
	method string
	route  *Route
}

// find gives the route for a method: the one that lists it, or for HEAD the
// one that lists GET (RFC 9110 section 9.3.2).
func find(ends []end, method string) *Route {
	var get *Route
	for i := range ends {
		switch ends[i].method {
		case method:
			return ends[i].route
		case "GET":
			get = ends[i].route
		}
	}
	if method == "HEAD" {
		return get
	}
	return nil
}

// insert adds a route for a method. It gives the route that is there already
// with a template of the same shape.
func (t *tree) insert(p *pattern, method string, r *Route) *Route {
	n := &t.root
	for _, s := range p.segments {
		switch s.kind {
		case literal:
			n = n.child(s.text)
		case single:
			if n.single == nil {
				n.single = &node{}
			}
			n = n.single
		case rest:
			return add(&n.rests, method, r)
		}
	}
	return add(&n.ends, method, r)
}

func (n *node) child(text string) *node {
	c := n.literals.get(text)
	if c == nil {
		c = &node{}
		n.literals.put(text, c)
		if plain := decodeSegment(text); plain != text {
			if n.decoded == nil {
				n.decoded = map[string]bool{}
			}
			n.decoded[plain] = true
		}
	}
	return c
}

func add(ends *[]end, method string, r *Route) *Route {
	for _, e := range *ends {
		if e.method == method {
			return e.route
		}
	}
	*ends = append(*ends, end{method, r})
	return nil
}

// lookup is one walk through a tree. The values of the parameters on the way
// stand in values.
type lookup struct {
	method string
	values []string

	elsewhere bool // the path has routes, but not for the method
	disguised bool // a segment is another spelling of a literal one
}

// walk looks for the route of the path that is left: what follows the slash
// after the segments on the way to n. More specific branches come first.
func (l *lookup) walk(n *node, path string) *Route {
	segment, left, more := path, "", false
	if i := strings.IndexByte(path, '/'); i >= 0 {
		segment, left, more = path[:i], path[i+1:], true
	}
	if c := n.literals.get(segment); c != nil {
		if r := l.step(c, left, more); r != nil || l.disguised {
			return r
		}
	} else if l.disguise(n, segment) {
		return nil
	}
	if n.single != nil && segment != "" {
		at := len(l.values)
		l.values = append(l.values, segment)
		if r := l.step(n.single, left, more); r != nil || l.disguised {
			return r
		}
		l.values = l.values[:at]
	}
	if len(n.rests) > 0 && path != "" {
		if r := find(n.rests, l.method); r != nil {
			l.values = append(l.values, path)
			return r
		}
		l.elsewhere = true
	}
	return nil
}

func (l *lookup) step(n *node, left string, more bool) *Route {
	if more {
		return l.walk(n, left)
	}
	if len(n.ends) == 0 {
		return nil
	}
	if r := find(n.ends, l.method); r != nil {
		return r
	}
	l.elsewhere = true
	return nil
}

// disguise notes a segment that says the same as a literal one in another
// spelling (%3A for :, say). To take it for a parameter would lead round the
// literal's route to an upstream that reads both spellings alike.
//
// So is one that is a literal but for path parameters behind it (admin;v=1):
// some servers cut those off (RFC 3986 section 3.3).
func (l *lookup) disguise(n *node, segment string) bool {
	plain := strings.IndexByte(segment, '%') < 0
	if plain && strings.IndexByte(segment, ';') < 0 {
		return false
	}
	if i := parameters(segment); i >= 0 {
		if segment = segment[:i]; n.literals.get(segment) != nil {
			l.disguised = true
			return true
		}
	}
	if plain {
		return false
	}
	var buf [128]byte
	text, ok := appendDecoded(buf[:0], segment, false)
	l.disguised = ok && n.standsFor(text)
	return l.disguised
}

// standsFor tells whether a literal segment stands for a text: is it, or
// encodes it.
func (n *node) standsFor(text []byte) bool {
	// A literal with a % is encoded, and stands for something else than what
	// it looks like.
	if bytes.IndexByte(text, '%') < 0 && n.literals.has(text) {
		return true
	}
	return n.decoded[string(text)]
}

// parameters gives where the path parameters of a segment begin, -1 where it
// has none.
func parameters(segment string) int {
	for i := range len(segment) {
		if segment[i] == ';' || segment[i] == '%' && strings.HasPrefix(segment[i:], "%3B") {
			return i
		}
	}
	return -1
}

// methods adds the methods of every route of the path that is left.
func (n *node) methods(path string, have map[string]bool) {
	segment, left, more := path, "", false
	if i := strings.IndexByte(path, '/'); i >= 0 {
		segment, left, more = path[:i], path[i+1:], true
	}
	next := func(c *node) {
		switch {
		case c == nil:
		case more:
			c.methods(left, have)
		default:
			addMethods(c.ends, have)
		}
	}
	next(n.literals.get(segment))
	if segment != "" {
		next(n.single)
	}
	if path != "" {
		addMethods(n.rests, have)
	}
}

func addMethods(ends []end, have map[string]bool) {
	for _, e := range ends {
		have[e.method] = true
		if e.method == "GET" {
			have["HEAD"] = true
		}
	}
}
