package proxy

import (
	"runtime/debug"
	"strings"

	"hopgate/policy"
	"hopgate/proxy/wire"
	"hopgate/token"
)

// serve takes one exchange through the gate. It is the whole way of a
// request, in its order: what a step refuses goes no further, and a cached
// answer is authorized exactly as a forwarded one is.
func (g *Gate) serve(x *exchange) {
	x.begin(g)
	defer g.finish(x)

	x.identify()
	if r := x.guard(); r != policy.Allowed {
		x.refuse(r)
		return
	}
	if w := x.snapshot.webhooks[x.path]; w != nil {
		x.receive(w)
		return
	}
	found := x.findRoute()
	if x.preflight() {
		return
	}
	if found != policy.Allowed {
		x.refuse(found)
		return
	}
	if r := x.authenticate(); r != policy.Allowed {
		x.refuse(r)
		return
	}
	if r := x.authorize(); r != policy.Allowed {
		x.refuse(r)
		return
	}
	if !x.admit() {
		x.refuse(policy.RateLimited)
		return
	}
	if r := x.prepare(); r != policy.Allowed {
		x.refuse(r)
		return
	}
	if x.wantsWebSocket() {
		x.tunnel(g)
		return
	}
	if x.caches {
		x.serveCached()
		return
	}
	x.forward()
}

// judge is the part of serve that needs no body. It tells whether the sender
// may go on with a body that it holds back (Expect: 100-continue, RFC 9110
// section 10.1.1); where not, it has answered.
func (g *Gate) judge(x *exchange) (goOn bool) {
	x.begin(g)
	defer func() {
		if p := recover(); p != nil {
			goOn = false
			g.fail(x, p)
		}
		if !goOn {
			g.record(x)
		}
	}()
	x.identify()
	r := x.guard()
	if w := x.snapshot.webhooks[x.path]; w != nil && r == policy.Allowed {
		if _, r = x.expect(w); r == policy.Allowed {
			return true
		}
	}
	if r == policy.Allowed {
		r = x.findRoute()
	}
	if r == policy.Allowed && x.framing.length > x.route.maxBody {
		r = policy.BodyTooLarge
	}
	if r == policy.Allowed {
		r = x.authenticate()
	}
	if r == policy.Allowed && !x.route.NeedsBody() {
		r = x.authorize()
	}
	if r != policy.Allowed {
		x.refuse(r)
		return false
	}
	return true
}

// guard checks that the message is well-formed and has one meaning.
func (x *exchange) guard() policy.Reason {
	if x.malformed != policy.Allowed {
		return x.malformed
	}
	if x.hosts != 1 {
		return policy.RequestMalformed
	}
	if x.outdated() {
		return policy.ConnectionOutdated
	}
	x.fields = x.fields.endToEnd()
	if r := x.readTarget(x.snapshot.maxTarget); r != policy.Allowed {
		return r
	}
	if x.trusted {
		// A proxy in front may have ended TLS.
		if scheme, n := x.fields.Field("X-Forwarded-Proto"); n == 1 && (scheme == "http" || scheme == "https") {
			x.scheme = scheme
		}
	}
	origin, n := x.fields.Field("Origin")
	switch {
	case n > 1:
		return policy.RequestMalformed
	case n == 1 && origin != "null" && !validOrigin(origin):
		return policy.RequestMalformed
	}
	x.origin = origin
	return policy.Allowed
}

// readTarget takes method, host and target apart and checks that each has
// one reading.
func (x *exchange) readTarget(longest int) policy.Reason {
	if r := checkMethod(x.method); r != policy.Allowed {
		return r
	}
	if len(x.target) > longest {
		return policy.TargetTooLong
	}
	host, _, fault := wire.Host(x.authority)
	if fault != nil {
		return policy.RequestMalformed
	}
	x.host = strings.ToLower(host)
	var ok bool
	if x.path, x.query, x.hasQuery, ok = splitTarget(x.target, x.scheme, x.authority); !ok {
		return policy.TargetNotCanonical
	}
	if !canonicalPath(x.path) || !canonicalQuery(x.query) {
		return policy.TargetNotCanonical
	}
	return policy.Allowed
}

// CheckTarget tells whether the guard lets a request line and Host field
// pass: Allowed, or the reason of the refusal. It knows no size limit.
func CheckTarget(method, target, host string) policy.Reason {
	x := exchange{method: method, target: target, authority: host, scheme: "http"}
	return x.readTarget(len(target))
}

// findRoute chooses the route, and the cross-origin policy that holds for
// the answer whatever it will be.
func (x *exchange) findRoute() policy.Reason {
	x.cors = x.snapshot.cors
	r := x.snapshot.policy.Match(&x.match, x.method, x.host, x.path)
	switch r {
	case policy.Allowed:
		x.route = x.snapshot.routes[x.match.Route.Index]
		x.cors = x.route.cors
		x.fields = x.fields.without(x.route.aliases)
	case policy.MethodNotAllowed:
		x.allow = x.snapshot.methods(x.host, x.path)
	}
	return r
}

// authenticate makes the principal of the request's token.
func (x *exchange) authenticate() policy.Reason {
	rt := x.route
	if rt.Config.Anonymous {
		x.principal = token.Anonymous
		return policy.Allowed
	}
	var err error
	if x.located, err = x.snapshot.verifier.Locate(rt.issuers, &x.fields, x.query); err != nil {
		return policy.ReasonOf(err)
	}
	started := x.moment()
	x.principal, x.known, err = x.snapshot.verifier.VerifyAt(x.ctx, rt.issuers, x.located.Token, started, x.client)
	x.lapse = x.moment()
	x.verifyTime = x.lapse.Sub(started)
	if err != nil {
		x.principal = nil
		return policy.ReasonOf(err)
	}
	if x.located.FromCookie && !x.sameSite() {
		return policy.CrossSiteRequest
	}
	return policy.Allowed
}

// authorize asks the decision point.
func (x *exchange) authorize() policy.Reason {
	rt := x.route
	in := &x.input
	in.Method, in.Scheme, in.Host = x.method, x.scheme, x.host
	in.Path, in.RawQuery = x.path, x.query
	in.Fields = &x.fields
	in.ClientIP, in.Certificate, in.Now = x.client, x.cert, x.start
	if rt.NeedsBody() {
		if r := x.readBody(); r != policy.Allowed {
			return r
		}
		in.Body = x.content
	}
	started := x.lapse
	if rt.Config.Anonymous || rt.NeedsBody() {
		started = x.moment()
	}
	x.decision = rt.Decide(&x.match, in, x.principal)
	x.lapse = x.moment()
	x.decideTime = x.lapse.Sub(started)
	if x.decision.Effect != policy.Allow {
		return x.decision.Reason
	}
	x.reason = x.decision.Reason
	return policy.Allowed
}

// finish ends an exchange: it turns a panic into a 500 that hurts no other
// request, counts, and logs.
func (g *Gate) finish(x *exchange) {
	if p := recover(); p != nil {
		g.fail(x, p)
	}
	if !x.streaming {
		g.record(x)
	}
}

// fail answers 500 for a fault of ours.
func (g *Gate) fail(x *exchange, p any) {
	g.panicked(p, debug.Stack())
	x.answer.reset()
	x.refuse(policy.InternalError)
}
