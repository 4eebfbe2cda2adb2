package proxy

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Listen opens the listener of an address: host:port for TCP (IPv4 and
// IPv6), unix:/path for a unix socket. A socket that a killed process left
// is replaced; one that somebody answers on is not. Only the owner and the
// group may connect to a socket. With reusePort other processes may listen on
// the same TCP address, where they say so too.
func Listen(address string, reusePort bool) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		var c net.ListenConfig
		if reusePort {
			c.Control = shared
		}
		ln, err := c.Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
		}
		return ln, nil
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("cannot listen on %s: another process does", address)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group is meant to
		_ = ln.Close()
		return nil, fmt.Errorf("cannot protect %s: %w", address, err)
	}
	return ln, nil
}

// handoff is a listener whose connections another one accepted.
type handoff struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handoff) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return h.addr }
