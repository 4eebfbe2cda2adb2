package policy

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"hopgate/token"
)

// sent writes what goes upstream, or why nothing does.
func sent(p *Policy, in *Request, who *token.Principal) string {
	var m Match
	var out Outgoing
	if _, err := run(p, &m, &out, in, who, nil); err != nil {
		return string(ReasonOf(err))
	}
	s := string(out.Path)
	if len(out.Query) > 0 {
		s += "?" + string(out.Query)
	}
	for _, h := range out.Headers {
		s += fmt.Sprintf(" %s=%q", h.Name, h.Value)
	}
	return s
}

func TestRewrite(t *testing.T) {
	for _, tt := range []struct{ request, target, want string }{
		// Byte for byte.
		{`{}`, "/x/a%2Bb?q=%41&&q=b;c&=&z", "/x/a%2Bb?q=%41&&q=b;c&=&z"},
		{`{}`, "/x/a", "/x/a"},
		// Paths.
		{`{ path: "/v2/{path.a}" }`, "/x/a%2Bb+c?q", "/v2/a%2Bb+c?q"},
		{`{ path: "/v2/{path.a}/" }`, "/x/a", "/v2/a/"},
		{`{ path: "/v2/{principal.user_id}-{path.a}" }`, "/x/a", "/v2/user_alice-a"},
		{`{ path: "/v2/{path.a + '/'}" }`, "/x/a", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=a+b%25", "/v2/a%20b%25?q=a+b%25"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=..%2Fadmin", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=..", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=.", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=a%5Cb", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=a%0Ab", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=..;x", "target_not_canonical"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=..%3Bx", "rule_failed"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a?q=a&q=b", "parameter_duplicated"},
		{`{ path: "/v2/{request.query.q}" }`, "/x/a", "rule_failed"},
		{`{ path: "/v2/.{request.query.q}" }`, "/x/a?q=.", "rule_failed"},
		{`{ path: "/v2/.{request.query.q}" }`, "/x/a?q=a", "/v2/.a?q=a"},
		{`{ path: "/v2/{principal.claims.level}" }`, "/x/a", "/v2/3"},
		{`{ path: "/v2/{principal.claims.admin}" }`, "/x/a", "/v2/true"},
		{`{ path: "/v2/{principal.claims.groups}" }`, "/x/a", "rule_failed"},
		{`{ path: "/v2/{principal.claims.missing}" }`, "/x/a", "rule_failed"},
		{`{ path: "/v2/{size(path.a)}/{1u}" }`, "/x/a", "/v2/1/1"},
		{`{ path: "/%7B{{%7D}}" }`, "/x/a", "fault"},
		{`{ path: "/v2/{{'{'}}" }`, "/x/a", "fault"},
		{`{ path: "/v2/{ {'a': path.a}['a'] }" }`, "/x/b", "/v2/b"},
		{`{ path: "/v2/{'}' == '' ? path.a : '1'}" }`, "/x/b", "/v2/1"},
		// Queries.
		{`{ query: { limit: "50" } }`, "/x/a?a=1&limit=9&b=%20", "/x/a?a=1&b=%20&limit=50"},
		{`{ query: { limit: "50" } }`, "/x/a?%6Cimit=9&LIMIT=9&limit[]=9", "/x/a?limit=50"},
		{`{ query: { b: "{path.a}", a: "x{principal.org_id}y&", "c d": "" } }`, "/x/q%26r", "/x/q%26r?a=xorg_ay%26&b=q%26r&c%20d="},
		{`{ query: { a: "{request.query.a}{request.query.a}" } }`, "/x/q?a=1%2B", "/x/q?a=1%2B1%2B"},
		{`{ query: { a: "{request.query.a}" } }`, "/x/q?a=1&a=2", "parameter_duplicated"},
		{`{ query: { a: "{principal.org_slug}" } }`, "/x/q", "rule_failed"},
		{`{ params: [a, "b c"] }`, "/x/a?a=1&A=2&b+c=3&d=4&a=5", "/x/a?a=1&b+c=3&a=5"},
		{`{ params: a }`, "/x/a?a=1;b=2", "target_not_canonical"},
		{`{ params: a }`, "/x/a?%FF=2", "target_not_canonical"},
		{`{ params: a }`, "/x/a?b", "/x/a"},
		// Fields.
		{`{ headers: { X-User: "{principal.user_id}", X-A: "a b{{}}" } }`, "/x/a", `/x/a X-A="a b{}" X-User="user_alice"`},
		{`{ headers: { X-A: "{path.a}" } }`, "/x/%C3%A9", `/x/%C3%A9 X-A="é"`},
		{`{ headers: { X-A: "{request.query.a}" } }`, "/x/a?a=x%0Ay", "rule_failed"},
		{`{ headers: { X-A: "{request.query.a}" } }`, "/x/a?a=x%0D%0AX-B:+y", "rule_failed"},
		{`{ headers: { X-A: "{request.query.a}" } }`, "/x/a?a=+x", "rule_failed"},
		{`{ headers: { X-A: "{request.query.a}" } }`, "/x/a?a=x%7F", "rule_failed"},
		{`{ headers: { X-A: "{request.query.a}" } }`, "/x/a?a=", `/x/a?a= X-A=""`},
		{`{ headers: { X-A: "{request.headers.b}" } }`, "/x/a", `/x/a X-A="b1"`},
		{`{ headers: { X-A: "{request.headers.c}" } }`, "/x/a", "request_malformed"},
		{`{ headers: { X-A: "{has(principal.org_slug) ? principal.org_slug : 'none'}" } }`, "/x/a", `/x/a X-A="none"`},
		{`{ headers: { X-A: "{has(request.query.b) ? 'yes' : 'no'}" } }`, "/x/a", `/x/a X-A="no"`},
	} {
		text := `routes: [{ id: a, upstream: u, match: { path: "/x/{a}" }, allow: "true", request: ` + tt.request + ` }]`
		if tt.want == "fault" {
			if faults(t, text) == "" {
				t.Errorf("%s has no fault", tt.request)
			}
			continue
		}
		in := request("GET", tt.target)
		in.Fields = requestFields{"B": {"b1"}, "C": {"1", "2"}}
		if got := sent(load(t, text), in, alice); got != tt.want {
			t.Errorf("%s for %s\n got %s\nwant %s", tt.request, tt.target, got, tt.want)
		}
	}
}

func TestRewriteOfARest(t *testing.T) {
	p := load(t, `routes: [{ id: a, upstream: u, match: { path: "/files/{name...}" }, allow: "true", request: { path: "/v2/{path.name}" } }]`)
	for target, want := range map[string]string{
		"/files/a/b%20c/d/": "/v2/a/b%20c/d/",
		"/files/a":          "/v2/a",
		"/files/a//b":       "rule_failed", // the guard refuses it before
		"/files/../b":       "rule_failed",
	} {
		if got := sent(p, request("GET", target), alice); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

func TestTokenParametersAreDropped(t *testing.T) {
	p := load(t, `routes: [{ id: a, upstream: u, match: { path: /x }, allow: "true" }]`)
	in := request("GET", "/x?a=%41&token=eyJ&b&Token=x&%74oken=y&token[]=z")
	in.DropQuery = []string{"token"}
	if got, want := sent(p, in, alice), "/x?a=%41&b"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTemplateFaults(t *testing.T) {
	for _, tt := range []struct{ request, want string }{
		{`{ path: v2 }`, "the path for the upstream should start with a slash"},
		{`{ path: "{path.a}" }`, "should start with a slash"},
		{`{ path: "/a//b" }`, "segment 2 of the path for the upstream can't be sent: it is empty"},
		{`{ path: "/a/../b" }`, "segment 2 of the path for the upstream can't be sent: a dot segment"},
		{`{ path: "/a?b=c" }`, `"?" has to be percent-encoded`},
		{`{ path: "/a b" }`, `" " has to be percent-encoded`},
		{`{ path: "/%2{path.a}" }`, "% is not followed by two"},
		{`{ path: "/{path.b}" }`, "1:99: path has no b in the template /x/{a}"},
		{`{ path: "/{path.a" }`, "1:93: the expression has no closing }"},
		{`{ path: "/path.a}" }`, "1:99: there is no { before this }"},
		{`{ path: "/{}" }`, "the expression is empty"},
		{`{ path: "/{principal.roles}" }`, "the expression gives list(string); in a template it should give a text"},
		{`{ path: "/{now}" }`, "the expression gives google.protobuf.Timestamp"},
		{`{ path: "/{1.5}" }`, "the expression gives double"},
		{`{ query: { a: "é{principal.usr_id}" } }`, "principal has no usr_id; did you mean user_id?"},
		{`{ headers: { X-A: " a" } }`, "white space at its start or end"},
		{`{ headers: { X-A: "a\nb" } }`, "the value of field X-A has a control character"},
		{`{ headers: { X-A: "{request.body.a}" } }`, "there is no request.body"},
	} {
		text := `routes: [{ id: a, upstream: u, match: { path: "/x/{a}" }, allow: "true", request: ` + tt.request + ` }]`
		if got := faults(t, text); !strings.Contains(got, tt.want) {
			t.Errorf("%s\n got %s\nwant %s", tt.request, got, tt.want)
		}
	}
}

func TestTemplateWarnings(t *testing.T) {
	for _, tt := range []struct{ scope, header, want string }{
		{"user", "{principal.user_id}", ""},
		{"org", "{principal.org_id}", ""},
		{"org", "{principal.user_id}", "X-A tells the upstream the caller's user_id, so that only callers with the same one share"},
		{"org", "{principal.claims.email}", "the caller's claims"},
		{"session", "{principal.org_role}", "the caller's org_role"},
	} {
		got := warnings(t, fmt.Sprintf(`routes: [{ id: a, upstream: u, match: { path: /x }, allow: "true", cache: { ttl: 1s, scope: %s }, request: { headers: { X-A: %q } } }]`, tt.scope, tt.header))
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s\n got %s\nwant %s", tt.scope, tt.header, got, tt.want)
		}
	}
}

// FuzzTemplate: whatever a request says, what goes upstream has one segment
// for each segment of the template, and nothing of the request in a place
// where it was not put.
func FuzzTemplate(f *testing.F) {
	f.Add("/x/a", "q=b")
	f.Add("/x/%C3%A9", "q=..%2f..")
	f.Add("/x/..", "q=%2e%2E")
	f.Add("/x/a", "q=a%0d%0aX: y")
	f.Add("/x/a;b", "q=..;a")
	f.Add("/x/a", "q=1&q=2&%71=3")
	f.Add("/x/a", "r=%&q=?%23")
	p := load(f, `routes: [{ id: a, upstream: u, match: { path: "/x/{a}" }, allow: "true", request: { path: "/v2/{request.query.q}/z{path.a}", query: { r: "{request.query.q}" }, headers: { X-Q: "{request.query.q}" }, params: [q, s] } }]`)
	f.Fuzz(func(t *testing.T, path, query string) {
		if !safePath(path) || strings.Contains(path, "?") {
			return // the guard refuses it
		}
		if _, err := url.ParseQuery(strings.ReplaceAll(query, ";", "&")); err != nil {
			return // so it does what is not well-formed in parameters that nobody reads
		}
		if segments := strings.Split(path, "/"); len(segments) != 3 || segmentFault(segments[2]) != "" {
			return
		}
		in := request("GET", path)
		in.RawQuery = query
		var m Match
		var out Outgoing
		if _, err := run(p, &m, &out, in, alice, nil); err != nil {
			if ReasonOf(err) == InternalError {
				t.Errorf("%v", err)
			}
			return
		}
		q, err := url.ParseQuery(query)
		if err != nil || len(q["q"]) != 1 {
			t.Fatalf("%q went through: %v", query, err)
		}
		u, err := url.Parse(string(out.Path))
		if err != nil || u.EscapedPath() != string(out.Path) || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("path %q: %v", out.Path, err)
		}
		if clean := u.JoinPath().EscapedPath(); clean != string(out.Path) {
			t.Errorf("path %q is the same as %q", out.Path, clean)
		}
		parts := strings.Split(string(out.Path), "/")
		if len(parts) != 4 || parts[1] != "v2" || !strings.HasPrefix(parts[3], "z") {
			t.Fatalf("path %q", out.Path)
		}
		if value, err := url.PathUnescape(parts[2]); err != nil || value != q.Get("q") {
			t.Errorf("segment %q for %q: %v", parts[2], q.Get("q"), err)
		}
		sent, err := url.ParseQuery(string(out.Query))
		if err != nil || len(sent["r"]) != 1 || sent.Get("r") != q.Get("q") || sent.Get("q") != q.Get("q") {
			t.Errorf("query %q for %q: %v", out.Query, query, err)
		}
		if len(out.Headers) != 1 || string(out.Headers[0].Value) != q.Get("q") || strings.ContainsAny(q.Get("q"), "\r\n\x00") {
			t.Errorf("fields %q for %q", out.Headers, query)
		}
	})
}
