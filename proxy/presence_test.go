package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDeparture frees the upstream connection of a client that leaves, while
// its request waits and while its answer streams.
func TestDeparture(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: wait
    match: {path: /wait}
    anonymous: true
    upstream: backend
  - id: events
    match: {path: /events}
    anonymous: true
    upstream: backend
`))
	left := make(chan string, 2)
	came := make(chan string, 2)
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			rw.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(rw, "data: 1\n\n")
			_ = http.NewResponseController(rw).Flush()
		}
		came <- r.URL.Path
		select {
		case <-r.Context().Done():
			left <- r.URL.Path
		case <-time.After(10 * time.Second):
			left <- "nobody"
		}
	})
	for _, path := range []string{"/wait", "/events"} {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: g\r\n\r\n", path)
		if path == "/events" {
			// The head and the first event come at once, not with the second.
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			event := make([]byte, 9)
			if _, err := io.ReadFull(resp.Body, event); err != nil || string(event) != "data: 1\n\n" {
				t.Errorf("event %q, %v", event, err)
			}
		}
		<-came
		started := time.Now()
		c.Close()
		if who := <-left; who != path {
			t.Errorf("%s: %s left", path, who)
		}
		t.Logf("%s: noticed after %v", path, time.Since(started))
	}
	eventually(t, "recorded", func() bool {
		return w.metric(`hopgate_upstream_in_flight{upstream="backend"}`) == "0" &&
			w.metric(`hopgate_requests_total{decision="allow",reason="allowed_anonymous",route="events"}`) == "1"
	})
	log := w.logged()
	if strings.Count(log, `"path":"/wait"`) != 1 || strings.Count(log, `"path":"/events"`) != 1 {
		t.Errorf("each exchange is logged once:\n%s", log)
	}
	if !strings.Contains(log, `"reason":"client_gone"`) {
		t.Errorf("the log does not say that the client left:\n%s", log)
	}
}
