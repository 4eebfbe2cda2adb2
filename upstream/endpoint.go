package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// endpoint is one address of an upstream. What changes of it is guarded by
// the pool's mutex.
type endpoint struct {
	text    string      // as configured
	network string      // tcp or unix
	address string      // host:port, or a path
	tls     *tls.Config // nil in the clear
	prefix  string      // of the path
	fields  string      // Host and the secret's field, as they are sent

	idle []*conn // the last used one on top
	open int     // connections, those being opened included

	carrier  *http.Transport // of HTTP/2; nil where that is not spoken
	host     string          // the Host field's value
	sessions []*session      // of HTTP/2
	dialing  *dialing        // the one being opened
	streams  int             // exchanges on sessions

	health
}

// health is what the last exchanges told about an endpoint.
type health struct {
	failures int    // in a row
	trips    int    // times in a row that it was set aside
	until    moment // set aside until then
}

const (
	// maxFailures is how many exchanges in a row may fail before an endpoint
	// is set aside. A failure to connect does it at once.
	maxFailures = 3
	firstPause  = 250 * time.Millisecond
	longPause   = 30 * time.Second
)

// usable tells whether the endpoint is not set aside at now.
func (h *health) usable(now moment) bool { return h.trips == 0 || now >= h.until }

// failed notes a failed exchange, or a failure to connect.
func (h *health) failed(now moment, connecting bool) {
	h.failures++
	if !connecting && h.failures < maxFailures && h.trips == 0 {
		return
	}
	if h.trips > 0 && now < h.until {
		return // one outage, told by many exchanges
	}
	h.trips++
	h.until = now.add(h.pause())
}

func (h *health) pause() time.Duration {
	return min(firstPause<<min(h.trips-1, 10), longPause)
}

// tried notes that an exchange tries an endpoint whose time aside is over.
// The others wait for what comes of it.
func (h *health) tried(now moment) {
	if h.trips > 0 && now >= h.until {
		h.until = now.add(h.pause())
	}
}

// succeeded notes that an answer came.
func (h *health) succeeded() {
	if h.failures != 0 || h.trips != 0 {
		*h = health{}
	}
}

// load is the number of exchanges in progress.
func (e *endpoint) load() int { return e.open - len(e.idle) + e.streams }

// maxAge is how long a connection is used. After that a new one asks DNS
// again.
const maxAge = 5 * time.Minute

// lifetime is the age that a connection may reach. Ages differ, so that
// connections made at once do not end at once.
func lifetime() time.Duration {
	return maxAge*9/10 + rand.N(maxAge/5) //nolint:gosec // no secret, only jitter
}

// dial opens a connection within the time given.
func (e *endpoint) dial(ctx context.Context, now moment, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, e.network, e.address)
	if err != nil {
		return nil, err
	}
	c := &conn{e: e, expires: now.add(lifetime())}
	l := &c.link
	if err := l.open(raw); err != nil {
		_ = raw.Close()
		return nil, err
	}
	c.cut = func() { _ = raw.Close() }
	if e.tls == nil {
		return c, nil
	}
	l.records = new(records)
	c.tls = tls.Client(l, e.tls)
	started := readClock()
	l.readUntil(started, started.add(timeout))
	l.writeUntil(started, started.add(timeout))
	if err := c.tls.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}
