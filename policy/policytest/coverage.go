package policytest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/token"
)

// Coverage says how much of the policies the cases exercised. What is
// counted are sides: a route's allowing and denying, and of each named rule
// and each item of a route's allow and deny lists its being true and its
// being false. A rule that fails shows neither side.
type Coverage struct {
	Percent   float64 `json:"percent"`
	Sides     int     `json:"sides"`
	Exercised int     `json:"exercised"`
	Missing   []Gap   `json:"missing"` // in the order of the configurations
}

// Gap is a side that no case exercised.
type Gap struct {
	Config string `json:"config"`
	Line   int    `json:"line"`
	Kind   string `json:"kind"` // route, rule, allow or deny
	Route  string `json:"route,omitempty"`
	Rule   string `json:"rule,omitempty"` // the name of a named rule, or the text of an item
	Side   string `json:"side"`           // allow or deny of a route, else true or false

	Pos config.Position `json:"-"`
}

// Text says in words what is missing.
func (g *Gap) Text() string {
	switch g.Kind {
	case "route":
		return fmt.Sprintf("route %s: no case is %s", g.Route, map[string]string{"allow": "allowed", "deny": "denied"}[g.Side])
	case "rule":
		return fmt.Sprintf("rule %s: never %s", g.Rule, g.Side)
	}
	return fmt.Sprintf("route %s: %s %s: never %s", g.Route, g.Kind, g.Rule, g.Side)
}

func (c *Coverage) finish() {
	c.Percent = 100
	if c.Sides > 0 {
		c.Percent = 100 * float64(c.Exercised) / float64(c.Sides)
	}
	if c.Missing == nil {
		c.Missing = []Gap{} // an empty list in JSON, not null
	}
}

// item is something with two sides.
type item struct {
	gap  Gap
	seen [2]bool // the side that is false or deny, the side that is true or allow
	only bool    // the false side can't be
}

// probe is an expression of a route on its own.
type probe struct {
	item *item
	deny bool // it stands in the deny list
	rule bool // it is a named rule that items before use
	uses []string
}

// coverage notes which sides the cases of a configuration exercise. To see
// each item apart it compiles the configuration several times, the k-th time
// with nothing but the k-th expression of each route, and asks the same
// evaluator for its decision.
type coverage struct {
	items  []*item
	routes []*item
	probes [][]probe        // by route
	alone  []*policy.Policy // the k-th decides by the k-th probe of a route
}

var ruleUse = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\brules\.([A-Za-z_][A-Za-z0-9_]*)`) })

func newCoverage(cfg *config.Config, p *policy.Policy) *coverage {
	c := &coverage{}
	add := func(g Gap, pos config.Position) *item {
		g.Config, g.Line, g.Pos = pos.File, pos.Line, pos
		it := &item{gap: g}
		c.items = append(c.items, it)
		return it
	}
	rules := map[string]*item{}
	for _, name := range keys(cfg.Rules) {
		rules[name] = add(Gap{Kind: "rule", Rule: name}, cfg.Rules[name].Pos(1, 0))
		rules[name].only = isTrue(cfg.Rules[name])
	}
	expressions := [][]config.Expr{}
	for _, r := range p.Routes() {
		rc := r.Config
		route := add(Gap{Kind: "route", Route: rc.ID}, rc.Source.Pos("id"))
		route.only = rc.Anonymous && len(rc.Deny) == 0 && (len(rc.Allow) == 0 || slices.ContainsFunc(rc.Allow, isTrue))
		c.routes = append(c.routes, route)
		var probes []probe
		var texts []config.Expr
		var used []string
		for _, list := range []struct {
			kind  string
			exprs []config.Expr
		}{{"deny", rc.Deny}, {"allow", rc.Allow}} {
			for _, e := range list.exprs {
				it := add(Gap{Kind: list.kind, Route: rc.ID, Rule: oneLine(e.Text)}, e.Pos(1, 0))
				it.only = isTrue(e)
				uses := usedRules(cfg, e.Text, nil)
				probes = append(probes, probe{item: it, deny: list.kind == "deny", uses: uses})
				texts = append(texts, e)
				used = append(used, uses...)
			}
		}
		slices.Sort(used)
		for _, name := range slices.Compact(used) {
			probes = append(probes, probe{item: rules[name], rule: true, uses: []string{name}})
			texts = append(texts, config.NewExpr("rules."+name))
		}
		c.probes = append(c.probes, probes)
		expressions = append(expressions, texts)
	}
	most := 0
	for _, texts := range expressions {
		most = max(most, len(texts))
	}
	for k := range most {
		alone := *cfg
		alone.Routes = slices.Clone(cfg.Routes)
		for i, r := range p.Routes() {
			at := slices.IndexFunc(alone.Routes, func(x config.Route) bool { return x.ID == r.ID })
			route := &alone.Routes[at]
			route.Deny, route.Mode = nil, "enforce"
			if texts := expressions[i]; k < len(texts) {
				route.Allow = texts[k : k+1]
			}
		}
		c.alone = append(c.alone, policy.Compile(&alone, &config.Errors{}))
	}
	return c
}

func isTrue(e config.Expr) bool { return strings.TrimSpace(e.Text) == "true" }

// oneLine shortens an expression for a message.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 60 {
		s = string(r[:57]) + "..."
	}
	return s
}

// usedRules adds the named rules that an expression uses, directly or
// through others, to those found before.
func usedRules(cfg *config.Config, text string, found []string) []string {
	for _, m := range ruleUse().FindAllStringSubmatch(text, -1) {
		rule, ok := cfg.Rules[m[1]]
		if ok && !slices.Contains(found, m[1]) {
			found = usedRules(cfg, rule.Text, append(found, m[1]))
		}
	}
	return found
}

// result is what an expression gives.
type result int

const (
	isFalse result = iota
	isTrueNow
	failed
)

// ask evaluates the k-th probe of a route.
func (c *coverage) ask(route *policy.Route, k int, in *policy.Request, who *token.Principal) result {
	p := c.alone[k]
	var m policy.Match
	if p.Match(&m, in.Method, in.Host, in.Path) != policy.Allowed {
		return failed
	}
	d := m.Route.Decide(&m, in, who)
	switch {
	case m.Route.ID != route.ID:
		return failed
	case d.Effect == policy.Allow:
		return isTrueNow
	case d.Reason == policy.RuleDenied:
		return isFalse
	}
	return failed
}

// rules notes the sides that deciding a request exercised: those of the deny
// list up to the one that denies, then those of the allow list up to the one
// that allows, and those of the named rules that they use.
func (c *coverage) rules(route *policy.Route, in *policy.Request, who *token.Principal) {
	probes := c.probes[route.Index]
	var used []string
	decided := false
	for k, p := range probes {
		if p.rule && !slices.Contains(used, p.uses[0]) || !p.rule && decided {
			continue
		}
		r := c.ask(route, k, in, who)
		if r != failed {
			p.item.seen[r] = true
		}
		if !p.rule {
			used = append(used, p.uses...)
			decided = r == isTrueNow || r == failed && p.deny
		}
	}
}

// route notes how a request to a route fared.
func (c *coverage) route(route *policy.Route, o *outcome) {
	side := 0
	if o.allowed() && !o.report {
		side = 1
	}
	c.routes[route.Index].seen[side] = true
}

// addTo adds what this configuration's cases exercised.
func (c *coverage) addTo(total *Coverage) {
	for _, it := range c.items {
		names := [2]string{"false", "true"}
		if it.gap.Kind == "route" {
			names = [2]string{"deny", "allow"}
		}
		for side := 1; side >= 0; side-- {
			if side == 0 && it.only {
				continue
			}
			total.Sides++
			if it.seen[side] {
				total.Exercised++
				continue
			}
			g := it.gap
			g.Side = names[side]
			total.Missing = append(total.Missing, g)
		}
	}
}
