package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// streamWorld has an upstream that begins an answer and ends it when end is
// closed.
func streamWorld(t *testing.T, end chan bool) *world {
	t.Helper()
	w := newWorld(t, settings(`
routes:
  - {id: open, match: {path: "/open/{rest...}"}, anonymous: true, upstream: backend}
`))
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "one ")
		_ = http.NewResponseController(rw).Flush()
		<-end
		_, _ = io.WriteString(rw, "two")
	})
	return w
}

// neverParks gives another server before the world's gate, whose connections
// rest where they are, and a connection to it.
func (w *world) neverParks() (*Server, *net.TCPConn) {
	w.t.Helper()
	ln, err := Listen("127.0.0.1:0", false)
	if err != nil {
		w.t.Fatal(err)
	}
	s := NewServer(w.gate, OptionsOf(&w.gate.Current().Config.Server), slog.New(slog.DiscardHandler))
	s.grace, s.lot.after = 10*time.Millisecond, 0
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln, false) }()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			w.t.Error(err)
		}
	})
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return s, c.(*net.TCPConn)
}

// TestShutdownAfterStream ends a connection whose answer streamed when the
// shutdown began as soon as it is out: nobody told the client to close it.
func TestShutdownAfterStream(t *testing.T) {
	for name, field := range map[string]string{"express": "", "transport": "Connection: x-none\r\n"} {
		t.Run(name, func(t *testing.T) {
			end := make(chan bool)
			w := streamWorld(t, end)
			server, c := w.neverParks() // or else it would end when it is to be parked
			if _, err := io.WriteString(c, "GET /open/x HTTP/1.1\r\nHost: gate.test\r\n"+field+"\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- server.Shutdown(ctx) }()
			eventually(t, "those that rest are closed", func() bool { return server.h1.retired.Load() })
			server.watcher.retire() // once more, since this test cannot see when that is done
			close(end)
			if rest, err := io.ReadAll(resp.Body); string(rest) != "two" || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			if err := <-done; err != nil {
				t.Errorf("shutdown: %v", err)
			}
		})
	}
}
