package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// sizes gives the small or, with HOPGATE_SOAK (make soak), the whole size of
// a test.
func sizes(t *testing.T, small, whole int) int {
	t.Helper()
	if os.Getenv("HOPGATE_SOAK") != "" {
		return whole
	}
	t.Logf("%d in place of %d, which 'make soak' tests", small, whole)
	return small
}

// memory gives a value of the gate's process, in bytes: VmRSS, what is
// resident now, or VmHWM, the most that ever was.
func (g *gate) memory(name string) int {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		g.t.Skipf("there is no /proc here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				g.t.Fatal(err)
			}
			return kib << 10
		}
	}
	g.t.Fatalf("the process has no %s", name)
	return 0
}

// soakConfig is for long exchanges and many connections.
func soakConfig(upstream, server string) string {
	return strings.NewReplacer(
		"max_connections: 4000", "max_connections: 12000, timeout: 5m",
		"anonymous: true", "anonymous: true\n    max_body_bytes: 2GiB",
	).Replace(wireConfig(upstream, ", max_connections: 12000"+server))
}

// zeros gives n bytes, of which it holds none.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}

// TestLargeBodies passes bodies both ways that are larger than the memory it
// may take for them, with a backend that is slower than the client and with
// clients that are slower than the backend.
func TestLargeBodies(t *testing.T) {
	const most = 64 << 20
	size := int64(sizes(t, 96, 1024)) << 20
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.Method == http.MethodGet {
			n = size
			if r.URL.Path == "/length" {
				w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
			}
			_, _ = io.Copy(w, &zeros{n})
			return
		}
		_, _ = fmt.Fprint(w, n)
	}))
	t.Cleanup(backend.Close)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	two := &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}}
	one := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(two.CloseIdleConnections)
	t.Cleanup(one.CloseIdleConnections)
	for name, client := range map[string]*http.Client{"HTTP/1.1": one, "HTTP/2": two} {
		t.Run(name, func(t *testing.T) {
			g := serve(t, soakConfig(backend.URL, ", h2c: true"))
			for _, c := range []struct{ what, path string }{{"up, length", "/length"}, {"up, chunked", "/chunked"}, {"down, length", "/length"}, {"down, chunked", "/chunked"}} {
				started := time.Now()
				method, body, length := http.MethodGet, io.Reader(nil), int64(0)
				if strings.HasPrefix(c.what, "up") {
					method, body, length = http.MethodPost, &zeros{size}, -1
					if c.path == "/length" {
						length = size
					}
				}
				req, err := http.NewRequestWithContext(t.Context(), method, g.url+c.path, body)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = length
				resp, err := client.Do(req)
				if err != nil {
					t.Fatalf("%s: %v", c.what, err)
				}
				var n int64
				if method == http.MethodPost {
					_, err = fmt.Fscan(resp.Body, &n)
				} else {
					n, err = io.Copy(io.Discard, resp.Body)
				}
				_ = resp.Body.Close()
				if err != nil || n != size || resp.StatusCode != 200 {
					t.Errorf("%s: %s, %d of %d bytes, %v", c.what, resp.Status, n, size, err)
				}
				took := time.Since(started)
				t.Logf("%s: %d MiB in %.1f s, %.0f MiB/s; at most %.1f MiB resident so far", c.what, size>>20, took.Seconds(), float64(size>>20)/took.Seconds(), float64(g.memory("VmHWM"))/(1<<20))
			}
			if peak := g.memory("VmHWM"); peak > most {
				t.Errorf("%d MiB were resident, more than %d", peak>>20, most>>20)
			}
		})
	}
	// Eight at a time, on which nobody reads for a while.
	t.Run("back-pressure", func(t *testing.T) {
		g := serve(t, soakConfig(backend.URL, ", h2c: true"))
		var open []io.ReadCloser
		for range 8 {
			resp, err := one.Get(g.url + "/chunked")
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, resp.Body)
		}
		time.Sleep(500 * time.Millisecond) // what could pile up does so now
		if peak := g.memory("VmHWM"); peak > most {
			t.Errorf("%d MiB were resident, more than %d", peak>>20, most>>20)
		}
		for _, body := range open {
			_ = body.Close()
		}
	})
}

// crowd opens n connections, each by open, some at a time.
func crowd(t *testing.T, n int, open func() error) {
	t.Helper()
	todo := make(chan struct{})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range todo {
				if err := open(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range n {
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// dialer opens connections that end with the test.
func dialer(t *testing.T, address string) func() (net.Conn, error) {
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		for _, c := range open {
			_ = c.Close()
		}
	})
	return func() (net.Conn, error) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		open = append(open, c)
		mu.Unlock()
		return c, c.SetDeadline(time.Now().Add(time.Minute))
	}
}

// TestIdleConnections keeps many connections open that have had an answer,
// and tells what one costs.
func TestIdleConnections(t *testing.T) {
	n := sizes(t, 500, 10_000)
	r := startRecorder(t)
	g := serve(t, soakConfig(r.url, ", idle_timeout: 5m"))
	address := strings.TrimPrefix(g.url, "http://")
	dial := dialer(t, address)
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, goodBefore); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err == nil && resp.StatusCode != 200 {
			err = fmt.Errorf("answered %s", resp.Status)
		}
		return err
	}
	var mu sync.Mutex
	var conns []net.Conn
	open := func() error {
		c, err := dial()
		if err != nil {
			return err
		}
		mu.Lock()
		conns = append(conns, c)
		mu.Unlock()
		return ask(c)
	}
	crowd(t, 50, open) // what the program needs anyhow
	before := g.memory("VmRSS")
	// They come over some time: those that are idle for two seconds give
	// their buffers to the next.
	batches := max(2, n/1000)
	for range batches {
		crowd(t, n/batches, open)
		time.Sleep(2200 * time.Millisecond)
	}
	each := (g.memory("VmRSS") - before) / n
	t.Logf("%d idle connections: %.1f MiB resident, %.1f KiB each", n, float64(g.memory("VmRSS"))/(1<<20), float64(each)/1024)
	if each > 48<<10 {
		t.Errorf("an idle connection costs %d bytes", each)
	}
	// They are still good.
	for i := 0; i < len(conns); i += len(conns) / 50 {
		if err := ask(conns[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpenStreams keeps many Server-Sent Event streams open, and tells what
// one costs. An event reaches all of them.
func TestOpenStreams(t *testing.T) {
	n := sizes(t, 200, 5_000)
	event := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-event:
			_, _ = io.WriteString(w, "data: 2\n\n")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(backend.Close)
	g := serve(t, soakConfig(backend.URL, ""))
	dial := dialer(t, strings.TrimPrefix(g.url, "http://"))
	var mu sync.Mutex
	var streams []*bufio.Reader
	open := func() error {
		c, err := dial()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, goodBefore); err != nil {
			return err
		}
		r := bufio.NewReaderSize(c, 512)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		body := bufio.NewReaderSize(resp.Body, 16)
		if line, err := body.ReadString('\n'); err != nil || line != "data: 1\n" {
			return fmt.Errorf("%q, %w", line, err)
		}
		mu.Lock()
		streams = append(streams, body)
		mu.Unlock()
		return nil
	}
	crowd(t, 20, open)
	before := g.memory("VmRSS")
	started := time.Now()
	crowd(t, n, open)
	took := time.Since(started)
	each := (g.memory("VmRSS") - before) / n
	t.Logf("%d streams, opened in %.1f s: %.1f MiB resident, %.1f KiB each", n, took.Seconds(), float64(g.memory("VmRSS"))/(1<<20), float64(each)/1024)
	if each > 160<<10 {
		t.Errorf("an open stream costs %d bytes", each)
	}
	started = time.Now()
	close(event)
	for i, s := range streams {
		rest, err := io.ReadAll(s)
		if err != nil || string(rest) != "\ndata: 2\n\n" {
			t.Fatalf("stream %d ends with %q, %v", i, rest, err)
		}
	}
	t.Logf("an event reached all %d in %.1f s", len(streams), time.Since(started).Seconds())
}
