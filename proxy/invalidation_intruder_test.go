package proxy

import "testing"

const spelledRoutes = `
routes:
  - id: doc
    match: {methods: [GET, PUT], path: "/docs/{id}"}
    allow: "true"
    upstream: backend
    request: {params: [page, size]}
    cache: {ttl: 1h, scope: org, sort_query: true}
  - id: plain
    match: {methods: [GET, PUT], path: "/plain/{id}"}
    allow: "true"
    upstream: backend
    cache: {ttl: 1h, scope: org}
`

// TestWritesReachEverySpelling stores an answer by another spelling of its
// URI, one that has the same key, and then writes to the URI: nobody may have
// the old answer after it (RFC 9111 section 4.4).
func TestWritesReachEverySpelling(t *testing.T) {
	mallory := claims{"sub": "user_m", "org_id": "org_1"}
	alice := claims{"sub": "user_a", "org_id": "org_1"}
	for _, c := range []struct{ name, stored, written string }{
		{"the same", "/docs/1", "/docs/1"},
		{"a parameter that is not forwarded", "/docs/2?x=1", "/docs/2"},
		{"an empty query", "/plain/3?", "/plain/3"},
		{"another order", "/docs/4?size=2&page=1", "/docs/4?page=1&size=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, settings(spelledRoutes))
			before := w.do("GET", c.stored, "", w.bearer(mallory))
			if r := w.do("GET", c.written, "", w.bearer(alice)); r.body != before.body {
				t.Skip("not the same key")
			}
			if r := w.do("PUT", c.written, "new", w.bearer(alice)); r.status != 200 {
				t.Fatal(r)
			}
			if r := w.do("GET", c.written, "", w.bearer(alice)); r.body == before.body {
				t.Errorf("GET %s after PUT %s gives what was stored by GET %s: %s %s", c.written, c.written, c.stored, r.header.Get("Cache-Status"), r.body)
			}
		})
	}
}

// TestPurgedURIReachesEverySpelling is the same for a purge by URI.
func TestPurgedURIReachesEverySpelling(t *testing.T) {
	w := newWorld(t, settings(spelledRoutes))
	mallory := claims{"sub": "user_m", "org_id": "org_1"}
	before := w.do("GET", "/docs/2?x=1", "", w.bearer(mallory))
	if err := w.gate.Purge(Purge{URIs: []string{w.url + "/docs/2"}}); err != nil {
		t.Fatal(err)
	}
	if r := w.do("GET", "/docs/2", "", w.bearer(mallory)); r.body == before.body {
		t.Errorf("given after the purge of its URI: %s", r.body)
	}
}
