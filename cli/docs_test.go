package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/policy/policytest"
	"hopgate/telemetry"
)

var update = flag.Bool("update", false, "write generated parts of the documentation anew")

// reasonTable documents the reasons as a Markdown table.
func reasonTable() []byte {
	var b bytes.Buffer
	b.WriteString("| reason | status | meaning |\n|---|---|---|\n")
	for _, r := range policy.Reasons() {
		o := r.Outcome()
		status := fmt.Sprint(o.Status)
		if r.Allowed() {
			status = "the upstream's"
		}
		text := o.Title
		if o.Detail != "" {
			text += ": " + o.Detail
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r, status, text)
	}
	return b.Bytes()
}

// TestDocsUpToDate holds the generated tables of the documentation against
// what they are generated from; -update writes them.
func TestDocsUpToDate(t *testing.T) {
	for _, g := range []struct {
		file, name string
		table      []byte
	}{
		{"operations.md", "metrics", telemetry.Reference()},
		{"policy.md", "reasons", reasonTable()},
	} {
		path := filepath.Join("..", "docs", g.file)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		begin, end := "<!-- "+g.name+": generated, see `make generate` -->\n", "<!-- /"+g.name+" -->"
		head, rest, ok1 := strings.Cut(string(text), begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no markers for %s", path, g.name)
		}
		want := head + begin + "\n" + string(g.table) + "\n" + end + tail
		if string(text) == want {
			continue
		}
		if !*update {
			t.Errorf("%s is not up to date: run make generate", path)
			continue
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// yamlBlock is a block of YAML in the documentation.
type yamlBlock struct {
	at       string // file:line
	text     string
	fragment bool // marked as one
}

const fragmentMark = "<!-- fragment -->"

func yamlBlocks(t *testing.T, path string) []yamlBlock {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []yamlBlock
	var open *yamlBlock
	before := "" // the last line that is not empty
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case open != nil && strings.HasPrefix(line, "```"):
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case line == "```yaml":
			open = &yamlBlock{at: fmt.Sprintf("%s:%d", path, i+2), fragment: before == fragmentMark}
		}
		if strings.TrimSpace(line) != "" {
			before = line
		}
	}
	return list
}

// TestDocumentedYAML loads every block of YAML in README.md and docs. One that
// is marked as a fragment is completed by the sections of README's policy that
// it lacks.
func TestDocumentedYAML(t *testing.T) {
	t.Setenv("CLERK_SECRET_KEY", "sk_test_1234567890")
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := yamlBlocks(t, "../README.md")
	if len(readme) == 0 || readme[0].fragment {
		t.Fatal("README.md has no whole policy to begin with")
	}
	var base map[string]any
	if err := yaml.Unmarshal([]byte(readme[0].text), &base); err != nil {
		t.Fatal(err)
	}
	base["rules"] = map[string]any{
		"is_self": "principal.user_id == path.user_id",
		"in_org":  "principal.org_id == path.org_id",
	}
	blocks := readme
	for _, f := range files {
		blocks = append(blocks, yamlBlocks(t, f)...)
	}
	for _, b := range blocks {
		t.Run(b.at, func(t *testing.T) {
			var shape map[string]any
			if err := yaml.Unmarshal([]byte(b.text), &shape); err != nil {
				t.Fatal(err)
			}
			switch {
			case shape["cases"] != nil:
				runDocumentedTest(t, readme[0].text, b.text)
			case b.fragment:
				for key, value := range base {
					if _, ok := shape[key]; !ok {
						shape[key] = value
					}
				}
				whole, err := yaml.Marshal(shape)
				if err != nil {
					t.Fatal(err)
				}
				loads(t, b.at, whole)
			default:
				loads(t, b.at, []byte(b.text))
			}
		})
	}
}

func loads(t *testing.T, name string, text []byte) {
	t.Helper()
	cfg, errs := config.Parse(name, text, os.LookupEnv)
	if cfg != nil {
		compileOnly(cfg, errs)
	}
	if err := errs.Err(); err != nil {
		t.Errorf("it does not load; write %s before it where it is only a part:\n%v\n%s", fragmentMark, err, text)
	}
}

func runDocumentedTest(t *testing.T, policy, test string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "hopgate.test.yaml")
	for path, text := range map[string]string{filepath.Join(dir, "hopgate.yaml"): policy, file: test} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := policytest.Run([]string{file}, policytest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Failed > 0 {
		var out strings.Builder
		_ = report.WriteText(&out, false, false)
		t.Error(out.String())
	}
}
