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
}

var fieldCache sync.Map // reflect.Type -> []field

// fieldsOf lists the keys of a section in the order of the struct.
func fieldsOf(t reflect.Type) []field {
	if f, ok := fieldCache.Load(t); ok {
		return f.([]field)
	}
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
		list = append(list, f)
	}
	fieldCache.Store(t, list)
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
