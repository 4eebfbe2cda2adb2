package policytest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hopgate/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (- expected, + actual; -update writes it anew):\n%s", name, strings.Join(diffLines(string(want), got), "\n"))
	}
}

// run runs files of testdata in an empty environment.
func run(t *testing.T, names ...string) *Report {
	t.Helper()
	var files []string
	for _, n := range names {
		files = append(files, "testdata/"+n)
	}
	r, err := Run(files, Options{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func noEnv(string) (string, bool) { return "", false }

func TestPassing(t *testing.T) {
	r := run(t, "passing.test.yaml")
	var b strings.Builder
	if err := r.WriteText(&b, true, true); err != nil {
		t.Fatal(err)
	}
	golden(t, "passing.txt", b.String())
	if r.Failed != 0 || r.Passed != r.Cases || r.Cases == 0 {
		t.Errorf("%d cases, %d passed, %d failed", r.Cases, r.Passed, r.Failed)
	}
}

func TestFailing(t *testing.T) {
	r := run(t, "failing.test.yaml")
	for _, format := range []struct {
		file  string
		write func(*strings.Builder) error
	}{
		{"failing.txt", func(b *strings.Builder) error { return r.WriteText(b, false, false) }},
		{"failing.verbose.txt", func(b *strings.Builder) error { return r.WriteText(b, true, true) }},
		{"failing.json", func(b *strings.Builder) error { return r.WriteJSON(b) }},
		{"failing.xml", func(b *strings.Builder) error { return r.WriteJUnit(b) }},
	} {
		var b strings.Builder
		if err := format.write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, format.file, b.String())
		if strings.Contains(b.String(), "never_shown") {
			t.Errorf("%s shows the upstream's secret", format.file)
		}
	}
	if r.Passed != 1 || r.Failed != 4 {
		t.Errorf("%d passed, %d failed; want 1 and 4", r.Passed, r.Failed)
	}
}

func TestColor(t *testing.T) {
	r := run(t, "failing.test.yaml")
	var without, with bytes.Buffer
	if err := r.WriteText(&without, true, true); err != nil {
		t.Fatal(err)
	}
	r.Color = true
	if err := r.WriteText(&with, true, true); err != nil {
		t.Fatal(err)
	}
	bare := with.String()
	for _, c := range []string{red, green, plain} {
		if !strings.Contains(bare, c) {
			t.Errorf("no %q", c)
		}
		bare = strings.ReplaceAll(bare, c, "")
	}
	if bare != without.String() {
		t.Error("colours change more than colours")
	}
}

func TestJUnitDecodes(t *testing.T) {
	r := run(t, "passing.test.yaml", "failing.test.yaml")
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		XMLName  xml.Name `xml:"testsuites"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Suites   []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Class   string `xml:"classname,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Tests != r.Cases || doc.Failures != r.Failed || len(doc.Suites) != 2 {
		t.Fatalf("%d tests, %d failures, %d suites", doc.Tests, doc.Failures, len(doc.Suites))
	}
	s := doc.Suites[1]
	if s.Name != "testdata/failing.test.yaml" || s.Tests != 5 || s.Failures != 4 || len(s.Cases) != 5 {
		t.Errorf("suite %s: %d tests, %d failures, %d cases", s.Name, s.Tests, s.Failures, len(s.Cases))
	}
	if c := s.Cases[1]; c.Name != `The metadata stays & "quotes" <too>` || c.Failure == nil || !strings.Contains(c.Failure.Text, `"id": "user_alicia"`) {
		t.Errorf("case %+v", c)
	}
	if s.Cases[2].Failure != nil || doc.Suites[0].Failures != 0 {
		t.Error("a case that passed is shown as failed")
	}
}

func TestJSONDecodes(t *testing.T) {
	r := run(t, "failing.test.yaml")
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Cases != r.Cases || back.Files[0].Cases[0].Differences[0] != r.Files[0].Cases[0].Differences[0] {
		t.Errorf("got %+v", back)
	}
}

func TestFaults(t *testing.T) {
	for _, name := range []string{"wrong", "senseless"} {
		r, err := Run([]string{"testdata/" + name + ".test.yaml"}, Options{Env: noEnv})
		if r != nil || err == nil {
			t.Fatalf("%s runs", name)
		}
		var fault *config.Error
		if !errors.As(err, &fault) || fault.Pos.Line == 0 {
			t.Errorf("%s: no position in %v", name, err)
		}
		golden(t, name+".txt", err.Error()+"\n")
	}
}

func TestFaultsOfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	conf := write("hopgate.yaml", "upstreams: { u: { endpoints: \"http://127.0.0.1:1\", secret: { header: A, value: \"${SECRET}\" } } }\nroutes:\n  - { id: a, match: { path: /a }, anonymous: true, upstream: u }\n")
	const cases = "cases: [{ name: a, request: { path: /a }, expect: { decision: allow } }]\n"
	env := func(name string) (string, bool) { return "secret", name == "SECRET" }
	for _, tt := range []struct {
		name, text, want string
		options          Options
	}{
		{"no file", "", "can't be read", Options{}},
		{"empty", "# nothing\n", "the file is empty", Options{}},
		{"not YAML", "a: [1", "this is not YAML", Options{}},
		{"two documents", cases + "---\n" + cases, "a second YAML document", Options{Config: conf, Env: env}},
		{"no configuration", cases, "names no configuration", Options{Env: env}},
		{"no such configuration", "config: nowhere.yaml\n" + cases, "the configuration can't be read", Options{Env: env}},
		{"configuration with a fault", "config: hopgate.yaml\n" + cases, "hopgate.yaml:1:", Options{Env: noEnv}},
		{"aliases that multiply", "x: &a [1,1,1,1,1,1,1,1,1,1]\nusers: { u: { claims: { a: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a], b: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], c: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c], d: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d], e: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e] } } }\n" + cases, "aliases multiply", Options{Config: conf, Env: env}},
		{"given configuration", cases, "", Options{Config: conf, Env: env}},
		{"default configuration", cases, "", Options{Default: conf, Env: env}},
		{"named configuration", "config: hopgate.yaml\n" + cases, "", Options{Default: "nowhere.yaml", Env: env}},
		{"given over named", "config: nowhere.yaml\n" + cases, "", Options{Config: conf, Env: env}},
		{"environment of the file", "config: hopgate.yaml\nenv: { SECRET: x }\n" + cases, "", Options{Env: noEnv}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, "missing.test.yaml")
			if tt.text != "" {
				file = write("case.test.yaml", tt.text)
			}
			r, err := Run([]string{file}, tt.options)
			switch {
			case tt.want == "":
				if err != nil || r.Passed != 1 {
					t.Errorf("got %+v, %v", r, err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %s", err, tt.want)
			case strings.Contains(err.Error(), "%!"):
				t.Errorf("a broken message: %v", err)
			}
		})
	}
}

func TestDiffLines(t *testing.T) {
	for _, tt := range []struct{ want, got, diff string }{
		{"a\nb", "a\nb", "  ... 2 more"},
		{"a\nb\nc", "a\nx\nc", "  a|- b|+ x|  c"},
		{"", "a", "- |+ a"},
		{"1\n2\n3\n4\n5\n6\n7\n8\n9", "1\n2\n3\n4\n5\nx\n6\n7\n8\n9", "  ... 2 more|  3|  4|  5|+ x|  6|  7|  8|  ... 1 more"},
		{"a\nb\nc\nd", "b\nx\nd\ne", "- a|  b|- c|+ x|  d|+ e"},
	} {
		if got := strings.Join(diffLines(tt.want, tt.got), "|"); got != tt.diff {
			t.Errorf("%q to %q:\ngot  %s\nwant %s", tt.want, tt.got, got, tt.diff)
		}
	}
	big := strings.Repeat("a\n", 3000)
	if n := len(diffLines("x\n"+big+"y", strings.ReplaceAll(big, "a", "b"))); n > 7000 {
		t.Errorf("%d lines", n)
	}
}
