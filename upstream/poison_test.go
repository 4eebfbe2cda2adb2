package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPoison lets an upstream say more than it was asked. Nobody may ever
// receive that, in the clear or under TLS.
func TestPoison(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	cases := []struct {
		name     string
		method   string
		answer   string
		late     string // sent once the client has its answer
		hold     int64
		withTLS  bool
		sameConn bool // nothing is wrong with it
	}{
		{name: "late body after HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", late: "poison"},
		{name: "body with HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"},
		{name: "late body after 204", answer: "HTTP/1.1 204 No Content\r\n\r\n", late: poison},
		{name: "late body after 304", answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n", late: "poison"},
		{name: "late answer", answer: okAnswer, late: poison},
		{name: "late byte", answer: okAnswer, late: "p"},
		{name: "answer with the answer", answer: okAnswer + poison},
		{name: "answer after chunks", hold: 9, answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + poison},
		{name: "late answer after chunks", hold: 9, answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", late: poison},
		{name: "answer behind a stream", answer: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000) + poison},
		{name: "answer behind a stream in chunks", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("x", 100000) + "\r\n0\r\n\r\n" + poison},
		{name: "nothing wrong", answer: okAnswer, sameConn: true},
		{name: "nothing wrong with a stream", answer: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000), sameConn: true},
	}
	for _, c := range cases[:len(cases):len(cases)] {
		c.name, c.withTLS = c.name+" under TLS", true
		cases = append(cases, c)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			answered, said := make(chan bool), make(chan bool, 1)
			handle := func(conn net.Conn, n int) {
				br := bufio.NewReader(conn)
				for i := 0; ; i++ {
					if _, _, err := readRequest(br); err != nil {
						return
					}
					if n > 0 || i > 0 {
						io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
						continue
					}
					io.WriteString(conn, c.answer)
					<-answered
					io.WriteString(conn, c.late)
					said <- true
				}
			}
			var s *rawServer
			var p *Pool
			if c.withTLS {
				s = serveTLS(t, tlsConfig(cert), handle)
				p = newPool(t, trusting(a), s.secureURL())
			} else {
				s = serve(t, handle)
				p = newPool(t, nil, s.url())
			}
			q := get("/first")
			q.MaxHold = c.hold
			if c.method != "" {
				q.Method = c.method
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel() // one that can end is watched, which must not matter
			r := new(Response)
			if err := p.Do(ctx, q, r); err != nil {
				t.Fatal(err)
			}
			if body := whole(t, r); strings.Contains(body, "poison") {
				t.Fatalf("the first answer is %q", body)
			}
			r.Release()
			answered <- true
			<-said
			_, body, r := do(t, p, &Request{Method: "POST", Target: []byte("/second")})
			if body != "mine" {
				t.Fatalf("the second answer is %q, want %q", body, "mine")
			}
			if r.Attempts() != 1 {
				t.Errorf("%d attempts, want 1", r.Attempts())
			}
			if want := map[bool]int{true: 1, false: 2}[c.sameConn]; s.connections() != want {
				t.Errorf("%d connections, want %d", s.connections(), want)
			}
		})
	}
}

// TestStale lets the upstream end a kept connection: even a POST goes out on
// another, and that is no second attempt.
func TestStale(t *testing.T) {
	for _, end := range []string{"close", "reset"} {
		t.Run(end, func(t *testing.T) {
			const kept = 3
			var arrived, ended sync.WaitGroup
			arrived.Add(kept)
			ended.Add(kept)
			over := make(chan bool)
			s := serve(t, func(c net.Conn, n int) {
				br := bufio.NewReader(c)
				for {
					if _, _, err := readRequest(br); err != nil {
						return
					}
					if n >= kept {
						io.WriteString(c, okAnswer)
						continue
					}
					arrived.Done()
					arrived.Wait() // so that each has a connection of its own
					io.WriteString(c, okAnswer)
					<-over
					if end == "reset" {
						c.(*net.TCPConn).SetLinger(0)
					}
					c.Close()
					ended.Done()
					return
				}
			})
			p := newPool(t, nil, s.url())
			var all sync.WaitGroup
			for range kept {
				all.Go(func() { do(t, p, get("/")) })
			}
			all.Wait()
			if _, idle := p.counts(); idle != kept {
				t.Fatalf("%d idle connections, want %d", idle, kept)
			}
			close(over)
			ended.Wait()
			status, body, r := do(t, p, &Request{Method: "POST", Target: []byte("/"), Body: []byte("x")})
			if status != 200 || body != "ok" || r.Attempts() != 1 {
				t.Errorf("got %d %q after %d attempts, want 200 ok after 1", status, body, r.Attempts())
			}
			if open, idle := p.counts(); open != 1 || idle != 1 {
				t.Errorf("%d connections open, %d idle; want 1 and 1", open, idle)
			}
		})
	}
}

// TestUnfinished closes the connection of an answer that was not read to its
// end, rather than giving the rest to somebody.
func TestUnfinished(t *testing.T) {
	s := serve(t, func(c net.Conn, n int) {
		br := bufio.NewReader(c)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			if n == 0 {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"+strings.Repeat("x", 200000))
			} else {
				io.WriteString(c, okAnswer)
			}
		}
	})
	p := newPool(t, nil, s.url())
	var r Response
	if err := p.Do(context.Background(), get("/"), &r); err != nil {
		t.Fatal(err)
	}
	stream := r.Stream()
	if _, err := io.ReadFull(stream, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	stream.Close()
	r.Release()
	if open, _ := p.counts(); open != 0 {
		t.Errorf("%d connections are still open", open)
	}
	if _, body, _ := do(t, p, get("/")); body != "ok" {
		t.Errorf("the next answer is %q", body)
	}
}

// TestRecords follows TLS records however they are cut.
func TestRecords(t *testing.T) {
	stream := []byte("\x17\x03\x03\x00\x05hello\x17\x03\x03\x00\x00\x16\x03\x03\x01\x00" + strings.Repeat("x", 256))
	ends := map[int]bool{0: true, 10: true, 15: true, 276: true}
	for i := range len(stream) + 1 {
		var r records
		r.pass(stream[:i])
		if r.whole() != ends[i] {
			t.Errorf("after %d bytes: whole is %v", i, r.whole())
		}
		r.pass(stream[i:])
		if !r.whole() {
			t.Errorf("cut at %d: not whole at the end", i)
		}
	}
}

// TestTLSPartialRecord: a part of a record that comes between two exchanges
// is no less unasked than a whole one.
func TestTLSPartialRecord(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	answered, said := make(chan bool), make(chan bool)
	s := serveTLS(t, tlsConfig(cert), func(c net.Conn, n int) {
		br := bufio.NewReader(c)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			io.WriteString(c, okAnswer)
			if n == 0 {
				<-answered
				c.(interface{ NetConn() net.Conn }).NetConn().Write([]byte("\x17\x03\x03\x00"))
				said <- true
			}
		}
	})
	p := newPool(t, trusting(a), s.secureURL())
	do(t, p, get("/"))
	answered <- true
	<-said
	if _, body, _ := do(t, p, get("/")); body != "ok" || s.connections() != 2 {
		t.Errorf("got %q over %d connections, want ok over 2", body, s.connections())
	}
}
