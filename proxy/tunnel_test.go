package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const socketRoutes = `
routes:
  - id: socket
    match: {path: "/socket/{user_id}"}
    allow: rules.is_self
    upstream: backend
    request: {headers: {X-User-Id: "{principal.user_id}"}}
    websocket: {max_connections: 2, idle_timeout: 10s}
  - id: plain
    match: {path: /plain}
    anonymous: true
    upstream: backend
cors: {origins: "https://app.example", credentials: true}
`

func socketSettings() string {
	return strings.Replace(settings(socketRoutes), "{cookie: session}]", "{cookie: session}, {websocket_protocol: bearer}]", 1)
}

// echo answers every message with itself, and tells a client "who" it is.
func echo(t *testing.T) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			t.Log(err)
			return
		}
		c.SetReadLimit(-1)
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(b) == "who" {
				b = []byte(r.Header.Get("X-User-Id") + " " + r.Header.Get("Sec-WebSocket-Protocol"))
			}
			if err := c.Write(r.Context(), kind, b); err != nil {
				return
			}
		}
	}
}

func (w *world) dial(t *testing.T, path string, h http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(w.url, "http")+path, &websocket.DialOptions{HTTPHeader: h, Subprotocols: protocols, CompressionMode: websocket.CompressionContextTakeover})
	if c != nil {
		c.SetReadLimit(-1)
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

func ask(t *testing.T, c *websocket.Conn, kind websocket.MessageType, text []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Write(ctx, kind, text); err != nil {
		t.Fatal(err)
	}
	_, b, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWebSocket(t *testing.T) {
	w := newWorld(t, socketSettings())
	w.backend.will(echo(t))
	alice := w.token(claims{"sub": "alice"})
	bearer := http.Header{"Authorization": {"Bearer " + alice}}
	c, _, err := w.dial(t, "/socket/alice", bearer, "chat")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(ask(t, c, websocket.MessageText, []byte("who"))); got != "alice chat" || c.Subprotocol() != "chat" {
		t.Errorf("%q, protocol %q", got, c.Subprotocol())
	}
	large := make([]byte, 3<<20)
	_, _ = rand.Read(large)
	if got := ask(t, c, websocket.MessageBinary, large); !bytes.Equal(got, large) {
		t.Errorf("%d bytes came back", len(got))
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("close: %v", err)
	}
	// The token between the subprotocols: neither goes on.
	c, resp, err := w.dial(t, "/socket/alice", http.Header{"Origin": {"https://app.example"}}, "bearer", alice, "chat")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(ask(t, c, websocket.MessageText, []byte("who"))); got != "alice chat" || resp.Header.Get("Sec-WebSocket-Protocol") != "chat" {
		t.Errorf("%q, answered %v", got, resp.Header)
	}
	_ = c.CloseNow()
	c, resp, err = w.dial(t, "/socket/alice", nil, "bearer", alice)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(ask(t, c, websocket.MessageText, []byte("who"))); got != "alice " || resp.Header.Get("Sec-WebSocket-Protocol") != "bearer" {
		t.Errorf("%q, answered %v", got, resp.Header)
	}
	_ = c.CloseNow()
	for name, h := range map[string]http.Header{
		"no token": {}, "another's": {"Authorization": {"Bearer " + w.token(claims{"sub": "bob"})}},
		"cookie from elsewhere": {"Cookie": {"session=" + alice}, "Origin": {"https://evil.example"}}, "cookie without proof": {"Cookie": {"session=" + alice}},
	} {
		before := w.backend.hits.Load()
		if _, resp, err := w.dial(t, "/socket/alice", h); err == nil || resp == nil || resp.StatusCode != 401 && resp.StatusCode != 403 || w.backend.hits.Load() != before {
			t.Errorf("%s: %v %v", name, resp, err)
		}
	}
	if c, _, err := w.dial(t, "/socket/alice", http.Header{"Cookie": {"session=" + alice}, "Origin": {"https://app.example"}}); err != nil {
		t.Errorf("cookie from the app: %v", err)
	} else {
		_ = c.CloseNow()
	}
	// Where the route has no WebSockets the request is a plain one.
	w.backend.will(nil)
	if _, resp, _ := w.dial(t, "/plain", nil); resp == nil || resp.StatusCode != 200 {
		t.Errorf("plain route: %v", resp)
	}
	if got := w.backend.last(t).header; got.Get("Upgrade") != "" {
		t.Errorf("Upgrade went upstream: %v", got)
	}
	eventually(t, "all recorded", func() bool { return openTunnels(w) == 0 })
	if log := w.logged(); strings.Count(log, `"status":101`) != 4 || strings.Contains(log, alice[:20]) {
		t.Errorf("log:\n%s", log)
	}
}

func TestWebSocketLimitsAndExpiry(t *testing.T) {
	w := newWorld(t, socketSettings())
	w.backend.will(echo(t))
	soon := w.token(claims{"sub": "alice", "exp": time.Now().Add(2 * time.Second).Unix()})
	one, _, err := w.dial(t, "/socket/alice", http.Header{"Authorization": {"Bearer " + soon}})
	if err != nil {
		t.Fatal(err)
	}
	long := http.Header{"Authorization": {"Bearer " + w.token(claims{"sub": "alice"})}}
	two, _, err := w.dial(t, "/socket/alice", long)
	if err != nil {
		t.Fatal(err)
	}
	if _, resp, err := w.dial(t, "/socket/alice", long); err == nil || resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("a third: %v %v", resp, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var ended websocket.CloseError
	if _, _, err := one.Read(ctx); !errors.As(err, &ended) || ended.Code != websocket.StatusPolicyViolation {
		t.Errorf("after the token's expiry: %v", err)
	}
	if got := string(ask(t, two, websocket.MessageText, []byte("hi"))); got != "hi" {
		t.Errorf("the other one: %q", got)
	}
}

// TestWebSocketDrain tells both sides when the gate goes.
func TestWebSocketDrain(t *testing.T) {
	w := newWorld(t, socketSettings())
	sides := make(chan error, 1)
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, nil)
		if err != nil {
			return
		}
		_, _, err = c.Read(context.Background())
		sides <- err
	})
	c, _, err := w.dial(t, "/socket/alice", http.Header{"Authorization": {"Bearer " + w.token(claims{"sub": "alice"})}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done <- w.gate.tunnels.shutdown(ctx)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var ended websocket.CloseError
	if _, _, err := c.Read(ctx); !errors.As(err, &ended) || ended.Code != websocket.StatusGoingAway {
		t.Errorf("client: %v", err)
	}
	if err := <-sides; !errors.As(err, &ended) || ended.Code != websocket.StatusGoingAway {
		t.Errorf("upstream: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// TestFrames follows frames cut at any byte.
func TestFrames(t *testing.T) {
	var stream []byte
	add := func(head []byte, n int) { stream = append(append(stream, head...), make([]byte, n)...) }
	ends := map[int]bool{0: true}
	for _, c := range []struct {
		head []byte
		n    int
	}{{[]byte{0x81, 5}, 5}, {[]byte{0x82, 0x80 | 3, 1, 2, 3, 4}, 3}, {[]byte{0x82, 126, 1, 0}, 256}, {[]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}, 65536}, {[]byte{0x89, 0}, 0}, {closeFrame(1001, "x", true), 0}} {
		add(c.head, c.n)
		ends[len(stream)] = true
	}
	var f frames
	for i := range stream {
		if f.between() != ends[i] {
			t.Fatalf("after %d bytes: between is %v", i, f.between())
		}
		if f.closed && f.between() {
			t.Fatalf("closed after %d bytes", i)
		}
		f.feed(stream[i : i+1])
	}
	if !f.between() || !f.closed {
		t.Errorf("at the end: %+v", f)
	}
	var whole frames
	whole.feed(stream)
	if !whole.between() || !whole.closed {
		t.Errorf("in one: %+v", whole)
	}
}

// TestSameSiteOfSocketRoute asks, as explain does, without a transport.
func TestSameSiteOfSocketRoute(t *testing.T) {
	w := newWorld(t, socketSettings())
	s := w.gate.Current()
	r := s.Policy().Routes()[0]
	if r.Config.WebSocket == nil {
		t.Fatal("the first route has no WebSockets")
	}
	if !s.SameSite(r, "GET", "https", "gate.example", "", "") {
		t.Error("a plain GET needs proof of its origin")
	}
	if s.SameSite(r, "POST", "https", "gate.example", "https://evil.example", "") {
		t.Error("a POST from elsewhere does not")
	}
}
