//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Conn is a TCP connection that reads and writes directly. It behaves as the
// connection that it is made of: its methods may be called concurrently, and
// deadlines and Close end what waits.
type Conn struct {
	*net.TCPConn

	raw  syscall.RawConn
	in   turn
	out  turn
	loop loop
}

// loop is what a ReadLoop does next.
type loop struct {
	step  func(fd uintptr) (done bool)
	each  func(n int) (more bool)
	again bool // nobody knows yet whether there is more to read
}

// turn is one direction: what is under way, and the function that does as
// much of it as can be done without waiting, bound once.
type turn struct {
	mu      sync.Mutex
	step    func(fd uintptr) (done bool)
	b       []byte
	n       int
	failure syscall.Errno
}

// New takes c over where it is a TCP connection, and gives it back as it is
// where not.
func New(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	s := &Conn{TCPConn: tcp, raw: raw}
	s.in.step, s.out.step, s.loop.step = s.receive, s.send, s.receiveEach
	return s
}

func (c *Conn) receive(fd uintptr) bool {
	c.in.n, c.in.failure = Receive(fd, c.in.b)
	return c.in.failure != syscall.EAGAIN
}

func (c *Conn) send(fd uintptr) bool {
	t := &c.out
	for {
		n, errno := Send(fd, t.b[t.n:])
		if errno != 0 {
			t.failure = errno
			return errno != syscall.EAGAIN
		}
		if t.n += n; t.n == len(t.b) {
			t.failure = 0
			return true
		}
	}
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	t := &c.in
	t.mu.Lock()
	t.b, t.n = b, 0
	defer t.mu.Unlock()
	return c.received(c.raw.Read(t.step))
}

// received ends a read that waits no more with err, and gives what it brought.
func (c *Conn) received(err error) (int, error) {
	t := &c.in
	t.b = nil
	switch {
	case err != nil:
		return 0, err
	case t.failure != 0:
		return 0, c.fault("read", t.failure)
	case t.n == 0:
		return 0, io.EOF
	}
	return t.n, nil
}

// ReadLoop reads into b and calls each with the number of bytes, over and
// over, until each tells to stop: then it gives the number that each was
// called with last. Else it gives the error of a read.
//
// From the second time on it waits before it reads, where a read has brought
// less than there was room for: by what comes after the poller wakes it, and
// what came with that read it has got. What it does not see then is an end
// that came together with such bytes, until a deadline passes or a write
// fails.
//
// each may write to the connection and set deadlines, but neither read from
// it nor close it.
func (c *Conn) ReadLoop(b []byte, each func(n int) (more bool)) (int, error) {
	t := &c.in
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b, t.n = b, 0
	c.loop.each, c.loop.again = each, true
	defer func() { c.loop.each = nil }()
	return c.received(c.raw.Read(c.loop.step))
}

func (c *Conn) receiveEach(fd uintptr) bool {
	t, l := &c.in, &c.loop
	for {
		t.n, t.failure = Receive(fd, t.b)
		if t.failure != 0 || t.n == 0 {
			return t.failure != syscall.EAGAIN
		}
		again := l.again || t.n == len(t.b)
		l.again = false
		if !l.each(t.n) {
			return true
		}
		if !again {
			return false
		}
	}
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	t := &c.out
	t.mu.Lock()
	t.b, t.n = b, 0
	err := c.raw.Write(t.step)
	n, failure := t.n, t.failure
	t.b = nil
	t.mu.Unlock()
	switch {
	case err != nil:
		return n, err
	case failure != 0:
		return n, c.fault("write", failure)
	}
	return n, nil
}

func (c *Conn) fault(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
}
