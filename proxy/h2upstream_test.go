package proxy

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// h2World runs a gate in front of a backend that speaks HTTP/2 in the clear.
func h2World(t *testing.T, h http.HandlerFunc) *world {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return newWorld(t, strings.Replace(edgeSettings(loopback+", h2c: true"), `endpoints: "${BACKEND}"`, `protocol: h2c
    endpoints: "`+s.URL+`"`, 1))
}

// TestLeavingFreesHTTP2 has clients of HTTP/1.1 leave while an upstream of
// HTTP/2 is waited for, before its head, in its body, and while they send.
func TestLeavingFreesHTTP2(t *testing.T) {
	arrived, left := make(chan bool, 1), make(chan bool, 1)
	w := h2World(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- true
		<-r.Context().Done()
		left <- true
	})
	for name, request := range map[string]string{
		"head":   "GET /head HTTP/1.1\r\nHost: gate.test\r\n\r\n",
		"body":   "GET /body HTTP/1.1\r\nHost: gate.test\r\n\r\n",
		"upload": "POST /upload HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
	} {
		c := w.open()
		io.WriteString(c, request)
		<-arrived
		started := time.Now()
		c.Close()
		select {
		case <-left:
			if took := time.Since(started); took > time.Second {
				t.Errorf("%s: the stream was freed after %v", name, took)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the stream is still open", name)
		}
	}
}

// TestEarlyAnswerOverHTTP2 gives an answer to a client that still sends.
func TestEarlyAnswerOverHTTP2(t *testing.T) {
	w := h2World(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		io.WriteString(w, "enough")
	})
	c := w.open()
	io.WriteString(c, "POST /x HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 413 || string(b) != "enough" || err != nil {
		t.Errorf("%d %q, %v", resp.StatusCode, b, err)
	}
}

// TestEventsOverHTTP2 passes the head and each event on at once.
func TestEventsOverHTTP2(t *testing.T) {
	step := make(chan bool)
	w := h2World(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		control := http.NewResponseController(w)
		_ = control.Flush()
		for <-step {
			io.WriteString(w, "data: x\n\n")
			_ = control.Flush()
		}
	})
	for name, client := range map[string]*http.Client{"HTTP/1.1": client, "HTTP/2": h2cClient(t)} {
		resp, err := client.Get(w.url + "/events")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 9)
		for range 3 {
			step <- true
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "data: x\n\n" {
				t.Fatalf("%s: %q, %v", name, b, err)
			}
		}
		step <- false
		if n, err := resp.Body.Read(b); n > 0 || err != io.EOF {
			t.Errorf("%s: %d, %v at the end", name, n, err)
		}
		resp.Body.Close()
	}
}
