package cli

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"hopgate/config"
	"hopgate/policy/policytest"
	"hopgate/telemetry"
)

var update = flag.Bool("update", false, "write generated parts of the documentation anew")

// TestMetricsUpToDate holds the table of metrics against what it is generated
// from; -update writes it.
func TestMetricsUpToDate(t *testing.T) {
	const path, begin, end = "../docs/operations.md", "<!-- metrics: generated, see `make generate` -->\n", "<!-- /metrics -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no markers for the metrics", path)
	}
	want := head + begin + "\n" + string(telemetry.Reference()) + "\n" + end + tail
	if string(text) == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not up to date: run make generate", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// yamlBlock is a block of YAML in the documentation.
type yamlBlock struct {
	at       string // file:line
	text     string
	fragment bool
	of       []string // the section that a fragment is of; none: the whole file
}

// fragmentMark stands on the line before a block that is a part of a policy:
// of the whole file, or of a section of it.
var fragmentMark = regexp.MustCompile(`^<!-- fragment(?: of ([a-z_.]+))? -->$`)

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
			open = &yamlBlock{at: fmt.Sprintf("%s:%d", path, i+2)}
			if m := fragmentMark.FindStringSubmatch(before); m != nil {
				open.fragment = true
				if m[1] != "" {
					open.of = strings.Split(m[1], ".")
				}
			}
		}
		if strings.TrimSpace(line) != "" {
			before = line
		}
	}
	return list
}

// completed puts a fragment into a policy, in the place of what is there.
func completed(policy, fragment map[string]any, of []string) map[string]any {
	whole := maps.Clone(policy)
	if len(of) > 0 {
		section, _ := whole[of[0]].(map[string]any)
		whole[of[0]] = completed(section, fragment, of[1:])
		return whole
	}
	maps.Copy(whole, fragment)
	return whole
}

// TestDocumentedYAML loads every block of YAML in README.md and docs. One that
// is marked as a fragment is put into README's policy first.
func TestDocumentedYAML(t *testing.T) {
	t.Setenv("CLERK_SECRET_KEY", "sk_test_1234567890")
	t.Setenv("BACKEND_SECRET_KEY", "sk_test_1234567890")
	t.Setenv("BACKEND_URL", "https://backend.example.com")
	t.Setenv("CLERK_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlocks(t, "../README.md")
	if len(blocks) == 0 || blocks[0].fragment || strings.Count(blocks[0].text, "\n") > 10 {
		t.Fatal("README.md does not begin with a whole policy of ten lines")
	}
	readme := blocks[0].text
	var policy map[string]any
	if err := yaml.Unmarshal([]byte(readme), &policy); err != nil {
		t.Fatal(err)
	}
	policy["rules"] = map[string]any{
		"is_self": "principal.user_id == path.user_id",
		"in_org":  "principal.org_id == path.org_id",
	}
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
			case shape == nil: // nothing but comments
			case shape["cases"] != nil:
				runDocumentedTest(t, readme, b.text)
			case b.fragment:
				whole, err := yaml.Marshal(completed(policy, shape, b.of))
				if err != nil {
					t.Fatal(err)
				}
				loads(t, b.at, string(whole))
			default:
				loads(t, b.at, b.text)
			}
		})
	}
}

func loads(t *testing.T, name, text string) {
	t.Helper()
	// Secrets that the documentation has in files.
	const mount = "/run/secrets/"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "backend"), []byte("sk_test_1234567890\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The key set that the documentation makes with hopgate token.
	if code := Run([]string{"token", "--new", "--key", filepath.Join(dir, "dev.jwk"), "--jwks", filepath.Join(dir, "dev.jwks.json")},
		Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}); code != exitOK {
		t.Fatal(code)
	}
	cfg, errs := config.Parse(filepath.Join(dir, filepath.Base(name)), []byte(strings.ReplaceAll(text, mount, dir+"/")), os.LookupEnv)
	if cfg != nil {
		compileOnly(cfg, errs)
	}
	if err := errs.Err(); err != nil {
		t.Errorf("it does not load; write <!-- fragment --> before it where it is only a part:\n%v\n%s", err, text)
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
