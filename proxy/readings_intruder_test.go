package proxy

import (
	"strings"
	"testing"
)

// TestUnderscoreBesideFieldOfRule sends X_Tenant beside X-Tenant, which a rule
// reads: a CGI-style backend (WSGI, Rack, PHP) would see one variable
// HTTP_X_TENANT for both, and take the last.
func TestUnderscoreBesideFieldOfRule(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: tenant
    match: {path: /data}
    allow: request.headers["x-tenant"] == principal.org_id
    upstream: backend
`))
	raw := w.raw("GET /data HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + w.token(claims{"sub": "u", "org_id": "acme"}) + "\r\nX-Tenant: acme\r\nX_Tenant: victim\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(raw, "200") {
		return
	}
	if v := w.backend.last(t).header["X_tenant"]; len(v) > 0 {
		t.Errorf("X_Tenant: %s went on beside X-Tenant: acme, which the rule saw", v)
	} else {
		t.Logf("%v", w.backend.last(t).header)
	}
}

// TestBodyMemberInOtherCase sends a member that a rule compares, and another
// that differs in case: encoding/json of Go, and others, would take the last.
func TestBodyMemberInOtherCase(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: members
    match: {methods: [POST], path: /members}
    allow: request.body.role == "member"
    upstream: backend
    request: {body: json}
`))
	got := w.do("POST", "/members", `{"role":"member","Role":"admin"}`, w.bearer(claims{"sub": "u"}), [2]string{"Content-Type", "application/json"})
	if got.status == 200 {
		t.Errorf("the backend got %s", w.backend.last(t).body)
	}
}

// TestEncodedBodyOfRule sends a body that says it is encoded: what is judged
// would not be what the backend reads.
func TestEncodedBodyOfRule(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: members
    match: {methods: [POST], path: /members}
    allow: request.body.role == "member"
    upstream: backend
    request: {body: json}
`))
	got := w.do("POST", "/members", `{"role":"member"}`, w.bearer(claims{"sub": "u"}), [2]string{"Content-Type", "application/json"}, [2]string{"Content-Encoding", "deflate"})
	if got.status == 200 {
		t.Errorf("Content-Encoding %q went on with a body that was read as plain JSON", w.backend.last(t).header.Get("Content-Encoding"))
	}
}

// TestHTTP2HostBesideAuthority sends a Host field beside :authority (RFC 9113
// section 8.3.1): routes and rules must not see different ones.
func TestHTTP2HostBesideAuthority(t *testing.T) {
	w := newWorld(t, strings.Replace(settings(`
routes:
  - id: host
    match: {hosts: [a.example], path: /host}
    anonymous: true
    allow: request.headers.host == "good.example"
    upstream: backend
`), `listen: "127.0.0.1:0"`, `listen: "127.0.0.1:0", h2c: true`, 1))
	out := nghttp(t, w.url+"/host", ":authority: a.example", "host: good.example")
	if strings.Contains(out, ":status: 200") {
		t.Errorf("a rule took the Host field for good.example, the upstream was told %s", w.backend.last(t).header.Get("X-Forwarded-Host"))
	}
}

// TestPathParameterRoundLiteral puts a path parameter behind a literal segment:
// it must not be taken for another route's parameter, since servers that cut
// those off (RFC 3986 section 3.3) see the literal's.
func TestPathParameterRoundLiteral(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: admin
    match: {path: /v1/users/admin}
    allow: principal.has_permission("admin")
    upstream: backend
  - id: user
    match: {path: "/v1/users/{id}"}
    allow: "true"
    upstream: backend
`))
	for _, path := range []string{"/v1/users/admin", "/v1/users/admin;a=b", "/v1/users/admin;", "/v1/users/admin%3Bx"} {
		got := w.do("GET", path, "", w.bearer(claims{"sub": "u"}))
		if got.status == 200 {
			t.Errorf("%s went upstream by the route of any user", path)
		}
	}
}

// TestAbsoluteFormInvalidates writes to a target in absolute form, which is
// the same URI.
func TestAbsoluteFormInvalidates(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: get
    match: {path: /thing}
    allow: "true"
    upstream: backend
    cache: {ttl: 1m, scope: org}
  - id: put
    match: {methods: [PUT], path: /thing}
    allow: "true"
    upstream: backend
`))
	who := w.bearer(claims{"sub": "u", "org_id": "acme"})
	w.do("GET", "/thing", "", who)
	w.raw("PUT " + w.url + "/thing HTTP/1.1\r\nHost: " + w.address + "\r\n" + who[0] + ": " + who[1] + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	if got := w.do("GET", "/thing", "", who); strings.Contains(got.header.Get("Cache-Status"), "hit") {
		t.Errorf("after a PUT in absolute form: %s", got.header.Get("Cache-Status"))
	}
}
