package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// link is a TCP or unix connection below TLS, or itself where there is none.
// One goroutine may read while another writes.
type link struct {
	net.Conn
	raw  syscall.RawConn
	turn func(fd uintptr) bool // advance, bound once

	// The exchange in progress; see advance.
	phase   phase
	out, in []byte
	n       int
	wrote   int
	failure error

	readBy  deadline
	writes  sync.Mutex // guards the next two: TLS may write while it reads
	writeBy deadline
	// pace, where not 0, gives a write that makes progress that much more
	// time for the rest.
	pace time.Duration
	// halted makes writes fail, for good.
	halted atomic.Bool

	look    func(fd uintptr) // sets silent, bound once
	reads   reads
	silent  bool     // what the last look found
	records *records // under TLS
	ended   bool     // the last read met the end
}

// reads says how the link reads where it does not simply wait: still reads
// only what is there, dry reads nothing.
type reads struct{ still, dry bool }

// phase is how far an exchange has come.
type phase uint8

const (
	peeking phase = iota // look whether something came that nobody asked for
	writing
	reading
)

var (
	// errStale is a kept connection that has ended or that says something
	// unasked. Nothing was sent on it.
	errStale = errors.New("kept connection is stale")
	// errPartial is a request that did not fit into the socket's buffer.
	errPartial = errors.New("request is not wholly sent")
	// errHalted is a write after halt.
	errHalted = errors.New("writing was stopped")
	// errWouldWait is the answer to a read that may not wait.
	errWouldWait error = waitError{}
)

// waitError is temporary for crypto/tls, which may read on afterwards.
type waitError struct{}

func (waitError) Error() string   { return "nothing to read" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

func (l *link) readUntil(now, t moment) {
	if l.readBy.set(now, t) {
		l.armRead()
	}
}

func (l *link) writeUntil(now, t moment) {
	l.writes.Lock()
	defer l.writes.Unlock()
	if l.writeBy.set(now, t) {
		l.armWrite()
	}
}

// armRead moves the timer. A connection that takes no deadline is closed
// already; the operation will tell.
func (l *link) armRead() {
	l.readBy.armed = l.readBy.want
	_ = l.SetReadDeadline(l.readBy.want.time())
}

func (l *link) armWrite() {
	l.writeBy.armed = l.writeBy.want
	_ = l.SetWriteDeadline(l.writeBy.want.time())
}

// Read reads what is there, waiting for it until the deadline wanted.
func (l *link) Read(b []byte) (int, error) {
	switch {
	case l.reads.dry:
		return 0, errWouldWait
	case l.reads.still:
		n, err := l.readStill(b)
		l.records.pass(b[:n])
		return n, err
	}
	for {
		n, err := l.Conn.Read(b)
		l.records.pass(b[:n])
		l.ended = errors.Is(err, io.EOF)
		if err != nil && n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && l.readBy.early() {
			l.armRead()
			continue
		}
		return n, err
	}
}

// Write writes all of b by the deadline wanted, or as long as there is
// progress where the link has a pace.
func (l *link) Write(b []byte) (int, error) {
	done := 0
	for {
		if l.halted.Load() {
			return done, errHalted
		}
		n, err := l.Conn.Write(b[done:])
		done += n
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return done, err
		}
		if !l.goOn(n > 0) {
			return done, err
		}
	}
}

// goOn moves the timer of a write that was stopped too early.
func (l *link) goOn(progress bool) bool {
	l.writes.Lock()
	defer l.writes.Unlock()
	if progress && l.pace > 0 {
		l.writeBy.want = readClock().add(l.pace)
	}
	if !l.writeBy.early() {
		return false
	}
	l.armWrite()
	return true
}

// halt makes the write in progress and all later ones fail. What was armed
// before a writer looks at halted is overruled here; what is armed later it
// does not wait for.
func (l *link) halt() {
	l.halted.Store(true)
	_ = l.SetWriteDeadline(time.Unix(1, 0))
}

// exchange writes out and waits for the first bytes of the answer, which it
// reads into in. first tells that the connection is new and need not be
// looked at. Its error is errStale where nothing was sent because of what
// the look found, errPartial where only wrote bytes fitted.
func (l *link) exchange(out, in []byte, first bool) (n, wrote int, err error) {
	l.out, l.in, l.wrote, l.n, l.failure = out, in, 0, 0, nil
	l.phase = peeking
	if first {
		l.phase = writing
	}
	err = l.takeTurns()
	l.out, l.in = nil, nil
	switch {
	case err != nil:
		return 0, l.wrote, err
	case l.failure != nil:
		return 0, l.wrote, l.failure
	case l.n == 0:
		return 0, l.wrote, io.EOF
	}
	return l.n, l.wrote, nil
}

// records follows TLS's record framing (RFC 8446 section 5.1) in what is
// read, to know whether a part of a record was.
type records struct {
	head [5]byte
	have int // of head
	left int // of the record's content
}

// pass notes that b was read. Without TLS, where r is nil, it does nothing.
func (r *records) pass(b []byte) {
	if r == nil {
		return
	}
	for len(b) > 0 {
		if r.left == 0 {
			n := copy(r.head[r.have:], b)
			r.have, b = r.have+n, b[n:]
			if r.have < len(r.head) {
				return
			}
			r.have, r.left = 0, int(r.head[3])<<8|int(r.head[4])
			continue
		}
		n := min(r.left, len(b))
		r.left, b = r.left-n, b[n:]
	}
}

// whole tells whether no part of a record was read.
func (r *records) whole() bool { return r.have == 0 && r.left == 0 }
