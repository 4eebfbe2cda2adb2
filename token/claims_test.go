package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeClaims(t *testing.T) {
	got, err := decodeClaims([]byte(" {\"a\":1,\"b\":-9223372036854775808,\"c\":9223372036854775808,\"d\":1.0,\"e\":1e3,\"f\":[true,false,null,{}],\n\"g\":{\"h\":[]},\t\"i\":\"\\u00e9\\n\\/\\ud83d\\ude00é\",\"\":-0} "))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": int64(1), "b": int64(math.MinInt64), "c": 9223372036854775808.0, "d": 1.0, "e": 1000.0,
		"f": []any{true, false, nil, map[string]any{}}, "g": map[string]any{"h": []any{}}, "i": "é\n/😀é", "": int64(0),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
}

func TestDecodeClaimsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                    "",
		"white space":                " ",
		"array":                      "[]",
		"text":                       `"a"`,
		"null":                       "null",
		"byte order mark":            "\ufeff{}",
		"open":                       "{",
		"open member":                `{"a"`,
		"no value":                   `{"a":`,
		"no value closed":            `{"a":}`,
		"trailing comma":             `{"a":1,}`,
		"trailing comma in array":    `{"a":[1,]}`,
		"leading comma":              `{,"a":1}`,
		"no comma":                   `{"a":1 "b":2}`,
		"bare name":                  `{a:1}`,
		"single quotes":              `{'a':1}`,
		"comment":                    `{/**/}`,
		"something behind":           `{}x`,
		"two objects":                `{}{}`,
		"NUL behind":                 "{}\x00",
		"twice":                      `{"sub":"a","sub":"b"}`,
		"twice by escape":            `{"sub":"a","s\u0075b":"b"}`,
		"twice below":                `{"act":{"sub":"a","sub":"a"}}`,
		"twice in array":             `{"a":[{"b":1,"b":1}]}`,
		"bad UTF-8":                  "{\"a\":\"\xff\"}",
		"bad UTF-8 behind an escape": "{\"a\":\"\\n\xff\"}",
		"bad UTF-8 in a name":        "{\"\xc0\x80\":1}",
		"encoded surrogate":          "{\"a\":\"\xed\xa0\x80\"}",
		"half surrogate":             `{"a":"\ud83d"}`,
		"half surrogate and text":    `{"a":"\ud83dx"}`,
		"low surrogate":              `{"a":"\ude00"}`,
		"two high surrogates":        `{"a":"\ud83d\ud83d"}`,
		"control character":          "{\"a\":\"\n\"}",
		"control behind an escape":   "{\"a\":\"\\n\n\"}",
		"unknown escape":             `{"a":"\x41"}`,
		"short escape":               `{"a":"\u12"}`,
		"open text":                  `{"a":"b`,
		"open escape":                `{"a":"\`,
		"open text behind escape":    `{"a":"\n`,
		"leading zero":               `{"a":01}`,
		"plus":                       `{"a":+1}`,
		"minus":                      `{"a":-}`,
		"point":                      `{"a":1.}`,
		"leading point":              `{"a":.1}`,
		"exponent":                   `{"a":1e}`,
		"hexadecimal":                `{"a":0x1}`,
		"underscore":                 `{"a":1_0}`,
		"NaN":                        `{"a":NaN}`,
		"Infinity":                   `{"a":Infinity}`,
		"out of range":               `{"a":1e999}`,
		"capital True":               `{"a":True}`,
		"half a word":                `{"a":tru`,
		"too deep":                   strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1),
		"far too deep":               `{"a":` + strings.Repeat("[", 1<<20),
	} {
		if got, err := decodeClaims([]byte(text)); !errors.Is(err, errJSON) || got != nil {
			t.Errorf("%s: %v, error %v", name, got, err)
		}
	}
	deep := strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth)
	if _, err := decodeClaims([]byte(deep)); err != nil {
		t.Errorf("%d deep: %v", maxDepth, err)
	}
}

func TestDecodeClaimsKeepsNothing(t *testing.T) {
	b := []byte(`{"name":"text","x":{"y":["z"]}}`)
	got, err := decodeClaims(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if want := map[string]any{"name": "text", "x": map[string]any{"y": []any{"z"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// What decodeClaims accepts, the standard library reads the same way.
func FuzzDecodeClaims(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[1.5,"\u00e9",null,true]}`, `{"a":"\ud83d\ude00"}`, `{"a":1,"a":2}`, `{"a":{"b":{}}} `, "{\"\xff\":1}", `{"a":-0.0e+1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeClaims(b)
		if err != nil {
			if !errors.Is(err, errJSON) {
				t.Fatalf("error %v", err)
			}
			return
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var want map[string]any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if !reflect.DeepEqual(got, plain(want)) {
			t.Fatalf("got %#v, encoding/json %#v", got, want)
		}
		if claimsCost(got) < 0 {
			t.Fatal("negative cost")
		}
	})
}

func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = plain(x)
		}
	case []any:
		for i, x := range v {
			v[i] = plain(x)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, _ := v.Float64()
		return n
	}
	return v
}
