package upstream

import (
	"io"
	"slices"
	"time"
)

// Response is the answer to one request. The zero Response is ready to be
// filled by [Pool.Do]; it can be used again and keeps its memory. What it
// gives out is valid until [Response.Release], or the next Do with it. It
// belongs to one goroutine at a time.
type Response struct {
	_ noCopy

	buf  []byte // what was read: head and content, or head and a window of it
	head head
	body body

	call     *call   // over HTTP/2
	trailers []field // what came after the body

	exchange
	fresh    bool // nothing is left of an exchange before
	attempts int
	endpoint string
	took     time.Duration
}

// noCopy lets go vet complain about copies: two would give back one
// connection.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Status is the status code, from 100 to 599.
func (r *Response) Status() int { return r.head.status }

// Len is the number of end-to-end fields. Framing fields, those of the
// connection and those that Connection names are not among them.
func (r *Response) Len() int { return len(r.head.fields) }

// FieldAt gives the field at i, in the order of the answer and as it was
// written; over HTTP/2 in the order of the names, in canonical form. Name is a token; value has no control character but tab.
func (r *Response) FieldAt(i int) (name, value []byte) {
	f := &r.head.fields[i]
	return f.name.of(r.buf), f.value.of(r.buf)
}

// Field gives the value of the first field of a name, compared without
// regard to case, and how many there are.
func (r *Response) Field(name string) (value []byte, n int) {
	for i := range r.head.fields {
		f := &r.head.fields[i]
		if sameName(f.name.of(r.buf), name) {
			if n == 0 {
				value = f.value.of(r.buf)
			}
			n++
		}
	}
	return value, n
}

// Body is the whole body where it is held, empty where it streams.
func (r *Response) Body() []byte {
	if r.body.streams {
		return nil
	}
	return r.buf[r.body.from:r.body.to:r.body.to]
}

// Stream gives the body, from its first byte, where it is not held; else
// nil. A Read gives what there is as soon as there is something, and fails
// with ErrUnavailable where the body is cut off, with ErrInvalid where its
// framing is broken, with ErrTimeout where nothing came for a minute or for
// the timeout, whichever is longer, and with the context's error. Close is
// Release.
func (r *Response) Stream() io.ReadCloser {
	if !r.body.streams {
		return nil
	}
	if r.call != nil {
		return (*callStream)(r)
	}
	return (*stream)(r)
}

// Trailers is the number of fields that came after the body (RFC 9110
// section 6.5), known once the body was read to its end. Those of HTTP/1.1
// are dropped.
func (r *Response) Trailers() int { return len(r.trailers) }

// TrailerAt gives the trailer field at i, as FieldAt does. Which of them mean
// anything where, is the caller's to judge.
func (r *Response) TrailerAt(i int) (name, value []byte) {
	f := &r.trailers[i]
	return f.name.of(r.buf), f.value.of(r.buf)
}

// ContentLength is the length of the body, or -1 where it is not known. For
// answers without a body (to HEAD, and 304) it is the length that was
// announced.
func (r *Response) ContentLength() int64 {
	switch {
	case r.body.kind == bodyless:
		return r.head.length
	case r.body.kind == counted:
		return r.head.length
	case r.body.streams:
		return -1
	}
	return int64(r.body.to - r.body.from)
}

// Attempts is how often the request was tried, failed attempts included.
// It stays after Release.
func (r *Response) Attempts() int { return r.attempts }

// Endpoint is the endpoint that was tried last, as configured. It stays
// after Release.
func (r *Response) Endpoint() string { return r.endpoint }

// Took is how long Do took, from Request.Now on where that was given. It
// stays after Release.
func (r *Response) Took() time.Duration { return r.took }

// Release gives back the connection where the answer was read to its end,
// and closes it otherwise. It waits until the request's Stream is no longer
// being read. It may be called again, and on the zero Response.
func (r *Response) Release() {
	if r.fresh {
		return
	}
	if r.call != nil {
		_ = r.call.end()
		r.call = nil
	}
	r.trailers = r.trailers[:0]
	r.abandon()
	if r.sender != nil {
		<-r.sender.done
		r.sender = nil
	}
	r.exchange = exchange{}
	r.buf = keep(r.buf)
	r.head.reset(0)
	r.body = body{}
	r.fresh = true
}

const (
	// firstBuffer holds the head and body of most answers.
	firstBuffer = 4 << 10
	// leastRead is the least room to read into.
	leastRead = 1 << 10
)

// room makes room for at least n more bytes in the buffer.
func (r *Response) room(n int) {
	if free := cap(r.buf) - len(r.buf); free >= n {
		return
	}
	if cap(r.buf) == 0 {
		r.buf = make([]byte, 0, max(n, firstBuffer))
		return
	}
	r.buf = slices.Grow(r.buf, max(n, cap(r.buf)))
}

// more reads more into the buffer.
func (r *Response) more() error {
	r.room(leastRead)
	n, err := r.receive(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	return err
}
