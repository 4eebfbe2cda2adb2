package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestPanicBeforeContinue has a fault of hopgate's own in a request with
// Expect: 100-continue: it is a 500 as any other, and ends nothing.
func TestPanicBeforeContinue(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: a
    match: {path: /a}
    anonymous: true
    upstream: backend
`))
	good := w.gate.Current()
	faulty := *good
	faulty.policy = nil // stands for any fault of ours
	for _, way := range []string{"serve", "judge"} {
		func() {
			w.gate.current.Store(&faulty)
			defer w.gate.current.Store(good)
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s lets the panic through: %v", way, p)
				}
			}()
			rec := httptest.NewRecorder()
			x := acquire(&http2Answer{w: rec, control: http.NewResponseController(rec)})
			x.method, x.target, x.scheme, x.authority, x.hosts = "GET", "/a", "http", "h", 1
			if way == "serve" {
				w.gate.serve(x)
			} else {
				w.gate.judge(x)
			}
		}()
	}
}

// TestLostTunnelsStarveNobody opens WebSockets whose clients are gone before
// they run: what they held of the upstream's connections is there for others.
func TestLostTunnelsStarveNobody(t *testing.T) {
	w := newWorld(t, strings.Replace(socketSettings(), `endpoints: "${BACKEND}"`, "endpoints: \"${BACKEND}\"\n    max_connections: 2\n    connect_timeout: 200ms", 1))
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			fmt.Fprint(rw, "plain")
			return
		}
		echo(t)(rw, r)
	})
	alice := w.token(claims{"sub": "alice"})
	for range 2 {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, intruderHandshake, "/socket/alice", w.address, alice, "Upgrade, close")
		b := make([]byte, 64)
		_, _ = c.Read(b)
		_ = c.Close()
	}
	time.Sleep(300 * time.Millisecond)
	if got := w.do("GET", "/plain", ""); got.status != 200 {
		t.Errorf("a request of another route, whose clients opened no WebSocket: %d %s", got.status, got.reason())
	}
}
