package config

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// checker finds what is wrong between values each of which is well-formed,
// and what a form that the struct tags cannot say asks for. What only a
// compiler of a section can know is left to it: templates and expressions to
// policy, key sets and providers to token.
type checker struct {
	cfg  *Config
	errs *Errors
	// faulty has the places that a fault was reported for while decoding:
	// what depends on such a value is not judged.
	faulty map[Position]bool

	routes map[string]bool // by id; nil before it is asked for
}

// check reports the faults that cross a configuration's values.
func check(cfg *Config, d *decoder) {
	c := &checker{cfg: cfg, errs: d.errs, faulty: make(map[Position]bool)}
	for _, e := range d.errs.list {
		c.faulty[e.Pos] = true
	}
	for _, pos := range d.meaningless {
		c.faulty[pos] = true
	}
	c.server()
	if cfg.CORS != nil {
		c.cors(at{cfg.Source, []any{"cors"}}, cfg.CORS)
	}
	c.names()
	for _, name := range sortedKeys(cfg.Issuers) {
		c.issuer(cfg.Issuers[name])
	}
	for _, name := range sortedKeys(cfg.Upstreams) {
		c.upstream(cfg.Upstreams[name])
	}
	c.webhooks()
	ids := make(map[string]Position)
	for i := range cfg.Routes {
		if n := cfg.Routes[i].Source.node(); n != nil && n.kind == mappingNode && !n.faulty {
			c.route(&cfg.Routes[i], ids)
		}
	}
	c.unused()
}

// at is a place below a section.
type at struct {
	source Source
	path   []any
}

func (a at) below(path ...any) at { return at{a.source, append(slices.Clip(a.path), path...)} }

func (a at) pos() Position { return a.source.Pos(a.path...) }

// node gives the node at the place, or nil where nothing stands there.
func (a at) node() *node {
	n := a.source.node()
	for _, step := range a.path {
		n = n.step(step)
	}
	return n
}

// key gives the position of the key that is the path's last element.
func (a at) key() Position {
	last, _ := a.path[len(a.path)-1].(string)
	if n := (at{a.source, a.path[:len(a.path)-1]}).node(); n != nil {
		if k := n.key(last, nil); k != nil {
			return a.source.doc.pos(k)
		}
	}
	return a.pos()
}

// show describes a text at the place: what came from outside is not shown.
func (a at) show(text string) string {
	n := a.node()
	if n != nil && fileReference(n) != nil {
		return "what its {file: path} gives"
	}
	if n != nil && strings.Contains(n.value, "${") {
		if names := variables(n.value); len(names) > 0 {
			return "what " + strings.Join(names, " and ") + " gives"
		}
	}
	return quote(text)
}

// written tells whether the value is written in the file rather than a
// default.
func (a at) written() bool { return a.node() != nil }

// variables lists the references in a scalar as they are shown.
func variables(raw string) []string {
	var names []string
	raw = strings.ReplaceAll(raw, "$${", "")
	for {
		begin := strings.Index(raw, "${")
		if begin < 0 {
			return names
		}
		name, _, _, size := reference(raw[begin:])
		if size == 0 {
			return names
		}
		names = append(names, "${"+name+"}")
		raw = raw[begin+size:]
	}
}

// bad reports a value that should be another.
func (c *checker) bad(a at, label, value, right string) {
	c.fault(a.pos(), "%s is %s; %s", label, a.show(value), right)
}

// broken tells whether a value is written and a fault of it was told.
func (c *checker) broken(a at) bool { return a.written() && c.faulty[a.pos()] }

// fault reports a fault of a value, unless one was told of this place before.
func (c *checker) fault(pos Position, format string, args ...any) {
	if !c.faulty[pos] {
		c.errs.Addf(pos, format, args...)
	}
}

// warn reports what is legal but surely not meant.
func (c *checker) warn(pos Position, format string, args ...any) {
	if !c.faulty[pos] {
		c.errs.Warnf(pos, format, args...)
	}
}

const nameLooks = "it should have letters, digits, dots, - and _ only, at most 64 of them, and begin with a letter or digit"

// The words that CEL does not allow as the name of a field.
var reserved = []string{
	"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
	"namespace", "null", "package", "return", "true", "var", "void", "while",
}

// names checks the names that the file gives: they become parts of metrics,
// logs and expressions.
func (c *checker) names() {
	top := at{source: c.cfg.Source}
	for _, name := range sortedKeys(c.cfg.Issuers) {
		if !isName(name) {
			c.fault(top.below("issuers", name).key(), "the issuer's name is %s; %s", quote(name), nameLooks)
		}
	}
	for _, name := range sortedKeys(c.cfg.Upstreams) {
		if !isName(name) {
			c.fault(top.below("upstreams", name).key(), "the upstream's name is %s; %s", quote(name), nameLooks)
		}
	}
	for _, name := range sortedKeys(c.cfg.Webhooks) {
		if !isName(name) {
			c.fault(top.below("webhooks", name).key(), "the webhook's name is %s; %s", quote(name), nameLooks)
		}
	}
	for _, name := range sortedKeys(c.cfg.Rules) {
		switch {
		case !isRuleName(name):
			c.fault(top.below("rules", name).key(), "the rule's name is %s; it should have letters, digits and _ only, so that it can be used as rules.NAME, and not begin with a digit", quote(name))
		case slices.Contains(reserved, name):
			c.fault(top.below("rules", name).key(), "the rule's name is %s, which is a word of CEL; choose another", quote(name))
		}
	}
}

var ruleUse = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\brules\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)`)
})

// unused warns of what the file defines and nothing uses.
func (c *checker) unused() {
	used, seen := make(map[string]bool), make(map[string]bool)
	issuers, upstreams := make(map[string]bool), make(map[string]bool)
	see := func(list ...Expr) {
		for _, e := range list {
			if seen[e.Text] || !strings.Contains(e.Text, "rules") {
				continue
			}
			seen[e.Text] = true
			for _, m := range ruleUse().FindAllStringSubmatch(e.Text, -1) {
				used[m[1]] = true
			}
		}
	}
	for _, r := range c.cfg.Rules {
		see(r)
	}
	for i := range c.cfg.Routes {
		r := &c.cfg.Routes[i]
		see(r.Allow...)
		see(r.Deny...)
		see(Expr{Text: r.Request.Path.Text})
		for _, t := range r.Request.Query {
			see(Expr{Text: t.Text})
		}
		for _, t := range r.Request.Headers {
			see(Expr{Text: t.Text})
		}
		for _, name := range r.Issuer {
			issuers[name] = true
		}
		upstreams[r.Upstream] = true
	}
	top := at{source: c.cfg.Source}
	for _, name := range sortedKeys(c.cfg.Rules) {
		if !used[name] {
			c.errs.unusedf(top.below("rules", name).key(), "the rule %s is used nowhere; use it as rules.%s, or remove it", name, name)
		}
	}
	for _, name := range sortedKeys(c.cfg.Issuers) {
		if !issuers[name] {
			c.errs.unusedf(top.below("issuers", name).key(), "no route accepts tokens of the issuer %s; name it in a route's issuer, or remove it", name)
		}
	}
	for _, name := range sortedKeys(c.cfg.Upstreams) {
		if !upstreams[name] {
			c.errs.unusedf(top.below("upstreams", name).key(), "no route goes to the upstream %s; name it in a route's upstream, or remove it", name)
		}
	}
}

// twice warns of elements that stand in a list more than once.
func (c *checker) twice(a at, label string, list []string) {
	for i, s := range list {
		if slices.Contains(list[:i], s) {
			c.warn(a.below(i).pos(), "%s has %s twice", label, a.below(i).show(s))
		}
	}
}
