package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"hopgate/token"
)

// oneRule writes a configuration of one route with one allow rule.
func oneRule(rule string) string {
	return fmt.Sprintf("routes: [{ id: a, upstream: u, match: { path: \"/x/{user_id}\", methods: [GET, POST] }, allow: %q }]", rule)
}

func TestRuleFaults(t *testing.T) {
	// The rule starts in column 95.
	for _, tt := range []struct{ rule, want string }{
		{"", "the expression is empty"},
		{"principal.user_idd == 'x'", "1:105: principal has no user_idd; did you mean user_id?"},
		{"true && principal . user_idd == 'x'", "1:115: principal has no user_idd"},
		{"principal.has_rol('x')", "principal has no function has_rol; did you mean has_role?"},
		{"principal.has_role", `principal.has_role is a function: principal.has_role("...")`},
		{"principle.user_id == 'x'", "1:95: there is no principle; did you mean principal?"},
		{"path.user == 'x'", "1:100: path has no user in the template /x/{user_id}"},
		{"path.usr_id == 'x'", "did you mean user_id?"},
		{"rules.in_org", "1:101: there is no rule in_org; named rules stand under rules:"},
		{"request.verb == 'GET'", "request has no verb; there are body, headers, host, method, path, query, scheme"},
		{"client.address == 'x'", "client has no address; there are cert_fingerprint, cert_names, cert_subject, ip"},
		{"principal == 'x'", "1:95: principal stands on its own; read one of its fields, such as principal.user_id"},
		{"request.lower() == 'x'", "request has no functions"},
		{"request.body.a == 1", "there is no request.body; it is there where the route has request: { body: json }"},
		{"request.headers.exists(h, h == 'x')", "request.headers can't be gone through"},
		{"size(request.headers) == 1", "request.headers can't be gone through"},
		{"request.headers[path.user_id] == 'x'", "the name of a request field has to be written out"},
		{"path.user_id in request.headers", "the name of a request field has to be written out"},
		{"request.headers['X-A'] == 'x'", `names of request fields are written in small letters here: request.headers["x-a"]`},
		{"path.user_id.matches(request.query.re)", "a regular expression has to be written out"},
		{"path.user_id.matches('(')", "this is no regular expression as RE2 has them"},
		{"client.ip.in_cidr('10.0.0.0')", `"10.0.0.0" is no address range; it should be an address and a length, such as 10.0.0.0/32`},
		{"client.ip.in_cidr('10.0.0.1/8')", "has bits behind its length; the range is written 10.0.0.0/8"},
		{"client.ip.in_cidr(path.user_id)", "an address range has to be written out"},
		{"client.ip.in_cidr('::ffff:10.0.0.0/104')", "is an IPv4 range in IPv6 form"},
		{"path.user_id == 1", "== compares values of one type; here are string and int"},
		{"path.user_id", "1:95: the rule gives string; it should give true or false"},
		{"path.user_id && true", "expected type 'bool' but found 'string'"},
		{"principal.roles.exists(path, path == 'x')", "path already has a meaning; name the elements otherwise"},
		{"principal.roles.exists(now, true)", "now already has a meaning"},
		{"now < timestamp('yesterday')", "invalid timestamp argument"},
		{"now - now < duration('1 day')", "invalid duration argument"},
		{"hopgate.Path{} == path.user_id", "makes a message"},
		{"path.user_id == ", "the expression ends too early"},
		{"path.user_id = path.user_id", "= is not used here; it should be =="},
		{"path.user_id == path.user_id and true", "and is not used here; it should be &&"},
		{"path.user_id == path.user_id & true", "& is not used here; it should be &&"},
		{"path.user_id == 'admin", "a text begins here and has no end; it should be closed by '"},
		{"path.user_id == path.user_id true", "true is not expected here"},
		{"path.user_id + 1 == 'a'", "+ is not for values of these types: string, int"},
		{"lower(path.user_id) == 'x'", "there is no function lower"},
		{"path.user_id.startWith('x')", "there is no function startWith; did you mean startsWith?"},
		{"path['user_id'] == 'x'", "path stands on its own"},
		{"request.query.a.b == 'x'", "type 'string' does not support field selection"},
	} {
		got := faults(t, oneRule(tt.rule))
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s\n got %s\nwant %s", tt.rule, got, tt.want)
		}
		if tt.want != "" && strings.HasPrefix(got, "0:") {
			t.Errorf("%s: no position in %s", tt.rule, got)
		}
	}
}

func TestFaultsOfNamedRules(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"rules: { a: rules.b, b: rules.c && true, c: rules.a }\nroutes: []", "1:51: rule a uses itself: a → b → c → a"},
		{"rules: { a: rules.a }\nroutes: []", "rule a uses itself: a → a"},
		{"rules: { a: rules.bb, b: \"true\" }\nroutes: []", "1:19: there is no rule bb; did you mean b?"},
		{"rules: { a: principal.nme == 'x' }\nroutes: []", "1:23: principal has no nme"},
		{"rules: { a: path.x }\nroutes: []", "1:13: the rule gives string"},
		{`rules: { inner: path.org_id == principal.org_id, outer: rules.inner && true }
routes:
  - { id: good, upstream: u, match: { path: "/{org_id}" }, allow: rules.outer }
  - { id: bad, upstream: u, match: { path: "/{org}/x" }, allow: true && rules.outer }
`, "4:79: rules.inner reads path.org_id, which the path template /{org}/x of route bad does not have"},
		{`rules: { r: request.body.a == 1 }
routes:
  - { id: bad, upstream: u, match: { path: /x }, allow: rules.r }
`, "3:63: rules.r reads request.body; it is there where the route has request: { body: json }"},
		{`routes:
  - id: a
    upstream: u
    match: { path: /x }
    allow: |
      principal.has_role("x") ||
        principal.user_di == "y"
`, "7:19: principal has no user_di; did you mean user_id?"},
	} {
		got := faults(t, tt.text)
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s\n got %s\nwant %s", tt.text, got, tt.want)
		}
		if n := strings.Count(got, "\n"); n > 0 {
			t.Errorf("%s: one mistake is reported %d times:\n%s", tt.text, n+1, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ rule, want string }{
		{"true", ""},
		{"principal.user_id == path.user_id", ""},
		{"false", ""}, // the configuration's own checks look at it
		{"!true", "the rule is false whatever the request is"},
		{"1 == 1", "the rule is true whatever the request is"},
		{"1 / 0 == 1", "the rule is an error whatever the request is"},
		{"principal.user_id == path.user_id || true", "the rule is true whatever"},
		{"principal.user_id == path.user_id && !true", "the rule is false whatever"},
		{"principal.user_id == path.user_id || false", ""},
		{"principal.claims.user_metadata.admin == true", "1:112: principal.claims.user_metadata is written by users themselves"},
		{"principal.claims['unsafe_metadata'].admin == true", "is written by users themselves"},
		{"principal.has_permission('org:sys_memberships:read')", "1:120: Clerk does not put system permissions into session tokens"},
		{"client.ip == '10.0.0.0/8'", `client.ip never equals "10.0.0.0/8"`},
		{"client.ip in ['2001:DB8::1']", "it is written 2001:db8::1"},
	} {
		got := warnings(t, oneRule(tt.rule))
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s\n got %s\nwant %s", tt.rule, got, tt.want)
		}
	}
	got := warnings(t, `rules: { r: "principal.has_permission('org:sys_x') && principal.claims.user_metadata.a == 1" }
routes:
  - { id: a, upstream: u, match: { path: /a }, allow: rules.r }
  - { id: b, upstream: u, match: { path: /b }, allow: rules.r }
  - { id: c, upstream: u, match: { path: /c }, anonymous: true, deny: has(principal.user_id) }
`)
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, "nobody is signed in on an anonymous route") {
		t.Errorf("each once, please:\n%s", got)
	}
}

func TestDecide(t *testing.T) {
	p := load(t, `rules:
  is_self: principal.user_id == path.id
routes:
  - { id: self, upstream: u, match: { path: "/self/{id}" }, allow: rules.is_self }
  - id: lists
    upstream: u
    match: { path: "/lists/{id}" }
    deny: [request.query.d == "deny", path.id == "banned"]
    allow: [request.query.a == "1", request.query.a == "2", path.id == "open"]
  - { id: open, upstream: u, match: { path: /open }, anonymous: true }
  - { id: open-deny, upstream: u, match: { path: /open-deny }, anonymous: true, deny: client.ip == "192.0.2.66" }
  - { id: open-allow, upstream: u, match: { path: /open-allow }, anonymous: true, allow: client.ip.in_cidr("192.0.2.0/24") }
  - { id: report, upstream: u, match: { path: "/report/{id}" }, mode: report, allow: rules.is_self, deny: has(request.query.d) && request.query.d == "x" }
  - { id: dynamic, upstream: u, match: { path: /dynamic }, allow: principal.claims.admin }
  - { id: level, upstream: u, match: { path: /level }, allow: principal.claims.level }
`)
	anonymous := token.Anonymous
	for _, tt := range []struct {
		target string
		who    *token.Principal
		want   string
	}{
		{"/self/user_alice", alice, "allow allowed self allow[0]"},
		{"/self/user_bob", alice, "deny rule_denied self "},
		{"/self/x", anonymous, "deny rule_failed self allow[0]"},
		{"/self/x", nil, "deny rule_failed self allow[0]"},
		{"/lists/x?d=no&a=2", alice, "allow allowed lists allow[1]"},
		{"/lists/x?d=deny&a=2", alice, "deny rule_denied lists deny[0]"},
		{"/lists/banned?d=no&a=2", alice, "deny rule_denied lists deny[1]"},
		{"/lists/x?a=2", alice, "deny rule_failed lists deny[0]"},
		{"/lists/x?d=no", alice, "deny rule_failed lists allow[0]"},
		{"/lists/x?d=no&a=3", alice, "deny rule_denied lists "},
		{"/lists/open?d=no", alice, "allow allowed lists allow[2]"},
		{"/open", anonymous, "allow allowed_anonymous open "},
		{"/open-deny", anonymous, "allow allowed_anonymous open-deny "},
		{"/open-allow", anonymous, "allow allowed open-allow allow[0]"},
		{"/report/user_alice", alice, "allow allowed report allow[0]"},
		{"/report/x", alice, "allow allowed report  report:rule_denied"},
		{"/report/user_alice?d=x", alice, "allow allowed report deny[0] report:rule_denied"},
		{"/report/user_alice?d=x&d=x", alice, "allow allowed report  report:parameter_duplicated"},
		{"/dynamic", alice, "allow allowed dynamic allow[0]"},
		{"/level", alice, "deny rule_failed level allow[0]"},
	} {
		d := decide(t, p, request("GET", tt.target), tt.who)
		got := fmt.Sprintf("%s %s %s %s", d.Effect, d.Reason, d.Route, d.Rule)
		if d.Report {
			got += " report:" + string(d.Denial)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.target, got, tt.want)
		}
	}
	in := request("GET", "/open-deny")
	in.ClientIP = netip.MustParseAddr("::ffff:192.0.2.66")
	if d := decide(t, p, in, anonymous); d.Reason != RuleDenied || d.Rule != "deny[0]" {
		t.Errorf("the banned address: %+v", d)
	}
	in.ClientIP = netip.Addr{}
	if d := decide(t, p, in, anonymous); d.Reason != RuleFailed {
		t.Errorf("no address: %+v", d)
	}
}

// evaluate gives what one rule gives for a request.
func evaluate(t *testing.T, rule string, in *Request, who *token.Principal) string {
	t.Helper()
	p := load(t, oneRule(rule))
	d := decide(t, p, in, who)
	switch d.Reason {
	case Allowed:
		return "true"
	case RuleDenied:
		return "false"
	}
	return string(d.Reason)
}

func TestRules(t *testing.T) {
	in := request("GET", "/x/%C3%A9+?a=1&b=%C3%A9+x&c&=e&d=a=b")
	in.Fields = requestFields{"X-Version": {"2"}, "Accept": {"a", "b"}}
	for _, tt := range []struct{ rule, want string }{
		{"path.user_id == 'é+'", "true"},
		{"request.path == '/x/%C3%A9+'", "true"},
		{"request.method == 'GET' && request.scheme == 'https' && request.host == 'api.example.com'", "true"},
		{"request.query.b == 'é x'", "true"},
		{"request.query.c == ''", "true"},
		{"request.query.d == 'a=b'", "true"},
		{"request.query.z == ''", "rule_failed"},
		{"has(request.query.z) || !has(request.query.a)", "false"},
		{"'a' in request.query && !('z' in request.query)", "true"},
		{"size(request.query) == 5", "true"},
		{"request.query.exists(k, k == 'a')", "true"},
		{"request.query[path.user_id] == 'x'", "rule_failed"},
		{"request.headers['x-version'] == '2'", "true"},
		{"has(request.headers.missing)", "false"},
		{"request.headers.missing == 'x'", "rule_failed"},
		{"request.headers.accept == 'a'", "request_malformed"},
		{"now == timestamp('2026-01-31T12:00:00Z')", "true"},
		{"now.getHours() == 12", "true"},
		{"client.ip == '192.0.2.1' && client.ip.in_cidr('192.0.2.0/28')", "true"},
		{"client.ip.in_cidr('2001:db8::/32')", "false"},
		{"principal.org_slug == ''", "rule_failed"},
		{"has(principal.org_slug)", "false"},
		{"principal.org_slug == '' || true", "true"},
		{"principal.actor == 'x' && false", "false"},
		{"principal.claims.missing == 'x'", "rule_failed"},
		{"!(principal.claims.missing == 'x')", "rule_failed"},
		{"has(principal.claims.meta.tier) && principal.claims.meta.tier == 'gold'", "true"},
		{"principal.claims.level >= 3 && principal.claims.level < 3.5", "true"},
		{"principal.claims.ratio == 0.5", "true"},
		{"principal.claims.none == null", "true"},
		{"'b' in principal.claims.groups && !('c' in principal.claims.groups)", "true"},
		{"principal.has_role('admin') && principal.has_role('org:admin') && principal.has_role('editor')", "true"},
		{"principal.has_scope('read') && !principal.has_scope('')", "true"},
		{"principal.has_permission('org:members:read')", "true"},
		{"principal.roles == ['editor']", "true"},
		{"path.user_id.matches('^é')", "true"},
		{"principal.user_id.startsWith('user_') ? true : false", "true"},
		{"principal.claims.admin ? path.user_id == 'x' : true", "false"},
	} {
		if got := evaluate(t, tt.rule, in, alice); got != tt.want {
			t.Errorf("%s is %s, want %s", tt.rule, got, tt.want)
		}
	}
}

// TestCostIsBounded: a rule whose work grows with what a token holds stops
// and denies.
func TestCostIsBounded(t *testing.T) {
	var list []any
	for i := range 1000 {
		list = append(list, fmt.Sprint("group", i))
	}
	who := (&token.Principal{UserID: "u"}).WithClaims(map[string]any{"groups": list})
	const rule = "principal.claims.groups.all(a, principal.claims.groups.all(b, principal.claims.groups.all(c, a + b + c != 'x')))"
	started := time.Now()
	if got := evaluate(t, rule, request("GET", "/x/a"), who); got != "rule_failed" {
		t.Errorf("it gives %s", got)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := evaluate(t, "principal.claims.groups.exists(g, g == 'group999')", request("GET", "/x/a"), who); got != "true" {
		t.Errorf("a long list gives %s", got)
	}
}

// TestConstantPatternsAreCompiledOnce: the interpreter compiles a regular
// expression at every evaluation unless it is told not to.
func TestConstantPatternsAreCompiledOnce(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	const pattern = "^(user|org)_[0-9a-zA-Z]{1,32}$"
	p := load(t, oneRule("(path.user_id + '').matches('"+pattern+"')"))
	in := request("GET", "/x/user_alice")
	var m Match
	p.Match(&m, in.Method, in.Host, in.Path)
	n := testing.AllocsPerRun(100, func() { m.Route.Decide(&m, in, alice) })
	compiling := testing.AllocsPerRun(10, func() { regexp.MustCompile(pattern) })
	if n > 20 || n >= compiling {
		t.Errorf("%v allocations, compiling takes %v", n, compiling)
	}
}

func TestQueryIsReadOneWay(t *testing.T) {
	for _, tt := range []struct{ rule, query, want string }{
		{"request.query.org_id == 'a'", "org_id=a", "true"},
		{"request.query.org_id == 'a'", "%6Frg_id=a", "true"},
		{"request.query.org_id == 'a'", "org_id=a&x=1&x=2", "true"},
		{"request.query.org_id == 'a'", "org_id=a&org_id=b", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&org_id=a", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&%6Frg_id=b", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&org%5Fid", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&ORG_ID=b", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&org_id[]=b", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&org_id%5B0%5D=b", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&org.id=b", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id=a&+org_id=b", "parameter_duplicated"},
		{"request.query.org_id == 'a'", "org_id[]=a", "target_not_canonical"},
		{"request.query.org_id == 'a'", "Org_id=a", "target_not_canonical"},
		{"!has(request.query.org_id)", "org.id=a", "target_not_canonical"},
		{"request.query.org_id == 'a'", "x=1;org_id=b&org_id=a", "target_not_canonical"},
		{"request.query.org_id == 'a'", "org_id=a&%FF=b", "target_not_canonical"},
		{"request.query.org_id == 'a'", "org_id=%FF", "target_not_canonical"},
		{"request.query.org_id == 'a'", "org_id=%0", "target_not_canonical"},
		{"request.query.org_id == 'a'", "org_id=a%00", "target_not_canonical"},
		{"request.query.org_id == 'a'", "%0=b&org_id=a", "target_not_canonical"},
		{"request.query.org_id == 'a'", "&&org_id=a&", "true"},
		{"request.query['filter[a]'] == '1'", "filter[a]=1&filter[b]=2", "true"},
		{"request.query['filter[a]'] == '1'", "filter[a]=1&Filter%5Ba%5D=2", "parameter_duplicated"},
		{"size(request.query) == 2", "a=1&b=1", "true"},
		{"size(request.query) == 2", "a=1&A=1", "parameter_duplicated"},
		{"size(request.query) == 2", "a[]=1&a[]=1", "parameter_duplicated"},
		{"request.query.all(k, k != 'x')", "a=%FF", "target_not_canonical"},
		{"request.query[path.user_id] == '1'", "y=1&z=1", "true"},
		{"request.query[path.user_id] == '1'", "y=1&z=1&z=2", "parameter_duplicated"},
		{"path.user_id == 'y'", "a=1&a=2;%zz", "true"},
	} {
		if got := evaluate(t, tt.rule, request("GET", "/x/y?"+tt.query), alice); got != tt.want {
			t.Errorf("%s with %s is %s, want %s", tt.rule, tt.query, got, tt.want)
		}
	}
}

func TestBody(t *testing.T) {
	p := load(t, `routes:
  - { id: a, upstream: u, match: { path: /a, methods: [GET, POST] }, request: { body: json }, allow: 'request.method == "GET" || request.body.n < 100' }
  - { id: names, upstream: u, match: { path: /names, methods: POST }, request: { body: json }, allow: 'request.body.all(name, name in ["a", "b"])' }
  - { id: has, upstream: u, match: { path: /has, methods: POST }, request: { body: json }, allow: 'has(request.body.a) && request.body.a.b == [1, "x", null, true]' }
  - { id: none, upstream: u, match: { path: /none, methods: POST }, allow: "true" }
`)
	for _, tt := range []struct{ target, kind, body, want string }{
		{"/a", "application/json", `{"n":99}`, "allowed"},
		{"/a", "application/json; charset=UTF-8", ` {"n" : 9.5e1 } `, "allowed"},
		{"/a", "application/merge-patch+json", `{"n":99}`, "allowed"},
		{"/a", "application/json", `{"n":100}`, "rule_denied"},
		{"/a", "application/json", `{}`, "rule_failed"},
		{"/a", "application/json", `[]`, "rule_failed"},
		{"/a", "application/json", ``, "rule_failed"},
		{"/a", "", ``, "rule_failed"},
		{"/a", "", `{"n":1}`, "body_malformed"},
		{"/a", "text/plain", `{"n":1}`, "body_malformed"},
		{"/a", "application/x-www-form-urlencoded", `{"n":1}`, "body_malformed"},
		{"/a", "application/json; charset=utf-16", `{"n":1}`, "body_malformed"},
		{"/a", "application/json", `{"n":1,"n":1000}`, "body_malformed"},
		{"/a", "application/json", `{"n":1,"\u006e":1000}`, "body_malformed"},
		{"/a", "application/json", `{"n":1}{}`, "body_malformed"},
		{"/a", "application/json", `{"n":1,}`, "body_malformed"},
		{"/a", "application/json", "{\"n\":1,\"x\":\"\xff\"}", "body_malformed"},
		{"/a", "application/json", `{"n":1,"x":"\ud800"}`, "body_malformed"},
		{"/a", "application/json", `{"n":1e999}`, "body_malformed"},
		{"/a", "application/json", `{"n":01}`, "body_malformed"},
		{"/a", "application/json", `{"n":1,"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, "body_malformed"},
		{"/a", "application/json", `{"n":1,"x":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`, "allowed"},
		{"/a", "application/json", `{"n":-9007199254740991}`, "allowed"},
		{"/a", "application/json", `{"n":-9007199254740993}`, "rule_failed"},
		{"/a", "application/json", `{"n":-1e30}`, "rule_failed"},
		{"/a", "application/json", `{"n":1,"id":9007199254740993}`, "allowed"},
		{"/names", "application/json", `{"a":1,"b":{}}`, "allowed"},
		{"/names", "application/json", `{"a":1,"c":{}}`, "rule_denied"},
		{"/names", "application/json", `"a"`, "rule_failed"},
		{"/has", "application/json", `{"a":{"b":[1,"x",null,true]}}`, "allowed"},
		{"/has", "application/json", `{}`, "rule_denied"},
		{"/has", "application/json", `3`, "rule_denied"},
		{"/none", "text/plain", `{{`, "allowed"},
	} {
		in := request("POST", tt.target)
		in.Body = []byte(tt.body)
		in.Fields = requestFields{}
		if tt.kind != "" {
			in.Fields = requestFields{"Content-Type": {tt.kind}}
		}
		if got := decide(t, p, in, alice).Reason; string(got) != tt.want {
			t.Errorf("%s %s %s: %s, want %s", tt.target, tt.kind, tt.body, got, tt.want)
		}
	}
	if d := decide(t, p, request("GET", "/a"), alice); d.Reason != Allowed {
		t.Errorf("a request without body: %+v", d)
	}
	in := request("POST", "/a")
	in.Body, in.Fields = []byte(`{"n":1}`), requestFields{"Content-Type": {"application/json", "application/json"}}
	if d := decide(t, p, in, alice); d.Reason == Allowed {
		t.Errorf("two content types: %+v", d)
	}
	if !p.Routes()[0].NeedsBody() || p.Routes()[3].NeedsBody() {
		t.Error("NeedsBody is wrong")
	}
}
