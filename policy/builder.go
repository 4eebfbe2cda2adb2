package policy

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"hopgate/config"
)

// builder compiles the expressions of one route.
type builder struct {
	*compiler
	r     *Route
	clerk bool     // tokens of Clerk are accepted
	binds []func() // binds each expression, once it is known what the route reads
	shape string   // what of the route expressions are compiled for
}

func (c *compiler) builder(r *Route) *builder {
	names := r.Config.Issuer
	if len(names) == 0 && !r.Config.Anonymous {
		names = sortedKeys(c.cfg.Issuers)
	}
	of := c.issuersOf(names)
	r.secret = of.secret
	return &builder{compiler: c, r: r, clerk: of.clerk}
}

// issuers are what the routes that accept the tokens of the same issuers have
// in common.
type issuers struct {
	secret []string // fields that carry the token, in small letters
	clerk  bool
}

func (c *compiler) issuersOf(names []string) *issuers {
	key := strings.Join(names, "\n")
	if s := c.issuers[key]; s != nil {
		return s
	}
	s := &issuers{secret: []string{"authorization", "cookie", "proxy-authorization"}}
	for _, name := range names {
		issuer := c.cfg.Issuers[name]
		s.clerk = s.clerk || issuer.Preset == "clerk"
		for _, t := range issuer.Tokens {
			s.secret = append(s.secret, strings.ToLower(t.Header))
		}
	}
	c.issuers[key] = s
	return s
}

// list compiles an allow or deny list.
func (b *builder) list(kind string, exprs []config.Expr, rules *[]rule) {
	*rules = make([]rule, len(exprs))
	for i, e := range exprs {
		at := exprPlace(e)
		x := b.expression(e.Text, at)
		b.truth(x, e)
		rl := &(*rules)[i]
		*rl = rule{name: ruleName(kind, i), text: e.Text, eval: fault}
		if b.r.Config.Anonymous && x.who {
			b.warn(at(mention{line: 1}), "nobody is signed in on an anonymous route, so that principal is empty in this rule")
		}
		b.binds = append(b.binds, func() {
			f, err := b.rule(x)
			if err != nil {
				b.errs.Addf(at(mention{line: 1}), "the rule can't be compiled: %v", err)
			}
			rl.eval = f
		})
	}
}

// ruleName names a rule of a list: allow[0].
func ruleName(kind string, i int) string {
	if i < len(ruleNames[kind]) {
		return ruleNames[kind][i]
	}
	return fmt.Sprintf("%s[%d]", kind, i)
}

// ruleNames are the names of most rules.
var ruleNames = map[string][]string{
	"allow": {"allow[0]", "allow[1]", "allow[2]", "allow[3]"},
	"deny":  {"deny[0]", "deny[1]", "deny[2]", "deny[3]"},
}

// fault is what stands in for an expression with faults.
func fault(*evaluation) (bool, error) { return false, errEvaluate }

// expression reads an expression of the route and notes what it reads.
func (b *builder) expression(text string, at place) *expression {
	x := b.parse(text, at)
	b.lint(x, at)
	b.note(x, at, "")
	for _, m := range x.rules {
		if b.named[m.text] == nil {
			b.noRule(m, at(m))
		} else {
			b.use(m.text, at(m))
		}
	}
	return x
}

// use notes a named rule that the route uses, and those that it uses.
func (b *builder) use(name string, pos config.Position) {
	if b.r.use(name) != nil {
		return
	}
	x := b.named[name]
	b.r.named = append(b.r.named, namedRule{name: name, text: x.text})
	b.note(x, func(mention) config.Position { return pos }, "rules."+name+" reads ")
	if b.clerk {
		b.permissions(x, exprPlace(b.cfg.Rules[name]))
	}
	for _, m := range x.rules {
		if b.named[m.text] != nil {
			b.use(m.text, pos)
		}
	}
}

// note notes what an expression reads, and reports what the route does not
// have.
func (b *builder) note(x *expression, at place, who string) {
	for _, m := range x.path {
		if !slices.Contains(b.r.pattern.params, m.text) && len(b.r.pattern.segments) > 0 {
			b.errs.Addf(at(m), "%s", b.noParameter(m.text, who))
		}
	}
	if x.body != nil && !b.r.NeedsBody() {
		if who == "" {
			who = "there is no "
		}
		b.errs.Addf(at(*x.body), "%srequest.body; it is there where the route has request: { body: json }", who)
	}
	for _, m := range x.query {
		b.r.query = uses(b.r.query, m.text)
	}
	for _, m := range x.headers {
		b.r.headers = uses(b.r.headers, m.text)
	}
	b.r.wholeQuery = b.r.wholeQuery || x.wholeQuery != nil
	if b.clerk && who == "" {
		b.permissions(x, at)
	}
}

func (b *builder) noParameter(name, who string) string {
	template, params := b.r.Config.Match.Path, b.r.pattern.params
	if who != "" {
		return fmt.Sprintf("%spath.%s, which the path template %s of route %s does not have", who, name, template, b.r.ID)
	}
	if len(params) == 0 {
		return fmt.Sprintf("path has no %s: the template %s has no parameters; write one as {%s}", name, template, name)
	}
	return fmt.Sprintf("path has no %s in the template %s%s", name, template, suggestion(name, params))
}

// permissions warns of Clerk's system permissions.
func (b *builder) permissions(x *expression, at place) {
	for _, m := range x.permissions {
		if strings.HasPrefix(m.text, "org:sys_") {
			b.warn(at(m), "Clerk does not put system permissions into session tokens, so that has_permission(%q) is never true; make a permission of your own", m.text)
		}
	}
}

// bind compiles the expressions, now that it is known what the route reads.
func (b *builder) bind() {
	r := b.r
	r.readsQuery = r.wholeQuery || len(r.query) > 0
	r.noParams = make([]parameter, len(r.query))
	if b.errs.Len() > 0 {
		return // some part has no meaning
	}
	b.bindNamed()
	for _, f := range b.binds {
		f()
	}
}

// binding is an expression that is compiled, for all routes with templates
// and query parameters alike: what it is compiled to is the same.
type binding struct {
	shape string
	x     *expression
}

// bindNamed compiles the named rules that the route uses.
func (b *builder) bindNamed() {
	r := b.r
	var shape []byte
	for _, names := range [][]string{r.pattern.params, r.query} {
		shape = binary.AppendUvarint(shape, uint64(len(names)))
		for _, name := range names {
			shape = appendPart(shape, name)
		}
	}
	if r.wholeQuery {
		shape = append(shape, '*')
	}
	b.shape = string(shape)
	if len(r.named) == 0 {
		return
	}
	for i := range r.named {
		shape = appendPart(shape, r.named[i].name)
	}
	if same, ok := b.lists[string(shape)]; ok {
		r.named = same
		return
	}
	r.named = slices.Clone(r.named)
	for i := range r.named {
		b.bindRule(r.named[i].name)
	}
	b.lists[string(shape)] = r.named
}

// bindRule compiles a named rule for the route, after those that it uses.
func (b *builder) bindRule(name string) {
	n := b.r.use(name)
	if n.eval != nil {
		return
	}
	x := b.named[name]
	for _, m := range x.rules {
		b.bindRule(m.text)
	}
	f, err := b.rule(x)
	if err != nil {
		b.errs.Addf(b.cfg.Rules[name].Pos(1, 0), "the rule can't be compiled: %v", err)
	}
	n.eval = f
}

// rule compiles an expression that gives true or false. Where that fails what
// it gives fails.
func (b *builder) rule(x *expression) (boolFunc, error) {
	key := binding{b.shape, x}
	if f := b.bound[key]; f != nil {
		return f, nil
	}
	f, err := (&binder{b.r, x}).bool(x.checked.Expr())
	if err != nil {
		return fault, err
	}
	b.bound[key] = f
	return f, nil
}
