package policy

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"hopgate/config"
	"hopgate/token"
)

var update = flag.Bool("update", false, "write the generated parts of the documentation anew")

// preamble is what a configuration needs besides rules and routes.
const preamble = `issuers: { clerk: { preset: clerk, issuer: "https://clerk.example.com" } }
upstreams: { u: { endpoints: "https://api.example.com", secret: { header: X-Api-Key, value: s3cret } } }
`

// parseConfig reads rules and routes. Their first line is line 1 of the file,
// so that positions in tests are those of the text given.
func parseConfig(t testing.TB, text string) (*config.Config, *config.Errors) {
	t.Helper()
	cfg, errs := config.Parse("hopgate.yaml", []byte(text+"\n"+preamble), func(string) (string, bool) { return "", false })
	if cfg == nil {
		t.Fatal(errs.Err())
	}
	return cfg, errs
}

// load compiles rules and routes that have no fault.
func load(t testing.TB, text string) *Policy {
	t.Helper()
	cfg, errs := parseConfig(t, text)
	p := Compile(cfg, errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// faults gives the faults of rules and routes, sorted, one to a line, without
// the file's name.
func faults(t testing.TB, text string) string {
	t.Helper()
	cfg, _ := parseConfig(t, text)
	errs := &config.Errors{}
	Compile(cfg, errs)
	err := errs.Err()
	if err == nil {
		return ""
	}
	var fault *config.Error
	if !errors.As(err, &fault) {
		t.Errorf("no *config.Error in %v", err)
	}
	if strings.Contains(err.Error(), "%!") {
		t.Errorf("a broken message: %v", err)
	}
	return strings.ReplaceAll(err.Error(), "hopgate.yaml:", "")
}

// warnings gives the warnings the same way.
func warnings(t testing.TB, text string) string {
	t.Helper()
	cfg, errs := parseConfig(t, text)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	errs = &config.Errors{}
	Compile(cfg, errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, w := range errs.Warnings() {
		lines = append(lines, strings.TrimPrefix(w.Error(), "hopgate.yaml:"))
	}
	return strings.Join(lines, "\n")
}

// requestFields are the fields of a request.
type requestFields map[string][]string

func (f requestFields) Field(name string) (string, int) {
	for k, v := range f {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0], len(v)
		}
	}
	return "", 0
}

var (
	noon  = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	alice = (&token.Principal{
		UserID: "user_alice", OrgID: "org_a", OrgRole: "admin", SessionID: "sess_1", Issuer: "https://clerk.example.com",
		Preset: "clerk", Roles: []string{"editor"}, Permissions: []string{"org:members:read"}, Scopes: []string{"read"},
	}).WithClaims(map[string]any{
		"sub": "user_alice", "admin": true, "level": int64(3), "ratio": 0.5, "none": nil, "org": "org_a",
		"groups": []any{"a", "b", int64(1)}, "meta": map[string]any{"tier": "gold", "n": int64(1)},
	})
)

// request makes a request of a target.
func request(method, target string) *Request {
	path, query, _ := strings.Cut(target, "?")
	return &Request{
		Method: method, Scheme: "https", Host: "api.example.com", Path: path, RawQuery: query,
		ClientIP: netip.MustParseAddr("192.0.2.1"), Now: noon,
	}
}

// decide takes a request to its decision.
func decide(t testing.TB, p *Policy, in *Request, who *token.Principal) Decision {
	t.Helper()
	var m Match
	if r := p.Match(&m, in.Method, in.Host, in.Path); r != Allowed {
		t.Fatalf("%s %s: %s", in.Method, in.Path, r)
	}
	return m.Route.Decide(&m, in, who)
}

// golden compares a part of a document between two markers.
func golden(t *testing.T, file, begin, end, want string) {
	t.Helper()
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(doc), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no part between %s and %s", file, begin, end)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not up to date; run this test with -update", file)
	}
	if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
