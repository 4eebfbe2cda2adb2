package proxy

import (
	"fmt"
	"strings"
	"time"

	"hopgate/policy"
	"hopgate/telemetry"
)

// record counts an exchange and writes it to the access log.
func (g *Gate) record(x *exchange) {
	// What follows the head is copying; a body that streams ends later.
	took := x.answered.Sub(x.start)
	if x.relayed.since != (time.Time{}) {
		took = x.moment().Sub(x.start)
	}
	route := x.snapshot.unrouted
	if x.route != nil {
		route = x.route.metrics
	}
	r := telemetry.Record{
		Time:      x.start,
		RequestID: lend(x.requestID),
		Reason:    string(x.reason),
		Rule:      x.decision.Rule,
		Method:    x.method,
		Host:      x.host,
		Path:      x.path,
		Status:    x.code,
		Bytes:     x.bytes,
		Duration:  took,
		Hop:       took - x.upstreamTime,
		Upstream:  x.upstreamTime,
		Endpoint:  x.endpoint,
		Attempts:  x.attempts,
		Cache:     x.cacheResult,
		ClientIP:  lend(x.clientText),
		Report:    x.decision.Report,
		Denial:    string(x.decision.Denial),
		Verify:    x.verifyTime,
		Known:     x.known,
		Decide:    x.decideTime,
	}
	if x.path == "" && strings.HasPrefix(x.target, "/") {
		// A target that was refused is shown as far as the log lets it, but
		// for the absolute form: that may have a password.
		r.Path = x.target
	}
	if p := x.principal; p != nil {
		r.UserID, r.OrgID, r.Issuer = p.UserID, p.OrgID, p.IssuerName
	}
	route.Answered(&r, g.access)
}

// panicked counts and reports a fault of hopgate's own.
func (g *Gate) panicked(p any, stack []byte) {
	g.metrics.Panic()
	g.log.Error("a request ended in a fault of hopgate's own; no other is affected",
		"panic", fmt.Sprint(p), "stack", string(stack), "at", time.Now().UTC().Format(time.RFC3339))
}

// reasonError is a Reason on its way through code that knows only errors.
type reasonError policy.Reason

func (e reasonError) Error() string { return string(e) }
