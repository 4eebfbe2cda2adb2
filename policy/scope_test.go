package policy

import (
	"slices"
	"testing"

	"hopgate/config"
	"hopgate/token"
)

// scoped makes a route whose answers are cached for a scope.
func scoped(t *testing.T, scope config.Scope, anonymous bool) *Route {
	t.Helper()
	r := config.Route{ID: "a", Anonymous: anonymous, Match: config.Match{Methods: []string{"GET"}, Path: "/a"}, Cache: &config.RouteCache{Scope: scope}}
	return Compile(&config.Config{Routes: []config.Route{r}}, &config.Errors{}).Routes()[0]
}

func claimsOf(claims map[string]any) *token.Principal {
	return (&token.Principal{Issuer: "i", UserID: "u"}).WithClaims(claims)
}

func TestScopes(t *testing.T) {
	words := func(w string) config.Scope { return config.Scope{Word: w} }
	claims := func(c ...string) config.Scope { return config.Scope{Claims: c} }
	p := func(issuer, user, org, session string) *token.Principal {
		return &token.Principal{Issuer: issuer, UserID: user, OrgID: org, SessionID: session}
	}
	for _, tt := range []struct {
		scope config.Scope
		a, b  *token.Principal
		same  bool
	}{
		{words("public"), p("i", "u", "o", "s"), p("j", "v", "", ""), true},
		{words("public"), token.Anonymous, nil, true},
		{words("user"), p("i", "u", "o", "s"), p("i", "u", "p", "t"), true},
		{words(""), p("i", "u", "o", "s"), p("i", "v", "o", "s"), false},
		{words("user"), p("i", "u", "o", "s"), p("i", "v", "o", "s"), false},
		{words("user"), p("i", "u", "o", "s"), p("j", "u", "o", "s"), false},
		{words("user"), p("iu", "", "", ""), p("i", "u", "", ""), false},
		{words("user"), p("ab", "c", "", ""), p("a", "bc", "", ""), false},
		{words("org"), p("i", "u", "o", "s"), p("i", "v", "o", "t"), true},
		{words("org"), p("i", "u", "o", "s"), p("i", "u", "p", "s"), false},
		{words("org"), p("i", "u", "o", "s"), p("j", "u", "o", "s"), false},
		{words("session"), p("i", "u", "o", "s"), p("i", "u", "o", "s"), true},
		{words("session"), p("i", "u", "o", "s"), p("i", "u", "o", "t"), false},
		{claims("a"), claimsOf(map[string]any{"a": "x", "b": 1}), claimsOf(map[string]any{"a": "x"}), true},
		{claims("a"), claimsOf(map[string]any{"a": "1"}), claimsOf(map[string]any{"a": int64(1)}), false},
		{claims("a"), claimsOf(map[string]any{"a": true}), claimsOf(map[string]any{"a": "true"}), false},
		{claims("a"), claimsOf(map[string]any{"a": true}), claimsOf(map[string]any{"a": false}), false},
		{claims("a"), claimsOf(map[string]any{"a": 1.5}), claimsOf(map[string]any{"a": "1.5"}), false},
		{claims("a", "b"), claimsOf(map[string]any{"a": "xy", "b": "z"}), claimsOf(map[string]any{"a": "x", "b": "yz"}), false},
		{claims("a"), claimsOf(map[string]any{"a": []any{"x", "y"}}), claimsOf(map[string]any{"a": []any{"x,y"}}), false},
		{claims("a"), claimsOf(map[string]any{"a": map[string]any{"x": "1", "y": "2"}}), claimsOf(map[string]any{"a": map[string]any{"y": "2", "x": "1"}}), true},
		{claims("m.t"), claimsOf(map[string]any{"m": map[string]any{"t": "x"}}), claimsOf(map[string]any{"m.t": "x"}), true},
		{claims("https://x.y/t.u"), claimsOf(map[string]any{"https://x.y/t": map[string]any{"u": "x"}}), claimsOf(map[string]any{"https://x.y/t": map[string]any{"u": "y"}}), false},
	} {
		r := scoped(t, tt.scope, false)
		a, ok := r.AppendScope(nil, tt.a)
		b, ok2 := r.AppendScope(nil, tt.b)
		if slices.Equal(a, b) != tt.same && ok && ok2 {
			t.Errorf("%s: %+v and %+v share: %t", tt.scope, tt.a, tt.b, !tt.same)
		}
		if tt.same && (!ok || !ok2) {
			t.Errorf("%s: %+v and %+v are not cached", tt.scope, tt.a, tt.b)
		}
	}
}

func TestScopeOfNobody(t *testing.T) {
	for _, tt := range []struct {
		scope config.Scope
		who   *token.Principal
	}{
		{config.Scope{Word: "user"}, token.Anonymous},
		{config.Scope{Word: "user"}, nil},
		{config.Scope{Word: "org"}, claimsOf(nil)},
		{config.Scope{Word: "session"}, claimsOf(nil)},
		{config.Scope{Claims: []string{"a"}}, claimsOf(nil)},
		{config.Scope{Claims: []string{"a"}}, claimsOf(map[string]any{"a": nil})},
		{config.Scope{Claims: []string{"a"}}, claimsOf(map[string]any{"a": ""})},
		{config.Scope{Claims: []string{"a"}}, claimsOf(map[string]any{"a": []any{}})},
		{config.Scope{Claims: []string{"a", "b"}}, claimsOf(map[string]any{"a": "x"})},
		{config.Scope{Claims: []string{"a.b"}}, claimsOf(map[string]any{"a": "x"})},
	} {
		if key, ok := scoped(t, tt.scope, false).AppendScope(nil, tt.who); ok {
			t.Errorf("%s of %+v is cached under %q", tt.scope, tt.who, key)
		}
	}
	if key, ok := scoped(t, config.Scope{}, true).AppendScope([]byte("x"), token.Anonymous); !ok || len(key) != 2 {
		t.Errorf("the default of an anonymous route is not public: %q, %t", key, ok)
	}
	p := Compile(&config.Config{Routes: []config.Route{{ID: "a", Match: config.Match{Methods: []string{"GET"}, Path: "/a"}}}}, &config.Errors{})
	if _, ok := p.Routes()[0].AppendScope(nil, alice); ok {
		t.Error("a route without cache is cached")
	}
}

// FuzzScope: callers share an answer if and only if they have the same
// issuer and the same values.
func FuzzScope(f *testing.F) {
	f.Add("i", "u", "i", "u", uint8(0))
	f.Add("i", "\x01u", "i\x01", "u", uint8(1))
	f.Add("", "us", "u", "s", uint8(2))
	scopes := []config.Scope{{Word: "user"}, {Word: "org"}, {Word: "session"}, {Claims: []string{"a", "b"}}}
	f.Fuzz(func(t *testing.T, issuer1, value1, issuer2, value2 string, n uint8) {
		r := scoped(t, scopes[int(n)%len(scopes)], false)
		who := func(issuer, value string) *token.Principal {
			return (&token.Principal{Issuer: issuer, UserID: value, OrgID: value, SessionID: value}).WithClaims(map[string]any{"a": value, "b": issuer})
		}
		a, ok := r.AppendScope([]byte("x"), who(issuer1, value1))
		b, ok2 := r.AppendScope([]byte("x"), who(issuer2, value2))
		if ok && ok2 && slices.Equal(a, b) != (issuer1 == issuer2 && value1 == value2) {
			t.Errorf("%q/%q and %q/%q: %q, %q", issuer1, value1, issuer2, value2, a, b)
		}
		if ok && value1 == "" {
			t.Errorf("an empty value is cached: %q", a)
		}
	})
}
