package upstream

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// body is how far the body of an answer was read.
type body struct {
	kind     bodyKind
	streams  bool
	complete bool
	from, to int   // content in the buffer that is still to be given
	left     int64 // of a counted body, beyond the buffer
	window   int   // where a stream's window starts in the buffer
	decoder  chunked
	err      error // a stream's, from then on
}

type bodyKind uint8

const (
	bodyless bodyKind = iota // the status or method says that there is none
	counted                  // Content-Length
	inChunks                 // Transfer-Encoding: chunked
	untilEnd                 // up to the connection's end
)

const (
	// defaultHold is how much of a body of known length is held where the
	// request does not say.
	defaultHold = 64 << 10
	// leastSilence is how long a stream may say nothing, at least.
	leastSilence = time.Minute
)

// readBody begins reading the body (RFC 9112 section 6.3): all of it where
// it is to be held, else what is there already.
func (r *Response) readBody(q *Request, until moment) error {
	b := &r.body
	*b = body{from: r.head.line, to: r.head.line, window: r.head.line}
	switch {
	case q.Method == "HEAD" || r.head.status == 204 || r.head.status == 304:
		// A 204 that announces content will send it, perhaps later.
		r.tainted = r.tainted || r.head.status == 204 && (r.head.length > 0 || r.head.chunked) ||
			len(r.buf) > b.from
		r.buf = r.buf[:b.from]
		b.complete = true
		return nil
	case r.head.chunked:
		b.kind = inChunks
	case r.head.length >= 0:
		b.kind = counted
	default:
		b.kind = untilEnd
		r.tainted = true
	}
	limit, waits := q.MaxHold, q.MaxHold > 0 || q.MustHold
	if limit <= 0 {
		limit = defaultHold
	}
	if waits && !q.MustHold && r.eventStream() {
		waits = false
	}
	if r.sender != nil && !q.MustHold {
		// The upstream may wait for more of the request before it goes on,
		// and the caller for the head.
		waits = false
	}
	here := b.kind == counted && int64(len(r.buf)-b.from) >= r.head.length
	if !here && (waits || b.kind == counted) && r.c.readBy.want != until {
		r.c.readUntil(readClock(), until)
	}
	var err error
	switch b.kind {
	case counted:
		err = r.holdCounted(limit, q.MustHold)
	case inChunks:
		err = r.holdChunks(limit, waits)
	default:
		err = r.holdRest(limit, waits)
	}
	if err != nil {
		return err
	}
	if b.complete && int64(b.to-b.from) <= limit {
		return nil
	}
	if q.MustHold {
		return fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, limit)
	}
	b.streams = true
	return nil
}

// eventStream tells whether the answer is a stream of server-sent events,
// which has no end worth waiting for.
func (r *Response) eventStream() bool {
	v, n := r.Field("Content-Type")
	const events = "text/event-stream"
	return n > 0 && len(v) >= len(events) && equalFold(v[:len(events)], events)
}

func (r *Response) holdCounted(limit int64, must bool) error {
	b := &r.body
	have := int64(len(r.buf) - b.from)
	length := r.head.length
	if have < length && (length > limit || r.sender != nil && !must) {
		b.to, b.left = len(r.buf), length-have
		return nil
	}
	if have < length {
		// One byte more, so that a surplus shows.
		r.room(int(length-have) + 1)
	}
	for int64(len(r.buf)-b.from) < length {
		if err := r.more(); err != nil {
			return r.cutOff(err)
		}
	}
	b.to = b.from + int(length)
	r.tainted = r.tainted || len(r.buf) > b.to
	b.complete = true
	return nil
}

// holdChunks decodes chunks in place.
func (r *Response) holdChunks(limit int64, waits bool) error {
	b := &r.body
	for {
		if err := r.decode(); err != nil {
			return err
		}
		if b.complete || int64(b.to-b.from) > limit || !waits {
			return nil
		}
		if err := r.more(); err != nil {
			return r.cutOff(err)
		}
	}
}

// decode turns what was read beyond b.to into content.
func (r *Response) decode() error {
	b := &r.body
	rest := r.buf[b.to:]
	for len(rest) > 0 && !b.decoder.done() {
		skip, data, err := b.decoder.next(rest)
		if err != nil {
			return err
		}
		b.to += copy(r.buf[b.to:], rest[skip:skip+data])
		rest = rest[skip+data:]
	}
	b.complete = b.decoder.done()
	r.tainted = r.tainted || len(rest) > 0
	r.buf = r.buf[:b.to]
	return nil
}

func (r *Response) holdRest(limit int64, waits bool) error {
	b := &r.body
	for {
		b.to = len(r.buf)
		if !waits || int64(b.to-b.from) > limit {
			return nil
		}
		if err := r.more(); err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			b.complete = true
			return nil
		}
	}
}

// cutOff makes an end where more was promised an error.
func (r *Response) cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return errBroken
	}
	return err
}

// stream is the body of a response that is not held.
type stream Response

// Read reads content. It keeps the connection's deadline a silence away.
func (s *stream) Read(p []byte) (int, error) {
	r := (*Response)(s)
	b := &r.body
	for {
		if b.from < b.to {
			n := copy(p, r.buf[b.from:b.to])
			b.from += n
			return n, nil
		}
		if b.err != nil {
			return 0, b.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if b.complete {
			b.err = io.EOF
			continue
		}
		n, err := r.fill(p)
		if err != nil {
			b.err = r.failed(err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// fill reads from the connection, into p where that is possible, else into
// the window.
func (r *Response) fill(p []byte) (int, error) {
	b := &r.body
	now := readClock()
	r.c.readUntil(now, now.add(r.silence))
	switch b.kind {
	case counted:
		n, err := r.receive(p[:min(int64(len(p)), b.left)])
		if b.left -= int64(n); b.left == 0 {
			// Given back at once, not when the caller asks for the end.
			b.complete = true
			r.end()
			return n, nil
		}
		if err != nil {
			err = r.cutOff(err)
		}
		return n, err
	case inChunks:
		if b.decoder.state == chunkData && b.decoder.remain >= leastRead && len(p) >= leastRead {
			n, err := r.receive(p[:min(int64(len(p)), b.decoder.remain)])
			b.decoder.took(n)
			if err != nil {
				err = r.cutOff(err)
			}
			return n, err
		}
		r.buf = r.buf[:b.window]
		b.from, b.to = b.window, b.window
		if err := r.more(); err != nil {
			return 0, r.cutOff(err)
		}
		if err := r.decode(); err != nil {
			return 0, err
		}
		if b.complete {
			r.end()
		}
		return 0, nil
	}
	n, err := r.receive(p)
	if errors.Is(err, io.EOF) {
		b.complete = true
		r.end()
		return n, nil
	}
	return n, err
}

// Close releases the response.
func (s *stream) Close() error {
	(*Response)(s).Release()
	return nil
}
