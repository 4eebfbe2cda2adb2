package proxy

import (
	"errors"
	"io"
	"net"

	"hopgate/policy"
	"hopgate/proxy/wire"
)

// readBody reads the request's body into memory, at most as much as the
// route allows.
func (x *exchange) readBody() policy.Reason { return x.readUpTo(x.route.maxBody) }

// readUpTo reads the request's body into memory, at most that many bytes.
func (x *exchange) readUpTo(most int64) policy.Reason {
	if x.content != nil || x.body == nil {
		return policy.Allowed
	}
	if x.framing.length > most {
		return policy.BodyTooLarge
	}
	r := bodyReader{from: x.body, left: most, missing: x.framing.length, chunked: x.framing.chunked}
	b := x.contentBuf[:0]
	// One more than was announced, so that the end is seen without growing;
	// but no memory for what only was announced.
	if n := int(min(x.framing.length, wholeBody)); n > 0 && cap(b) <= n {
		b = make([]byte, 0, n+1)
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == nil {
			continue
		}
		x.contentBuf = b
		if err != io.EOF { //nolint:errorlint // bodyReader gives the bare io.EOF
			return r.fault
		}
		x.content = b
		x.body = nil
		return policy.Allowed
	}
}

// bodyReader reads a request's body: no more than is allowed, and no less
// than was announced.
type bodyReader struct {
	from    io.Reader
	left    int64 // bytes that the route still allows
	missing int64 // bytes of the announced length that have not come
	chunked bool
	fault   policy.Reason // why Read failed
}

var errBody = errors.New("the request's body cannot be read")

// Read implements io.Reader. Its error is io.EOF at the end, else errBody,
// and fault says why.
func (r *bodyReader) Read(p []byte) (int, error) {
	if r.fault != "" {
		return 0, errBody
	}
	// One byte more than is allowed shows that there is more.
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1]
	}
	n, err := r.from.Read(p)
	r.left -= int64(n)
	r.missing -= int64(n)
	switch {
	case r.left < 0:
		r.fault = policy.BodyTooLarge
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && (r.chunked || r.missing == 0):
		return n, io.EOF
	default:
		r.fault = faultOf(err)
	}
	return n, errBody
}

// Close implements io.Closer for the upstream, which gives up a body that it
// does not send to its end.
func (r *bodyReader) Close() error {
	if c, ok := r.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// faultOf gives the reason of a failure to read from a client.
func faultOf(err error) policy.Reason {
	var w *wire.Error
	var n net.Error
	switch {
	case errors.As(err, &w):
		return policy.Reason(w.Reason)
	case errors.As(err, &n) && n.Timeout():
		return policy.RequestTimeout
	}
	return policy.RequestMalformed
}
