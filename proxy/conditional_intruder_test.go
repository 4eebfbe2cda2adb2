package proxy

import "testing"

// TestConditionalWrites forwards the preconditions of writes, which keep one
// client from overwriting what another has written (RFC 9110 section 13.1):
// without them the write takes place whatever stands there.
func TestConditionalWrites(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: filtered
    match: {methods: [GET, PUT, PATCH, DELETE], path: "/filtered/{id}"}
    anonymous: true
    upstream: backend
    response: {remove: secret}
  - id: cached
    match: {methods: [GET, PUT, DELETE], path: "/cached/{id}"}
    anonymous: true
    upstream: backend
    cache: {ttl: 1m}
`))
	for _, c := range []struct{ method, path, name, value string }{
		{"PUT", "/filtered/1", "If-Match", `"v1"`},
		{"PUT", "/filtered/1", "If-None-Match", `*`},
		{"PATCH", "/filtered/1", "If-Unmodified-Since", "Tue, 24 Nov 2026 10:00:00 GMT"},
		{"DELETE", "/filtered/1", "If-Match", `"v1"`},
		{"PUT", "/cached/1", "If-Match", `"v1"`},
		{"DELETE", "/cached/1", "If-Match", `"v1"`},
	} {
		w.do(c.method, c.path, "{}", [2]string{"Content-Type", "application/json"}, [2]string{c.name, c.value})
		if got := w.backend.last(t).header.Get(c.name); got != c.value {
			t.Errorf("%s %s with %s: %s arrives as %q: the write is unconditional", c.method, c.path, c.name, c.value, got)
		}
	}
}
