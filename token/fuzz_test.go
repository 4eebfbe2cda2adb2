package token

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// unsafeText gives a text that shares the memory of b, as a transport lends
// it.
func unsafeText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// What parseCompact accepts, the JOSE library reads as the same header,
// payload and signature; and there is one way only to write it.
func FuzzParseCompact(f *testing.F) {
	es := signer(f, "ES256")
	good := sign(f, es, nil, goodClaims(nil))
	for _, s := range []string{good, "", "..", "a.b.c", "e30.e30.", "eyJhbGciOiJub25lIn0.e30.", good + "=", good + ".x", `{"payload":"e30"}`, raw(`{"alg":"ES256","kid":"a","x":[1,{"y":null}]}`, "{}", []byte("x"))} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tok string) {
		c, err := parseCompact(tok, nil)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v", err)
			}
			return
		}
		p := strings.Split(tok, ".")
		if len(p) != 3 || c.signed != p[0]+"."+p[1] || p[1] != b64([]byte(c.payload)) || p[2] != b64(c.signature) {
			t.Fatalf("%q is not written as it is read", tok)
		}
		msg, err := jws.ParseString(tok, jws.WithCompact())
		if err != nil {
			// The library does not know every alg, checks parameters that are
			// ignored here, and refuses an empty signature before it is tried.
			if n := len(c.params); len(c.signature) > 0 && slices.Contains(asymmetric, c.alg) && (n == 1 || n == 2 && c.hasKid) {
				t.Fatalf("%q: the library refuses it: %v", tok, err)
			}
			return
		}
		sigs := msg.Signatures()
		if len(sigs) != 1 || string(msg.Payload()) != c.payload || !bytes.Equal(sigs[0].Signature(), c.signature) {
			t.Fatalf("%q: the library reads another payload or signature", tok)
		}
		if alg, ok := sigs[0].ProtectedHeaders().Algorithm(); !ok || alg.String() != c.alg {
			t.Fatalf("%q: alg %q, the library %v", tok, c.alg, alg)
		}
		kid, ok := sigs[0].ProtectedHeaders().KeyID()
		if ok != c.hasKid || kid != c.kid {
			t.Fatalf("%q: kid %q, the library %q", tok, c.kid, kid)
		}
	})
}

// No change of a valid token is valid, whatever its place.
func FuzzVerifyMutated(f *testing.F) {
	es, rs, ed := signer(f, "ES256"), signer(f, "RS256"), signer(f, "EdDSA")
	v, set := one(f, withKeys(plainIssuer, es, rs, ed))
	good := []string{sign(f, es, nil, goodClaims(nil)), sign(f, rs, nil, goodClaims(nil)), sign(f, ed, nil, goodClaims(nil))}
	for _, tok := range good {
		if _, _, err := v.Verify(context.Background(), set, tok); err != nil {
			f.Fatal(err)
		}
	}
	for _, at := range []uint16{0, 1, 36, 90, 120, 200, 300, 400} {
		f.Add(uint8(at), at, uint16(1), "A")
		f.Add(uint8(at), at, uint16(0), "=")
		f.Add(uint8(at+1), at, uint16(3), "")
	}
	f.Fuzz(func(t *testing.T, which uint8, at, drop uint16, put string) {
		tok := good[int(which)%len(good)]
		i := int(at) % (len(tok) + 1)
		j := min(i+int(drop), len(tok))
		changed := tok[:i] + put + tok[j:]
		p, _, err := v.Verify(context.Background(), set, changed)
		if changed == tok {
			if err != nil {
				t.Fatalf("the valid token: %v", err)
			}
			return
		}
		if err == nil {
			t.Fatalf("accepted %q in place of %q as %v", changed, tok, p)
		}
		var fault *Fault
		if !errors.As(err, &fault) {
			t.Fatalf("no fault in %v", err)
		}
	})
}

// Whatever claims a trusted issuer signs, nothing panics, and what is
// accepted is what encoding/json reads, is not expired, and has a user.
func FuzzVerifyClaims(f *testing.F) {
	ed := signer(f, "EdDSA")
	v, set := one(f, withKeys(plainIssuer, ed))
	for _, c := range []map[string]any{nil, {"exp": "1"}, {"exp": 1e300}, {"sub": nil}, {"aud": []int{1}}, {"act": map[string]any{"sub": "x"}}} {
		f.Add([]byte(jsonOf(f, goodClaims(c))))
	}
	f.Add([]byte(`{"iss":"https://issuer.example.com","sub":"a","exp":9e9,"exp":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		tok, err := ed.SignRaw([]byte(`{"alg":"EdDSA"}`), payload)
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := v.Verify(context.Background(), set, tok)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || p != nil {
				t.Fatalf("principal %v, error %v", p, err)
			}
			return
		}
		d := json.NewDecoder(bytes.NewReader(payload))
		d.UseNumber()
		var want map[string]any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("accepted claims that encoding/json refuses: %v", err)
		}
		if !reflect.DeepEqual(p.Claims(), plain(want)) {
			t.Fatalf("claims %v, encoding/json %v", p.Claims(), want)
		}
		if p.UserID == "" || p.Claims()["iss"] != plainIssuer.Issuer || !p.ExpiresAt.After(testTime.Add(-5*time.Second)) {
			t.Fatalf("accepted %s", payload)
		}
	})
}

// Key sets come from outside, too.
func FuzzParseKeySet(f *testing.F) {
	f.Add(signer(f, "ES256").PublicJWKS(signer(f, "RS256"), signer(f, "EdDSA")))
	f.Add(setOf(f, smallRSA(f)))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Add(signer(f, "ES256").PrivateJWK())
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := parseKeySet(text)
		if err != nil {
			return
		}
		if len(set.keys) == 0 {
			t.Fatal("no keys and no error")
		}
		for _, k := range set.keys {
			again, err := parseKeySet(setOf(t, k.jwk))
			if err != nil || len(again.keys) != 1 || again.keys[0].id != k.id {
				t.Fatalf("a key does not survive being written: %v", err)
			}
		}
	})
}
