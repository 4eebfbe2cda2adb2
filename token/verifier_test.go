package token

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// filled gives the settings with the defaults that loading a file fills in.
func filled(i config.Issuer) config.Issuer {
	defaultTo(&i.ClockSkew, 5*time.Second)
	defaultTo(&i.MaxTokenBytes, 8<<10)
	defaultTo(&i.JWKS.Refresh, 10*time.Minute)
	defaultTo(&i.JWKS.MinInterval, 10*time.Second)
	defaultTo(&i.JWKS.MaxStale, 24*time.Hour)
	defaultTo(&i.JWKS.Timeout, 5*time.Second)
	return i
}

func defaultTo[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// at gives options with a clock that stands still.
func at(now time.Time) Options { return Options{Now: func() time.Time { return now }} }

// compile makes a verifier of issuers and the set of all of them.
func compile(t testing.TB, issuers map[string]config.Issuer, prev *Verifier, o Options) *Verifier {
	t.Helper()
	cfg := &config.Config{Issuers: map[string]config.Issuer{}}
	for name, i := range issuers {
		cfg.Issuers[name] = filled(i)
	}
	var errs config.Errors
	v := Compile(cfg, prev, o, &errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	if prev == nil {
		v.turns.single = false // clocks of tests would count its pauses
	}
	return v
}

// single makes a verifier of one issuer, called main, whose clock stands at
// testTime.
func one(t testing.TB, i config.Issuer) (*Verifier, IssuerSet) {
	t.Helper()
	v := compile(t, map[string]config.Issuer{"main": i}, nil, at(testTime))
	return v, v.Set(nil)
}

// signers are made once: RSA keys take long.
var signers = map[string]*Signer{}

func signer(t testing.TB, alg string) *Signer {
	t.Helper()
	if signers[alg] == nil {
		s, err := NewSigner(alg)
		if err != nil {
			t.Fatal(err)
		}
		signers[alg] = s
	}
	return signers[alg]
}

func sign(t testing.TB, s *Signer, header, claims map[string]any) string {
	t.Helper()
	tok, err := s.SignHeader(header, claims)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// goodClaims are claims that plainIssuer accepts at testTime; change may be
// nil. A value that is nil is left out.
func goodClaims(change map[string]any) map[string]any {
	claims := map[string]any{"iss": plainIssuer.Issuer, "sub": "alice", "iat": testTime.Unix() - 1, "exp": testTime.Unix() + 60}
	for name, v := range change {
		if v == nil {
			delete(claims, name)
		} else {
			claims[name] = v
		}
	}
	return claims
}

func withKeys(i config.Issuer, list ...*Signer) config.Issuer {
	i.JWKS.Keys = string(list[0].PublicJWKS(list[1:]...))
	return i
}

// Tokens of every provider's shape go through the whole verifier.
func TestVerifyProviders(t *testing.T) {
	for _, c := range providerCases {
		t.Run(c.name, func(t *testing.T) {
			p := presetOf(c.issuer)
			s := signer(t, p.algorithms[0])
			v, set := one(t, withKeys(c.issuer, s))
			claims := caseClaims(t, &c)
			tok := sign(t, s, nil, claims)
			for round, wantKnown := range []bool{false, true} {
				got, known, err := v.Verify(context.Background(), set, tok)
				if c.fault != nil {
					if !errors.Is(err, c.fault) || got != nil || known {
						t.Fatalf("principal %v, known %v, error %v; want %v", got, known, err, c.fault)
					}
					continue
				}
				if err != nil || known != wantKnown {
					t.Fatalf("round %d: known %v, error %v", round, known, err)
				}
				checkPrincipal(t, got, &c)
				if !reflect.DeepEqual(got.Claims(), claims) {
					t.Errorf("claims %v, want %v", got.Claims(), claims)
				}
			}
			// Policy tests come to the same end without a token.
			got, err := VerifyClaims(filled(c.issuer), "main", claims, testTime)
			if c.fault != nil {
				if !errors.Is(err, c.fault) || got != nil {
					t.Fatalf("by claims alone: principal %v, error %v; want %v", got, err, c.fault)
				}
			} else if err != nil {
				t.Fatalf("by claims alone: %v", err)
			} else {
				checkPrincipal(t, got, &c)
			}
			explained, checks, err := v.Explain(context.Background(), set, tok)
			if c.fault != nil {
				if last := checks[len(checks)-1]; !errors.Is(err, c.fault) || explained != nil || last.OK || last.Detail != err.Error() {
					t.Fatalf("explained: %v, error %v", checks, err)
				}
			} else if err != nil || !samePrincipal(explained, got) {
				t.Fatalf("explained: %v, error %v", explained, err)
			}
		})
	}
}

func TestVerifyAlgorithms(t *testing.T) {
	for _, alg := range asymmetric {
		t.Run(alg, func(t *testing.T) {
			s := signer(t, alg)
			v, set := one(t, withKeys(plainIssuer, s))
			tok := sign(t, s, nil, goodClaims(nil))
			if p, _, err := v.Verify(context.Background(), set, tok); err != nil || p.UserID != "alice" {
				t.Fatalf("principal %v, error %v", p, err)
			}
			// The same key does not verify what says another algorithm.
			for _, other := range append([]string{"none", "HS256", "ES256K", "", strings.ToLower(alg)}, asymmetric...) {
				if other == alg {
					continue
				}
				lie := sign(t, s, map[string]any{"alg": other}, goodClaims(nil))
				if p, _, err := v.Verify(context.Background(), set, lie); !errors.Is(err, ErrAlgorithm) || p != nil {
					t.Errorf("alg %q: principal %v, error %v", other, p, err)
				}
			}
		})
	}
}
