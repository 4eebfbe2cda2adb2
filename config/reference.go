package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Reference gives the reference of all keys as Markdown tables, made from
// the struct tags.
func Reference() []byte {
	var out strings.Builder
	writeSection(&out, reflect.TypeFor[Config](), "")
	return []byte(out.String())
}

// writeSection writes the table of one section, then those below it.
func writeSection(out *strings.Builder, t reflect.Type, path string) {
	heading := path
	if path == "" {
		heading = "Top level"
	} else {
		heading = "`" + heading + "`"
	}
	fmt.Fprintf(out, "### %s\n\n| key | value | default | |\n|---|---|---|---|\n", heading)
	fields := fieldsOf(t)
	for _, f := range fields {
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", f.name, cell(valueWords(f.typ, &f)), cell(defaultWords(&f)), cell(f.doc))
	}
	out.WriteByte('\n')
	for _, f := range fields {
		below, at := f.typ, f.name
		if path != "" {
			at = path + "." + f.name
		}
		for !isSection(below) && valueTypes[below] == nil {
			switch below.Kind() {
			case reflect.Slice:
				at += "[]"
			case reflect.Map:
				at += ".NAME"
			}
			below = below.Elem()
		}
		if isSection(below) {
			writeSection(out, below, at)
		}
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// valueWords says what a key's value is.
func valueWords(t reflect.Type, f *field) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration" + boundWords(f)
	case reflect.TypeFor[Size]():
		return "size" + boundWords(f)
	case reflect.TypeFor[Rate]():
		return "rate"
	case reflect.TypeFor[Secret]():
		return "secret"
	case reflect.TypeFor[Expr]():
		return "CEL"
	case reflect.TypeFor[Template]():
		return "template"
	case reflect.TypeFor[Scope]():
		return "scope"
	case reflect.TypeFor[TTL]():
		return "duration, `origin`"
	}
	if vt := valueTypes[t]; vt != nil {
		if f.enum != nil {
			return "`" + strings.Join(f.enum, "`, `") + "`"
		}
		switch t.Kind() {
		case reflect.String:
			return "text"
		case reflect.Bool:
			return "true, false"
		case reflect.Struct:
			return "address range"
		}
		return "number" + boundWords(f)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return valueWords(t.Elem(), f)
	case reflect.Slice:
		if f.one {
			return "one or a list of: " + valueWords(t.Elem(), f)
		}
		return "list of: " + valueWords(t.Elem(), f)
	case reflect.Map:
		return "name: " + valueWords(t.Elem(), f)
	}
	return "section"
}

func boundWords(f *field) string {
	switch {
	case f.min != "" && f.max != "":
		return ", " + f.min + " to " + f.max
	case f.min != "":
		return ", at least " + f.min
	case f.max != "":
		return ", at most " + f.max
	}
	return ""
}

func defaultWords(f *field) string {
	switch {
	case f.required:
		return "required"
	case f.hasPre:
		return "`" + f.preset + "`"
	}
	return ""
}
