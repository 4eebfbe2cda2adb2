package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"hopgate/policy"
	"hopgate/proxy/wire"
	"hopgate/sock"
)

// conn is a client's connection of HTTP/1.1. The wire guard stands before
// the transport's parser: bytes that two parsers could read differently never
// reach it.
type conn struct {
	*wire.Conn
	http1        *http1
	tcp          *net.TCPConn // below, where nothing is in between; else nil
	peer         netip.AddrPort
	cert         *policy.Certificate
	clients      string // whose certificates were accepted at the handshake
	scheme       string
	writeTimeout time.Duration
	writeUntil   time.Time // the deadline that was set here last

	lot       *lot
	home      *handoff                            // where it goes on after it was parked
	parkedFor time.Duration                       // at most
	parking   atomic.Bool                         // the transport lets go of it, to have it parked
	before    uint64                              // messages that the transport has not counted
	request   wire.Request                        // the one on the express way
	serving   atomic.Int32                        // a serving
	express   func() (now time.Time, goesOn bool) // answerRequest, bound once

	// abandon is called where the connection closes before what was to take
	// it over has begun.
	abandon  atomic.Pointer[func()]
	presence *presence
	watcher  *watcher
}

func newConn(c net.Conn, g *guarded) *conn {
	o := g.options
	timeouts := wire.Timeouts{Idle: o.IdleTimeout, Head: o.ReadTimeout, Body: o.ReadTimeout}
	var idle error
	var parkedFor time.Duration
	if canPark && g.lot.after > 0 && o.IdleTimeout > g.lot.after {
		timeouts.Idle, idle, parkedFor = g.lot.after, errParked, o.IdleTimeout-g.lot.after
	}
	t, secure := c.(*tls.Conn)
	out := &conn{
		Conn: wire.NewConn(c, wire.Limits{
			MaxHead:   o.MaxHeaderBytes,
			MaxTarget: o.MaxTargetBytes,
			MaxFields: maxFields,
			HTTPS:     secure,
			Timeouts:  timeouts,
			IdleError: idle,
		}),
		http1:        g.http1,
		tcp:          plainTCP(c),
		peer:         addrPort(c.RemoteAddr()),
		scheme:       "http",
		writeTimeout: o.WriteTimeout,
		lot:          g.lot,
		home:         g.handoff,
		parkedFor:    parkedFor,
	}
	if secure {
		out.scheme = "https"
		state := t.ConnectionState()
		out.cert, out.clients = certificateOf(&state), clientsOf(t)
	}
	out.express = out.answerRequest
	if known, ok := c.(*counted); ok {
		if direct, ok := known.Conn.(wire.Looper); ok {
			out.LoopBy(direct)
		}
	}
	out.presence, out.watcher = newPresence(out), g.watcher
	g.watcher.add(out)
	return out
}

// Close implements net.Conn. A connection that its transport lets go of
// because it is idle is parked instead.
func (c *conn) Close() error {
	if c.parking.CompareAndSwap(true, false) && c.lot.add(c) {
		go c.park()
		return nil
	}
	if !c.mayClose() {
		return nil
	}
	c.watcher.remove(c)
	if f := c.abandon.Swap(nil); f != nil {
		(*f)()
	}
	return c.Conn.Close()
}

// Write implements net.Conn. The client has the whole write timeout to take
// each piece, so that a steady slow download is not cut.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.extendWrite(time.Now()); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// writeAll is Write at a moment that is known.
func (c *conn) writeAll(b []byte, now time.Time) error {
	if err := c.extendWrite(now); err != nil {
		return err
	}
	_, err := c.Conn.Write(b)
	return err
}

// extendWrite begins the write timeout anew.
func (c *conn) extendWrite(now time.Time) error {
	until, later := extend(c.writeUntil, now, c.writeTimeout)
	if !later {
		return nil
	}
	c.writeUntil = until
	return c.SetWriteDeadline(until)
}

// extend gives the deadline of what is read or written next, and whether it
// differs enough from the one before to be set: setting one is cheap but not
// free, and a timeout may run out an eighth early.
func extend(before, now time.Time, timeout time.Duration) (until time.Time, later bool) {
	if timeout <= 0 {
		return before, false
	}
	until = now.Add(timeout)
	return until, until.Sub(before) > timeout/8
}

// plainTCP gives the TCP connection below one that does nothing to what is
// written, nil where there is none.
func plainTCP(c net.Conn) *net.TCPConn {
	for {
		switch inner := c.(type) {
		case *net.TCPConn:
			return inner
		case *sock.Conn:
			return inner.TCPConn
		case *counted:
			c = inner.Conn
		case *prefixed:
			c = inner.counted
		case *proxied:
			c = inner.raw
		default:
			return nil
		}
	}
}

// introduce tells an exchange whose request it is.
func (c *conn) introduce(x *exchange) {
	x.ctx, x.peer, x.scheme, x.cert, x.clients = c.presence, c.peer, c.scheme, c.cert, c.clients
}

// addrPort takes the address of a peer; a unix socket has none.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// guarded is a listener whose connections are guarded.
type guarded struct {
	*handoff
	options *ServerOptions
	watcher *watcher
	lot     *lot
	http1   *http1
}

// Accept implements net.Listener.
func (g *guarded) Accept() (net.Conn, error) {
	c, err := g.handoff.Accept()
	if err != nil {
		return nil, err
	}
	if known, ok := c.(*conn); ok {
		return known, nil // it was parked
	}
	return newConn(c, g), nil
}
