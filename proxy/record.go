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
		took = g.now().Sub(x.start)
	}
	hop := took - x.upstreamTime
	m := x.snapshot.unrouted
	routeID := ""
	if x.route != nil {
		m, routeID = x.route.metrics, x.route.ID
	}
	m.Request(string(x.reason), x.code)
	m.Durations(took, hop)
	if x.verifyTime > 0 {
		g.metrics.Verify(x.known, x.verifyTime)
	}
	if x.decideTime > 0 {
		g.metrics.Decision(x.decideTime)
	}
	if x.decision.Report {
		m.ReportDenial(string(x.decision.Denial))
	}
	if x.cacheResult != "" {
		m.Cache(x.cacheResult)
	}
	if g.access == nil || !g.access.Enabled() {
		return
	}
	r := &x.record
	*r = telemetry.Record{
		Time:      x.start,
		RequestID: lend(x.requestID),
		Route:     routeID,
		Decision:  "deny",
		Reason:    string(x.reason),
		Rule:      x.decision.Rule,
		Method:    x.method,
		Host:      x.host,
		Path:      x.path,
		Status:    x.code,
		Bytes:     x.bytes,
		Duration:  took,
		Hop:       hop,
		Upstream:  x.upstreamTime,
		Endpoint:  x.endpoint,
		Attempts:  x.attempts,
		Cache:     string(x.cacheResult),
		ClientIP:  lend(x.clientText),
		Report:    x.decision.Report,
		Denial:    string(x.decision.Denial),
	}
	if x.reason.Allowed() {
		r.Decision = "allow"
	}
	if x.path == "" && strings.HasPrefix(x.target, "/") {
		// A target that was refused is shown as far as the log lets it, but
		// for the absolute form: that may have a password.
		r.Path = x.target
	}
	if p := x.principal; p != nil {
		r.UserID, r.OrgID, r.Issuer = p.UserID, p.OrgID, p.IssuerName
	}
	g.access.Log(r)
}

// panicked counts and reports a fault of hopgate's own.
func (g *Gate) panicked(p any, stack []byte) {
	g.metrics.Panic()
	g.log.Error("a request ended in a fault of hopgate's own; it was answered 500 and no other is affected",
		"panic", fmt.Sprint(p), "stack", string(stack), "at", time.Now().UTC().Format(time.RFC3339))
}

// reasonError is a Reason on its way through code that knows only errors.
type reasonError policy.Reason

func (e reasonError) Error() string { return string(e) }
