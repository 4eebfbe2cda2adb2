package wire

import (
	"errors"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"hopgate/proxy/wire/wiretest"
)

// wholeOf takes a request apart on the short way.
func wholeOf(raw string) (*Request, bool) {
	r := new(Request)
	return r, newParser().whole([]byte(raw), r)
}

func TestWholeRequests(t *testing.T) {
	const host = "Host: gate.test\r\n"
	for _, raw := range []string{
		usual,
		"GET / HTTP/1.1\r\n" + host + "\r\n",
		"OPTIONS /a;b/c%20d?e=%2F&f=/?g HTTP/1.1\r\n" + host + "\r\n",
		"DELETE /x? HTTP/1.1\r\nhost:[::1]:80\r\nEMPTY:\r\nX: \t tab\there \t\r\nX: again\xff\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "Connection: Keep-Alive\r\n\r\n",
	} {
		r, ok := wholeOf(raw)
		if !ok {
			t.Errorf("%q is not taken for whole", raw)
			continue
		}
		sameReading(t, raw, r)
	}
}

// TestUnusualRequests leaves to the parser what is not whole, not usual or not
// well-formed.
func TestUnusualRequests(t *testing.T) {
	const get, host = "GET / HTTP/1.1\r\n", "Host: gate.test\r\n"
	for _, raw := range []string{
		"", "G", "GET ", "GET /", "GET / HTTP/1.1", get, get + host, get + host + "\r", get + host + "\r\n\n", get + host + "\r\n" + get + host + "\r\n",
		get + "\r\n", get + host + host + "\r\n", get + "Host: a b\r\n\r\n", get + "Host:\r\n\r\n",
		"GET / HTTP/1.0\r\n" + host + "\r\n", "GET  / HTTP/1.1\r\n" + host + "\r\n", "GET /\tHTTP/1.1\r\n" + host + "\r\n",
		"GET * HTTP/1.1\r\n" + host + "\r\n", "GET http://gate.test/ HTTP/1.1\r\n" + host + "\r\n", "GET //x HTTP/1.1\r\n" + host + "\r\n",
		"GET /%2 HTTP/1.1\r\n" + host + "\r\n", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", "GET /a#b HTTP/1.1\r\n" + host + "\r\n",
		"get / HTTP/1.1\r\n" + host + "\r\n", "CONNECT / HTTP/1.1\r\n" + host + "\r\n", "TRACE / HTTP/1.1\r\n" + host + "\r\n",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", "POST / HTTP/1.1\r\n" + host + "Content_Length: 0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\n\r\n",
		get + host + "Connection: close\r\n\r\n", get + host + "Connection: keep-alive, x\r\n\r\n", get + host + "Upgrade: websocket\r\n\r\n",
		get + host + "Trailer: x\r\n\r\n", get + host + "X : y\r\n\r\n", get + host + ": y\r\n\r\n", get + host + " x: y\r\n\r\n", get + host + "X\r\n\r\n",
		get + host + "X: a\r\n b\r\n\r\n", get + host + "X: a\rb\r\n\r\n", get + host + "X: a\nb\r\n\r\n", get + host + "X: \x00\r\n\r\n",
		get + host + strings.Repeat("X: y\r\n", 128) + "\r\n", get + host + "X: " + strings.Repeat("y", 16<<10) + "\r\n\r\n",
		"GET /" + strings.Repeat("x", 8<<10) + " HTTP/1.1\r\n" + host + "\r\n",
	} {
		if _, ok := wholeOf(raw); ok {
			t.Errorf("%.80q is taken for whole", raw)
		}
	}
	for _, c := range wiretest.Malformed {
		if _, ok := wholeOf(c.Raw); ok {
			t.Errorf("%s is taken for whole", c.Name)
		}
	}
}

// sameReading holds that what the short way took is what the parser accepts,
// and what the simplest of readers reads.
func sameReading(t *testing.T, raw string, r *Request) {
	t.Helper()
	p := newParser()
	good, ends, fault := feedAll(p, []byte(raw), nil)
	if fault != nil || good != len(raw) || !slices.Equal(ends, []int{len(raw)}) || p.messages != 1 || p.at != atStart {
		t.Fatalf("%q: the parser stands at %d of %d, %v", raw, good, len(raw), fault)
	}
	m := dissect(raw)
	fields := make(map[string][]string)
	for _, l := range r.Lines {
		if name := textproto.CanonicalMIMEHeaderKey(l.Name); name != "Host" {
			fields[name] = append(fields[name], l.Value)
		}
	}
	if m.method != r.Method || m.target != r.Target || m.host != r.Host || m.body != "" || m.close || len(m.fields) != len(fields) {
		t.Fatalf("%q: %+v is read as %+v", raw, m, r)
	}
	for name, values := range m.fields {
		if !slices.Equal(values, fields[name]) {
			t.Fatalf("%q: %q is %q here and %q there", raw, name, fields[name], values)
		}
	}
}

// inTurn is a connection that gives one part with each read.
type inTurn struct {
	net.Conn
	parts []string
}

func (c *inTurn) Read(b []byte) (int, error) {
	if len(c.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.parts[0])
	c.parts = c.parts[1:]
	return n, nil
}

// looping is an inTurn that reads on its own.
type looping struct{ *inTurn }

func (l looping) ReadLoop(b []byte, each func(n int) (more bool)) (int, error) {
	for {
		n, err := l.Read(b)
		if err != nil || !each(n) {
			return n, err
		}
	}
}

// TestReadRequests reads whole requests and others from one connection, which
// is read in a loop of its own or not.
func TestReadRequests(t *testing.T) {
	const one, two = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /2 HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"
	for _, loops := range []bool{false, true} {
		source := &inTurn{parts: []string{
			one, two, one + two, one, two[:20], two[20:], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", "hi", two, "\r\n",
		}}
		c := NewConn(source, Limits{})
		if loops {
			c.LoopBy(looping{source})
		}
		buf := make([]byte, 4096)
		var r Request
		answered := ""
		answer := func() (time.Time, bool) {
			answered += r.Method + r.Target + r.Host + " "
			return time.Time{}, true
		}
		for i, want := range []string{one + two, two[:20], two[20:], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", "hi", "?"} {
			n, err := c.ReadRequests(buf, &r, answer)
			if err != nil || string(buf[:n]) != want {
				t.Fatalf("%d: %q, %v", i, buf[:n], err)
			}
		}
		if answered != "GET/1h GET/2h GET/1h GET/2h " {
			t.Errorf("answered were %q", answered)
		}
		if n := c.Messages(); n != 8 || c.State() != Refused {
			t.Errorf("%d messages, %v", n, c.State())
		}
		if n, err := c.ReadRequests(buf, &r, answer); n != 0 || err == nil {
			t.Errorf("after the fault: %d, %v", n, err)
		}
	}
}

// TestReadRequestsUntil ends where an answer does, and where the bytes do.
func TestReadRequestsUntil(t *testing.T) {
	for _, loops := range []bool{false, true} {
		source := &inTurn{parts: []string{usual, usual, usual}}
		c := NewConn(source, Limits{})
		if loops {
			c.LoopBy(looping{source})
		}
		left := 2
		var r Request
		answer := func() (time.Time, bool) { left--; return time.Now(), left != 0 }
		for range 2 {
			if n, err := c.ReadRequests(make([]byte, 4096), &r, answer); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%d, %v", n, err)
			}
		}
		if left != -1 || c.Messages() != 3 {
			t.Errorf("%d left, %d messages", left, c.Messages())
		}
	}
}

func BenchmarkReadRequests(b *testing.B) {
	c := NewConn(&endless{data: []byte(usual)}, Limits{})
	buf := make([]byte, 64<<10)
	var r Request
	b.ReportAllocs()
	left := b.N
	b.ResetTimer()
	if _, err := c.ReadRequests(buf, &r, func() (time.Time, bool) { left--; return time.Time{}, left > 0 }); !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
}

// FuzzWhole holds that the short way accepts only what the parser does, and
// reads it alike.
func FuzzWhole(f *testing.F) {
	for _, c := range wiretest.Malformed {
		if len(c.Raw) < 1024 {
			f.Add(c.Raw)
		}
	}
	f.Add(usual)
	f.Add("DELETE /x?%41 HTTP/1.1\r\nhost:[::1]:80\r\nEMPTY:\r\nX: \t tab\there \t\r\n\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		if r, ok := wholeOf(raw); ok {
			sameReading(t, raw, r)
		}
	})
}
