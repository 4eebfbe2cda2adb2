package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// call is one exchange over HTTP/2: a stream of a session.
type call struct {
	p      *Pool
	s      *session
	parent context.Context // the caller's
	ctx    context.Context // parent, and what the exchange itself ends for
	cancel context.CancelCauseFunc
	unhook func() bool
	upload *upload // nil: the request has no body
	answer *http.Response
	left   int64 // of the answer's body, where its length is known; else -1
	ended  bool

	wrote atomic.Bool // the request's head was sent, or a part of it
	heard atomic.Int32
	hints chan http.Header // 103 answers, where they are wanted

	mu    sync.Mutex
	timer *time.Timer
	until moment // 0: nothing is waited for
	pause time.Duration
}

// stream makes one attempt on a place at a session.
func (p *Pool) stream(ctx context.Context, q *Request, r *Response, s *session, a *attempt) (again bool, err error) {
	c := &call{p: p, s: s, parent: ctx, left: -1, pause: a.timeout, upload: newUpload(q, bytes.NewReader(q.Body))}
	r.fresh = false
	r.exchange = exchange{ctx: ctx, p: p, silence: max(a.timeout, leastSilence)}
	r.buf = r.buf[:0]
	r.head.reset(0)
	r.body, r.trailers, r.call = body{}, r.trailers[:0], c
	headBy := a.until
	if h := p.settings.header; h > 0 && h < a.timeout {
		c.pause = h
		headBy = min(headBy, readClock().add(h))
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	req, err := c.request(q)
	if err != nil {
		s.conn.Release()
		_ = c.end()
		return false, err
	}
	c.arm(headBy)
	c.answer, err = c.roundTrip(req, q, r) //nolint:bodyclose // end closes it
	if err != nil {
		err = c.explain(err)
		if errors.Is(err, errUnusable) && !c.wrote.Load() && s.kept {
			p.retire(s)
			_ = c.end()
			return true, errStale
		}
		again = c.harmless(q, err)
		if errors.Is(err, ErrTimeout) {
			p.retire(s) // it may be dead
		}
		return again, r.hangUp(err)
	}
	s.heard.Store(true)
	c.unhook = context.AfterFunc(c.ctx, func() { _ = c.answer.Body.Close() })
	if err = r.readFields(c.answer.StatusCode, c.answer.Header); err == nil {
		err = r.holdStream(q, a.until)
	}
	if err != nil {
		return false, r.hangUp(c.explain(err))
	}
	return false, nil
}

// harmless tells whether a failed request may be sent again: its head never
// left, or the upstream says that it did nothing with it (RFC 9113 section
// 8.7), or it is idempotent and nothing came back.
func (c *call) harmless(q *Request, err error) bool {
	switch {
	case q.Stream != nil && c.upload != nil && c.upload.began.Load():
		return false
	case errors.Is(err, ErrInvalid):
		return false
	case !c.wrote.Load(), errors.Is(err, errNotProcessed):
		return true
	}
	return q.Stream == nil && idempotent(q.Method) && c.heard.Load() == 0
}

// request makes net/http's request.
func (c *call) request(q *Request) (*http.Request, error) {
	e := c.s.e
	u, err := e.target(q.Target)
	if err != nil {
		return nil, err
	}
	header := make(http.Header, len(q.lines.names)+3)
	for i, n := range q.lines.names {
		end := len(q.lines.text)
		if i+1 < len(q.lines.names) {
			end = int(q.lines.names[i+1].from)
		}
		name := textproto.CanonicalMIMEHeaderKey(string(n.of(q.lines.text)))
		value := trimOWS(q.lines.text[int(n.to)+len(": ") : end-len("\r\n")])
		header[name] = append(header[name], string(value))
	}
	if c.p.secret != "" {
		header[textproto.CanonicalMIMEHeaderKey(c.p.secret)] = []string{c.p.credential}
	}
	if q.Trailers {
		header["Te"] = []string{"trailers"}
	}
	if _, found := header["User-Agent"]; !found {
		header["User-Agent"] = nil // net/http would name itself
	}
	trace := &httptrace.ClientTrace{
		WroteHeaders:   func() { c.wrote.Store(true) },
		Got1xxResponse: c.interim,
	}
	req := &http.Request{
		Method: strings.Clone(q.Method), URL: u, Host: e.host, Header: header,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}
	if c.upload != nil {
		req.Body, req.ContentLength = c.upload, c.upload.length
	}
	return req.WithContext(httptrace.WithClientTrace(c.ctx, trace)), nil
}

// target makes the URL whose :path is the endpoint's prefix and the target,
// byte for byte.
func (e *endpoint) target(target []byte) (*url.URL, error) {
	whole := e.prefix + string(target)
	u := &url.URL{Scheme: "http", Host: e.host}
	if e.tls != nil {
		u.Scheme = "https"
	}
	u.Opaque, u.RawQuery, u.ForceQuery = strings.Cut(whole, "?")
	if strings.HasPrefix(u.Opaque, "//") {
		// As an opaque part it would be an authority.
		path, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return nil, errRequest
		}
		u.Path, u.RawPath, u.Opaque = path, u.Opaque, ""
	}
	if u.RequestURI() != whole {
		return nil, errRequest
	}
	return u, nil
}

// roundTrip sends the request and waits for the head of the answer, giving
// interim answers to the caller where it wants them.
func (c *call) roundTrip(req *http.Request, q *Request, r *Response) (*http.Response, error) {
	if q.Informational == nil {
		return c.s.conn.RoundTrip(req)
	}
	c.hints = make(chan http.Header)
	type result struct {
		answer *http.Response
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := c.s.conn.RoundTrip(req) //nolint:bodyclose // end closes it
		done <- result{answer, err}
	}()
	for {
		select {
		case h := <-c.hints:
			if r.readFields(http.StatusEarlyHints, h) == nil {
				q.Informational(r)
			}
			r.buf = r.buf[:0]
			r.head.reset(0)
		case x := <-done:
			return x.answer, x.err
		}
	}
}

// interim is called with each interim answer, by the connection's reader.
func (c *call) interim(status int, header textproto.MIMEHeader) error {
	if c.heard.Add(1) > maxInterim {
		return errInterim
	}
	if status == http.StatusSwitchingProtocols {
		return errSwitching
	}
	if status == http.StatusEarlyHints && c.hints != nil {
		select {
		case c.hints <- http.Header(header):
		case <-c.ctx.Done():
		}
	}
	return nil
}

const (
	errStatus     = invalidError("a status code that is none (RFC 9110 section 15)")
	errSwitching  = invalidError("101 over HTTP/2 (RFC 9113 section 8.6)")
	errHopByHop   = invalidError("a field of the connection over HTTP/2 (RFC 9113 section 8.2.2)")
	errOverLength = invalidError("a body that is longer than its Content-Length (RFC 9113 section 8.1.1)")
)

// readFields takes the head of an answer over. What is checked here was
// checked by net/http for the most part; that it stays so is not relied on.
func (r *Response) readFields(status int, header http.Header) error {
	if status != http.StatusEarlyHints && (status < 200 || status > 599) {
		return errStatus
	}
	r.head.status = status
	for _, name := range sortedNames(header) {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade":
			return errHopByHop
		case "Te", "Trailer", "Proxy-Authenticate", "Proxy-Authorization":
			continue
		case "Content-Length":
			n, ok := parseLength([]byte(header[name][0]))
			if !ok || len(header[name]) > 1 {
				return errLength
			}
			r.head.length = n
			continue
		}
		for _, value := range header[name] {
			var err error
			if r.head.fields, err = r.appendField(r.head.fields, name, value); err != nil {
				return err
			}
		}
	}
	r.head.line = len(r.buf)
	return nil
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name, values := range h {
		if len(values) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// appendField copies a field into the buffer.
func (r *Response) appendField(to []field, name, value string) ([]field, error) {
	v := trimOWS([]byte(value))
	switch {
	case len(to) == maxFields:
		return to, errManyFields
	case !isToken(name):
		return to, errFieldName
	case hasControl(v):
		return to, errControl
	}
	at := int32(len(r.buf))
	r.buf = append(append(r.buf, name...), v...)
	mid := at + int32(len(name))
	return append(to, field{span{at, mid}, span{mid, int32(len(r.buf))}}), nil
}

// holdStream reads the body as far as it is to be held, by the rules of
// readBody.
func (r *Response) holdStream(q *Request, until moment) error {
	c, b := r.call, &r.body
	at := len(r.buf)
	*b = body{from: at, to: at, window: at}
	if q.Method == "HEAD" || r.head.status == 204 || r.head.status == 304 {
		b.complete = true
		r.finishStream()
		return nil
	}
	b.kind = untilEnd
	c.left = c.answer.ContentLength
	if r.head.length >= 0 {
		b.kind = counted
	}
	limit, waits := q.MaxHold, q.MaxHold > 0 || q.MustHold
	if limit <= 0 {
		limit = defaultHold
	}
	switch sending := q.Stream != nil && c.upload != nil && !c.upload.ended.Load(); {
	case q.MustHold:
	case sending, c.left > limit, c.left < 0 && (!waits || r.eventStream()):
		b.streams = true
		c.disarm(r.silence)
		return nil
	}
	c.arm(until)
	for int64(len(r.buf)-at) <= limit && c.left <= limit {
		r.room(leastRead)
		n, err := c.read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		b.to = len(r.buf)
		if errors.Is(err, io.EOF) && int64(b.to-at) <= limit {
			b.complete = true
			return r.readTrailers()
		}
		if err != nil {
			return err
		}
	}
	if q.MustHold {
		return fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, limit)
	}
	b.streams = true
	c.disarm(r.silence)
	return nil
}

// read reads content of the answer.
func (c *call) read(p []byte) (int, error) {
	n, err := c.answer.Body.Read(p)
	if c.left >= 0 {
		c.left -= int64(n)
		if c.left == 0 && err != nil && !errors.Is(err, io.EOF) && errors.Is(h2Fault(err), errUnusable) {
			return n, errOverLength
		}
	}
	return n, err
}

// readTrailers takes what came after the body, and ends the exchange.
func (r *Response) readTrailers() error {
	trailer := r.call.answer.Trailer
	for _, name := range sortedNames(trailer) {
		if ownField(name) || name == "Proxy-Authenticate" || name == "Proxy-Authorization" {
			continue
		}
		for _, value := range trailer[name] {
			var err error
			if r.trailers, err = r.appendField(r.trailers, name, value); err != nil {
				return err
			}
		}
	}
	r.finishStream()
	return nil
}

// finishStream gives the place of a complete answer back.
func (r *Response) finishStream() {
	c := r.call
	_ = c.end()
	c.p.mu.Lock()
	c.s.kept = true
	c.s.e.succeeded()
	c.p.mu.Unlock()
}

// hangUp ends the exchange after err and gives the error for it.
func (r *Response) hangUp(err error) error {
	c := r.call
	if fault := c.end(); fault != nil && c.parent.Err() == nil {
		err = fault
	}
	if c.parent.Err() == nil && !errors.Is(err, ErrRequestBody) && !errors.Is(err, ErrTooLarge) {
		c.p.report(c.s.e, false)
	}
	return err
}

// end lets go of the stream, which is reset where it is not complete, and of
// the request's body; it waits until that is not read any more, and gives
// the error of reading it. It may be called again.
func (c *call) end() error {
	if c.ended {
		return nil
	}
	c.ended = true
	c.mu.Lock()
	c.until = 0
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if c.unhook != nil {
		c.unhook()
	}
	if c.answer != nil {
		_ = c.answer.Body.Close()
	}
	c.cancel(nil)
	var err error
	if c.upload != nil {
		err = c.upload.settle()
	}
	c.p.leave(c.s)
	return err
}

// arm bounds what is waited for from now on.
func (c *call) arm(until moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = until
	if left := until.left(); c.timer == nil {
		c.timer = time.AfterFunc(left, c.expire)
	} else {
		c.timer.Reset(left)
	}
}

// disarm bounds nothing until the next read of the stream, which may be
// silent for as long as is said.
func (c *call) disarm(silence time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.pause = 0, silence
}

// expire ends an exchange that takes too long, unless its request moves on.
func (c *call) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == 0 {
		return
	}
	now, until := readClock(), c.until
	if u := c.upload; u != nil && u.stream {
		if t := u.moving(now, c.pause); t > until {
			until = t
		}
	}
	if now < until {
		c.timer.Reset(until.since(now))
		return
	}
	c.cancel(context.DeadlineExceeded)
}

// callStream is the body of an answer over HTTP/2 that is not held.
type callStream Response

// Read reads content.
func (s *callStream) Read(p []byte) (int, error) {
	r := (*Response)(s)
	b, c := &r.body, r.call
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
	c.arm(readClock().add(r.silence))
	n, err := c.read(p)
	c.disarm(r.silence)
	if errors.Is(err, io.EOF) {
		if err = r.readTrailers(); err == nil {
			b.complete, b.err = true, io.EOF
			return n, io.EOF
		}
	}
	if err != nil {
		b.err = r.hangUp(c.explain(err))
		if n > 0 {
			return n, nil
		}
		return 0, b.err
	}
	return n, nil
}

// Close releases the response.
func (s *callStream) Close() error {
	(*Response)(s).Release()
	return nil
}
