package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"hopgate/config"
)

// compiler makes a policy of a configuration. An expression that stands in
// many places is parsed and type-checked once.
type compiler struct {
	cfg    *config.Config
	errs   *config.Errors
	policy *Policy

	texts  map[string]*expression
	named  map[string]*expression
	warned map[string]bool

	// What routes share: in a long list most have the same issuers and rules.
	issuers map[string]*issuers
	bound   map[binding]boolFunc
	lists   map[string][]namedRule
}

func newCompiler(cfg *config.Config, errs *config.Errors) *compiler {
	return &compiler{
		cfg: cfg, errs: errs, policy: &Policy{},
		texts: map[string]*expression{}, named: map[string]*expression{},
		warned: map[string]bool{}, issuers: map[string]*issuers{}, bound: map[binding]boolFunc{},
		lists: map[string][]namedRule{},
	}
}

// place gives the file position of a mention.
type place func(mention) config.Position

func exprPlace(e config.Expr) place {
	return func(m mention) config.Position { return e.Pos(m.line, m.column) }
}

// parse gives the expression of a text, and reports its faults where it
// stands.
func (c *compiler) parse(text string, at place) *expression {
	x := c.texts[text]
	if x == nil {
		x = parse(text)
		c.texts[text] = x
	}
	if text == "" && at(mention{line: 1}).Line == 0 && c.errs.Len() > 0 {
		return x // what stands in the file is no expression, which was reported
	}
	for _, f := range x.faults {
		c.errs.Addf(at(f), "%s", f.text)
	}
	return x
}

// warn warns once for a position and a text.
func (c *compiler) warn(pos config.Position, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	key := pos.String() + " " + text
	if !c.warned[key] {
		c.warned[key] = true
		c.errs.Warnf(pos, "%s", text)
	}
}

// rules compiles the named rules, each alone.
func (c *compiler) rules() {
	for _, name := range sortedKeys(c.cfg.Rules) {
		e := c.cfg.Rules[name]
		x := c.parse(e.Text, exprPlace(e))
		c.named[name] = x
		c.truth(x, e)
		c.lint(x, exprPlace(e))
	}
	state := map[string]int{} // 1: on the way, 2: done
	for _, name := range sortedKeys(c.cfg.Rules) {
		c.cycle(name, nil, state)
	}
}

// cycle looks for rules that use themselves, and for uses of rules that are
// not there.
func (c *compiler) cycle(name string, way []string, state map[string]int) {
	state[name] = 1
	way = append(way, name)
	for _, m := range c.named[name].rules {
		pos := exprPlace(c.cfg.Rules[name])(m)
		switch {
		case c.named[m.text] == nil:
			c.noRule(m, pos)
		case state[m.text] == 1:
			i := slices.Index(way, m.text)
			c.errs.Addf(pos, "rule %s uses itself: %s; a rule can't be its own condition", m.text, strings.Join(append(slices.Clone(way[i:]), m.text), " → "))
		case state[m.text] == 0:
			c.cycle(m.text, way, state)
		}
	}
	state[name] = 2
}

func (c *compiler) noRule(m mention, pos config.Position) {
	if len(c.named) == 0 {
		c.errs.Addf(pos, "there is no rule %s; named rules stand under rules:", m.text)
		return
	}
	c.errs.Addf(pos, "there is no rule %s%s", m.text, suggestion(m.text, sortedKeys(c.named)))
}

// truth checks that a rule can give true or false, and can give both.
func (c *compiler) truth(x *expression, e config.Expr) {
	if x.checked == nil {
		return
	}
	if !x.isBool() {
		c.errs.Addf(e.Pos(1, 0), "the rule gives %s; it should give true or false", x.out)
		return
	}
	if x.checked.Expr().Kind() == ast.LiteralKind {
		return // everybody, or nobody: it is meant
	}
	if v, known := x.constant(); known {
		c.warn(e.Pos(1, 0), "the rule is %s whatever the request is", v)
	}
}

// lint warns of what is legal in an expression but surely not meant.
func (c *compiler) lint(x *expression, at place) {
	for _, m := range x.claims {
		if m.text == "user_metadata" || m.text == "unsafe_metadata" {
			c.warn(at(m), "principal.claims.%s is written by users themselves: never decide by it; use claims that only the provider writes, such as app_metadata or public metadata", m.text)
		}
	}
	for _, m := range x.addresses {
		if a, err := netip.ParseAddr(m.text); err != nil || a.Unmap().String() != m.text {
			hint := "; client.ip.in_cidr(\"10.0.0.0/8\") asks for a range"
			if err == nil {
				hint = "; it is written " + a.Unmap().String()
			}
			c.warn(at(m), "client.ip never equals %q%s", m.text, hint)
		}
	}
}

// constant tells what the expression gives whatever the request is. An
// expression without variables that fails gives no value.
func (x *expression) constant() (value string, known bool) {
	if x.variables {
		v, known := constant(x.checked.Expr())
		return fmt.Sprint(v), known
	}
	p, err := x.program(x.checked.Expr())
	if err != nil {
		return "", false
	}
	v, _, err := p.Eval(map[string]any{})
	if err != nil {
		return "an error", true
	}
	return fmt.Sprint(v), v.Type() == types.BoolType
}

// constant looks for a && or || that one operand decides.
func constant(e ast.Expr) (value, known bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		v, ok := e.AsLiteral().(types.Bool)
		return bool(v), ok
	case ast.CallKind:
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.LogicalNot:
			v, known := constant(args[0])
			return !v, known
		case operators.LogicalAnd, operators.LogicalOr:
			deciding := e.AsCall().FunctionName() == operators.LogicalOr
			v, known := constant(args[0])
			w, known2 := constant(args[1])
			if known && v == deciding || known2 && w == deciding {
				return deciding, true
			}
			return !deciding, known && known2
		}
	}
	return false, false
}

// route compiles a route and puts it into the table.
func (c *compiler) route(cfg *config.Route) {
	r := &Route{
		ID: cfg.ID, Index: len(c.policy.routes), Config: cfg,
		pattern: &pattern{}, report: cfg.Mode == "report",
	}
	c.policy.routes = append(c.policy.routes, r)
	if p, fault := parsePattern(cfg.Match.Path); fault != "" {
		c.errs.Addf(cfg.Match.Source.Pos("path"), "%s", fault)
	} else {
		r.pattern = p
		c.place(r)
	}
	b := c.builder(r)
	b.list("deny", cfg.Deny, &r.deny)
	b.list("allow", cfg.Allow, &r.allow)
	b.templates()
	b.bind()
	b.scope()
}

// place puts a route into the table, under each of its hosts and methods.
func (c *compiler) place(r *Route) {
	m := &r.Config.Match
	patterns := m.Hosts
	if len(patterns) == 0 {
		patterns = []string{""}
	}
	for _, host := range patterns {
		for _, method := range m.Methods {
			other := c.policy.hosts.tree(host).insert(r.pattern, method, r)
			if other != nil && other != r {
				c.errs.Addf(m.Source.Pos("path"), "routes %s and %s (at %s) match the same requests: %s %s%s; give them different methods, hosts or paths",
					r.ID, other.ID, other.Config.Match.Source.Pos("path"), method, host, m.Path)
				return
			}
		}
	}
}
