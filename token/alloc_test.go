//go:build !race

package token

import (
	"context"
	"testing"

	"hopgate/config"
)

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
