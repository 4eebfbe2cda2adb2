package policy

import (
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
}

func (c *compiler) builder(r *Route) *builder {
	b := &builder{compiler: c, r: r}
	r.secret = []string{"authorization", "cookie", "proxy-authorization"}
	names := r.Config.Issuer
	if len(names) == 0 && !r.Config.Anonymous {
		names = sortedKeys(c.cfg.Issuers)
	}
	for _, name := range names {
		issuer := c.cfg.Issuers[name]
		b.clerk = b.clerk || issuer.Preset == "clerk"
		for _, t := range issuer.Tokens {
			r.secret = append(r.secret, strings.ToLower(t.Header))
		}
	}
	return b
}

// list compiles an allow or deny list.
func (b *builder) list(kind string, exprs []config.Expr, rules *[]rule) {
	*rules = make([]rule, len(exprs))
	for i, e := range exprs {
		at := exprPlace(e)
		x := b.expression(e.Text, at)
		b.truth(x, e)
		rl := &(*rules)[i]
		*rl = rule{name: fmt.Sprintf("%s[%d]", kind, i), x: x, eval: b.fault()}
		if b.r.Config.Anonymous && x.who {
			b.warn(at(mention{line: 1}), "nobody is signed in on an anonymous route, so that principal is empty in this rule")
		}
		b.binds = append(b.binds, func() {
			if f, err := (&binder{b.r, x}).bool(x.checked.Expr()); err != nil {
				b.errs.Addf(at(mention{line: 1}), "the rule can't be compiled: %v", err)
			} else {
				rl.eval = f
			}
		})
	}
}

// fault is what stands in for an expression with faults.
func (b *builder) fault() boolFunc {
	return func(*evaluation) (bool, error) { return false, errEvaluate }
}

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
	if b.r.used[name] != nil {
		return
	}
	x := b.named[name]
	b.r.used[name] = x
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
	for _, name := range sortedKeys(r.used) {
		b.bindRule(name)
	}
	for _, f := range b.binds {
		f()
	}
}

// bindRule compiles a named rule for the route, after those that it uses.
func (b *builder) bindRule(name string) {
	r := b.r
	if r.named[name] != nil {
		return
	}
	x := r.used[name]
	for _, m := range x.rules {
		b.bindRule(m.text)
	}
	f, err := (&binder{r, x}).bool(x.checked.Expr())
	if err != nil {
		b.errs.Addf(b.cfg.Rules[name].Pos(1, 0), "the rule can't be compiled: %v", err)
		f = b.fault()
	}
	r.named[name] = f
}
