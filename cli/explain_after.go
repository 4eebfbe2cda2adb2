package cli

import (
	"fmt"
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
	if len(sent.Query) > 0 || q.query == "" && strings.Contains(q.target, "?") {
		up.Target += "?" + e.env.mask(string(sent.Query))
	}
	for _, endpoint := range u.Endpoints {
		up.Endpoints = append(up.Endpoints, e.env.mask(endpoint))
	}
	kept := e.out.Cache != nil && e.out.Cache.Not == ""
	for _, f := range q.fields {
		if e.gate.Forwards(e.match.Route, f.name, q.method, kept) {
			up.Client = append(up.Client, explainedField{f.name, f.value})
		} else {
			up.Dropped = append(up.Dropped, f.name)
		}
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
func (e *explainer) cache(sent *policy.Outgoing) {
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
	key, ok := e.gate.CacheKey(route, e.who, q.scheme, q.authority, sent, q.fields.all)
	switch {
	case q.method != "GET" && q.method != "HEAD":
		x.Not = "only answers to GET and HEAD are kept"
	case len(q.body) > 0:
		x.Not = "the request has a body"
	case !ok:
		x.Not = "the principal lacks what scope " + x.Scope + " tells callers apart by"
	default:
		x.Key = key
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

// cors shows which pages may read the answer.
func (e *explainer) cors() {
	origin, n := e.question.fields.Field("Origin")
	holds, readable := e.gate.CrossOrigin(e.match.Route, origin)
	if !holds && n == 0 {
		return
	}
	e.out.CORS = &explainedCORS{Origin: origin, Readable: n == 1 && readable}
	c := e.cfg.CORS
	if e.match.Route != nil && e.match.Route.Config.CORS != nil {
		c = e.match.Route.Config.CORS
	}
	if c != nil {
		e.out.CORS.Origins, e.out.CORS.Credentials = c.Origins, c.Credentials
	}
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
	if holds, _ := e.gate.CrossOrigin(route, ""); !holds {
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
	origin, _ := q.fields.Field("Origin")
	site, _ := q.fields.Field("Sec-Fetch-Site")
	return e.gate.SameSite(e.match.Route, q.method, q.scheme, q.authority, origin, site)
}
