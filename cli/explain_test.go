package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hopgate/token"
)

const explainConfig = `
server: { listen: "127.0.0.1:0", max_target_bytes: 200, trusted_proxies: [127.0.0.1/32] }
admin: { listen: off }
log: { access: off }
cors: { origins: [https://app.example.com, "https://*.preview.example.com"], credentials: true }
issuers:
  main:
    preset: clerk
    issuer: https://clerk.example.com
    authorized_parties: [https://party.example.com]
    jwks: { file: keys.json }
upstreams:
  backend:
    endpoints: "${TEST_BACKEND}"
    secret: { header: Authorization, value: "Bearer ${TEST_SECRET}" }
routes:
  - { id: status, match: { path: /status, methods: [GET, POST] }, anonymous: true, upstream: backend }
  - id: self
    match: { path: "/users/{user_id}" }
    allow: principal.user_id == path.user_id
    upstream: backend
    request: { headers: { X-User-Id: "{principal.user_id}", X-Where: "${TEST_SECRET}" }, query: { limit: "50" } }
    cache: { ttl: 1m }
  - id: change
    match: { path: "/users/{user_id}", methods: [POST, PATCH] }
    deny: request.headers["x-maintenance"] == "yes"
    allow: principal.user_id == path.user_id && request.body.all(name, name == "first_name")
    upstream: backend
    request: { body: json }
    max_body_bytes: 100
  - { id: trial, match: { path: /trial }, allow: principal.user_id == "nobody", mode: report, upstream: backend }
  - { id: org, match: { path: /orgs }, allow: request.query.org_id == principal.org_id, upstream: backend }
  - { id: near, match: { path: /near }, anonymous: true, allow: client.ip.in_cidr("192.0.2.0/24"), upstream: backend }
`

// TestExplainAgreesWithTheGate asks a running gate and explain about the same
// requests: what explain says of the decision and of what is sent upstream is
// what happens.
func TestExplainAgreesWithTheGate(t *testing.T) {
	var got *http.Request
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(r.Context())
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(backend.Close)
	const secret = "sk_test_1234567890"
	t.Setenv("TEST_BACKEND", backend.URL)
	t.Setenv("TEST_SECRET", secret)

	dir := t.TempDir()
	file := filepath.Join(dir, "hopgate.yaml")
	writeFile(t, file, explainConfig)
	signer, err := token.NewSigner("RS256")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := token.NewSigner("RS256")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "keys.json"), string(signer.PublicJWKS()))
	mint := func(s *token.Signer, sub, azp string, ttl time.Duration) string {
		now := time.Now()
		tok, err := s.Sign(map[string]any{"iss": "https://clerk.example.com", "sub": sub, "azp": azp, "iat": now.Add(-time.Hour).Unix(), "exp": now.Add(ttl).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	alice := mint(signer, "alice", "https://party.example.com", time.Hour)
	bearer := func(tok string) string { return "Authorization: Bearer " + tok }
	cookie := "Cookie: __session=" + alice

	_, errs, _ := start(t, "serve", "-c", file)
	errs.await(t, `"msg":"serving"`)
	address := strings.TrimPrefix(servingAt.FindStringSubmatch(errs.String())[1], "http://")

	for i, c := range []struct {
		method, target, body string
		fields               []string
	}{
		{"GET", "/status", "", nil},
		{"HEAD", "/status", "", nil},
		{"DELETE", "/status", "", nil},
		{"GET", "/nothing", "", nil},
		{"GET", "/status?", "", nil},
		{"GET", "/status/", "", nil},
		{"GET", "//status", "", nil},
		{"GET", "/x/../status", "", nil},
		{"GET", "/%73tatus", "", nil},
		{"GET", "/status%2f", "", nil},
		{"GET", "/status?" + strings.Repeat("a", 200), "", nil},
		{"POST", "/status", "hello", []string{"Content-Type: text/plain", "X-Custom: 1", "X-Forwarded-User: root", "X-User-Id: root"}},
		{"GET", "/users/alice", "", nil},
		{"GET", "/users/alice", "", []string{bearer(alice), "Accept: application/json", "If-None-Match: x", "X-User-Id: bob", "x_user_id: bob"}},
		{"GET", "/users/alice?limit=7&page=2", "", []string{bearer(alice)}},
		{"GET", "/users/bob", "", []string{bearer(alice)}},
		{"GET", "/users/alice", "", []string{bearer(alice), bearer(alice)}},
		{"GET", "/users/alice", "", []string{"Authorization: Basic YTpi"}},
		{"GET", "/users/alice", "", []string{bearer(alice[:len(alice)-4] + "AAAA")}},
		{"GET", "/users/alice", "", []string{bearer("not.a.token")}},
		{"GET", "/users/alice", "", []string{bearer(mint(signer, "alice", "https://party.example.com", -time.Minute))}},
		{"GET", "/users/alice", "", []string{bearer(mint(signer, "alice", "https://evil.example.com", time.Hour))}},
		{"GET", "/users/alice", "", []string{bearer(mint(stranger, "alice", "https://party.example.com", time.Hour))}},
		{"GET", "/users/alice", "", []string{cookie}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{bearer(alice)}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{bearer(alice), "X-Maintenance: yes"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{bearer(alice), "X-Maintenance: no"}},
		{"PATCH", "/users/alice", `{"role":"A"}`, []string{bearer(alice), "X-Maintenance: no"}},
		{"PATCH", "/users/alice", `{`, []string{bearer(alice), "X-Maintenance: no"}},
		{"PATCH", "/users/alice", `{"first_name":"` + strings.Repeat("a", 100) + `"}`, []string{bearer(alice), "X-Maintenance: no"}},
		// A cookie on an unsafe method needs a proof of the user's own page.
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Origin: https://evil.example.com"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Origin: https://evil.example.com", "Sec-Fetch-Site: same-origin"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Origin: https://app.example.com"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Origin: https://a.preview.example.com"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Origin: https://a.b.preview.example.com"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Origin: https://party.example.com"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Origin: http://gate.example.com"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Sec-Fetch-Site: same-origin"}},
		{"PATCH", "/users/alice", `{"first_name":"A"}`, []string{cookie, "X-Maintenance: no", "Sec-Fetch-Site: same-site"}},
		{"OPTIONS", "/users/alice", "", []string{"Origin: https://app.example.com", "Access-Control-Request-Method: PATCH"}},
		{"OPTIONS", "/users/alice", "", []string{"Origin: https://evil.example.com", "Access-Control-Request-Method: PATCH"}},
		{"OPTIONS", "/users/alice", "", []string{"Access-Control-Request-Method: PATCH"}},
		{"OPTIONS", "/nothing", "", []string{"Origin: https://app.example.com", "Access-Control-Request-Method: PATCH"}},
		{"GET", "/trial", "", []string{bearer(alice)}},
		{"GET", "/orgs?org_id=a", "", []string{bearer(alice)}},
		{"GET", "/orgs?org_id=a&org_id=b", "", []string{bearer(alice)}},
		{"GET", "/orgs", "", []string{bearer(alice)}},
		{"GET", "/near", "", nil},
		{"GET", "/near", "", []string{"X-Forwarded-For: 192.0.2.9"}},
	} {
		name := fmt.Sprintf("%d %s %s", i, c.method, c.target)
		t.Run(name[:min(len(name), 40)], func(t *testing.T) {
			got = nil
			status, reason, header := raw(t, address, c.method, c.target, c.body, c.fields)

			args := []string{"explain", "-c", file, "--format", "json", "--offline", c.method, "http://gate.example.com" + c.target}
			for _, f := range c.fields {
				if ip, ok := strings.CutPrefix(f, "X-Forwarded-For: "); ok {
					args = append(args, "--client-ip", ip)
					continue
				}
				args = append(args, "-H", f)
			}
			if c.body != "" {
				args = append(args, "-d", c.body)
			}
			code, out, errs := command(args...)
			if code != exitOK || errs != "" {
				t.Fatalf("explain: %d %s", code, errs)
			}
			for _, hidden := range []string{secret, alice, alice[strings.LastIndexByte(alice, '.')+1:]} {
				if strings.Contains(out, hidden) {
					t.Errorf("it shows %q:\n%s", hidden, out)
				}
			}
			var x explanation
			if err := json.Unmarshal([]byte(out), &x); err != nil {
				t.Fatal(err)
			}
			d := x.Decision
			switch {
			case d.Effect == "deny":
				if c.method != "HEAD" && reason != string(d.Reason) || status != d.Status {
					t.Errorf("the gate answers %d %s, explain says %d %s", status, reason, d.Status, d.Reason)
				}
				if got != nil {
					t.Error("the gate asks the backend, explain says deny")
				}
			case d.Status == 204: // a preflight
				if status != 204 || got != nil {
					t.Errorf("the gate answers %d, explain says a preflight", status)
				}
			default:
				if status != 200 || got == nil {
					t.Fatalf("the gate answers %d %s, explain says allow", status, reason)
				}
				sentAsExplained(t, x.Upstream, got, secret)
			}
			if readable := header.Get("Access-Control-Allow-Origin") != ""; x.CORS != nil && x.CORS.Origin != "" && readable != x.CORS.Readable {
				t.Errorf("a page may read it: %v, explain says %v", readable, x.CORS.Readable)
			}
		})
	}
}

// raw sends a request exactly as it is written.
func raw(t *testing.T, address, method, target, body string, fields []string) (status int, reason string, header http.Header) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: gate.example.com\r\nConnection: close\r\n", method, target)
	typed := false
	for _, f := range fields {
		b.WriteString(f + "\r\n")
		typed = typed || strings.HasPrefix(f, "Content-Type:")
	}
	if body != "" {
		if !typed {
			b.WriteString("Content-Type: application/json\r\n")
		}
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	if _, err := io.WriteString(conn, b.String()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var problem struct{ Reason string }
	_ = json.Unmarshal(text, &problem) // the backend's answers have none
	return resp.StatusCode, problem.Reason, resp.Header
}

// sentAsExplained compares what the backend got with what explain said.
func sentAsExplained(t *testing.T, u *explainedUpstream, got *http.Request, secret string) {
	t.Helper()
	if got.Method != u.Method || got.RequestURI != u.Target {
		t.Errorf("the backend gets %s %s, explain says %s %s", got.Method, got.RequestURI, u.Method, u.Target)
	}
	explained := http.Header{}
	for _, f := range u.Headers {
		value := strings.ReplaceAll(f.Value, "${TEST_SECRET}", secret)
		if f.Name == "Authorization" {
			value = "Bearer " + secret // explain masks it
		}
		explained.Add(f.Name, value)
	}
	for _, f := range u.Client {
		explained.Add(f.Name, f.Value)
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via", "X-Request-Id", "Content-Length", "Accept-Encoding", "Connection"} {
		got.Header.Del(name)
	}
	want, _ := json.MarshalIndent(explained, "", " ")
	have, _ := json.MarshalIndent(got.Header, "", " ")
	if string(want) != string(have) {
		t.Errorf("the backend gets %s\nexplain says %s", have, want)
	}
}

// TestExplainFetchesKeys takes keys from the issuer where those on this
// machine do not suffice, and never touches the gate's cache_file.
func TestExplainFetchesKeys(t *testing.T) {
	signer, err := token.NewSigner("ES256")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write(signer.PublicJWKS())
	}))
	t.Cleanup(keys.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "hopgate.yaml")
	writeFile(t, file, fmt.Sprintf(`
issuers: { main: { issuer: https://issuer.example.test, jwks: { url: %q, cache_file: kept.json } } }
upstreams: { backend: { endpoints: "http://127.0.0.1:1" } }
routes: [{ id: a, match: { path: /a }, allow: "true", upstream: backend }]
`, keys.URL))
	tok, err := signer.Sign(map[string]any{"iss": "https://issuer.example.test", "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	explain := func(more ...string) string {
		code, out, errs := command(append([]string{"explain", "-c", file, "GET", "/a", "--token", tok}, more...)...)
		if code != exitOK {
			t.Fatalf("%d %s", code, errs)
		}
		return out
	}
	if out := explain("--offline"); !strings.Contains(out, "deny: keys_unavailable") || asked != 0 {
		t.Errorf("offline it asked %d times:\n%s", asked, out)
	}
	if out := explain(); !strings.Contains(out, "allow: allowed") || asked != 1 {
		t.Errorf("it asked %d times:\n%s", asked, out)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*kept*")); err != nil || len(left) > 0 {
		t.Errorf("it wrote %v (%v)", left, err)
	}
	keys.Close()
	if out := explain(); !strings.Contains(out, "deny: keys_unavailable") || !strings.Contains(out, "issuer main: ") {
		t.Errorf("with the issuer down it does not say why:\n%s", out)
	}
}

func TestExplainTakesTextsFromFiles(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "text")
	writeFile(t, name, "text")
	for value, want := range map[string]string{"plain": "plain", "@" + name: "text", "@-": "stdin"} {
		got, err := argument(Streams{In: strings.NewReader("stdin")}, value)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q %v", value, got, err)
		}
	}
	if _, err := argument(Streams{}, "@"+filepath.Join(dir, "nowhere")); !os.IsNotExist(err) {
		t.Error(err)
	}
}
