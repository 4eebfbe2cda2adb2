//go:build unix

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hopgate/proxy"
)

// upgradeSignal makes a running gate start its program anew and hand its
// sockets to it.
const upgradeSignal = syscall.SIGUSR2

// firstSocket is the descriptor of the first socket that a process inherits,
// as systemd has it (sd_listen_fds(3)).
const firstSocket = 3

// socketsVariable is where a running hopgate tells the next one which sockets
// it hands over, as JSON. The descriptor behind the last socket's is a pipe,
// into which the next one writes a byte once it serves.
const socketsVariable = "HOPGATE_SOCKETS"

// upgradeTimeout is how long the next process may take until it serves.
const upgradeTimeout = time.Minute

// started is how this process was started. What is done anew with a changed
// working directory or binary depends on it.
var started = struct {
	program, dir string
	err          error
}{}

func init() {
	var err error
	if started.dir, err = os.Getwd(); err != nil {
		started.err = err
		return
	}
	// Not os.Executable: a link may point to another binary by then.
	if started.program, err = exec.LookPath(os.Args[0]); err == nil {
		started.program, err = filepath.Abs(started.program)
	}
	started.err = err
}

// socket is a listening socket that outlives its process.
type socket struct {
	Name     string `json:"name"`
	Address  string `json:"address"` // as configured; empty where systemd opened it
	listener net.Listener
}

// heritage is what a process got from hopgate before it, or from systemd.
type heritage struct {
	sockets []socket
	ready   *os.File // nil where no process waits for this one
}

// inherit takes over the sockets that this process was started with.
func inherit() (*heritage, error) {
	h := &heritage{}
	switch text, handed := os.LookupEnv(socketsVariable); {
	case handed:
		if err := json.Unmarshal([]byte(text), &h.sockets); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", socketsVariable, err)
		}
		fd := firstSocket + len(h.sockets)
		syscall.CloseOnExec(fd)
		h.ready = os.NewFile(uintptr(fd), "ready")
	case os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()):
		n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
		if err != nil || n < 0 || n > 2 {
			return nil, fmt.Errorf("LISTEN_FDS is %q; systemd should pass one socket, or a second one named admin", os.Getenv("LISTEN_FDS"))
		}
		names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
		for i := range n {
			name := "server"
			if i > 0 || i < len(names) && names[i] == "admin" {
				name = "admin"
			}
			if i > 0 && h.sockets[0].Name == "admin" {
				name = "server"
			}
			h.sockets = append(h.sockets, socket{Name: name})
		}
	}
	for _, name := range []string{socketsVariable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	for i := range h.sockets {
		f := os.NewFile(uintptr(firstSocket+i), h.sockets[i].Name)
		ln, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("descriptor %d is no socket to listen on: %w", firstSocket+i, err)
		}
		if u, ok := ln.(*net.UnixListener); ok && h.sockets[i].Address != "" {
			u.SetUnlinkOnClose(true)
		}
		h.sockets[i].listener = ln
	}
	return h, nil
}

// listen gives the inherited socket of a name, where it is for the address
// that is configured now, or opens one.
func (h *heritage) listen(name, address string, reusePort bool) (net.Listener, error) {
	for i, s := range h.sockets {
		if s.Name == name && s.listener != nil && (s.Address == "" || s.Address == address) {
			h.sockets[i].listener = nil
			return s.listener, nil
		}
	}
	return proxy.Listen(address, reusePort)
}

// rest closes the inherited sockets that nobody asked for.
func (h *heritage) rest() {
	for _, s := range h.sockets {
		if s.listener != nil {
			_ = s.listener.Close()
		}
	}
	h.sockets = nil
}

// await waits, where a process is to take over from another, until it can
// serve: the other one serves until then.
func (h *heritage) await(ctx context.Context, ready func() (bool, []string)) error {
	if h.ready == nil {
		return nil
	}
	timer := time.NewTimer(upgradeTimeout)
	defer timer.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, why := ready()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-timer.C:
			return fmt.Errorf("not ready to take over after %v: %s", upgradeTimeout, strings.Join(why, "; "))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serving tells who waits for it that this process serves: the one that it
// takes over from, or systemd.
func (h *heritage) serving() {
	if h.ready == nil {
		notify("READY=1")
		return
	}
	_, _ = h.ready.Write([]byte{1})
	_ = h.ready.Close()
	h.ready = nil
}

// successor starts the program anew, with the same arguments and these
// sockets, and gives its process id once it serves. Where it ends or does not
// get ready, it is gone when successor returns.
func successor(ctx context.Context, sockets []socket) (pid int, err error) {
	if os.Getpid() == 1 {
		return 0, errors.New("this is process 1, with which its container ends; replace the container instead")
	}
	if started.err != nil {
		return 0, started.err
	}
	files := []uintptr{0, 1, 2}
	defer func() {
		for _, fd := range files[3:] {
			_ = syscall.Close(int(fd))
		}
	}()
	for _, s := range sockets {
		fd, err := duplicate(s.listener)
		if err != nil {
			return 0, fmt.Errorf("cannot hand over the socket of %s: %w", s.Address, err)
		}
		files = append(files, fd)
	}
	says, said, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer says.Close() //nolint:errcheck // it was read from only
	defer said.Close() //nolint:errcheck // the other process has its own
	text, err := json.Marshal(sockets)
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Dir: started.dir, Env: append(os.Environ(), socketsVariable+"="+string(text)), Files: append(files, said.Fd())}
	pid, _, err = syscall.StartProcess(started.program, os.Args, attr) //nolint:gosec // the very command that started this process
	if err != nil {
		return 0, fmt.Errorf("cannot start %s: %w", started.program, err)
	}
	_ = said.Close()
	process, err := os.FindProcess(pid)
	if err != nil {
		return 0, err
	}
	ended := make(chan string, 1)
	go func() {
		state, err := process.Wait()
		if err != nil {
			ended <- err.Error()
			return
		}
		ended <- state.String()
	}()
	stop := context.AfterFunc(ctx, func() { _ = says.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = says.SetReadDeadline(time.Now().Add(upgradeTimeout + 5*time.Second))
	if n, err := says.Read(make([]byte, 1)); n != 1 {
		_ = process.Kill()
		return 0, fmt.Errorf("the new process %d is not ready: %w (%s)", pid, err, <-ended)
	}
	return pid, nil
}

// duplicate gives a descriptor of a listener's socket. Its File would do
// that too, and make the socket block, which both processes share.
func duplicate(ln net.Listener) (uintptr, error) {
	conn, ok := ln.(syscall.Conn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var failed error
	err = raw.Control(func(of uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, failed = syscall.Dup(int(of)); failed == nil {
			syscall.CloseOnExec(fd)
		}
	})
	return uintptr(fd), errors.Join(err, failed)
}

// handedOver lets the sockets live on when this process closes them.
func handedOver(sockets []socket) {
	for _, s := range sockets {
		if u, ok := s.listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
	}
}

// notify tells systemd how the service is (sd_notify(3)), where it asked.
func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close() //nolint:errcheck // a datagram was sent or was not
	_, _ = c.Write([]byte(state))
}
