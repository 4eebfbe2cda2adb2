package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestSecretIsNeverShown(t *testing.T) {
	const text = "tops3cret"
	s := NewSecret(text)
	holder := struct {
		S Secret
		P *Secret
		M map[string]Secret
	}{s, &s, map[string]Secret{"k": s}}
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		for _, v := range []any{s, &s, holder, &holder, []Secret{s}} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
	}
	for _, v := range []any{s, &s, holder, map[string]any{"a": s}} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		y, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(j)
		shown.Write(y)
	}
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "s", s, "p", &s, "h", holder)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "s", s, "p", &s, "h", holder)
	shown.WriteString(s.String())
	got := shown.String()
	if strings.Contains(got, text) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", text)) || strings.Contains(got, "tops") {
		t.Errorf("the secret is shown:\n%s", got)
	}
	if !strings.Contains(got, mask) {
		t.Error("nothing is shown at all")
	}
	if s.Reveal() != text || s.IsZero() || !(Secret{}).IsZero() || (Secret{}).String() != "" {
		t.Error("Reveal and IsZero do not work")
	}
}

func TestMessagesHideWhatCameFromOutside(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "file-content-1234\nsecond line of it\n")
	_, errs := Parse(filepath.Join(dir, "f.yaml"), []byte(`
upstreams:
  u:
    endpoints: http://${HOST}/v1
    host: "${QUOTED}"
    secret: {header: X, value: {file: token}}
issuers: {a: {issuer: "https://a", secret: LiteralSecretLiteralSecretLiteral1234}}
log: {level: info, access: "${SHORT}"}
routes: [{id: r, match: {path: /}, allow: x, upstream: u}]
`), env("HOST", "internal.example", "QUOTED", `a"b"c`, "SHORT", "off"))
	before := len(faults(errs))
	parse := errors.New(`parse "http://internal.example/%zz": invalid URL escape "%zz"`)
	errs.Addf(Position{}, "host is %q", "internal.example")
	errs.Addf(Position{}, "url is %s: %v", "http://internal.example/v1", parse)
	errs.Addf(Position{}, "hosts are %q", []string{"x", "internal.example"})
	errs.Addf(Position{}, "the bytes are %s", []byte("internal.example"))
	errs.Addf(Position{}, "the host is %v", &url.URL{Host: "internal.example"})
	errs.Addf(Position{}, "host is %q", `a"b"c`)
	errs.Addf(Position{}, "%v", errors.New(`host is "a\"b\"c"`))
	errs.Addf(Position{}, "the secret is %q", "second line of it")
	errs.Addf(Position{}, "the secret is %q", "file-content-1234")
	errs.Addf(Position{}, "%v", fmt.Errorf("secret LiteralSecretLiteralSecretLiteral1234"))
	errs.Addf(Position{}, "access is %q; it should be off", "off")
	errs.Warnf(Position{}, "host is %q and takes %s", "internal.example", time.Second)
	var got strings.Builder
	for _, line := range append(faults(errs), lines(errs.Warnings())...) {
		got.WriteString(line + "\n")
	}
	for _, bad := range []string{"internal", `a"b`, `a\"b`, "file-content", "second line", "LiteralSecret", `"off"`} {
		if strings.Contains(got.String(), bad) {
			t.Errorf("%q is shown in\n%s", bad, got.String())
		}
	}
	for _, want := range []string{`host is "${HOST}" and takes 1s`, `"${SHORT}"; it should be off`, "http://${HOST}/v1"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is not in\n%s", want, got.String())
		}
	}
	if n := len(faults(errs)) - before; n < 8 {
		t.Errorf("%d faults were recorded", n)
	}
}

func TestRedacted(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "timeout"), "7s\n")
	write(t, filepath.Join(dir, "hs"), "0123456789abcdefFILE0123456789abcdef\n")
	path := filepath.Join(dir, "hopgate.yaml")
	text := `
server: {listen: "${LISTEN}", max_connections: "${N}", request_id_header: "${NONE:-}"}
issuers:
  a: {issuer: "https://${HOST}", secret: {file: hs}, algorithms: HS256}
upstreams:
  u:
    endpoints: ["https://${HOST}/v1"]
    timeout: {file: timeout}
    secret: {header: Authorization, value: "Bearer lit-${TOKEN}"}
rules:
  dollar: a == "$${x}"
  "on": a == "${HOST}"
  multi: |
    a &&
      b
routes:
  - id: r
    match: {path: "/{id}"}
    allow: [rules.dollar || rules.on, rules.multi]
    upstream: u
    request: {query: {limit: 010, e: ""}, headers: {X-A: "{principal.user_id}"}}
    cache: {ttl: 90s, scope: ["claims.${CLAIM}", claims.b]}
    limit: {rate: 5/m}
`
	e := env("LISTEN", "127.0.0.1:81", "N", "77", "HOST", "private.example", "TOKEN", "tops3cret", "CLAIM", "hidden")
	cfg, errs := Parse(path, []byte(text), e)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	redacted := cfg.Redacted()
	for _, bad := range []string{"127.0.0.1:81", "77", "private", "tops3cret", "hidden", "7s", "lit-", "FILE"} {
		if bytes.Contains(redacted, []byte(bad)) {
			t.Errorf("%q is shown in\n%s", bad, redacted)
		}
	}
	for _, want := range []string{"listen: ${LISTEN}\n", "issuer: https://${HOST}\n", "timeout: {file: timeout}\n", "value: '********'\n",
		"dollar: a == \"$${x}\"\n", "drain: 25s\n", "issuer:\n      - a\n", "ttl: 1m30s\n", "rate: 5/m\n", "scope: [\"claims.${CLAIM}\", claims.b]\n"} {
		if !bytes.Contains(bytes.ReplaceAll(redacted, []byte("'claims.${CLAIM}'"), []byte(`"claims.${CLAIM}"`)), []byte(want)) {
			t.Errorf("%q is not in\n%s", want, redacted)
		}
	}

	again, errs := Parse(path, redacted, e)
	if err := errs.Err(); err != nil {
		t.Fatalf("%v\n%s", err, redacted)
	}
	if got := again.Redacted(); !bytes.Equal(got, redacted) {
		t.Errorf("printed again:\n%s\nwant\n%s", got, redacted)
	}
	if got, want := strip(again), strip(cfg); !reflect.DeepEqual(got, want) {
		t.Errorf("parsed again:\n%+v\nwant\n%+v", got, want)
	}
	for _, s := range []Secret{again.Issuers["a"].Secret, again.Upstreams["u"].Secret.Value} {
		if len(s.Reveal()) < 32 || strings.Contains(s.Reveal(), "*") {
			t.Error("a masked secret can be guessed")
		}
	}
	if again.Issuers["a"].Secret == again.Upstreams["u"].Secret.Value {
		t.Error("masked secrets are all the same")
	}

	if got := (&Config{Routes: []Route{{ID: "x"}}}).Redacted(); !bytes.Contains(got, []byte("- id: x\n")) {
		t.Errorf("a configuration that was not read: %s", got)
	}
}

// strip takes positions and secrets out of a configuration.
func strip(c *Config) any {
	var walk func(v reflect.Value) any
	walk = func(v reflect.Value) any {
		if vt := valueTypes[v.Type()]; vt != nil {
			return vt.format(v)
		}
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() {
				return nil
			}
			return walk(v.Elem())
		case reflect.Slice:
			var list []any
			for i := range v.Len() {
				list = append(list, walk(v.Index(i)))
			}
			return list
		case reflect.Map:
			m := make(map[string]any)
			for _, k := range v.MapKeys() {
				m[k.String()] = walk(v.MapIndex(k))
			}
			return m
		}
		m := make(map[string]any)
		for _, f := range fieldsOf(v.Type()) {
			m[f.name] = walk(v.Field(f.index))
		}
		return m
	}
	return walk(reflect.ValueOf(c).Elem())
}

func TestValueStrings(t *testing.T) {
	for got, want := range map[string]string{
		Size(0).String():                         "0",
		Size(1000).String():                      "1000",
		Size(64 << 10).String():                  "64KiB",
		Size(3 << 30).String():                   "3GiB",
		Rate{20, time.Second}.String():           "20/s",
		Rate{5, time.Hour}.String():              "5/h",
		Rate{5, 10 * time.Second}.String():       "5/10s",
		duration(24 * time.Hour):                 "24h",
		duration(90 * time.Minute):               "1h30m",
		duration(10 * time.Second):               "10s",
		duration(time.Hour + 10*time.Second):     "1h0m10s",
		duration(0):                              "0s",
		duration(500 * time.Millisecond):         "500ms",
		Position{"f", 3, 4}.String():             "f:3:4",
		Position{File: "f"}.String():             "f",
		Scope{Claims: []string{"a"}}.String():    "[claims.a]",
		NewExpr("a").Text:                        "a",
		NewExpr("a").Pos(1, 0).String():          "",
		Template{Text: "b"}.Pos(0).String():      "",
		didYouMean("upstrem", []string{"xyz"}):   "",
		didYouMean("lsiten", []string{"listen"}): ` (did you mean "listen"?)`,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
