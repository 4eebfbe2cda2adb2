package policy

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzQuery: a parameter that a rule reads has the value that other readers
// find too, or the request is refused.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"", "a=1", "a=1&a=2", "%61=1&a=2", "a[]=1", "A=1", "a=%zz", "b=1;a=2", "a=+%2B", "a", "=a", "&&a=1&&", "a=%00", "+a=1", "a%5B0]=1&a"} {
		f.Add(q)
	}
	p := load(f, oneRule("has(request.query.a) && size(request.query.a) >= 0"))
	all := load(f, oneRule("request.query.all(k, k != 'never')"))
	f.Fuzz(func(t *testing.T, query string) {
		in := request("GET", "/x/y")
		in.RawQuery = query
		d := decide(t, p, in, alice)
		m := &Match{}
		p.Match(m, in.Method, in.Host, in.Path)
		e := &m.eval
		e.begin(m.Route, m, in, alice)
		refused := e.read() != nil
		value, missing := e.param(0)
		e.end()
		if refused != (d.Reason == ParameterDuplicated || d.Reason == TargetNotCanonical) {
			t.Fatalf("%q: refused %t, %s", query, refused, d.Reason)
		}
		others, err := url.ParseQuery(query)
		if refused {
			return
		}
		if strings.Contains(query, ";") {
			t.Fatalf("%q went through", query)
		}
		if n := len(others["a"]); n > 1 || err == nil && (n == 1) != (missing == nil) {
			t.Fatalf("%q has a %d times, and %v", query, n, missing)
		}
		if missing == nil && err == nil && value != others.Get("a") {
			t.Fatalf("%q: %q, others read %q", query, value, others.Get("a"))
		}
		for name := range others {
			if name != "a" && alike(name, "a") {
				t.Fatalf("%q went through with %q", query, name)
			}
		}
		if d := decide(t, all, in, alice); d.Reason == Allowed {
			for name, values := range others {
				if len(values) > 1 {
					t.Fatalf("%q went through with %q twice", query, name)
				}
			}
		}
	})
}

// FuzzBody: what is read of a body is what encoding/json reads.
func FuzzBody(f *testing.F) {
	for _, b := range []string{`{"a":[1,2.5,"x\n\u00e9\ud83d\ude00",null,true,{}]}`, `{"a":1,"a":2}`, `[`, `1e400`, `"\ud800"`, `-0`, `{"a":9007199254740993}`, ` [ ] `, `nul`, "\"\x80\"", `01`, `{"a" 1}`, `[1,]`, `"\x"`, `1.`, `.5`, `-`} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decodeJSON(body)
		if err != nil {
			return
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("%q is accepted", body)
		}
		d := json.NewDecoder(bytes.NewReader(body))
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if got := floats(v, want); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %#v, others read %#v", body, got, want)
		}
	})
}

// floats makes all numbers doubles, as encoding/json does, and takes from
// want those that nothing can be decided by.
func floats(v, want any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []any:
		w, _ := want.([]any)
		for i := range v {
			if i < len(w) {
				v[i] = floats(v[i], w[i])
			}
		}
	case map[string]any:
		w, _ := want.(map[string]any)
		for k := range v {
			v[k] = floats(v[k], w[k])
		}
	}
	if v == errNumber {
		return want
	}
	return v
}

// FuzzPattern: a template that is accepted has only segments that requests
// can have, and matches itself.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"/", "/a/{b}/{c...}", "/a/", "/%C3%A9", "/{a", "//", "/a/../b", "/{a...}/b", "/..;a", "/%2e", "/é", "/{in}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, template string) {
		p, fault := parsePattern(template)
		if (p == nil) != (fault != "") {
			t.Fatalf("%q: %v, %q", template, p, fault)
		}
		if fault != "" {
			return
		}
		path := ""
		for _, s := range p.segments {
			switch s.kind {
			case literal:
				path += "/" + s.text
			case single:
				path += "/x"
			case rest:
				path += "/x/y"
			}
		}
		if !safePath(path) {
			t.Fatalf("%q matches %q", template, path)
		}
		table := routeTable(t, "r: GET - /nothing-else")
		table.hosts.tree("").insert(p, "GET", table.routes[0])
		var m Match
		if got := table.Match(&m, "GET", "h", path); got != Allowed || len(m.values) != len(p.params) {
			t.Fatalf("%q does not match %q: %s", template, path, got)
		}
	})
}
