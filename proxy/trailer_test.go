package proxy

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestUpstreamTrailers passes on what may come after an answer, to whom may have it.
func TestUpstreamTrailers(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("X-Te", r.Header.Get("Te"))
		if r.URL.Query().Has("stream") {
			w.(http.Flusher).Flush()
		}
		if !r.URL.Query().Has("empty") {
			io.WriteString(w, `{"a":1}`)
		}
		for _, name := range []string{
			"Grpc-Status", "Grpc-Message", "X-App", "X-Removed", "X_App2", // all but X-Removed may pass
			"X-Request-Id", "Set-Cookie", "Content-Type", "Cache-Control", "Authorization", "Location", "Vary",
			"X-Forwarded-For", "Access-Control-Allow-Origin",
		} {
			h[http.TrailerPrefix+name] = []string{"t"}
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	conf := `
server: {` + loopback + `, h2c: true}
upstreams:
  two: {endpoints: "` + s.URL + `", protocol: h2c}
  one: {endpoints: "` + s.URL + `"}
routes:
  - {id: plain, match: {path: /plain}, anonymous: true, upstream: two, response: {remove_headers: [x-removed]}}
  - {id: filtered, match: {path: /filtered}, anonymous: true, upstream: two, response: {remove: b}}
  - {id: cached, match: {path: /cached}, anonymous: true, upstream: two, cache: {ttl: 1m, scope: public}}
  - {id: one, match: {path: /one}, anonymous: true, upstream: one}
`
	w := newWorld(t, conf)
	for _, c := range []struct {
		name, target, te string
		http1            bool
		want             []string // trailers
		heard            string   // TE that the upstream got
	}{
		{name: "held", target: "/plain", te: "trailers", want: []string{"Grpc-Message", "Grpc-Status", "X-App", "X_app2"}, heard: "trailers"},
		{name: "streamed", target: "/plain?stream", te: "trailers", want: []string{"Grpc-Message", "Grpc-Status", "X-App", "X_app2"}, heard: "trailers"},
		{name: "without a body", target: "/plain?empty", te: "trailers", want: []string{"Grpc-Message", "Grpc-Status", "X-App", "X_app2"}, heard: "trailers"},
		{name: "not asked for", target: "/plain"},
		{name: "not asked for, streamed", target: "/plain?stream"},
		{name: "to HTTP/1.1", target: "/plain?stream", te: "trailers", http1: true},
		{name: "filtered", target: "/filtered", te: "trailers"},
		{name: "cached", target: "/cached", te: "trailers"},
		{name: "cached, streamed", target: "/cached?stream", te: "trailers"},
		{name: "of HTTP/1.1", target: "/one?stream", te: "trailers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			by := h2cClient(t)
			if c.http1 {
				by = client
			}
			q, err := http.NewRequestWithContext(context.Background(), "GET", w.url+c.target, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.te != "" {
				q.Header.Set("Te", c.te)
			}
			resp, err := by.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			want := `{"a":1}`
			if strings.Contains(c.target, "empty") {
				want = ""
			}
			if err != nil || string(b) != want || resp.StatusCode != 200 {
				t.Errorf("%d %q, %v", resp.StatusCode, b, err)
			}
			var got []string
			for name, values := range resp.Trailer {
				if len(values) != 1 || values[0] != "t" {
					t.Errorf("%s: %q", name, values)
				}
				got = append(got, name)
			}
			slices.Sort(got)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("trailers %v, want %v", got, c.want)
			}
			if heard := resp.Header.Get("X-Te"); heard != c.heard {
				t.Errorf("the upstream got TE: %q, want %q", heard, c.heard)
			}
			for name := range resp.Header {
				if strings.HasPrefix(name, "Trailer") || name == "Grpc-Status" {
					t.Errorf("%s stands in the head", name)
				}
			}
		})
	}
}

// TestSameOverEitherProtocol asks upstreams of both protocols the same.
func TestSameOverEitherProtocol(t *testing.T) {
	b := newRecorder(t)
	two := httptest.NewUnstartedServer(b)
	two.Config.Protocols = new(http.Protocols)
	two.Config.Protocols.SetUnencryptedHTTP2(true)
	two.Start()
	t.Cleanup(two.Close)
	b.will(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("X-A", "1")
		w.Header().Add("X-A", "2")
		switch r.URL.Query().Get("status") {
		case "":
			fmt.Fprintf(w, `{"target":%q,"secret":1}`, r.RequestURI)
		case "304":
			w.WriteHeader(304)
		default:
			w.WriteHeader(404)
		}
	})
	w := newWorld(t, `
server: {`+loopback+`}
issuers:
  main: {issuer: `+testIssuer+`, algorithms: ES256, jwks: {keys: '${JWKS}'}}
upstreams:
  one: {endpoints: "`+b.url()+`/p", host: api.test, secret: {header: X-Key, value: "${SECRET}"}}
  two: {endpoints: "`+two.URL+`/p", protocol: h2c, host: api.test, secret: {header: X-Key, value: "${SECRET}"}}
routes:
  - {id: a1, match: {methods: [GET, POST], path: "/one/a/{rest...}"}, allow: "true", upstream: one, request: {path: "/x/{path.rest}"}}
  - {id: a2, match: {methods: [GET, POST], path: "/two/a/{rest...}"}, allow: "true", upstream: two, request: {path: "/x/{path.rest}"}}
  - {id: f1, match: {path: "/one/f"}, allow: "true", upstream: one, request: {path: /f}, response: {remove: secret}}
  - {id: f2, match: {path: "/two/f"}, allow: "true", upstream: two, request: {path: /f}, response: {remove: secret}}
  - {id: c1, match: {path: "/one/c"}, allow: "true", upstream: one, request: {path: /c}, cache: {ttl: 1m}}
  - {id: c2, match: {path: "/two/c"}, allow: "true", upstream: two, request: {path: /c}, cache: {ttl: 1m}}
`)
	for _, c := range []struct{ method, target, body string }{
		{"GET", "a/b", ""}, {"GET", "a/b?", ""}, {"GET", "a/b?x=%2F&x", ""}, {"GET", "a/%C3%A4", ""}, {"HEAD", "a/b", ""},
		{"POST", "a/b", "text"}, {"POST", "a/b", ""}, {"POST", "a/b", strings.Repeat("long", 20<<10)},
		{"GET", "a/b?status=404", ""}, {"GET", "a/b?status=304", ""},
		{"GET", "f", ""}, {"GET", "c", ""}, {"GET", "c", ""}, {"HEAD", "c", ""},
	} {
		var text [2]string
		for i, name := range []string{"one", "two"} {
			hits := b.hits.Load()
			r := w.do(c.method, "/"+name+"/"+c.target, c.body, w.bearer(claims{"sub": "u1"}), [2]string{"X-B", "1"}, [2]string{"X-B", "2"}, [2]string{"Cookie", "a=b"})
			for _, own := range []string{"Date", "Server-Timing", "X-Request-Id", "Age"} {
				r.header.Del(own)
			}
			if r.status == 304 {
				r.header.Del("Content-Type") // net/http's server leaves it out over HTTP/1.1
			}
			text[i] = fmt.Sprintf("%d %s\n%s\n%d new requests", r.status, headerText(r.header), r.body, b.hits.Load()-hits)
			if len(b.got) == 0 {
				t.Fatal("the backend got nothing")
			}
			got := b.last(t)
			for _, own := range []string{"X-Request-Id", "Content-Length"} {
				got.header.Del(own)
			}
			text[i] += fmt.Sprintf("\n%s %s %s %s %q %d", got.method, got.target, got.host, headerText(got.header), got.body, got.length)
			if c.body == "" && c.method != "POST" && got.length != 0 {
				t.Errorf("%s %s: a body of %d", c.method, c.target, got.length)
			}
		}
		if text[0] != text[1] {
			t.Errorf("%s %s over HTTP/1.1:\n%s\nover HTTP/2:\n%s", c.method, c.target, text[0], text[1])
		}
	}
}
