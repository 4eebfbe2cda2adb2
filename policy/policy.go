// Package policy is the decision point: it finds the route of a request,
// decides by the route's rules whether the request is allowed, and says what
// is sent upstream. The same evaluator serves the gate, `hopgate explain` and
// the policy tests.
//
// The package does no I/O, reads no clock and knows no HTTP library. A
// [Policy] is immutable and safe for concurrent use; a [Match] and an
// [Outgoing] belong to one request at a time and are reused. What is simple
// allocates nothing: matching, deciding by rules that compare texts, and
// forwarding byte for byte.
package policy

import (
	"slices"

	"hopgate/config"
	"hopgate/token"
)

// Policy is the compiled routes and rules of a configuration.
type Policy struct {
	routes []*Route
	hosts  hosts
}

// Compile compiles the routes and rules of a configuration. Faults and
// warnings are added to errs; a policy with faults must not decide anything.
func Compile(cfg *config.Config, errs *config.Errors) *Policy {
	c := newCompiler(cfg, errs)
	c.ahead()
	c.rules()
	for i := range cfg.Routes {
		c.route(&cfg.Routes[i])
	}
	return c.policy
}

// Routes gives the routes in the order of the configuration: Routes()[i].Index
// is i. The slice must not be changed.
func (p *Policy) Routes() []*Route { return p.routes }

// Route is a compiled route.
type Route struct {
	ID     string
	Index  int
	Config *config.Route

	pattern *pattern
	deny    []rule
	allow   []rule
	named   []namedRule // those that the route uses, after those that they use
	report  bool

	// What the route reads of a request.
	query      []string // query parameters, each at most once in a request
	wholeQuery bool     // all of them, none twice
	readsQuery bool
	noParams   []parameter // as many as query has
	headers    []string    // fields, each at most once in a request

	secret []string // fields that carry the token, in small letters

	rewrite rewrite
	scope   scope
}

// rule is an item of a route's deny or allow list.
type rule struct {
	name string // deny[0], allow[1]
	text string
	eval boolFunc
}

// namedRule is a named rule as it is for a route.
type namedRule struct {
	name string
	text string
	eval boolFunc // nil before it is bound
}

// use gives a named rule of the route, or nil.
func (r *Route) use(name string) *namedRule {
	for i := range r.named {
		if r.named[i].name == name {
			return &r.named[i]
		}
	}
	return nil
}

// NeedsBody tells whether the body has to be read before deciding.
func (r *Route) NeedsBody() bool { return r.Config.Request.Body == "json" }

// Match is the route of a request and the values of its template's
// parameters. The zero Match is ready to use; reuse it for its memory. What
// it holds of a request is lent: it is valid as long as the path that was
// matched.
type Match struct {
	Route *Route

	values []string
	eval   evaluation
}

// Match finds the route for a request: the most specific one of those that
// have its host, method and path, whatever their order. Host is in small
// letters and without port, path is the escaped, canonical path. HEAD follows
// GET. It gives [Allowed], [RouteNotFound], [MethodNotAllowed], or
// [TargetNotCanonical] where a segment is another spelling of a literal
// segment of a route.
func (p *Policy) Match(m *Match, method, host, path string) Reason {
	m.Route = nil
	if path == "" || path[0] != '/' {
		return RouteNotFound
	}
	l := lookup{method: method, values: m.values[:0]}
	for _, t := range p.hosts.of(host) {
		if t == nil {
			continue
		}
		if r := l.walk(&t.root, path[1:]); r != nil {
			m.Route, m.values = r, l.values
			return Allowed
		}
		if l.disguised {
			return TargetNotCanonical
		}
		l.values = l.values[:0]
	}
	if l.elsewhere {
		return MethodNotAllowed
	}
	return RouteNotFound
}

// Methods lists the methods that routes have for a path, sorted, HEAD with
// GET: what Allow and preflight answers say.
func (p *Policy) Methods(host, path string) []string {
	if path == "" || path[0] != '/' {
		return nil
	}
	have := map[string]bool{}
	for _, t := range p.hosts.of(host) {
		if t != nil {
			t.root.methods(path[1:], have)
		}
	}
	return sortedKeys(have)
}

// Effect is what is to be done with a request.
type Effect uint8

// The effects. The zero Effect denies.
const (
	Deny Effect = iota
	Allow
)

// String gives allow or deny.
func (e Effect) String() string {
	if e == Allow {
		return "allow"
	}
	return "deny"
}

// Decision is the outcome of a route's rules.
type Decision struct {
	Effect Effect
	Reason Reason
	Route  string // the route's id
	Rule   string // the rule that decided (deny[0], allow[1]), or empty where none did

	// Report is set where the route is in report mode and its rules would
	// have denied with the reason Denial.
	Report bool
	Denial Reason
}

// Decide asks the route's rules. m is the request's match with this route;
// who is the principal, [token.Anonymous] on an anonymous route.
//
// Deny rules come first: one that is true denies, and so does one that
// fails. Then one allow rule that is true allows. Otherwise the request is
// denied: with [RuleFailed] where an allow rule failed, else [RuleDenied]. A
// request that a rule could read in two ways is refused before that.
func (r *Route) Decide(m *Match, in *Request, who *token.Principal) Decision {
	e := &m.eval
	e.begin(r, m, in, who)
	reason, rule := r.decide(e)
	e.end()
	d := Decision{Effect: Deny, Reason: reason, Route: r.ID, Rule: rule}
	switch {
	case reason.Allowed():
		d.Effect = Allow
	case r.report:
		d.Effect, d.Reason, d.Report, d.Denial = Allow, Allowed, true, reason
	}
	return d
}

func (r *Route) decide(e *evaluation) (Reason, string) {
	if err := e.read(); err != nil {
		return err.Reason, ""
	}
	for i := range r.deny {
		switch v, err := r.deny[i].eval(e); {
		case err != nil:
			return RuleFailed, r.deny[i].name
		case v:
			return RuleDenied, r.deny[i].name
		}
	}
	if len(r.allow) == 0 && r.Config.Anonymous {
		return AllowedAnonymous, ""
	}
	failed := ""
	for i := range r.allow {
		switch v, err := r.allow[i].eval(e); {
		case err == nil && v:
			return Allowed, r.allow[i].name
		case err != nil && failed == "":
			failed = r.allow[i].name
		}
	}
	if failed != "" {
		return RuleFailed, failed
	}
	return RuleDenied, ""
}

// read reads what the route's expressions read of the request.
func (e *evaluation) read() *Error {
	if err := e.readQuery(); err != nil {
		return err
	}
	if err := e.readFields(); err != nil {
		return err
	}
	return e.readBody()
}

// uses adds to a sorted set.
func uses(set []string, name string) []string {
	if i, found := slices.BinarySearch(set, name); !found {
		set = slices.Insert(set, i, name)
	}
	return set
}
