package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hopgate/config"
)

// hung reads requests, tells, writes what it is told and then nothing, until
// the peer closes; then it tells that.
func hung(begin string, arrived, left chan<- bool) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		if _, _, err := readRequest(br); err != nil {
			return
		}
		io.WriteString(c, begin)
		arrived <- true
		io.Copy(io.Discard, br)
		left <- true
	}
}

// TestTimeouts meets upstreams that hang at each stage.
func TestTimeouts(t *testing.T) {
	const short, long = 60 * time.Millisecond, 10 * time.Second
	post := &Request{Method: "POST", Target: []byte("/")}
	for _, c := range []struct {
		name   string
		begin  string
		change func(*config.Upstream)
		q      *Request
	}{
		{"total, no head", "", func(u *config.Upstream) { u.Timeout = short }, post},
		{"the request's own", "", nil, &Request{Method: "POST", Target: []byte("/"), Timeout: short}},
		{"head", "", func(u *config.Upstream) { u.HeaderTimeout = short }, post},
		{"half a head", "HTTP/1.1 200 OK\r\nA", func(u *config.Upstream) { u.HeaderTimeout = short }, post},
		{"interim answers only", "HTTP/1.1 100 Continue\r\n\r\n", func(u *config.Upstream) { u.HeaderTimeout = short }, post},
		{"body of known length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", func(u *config.Upstream) { u.Timeout = short }, post},
		{"body to be held", "HTTP/1.1 200 OK\r\n\r\nok", func(u *config.Upstream) { u.Timeout = short }, &Request{Method: "POST", Target: []byte("/"), MaxHold: 9}},
		{"chunks to be held", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", func(u *config.Upstream) { u.Timeout = short }, &Request{Method: "POST", Target: []byte("/"), MaxHold: 9}},
		{"after a stream was sent", "", func(u *config.Upstream) { u.Timeout = short }, &Request{Method: "POST", Target: []byte("/"), Stream: strings.NewReader("body"), Length: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived, left := make(chan bool, 9), make(chan bool, 9)
			s := serve(t, hung(c.begin, arrived, left))
			p := newPool(t, func(u *config.Upstream) {
				u.Timeout = long
				if c.change != nil {
					c.change(u)
				}
			}, s.url())
			began := time.Now()
			err := p.Do(context.Background(), c.q, new(Response))
			took := time.Since(began)
			if !errors.Is(err, ErrTimeout) {
				t.Errorf("Do: %v, want ErrTimeout", err)
			}
			if took < short || took > long/2 {
				t.Errorf("Do took %v", took)
			}
			<-arrived
			<-left // the connection was closed
			if open, _ := p.counts(); open != 0 {
				t.Errorf("%d connections are open", open)
			}
		})
	}
}

// TestHeaderTimeoutRetries asks again within the total timeout, and never
// after it.
func TestHeaderTimeoutRetries(t *testing.T) {
	var seen atomic.Int64
	s := serve(t, func(c net.Conn, n int) {
		if _, _, err := readRequest(bufio.NewReader(c)); err != nil {
			return
		}
		seen.Add(1)
		if n == 1 {
			io.WriteString(c, okAnswer)
		}
		io.Copy(io.Discard, c)
	})
	p := newPool(t, func(u *config.Upstream) {
		u.HeaderTimeout, u.Retry = 50*time.Millisecond, config.Retry{Attempts: 9, Budget: 1}
	}, s.url())
	if _, body, r := do(t, p, get("/")); body != "ok" || r.Attempts() != 2 {
		t.Errorf("got %q after %d attempts", body, r.Attempts())
	}
	seen.Store(0)
	p = newPool(t, func(u *config.Upstream) {
		u.Timeout, u.Retry = 50*time.Millisecond, config.Retry{Attempts: 9, Budget: 1}
	}, s.url())
	if err := p.Do(context.Background(), get("/"), new(Response)); !errors.Is(err, ErrTimeout) {
		t.Errorf("Do: %v, want ErrTimeout", err)
	}
	if seen.Load() != 1 {
		t.Errorf("the upstream saw %d requests, want 1", seen.Load())
	}
}

// TestConnectTimeout covers TLS: a peer that accepts and says nothing.
func TestConnectTimeout(t *testing.T) {
	s := serve(t, func(c net.Conn, _ int) { io.Copy(io.Discard, c) })
	p := newPool(t, func(u *config.Upstream) { u.ConnectTimeout, u.Retry.Attempts = 50*time.Millisecond, 1 }, s.secureURL())
	began := time.Now()
	err := p.Do(context.Background(), get("/"), new(Response))
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("Do: %v, want ErrTimeout", err)
	}
	if took := time.Since(began); took < 50*time.Millisecond || took > 2*time.Second {
		t.Errorf("Do took %v", took)
	}
}

// TestCancel frees the upstream's connection at once, at each stage.
func TestCancel(t *testing.T) {
	block := &endless{block: make(chan struct{})}
	for _, c := range []struct {
		name  string
		begin string
		q     *Request
	}{
		{"waiting for the head", "", get("/")},
		{"waiting for the body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", get("/")},
		{"reading the stream", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", get("/")},
		{"sending a stream", "", &Request{Method: "POST", Target: []byte("/"), Stream: block, Length: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived, left := make(chan bool, 9), make(chan bool, 9)
			s := serve(t, func(conn net.Conn, n int) {
				if headOnly(conn) != nil {
					return
				}
				io.WriteString(conn, c.begin)
				arrived <- true
				io.Copy(io.Discard, conn)
				left <- true
			})
			p := newPool(t, nil, s.url())
			ctx, cancel := context.WithCancel(context.Background())
			result := make(chan error)
			go func() {
				var r Response
				err := p.Do(ctx, c.q, &r)
				if err == nil {
					_, err = io.ReadAll(r.Stream())
				}
				r.Release()
				result <- err
			}()
			<-arrived
			began := time.Now()
			cancel()
			err := <-result
			<-left
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			if open, _ := p.counts(); open != 0 {
				t.Errorf("%d connections are open", open)
			}
			if h := p.endpoints[0].health; h != (health{}) {
				t.Errorf("the endpoint was blamed: %+v", h)
			}
		})
	}
	t.Run("before", func(t *testing.T) {
		s := serve(t, answering(okAnswer))
		p := newPool(t, nil, s.url())
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 3 {
			if err := p.Do(ctx, get("/"), new(Response)); !errors.Is(err, context.Canceled) {
				t.Errorf("Do: %v, want context.Canceled", err)
			}
		}
	})
	t.Run("deadline", func(t *testing.T) {
		arrived, left := make(chan bool, 9), make(chan bool, 9)
		p := newPool(t, nil, serve(t, hung("", arrived, left)).url())
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := p.Do(ctx, get("/"), new(Response)); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do: %v, want ErrTimeout and context.DeadlineExceeded", err)
		}
		<-left
	})
	t.Run("afterwards", func(t *testing.T) {
		s := serve(t, answering(okAnswer))
		p := newPool(t, nil, s.url())
		for range 20 {
			ctx, cancel := context.WithCancel(context.Background())
			var r Response
			if err := p.Do(ctx, get("/"), &r); err != nil {
				t.Fatal(err)
			}
			cancel()
			r.Release()
		}
		if s.connections() != 1 {
			t.Errorf("%d connections, want 1: what was over was cancelled", s.connections())
		}
	})
}

// ownContext has a method AfterFunc, which costs less than a goroutine.
type ownContext struct {
	context.Context
	asked, stopped atomic.Int64
}

func (c *ownContext) AfterFunc(f func()) func() bool {
	c.asked.Add(1)
	stop := context.AfterFunc(c.Context, f)
	return func() bool { c.stopped.Add(1); return stop() }
}

func TestOwnAfterFunc(t *testing.T) {
	s := serve(t, answering(okAnswer))
	p := newPool(t, nil, s.url())
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	ctx := &ownContext{Context: parent}
	var r Response
	for range 3 {
		if err := p.Do(ctx, get("/"), &r); err != nil {
			t.Fatal(err)
		}
	}
	if ctx.asked.Load() != 3 || ctx.stopped.Load() != 3 {
		t.Errorf("AfterFunc was called %d times and stopped %d times, want 3 and 3", ctx.asked.Load(), ctx.stopped.Load())
	}
}

// TestSlowStream: a stream is bounded by its silence, not by its length; so
// is a request's stream.
func TestSlowStream(t *testing.T) {
	const timeout, steps, pause = 100 * time.Millisecond, 12, 20 * time.Millisecond
	s := serve(t, func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			q, _, err := readRequest(br)
			if err != nil {
				return
			}
			if q.Method == "POST" {
				io.WriteString(c, okAnswer)
				continue
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range steps {
				time.Sleep(pause)
				io.WriteString(c, "1\r\nx\r\n")
			}
			io.WriteString(c, "0\r\n\r\n")
		}
	})
	p := newPool(t, func(u *config.Upstream) { u.Timeout, u.HeaderTimeout = timeout, timeout }, s.url())
	began := time.Now()
	q := get("/")
	q.MaxHold = 1 << 20
	if _, body, _ := do(t, p, q); body != strings.Repeat("x", steps) {
		t.Errorf("got %q", body)
	}
	if took := time.Since(began); took < 2*timeout {
		t.Errorf("the stream took %v; the test proves nothing", took)
	}
	for _, length := range []int64{-1, steps} {
		left := steps
		slow := readerFunc(func(b []byte) (int, error) {
			if left == 0 {
				return 0, io.EOF
			}
			time.Sleep(pause)
			left--
			b[0] = 'x'
			return 1, nil
		})
		if _, body, _ := do(t, p, &Request{Method: "POST", Target: []byte("/"), Stream: slow, Length: length}); body != "ok" {
			t.Errorf("got %q", body)
		}
	}
	if s.connections() != 1 {
		t.Errorf("%d connections, want 1", s.connections())
	}
}

// TestSilentStream ends a stream that says nothing for too long.
func TestSilentStream(t *testing.T) {
	arrived, left := make(chan bool, 9), make(chan bool, 9)
	p := newPool(t, nil, serve(t, hung("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", arrived, left)).url())
	var r Response
	if err := p.Do(context.Background(), get("/"), &r); err != nil {
		t.Fatal(err)
	}
	r.silence = 50 * time.Millisecond // the least is a minute
	b, err := io.ReadAll(r.Stream())
	if string(b) != "ok" || !errors.Is(err, ErrTimeout) {
		t.Errorf("got %q and %v, want ok and ErrTimeout", b, err)
	}
	if _, again := r.Stream().Read(make([]byte, 1)); !errors.Is(again, ErrTimeout) {
		t.Errorf("another Read: %v", again)
	}
	<-left
	r.Release()
}

// TestUpstreamThatDoesNotRead ends a stream's sending where the upstream
// takes nothing any more.
func TestUpstreamThatDoesNotRead(t *testing.T) {
	done := make(chan bool)
	s := serve(t, func(c net.Conn, _ int) {
		c.(*net.TCPConn).SetReadBuffer(4096)
		<-done
	})
	defer close(done)
	p := newPool(t, func(u *config.Upstream) { u.Timeout = 100 * time.Millisecond }, s.url())
	for _, q := range []*Request{{Stream: &endless{}, Length: -1}, {Stream: &endless{}, Length: 1 << 40}, {Body: make([]byte, 64<<20)}} {
		q.Method, q.Target = "POST", []byte("/")
		began := time.Now()
		if err := p.Do(context.Background(), q, new(Response)); !errors.Is(err, ErrTimeout) {
			t.Errorf("Do: %v, want ErrTimeout", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("Do took %v", took)
		}
	}
}

// TestSharedTimer: the connection's timer, which exchanges share, cuts none
// of them too early and none too late.
func TestSharedTimer(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	handle := func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			q, _, err := readRequest(br)
			if err != nil {
				return
			}
			pause, _ := time.ParseDuration(q.URL.Path[1:])
			time.Sleep(pause)
			io.WriteString(c, okAnswer)
		}
	}
	clear, secure := serve(t, handle), serveTLS(t, tlsConfig(cert), handle)
	for _, p := range []*Pool{newPool(t, nil, clear.url()), newPool(t, trusting(a), secure.secureURL())} {
		for i, c := range []struct {
			after   time.Duration
			timeout time.Duration
			takes   string
			fails   bool
		}{
			{0, 100 * time.Millisecond, "0s", false},
			{0, 10 * time.Second, "200ms", false}, // the first one's timer fires meanwhile
			{0, 100 * time.Millisecond, "0s", false},
			{150 * time.Millisecond, 10 * time.Second, "0s", false}, // it fired while nobody waited
			{0, 100 * time.Millisecond, "1s", true},                 // the timer is set for later
		} {
			time.Sleep(c.after)
			q := &Request{Method: "POST", Target: []byte("/" + c.takes), Timeout: c.timeout}
			began := time.Now()
			err := p.Do(context.Background(), q, new(Response))
			if c.fails != errors.Is(err, ErrTimeout) || !c.fails && err != nil {
				t.Errorf("exchange %d: %v", i, err)
			}
			if took := time.Since(began); c.fails && took > 800*time.Millisecond {
				t.Errorf("exchange %d took %v, its timeout is %v", i, took, c.timeout)
			}
		}
	}
	if clear.connections() != 1 || secure.connections() != 1 {
		t.Errorf("%d and %d connections, want 1 and 1", clear.connections(), secure.connections())
	}
}

// TestDeadline moves the timer only where it must be moved.
func TestDeadline(t *testing.T) {
	now := readClock()
	at := func(s int) moment { return now.add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name        string
		armed       moment
		want, clock int
		move        bool
	}{
		{"never armed", 0, 5, 0, true},
		{"armed for earlier", at(3), 5, 0, false},
		{"armed for the same", at(5), 5, 0, false},
		{"armed for later", at(9), 5, 0, true},
		{"fired", at(3), 8, 3, true},
	} {
		d := deadline{armed: c.armed}
		if d.set(at(c.clock), at(c.want)) != c.move {
			t.Errorf("%s: move is %v", c.name, !c.move)
		}
		if d.want != at(c.want) {
			t.Errorf("%s: wants %v", c.name, d.want)
		}
	}
}
