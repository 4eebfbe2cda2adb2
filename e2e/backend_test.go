package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// backend is a real HTTP server as upstream. It answers with what it got, so
// that a test sees what was forwarded.
type backend struct {
	url    string
	server *httptest.Server
	served atomic.Int64

	mu    sync.Mutex
	hold  chan struct{} // requests to /hold wait for it
	heads []http.Header
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{hold: make(chan struct{})}
	b.server = httptest.NewServer(b)
	b.url = b.server.URL
	t.Cleanup(b.server.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := b.served.Add(1)
	b.mu.Lock()
	b.heads = append(b.heads, r.Header.Clone())
	hold := b.hold
	b.mu.Unlock()
	if r.URL.Path == "/hold" {
		<-hold
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"path":   r.URL.EscapedPath(),
		"query":  r.URL.RawQuery,
		"user":   r.Header.Get("X-User-Id"),
		"org":    r.Header.Get("X-Org-Id"),
		"secret": r.Header.Get("Authorization") != "",
		"served": n,
	})
}

// waitFor polls until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after %v", what, patience)
		}
		<-tick.C
	}
}
