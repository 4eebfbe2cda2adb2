package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const userRoutes = `
routes:
  - id: status
    match: {path: /status}
    anonymous: true
    upstream: backend
  - id: read-self
    match: {path: "/v1/users/{user_id}"}
    allow: rules.is_self
    upstream: backend
  - id: update-self
    match: {methods: [PATCH, POST], path: "/v1/users/{user_id}"}
    allow: rules.is_self && request.body.name != "root"
    upstream: backend
    request: {body: json}
    max_body_bytes: 1KiB
  - id: search
    match: {path: /v1/search}
    allow: request.query.org == principal.org_id
    upstream: backend
  - id: trial
    match: {path: "/v1/trial/{user_id}"}
    allow: rules.is_self
    mode: report
    upstream: backend
  - id: anything
    match: {methods: [GET, POST, PUT, DELETE], path: "/any/{rest...}"}
    allow: "true"
    upstream: backend
`

// TestOutcomes takes one request of each kind through the gate.
func TestOutcomes(t *testing.T) {
	w := newWorld(t, settings(userRoutes))
	alice := w.bearer(claims{"sub": "alice", "org_id": "acme"})
	json := [2]string{"Content-Type", "application/json"}
	for _, c := range []struct {
		name, method, target, body string
		fields                     [][2]string
		status                     int
		reason                     string
	}{
		{"anonymous", "GET", "/status", "", nil, 200, ""},
		{"allowed", "GET", "/v1/users/alice", "", [][2]string{alice}, 200, ""},
		{"HEAD follows GET", "HEAD", "/v1/users/alice", "", [][2]string{alice}, 200, ""},
		{"denied", "GET", "/v1/users/bob", "", [][2]string{alice}, 403, "rule_denied"},
		{"no token", "GET", "/v1/users/alice", "", nil, 401, "token_missing"},
		{"no token on anonymous is fine, a bad one too", "GET", "/status", "", [][2]string{{"Authorization", "Bearer x"}}, 200, ""},
		{"bad token", "GET", "/v1/users/alice", "", [][2]string{{"Authorization", "Bearer x"}}, 401, "token_malformed"},
		{"expired", "GET", "/v1/users/alice", "", [][2]string{w.bearer(claims{"sub": "alice", "exp": time.Now().Add(-time.Hour).Unix()})}, 401, "token_expired"},
		{"other issuer", "GET", "/v1/users/alice", "", [][2]string{w.bearer(claims{"sub": "alice", "iss": "https://evil.example"})}, 401, "issuer_unknown"},
		{"no route", "GET", "/v2", "", [][2]string{alice}, 404, "route_not_found"},
		{"no method", "DELETE", "/v1/users/alice", "", [][2]string{alice}, 405, "method_not_allowed"},
		{"dot segment", "GET", "/v1/users/bob/../alice", "", [][2]string{alice}, 400, "target_not_canonical"},
		{"encoded slash", "GET", "/v1/users/alice%2fx", "", [][2]string{alice}, 400, "target_not_canonical"},
		{"duplicate parameter", "GET", "/v1/search?org=acme&org=evil", "", [][2]string{alice}, 400, "parameter_duplicated"},
		{"encoded duplicate parameter", "GET", "/v1/search?org=acme&%6frg=evil", "", [][2]string{alice}, 400, "parameter_duplicated"},
		{"parameter", "GET", "/v1/search?org=acme&q=1&q=2", "", [][2]string{alice}, 200, ""},
		{"wrong parameter", "GET", "/v1/search?org=evil", "", [][2]string{alice}, 403, "rule_denied"},
		{"no parameter", "GET", "/v1/search", "", [][2]string{alice}, 403, "rule_failed"},
		{"body", "PATCH", "/v1/users/alice", `{"name":"a"}`, [][2]string{alice, json}, 200, ""},
		{"body denied", "PATCH", "/v1/users/alice", `{"name":"root"}`, [][2]string{alice, json}, 403, "rule_denied"},
		{"body with two readings", "PATCH", "/v1/users/alice", `{"name":"a","name":"root"}`, [][2]string{alice, json}, 400, "body_malformed"},
		{"no JSON", "PATCH", "/v1/users/alice", `{`, [][2]string{alice, json}, 400, "body_malformed"},
		{"large body", "PATCH", "/v1/users/alice", `{"name":"` + strings.Repeat("x", 2000) + `"}`, [][2]string{alice, json}, 413, "body_too_large"},
		{"report mode", "GET", "/v1/trial/bob", "", [][2]string{alice}, 200, ""},
		{"long target", "GET", "/any/" + strings.Repeat("x", 9000), "", [][2]string{alice}, 414, "target_too_long"},
		{"two origins", "GET", "/status", "", [][2]string{{"Origin", "https://a.example"}, {"Origin", "https://b.example"}}, 400, "request_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.backend.hits.Load()
			r := w.do(c.method, c.target, c.body, c.fields...)
			if r.status != c.status || r.reason() != c.reason {
				t.Errorf("got %d %q, want %d %q: %s", r.status, r.reason(), c.status, c.reason, r.body)
			}
			if passed := w.backend.hits.Load() - before; passed != 0 && c.status != 200 {
				t.Error("what was refused reached the backend")
			}
			if r.header.Get("X-Request-Id") == "" || !strings.HasPrefix(r.header.Get("Server-Timing"), "hop;dur=") {
				t.Errorf("an answer lacks its id or timing: %v", r.header)
			}
			if c.reason != "" {
				checkProblem(t, r)
			}
		})
	}
	if v := w.metric(`hopgate_report_denials_total{reason="rule_denied",route="trial"}`); v != "1" {
		t.Errorf("report denials: %q", v)
	}
	log := w.logged()
	for line := range strings.Lines(log) {
		if strings.Contains(line, "eyJ") || strings.Contains(line, backendSecret) {
			t.Errorf("the log shows a token or the secret: %s", line)
		}
	}
	if !strings.Contains(log, `"reason":"rule_denied"`) || !strings.Contains(log, `"user_id":"alice"`) {
		t.Errorf("the log lacks decisions:\n%s", log)
	}
}

// checkProblem checks an error answer: RFC 9457, RFC 6750 section 3.
func checkProblem(t *testing.T, r reply) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Reason string
		Status                      int
		RequestID                   string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	if r.header.Get("Content-Type") != "application/problem+json" || p.Status != r.status || p.Title == "" ||
		!strings.HasSuffix(p.Type, p.Reason) || p.RequestID != r.header.Get("X-Request-Id") || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("not a good problem document: %v %s", r.header, r.body)
	}
	challenge := r.header.Get("WWW-Authenticate")
	switch {
	case p.Reason == "token_missing" && (challenge == "" || strings.Contains(challenge, "error=")),
		r.status == 401 && !strings.HasPrefix(challenge, "Bearer"),
		r.status == 405 && r.header.Get("Allow") == "":
		t.Errorf("challenge %q, Allow %q", challenge, r.header.Get("Allow"))
	}
}

// TestTokenPlaces finds tokens in the cookie too, and asks for proof of
// origin there.
func TestTokenPlaces(t *testing.T) {
	w := newWorld(t, settings(userRoutes+`
cors: {origins: ["https://app.example"], credentials: true}
`))
	cookie := [2]string{"Cookie", "session=" + w.token(claims{"sub": "alice"})}
	for _, c := range []struct {
		name, method string
		fields       [][2]string
		status       int
	}{
		{"GET", "GET", nil, 200},
		{"POST without proof", "POST", nil, 403},
		{"POST from the own origin", "POST", [][2]string{{"Origin", w.url}}, 200},
		{"POST from a listed origin", "POST", [][2]string{{"Origin", "https://app.example"}}, 200},
		{"POST from elsewhere", "POST", [][2]string{{"Origin", "https://evil.example"}}, 403},
		{"POST from null", "POST", [][2]string{{"Origin", "null"}}, 403},
		{"POST, same-origin by fetch metadata", "POST", [][2]string{{"Sec-Fetch-Site", "same-origin"}}, 200},
		{"POST, cross-site by fetch metadata", "POST", [][2]string{{"Sec-Fetch-Site", "cross-site"}}, 403},
		{"POST, same-site is another site's page too", "POST", [][2]string{{"Sec-Fetch-Site", "same-site"}}, 403},
		{"POST, elsewhere though fetch metadata is good", "POST", [][2]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-origin"}}, 403},
	} {
		r := w.do(c.method, "/any/x", "", append(c.fields, cookie)...)
		if r.status != c.status {
			t.Errorf("%s: %d %s", c.name, r.status, r.body)
		}
	}
	if got := w.backend.last(t).header.Get("Cookie"); got != "" {
		t.Errorf("the session cookie went upstream: %q", got)
	}
}

func TestCORS(t *testing.T) {
	w := newWorld(t, settings(userRoutes+`
  - id: other
    match: {path: /other}
    anonymous: true
    upstream: backend
    cors: {origins: "*"}
  - id: tenants
    match: {path: /tenants}
    anonymous: true
    upstream: backend
    cors: {origins: "https://*.tenants.example"}
cors: {origins: ["https://app.example"], credentials: true, expose: [X-Total]}
`))
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "https://evil.example") // is not the backend's to say
		rw.Header().Set("Access-Control-Allow-Credentials", "true")
	})
	app := [2]string{"Origin", "https://app.example"}
	for _, c := range []struct {
		name, method, target string
		fields               [][2]string
		status               int
		origin, methods      string
	}{
		{"preflight", "OPTIONS", "/v1/users/alice", [][2]string{app, {"Access-Control-Request-Method", "PATCH"}}, 204, "https://app.example", "GET, HEAD, PATCH, POST"},
		{"preflight from elsewhere", "OPTIONS", "/v1/users/alice", [][2]string{{"Origin", "https://evil.example"}, {"Access-Control-Request-Method", "PATCH"}}, 204, "", ""},
		{"preflight for any", "OPTIONS", "/other", [][2]string{{"Origin", "https://evil.example"}, {"Access-Control-Request-Method", "GET"}}, 204, "*", "GET, HEAD"},
		{"preflight of no path", "OPTIONS", "/nowhere", [][2]string{app, {"Access-Control-Request-Method", "GET"}}, 404, "https://app.example", ""},
		{"plain OPTIONS", "OPTIONS", "/v1/users/alice", [][2]string{app}, 405, "https://app.example", ""},
		{"answer", "GET", "/status", [][2]string{app}, 200, "https://app.example", ""},
		{"answer elsewhere", "GET", "/status", [][2]string{{"Origin", "https://evil.example"}}, 200, "", ""},
		{"error", "GET", "/v1/users/alice", [][2]string{app}, 401, "https://app.example", ""},
		{"pattern", "GET", "/tenants", [][2]string{{"Origin", "https://a.tenants.example"}}, 200, "https://a.tenants.example", ""},
		{"pattern is one label", "GET", "/tenants", [][2]string{{"Origin", "https://a.b.tenants.example"}}, 200, "", ""},
		{"pattern is no substring", "GET", "/tenants", [][2]string{{"Origin", "https://evil.example/.tenants.example"}}, 400, "", ""},
	} {
		r := w.do(c.method, c.target, "", c.fields...)
		if r.status != c.status || r.header.Get("Access-Control-Allow-Origin") != c.origin || r.header.Get("Access-Control-Allow-Methods") != c.methods {
			t.Errorf("%s: %d %v", c.name, r.status, r.header)
		}
		if n := len(r.header.Values("Access-Control-Allow-Origin")); n > 1 {
			t.Errorf("%s: %d lines of Access-Control-Allow-Origin", c.name, n)
		}
		if c.origin != "*" && c.status != 400 && !strings.Contains(strings.Join(r.header.Values("Vary"), ","), "Origin") {
			t.Errorf("%s: Vary is %v", c.name, r.header.Values("Vary"))
		}
	}
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: limited
    match: {path: /limited}
    allow: "true"
    upstream: backend
    limit: {rate: 60/m, burst: 2, by: user}
`))
	alice, bob := w.bearer(claims{"sub": "alice"}), w.bearer(claims{"sub": "bob"})
	for i, want := range []int{200, 200, 429} {
		r := w.do("GET", "/limited", "", alice)
		if r.status != want || !strings.HasPrefix(r.header.Get("RateLimit"), `"user";r=`) || r.header.Get("RateLimit-Policy") == "" {
			t.Errorf("request %d: %d %v", i, r.status, r.header)
		}
		if want == 429 && r.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
		}
	}
	if r := w.do("GET", "/limited", "", bob); r.status != 200 {
		t.Errorf("bob pays for alice: %d", r.status)
	}
	// A reload refills nobody's budget.
	w.publish(t.Context(), settings(`
routes:
  - id: limited
    match: {path: /limited}
    allow: principal.user_id != "x"
    upstream: backend
    limit: {rate: 60/m, burst: 2, by: user}
`))
	if r := w.do("GET", "/limited", "", alice); r.status != 429 {
		t.Errorf("after a reload: %d", r.status)
	}
	w.advance(time.Second)
	if r := w.do("GET", "/limited", "", alice); r.status != 200 {
		t.Errorf("a second later: %d", r.status)
	}
}

// TestPanic shows that a fault of ours is a 500 for one request only.
func TestPanic(t *testing.T) {
	w := newWorld(t, settings(userRoutes))
	broken := w.compile(settings(userRoutes))
	broken.routes[0] = nil // the first route's requests fail inside
	w.gate.Publish(t.Context(), broken)
	if r := w.do("GET", "/status", ""); r.status != 500 || r.reason() != "internal_error" {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if r := w.do("GET", "/v1/users/alice", "", w.bearer(claims{"sub": "alice"})); r.status != 200 {
		t.Errorf("another request got %d", r.status)
	}
	if v := w.metric("hopgate_panics_total"); v != "1" {
		t.Errorf("panics counted: %s", v)
	}
}

// TestTransports asks the same of both transports.
func TestTransports(t *testing.T) {
	cert := certificate(t)
	w := newWorld(t, strings.Replace(settings(userRoutes), `server: {listen: "127.0.0.1:0"}`,
		fmt.Sprintf(`server: {listen: "127.0.0.1:0", tls: {cert_file: %s, key_file: %s}}`, cert.certFile, cert.keyFile), 1))
	one, two := cert.client(false), cert.client(true)
	alice := w.bearer(claims{"sub": "alice", "org_id": "acme"})
	json := [2]string{"Content-Type", "application/json"}
	for _, c := range []struct {
		method, target, body string
		fields               [][2]string
	}{
		{"GET", "/status", "", nil},
		{"GET", "/v1/users/alice", "", [][2]string{alice}},
		{"HEAD", "/v1/users/alice", "", [][2]string{alice}},
		{"GET", "/v1/users/alice", "", nil},
		{"GET", "/v1/users/bob", "", [][2]string{alice}},
		{"GET", "/v1/users/bob/../alice", "", [][2]string{alice}},
		{"GET", "/v1//users/alice", "", [][2]string{alice}},
		{"GET", "/v1/users/%61lice", "", [][2]string{alice}},
		{"PATCH", "/v1/users/alice", `{"name":"a"}`, [][2]string{alice, json}},
		{"PATCH", "/v1/users/alice", `{"name":"root"}`, [][2]string{alice, json}},
		{"PATCH", "/v1/users/alice", strings.Repeat("x", 5000), [][2]string{alice, json}},
		{"POST", "/any/x", strings.Repeat("x", 100_000), [][2]string{alice}},
		{"DELETE", "/any/x?a=b%20c", "", [][2]string{alice}},
		{"DELETE", "/nowhere", "", nil},
	} {
		a, b := w.doWith(one, c.method, c.target, c.body, c.fields...), w.doWith(two, c.method, c.target, c.body, c.fields...)
		if a.status != b.status || a.reason() != b.reason() {
			t.Errorf("%s %s: HTTP/1.1 %d %s, HTTP/2 %d %s", c.method, c.target, a.status, a.body, b.status, b.body)
		}
		for _, h := range []http.Header{a.header, b.header} {
			for _, volatile := range []string{"X-Request-Id", "Server-Timing", "Date", "Connection", "Content-Length"} {
				h.Del(volatile)
			}
		}
		if x, y := headerText(a.header), headerText(b.header); x != y {
			t.Errorf("%s %s: fields of HTTP/1.1\n%sfields of HTTP/2\n%s", c.method, c.target, x, y)
		}
	}
}
