package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hammer sends requests over kept-alive connections without a pause, and
// without the second chances that Go's client gives: a request that gets no
// whole answer of 200 has failed, also where the gate closed the connection
// before.
type hammer struct {
	address func() (string, bool) // where the next connection goes
	token   string

	stop     chan struct{}
	wg       sync.WaitGroup
	done     atomic.Int64
	opened   atomic.Int64 // connections
	mu       sync.Mutex
	failures []string
}

// strike begins: n connections at a time.
func strike(n int, token string, address func() (string, bool)) *hammer {
	h := &hammer{address: address, token: token, stop: make(chan struct{})}
	for i := range n {
		h.wg.Go(func() {
			for !h.over() {
				if err := h.connection(i); err != nil {
					h.mu.Lock()
					h.failures = append(h.failures, err.Error())
					h.mu.Unlock()
				}
			}
		})
	}
	return h
}

func (h *hammer) over() bool {
	select {
	case <-h.stop:
		return true
	default:
		return false
	}
}

// connection uses one connection until the gate says that it ends.
func (h *hammer) connection(i int) error {
	address, ok := h.address()
	if !ok {
		time.Sleep(time.Millisecond)
		return nil
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	h.opened.Add(1)
	r := bufio.NewReader(c)
	for n := 0; !h.over(); n++ {
		_ = c.SetDeadline(time.Now().Add(patience))
		body := ""
		if (n+i)%3 == 0 {
			body = "some body"
		}
		method := map[bool]string{true: "GET", false: "POST"}[body == ""]
		if _, err := fmt.Fprintf(c, "%s /x HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", method, h.token, len(body), body); err != nil {
			return fmt.Errorf("request %d of a connection: %w", n, err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return fmt.Errorf("request %d of a connection: %w", n, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			return fmt.Errorf("request %d of a connection: %s %s, %w", n, resp.Status, b, err)
		}
		h.done.Add(1)
		if resp.Close {
			return nil
		}
	}
	return nil
}

// reached waits until n more requests have been answered.
func (h *hammer) reached(t *testing.T, n int64) {
	t.Helper()
	want := h.done.Load() + n
	waitFor(t, fmt.Sprintf("%d more requests are answered", n), func() bool { return h.done.Load() >= want })
}

// rest ends, and fails the test for every request that failed.
func (h *hammer) rest(t *testing.T) {
	t.Helper()
	close(h.stop)
	h.wg.Wait()
	t.Logf("%d requests over %d connections, %d failed", h.done.Load(), h.opened.Load(), len(h.failures))
	for i, f := range h.failures {
		if i == 10 {
			break
		}
		t.Errorf("failed: %s", f)
	}
}
