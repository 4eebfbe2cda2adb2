package proxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFreshRequest holds what goes upstream: what names an identity, frames a
// message or belongs to a connection never passes, in whatever spelling.
func TestFreshRequest(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: all
    match: {methods: [GET, POST], path: "/{rest...}"}
    allow: "true"
    upstream: backend
    request:
      headers: {X-User-Id: "{principal.user_id}", X-Tag: "a{{b}}"}
      remove: [X-Internal]
      cookies: [theme]
`))
	token := w.token(claims{"sub": "alice"})
	raw := "GET /a?b=c%20d HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer " + token + "\r\n" +
		"x-user-id: admin\r\nX_User_Id: admin\r\nX-User_Id: admin\r\nX-USER-ID: admin\r\n" +
		"Connection: close, X-Listed\r\nX-Listed: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: Basic eA==\r\n" +
		"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n" +
		"X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Request-Id: mine\r\nX-Internal: 1\r\nVia: 1.1 evil\r\n" +
		"Cookie: a=1; theme=dark; session=x\r\nX-Custom: kept\r\nAccept-Encoding: gzip\r\nIf-None-Match: \"x\"\r\n\r\n"
	if answer := w.raw(raw); !strings.HasPrefix(answer, "200") {
		t.Fatal(answer)
	}
	got := w.backend.last(t)
	if got.target != "/a?b=c%20d" || got.method != "GET" || got.proto != "HTTP/1.1" {
		t.Errorf("request line %s %s %s", got.method, got.target, got.proto)
	}
	if want := strings.TrimPrefix(w.backend.url(), "http://"); got.host != want {
		t.Errorf("Host %q, want %q", got.host, want)
	}
	want := map[string]string{
		"Authorization": "Bearer " + backendSecret, "X-User-Id": "alice", "X-Tag": "a{b}", "Cookie": "theme=dark", "X-Custom": "kept",
		"Accept-Encoding": "gzip", "If-None-Match": `"x"`, "Via": "1.1 hopgate",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "gate.example",
	}
	for name, value := range want {
		if v := got.header.Values(name); len(v) != 1 || v[0] != value {
			t.Errorf("%s is %q, want %q", name, v, value)
		}
	}
	if id := got.header.Get("X-Request-Id"); len(id) != 32 {
		t.Errorf("the client chose its request id: %q", id)
	}
	for name := range got.header {
		if _, known := want[name]; !known && name != "X-Request-Id" {
			t.Errorf("%s: %q went upstream", name, got.header.Values(name))
		}
	}
}

// TestTrailers shows that what a client announces or sends as a trailer moves
// none of hopgate's fields and adds none.
func TestTrailers(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: all
    match: {methods: POST, path: "/{rest...}"}
    allow: "true"
    upstream: backend
    request: {headers: {X-User-Id: "{principal.user_id}"}}
`))
	token := w.token(claims{"sub": "alice"})
	answer := w.raw("POST /a HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + token + "\r\nTrailer: X-User-Id\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
		"5\r\nhello\r\n0\r\nX-Other: admin\r\n\r\n")
	if !strings.HasPrefix(answer, "200") {
		t.Fatal(answer)
	}
	got := w.backend.last(t)
	if got.body != "hello" || len(got.trailer) != 0 || strings.Join(got.header.Values("X-User-Id"), ",") != "alice" || got.header.Get("X-Other") != "" {
		t.Errorf("upstream got %+v", got)
	}
}

// TestHostAndTarget decides on the Host field and the target as they came.
func TestHostAndTarget(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: good
    match: {hosts: good.example, path: "/{rest...}"}
    anonymous: true
    upstream: backend
`))
	for _, c := range []struct{ request, status string }{
		{"GET /x HTTP/1.1\r\nHost: good.example\r\n\r\n", "200"},
		{"GET /x HTTP/1.1\r\nHost: GOOD.example:80\r\n\r\n", "200"},
		{"GET http://good.example/x HTTP/1.1\r\nHost: good.example\r\n\r\n", "200"},
		{"GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "404"},
		{"GET //good.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "400"},
		{"GET http://good.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "400"},
		{"GET http://evil.example/x HTTP/1.1\r\nHost: good.example\r\n\r\n", "400"},
		{"GET http://u:p@good.example/x HTTP/1.1\r\nHost: good.example\r\n\r\n", "400"},
		{"GET /x HTTP/1.1\r\nHost: good.example\r\nHost: evil.example\r\n\r\n", "400"},
		{"GET /x HTTP/1.1\r\n\r\n", "400"},
		{"GET /x HTTP/1.0\r\n\r\n", "400"},
	} {
		before := w.backend.hits.Load()
		answer := w.raw(c.request)
		if !strings.HasPrefix(answer, c.status) {
			t.Errorf("%q: %s", c.request, answer)
		}
		if c.status != "200" && w.backend.hits.Load() != before {
			t.Errorf("%q reached the backend", c.request)
		}
	}
	if got := w.backend.last(t); got.header.Get("Authorization") != "Bearer "+backendSecret {
		t.Errorf("Authorization %q", got.header.Get("Authorization"))
	}
}

func TestTrustedProxies(t *testing.T) {
	w := newWorld(t, strings.Replace(settings(`
routes:
  - id: all
    match: {path: "/{rest...}"}
    anonymous: true
    upstream: backend
`), `server: {`, `server: {trusted_proxies: [127.0.0.0/8, 10.0.0.0/8], `, 1))
	for _, c := range []struct{ xff, want, logged string }{
		{"", "127.0.0.1", ""},
		{"192.0.2.7", "192.0.2.7, 127.0.0.1", ""},
		{"6.6.6.6, 192.0.2.7, 10.1.1.1", "192.0.2.7, 10.1.1.1, 127.0.0.1", ""},
	} {
		var f [][2]string
		if c.xff != "" {
			f = append(f, [2]string{"X-Forwarded-For", c.xff})
		}
		f = append(f, [2]string{"X-Request-Id", "from-the-edge"})
		w.do("GET", "/x", "", f...)
		got := w.backend.last(t).header
		if got.Get("X-Forwarded-For") != c.want || got.Get("X-Request-Id") != "from-the-edge" {
			t.Errorf("%q gives %q, id %q", c.xff, got.Get("X-Forwarded-For"), got.Get("X-Request-Id"))
		}
	}
	log := w.logged()
	if strings.Count(log, `"client_ip":"192.0.2.7"`) != 2 || strings.Contains(log, "6.6.6.6") {
		t.Errorf("client addresses in the log:\n%s", log)
	}
}

// TestRewriting sends other paths and queries upstream.
func TestRewriting(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: me
    match: {path: "/me/{what}"}
    allow: "true"
    upstream: backend
    request:
      path: "/v1/users/{principal.user_id}/{path.what}"
      query: {limit: "50", org: "{principal.org_id}"}
      params: [q, limit]
  - id: any
    match: {path: "/any/{rest...}"}
    allow: "true"
    upstream: backend
`))
	alice := w.bearer(claims{"sub": "a b?", "org_id": "ac&me"})
	for _, c := range []struct{ target, want string }{
		{"/me/x?limit=1000&q=a%20b&secret=1", "/v1/users/a%20b%3F/x?q=a%20b&limit=50&org=ac%26me"},
		{"/me/%C3%A9", "/v1/users/a%20b%3F/%C3%A9?limit=50&org=ac%26me"},
		{"/any/x?", "/any/x?"},
		{"/any/%C3%A9;v=1/?a=%2F..%2F&a", "/any/%C3%A9;v=1/?a=%2F..%2F&a"},
	} {
		if r := w.do("GET", c.target, "", alice); r.status != 200 {
			t.Errorf("%s: %d %s", c.target, r.status, r.body)
			continue
		}
		if got := w.backend.last(t).target; got != c.want {
			t.Errorf("%s went upstream as %s, want %s", c.target, got, c.want)
		}
	}
	for _, user := range []string{"..", "a/../b", "a\\b", "a\x00"} {
		if r := w.do("GET", "/me/x", "", w.bearer(claims{"sub": user})); r.status != 403 {
			t.Errorf("a user named %q gets %d", user, r.status)
		}
	}
}

// TestFilter removes members and refuses what it cannot filter.
func TestFilter(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: remove
    match: {path: /remove}
    anonymous: true
    upstream: backend
    response: {remove: [private_metadata, "emails[].verification"], remove_headers: [X-Internal]}
  - id: keep
    match: {path: /keep}
    anonymous: true
    upstream: backend
    response: {keep: [id]}
`))
	large := `{"id":"` + strings.Repeat("x", 300_000) + `","private_metadata":{"secret":1}}`
	for _, c := range []struct {
		name, target, contentType, coding, body string
		code, status                            int
		want                                    string
	}{
		{"removed", "/remove", "application/json", "", `{"id":1,"private_metadata":{"secret":1},"emails":[{"a":1,"verification":2}]}`, 200, 200, `{"id":1,"emails":[{"a":1}]}`},
		{"kept", "/keep", "application/vnd.api+json; charset=utf-8", "", `{"id":1,"secret":2}`, 200, 200, `{"id":1}`},
		{"errors are filtered too", "/remove", "application/json", "", `{"private_metadata":1,"e":2}`, 422, 422, `{"e":2}`},
		{"large", "/remove", "application/json", "", large, 200, 200, strings.Replace(large, `,"private_metadata":{"secret":1}`, "", 1)},
		{"no JSON", "/remove", "text/html", "", `<p>private</p>`, 200, 502, ""},
		{"JSON by name only", "/remove", "application/json", "", `{"private_metadata":1`, 200, 502, ""},
		{"no type", "/remove", "", "", `{"private_metadata":1}`, 200, 502, ""},
		{"coded", "/remove", "application/json", "gzip", "\x1f\x8b", 200, 502, ""},
		{"a part", "/remove", "application/json", "", `{}`, 206, 502, ""},
		{"nothing", "/remove", "", "", "", 204, 204, ""},
	} {
		w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
			h := rw.Header()
			h["Content-Type"] = nil
			if c.contentType != "" {
				h.Set("Content-Type", c.contentType)
			}
			if c.coding != "" {
				h.Set("Content-Encoding", c.coding)
			}
			h.Set("X-Internal", "1")
			h.Set("ETag", `"of-the-unfiltered"`)
			rw.WriteHeader(c.code)
			_, _ = io.WriteString(rw, c.body)
		})
		r := w.do("GET", c.target, "", [2]string{"Accept-Encoding", "gzip"}, [2]string{"Range", "bytes=0-1"})
		if r.status != c.status {
			t.Errorf("%s: %d %s", c.name, r.status, r.body)
		}
		if c.status == 502 {
			if r.reason() != "response_unfilterable" || strings.Contains(r.body, "private") {
				t.Errorf("%s: %s", c.name, r.body)
			}
			continue
		}
		if r.body != c.want || r.header.Get("ETag") != "" {
			t.Errorf("%s: %q, ETag %q", c.name, r.body, r.header.Get("ETag"))
		}
		if c.target == "/remove" && r.header.Get("X-Internal") != "" {
			t.Errorf("%s: X-Internal passed", c.name)
		}
		if got := w.backend.last(t).header; got.Get("Accept-Encoding") != "identity" || got.Get("Range") != "" {
			t.Errorf("%s: asked upstream for %v", c.name, got)
		}
	}
}

// TestPrivateAnswers lets no cache in front keep what was made for a caller.
func TestPrivateAnswers(t *testing.T) {
	for said, want := range map[string]string{
		"":                                     "private, no-cache",
		"public, max-age=60":                   "private, max-age=60",
		"s-maxage=60":                          "private, no-cache",
		"max-age=5, S-MaxAge=60 , PUBLIC":      "private, max-age=5",
		"no-store":                             "private, no-store",
		`private="set-cookie, x", max-age=1`:   "private, max-age=1",
		`no-cache="a, public", public`:         `private, no-cache="a, public"`,
		`max-age=1, x="unterminated, public`:   "private, max-age=1",
		"max-age=1,public,proxy-revalidate,,,": "private, max-age=1",
	} {
		if got := string(appendPrivate(nil, said, false)); got != want {
			t.Errorf("%q gives %q, want %q", said, got, want)
		}
	}
	if got := string(appendPrivate(nil, "max-age=60, public", true)); got != "private, no-cache" {
		t.Errorf("a cached answer says %q", got)
	}
	w := newWorld(t, settings(userRoutes))
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Cache-Control", "public, s-maxage=60")
		rw.Header().Set("CDN-Cache-Control", "max-age=600")
		rw.Header().Set("Surrogate-Control", "max-age=600")
	})
	r := w.do("GET", "/v1/users/alice", "", w.bearer(claims{"sub": "alice"}))
	if r.header.Get("Cache-Control") != "private, no-cache" || r.header.Get("CDN-Cache-Control") != "" || r.header.Get("Surrogate-Control") != "" {
		t.Errorf("%v", r.header)
	}
	if r := w.do("GET", "/status", ""); r.header.Get("Cache-Control") != "public, s-maxage=60" {
		t.Errorf("anonymous: %v", r.header)
	}
}

// TestStreams passes bodies on that are larger than memory should be.
func TestStreams(t *testing.T) {
	w := newWorld(t, strings.Replace(settings(`
routes:
  - id: all
    match: {methods: [GET, POST], path: "/{rest...}"}
    anonymous: true
    upstream: backend
`), "server: {", "server: {max_body_bytes: 64MiB, ", 1))
	const size = 32 << 20
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(rw, n, err)
			return
		}
		if r.URL.Path == "/known" {
			rw.Header().Set("Content-Length", strconv.Itoa(size))
		}
		_, _ = io.CopyN(rw, zeros{}, size)
	})
	for _, path := range []string{"/known", "/unknown"} {
		resp, err := client.Get(w.url + path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if n != size || err != nil {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
	for name, length := range map[string]int64{"known": size, "chunked": -1} {
		req, err := http.NewRequest("POST", w.url+"/up", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		req.Header.Set("X-Stream", "1")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != fmt.Sprint(size, nil) {
			t.Errorf("%s: backend says %q", name, b)
		}
	}
	// Too large, announced or not.
	for name, length := range map[string]int64{"known": 65 << 20, "chunked": -1} {
		req, err := http.NewRequest("POST", w.url+"/up", io.LimitReader(zeros{}, 65<<20))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		req.Header.Set("X-Stream", "1")
		resp, err := client.Do(req)
		if err != nil {
			// The answer may be lost when the client still sends.
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestTruncatedAnswer never makes a cut answer look whole.
func TestTruncatedAnswer(t *testing.T) {
	url := rawBackend(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = c.Write(append([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), bytes.Repeat([]byte("x"), 100_000)...))
	})
	w := newWorld(t, strings.Replace(settings(userRoutes), "${BACKEND}", url, 1))
	resp, err := client.Get(w.url + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil || n > 100_000 {
		t.Errorf("%d bytes and error %v", n, err)
	}
}

// TestExpectContinue judges before the body is sent.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t, settings(userRoutes))
	token := w.token(claims{"sub": "alice"})
	body := make([]byte, 20_000)
	_, _ = rand.Read(body)
	for _, c := range []struct {
		head string
		want string
	}{
		{"POST /any/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + token, "100"},
		{"POST /any/x HTTP/1.1\r\nHost: g", "401"},
		{"POST /nowhere HTTP/1.1\r\nHost: g", "404"},
	} {
		conn, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "%s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", c.head, len(body))
		br := bufio.NewReader(conn)
		line, err := br.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+c.want) {
			t.Errorf("%q: %q %v", c.head, line, err)
		}
		if c.want == "100" {
			_, _ = br.ReadString('\n')
			_, _ = conn.Write(body)
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != 200 || w.backend.last(t).body != string(body) {
				t.Errorf("after 100: %v %v", resp, err)
			}
		}
		conn.Close()
	}
}

// TestEarlyHints passes 103 on to clients of HTTP/2, whose browsers use it,
// and not to those of HTTP/1.1, where it could overtake another answer.
func TestEarlyHints(t *testing.T) {
	cert := certificate(t)
	w := newWorld(t, strings.Replace(settings(userRoutes), `server: {listen: "127.0.0.1:0"}`,
		fmt.Sprintf(`server: {listen: "127.0.0.1:0", tls: {cert_file: %s, key_file: %s}}`, cert.certFile, cert.keyFile), 1))
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Link", "</a.css>; rel=preload")
		rw.Header().Set("X-Early", "1")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(rw, "whole")
	})
	for _, two := range []bool{false, true} {
		var hinted []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hinted = append(hinted, fmt.Sprint(code, h.Get("Link"), h.Get("X-Early")))
			return nil
		}})
		req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := cert.client(two).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(b) != "whole" || resp.Header.Get("Link") != "" || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("two %v: %d %v %s", two, resp.StatusCode, resp.Header, b)
		}
		want := ""
		if two {
			want = "103</a.css>; rel=preload"
		}
		if got := strings.Join(hinted, " "); got != want {
			t.Errorf("two %v: hints %q, want %q", two, got, want)
		}
	}
}
