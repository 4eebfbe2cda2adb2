package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"hopgate/telemetry"
)

// discarded is an answer that goes nowhere.
type discarded struct {
	code  int
	bytes int
}

func (d *discarded) status(code int)               { d.code = code }
func (d *discarded) add(string, string)            {}
func (d *discarded) addBytes(_, _ []byte)          {}
func (d *discarded) body(b []byte)                 { d.bytes = len(b) }
func (d *discarded) staticBody(b []byte)           { d.bytes = len(b) }
func (d *discarded) stream(io.ReadCloser, int64)   {}
func (d *discarded) bodyLength(int64)              {}
func (d *discarded) noLength()                     {}
func (d *discarded) hints() bool                   { return false }
func (d *discarded) hint([][]byte)                 {}
func (d *discarded) duplex() bool                  { return true }
func (d *discarded) tunnels() bool                 { return false }
func (d *discarded) tunnel(func(net.Conn), func()) {}
func (d *discarded) closeAfter()                   {}
func (d *discarded) reset()                        {}
func (d *discarded) trailer(_, _ []byte)           {}

// pipeline gives a function that takes one request through the gate without
// a transport.
func pipeline(w *world, target string, lines header) func() *discarded {
	d := &discarded{}
	peer := netip.MustParseAddrPort("192.0.2.1:1234")
	return func() *discarded {
		x := acquire(d)
		x.ctx = context.Background()
		x.method, x.target, x.scheme, x.authority, x.hosts = "GET", target, "http", "gate.example", 1
		x.fields = append(x.fields[:0], lines...)
		x.peer = peer
		w.gate.serve(x)
		release(x)
		return d
	}
}

func requestLines(w *world) header {
	return header{
		{"Host", "gate.example"}, {"User-Agent", "test"}, {"Accept", "application/json"}, {"Accept-Language", "en"},
		{"Authorization", "Bearer " + w.token(claims{"sub": "alice", "org_id": "acme", "permissions": []string{"read"}})},
	}
}

const measuredRoutes = `
routes:
  - id: cached
    match: {path: "/cached/{user_id}"}
    allow: rules.is_self && principal.has_permission("read")
    upstream: backend
    cache: {ttl: 1h, scope: user}
  - id: forwarded
    match: {path: "/v1/users/{user_id}"}
    allow: rules.is_self && principal.has_permission("read")
    upstream: backend
`

// TestHitAllocations: known token, route, decision, cache hit, access log and
// metrics take no allocation.
func TestHitAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w := newWorld(t, settings(measuredRoutes))
	ask := pipeline(w, "/cached/alice", requestLines(w))
	if d := ask(); d.code != 200 || d.bytes == 0 {
		t.Fatalf("%+v", d)
	}
	if n := testing.AllocsPerRun(1000, func() { ask() }); n > 0 {
		t.Errorf("a hit takes %v allocations", n)
	}
	if hits := w.backend.hits.Load(); hits != 1 {
		t.Errorf("%d requests upstream: not a hit", hits)
	}
}

// TestDenialAllocations: a refusal takes none either.
func TestDenialAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w := newWorld(t, settings(measuredRoutes))
	ask := pipeline(w, "/cached/bob", requestLines(w))
	if d := ask(); d.code != 403 {
		t.Fatalf("%+v", d)
	}
	if n := testing.AllocsPerRun(1000, func() { ask() }); n > 0 {
		t.Errorf("a denial takes %v allocations", n)
	}
}

// TestForwardAllocations: nor does forwarding a small answer.
func TestForwardAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w := newWorld(t, settings(measuredRoutes))
	w.env["BACKEND"] = plainBackend(t)
	w.publish(t.Context(), settings(measuredRoutes))
	ask := pipeline(w, "/v1/users/alice", requestLines(w))
	if d := ask(); d.code != 200 || d.bytes == 0 {
		t.Fatalf("%+v", d)
	}
	if n := testing.AllocsPerRun(1000, func() { ask() }); n > 0 {
		t.Errorf("forwarding takes %v allocations", n)
	}
}

// memoryConn is a client's connection in memory: it sends the same request
// over and over, and counts what it is answered.
type memoryConn struct {
	net.Conn
	request []byte
	left    int // requests to send
	bytes   int
}

func (c *memoryConn) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(b, c.request), nil
}

func (c *memoryConn) Write(b []byte) (int, error)      { c.bytes += len(b); return len(b), nil }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memoryConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234}
}

// measuredWorld is one whose log goes nowhere, so that it does not grow.
func measuredWorld(b *testing.B) *world {
	w := newWorld(b, settings(measuredRoutes))
	w.gate.access = telemetry.NewAccessLog(io.Discard)
	return w
}

// BenchmarkConnection takes requests from their bytes to those of the answer,
// all but the system calls.
func BenchmarkConnection(b *testing.B) {
	w := measuredWorld(b)
	token := w.bearer(claims{"sub": "alice", "permissions": []string{"read"}})[1]
	for name, c := range map[string]struct{ path, token string }{
		"hit": {"/cached/alice", token}, "denied": {"/cached/bob", token}, "malformed": {"/cached/alice", "Bearer not.a.token"},
	} {
		b.Run(name, func(b *testing.B) {
			memory := &memoryConn{request: []byte("GET " + c.path + " HTTP/1.1\r\nHost: gate.example\r\nUser-Agent: bench\r\nAccept: application/json\r\nAuthorization: " + c.token + "\r\n\r\n")}
			conn := newConn(memory, &guarded{options: &w.server.options, watcher: w.server.watcher, lot: w.server.lot, http1: w.server.h1})
			buf := make([]byte, 32<<10)
			ask := func(n int) {
				if memory.left = n; n > 0 {
					if _, err := conn.Read(buf); !errors.Is(err, io.EOF) {
						b.Fatal(err)
					}
				}
			}
			ask(1)
			b.ReportAllocs()
			b.ResetTimer()
			ask(b.N)
			if memory.bytes < b.N*100 {
				b.Fatalf("%d bytes are no answer", memory.bytes/b.N)
			}
		})
	}
}

func BenchmarkHit(b *testing.B) {
	w := measuredWorld(b)
	ask := pipeline(w, "/cached/alice", requestLines(w))
	ask()
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

func BenchmarkDenied(b *testing.B) {
	w := measuredWorld(b)
	ask := pipeline(w, "/cached/bob", requestLines(w))
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

func BenchmarkForward(b *testing.B) {
	w := measuredWorld(b)
	w.env["BACKEND"] = plainBackend(b)
	w.publish(b.Context(), settings(measuredRoutes))
	ask := pipeline(w, "/v1/users/alice", requestLines(w))
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}
