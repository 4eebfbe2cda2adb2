package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// exchange is what a response holds on to while it is not complete.
type exchange struct {
	ctx     context.Context
	p       *Pool
	c       *conn // nil once given back
	unwatch func() bool
	sender  *sender // where the request did not go out at once
	tainted bool    // the connection cannot be used again
	silence time.Duration
}

// Do sends q and fills r with the answer. It returns when the head has come,
// and the whole body where that is held; an early answer to a request whose
// body is still being sent is given at once. An answer of status 300 or more
// ends the sending.
//
// ctx frees the connection as soon as it is done, until the response is
// complete or released. A context that has a method AfterFunc, as
// [context.AfterFunc] describes it, makes that without a goroutine; one that
// can never be done costs nothing.
//
// Errors are told apart by errors.Is with the package's variables and
// ctx.Err(). After an error r holds nothing but Attempts and Endpoint, and
// the request's Stream is no longer read.
func (p *Pool) Do(ctx context.Context, q *Request, r *Response) error {
	return p.do(ctx, q, r, "")
}

// do is Do, or Upgrade where a protocol is named.
func (p *Pool) do(ctx context.Context, q *Request, r *Response, upgrade string) error {
	r.Release()
	r.attempts, r.endpoint, r.took = 0, "", 0
	if err := q.check(p.secret); err != nil {
		return err
	}
	a := attempt{first: true, now: began(q.Now), timeout: p.settings.timeout, upgrade: upgrade}
	if q.Timeout > 0 {
		a.timeout = q.Timeout
	}
	a.until = a.now.add(a.timeout)
	start := a.now
	err := p.repeat(ctx, q, r, &a)
	r.took = readClock().since(start)
	if err != nil {
		r.Release()
	}
	return err
}

// began gives the moment at which an exchange begins: what the caller says,
// or else now.
func began(told time.Time) moment {
	if told.IsZero() {
		return readClock()
	}
	return momentOf(told)
}

// repeat makes attempts until one succeeds or none is left.
func (p *Pool) repeat(ctx context.Context, q *Request, r *Response, a *attempt) error {
	var avoid *endpoint
	var failure error
	for {
		e, again, err := p.turn(ctx, q, r, avoid, a)
		if err == nil {
			r.attempts++
			return nil
		}
		if e == nil {
			if failure != nil {
				return failure
			}
			return err
		}
		a.first, a.now = false, readClock()
		if errors.Is(err, errStale) {
			continue
		}
		r.attempts++
		failure = fmt.Errorf("upstream %s, endpoint %s: %w", p.name, e.text, err)
		if !again || r.attempts >= p.settings.attempts || ctx.Err() != nil || a.now >= a.until || !p.mayRetry() {
			return failure
		}
		avoid = e
	}
}

// turn makes one attempt at an endpoint that it chooses. Where there was none
// to be had, e is nil.
func (p *Pool) turn(ctx context.Context, q *Request, r *Response, avoid *endpoint, a *attempt) (e *endpoint, again bool, err error) {
	if p.multiplexed {
		s, e, err := p.seat(ctx, avoid, a.first, a.until)
		if e == nil {
			return nil, false, err
		}
		r.endpoint = e.text
		if err != nil {
			if ctx.Err() == nil {
				p.report(e, true)
			}
			return e, true, broken(ctx, err)
		}
		again, err = p.stream(ctx, q, r, s, a)
		return e, again, err
	}
	t, err := p.take(ctx, avoid, a)
	if err != nil {
		return nil, false, err
	}
	r.endpoint = t.e.text
	again, err = p.try(ctx, q, r, t, a)
	return t.e, again, err
}

// attempt is what bounds one attempt. now is when it began, or when what it
// had to wait for came.
type attempt struct {
	first   bool // of its request
	now     moment
	timeout time.Duration
	until   moment
	upgrade string
}

// try makes one attempt at the endpoint of t. again tells that another one
// could do no harm. The error errStale means that nothing was tried.
func (p *Pool) try(ctx context.Context, q *Request, r *Response, t taken, a *attempt) (again bool, err error) {
	c := t.c
	if c == nil {
		if c, err = p.connect(ctx, t.e, a); err != nil {
			p.give(t.e, nil)
			if ctx.Err() == nil {
				p.report(t.e, true)
			}
			return true, broken(ctx, err)
		}
	}
	r.begin(ctx, p, c, a)
	sent, err := r.ask(q, c, a)
	if err == nil {
		err = r.readHead(q, a.upgrade)
	}
	if err != nil {
		if errors.Is(err, errStale) {
			r.drop()
			return true, err
		}
		again = sent == 0 || len(r.buf) == 0 && q.Stream == nil && idempotent(q.Method)
		return again, r.failed(err)
	}
	if r.head.status == 101 {
		return false, nil
	}
	return false, r.settle(q, a.until)
}

// settle decides, the head being read, how the rest comes: what of the
// request is still to be sent, and what of the body is held.
func (r *Response) settle(q *Request, until moment) error {
	if r.sender != nil {
		switch {
		case r.sender.over():
			r.sent()
		case r.head.status >= 300:
			r.refused()
		}
	}
	if err := r.readBody(q, until); err != nil {
		return r.failed(err)
	}
	if r.body.complete {
		r.end()
	}
	return nil
}

// begin takes a connection for an attempt.
func (r *Response) begin(ctx context.Context, p *Pool, c *conn, a *attempt) {
	if !r.fresh {
		r.exchange = exchange{}
		r.buf = r.buf[:0]
		r.head.reset(0)
		r.body = body{}
	}
	r.fresh = false
	r.ctx, r.p, r.c, r.silence = ctx, p, c, max(a.timeout, leastSilence)
	if ctx.Done() != nil {
		r.unwatch = watch(ctx, c.cut)
	}
}

// watch calls f when ctx is done, unless the function that it gives is
// called before.
func watch(ctx context.Context, f func()) func() bool {
	if own, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return own.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// ask sends the request, and reads the first bytes of the answer where that
// goes in one. sent is how many bytes may have reached the upstream.
func (r *Response) ask(q *Request, c *conn, a *attempt) (sent int, err error) {
	joined := q.build(c.e, a.upgrade)
	now := a.now
	headBy, pause := a.until, a.timeout
	if h := r.p.settings.header; h > 0 && h < a.timeout {
		pause = h
		headBy = min(headBy, now.add(h))
	}
	c.readUntil(now, headBy)
	if c.tls != nil {
		c.writeUntil(now, a.until)
	}
	r.room(firstBuffer)
	stream := q.Stream
	if q.Length == 0 {
		stream = nil // there is nothing to be read
	}
	more := stream != nil || !joined
	n, sent, err := c.start(q.out, r.buf[:cap(r.buf)], more)
	r.buf = r.buf[:n]
	if err == nil || !errors.Is(err, errPartial) {
		return sent, err
	}
	s := &sender{
		c: c, head: q.out[sent:], stream: stream, length: q.Length, pause: pause,
		done: make(chan struct{}),
	}
	if !joined {
		s.body = q.Body
	}
	s.moved.Store(int64(now))
	if s.stream != nil {
		c.pace = pause
	} else {
		c.writeUntil(now, a.until)
	}
	r.sender = s
	go s.run()
	return len(q.out), nil
}

// readHead reads the head of the final answer.
func (r *Response) readHead(q *Request, upgrade string) error {
	interim := 0
	for {
		done, err := r.head.parse(r.buf)
		if err != nil {
			return err
		}
		if !done {
			if err := r.more(); err != nil {
				return r.cutOff(err)
			}
			continue
		}
		if r.head.status >= 200 {
			return nil
		}
		if r.head.http10 {
			return errInterim10
		}
		if r.head.status == 101 {
			if upgrade == "" {
				return errUnasked
			}
			if !r.head.switches(r.buf, upgrade) {
				return errUpgradeFields
			}
			return nil
		}
		if interim++; interim > maxInterim {
			return errInterim
		}
		if r.head.status == 103 && q.Informational != nil {
			q.Informational(r)
		}
		r.head.reset(r.head.line)
	}
}

// receive reads content from the connection. While a request's stream is
// being sent, the time for the answer begins anew with its progress.
func (r *Response) receive(b []byte) (int, error) {
	for {
		n, err := r.c.read(b)
		if n > 0 {
			return n, nil // an error comes again with the next read
		}
		if err == nil {
			continue
		}
		if s := r.sender; s != nil && s.stream != nil && isTimeout(err) {
			now := readClock()
			if t := s.moving(now); now < t {
				r.c.readUntil(now, t)
				continue
			}
		}
		return 0, err
	}
}

// sent lets go of a sender that has sent everything.
func (r *Response) sent() {
	r.c.pace, r.c.writeBy = 0, deadline{}
	r.sender = nil
}

// refused ends the sending of a request whose answer has come before its
// end.
func (r *Response) refused() {
	r.sender.stop()
	r.tainted = true
}

// end gives the connection back after a complete answer.
func (r *Response) end() {
	c := r.c
	if c == nil {
		return
	}
	if r.sender != nil {
		if r.sender.over() {
			r.sent()
		} else {
			r.refused()
		}
	}
	r.c = nil
	keep := !r.tainted && !r.head.close && c.settled()
	if r.unwatch != nil {
		keep = r.unwatch() && keep
	}
	if !keep {
		c.close()
		r.p.served(c.e, nil)
		return
	}
	if r.body.streams {
		c.used = r.p.now()
	}
	r.p.served(c.e, c)
}

// failed closes the connection after err and gives the error for it.
func (r *Response) failed(err error) error {
	if s := r.sender; s != nil {
		s.stop()
		r.c.close()
		<-s.done
		r.sender = nil
		if errors.Is(s.err, ErrRequestBody) {
			err = s.err
		}
	}
	err = broken(r.ctx, err)
	if r.ctx.Err() == nil && !errors.Is(err, ErrRequestBody) && !errors.Is(err, ErrTooLarge) {
		r.p.report(r.c.e, false)
	}
	r.drop()
	return err
}

// drop closes the connection and gives back its place.
func (r *Response) drop() {
	c := r.c
	if c == nil {
		return
	}
	r.c = nil
	if r.unwatch != nil {
		r.unwatch()
	}
	c.close()
	r.p.give(c.e, nil)
}

// abandon closes the connection of an answer that was not read to its end.
func (r *Response) abandon() {
	if r.sender != nil {
		r.sender.stop()
	}
	r.drop()
}
