package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// roundabout is a client whose requests do not take the express way: each
// says something of its connection.
var roundabout = &http.Client{
	Transport: &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return talkative{c}, err
		},
	},
	CheckRedirect: client.CheckRedirect,
	Timeout:       client.Timeout,
}

type talkative struct{ net.Conn }

func (c talkative) Write(b []byte) (int, error) {
	_, err := c.Conn.Write(bytes.Replace(b, []byte(" HTTP/1.1\r\n"), []byte(" HTTP/1.1\r\nConnection: x-none\r\n"), 1))
	return len(b), err
}

// expressWorld has an upstream that answers the given text, and a route that
// forwards and one that is cached.
func expressWorld(t testing.TB, server string, answer func(path string) string) *world {
	t.Helper()
	url := rawBackend(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		text := answer(req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:])
		if req.Method == "HEAD" {
			head, _, _ := strings.Cut(text, "\r\n\r\n")
			text = head + "\r\n\r\n"
		}
		_, _ = io.WriteString(c, text)
	})
	return newWorldWith(t, strings.Replace(settings(`
routes:
  - {id: forwarded, match: {path: "/forwarded/{kind}"}, anonymous: true, upstream: backend}
  - {id: cached, match: {path: "/cached/{kind}"}, anonymous: true, upstream: backend, cache: {ttl: 1h, scope: public}}
`), `server: {listen: "127.0.0.1:0"}`, "server: {"+server+"}", 1), map[string]string{"BACKEND": url})
}

// answered is what a client saw of an answer, without what differs from one
// to the next.
func answered(t *testing.T, c *http.Client, method, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	for _, name := range []string{"X-Request-Id", "Server-Timing", "Date", "Age", "Cache-Status"} {
		resp.Header.Del(name)
	}
	return fmt.Sprintf("%d %d %v %v %s\n%d bytes, %v: %.20q", resp.StatusCode, resp.ContentLength, resp.TransferEncoding, resp.Close, headerText(resp.Header), len(body), err, body)
}

const framed = "HTTP/1.1 200 OK\r\nX-Odd: a\r\nx-odd: b\r\nSet-Cookie: a=b; Path=/; SameSite=Lax\r\nSet-Cookie: c=\"d\"\r\nContent-Type: text/plain; charset=utf-8\r\n"

func sizedAnswer(n int) string {
	return framed + "Content-Length: " + strconv.Itoa(n) + "\r\n\r\n" + strings.Repeat("0123456789abcdef", n/16+1)[:n]
}

// TestBothWays gives the same answer on the express way and by the transport.
func TestBothWays(t *testing.T) {
	answers := map[string]string{
		"empty": sizedAnswer(0), "small": sizedAnswer(1000), "one-write": sizedAnswer(oneWrite), "two-writes": sizedAnswer(oneWrite + 1), "large": sizedAnswer(300_000),
		"none": "HTTP/1.1 204 No Content\r\nX-Odd: a\r\n\r\n", "unchanged": "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
		"moved": "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "odd": "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi",
		"chunks":  framed + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"many":    framed + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n", 20) + "0\r\n\r\n",
		"to-end":  framed + "\r\nuntil the end",
		"broken":  framed + "Content-Length: 400000\r\n\r\n" + strings.Repeat("x", 6*relayPart),
		"broken2": framed + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n", 20),
	}
	cert := certificateFor(t, t.TempDir(), "gate.test")
	for name, server := range map[string]string{"clear": loopback, "TLS": tlsSettings(cert, "")} {
		w := expressWorld(t, server, func(kind string) string { return answers[kind] })
		base := "http://" + w.address
		express, other := client, roundabout
		if name == "TLS" {
			base = "https://" + w.address
			settings := &tls.Config{ServerName: "gate.test", RootCAs: cert.pool}
			express = &http.Client{Transport: &http.Transport{DisableCompression: true, TLSClientConfig: settings}, CheckRedirect: client.CheckRedirect}
			other = &http.Client{Transport: &http.Transport{DisableCompression: true, DialTLSContext: func(_ context.Context, network, address string) (net.Conn, error) {
				c, err := tls.Dial(network, address, settings)
				return talkative{c}, err
			}}, CheckRedirect: client.CheckRedirect}
			t.Cleanup(express.CloseIdleConnections)
			t.Cleanup(other.CloseIdleConnections)
		}
		for kind := range answers {
			for _, method := range []string{"GET", "HEAD"} {
				for _, route := range []string{"/forwarded/", "/cached/"} {
					if route == "/cached/" && strings.HasPrefix(kind, "broken") {
						continue // it may be known before the head goes out
					}
					for n := range 2 { // from the cache the second time
						a, b := answered(t, express, method, base+route+kind), answered(t, other, method, base+route+kind)
						if a != b {
							t.Errorf("%s: %s %s%s (%d) on the express way:\n%s\nby the transport:\n%s", name, method, route, kind, n, a, b)
						}
					}
				}
			}
		}
	}
}

// TestWays sends what is usual the express way, and the rest not. The
// transport writes field names its own way, by which they are told apart.
func TestWays(t *testing.T) {
	w := expressWorld(t, loopback, func(string) string { return sizedAnswer(5) })
	const get, host = "GET /forwarded/x HTTP/1.1\r\n", "Host: gate.test\r\n"
	for name, c := range map[string]struct {
		request string
		express bool
	}{
		"usual":     {get + host + "\r\n", true},
		"a head":    {"HEAD /forwarded/x HTTP/1.1\r\n" + host + "\r\n", true},
		"kept":      {get + host + "Connection: keep-alive\r\n\r\n", true},
		"closed":    {get + host + "Connection: close\r\n\r\n", false},
		"pipelined": {get + host + "\r\n" + get + host + "\r\n", false},
		"a body":    {"GET /forwarded/x HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi", false},
		"HTTP/1.0":  {"GET /forwarded/x HTTP/1.0\r\n" + host + "\r\n", false},
	} {
		conn := w.open()
		for range 3 {
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			var raw bytes.Buffer
			br := bufio.NewReader(io.TeeReader(conn, &raw))
			for range strings.Count(c.request, " HTTP/") {
				resp, err := http.ReadResponse(br, &http.Request{Method: c.request[:strings.Index(c.request, " ")]})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
					t.Fatalf("%s: %v, %v", name, resp.Status, err)
				}
			}
			if got := strings.Contains(raw.String(), "\r\nx-odd: b"); got != c.express {
				t.Errorf("%s: on the express way: %v\n%s", name, got, &raw)
			}
			if name == "closed" || name == "HTTP/1.0" {
				break
			}
		}
	}
}

// TestClosedWhileAnswering closes a connection while its request is served:
// the answer goes out first.
func TestClosedWhileAnswering(t *testing.T) {
	asked, release := make(chan bool), make(chan bool)
	w := expressWorld(t, loopback, func(string) string {
		asked <- true
		<-release
		return sizedAnswer(5)
	})
	c := w.open()
	if _, err := io.WriteString(c, "GET /forwarded/x HTTP/1.1\r\nHost: gate.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	w.server.watcher.mu.Lock()
	for c := range w.server.watcher.conns {
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		c.retire()
	}
	w.server.watcher.mu.Unlock()
	close(release)
	br := bufio.NewReader(c)
	if resp := nextAnswer(t, br); resp == nil || resp.StatusCode != 200 {
		t.Fatalf("no answer: %v", resp)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("the connection is not closed: %v", err)
	}
	eventually(t, "gone", func() bool { return w.server.Connections() == 0 })
}

// TestShutdownOfUsed does not wait for connections that rest, new as they may
// be to the transport.
func TestShutdownOfUsed(t *testing.T) {
	for _, way := range []*http.Client{client, roundabout} {
		w := expressWorld(t, loopback, func(string) string { return sizedAnswer(5) })
		w.server.grace = 10 * time.Millisecond
		answered(t, way, "GET", w.url+"/forwarded/x")
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		if err := w.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// TestShutdownUnderLoad ends connections with their answers: each client gets
// one for every request that it sent on a connection that was not ended.
func TestShutdownUnderLoad(t *testing.T) {
	w := expressWorld(t, loopback, func(string) string { return sizedAnswer(2000) })
	var served, lost atomic.Int64
	done := make(chan bool, 8)
	for i := range 8 {
		go func() {
			defer func() { done <- true }()
			c, err := net.Dial("tcp", w.address)
			if err != nil {
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			br := bufio.NewReader(c)
			for {
				request := "GET /cached/x HTTP/1.1\r\nHost: gate.test\r\n\r\n"
				if i%2 == 1 {
					request = "GET /cached/x HTTP/1.1\r\nHost: gate.test\r\nConnection: x-none\r\n\r\n"
				}
				if _, err := io.WriteString(c, request); err != nil {
					lost.Add(1)
					return
				}
				resp := nextAnswer(t, br)
				if resp == nil {
					lost.Add(1)
					return
				}
				served.Add(1)
				if resp.Close {
					return
				}
			}
		}()
	}
	eventually(t, "under load", func() bool { return served.Load() > 1000 })
	if err := w.server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for range 8 {
		<-done
	}
	if n := lost.Load(); n > 0 {
		t.Errorf("%d requests were lost", n)
	}
}

// TestDate writes the date of the moment, whatever was asked for before.
func TestDate(t *testing.T) {
	var d date
	at := time.Date(2026, 1, 2, 3, 4, 5, 999, time.UTC)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "Fri, 02 Jan 2026 03:04:05 GMT"}, {time.Second - 1000, "Fri, 02 Jan 2026 03:04:05 GMT"},
		{time.Second, "Fri, 02 Jan 2026 03:04:06 GMT"}, {-time.Hour, "Fri, 02 Jan 2026 02:04:05 GMT"},
	} {
		for range 2 {
			if got := string(d.of(at.Add(c.after).In(time.FixedZone("", 3600)))); got != c.want {
				t.Errorf("%v: %q, want %q", c.after, got, c.want)
			}
		}
	}
}
