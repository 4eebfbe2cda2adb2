package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	h2 "golang.org/x/net/http2"
)

// hasty has short deadlines.
const hasty = loopback + `, h2c: true, read_timeout: 400ms, write_timeout: 400ms, idle_timeout: 400ms`

// h2cClient speaks HTTP/2 with prior knowledge.
func h2cClient(t testing.TB) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c := &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}, Timeout: 20 * time.Second}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// drip gives text a byte at a time.
type drip struct {
	left  string
	every time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == "" {
		return 0, io.EOF
	}
	time.Sleep(d.every) // the point of it
	n := copy(p[:1], d.left)
	d.left = d.left[n:]
	return n, nil
}

// TestSlowClients cuts clients that stop, and none that is only slow.
func TestSlowClients(t *testing.T) {
	w := edgeWorld(t, hasty)
	timeout := func(name string, c net.Conn) {
		t.Helper()
		started := time.Now()
		r := bufio.NewReader(c)
		resp := nextAnswer(t, r)
		if resp == nil {
			t.Errorf("%s: no answer", name)
			return
		}
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 408 || !resp.Close || !strings.Contains(string(b), `"reason":"request_timeout"`) || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %v %s", name, resp.Status, resp.Header, b)
		}
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the answer: %v", name, err)
		}
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%s: cut after %v", name, took)
		}
	}
	t.Run("head", func(t *testing.T) {
		c := w.open()
		_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHo")
		timeout("stopped", c)
	})
	t.Run("dripping head", func(t *testing.T) {
		c := w.open()
		go func() { _, _ = io.Copy(c, &drip{strings.Repeat("x", 1000), 50 * time.Millisecond}) }()
		_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: gate.test\r\nX: ")
		timeout("dripping", c)
	})
	t.Run("after a pause", func(t *testing.T) {
		// The deadline of the first answer is over when the second is written.
		patient := edgeWorld(t, loopback+", write_timeout: 200ms")
		for name, next := range map[string]string{
			"malformed": "GET /x HTTP/1.1\r\n\r\n",
			"Expect":    "POST /x HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
			"good":      plainGet,
		} {
			c := patient.open()
			if resp := answerTo(t, c, plainGet); resp == nil {
				t.Fatal("no answer")
			}
			time.Sleep(300 * time.Millisecond) // the pause
			if resp := answerTo(t, c, next); resp == nil {
				t.Errorf("%s: no answer", name)
			}
		}
	})
	t.Run("second head", func(t *testing.T) {
		c := w.open()
		if resp := answerTo(t, c, plainGet); resp == nil {
			t.Fatal("no answer")
		}
		_, _ = io.WriteString(c, "G")
		timeout("stopped", c)
	})
	t.Run("body", func(t *testing.T) {
		c := w.open()
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 10\r\n\r\n12345")
		timeout("stopped", c)
		c = w.open()
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123")
		timeout("stopped in a chunk", c)
	})
	t.Run("idle", func(t *testing.T) {
		for _, first := range []string{"", plainGet} {
			c := w.open()
			if first != "" {
				if resp := answerTo(t, c, first); resp == nil {
					t.Fatal("no answer")
				}
			}
			if !silentEnd(t, c) {
				t.Errorf("after %q: not closed in silence", first)
			}
		}
	})
	t.Run("steady upload", func(t *testing.T) {
		text := "slow but steady!"
		for name, client := range map[string]*http.Client{"HTTP/1.1": client, "HTTP/2": h2cClient(t)} {
			req, err := http.NewRequest("POST", w.url+"/up", &drip{text, 60 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_ = resp.Body.Close()
			if got := w.backend.last(t); resp.StatusCode != 200 || got.body != text {
				t.Errorf("%s: %s, the backend got %q", name, resp.Status, got.body)
			}
		}
	})
	t.Run("stopped upload over HTTP/2", func(t *testing.T) {
		body, end := io.Pipe()
		defer end.Close()
		go func() { _, _ = io.WriteString(end, "12345") }()
		resp, err := h2cClient(t).Post(w.url+"/up", "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 408 || !strings.Contains(string(b), `"reason":"request_timeout"`) {
			t.Errorf("%s %s", resp.Status, b)
		}
	})
	t.Run("steady download", func(t *testing.T) {
		w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
			for range 14 {
				_, _ = io.WriteString(rw, "data: 1\n\n")
				_ = http.NewResponseController(rw).Flush()
				time.Sleep(60 * time.Millisecond) // the point of it
			}
		})
		for name, client := range map[string]*http.Client{"HTTP/1.1": client, "HTTP/2": h2cClient(t)} {
			resp, err := client.Get(w.url + "/down")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || len(b) != 14*9 {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
		}
	})
	t.Run("silent stream", func(t *testing.T) {
		w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, "data: 1\n\n")
			_ = http.NewResponseController(rw).Flush()
			time.Sleep(time.Second) // longer than every deadline of the listener
			_, _ = io.WriteString(rw, "data: 2\n\n")
		})
		for name, client := range map[string]*http.Client{"HTTP/1.1": client, "HTTP/2": h2cClient(t)} {
			resp, err := client.Get(w.url + "/down")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || len(b) != 2*9 {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
		}
	})
	t.Run("no reader", func(t *testing.T) {
		left := make(chan error, 2)
		w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
			part := make([]byte, 64<<10)
			for {
				if _, err := rw.Write(part); err != nil {
					left <- err
					return
				}
			}
		})
		one := w.open()
		_, _ = io.WriteString(one, plainGet)
		two, err := h2cClient(t).Get(w.url + "/down")
		if err != nil {
			t.Fatal(err)
		}
		defer two.Body.Close()
		for range 2 {
			select {
			case <-left:
			case <-time.After(10 * time.Second):
				t.Fatal("an upstream connection is held for a client that does not read")
			}
		}
	})
}

// TestShutdown lets every kind of connection end well.
func TestShutdown(t *testing.T) {
	w := newWorld(t, strings.Replace(socketSettings(), `server: {listen: "127.0.0.1:0"}`, `server: {listen: "127.0.0.1:0", h2c: true}`, 1))
	w.server.grace = 500 * time.Millisecond
	hold := make(chan struct{})
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/socket/"):
			echo(t)(rw, r)
		case r.Header.Get("X-Hold") != "":
			<-hold
		}
	})
	const get = "GET /plain HTTP/1.1\r\nHost: gate.test\r\n\r\n"
	idle, used, busy, fresh := w.open(), w.open(), w.open(), w.open()
	for _, c := range []net.Conn{idle, used, busy} {
		if resp := answerTo(t, c, get); resp == nil || resp.Close {
			t.Fatalf("%v", resp)
		}
	}
	_, _ = io.WriteString(busy, "GET /plain HTTP/1.1\r\nHost: gate.test\r\nX-Hold: 1\r\n\r\n")
	eventually(t, "held", func() bool { return w.backend.hits.Load() == 4 })
	socket, _, err := w.dial(t, "/socket/alice", http.Header{"Authorization": {"Bearer " + w.token(claims{"sub": "alice"})}})
	if err != nil {
		t.Fatal(err)
	}
	streams := w.open()
	_, _ = io.WriteString(streams, h2.ClientPreface)
	framer := h2.NewFramer(streams, streams)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if f, err := framer.ReadFrame(); err != nil || f.Header().Type != h2.FrameSettings {
		t.Fatalf("%v, %v", f, err)
	}

	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done <- w.server.Shutdown(ctx)
	}()
	eventually(t, "draining", w.server.draining.Load)
	// What was on its way is served, and told that the connection ends.
	for name, c := range map[string]net.Conn{"a kept-alive connection": used, "a connection that was just accepted": fresh} {
		if resp := answerTo(t, c, get); resp == nil || resp.StatusCode != 200 || !resp.Close {
			t.Errorf("%s: %v", name, resp)
		} else if !silentEnd(t, c) {
			t.Errorf("%s is not closed", name)
		}
	}
	if !silentEnd(t, idle) {
		t.Error("the idle connection is not closed in silence")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var ended websocket.CloseError
	if _, _, err := socket.Read(ctx); !errors.As(err, &ended) || ended.Code != websocket.StatusGoingAway {
		t.Errorf("WebSocket: %v", err)
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Errorf("no GOAWAY: %v", err)
			break
		}
		if g, ok := f.(*h2.GoAwayFrame); ok {
			if g.ErrCode != h2.ErrCodeNo {
				t.Errorf("GOAWAY with %v", g.ErrCode)
			}
			break
		}
	}
	select {
	case err := <-done:
		t.Fatalf("shut down (%v) while a request was open", err)
	default:
	}
	close(hold)
	if resp := nextAnswer(t, bufio.NewReader(busy)); resp == nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("the open request: %v", resp)
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if n := w.server.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestShutdownWhileGreeting serves connections that were accepted but had
// not ended their TLS handshake when the drain began.
func TestShutdownWhileGreeting(t *testing.T) {
	cert := certificateFor(t, t.TempDir(), "gate.test")
	w := edgeWorld(t, tlsSettings(cert, ""))
	w.server.grace = 2 * time.Second
	var conns []net.Conn
	for range 4 {
		conns = append(conns, w.open())
	}
	eventually(t, "accepted", func() bool { return w.server.Connections() == len(conns) })
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(context.Background()) }()
	eventually(t, "draining", w.server.draining.Load)
	for i, c := range conns {
		secure := tls.Client(c, &tls.Config{ServerName: "gate.test", RootCAs: cert.pool})
		if resp := answerTo(t, secure, plainGet); resp == nil || resp.StatusCode != 200 || !resp.Close {
			t.Errorf("%d: %v", i, resp)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestShutdownDeadline ends although a request does not.
func TestShutdownDeadline(t *testing.T) {
	w := edgeWorld(t, loopback)
	hold := make(chan struct{})
	w.backend.will(func(http.ResponseWriter, *http.Request) { <-hold })
	c := w.open()
	_, _ = fmt.Fprint(c, plainGet)
	eventually(t, "held", func() bool { return w.backend.hits.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := w.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(hold)
}
