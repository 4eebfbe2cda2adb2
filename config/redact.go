package config

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Files lists every file that shapes the configuration: itself, those of
// {file: path}, certificates, keys, key sets. A change of one of them can
// change what hopgate does.
func (c *Config) Files() []string {
	if c.Source.doc == nil {
		return nil
	}
	return slices.Clone(c.Source.doc.files)
}

// Redacted gives the effective configuration as YAML, defaults filled in.
// Secrets are masked, and what came from the environment or a file stands as
// the reference that it was. It can be parsed again: a masked secret then
// stands for one that nobody knows.
func (c *Config) Redacted() []byte {
	w := writer{}
	if c.Source.doc != nil {
		w.written = c.Source.doc.written
	}
	var out bytes.Buffer
	out.WriteString("# The effective configuration, defaults filled in and secrets masked.\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	// Neither can fail: the nodes are well-formed, and the buffer takes all.
	_ = enc.Encode(w.section(reflect.ValueOf(c).Elem(), place{}))
	_ = enc.Close()
	return out.Bytes()
}

// writer turns plain data back into YAML.
type writer struct{ written map[string]written }

func (w writer) section(v reflect.Value, p place) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fieldsOf(v.Type()) {
		if n := w.value(v.Field(f.index), p.key(&f)); n != nil {
			m.Content = append(m.Content, word(f.name), n)
		}
	}
	return m
}

// value gives nil for what is absent.
func (w writer) value(v reflect.Value, p place) *yaml.Node {
	vt := valueTypes[v.Type()]
	switch {
	case vt != nil:
		return w.scalar(v, p, vt)
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return w.section(v.Elem(), p)
	case v.Kind() == reflect.Struct:
		n := w.section(v, p)
		if len(n.Content) == 0 && !p.within {
			return nil
		}
		return n
	case v.Len() == 0:
		return nil
	case v.Kind() == reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			list.Content = append(list.Content, w.value(v.Index(i), p.item(i)))
		}
		return list
	default:
		m := &yaml.Node{Kind: yaml.MappingNode}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			m.Content = append(m.Content, word(k.String()), w.value(v.MapIndex(k), p.entry(k.String())))
		}
		return m
	}
}

func (w writer) scalar(v reflect.Value, p place, vt *valueType) *yaml.Node {
	if from, ok := w.written[p.path]; ok && !vt.hidden {
		if from.file {
			return &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{word("file"), word(from.text)}}
		}
		return word(from.text)
	}
	switch text := vt.format(v).(type) {
	case []string:
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i, s := range text {
			if from, ok := w.written[p.item(i).path]; ok && !from.file {
				s = from.text
			} else {
				s = strings.ReplaceAll(s, "${", "$${")
			}
			list.Content = append(list.Content, word(s))
		}
		return list
	case string:
		if text == "" && !p.within {
			return nil
		}
		if vt.plain {
			return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
		}
		return word(strings.ReplaceAll(text, "${", "$${"))
	}
	return nil
}

// word is a text scalar; the encoder puts it in quotes where it needs them.
func word(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tagString, Value: s}
}
