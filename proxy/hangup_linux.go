package proxy

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// canPark tells whether connections can be waited for without a buffer.
const canPark = true

// socket gives the descriptor below all that is wrapped around it.
func (c *conn) socket() (syscall.RawConn, error) {
	inner := c.NetConn()
	for {
		wrapped, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		inner = wrapped.NetConn()
	}
	s, ok := inner.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return s.SyscallConn()
}

// hungUp tells whether the client has closed the connection, or its half of
// it, as nginx understands it too. It reads nothing.
func (c *conn) hungUp() bool {
	raw, err := c.socket()
	if err != nil {
		return !errors.Is(err, errors.ErrUnsupported)
	}
	left := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		left = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return left || err != nil // the descriptor is closed
}

// awaitBytes waits until there is something to read, the end included, and
// reads nothing.
func (c *conn) awaitBytes() error {
	raw, err := c.socket()
	if err != nil {
		return err
	}
	var b [1]byte
	return raw.Read(func(fd uintptr) bool {
		for {
			_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
}
