package token

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// The checks come in the order in which they are made, and end with the one
// that fails.
func TestExplain(t *testing.T) {
	es := signer(t, "ES256")
	i := withKeys(plainIssuer, es)
	i.MaxAge, i.Audiences, i.AuthorizedParties, i.RequiredClaims = time.Hour, []string{"api"}, []string{"app"}, []string{"sub"}
	i.ClientIDs = []string{"app"}
	i.Secret = config.NewSecret(strings.Repeat("s", 32))
	v, set := one(t, i)
	full := map[string]any{"nbf": testTime.Unix() - 1, "aud": "api", "azp": "app"}
	but := func(name string, value any) map[string]any {
		c := map[string]any{name: value}
		for k, x := range full {
			if k != name {
				c[k] = x
			}
		}
		return goodClaims(c)
	}
	good := sign(t, es, nil, goodClaims(full))
	for name, c := range map[string]struct {
		tok   string
		steps string
		fault *Fault
	}{
		"good":         {good, "form issuer algorithm type key signature exp nbf iat max_age aud azp required_claims preset", nil},
		"by secret":    {hs256(`{"alg":"HS256"}`, jsonOf(t, goodClaims(full)), []byte(strings.Repeat("s", 32))), "form issuer algorithm type signature exp nbf iat max_age aud azp required_claims preset", nil},
		"nothing":      {"", "form!", ErrMissing},
		"form":         {"a.b", "form!", ErrMalformed},
		"too long":     {strings.Repeat("a", 9000), "form!", ErrMalformed},
		"issuer":       {sign(t, es, nil, but("iss", "x")), "form issuer!", ErrIssuer},
		"algorithm":    {sign(t, es, map[string]any{"alg": "none"}, but("sub", "a")), "form issuer algorithm!", ErrAlgorithm},
		"type":         {sign(t, es, map[string]any{"typ": "x"}, but("sub", "a")), "form issuer algorithm type!", ErrType},
		"key":          {sign(t, es, map[string]any{"kid": "x"}, but("sub", "a")), "form issuer algorithm type key!", ErrKeyUnknown},
		"signature":    {good[:len(good)-4] + "AAAA", "form issuer algorithm type key signature!", ErrSignature},
		"MAC":          {hs256(`{"alg":"HS256"}`, jsonOf(t, goodClaims(full)), []byte("x")), "form issuer algorithm type signature!", ErrSignature},
		"exp":          {sign(t, es, nil, but("exp", 1)), "form issuer algorithm type key signature exp!", ErrExpired},
		"nbf":          {sign(t, es, nil, but("nbf", testTime.Unix()+60)), "form issuer algorithm type key signature exp nbf!", ErrNotYetValid},
		"iat":          {sign(t, es, nil, but("iat", testTime.Unix()+60)), "form issuer algorithm type key signature exp nbf iat!", ErrNotYetValid},
		"max_age":      {sign(t, es, nil, but("iat", testTime.Unix()-9999)), "form issuer algorithm type key signature exp nbf iat max_age!", ErrTooOld},
		"aud":          {sign(t, es, nil, but("aud", "x")), "form issuer algorithm type key signature exp nbf iat max_age aud!", ErrAudience},
		"azp":          {sign(t, es, nil, but("azp", "x")), "form issuer algorithm type key signature exp nbf iat max_age aud azp!", ErrParty},
		"required":     {sign(t, es, nil, but("sub", nil)), "form issuer algorithm type key signature exp nbf iat max_age aud azp required_claims!", ErrClaimMissing},
		"preset":       {sign(t, es, nil, but("client_id", "x")), "form issuer algorithm type key signature exp nbf iat max_age aud azp required_claims preset!", ErrParty},
		"empty sub":    {sign(t, es, nil, but("sub", "")), "form issuer algorithm type key signature exp nbf iat max_age aud azp required_claims preset!", ErrClaimMissing},
		"without type": {sign(t, es, map[string]any{"typ": nil}, goodClaims(full)), "form issuer algorithm type key signature exp nbf iat max_age aud azp required_claims preset", nil},
	} {
		p, checks, err := v.Explain(context.Background(), set, c.tok)
		var steps []string
		for _, check := range checks {
			name := check.Name
			if !check.OK {
				name += "!"
			}
			if check.Detail == "" || strings.Contains(check.Detail, strings.Repeat("s", 32)) {
				t.Errorf("%s: %s says %q", name, check.Name, check.Detail)
			}
			steps = append(steps, name)
		}
		if got := strings.Join(steps, " "); got != c.steps {
			t.Errorf("%s: %s\nwant %s", name, got, c.steps)
		}
		if c.fault == nil && (err != nil || p.UserID != "alice") || c.fault != nil && (!errors.Is(err, c.fault) || p != nil) {
			t.Errorf("%s: principal %v, error %v", name, p, err)
		}
	}
	if entries(v.known) != 0 {
		t.Error("an explained token is known")
	}
}
