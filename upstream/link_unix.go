//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// newLink takes over a connection that was just made.
func newLink(c net.Conn) (*link, error) {
	l := &link{Conn: c}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("connection without a descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	l.raw, l.turn = raw, l.advance
	l.look = func(fd uintptr) { l.silent = !waiting(fd) }
	return l, nil
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
	if l.phase == peeking {
		if waiting(fd) {
			l.failure = errStale
			return true
		}
		l.phase = writing
	}
	if l.phase == writing {
		n, err := retried(syscall.Write, fd, l.out)
		if errors.Is(err, syscall.EAGAIN) {
			err = nil
		}
		l.wrote = max(n, 0)
		switch {
		case err != nil:
			l.failure = os.NewSyscallError("write", err)
			return true
		case l.wrote < len(l.out) || len(l.in) == 0:
			l.failure = errPartial
			return true
		}
		l.phase = reading
		return false
	}
	n, err := retried(syscall.Read, fd, l.in)
	if errors.Is(err, syscall.EAGAIN) {
		return false
	}
	l.n = max(n, 0)
	if err != nil {
		l.failure = os.NewSyscallError("read", err)
	}
	return true
}

// retried does a system call again where a signal interrupted it.
func retried(call func(int, []byte) (int, error), fd uintptr, b []byte) (n int, err error) {
	for {
		if n, err = call(int(fd), b); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// waiting tells whether anything is there to be read: bytes, an end, or an
// error.
func waiting(fd uintptr) bool {
	var one [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if !errors.Is(err, syscall.EINTR) {
			return !errors.Is(err, syscall.EAGAIN)
		}
	}
}

// quiet tells whether nothing waits to be read.
func (l *link) quiet() bool {
	return l.raw.Control(l.look) == nil && l.silent
}

// readStill reads without waiting.
func (l *link) readStill(b []byte) (n int, err error) {
	failed := l.raw.Control(func(fd uintptr) { n, err = retried(syscall.Read, fd, b) })
	switch {
	case failed != nil:
		return 0, failed
	case errors.Is(err, syscall.EAGAIN):
		return 0, errWouldWait
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
