package wire

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

// State tells what a connection is reading.
type State uint8

// The states. They follow what Conn has read: the transport may still be
// busy with an earlier message.
const (
	Idle     State = iota // nothing of a next message has come
	Head                  // within a request line or header section
	Body                  // within a body, its trailer section included
	Done                  // after the last message of the connection
	Refused               // after a fault
	Released              // taken over by another protocol
)

func (s State) String() string {
	return [...]string{"idle", "head", "body", "done", "refused", "released"}[s]
}

// Timeouts bound how long reads wait. Zero means without bound. Conn sets
// the read deadlines for them, and does so only when an eighth of a timeout
// has passed since it last did, so that a timeout may run out that much
// early.
type Timeouts struct {
	Idle time.Duration // for the first byte of a message; then Read gives io.EOF
	Head time.Duration // for the rest of a head, from the first read that waits for it on
	Body time.Duration // for the next bytes of a body: a steady slow upload is not cut
}

// Conn is a connection whose reads give only bytes of well-formed messages.
// Read must not be called by several goroutines at a time, all else may.
type Conn struct {
	net.Conn // what is guarded

	parser parser
	fault  *Error
	// unseen is set where a message was refused at its very first byte, so
	// that the reader does not know yet that there was one.
	unseen bool
	// faulty is the number of the message whose body is at fault, from 1 on;
	// 0 while none is.
	faulty uint64

	looper   Looper // nil: Conn is read
	each     func(n int) bool
	requests requests

	// word holds the State in its low three bits and the number of messages
	// above.
	word atomic.Uint64

	// mu orders the read deadlines that callers set and those of Timeouts.
	mu       sync.Mutex
	external bool      // a caller's deadline holds
	armed    time.Time // when the deadline was set; zero if there is none
	armedFor uint64    // the word at that time
}

// NewConn guards what is read from c. It takes c over: close the Conn, not
// c, except to cut it off at once.
func NewConn(c net.Conn, o Limits) *Conn {
	o.setDefaults()
	return &Conn{Conn: c, parser: parser{limits: o}}
}

// NetConn gives the connection that is guarded, a *tls.Conn perhaps. It must
// not be read from.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// HTTPS tells whether the connection's scheme is https.
func (c *Conn) HTTPS() bool { return c.parser.limits.HTTPS }

// SyscallConn implements syscall.Conn where the guarded connection does; it
// serves to look at the state of the socket, not to read from it.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// State gives what the connection is reading.
func (c *Conn) State() State { return State(c.word.Load() & 7) }

// Messages gives the number of complete, well-formed heads read so far.
func (c *Conn) Messages() uint64 { return c.word.Load() >> 3 }

// Err gives the reason why reads fail, nil while they do not: transports
// lose it on some ways, within a chunked body above all. It is to be called
// by the goroutine that reads.
func (c *Conn) Err() *Error { return c.fault }

// BodyErr gives the fault of the body of one message, counted from 1 on, or
// nil. Err may be of a message behind it already: a whole body is good
// whatever follows on its connection. It is to be called by the goroutine
// that reads.
func (c *Conn) BodyErr(message uint64) *Error {
	if c.faulty == 0 || c.faulty != message {
		return nil
	}
	return c.fault
}

// Release tells that another protocol has taken the connection over, after
// an answer of 101 (RFC 9110 section 15.2.2): from now on bytes pass
// unexamined and Timeouts no longer hold. It does not bring a refused
// connection back.
func (c *Conn) Release() {
	for {
		word := c.word.Load()
		if State(word&7) == Refused {
			return
		}
		if c.word.CompareAndSwap(word, word&^7|uint64(Released)) {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed.IsZero() && !c.external {
		c.armed = time.Time{}
		_ = c.Conn.SetReadDeadline(time.Time{})
	}
}

// Read reads bytes of well-formed messages. It gives an [*Error] once a
// message is refused, and from then on. A message refused at its first byte
// shows as a single question mark before that, which no message begins with:
// it lets a transport tell a message to be answered from a connection that
// ends. A message that is cut off or takes too long is refused as well;
// between messages there is io.EOF.
func (c *Conn) Read(b []byte) (int, error) {
	if c.State() == Released || len(b) == 0 {
		return c.Conn.Read(b)
	}
	if c.fault != nil {
		return c.refused(b)
	}
	if err := c.arm(time.Time{}); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	return c.judge(b, n, err)
}

// judge feeds the parser what a read has brought and gives what Read may give
// of it.
func (c *Conn) judge(b []byte, n int, err error) (int, error) {
	if c.State() == Released {
		return n, err
	}
	if n <= 0 {
		return 0, c.failed(err)
	}
	// An error beside bytes comes again with the next read.
	good, fault := c.parser.feed(b[:n])
	if fault != nil {
		c.fault = fault
		c.unseen = c.parser.at == atStart
		if c.parser.inBody() {
			c.faulty = c.parser.messages
		}
	}
	c.publish()
	if good == 0 {
		return c.refused(b)
	}
	return good, nil
}

// refused gives the fault, and the mark of a message that nothing was seen
// of.
func (c *Conn) refused(b []byte) (int, error) {
	if c.unseen {
		c.unseen = false
		b[0] = '?'
		return 1, nil
	}
	return 0, c.fault
}

// failed tells what the failure of a read means at this place of a message.
func (c *Conn) failed(err error) error {
	state := c.State()
	between := state == Idle || state == Done
	switch {
	case errors.Is(err, io.EOF):
		if between {
			return io.EOF
		}
		c.fault = errTruncated
	case errors.Is(err, os.ErrDeadlineExceeded):
		if between {
			if c.limited() {
				if c.parser.limits.IdleError != nil {
					return c.parser.limits.IdleError
				}
				return io.EOF
			}
			return err
		}
		c.fault = errTimeout
	default:
		return err
	}
	if state == Body {
		c.faulty = c.parser.messages
	}
	c.publish()
	return c.fault
}

// publish makes known where the parser stands.
func (c *Conn) publish() {
	state := Idle
	switch at := c.parser.at; {
	case c.fault != nil:
		state = Refused
	case at == atEnd:
		state = Done
	case c.parser.inBody():
		state = Body
	case at != atStart:
		state = Head
	}
	next := c.parser.messages<<3 | uint64(state)
	for {
		word := c.word.Load()
		if word == next || State(word&7) == Released || c.word.CompareAndSwap(word, next) {
			return
		}
	}
}

// limited tells whether the read deadline is one of Timeouts.
func (c *Conn) limited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.external && !c.armed.IsZero()
}

// arm sets the read deadline for what is read next, unless a caller's holds.
// It reads the clock where now is zero.
func (c *Conn) arm(now time.Time) error {
	limits := &c.parser.limits
	if limits.Timeouts == (Timeouts{}) {
		return nil
	}
	word := c.word.Load()
	var timeout time.Duration
	switch State(word & 7) {
	case Idle, Done:
		timeout = limits.Idle
	case Head:
		timeout = limits.Head
	case Body:
		timeout = limits.Body
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.external {
		return nil
	}
	if timeout <= 0 {
		if c.armed.IsZero() {
			return nil
		}
		c.armed = time.Time{}
		return c.Conn.SetReadDeadline(time.Time{})
	}
	// A head's time runs from its beginning, the other two begin anew.
	same := !c.armed.IsZero() && word&7 == c.armedFor&7
	if same && State(word&7) == Head && word == c.armedFor {
		return nil
	}
	if now.IsZero() {
		now = time.Now()
	}
	if same && State(word&7) != Head && now.Sub(c.armed) < timeout/8 {
		return nil
	}
	c.armed, c.armedFor = now, word
	return c.Conn.SetReadDeadline(now.Add(timeout))
}

// SetReadDeadline sets the deadline of reads in place of Timeouts, which hold
// again after the zero time is set.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.external, c.armed = !t.IsZero(), time.Time{}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets the deadlines of reads, as SetReadDeadline does, and of
// writes.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.external, c.armed = !t.IsZero(), time.Time{}
	return c.Conn.SetDeadline(t)
}

const (
	// lingerTime and lingerBytes bound what Close waits for.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// Close closes the connection. Where the client may still be sending, after
// a refusal or an early answer, it closes one way first and reads for a
// moment what comes, because a socket that is closed with unread bytes is
// reset, and the answer is lost (RFC 9112 section 9.6). To cut a connection
// off at once close NetConn.
func (c *Conn) Close() error {
	if s := c.State(); s == Refused || s == Body {
		c.linger()
	}
	return c.Conn.Close()
}

// linger closes for writing, and drops what still comes.
func (c *Conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
}
