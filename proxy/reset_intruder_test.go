package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestResetOfRestingConnection takes the end of a connection for what it is,
// and not for another request.
func TestResetOfRestingConnection(t *testing.T) {
	for name, field := range map[string]string{"express": "", "transport": "Connection: x-none\r\n"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, settings(`
routes:
  - {id: open, match: {path: "/open/{rest...}"}, anonymous: true, upstream: backend}
`))
			server, c := w.neverParks()
			if _, err := io.WriteString(c, "GET /open/x HTTP/1.1\r\nHost: gate.test\r\n"+field+"\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			_ = c.SetLinger(0)
			_ = c.Close()
			eventually(t, "gone", func() bool { return server.Connections() == 0 })
			if log := w.logged(); strings.Count(log, "\n") != 1 {
				t.Errorf("logged:\n%s", log)
			}
		})
	}
}
