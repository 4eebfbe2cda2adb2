package policytest

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"hopgate/config"
)

// value is a piece of the file that is taken as it is: JSON written in YAML.
// Its data is made of map[string]any, []any, string, bool, int64, float64
// and nil.
type value struct {
	data any
	pos  config.Position
}

// text is a scalar with its place.
type text struct {
	string
	pos config.Position
}

// words is a list of strings that may be written as its only element.
type words []string

// decoder fills structs from YAML nodes strictly: unknown keys, duplicates
// and values of another type are faults with their place. The field tag yaml
// names the key.
type decoder struct {
	file  string
	errs  *config.Errors
	left  int // values that may still be taken as they are
	depth int // of the value that is being taken
}

// Aliases can multiply values, and make one contain itself.
const (
	maxNodes = 100_000
	maxDepth = 200
)

func (d *decoder) pos(n *yaml.Node) config.Position {
	return config.Position{File: d.file, Line: n.Line, Column: n.Column}
}

func (d *decoder) fault(n *yaml.Node, format string, args ...any) {
	d.errs.Addf(d.pos(n), format, args...)
}

var (
	valueType = reflect.TypeFor[value]()
	textType  = reflect.TypeFor[text]()
	wordsType = reflect.TypeFor[words]()
	timeType  = reflect.TypeFor[time.Time]()
	addrType  = reflect.TypeFor[netip.Addr]()
	posType   = reflect.TypeFor[config.Position]()
)

// decode fills v, which what names in faults.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch v.Type() {
	case valueType:
		v.Set(reflect.ValueOf(value{d.plain(n), d.pos(n)}))
		return
	case textType:
		if s, ok := d.scalar(n, what); ok {
			v.Set(reflect.ValueOf(text{s, d.pos(n)}))
		}
		return
	case wordsType:
		d.words(n, v, what)
		return
	case timeType:
		d.time(n, v, what)
		return
	case addrType:
		d.addr(n, v, what)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), what)
	case reflect.String:
		if s, ok := d.scalar(n, what); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		if b, err := strconv.ParseBool(n.Value); err != nil || n.Tag != "!!bool" {
			d.fault(n, "%s is %s; it should be true or false", what, found(n))
		} else {
			v.SetBool(b)
		}
	case reflect.Int:
		if i, err := strconv.Atoi(n.Value); err != nil || n.Tag != "!!int" {
			d.fault(n, "%s is %s; it should be a whole number", what, found(n))
		} else {
			v.SetInt(int64(i))
		}
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fault(n, "%s is %s; it should be a list", what, found(n))
			return
		}
		for i, item := range n.Content {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			d.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", what, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(n, what, func(key, item *yaml.Node) {
			x := reflect.New(v.Type().Elem()).Elem()
			d.decode(item, x, what+"."+key.Value)
			v.SetMapIndex(reflect.ValueOf(key.Value), x)
		})
	case reflect.Struct:
		d.structure(n, v, what)
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, what string) {
	fields := map[string]reflect.Value{}
	d.fields(v, n, fields)
	d.mapping(n, what, func(key, item *yaml.Node) {
		f, ok := fields[key.Value]
		if !ok {
			names := make([]string, 0, len(fields))
			for name := range fields {
				names = append(names, name)
			}
			d.fault(key, "unknown key %s%s", key.Value, oneOf(key.Value, names))
			return
		}
		d.decode(item, f, key.Value)
	})
}

// fields collects the fields of v by key, those of embedded structs too, and
// notes where v stands in its field pos.
func (d *decoder) fields(v reflect.Value, n *yaml.Node, into map[string]reflect.Value) {
	for i := range v.NumField() {
		t := v.Type().Field(i)
		switch {
		case t.Type == posType:
			v.Field(i).Set(reflect.ValueOf(d.pos(n)))
		case t.Anonymous:
			d.fields(v.Field(i), n, into)
		case t.Tag != "":
			into[t.Tag.Get("yaml")] = v.Field(i)
		}
	}
}

// mapping calls each for every key of a mapping.
func (d *decoder) mapping(n *yaml.Node, what string, each func(key, item *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, "%s is %s; it should be a mapping", what, found(n))
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch before := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			d.fault(key, "a key of %s is %s; it should be a name", what, found(key))
			continue
		case before != nil:
			d.fault(key, "key %s stands here a second time, after line %d; a key can be given once", key.Value, before.Line)
			continue
		}
		seen[key.Value] = key
		each(key, n.Content[i+1])
	}
}

func (d *decoder) scalar(n *yaml.Node, what string) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fault(n, "%s is %s; it should be a text", what, found(n))
		return "", false
	}
	return n.Value, true
}

func (d *decoder) words(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind == yaml.ScalarNode {
		if s, ok := d.scalar(n, what); ok {
			v.Set(reflect.ValueOf(words{s}))
		}
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fault(n, "%s is %s; it should be a text, or a list of texts", what, found(n))
		return
	}
	list := words{}
	for i, item := range n.Content {
		if s, ok := d.scalar(item, fmt.Sprintf("%s[%d]", what, i)); ok {
			list = append(list, s)
		}
	}
	v.Set(reflect.ValueOf(list))
}

func (d *decoder) time(n *yaml.Node, v reflect.Value, what string) {
	t, err := time.Parse(time.RFC3339, n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		d.fault(n, "%s is %s; it should be a time such as 2026-01-31T12:00:00Z", what, found(n))
		return
	}
	v.Set(reflect.ValueOf(t))
}

func (d *decoder) addr(n *yaml.Node, v reflect.Value, what string) {
	a, err := netip.ParseAddr(n.Value)
	if err != nil {
		d.fault(n, "%s is %s; it should be an IP address such as 192.0.2.1", what, found(n))
		return
	}
	v.Set(reflect.ValueOf(a))
}

// plain gives the data of a node as JSON has it. Times are texts, as JSON
// has none.
func (d *decoder) plain(n *yaml.Node) any {
	if d.left--; d.left < 0 {
		if d.left == -1 {
			d.fault(n, "the file's aliases multiply to more than %d values", maxNodes)
		}
		return nil
	}
	if d.depth == maxDepth {
		d.fault(n, "values are nested more than %d deep, or contain themselves by an alias", maxDepth)
		d.left = -1 // nothing more is taken, and no more said
		return nil
	}
	d.depth++
	defer func() { d.depth-- }()
	switch n.Kind {
	case yaml.AliasNode:
		return d.plain(n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		d.mapping(n, "this mapping", func(key, item *yaml.Node) { m[key.Value] = d.plain(item) })
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			list = append(list, d.plain(item))
		}
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			return i
		}
		d.fault(n, "%s is not a number as JSON has it; write it in decimal digits, at most 64 bits, or in quotes as a text", n.Value)
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && f-f == 0 {
			return f
		}
		d.fault(n, "%s is not a number as JSON has it; write it in quotes as a text", n.Value)
	}
	return n.Value
}

// found says what a node is, for people.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.Tag == "!!null" {
		return "empty"
	}
	return strconv.Quote(n.Value)
}

// oneOf says which of names was surely meant by got, or lists them.
func oneOf(got string, names []string) string {
	sort.Strings(names)
	best, least := "", len(got)/2+1
	for _, n := range names {
		if x := distance(strings.ToLower(got), n); x < least {
			best, least = n, x
		}
	}
	if best != "" {
		return "; did you mean " + best + "?"
	}
	if len(names) == 0 {
		return "; there is none"
	}
	return "; what can stand here: " + strings.Join(names, ", ")
}

// distance is the number of characters to insert, drop, change or swap to
// make b of a (optimal string alignment).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// parse reads one YAML document into nodes.
func (d *decoder) parse(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	at := config.Position{File: d.file, Line: 1, Column: 1}
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			d.errs.Addf(at, "the file is empty; it should have a list of cases")
			return nil
		}
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if _, scanErr := fmt.Sscanf(text, "line %d: ", &at.Line); scanErr == nil {
			_, text, _ = strings.Cut(text, ": ")
		}
		d.errs.Addf(at, "this is not YAML: %s", text)
		return nil
	}
	if second := new(yaml.Node); dec.Decode(second) == nil {
		d.fault(second, "a second YAML document starts here; a test file has one")
	}
	return doc.Content[0]
}
