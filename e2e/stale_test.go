package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStaleUnderLoad lets the upstream fail in every way while requests run
// for what is stored: each is answered, and none waits for the upstream's
// timeout.
func TestStaleUnderLoad(t *testing.T) {
	const (
		answers = iota
		hangs
		refuses
		fails
		breaksOff
	)
	var mode atomic.Int32
	var asked atomic.Int64
	release := make(chan struct{})
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch mode.Load() {
		case hangs:
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case refuses:
			panic(http.ErrAbortHandler) // the connection breaks
		case fails:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case breaksOff:
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "half an ans")
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%s for %s", r.URL.Path, r.Header.Get("X-User-Id"))
	}))
	t.Cleanup(b.Close)
	t.Cleanup(func() { close(release) })
	jwks, token := mint(t)
	g := serve(t, localConfig(jwks, b.URL, `
routes:
  - id: stored
    match: {path: "/stored/{n}"}
    allow: "true"
    upstream: backend
    timeout: 5s
    request: {headers: {X-User-Id: "{principal.user_id}"}}
    cache: {ttl: 50ms, stale_while_revalidate: 50ms, stale_if_error: 10m, stale_after: 100ms, scope: user}
`), "E2E_SECRET="+secret)

	users := []string{"alice", "bob"}
	tokens := map[string]string{}
	for _, u := range users {
		tokens[u] = token(claims(u, "acme"))
		for n := range 20 {
			if a := get(t, fmt.Sprintf("%s/stored/%d", g.url, n), tokens[u]); a.status != 200 {
				t.Fatalf("before: %d %s", a.status, a.body)
			}
		}
	}
	var stop atomic.Bool
	var good, late atomic.Int64
	var bad atomic.Value
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; !stop.Load(); i++ {
				u, n := users[i%2], i%20
				started := time.Now()
				a, err := tryCall("GET", fmt.Sprintf("%s/stored/%d", g.url, n), "", "Authorization", "Bearer "+tokens[u])
				if err != nil || a.status != 200 || a.body != fmt.Sprintf("/stored/%d for %s", n, u) {
					bad.CompareAndSwap(nil, fmt.Sprintf("mode %d: %v %d %s", mode.Load(), err, a.status, a.body))
				}
				good.Add(1)
				if time.Since(started) > 3*time.Second {
					late.Add(1)
				}
			}
		})
	}
	for _, m := range []int32{hangs, refuses, fails, breaksOff, answers, hangs} {
		mode.Store(m)
		before := good.Load()
		// Long enough that everything stored is stale, and asked for again.
		waitFor(t, "requests in each mode", func() bool { return good.Load() > before+400 })
	}
	stop.Store(true)
	wg.Wait()
	if v := bad.Load(); v != nil {
		t.Errorf("a request failed: %v", v)
	}
	if late.Load() > 0 {
		t.Errorf("%d of %d requests waited for the upstream's timeout", late.Load(), good.Load())
	}
	if v := g.metric(`hopgate_cache_requests_total{result="stale_error",route="stored"}`); v == "" || v == "0" {
		t.Error("nothing was served stale: the test shows nothing")
	}
}
