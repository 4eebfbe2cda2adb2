package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"hopgate/config"
)

// h2server runs net/http's server for HTTP/2 alone, under TLS where there is
// a configuration for it.
func h2server(t testing.TB, l net.Listener, c *tls.Config, h http.HandlerFunc) {
	t.Helper()
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), TLSConfig: c, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 20}}
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() {
		if c != nil {
			done <- s.ServeTLS(l, "", "")
		} else {
			done <- s.Serve(l)
		}
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
}

func listen(t testing.TB, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// h2url runs a server in the clear and gives its URL.
func h2url(t testing.TB, h http.HandlerFunc) string {
	l := listen(t, "tcp", "127.0.0.1:0")
	h2server(t, l, nil, h)
	return "http://" + l.Addr().String()
}

// TestH2Target compares :path with what was to be sent, byte for byte.
func TestH2Target(t *testing.T) {
	var got atomic.Value
	s := framed(t, func(p *peer, _ int) {
		for id := p.request(); id != 0; id = p.request() {
			got.Store(p.got)
			p.headers(id, true, ":status", "204")
		}
	})
	for _, prefix := range []string{"", "/v1", "/a%20b"} {
		p := newPool(t, h2c, s.url()+prefix)
		for _, target := range []string{
			"/", "/?", "/a", "/a?", "/a?b=c", "/a??b", "/a?b?c&&", "/a%2Fb", "/a%2fb", "/%C3%A4?%C3%A4", "/a;b=c,d",
			"/a//b", "//", "//a", "//a/b?c", "//a%2Fb", "/a/../b", "/./a", "/a/", "/[x]", "/a|b", "/a\"b", "/a'b", "/~a!$&*+:@",
			"/*", "/http://x/y", "/a?http://x", "/a?b#c", "/\xc3\xa4", "/a?\xc3\xa4", "/a%zz", "/a%",
		} {
			var r Response
			err := p.Do(context.Background(), get(target), &r)
			if err != nil {
				if !errors.Is(err, ErrInvalid) || prefix != "" {
					t.Errorf("%q: %v", prefix+target, err)
				}
				continue
			}
			if path := got.Load().(map[string]string)[":path"]; path != prefix+target+";" {
				t.Errorf("%q was sent as %q", prefix+target, path)
			}
			r.Release()
		}
	}
}

// TestH2Request shows all fields of a request as they are sent.
func TestH2Request(t *testing.T) {
	var got atomic.Value
	s := framed(t, func(p *peer, _ int) {
		for id := p.request(); id != 0; id = p.request() {
			got.Store(p.got)
			p.headers(id, true, ":status", "204")
		}
	})
	host := strings.TrimPrefix(s.url(), "http://")
	for _, c := range []struct {
		name   string
		change func(*config.Upstream)
		q      *Request
		fields []string
		want   string
	}{
		{"nothing", nil, get("/"), nil,
			":authority=" + host + " :method=GET :path=/ :scheme=http"},
		{"fields", nil, get("/"), []string{"X-A", "1", "x-a", " 2 ", "X-B", "", "User-Agent", "me", "Accept-Encoding", "br"},
			":authority=" + host + " :method=GET :path=/ :scheme=http accept-encoding=br user-agent=me x-a=1;2 x-b="},
		{"cookies", nil, get("/"), []string{"Cookie", "a=b; c=d"},
			":authority=" + host + " :method=GET :path=/ :scheme=http cookie=a=b;c=d"},
		{"host and secret", func(u *config.Upstream) {
			u.Host = "api.example.com:8"
			u.Secret = &config.SecretField{Header: "authorization", Value: config.NewSecret("Bearer s")}
		}, get("/"), nil,
			":authority=api.example.com:8 :method=GET :path=/ :scheme=http authorization=Bearer s"},
		{"trailers", nil, &Request{Method: "GET", Target: []byte("/"), Trailers: true}, nil,
			":authority=" + host + " :method=GET :path=/ :scheme=http te=trailers"},
		{"POST of nothing", nil, &Request{Method: "POST", Target: []byte("/")}, nil,
			":authority=" + host + " :method=POST :path=/ :scheme=http content-length=0"},
		{"body", nil, &Request{Method: "PUT", Target: []byte("/"), Body: []byte("abc")}, nil,
			":authority=" + host + " :method=PUT :path=/ :scheme=http content-length=3"},
		{"stream of known length", nil, &Request{Method: "PUT", Target: []byte("/"), Stream: strings.NewReader("abc"), Length: 3}, nil,
			":authority=" + host + " :method=PUT :path=/ :scheme=http content-length=3"},
		{"stream", nil, &Request{Method: "X", Target: []byte("/"), Stream: strings.NewReader("abc"), Length: -1}, nil,
			":authority=" + host + " :method=X :path=/ :scheme=http"},
		{"stream of nothing", nil, &Request{Method: "POST", Target: []byte("/"), Stream: strings.NewReader(""), Length: 0}, nil,
			":authority=" + host + " :method=POST :path=/ :scheme=http content-length=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, h2cWith(func(u *config.Upstream) {
				if c.change != nil {
					c.change(u)
				}
			}), s.url())
			for i := 0; i < len(c.fields); i += 2 {
				c.q.Add(c.fields[i], c.fields[i+1])
			}
			do(t, p, c.q)
			var lines []string
			sent := got.Load().(map[string]string)
			for _, name := range sortedKeys(sent) {
				lines = append(lines, name+"="+strings.TrimSuffix(sent[name], ";"))
			}
			if text := strings.Join(lines, " "); text != c.want {
				t.Errorf("sent %s\nwant %s", text, c.want)
			}
		})
	}
	p := newPool(t, h2cWith(func(u *config.Upstream) {
		u.Secret = &config.SecretField{Header: "X-Key", Value: config.NewSecret("s")}
	}), s.url())
	for _, bad := range []func(*Request){
		func(q *Request) { q.Add("te", "trailers") },
		func(q *Request) { q.Add("X_Key", "mine") },
		func(q *Request) { q.Add("A", "b\r\nc: d") },
		func(q *Request) { q.Method = "CONNECT" },
		func(q *Request) { q.Target = []byte("a") },
	} {
		q := get("/")
		bad(q)
		var r Response
		if err := p.Do(context.Background(), q, &r); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func sortedKeys(m map[string]string) []string {
	h := make(http.Header)
	for k := range m {
		h[k] = []string{""}
	}
	return sortedNames(h)
}

// TestH2Answers gives answers, good and malformed ones.
func TestH2Answers(t *testing.T) {
	many := func(n int, size int) []string {
		pairs := []string{":status", "200"}
		for i := range n {
			pairs = append(pairs, fmt.Sprintf("x-%d", i), strings.Repeat("v", size))
		}
		return pairs
	}
	for _, c := range []struct {
		name   string
		method string
		must   bool
		answer func(p *peer, id uint32)
		want   string // status, fields, body, trailers; where there is no error
		err    error
	}{
		{name: "whole", answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "b", "1", "a", " x\ty ", "content-length", "2", "b", "2")
			p.data(id, true, "ok")
		}, want: "200 A: x\ty B: 1 B: 2 [ok]"},
		{name: "no length", answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "404")
			p.data(id, false, "o")
			p.data(id, true, "k")
		}, want: "404 [ok]"},
		{name: "trailers", answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "trailer", "grpc-status")
			p.data(id, false, "ok")
			p.headers(id, true, "grpc-status", "0", "grpc-message", "fine", "te", "x", "connection", "x", "content-length", "7")
		}, want: "200 [ok] {Grpc-Message: fine Grpc-Status: 0}"},
		{name: "trailers of a held body", answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "2")
			p.data(id, false, "ok")
			p.headers(id, true, "a", "1", "a", "2")
		}, want: "200 [ok] {A: 1 A: 2}"},
		{name: "head alone", answer: func(p *peer, id uint32) {
			p.headers(id, true, ":status", "200", "grpc-status", "5")
		}, want: "200 Grpc-Status: 5 []"},
		{name: "HEAD", method: "HEAD", answer: func(p *peer, id uint32) {
			p.headers(id, true, ":status", "200", "content-length", "9")
		}, want: "200 []"},
		{name: "304 with a length", answer: func(p *peer, id uint32) {
			p.headers(id, true, ":status", "304", "content-length", "9")
		}, want: "304 []"},
		{name: "204 with content", answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "204")
			p.data(id, true, "poison")
		}, want: "204 []"},
		{name: "interim answers", answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "100")
			p.headers(id, false, ":status", "103", "link", "</a>")
			p.headers(id, true, ":status", "200")
		}, want: "200 []"},
		{name: "proxy fields are dropped", answer: func(p *peer, id uint32) {
			p.headers(id, true, ":status", "200", "proxy-authenticate", "x", "te", "x")
		}, want: "200 []"},
		{name: "most fields", answer: func(p *peer, id uint32) { p.headers(id, true, many(maxFields, 1)[:8]...) },
			want: "200 X-0: v X-1: v X-2: v []"},

		{name: "too many interim answers", err: ErrInvalid, answer: func(p *peer, id uint32) {
			for range maxInterim + 1 {
				p.headers(id, false, ":status", "102")
			}
			p.headers(id, true, ":status", "200")
		}},
		{name: "101", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, false, ":status", "101") }},
		{name: "interim answer at the end", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "103") }},
		{name: "no status", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, "a", "b") }},
		{name: "two statuses", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", ":status", "200") }},
		{name: "status in letters", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "ok") }},
		{name: "status 99", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "99") }},
		{name: "status 600", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "600") }},
		{name: "status after a field", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, "a", "b", ":status", "200") }},
		{name: "unknown pseudo field", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", ":x", "b") }},
		{name: "request field", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", ":path", "/") }},
		{name: "capitals", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "A", "b") }},
		{name: "name with a space", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "a b", "c") }},
		{name: "name with a line's end", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "a\r\nb", "c") }},
		{name: "empty name", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "", "c") }},
		{name: "value with a line's end", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "a", "b\r\nc: d") }},
		{name: "value with NUL", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "a", "b\x00") }},
		{name: "value with DEL", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "a", "b\x7f") }},
		{name: "connection", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "connection", "close") }},
		{name: "keep-alive", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "keep-alive", "a") }},
		{name: "transfer-encoding", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "transfer-encoding", "chunked") }},
		{name: "upgrade", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "upgrade", "x") }},
		{name: "length in letters", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "content-length", "x") }},
		{name: "length with a sign", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, ":status", "200", "content-length", "+2") }},
		{name: "two lengths", err: ErrInvalid, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "2", "content-length", "3")
			p.data(id, true, "ok")
		}},
		{name: "the same length twice", err: ErrInvalid, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "2", "content-length", "2")
			p.data(id, true, "ok")
		}},
		{name: "longer than its length", err: ErrInvalid, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "2")
			p.data(id, true, "okay")
		}},
		{name: "shorter than its length", err: ErrUnavailable, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "3")
			p.data(id, true, "ok")
		}},
		{name: "a length without content", err: ErrUnavailable, answer: func(p *peer, id uint32) {
			p.headers(id, true, ":status", "200", "content-length", "3")
		}},
		{name: "too many fields", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, many(maxFields+1, 1)...) }},
		{name: "too large a head", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, many(80, 1<<10)...) }},
		{name: "far too large a head", err: ErrInvalid, answer: func(p *peer, id uint32) { p.headers(id, true, many(400, 1<<10)...) }},
		{name: "data before the head", err: ErrInvalid, answer: func(p *peer, id uint32) { p.data(id, true, "ok") }},
		{name: "data for HEAD", method: "HEAD", want: "200 []", answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200")
			p.data(id, true, "poison")
		}},
		{name: "trailer with a pseudo field", err: ErrInvalid, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "2")
			p.data(id, false, "ok")
			p.headers(id, true, ":status", "500")
		}},
		{name: "trailer that does not end", err: ErrInvalid, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "2")
			p.headers(id, false, "a", "b")
		}},
		{name: "trailer with a line's end", err: ErrInvalid, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "2")
			p.data(id, false, "ok")
			p.headers(id, true, "a", "b\nc")
		}},
		{name: "a pushed request", err: ErrInvalid, answer: func(p *peer, id uint32) {
			p.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, EndHeaders: true})
		}},
		{name: "no frames", err: ErrInvalid, answer: func(p *peer, id uint32) { io.WriteString(p.c, okAnswer) }},
		{name: "a frame out of order", err: ErrInvalid, answer: func(p *peer, id uint32) { p.WriteContinuation(id, true, nil) }},
		{name: "cut off before the head", err: ErrUnavailable, answer: func(p *peer, id uint32) { p.c.Close() }},
		{name: "cut off in the body", must: true, err: ErrUnavailable, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200")
			p.data(id, false, "o")
			p.c.Close()
		}},
		{name: "reset before the head", err: ErrUnavailable, answer: func(p *peer, id uint32) { p.WriteRSTStream(id, http2.ErrCodeInternal) }},
		{name: "reset in the body", must: true, err: ErrUnavailable, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200")
			p.data(id, false, "o")
			p.WriteRSTStream(id, http2.ErrCodeCancel)
		}},
		{name: "protocol error, says the peer", err: ErrInvalid, answer: func(p *peer, id uint32) { p.WriteRSTStream(id, http2.ErrCodeProtocol) }},
		{name: "more than may be held", must: true, err: ErrTooLarge, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200")
			p.data(id, true, strings.Repeat("x", 11))
		}},
		{name: "a length of more than may be held", must: true, err: ErrTooLarge, answer: func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "11")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := framed(t, func(p *peer, _ int) {
				for id := p.request(); id != 0; id = p.request() {
					if p.got[":path"] == "/after;" {
						p.headers(id, true, ":status", "200", "after", "yes")
						continue
					}
					c.answer(p, id)
				}
			})
			p := newPool(t, h2cWith(func(u *config.Upstream) { u.Retry.Attempts = 1 }), s.url())
			q := get("/")
			if c.method != "" {
				q.Method = c.method
			}
			if c.must {
				q.MaxHold, q.MustHold = 10, true
			}
			var r Response
			err := p.Do(context.Background(), q, &r)
			if !errors.Is(err, c.err) {
				t.Fatalf("Do: %v, want %v", err, c.err)
			}
			if err == nil {
				text := fmt.Sprintf("%d %s[%s]", r.Status(), strings.ReplaceAll(fieldsOf(&r), "\n", " "), whole(t, &r))
				var trailers []string
				for i := range r.Trailers() {
					name, value := r.TrailerAt(i)
					trailers = append(trailers, fmt.Sprintf("%s: %s", name, value))
				}
				if len(trailers) > 0 {
					text += " {" + strings.Join(trailers, " ") + "}"
				}
				if text != c.want {
					t.Errorf("got  %s\nwant %s", text, c.want)
				}
			} else if strings.Contains(err.Error(), "poison") || strings.Contains(err.Error(), "b\\") {
				t.Errorf("the error quotes the answer: %v", err)
			}
			r.Release()
			// What was wrong with one answer is nothing to the next.
			_, _, after := do(t, p, get("/after"))
			if v, _ := after.Field("After"); string(v) != "yes" {
				t.Errorf("the next answer is not its own: %s", fieldsOf(after))
			}
		})
	}
}

// TestH2Retries counts what an upstream sees of a request that fails at
// first.
func TestH2Retries(t *testing.T) {
	refuse := func(p *peer, id uint32) { p.WriteRSTStream(id, http2.ErrCodeRefusedStream) }
	goAway := func(p *peer, id uint32) { p.WriteGoAway(id-2, http2.ErrCodeNo, []byte("poison")) }
	goAwayLate := func(p *peer, id uint32) {
		p.WriteGoAway(id, http2.ErrCodeNo, []byte("poison"))
		p.c.Close()
	}
	cut := func(p *peer, id uint32) { p.c.Close() }
	internal := func(p *peer, id uint32) { p.WriteRSTStream(id, http2.ErrCodeInternal) }
	wrong := func(p *peer, id uint32) { p.headers(id, true, ":status", "x") }
	partly := func(p *peer, id uint32) {
		p.headers(id, false, ":status", "103")
		p.c.Close()
	}
	for _, c := range []struct {
		name   string
		method string
		stream bool
		fails  func(*peer, uint32)
		seen   int64
		err    error
	}{
		{"GET refused", "GET", false, refuse, 2, nil},
		{"POST refused", "POST", false, refuse, 2, nil},
		{"stream refused", "POST", true, refuse, 1, ErrUnavailable},
		{"GET after GOAWAY", "GET", false, goAway, 2, nil},
		{"POST after GOAWAY", "POST", false, goAway, 2, nil},
		{"stream after GOAWAY", "POST", true, goAway, 1, ErrUnavailable},
		{"GET before GOAWAY", "GET", false, goAwayLate, 2, nil},
		{"POST before GOAWAY", "POST", false, goAwayLate, 1, ErrUnavailable},
		{"GET cut", "GET", false, cut, 2, nil},
		{"POST cut", "POST", false, cut, 1, ErrUnavailable},
		{"PUT cut", "PUT", false, cut, 2, nil},
		{"GET reset", "GET", false, internal, 2, nil},
		{"POST reset", "POST", false, internal, 1, ErrUnavailable},
		{"GET answered wrongly", "GET", false, wrong, 1, ErrInvalid},
		{"GET answered partly", "GET", false, partly, 1, ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen atomic.Int64
			s := framed(t, func(p *peer, _ int) {
				for id := p.request(); id != 0; id = p.request() {
					if p.got[":path"] == "/first;" {
						p.headers(id, true, ":status", "204")
						continue
					}
					if c.stream {
						p.until(func(f http2.Frame) bool { return f.Header().Type == http2.FrameData })
					}
					if seen.Add(1) == 1 {
						c.fails(p, id)
						continue
					}
					p.headers(id, true, ":status", "200")
				}
			})
			p := newPool(t, h2c, s.url())
			do(t, p, get("/first")) // net/http treats the first stream of a connection in its own way
			q := &Request{Method: c.method, Target: []byte("/"), Body: []byte("body")}
			if c.stream {
				q.Body, q.Stream, q.Length = nil, strings.NewReader("body"), -1
			}
			var r Response
			defer r.Release()
			err := p.Do(context.Background(), q, &r)
			if !errors.Is(err, c.err) {
				t.Errorf("Do: %v, want %v", err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "poison") {
				t.Errorf("the error quotes the upstream: %v", err)
			}
			if seen.Load() != c.seen || r.Attempts() != int(c.seen) {
				t.Errorf("the upstream saw %d requests, %d attempts were told, want %d", seen.Load(), r.Attempts(), c.seen)
			}
		})
	}
}

// TestH2GoAwayLetsStreamsFinish leaves a connection that is going away to
// the exchanges that it still serves.
func TestH2GoAwayLetsStreamsFinish(t *testing.T) {
	finish := make(chan bool, 1)
	s := framed(t, func(p *peer, n int) {
		id := p.request()
		if n > 0 {
			p.headers(id, true, ":status", "200", "on", "another")
			p.drain()
			return
		}
		p.headers(id, true, ":status", "204")
		id = p.request()
		p.headers(id, false, ":status", "200")
		p.WriteGoAway(id, http2.ErrCodeNo, nil)
		<-finish
		p.data(id, true, "finished")
		p.drain()
	})
	// One connection at most: the one that is going away does not count.
	p := newPool(t, h2cWith(func(u *config.Upstream) { u.MaxConnections = 1 }), s.url())
	do(t, p, get("/"))
	var old Response
	defer old.Release()
	if err := p.Do(context.Background(), get("/"), &old); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is known to go away", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.roomy(p.endpoints[0])
		return len(p.endpoints[0].sessions) == 0
	})
	if _, _, r := do(t, p, get("/")); fieldsOf(r) != "On: another\n" {
		t.Errorf("the second answer: %s", fieldsOf(r))
	}
	finish <- true
	if body := whole(t, &old); body != "finished" {
		t.Errorf("the first answer: %q", body)
	}
}

// TestH2Duplex lets both sides talk at once.
func TestH2Duplex(t *testing.T) {
	url := h2url(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		b := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(b)
			w.Write(b[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				w.Header().Set(http.TrailerPrefix+"Sum", "done")
				return
			}
		}
	})
	p := newPool(t, h2c, url)
	up, client := io.Pipe()
	q := &Request{Method: "POST", Target: []byte("/"), Stream: up, Length: -1}
	var r Response
	defer r.Release()
	if err := p.Do(context.Background(), q, &r); err != nil { // before anything was sent
		t.Fatal(err)
	}
	down := r.Stream()
	b := make([]byte, 8)
	for _, word := range []string{"one", "two", "three"} {
		io.WriteString(client, word)
		if n, err := io.ReadAtLeast(down, b, len(word)); err != nil || string(b[:n]) != word {
			t.Fatalf("%q, %v, want %q", b[:n], err, word)
		}
	}
	// Far more than any window, with the reader in step.
	const size = 8 << 20
	go func() {
		piece := []byte(strings.Repeat("x", 32<<10))
		for range size / len(piece) {
			client.Write(piece)
		}
		client.Close()
	}()
	n, err := io.Copy(io.Discard, down)
	if n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if r.Trailers() != 1 {
		t.Errorf("%d trailers", r.Trailers())
	}
}

// blocking is a stream whose Read waits until it is closed.
type blocking struct {
	once   sync.Once
	closed chan struct{}
	asked  chan struct{}
}

func newBlocking() *blocking {
	return &blocking{closed: make(chan struct{}), asked: make(chan struct{}, 100)}
}

func (b *blocking) Read([]byte) (int, error) {
	b.asked <- struct{}{}
	<-b.closed
	return 0, errors.New("closed")
}

func (b *blocking) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// TestH2EarlyAnswer has an answer while the request is being sent.
func TestH2EarlyAnswer(t *testing.T) {
	for _, status := range []int{200, 413} {
		url := h2url(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, "early")
		})
		p := newPool(t, h2c, url)
		up := newBlocking()
		var r Response
		if err := p.Do(context.Background(), &Request{Method: "POST", Target: []byte("/"), Stream: up, Length: -1}, &r); err != nil {
			t.Fatal(err)
		}
		if body := whole(t, &r); r.Status() != status || body != "early" {
			t.Errorf("%d %q", r.Status(), body)
		}
		r.Release()
		select {
		case <-up.closed:
		default:
			t.Error("the request's stream is still open")
		}
	}
}

// TestH2Cancel frees the upstream's stream at once, whatever the exchange is
// at, and leaves the connection to others.
func TestH2Cancel(t *testing.T) {
	for _, c := range []struct {
		name    string
		head    bool // the answer's head is sent
		upload  func() io.Reader
		release bool // the answer is released; else the context is cancelled
	}{
		{"waiting for the head", false, nil, false},
		{"waiting for the body", true, nil, false},
		{"waiting for the client", false, func() io.Reader { return newBlocking() }, false},
		{"waiting for both", true, func() io.Reader { return newBlocking() }, false},
		{"sending without a reader", false, func() io.Reader { return zeros{} }, false},
		{"sending without a reader after the head", true, func() io.Reader { return zeros{} }, false},
		{"released", true, nil, true},
		{"released while the client is waited for", true, func() io.Reader { return newBlocking() }, true},
		{"released while sending", true, func() io.Reader { return zeros{} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived, left := make(chan bool, 1), make(chan bool, 1)
			s := framed(t, func(p *peer, n int) {
				id := p.request()
				if c.head {
					p.headers(id, false, ":status", "200")
				}
				arrived <- true
				left <- p.until(reset(id))
				p.headers(p.request(), true, ":status", "204")
				p.drain()
			})
			p := newPool(t, h2c, s.url())
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			q := get("/")
			if c.upload != nil {
				q.Method, q.Stream, q.Length = "POST", c.upload(), -1
			}
			result := make(chan error, 1)
			go func() {
				var r Response
				err := p.Do(ctx, q, &r)
				if err == nil && c.release {
					<-arrived
					r.Release()
				} else if err == nil {
					_, err = r.Stream().Read(make([]byte, 1))
					r.Release()
				}
				result <- err
			}()
			if !c.release {
				<-arrived
				cancel()
			}
			err := <-result
			if c.release != (err == nil) || err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("the exchange ended with %v", err)
			}
			if !<-left {
				t.Error("the stream was not reset, or the connection was closed")
			}
			do(t, p, get("/"))
			if n := s.connections(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestH2Timeouts meets upstreams that hang at each stage.
func TestH2Timeouts(t *testing.T) {
	const short = 60 * time.Millisecond
	for _, c := range []struct {
		name   string
		answer func(p *peer, id uint32)
		change func(*config.Upstream)
		q      *Request
	}{
		{"total", func(*peer, uint32) {}, func(u *config.Upstream) { u.Timeout = short }, get("/")},
		{"the request's own", func(*peer, uint32) {}, nil, &Request{Method: "POST", Target: []byte("/"), Timeout: short}},
		{"head", func(*peer, uint32) {}, func(u *config.Upstream) { u.HeaderTimeout = short }, get("/")},
		{"interim answers only", func(p *peer, id uint32) { p.headers(id, false, ":status", "100") }, func(u *config.Upstream) { u.HeaderTimeout = short }, get("/")},
		{"held body", func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "3")
			p.data(id, false, "ok")
		}, func(u *config.Upstream) { u.Timeout = short }, get("/")},
		{"after a stream was sent", func(*peer, uint32) {}, func(u *config.Upstream) { u.Timeout = short },
			&Request{Method: "POST", Target: []byte("/"), Stream: strings.NewReader("x"), Length: -1}},
		{"both sides silent", func(*peer, uint32) {}, func(u *config.Upstream) { u.Timeout = short },
			&Request{Method: "POST", Target: []byte("/"), Stream: newBlocking(), Length: -1, Duplex: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			left := make(chan bool, 1)
			s := framed(t, func(p *peer, n int) {
				id := p.request()
				if n == 0 {
					c.answer(p, id)
					p.until(reset(id)) // or closed: it may be dead
					left <- true
				} else {
					p.headers(id, true, ":status", "204")
				}
				p.drain()
			})
			p := newPool(t, h2cWith(func(u *config.Upstream) {
				u.Retry.Attempts = 1
				if c.change != nil {
					c.change(u)
				}
			}), s.url())
			var r Response
			if err := p.Do(context.Background(), c.q, &r); !errors.Is(err, ErrTimeout) {
				t.Errorf("Do: %v", err)
			}
			<-left
		})
	}
}

// TestH2SlowUpload does not cut a request that moves on.
func TestH2SlowUpload(t *testing.T) {
	url := h2url(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	p := newPool(t, h2cWith(func(u *config.Upstream) { u.Timeout = 200 * time.Millisecond }), url)
	up, client := io.Pipe()
	go func() {
		for range 10 {
			io.WriteString(client, "x")
			time.Sleep(50 * time.Millisecond)
		}
		client.Close()
	}()
	if _, body, _ := do(t, p, &Request{Method: "POST", Target: []byte("/"), Stream: up, Length: -1}); body != "10" {
		t.Errorf("%q", body)
	}
}

// TestH2SilentStream cuts an answer that stops, however long its client
// waits, and leaves alone one whose client takes its time.
func TestH2SilentStream(t *testing.T) {
	url := h2url(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		if r.URL.Path == "/slow" {
			io.WriteString(w, "done")
			return
		}
		<-r.Context().Done()
	})
	p := newPool(t, h2cWith(func(u *config.Upstream) { u.Timeout = 5 * time.Second }), url)
	for target, want := range map[string]error{"/slow": nil, "/silent": ErrTimeout} {
		var r Response
		if err := p.Do(context.Background(), get(target), &r); err != nil {
			t.Fatal(err)
		}
		r.silence = 50 * time.Millisecond // else it is a minute
		down := r.Stream()
		time.Sleep(100 * time.Millisecond)
		_, err := io.ReadAll(down)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", target, err, want)
		}
		r.Release()
	}
}

// TestH2RequestBodyFails tells a broken client from a broken upstream.
func TestH2RequestBodyFails(t *testing.T) {
	url := h2url(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	p := newPool(t, h2c, url)
	for name, q := range map[string]*Request{
		"fails":     {Method: "POST", Stream: io.MultiReader(strings.NewReader("x"), unreadable{}), Length: -1},
		"too short": {Method: "POST", Stream: strings.NewReader("x"), Length: 2},
	} {
		q.Target = []byte("/")
		var r Response
		if err := p.Do(context.Background(), q, &r); !errors.Is(err, ErrRequestBody) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, r := do(t, p, get("/")); r.Status() != 200 {
		t.Error("the connection did not survive")
	}
}

type unreadable struct{}

func (unreadable) Read([]byte) (int, error) { return 0, errors.New("gone") }

// TestH2EarlyHints passes interim answers on.
func TestH2EarlyHints(t *testing.T) {
	url := h2url(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, link := range []string{"</a>", "</b>"} {
			w.Header().Set("Link", link)
			w.WriteHeader(103)
		}
		w.Header().Del("Link")
		w.Header().Set("X", "y")
		w.WriteHeader(200)
	})
	p := newPool(t, h2c, url)
	var got []string
	q := get("/")
	q.Informational = func(r *Response) { got = append(got, fmt.Sprint(r.Status(), " ", fieldsOf(r))) }
	_, _, r := do(t, p, q)
	if text := strings.Join(got, ""); text != "103 Link: </a>\n103 Link: </b>\n" {
		t.Errorf("interim answers: %q", text)
	}
	if v, _ := r.Field("X"); string(v) != "y" {
		t.Errorf("the answer: %s", fieldsOf(r))
	}
}

// TestH2Places shares connections, opens no more than are allowed, and makes
// the rest wait.
func TestH2Places(t *testing.T) {
	hold := make(chan bool)
	var most, now atomic.Int64
	s := framed(t, func(p *peer, _ int) {
		var mu sync.Mutex
		var done sync.WaitGroup
		defer done.Wait()
		for id := p.request(); id != 0; id = p.request() {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			mu.Lock()
			p.headers(id, false, ":status", "200")
			mu.Unlock()
			done.Go(func() {
				<-hold
				now.Add(-1)
				mu.Lock()
				defer mu.Unlock()
				p.data(id, true, "ok")
			})
		}
	}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 3})
	p := newPool(t, h2cWith(func(u *config.Upstream) { u.MaxConnections, u.Retry.Attempts = 4, 1 }), s.url())
	var open [12]Response
	for i := range open {
		if err := p.Do(context.Background(), get("/"), &open[i]); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.connections(); n != 4 {
		t.Errorf("%d connections", n)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { do(t, p, get("/")) })
	}
	eventually(t, "the rest waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.queued) == 3
	})
	// One that leaves while it waits is not in the others' way.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var r Response
	if err := p.Do(ctx, get("/"), &r); !errors.Is(err, ErrTimeout) {
		t.Errorf("while all is taken: %v", err)
	}
	close(hold)
	for i := range open {
		if body := whole(t, &open[i]); body != "ok" {
			t.Errorf("%q", body)
		}
		open[i].Release()
	}
	wg.Wait()
	if n := most.Load(); n > 12 || s.connections() != 4 {
		t.Errorf("%d requests at a time on %d connections", n, s.connections())
	}
}

// TestH2Overload tells those who wait too long.
func TestH2Overload(t *testing.T) {
	s := framed(t, func(p *peer, _ int) {
		id := p.request()
		p.headers(id, false, ":status", "200")
		p.drain()
	}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
	p := newPool(t, h2cWith(func(u *config.Upstream) { u.MaxConnections, u.ConnectTimeout = 1, 50*time.Millisecond }), s.url())
	var first, second Response
	defer first.Release()
	if err := p.Do(context.Background(), get("/"), &first); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(context.Background(), get("/"), &second); !errors.Is(err, ErrOverloaded) {
		t.Errorf("the second: %v", err)
	}
}

// TestH2OneConnection opens one connection for a burst.
func TestH2OneConnection(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	counting := &countingListener{Listener: l}
	h2server(t, counting, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	p := newPool(t, h2c, "http://"+l.Addr().String())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { do(t, p, get("/")) })
	}
	wg.Wait()
	if n := counting.n.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

type countingListener struct {
	net.Listener
	n atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

// TestH2Balance spreads requests over endpoints and leaves out one that is
// down.
func TestH2Balance(t *testing.T) {
	var counts [2]atomic.Int64
	handler := func(i int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { counts[i].Add(1); w.WriteHeader(204) }
	}
	p := newPool(t, h2c, h2url(t, handler(0)), h2url(t, handler(1)), closedPort(t))
	for range 60 {
		do(t, p, &Request{Method: "POST", Target: []byte("/")})
	}
	if a, b := counts[0].Load(), counts[1].Load(); a+b != 60 || a < 10 || b < 10 {
		t.Errorf("%d and %d", a, b)
	}
}

func TestH2NothingListens(t *testing.T) {
	p := newPool(t, h2c, closedPort(t))
	var r Response
	if err := p.Do(context.Background(), get("/"), &r); !errors.Is(err, ErrUnavailable) || r.Attempts() != 2 {
		t.Errorf("%v after %d attempts", err, r.Attempts())
	}
}

// TestH2TLS checks the certificate, and that HTTP/2 was agreed on.
func TestH2TLS(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	run := func(protocols ...string) string {
		l := listen(t, "tcp", "127.0.0.1:0")
		h2server(t, l, &tls.Config{Certificates: []tls.Certificate{cert}}, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Proto, " ", r.TLS.NegotiatedProtocol)
		})
		return "https://" + l.Addr().String()
	}
	h2 := func(ca string) func(*config.Upstream) {
		return func(u *config.Upstream) { u.Protocol, u.TLS.CAFile = "h2", ca }
	}
	p := newPool(t, h2(a.file), run())
	if _, body, _ := do(t, p, get("/")); body != "HTTP/2.0 h2" {
		t.Errorf("%q", body)
	}
	var r Response
	p = newPool(t, h2(newAuthority(t).file), run())
	if err := p.Do(context.Background(), get("/"), &r); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate is not accepted") {
		t.Errorf("a certificate of somebody else's: %v", err)
	}
	for name, protocols := range map[string][]string{"no ALPN": nil, "another ALPN": {"http/1.1"}} {
		var requests atomic.Int64
		s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}, func(c net.Conn, _ int) {
			if n, _ := c.Read(make([]byte, 1)); n > 0 {
				requests.Add(1)
			}
		})
		p = newPool(t, h2(a.file), s.secureURL())
		if err := p.Do(context.Background(), get("/"), &r); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if requests.Load() > 0 {
			t.Errorf("%s: something was sent", name)
		}
	}
}

func TestH2UnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	h2server(t, listen(t, "unix", path), nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.RequestURI) })
	p := newPool(t, h2c, "unix:"+path)
	if _, body, _ := do(t, p, get("/a?")); body != "localhost/a?" {
		t.Errorf("%q", body)
	}
}

// TestH2Close closes idle connections, leaves open exchanges alone, and
// still serves later ones.
func TestH2Close(t *testing.T) {
	var open atomic.Int64
	finish := make(chan bool)
	s := framed(t, func(p *peer, _ int) {
		open.Add(1)
		defer open.Add(-1)
		for id := p.request(); id != 0; id = p.request() {
			if p.got[":path"] == "/quick;" {
				p.headers(id, true, ":status", "204")
				continue
			}
			p.headers(id, false, ":status", "200")
			<-finish
			p.data(id, true, "finished")
		}
	})
	p := newPool(t, h2c, s.url())
	do(t, p, get("/quick"))
	p.Close()
	eventually(t, "the idle connection is closed", func() bool { return open.Load() == 0 })

	q := newPool(t, h2c, s.url())
	var r Response
	if err := q.Do(context.Background(), get("/"), &r); err != nil {
		t.Fatal(err)
	}
	q.Close()
	finish <- true
	if body := whole(t, &r); body != "finished" {
		t.Errorf("%q", body)
	}
	r.Release()
	eventually(t, "its connection is closed as well", func() bool { return open.Load() == 0 })
	do(t, q, get("/quick"))
	eventually(t, "and that of a later exchange", func() bool { return open.Load() == 0 })
}

// TestH2Age replaces connections that are too old or unused for too long.
func TestH2Age(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	counting := &countingListener{Listener: l}
	h2server(t, counting, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	var moved atomic.Int64
	p := newPoolWith(t, Options{Now: func() time.Time { return time.Now().Add(time.Duration(moved.Load())) }},
		h2cWith(func(u *config.Upstream) { u.IdleTimeout = 100 * time.Millisecond }), "http://"+l.Addr().String())
	do(t, p, get("/"))
	do(t, p, get("/"))
	if n := counting.n.Load(); n != 1 {
		t.Errorf("%d connections for two requests", n)
	}
	moved.Store(int64(2 * maxAge))
	do(t, p, get("/"))
	if n := counting.n.Load(); n != 2 {
		t.Errorf("%d connections after its time", n)
	}
	eventually(t, "the idle connection is gone", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.roomy(p.endpoints[0])
		return len(p.endpoints[0].sessions) == 0
	})
	do(t, p, get("/"))
}

func TestH2Upgrade(t *testing.T) {
	p := newPool(t, h2c, closedPort(t))
	var r Response
	if _, err := p.Upgrade(context.Background(), "websocket", get("/"), &r); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}
