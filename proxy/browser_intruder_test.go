package proxy

import (
	"strings"
	"testing"
)

// TestBrowserKeepsCallersApart asks that what a browser may keep by itself is
// not given to the next who signs in there, or after a switch of the
// organization: the answer must say that it varies by who asks.
func TestBrowserKeepsCallersApart(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: me
    match: {path: /me}
    allow: "true"
    upstream: backend
    cache: {ttl: 1m, browser_ttl: 1m}
`))
	alice := w.bearer(claims{"sub": "user_a"})
	for range 2 {
		r := w.do("GET", "/me", "", alice)
		vary := strings.ToLower(strings.Join(r.header.Values("Vary"), ","))
		if strings.Contains(r.header.Get("Cache-Control"), "max-age") && (!strings.Contains(vary, "authorization") || !strings.Contains(vary, "cookie")) {
			t.Errorf("Cache-Control: %s; Vary: %q: the same browser gives it to the next user", r.header.Get("Cache-Control"), vary)
		}
	}
}
