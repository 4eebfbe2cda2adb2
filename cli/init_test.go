package cli

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hopgate/token"
)

// command runs a command to its end.
func command(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Run(args, Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// TestInit follows the steps that init prints, for every preset: the
// configuration is right, its tests pass and exercise all of it.
func TestInit(t *testing.T) {
	export := regexp.MustCompile(`export ([A-Z_]+)=`)
	for _, p := range token.Presets() {
		t.Run(p.Name, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "hopgate.yaml")
			code, out, errs := command("init", "--preset", p.Name, "--dir", dir)
			if code != exitOK || errs != "" {
				t.Fatalf("init: %d %s", code, errs)
			}
			name := export.FindStringSubmatch(out)
			if name == nil {
				t.Fatalf("init names no variable:\n%s", out)
			}
			if code, _, errs := command("check", "-c", config); code != exitUsage || !strings.Contains(errs, name[1]) {
				t.Errorf("without the variable check says %d %s", code, errs)
			}
			// Tests run without it, as in a pipeline that has no secrets.
			if code, out, errs := command("test", "-c", config, "--min-coverage", "100"); code != exitOK || errs != "" {
				t.Errorf("test: %d %s\n%s", code, errs, out)
			}
			t.Setenv(name[1], "sk_test_1234567890")
			if code, _, errs := command("check", "-c", config); code != exitOK || errs != "" {
				t.Errorf("check: %d %s", code, errs)
			}
			if code, out, errs := command("test", "-c", config); code != exitOK || errs != "" {
				t.Errorf("test: %d %s\n%s", code, errs, out)
			}
			if code, _, errs := command("init", "--preset", p.Name, "--dir", dir); code != exitUsage || !strings.Contains(errs, "not overwritten") {
				t.Errorf("a second init says %d %s", code, errs)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"alice":                 "alice",
		"https://a.example.com": "https://a.example.com",
		"auth0|alice":           "auth0|alice",
		"cognito:groups":        "cognito:groups",
		"true":                  `"true"`,
		"No":                    `"No"`,
		"1a":                    `"1a"`,
		"a: b":                  `"a: b"`,
		"a:":                    `"a:"`,
		"{a}":                   `"{a}"`,
		"<a> & #b":              `"<a> & #b"`,
		"":                      `""`,
	} {
		if got := quote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"serve", "check", "test", "explain", "version"}
	for word, want := range map[string]string{
		"serv": "serve", "chekc": "check", "tests": "test", "explian": "explain", "versoin": "version",
		"frobnicate": "", "x": "", "": "",
	} {
		got := didYouMean(word, names, "")
		if want != "" {
			want = "; did you mean " + want + "?"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	for _, d := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"abc", "abc", 0}, {"flaw", "lawn", 2}} {
		if got := distance(d.a, d.b); got != d.want {
			t.Errorf("%q to %q: %d, want %d", d.a, d.b, got, d.want)
		}
	}
}
