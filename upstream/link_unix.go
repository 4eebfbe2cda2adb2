//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"hopgate/sock"
)

// open takes over a connection that was just made.
func (l *link) open(c net.Conn) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return errors.New("connection without a descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	l.Conn, l.raw, l.turn = c, raw, l.advance
	l.look = func(fd uintptr) { l.silent = !waiting(fd) }
	return nil
}

// takeTurns runs advance to its end. The runtime's poller is asked to forget
// earlier events before the first turn, and waits for new ones between the
// turns. So whatever comes after the request was written wakes the reader,
// and no read is tried in vain before something is there.
func (l *link) takeTurns() error {
	for {
		err := l.raw.Read(l.turn)
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && l.readBy.early() {
			l.armRead()
			continue
		}
		return err
	}
}

// advance does what can be done without waiting: look, write, read. It tells
// whether the exchange is over.
func (l *link) advance(fd uintptr) bool {
	if l.phase == reading {
		n, errno := sock.Receive(fd, l.in)
		switch errno {
		case 0:
			l.n = n
		case syscall.EAGAIN:
			return false
		default:
			l.failure = os.NewSyscallError("read", errno)
		}
		return true
	}
	if l.phase == peeking && waiting(fd) {
		l.failure = errStale
		return true
	}
	l.phase = writing
	n, errno := sock.Send(fd, l.out)
	switch errno {
	case 0:
		l.wrote = n
	case syscall.EAGAIN: // the usual way goes on
	default:
		l.failure = os.NewSyscallError("write", errno)
		return true
	}
	if l.wrote < len(l.out) || len(l.in) == 0 {
		l.failure = errPartial
		return true
	}
	l.phase = reading
	return false
}

// waiting tells whether anything is there to be read: bytes, an end, or an
// error.
func waiting(fd uintptr) bool {
	_, errno := sock.Peek(fd)
	return errno != syscall.EAGAIN
}

// quiet tells whether nothing waits to be read.
func (l *link) quiet() bool {
	return l.raw.Control(l.look) == nil && l.silent
}

// readStill reads without waiting.
func (l *link) readStill(b []byte) (n int, err error) {
	var errno syscall.Errno
	failed := l.raw.Control(func(fd uintptr) { n, errno = sock.Receive(fd, b) })
	switch {
	case failed != nil:
		return 0, failed
	case errno == syscall.EAGAIN:
		return 0, errWouldWait
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
