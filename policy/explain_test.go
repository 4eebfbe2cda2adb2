package policy

import (
	"fmt"
	"strings"
	"testing"
)

// written writes traces, a part to a line.
func written(traces []RuleTrace) string {
	var b strings.Builder
	for _, tr := range traces {
		fmt.Fprintf(&b, "%s[%d] %s\n", tr.List, tr.Index, tr.Result)
		for _, p := range tr.Parts {
			fmt.Fprintf(&b, "%s%s = %s\n", strings.Repeat("  ", p.Depth+1), p.Text, p.Value)
		}
	}
	return b.String()
}

func TestExplain(t *testing.T) {
	p := load(t, `rules:
  in_org: principal.org_id == path.org_id
  org_admin: rules.in_org && principal.org_role == "admin"
routes:
  - id: a
    upstream: u
    match: { path: "/o/{org_id}", methods: [GET, POST] }
    request: { body: json }
    deny: '!client.ip.in_cidr("192.0.2.0/24") || request.headers.authorization == "Bearer eyJ"'
    allow:
      - rules.org_admin && principal.has_permission("org:" + "x")
      - principal.org_slug == "x" || principal.roles.exists(r, r == "editor")
      - request.query["token"] + "x" == "y" && request.query.q in ["a", "b"]
      - 'request.body.list[1] == request.body.map.k ? now > timestamp("2026-01-01T00:00:00Z") : principal.claims.ratio < 1.0'
`)
	in := request("POST", "/o/org_a?token=eyJ&q=%22")
	in.Fields = requestFields{"Authorization": {"Bearer eyJ"}, "Content-Type": {"application/json"}}
	in.Body = []byte(`{"list":[1,"x"],"map":{"k":"x","a":null}}`)
	in.DropQuery = []string{"token"}
	var m Match
	p.Match(&m, in.Method, in.Host, in.Path)
	d, traces := m.Route.Explain(&m, in, alice)
	if d != m.Route.Decide(&m, in, alice) {
		t.Error("it explains another decision")
	}
	const want = `deny[0] true
  !client.ip.in_cidr("192.0.2.0/24") || request.headers.authorization == "Bearer eyJ" = true
    !client.ip.in_cidr("192.0.2.0/24") = false
      client.ip.in_cidr("192.0.2.0/24") = true
        client.ip = "192.0.2.1"
    request.headers.authorization == "Bearer eyJ" = true
      request.headers.authorization = (masked)
allow[0] false
  rules.org_admin && principal.has_permission("org:" + "x") = false
    rules.org_admin = true
      rules.in_org && principal.org_role == "admin" = true
        rules.in_org = true
          principal.org_id == path.org_id = true
            principal.org_id = "org_a"
            path.org_id = "org_a"
        principal.org_role == "admin" = true
          principal.org_role = "admin"
    principal.has_permission("org:" + "x") = false
      "org:" + "x" = "org:x"
allow[1] true
  principal.org_slug == "x" || principal.roles.exists(r, r == "editor") = true
    principal.org_slug == "x" = error: principal.org_slug is not set
      principal.org_slug = error: principal.org_slug is not set
    principal.roles.exists(r, r == "editor") = true
      principal.roles = ["editor"]
allow[2] false
  request.query["token"] + "x" == "y" && request.query.q in ["a", "b"] = false
    request.query["token"] + "x" == "y" = false
      request.query["token"] + "x" = (masked)
        request.query["token"] = (masked)
    request.query.q in ["a", "b"] = false
      request.query.q = "\""
      ["a", "b"] = ["a", "b"]
allow[3] true
  (request.body.list[1] == request.body.map.k) ? (now > timestamp("2026-01-01T00:00:00Z")) : (principal.claims.ratio < 1.0) = true
    request.body.list[1] == request.body.map.k = true
      request.body.list[1] = "x"
      request.body.map.k = "x"
    now > timestamp("2026-01-01T00:00:00Z") = true
      now = timestamp("2026-01-31T12:00:00Z")
      timestamp("2026-01-01T00:00:00Z") = timestamp("2026-01-01T00:00:00Z")
    principal.claims.ratio < 1.0 = true
      principal.claims.ratio = 0.5
`
	got := written(traces)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, p := range strings.Split(got, "\n") {
		if strings.Contains(p, "= ") && strings.Contains(p[strings.LastIndex(p, "= "):], "eyJ") {
			t.Errorf("the token shows: %s", p)
		}
	}
}

func TestExplainWhy(t *testing.T) {
	for rule, want := range map[string]string{
		"1 / (size(path.user_id) - 1) == 1":                  "error: division by zero",
		"principal.claims[path.user_id] == 'x'":              "error: no such key: a",
		"{'a': 1}[request.headers.cookie] == 1":              "error: an expression can't be evaluated",
		"principal.claims.list[7] == request.headers.cookie": "error: no such key: list",
		"principal.claims.groups[7] == 'x'":                  "error: index out of bounds: 7",
	} {
		p := load(t, oneRule(rule))
		in := request("GET", "/x/a")
		in.Fields = requestFields{"Cookie": {"__session=eyJ"}}
		var m Match
		p.Match(&m, in.Method, in.Host, in.Path)
		_, traces := m.Route.Explain(&m, in, alice)
		if got := written(traces); !strings.Contains(got, want+"\n") || strings.Contains(got, "eyJ") {
			t.Errorf("%s\n%s", rule, got)
		}
	}
}

func TestExplainBeforeRules(t *testing.T) {
	p := load(t, oneRule("request.query.a == 'x'"))
	in := request("GET", "/x/a?a=1&a=2")
	var m Match
	p.Match(&m, in.Method, in.Host, in.Path)
	if d, traces := m.Route.Explain(&m, in, alice); d.Reason != ParameterDuplicated || traces != nil {
		t.Errorf("%+v %+v", d, traces)
	}
}

func TestCandidates(t *testing.T) {
	p := routeTable(t,
		"me: GET - /users/me", "user: GET - /users/{id}", "delete: DELETE - /users/{id}", "host: GET a.b,*.c /users/{id}",
		"long: GET - /users/{id}/posts", "other: GET - /orgs/{id}", "far: GET - /a/b/c/d", "rest: GET - /{all...}", "empty: GET - /users/me/{x...}",
	)
	write := func(method, host, path string) string {
		var lines []string
		for _, c := range p.Candidates(method, host, path) {
			lines = append(lines, c.Route.ID+": "+c.Why)
		}
		return strings.Join(lines, "\n")
	}
	const want = `user: it is less specific than me
rest: it is less specific than me
delete: it is for DELETE, not for "GET"
host: it is for a.b, *.c, not for host "h"
long: the path is shorter than its template
other: its segment 1 is "orgs", not "users"
empty: the path is shorter than its template`
	if got := write("GET", "h", "/users/me"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := write("PUT", "x.c", "/users/u"); !strings.Contains(got, `host: it is for GET, not for "PUT"`) || !strings.Contains(got, `me: its segment 2 is "me", not "u"`) {
		t.Errorf("got\n%s", got)
	}
	if got := write("GET", "h", "x"); got != "" {
		t.Errorf("got\n%s", got)
	}
	many, _ := manyRoutes(t, 100)
	if n := len(many.Candidates("GET", "h", "/v1/nothing/t1/parts")); n != maxCandidates {
		t.Errorf("%d candidates", n)
	}
}
