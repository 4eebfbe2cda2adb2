package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// install puts a copy of the program to where it can be replaced.
func install(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", b, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// generations are the processes of a gate that is upgraded.
type generations struct {
	*gate
	pid int // of the one that serves
}

// follow watches over the processes of a gate. When the test ends, the last
// one does.
func follow(t *testing.T, g *gate) *generations {
	s := &generations{g, g.cmd.Process.Pid}
	t.Cleanup(func() { _ = syscall.Kill(s.pid, syscall.SIGKILL) })
	return s
}

// upgrade makes the next process take over and the one before end.
func (s *generations) upgrade() {
	s.t.Helper()
	n, before := len(s.log()), s.pid
	if err := syscall.Kill(s.pid, syscall.SIGUSR2); err != nil {
		s.t.Fatal(err)
	}
	var said struct {
		PID     int
		Address string
	}
	if err := json.Unmarshal([]byte(s.awaitAfter(n, `"msg":"serving"`)), &said); err != nil {
		s.t.Fatal(err)
	}
	s.pid = said.PID
	if said.PID == before || said.Address != s.url {
		s.t.Errorf("the process that took over is %d (before: %d) and serves on %s (before: %s)", said.PID, before, said.Address, s.url)
	}
	s.awaitAfter(n, `"msg":"shut down"`)
}

// TestUpgradeUnderLoad replaces the binary of a running gate three times:
// no connection is refused and no request is lost.
func TestUpgradeUnderLoad(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	path := filepath.Join(t.TempDir(), "hopgate")
	install(t, path)
	config := strings.Replace(localConfig(jwks, b.url, openRoute), "drain: 10s", "drain: 10s, drain_delay: 5s", 1)
	g := follow(t, serveWith(t, path, config, "E2E_SECRET="+secret))
	address := strings.TrimPrefix(g.url, "http://")
	load := strike(12, token(claims("alice", "acme")), func() (string, bool) { return address, true })
	load.reached(t, 500)
	for range 3 {
		install(t, path)
		started := time.Now()
		g.upgrade()
		t.Logf("upgraded in %v", time.Since(started))
		load.reached(t, 500)
	}

	// One that does not start leaves things as they are: a broken
	// configuration, a broken binary.
	good, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	n := len(g.log())
	write(t, g.file, "routes: [")
	g.awaitAfter(n, "the running one stays")
	for i, breakIt := range []func(){func() {}, func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}} {
		n := len(g.log())
		breakIt()
		if err := syscall.Kill(g.pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		if line := g.awaitAfter(n, "the upgrade failed"); i == 0 && !strings.Contains(line, "exit status 2") {
			t.Errorf("the log does not say how the new process ended: %s", line)
		}
		load.reached(t, 200)
	}
	install(t, path)
	write(t, g.file, string(good))
	g.upgrade()
	load.reached(t, 200)
	load.rest(t)
	if strings.Contains(strings.Join(g.log(), "\n"), secret) {
		t.Error("the log shows the secret")
	}
	if a := call(t, "GET", g.admin+"/readyz", ""); a.status != 200 {
		t.Errorf("readyz is %d %s", a.status, a.body)
	}
	_ = syscall.Kill(g.pid, syscall.SIGTERM)
	// A second signal cuts drain_delay short.
	if err := syscall.Kill(g.pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := g.exit(); code != 0 {
		t.Errorf("the first process ended with %d", code)
	}
}

// TestUpgradeUnixSocket hands a unix socket over: it stays where it is until
// the last process ends.
func TestUpgradeUnixSocket(t *testing.T) {
	r := startRecorder(t)
	dir, err := os.MkdirTemp("", "gate") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "gate.sock")
	g := follow(t, serve(t, strings.Replace(wireConfig(r.url, ""), `listen: "127.0.0.1:0"`, `listen: "unix:`+path+`"`, 1)))
	ask := func() error {
		c, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, strings.Replace(goodBefore, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
		b, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
			return fmt.Errorf("%q, %w", b, err)
		}
		return nil
	}
	for range 3 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		g.upgrade()
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(g.pid, syscall.SIGTERM)
	g.exit()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestReloadUnderHammer loads the configuration anew under load.
func TestReloadUnderHammer(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	config := localConfig(jwks, b.url, openRoute)
	g := serve(t, config, "E2E_SECRET="+secret)
	address := strings.TrimPrefix(g.url, "http://")
	load := strike(12, token(claims("alice", "acme")), func() (string, bool) { return address, true })
	for i := range 20 {
		n := len(g.log())
		write(t, g.file, strings.Replace(config, "id: open", fmt.Sprintf("id: open%d", i), 1))
		g.signal(syscall.SIGHUP)
		g.awaitAfter(n, `"msg":"configuration loaded"`)
		load.reached(t, 50)
	}
	load.rest(t)
}

// TestDrainUnderLoad ends one of two gates behind a load balancer that asks
// readyz: no request fails.
func TestDrainUnderLoad(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	config := strings.Replace(localConfig(jwks, b.url, openRoute), "drain: 10s", "drain: 10s, drain_delay: 1s", 1)
	var gates []*gate
	var ready [2]atomic.Bool
	stop := make(chan struct{})
	for i := range 2 {
		g := serve(t, config, "E2E_SECRET="+secret)
		gates = append(gates, g)
		ready[i].Store(true)
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					resp, err := client.Get(g.admin + "/readyz")
					if err == nil {
						_ = resp.Body.Close()
					}
					ready[i].Store(err == nil && resp.StatusCode == http.StatusOK)
				}
			}
		}()
	}
	defer close(stop)
	var turn atomic.Int64
	load := strike(12, token(claims("alice", "acme")), func() (string, bool) {
		i := int(turn.Add(1) % 2)
		if !ready[i].Load() {
			i = 1 - i
		}
		return strings.TrimPrefix(gates[i].url, "http://"), true
	})
	load.reached(t, 500)
	gates[0].signal(syscall.SIGTERM)
	if code := gates[0].exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	load.reached(t, 500)
	load.rest(t)
}

// TestSystemd starts the gate as systemd does with socket activation and
// Type=notify.
func TestSystemd(t *testing.T) {
	r := startRecorder(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir, err := os.MkdirTemp("", "gate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	hear := func(want string) {
		t.Helper()
		b := make([]byte, 256)
		_ = notified.SetReadDeadline(time.Now().Add(patience))
		n, err := notified.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Errorf("systemd hears %q, %v, want %q", b[:n], err, want)
		}
	}
	launcher := filepath.Join(dir, "launch")
	if err := os.WriteFile(launcher, []byte("#!/bin/sh\nLISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=hopgate.socket exec "+binary+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	g := follow(t, serveCommand(t, func(args ...string) *exec.Cmd {
		cmd := exec.Command(launcher, args...)
		cmd.ExtraFiles = []*os.File{f}
		return cmd
	}, strings.Replace(wireConfig(r.url, ""), `listen: "127.0.0.1:0"`, `listen: "127.0.0.1:1"`, 1), "NOTIFY_SOCKET="+filepath.Join(dir, "notify")))
	hear("READY=1")
	if g.url != "http://"+ln.Addr().String() {
		t.Errorf("serving on %s, the socket is %s", g.url, ln.Addr())
	}
	g.upgrade()
	hear(fmt.Sprintf("MAINPID=%d", g.pid))
	if answers, err := talk(ln.Addr().String(), strings.Replace(goodBefore, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), 0); err != nil || len(answers) != 1 || answers[0].status != 200 {
		t.Errorf("%v, %v", answers, err)
	}
	_ = syscall.Kill(g.pid, syscall.SIGTERM)
	hear("STOPPING=1")
	g.exit()
}
