// Package e2e drives the built binary through its real ports and files,
// against a backend on loopback and an OpenID provider of other authors.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "hopgate-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "hopgate")
		build := exec.Command("go", "build", "-o", binary, "hopgate")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build hopgate: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// patience bounds every wait for something that happens soon.
const patience = 20 * time.Second

// gate is a running hopgate serve.
type gate struct {
	t     *testing.T
	cmd   *exec.Cmd
	url   string // of the data plane
	admin string
	file  string // its configuration

	mu    sync.Mutex
	lines []string // of standard error
	grown *sync.Cond
	out   bytes.Buffer
	done  chan struct{}
	err   error
}

// serve writes a configuration and runs the gate with it. The configuration
// should listen on 127.0.0.1:0.
func serve(t *testing.T, config string, env ...string) *gate {
	t.Helper()
	return serveWith(t, binary, config, env...)
}

// serveWith is serve with another build of the program.
func serveWith(t *testing.T, program, config string, env ...string) *gate {
	t.Helper()
	return serveCommand(t, func(args ...string) *exec.Cmd { return exec.Command(program, args...) }, config, env...)
}

// serveCommand is serve with a command of one's own.
func serveCommand(t *testing.T, command func(args ...string) *exec.Cmd, config string, env ...string) *gate {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hopgate.yaml")
	write(t, file, config)
	args := []string{"serve", "-c", file}
	g := &gate{t: t, file: file, done: make(chan struct{})}
	g.grown = sync.NewCond(&g.mu)
	g.cmd = command(args...)
	g.cmd.Env = append(os.Environ(), env...)
	g.cmd.Stdout = writer(func(p []byte) {
		g.mu.Lock()
		g.out.Write(p)
		g.mu.Unlock()
	})
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s := bufio.NewScanner(stderr)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			g.mu.Lock()
			g.lines = append(g.lines, s.Text())
			g.grown.Broadcast()
			g.mu.Unlock()
		}
		g.err = g.cmd.Wait()
		close(g.done)
		g.mu.Lock()
		g.grown.Broadcast()
		g.mu.Unlock()
	}()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.done
		if t.Failed() {
			t.Logf("standard error of %s:\n%s", strings.Join(args, " "), strings.Join(g.log(), "\n"))
		}
	})
	line := g.await(`"msg":"serving"`)
	var said struct{ Address, Admin string }
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	g.url, g.admin = said.Address, said.Admin
	return g
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// log gives what the program said on standard error so far.
func (g *gate) log() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.lines...)
}

// access gives the access log so far.
func (g *gate) access() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out.String()
}

// await waits for a line of standard error that holds text, and gives it.
func (g *gate) await(text string) string { g.t.Helper(); return g.awaitAfter(0, text) }

// awaitAfter is await for lines after the first n.
func (g *gate) awaitAfter(n int, text string) string {
	g.t.Helper()
	timer := time.AfterFunc(patience, func() {
		g.mu.Lock()
		g.grown.Broadcast()
		g.mu.Unlock()
	})
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := n; ; i++ {
		for i >= len(g.lines) {
			select {
			case <-g.done:
				g.t.Fatalf("hopgate ended (%v) and did not say %q:\n%s", g.err, text, strings.Join(g.lines, "\n"))
			default:
			}
			if time.Now().After(deadline) {
				g.t.Fatalf("hopgate did not say %q in %v:\n%s", text, patience, strings.Join(g.lines, "\n"))
			}
			g.grown.Wait()
		}
		if strings.Contains(g.lines[i], text) {
			return g.lines[i]
		}
	}
}

func (g *gate) signal(s syscall.Signal) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.t.Fatal(err)
	}
}

// exit waits for the program to end and gives its exit code.
func (g *gate) exit() int {
	g.t.Helper()
	select {
	case <-g.done:
	case <-time.After(patience):
		g.t.Fatal("hopgate does not end")
	}
	var e *exec.ExitError
	if errors.As(g.err, &e) {
		return e.ExitCode()
	}
	if g.err != nil {
		g.t.Fatal(g.err)
	}
	return 0
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// reason is the reason of a problem document.
func (a answer) reason() string {
	var p struct{ Reason string }
	_ = json.Unmarshal([]byte(a.body), &p)
	return p.Reason
}

var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       patience,
}

// call makes a request; fields are name, value pairs.
func call(t testing.TB, method, url, body string, fields ...string) answer {
	t.Helper()
	a, err := tryCall(method, url, body, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryCall(method, url, body string, fields ...string) (answer, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, url, r)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// get makes a GET request with a bearer token.
func get(t testing.TB, url, token string) answer {
	t.Helper()
	if token == "" {
		return call(t, "GET", url, "")
	}
	return call(t, "GET", url, "", "Authorization", "Bearer "+token)
}

func write(t testing.TB, file, text string) {
	t.Helper()
	// As editors and ConfigMaps do: a whole new file in the place of the old.
	temp := file + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, file); err != nil {
		t.Fatal(err)
	}
}

// metric gives the value of the first sample whose line starts with prefix,
// or "".
func (g *gate) metric(prefix string) string {
	g.t.Helper()
	for line := range strings.Lines(call(g.t, "GET", g.admin+"/metrics", "").body) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:])
		}
	}
	return ""
}
