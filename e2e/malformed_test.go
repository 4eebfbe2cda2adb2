package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hopgate/policy"
	"hopgate/proxy/wire/wiretest"
)

// recorder is a backend that keeps what gets through to it: whole requests,
// and bytes.
type recorder struct {
	url string

	mu       sync.Mutex
	requests []wiretest.Request
	broken   int // requests whose body did not come whole
	bytes    []byte
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	s := httptest.NewUnstartedServer(r)
	s.Listener = tapped{s.Listener, r}
	s.Start()
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *recorder) ServeHTTP(_ http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.broken++
		return
	}
	r.requests = append(r.requests, wiretest.Request{Method: q.Method, Target: q.RequestURI, Body: string(body)})
}

// take gives what has come since it was called last.
func (r *recorder) take() (requests []wiretest.Request, broken int, bytes []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	requests, broken, bytes = r.requests, r.broken, r.bytes
	r.requests, r.broken, r.bytes = nil, 0, nil
	return requests, broken, bytes
}

// tapped keeps the bytes of the connections that it accepts.
type tapped struct {
	net.Listener
	r *recorder
}

func (l tapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tap{c, l.r}, nil
}

type tap struct {
	net.Conn
	r *recorder
}

func (c tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.r.mu.Lock()
	c.r.bytes = append(c.r.bytes, b[:n]...)
	c.r.mu.Unlock()
	return n, err
}

// wireConfig forwards everything to a backend.
func wireConfig(upstream, server string) string {
	return `
server: {listen: "127.0.0.1:0"` + server + `}
admin: {listen: "127.0.0.1:0"}
log: {access: off}
upstreams:
  backend: {endpoints: ["` + upstream + `"], max_connections: 4000}
routes:
  - id: root
    match: {methods: [GET, POST, PATCH, OPTIONS, M-SEARCH, PURGE, AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA], path: "/"}
    anonymous: true
    upstream: backend
  - id: all
    match: {methods: [GET, POST, PATCH, OPTIONS, M-SEARCH, PURGE, AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA], path: "/{rest...}"}
    anonymous: true
    upstream: backend
`
}

const (
	goodBefore = "GET /before HTTP/1.1\r\nHost: gate.test\r\n\r\n"
	goodAfter  = "GET /after HTTP/1.1\r\nHost: gate.test\r\n\r\n"
)

// talk sends messages, in two pieces where cut is within them, and gives the
// answers up to the first that ends the connection.
func talk(address, raw string, cut int) (answers []answer, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// The gate may close before it has read all.
		_, _ = io.WriteString(c, raw[:cut])
		if cut > 0 && cut < len(raw) {
			time.Sleep(300 * time.Microsecond) // so that the pieces come as two
		}
		_, _ = io.WriteString(c, raw[cut:])
	}()
	defer func() { <-sent }()
	r := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return answers, nil
			}
			return answers, fmt.Errorf("after %d answers: %w", len(answers), err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return answers, err
		}
		if resp.Close {
			resp.Header.Set("Connection", "close")
		}
		answers = append(answers, answer{resp.StatusCode, resp.Header, string(b)})
		if resp.Close {
			if n, err := io.Copy(io.Discard, r); n > 0 || err != nil {
				return answers, fmt.Errorf("after the last answer came %d bytes, %w", n, err)
			}
			return answers, nil
		}
	}
}

// refused tells what is wrong with the answers to a good request and a
// malformed one.
func refused(c wiretest.Case, answers []answer) error {
	if len(answers) != 2 || answers[0].status != 200 {
		return fmt.Errorf("answers: %v", answers)
	}
	a := answers[1]
	var p struct {
		Type, Title, Reason string
		Status              int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		return fmt.Errorf("no problem document: %w: %q", err, a.body)
	}
	want := policy.Reason(c.Reason).Outcome().Status
	if p.Reason != c.Reason || a.status != want || p.Status != want || !strings.HasSuffix(p.Type, c.Reason) || p.Title == "" {
		return fmt.Errorf("answered %d %s, want %d %s", a.status, a.body, want, c.Reason)
	}
	if a.header.Get("Connection") != "close" || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("X-Request-Id") == "" {
		return fmt.Errorf("fields: %v", a.header)
	}
	return nil
}

// TestMalformed sends every malformed message to the program, after a good
// one on the same connection and with another good one behind it: each is
// refused with its reason, and nothing of it or behind it gets through.
func TestMalformed(t *testing.T) {
	r := startRecorder(t)
	g := serve(t, wireConfig(r.url, ""))
	address := strings.TrimPrefix(g.url, "http://")
	// A chunked one: its body is whole, whatever comes behind it.
	const before = "POST /before HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
	if _, err := talk(address, strings.Replace(before, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), 0); err != nil {
		t.Fatal(err)
	}
	_, _, one := r.take()
	// Those with a good head come last: what of them was on its way to the
	// backend when the fault came may be read there somewhat later.
	cases := slices.Clone(wiretest.Malformed)
	slices.SortStableFunc(cases, func(a, b wiretest.Case) int {
		if a.Late == b.Late {
			return 0
		}
		return map[bool]int{true: 1, false: -1}[a.Late]
	})
	for _, c := range cases {
		answers, err := talk(address, before+c.Raw+goodAfter, 0)
		if err == nil {
			err = refused(c, answers)
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		requests, broken, bytes := r.take()
		if want := []wiretest.Request{{Method: "POST", Target: "/before", Body: "hi"}}; !slices.Equal(requests, want) {
			t.Errorf("%s: got through: %q", c.Name, requests)
		}
		if !c.Late && (broken > 0 || len(bytes) > len(one)) {
			t.Errorf("%s: got through, where the good request alone has %d bytes:\n%s", c.Name, len(one), bytes)
		}
	}
	if v := g.metric("hopgate_panics_total"); v != "0" && v != "" {
		t.Errorf("%s panics", v)
	}
}

// TestMalformedInPieces cuts the short ones in two at every byte; with
// -short, at every seventh.
func TestMalformedInPieces(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 7
	}
	r := startRecorder(t)
	g := serve(t, wireConfig(r.url, ""))
	address := strings.TrimPrefix(g.url, "http://")
	type job struct {
		c   wiretest.Case
		cut int
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			for j := range jobs {
				answers, err := talk(address, goodBefore+j.c.Raw+goodAfter, len(goodBefore)+j.cut)
				if err == nil {
					err = refused(j.c, answers)
				}
				if err != nil {
					t.Errorf("%s, cut at %d: %v", j.c.Name, j.cut, err)
				}
			}
		})
	}
	n := 0
	for i, c := range wiretest.Malformed {
		if len(c.Raw) > 100 {
			continue
		}
		for cut := i % stride; cut <= len(c.Raw); cut += stride {
			jobs <- job{c, cut}
			n++
		}
	}
	close(jobs)
	wg.Wait()
	requests, _, _ := r.take()
	for _, q := range requests {
		if q != (wiretest.Request{Method: "GET", Target: "/before"}) {
			t.Errorf("got through: %q", q)
		}
	}
	if len(requests) != n {
		t.Errorf("%d of %d good requests got through", len(requests), n)
	}
	t.Logf("%d messages", n)
}

// notCanonical are messages that are well-formed but have a target that the
// gate refuses, because backends disagree on what it names.
var notCanonical = []string{"all of a path and query", "escape at the end", "slashes within"}

// TestWellformed sends what a strict reader may trip over: all of it gets
// through as it is meant.
func TestWellformed(t *testing.T) {
	r := startRecorder(t)
	g := serve(t, wireConfig(r.url, ""))
	address := strings.TrimPrefix(g.url, "http://")
	const last = "GET /last HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n"
	for _, c := range wiretest.Wellformed {
		answers, err := talk(address, c.Raw+last, 0)
		if slices.Contains(notCanonical, c.Name) {
			if err != nil || answers[0].reason() != "target_not_canonical" {
				t.Errorf("%s: %v %v", c.Name, answers, err)
			}
			_, _, _ = r.take()
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		for _, a := range answers {
			if a.status != 200 {
				t.Errorf("%s: %d %s", c.Name, a.status, a.body)
			}
		}
		requests, broken, _ := r.take()
		if n := len(requests); n > 0 && requests[n-1].Target == "/last" {
			requests = requests[:n-1] // a message that closes its connection is the last
		}
		want := slices.Clone(c.Requests)
		for i := range want {
			// An absolute target is forwarded in origin form (RFC 9112 section 3.2.2).
			if _, rest, absolute := strings.Cut(want[i].Target, "://"); absolute && !strings.HasPrefix(want[i].Target, "/") {
				want[i].Target = rest[strings.IndexByte(rest, '/'):]
			}
		}
		if !slices.Equal(requests, want) || broken > 0 {
			t.Errorf("%s: got through: %q, want %q", c.Name, requests, want)
		}
	}
}
