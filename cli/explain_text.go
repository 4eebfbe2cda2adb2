package cli

import (
	"fmt"
	"strings"
	"unicode"

	"hopgate/policy"
	"hopgate/proxy"
)

// explanation is how a request fares, step by step, as --format json prints
// it. What is absent was not reached or does not apply.
type explanation struct {
	Request   explainedRequest    `json:"request"`
	Route     *explainedRoute     `json:"route,omitempty"`
	Others    []explainedLoser    `json:"other_routes,omitempty"`
	Methods   []string            `json:"allowed_methods,omitempty"`
	Token     *explainedToken     `json:"token,omitempty"`
	Principal *explainedPrincipal `json:"principal,omitempty"`
	Rules     []explainedRule     `json:"rules,omitempty"`
	Decision  explainedDecision   `json:"decision"`
	Limit     *explainedLimit     `json:"limit,omitempty"`
	Cache     *explainedCache     `json:"cache,omitempty"`
	Upstream  *explainedUpstream  `json:"upstream,omitempty"`
	Response  *explainedResponse  `json:"response,omitempty"`
	CORS      *explainedCORS      `json:"cors,omitempty"`
	Running   *proxy.Inspection   `json:"running_gate,omitempty"`

	fromCookie bool
}

type (
	explainedRequest struct {
		Method   string `json:"method"`
		URL      string `json:"url"`
		ClientIP string `json:"client_ip"`
		Time     string `json:"time"`
	}
	explainedRoute struct {
		ID   string `json:"id"`
		Path string `json:"path"`
		Mode string `json:"mode"`
	}
	explainedLoser struct {
		ID  string `json:"id"`
		Why string `json:"why"`
	}
	explainedToken struct {
		Issuers []string         `json:"accepted_issuers"`
		From    string           `json:"found_in,omitempty"`
		Checks  []explainedCheck `json:"checks"`
	}
	explainedCheck struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Detail string `json:"detail"`
	}
	explainedPrincipal struct {
		UserID      string   `json:"user_id,omitempty"`
		OrgID       string   `json:"org_id,omitempty"`
		OrgSlug     string   `json:"org_slug,omitempty"`
		OrgRole     string   `json:"org_role,omitempty"`
		Roles       []string `json:"roles,omitempty"`
		Permissions []string `json:"permissions,omitempty"`
		Scopes      []string `json:"scopes,omitempty"`
		SessionID   string   `json:"session_id,omitempty"`
		Actor       string   `json:"actor,omitempty"`
		Issuer      string   `json:"issuer"`
		ExpiresAt   string   `json:"expires_at"`
	}
	explainedRule struct {
		Rule   string          `json:"rule"` // allow[0]
		Text   string          `json:"text"`
		Result string          `json:"result"`
		Parts  []explainedPart `json:"parts,omitempty"`
	}
	explainedPart struct {
		Text  string `json:"text"`
		Value string `json:"value"`
		Depth int    `json:"depth"`
	}
	explainedDecision struct {
		Effect     string        `json:"effect"`
		Reason     policy.Reason `json:"reason"`
		Status     int           `json:"status,omitempty"` // of hopgate's own answer
		Title      string        `json:"title,omitempty"`
		Detail     string        `json:"detail,omitempty"`
		Route      string        `json:"route,omitempty"`
		Rule       string        `json:"rule,omitempty"`
		ReportOnly policy.Reason `json:"report_only,omitempty"` // what mode: report let pass
	}
	explainedLimit struct {
		Rate  string `json:"rate"`
		Burst int    `json:"burst"`
		By    string `json:"by"`
	}
	explainedCache struct {
		Scope                string `json:"scope"`
		SharedBy             string `json:"shared_by,omitempty"`
		Key                  string `json:"key,omitempty"`
		TTL                  string `json:"ttl"`
		StaleWhileRevalidate string `json:"stale_while_revalidate"`
		StaleIfError         string `json:"stale_if_error"`
		Not                  string `json:"not_cached,omitempty"` // why
	}
	explainedUpstream struct {
		Name      string           `json:"name"`
		Endpoints []string         `json:"endpoints"`
		Method    string           `json:"method"`
		Target    string           `json:"target"`
		Host      string           `json:"host,omitempty"`
		Headers   []explainedField `json:"headers,omitempty"` // those that hopgate sets
		Client    []explainedField `json:"client_headers,omitempty"`
		Dropped   []string         `json:"dropped_headers,omitempty"` // of the client's
		Body      int              `json:"body_bytes"`
		Timeout   string           `json:"timeout"`
	}
	explainedField struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	explainedResponse struct {
		Remove        []string `json:"remove,omitempty"`
		Keep          []string `json:"keep,omitempty"`
		RemoveHeaders []string `json:"remove_headers,omitempty"`
	}
	explainedCORS struct {
		Origin      string   `json:"origin,omitempty"`
		Readable    bool     `json:"readable"`
		Origins     []string `json:"allowed_origins,omitempty"`
		Credentials bool     `json:"credentials"`
	}
)

func newExplainedRule(t policy.RuleTrace) explainedRule {
	r := explainedRule{Rule: fmt.Sprintf("%s[%d]", t.List, t.Index), Text: t.Text, Result: t.Result}
	for _, p := range t.Parts {
		r.Parts = append(r.Parts, explainedPart{p.Text, p.Value, p.Depth})
	}
	return r
}

// writeText writes the explanation for people.
func (x *explanation) writeText(b *strings.Builder) {
	section := func(format string, args ...any) { fmt.Fprintf(b, "\n"+format+"\n", args...) }
	fmt.Fprintf(b, "%s %s\n", x.Request.Method, printable(x.Request.URL))
	fmt.Fprintf(b, "  from %s at %s\n", x.Request.ClientIP, x.Request.Time)

	x.writeRoutes(b, section)
	if t := x.Token; t != nil {
		from := ""
		if t.From != "" {
			from = ", found in " + t.From
		}
		section("token (of %s%s)", strings.Join(t.Issuers, " or "), printable(from))
		for _, c := range t.Checks {
			fmt.Fprintf(b, "  %s  %-15s %s\n", mark(c.OK), c.Name, printable(c.Detail))
		}
	}
	if x.Principal != nil {
		section("principal")
		for _, l := range x.Principal.lines() {
			fmt.Fprintf(b, "  %-12s %s\n", l[0], l[1])
		}
	}
	for _, r := range x.Rules {
		section("rule %s: %s", r.Rule, oneLine(r.Result))
		if len(r.Parts) == 0 {
			fmt.Fprintf(b, "  %s\n", oneLine(r.Text))
		}
		writeParts(b, r.Parts)
	}
	x.writeDecision(b, section)
	x.writeAfter(b, section)
	x.writeRunning(b, section)
}

func (x *explanation) writeRoutes(b *strings.Builder, section func(string, ...any)) {
	if x.Route == nil && len(x.Others)+len(x.Methods) == 0 {
		return
	}
	section("route")
	width := 0
	for _, o := range x.Others {
		width = max(width, len(o.ID))
	}
	if r := x.Route; r != nil {
		width = max(width, len(r.ID))
		mode := ""
		if r.Mode == "report" {
			mode = ", mode report: its rules do not bind"
		}
		fmt.Fprintf(b, "  ->  %-*s  %s%s\n", width, r.ID, r.Path, mode)
	}
	for _, o := range x.Others {
		fmt.Fprintf(b, "      %-*s  %s\n", width, o.ID, printable(o.Why))
	}
	if len(x.Methods) > 0 {
		fmt.Fprintf(b, "  allowed methods: %s\n", strings.Join(x.Methods, ", "))
	}
}

// writeParts aligns the values of a rule's parts.
func writeParts(b *strings.Builder, parts []explainedPart) {
	const widest = 56
	width := 0
	for _, p := range parts {
		width = max(width, min(2*p.Depth+len([]rune(oneLine(p.Text))), widest))
	}
	for _, p := range parts {
		fmt.Fprintf(b, "  %-*s  = %s\n", width, strings.Repeat("  ", p.Depth)+oneLine(p.Text), oneLine(p.Value))
	}
}

func (x *explanation) writeDecision(b *strings.Builder, section func(string, ...any)) {
	d := x.Decision
	section("decision")
	fmt.Fprintf(b, "  %s: %s", d.Effect, d.Reason)
	if d.Rule != "" {
		fmt.Fprintf(b, ", by %s", d.Rule)
	}
	if d.Status != 0 {
		fmt.Fprintf(b, ", answered %d", d.Status)
	}
	if d.Title != "" {
		fmt.Fprintf(b, " (%s)", d.Title)
	}
	b.WriteString("\n")
	if d.ReportOnly != "" {
		fmt.Fprintf(b, "  mode report: enforced, it would be denied: %s\n", d.ReportOnly)
	}
	if d.Detail != "" {
		fmt.Fprintf(b, "  %s\n", printable(d.Detail))
	}
}

// writeAfter writes what follows an allowing decision.
func (x *explanation) writeAfter(b *strings.Builder, section func(string, ...any)) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-12s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	if l := x.Limit; l != nil {
		section("limit")
		line("rate", "%s, %d at once, a budget for each %s", l.Rate, l.Burst, l.By)
	}
	if c := x.Cache; c != nil {
		section("cache")
		line("scope", "%s", c.Scope)
		if c.Not != "" {
			line("not cached", "%s", c.Not)
		} else {
			line("shared by", "%s", c.SharedBy)
			line("key", "%s (for hopgate purge --key)", c.Key)
			line("fresh", "%s; stale while revalidating %s, if the upstream fails %s", c.TTL, c.StaleWhileRevalidate, c.StaleIfError)
		}
	}
	if u := x.Upstream; u != nil {
		section("upstream %s (%s, within %s)", u.Name, strings.Join(u.Endpoints, ", "), u.Timeout)
		fmt.Fprintf(b, "  %s %s\n", u.Method, printable(u.Target))
		if u.Host != "" {
			fmt.Fprintf(b, "  Host: %s\n", printable(u.Host))
		}
		for _, h := range u.Headers {
			fmt.Fprintf(b, "  %s: %s\n", h.Name, printable(h.Value))
		}
		for _, f := range u.Client {
			fmt.Fprintf(b, "  %s: %s\n", printable(f.Name), printable(f.Value))
		}
		fmt.Fprintf(b, "  and X-Forwarded-For, -Proto and -Host, Via and the request id\n")
		if len(u.Dropped) > 0 {
			fmt.Fprintf(b, "  without the client's %s\n", printable(strings.Join(u.Dropped, ", ")))
		}
	}
	if r := x.Response; r != nil {
		section("response")
		for _, l := range []struct {
			name  string
			names []string
		}{{"without", r.Remove}, {"only", r.Keep}, {"no fields", r.RemoveHeaders}} {
			if len(l.names) > 0 {
				line(l.name, "%s", strings.Join(l.names, ", "))
			}
		}
	}
	if c := x.CORS; c != nil {
		section("pages")
		if c.Origin != "" {
			verb := "may not read the answer"
			if c.Readable {
				verb = "may read the answer"
			}
			line("origin", "%s %s", c.Origin, verb)
		}
		if len(c.Origins) > 0 {
			line("allowed", "%s", strings.Join(c.Origins, ", "))
		}
	}
}

func mark(ok bool) string {
	if ok {
		return "ok  "
	}
	return "FAIL"
}

// oneLine shortens a text to one printable line.
func oneLine(s string) string {
	s = printable(strings.Join(strings.Fields(s), " "))
	if r := []rune(s); len(r) > 200 {
		s = string(r[:197]) + "..."
	}
	return s
}

// printable keeps what a token or an address holds from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && r != ' ' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
