package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// The model: decode into a tree that remembers order and duplicates, prune
// the tree, compare trees.

type object []member

type member struct {
	name  string
	value any
}

// decode reads a whole document with encoding/json, and says how deep it is.
func decode(doc []byte) (tree any, depth int, ok bool) {
	if !json.Valid(doc) || !utf8.Valid(doc) {
		return nil, 0, false
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	tree, depth = decodeValue(d)
	return tree, depth, true
}

func decodeValue(d *json.Decoder) (any, int) {
	tok, err := d.Token()
	if err != nil {
		panic(err)
	}
	deepest := 0
	next := func() any {
		v, depth := decodeValue(d)
		deepest = max(deepest, depth)
		return v
	}
	switch tok {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name := next().(string)
			o = append(o, member{name, next()})
		}
		_, _ = d.Token()
		return o, deepest + 1
	case json.Delim('['):
		a := []any{}
		for d.More() {
			a = append(a, next())
		}
		_, _ = d.Token()
		return a, deepest + 1
	}
	return tok, 0
}

// pruned gives what is left of v below the names at, whatever the arrays.
func pruned(v any, at []string, paths [][]string, keep bool) (any, bool) {
	switch v := v.(type) {
	case []any:
		left := []any{}
		for _, x := range v {
			if x, ok := pruned(x, at, paths, keep); ok {
				left = append(left, x)
			}
		}
		return left, true
	case object:
		left := object{}
		for _, m := range v {
			here := append(at[:len(at):len(at)], m.name)
			named, way := false, false
			for _, p := range paths {
				named = named || len(p) <= len(here) && reflect.DeepEqual(p, here[:len(p)])
				way = way || len(p) > len(here) && reflect.DeepEqual(p[:len(here)], here)
			}
			switch {
			case named && keep:
				left = append(left, m)
			case named || !way && keep:
			default:
				if x, ok := pruned(m.value, here, paths, keep); ok {
					left = append(left, member{m.name, x})
				}
			}
		}
		return left, true
	}
	return v, !keep
}

// subsequence tells whether all of part is in whole, in its order.
func subsequence(part, whole []byte) bool {
	for _, c := range part {
		i := bytes.IndexByte(whole, c)
		if i < 0 {
			return false
		}
		whole = whole[i+1:]
	}
	return true
}

func FuzzFilter(f *testing.F) {
	for _, doc := range append(invalid,
		`{"a":{"b":1,"c":[{"b":2},3]},"b":[{"b":{"c":4}}],"\u0061":5}`, `[{"a":1},[{"a":2}],"a",3]`, `{"a" : 1 , "a": {} ,"b":[ ]}`,
		` {"a.b":{"":null}} `, `{"\ud83d\ude00":1,"\ud83d":2}`, strings.Repeat("[", 600)+strings.Repeat("]", 600), string(users(1)),
	) {
		for _, paths := range []string{"a", "a.b\nb[].b.c", "[].a", "\"a.b\".\"\"\n😀", "data[].private_metadata\ndata.email_addresses[].verification"} {
			f.Add([]byte(doc), paths, false)
			f.Add([]byte(doc), paths, true)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, list string, keep bool) {
		paths := strings.Split(list, "\n")
		var names [][]string
		for _, p := range paths {
			n, err := parsePath(p)
			if err != nil {
				if err.Column < 1 || err.Column > utf8.RuneCountInString(p)+1 {
					t.Fatalf("%q: column %d is not in the path", p, err.Column)
				}
				return
			}
			names = append(names, n)
		}
		filter, err := Compile(paths, nil)
		if keep {
			filter, err = Compile(nil, paths)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := filter.Append([]byte("dst"), doc)
		tree, depth, ok := decode(doc)
		if !ok || depth > MaxDepth {
			if err == nil || string(got) != "dst" {
				t.Fatalf("%q passes as %q, %v", doc, got, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if !bytes.HasPrefix(got, []byte("dst")) {
			t.Fatalf("dst was changed: %q", got)
		}
		got = got[len("dst"):]
		want, left := pruned(tree, nil, names, keep)
		if !left {
			want = nil
		}
		after, _, ok := decode(got)
		if !ok {
			t.Fatalf("%q became %q, which is not JSON", doc, got)
		}
		if !reflect.DeepEqual(after, want) {
			t.Fatalf("%q\nbecame %q\nwant   %s", doc, got, fmt.Sprintf("%#v", want))
		}
		if left && reflect.DeepEqual(tree, want) && !bytes.Equal(got, doc) {
			t.Fatalf("nothing was filtered, but\n%q\nbecame %q", doc, got)
		}
		if left && !subsequence(got, doc) {
			t.Fatalf("%q\nbecame %q, with bytes that were not there", doc, got)
		}
	})
}
