package upstream

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hopgate/config"
)

// TestMain fails where a goroutine is left over.
func TestMain(m *testing.M) {
	if answer := os.Getenv(childAnswer); answer != "" {
		quickChild(answer)
		return
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && flag.Lookup("test.fuzz").Value.String() == "" {
		for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				buf := make([]byte, 1<<20)
				fmt.Fprintf(os.Stderr, "goroutines are left over:\n%s\n", buf[:runtime.Stack(buf, true)])
				code = 1
				break
			}
		}
	}
	os.Exit(code)
}

// rawServer is an upstream that does with each connection what the test
// says, byte for byte.
type rawServer struct {
	t       testing.TB
	l       net.Listener
	mu      sync.Mutex
	conns   []net.Conn
	done    sync.WaitGroup
	counted int
}

// serve runs handle for each connection, numbered from 0; the connection is
// closed when it returns.
func serve(t testing.TB, handle func(c net.Conn, n int)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, handle)
}

func serveOn(t testing.TB, l net.Listener, handle func(c net.Conn, n int)) *rawServer {
	s := &rawServer{t: t, l: l}
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			n := s.counted
			s.counted++
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.done.Go(func() {
				defer c.Close()
				handle(c, n)
			})
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *rawServer) stop() {
	s.l.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

// connections is how many were made so far.
func (s *rawServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counted
}

func (s *rawServer) url() string { return "http://" + s.l.Addr().String() }

// answering is a handler that reads requests and gives each the bytes of
// answer.
func answering(answer string) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// readRequest reads a request with its body as net/http understands it.
func readRequest(br *bufio.Reader) (*http.Request, string, error) {
	q, err := http.ReadRequest(br)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(q.Body)
	return q, string(body), err
}

const (
	okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	poison   = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
)

// newPool compiles an upstream; change may be nil.
func newPool(t testing.TB, change func(*config.Upstream), endpoints ...string) *Pool {
	t.Helper()
	return newPoolWith(t, Options{}, change, endpoints...)
}

func newPoolWith(t testing.TB, o Options, change func(*config.Upstream), endpoints ...string) *Pool {
	t.Helper()
	u := config.Upstream{
		Endpoints: endpoints, Timeout: 10 * time.Second, ConnectTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxConnections: 8, Retry: config.Retry{Attempts: 2, Budget: 0.1},
	}
	if change != nil {
		change(&u)
	}
	var errs config.Errors
	p := Compile("backend", u, nil, o, &errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func get(target string) *Request { return &Request{Method: "GET", Target: []byte(target)} }

// do makes an exchange and gives its status and whole body.
func do(t testing.TB, p *Pool, q *Request) (status int, body string, r *Response) {
	t.Helper()
	r = new(Response)
	t.Cleanup(r.Release)
	if err := p.Do(context.Background(), q, r); err != nil {
		t.Fatalf("Do: %v", err)
	}
	return r.Status(), whole(t, r), r
}

// whole reads a response's body however it comes.
func whole(t testing.TB, r *Response) string {
	t.Helper()
	s := r.Stream()
	if s == nil {
		return string(r.Body())
	}
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatalf("reading the stream: %v", err)
	}
	return string(b)
}

// open counts the pool's connections.
func (p *Pool) counts() (open, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.endpoints {
		open += e.open
		idle += len(e.idle)
	}
	return open, idle
}

// eventually waits until what is true, for what other goroutines or the
// kernel do on their own time.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// fieldsOf writes a response's fields one a line.
func fieldsOf(r *Response) string {
	var b strings.Builder
	for i := range r.Len() {
		name, value := r.FieldAt(i)
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	return b.String()
}
