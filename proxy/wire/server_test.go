package wire_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"hopgate/proxy/wire"
	"hopgate/proxy/wire/wiretest"
)

// recorder is a fasthttp server behind the guard that notes what its handler
// gets: complete requests, and those whose body failed.
type recorder struct {
	server fasthttp.Server

	mu       sync.Mutex
	requests []wiretest.Request
	broken   []string
}

func newRecorder() *recorder {
	r := new(recorder)
	r.server = fasthttp.Server{
		Handler:                      r.handle,
		ErrorHandler:                 r.refuse,
		Logger:                       silent{},
		ReadBufferSize:               32<<10 + 1,
		StreamRequestBody:            true,
		MaxRequestBodySize:           4 << 10,
		DisablePreParseMultipartForm: true,
		NoDefaultDate:                true,
		NoDefaultServerHeader:        true,
	}
	return r
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (r *recorder) handle(ctx *fasthttp.RequestCtx) {
	var body []byte
	if s := ctx.RequestBodyStream(); s != nil {
		var err error
		if body, err = io.ReadAll(s); err != nil {
			r.mu.Lock()
			r.broken = append(r.broken, string(ctx.RequestURI()))
			r.mu.Unlock()
			if fault := ctx.Conn().(*wire.Conn).Err(); fault != nil {
				err = fault
			}
			r.refuse(ctx, err)
			ctx.SetConnectionClose()
			return
		}
	}
	r.mu.Lock()
	r.requests = append(r.requests, wiretest.Request{
		Method: string(ctx.Method()), Target: string(ctx.Request.Header.RequestURI()), Body: string(body),
	})
	r.mu.Unlock()
	ctx.SetBodyString("ok")
}

// refuse answers with the reason of a fault, as a server has to.
func (r *recorder) refuse(ctx *fasthttp.RequestCtx, err error) {
	ctx.Response.Reset()
	ctx.SetStatusCode(http.StatusBadRequest)
	var fault *wire.Error
	if errors.As(err, &fault) {
		ctx.Response.Header.Set("X-Reason", fault.Reason)
		ctx.Response.Header.Set("X-Section", fault.RFC)
		return
	}
	ctx.Response.Header.Set("X-Reason", "other: "+strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, err.Error()))
}

// take gives what was noted since the last time.
func (r *recorder) take() (requests []wiretest.Request, broken []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	requests, broken = r.requests, r.broken
	r.requests, r.broken = nil, nil
	return requests, broken
}

// guarded is a listener whose connections are guarded; each reads as cut
// says, which is set between connections.
type guarded struct {
	net.Listener
	cut func(net.Conn) net.Conn
}

func (g *guarded) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if g.cut != nil {
		c = g.cut(c)
	}
	return wire.NewConn(c, wire.Limits{}), nil
}

// cutAt is a connection whose reads end at an offset of all that is read, or
// after each byte where every is set.
type cutAt struct {
	net.Conn
	offset int
	every  bool
	seen   int
}

func (c *cutAt) Read(b []byte) (int, error) {
	if c.every {
		b = b[:1]
	} else if left := c.offset - c.seen; left > 0 && left < len(b) {
		b = b[:left]
	}
	n, err := c.Conn.Read(b)
	c.seen += n
	return n, err
}

const before = "POST /before HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 2\r\n\r\nhi"

// exchange sends raw after a good request on one connection, and gives the
// answers until the server closes it.
func exchange(t *testing.T, c net.Conn, raw string) (answers []*http.Response) {
	t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// The server may close before it has read all.
		_, _ = io.WriteString(c, raw)
	}()
	br := bufio.NewReader(c)
	for {
		a, err := http.ReadResponse(br, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("no end after %d answers", len(answers))
			}
			break
		}
		_, _ = io.Copy(io.Discard, a.Body)
		answers = append(answers, a)
		if a.Close {
			break
		}
	}
	_ = c.Close()
	<-sent
	return answers
}

func serve(t *testing.T, r *recorder, ln net.Listener) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); _ = r.server.Serve(ln) }()
	t.Cleanup(func() {
		_ = ln.Close()
		_ = r.server.Shutdown()
		<-done
	})
}

// check holds that one malformed message was answered as such, and that
// nothing of it or after it got through.
func check(t *testing.T, r *recorder, c wiretest.Case, answers []*http.Response) {
	t.Helper()
	requests, broken := r.take()
	if want := []wiretest.Request{{Method: "POST", Target: "/before", Body: "hi"}}; !slices.Equal(requests, want) {
		t.Errorf("got through: %q", requests)
	}
	if !c.Late && len(broken) > 0 {
		t.Errorf("handled with a broken body: %q", broken)
	}
	if len(answers) != 2 {
		t.Fatalf("%d answers", len(answers))
	}
	if answers[0].StatusCode != 200 {
		t.Errorf("the good request got %d", answers[0].StatusCode)
	}
	a := answers[1]
	if got := a.Header.Get("X-Reason"); got != c.Reason {
		t.Errorf("reason is %q, want %q", got, c.Reason)
	}
	if got := a.Header.Get("X-Section"); got != c.RFC {
		t.Errorf("section is %q, want %q", got, c.RFC)
	}
	if !a.Close {
		t.Error("the connection is kept")
	}
}

const after = "GET /after HTTP/1.1\r\nHost: gate.test\r\n\r\n"

func TestMalformedOverLoopback(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	serve(t, r, &guarded{Listener: ln})
	for _, c := range wiretest.Malformed {
		t.Run(c.Name, func(t *testing.T) {
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			check(t, r, c, exchange(t, conn, before+c.Raw+after))
		})
	}
}

// TestMalformedCutAnywhere holds that it does not matter how a message is
// cut into reads.
func TestMalformedCutAnywhere(t *testing.T) {
	r := newRecorder()
	mem := fasthttputil.NewInmemoryListener()
	ln := &guarded{Listener: mem}
	serve(t, r, ln)
	for _, c := range wiretest.Malformed {
		if len(c.Raw) > 160 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			for offset := 0; offset <= len(c.Raw); offset++ {
				// At offset 0 every byte is a read of its own.
				ln.cut = func(n net.Conn) net.Conn {
					return &cutAt{Conn: n, offset: len(before) + offset, every: offset == 0}
				}
				conn, err := mem.Dial()
				if err != nil {
					t.Fatal(err)
				}
				check(t, r, c, exchange(t, conn, before+c.Raw+after))
				if t.Failed() {
					t.Fatalf("cut at %d", offset)
				}
			}
		})
	}
}

func TestWellformedThroughServer(t *testing.T) {
	r := newRecorder()
	mem := fasthttputil.NewInmemoryListener()
	ln := &guarded{Listener: mem}
	serve(t, r, ln)
	last := "GET /last HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n"
	for _, g := range wiretest.Wellformed {
		t.Run(g.Name, func(t *testing.T) {
			offsets := len(g.Raw)
			if offsets > 400 {
				offsets = 0
			}
			for offset := 0; offset <= offsets; offset++ {
				ln.cut = func(n net.Conn) net.Conn { return &cutAt{Conn: n, offset: offset, every: offset == 0} }
				conn, err := mem.Dial()
				if err != nil {
					t.Fatal(err)
				}
				answers := exchange(t, conn, g.Raw+last)
				requests, broken := r.take()
				// A message that closes its connection is the last.
				if n := len(requests); n > 0 && requests[n-1].Target == "/last" {
					requests = requests[:n-1]
				}
				if !slices.Equal(requests, g.Requests) || len(broken) > 0 {
					t.Fatalf("cut at %d: read %q, broken %q", offset, requests, broken)
				}
				for _, a := range answers {
					if a.StatusCode != 200 {
						t.Fatalf("cut at %d: answered %d %v", offset, a.StatusCode, a.Header)
					}
				}
			}
		})
	}
}

func TestTableIsLargeAndNamed(t *testing.T) {
	if n := len(wiretest.Malformed); n < 200 {
		t.Errorf("%d malformed messages", n)
	}
	names := make(map[string]bool)
	for _, c := range wiretest.Malformed {
		if names[c.Name] {
			t.Errorf("%q is there twice", c.Name)
		}
		names[c.Name] = true
	}
	t.Log(fmt.Sprint(len(wiretest.Malformed), " malformed, ", len(wiretest.Wellformed), " well-formed"))
}
