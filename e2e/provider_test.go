package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// provider is a running OpenID provider (panva's oidc-provider).
type provider struct {
	Issuer   string
	Audience string
	stdin    io.WriteCloser
	said     *bufio.Scanner
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	if _, err := os.Stat("oidc-provider/node_modules/oidc-provider"); err != nil {
		t.Skip("the OpenID provider is not installed: run 'make e2e-deps' (needs Node.js and npm)")
	}
	cmd := exec.Command("node", "server.mjs")
	cmd.Dir = "oidc-provider"
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &provider{stdin: stdin, said: bufio.NewScanner(stdout)}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	p.next(t, p)
	return p
}

// next reads the provider's next line of JSON into v.
func (p *provider) next(t *testing.T, v any) {
	t.Helper()
	for p.said.Scan() {
		if strings.HasPrefix(p.said.Text(), "{") {
			if err := json.Unmarshal(p.said.Bytes(), v); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the provider ended: %v", p.said.Err())
}

func (p *provider) rotate(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, "rotate\n"); err != nil {
		t.Fatal(err)
	}
	var said struct{ Rotated bool }
	p.next(t, &said)
}

// token asks for an access token as a client would.
func (p *provider) token(t *testing.T, who, alg string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}
	req, err := http.NewRequest("POST", p.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(who, who+"-secret")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Test-Alg", alg)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Token string `json:"access_token"`
		Error string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("no token: %v %s", err, got.Error)
	}
	return got.Token
}

func (p *provider) config(upstream string) string {
	return `
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
issuers:
  provider:
    preset: oidc
    issuer: ` + p.Issuer + `
    audiences: [` + p.Audience + `]
    algorithms: [RS256, ES256]
    claims: {org_id: org_id, permissions: permissions}
    jwks: {min_interval: 100ms}
upstreams:
  backend: {endpoints: ["` + upstream + `"]}
routes:
  - id: members
    match: {path: "/orgs/{org_id}/members"}
    allow: principal.org_id == path.org_id && principal.has_permission("org:members:read") && principal.has_scope("read")
    upstream: backend
`
}

// TestProvider verifies tokens of a provider that others wrote: keys by
// discovery, two algorithms, and a rotation while the gate runs.
func TestProvider(t *testing.T) {
	p := startProvider(t)
	b := startBackend(t)
	g := serve(t, p.config(b.url))

	for _, alg := range []string{"RS256", "ES256"} {
		alice := p.token(t, "alice", alg)
		if a := get(t, g.url+"/orgs/org_acme/members", alice); a.status != 200 || !strings.Contains(a.body, `"path":"/orgs/org_acme/members"`) {
			t.Errorf("%s: alice gets %d %s", alg, a.status, a.body)
		}
		if a := get(t, g.url+"/orgs/org_globex/members", alice); a.status != 403 || a.reason() != "rule_denied" {
			t.Errorf("%s: alice gets %d %s of another organization", alg, a.status, a.body)
		}
		if a := get(t, g.url+"/orgs/org_acme/members", p.token(t, "bob", alg)); a.reason() != "rule_denied" {
			t.Errorf("%s: bob gets %d %s without the permission", alg, a.status, a.body)
		}
	}
	if a := get(t, g.url+"/orgs/org_acme/members", ""); a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("no token gets %d %v", a.status, a.header)
	}

	old := p.token(t, "alice", "ES256")
	p.rotate(t)
	fresh := p.token(t, "alice", "ES256")
	waitFor(t, "the rotated key is found", func() bool {
		return get(t, g.url+"/orgs/org_acme/members", fresh).status == 200
	})
	// This provider drops its old keys at once: what they signed is void,
	// also where it was verified before.
	if a := get(t, g.url+"/orgs/org_acme/members", old); a.status != 401 || a.reason() != "key_unknown" {
		t.Errorf("a token of the removed key gets %d %s", a.status, a.body)
	}
}
