package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"hopgate/policy"
	"hopgate/proxy/wire"
)

// conn is a client's connection of HTTP/1.1. The wire guard stands before
// the transport's parser: bytes that two parsers could read differently never
// reach it.
type conn struct {
	*wire.Conn
	peer         netip.AddrPort
	cert         *policy.Certificate
	clients      string // whose certificates were accepted at the handshake
	scheme       string
	writeTimeout time.Duration
	writeUntil   time.Time // the deadline that was set here last

	lot       *lot
	home      *handoff      // where it goes on after it was parked
	parkedFor time.Duration // at most
	parking   atomic.Bool   // the transport lets go of it, to have it parked
	before    uint64        // messages before it was parked last

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
	out.presence, out.watcher = newPresence(out), g.watcher
	g.watcher.add(out)
	return out
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == errParked { //nolint:errorlint // the guard gives it bare
		c.parking.Store(true)
	}
	return n, err
}

// Close implements net.Conn. A connection that its transport lets go of
// because it is idle is parked instead.
func (c *conn) Close() error {
	if c.parking.CompareAndSwap(true, false) && c.lot.add(c) {
		go c.park()
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
	if until, later := extend(c.writeUntil, c.writeTimeout); later {
		c.writeUntil = until
		if err := c.SetWriteDeadline(until); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// extend gives the deadline of what is read or written next, and whether it
// differs enough from the one before to be set: setting one is cheap but not
// free, and a timeout may run out an eighth early.
func extend(before time.Time, timeout time.Duration) (until time.Time, later bool) {
	if timeout <= 0 {
		return before, false
	}
	until = time.Now().Add(timeout)
	return until, until.Sub(before) > timeout/8
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
