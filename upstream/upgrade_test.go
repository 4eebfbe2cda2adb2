package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// TestUpgrade talks another protocol over a connection that then belongs to
// nobody else.
func TestUpgrade(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	handle := func(c net.Conn, n int) {
		br := bufio.NewReader(c)
		for {
			q, _, err := readRequest(br)
			if err != nil {
				return
			}
			if q.Header.Get("Upgrade") == "" {
				io.WriteString(c, okAnswer)
				continue
			}
			if q.Header.Get("Upgrade") != "websocket" || q.Header.Get("Connection") != "Upgrade" {
				t.Errorf("fields: %v", q.Header)
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
			io.Copy(c, br)
			return
		}
	}
	clear, secure := serve(t, handle), serveTLS(t, tlsConfig(cert), handle)
	for name, p := range map[string]*Pool{
		"clear":  newPool(t, func(u *config.Upstream) { u.Timeout = 200 * time.Millisecond }, clear.url()),
		"secure": newPool(t, func(u *config.Upstream) { u.Timeout, u.TLS.CAFile = 200*time.Millisecond, a.file }, secure.secureURL()),
	} {
		t.Run(name, func(t *testing.T) {
			do(t, p, get("/"))
			var r Response
			ctx, cancel := context.WithCancel(context.Background())
			c, err := p.Upgrade(ctx, "websocket", get("/ws"), &r)
			if err != nil || c == nil {
				t.Fatalf("Upgrade: %v, %v", c, err)
			}
			if v, _ := r.Field("Sec-WebSocket-Accept"); r.Status() != 101 || string(v) != "x" || r.Stream() != nil || len(r.Body()) != 0 {
				t.Errorf("the answer is %d with %q", r.Status(), fieldsOf(&r))
			}
			r.Release()
			cancel() // bounds the exchange, not what follows
			for _, want := range []string{"hello", "world", "again"} {
				b := make([]byte, len(want))
				if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
					t.Errorf("read %q, %v; want %q", b, err, want)
				}
				switch want {
				case "hello":
					io.WriteString(c, "world")
				case "world":
					time.Sleep(300 * time.Millisecond) // longer than the exchange might take
					io.WriteString(c, "again")
				}
			}
			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
				t.Errorf("Read with the caller's deadline: %v", err)
			}
			if open, idle := p.counts(); open != 1 || idle != 0 {
				t.Errorf("%d open, %d idle; want the one upgraded", open, idle)
			}
			c.Close()
			c.Close()
			if open, _ := p.counts(); open != 0 {
				t.Errorf("%d connections are open", open)
			}
			if _, body, _ := do(t, p, get("/")); body != "ok" {
				t.Errorf("got %q", body)
			}
		})
	}
}

// TestUpgradeRefused gives the upstream's other answers like any.
func TestUpgradeRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string
		status int
		err    error
	}{
		{"answered", okAnswer, 200, nil},
		{"refused", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 403, nil},
		{"other protocol", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 0, ErrInvalid},
		{"two protocols", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n", 0, ErrInvalid},
		{"no protocol", "HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n", 0, ErrInvalid},
		{"no connection option", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", 0, ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, answering(c.answer))
			p := newPool(t, nil, s.url())
			var r Response
			conn, err := p.Upgrade(context.Background(), "websocket", get("/"), &r)
			if conn != nil || !errors.Is(err, c.err) || r.Status() != c.status {
				t.Errorf("got %v, %v, status %d", conn, err, r.Status())
			}
			r.Release()
			if _, idle := p.counts(); (idle == 1) != (c.err == nil) {
				t.Errorf("%d idle connections", idle)
			}
		})
	}
	p := newPool(t, nil, closedPort(t))
	for _, protocol := range []string{"", "web socket", "a/", "a\r\nb", "a, b"} {
		if _, err := p.Upgrade(context.Background(), protocol, get("/"), new(Response)); !errors.Is(err, ErrInvalid) {
			t.Errorf("protocol %q: %v", protocol, err)
		}
	}
	for _, q := range []*Request{{Method: "POST", Target: []byte("/"), Body: []byte("x")}, {Method: "POST", Target: []byte("/"), Stream: strings.NewReader("x")}} {
		if _, err := p.Upgrade(context.Background(), "websocket", q, new(Response)); !errors.Is(err, ErrInvalid) {
			t.Errorf("with a body: %v", err)
		}
	}
}
