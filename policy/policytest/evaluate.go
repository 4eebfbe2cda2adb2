package policytest

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/policy/filter"
	"hopgate/token"
)

// outcome is what a case's request comes to.
type outcome struct {
	reason  policy.Reason
	effect  policy.Effect
	route   string
	rule    string
	report  bool
	status  int
	note    string // why, where an error says it
	matched *policy.Route

	sent  policy.Outgoing
	scope string // whose cached answer it is; none where nothing is cached
	key   []byte
	body  []byte
}

// allowed tells whether the gate would have forwarded the request.
func (o *outcome) allowed() bool { return o.effect == policy.Allow }

func (o *outcome) refuse(r policy.Reason) {
	o.reason, o.status = r, r.Outcome().Status
}

// gate is a compiled configuration with what its cases have exercised.
type gate struct {
	cfg      *config.Config
	policy   *policy.Policy
	filters  []*filter.Filter // by policy.Route.Index
	coverage *coverage
}

// compile compiles the part of a configuration that decides.
func compile(cfg *config.Config, errs *config.Errors) *gate {
	g := &gate{cfg: cfg, policy: policy.Compile(cfg, errs)}
	for _, r := range g.policy.Routes() {
		var f *filter.Filter
		resp := r.Config.Response
		if len(resp.Remove)+len(resp.Keep) > 0 {
			var err error
			if f, err = filter.Compile(resp.Remove, resp.Keep); err != nil {
				errs.Addf(r.Config.Source.Pos("response"), "%v", err)
			}
		}
		g.filters = append(g.filters, f)
	}
	if errs.Len() == 0 {
		g.coverage = newCoverage(cfg, g.policy)
	}
	return g
}

// fields are the request's fields.
type fields []field

type field struct{ name, value string }

// Field gives the first value of a name, and how many there are.
func (f fields) Field(name string) (value string, n int) {
	for i := range f {
		if strings.EqualFold(f[i].name, name) {
			if n == 0 {
				value = f[i].value
			}
			n++
		}
	}
	return value, n
}

// exchange is a case made ready to be evaluated.
type exchange struct {
	input policy.Request
	match policy.Match
	who   *token.Principal
}

// standardTime is the moment of a case that gives neither now nor iat, so
// that every run gives the same.
var standardTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// prepare makes the policy's request of a case.
func (x *exchange) prepare(c *testCase) {
	r := &c.Request
	in := &x.input
	*in = policy.Request{Method: r.Method, Scheme: "https", Host: "localhost", ClientIP: r.ClientIP, Now: r.Now}
	if in.Method == "" {
		in.Method = "GET"
	}
	if !in.ClientIP.IsValid() {
		in.ClientIP = netip.MustParseAddr("192.0.2.1")
	}
	var list fields
	for _, name := range keys(r.Headers) {
		for _, v := range r.Headers[name] {
			list = append(list, field{name, v})
		}
	}
	target := r.Path.string
	if host, n := list.Field("Host"); n > 0 {
		in.Host = hostname(host)
	}
	if u, err := url.Parse(r.URL.string); err == nil && u.Host != "" {
		in.Scheme, in.Host = u.Scheme, hostname(u.Host)
		_, rest, _ := strings.Cut(r.URL.string, "://")
		target = "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		}
		if target[0] == '?' {
			target = "/" + target
		}
	}
	in.Path, in.RawQuery, _ = strings.Cut(target, "?")
	if b := r.Body; b != nil {
		in.Body = b.bytes()
		if _, n := list.Field("Content-Type"); n == 0 && b.JSON != nil {
			list = append(list, field{"Content-Type", "application/json"})
		}
	}
	in.Fields = list
}

// hostname gives a host without its port, in small letters.
func hostname(host string) string {
	return strings.ToLower((&url.URL{Host: host}).Hostname())
}

// bytes gives the body as it is sent.
func (b *body) bytes() []byte {
	switch {
	case b.JSON != nil:
		text, err := json.Marshal(b.JSON.data)
		if err != nil {
			panic(err) // it came out of a YAML file: it always marshals
		}
		return text
	case b.Text != nil:
		return []byte(*b.Text)
	}
	return nil
}

// evaluate takes a case through the same evaluator as a request takes.
func (g *gate) evaluate(f *file, c *testCase, errs *config.Errors) *outcome {
	o := &outcome{effect: policy.Deny, scope: "none"}
	var x exchange
	x.prepare(c)
	if r := g.policy.Match(&x.match, x.input.Method, x.input.Host, x.input.Path); r != policy.Allowed {
		o.refuse(r)
		return o
	}
	route := x.match.Route
	o.matched, o.route = route, route.ID
	defer func() { g.coverage.route(route, o) }()

	who := f.identityOf(c)
	if x.input.Now.IsZero() {
		x.input.Now = who.issuedAt()
	}
	var err error
	if x.who, err = g.authenticate(route, who, x.input.Now, errs); err != nil {
		o.refuse(policy.ReasonOf(err))
		o.note = err.Error()
		return o
	}
	d := route.Decide(&x.match, &x.input, x.who)
	g.coverage.rules(route, &x.input, x.who)
	o.effect, o.reason, o.rule, o.report = d.Effect, d.Reason, d.Rule, d.Report
	if d.Effect != policy.Allow {
		o.refuse(d.Reason)
		return o
	}
	if err := route.Rewrite(&o.sent, &x.match, &x.input, x.who); err != nil {
		o.effect = policy.Deny
		o.refuse(policy.ReasonOf(err))
		o.note = err.Error()
		return o
	}
	g.cacheScope(o, &x)
	o.status = 200
	if c.Upstream != nil {
		g.answer(o, c.Upstream)
	}
	return o
}

// cacheScope finds out who shares the answer.
func (g *gate) cacheScope(o *outcome, x *exchange) {
	cached := o.matched.Config.Cache
	if cached == nil || x.input.Method != "GET" && x.input.Method != "HEAD" || len(x.input.Body) > 0 {
		return
	}
	if key, ok := o.matched.AppendScope(nil, x.who); ok {
		o.key, o.scope = key, cached.Scope.String()
	}
}

// answer filters the upstream's answer.
func (g *gate) answer(o *outcome, a *answer) {
	if a.Status != 0 {
		o.status = a.Status
	}
	o.body = a.bytes()
	if f := g.filters[o.matched.Index]; f != nil {
		filtered, err := f.Append(nil, o.body)
		if err != nil {
			o.refuse(policy.ResponseUnfilterable)
			o.note, o.body = err.Error(), nil
			return
		}
		o.body = filtered
	}
}

// canonical writes a JSON text so that equal documents are equal texts:
// members sorted, a member to a line, numbers in one form.
func canonical(doc []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return string(doc), false
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(numbers(v)); err != nil {
		return string(doc), false
	}
	return strings.TrimSuffix(b.String(), "\n"), true
}

// numbers brings equal numbers into one form.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = numbers(v[name])
		}
	}
	return v
}
