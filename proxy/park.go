package proxy

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// parkAfter is how long a connection of HTTP/1.1 may be idle before it is
// parked. The transport holds buffers and a deep stack for each connection;
// a parked one has given them back, and costs a third.
const parkAfter = 2 * time.Second

// errParked makes the transport let go of a connection without a word: it
// takes it for one that was closed here.
var errParked = fmt.Errorf("the connection is idle: %w", net.ErrClosed)

// lot is where idle connections of a server are parked.
type lot struct {
	after time.Duration // 0: never

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
}

func newLot() *lot { return &lot{after: parkAfter, conns: make(map[*conn]struct{})} }

// add takes a connection in, unless the lot is closed.
func (l *lot) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.conns[c] = struct{}{}
	}
	return !l.closed
}

// remove lets a connection out. It tells whether it may go on.
func (l *lot) remove(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	return !l.closed
}

// close ends all parked connections, and those that come.
func (l *lot) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

// park waits for the client's next request, and gives the connection back to
// the transport then. It closes the connection when the client leaves or is
// idle for too long.
func (c *conn) park() {
	// In this order: a lot that is closed sets a deadline too.
	_ = c.SetReadDeadline(time.Now().Add(c.parkedFor))
	if c.lot.isClosed() {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
	err := c.awaitBytes()
	if !c.lot.remove(c) || err != nil {
		_ = c.Close()
		return
	}
	c.before = c.Messages() // the transport begins to count anew
	_ = c.SetReadDeadline(time.Time{})
	c.home.give(c)
}

func (l *lot) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
