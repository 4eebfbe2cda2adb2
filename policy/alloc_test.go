package policy

import (
	"testing"

	"hopgate/token"
)

// commonRules are what most policies are made of.
const commonRules = `rules:
  is_self: principal.user_id == path.user_id
  in_org: principal.org_id == path.org_id
  org_admin: rules.in_org && principal.org_role == "admin"
routes:
  - { id: status, upstream: u, match: { path: /v1/status }, anonymous: true }
  - { id: self, upstream: u, match: { path: "/v1/users/{user_id}" }, allow: rules.is_self, request: { headers: { X-User-Id: "{principal.user_id}" } }, cache: { ttl: 5s, scope: user } }
  - { id: members, upstream: u, match: { path: "/v1/organizations/{org_id}/memberships" }, deny: client.ip == "192.0.2.66", allow: [rules.org_admin, rules.in_org && principal.has_permission("org:members:read")], request: { query: { limit: "50" }, path: "/v2/{path.org_id}/members" }, cache: { ttl: 5s, scope: org } }
  - { id: users, upstream: u, match: { path: /v1/users }, allow: request.query.organization_id == principal.org_id, request: { params: [organization_id] } }
  - { id: tenant, upstream: u, match: { path: "/v1/tenants/{org}" }, allow: 'principal.claims.org == path.org && (request.method == "GET" || principal.has_role("admin"))', cache: { ttl: 5s, scope: [claims.org] } }
  - { id: office, upstream: u, match: { path: /v1/office }, allow: 'client.ip.in_cidr("192.0.2.0/24") && request.headers["x-version"] in ["1", "2"] && principal.user_id.startsWith("user_")', cache: { ttl: 5s, scope: session } }
  - { id: files, upstream: u, match: { path: "/v1/files/{name...}" }, allow: 'path.name.matches("^[a-z/]+$") && !("share" in request.query)' }
`

var commonTargets = []string{
	"/v1/status?x=1", "/v1/users/user_alice?a=1&b=%20", "/v1/organizations/org_a/memberships?limit=1&x=1",
	"/v1/users?organization_id=org_a&other=1", "/v1/tenants/org_a", "/v1/office", "/v1/files/a/b/c?x=%41",
}

// run takes a request the whole way.
func run(p *Policy, m *Match, out *Outgoing, in *Request, who *token.Principal, key []byte) ([]byte, error) {
	if r := p.Match(m, in.Method, in.Host, in.Path); r != Allowed {
		return key, &Error{r, string(r)}
	}
	if d := m.Route.Decide(m, in, who); d.Effect != Allow {
		return key, &Error{d.Reason, string(d.Reason)}
	}
	key, _ = m.Route.AppendScope(key, who)
	return key, m.Route.Rewrite(out, m, in, who)
}

func TestCommonRulesAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	p := load(t, commonRules)
	for _, target := range commonTargets {
		in := request("GET", target)
		in.Fields = fieldList{{"X-Version", "2"}}
		in.DropQuery = []string{"token"}
		var m Match
		var out Outgoing
		key := make([]byte, 0, 256)
		var err error
		n := testing.AllocsPerRun(100, func() { key, err = run(p, &m, &out, in, alice, key[:0]) })
		if err != nil || n != 0 {
			t.Errorf("%s: %v, %v allocations", target, err, n)
		}
	}
}

func TestDenialAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	p := load(t, commonRules)
	for _, target := range []string{"/v1/users/user_bob", "/v1/organizations/org_b/memberships", "/v1/users", "/v1/users?organization_id=1&organization_id=2"} {
		in := request("GET", target)
		var m Match
		var out Outgoing
		var reason Reason
		n := testing.AllocsPerRun(100, func() {
			p.Match(&m, in.Method, in.Host, in.Path)
			reason = m.Route.Decide(&m, in, alice).Reason
		})
		if reason.Allowed() || n != 0 || len(out.Path) > 0 {
			t.Errorf("%s: %s, %v allocations", target, reason, n)
		}
	}
}

// fieldList is a header section as the gate has it.
type fieldList [][2]string

func (f fieldList) Field(name string) (value string, n int) {
	for i := range f {
		if alike(f[i][0], name) {
			value, n = f[i][1], n+1
		}
	}
	return value, n
}

func BenchmarkDecide(b *testing.B) {
	p := load(b, commonRules)
	for _, target := range commonTargets {
		in := request("GET", target)
		in.Fields = fieldList{{"X-Version", "2"}}
		var m Match
		if r := p.Match(&m, in.Method, in.Host, in.Path); r != Allowed {
			b.Fatal(r)
		}
		b.Run(m.Route.ID, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := m.Route.Decide(&m, in, alice); d.Effect != Allow {
					b.Fatal(d)
				}
			}
		})
	}
}

// BenchmarkInterpreted is what a rule costs that is left to CEL's
// interpreter.
func BenchmarkInterpreted(b *testing.B) {
	p := load(b, oneRule("principal.user_id + '' == path.user_id"))
	in := request("GET", "/x/user_alice")
	var m Match
	p.Match(&m, in.Method, in.Host, in.Path)
	b.ReportAllocs()
	for b.Loop() {
		if d := m.Route.Decide(&m, in, alice); d.Effect != Allow {
			b.Fatal(d)
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	p := load(b, commonRules)
	in := request("GET", commonTargets[2])
	var m Match
	var out Outgoing
	p.Match(&m, in.Method, in.Host, in.Path)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Route.Rewrite(&out, &m, in, alice); err != nil {
			b.Fatal(err)
		}
	}
}
