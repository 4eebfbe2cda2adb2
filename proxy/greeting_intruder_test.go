package proxy

import (
	"io"
	"testing"
	"time"
)

// TestGreetingEndsBehindPROXY sends a PROXY protocol header and then nothing:
// the time for a greeting runs on after the header.
func TestGreetingEndsBehindPROXY(t *testing.T) {
	cert := certificateFor(t, t.TempDir(), "gate.test")
	const header = "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n"
	const more = ", read_timeout: 300ms, proxy_protocol: 127.0.0.1"
	for name, c := range map[string]struct{ server, sent string }{
		"no handshake":   {tlsSettings(cert, "") + more, header},
		"half handshake": {tlsSettings(cert, "") + more, header + "\x16\x03\x01\x02"},
		"half preface":   {loopback + ", h2c: true" + more, header + "PRI * HT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := edgeWorld(t, c.server)
			conn := w.open()
			_, _ = io.WriteString(conn, c.sent)
			_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
			started := time.Now()
			if _, err := conn.Read(make([]byte, 64)); err != nil && time.Since(started) > 2900*time.Millisecond {
				t.Errorf("still open after ten times the time of a greeting: %v", err)
			}
		})
	}
}
