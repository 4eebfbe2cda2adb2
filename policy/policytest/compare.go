package policytest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hopgate/config"
)

// compare tells what of an outcome is not as the case expects.
func (g *gate) compare(f *file, c *testCase, o *outcome, errs *config.Errors) []Difference {
	e := c.Expect
	var diffs []Difference
	differ := func(field, want, got string) {
		if want != got {
			diffs = append(diffs, Difference{Field: field, Expected: want, Actual: got})
		}
	}
	if e.Decision.string != "" {
		differ("decision", e.Decision.string, decisionWord(o))
	}
	if e.Reason.string != "" {
		differ("reason", e.Reason.string, string(o.reason))
	}
	if e.Status != 0 {
		differ("status", strconv.Itoa(e.Status), strconv.Itoa(o.status))
	}
	if e.Route != nil {
		differ("route", *e.Route, o.route)
	}
	if e.Rule != nil {
		differ("rule", *e.Rule, o.rule)
	}
	if e.Report != nil {
		differ("report", strconv.FormatBool(*e.Report), strconv.FormatBool(o.report))
	}
	if e.Upstream != nil {
		if !o.allowed() {
			differ("upstream", "a request", "none: "+string(o.reason))
		} else {
			compareSent(e.Upstream, o, differ)
		}
	}
	if e.Cache != nil {
		g.compareCache(f, c, e.Cache, o, differ, errs)
	}
	if e.Response != nil {
		if o.body == nil {
			differ("response", "an answer of the upstream", "none: "+string(o.reason))
		} else {
			differ("response", readable(e.Response.bytes(), e.Response.JSON != nil), readable(o.body, e.Response.JSON != nil))
		}
	}
	return diffs
}

// readable gives an answer as it is compared and shown.
func readable(b []byte, asJSON bool) string {
	if asJSON {
		if text, ok := canonical(b); ok {
			return text
		}
		return "not JSON: " + string(b)
	}
	return string(b)
}

func decisionWord(o *outcome) string {
	if o.allowed() {
		return "allow"
	}
	return "deny"
}

// summary says in one line what the request came to.
func (o *outcome) summary() string {
	parts := []string{decisionWord(o), string(o.reason)}
	if o.route != "" {
		parts = append(parts, "route "+o.route)
	}
	if o.rule != "" {
		parts = append(parts, "rule "+o.rule)
	}
	if o.note != "" {
		parts = append(parts, o.note)
	}
	return strings.Join(parts, ", ")
}

func compareSent(e *expectedUpstream, o *outcome, differ func(field, want, got string)) {
	if e.Name != nil {
		differ("upstream.name", *e.Name, o.matched.Config.Upstream)
	}
	if e.Path != nil {
		differ("upstream.path", *e.Path, string(o.sent.Path))
	}
	if e.Query != nil {
		switch q := e.Query.data.(type) {
		case string:
			differ("upstream.query", q, string(o.sent.Query))
		case nil:
			differ("upstream.query", "", string(o.sent.Query))
		case map[string]any:
			differ("upstream.query", parameters(q), decodedQuery(string(o.sent.Query)))
		}
	}
	for _, name := range keys(e.Headers) {
		want, got := "", ""
		if values, _ := parameter(e.Headers[name].data); len(values) == 1 {
			want = values[0]
		}
		for _, h := range o.sent.Headers {
			if strings.EqualFold(h.Name, name) {
				got = string(h.Value)
			}
		}
		differ("upstream.headers."+name, want, got)
	}
}

// parameter gives the values of an expected query parameter.
func parameter(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case int64, float64, bool:
		return []string{fmt.Sprint(v)}, true
	case []any:
		var list []string
		for _, x := range v {
			one, ok := parameter(x)
			if !ok || len(one) != 1 {
				return nil, false
			}
			list = append(list, one[0])
		}
		return list, true
	}
	return nil, false
}

// parameters writes expected parameters one to a line, sorted by name.
func parameters(q map[string]any) string {
	var lines []string
	for _, name := range keys(q) {
		values, _ := parameter(q[name])
		for _, v := range values {
			lines = append(lines, name+"="+v)
		}
	}
	return strings.Join(lines, "\n")
}

// decodedQuery writes the parameters of a query the same way.
func decodedQuery(raw string) string {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return raw
	}
	var lines []string
	for _, name := range keys(q) {
		for _, v := range q[name] {
			lines = append(lines, name+"="+v)
		}
	}
	return strings.Join(lines, "\n")
}

func (g *gate) compareCache(f *file, c *testCase, e *expectedCache, o *outcome, differ func(field, want, got string), errs *config.Errors) {
	if e.Scope != nil {
		differ("cache.scope", *e.Scope, o.scope)
	}
	if o.scope == "none" {
		if len(e.Shared) > 0 {
			differ("cache.shared_with", strings.Join(e.Shared, ", "), "nobody: nothing is cached")
		}
		return
	}
	shares := func(name string) bool {
		who := f.caller(caller{pos: e.Pos}, name)
		now := c.Request.Now
		if now.IsZero() {
			now = who.issuedAt()
		}
		p, err := g.authenticate(o.matched, who, now, errs)
		if err != nil {
			return false
		}
		key, ok := o.matched.AppendScope(nil, p)
		return ok && slices.Equal(key, o.key)
	}
	for _, name := range e.Shared {
		differ("cache.shared_with", name, map[bool]string{true: name, false: name + " does not share the answer"}[shares(name)])
	}
	for _, name := range e.NotShared {
		differ("cache.not_shared_with", name, map[bool]string{false: name, true: name + " shares the answer"}[shares(name)])
	}
}
