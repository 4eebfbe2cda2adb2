package token

import (
	"encoding/base64"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The same questions, asked of claims that are decoded in full.

func lookupDecoded(claims map[string]any, path string) (any, bool) {
	if v, ok := claims[path]; ok {
		return v, true
	}
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v, ok := lookupDecoded(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

func identifierDecoded(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

func wordsDecoded(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.FieldsFunc(v, func(r rune) bool { return r == ' ' })
	case []any:
		list := make([]string, 0, len(v))
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil
			}
			if s != "" {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

func dateDecoded(v any) (time.Time, bool) {
	switch v := v.(type) {
	case int64:
		if 0 <= v && v <= lastDate {
			return time.Unix(v, 0), true
		}
	case float64:
		if 0 <= v && v <= lastDate {
			whole, part := math.Modf(v)
			return time.Unix(int64(whole), int64(part*1e9)), true
		}
	}
	return time.Time{}, false
}

// decoded gives the value as decodeClaims decodes it.
func (v value) decoded(t *testing.T) any {
	t.Helper()
	raw := v.raw
	if v.kind == text {
		raw = `"` + raw + `"`
	}
	m, err := decodeClaims([]byte(`{"v":` + raw + `}`))
	if err != nil {
		t.Fatalf("the value %s: %v", raw, err)
	}
	return m["v"]
}

// sameClaims holds what was read against what was decoded.
func sameClaims(t *testing.T, set claimSet, want map[string]any) {
	t.Helper()
	if len(set) != len(want) {
		t.Fatalf("%d members, want %d", len(set), len(want))
	}
	for _, m := range set {
		w, ok := want[m.name]
		if !ok {
			t.Fatalf("%q is no member", m.name)
		}
		sameValue(t, set.get(m.name), w)
		got := set.lookup(m.name)
		if w, ok := lookupDecoded(want, m.name); !ok || got.kind == absent || !reflect.DeepEqual(got.decoded(t), w) {
			t.Fatalf("looked up %q: %v, want %v", m.name, got, w)
		}
	}
}

func sameValue(t *testing.T, v value, w any) {
	t.Helper()
	if !reflect.DeepEqual(v.decoded(t), w) {
		t.Fatalf("%v, want %#v", v, w)
	}
	if v.empty() != (w == nil) {
		t.Fatalf("%v: empty %v", v, v.empty())
	}
	s, ok := v.text()
	if ws, wok := w.(string); s != ws || ok != wok || ok && !v.is(ws) || v.is(s+"x") {
		t.Fatalf("%v: text %q %v, want %#v", v, s, ok, w)
	}
	if n, ok := w.(int64); v.number(n) != ok || v.number(n+1) {
		t.Fatalf("%v: not the number %#v", v, w)
	}
	if got, want := v.identifier(), identifierDecoded(w); got != want {
		t.Fatalf("%v: identifier %q, want %q", v, got, want)
	}
	words := v.words()
	if want := wordsDecoded(w); !reflect.DeepEqual(words, want) {
		t.Fatalf("%v: words %q, want %q", v, words, want)
	}
	if ws, isText := w.(string); isText {
		words = []string{ws}
	}
	for _, word := range words {
		if !v.anyOf([]string{"\x00", word}) {
			t.Fatalf("%v: %q is not one of it", v, word)
		}
	}
	if v.anyOf([]string{"\x00"}) && !slices.Contains(words, "\x00") {
		t.Fatalf("%v is anything", v)
	}
	at, ok := v.date()
	if want, wok := dateDecoded(w); ok != wok || !at.Equal(want) {
		t.Fatalf("%v: date %v %v, want %v %v", v, at, ok, want, wok)
	}
	elements, _ := w.([]any)
	i := 0
	for e := range v.elements {
		sameValue(t, e, elements[i])
		i++
	}
	if i != len(elements) {
		t.Fatalf("%v: %d elements, want %d", v, i, len(elements))
	}
	inner, _ := w.(map[string]any)
	sameClaims(t, v.members(), inner)
}

// What is read for a verification is what is decoded in full, and what is
// refused there is refused here, for the same reason.
func FuzzClaimSet(f *testing.F) {
	for _, s := range []string{
		`{}`, ` {"a" : 1 , "b":[1.5,"\u00e9",null,true, [] ,{}]} `, `{"a":"\ud83d\ude00"}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":{"a":1},"a":{}}} `,
		`{"a":{"b":1,"b":2}}`, "{\"\xff\":1}", `{"a":-0.0e+1,"b":-0,"c":1234567890123456789,"d":12345678901234567890,"e":1e400}`, `{"a.b":{"c":1},"a":{"b.c":2,"b":{"c":3}}}`,
		`{"l":["a","b c","","\u0061"],"m":["a",1],"t":" a  b "}`, `{"a":[`, `{"a":tru}`, `{"a":"\n` + "\n" + `"}`, `[]`, ``, `{"a":1}x`, `{"a":[1,]}`, `{"a" 1}`,
		`{"d":253402300799,"e":253402300800,"f":1.5,"g":1e3,"h":-1}`, `{"sub":"alice"` + numerous() + `}`, `{"sub":"alice"` + numerous() + numerous() + `}`,
		`{"x":{"sub":"alice"` + numerous() + `},"claim5":1,"x":1}`, strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth), strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1),
		`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
	} {
		f.Add(s, "a.b.c")
	}
	f.Fuzz(func(t *testing.T, payload, path string) {
		want, wantErr := decodeClaims([]byte(payload))
		set, err := readClaimSet(payload, usualClaims)
		if wantErr != nil || err != nil {
			if wantErr == nil || err == nil || err.Error() != wantErr.Error() || set != nil {
				t.Fatalf("error %v, want %v", err, wantErr)
			}
			return
		}
		sameClaims(t, set, want)
		w, ok := lookupDecoded(want, path)
		if v := set.lookup(path); (v.kind != absent) != ok || ok && !reflect.DeepEqual(v.decoded(t), w) {
			t.Fatalf("%q is %v, want %v", path, v, w)
		}
	})
}

func TestValueDate(t *testing.T) {
	for raw, want := range map[string]struct {
		at time.Time
		ok bool
	}{
		"0":                   {time.Unix(0, 0), true},
		"1769860800":          {time.Unix(1769860800, 0), true},
		"1769860800.5":        {time.Unix(1769860800, 500000000), true},
		"1.7698608e9":         {time.Unix(1769860800, 0), true},
		"253402300799":        {time.Unix(lastDate, 0), true},
		"-1":                  {},
		"-0.5":                {},
		"253402300800":        {},
		"9223372036854775807": {},
		"1e300":               {},
		`"1769860800"`:        {},
		"true":                {},
		"null":                {},
		"[1]":                 {},
		"{}":                  {},
	} {
		set, err := readClaimSet(`{"exp":`+raw+`}`, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := set.get("exp").date(); ok != want.ok || !got.Equal(want.at) {
			t.Errorf("%s: %v %v", raw, got, ok)
		}
	}
	if _, ok := claimSet(nil).get("exp").date(); ok {
		t.Error("an absent claim is a date")
	}
}

// A header is read once for each spelling, and another spelling is another
// header.
func TestHeadersAreRemembered(t *testing.T) {
	var h headers
	spell := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) + ".e30.AAAA" }
	one, err := parseCompact(spell(`{"alg":"ES256","kid":"a"}`), h.seen())
	if err != nil {
		t.Fatal(err)
	}
	h.add(one.header)
	h.add(one.header)
	if n := len(h.seen()); n != 1 {
		t.Errorf("%d headers", n)
	}
	if again, err := parseCompact(spell(`{"alg":"ES256","kid":"a"}`), h.seen()); err != nil || again.header != one.header {
		t.Errorf("the header was read again, error %v", err)
	}
	if other, err := parseCompact(spell(`{"alg":"ES256","kid":"b"}`), h.seen()); err != nil || other.kid != "b" {
		t.Errorf("kid %q, error %v", other.kid, err)
	}
	for i := range 2 * maxHeaders {
		c, err := parseCompact(spell(`{"alg":"ES256","kid":"`+strconv.Itoa(i)+`"}`), h.seen())
		if err != nil {
			t.Fatal(err)
		}
		h.add(c.header)
	}
	if n := len(h.seen()); n != maxHeaders || h.seen()[0].kid != strconv.Itoa(2*maxHeaders-1) {
		t.Errorf("%d headers, the last of %q", n, h.seen()[0].kid)
	}
}
