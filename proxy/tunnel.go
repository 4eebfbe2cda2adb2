package proxy

import (
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 prescribes it; it protects nothing
	"encoding/base64"
	"errors"
	"net"
	"sync"
	"time"

	"hopgate/policy"
	"hopgate/upstream"
)

// wantsWebSocket tells whether a request is the opening handshake of a
// WebSocket (RFC 6455 section 4.1), on a route that lets it through.
// Elsewhere the Upgrade field means nothing and is not forwarded (RFC 9110
// section 7.8).
func (x *exchange) wantsWebSocket() bool {
	if x.route.Config.WebSocket == nil || x.method != "GET" || x.http10 || x.body != nil {
		return false
	}
	protocol, n := x.fields.Field("Upgrade")
	if n != 1 || !equalName(protocol, "websocket") || !x.fields.listed("Upgrade") || x.fields.listed("close") {
		return false
	}
	_, keys := x.fields.Field("Sec-WebSocket-Key")
	return keys == 1 && x.answer.tunnels()
}

// tunnel opens a WebSocket: the upstream is asked as for any request, and
// where it switches, bytes pass both ways until either side ends.
func (x *exchange) tunnel(g *Gate) {
	rt := x.route
	t := &tunnel{gate: g, exchange: x, idle: rt.Config.WebSocket.IdleTimeout, closing: make(chan struct{})}
	if !g.tunnels.add(t, rt.ID, rt.Config.WebSocket.MaxConnections) {
		x.refuse(policy.Overloaded)
		return
	}
	if x.response == nil {
		x.response = new(upstream.Response)
	}
	started := x.wait()
	rt.pool.metrics.Begin()
	c, err := rt.pool.Upgrade(x.ctx, "websocket", &x.request, x.response)
	x.waited()
	x.upstreamTime = time.Since(started)
	x.attempts, x.endpoint = x.response.Attempts(), x.response.Endpoint()
	rt.pool.metrics.End(upstreamResult(err), x.attempts, x.upstreamTime)
	switch {
	case err != nil:
		g.tunnels.remove(t, rt.ID)
		x.refuse(x.failure(err))
		return
	case c == nil:
		g.tunnels.remove(t, rt.ID)
		x.relay()
		return
	}
	key, _ := x.fields.Field("Sec-WebSocket-Key")
	if accept, n := x.response.Field("Sec-WebSocket-Accept"); n != 1 || string(accept) != acceptOf(key) {
		_ = c.Close()
		g.tunnels.remove(t, rt.ID)
		x.refuse(policy.UpstreamInvalid)
		return
	}
	t.upstream = c
	x.code = 101
	x.answer.status(x.code)
	x.copyFields(x.response)
	if _, n := x.response.Field("Sec-WebSocket-Protocol"); n == 0 && x.located.Protocol != "" {
		// Browsers drop a connection of which they offered protocols and got
		// none. The upstream was not told of the one that carried the token.
		x.answer.add("Sec-WebSocket-Protocol", x.located.Protocol)
	}
	x.finishHead()
	if rt.Config.WebSocket.CloseOnExpiry && !x.principal.ExpiresAt.IsZero() {
		// The real clock: tokens are checked against the gate's, but timers
		// run on this one.
		t.expiry = time.AfterFunc(x.principal.ExpiresAt.Sub(g.now()), func() { t.end(closePolicy, "token expired") })
	}
	x.streaming = true
	x.answer.tunnel(t.run, t.abandon)
}

// acceptOf computes Sec-WebSocket-Accept (RFC 6455 section 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// tunnel is one open WebSocket.
type tunnel struct {
	gate     *Gate
	exchange *exchange
	upstream net.Conn
	idle     time.Duration
	expiry   *time.Timer

	once    sync.Once
	closing chan struct{} // closed when the gate itself ends the tunnel
	code    uint16        // of the Close frames that it sends then
	reason  string
}

// end asks the tunnel to end with a Close frame to both sides (RFC 6455
// section 7.4).
func (t *tunnel) end(code uint16, reason string) {
	t.once.Do(func() {
		t.code, t.reason = code, reason
		close(t.closing)
	})
}

// closeWait is how long a side may take to finish the frame it is in, and to
// answer a Close frame.
const closeWait = 5 * time.Second

// run passes bytes both ways until it ends, and then records the exchange.
// It is called once the 101 has gone out.
func (t *tunnel) run(client net.Conn) {
	x := t.exchange
	started := time.Now()
	defer t.finish(started)
	down := &flow{from: t.upstream, to: client, idle: t.idle, tunnel: t}
	up := &flow{from: client, to: t.upstream, idle: t.idle, tunnel: t, masked: true}
	down.other, up.other = up, down
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-t.closing:
			// Wake both sides: they end at the next frame.
			soon := time.Now().Add(closeWait)
			down.interrupt(soon)
			up.interrupt(soon)
		case <-stop:
		}
	}()
	var wg sync.WaitGroup
	wg.Go(func() { defer t.caught(); up.pump() })
	func() { defer t.caught(); down.pump() }()
	_ = t.upstream.Close()
	_ = client.SetDeadline(time.Unix(1, 0)) // a Read that waits ends
	wg.Wait()
	close(stop)
	<-watched
	x.bytes = down.bytes
}

// abandon ends a tunnel whose client was gone before it could run.
func (t *tunnel) abandon() {
	_ = t.upstream.Close()
	t.finish(time.Now())
}

// finish gives back what the tunnel took and records the exchange.
func (t *tunnel) finish(started time.Time) {
	x := t.exchange
	if t.expiry != nil {
		t.expiry.Stop()
	}
	t.gate.tunnels.remove(t, x.route.ID)
	x.upstreamTime += time.Since(started)
	x.streaming = false
	t.gate.record(x)
	release(x)
}

// caught keeps a fault of ours in one tunnel from ending the process.
func (t *tunnel) caught() {
	if p := recover(); p != nil {
		t.gate.panicked(p, nil)
		t.end(closeInternal, "")
	}
}

// tunnels are the open WebSockets of a gate. The zero value is ready to use.
type tunnels struct {
	mu       sync.Mutex
	open     map[*tunnel]struct{}
	by       map[string]int // by route
	draining bool
	empty    chan struct{} // closed when the last one ends while draining
}

var errTunnels = errors.New("WebSockets were still open")

// add counts a tunnel, unless the route has its share or the gate drains.
func (s *tunnels) add(t *tunnel, route string, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.by[route] >= most {
		return false
	}
	if s.open == nil {
		s.open, s.by = make(map[*tunnel]struct{}), make(map[string]int)
	}
	s.open[t] = struct{}{}
	s.by[route]++
	return true
}

func (s *tunnels) remove(t *tunnel, route string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
	if s.by[route]--; s.by[route] == 0 {
		delete(s.by, route)
	}
	if s.empty != nil && len(s.open) == 0 {
		close(s.empty)
		s.empty = nil
	}
}

// shutdown tells every tunnel to end (going away) and waits for that until
// ctx is done.
func (s *tunnels) shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	if len(s.open) == 0 {
		s.mu.Unlock()
		return nil
	}
	empty := make(chan struct{})
	s.empty = empty
	for t := range s.open {
		t.end(closeGoingAway, "shutting down")
	}
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return errors.Join(errTunnels, ctx.Err())
	}
}
