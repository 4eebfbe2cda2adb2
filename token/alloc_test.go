//go:build !race

package token

import (
	"context"
	"net/netip"
	"testing"

	"hopgate/config"
)

// What a new token takes beyond the check of its signature: its payload, its
// signature, the list of its claims, what is kept of it, its lists.
func TestNewTokenAllocatesLittle(t *testing.T) {
	for name, c := range map[string]struct {
		alg  string
		cfg  config.Issuer
		most float64
	}{
		"ES256":          {"ES256", plainIssuer, 7},
		"RS256":          {"RS256", plainIssuer, 7},
		"EdDSA":          {"EdDSA", plainIssuer, 7},
		"ES256 of Clerk": {"ES256", with(clerkIssuer, func(i *config.Issuer) { i.Issuer, i.AuthorizedParties = plainIssuer.Issuer, nil }), 14},
	} {
		s := signer(t, c.alg)
		cfg := withKeys(c.cfg, s)
		cfg.Algorithms = []string{c.alg}
		v, set := one(t, cfg)
		tok := sign(t, s, nil, typicalClaims(1))
		check := func() {
			if _, _, err := v.check(context.Background(), set, tok, netip.Addr{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		check() // remembers the header
		compact, err := parseCompact(tok, nil)
		if err != nil {
			t.Fatal(err)
		}
		bare := testing.AllocsPerRun(200, func() {
			if err := verifySignature(c.alg, s.key.Public(), compact.signed, compact.signature); err != nil {
				t.Fatal(err)
			}
		})
		if n := testing.AllocsPerRun(200, check); n > bare+c.most {
			t.Errorf("%s: %v allocations, %v of the signature", name, n, bare)
		}
	}
}

func TestKnownTokenAllocatesNothing(t *testing.T) {
	es := signer(t, "ES256")
	other := withKeys(plainIssuer, es)
	other.Issuer = "https://other.example.com"
	other.Tokens = []config.TokenPlace{{Cookie: "session"}}
	v := compile(t, map[string]config.Issuer{"main": withKeys(plainIssuer, es), "other": other}, nil, at(testTime))
	set := v.Set([]string{"other", "main"})
	tok := sign(t, es, nil, typicalClaims(1))
	if _, _, err := v.Verify(context.Background(), set, tok); err != nil {
		t.Fatal(err)
	}
	request := &fields{"Authorization", "Bearer " + tok, "Cookie", "a=b"}
	if n := testing.AllocsPerRun(1000, func() {
		found, err := v.Locate(set, request, "a=b")
		if err != nil {
			t.Fatal(err)
		}
		if p, known, err := v.Verify(context.Background(), set, found.Token); !known || p == nil || err != nil {
			t.Fatal(known, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
