package config

import (
	"slices"
	"strconv"
	"strings"
)

// route checks one route. ids has where each id stands first.
func (c *checker) route(r *Route, ids map[string]Position) {
	a := at{source: r.Source}
	if r.ID != "" {
		id := a.below("id")
		before, twice := ids[r.ID]
		switch {
		case !isName(r.ID):
			c.bad(id, "id", r.ID, nameLooks)
		case twice:
			c.bad(id, "id", r.ID, "the route in line "+strconv.Itoa(before.Line)+" has the same; it should be its own")
		default:
			ids[r.ID] = id.pos()
		}
	}
	u, ok := c.cfg.Upstreams[r.Upstream]
	if r.Upstream != "" && !ok {
		c.unknown(a.below("upstream"), "upstream", r.Upstream, sortedKeys(c.cfg.Upstreams), "upstreams")
	}
	if r.WebSocket != nil && (u.Protocol == "h2" || u.Protocol == "h2c") {
		c.fault(a.below("websocket").key(), "websocket is set, and the upstream %s speaks %s; a WebSocket needs one whose protocol is http/1.1", quote(r.Upstream), u.Protocol)
	}
	for _, name := range sortedKeys(c.cfg.Webhooks) {
		if r.Match.Path != "" && r.Match.Path == c.cfg.Webhooks[name].Path {
			c.bad(at{source: r.Match.Source}.below("path"), "path", r.Match.Path, "the webhook "+name+" has the same and comes first; it should be another")
		}
	}
	for i, id := range r.Invalidates {
		if !c.isRoute(id) {
			c.unknown(a.below("invalidates", i), "invalidates", id, c.routeIDs(), "routes")
		}
	}
	c.who(r, a)
	c.match(r)
	c.request(r)
	c.response(r)
	c.routeCache(r)
	if l := r.Limit; l != nil && r.Anonymous && l.By == "org" {
		c.bad(at{source: l.Source}.below("by"), "by", l.By, "an anonymous route knows no organization; it should be ip or route")
	}
	if r.CORS != nil {
		c.cors(at{source: r.CORS.Source}, r.CORS)
	}
}

func (c *checker) isRoute(id string) bool {
	if c.routes == nil {
		c.routes = make(map[string]bool, len(c.cfg.Routes))
		for i := range c.cfg.Routes {
			c.routes[c.cfg.Routes[i].ID] = true
		}
	}
	return c.routes[id]
}

func (c *checker) routeIDs() []string {
	ids := make([]string, 0, len(c.cfg.Routes))
	for i := range c.cfg.Routes {
		ids = append(ids, c.cfg.Routes[i].ID)
	}
	return ids
}

// unknown reports a name that the file does not define; it defines names.
func (c *checker) unknown(a at, label, name string, names []string, section string) {
	if len(names) == 0 {
		c.bad(a, label, name, section+" has none; it should be defined there")
		return
	}
	hint := ""
	if a.show(name) == quote(name) {
		hint = didYouMean(name, names)
	}
	c.bad(a, label, name, "it should be one of those in "+section+": "+strings.Join(names, ", ")+hint)
}

// who checks whom a route lets in.
func (c *checker) who(r *Route, a at) {
	for i, name := range r.Issuer {
		if _, ok := c.cfg.Issuers[name]; name != "" && !ok && a.below("issuer").written() {
			c.unknown(a.below("issuer", i), "issuer", name, sortedKeys(c.cfg.Issuers), "issuers")
		}
	}
	c.twice(a.below("issuer"), "issuer", r.Issuer)
	switch {
	case r.Anonymous && a.below("issuer").written():
		c.fault(a.below("issuer").pos(), "issuer is set, and anonymous is true: no token is asked for; remove one of them")
	case r.Anonymous || c.broken(a.below("issuer")) || c.broken(a.below("anonymous")) || c.broken(at{source: c.cfg.Source}.below("issuers")):
	case len(r.Issuer) > 0:
	case len(c.cfg.Issuers) == 0:
		c.errs.Addf(a.pos(), "the route has no issuer whose tokens it accepts; add one under issuers, or write anonymous: true")
	case a.below("issuer").written():
		c.fault(a.below("issuer").pos(), "issuer is empty; it should have one or more of %s", strings.Join(sortedKeys(c.cfg.Issuers), ", "))
	default:
		c.errs.Addf(a.pos(), "issuer is missing; there are several, and it should say whose tokens are accepted: one or more of %s", strings.Join(sortedKeys(c.cfg.Issuers), ", "))
	}
	if len(r.Allow) == 0 && !r.Anonymous && !c.broken(a.below("allow")) && !c.broken(a.below("anonymous")) {
		c.errs.Addf(a.below("allow").pos(), "allow is missing; it should say who may call the route: a CEL rule, \"true\" for everybody with a valid token, or anonymous: true to ask for none")
	}
	for i, e := range r.Allow {
		text := strings.TrimSpace(e.Text)
		switch {
		case text == "true" && len(r.Allow) > 1:
			c.warn(a.below("allow", i).pos(), "allow has true, so that the other rules beside it have no effect")
		case text == "false" && len(r.Allow) == 1:
			c.warn(a.below("allow", i).pos(), "allow is false, so that nobody is let in")
		case text != "" && slices.ContainsFunc(r.Deny, func(d Expr) bool { return strings.TrimSpace(d.Text) == text }):
			c.warn(a.below("allow", i).pos(), "the same rule stands under allow and deny; deny is asked first, so that it allows nothing")
		}
	}
	for i, e := range r.Deny {
		switch strings.TrimSpace(e.Text) {
		case "true":
			c.warn(a.below("deny", i).pos(), "deny has true, so that nobody is let in")
		case "false":
			c.warn(a.below("deny", i).pos(), "deny has false, which denies nobody")
		}
	}
	if r.Mode == "report" && len(r.Allow)+len(r.Deny) == 0 {
		c.warn(a.below("mode").pos(), "mode is report, but the route has no rules to report about")
	}
}

// match checks which requests a route is for.
func (c *checker) match(r *Route) {
	a := at{source: r.Match.Source}
	for i, h := range r.Match.Hosts {
		if h == "" {
			continue
		}
		if problem := hostPatternProblem(h); problem != "" {
			c.bad(a.below("hosts", i), "hosts", h, problem)
		}
	}
	c.twice(a.below("hosts"), "hosts", r.Match.Hosts)
	for i, m := range r.Match.Methods {
		c.method(a.below("methods", i), m)
	}
	c.twice(a.below("methods"), "methods", r.Match.Methods)
	c.path(a.below("path"), r.Match.Path)
	if len(r.Match.Methods) == 0 && a.below("methods").written() {
		c.fault(a.below("methods").pos(), "methods is empty; it should have at least one, or be left out for GET")
	}
}

// path warns of parameters in the spelling of other routers.
func (c *checker) path(a at, path string) {
	if a.show(path) != quote(path) {
		return
	}
	for segment := range strings.SplitSeq(path, "/") {
		name := strings.TrimSuffix(strings.TrimLeft(segment, ":<*"), ">")
		switch {
		case segment == "*" || segment == "**":
			c.warn(a.pos(), "path has the segment %s, which is literal text here; any one segment is written \"/{name}\", and the rest of a path \"/{name...}\"", quote(segment))
		case isRuleName(name) && (segment == ":"+name || segment == "<"+name+">" || segment == "*"+name):
			c.warn(a.pos(), "path has the segment %s, which is literal text here; a parameter is written \"/{%s}\"", quote(segment), name)
		}
	}
}

// readOnly tells whether a route takes GET and HEAD alone.
func readOnly(methods []string) bool {
	return !slices.ContainsFunc(methods, func(m string) bool { return m != "GET" && m != "HEAD" && m != "" })
}

// request checks what is changed on the way to the upstream.
func (c *checker) request(r *Route) {
	q, a := &r.Request, at{source: r.Request.Source}
	var secret string
	if u := c.cfg.Upstreams[r.Upstream]; u.Secret != nil {
		secret = u.Secret.Header
	}
	headers := sortedKeys(q.Headers)
	for i, name := range headers {
		here := a.below("headers", name)
		switch {
		case !isToken(name):
			c.fault(here.key(), "a field's name is %s; it should be one such as X-User-Id", quote(name))
		case isFraming(name):
			c.fault(here.key(), "%s cannot be set: hopgate itself says how a message is transferred", name)
		case secret != "" && strings.EqualFold(name, secret):
			c.fault(here.key(), "%s is the field of the upstream's secret; it should be set in one place", name)
		}
		for _, other := range headers[:i] {
			if strings.EqualFold(name, other) {
				c.fault(here.key(), "%s is the same field as %s, since case does not count in field names; remove one of them", name, other)
			}
		}
	}
	for _, name := range sortedKeys(q.Query) {
		if name == "" {
			c.fault(a.below("query", name).key(), "a query parameter has no name")
		}
	}
	for i, name := range q.Remove {
		here := a.below("remove", i)
		c.field(here, "remove", name)
		if slices.ContainsFunc(headers, func(h string) bool { return strings.EqualFold(h, name) }) {
			c.warn(here.pos(), "remove has %s, which headers sets anyway; the client's never goes on", here.show(name))
		}
	}
	for i, name := range q.Cookies {
		if name != "" && !isToken(name) {
			c.bad(a.below("cookies", i), "cookies", name, "it should be a cookie's name")
		}
	}
	c.twice(a.below("remove"), "remove", q.Remove)
	c.twice(a.below("cookies"), "cookies", q.Cookies)
	c.twice(a.below("params"), "params", q.Params)
	if q.Body == "json" && len(r.Match.Methods) > 0 && readOnly(r.Match.Methods) {
		c.warn(a.below("body").pos(), "body is json, but the route's requests (%s) have none", strings.Join(r.Match.Methods, ", "))
	}
}

// response checks what is changed on the way back. The paths in remove and
// keep are read where they are compiled.
func (c *checker) response(r *Route) {
	s, a := &r.Response, at{source: r.Response.Source}
	if len(s.Remove) > 0 && len(s.Keep) > 0 {
		c.fault(a.below("keep").pos(), "keep and remove are both set; keep alone already removes all else")
	}
	if len(s.Keep) == 0 && a.below("keep").written() {
		c.fault(a.below("keep").pos(), "keep is empty, which would remove everything; it should have at least one member, or be left out")
	}
	for i, name := range s.RemoveHeaders {
		c.field(a.below("remove_headers", i), "remove_headers", name)
	}
	c.twice(a.below("remove"), "remove", s.Remove)
	c.twice(a.below("keep"), "keep", s.Keep)
}

// routeCache checks how a route's answers are kept.
func (c *checker) routeCache(r *Route) {
	if r.Cache == nil {
		return
	}
	a := at{source: r.Cache.Source}
	scope := a.below("scope")
	switch {
	case r.Anonymous && r.Cache.Scope.Word != "public":
		c.fault(scope.pos(), "scope is %s, and the route is anonymous: it knows no principal; it should be public, or be left out", scope.show(r.Cache.Scope.String()))
	case !r.Anonymous && r.Cache.Scope.Word == "public":
		c.warn(scope.pos(), "scope is public: everybody whom the rules let in gets the same answer; it should be user or org where answers depend on who asks")
	}
	for i, name := range r.Cache.VaryOn {
		c.field(a.below("vary_on", i), "vary_on", name)
	}
	c.twice(a.below("vary_on"), "vary_on", r.Cache.VaryOn)
	if !r.Cache.TTL.Origin {
		for _, key := range []string{"heuristic", "ignore_request"} {
			if a.below(key).written() {
				c.warn(a.below(key).pos(), "%s has an effect with ttl: origin only", key)
			}
		}
	}
	if r.Cache.StaleAfter > 0 && r.Cache.StaleIfError == 0 && !r.Cache.TTL.Origin {
		c.warn(a.below("stale_after").pos(), "stale_after has no effect without stale_if_error: there is no stale answer to give")
	}
	if !readOnly(r.Match.Methods) {
		c.warn(a.pos(), "only answers to GET are cached; this route's methods are %s", strings.Join(r.Match.Methods, ", "))
	}
}
