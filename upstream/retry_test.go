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

// closedPort gives the URL of a port that nothing listens on.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// TestRetries counts the requests that an upstream sees.
func TestRetries(t *testing.T) {
	silent := func(c net.Conn) {}
	partly := func(c net.Conn) { io.WriteString(c, "HTTP/1.1 2") }
	wrong := func(c net.Conn) { io.WriteString(c, "nonsense") }
	failing := func(c net.Conn) { io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") }
	cutting := func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok") }
	for _, c := range []struct {
		name   string
		method string
		stream bool
		budget float64
		tries  int
		then   func(net.Conn) // after the request was read; the connection is closed
		seen   int64
		err    error
	}{
		{name: "GET without an answer", method: "GET", budget: 1, tries: 2, then: silent, seen: 2, err: ErrUnavailable},
		{name: "HEAD without an answer", method: "HEAD", budget: 1, tries: 3, then: silent, seen: 3, err: ErrUnavailable},
		{name: "PUT without an answer", method: "PUT", budget: 1, tries: 2, then: silent, seen: 2, err: ErrUnavailable},
		{name: "DELETE without an answer", method: "DELETE", budget: 1, tries: 2, then: silent, seen: 2, err: ErrUnavailable},
		{name: "POST without an answer", method: "POST", budget: 1, tries: 2, then: silent, seen: 1, err: ErrUnavailable},
		{name: "PATCH without an answer", method: "PATCH", budget: 1, tries: 2, then: silent, seen: 1, err: ErrUnavailable},
		{name: "a method that nobody knows", method: "get", budget: 1, tries: 2, then: silent, seen: 1, err: ErrUnavailable},
		{name: "PUT of a stream", method: "PUT", stream: true, budget: 1, tries: 2, then: silent, seen: 1, err: ErrUnavailable},
		{name: "one attempt", method: "GET", budget: 1, tries: 1, then: silent, seen: 1, err: ErrUnavailable},
		{name: "no budget", method: "GET", budget: 0, tries: 2, then: silent, seen: 1, err: ErrUnavailable},
		{name: "some bytes of an answer", method: "GET", budget: 1, tries: 2, then: partly, seen: 1, err: ErrUnavailable},
		{name: "a wrong answer", method: "GET", budget: 1, tries: 2, then: wrong, seen: 1, err: ErrInvalid},
		{name: "an answer cut off", method: "GET", budget: 1, tries: 2, then: cutting, seen: 1, err: ErrUnavailable},
		{name: "an answer that says it failed", method: "GET", budget: 1, tries: 2, then: failing, seen: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen atomic.Int64
			s := serve(t, func(conn net.Conn, _ int) {
				if _, _, err := readRequest(bufio.NewReader(conn)); err == nil {
					seen.Add(1)
					c.then(conn)
				}
			})
			p := newPool(t, func(u *config.Upstream) { u.Retry = config.Retry{Attempts: c.tries, Budget: c.budget} }, s.url())
			q := &Request{Method: c.method, Target: []byte("/")}
			if c.stream {
				q.Stream, q.Length = strings.NewReader("body"), 4
			}
			var r Response
			defer r.Release()
			if err := p.Do(context.Background(), q, &r); !errors.Is(err, c.err) {
				t.Errorf("Do: %v, want %v", err, c.err)
			}
			if seen.Load() != c.seen || r.Attempts() != int(c.seen) {
				t.Errorf("the upstream saw %d requests, %d attempts were told, want %d", seen.Load(), r.Attempts(), c.seen)
			}
			if r.Endpoint() != s.url() {
				t.Errorf("Endpoint() = %q, want %q", r.Endpoint(), s.url())
			}
		})
	}
}

// TestRetryKept: the upstream may end a kept connection when the request is
// already on its way. What it made of that nobody knows.
func TestRetryKept(t *testing.T) {
	for method, again := range map[string]bool{"GET": true, "PUT": true, "POST": false} {
		s := serve(t, func(c net.Conn, n int) {
			br := bufio.NewReader(c)
			for i := 0; ; i++ {
				if _, _, err := readRequest(br); err != nil || n == 0 && i == 1 {
					return
				}
				io.WriteString(c, okAnswer)
			}
		})
		p := newPool(t, nil, s.url())
		do(t, p, get("/"))
		var r Response
		err := p.Do(context.Background(), &Request{Method: method, Target: []byte("/"), Body: []byte("x")}, &r)
		if again && (err != nil || r.Attempts() != 2 || string(r.Body()) != "ok") {
			t.Errorf("%s: %v after %d attempts, want a second one", method, err, r.Attempts())
		}
		if !again && (!errors.Is(err, ErrUnavailable) || r.Attempts() != 1) {
			t.Errorf("%s: %v after %d attempts, want ErrUnavailable after one", method, err, r.Attempts())
		}
		r.Release()
	}
}

// TestRetryElsewhere sends what never left to another endpoint, a POST and
// an unread stream too.
func TestRetryElsewhere(t *testing.T) {
	var bodies atomic.Int64
	s := serve(t, func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			_, body, err := readRequest(br)
			if err != nil {
				return
			}
			if body == "body" {
				bodies.Add(1)
			}
			io.WriteString(c, okAnswer)
		}
	})
	dead := closedPort(t)
	retried := 0
	for range 20 {
		p := newPool(t, func(u *config.Upstream) { u.Retry.Budget = 1 }, dead, s.url())
		q := &Request{Method: "POST", Target: []byte("/"), Stream: strings.NewReader("body"), Length: 4}
		_, _, r := do(t, p, q)
		if r.Endpoint() != s.url() {
			t.Errorf("Endpoint() = %q", r.Endpoint())
		}
		retried += r.Attempts() - 1
		// The dead one is set aside now, or was never asked.
		for range 5 {
			if _, _, r := do(t, p, get("/")); retried > 0 && r.Attempts() > 2 {
				t.Errorf("%d attempts", r.Attempts())
			}
		}
	}
	if bodies.Load() != 20 {
		t.Errorf("%d bodies arrived, want 20", bodies.Load())
	}
	if retried == 0 {
		t.Error("the dead endpoint was never picked first in 20 pools")
	}
}

// TestRetryOther repeats at another endpoint than the one that failed, where
// that was not set aside yet.
func TestRetryOther(t *testing.T) {
	good := serve(t, answering(okAnswer))
	bad := serve(t, func(c net.Conn, _ int) { readRequest(bufio.NewReader(c)) })
	repeated := 0
	for range 30 {
		p := newPool(t, func(u *config.Upstream) { u.Retry.Budget = 1 }, bad.url(), good.url())
		_, _, r := do(t, p, get("/"))
		repeated += r.Attempts() - 1
	}
	if repeated == 0 {
		t.Error("the bad endpoint was never picked first in 30 pools")
	}
}

// TestDeadEndpoint is set aside after one failure, and used again when it is
// back and its time is over.
func TestDeadEndpoint(t *testing.T) {
	clock := newClock()
	one := serve(t, answering(okAnswer))
	dead := closedPort(t)
	p := newPoolWith(t, Options{Now: clock.now}, func(u *config.Upstream) { u.Retry.Budget = 1 }, dead, one.url())
	extra := 0
	for range 50 {
		_, _, r := do(t, p, get("/"))
		extra += r.Attempts() - 1
	}
	if extra != 1 {
		t.Errorf("%d requests needed a second attempt, want 1", extra)
	}
	l, err := net.Listen("tcp", strings.TrimPrefix(dead, "http://"))
	if err != nil {
		t.Skipf("the port is taken: %v", err)
	}
	two := serveOn(t, l, answering(okAnswer))
	clock.add(longPause)
	used := map[string]int{}
	for range 100 {
		_, _, r := do(t, p, get("/"))
		used[r.Endpoint()]++
	}
	if two.connections() == 0 || used[dead] < 20 || used[one.url()] < 20 {
		t.Errorf("requests by endpoint: %v; want both to have their share", used)
	}
}

// TestAllDead tries one all the same.
func TestAllDead(t *testing.T) {
	p := newPool(t, func(u *config.Upstream) { u.Retry = config.Retry{Attempts: 1} }, closedPort(t), closedPort(t))
	for range 5 {
		var r Response
		if err := p.Do(context.Background(), get("/"), &r); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Do: %v, want ErrUnavailable", err)
		}
		if r.Attempts() != 1 || r.Endpoint() == "" {
			t.Errorf("%d attempts at %q", r.Attempts(), r.Endpoint())
		}
	}
	if open, _ := p.counts(); open != 0 {
		t.Errorf("%d places are still taken", open)
	}
}

// TestBudget lets retries be a share of the requests.
func TestBudget(t *testing.T) {
	start := moment(1_700_000_000 * time.Second)
	var b budget
	for i := range 1000 {
		b.request(start.add(time.Duration(i) * time.Millisecond))
	}
	allowed := 0
	for range 1000 {
		if b.retry(start.add(5*time.Second), 0.1) {
			allowed++
		}
	}
	if allowed != 100 {
		t.Errorf("%d retries of 1000 requests, want 100", allowed)
	}
	if b.retry(start.add(10*time.Second), 0.1) {
		t.Error("requests older than ten seconds count")
	}
	if !b.retry(start.add(15*time.Second), 0.1) {
		t.Error("retries older than ten seconds count")
	}

	b = budget{}
	allowed = 0
	for range 100 {
		b.request(start)
		if b.retry(start, 0.01) {
			allowed++
		}
	}
	if allowed != freeRetries {
		t.Errorf("%d retries where there is next to no traffic, want %d", allowed, freeRetries)
	}
	if (&budget{}).retry(start, 0) {
		t.Error("a share of 0 allows a retry")
	}
}

// TestBudgetBoundsAnOutage sends many requests into an outage.
func TestBudgetBoundsAnOutage(t *testing.T) {
	var seen atomic.Int64
	s := serve(t, func(c net.Conn, _ int) {
		if _, _, err := readRequest(bufio.NewReader(c)); err == nil {
			seen.Add(1)
		}
	})
	p := newPoolWith(t, Options{Now: newClock().now}, func(u *config.Upstream) { u.Retry = config.Retry{Attempts: 5, Budget: 0.1} }, s.url())
	for range 200 {
		_ = p.Do(context.Background(), get("/"), new(Response))
	}
	if n := seen.Load(); n > 222 || n < 215 {
		t.Errorf("the upstream saw %d requests for 200, want about 220", n)
	}
}

// TestHealth sets endpoints aside for a growing while.
func TestHealth(t *testing.T) {
	now := moment(1_700_000_000 * time.Second)
	var h health
	for range maxFailures - 1 {
		h.failed(now, false)
	}
	if !h.usable(now) {
		t.Error("set aside too early")
	}
	h.failed(now, false)
	if h.usable(now) {
		t.Error("not set aside after repeated failures")
	}
	pause := h.until.since(now)
	for range 100 {
		h.failed(now, true) // the same outage
	}
	if h.until.since(now) != pause {
		t.Error("one outage counts more than once")
	}
	for range 20 {
		now = h.until
		if !h.usable(now) {
			t.Fatal("not usable when its time is over")
		}
		h.tried(now)
		if h.usable(now) {
			t.Fatal("a second request tries it before the first is back")
		}
		now = h.until
		h.failed(now, true)
		if next := h.until.since(now); next < pause || next > longPause {
			t.Fatalf("set aside for %v after %v", next, pause)
		} else {
			pause = next
		}
	}
	if pause != longPause {
		t.Errorf("set aside for %v at last, want %v", pause, longPause)
	}
	h.succeeded()
	if h != (health{}) {
		t.Errorf("after an answer: %+v", h)
	}
}
