package proxy

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"hopgate/proxy/wire"
)

// The express way. Most requests are heads without a body that come whole, in
// one read. The connection answers those itself, where the transport asks it
// for the next bytes: the wire guard has read them already, so that nobody
// parses them again, and the answer goes out in one write. The transport
// never sees them. Everything else is the transport's: bodies, pipelined
// requests, heads that come in pieces, upgrades, HTTP/1.0, refusals of the
// guard.

// serving tells who is at work on a connection, and with that what its
// closing has to wait for.
type serving = int32

const (
	resting   serving = iota // nobody: the next request is waited for
	delegated                // the transport
	busy                     // the express way
	leaving                  // the express way, and the connection is to be closed then
	gone                     // nobody any more: it is closed
)

// Read implements net.Conn: it gives the transport the bytes of the next
// request that is not answered on the express way.
func (c *conn) Read(b []byte) (int, error) {
	if c.State() == wire.Idle {
		c.serving.CompareAndSwap(delegated, resting)
	}
	n, err := c.ReadRequests(b, &c.request, c.express)
	if n > 0 && !c.serving.CompareAndSwap(resting, delegated) && c.serving.Load() != delegated {
		return 0, io.EOF // retired
	}
	switch {
	case err == errParked: //nolint:errorlint // the guard gives it bare
		c.parking.Store(true)
		c.request.Lines = nil
	case err != nil && c.State() == wire.Idle:
		// However the connection ends between two messages, there is nothing
		// to answer. The transport would, having counted none of those on the
		// express way.
		err = io.EOF
	}
	return n, err
}

// retire closes the connection if nobody is at work on it.
func (c *conn) retire() {
	if c.serving.CompareAndSwap(resting, gone) {
		_ = c.Conn.Close() // who waits for the next request does the rest
	}
}

// answerRequest answers the request whose head was read. It tells whether the
// connection goes on, and the time by the system's clock where it knows it.
func (c *conn) answerRequest() (now time.Time, goesOn bool) {
	c.before++
	if !c.serving.CompareAndSwap(resting, busy) {
		return now, false
	}
	a := expresses.Get().(*express)
	x := acquire(a)
	c.introduce(x)
	x.method, x.target, x.authority, x.hosts = c.request.Method, c.request.Target, c.request.Host, 1
	for _, l := range c.request.Lines {
		x.fields = append(x.fields, field{l.Name, l.Value})
	}
	c.http1.gate.serve(x)
	if c.http1.closing.Load() {
		a.closes = true
	}
	a.bare = x.method == "HEAD"
	streams := x.streaming // then the stream's end releases the exchange
	if now = x.answered; streams || !c.http1.gate.realTime {
		now = time.Now()
	}
	err := a.write(c, now)
	if !streams {
		release(x)
	}
	if streams || len(a.content) > oneWrite {
		now = time.Time{} // the client may have taken its time
	}
	goesOn = err == nil && !a.closes
	a.reset()
	expresses.Put(a)
	if !c.serving.CompareAndSwap(busy, resting) {
		c.serving.Store(resting)
		return now, false
	}
	// A shutdown that came to close what rests has passed over this one.
	return now, goesOn && !c.http1.retired.Load()
}

// mayClose tells whether the connection may be closed now. Where not, it is
// closed once the answer that is under way is out.
func (c *conn) mayClose() bool {
	for {
		s := c.serving.Load()
		next, may := gone, true
		if s == busy || s == leaving {
			next, may = leaving, false
		}
		if c.serving.CompareAndSwap(s, next) {
			return may
		}
	}
}

// express gathers an answer and writes it. What is given to it by reference
// is lent until it is written.
type express struct {
	code    int
	fields  []byte // field lines
	content []byte // the body, where it is whole
	from    io.ReadCloser
	length  int64 // of the body
	kind    lengthKind
	closes  bool // the connection ends with this answer
	bare    bool // the answer is one to HEAD

	out    []byte // what is written at once
	pieces [2][]byte
	vector net.Buffers
}

// errTooLong is that of a body longer than was announced.
var errTooLong = errors.New("the body is longer than its announced length")

// lengthKind is what an answer says of the length of its body.
type lengthKind uint8

const (
	lengthWhole   lengthKind = iota // that of content
	lengthSaid                      // length
	lengthUnsaid                    // nothing
	lengthChunked                   // nobody knows it yet
)

var expresses = sync.Pool{New: func() any { return new(express) }}

func (a *express) status(code int) { a.code = code }

func (a *express) add(name, value string) {
	a.fields = append(a.fields, name...)
	a.fields = append(a.fields, ": "...)
	a.fields = append(a.fields, value...)
	a.fields = append(a.fields, "\r\n"...)
}

func (a *express) addBytes(name, value []byte) { a.add(lend(name), lend(value)) }
func (a *express) body(b []byte)               { a.content = b }
func (a *express) staticBody(b []byte)         { a.content = b }
func (a *express) bodyLength(n int64)          { a.kind, a.length = lengthSaid, n }
func (a *express) noLength()                   { a.kind = lengthUnsaid }

func (a *express) stream(r io.ReadCloser, length int64) {
	if a.from = r; length < 0 {
		a.kind = lengthChunked
		return
	}
	a.kind, a.length = lengthSaid, length
}

// Interim answers are for HTTP/2 alone: clients of HTTP/1.1 are known to take
// them for final ones (RFC 8297 section 3).
func (a *express) hints() bool   { return false }
func (a *express) hint([][]byte) {}

// There is no request body to read meanwhile, and upgrades are not served on
// the express way.
func (a *express) duplex() bool                  { return true }
func (a *express) tunnels() bool                 { return false }
func (a *express) tunnel(func(net.Conn), func()) {}
func (a *express) trailer(_, _ []byte)           {} // as in http1Answer
func (a *express) closeAfter()                   { a.closes = true }

// reset makes the answer as new; what was lent to it is forgotten.
func (a *express) reset() {
	fields, out := small(a.fields), small(a.out)
	*a = express{fields: fields, out: out}
}

// oneWrite is the largest body that is copied behind its head to be written
// with it; a larger one is written from where it lies.
const oneWrite = 16 << 10

// write sends the answer. Its error is the connection's, or that of a body
// that broke off: then the connection has to end, so that the answer does not
// look whole (RFC 9112 section 8).
func (a *express) write(c *conn, now time.Time) error {
	if a.from != nil {
		defer a.from.Close() //nolint:errcheck // the answer is out, or given up
	}
	a.appendHead()
	bodiless := a.bare || a.code == 204 || a.code == 304
	switch {
	case bodiless:
		return c.writeAll(a.out, now)
	case a.from != nil:
		if err := c.writeAll(a.out, now); err != nil {
			return err
		}
		return a.relay(c)
	case len(a.content) <= oneWrite:
		a.out = append(a.out, a.content...)
		return c.writeAll(a.out, now)
	case c.tcp == nil:
		if err := c.writeAll(a.out, now); err != nil {
			return err
		}
		return c.writeAll(a.content, now)
	}
	if err := c.extendWrite(now); err != nil {
		return err
	}
	a.pieces = [2][]byte{a.out, a.content}
	a.vector = a.pieces[:]
	_, err := a.vector.WriteTo(c.tcp)
	return err
}

// appendHead writes status line and header section (RFC 9112 section 4).
func (a *express) appendHead() {
	b := append(a.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.code), 10)
	b = append(b, ' ')
	b = append(b, statusText(a.code)...)
	b = append(b, "\r\n"...)
	b = append(b, a.fields...)
	if a.closes {
		b = append(b, "Connection: close\r\n"...)
	}
	kind, length := a.kind, a.length
	if kind == lengthWhole {
		kind, length = lengthSaid, int64(len(a.content))
	}
	switch {
	case a.code == 204 || a.code == 304:
	case kind == lengthSaid:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, "\r\n"...)
	case kind == lengthChunked && !a.bare:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	a.out = append(b, "\r\n"...)
}

const (
	relayPart = 32 << 10 // bytes of a streamed body that are read at a time
	sizeRoom  = 8        // bytes before them, for the size of a chunk: 4 digits and CRLF
	lastChunk = "0\r\n\r\n"
)

type relayBuffer [sizeRoom + relayPart + len("\r\n") + len(lastChunk)]byte

var relayBuffers = sync.Pool{New: func() any { return new(relayBuffer) }}

// relay passes the body on as it comes: each piece goes out at once, it may
// be an event.
func (a *express) relay(c *conn) error {
	buffer := relayBuffers.Get().(*relayBuffer)
	defer relayBuffers.Put(buffer)
	chunked := a.kind == lengthChunked
	left := a.length
	for {
		n, err := a.from.Read(buffer[sizeRoom : sizeRoom+relayPart])
		piece := buffer[sizeRoom : sizeRoom+n]
		switch {
		case chunked:
			piece = appendChunk(buffer[:], n, err == io.EOF)
		case int64(n) > left:
			return errTooLong
		default:
			left -= int64(n)
		}
		if len(piece) > 0 {
			if err := c.writeAll(piece, time.Now()); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && !chunked && left > 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// appendChunk frames the n bytes of a chunk that stand in buffer behind the
// room for its size (RFC 9112 section 7.1), and ends the body after the last.
func appendChunk(buffer []byte, n int, last bool) []byte {
	start, b := sizeRoom, buffer[:sizeRoom+n]
	if n > 0 {
		var size [sizeRoom]byte
		s := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
		start -= copy(buffer[sizeRoom-len(s):], s)
		b = append(b, "\r\n"...)
	}
	if last {
		b = append(b, lastChunk...)
	}
	return b[start:]
}
