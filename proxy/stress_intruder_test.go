package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var markedTarget = regexp.MustCompile(`^/(open|shared|own)/(small|big|chunks|slow|fails)/(\d+)$`)

// markedUpstream answers each request with its own target and user, and tells of requests
// that do not fit together.
func markedUpstream(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := markedTarget.FindStringSubmatch(r.RequestURI)
		if m == nil {
			t.Errorf("upstream: target %q", r.RequestURI)
			return
		}
		if r.Method != "GET" && r.Method != "HEAD" && r.Method != "POST" {
			t.Errorf("upstream: method %q", r.Method)
		}
		if got, want := r.Header.Get("X-Forwarded-Host"), "m"+m[3]+".gate.test"; got != want && m[1] != "shared" {
			t.Errorf("upstream: %s for host %q", r.RequestURI, got)
		}
		if m[1] == "open" && r.Header.Get("X-Mark") != "mark-"+m[3] {
			t.Errorf("upstream: %s marked %q", r.RequestURI, r.Header.Get("X-Mark"))
		}
		for name, values := range r.Header {
			for _, v := range values {
				if strings.ContainsAny(v, "\x00") || len(name) > 40 {
					t.Errorf("upstream: field %q: %q", name, v)
				}
			}
		}
		line := r.RequestURI + " " + r.Header.Get("X-User") + "\n"
		switch m[2] {
		case "small":
			_, _ = io.WriteString(w, line)
		case "big":
			n := 200_000 / len(line)
			w.Header().Set("Content-Length", strconv.Itoa(n*len(line)))
			_, _ = io.WriteString(w, strings.Repeat(line, n))
		case "chunks":
			for range 20 {
				_, _ = io.WriteString(w, strings.Repeat(line, 100))
				_ = http.NewResponseController(w).Flush()
			}
		case "slow":
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			_, _ = io.WriteString(w, line)
		case "fails":
			w.WriteHeader(503)
			_, _ = io.WriteString(w, line)
		}
	})}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + ln.Addr().String()
}

// TestMixedLoad gives every client its own answers, whole, whatever others do on their
// connections: some leave in the middle, some pipeline, some share answers, and the
// configuration changes meanwhile.
func TestMixedLoad(t *testing.T) {
	text := settings(`
routes:
  - {id: open, match: {path: "/open/{rest...}", methods: [GET, POST]}, anonymous: true, upstream: backend}
  - {id: shared, match: {path: "/shared/{rest...}", methods: [GET, POST]}, anonymous: true, upstream: backend, cache: {ttl: 20ms, stale_while_revalidate: 50ms, stale_if_error: 1s, scope: public}}
  - {id: own, match: {path: "/own/{rest...}", methods: [GET, POST]}, allow: "true", upstream: backend, request: {headers: {X-User: "{principal.user_id}"}}, cache: {ttl: 20ms, stale_while_revalidate: 50ms, scope: user}}
`)
	cert := certificateFor(t, t.TempDir(), "gate.test")
	secure := &tls.Config{ServerName: "gate.test", RootCAs: cert.pool}
	for name, c := range map[string]struct {
		server string
		over   func(net.Conn) net.Conn
	}{
		"clear": {loopback, func(c net.Conn) net.Conn { return c }},
		"TLS":   {tlsSettings(cert, ""), func(c net.Conn) net.Conn { return tls.Client(c, secure) }},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(text, `server: {listen: "127.0.0.1:0"}`, "server: {"+c.server+"}", 1)
			w := newWorldWith(t, text, map[string]string{"BACKEND": markedUpstream(t)})
			const users, enough = 40, 2000
			tokens := make([]string, users)
			for i := range tokens {
				tokens[i] = w.token(claims{"sub": fmt.Sprintf("user_%d", i)})
			}
			var served atomic.Int64
			var wg sync.WaitGroup
			for n := range 12 {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(n), 1))
					for served.Load() < enough && !t.Failed() {
						raw, err := net.Dial("tcp", w.address)
						if err != nil {
							t.Error(err)
							return
						}
						markedClient(t, raw.(*net.TCPConn), c.over(raw), r, tokens, &served)
						_ = raw.Close()
					}
				})
			}
			for n := 0; served.Load() < enough && !t.Failed(); n++ {
				w.publish(t.Context(), strings.ReplaceAll(text, "ttl: 20ms", "ttl: "+strconv.Itoa(20+n/4%3)+"ms"))
				time.Sleep(10 * time.Millisecond) // the tempo
			}
			wg.Wait()
			eventually(t, "gone", func() bool { return w.server.Connections() == 0 })
		})
	}
}

// markedClient asks for this and that on one connection, and sees that what comes is what
// it asked for.
func markedClient(t *testing.T, raw *net.TCPConn, c net.Conn, r *rand.Rand, tokens []string, served *atomic.Int64) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	br := bufio.NewReader(c)
	for range 30 {
		pipelined := 1
		if r.IntN(8) == 0 {
			pipelined = 3
		}
		var text strings.Builder
		var want, methods []string
		for range pipelined {
			kind := []string{"small", "small", "small", "big", "chunks", "slow", "fails"}[r.IntN(7)]
			route := []string{"open", "shared", "own"}[r.IntN(3)]
			user := r.IntN(len(tokens))
			mark := r.IntN(1000)
			if route != "open" {
				mark = r.IntN(10)
			}
			method := []string{"GET", "GET", "GET", "HEAD", "POST"}[r.IntN(5)]
			target := fmt.Sprintf("/%s/%s/%d", route, kind, mark)
			fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: m%d.gate.test\r\nX-Mark: mark-%d\r\nX-Pad: %s\r\n", method, target, mark, mark, strings.Repeat("~", r.IntN(300)))
			line := target + " \n"
			if route == "own" {
				fmt.Fprintf(&text, "Authorization: Bearer %s\r\n", tokens[user])
				line = fmt.Sprintf("%s user_%d\n", target, user)
			}
			switch {
			case method == "POST" && r.IntN(2) == 0:
				text.WriteString("Content-Length: 5\r\n\r\nhello")
			case r.IntN(4) == 0:
				text.WriteString("Connection: x-none\r\n\r\n")
			default:
				text.WriteString("\r\n")
			}
			want, methods = append(want, line), append(methods, method)
		}
		all := text.String()
		if r.IntN(6) == 0 { // in two pieces
			at := r.IntN(len(all))
			if _, err := io.WriteString(c, all[:at]); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			all = all[at:]
		}
		if _, err := io.WriteString(c, all); err != nil {
			t.Errorf("write: %v", err)
			return
		}
		if r.IntN(25) == 0 {
			if r.IntN(2) == 0 {
				_ = raw.SetLinger(0)
			}
			if r.IntN(2) == 0 {
				_, _ = br.ReadByte()
			}
			return
		}
		for i, line := range want {
			resp, err := http.ReadResponse(br, &http.Request{Method: methods[i]})
			if err != nil {
				t.Errorf("answer to %q: %v", text.String(), err)
				return
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Errorf("body: %v", err)
				return
			}
			if methods[i] != "HEAD" && strings.Repeat(line, len(body)/len(line)) != string(body) || methods[i] != "HEAD" && len(body) == 0 {
				t.Errorf("%s %q: %d %.300q", methods[i], line, resp.StatusCode, body)
				return
			}
			served.Add(1)
			if resp.Close {
				t.Errorf("closed after %q", line)
				return
			}
		}
	}
}
