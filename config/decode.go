package config

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// decoder fills a Config from the file's nodes by the struct tags. It goes
// on after a fault, so that all are reported together.
type decoder struct {
	doc    *document
	errs   *Errors
	env    func(string) (string, bool)
	visits int
	// meaningless has the places of values with a fault inside, such as a
	// variable that is not set.
	meaningless []Position
}

// document is one configuration file once it was read.
type document struct {
	text    *text
	tree    atomic.Pointer[tree] // nil once it was let go
	files   []string
	written map[string]written // by path: what the file says where the value came from outside
}

// node gives a node of the file's tree, which is read again where it was let
// go.
func (d *document) node(id int32) *node {
	t := d.tree.Load()
	if t == nil {
		t = readTree(d.text, &Errors{}) // its faults were told
		d.tree.Store(t)
	}
	return t.at(id)
}

func (d *document) pos(n *node) Position {
	return Position{File: d.text.name, Line: int(n.line), Column: int(n.column)}
}

// written is a value as it stands in the file.
type written struct {
	text string
	file bool // {file: text}
}

func (d *document) addFile(name string) {
	for _, f := range d.files {
		if f == name {
			return
		}
	}
	d.files = append(d.files, name)
}

func (d *decoder) pos(n *node) Position { return d.doc.pos(n) }

// place says what is being decoded: the field, the name for messages and the
// path from the top.
type place struct {
	field *field
	label string
	path  string

	within bool // in a list or a mapping of the field
}

func (p place) item(i int) place {
	f := p.field
	if f.one {
		f = f.item
	}
	index := strconv.Itoa(i)
	return place{f, p.label + "[" + index + "]", p.path + "\x00" + index, true}
}

func (p place) entry(key string) place {
	return place{p.field, p.label + "." + key, p.path + "\x00" + key, true}
}

func (p place) key(f *field) place {
	return place{f, f.name, p.path + "\x00" + f.name, false}
}

// value decodes one node. It tells whether the value was good.
func (d *decoder) value(n *node, v reflect.Value, p place) bool {
	d.visits++
	if d.visits > maxNodes {
		if d.visits == maxNodes+1 {
			d.errs.Addf(d.pos(n), "the file has more than %d values once its aliases are resolved; write it with fewer", maxNodes)
		}
		return false
	}
	t := v.Type()
	if isSection(t) {
		// Also where it is no mapping: faults found later need a place.
		d.source(n, v)
	}
	if n.faulty {
		return false
	}
	if n.kind == scalarNode && n.tag == tagNull {
		d.errs.Addf(d.pos(n), "%s has no value; it should be %s, or be left out", p.label, expected(t, p.field))
		return false
	}
	vt := valueTypes[t]
	switch {
	case vt != nil && vt.node != nil && n.kind != scalarNode && fileReference(n) == nil:
		return vt.node(d, n, v, p)
	case vt != nil:
		return d.scalar(n, v, p, vt)
	}
	switch t.Kind() {
	case reflect.Pointer:
		e := reflect.New(t.Elem())
		good := d.value(n, e.Elem(), p)
		v.Set(e)
		return good
	case reflect.Struct:
		if n.kind != mappingNode {
			d.wrongType(n, t, p)
			return false
		}
		d.section(n, v, p)
		return true
	case reflect.Slice:
		return d.list(n, v, p)
	case reflect.Map:
		if n.kind != mappingNode {
			d.wrongType(n, t, p)
			return false
		}
		m := reflect.MakeMapWithSize(t, len(n.keys))
		for i, k := range n.keys {
			e := reflect.New(t.Elem()).Elem()
			d.value(n.values[i], e, p.entry(k.value))
			m.SetMapIndex(reflect.ValueOf(k.value), e)
		}
		v.Set(m)
		return true
	}
	panic(fmt.Sprintf("config: no way to decode %s", t))
}

func (d *decoder) list(n *node, v reflect.Value, p place) bool {
	items := n.values
	if n.kind != sequenceNode {
		if !p.field.one {
			d.wrongType(n, v.Type(), p)
			return false
		}
		if vt := valueTypes[v.Type().Elem()]; vt != nil && vt.node == nil && n.kind == mappingNode && fileReference(n) == nil {
			d.wrongType(n, v.Type(), p)
			return false
		}
		items = []*node{n}
	}
	list := reflect.MakeSlice(v.Type(), 0, len(items))
	good := true
	for i, item := range items {
		at := p.item(i)
		if n.kind != sequenceNode {
			at.label = p.label
		}
		e := reflect.New(v.Type().Elem()).Elem()
		good = d.value(item, e, at) && good
		// What is wrong keeps its place: positions go by index.
		list = reflect.Append(list, e)
	}
	v.Set(list)
	return good
}

// scalar decodes a value that is written as one scalar, or taken from a
// file.
func (d *decoder) scalar(n *node, v reflect.Value, p place, vt *valueType) bool {
	var s *scalar
	var ok bool
	if path := fileReference(n); path != nil {
		s, ok = d.fromFile(path)
		d.doc.written[p.path] = written{path.value, true}
	} else if n.kind != scalarNode {
		d.wrongType(n, v.Type(), p)
		return false
	} else if s, ok = d.expand(n); s.outside() {
		d.doc.written[p.path] = written{n.value, false}
	}
	if !ok {
		d.meaningless = append(d.meaningless, d.pos(n))
		return false
	}
	if s.text == "" && v.Type() != templateType {
		return d.empty(n, s, v, p)
	}
	if vt.hidden {
		if s.text == mask {
			d.masked(n, s, p)
		}
		d.errs.hide(s.text, mask)
	}
	if !vt.fits(s) {
		d.errs.Addf(d.pos(n), "%s is %s; it should be %s", p.label, describe(s, vt), vt.fix(s))
		return false
	}
	if p.field.file != "" {
		d.path(s, n, p)
	}
	if problem := vt.parse(s, v); problem != "" {
		d.errs.Addf(d.pos(n), "%s is %s; %s", p.label, describe(s, vt), problem)
		return false
	}
	return d.word(n, s, v, p) && d.bounds(n, s, v, p)
}

var templateType = reflect.TypeFor[Template]()

// empty decides about a value without text. One that a reference left empty
// is as good as absent, so that an optional setting can be left to the
// environment; in a list or a mapping there is nothing it could mean.
func (d *decoder) empty(n *node, s *scalar, v reflect.Value, p place) bool {
	if s.outside() && !p.field.required && !p.within {
		defaults(v, p.field)
		return true
	}
	what := "empty"
	if s.outside() {
		what = "empty, which is " + s.show()
	}
	d.errs.Addf(d.pos(n), "%s is %s; it should be %s", p.label, what, expected(v.Type(), p.field))
	return false
}

// bounds checks a number, a size or a duration against its tags.
func (d *decoder) bounds(n *node, s *scalar, v reflect.Value, p place) bool {
	for _, b := range []struct {
		text, what string
		sign       int
	}{{p.field.min, "at least", -1}, {p.field.max, "at most", 1}} {
		if b.text == "" {
			continue
		}
		limit := reflect.New(v.Type()).Elem()
		preset(limit, b.text)
		if compare(v, limit) == b.sign {
			d.errs.Addf(d.pos(n), "%s is %s; it should be %s %s", p.label, s.show(), b.what, b.text)
			return false
		}
	}
	return true
}

func compare(a, b reflect.Value) int {
	if a.CanFloat() {
		return cmp.Compare(a.Float(), b.Float())
	}
	return cmp.Compare(a.Int(), b.Int())
}

// masked replaces the mask of a printed configuration by a secret that nobody
// knows: the printed one must parse, and must not let anybody in.
func (d *decoder) masked(n *node, s *scalar, p place) {
	d.errs.Warnf(d.pos(n), "%s is the mask of a printed configuration; with it no credential is ever right: write the secret, as ${NAME} or {file: path}", p.label)
	s.text = rand.Text() + rand.Text()
}

// show describes the text of a string field for a message.
func (d *decoder) show(text string, n *node) string {
	if n != nil && (n.kind == mappingNode || strings.Contains(n.value, "${")) {
		return "what its reference gives"
	}
	return quote(text)
}

// describe shows a value for a message.
func describe(s *scalar, vt *valueType) string {
	if vt.hidden && !s.outside() {
		return "a value that is not shown"
	}
	return s.show()
}

// word checks that a field with an enum has one of its words.
func (d *decoder) word(n *node, s *scalar, v reflect.Value, p place) bool {
	if len(p.field.enum) == 0 || v.Kind() != reflect.String {
		return true
	}
	for _, w := range p.field.enum {
		if v.String() == w {
			return true
		}
	}
	hint := ""
	if !s.outside() {
		hint = didYouMean(s.text, p.field.enum)
	}
	d.errs.Addf(d.pos(n), "%s is %s; it should be one of %s%s", p.label, s.show(), strings.Join(p.field.enum, ", "), hint)
	return false
}

// path makes the path in a scalar relative to the configuration's folder.
func (d *decoder) path(s *scalar, n *node, p place) {
	text, prefix := s.text, ""
	switch p.field.file {
	case "socket":
		if !strings.HasPrefix(text, "unix:") {
			return
		}
		prefix, text = "unix:", strings.TrimPrefix(text, "unix:")
	case "read":
		if strings.Contains(text, "-----BEGIN") {
			return
		}
	}
	for _, w := range p.field.words {
		if text == w {
			return
		}
	}
	if text == "" {
		return
	}
	resolved := d.resolve(text)
	if p.field.file == "read" {
		d.doc.addFile(resolved)
	}
	if resolved != text {
		if n.kind == scalarNode {
			d.doc.written[p.path] = written{n.value, false}
		}
		s.text = prefix + resolved
	}
}

// section decodes a mapping into a struct.
func (d *decoder) section(n *node, v reflect.Value, p place) {
	s := sectionOf(v.Type())
	fields := s.fields
	v.Set(s.defaults)
	d.source(n, v)
	var seen fieldSet
	for i, k := range n.keys {
		at := slices.Index(s.names, k.value)
		if at < 0 {
			d.errs.Addf(d.pos(k), "%s is not known here%s; the keys are %s", quote(k.value), didYouMean(k.value, s.names), strings.Join(s.names, ", "))
			continue
		}
		seen |= 1 << at
		f := &fields[at]
		value := v.Field(f.index)
		value.SetZero()
		good := d.value(n.values[i], value, p.key(f))
		if !good && valueTypes[f.typ] != nil {
			// So that nothing else is found wrong because of it.
			value.SetZero()
			defaults(value, f)
		}
		if good && f.required && (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0 {
			d.errs.Addf(d.pos(n.values[i]), "%s is empty; it should have at least one element: %s", f.name, f.doc)
		}
	}
	for i := range fields {
		if f := &fields[i]; f.required && seen&(1<<i) == 0 {
			d.errs.Addf(d.pos(n), "%s is missing; it should be %s: %s", f.name, expected(f.typ, f), f.doc)
		}
	}
}

// source keeps the place of a section that asks for it.
func (d *decoder) source(n *node, v reflect.Value) {
	if i := sectionOf(v.Type()).source; i >= 0 {
		*v.Field(i).Addr().Interface().(*Source) = Source{doc: d.doc, id: n.id}
	}
}

// defaults gives an absent value what its tags say, those of a section below
// included.
func defaults(v reflect.Value, f *field) {
	switch {
	case isSection(v.Type()):
		v.Set(sectionOf(v.Type()).defaults)
	case !f.hasPre:
	case v.Kind() == reflect.Slice:
		for _, s := range splitTag(f.preset) {
			e := reflect.New(v.Type().Elem()).Elem()
			preset(e, s)
			v.Set(reflect.Append(v, e))
		}
	default:
		preset(v, f.preset)
	}
}

// preset parses a default; a default that does not parse is a fault of the
// program.
func preset(v reflect.Value, s string) {
	if problem := valueTypes[v.Type()].parse(&scalar{text: s}, v); problem != "" {
		panic("config: the default " + s + " does not parse: " + problem)
	}
}

func (d *decoder) wrongType(n *node, t reflect.Type, p place) {
	what := n.kind.String()
	if n.kind == scalarNode {
		what = "a single value"
	}
	d.errs.Addf(d.pos(n), "%s is %s; it should be %s", p.label, what, expected(t, p.field))
}

// expected says what a value of a type looks like.
func expected(t reflect.Type, f *field) string {
	if vt := valueTypes[t]; vt != nil {
		if len(f.enum) > 0 {
			return "one of " + strings.Join(f.enum, ", ")
		}
		return vt.looks
	}
	switch t.Kind() {
	case reflect.Pointer:
		return expected(t.Elem(), f)
	case reflect.Slice:
		if f.one {
			return expected(t.Elem(), f) + ", or a list of such"
		}
		return "a list"
	case reflect.Map:
		return "a mapping from names to values"
	}
	return "a mapping with keys such as " + keysOf(t)
}

// keysOf names the first keys of a section.
func keysOf(t reflect.Type) string {
	var names []string
	for _, f := range fieldsOf(t) {
		if len(names) < 3 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}
