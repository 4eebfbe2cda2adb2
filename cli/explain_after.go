package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"hopgate/config"
	"hopgate/policy"
)

// limit shows the rate limit that holds. How much of the budget is left only
// the running gate knows.
func (e *explainer) limit() {
	l := e.match.Route.Config.Limit
	if l == nil {
		return
	}
	burst := l.Burst
	if burst == 0 {
		burst = l.Rate.Events
	}
	by := l.By
	if by == "user" && e.match.Route.Config.Anonymous {
		by = "ip"
	}
	e.out.Limit = &explainedLimit{Rate: l.Rate.String(), Burst: burst, By: by}
}

// upstream shows what would be sent.
func (e *explainer) upstream(sent *policy.Outgoing) {
	q, c := e.question, e.match.Route.Config
	u := e.cfg.Upstreams[c.Upstream]
	up := &explainedUpstream{Name: c.Upstream, Method: q.method, Target: e.env.mask(string(sent.Path)), Host: e.env.mask(u.Host), Timeout: c.Timeout.String()}
	if c.Timeout == 0 {
		up.Timeout = u.Timeout.String()
	}
	if len(sent.Query) > 0 {
		up.Target += "?" + e.env.mask(string(sent.Query))
	}
	for _, endpoint := range u.Endpoints {
		up.Endpoints = append(up.Endpoints, e.env.mask(endpoint))
	}
	for _, h := range sent.Headers {
		up.Headers = append(up.Headers, explainedField{h.Name, e.env.mask(string(h.Value))})
	}
	if u.Secret != nil {
		up.Headers = append(up.Headers, explainedField{u.Secret.Header, u.Secret.Value.String()})
	}
	up.Body = len(q.body)
	e.out.Upstream = up
}

// cache shows who would share the answer.
func (e *explainer) cache() {
	q, route := e.question, e.match.Route
	c := route.Config.Cache
	if c == nil {
		return
	}
	x := &explainedCache{
		Scope: c.Scope.String(), TTL: c.TTL.String(),
		StaleWhileRevalidate: c.StaleWhileRevalidate.String(), StaleIfError: c.StaleIfError.String(),
	}
	e.out.Cache = x
	switch key, ok := route.AppendScope(nil, e.who); {
	case q.method != "GET" && q.method != "HEAD":
		x.Not = "only answers to GET and HEAD are kept"
	case len(q.body) > 0:
		x.Not = "the request has a body"
	case !ok:
		x.Not = "the principal lacks what scope " + x.Scope + " tells callers apart by"
	default:
		// A digest, so that two explanations can be compared: the key itself
		// holds whatever the scope's claims do.
		parts := []string{route.ID, q.scheme, q.host, e.out.Upstream.Target, string(key)}
		sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
		x.Key = hex.EncodeToString(sum[:8])
		x.SharedBy = e.sharedBy(c.Scope)
	}
}

// sharedBy says in words whose requests get the same stored answer.
func (e *explainer) sharedBy(s config.Scope) string {
	p := e.who
	switch {
	case len(s.Claims) > 0:
		return fmt.Sprintf("callers of issuer %s with the same %s", p.IssuerName, strings.Join(s.Claims, ", "))
	case s.Word == "public":
		return "everybody whom the rules allow"
	case s.Word == "org":
		return fmt.Sprintf("callers of issuer %s with org_id %q", p.IssuerName, p.OrgID)
	case s.Word == "session":
		return fmt.Sprintf("callers of issuer %s with session_id %q", p.IssuerName, p.SessionID)
	}
	return fmt.Sprintf("callers of issuer %s with user_id %q", p.IssuerName, p.UserID)
}

// response shows what is taken out of the answer.
func (e *explainer) response() {
	r := e.match.Route.Config.Response
	if len(r.Remove)+len(r.Keep)+len(r.RemoveHeaders) > 0 {
		e.out.Response = &explainedResponse{r.Remove, r.Keep, r.RemoveHeaders}
	}
}

// corsOf gives the cross-origin settings of a route, or the default ones.
func (e *explainer) corsOf(route *policy.Route) *config.CORS {
	if route != nil && route.Config.CORS != nil {
		return route.Config.CORS
	}
	return e.cfg.CORS
}

// cors shows which pages may read the answer.
func (e *explainer) cors() {
	origin, n := e.question.fields.Field("Origin")
	c := e.corsOf(e.match.Route)
	if c == nil {
		if n > 0 {
			e.out.CORS = &explainedCORS{Origin: origin}
		}
		return
	}
	e.out.CORS = &explainedCORS{Origin: origin, Origins: c.Origins, Credentials: c.Credentials, Readable: n > 0 && originAllowed(c, origin)}
}

func originAllowed(c *config.CORS, origin string) bool {
	return c != nil && (slices.Contains(c.Origins, "*") || originNamed(c, origin))
}

// originNamed tells whether an origin is listed other than by * alone.
func originNamed(c *config.CORS, origin string) bool {
	if c == nil {
		return false
	}
	return slices.ContainsFunc(c.Origins, func(o string) bool {
		prefix, suffix, pattern := strings.Cut(o, "*")
		if o == "*" || !pattern {
			return o == origin && o != "*"
		}
		label, ok := strings.CutPrefix(origin, prefix)
		if !ok {
			return false
		}
		label, ok = strings.CutSuffix(label, suffix)
		return ok && label != "" && !strings.ContainsAny(label, "./:_~")
	})
}

// preflight tells whether the request is a CORS preflight, which is answered
// before any token is asked for.
func (e *explainer) preflight() bool {
	q := e.question
	wanted, n := q.fields.Field("Access-Control-Request-Method")
	_, origins := q.fields.Field("Origin")
	if q.method != "OPTIONS" || n != 1 || origins != 1 || len(e.policy.Methods(q.host, q.path)) == 0 {
		return false
	}
	var m policy.Match
	var route *policy.Route
	if e.policy.Match(&m, wanted, q.host, q.path) == policy.Allowed {
		route = m.Route
	}
	if e.corsOf(route) == nil {
		return false
	}
	e.match.Route = route
	e.cors()
	e.out.Decision = explainedDecision{Effect: "allow", Reason: policy.Allowed, Status: 204, Detail: "a CORS preflight, answered by hopgate itself, before authentication"}
	if route != nil {
		e.out.Decision.Route = route.ID
	}
	return true
}

// sameSite tells whether a request whose token a browser adds by itself shows
// that the user's own page made it (CSRF).
func (e *explainer) sameSite() bool {
	q := e.question
	if !e.out.fromCookie || slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, q.method) {
		return true
	}
	if origin, n := q.fields.Field("Origin"); n > 0 {
		if origin == q.scheme+"://"+q.authority || originNamed(e.corsOf(e.match.Route), origin) {
			return true
		}
		return slices.ContainsFunc(e.match.Route.Config.Issuer, func(name string) bool {
			return slices.Contains(e.cfg.Issuers[name].AuthorizedParties, origin)
		})
	}
	site, n := q.fields.Field("Sec-Fetch-Site")
	return n == 1 && (site == "same-origin" || site == "none")
}
