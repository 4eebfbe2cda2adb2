package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func (w *world) inspect(t *testing.T, q Question) *Inspection {
	t.Helper()
	in, err := w.gate.Inspect(t.Context(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return in
}

const inspectedRoutes = `
routes:
  - id: user
    match: {path: "/users/{user_id}"}
    allow: rules.is_self
    upstream: backend
    cache: {ttl: 10s, stale_while_revalidate: 10s, stale_if_error: 100s, scope: user}
  - id: org
    match: {path: "/orgs/{org_id}"}
    allow: "true"
    upstream: backend
    cache: {ttl: origin, scope: org}
  - id: plain
    match: {path: /plain, methods: [GET, POST]}
    allow: client.ip == "192.0.2.7"
    mode: report
    upstream: backend
    limit: {rate: 1/h}
`

// TestInspectDecides decides as a request is decided on, and leaves no trace.
func TestInspectDecides(t *testing.T) {
	w := newWorld(t, settings("cors: {origins: ['https://app.example']}\n"+inspectedRoutes))
	alice := w.token(claims{"sub": "alice"})
	for _, test := range []struct {
		name   string
		q      Question
		effect string
		reason string
		route  string
		cached bool
	}{
		{"allowed", Question{Method: "GET", URL: w.url + "/users/alice", Token: alice}, "allow", "allowed", "user", true},
		{"denied", Question{Method: "GET", URL: w.url + "/users/bob", Token: alice}, "deny", "rule_denied", "user", false},
		{"without a token", Question{Method: "GET", URL: w.url + "/users/alice"}, "deny", "token_missing", "user", false},
		{"a token in a field", Question{Method: "GET", URL: w.url + "/users/alice", Fields: [][2]string{{"Authorization", "Bearer " + alice}}}, "allow", "allowed", "user", true},
		{"two tokens", Question{Method: "GET", URL: w.url + "/users/alice", Token: alice, Fields: [][2]string{{"Authorization", "Bearer " + alice}}}, "deny", "token_malformed", "user", false},
		{"a bad token", Question{Method: "GET", URL: w.url + "/users/alice", Token: alice[:len(alice)-86] + strings.Repeat("A", 86)}, "deny", "signature_invalid", "user", false},
		{"no route", Question{Method: "GET", URL: w.url + "/nothing", Token: alice}, "deny", "route_not_found", "", false},
		{"no method", Question{Method: "PUT", URL: w.url + "/plain", Token: alice}, "deny", "method_not_allowed", "", false},
		{"no target", Question{Method: "GET", URL: w.url + "/a/../b", Token: alice}, "deny", "target_not_canonical", "", false},
		{"no host", Question{Method: "GET", URL: "http://a b/", Token: alice}, "deny", "request_malformed", "", false},
		{"two hosts", Question{Method: "GET", URL: w.url + "/users/alice", Token: alice, Fields: [][2]string{{"Host", "a"}, {"host", "a"}}}, "deny", "request_malformed", "", false},
		{"two framings", Question{Method: "GET", URL: w.url + "/users/alice", Token: alice, Fields: [][2]string{{"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}}}, "deny", "request_malformed", "", false},
		{"report mode", Question{Method: "POST", URL: w.url + "/plain", Token: alice}, "allow", "allowed", "plain", false},
		{"a preflight", Question{Method: "OPTIONS", URL: w.url + "/users/alice", Fields: [][2]string{{"Origin", "https://app.example"}, {"Access-Control-Request-Method", "GET"}}}, "allow", "allowed", "user", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := w.inspect(t, test.q)
			if in.Decision.Effect != test.effect || string(in.Decision.Reason) != test.reason || in.Route != test.route || (in.Cache != nil) != test.cached {
				t.Errorf("%+v", in)
			}
			if (in.Decision.ReportOnly == "rule_denied") != (test.name == "report mode") {
				t.Errorf("report only: %q", in.Decision.ReportOnly)
			}
			text, err := json.Marshal(in)
			if err != nil || strings.Contains(string(text), alice[len(alice)-20:]) || strings.Contains(string(text), alice[:20]) {
				t.Errorf("%v %s", err, text)
			}
		})
	}
	if in := w.inspect(t, Question{Method: "GET", URL: w.url + "/plain", Token: alice, ClientIP: netip.MustParseAddr("192.0.2.7")}); in.Decision.ReportOnly != "" {
		t.Errorf("from 192.0.2.7: %+v", in.Decision)
	}
	if n := w.backend.hits.Load(); n != 0 {
		t.Errorf("%d requests upstream", n)
	}
	if r := w.do("GET", "/plain", "", [2]string{"Authorization", "Bearer " + alice}); r.status != 200 {
		t.Errorf("inspections took from the rate limit: %d", r.status)
	}
	if n := w.metric(`hopgate_requests_total{decision="deny"`); n != "" {
		t.Errorf("an inspection was counted: %s", n)
	}
	if log := w.logged(); strings.Count(log, "\n") != 1 {
		t.Errorf("inspections were logged:\n%s", log)
	}
}

// TestInspectShowsTheCache follows one answer through its life.
func TestInspectShowsTheCache(t *testing.T) {
	w := newWorld(t, settings(inspectedRoutes))
	alice := w.token(claims{"sub": "alice", "org_id": "acme", "sid": "sess_1"})
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Vary", "Accept-Language")
		_, _ = io.WriteString(rw, "secret of alice")
	})
	q := Question{Method: "GET", URL: w.url + "/users/alice?a=b", Token: alice}
	in := w.inspect(t, q).Cache
	tags := "route:user principal:alice session:sess_1 organization:acme uri:" + w.url + "/users/alice"
	if in.State != "miss" || in.Why != "nothing is stored for it" || in.Scope != "user" || in.Found != nil || strings.Join(in.Tags, " ") != tags {
		t.Errorf("%+v", in)
	}
	key := in.Key
	w.do("GET", "/users/alice?a=b", "", [2]string{"Authorization", "Bearer " + alice})
	in = w.inspect(t, q).Cache
	if in.State != "fresh" || !strings.HasPrefix(in.Why, "it stays fresh for 9.") && in.Why != "it stays fresh for 10s" || in.Key != key || in.TTL <= 9 || len(in.Found) != 1 {
		t.Fatalf("%+v", in)
	}
	if f := in.Found[0]; f.Status != 200 || f.Bytes < 100 || !f.Selected || f.State != "fresh" || f.Purged != "" || f.Vary[0] != "accept-language" {
		t.Errorf("%+v", f)
	}
	for state, ask := range map[string]Question{
		"what is stored is for other values of the fields": {Method: "GET", URL: q.URL, Token: alice, Fields: [][2]string{{"Accept-Language", "de"}}},
		"nothing is stored for it":                         {Method: "GET", URL: w.url + "/users/alice", Token: alice},
		"If-Match":                                         {Method: "GET", URL: q.URL, Token: alice, Fields: [][2]string{{"If-Match", `"x"`}}},
	} {
		if in := w.inspect(t, ask).Cache; !strings.Contains(in.Why, state) {
			t.Errorf("%s: %+v", state, in)
		}
	}
	if in := w.inspect(t, Question{Method: "GET", URL: w.url + "/users/alice", Token: alice, Fields: [][2]string{{"Cache-Control", "only-if-cached"}}}).Cache; in.State != "only-if-cached" {
		t.Errorf("%+v", in)
	}
	if in := w.inspect(t, Question{Method: "GET", URL: w.url + "/orgs/x", Token: w.token(claims{"sub": "bob"})}).Cache; in.State != "bypass" || !strings.Contains(in.Why, "lacks what scope org") || in.Key != "" {
		t.Errorf("%+v", in)
	}
	for _, step := range []struct {
		by         time.Duration
		state, why string
	}{
		{15 * time.Second, "stale", "it has been stale for 5"},
		{45 * time.Second, "expired", "the upstream is asked, and it is given where that fails"},
		{time.Hour, "miss", "stale for longer than it may be given"},
	} {
		w.advance(step.by)
		if in := w.inspect(t, q).Cache; in.State != step.state || !strings.Contains(in.Why, step.why) {
			t.Errorf("after %v: %+v", step.by, in)
		}
	}
	w.do("GET", "/users/alice?a=b", "", [2]string{"Authorization", "Bearer " + alice})
	for _, step := range []struct {
		purge              Purge
		state, why, purged string
	}{
		{Purge{Keys: []string{key}, Soft: true}, "stale", "it was purged softly; it is given all the same, and another is fetched meanwhile", "soft"},
		{Purge{Keys: []string{key}}, "miss", "what is stored was purged", "hard"},
	} {
		if err := w.gate.Purge(step.purge); err != nil {
			t.Fatal(err)
		}
		if in := w.inspect(t, q).Cache; in.State != step.state || in.Why != step.why || in.Found[0].Purged != step.purged {
			t.Errorf("%+v", in)
		}
	}
	if n := w.backend.hits.Load(); n != 2 {
		t.Errorf("%d requests upstream", n)
	}
}

// TestInspectHidesTokens: one that stands in the query is not shown in the
// tag of its URI.
func TestInspectHidesTokens(t *testing.T) {
	w := newWorld(t, strings.Replace(settings(inspectedRoutes), "{cookie: session}", "{query: access_token}", 1))
	alice := w.token(claims{"sub": "alice"})
	for _, q := range []Question{
		{Method: "GET", URL: w.url + "/users/alice?access_token=" + alice},
		{Method: "GET", URL: w.url + "/users/alice", Token: alice},
	} {
		in := w.inspect(t, q)
		text, _ := json.Marshal(in)
		if in.Decision.Effect != "allow" || strings.Contains(string(text), alice[:20]) || !strings.Contains(string(text), "/users/alice") {
			t.Errorf("%s", text)
		}
	}
}

// TestCacheState adds up what each route keeps, also after a reload.
func TestCacheState(t *testing.T) {
	w := newWorld(t, settings(inspectedRoutes))
	for _, name := range []string{"alice", "bob"} {
		for range 2 {
			w.do("GET", "/users/"+name, "", w.bearer(claims{"sub": name}))
		}
	}
	s := w.gate.CacheState()
	if len(s.Routes) != 2 || s.MaxBytes != 64<<20 || s.MaxEntryBytes != 1<<20 || s.Entries != 2 || s.Outdated.Entries != 0 {
		t.Fatalf("%+v", s)
	}
	user, org := s.Routes[0], s.Routes[1]
	if user.ID != "user" || user.Scope != "user" || user.TTL != "10s" || user.Entries != 2 || user.Bytes != s.Bytes || user.Requests["hit"] != 2 || user.Requests["miss"] != 2 {
		t.Errorf("%+v", user)
	}
	if org.TTL != "origin" || org.Entries != 0 || org.Requests["hit"] != 0 {
		t.Errorf("%+v", org)
	}
	w.publish(t.Context(), settings(strings.Replace(inspectedRoutes, "scope: user}", "scope: user}\n    response: {remove: [x]}", 1)))
	s = w.gate.CacheState()
	if s.Routes[0].Entries != 0 || s.Outdated.Entries != 2 || s.Outdated.Bytes != s.Bytes || s.Routes[0].Requests["hit"] != 2 {
		t.Errorf("after a reload: %+v", s)
	}
	if New(Options{Metrics: w.metrics}).CacheState() != nil {
		t.Error("without a configuration")
	}
}

func TestInspectThatCannotBeMeant(t *testing.T) {
	w := newWorld(t, settings(inspectedRoutes))
	for fault, q := range map[string]Question{
		"the url should be absolute": {Method: "GET", URL: "/users/alice"},
		"headers[0] is no field":     {Method: "GET", URL: w.url, Fields: [][2]string{{"A B", "x"}}},
		"headers[1] is no field":     {Method: "GET", URL: w.url, Fields: [][2]string{{"A", "x"}, {"B", "x\r\nC: y"}}},
	} {
		if _, err := w.gate.Inspect(t.Context(), q); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v, want %s", err, fault)
		}
	}
	if _, err := New(Options{Metrics: w.metrics}).Inspect(t.Context(), Question{Method: "GET", URL: w.url}); err == nil {
		t.Error("without a configuration")
	}
}
