package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// TestRequestBytes compares what goes over the wire byte for byte.
func TestRequestBytes(t *testing.T) {
	got := make(chan string, 1)
	s := serve(t, func(c net.Conn, _ int) {
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			got <- string(b[:n]) // one write, so one read
			io.WriteString(c, okAnswer)
		}
	})
	host := s.l.Addr().String()
	secret := func(u *config.Upstream) {
		u.Secret = &config.SecretField{Header: "Authorization", Value: config.NewSecret("Bearer sk_test")}
	}
	for _, c := range []struct {
		name   string
		change func(*config.Upstream)
		prefix string
		q      Request
		fields []string
		want   string
	}{
		{name: "plain", q: Request{Method: "GET", Target: []byte("/")}, want: "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"},
		{name: "byte for byte", q: Request{Method: "GET", Target: []byte("/a%2Fb/%c3%a4?q=%20&q=/../x?y")}, want: "GET /a%2Fb/%c3%a4?q=%20&q=/../x?y HTTP/1.1\r\nHost: " + host + "\r\n\r\n"},
		{name: "prefix", prefix: "/v1/", q: Request{Method: "GET", Target: []byte("/users?a=b")}, want: "GET /v1/users?a=b HTTP/1.1\r\nHost: " + host + "\r\n\r\n"},
		{name: "host", change: func(u *config.Upstream) { u.Host = "api.example.com" }, q: Request{Method: "GET", Target: []byte("/")}, want: "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"},
		{name: "secret and fields", change: secret, q: Request{Method: "DELETE", Target: []byte("/x")}, fields: []string{"Accept: */*", "X-A: ", "X-A: b"},
			want: "DELETE /x HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer sk_test\r\nAccept: */*\r\nX-A: \r\nX-A: b\r\n\r\n"},
		{name: "body", q: Request{Method: "PATCH", Target: []byte("/"), Body: []byte("{}")}, fields: []string{"Content-Type: application/json"},
			want: "PATCH / HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"},
		{name: "GET with a body", q: Request{Method: "GET", Target: []byte("/"), Body: []byte("{}")}, want: "GET / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 2\r\n\r\n{}"},
		{name: "POST without a body", q: Request{Method: "POST", Target: []byte("/")}, want: "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n"},
		{name: "empty stream", q: Request{Method: "POST", Target: []byte("/"), Stream: strings.NewReader(""), Length: 0}, want: "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, c.change, s.url()+c.prefix)
			q := &c.q
			for _, f := range c.fields {
				name, value, _ := strings.Cut(f, ": ")
				q.Add(name, value)
			}
			for range 2 {
				do(t, p, q)
				if g := <-got; g != c.want {
					t.Errorf("sent %q\nwant %q", g, c.want)
				}
			}
		})
	}
}

// TestRefusedRequests sends nothing of what could be read as something else.
func TestRefusedRequests(t *testing.T) {
	s := serve(t, answering(okAnswer))
	p := newPool(t, func(u *config.Upstream) {
		u.Secret = &config.SecretField{Header: "X-Api-Key", Value: config.NewSecret("sk_test_1234")}
	}, s.url())
	add := func(name, value string) func(*Request) { return func(q *Request) { q.Add(name, value) } }
	for name, change := range map[string]func(*Request){
		"LF in a value":             add("A", "b\nc: d"),
		"CR in a value":             add("A", "b\rc"),
		"NUL in a value":            add("A", "b\x00"),
		"LF in a name":              add("A\nB", "c"),
		"colon in a name":           add("A:B", "c"),
		"space in a name":           add("A ", "c"),
		"no name":                   add("", "c"),
		"Host":                      add("hOST", "evil.example"),
		"Content-Length":            add("Content-Length", "0"),
		"Transfer-Encoding":         add("transfer-encoding", "chunked"),
		"Connection":                add("Connection", "X-Api-Key"),
		"Keep-Alive":                add("Keep-Alive", "x"),
		"Proxy-Connection":          add("Proxy-Connection", "x"),
		"Upgrade":                   add("Upgrade", "h2c"),
		"TE":                        add("TE", "trailers"),
		"Trailer":                   add("Trailer", "X-Api-Key"),
		"Expect":                    add("Expect", "100-continue"),
		"the secret's field":        add("x-api-key", "mine"),
		"the secret's field's twin": add("X_Api_Key", "mine"),
		"no target":                 func(q *Request) { q.Target = nil },
		"relative target":           func(q *Request) { q.Target = []byte("x") },
		"absolute target":           func(q *Request) { q.Target = []byte("http://evil.example/") },
		"asterisk":                  func(q *Request) { q.Target = []byte("*") },
		"space in the target":       func(q *Request) { q.Target = []byte("/ HTTP/1.1") },
		"tab in the target":         func(q *Request) { q.Target = []byte("/\t") },
		"LF in the target":          func(q *Request) { q.Target = []byte("/\n") },
		"no method":                 func(q *Request) { q.Method = "" },
		"space in the method":       func(q *Request) { q.Method = "GET /" },
		"CONNECT":                   func(q *Request) { q.Method = "CONNECT" },
		"a body and a stream":       func(q *Request) { q.Body, q.Stream = []byte("x"), strings.NewReader("y") },
		"a negative length":         func(q *Request) { q.Stream, q.Length = strings.NewReader("y"), -2 },
	} {
		t.Run(name, func(t *testing.T) {
			q := get("/")
			change(q)
			var r Response
			err := p.Do(context.Background(), q, &r)
			if !errors.Is(err, ErrInvalid) || r.Attempts() != 0 {
				t.Errorf("Do: %v after %d attempts, want ErrInvalid after none", err, r.Attempts())
			}
			if err != nil && strings.Contains(err.Error(), "sk_test") {
				t.Errorf("the error tells the secret: %v", err)
			}
			q.Reset()
			q.Method, q.Target = "GET", []byte("/")
			do(t, p, q)
		})
	}
}

// TestRequestFields adds fields in each of the three ways.
func TestRequestFields(t *testing.T) {
	var fixed Fields
	for _, f := range [][2]string{{"Via", "1.1 hopgate"}, {"X-Forwarded-Proto", "https"}} {
		if err := fixed.Add(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range [][2]string{{"Host", "evil.example"}, {"A B", "c"}, {"", "c"}, {"A", "b\r\nC: d"}, {"A", "12345678\x00"}} {
		if err := fixed.Add(f[0], f[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", f, err)
		}
	}
	q := get("/")
	for range 2 {
		q.Reset()
		q.Add("A", "1")
		q.AddFields(&fixed)
		q.AddTrusted("B", "x\ty")
		q.AddFields(&Fields{})
	}
	if got, want := string(q.lines.text), "A: 1\r\nVia: 1.1 hopgate\r\nX-Forwarded-Proto: https\r\nB: x\ty\r\n"; got != want {
		t.Errorf("the fields are %q, want %q", got, want)
	}
	var names []string
	for _, n := range q.lines.names {
		names = append(names, string(n.of(q.lines.text)))
	}
	if got := strings.Join(names, " "); got != "A Via X-Forwarded-Proto B" {
		t.Errorf("the names are %s", got)
	}
}

// TestSecretAmongFields: the upstream's secret stands once, in whatever way a
// field was added.
func TestSecretAmongFields(t *testing.T) {
	var fixed Fields
	if err := fixed.Add("x_api_key", "mine"); err != nil {
		t.Fatal(err)
	}
	for name, add := range map[string]func(*Request){
		"fixed":   func(q *Request) { q.AddFields(&fixed) },
		"trusted": func(q *Request) { q.AddTrusted("A", "b"); q.AddTrusted("X-API-KEY", "mine") },
	} {
		q := &Request{Method: "GET", Target: []byte("/")}
		add(q)
		if err := q.check("X-Api-Key"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

// TestTook measures from the moment that the caller says.
func TestTook(t *testing.T) {
	s := serve(t, answering(okAnswer))
	p := newPool(t, nil, s.url())
	var r Response
	for _, c := range []struct {
		ago      time.Duration
		timeout  time.Duration
		from, to time.Duration
		err      error
	}{
		{0, 0, 1, time.Minute, nil},
		{time.Hour, 2 * time.Hour, time.Hour, time.Hour + time.Minute, nil},
		{time.Hour, time.Minute, time.Hour, time.Hour + time.Minute, ErrTimeout},
	} {
		q := get("/")
		q.Timeout = c.timeout
		if c.ago > 0 {
			q.Now = time.Now().Add(-c.ago)
		}
		if err := p.Do(context.Background(), q, &r); !errors.Is(err, c.err) {
			t.Errorf("%v ago: %v, want %v", c.ago, err, c.err)
		}
		r.Release()
		if r.Took() < c.from || r.Took() > c.to {
			t.Errorf("%v ago: it took %v", c.ago, r.Took())
		}
	}
	if err := p.Do(context.Background(), &Request{}, &r); err == nil || r.Took() != 0 {
		t.Errorf("a request that is refused took %v: %v", r.Took(), err)
	}
}

// TestClone has memory of its own.
func TestClone(t *testing.T) {
	method := []byte("PUT")
	q := &Request{Method: string(method), Target: []byte("/a"), Body: []byte("body"), MaxHold: 7, MustHold: true, Timeout: 9}
	q.Add("A", "b")
	c := q.Clone()
	q.Body[0], q.Target[1] = 'x', 'x'
	q.Reset()
	q.Add("C", "d")
	if c.Method != "PUT" || string(c.Target) != "/a" || string(c.Body) != "body" || string(c.lines.text) != "A: b\r\n" || c.MaxHold != 7 || !c.MustHold || c.Timeout != 9 {
		t.Errorf("the clone is %+v", c)
	}
	if q.Method != "" || len(q.Target) != 0 || q.Body != nil || string(q.lines.text) != "C: d\r\n" {
		t.Errorf("after Reset: %+v", q)
	}
	q.Add("C\n", "d")
	if q.Clone().check("") == nil {
		t.Error("a clone forgets a fault")
	}
}

// TestInformational passes on early hints, in order and before the answer.
func TestInformational(t *testing.T) {
	s := serve(t, answering("HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X\r\nX: y\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"))
	p := newPool(t, nil, s.url())
	var hints []string
	q := get("/")
	q.Informational = func(r *Response) {
		if r.Status() != 103 {
			t.Errorf("status %d", r.Status())
		}
		hints = append(hints, fieldsOf(r))
	}
	_, body, r := do(t, p, q)
	if strings.Join(hints, "") != "Link: </a.css>\nLink: </b.css>\n" {
		t.Errorf("hints: %q", hints)
	}
	if body != "ok" || fieldsOf(r) != "Content-Type: text/html\n" {
		t.Errorf("got %q with %q", body, fieldsOf(r))
	}
}

// TestControl compares eight bytes at a time with one by one.
func TestControl(t *testing.T) {
	for at := range 20 {
		for c := range 256 {
			b := []byte("abcdefghijklmnop\xff\x80 ~")
			b[at] = byte(c)
			if got, want := hasControl(b), c < 0x20 && c != '\t' || c == 0x7f; got != want {
				t.Errorf("%#x at %d: %v", c, at, got)
			}
			b[(at+3)%20] = '\t'
			if got, want := hasControl(b), c < 0x20 && c != '\t' || c == 0x7f; got != want {
				t.Errorf("%#x at %d beside a tab: %v", c, at, got)
			}
		}
	}
}
