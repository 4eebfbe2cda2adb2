package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

const intruderHandshake = "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: %s\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func openTunnels(w *world) int {
	w.gate.tunnels.mu.Lock()
	defer w.gate.tunnels.mu.Unlock()
	n := 0
	for _, c := range w.gate.tunnels.by {
		n += c
	}
	return n
}

// TestTunnelEndsWithConnectionClose sends handshakes whose Connection also says
// close: the transport would send 101 and run no tunnel, whose place and
// upstream connection must not be lost.
func TestTunnelEndsWithConnectionClose(t *testing.T) {
	w := newWorld(t, socketSettings())
	w.backend.will(echo(t))
	alice := w.token(claims{"sub": "alice"})
	for range 2 {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, intruderHandshake, "/socket/alice", w.address, alice, "Upgrade, close")
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b, _ := io.ReadAll(c)
		t.Logf("%.40q", b)
		_ = c.Close()
	}
	deadline := time.Now().Add(2 * time.Second)
	for openTunnels(w) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := openTunnels(w); n > 0 {
		t.Errorf("%d tunnels stay open although their clients are gone", n)
	}
	// max_connections is 2: nobody gets a WebSocket any more.
	if c, resp, err := w.dial(t, "/socket/alice", http.Header{"Authorization": {"Bearer " + alice}}); err != nil {
		t.Errorf("the next WebSocket: %v %v", resp.StatusCode, err)
	} else {
		_ = c.CloseNow()
	}
}

// TestTunnelEndsWithReset is the same for clients that reset the connection
// while the upstream is asked.
func TestTunnelEndsWithReset(t *testing.T) {
	w := newWorld(t, socketSettings())
	e := echo(t)
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		e(rw, r)
	})
	alice := w.token(claims{"sub": "alice"})
	for range 2 {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, intruderHandshake, "/socket/alice", w.address, alice, "Upgrade")
		time.Sleep(15 * time.Millisecond)
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	time.Sleep(1500 * time.Millisecond)
	if n := openTunnels(w); n > 0 {
		t.Errorf("%d tunnels stay open although their clients are gone (%d goroutines)", n, runtime.NumGoroutine())
	}
}
