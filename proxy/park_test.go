package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// parkingWorld is an edgeWorld where connections are parked.
func parkingWorld(t *testing.T, server string) *world {
	t.Helper()
	if !canPark {
		t.Skip("nothing is parked on this system")
	}
	return edgeWorld(t, server)
}

func parkedIn(l *lot) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func (w *world) parked(n int) {
	w.t.Helper()
	t, ok := w.t.(*testing.T)
	if !ok {
		panic("no test")
	}
	eventually(t, "parked", func() bool { return parkedIn(w.server.lot) == n })
}

// TestParking serves connections on after they were parked, in clear, with
// TLS, and behind a PROXY protocol header.
func TestParking(t *testing.T) {
	cert := certificateFor(t, t.TempDir(), "gate.test")
	const header = "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n"
	for name, c := range map[string]struct{ server, before string }{
		"clear":         {loopback, ""},
		"h2c":           {loopback + ", h2c: true", ""},
		"TLS":           {tlsSettings(cert, ""), ""},
		"PROXY and TLS": {tlsSettings(cert, "") + ", proxy_protocol: 127.0.0.1", header},
	} {
		t.Run(name, func(t *testing.T) {
			w := parkingWorld(t, c.server)
			raw := w.open()
			_, _ = io.WriteString(raw, c.before)
			conn := raw
			if strings.Contains(c.server, "tls:") {
				conn = tls.Client(raw, &tls.Config{ServerName: "gate.test", RootCAs: cert.pool})
			}
			for i := range 4 {
				request := plainGet
				if i%2 == 1 {
					request = "POST /x HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
				}
				if resp := answerTo(t, conn, request); resp == nil || resp.StatusCode != 200 || resp.Close {
					t.Fatalf("%d: %v", i, resp)
				}
				w.parked(1)
			}
			if n := w.server.Connections(); n != 1 {
				t.Errorf("%d connections", n)
			}
			_ = conn.Close()
			eventually(t, "gone", func() bool { return w.server.Connections() == 0 && parkedIn(w.server.lot) == 0 })
		})
	}
}

// TestParkedSilence parks a connection that has not sent anything, and closes
// it in silence when it has been idle for too long.
func TestParkedSilence(t *testing.T) {
	w := parkingWorld(t, loopback+", idle_timeout: 600ms")
	silent, used := w.open(), w.open()
	if resp := answerTo(t, used, plainGet); resp == nil {
		t.Fatal("no answer")
	}
	w.parked(2)
	started := time.Now()
	if !silentEnd(t, silent) || !silentEnd(t, used) {
		t.Error("not closed in silence")
	}
	if took := time.Since(started); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("closed after %v", took)
	}
	eventually(t, "gone", func() bool { return w.server.Connections() == 0 })
}

// TestParkedFaults finds the faults of bodies on a connection that was
// parked: none is taken for a whole one.
func TestParkedFaults(t *testing.T) {
	w := parkingWorld(t, loopback+", read_timeout: 300ms")
	for name, body := range map[string]string{"chunk": "2\r\nhiX", "size": "2\r\nhi\r\nz\r\n", "trailer": "2\r\nhi\r\n0\r\nContent-Length: 1\r\n\r\n", "stopped": "2\r\nhi\r\n", "stopped in a chunk": "2\r\nh"} {
		want := 400
		if strings.HasPrefix(name, "stopped") {
			want = 408
		}
		c := w.open()
		if resp := answerTo(t, c, plainGet); resp == nil {
			t.Fatal("no answer")
		}
		w.parked(1)
		if resp := answerTo(t, c, "POST /x HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n"+body); resp == nil || resp.StatusCode != want || !resp.Close {
			t.Errorf("%s: %v", name, resp)
		}
		_ = c.Close()
		eventually(t, "gone", func() bool { return w.server.Connections() == 0 })
	}
	w.backend.mu.Lock()
	defer w.backend.mu.Unlock()
	for _, got := range w.backend.got {
		if got.method == "POST" && got.body == "hi" && got.trailer == nil && got.length >= 0 {
			t.Errorf("a broken body was taken for a whole one: %+v", got)
		}
	}
}

// TestShutdownParked serves a parked connection once more while the gate
// drains, and closes the others.
func TestShutdownParked(t *testing.T) {
	w := parkingWorld(t, loopback)
	w.server.grace = 500 * time.Millisecond
	used, idle := w.open(), w.open()
	for _, c := range []net.Conn{used, idle} {
		if resp := answerTo(t, c, plainGet); resp == nil {
			t.Fatal("no answer")
		}
	}
	w.parked(2)
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(context.Background()) }()
	eventually(t, "draining", w.server.draining.Load)
	if resp := answerTo(t, used, plainGet); resp == nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%v", resp)
	}
	if !silentEnd(t, idle) {
		t.Error("the idle one is not closed in silence")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "gone", func() bool { return w.server.Connections() == 0 })
}
