package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Schema gives the JSON Schema (draft 2020-12) of the configuration, made
// from the struct tags.
func Schema() []byte {
	s := schema{defs: make(map[string]any)}
	s.defs["file"] = object{
		{"type", "object"},
		{"description", "The text of a file, without its last line break; relative to the configuration's folder."},
		{"properties", object{{"file", object{{"type", "string"}, {"minLength", 1}}}}},
		{"required", []string{"file"}},
		{"additionalProperties", false},
	}
	top := s.section(reflect.TypeFor[Config]())
	defs := make(object, 0, len(s.defs))
	for _, name := range slices.Sorted(maps.Keys(s.defs)) {
		defs = append(defs, member{name, s.defs[name]})
	}
	all := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "hopgate configuration"},
		{"description", "Every text may have ${NAME} or ${NAME:-default}, taken from the environment; {file: path} stands for the text of a file."},
	}
	all = append(append(all, top...), member{"$defs", defs})
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(all); err != nil {
		panic("config: the schema cannot be written: " + err.Error())
	}
	return out.Bytes()
}

// object is a JSON object whose members keep their order, which is that of
// the struct's fields.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := enc.Encode(m.name); err != nil {
			return nil, err
		}
		out.WriteByte(':')
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

type schema struct{ defs map[string]any }

// section gives the members of a section's schema.
func (s schema) section(t reflect.Type) object {
	var properties object
	var required []string
	for _, f := range fieldsOf(t) {
		o := object{{"description", f.doc}}
		if d := schemaDefault(&f); d != nil {
			o = append(o, member{"default", d})
		}
		properties = append(properties, member{f.name, append(o, s.value(f.typ, &f)...)})
		if f.required {
			required = append(required, f.name)
		}
	}
	o := object{{"type", "object"}, {"properties", properties}}
	if required != nil {
		o = append(o, member{"required", required})
	}
	return append(o, member{"additionalProperties", false})
}

// value gives the members of the schema of one value.
func (s schema) value(t reflect.Type, f *field) object {
	if vt := valueTypes[t]; vt != nil {
		return s.scalar(vt, f)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.value(t.Elem(), f)
	case reflect.Slice:
		item := s.value(t.Elem(), f)
		list := object{{"type", "array"}, {"items", item}}
		if f.required {
			list = append(list, member{"minItems", 1})
		}
		if f.one {
			return object{{"anyOf", []any{item, list}}}
		}
		return list
	case reflect.Map:
		o := object{{"type", "object"}, {"additionalProperties", s.value(t.Elem(), f)}}
		if f.required {
			o = append(o, member{"minProperties", 1})
		}
		return o
	}
	if name := strings.ToLower(t.Name()); s.defs[name] == nil {
		s.defs[name] = true // while it is being made
		s.defs[name] = s.section(t)
	}
	return object{{"$ref", "#/$defs/" + strings.ToLower(t.Name())}}
}

// scalar admits, beside the value itself, a reference in its place.
func (s schema) scalar(vt *valueType, f *field) object {
	own := maps.Clone(vt.schema)
	if f.enum != nil {
		own = map[string]any{"enum": f.enum}
	}
	bound := func(key, text string) {
		n, err := strconv.ParseFloat(text, 64)
		if _, numeric := own["minimum"]; numeric && own["type"] != nil && err == nil {
			own[key] = n
		}
	}
	bound("minimum", f.min)
	bound("maximum", f.max)
	if own["type"] == "string" && own["pattern"] == nil {
		own["minLength"] = 1
	}
	choices := []any{own}
	if kind := own["type"]; kind == nil && own["enum"] != nil || kind == "boolean" || kind == "integer" || kind == "number" {
		choices = append(choices, object{{"type", "string"}, {"pattern", referencePattern}})
	}
	if several, ok := own["anyOf"].([]any); ok {
		choices = several
	}
	return object{{"anyOf", append(slices.Clone(choices), object{{"$ref", "#/$defs/file"}})}}
}

// schemaDefault gives a default as JSON, nil where there is none.
func schemaDefault(f *field) any {
	if !f.hasPre {
		return nil
	}
	t := f.typ
	if t.Kind() == reflect.Slice {
		return splitTag(f.preset)
	}
	if k := t.Kind(); (k == reflect.Bool || k == reflect.Int || k == reflect.Float64) && valueTypes[t].plain {
		return json.RawMessage(f.preset)
	}
	return f.preset
}
