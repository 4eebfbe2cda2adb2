package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hopgate/config"
)

// endless is a client's body that comes for ever, until it is closed.
type endless struct {
	closed atomic.Bool
	block  chan struct{} // where set, a Read waits until it is closed
	once   sync.Once
}

func (e *endless) Read(b []byte) (int, error) {
	if e.block != nil {
		<-e.block
		return 0, net.ErrClosed
	}
	if e.closed.Load() {
		return 0, net.ErrClosed
	}
	return len(b), nil
}

func (e *endless) Close() error {
	e.closed.Store(true)
	if e.block != nil {
		e.once.Do(func() { close(e.block) })
	}
	return nil
}

// head reads a request's head and leaves its body unread.
func headOnly(c net.Conn) error {
	_, err := http.ReadRequest(bufio.NewReaderSize(c, 16))
	return err
}

// TestEarlyAnswer gives an answer that comes while the request is being
// sent, at once, whatever the client is doing.
func TestEarlyAnswer(t *testing.T) {
	const refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large"
	stuck := func() *endless { return &endless{block: make(chan struct{})} }
	for _, c := range []struct {
		name string
		body func(q *Request)
	}{
		{"stream that flows", func(q *Request) { q.Stream, q.Length = &endless{}, -1 }},
		{"stream of known length that flows", func(q *Request) { q.Stream, q.Length = &endless{}, 1<<40 }},
		{"stream whose client waits", func(q *Request) { q.Stream, q.Length = stuck(), -1 }},
		{"stream of known length whose client waits", func(q *Request) { q.Stream, q.Length = stuck(), 1<<40 }},
		{"whole", func(q *Request) { q.Body = make([]byte, 32<<20) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(conn net.Conn, n int) {
				if err := headOnly(conn); err != nil {
					return
				}
				io.WriteString(conn, refusal)
				io.Copy(io.Discard, conn) // the answer survives on any system
			})
			p := newPool(t, nil, s.url())
			q := &Request{Method: "POST", Target: []byte("/")}
			c.body(q)
			var r Response
			if err := p.Do(context.Background(), q, &r); err != nil {
				t.Fatal(err)
			}
			if r.Status() != 413 || whole(t, &r) != "too large" {
				t.Errorf("got %d", r.Status())
			}
			r.Release()
			if e, ok := q.Stream.(*endless); ok && !e.closed.Load() {
				t.Error("the stream was not closed")
			}
			if open, _ := p.counts(); open != 0 {
				t.Errorf("%d connections are kept", open)
			}
		})
	}
}

// TestStopAfterFailure closes the stream of a request whose sending failed
// a moment before it was stopped, and not one that is at its end.
func TestStopAfterFailure(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		closed bool
	}{
		"halted":      {errHalted, true},
		"reset":       {net.ErrClosed, true},
		"all is sent": {nil, false},
		"failed":      {ErrRequestBody, false},
	} {
		e := &endless{}
		s := &sender{c: &conn{link: link{Conn: &scripted{}}}, stream: e, done: make(chan struct{}), err: c.err}
		close(s.done)
		s.stop()
		if e.closed.Load() != c.closed {
			t.Errorf("%s: closed is %v", name, !c.closed)
		}
	}
}

// TestEarlyAnswerAndReset: the upstream answers and closes without reading.
func TestEarlyAnswerAndClose(t *testing.T) {
	s := serve(t, func(c net.Conn, n int) {
		if err := headOnly(c); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
		c.(*net.TCPConn).CloseWrite()
		io.CopyN(io.Discard, c, 100_000)
	})
	for range 20 {
		p := newPool(t, nil, s.url())
		q := &Request{Method: "POST", Target: []byte("/"), Stream: &endless{}, Length: -1}
		if status, body, r := do(t, p, q); status != 401 || body != "no" || r.Attempts() != 1 {
			t.Errorf("got %d %q after %d attempts", status, body, r.Attempts())
		}
	}
}

// TestEcho sends 20 MiB to an upstream that answers as it reads: a client
// that writes first and reads then would never end.
func TestEcho(t *testing.T) {
	s := serve(t, func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			q, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			var b [8 << 10]byte
			for {
				n, err := q.Body.Read(b[:])
				if n > 0 {
					io.WriteString(c, hex(n)+"\r\n"+string(b[:n])+"\r\n")
				}
				if err != nil {
					break
				}
			}
			io.WriteString(c, "0\r\n\r\n")
		}
	})
	content := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	for _, c := range []struct {
		name string
		q    Request
	}{
		{"chunked", Request{Stream: bytes.NewReader(content), Length: -1}},
		{"length", Request{Stream: bytes.NewReader(content), Length: int64(len(content))}},
		{"whole", Request{Body: content}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, nil, s.url())
			q := &c.q
			q.Method, q.Target = "POST", []byte("/")
			_, body, r := do(t, p, q)
			if body != string(content) {
				t.Errorf("got %d bytes, want the %d that were sent", len(body), len(content))
			}
			r.Release()
			// All was sent and all was read: the connection is good.
			if open, idle := p.counts(); open != 1 || idle != 1 {
				t.Errorf("%d connections open, %d idle; want 1 and 1", open, idle)
			}
		})
	}
}

func hex(n int) string {
	const digits = "0123456789abcdef"
	if n < 16 {
		return digits[n : n+1]
	}
	return hex(n/16) + digits[n%16:n%16+1]
}

// TestUpload sends streams of every shape and finds them whole.
func TestUpload(t *testing.T) {
	type seen struct {
		length int64
		body   string
		coding int
	}
	got := make(chan seen, 1)
	s := serve(t, func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			q, body, err := readRequest(br)
			if err != nil {
				return
			}
			got <- seen{q.ContentLength, body, len(q.TransferEncoding)}
			io.WriteString(c, okAnswer)
		}
	})
	p := newPool(t, nil, s.url())
	for _, size := range []int{0, 1, 15, 16, 4095, pieceSize - 1, pieceSize, pieceSize + 1, 3*pieceSize + 7} {
		content := strings.Repeat("x", size)
		for _, c := range []struct {
			name string
			q    Request
			want seen
		}{
			{"length", Request{Stream: strings.NewReader(content), Length: int64(size)}, seen{int64(size), content, 0}},
			{"longer than its length", Request{Stream: strings.NewReader(content + "more"), Length: int64(size)}, seen{int64(size), content, 0}},
			{"chunked", Request{Stream: strings.NewReader(content), Length: -1}, seen{-1, content, 1}},
			{"byte by byte", Request{Stream: &slowly{strings.NewReader(content[:min(size, 100)])}, Length: -1}, seen{-1, content[:min(size, 100)], 1}},
			{"whole", Request{Body: []byte(content)}, seen{int64(size), content, 0}},
		} {
			q := &c.q
			q.Method, q.Target = "PUT", []byte("/")
			do(t, p, q)
			if g := <-got; g != c.want {
				t.Errorf("%s of %d bytes: length %d, %d bytes, %d codings; want %d, %d, %d", c.name, size, g.length, len(g.body), g.coding, c.want.length, len(c.want.body), c.want.coding)
			}
		}
	}
	if s.connections() != 1 {
		t.Errorf("%d connections, want 1", s.connections())
	}
}

// slowly gives one byte a Read, its last together with the end.
type slowly struct{ r *strings.Reader }

func (s *slowly) Read(b []byte) (int, error) {
	if s.r.Len() == 0 {
		return 0, io.EOF
	}
	n, _ := s.r.Read(b[:1])
	if s.r.Len() == 0 {
		return n, io.EOF
	}
	return n, nil
}

// TestRequestBodyFails makes a client's broken body ErrRequestBody, and half
// a request no whole one for the upstream.
func TestRequestBodyFails(t *testing.T) {
	ends := make(chan error, 9)
	s := serve(t, func(c net.Conn, _ int) {
		_, _, err := readRequest(bufio.NewReader(c))
		ends <- err
	})
	fault := errors.New("client went away")
	for _, c := range []struct {
		name   string
		stream io.Reader
		length int64
		cause  error
	}{
		{"at once", io.MultiReader(failing{fault}), -1, fault},
		{"in the middle", io.MultiReader(strings.NewReader("some"), failing{fault}), -1, fault},
		{"in the middle of a known length", io.MultiReader(strings.NewReader("some"), failing{fault}), 100, fault},
		{"shorter than its length", strings.NewReader("some"), 5, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, nil, s.url())
			q := &Request{Method: "PUT", Target: []byte("/"), Stream: c.stream, Length: c.length}
			var r Response
			err := p.Do(context.Background(), q, &r)
			if !errors.Is(err, ErrRequestBody) || c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("Do: %v, want ErrRequestBody and %v", err, c.cause)
			}
			if r.Attempts() != 1 {
				t.Errorf("%d attempts", r.Attempts())
			}
			if err := <-ends; err == nil {
				t.Error("the upstream took half a request for a whole one")
			}
			p.mu.Lock()
			if h := p.endpoints[0].health; h != (health{}) {
				t.Errorf("the endpoint was blamed: %+v", h)
			}
			p.mu.Unlock()
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestConstantMemory streams 100 MB each way.
func TestConstantMemory(t *testing.T) {
	const size = 100 << 20
	s := serve(t, func(c net.Conn, _ int) {
		br := bufio.NewReaderSize(c, 64<<10)
		for {
			q, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if q.Method == "PUT" {
				n, _ := io.Copy(io.Discard, q.Body)
				if n == size {
					io.WriteString(c, okAnswer)
				}
				continue
			}
			b := make([]byte, 64<<10)
			switch q.URL.Path {
			case "/length":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
				for range size / len(b) {
					c.Write(b)
				}
			case "/chunked":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range size / len(b) {
					io.WriteString(c, hex(len(b))+"\r\n")
					c.Write(b)
					io.WriteString(c, "\r\n")
				}
				io.WriteString(c, "0\r\n\r\n")
			}
		}
	})
	p := newPool(t, nil, s.url())
	exchange := func(q *Request) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var r Response
		defer r.Release()
		if err := p.Do(context.Background(), q, &r); err != nil {
			t.Fatal(err)
		}
		if q.Method == "GET" {
			buf := make([]byte, 32<<10)
			total := 0
			for stream := r.Stream(); ; {
				n, err := stream.Read(buf)
				total += n
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if total != size {
				t.Errorf("got %d bytes", total)
			}
		} else if string(r.Body()) != "ok" {
			t.Errorf("got %q", r.Body())
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s %s: %d KiB were allocated for %d MiB", q.Method, q.Target, n>>10, size>>20)
		}
	}
	exchange(get("/length"))
	exchange(get("/chunked"))
	exchange(&Request{Method: "PUT", Target: []byte("/"), Stream: io.LimitReader(&endless{}, size), Length: size})
	exchange(&Request{Method: "PUT", Target: []byte("/"), Stream: io.LimitReader(&endless{}, size), Length: -1})
	if s.connections() != 1 {
		t.Errorf("%d connections, want 1", s.connections())
	}
}

// TestBackPressure: an upstream that does not read stops the client's body
// from being read, and a caller that does not read stops the upstream.
func TestBackPressure(t *testing.T) {
	release := make(chan bool)
	var wrote atomic.Int64
	s := serve(t, func(c net.Conn, _ int) {
		c.(*net.TCPConn).SetReadBuffer(64 << 10)
		c.(*net.TCPConn).SetWriteBuffer(64 << 10)
		q, err := http.ReadRequest(bufio.NewReaderSize(c, 16))
		if err != nil {
			return
		}
		if q.Method == "PUT" {
			<-release
			io.Copy(io.Discard, q.Body)
			io.WriteString(c, okAnswer)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
		b := make([]byte, 64<<10)
		for {
			n, err := c.Write(b)
			wrote.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	p := newPool(t, nil, s.url())
	var took atomic.Int64
	body := readerFunc(func(b []byte) (int, error) {
		if took.Load() >= 64<<20 {
			return 0, io.EOF
		}
		took.Add(int64(len(b)))
		return len(b), nil
	})
	result := make(chan error)
	go func() {
		var r Response
		defer r.Release()
		result <- p.Do(context.Background(), &Request{Method: "PUT", Target: []byte("/"), Stream: body, Length: -1}, &r)
	}()
	settled := func(n *atomic.Int64) int64 {
		last := int64(-1)
		for now := n.Load(); now != last || now == 0; now = n.Load() {
			last = now
			time.Sleep(50 * time.Millisecond)
		}
		return last
	}
	if n := settled(&took); n > 16<<20 {
		t.Errorf("%d MiB of the client's body were read while the upstream read nothing", n>>20)
	}
	release <- true
	if err := <-result; err != nil {
		t.Error(err)
	}
	var r Response
	if err := p.Do(context.Background(), get("/"), &r); err != nil {
		t.Fatal(err)
	}
	if n := settled(&wrote); n > 16<<20 {
		t.Errorf("%d MiB of the answer were read while the caller read nothing", n>>20)
	}
	r.Release()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestStreamUnderTLS sends and receives at once under TLS.
func TestStreamUnderTLS(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	s := serveTLS(t, tlsConfig(cert), func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			q, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5000000\r\n\r\n")
			io.Copy(c, q.Body)
		}
	})
	p := newPool(t, func(u *config.Upstream) { u.TLS.CAFile = a.file }, s.secureURL())
	content := bytes.Repeat([]byte("12345"), 1_000_000)
	for range 2 {
		for _, q := range []*Request{{Stream: bytes.NewReader(content), Length: -1}, {Body: content}} {
			q.Method, q.Target = "POST", []byte("/")
			_, body, r := do(t, p, q)
			if body != string(content) {
				t.Errorf("got %d bytes", len(body))
			}
			r.Release()
		}
	}
	if s.connections() != 1 {
		t.Errorf("%d connections, want 1", s.connections())
	}
}
