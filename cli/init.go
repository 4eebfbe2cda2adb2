package cli

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"hopgate/token"
)

//go:embed templates/hopgate.yaml.tmpl
var configTemplate string

//go:embed templates/hopgate.test.yaml.tmpl
var testTemplate string

func newInit(s Streams) *cobra.Command {
	var preset, dir string
	c := &cobra.Command{
		Use:   "init --preset NAME",
		Short: "Write a configuration to start from, and a policy test for it",
		Long: `Writes hopgate.yaml, commented, for an identity provider, and hopgate.test.yaml
with policy tests that pass. What is there already is never overwritten.

Presets:
` + presetList(),
		Example: `  hopgate init --preset clerk
  hopgate init --preset auth0 --dir /etc/hopgate`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return runInit(s, preset, dir) },
	}
	f := c.Flags()
	f.StringVar(&preset, "preset", "", "identity provider: "+strings.Join(presetNames(), ", "))
	words(c, "preset", presetNames()...)
	f.StringVar(&dir, "dir", ".", "folder to write to; it is made where it is missing")
	return c
}

func presetNames() []string {
	var names []string
	for _, p := range token.Presets() {
		names = append(names, p.Name)
	}
	return names
}

func presetList() string {
	var b strings.Builder
	for _, p := range token.Presets() {
		fmt.Fprintf(&b, "  %-10s %s\n", p.Name, p.Title)
	}
	return strings.TrimRight(b.String(), "\n")
}

func runInit(s Streams, name, dir string) error {
	if name == "" {
		return unusable("--preset is missing; it should be one of %s (oidc is any OpenID provider)", strings.Join(presetNames(), ", "))
	}
	all := token.Presets()
	at := slices.IndexFunc(all, func(p token.Preset) bool { return p.Name == name })
	if at < 0 {
		return unusable("there is no preset %q%s Presets are %s", name, cmp.Or(didYouMean(name, presetNames(), ""), "."), strings.Join(presetNames(), ", "))
	}
	start := newStarter(all[at])
	files := map[string]string{"hopgate.yaml": configTemplate, "hopgate.test.yaml": testTemplate}
	names := slices.Sorted(maps.Keys(files))
	for _, file := range names {
		path := filepath.Join(dir, file)
		if _, err := os.Lstat(path); err == nil {
			return unusable("%s is there already and is not overwritten; choose another folder with --dir, or move it away", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return unusable("cannot write: %v", err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing secret is written
		return unusable("cannot make the folder: %v", err)
	}
	for _, file := range names {
		if err := writeNew(filepath.Join(dir, file), start.render(files[file])); err != nil {
			return unusable("cannot write: %v", err)
		}
	}
	config := filepath.Join(dir, "hopgate.yaml")
	flag := ""
	if dir != "." {
		flag = " -c " + config
	}
	_, err := fmt.Fprintf(s.Out, `%s and %s are written.

Next:
  1. Change the lines of %s marked <--.
  2. export %s=...    # the backend's secret; never in the file
  3. hopgate check%s
  4. hopgate test%s
  5. hopgate serve%s
`, config, filepath.Join(dir, "hopgate.test.yaml"), config, start.secret, flag, flag, flag)
	return err
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // nothing secret is written
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// starter fills the templates of init: {{word}} is a text, and a line that
// ends in the {{word}} of a list stands once for each of its items.
type starter struct {
	secret string // environment variable
	texts  *strings.Replacer
	lists  map[string][]string
}

func newStarter(p token.Preset) *starter {
	// Clerk is identity provider and backend in one.
	endpoint, secret := "https://backend.example.com", "BACKEND_SECRET_KEY" //nolint:gosec // a variable's name
	if p.Name == "clerk" {
		endpoint, secret = "https://api.clerk.com", "CLERK_SECRET_KEY" //nolint:gosec // a variable's name
	}
	s := &starter{
		secret: secret,
		texts: strings.NewReplacer(
			"{{name}}", p.Name,
			"{{title}}", p.Title,
			"{{issuer}}", p.Issuer,
			"{{endpoint}}", endpoint,
			"{{secret}}", secret,
			"{{path}}", "/v1/users/"+url.PathEscape(p.User), // of the test's user
		),
		lists: map[string][]string{"{{mapping}}": p.Mapping, "{{comment}}": nil, "{{accepted}}": nil, "{{claims}}": nil},
	}
	for _, line := range p.Comment {
		s.lists["{{comment}}"] = append(s.lists["{{comment}}"], "# "+line)
	}
	for _, a := range []struct{ key, value string }{
		{"audiences", p.Audience}, {"authorized_parties", p.Party}, {"client_ids", p.ClientID},
	} {
		if a.value != "" {
			s.lists["{{accepted}}"] = append(s.lists["{{accepted}}"], a.key+": ["+quote(a.value)+"] # <--")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		if name == "iss" {
			continue // filled in from the configuration, so that it follows it
		}
		s.lists["{{claims}}"] = append(s.lists["{{claims}}"], quote(name)+": "+flow(p.Claims[name]))
	}
	return s
}

// render is a dozen lines because text/template would keep the linker from
// leaving out of the program what nothing calls.
func (s *starter) render(text string) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(text) {
		before, word := line, ""
		if i := strings.LastIndex(line, "{{"); i >= 0 {
			before, word = line[:i], strings.TrimSuffix(line[i:], "\n")
		}
		list, ok := s.lists[word]
		if !ok {
			b.WriteString(s.texts.Replace(line))
		}
		for _, item := range list {
			b.WriteString(before + item + "\n")
		}
	}
	return b.Bytes()
}

var plainScalar = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./:|-]*$`) })

// quote writes a text as a YAML scalar, in quotes where it needs them.
func quote(s string) string {
	if plainScalar().MatchString(s) && !strings.HasSuffix(s, ":") && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return flow(s)
}

// flow writes a value in YAML's flow style, of which JSON is a part.
func flow(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // the presets' claims are plain data
	}
	return strings.TrimSpace(b.String())
}
