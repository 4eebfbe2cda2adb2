package token

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"hopgate/config"
)

func TestHasRole(t *testing.T) {
	clerk := &Principal{Preset: "clerk", OrgRole: "admin", Roles: []string{"admin"}}
	other := &Principal{Preset: "keycloak", Roles: []string{"admin", "org:editor"}}
	for _, c := range []struct {
		name string
		p    *Principal
		role string
		want bool
	}{
		{"clerk", clerk, "admin", true},
		{"clerk with prefix", clerk, "org:admin", true},
		{"clerk other", clerk, "org:member", false},
		{"clerk prefix alone", clerk, "org:", false},
		{"clerk prefix twice", clerk, "org:org:admin", false},
		{"clerk no role", &Principal{Preset: "clerk"}, "org:", false},
		{"clerk empty", clerk, "", false},
		{"exact elsewhere", other, "admin", true},
		{"no prefix elsewhere", other, "org:admin", false},
		{"prefix not dropped elsewhere", other, "editor", false},
		{"case", other, "Admin", false},
		{"organization role", &Principal{OrgRole: "owner"}, "owner", true},
		{"anonymous", Anonymous, "admin", false},
		{"anonymous empty", Anonymous, "", false},
		{"nil", nil, "admin", false},
	} {
		if got := c.p.HasRole(c.role); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	// Both versions of Clerk's tokens give the same answers.
	for _, claims := range []map[string]any{
		{"sub": "u", "org_id": "o", "org_role": "org:admin"},
		{"sub": "u", "v": 2, "o": map[string]any{"id": "o", "rol": "admin"}},
	} {
		p, err := principalFromClaims(clerkIssuer, "main", claims)
		if err != nil {
			t.Fatal(err)
		}
		if !p.HasRole("admin") || !p.HasRole("org:admin") || p.HasRole("member") || p.OrgRole != "admin" {
			t.Errorf("%v: role %q", claims, p.OrgRole)
		}
	}
}

func TestHasPermissionAndScope(t *testing.T) {
	p := &Principal{Permissions: []string{"org:a:read", ""}, Scopes: []string{"openid", ""}}
	for name, c := range map[string]struct{ got, want bool }{
		"permission":           {p.HasPermission("org:a:read"), true},
		"permission part":      {p.HasPermission("org:a"), false},
		"permission empty":     {p.HasPermission(""), false},
		"scope":                {p.HasScope("openid"), true},
		"scope other":          {p.HasScope("OpenID"), false},
		"scope empty":          {p.HasScope(""), false},
		"scope is no role":     {p.HasRole("openid"), false},
		"nil permission":       {(*Principal)(nil).HasPermission("a"), false},
		"nil scope":            {(*Principal)(nil).HasScope("a"), false},
		"anonymous permission": {Anonymous.HasPermission("a"), false},
		"anonymous scope":      {Anonymous.HasScope("a"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		p.HasRole("x")
		p.HasPermission("org:a:read")
		p.HasScope("openid")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The cache is bounded by these estimates, so they must not be far below
// what is really taken, before and after the claims were asked for.
func TestKnownCost(t *testing.T) {
	texts := map[string]string{
		"small":     `{"sub":"alice"}`,
		"clerk":     `{"azp":"https://example.com","fva":[7,-1],"jti":"a1b2","sid":"sess_123","sts":"active","sub":"user_123","v":2,"fea":"o:dashboard,o:teams","o":{"id":"org_123","slg":"org-slug","rol":"admin","per":"manage,read","fpm":"3,2"}}`,
		"large":     `{"sub":"alice","x":"` + strings.Repeat("x", 6000) + `"}`,
		"many":      `{"sub":"alice","roles":["` + strings.Repeat(`a","`, 1500) + `z"]}`,
		"maps":      `{"sub":"alice","x":[` + strings.Repeat(`{"a":{}},`, 700) + `{}]}`,
		"deep":      `{"sub":"alice","x":` + strings.Repeat(`{"a":`, 30) + `1` + strings.Repeat(`}`, 30) + `}`,
		"numerous":  `{"sub":"alice"` + numerous() + `}`,
		"all zeros": `{"sub":"alice","x":[` + strings.Repeat("1234567,", 900) + `1]}`,
	}
	for name, payload := range texts {
		m, err := newMapper(withPreset(plainIssuer), "main")
		if err != nil {
			t.Fatal(err)
		}
		const copies = 500
		owner, k := &issuer{salt: 9}, &key{until: forever}
		toks := make([]string, copies)
		for i := range toks {
			toks[i] = fmt.Sprintf("e30.%s.%086d", b64([]byte(payload)), i)
		}
		measure := func(n *known, what string, do func()) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			cost := n.bytes()
			do()
			runtime.GC()
			runtime.ReadMemStats(&after)
			if entries(n) != copies {
				t.Fatalf("%s: %d entries", name, entries(n))
			}
			real := float64(after.HeapAlloc-before.HeapAlloc) / copies
			if cost := float64(n.bytes()-cost) / copies; cost < 0.85*real || cost > 1.6*real+100 {
				t.Errorf("%s, %s: estimated %.0f, really %.0f", name, what, cost, real)
			}
		}
		n := newKnown(1 << 30)
		measure(n, "entry", func() {
			for _, tok := range toks {
				claims, err := readClaimSet(payload, usualClaims)
				if err != nil {
					t.Fatal(err)
				}
				r := &verified{issuer: owner, key: k, until: 1}
				if err := m.principal(&r.principal, claims); err != nil {
					t.Fatal(err)
				}
				n.put(tok, r, 0)
			}
		})
		measure(n, "claims", func() {
			for _, tok := range toks {
				p := &n.get([]*issuer{owner}, tok, 0).principal
				if p.Claims()["sub"] == nil {
					t.Fatalf("%s: claims %v", name, p.Claims())
				}
			}
		})
		runtime.KeepAlive(toks)
	}
}

// numerous gives a hundred members of an object.
func numerous() string {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `,"claim%d":%d`, i, i)
	}
	return b.String()
}

// principalFromClaims makes the principal of a token whose signature and
// registered claims are taken to be right.
func principalFromClaims(iss config.Issuer, name string, claims map[string]any) (*Principal, error) {
	m, err := newMapper(withPreset(iss), name)
	if err != nil {
		return nil, err
	}
	set, payload, err := claimSetOf(claims)
	if err != nil {
		return nil, err
	}
	p := &Principal{payload: payload}
	if err := m.principal(p, set); err != nil {
		return nil, err
	}
	return p, nil
}
