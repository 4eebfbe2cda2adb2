package e2e

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const cachedRoutes = `
routes:
  - id: kept
    match: {path: "/kept"}
    allow: "true"
    upstream: backend
    cache: {ttl: 10ms, stale_if_error: 10m}
  - id: open
    match: {methods: [GET, POST], path: "/{rest...}"}
    allow: "true"
    upstream: backend
`

// TestUpstreamOutage stops the backend under a running gate and starts it
// again.
func TestUpstreamOutage(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	g := serve(t, localConfig(jwks, b.url, cachedRoutes), "E2E_SECRET="+secret)
	alice, bob := token(claims("alice", "acme")), token(claims("bob", "acme"))
	if a := get(t, g.url+"/kept", alice); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	address := b.server.Listener.Addr().String()
	b.server.CloseClientConnections()
	b.server.Close()

	waitFor(t, "a stale answer is given", func() bool {
		a := get(t, g.url+"/kept", alice)
		if a.status != 200 {
			t.Fatalf("alice, whose answer is stored, gets %d %s", a.status, a.body)
		}
		// RFC 9211: a hit whose freshness is over, or which was stale.
		status := a.header.Get("Cache-Status")
		return strings.Contains(status, "ttl=-") || strings.Contains(status, "stale")
	})
	// Nobody else gets it, and what is in no cache is unavailable.
	for _, who := range []struct{ path, token string }{{"/kept", bob}, {"/x", alice}} {
		if a := get(t, g.url+who.path, who.token); a.reason() != "upstream_unavailable" || a.status < 502 || a.status > 503 {
			t.Errorf("%s gets %d %s", who.path, a.status, a.body)
		}
	}
	if a := get(t, g.url+"/x", "not.a.token"); a.status != 401 {
		t.Errorf("during the outage a bad token gets %d %s", a.status, a.body)
	}
	// The gate itself is well: taking it out of a load balancer would not help.
	if a := call(t, "GET", g.admin+"/readyz", ""); a.status != 200 {
		t.Errorf("readyz is %d %s", a.status, a.body)
	}

	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	again := httptest.NewUnstartedServer(b)
	_ = again.Listener.Close()
	again.Listener = ln
	again.Start()
	t.Cleanup(again.Close)
	waitFor(t, "the gate finds the backend again", func() bool { return get(t, g.url+"/x", alice).status == 200 })
}

// keyServer serves a key set, and can go down.
func keyServer(t *testing.T, jwks string) (url string, down *atomic.Bool, asked *atomic.Int64) {
	t.Helper()
	text, err := os.ReadFile(jwks)
	if err != nil {
		t.Fatal(err)
	}
	down, asked = new(atomic.Bool), new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(s.Close)
	return s.URL, down, asked
}

// TestIssuerOutage takes the issuer's keys away from a running gate, and then
// restarts gates while the issuer is down.
func TestIssuerOutage(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	url, down, asked := keyServer(t, jwks)
	keys := filepath.Join(t.TempDir(), "keys.json")
	without := strings.Replace(localConfig(jwks, b.url, openRoute), "jwks: {file: "+jwks+"}",
		"jwks: {url: \""+url+"\", refresh: 200ms, min_interval: 50ms}", 1)
	with := strings.Replace(without, "min_interval: 50ms", "min_interval: 50ms, cache_file: "+keys, 1)

	g := serve(t, with, "E2E_SECRET="+secret)
	if a := get(t, g.url+"/x", token(claims("alice", "acme"))); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	down.Store(true)
	n := asked.Load()
	waitFor(t, "the gate has asked in vain", func() bool { return asked.Load() > n+1 })
	// A token that was not seen before is verified with the last good keys.
	if a := get(t, g.url+"/x", token(claims("bob", "acme"))); a.status != 200 {
		t.Errorf("during the outage a new token gets %d %s", a.status, a.body)
	}
	if a := call(t, "GET", g.admin+"/readyz", ""); a.status != 200 {
		t.Errorf("readyz is %d %s", a.status, a.body)
	}
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// With its keys on disk a gate starts while the issuer is down.
	started := time.Now()
	g = serve(t, with, "E2E_SECRET="+secret)
	if a := get(t, g.url+"/x", token(claims("carol", "globex"))); a.status != 200 {
		t.Errorf("a gate with keys on disk answers %d %s", a.status, a.body)
	}
	t.Logf("the first request was served %v after the start", time.Since(started))

	// Without them it is up, says that it is not ready, and asks until the
	// issuer is back.
	g = serve(t, without, "E2E_SECRET="+secret)
	alice := token(claims("alice", "acme"))
	if a := get(t, g.url+"/x", alice); a.status != 503 || a.reason() != "keys_unavailable" {
		t.Errorf("a gate without keys answers %d %s", a.status, a.body)
	}
	if a := call(t, "GET", g.admin+"/readyz", ""); a.status != 503 || !strings.Contains(a.body, "local") {
		t.Errorf("readyz is %d %s", a.status, a.body)
	}
	if a := call(t, "GET", g.admin+"/livez", ""); a.status != 200 {
		t.Errorf("livez is %d %s", a.status, a.body)
	}
	down.Store(false)
	waitFor(t, "the gate has keys", func() bool { return get(t, g.url+"/x", alice).status == 200 })
	waitFor(t, "the gate is ready", func() bool { return call(t, "GET", g.admin+"/readyz", "").status == 200 })
}
