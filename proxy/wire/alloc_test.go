//go:build !race

package wire

import (
	"net"
	"testing"

	"hopgate/proxy/wire/wiretest"
)

// TestReadAllocatesNothing counts allocations per request over one
// connection that is kept, whole and cut into pieces.
func TestReadAllocatesNothing(t *testing.T) {
	pipe, _ := net.Pipe()
	defer pipe.Close()
	for _, c := range []struct{ name, raw string }{
		{"usual", usual},
		{"absolute form", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"IPv6", "GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:80\r\n\r\n"},
		{"length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"},
		{"chunked with trailers", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"},
		{"many", wiretest.Wellformed[1].Raw},
	} {
		conn := NewConn(&endless{Conn: pipe, data: []byte(c.raw)}, Limits{Timeouts: Timeouts{Idle: 1e10, Head: 1e10, Body: 1e10}})
		buf := make([]byte, 4096)
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := conn.Read(buf); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		p, raw := newParser(), []byte(c.raw)
		if n := testing.AllocsPerRun(1000, func() {
			for i := range raw {
				if _, fault := p.feed(raw[i : i+1]); fault != nil {
					t.Fatal(fault)
				}
			}
		}); n != 0 {
			t.Errorf("%s, byte by byte: %v allocations", c.name, n)
		}
	}
}
