package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// fromEnvironment is what every variable holds while fuzzing. None of it may
// be seen anywhere.
const fromEnvironment = "Zq7Wx9-from-environment"

// FuzzParse holds Parse to this: it never panics, every fault and warning has
// a place in the file, nothing from the environment is shown, and the
// effective configuration can be parsed again and is then the same.
func FuzzParse(f *testing.F) {
	for _, name := range []string{exampleFile, "../demo/hopgate.demo.yaml", "../deploy/fly/hopgate.yaml"} {
		f.Add(read(f, name))
	}
	f.Add(wholeExample(f))
	for _, s := range []string{
		base, whole, "", "a", "~", "- a", base + "---\n" + base,
		base + "rules: {a: 'x ${A} $${ ${B:-c}', b: {file: testdata/rule.cel}}",
		base + "rules:\n  a: &a >-\n    x\n\n     y\n    z ${A}\n  b: *a\n",
		base + "rules:\n  a: |+2\n      x\n\n  b: \"\\x41\\\n   b\"\n",
		base + "rules: &r {a: *r}\n",
		base + "log: {<<: &l {level: debug}, <<: *l}\n",
		strings.ReplaceAll(base, "\n", "\r\n"), "\ufeff" + base,
		base + "server: {listen: '${A}', max_connections: ${A}}\n",
		base + "issuers: {a: {issuer: '${A}', secret: '${A}', max_age: '${A}'}}",
		base + "cors: {origins: ['${A}', 'https://${A}'], max_age: 1d}",
		"\u0085rules:\u2028 a: 'x\u2029 y'\n",
	} {
		f.Add([]byte(s))
	}
	rules := read(f, "testdata/rule.cel")
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "testdata"), 0o750); err != nil {
		f.Fatal(err)
	}
	write(f, filepath.Join(dir, "testdata", "rule.cel"), string(rules))
	name := filepath.Join(dir, "f.yaml")
	variable := func(name string) (string, bool) { return fromEnvironment, name != "UNSET" }

	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("Zq7")) || bytes.Contains(data, []byte("file")) && bytes.Contains(data, []byte("..")) {
			t.Skip()
		}
		cfg, errs := Parse(name, data, variable)
		text := newText(name, strings.TrimPrefix(string(data), "\ufeff"))
		inFile := func(what string, p Position) {
			if p.File != name {
				return // {file: path}
			}
			if p.Line < 1 || p.Line > len(text.starts) || p.Column < 1 || p.Column > utf8.RuneCountInString(text.line(p.Line-1))+3 {
				t.Errorf("%s is at %s, which is not in the file", what, p)
			}
		}
		_ = errs.Err()
		for _, e := range append(errs.Warnings(), errs.list...) {
			if e.Pos.Line == 0 {
				t.Errorf("%q has no position", e.Message)
			}
			inFile(e.Message, e.Pos)
			if strings.Contains(e.Message, "Zq7") {
				t.Errorf("the environment is shown: %q", e.Message)
			}
		}
		if cfg == nil {
			if errs.Len() == 0 {
				t.Error("there is neither a configuration nor a fault")
			}
			return
		}
		redacted := cfg.Redacted()
		if bytes.Contains(redacted, []byte("Zq7")) {
			t.Errorf("the environment is shown:\n%s", redacted)
		}
		for _, r := range cfg.Rules {
			for i := range 20 {
				inFile(r.Text, r.Pos(i/5+1, i%5*3))
			}
			first := r.Pos(1, 0)
			if next := r.Pos(1, 1); next.Line < first.Line {
				t.Errorf("%q begins at %s and goes on at %s", r.Text, first, next)
			}
		}
		if errs.Len() > 0 {
			return
		}
		again, errs := Parse(name, redacted, variable)
		if err := errs.Err(); err != nil {
			t.Fatalf("the effective configuration cannot be parsed: %v\n%s", err, redacted)
		}
		if got := again.Redacted(); !bytes.Equal(got, redacted) {
			t.Errorf("printed again:\n%s\nwant\n%s", got, redacted)
		}
	})
}
