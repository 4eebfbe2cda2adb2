package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// field is what the struct tags say about one key of a section. The decoder,
// the JSON Schema, the reference and the effective configuration all work
// from it.
type field struct {
	index    int
	typ      reflect.Type
	name     string
	doc      string
	preset   string // the default, as it would be written
	hasPre   bool
	enum     []string
	one      bool // a list may be written as its single element
	required bool
	file     string   // "read", "write" or "socket": a path, relative to the configuration's folder
	words    []string // of a path field: what is not a path
	min, max string   // bounds of a number, as they would be written
	item     *field   // of one: the field as it is for an element of the list
}

// section is what there is to know about a section's type.
type section struct {
	fields   []field // in the order of the struct
	names    []string
	source   int           // index of the field that keeps the section's place, or -1
	defaults reflect.Value // the section where nothing of it is written; its lists are shared
}

// fieldSet is a set of fields of a section, by their index.
type fieldSet uint64

var (
	sections   sync.Map // reflect.Type -> *section
	sourceType = reflect.TypeFor[Source]()
)

// fieldsOf lists the keys of a section in the order of the struct.
func fieldsOf(t reflect.Type) []field { return sectionOf(t).fields }

func sectionOf(t reflect.Type) *section {
	if s, ok := sections.Load(t); ok {
		return s.(*section)
	}
	s := &section{fields: readFields(t), source: -1, defaults: reflect.New(t).Elem()}
	if f, ok := t.FieldByName("Source"); ok && f.Type == sourceType {
		s.source = f.Index[0]
	}
	if len(s.fields) > 64 {
		panic(fmt.Sprintf("config: %s has more fields than a fieldSet takes", t))
	}
	for i := range s.fields {
		f := &s.fields[i]
		s.names = append(s.names, f.name)
		defaults(s.defaults.Field(f.index), f)
	}
	sections.Store(t, s)
	return s
}

func readFields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name := sf.Tag.Get("yaml")
		if name == "-" || !sf.IsExported() {
			continue
		}
		f := field{index: i, typ: sf.Type, name: name, doc: sf.Tag.Get("doc")}
		if f.name == "" || f.doc == "" {
			panic(fmt.Sprintf("config: %s.%s needs the tags yaml and doc", t, sf.Name))
		}
		f.preset, f.hasPre = sf.Tag.Lookup("default")
		f.enum = splitTag(sf.Tag.Get("enum"))
		f.one = sf.Tag.Get("one") == "true"
		f.required = sf.Tag.Get("required") == "true"
		f.file = sf.Tag.Get("file")
		f.words = splitTag(sf.Tag.Get("words"))
		f.min, f.max = sf.Tag.Get("min"), sf.Tag.Get("max")
		if f.one {
			element := f
			element.one = false
			f.item = &element
		}
		list = append(list, f)
	}
	return list
}

func splitTag(s string) []string {
	if s == "" {
		return nil
	}
	words := strings.Split(s, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

// isSection tells whether a type is a struct with keys of its own.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && valueTypes[t] == nil
}
