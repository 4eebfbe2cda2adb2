package proxy

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"time"

	"hopgate/cache"
	"hopgate/policy"
	"hopgate/telemetry"
	"hopgate/token"
	"hopgate/upstream"
)

// exchange is one request and its answer, as the pipeline sees them whatever
// the transport. Text that a transport lends is valid until serve returns;
// what outlives it (flights, stored answers, the log) copies it.
type exchange struct {
	// Set by the transport.
	ctx       context.Context // done when the client has left
	gate      *Gate
	answer    answerer
	method    string
	target    string // as received
	scheme    string // http or https
	authority string // the Host field, as received
	hosts     int    // how many Host fields there were
	fields    header
	framing   framing
	body      io.Reader // nil where the request has none
	peer      netip.AddrPort
	cert      *policy.Certificate // what the client showed; nil: none
	clients   string              // whose certificates were accepted then
	http10    bool
	trailers  bool          // the client takes trailers, and the transport can send them
	malformed policy.Reason // what the transport found wrong, or Allowed

	// Found out on the way.
	snapshot  *Snapshot
	start     time.Time
	lapse     time.Time // when the last step that is measured ended
	answered  time.Time // when the head of the answer was complete
	host      string    // authority without port, in small letters
	path      string    // escaped, canonical, as it will be forwarded
	query     string
	hasQuery  bool
	origin    string // Origin, where it is valid
	client    netip.Addr
	chain     string // what trusted proxies said in X-Forwarded-For
	trusted   bool   // the peer is a trusted proxy
	match     policy.Match
	route     *route
	cors      *cors
	allow     string // methods of the path, for 405
	located   token.Located
	principal *token.Principal
	content   []byte     // the body, where it was read
	upload    bodyReader // the body, where it is streamed
	decision  policy.Decision
	reason    policy.Reason
	input     policy.Request
	outgoing  policy.Outgoing
	freshFor  time.Duration // how long a cached answer stays fresh
	caches    bool          // this request takes part in the route's cache
	why       cache.Forward // why it does not, or what sent it upstream all the same
	dated     bool          // the answer has a Date
	streaming bool          // the answer's body streams, and ends the exchange

	// Measured.
	upstreamTime time.Duration
	endpoint     string
	attempts     int
	cacheResult  telemetry.CacheResult
	code         int
	bytes        int64
	verifyTime   time.Duration
	decideTime   time.Duration
	known        bool // the token was verified before

	// Kept from exchange to exchange for their memory.
	requestID  []byte
	clientText []byte
	scratch    []byte
	key        []byte
	contentBuf []byte
	filterBuf  []byte
	arena      []byte
	request    upstream.Request
	response   *upstream.Response // nil before the first use, and after a stream took it along
	prefix     []byte             // of the body of response, read before
	early      []byte             // the whole body of an answer that came while the client still sent
	arrival    *cache.Arrival     // the body of a cached answer that is still arriving
	stored     storedFields
	fallback   cache.Found // to be given if the upstream fails
	sent       sentFields
	lookup     cache.Query
	tags       []cache.Tag
	relayed    relayed
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// acquire takes an empty exchange from the pool, with which nothing is wrong
// yet. It is answered through a.
func acquire(a answerer) *exchange {
	x := exchanges.Get().(*exchange)
	x.answer, x.malformed = a, policy.Allowed
	return x
}

// begin lets an exchange begin: from now on it has one configuration.
func (x *exchange) begin(g *Gate) {
	x.gate, x.start, x.snapshot = g, g.now(), g.current.Load()
}

// release gives an exchange back; nothing of it may be used afterwards.
func release(x *exchange) {
	if x.response != nil {
		x.response.Release()
	}
	x.request.Reset()
	clear(x.fields)
	// Field by field: a composite literal would copy the buffers twice.
	x.ctx, x.gate, x.answer, x.body = nil, nil, nil, nil
	x.method, x.target, x.scheme, x.authority = "", "", "", ""
	x.hosts, x.framing, x.http10, x.trailers, x.malformed = 0, framing{}, false, false, ""
	x.fields = x.fields[:0]
	x.peer, x.cert, x.clients = netip.AddrPort{}, nil, ""
	x.snapshot, x.start, x.lapse, x.answered = nil, time.Time{}, time.Time{}, time.Time{}
	x.host, x.path, x.query, x.hasQuery, x.origin = "", "", "", false, ""
	x.client, x.chain, x.trusted = netip.Addr{}, "", false
	x.route, x.cors, x.allow = nil, nil, ""
	x.located, x.principal = token.Located{}, nil
	x.content, x.upload = nil, bodyReader{}
	x.decision, x.reason, x.input = policy.Decision{}, "", policy.Request{}
	x.early = nil
	x.prefix, x.arrival, x.stored, x.fallback = nil, nil, storedFields{}, cache.Found{}
	x.caches, x.why, x.dated, x.streaming, x.freshFor = false, "", false, false, 0
	x.sent, x.relayed, x.lookup, x.tags = sentFields{}, relayed{}, cache.Query{}, x.tags[:0]
	x.upstreamTime, x.endpoint, x.attempts = 0, "", 0
	x.cacheResult, x.code, x.bytes = "", 0, 0
	x.verifyTime, x.decideTime, x.known = 0, 0, false
	x.requestID, x.clientText = x.requestID[:0], x.clientText[:0]
	x.scratch, x.key = small(x.scratch), small(x.key)
	x.contentBuf, x.filterBuf, x.arena = small(x.contentBuf), small(x.filterBuf), small(x.arena)
	exchanges.Put(x)
}

// small keeps a buffer for reuse unless it has grown large.
func small(b []byte) []byte {
	if cap(b) > 64<<10 {
		return nil
	}
	return b[:0]
}

// moment gives the time, by a clock that costs half of what the gate's does
// where that is the system's: the monotonic one alone.
func (x *exchange) moment() time.Time {
	if x.gate.realTime {
		return x.start.Add(time.Since(x.start))
	}
	return x.gate.now()
}

// realMoment is moment by the system's clock, by which timers run.
func (x *exchange) realMoment() time.Time {
	if x.gate.realTime {
		return x.moment()
	}
	return time.Now()
}

// hop gives the time spent so far on everything but waiting for the
// upstream.
func (x *exchange) hop(now time.Time) time.Duration { return now.Sub(x.start) - x.upstreamTime }

// wait marks the time from now on, which it gives, in which the exchange
// waits for somebody else, so that the client's leaving is noticed; waited
// ends it.
func (x *exchange) wait() (now time.Time) {
	now = x.realMoment()
	if p, ok := x.ctx.(*presence); ok {
		p.begin(now)
	}
	return now
}

func (x *exchange) waited() {
	if p, ok := x.ctx.(*presence); ok {
		p.end()
	}
}
