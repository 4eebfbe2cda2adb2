package token

import (
	"errors"
	"testing"
	"time"

	"hopgate/config"
)

func TestRegisteredClaims(t *testing.T) {
	var (
		now = testTime.Unix()
		iat = func(ago int64) map[string]any { return map[string]any{"iat": now - ago} }
		aud = func(i *config.Issuer) { i.Audiences = []string{"a", "b"} }
		azp = func(i *config.Issuer) {
			i.AuthorizedParties = []string{"https://app.example.com", "https://b.example.com"}
		}
		maxAge = func(i *config.Issuer) { i.MaxAge = time.Minute }
		needs  = func(names ...string) func(*config.Issuer) {
			return func(i *config.Issuer) { i.RequiredClaims = names }
		}
		noSkew = func(i *config.Issuer) { i.ClockSkew = 0 }
		none   = func(*config.Issuer) {}
	)
	for name, c := range map[string]struct {
		change func(*config.Issuer)
		claims map[string]any
		fault  *Fault
		until  time.Duration // from now, where there is no fault
	}{
		"plain":                       {none, nil, nil, 65 * time.Second},
		"exp now, within the skew":    {none, map[string]any{"exp": now}, nil, 5 * time.Second},
		"exp before the skew":         {none, map[string]any{"exp": now - 5}, ErrExpired, 0},
		"exp now, no skew":            {noSkew, map[string]any{"exp": now}, ErrExpired, 0},
		"exp a moment ahead, no skew": {noSkew, map[string]any{"exp": float64(now) + 0.5}, nil, 500 * time.Millisecond},
		"nbf now, no skew":            {noSkew, map[string]any{"nbf": now}, nil, time.Minute},
		"nbf a moment ahead":          {noSkew, map[string]any{"nbf": float64(now) + 0.5}, ErrNotYetValid, 0},
		"nbf at the skew":             {none, map[string]any{"nbf": now + 5}, nil, 65 * time.Second},
		"iat beyond the skew":         {none, map[string]any{"iat": now + 6}, ErrNotYetValid, 0},
		"max_age":                     {maxAge, iat(10), nil, 55 * time.Second},
		"max_age, exp is sooner":      {maxAge, map[string]any{"iat": now - 1, "exp": now + 10}, nil, 15 * time.Second},
		"max_age, within the skew":    {maxAge, iat(64), nil, time.Second},
		"max_age passed":              {maxAge, iat(65), ErrTooOld, 0},
		"max_age without iat":         {maxAge, map[string]any{"iat": nil}, ErrClaimMissing, 0},
		"max_age, iat a text":         {maxAge, map[string]any{"iat": "1"}, ErrMalformed, 0},
		"aud":                         {aud, map[string]any{"aud": "b"}, nil, 65 * time.Second},
		"aud in a list":               {aud, map[string]any{"aud": []any{"x", "a"}}, nil, 65 * time.Second},
		"aud of another":              {aud, map[string]any{"aud": "x"}, ErrAudience, 0},
		"aud is not split":            {aud, map[string]any{"aud": "a b"}, ErrAudience, 0},
		"aud of other case":           {aud, map[string]any{"aud": "A"}, ErrAudience, 0},
		"aud missing":                 {aud, nil, ErrAudience, 0},
		"aud empty":                   {aud, map[string]any{"aud": []any{}}, ErrAudience, 0},
		"aud of mixed types":          {aud, map[string]any{"aud": []any{"a", 1}}, ErrAudience, 0},
		"aud an object":               {aud, map[string]any{"aud": map[string]any{"a": "a"}}, ErrAudience, 0},
		"aud not asked for":           {none, map[string]any{"aud": "x"}, nil, 65 * time.Second},
		"azp":                         {azp, map[string]any{"azp": "https://b.example.com"}, nil, 65 * time.Second},
		"azp missing":                 {azp, nil, nil, 65 * time.Second},
		"azp of another":              {azp, map[string]any{"azp": "https://app.example.com.evil.example"}, ErrParty, 0},
		"azp empty":                   {azp, map[string]any{"azp": ""}, ErrParty, 0},
		"azp a list":                  {azp, map[string]any{"azp": []any{"https://app.example.com"}}, ErrParty, 0},
		"azp not asked for":           {none, map[string]any{"azp": "x"}, nil, 65 * time.Second},
		"required":                    {needs("tenant.id", "sub"), map[string]any{"tenant": map[string]any{"id": "t"}}, nil, 65 * time.Second},
		"required missing":            {needs("tenant"), nil, ErrClaimMissing, 0},
		"required null":               {needs("tenant"), map[string]any{"tenant": any(nullClaim{})}, ErrClaimMissing, 0},
		"required missing below":      {needs("tenant.id"), map[string]any{"tenant": map[string]any{}}, ErrClaimMissing, 0},
	} {
		cfg := filled(plainIssuer)
		c.change(&cfg)
		claims := map[string]any{}
		for k, v := range goodClaims(c.claims) {
			if _, null := v.(nullClaim); null {
				v = nil
			}
			claims[k] = v
		}
		set, _, err := claimSetOf(claims)
		if err != nil {
			t.Fatal(err)
		}
		until, err := checkRegistered(&cfg, set, testTime, nil)
		if c.fault != nil && !errors.Is(err, c.fault) || c.fault == nil && (err != nil || until.Sub(testTime) != c.until) {
			t.Errorf("%s: until %s, error %v; want %s, %v", name, until.Sub(testTime), err, c.until, c.fault)
		}
	}
}

// nullClaim stands for a null, since nil leaves a claim out.
type nullClaim struct{}
