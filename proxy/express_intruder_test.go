package proxy

import (
	"bufio"
	"context"
	"io"
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

// TestShutdownAfterStream ends a connection whose answer streamed when the
// shutdown began as soon as it is out: nobody told the client to close it.
func TestShutdownAfterStream(t *testing.T) {
	for name, field := range map[string]string{"express": "", "transport": "Connection: x-none\r\n"} {
		t.Run(name, func(t *testing.T) {
			end := make(chan bool)
			w := streamWorld(t, end)
			w.server.grace = 10 * time.Millisecond
			w.server.lot.after = 0 // or else the connection would end when it is to be parked
			c := w.open()
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
			go func() { done <- w.server.Shutdown(ctx) }()
			eventually(t, "those that rest are closed", func() bool { return w.server.h1.retired.Load() })
			w.server.watcher.retire() // once more, since this test cannot see when that is done
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
