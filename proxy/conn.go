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

	// abandon is called where the connection closes before what was to take
	// it over has begun.
	abandon  atomic.Pointer[func()]
	presence *presence
	watcher  *watcher
}

func newConn(c net.Conn, o *ServerOptions, w *watcher) *conn {
	t, secure := c.(*tls.Conn)
	out := &conn{
		Conn: wire.NewConn(c, wire.Limits{
			MaxHead:   o.MaxHeaderBytes,
			MaxTarget: o.MaxTargetBytes,
			MaxFields: maxFields,
			HTTPS:     secure,
			Timeouts:  wire.Timeouts{Idle: o.IdleTimeout, Head: o.ReadTimeout, Body: o.ReadTimeout},
		}),
		peer:         addrPort(c.RemoteAddr()),
		scheme:       "http",
		writeTimeout: o.WriteTimeout,
	}
	if secure {
		out.scheme = "https"
		state := t.ConnectionState()
		out.cert, out.clients = certificateOf(&state), clientsOf(t)
	}
	out.presence, out.watcher = newPresence(out), w
	w.add(out)
	return out
}

// Close implements net.Conn.
func (c *conn) Close() error {
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
	net.Listener
	options *ServerOptions
	watcher *watcher
}

// Accept implements net.Listener.
func (g guarded) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(c, g.options, g.watcher), nil
}
