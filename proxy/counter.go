package proxy

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// minGreeting is how many connections at once may at least be without their
// first bytes or the end of their TLS handshake. They may be as many as there
// may be connections, so that silent ones take nobody's place: which address
// has too many is known of all but those whose PROXY protocol header has not
// come.
const minGreeting = 1024

// counter bounds connections, in all and per client address.
type counter struct {
	most, mostPerAddress int

	mu       sync.Mutex
	all      int
	by       map[netip.Addr]int
	greeting int
	refused  atomic.Uint64
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	counter *counter
	address netip.Addr
	once    sync.Once

	// clients says whose certificates were accepted at the handshake.
	clients string
}

// admit counts a connection of a client address, or closes it and gives nil
// where there are too many. A connection without an address, of a unix
// socket, counts in all only.
func (n *counter) admit(c net.Conn, address netip.Addr) *counted {
	if address.Is6() {
		// One subscriber has a /64 of addresses.
		if p, err := address.Prefix(64); err == nil {
			address = p.Addr()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	perAddress := n.mostPerAddress > 0 && address.IsValid()
	if n.most > 0 && n.all >= n.most || perAddress && n.by[address] >= n.mostPerAddress {
		n.refused.Add(1)
		_ = c.Close()
		return nil
	}
	n.all++
	if perAddress {
		n.by[address]++
	}
	return &counted{Conn: c, counter: n, address: address}
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.counter.release(c.address) })
	return c.Conn.Close()
}

// NetConn gives the connection that is counted.
func (c *counted) NetConn() net.Conn { return c.Conn }

// CloseWrite closes one half of the connection, where it can be.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}

func (n *counter) release(address netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all--
	if n.mostPerAddress > 0 && address.IsValid() {
		if n.by[address]--; n.by[address] == 0 {
			delete(n.by, address)
		}
	}
}

func (n *counter) open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all
}

// greet takes one of the places of those that are not yet known.
func (n *counter) greet() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.most > 0 && n.greeting >= max(n.most, minGreeting) {
		n.refused.Add(1)
		return false
	}
	n.greeting++
	return true
}

func (n *counter) greeted() {
	n.mu.Lock()
	n.greeting--
	n.mu.Unlock()
}
