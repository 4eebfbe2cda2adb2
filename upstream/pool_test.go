package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hopgate/config"
)

// clock is a clock that the test turns.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Unix(1_700_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// TestKeepAlive sends many requests over one connection.
func TestKeepAlive(t *testing.T) {
	s := serve(t, answering(okAnswer))
	p := newPool(t, nil, s.url())
	for range 100 {
		if status, body, _ := do(t, p, get("/")); status != 200 || body != "ok" {
			t.Fatalf("got %d %q", status, body)
		}
	}
	if s.connections() != 1 {
		t.Errorf("%d connections, want 1", s.connections())
	}
}

// TestUnixSocket forwards over a unix socket, with a Host of its own.
func TestUnixSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	hosts := make(chan string, 9)
	s := serveOn(t, l, func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			q, _, err := readRequest(br)
			if err != nil {
				return
			}
			hosts <- q.Host
			io.WriteString(c, okAnswer)
		}
	})
	p := newPool(t, nil, "unix:"+file)
	for range 3 {
		if _, body, r := do(t, p, get("/")); body != "ok" || r.Endpoint() != "unix:"+file {
			t.Errorf("got %q from %q", body, r.Endpoint())
		}
		if h := <-hosts; h != "localhost" {
			t.Errorf("Host %q", h)
		}
	}
	if s.connections() != 1 {
		t.Errorf("%d connections, want 1", s.connections())
	}
	p = newPool(t, func(u *config.Upstream) { u.Host = "api.example.com" }, "unix:"+file)
	do(t, p, get("/"))
	if h := <-hosts; h != "api.example.com" {
		t.Errorf("Host %q", h)
	}
}

// TestMaxConnections lets requests wait for a connection, and refuses what
// waits too long or is too much.
func TestMaxConnections(t *testing.T) {
	arrived, release := make(chan bool, 100), make(chan bool)
	s := serve(t, func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			arrived <- true
			<-release
			io.WriteString(c, okAnswer)
		}
	})
	p := newPool(t, func(u *config.Upstream) { u.MaxConnections = 2 }, s.url())
	results := make(chan error, 9)
	for range 4 {
		go func() {
			var r Response
			defer r.Release()
			results <- p.Do(context.Background(), get("/"), &r)
		}()
	}
	<-arrived
	<-arrived
	eventually(t, "two requests wait", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiting) == 2
	})
	var r Response
	if err := p.Do(context.Background(), get("/"), &r); !errors.Is(err, ErrOverloaded) || r.Attempts() != 0 {
		t.Errorf("a fifth request: %v after %d attempts, want ErrOverloaded after none", err, r.Attempts())
	}
	for range 4 {
		release <- true
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if s.connections() != 2 {
		t.Errorf("%d connections, want 2", s.connections())
	}

	p = newPool(t, func(u *config.Upstream) { u.MaxConnections, u.ConnectTimeout = 1, 50*time.Millisecond }, s.url())
	go func() {
		var r Response
		defer r.Release()
		results <- p.Do(context.Background(), get("/"), &r)
	}()
	<-arrived
	<-arrived
	<-arrived
	if err := p.Do(context.Background(), get("/"), &r); !errors.Is(err, ErrOverloaded) {
		t.Errorf("a request that waits: %v, want ErrOverloaded", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Do(ctx, get("/"), &r); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that waits and is cancelled: %v, want context.Canceled", err)
	}
	p.mu.Lock()
	if len(p.waiting) != 0 {
		t.Errorf("%d requests still wait", len(p.waiting))
	}
	p.mu.Unlock()
	release <- true
	if err := <-results; err != nil {
		t.Error(err)
	}
}

// TestPlaceOfAFailedConnection goes to the next that waits.
func TestPlaceOfAFailedConnection(t *testing.T) {
	release := make(chan bool)
	s := serve(t, func(c net.Conn, n int) {
		if _, _, err := readRequest(bufio.NewReader(c)); err != nil {
			return
		}
		if n == 0 {
			<-release
			return // closed without an answer
		}
		io.WriteString(c, okAnswer)
	})
	p := newPool(t, func(u *config.Upstream) { u.MaxConnections = 1 }, s.url())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		first <- p.Do(context.Background(), &Request{Method: "POST", Target: []byte("/")}, new(Response))
	}()
	eventually(t, "the first is on its way", func() bool { return s.connections() == 1 })
	go func() { second <- p.Do(context.Background(), get("/"), new(Response)) }()
	eventually(t, "the second waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiting) == 1
	})
	release <- true
	if err := <-first; !errors.Is(err, ErrUnavailable) {
		t.Errorf("the first: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second: %v", err)
	}
}

// TestBalance spreads requests in progress over endpoints.
func TestBalance(t *testing.T) {
	var mu sync.Mutex
	busy := map[int]int{}
	release := make(chan bool)
	var urls []string
	for i := range 4 {
		s := serve(t, func(c net.Conn, _ int) {
			br := bufio.NewReader(c)
			for {
				if _, _, err := readRequest(br); err != nil {
					return
				}
				mu.Lock()
				busy[i]++
				mu.Unlock()
				<-release
				io.WriteString(c, okAnswer)
			}
		})
		urls = append(urls, s.url())
	}
	p := newPool(t, func(u *config.Upstream) { u.MaxConnections = 100 }, urls...)
	var all sync.WaitGroup
	const requests = 80
	for range requests {
		all.Go(func() { do(t, p, get("/")) })
	}
	total := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, b := range busy {
			n += b
		}
		return n
	}
	eventually(t, "all are busy", func() bool { return total() == requests })
	for i, n := range busy {
		// Two random choices keep the spread within a few of the mean; one
		// random choice would not.
		if n < requests/4-8 || n > requests/4+8 {
			t.Errorf("endpoint %d has %d of %d requests", i, n, requests)
		}
	}
	close(release)
	all.Wait()
}

// TestIdleAndAge closes connections that are unused or old.
func TestIdleAndAge(t *testing.T) {
	s := serve(t, answering(okAnswer))
	clock := newClock()
	p := newPoolWith(t, Options{Now: clock.now}, nil, s.url())
	do(t, p, get("/"))
	clock.add(59 * time.Second)
	do(t, p, get("/"))
	if s.connections() != 1 {
		t.Fatalf("%d connections, want 1", s.connections())
	}
	clock.add(time.Minute)
	do(t, p, get("/"))
	if s.connections() != 2 {
		t.Errorf("an idle connection was used after its time: %d connections, want 2", s.connections())
	}
	for range 12 {
		clock.add(30 * time.Second)
		do(t, p, get("/"))
	}
	if n := s.connections(); n != 3 {
		t.Errorf("after %v in use: %d connections, want 3", 6*time.Minute, n)
	}
	clock.add(time.Minute)
	p.sweep()
	if open, idle := p.counts(); open != 0 || idle != 0 {
		t.Errorf("after sweeping: %d open, %d idle", open, idle)
	}
}

// TestSweep runs by itself.
func TestSweep(t *testing.T) {
	ended := make(chan bool)
	s := serve(t, func(c net.Conn, n int) {
		answering(okAnswer)(c, n)
		ended <- true
	})
	p := newPool(t, func(u *config.Upstream) { u.IdleTimeout = 20 * time.Millisecond }, s.url())
	do(t, p, get("/"))
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("an idle connection was not closed")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sweeper != nil {
		t.Error("the sweeper goes on with nothing to sweep")
	}
}

// TestClose lets open exchanges finish and keeps no connection.
func TestClose(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	s := serve(t, func(c net.Conn, n int) {
		br := bufio.NewReader(c)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			if n == 0 {
				arrived <- true
				<-release
			}
			io.WriteString(c, okAnswer)
		}
	})
	p := newPool(t, nil, s.url())
	result := make(chan error)
	go func() { result <- p.Do(context.Background(), get("/"), new(Response)) }()
	<-arrived
	do(t, p, get("/")) // on a second connection, idle now
	p.Close()
	if open, idle := p.counts(); open != 1 || idle != 0 {
		t.Errorf("%d open, %d idle; want the one in use", open, idle)
	}
	release <- true
	if err := <-result; err != nil {
		t.Errorf("an open exchange: %v", err)
	}
	do(t, p, get("/"))
	if open, _ := p.counts(); open != 0 {
		t.Errorf("%d connections are open", open)
	}
	p.Close()
}

// TestConcurrent mixes everything that can happen; each caller gets its own
// answer.
func TestConcurrent(t *testing.T) {
	handle := func(c net.Conn, n int) {
		br := bufio.NewReader(c)
		for i := 0; ; i++ {
			q, body, err := readRequest(br)
			if err != nil {
				return
			}
			echo := q.URL.Path + body
			switch {
			case (n+i)%7 == 3:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(echo), echo, poison)
			case (n+i)%7 == 5:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(echo), echo)
			case (n+i)%11 == 6:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(echo), echo)
				return
			default:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(echo), echo)
			}
		}
	}
	p := newPool(t, func(u *config.Upstream) { u.Retry = config.Retry{Attempts: 5, Budget: 1} }, serve(t, handle).url(), serve(t, handle).url())
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			var q Request
			var r Response
			for i := range 200 {
				q.Reset()
				want := fmt.Sprintf("/%d/%d", g, i)
				q.Method, q.Target = "PUT", append(q.Target[:0], want...)
				switch i % 3 {
				case 1:
					q.Body = []byte(strings.Repeat("b", i))
					want += string(q.Body)
				case 2:
					q.Stream, q.Length = strings.NewReader("stream"), int64(i%2*7-1)
					want += "stream"
					if q.Length > 0 {
						q.Length = 6
					}
				}
				err := p.Do(context.Background(), &q, &r)
				if err != nil {
					// A stream is not repeated where the peer closed between
					// the look and the request.
					if q.Stream == nil {
						t.Errorf("%s: %v", want, err)
					}
					continue
				}
				if got := whole(t, &r); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				r.Release()
			}
		})
	}
	all.Wait()
	if open, idle := p.counts(); open != idle {
		t.Errorf("%d connections open, %d idle", open, idle)
	}
}

// TestAddresses reaches an upstream by a name, whichever family of addresses
// it listens on.
func TestAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s cannot be listened on here: %v", address, err)
			continue
		}
		s := serveOn(t, l, answering(okAnswer))
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, url := range []string{s.url(), "http://localhost:" + port} {
			if addrs, err := net.LookupHost("localhost"); url != s.url() && (err != nil || !slices.Contains(addrs, strings.Trim(strings.TrimSuffix(address, ":0"), "[]"))) {
				t.Logf("localhost is not %s here: %v", address, addrs)
				continue
			}
			if _, body, _ := do(t, newPool(t, nil, url), get("/")); body != "ok" {
				t.Errorf("%s: got %q", url, body)
			}
		}
	}
}
