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
// what is really taken.
func TestPrincipalCost(t *testing.T) {
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
	for name, text := range texts {
		m, err := newMapper(withPreset(plainIssuer), "main")
		if err != nil {
			t.Fatal(err)
		}
		const copies = 200
		keep := make([]*Principal, copies)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range keep {
			claims, err := decodeClaims([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if keep[i], err = m.principal(claims); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		real := float64(after.HeapAlloc-before.HeapAlloc) / copies
		if cost := float64(keep[0].cost()); cost < 0.8*real || cost > 3*real+500 {
			t.Errorf("%s: estimated %.0f, really %.0f", name, cost, real)
		}
		runtime.KeepAlive(keep)
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
	m, claims, err := readClaims(iss, name, claims)
	if err != nil {
		return nil, err
	}
	return m.principal(claims)
}
