package upstream

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"time"
)

// Request is one request to an upstream. The zero Request is a ready one
// without fields; [Request.Reset] makes it so again and keeps its memory. It
// belongs to one goroutine at a time, and to the pool during Do.
//
// The pool itself writes the request line, Host, the secret's field and the
// framing.
type Request struct {
	// Method is the request's method, a token.
	Method string
	// Target is the path and query, sent byte for byte. The endpoint's path
	// prefix is put before it. It starts with a slash.
	Target []byte
	// Body is the whole body; it can be sent again.
	Body []byte
	// Stream is, instead of Body, a body that is read while it is sent.
	// Length is its exact length, or -1 where it is not known and the body
	// goes chunked. A request is never repeated once Stream was read from.
	//
	// While an early answer is being read the pool may still read Stream, in
	// another goroutine, until the answer is complete or released. Where
	// sending ends before Stream does and Stream is an io.Closer, it is
	// closed, which must make a pending Read return; Release waits for that.
	// How long a Read may take is the caller's to bound.
	Stream io.Reader
	Length int64
	// Timeout is the longest time until the head of the answer has come,
	// and its body where that is held whole; retries included. 0 means the
	// upstream's. Time in which Stream makes progress does not count.
	Timeout time.Duration
	// Now, where it is not zero, is the moment at which Do is called, so that
	// the pool need not read the clock. It must come from time.Now: the
	// timeouts of the request run from it.
	Now time.Time
	// MaxHold is the size up to which the answer's body is held whole, in
	// bytes. 0 means what came with the head, or at most 64 KiB of known
	// length. MustHold refuses a larger one with ErrTooLarge instead of
	// letting it stream.
	MaxHold  int64
	MustHold bool
	// Trailers tells an upstream of HTTP/2 that trailers are of use (TE:
	// trailers, RFC 9110 section 10.1.4). gRPC servers insist on it.
	Trailers bool
	// Duplex is for a Stream on which both sides talk at will over HTTP/2, so
	// that the caller does not bound how long a Read may take: time in which
	// neither side says anything counts, whoever is waited for.
	Duplex bool
	// Informational, where set, is called with each interim answer that is
	// meant for the client (status 103 Early Hints, RFC 8297): the response
	// has its status and fields, until it returns.
	Informational func(*Response)

	lines lines
	fault bool
	out   []byte // the request as it is sent
}

// Reset empties the request and keeps its buffers.
func (q *Request) Reset() {
	target := q.Target[:0]
	kept, out := lines{text: keep(q.lines.text), names: q.lines.names[:0]}, keep(q.out)
	*q = Request{Target: target, lines: kept, out: out}
}

// maxKept is the largest buffer that is kept from one exchange to the next:
// what is held where the request does not say, with its head, fits.
const maxKept = 128 << 10

// keep empties a buffer, or lets go of one that grew large.
func keep(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// Add appends a field line, copying name and value. Control characters,
// names that are no tokens, and fields that frame the message or speak of
// the connection are dropped and make Do fail with ErrInvalid.
func (q *Request) Add(name, value string) {
	q.fault = !q.lines.addChecked(name, value) || q.fault
}

// AddTrusted is Add without the checks, for what was checked before. The
// caller answers for it that Add would take the field: name is a token and
// none of Host, Content-Length, Transfer-Encoding, Connection, Keep-Alive,
// Proxy-Connection, TE, Trailer, Upgrade and Expect in any case of letters;
// value has no control character but tab.
func (q *Request) AddTrusted(name, value string) { q.lines.add(name, value) }

// AddFields adds fields that were made before.
func (q *Request) AddFields(f *Fields) {
	at := int32(len(q.lines.text))
	q.lines.text = append(q.lines.text, f.lines.text...)
	for _, n := range f.lines.names {
		q.lines.names = append(q.lines.names, span{at + n.from, at + n.to})
	}
}

// Fields are fields that are made once and added to many requests. The zero
// Fields are none. Any number of goroutines may add them to their requests
// once they are made.
type Fields struct{ lines lines }

// Add appends a field line, copying name and value. What [Request.Add] would
// drop is refused with ErrInvalid.
func (f *Fields) Add(name, value string) error {
	if !f.lines.addChecked(name, value) {
		return errRequest
	}
	return nil
}

// lines are field lines as they are sent.
type lines struct {
	text  []byte
	names []span // in text
}

func (l *lines) add(name, value string) {
	at := len(l.text)
	b := append(l.text, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	l.text = append(b, "\r\n"...)
	l.names = append(l.names, span{int32(at), int32(at + len(name))})
}

// addChecked adds a field that may be added, and tells whether it did.
func (l *lines) addChecked(name, value string) bool {
	if !isToken(name) || ownField(name) || hasControl(value) {
		return false
	}
	l.add(name, value)
	return true
}

// ownField tells whether a field is one that the pool writes itself, or one
// of the connection.
func ownField(name string) bool {
	switch len(name) {
	case 2:
		return equalFold(name, "te")
	case 4:
		return equalFold(name, "host")
	case 6:
		return equalFold(name, "expect")
	case 7:
		return equalFold(name, "upgrade") || equalFold(name, "trailer")
	case 10:
		return equalFold(name, "connection") || equalFold(name, "keep-alive")
	case 14:
		return equalFold(name, "content-length")
	case 16:
		return equalFold(name, "proxy-connection")
	case 17:
		return equalFold(name, "transfer-encoding")
	}
	return false
}

// Clone gives a request with memory of its own, Body included, for work that
// outlives the exchange. It has no Stream and no Informational.
func (q *Request) Clone() *Request {
	return &Request{
		Method:   string(append([]byte(nil), q.Method...)),
		Target:   bytes.Clone(q.Target),
		Body:     bytes.Clone(q.Body),
		Timeout:  q.Timeout,
		MaxHold:  q.MaxHold,
		MustHold: q.MustHold,
		lines:    lines{text: bytes.Clone(q.lines.text), names: slices.Clone(q.lines.names)},
		fault:    q.fault,
	}
}

const (
	errRequest      = invalidError("the request has a malformed method, target or field")
	errSecretField  = invalidError("the request has the field of the upstream's secret")
	errStreamAndAll = invalidError("the request has both a body and a stream")
)

// check refuses a request that could be read as something else, whatever the
// caller promised.
func (q *Request) check(secret string) error {
	if q.fault || q.Method != "GET" && (!isToken(q.Method) || q.Method == "CONNECT") {
		return errRequest
	}
	if len(q.Target) == 0 || q.Target[0] != '/' || hasSpace(q.Target) {
		return errRequest
	}
	if q.Stream != nil && (len(q.Body) > 0 || q.Length < -1) {
		return errStreamAndAll
	}
	if secret != "" {
		for _, n := range q.lines.names {
			if name := n.of(q.lines.text); len(name) == len(secret) && looselyEqual(name, secret) {
				return errSecretField
			}
		}
	}
	return nil
}

// looselyEqual compares names of one length without regard to case and to _
// and -, which some servers take for each other.
func looselyEqual(a []byte, b string) bool {
	for i := range len(b) {
		if loose(a[i]) != loose(b[i]) {
			return false
		}
	}
	return true
}

func loose(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case c == '_':
		return '-'
	}
	return c
}

// maxJoined is the size up to which a body is copied behind the head, to go
// out in one write. Copying that much costs less than a second write.
const maxJoined = 64 << 10

// build writes the request as endpoint e wants it into q.out. joined tells
// that the body is part of it.
func (q *Request) build(e *endpoint, upgrade string) (joined bool) {
	b := append(q.out[:0], q.Method...)
	b = append(b, ' ')
	b = append(b, e.prefix...)
	b = append(b, q.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = append(b, e.fields...)
	b = append(b, q.lines.text...)
	switch {
	case upgrade != "":
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, upgrade...)
		b = append(b, "\r\n"...)
	case q.Stream != nil && q.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case q.Stream != nil:
		b = appendLength(b, q.Length)
	case len(q.Body) > 0 || q.Method == "POST" || q.Method == "PUT" || q.Method == "PATCH":
		b = appendLength(b, int64(len(q.Body)))
	}
	b = append(b, "\r\n"...)
	if joined = len(q.Body) <= maxJoined; joined {
		b = append(b, q.Body...)
	}
	q.out = b
	return joined
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// idempotent tells whether a method may be sent again (RFC 9110 section
// 9.2.2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE":
		return true
	}
	return false
}
