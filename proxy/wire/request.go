package wire

import (
	"io"
	"time"
	"unsafe"
)

// Request is the head of a request that came whole: nothing of its message is
// missing, and it has no body. Its text is lent from the buffer that it was
// read into and valid as long as that is.
type Request struct {
	Method string
	Target string // in origin form
	Host   string // the one Host field
	Lines  []Line // in the order received, Host included
}

// Line is one field line, the value without the white space around it.
type Line struct{ Name, Value string }

// Looper is a connection that reads into b and calls each with the number of
// bytes, over and over, until each tells to stop: then it gives the number
// that each was called with last. Else it gives the error of a read.
type Looper interface {
	ReadLoop(b []byte, each func(n int) (more bool)) (n int, err error)
}

// LoopBy has ReadRequests read by l, which must give the bytes that the guarded
// connection would. It is to be called before the first read.
func (c *Conn) LoopBy(l Looper) { c.looper, c.each = l, c.next }

// ReadRequests reads like Read. But where what was read is exactly one message
// of the usual kind it takes it apart into r, calls answer, and reads on: a
// request of HTTP/1.1 in origin form without a body, whose connection goes on
// and that asks nothing of it. Everything else is left to who parses the
// bytes.
//
// The message has been judged by the same rules either way; r only spares
// another reading. answer tells whether the connection goes on, else
// ReadRequests gives io.EOF, and the time, where it knows one not long ago.
func (c *Conn) ReadRequests(b []byte, r *Request, answer func() (now time.Time, goesOn bool)) (int, error) {
	if c.fault != nil || c.parser.at != atStart || len(b) == 0 || c.State() == Released {
		return c.Read(b)
	}
	if err := c.arm(time.Time{}); err != nil {
		return 0, err
	}
	c.requests = requests{b, r, answer, nil}
	defer func() { c.requests = requests{} }()
	var n int
	var err error
	if c.looper != nil {
		n, err = c.looper.ReadLoop(b, c.each)
	} else {
		for {
			if n, err = c.Conn.Read(b); n <= 0 || !c.next(n) {
				break
			}
		}
	}
	if c.requests.end != nil {
		return 0, c.requests.end
	}
	return c.judge(b, n, err)
}

// requests is what ReadRequests is about.
type requests struct {
	b      []byte
	r      *Request
	answer func() (now time.Time, goesOn bool)
	end    error // why the connection does not go on
}

// next has the request answered that was read, and tells whether another is to
// be read.
func (c *Conn) next(n int) bool {
	q := &c.requests
	if c.State() == Released || !c.parser.whole(q.b[:n], q.r) {
		return false
	}
	c.parser.messages++
	c.publish()
	now, goesOn := q.answer()
	if !goesOn {
		q.end = io.EOF
		return false
	}
	q.end = c.arm(now)
	return q.end == nil
}

// whole takes one whole message of the usual kind apart. Whatever it is in
// doubt of it leaves to feed: it accepts only what feed accepts as well.
func (p *parser) whole(b []byte, r *Request) bool {
	if len(b) > p.limits.MaxHead {
		return false
	}
	i := 0
	for i < len(b) && b[i] >= 'A' && b[i] <= 'Z' {
		i++
	}
	if i == 0 || i > maxMethod || i+1 >= len(b) || b[i] != ' ' || b[i+1] != '/' {
		return false
	}
	text := unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // lent with b, as Request says
	r.Method = text[:i]
	if checkMethod(r.Method) != nil {
		return false
	}
	i++
	n := usualTarget(b[i:])
	if n == 0 || n > p.limits.MaxTarget {
		return false
	}
	r.Target = text[i : i+n]
	i += n
	const version = " HTTP/1.1\r\n"
	if len(b)-i < len(version) || text[i:i+len(version)] != version {
		return false
	}
	i += len(version)

	r.Host, r.Lines = "", r.Lines[:0]
	for {
		if len(b)-i < len("\r\n") {
			return false
		}
		if b[i] == '\r' {
			return b[i+1] == '\n' && i+2 == len(b) && r.Host != ""
		}
		name := span(b[i:], classToken)
		if name == 0 || i+name == len(b) || b[i+name] != ':' || len(r.Lines) == p.limits.MaxFields {
			return false
		}
		at := i + name + 1
		end := at + spanValue(b[at:])
		if end+1 >= len(b) || b[end] != '\r' || b[end+1] != '\n' || end-i > p.limits.MaxLine {
			return false
		}
		line := Line{text[i : i+name], trim(text[at:end])}
		if !r.usual(line, end-at) {
			return false
		}
		r.Lines = append(r.Lines, line)
		i = end + 2
	}
}

// usual tells whether a field is none that says more of the message or its
// connection than its host. length is that of the value with its white space.
func (r *Request) usual(line Line, length int) bool {
	kind, fault := kindOf(line.Name)
	if fault != nil {
		return false
	}
	switch kind {
	case kindOther:
		return !is(line.Name, "upgrade")
	case kindHost:
		if r.Host != "" || length > maxSpecial {
			return false
		}
		if _, _, fault := Host(line.Value); fault != nil {
			return false
		}
		r.Host = line.Value
		return true
	case kindConnection:
		return length <= maxSpecial && is(line.Value, "keep-alive")
	default:
		return false
	}
}

// usualTarget gives the length of the target in origin form that b begins
// with, 0 where it is not well-formed or not whole.
func usualTarget(b []byte) int {
	if len(b) > 1 && b[1] == '/' {
		return 0
	}
	bit := uint8(classPath)
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case class[c]&bit != 0:
		case c == ' ':
			return i
		case c == '%':
			if escape := b[i+1:]; len(escape) < 2 || class[escape[0]]&class[escape[1]]&classHex == 0 {
				return 0
			}
			i += 2
		case c == '?' && bit == classPath:
			bit = classQuery
		default:
			return 0
		}
	}
	return 0
}
