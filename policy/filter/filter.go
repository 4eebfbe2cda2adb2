// Package filter removes members from JSON documents, or keeps none but
// those it is told to. It works on the bytes in one pass, allocates nothing
// but the room for its answer, and refuses whatever is not exactly one JSON
// text (RFC 8259): what it cannot read it does not let through.
//
// # Paths
//
// A path is a list of member names separated by dots, from the outermost
// object inward: email_addresses.verification. A name is compared exactly
// (case too) with the decoded name in the document, so that an escape in
// either makes no difference, and every one of several members of the same
// name is meant. A name that itself has a dot, a bracket, a quote, a
// backslash or white space is written as a JSON string: "a.b".c.
//
// Arrays are looked through: a path that leads to an array goes on in each
// of its elements, and in theirs where they are arrays. [] after a name, or
// at the start for an array that is the document, says so to the reader:
// data[].private_metadata. It makes no difference to the filter, because an
// endpoint that answers a list where one object was expected must not get
// data through. A path ends with a name.
//
// Paths are not searched for: private_metadata means the outermost object's
// member (or that of each element of an outermost array), not one further
// in.
//
// # Removing and keeping
//
// A filter that removes drops every member that a path names, whatever its
// value, and leaves the rest.
//
// A filter that keeps drops every member that is not named by a path or on
// the way to what one names. Objects and arrays on the way stay, even if
// nothing is left in them; anything else on the way (a string, a number, a
// boolean, null, where the path goes on) is dropped. A document that is such
// a value becomes null.
//
// What stays is the document's bytes as they were, white space, number
// formats, escapes and order included.
package filter

import (
	"errors"
	"fmt"
)

// MaxDepth is how many arrays and objects may stand inside each other.
const MaxDepth = 512

// The faults of a document. Append wraps them with the place, and never
// quotes the document.
var (
	ErrNotJSON = errors.New("not a JSON text")
	ErrTooDeep = fmt.Errorf("arrays and objects nested more than %d deep", MaxDepth)
)

// Filter is a set of compiled paths. It is immutable and safe for concurrent
// use.
type Filter struct {
	root *node // nil: nothing to filter
	keep bool
}

// node is a place that paths lead through.
type node struct {
	below map[string]*node
	end   bool // a path ends here: nothing below matters
}

// Compile makes a filter that drops the members at the paths remove, or
// keeps only those at the paths keep; giving both is an error. Without any
// path the filter changes nothing and still refuses what is not JSON. The
// error joins (errors.Join) a *PathError for each path that is wrong.
func Compile(remove, keep []string) (*Filter, error) {
	if len(remove) > 0 && len(keep) > 0 {
		return nil, errors.New("remove and keep exclude each other: what is not kept is removed already")
	}
	f := &Filter{keep: len(keep) > 0}
	list, paths := "remove", remove
	if f.keep {
		list, paths = "keep", keep
	}
	var faults []error
	for i, p := range paths {
		names, err := parsePath(p)
		if err != nil {
			err.List, err.Index = list, i
			faults = append(faults, err)
			continue
		}
		if f.root == nil {
			f.root = &node{}
		}
		f.root.add(names)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return f, nil
}

func (n *node) add(names []string) {
	for _, name := range names {
		next := n.below[name]
		if next == nil {
			if n.below == nil {
				n.below = map[string]*node{}
			}
			next = &node{}
			n.below[name] = next
		}
		n = next
	}
	n.end = true
}

// Append appends the filtered src to dst. The result is never longer than
// src (or null), so that no room is allocated where dst has as much. The two
// must not overlap. On an error, which wraps ErrNotJSON or ErrTooDeep, dst
// comes back as it was.
func (f *Filter) Append(dst, src []byte) ([]byte, error) {
	r := run{src: src, dst: dst, keep: f.keep}
	start := r.space(0)
	whole := f.keep && f.root != nil && start < len(src) && !opens(src[start])
	root := f.root
	if whole {
		root = nil
	}
	i := r.value(start, root, 0)
	if i >= 0 {
		if i = r.space(i); i < len(src) {
			i = r.wrong(i, "something follows the JSON text")
		}
	}
	if i < 0 {
		return r.dst[:len(dst)], r.fault()
	}
	if whole {
		return append(dst, "null"...), nil
	}
	r.copyTo(len(src))
	return r.dst, nil
}

// run is one pass over a document. Its methods take the index of the next
// byte and give the index after what they read, or -1 where it is wrong.
type run struct {
	src    []byte
	dst    []byte
	copied int // src before it is in dst, or dropped
	keep   bool

	wrongAt int
	what    string
	deep    bool
}

func (r *run) wrong(i int, what string) int {
	r.wrongAt, r.what = i, what
	return -1
}

func (r *run) fault() error {
	if r.deep {
		return fmt.Errorf("byte %d: %w", r.wrongAt, ErrTooDeep)
	}
	return fmt.Errorf("byte %d: %w: %s", r.wrongAt, ErrNotJSON, r.what)
}

// copyTo makes src before i part of the answer.
func (r *run) copyTo(i int) {
	r.dst = append(r.dst, r.src[r.copied:i]...)
	r.copied = i
}

// value reads a value that n filters; a nil n leaves it alone.
func (r *run) value(i int, n *node, depth int) int {
	if i >= len(r.src) {
		return r.wrong(i, "it ends where a value should be")
	}
	switch c := r.src[i]; {
	case c == '"':
		i, _ = r.text(i + 1)
		return i
	case opens(c):
		if depth == MaxDepth {
			r.deep = true
			return r.wrong(i, "")
		}
		if c == '{' {
			return r.object(i, n, depth+1)
		}
		return r.array(i, n, depth+1)
	case c == 't':
		return r.word(i, "true")
	case c == 'f':
		return r.word(i, "false")
	case c == 'n':
		return r.word(i, "null")
	}
	return r.number(i)
}

// object reads an object from its brace on.
func (r *run) object(i int, n *node, depth int) int {
	sep := i // the brace or comma before the current member
	if i = r.space(i + 1); i < len(r.src) && r.src[i] == '}' {
		return i + 1
	}
	kept := false
	for {
		if i >= len(r.src) || r.src[i] != '"' {
			return r.wrong(i, "a member's name should be here")
		}
		start := i + 1
		var escaped bool
		if i, escaped = r.text(start); i < 0 {
			return -1
		}
		end := i - 1
		if i = r.space(i); i >= len(r.src) || r.src[i] != ':' {
			return r.wrong(i, "a colon should be here")
		}
		i = r.space(i + 1)
		var below *node
		drop := false
		if n != nil {
			below, drop = r.judge(n, start, end, escaped)
			if below != nil && r.keep && i < len(r.src) && !opens(r.src[i]) {
				below, drop = nil, true
			}
		}
		if i = r.item(i, sep, kept, drop, below, depth); i < 0 {
			return -1
		}
		kept = kept || !drop
		if i >= len(r.src) {
			return r.wrong(i, "it ends inside an object")
		}
		switch r.src[i] {
		case '}':
			return i + 1
		case ',':
			sep, i = i, r.space(i+1)
		default:
			return r.wrong(i, "a comma or a closing brace should be here")
		}
	}
}

// judge says what becomes of the member of n whose name is src[start:end]:
// it is dropped, or filtered by the node that comes back, or left alone.
func (r *run) judge(n *node, start, end int, escaped bool) (below *node, drop bool) {
	name := r.src[start:end]
	if escaped {
		// The room behind the answer is free, and never too small for long.
		at := len(r.dst)
		r.dst = appendDecoded(r.dst, name)
		name, r.dst = r.dst[at:], r.dst[:at]
	}
	below = n.below[string(name)]
	switch {
	case below == nil:
		return nil, r.keep
	case below.end:
		return nil, !r.keep
	}
	return below, false
}

// array reads an array from its bracket on; n filters each element.
func (r *run) array(i int, n *node, depth int) int {
	sep := i
	if i = r.space(i + 1); i < len(r.src) && r.src[i] == ']' {
		return i + 1
	}
	kept := false
	for {
		below := n
		drop := n != nil && r.keep && i < len(r.src) && !opens(r.src[i])
		if drop {
			below = nil
		}
		if i = r.item(i, sep, kept, drop, below, depth); i < 0 {
			return -1
		}
		kept = kept || !drop
		if i >= len(r.src) {
			return r.wrong(i, "it ends inside an array")
		}
		switch r.src[i] {
		case ']':
			return i + 1
		case ',':
			sep, i = i, r.space(i+1)
		default:
			return r.wrong(i, "a comma or a closing bracket should be here")
		}
	}
}

// item reads the value of a member or element and the space behind it. sep
// is where the comma or opening character before the item is; kept tells
// whether an item before it stays. A dropped item takes the comma before it
// along, or, where no item before it stays, the one behind it.
func (r *run) item(i, sep int, kept, drop bool, below *node, depth int) int {
	if drop {
		if kept {
			r.copyTo(sep)
		} else {
			r.copyTo(sep + 1)
		}
	}
	end := r.value(i, below, depth)
	if end < 0 {
		return -1
	}
	i = r.space(end)
	if drop {
		r.copied = end // the space before a closing character stays
		if i < len(r.src) && r.src[i] == ',' {
			r.copied = i
			if !kept {
				r.copied = i + 1
			}
		}
	}
	return i
}

func opens(c byte) bool { return c == '{' || c == '[' }
