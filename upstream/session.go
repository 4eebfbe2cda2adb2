package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// session is a connection of HTTP/2 to an endpoint, which many exchanges
// share. What changes of it is guarded by the pool's mutex, under which
// nothing of conn may be called that runs its state hook: that is all but
// Err, Available and InFlight.
type session struct {
	conn    *http.ClientConn
	e       *endpoint
	expires moment // when it is too old to take further exchanges
	streams int    // exchanges that use it
	room    int    // streams that the peer allows at a time; 0: not known
	kept    bool   // it served an exchange before
	retired bool   // takes no more exchanges, and is closed after the last

	heard atomic.Bool // an answer came, so that the peer's settings are known
}

// dialing is a connection that is being opened, for all who wait for one:
// a burst of requests opens no more of them than it needs.
type dialing struct {
	done chan struct{}
	err  error // valid when done is closed
}

const (
	// streamWindow is how much of an answer may wait for a slow client, for
	// each stream. The connection's own window is much larger, so that one
	// slow client holds up none of the others.
	streamWindow = 256 << 10
	// largestFrame is the largest frame that is read.
	largestFrame = 64 << 10
	// stuckWrite is how long a connection that its peer does not read may be
	// written to.
	stuckWrite = 15 * time.Second
)

// errNotH2 is a TLS handshake without agreement on HTTP/2.
var errNotH2 = errors.New("the endpoint does not speak HTTP/2 over TLS (ALPN h2)")

// carrier makes what opens HTTP/2 connections to an endpoint. It sends no
// PING by itself: gRPC servers take them for abuse. A connection that is
// dead is noticed by the first exchange that times out on it.
func carrier(e *endpoint, s settings) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, e.network, e.address)
		},
		Protocols:              new(http.Protocols),
		DisableCompression:     true,
		IdleConnTimeout:        s.idle,
		MaxResponseHeaderBytes: maxHead,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamWindow,
			MaxReadFrameSize:          largestFrame,
			WriteByteTimeout:          stuckWrite,
		},
	}
	if e.tls == nil {
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	}
	t.Protocols.SetHTTP2(true)
	t.TLSClientConfig = e.tls.Clone()
	t.TLSClientConfig.NextProtos = []string{"h2"}
	t.TLSClientConfig.VerifyConnection = func(c tls.ConnectionState) error {
		if c.NegotiatedProtocol != "h2" {
			return errNotH2
		}
		return nil
	}
	return t
}

// free gives how many more exchanges a connection takes. One that has ended,
// is to be left (GOAWAY, RFC 9113 section 6.8) or is too old is retired.
func (s *session) free(now moment) int {
	if s.retired || s.conn.Err() != nil || now >= s.expires {
		s.retired = true
		return 0
	}
	free := s.conn.Available()
	used := s.conn.InFlight()
	switch {
	case free > 0 && s.heard.Load():
		s.room = free + used
	case free == 0 && used < s.room:
		s.retired = true // not full, and yet it takes nothing
	}
	return free
}

// seats tells whether an endpoint has a place for an exchange, or may open a
// connection for it. It lets go of retired connections.
func (e *endpoint) seats(now moment, most int) bool {
	kept := e.sessions[:0]
	free := 0
	for _, s := range e.sessions {
		free += s.free(now)
		switch {
		case !s.retired:
			kept = append(kept, s)
		case s.streams == 0:
			go s.conn.Close() //nolint:errcheck // it closes in any case, and runs the hook, which takes the mutex
		}
	}
	clear(e.sessions[len(kept):])
	e.sessions = kept
	return free > 0 || e.dialing != nil || len(e.sessions) < most
}

// seat takes a place on a connection, opening one where none has room and
// waiting where none may be opened. e is the endpoint that was tried; nil
// where none was. The place has to be left.
func (p *Pool) seat(ctx context.Context, avoid *endpoint, first bool, until moment) (s *session, e *endpoint, err error) {
	patience := min(readClock().add(p.settings.connect), until)
	for {
		now := p.now()
		p.mu.Lock()
		if first {
			p.budget.request(now)
			first = false
		}
		e = p.pick(now, avoid)
		if e == nil {
			if err := p.queue(ctx, patience); err != nil {
				return nil, nil, err
			}
			continue
		}
		e.tried(now)
		if s := e.vacant(now); s != nil {
			s.streams++
			e.streams++
			p.mu.Unlock()
			if s.conn.Reserve() == nil {
				return s, e, nil
			}
			p.leave(s) // somebody was faster
			continue
		}
		d := e.dialing
		if d == nil {
			d = &dialing{done: make(chan struct{})}
			e.dialing = d
			go p.open(e, d) //nolint:gosec // not the request's: see open
		}
		p.mu.Unlock()
		if err := d.wait(ctx, until); err != nil {
			return nil, e, err
		}
	}
}

// vacant gives the first connection of an endpoint that has room.
func (e *endpoint) vacant(now moment) *session {
	for _, s := range e.sessions {
		if s.free(now) > 0 {
			return s
		}
	}
	return nil
}

// wait waits until the connection is open.
func (d *dialing) wait(ctx context.Context, until moment) error {
	late := time.NewTimer(until.left())
	defer late.Stop()
	select {
	case <-d.done:
		return d.err
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return context.DeadlineExceeded
	}
}

// open opens a connection for those who wait for d. It is nobody's own: who
// leaves does not take it from the others.
func (p *Pool) open(e *endpoint, d *dialing) {
	ctx, cancel := context.WithTimeout(context.Background(), p.settings.connect)
	defer cancel()
	scheme, address := "http", e.address
	if e.tls != nil {
		scheme = "https"
	}
	if e.network == "unix" {
		address = "localhost:80" // only its form matters
	}
	conn, err := e.carrier.NewClientConn(ctx, scheme, address)
	if err != nil {
		d.err = connectFault(err)
	}
	p.mu.Lock()
	e.dialing = nil
	var s *session
	if err == nil {
		s = &session{conn: conn, e: e, expires: p.now().add(lifetime())}
		e.sessions = append(e.sessions, s)
	}
	p.wake(1)
	p.mu.Unlock()
	if s != nil {
		conn.SetStateHook(func(*http.ClientConn) { p.changed(s) })
	}
	close(d.done)
}

// changed wakes those who wait for a place when a connection has one, or may
// be replaced.
func (p *Pool) changed(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queued) == 0 {
		return
	}
	n := s.free(p.now())
	if s.retired {
		n = 1
	}
	p.wake(n)
}

// queue waits, until woken or its patience is over, for a place that may
// have become free. It is called under the mutex and unlocks it.
func (p *Pool) queue(ctx context.Context, patience moment) error {
	if len(p.queued) >= p.settings.maxConns*len(p.endpoints) {
		p.mu.Unlock()
		return fmt.Errorf("%w: too many requests wait", ErrOverloaded)
	}
	woken := make(chan struct{}, 1)
	p.queued = append(p.queued, woken)
	p.mu.Unlock()
	late := time.NewTimer(patience.left())
	defer late.Stop()
	var err error
	select {
	case <-woken:
		return nil
	case <-ctx.Done():
		err = broken(ctx, ctx.Err())
	case <-late.C:
		err = fmt.Errorf("%w: none became free", ErrOverloaded)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.queued {
		if w == woken {
			p.queued = append(p.queued[:i], p.queued[i+1:]...)
			return err
		}
	}
	p.wake(1) // it was woken all the same
	return err
}

// wake wakes the first n that wait.
func (p *Pool) wake(n int) {
	n = min(n, len(p.queued))
	for _, w := range p.queued[:n] {
		w <- struct{}{}
	}
	p.queued = append(p.queued[:0], p.queued[n:]...)
}

// leave gives a place back.
func (p *Pool) leave(s *session) {
	p.mu.Lock()
	s.streams--
	s.e.streams--
	s.retired = s.retired || p.closed
	last := s.retired && s.streams == 0
	if last {
		p.wake(1)
	}
	p.mu.Unlock()
	if last {
		_ = s.conn.Close()
	}
}

// retire lets a connection take no further exchange.
func (p *Pool) retire(s *session) {
	p.mu.Lock()
	s.retired = true
	p.mu.Unlock()
}

// retireAll retires the connections of a pool that is closed, and gives
// those that nobody uses, to be closed. It is called under the mutex.
func (p *Pool) retireAll() (unused []*session) {
	for _, e := range p.endpoints {
		for _, s := range e.sessions {
			s.retired = true
			if s.streams == 0 {
				unused = append(unused, s)
			}
		}
		e.sessions = nil
	}
	return unused
}
