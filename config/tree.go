package config

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// kind is what a node is.
type kind uint8

const (
	scalarNode kind = iota
	mappingNode
	sequenceNode
)

func (k kind) String() string {
	return [...]string{"a single value", "a mapping", "a list"}[k]
}

// The tags that YAML's core types resolve to.
const (
	tagString = "!!str"
	tagInt    = "!!int"
	tagFloat  = "!!float"
	tagBool   = "!!bool"
	tagNull   = "!!null"
	tagTime   = "!!timestamp"
	tagMerge  = "!!merge"
)

// node is one value of the file. Aliases are resolved (a node may have
// several parents), merge keys are merged, and no key stands twice.
type node struct {
	value string // of a scalar, before substitution
	tag   string

	keys   []*node
	values []*node // of a mapping, beside keys; of a sequence

	line, column int32
	id           int32 // its place in the tree
	style        yaml.Style
	kind         kind
	faulty       bool // its fault was reported
}

// tree is what was read of one file. The same text always gives the same
// tree, each node with the same id.
type tree struct {
	root  *node
	nodes [][]node // by id, treeChunk in each
	count int32
}

const treeChunk = 256

// add makes a node.
func (t *tree) add() *node {
	if t.count%treeChunk == 0 {
		t.nodes = append(t.nodes, make([]node, treeChunk))
	}
	n := t.at(t.count)
	n.id = t.count
	t.count++
	return n
}

func (t *tree) at(id int32) *node { return &t.nodes[id/treeChunk][id%treeChunk] }

// quoted tells whether the scalar is written in quotes or as a block, so
// that it is text whatever it looks like.
func (n *node) quoted() bool {
	return n.style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// get gives the value of a key, or nil.
func (n *node) get(key string) *node {
	if n.kind == mappingNode {
		for i, k := range n.keys {
			if k.value == key {
				return n.values[i]
			}
		}
	}
	return nil
}

// step gives the value under a key (string) or index (int), or nil. A list
// that is written as its single element has it at index 0.
func (n *node) step(step any) *node {
	switch step := step.(type) {
	case string:
		if n != nil {
			return n.get(step)
		}
	case int:
		switch {
		case n == nil:
		case n.kind != sequenceNode && step == 0:
			return n
		case n.kind == sequenceNode && step >= 0 && step < len(n.values):
			return n.values[step]
		}
	}
	return nil
}

// maxNodes bounds the work on one file: what aliases and merge keys unfold
// to is counted too.
const maxNodes = 200_000

// maxFileBytes bounds the configuration and each file it takes text from.
const maxFileBytes = 4 << 20

// reader turns YAML into nodes.
type reader struct {
	text  *text
	errs  *Errors
	tree  *tree
	known map[*yaml.Node]*node // by what has an anchor; nil while it is being built
	nodes int
	full  bool
}

// readTree parses YAML. It returns nil where there is no mapping.
func readTree(t *text, errs *Errors) *tree {
	at := func(line, column int) Position { return Position{File: t.name, Line: line, Column: column} }
	if len(t.data) > maxFileBytes {
		errs.Addf(at(1, 1), "the file has %d bytes; at most %d are read", len(t.data), maxFileBytes)
		return nil
	}
	if !utf8.ValidString(t.data) {
		bad := 0
		for bad < len(t.data) {
			r, n := utf8.DecodeRuneInString(t.data[bad:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			bad += n
		}
		errs.Addf(t.position(bad), "the file is not UTF-8 text here; save it as UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(t.data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		errs.Addf(at(1, 1), "the file is empty; it should at least have upstreams and routes")
		return nil
	case err != nil:
		syntaxError(t, err, errs)
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == tagNull {
		errs.Addf(at(1, 1), "the file is empty; it should at least have upstreams and routes")
		return nil
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		errs.Addf(at(max(second.Line, 1), max(second.Column, 1)), "a second document begins here; a configuration is one document: remove the --- line, or what follows it")
	case !errors.Is(err, io.EOF):
		syntaxError(t, err, errs)
	}
	r := &reader{text: t, errs: errs, tree: &tree{}, known: make(map[*yaml.Node]*node)}
	n := r.node(root)
	if n.kind != mappingNode {
		errs.Addf(at(int(n.line), int(n.column)), "the file is %s; it should be a mapping with keys such as server, upstreams and routes", n.kind)
		return nil
	}
	r.tree.root = n
	return r.tree
}

func (r *reader) pos(y *yaml.Node) Position {
	return Position{File: r.text.name, Line: y.Line, Column: y.Column}
}

// count tells whether there is room for n more nodes.
func (r *reader) count(y *yaml.Node, n int) bool {
	r.nodes += n
	if r.nodes > maxNodes && !r.full {
		r.full = true
		r.errs.Addf(r.pos(y), "the file has more than %d values once its aliases and merge keys are resolved; write it with fewer", maxNodes)
	}
	return !r.full
}

func (r *reader) node(y *yaml.Node) *node {
	if y.Kind == yaml.AliasNode {
		target, seen := r.known[y.Alias]
		if seen && target == nil {
			r.errs.Addf(r.pos(y), "*%s stands inside what &%s names; a value cannot contain itself", y.Value, y.Value)
			n := r.make(y)
			n.faulty = true
			return n
		}
		if seen {
			return target
		}
		return r.node(y.Alias)
	}
	if y.Anchor != "" {
		r.known[y] = nil
	}
	n := r.make(y)
	n.tag, n.style, n.value = y.ShortTag(), y.Style, y.Value
	if !r.count(y, 1) {
		n.faulty = true
	} else {
		switch y.Kind {
		case yaml.MappingNode:
			n.kind = mappingNode
			r.mapping(n, y)
		case yaml.SequenceNode:
			n.kind = sequenceNode
			n.values = make([]*node, 0, len(y.Content))
			for _, c := range y.Content {
				n.values = append(n.values, r.node(c))
			}
		}
		r.checkTag(n, y)
	}
	if y.Anchor != "" {
		r.known[y] = n
	}
	return n
}

// make makes a node that stands where y does.
func (r *reader) make(y *yaml.Node) *node {
	n := r.tree.add()
	n.line, n.column = int32(y.Line), int32(y.Column) // the file's size is bounded
	return n
}

func (r *reader) checkTag(n *node, y *yaml.Node) {
	if y.Style&yaml.TaggedStyle == 0 {
		return
	}
	good := false
	switch n.tag {
	case tagString, tagInt, tagFloat, tagBool, tagNull, tagTime:
		good = n.kind == scalarNode
	case "!!map":
		good = n.kind == mappingNode
	case "!!seq":
		good = n.kind == sequenceNode
	}
	if !good {
		n.faulty = true
		r.errs.Addf(r.pos(y), "the tag %s is not used here; leave it out, or put text that begins with ! in quotes", quote(y.Tag))
	}
}

func (r *reader) mapping(n *node, y *yaml.Node) {
	var first map[string]*node // by key; nil where there are few
	if many := len(y.Content) > 2*fewKeys; many {
		first = make(map[string]*node, len(y.Content)/2)
	}
	n.keys, n.values = make([]*node, 0, len(y.Content)/2), make([]*node, 0, len(y.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == tagMerge {
			merges = append(merges, v)
			continue
		}
		key, value := r.node(k), r.node(v)
		if key.faulty {
			continue
		}
		if key.kind != scalarNode || key.tag == tagNull {
			r.errs.Addf(r.pos(k), "a key is %s; it should be a word", describeKey(key))
			continue
		}
		if before := n.key(key.value, first); before != nil {
			r.errs.Addf(r.pos(k), "%s stands twice in this mapping, first in line %d; remove one of them", quote(key.value), before.line)
			continue
		}
		if first != nil {
			first[key.value] = key
		}
		n.keys, n.values = append(n.keys, key), append(n.values, value)
	}
	for _, m := range merges {
		r.merge(n, m)
	}
}

// fewKeys is how many keys a mapping may have that are looked through one by
// one.
const fewKeys = 16

// key gives the key of a mapping with that text, or nil; first has all of
// them, where it is not nil.
func (n *node) key(text string, first map[string]*node) *node {
	if first != nil {
		return first[text]
	}
	for _, k := range n.keys {
		if k.value == text {
			return k
		}
	}
	return nil
}

func describeKey(n *node) string {
	if n.tag == tagNull {
		return "empty"
	}
	return n.kind.String()
}

// merge adds the entries of a << key that are not there yet: the mapping's
// own keys win, then those of earlier sources.
func (r *reader) merge(n *node, y *yaml.Node) {
	from := r.node(y)
	have := make(map[string]bool, len(n.keys))
	for _, k := range n.keys {
		have[k.value] = true
	}
	sources := []*node{from}
	if from.kind == sequenceNode {
		sources = from.values
	}
	for _, s := range sources {
		if s.faulty {
			continue
		}
		if s.kind != mappingNode {
			r.errs.Addf(r.pos(y), "<< has %s; it should have a mapping such as *name, or a list of them", s.kind)
			return
		}
		if !r.count(y, len(s.keys)) {
			return
		}
		for i, k := range s.keys {
			if !have[k.value] {
				have[k.value] = true
				n.keys, n.values = append(n.keys, k), append(n.values, s.values[i])
			}
		}
	}
}

// syntaxHints say what is likely to be wrong where the YAML parser complains in
// its own words.
var syntaxHints = []struct{ of, hint string }{
	{"expected whitespace or line break", "put text that begins with ! in quotes"},
	{"mapping values are not allowed", "check the indentation, or put a value with \": \" in quotes"},
	{"did not find expected ',' or", "inside { } and [ ], put text that has one of { } [ ] , ? in quotes, such as path: \"/users/{id}\", and close what is open"},
	{"did not find expected '-' indicator", "check the indentation: the line should begin where those beside it do"},
	{"did not find expected key", "check the indentation: the line should begin where those beside it do"},
	{"could not find expected ':'", "check the indentation, and that each key has a colon and a space after it"},
	{"expected alphabetic or numeric character", "put text that begins with * or & in quotes"},
	{"unknown anchor", "put text that begins with * in quotes"},
	{"unexpected end of stream", "a quote is not closed"},
	{"cannot start any token", "put text that begins with @, % or ` in quotes"},
	{"did not find expected node content", "check the brackets"},
}

// syntaxError reports what the YAML parser refused. The parser often names
// the line where the construct began; the first line without which it would
// not complain is where the fault is.
func syntaxError(t *text, err error, errs *Errors) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	low, high := 1, len(t.starts)
	for low < high {
		middle := (low + high) / 2
		if parseError(t.data[:t.starts[middle]]) == err.Error() {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if strings.HasPrefix(message, "line ") {
		if _, rest, ok := strings.Cut(message, ": "); ok {
			message = rest
		}
	}
	line := t.line(low - 1)
	column := len(line) - len(strings.TrimLeft(line, " \t")) + 1
	hint := ""
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		hint = "; indent with spaces, not tabs"
	case strings.Contains(line, "${"):
		hint = "; inside { } and [ ], write ${NAME} in quotes"
	default:
		for _, h := range syntaxHints {
			if strings.Contains(message, h.of) {
				hint = "; " + h.hint
				break
			}
		}
	}
	errs.Addf(Position{File: t.name, Line: low, Column: column}, "the file is not YAML: %s%s", message, hint)
}

// parseError gives the parser's complaint about some YAML, or "".
func parseError(data string) string {
	dec := yaml.NewDecoder(bytes.NewReader([]byte(data)))
	for {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			return ""
		} else if err != nil {
			return err.Error()
		}
	}
}
