package token

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// typicalClaims are those of a token of about 800 bytes.
func typicalClaims(n int) map[string]any {
	return goodClaims(map[string]any{
		"azp": "https://app.example.com", "sid": fmt.Sprintf("sess_2abcdefghijklmnopqrstuvwx%06d", n), "sub": fmt.Sprintf("user_2abcdefghijklmnopqrstuvwx%06d", n),
		"nbf": testTime.Unix() - 10, "jti": fmt.Sprintf("a1b2c3d4e5f6%06d", n), "fva": []int{5, -1}, "sts": "active", "v": 2, "pla": "u:free,o:pro", "fea": "o:dashboard,o:teams",
		"o": map[string]any{"id": "org_2abcdefghijklmnopqrstuvwxyz", "slg": "acme-corporation", "rol": "admin", "per": "manage,read", "fpm": "3,2"},
	})
}

func BenchmarkVerifyKnown(b *testing.B) {
	for _, n := range []int{1, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := signer(b, "ES256")
			v, set := one(b, withKeys(plainIssuer, s))
			v.o.Now = func() time.Time { _ = time.Now(); return testTime } // it costs what the clock costs
			toks := make([]string, n)
			for i := range toks {
				toks[i] = sign(b, s, nil, typicalClaims(i))
				if _, _, err := v.Verify(context.Background(), set, toks[i]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, known, _ := v.Verify(context.Background(), set, toks[i]); !known {
					b.Fatal("not known")
				}
				if i++; i == n {
					i = 0
				}
			}
			b.ReportMetric(float64(len(toks[0])), "token-bytes")
		})
	}
}

func BenchmarkVerifyNew(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA", "PS256", "ES384"} {
		b.Run(alg, func(b *testing.B) {
			s := signer(b, alg)
			v, set := one(b, withKeys(plainIssuer, s))
			v.known = newKnown(0) // no entry fits, so that each token is new
			tok := sign(b, s, nil, typicalClaims(1))
			b.ReportAllocs()
			for b.Loop() {
				if _, known, err := v.Verify(context.Background(), set, tok); known || err != nil {
					b.Fatal(known, err)
				}
			}
		})
	}
}
