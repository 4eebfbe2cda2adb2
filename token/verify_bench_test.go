package token

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// typicalClaims are those of a token of about 800 bytes.
func typicalClaims(n int) map[string]any {
	return goodClaims(map[string]any{
		"azp": "https://app.example.com", "sid": fmt.Sprintf("sess_2abcdefghijklmnopqrstuvwx%06d", n), "sub": fmt.Sprintf("user_2abcdefghijklmnopqrstuvwx%06d", n),
		"nbf": testTime.Unix() - 10, "jti": fmt.Sprintf("a1b2c3d4e5f6%06d", n), "fva": []int{5, -1}, "sts": "active", "v": 2, "pla": "u:free,o:pro", "fea": "o:dashboard,o:teams",
		"o": map[string]any{"id": "org_2abcdefghijklmnopqrstuvwxyz", "slg": "acme-corporation", "rol": "admin", "per": "manage,read", "fpm": "3,2"},
	})
}

// shortClaims are those of a token of about 450 bytes.
func shortClaims(n int) map[string]any {
	return goodClaims(map[string]any{
		"azp": "https://app.example.com", "sid": fmt.Sprintf("sess_2abcdefghijklmnopqrstu%06d", n), "sub": fmt.Sprintf("user_2abcdefghijklmnopqrstu%06d", n),
		"jti": fmt.Sprintf("a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6%06d", n), "scope": "openid profile",
	})
}

// manyKnown gives a verifier that knows n tokens.
func manyKnown(t testing.TB, n int, claims func(n int) map[string]any) (*Verifier, IssuerSet, []string) {
	t.Helper()
	secret := []byte(strings.Repeat("s", 32))
	cfg := plainIssuer
	cfg.Secret = config.NewSecret(string(secret))
	v, set := one(t, cfg)
	toks := make([]string, n)
	for i := range toks {
		toks[i] = hs256(`{"alg":"HS256","kid":"ins_2abcdefghijklmnopqrstu","typ":"JWT"}`, jsonOf(t, claims(i)), secret)
		if _, _, err := v.Verify(context.Background(), set, toks[i]); err != nil {
			t.Fatal(err)
		}
	}
	return v, set, toks
}

// BenchmarkVerifyKnown looks tokens up in random order. Those that come in
// were just read from a connection, so they are brought near before the clock
// runs; what is kept of them is as far away as it is.
func BenchmarkVerifyKnown(b *testing.B) {
	for _, n := range []int{1, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v, set, toks := manyKnown(b, n, shortClaims)
			order := rand.New(rand.NewPCG(1, 2))
			var near [32][]byte
			var took time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += len(near) {
				for k := range near {
					near[k] = append(near[k][:0], toks[order.IntN(n)]...)
				}
				now := time.Now()
				for _, tok := range near {
					p, known, _ := v.VerifyAt(context.Background(), set, unsafeText(tok), testTime, netip.Addr{})
					if !known || p.UserID == "" {
						b.Fatal("not known")
					}
				}
				took += time.Since(now)
			}
			b.ReportMetric(float64(took)/float64((b.N+len(near)-1)/len(near)*len(near)), "ns/lookup")
			b.ReportMetric(float64(len(toks[0])), "token-bytes")
		})
	}
}

// BenchmarkKnownBytes measures what an entry takes.
func BenchmarkKnownBytes(b *testing.B) {
	const count = 100_000
	for name, claims := range map[string]func(n int) map[string]any{"short": shortClaims, "typical": typicalClaims} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				v, _, toks := manyKnown(b, count, claims)
				b.ReportMetric(float64(len(toks[0])), "token-bytes")
				b.ReportMetric(float64(entries(v.known)), "entries")
				b.ReportMetric(float64(heap()-before)/float64(entries(v.known)), "B/entry")
				b.ReportMetric(float64(v.known.bytes())/float64(entries(v.known)), "counted-B/entry")
				runtime.KeepAlive(v)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkVerifyNew verifies what was not verified before, and BenchmarkBare
// only its signature.
func BenchmarkVerifyNew(b *testing.B) {
	verify := func(name, alg string, cfg config.Issuer) {
		b.Run(name, func(b *testing.B) {
			s := signer(b, alg)
			v, set := one(b, withKeys(cfg, s))
			tok := sign(b, s, nil, typicalClaims(1))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := v.check(context.Background(), set, tok, netip.Addr{}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, alg := range benchmarked {
		verify(alg, alg, plainIssuer)
	}
	clerk := clerkIssuer
	clerk.Issuer, clerk.Algorithms, clerk.AuthorizedParties = plainIssuer.Issuer, []string{"ES256"}, nil
	verify("ES256 of Clerk", "ES256", clerk)
}

func BenchmarkBare(b *testing.B) {
	for _, alg := range benchmarked {
		b.Run(alg, func(b *testing.B) {
			s := signer(b, alg)
			c, err := parseCompact(sign(b, s, nil, typicalClaims(1)), nil)
			if err != nil {
				b.Fatal(err)
			}
			public := s.key.Public()
			b.ReportAllocs()
			for b.Loop() {
				if err := verifySignature(alg, public, c.signed, c.signature); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var benchmarked = []string{"ES256", "RS256", "EdDSA", "PS256", "ES384"}
