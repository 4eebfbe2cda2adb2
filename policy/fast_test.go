package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"hopgate/config"
	"hopgate/token"
)

// grammar makes random rules that type-check, of what the fast functions
// know and of what they leave to the interpreter.
type grammar struct{ *rand.Rand }

func (g grammar) pick(list ...string) string { return list[g.IntN(len(list))] }

// words are few, so that comparisons are often true.
func (g grammar) word() string { return g.pick("a", "b", "ab", "", "é", "3") }

func (g grammar) literal() string { return fmt.Sprintf("%q", g.word()) }

func (g grammar) text() string {
	switch g.IntN(10) {
	case 0, 1:
		return "principal." + g.pick("user_id", "org_id", "org_slug", "org_role", "session_id", "actor", "issuer")
	case 2, 3:
		return "path." + g.pick("one", "two")
	case 4:
		return "request." + g.pick("method", "scheme", "host", "path")
	case 5:
		return g.pick("request.query.a", `request.query["b"]`, "request.query.c")
	case 6:
		return g.pick("request.headers.a", `request.headers["x-b"]`)
	case 7:
		return "client.ip"
	case 8:
		return g.pick("(true ? path.one : path.two)", `(path.one + "b")`, "string(size(path.one))")
	}
	return g.literal()
}

func (g grammar) claim() string {
	return "principal.claims" + g.pick(".a", ".b", `["c"]`, ".m.a", `.m["b"]`, ".m.m.a", `["m"].m`, ".m", ".n", ".l", ".missing", ".missing.a", ".a.b", ".l.a", ".i.a")
}

func (g grammar) constant() string {
	return g.pick("true", "false", "null", "0", "1", "3", "-1", "9007199254740993", "1.0", "0.5", "1u", `"a"`, `"3"`)
}

func (g grammar) rule(depth int) string {
	if depth > 0 {
		switch g.IntN(6) {
		case 0, 1:
			return "(" + g.rule(depth-1) + " && " + g.rule(depth-1) + ")"
		case 2, 3:
			return "(" + g.rule(depth-1) + " || " + g.rule(depth-1) + ")"
		case 4:
			return "!(" + g.rule(depth-1) + ")"
		case 5:
			return "(" + g.rule(depth-1) + " ? " + g.rule(depth-1) + " : " + g.rule(depth-1) + ")"
		}
	}
	op := g.pick("==", "!=")
	switch g.IntN(22) {
	case 0, 1, 2:
		return g.text() + " " + op + " " + g.text()
	case 3:
		return g.claim() + " " + op + " " + g.text()
	case 4:
		return g.text() + " " + op + " " + g.claim()
	case 5, 6:
		return g.claim() + " " + op + " " + g.constant()
	case 7:
		return g.constant() + " " + op + " " + g.claim()
	case 8:
		return g.text() + " in [" + g.literal() + ", " + g.literal() + "]"
	case 9:
		return g.text() + " in principal." + g.pick("roles", "permissions", "scopes")
	case 10:
		return g.text() + " in " + g.claim()
	case 11:
		return g.pick(`"a"`, `"b"`, `"c"`) + " in request.query"
	case 12:
		return g.pick(`"a"`, `"x-b"`) + " in request.headers"
	case 13:
		return "principal." + g.pick("has_role", "has_permission", "has_scope") + "(" + g.text() + ")"
	case 14:
		return g.text() + "." + g.pick("startsWith", "endsWith", "contains") + "(" + g.text() + ")"
	case 15:
		return g.text() + ".matches(" + g.pick(`"^a"`, `"[ab]+$"`, `"^$"`) + ")"
	case 16:
		return "has(" + g.pick("principal.org_id", "principal.roles", "principal.claims", "request.query.a", "request.headers.a", "path.one", "client.ip") + ")"
	case 17:
		return "has(principal.claims" + g.pick(".m.a", ".missing", ".missing.a", ".a.b", ".l.a", ".m.m.z", ".n.a") + ")"
	case 18:
		return g.pick("client.ip", "client.ip", "path.one", `"192.0.2.1"`) + ".in_cidr(" + g.pick(`"192.0.2.0/24"`, `"2001:db8::/32"`) + ")"
	case 19:
		return g.pick("rules.one", "rules.two", "rules.many", "true", "false")
	case 20:
		return g.claim()
	}
	return g.pick(
		"size(principal.roles) > 0", "principal.roles.exists(r, r == path.one)", "now > timestamp('2026-01-31T00:00:00Z')",
		"principal.claims.l.all(x, x == 'a')", "principal.claims.i > 1", "1 / (size(path.one) - 1) == 1", "principal.claims.m == {'a': 'a'}",
		"client.ip == '192.0.2.1'", "client.ip != '2001:DB8::1'", "client.ip in ['192.0.2.1', 'x']", "matches(path.two, 'b')",
		"principal.claims.i in [1, 3]", "request.method < 'H'", "dyn(path.one) == 1",
	)
}

func (g grammar) value(depth int) any {
	switch n := g.IntN(9); {
	case n < 3:
		return g.word()
	case n == 3:
		return g.IntN(2) == 0
	case n == 4:
		return nil
	case n == 5:
		return int64(g.IntN(5) - 1)
	case n == 6:
		return float64(g.IntN(4)) / 2
	case depth == 0:
		return int64(9007199254740993)
	case n == 7:
		return []any{g.value(depth - 1), g.word()}
	}
	m := map[string]any{}
	for _, k := range []string{"a", "b", "m"} {
		if g.IntN(3) > 0 {
			m[k] = g.value(depth - 1)
		}
	}
	return m
}

func (g grammar) principal() *token.Principal {
	if g.IntN(10) == 0 {
		return token.Anonymous
	}
	p := &token.Principal{
		UserID: g.word(), OrgID: g.word(), OrgSlug: g.word(), OrgRole: g.word(), SessionID: g.word(), Actor: g.word(), Issuer: g.word(),
		Preset: g.pick("clerk", "oidc"),
	}
	claims := map[string]any{}
	for _, list := range []*[]string{&p.Roles, &p.Permissions, &p.Scopes} {
		for range g.IntN(3) {
			*list = append(*list, g.word())
		}
	}
	for _, name := range []string{"a", "b", "c", "m", "n", "l", "i"} {
		if g.IntN(4) > 0 {
			claims[name] = g.value(2)
		}
	}
	if g.IntN(2) == 0 {
		claims["m"] = map[string]any{"a": g.value(0), "b": g.word(), "m": map[string]any{"a": g.word()}}
		claims["l"] = []any{g.word(), g.word(), g.value(0)}
		claims["i"] = int64(g.IntN(4))
	}
	return p.WithClaims(claims)
}

func (g grammar) request() *Request {
	in := request(g.pick("GET", "POST"), "/x/"+g.pick("a", "b", "ab", "3", "%C3%A9")+"/"+g.pick("a", "b", "a%2Bb"))
	in.Host = g.pick("a", "b")
	in.Fields = requestFields{}
	var q []string
	for _, name := range []string{"a", "b", "c"} {
		if g.IntN(2) == 0 {
			q = append(q, name+"="+g.pick("a", "b", "%61", "a+b", ""))
		}
	}
	in.RawQuery = strings.Join(q, "&")
	for _, name := range []string{"A", "X-B"} {
		if g.IntN(2) == 0 {
			in.Fields.(requestFields)[name] = []string{g.word()}
		}
	}
	in.ClientIP = netip.MustParseAddr(g.pick("192.0.2.1", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.1"))
	if g.IntN(6) == 0 {
		in.ClientIP = netip.Addr{}
	}
	return in
}

// heldTogether evaluates a rule by the fast functions and by CEL's
// interpreter alone, and tells how they differ.
func heldTogether(t *testing.T, g grammar) {
	text := g.rule(3)
	cfg := &config.Config{
		Rules: map[string]config.Expr{
			"one": config.NewExpr("path.one == principal.user_id"), "two": config.NewExpr("!rules.one || request.query.a == 'a'"),
			"many": config.NewExpr("principal.roles.exists(r, r == 'a')"),
		},
		Routes: []config.Route{{ID: "r", Match: config.Match{Methods: []string{"GET", "POST"}, Path: "/x/{one}/{two}"}, Allow: []config.Expr{config.NewExpr(text)}}},
	}
	errs := &config.Errors{}
	p := Compile(cfg, errs)
	if err := errs.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	x := parse(p.routes[0].allow[0].text)
	program, err := plan(x.checked, x.comprehension)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	slow := interpretedBool(program)
	for range 8 {
		in, who := g.request(), g.principal()
		var m Match
		if r := p.Match(&m, in.Method, in.Host, in.Path); r != Allowed {
			t.Fatalf("%s: %s", in.Path, r)
		}
		e := &m.eval
		e.begin(m.Route, &m, in, who)
		if err := e.read(); err != nil {
			t.Fatalf("%s: %v", in.RawQuery, err)
		}
		got, gotErr := m.Route.allow[0].eval(e)
		want, wantErr := slow(e)
		if got != want || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s\n is  %t, %v\n CEL %t, %v\nrequest %+v\nprincipal %+v", text, got, gotErr, want, wantErr, *in, who)
		}
		e.end()
	}
}

// TestFastIsCEL holds the fast functions to CEL's meaning.
func TestFastIsCEL(t *testing.T) {
	n := uint64(1000)
	if testing.Short() {
		n = 300
	}
	for seed := range n {
		heldTogether(t, grammar{rand.New(rand.NewPCG(seed, 7))})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzFastIsCEL(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) { heldTogether(t, grammar{rand.New(rand.NewPCG(a, b))}) })
}
