package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// Every algorithm's tokens verify with the JOSE library, and the key survives
// being written and read in each form.
func TestSignerRoundTrip(t *testing.T) {
	for _, alg := range asymmetric {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			s, err := NewSigner(alg)
			if err != nil {
				t.Fatal(err)
			}
			set, err := jwk.Parse(s.PublicJWKS())
			if err != nil {
				t.Fatal(err)
			}
			key, ok := set.LookupKeyID(s.KeyID())
			if !ok {
				t.Fatalf("kid %q is not in the set", s.KeyID())
			}
			a, ok := jwa.LookupSignatureAlgorithm(alg)
			if !ok {
				t.Fatal("the library does not know the algorithm")
			}
			verify := func(s *Signer) {
				t.Helper()
				signed, err := s.Sign(map[string]any{"sub": "alice"})
				if err != nil {
					t.Fatal(err)
				}
				payload, err := jws.Verify([]byte(signed), jws.WithKey(a, key))
				if err != nil || string(payload) != `{"sub":"alice"}` {
					t.Errorf("payload %s, error %v", payload, err)
				}
			}
			verify(s)
			again, err := ParseSigner(append([]byte("\n"), s.PrivateJWK()...))
			if err != nil {
				t.Fatal(err)
			}
			if again.KeyID() != s.KeyID() || again.Algorithm() != alg {
				t.Errorf("from a JWK: kid %q alg %q", again.KeyID(), again.Algorithm())
			}
			verify(again)
			again, err = ParseSigner(s.PEM())
			if err != nil {
				t.Fatal(err)
			}
			if again.KeyID() != s.KeyID() {
				t.Error("the thumbprint is another after PEM")
			}
			if again.Algorithm() == alg { // RSA in PEM is RS256
				verify(again)
			}
			if public := string(s.PublicJWKS()); strings.Contains(public, `"d":`) {
				t.Error("the public set holds the private key")
			}
		})
	}
}

// RFC 7638 section 3.1 has this key and thumbprint.
func TestThumbprint(t *testing.T) {
	key, err := jwk.ParseKey([]byte(`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := thumbprint(key)
	if err != nil || got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("thumbprint %q, error %v", got, err)
	}
}

func TestPublicJWKSOfSeveral(t *testing.T) {
	a, _ := NewSigner("ES256")
	b, _ := NewSigner("EdDSA")
	var set struct {
		Keys []struct{ Kid, Alg, Use, Kty string }
	}
	if err := json.Unmarshal(a.PublicJWKS(b), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[0].Kid != a.KeyID() || set.Keys[1].Kid != b.KeyID() || set.Keys[1].Alg != "EdDSA" || set.Keys[0].Use != "sig" {
		t.Errorf("keys %+v", set.Keys)
	}
}

func TestParseSignerRefuses(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224DER, err := x509.MarshalECPrivateKey(p224)
	if err != nil {
		t.Fatal(err)
	}
	es, _ := NewSigner("ES256")
	for name, text := range map[string]string{
		"nothing":           "",
		"no key":            "hello",
		"JSON, not a JWK":   `{"a":1}`,
		"public JWK":        strings.TrimSuffix(strings.TrimPrefix(string(es.PublicJWKS()), `{"keys":[`), `]}`),
		"symmetric JWK":     `{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}`,
		"algorithm misfits": strings.Replace(string(es.PrivateJWK()), `"ES256"`, `"RS256"`, 1),
		"none":              strings.Replace(string(es.PrivateJWK()), `"ES256"`, `"none"`, 1),
		"public PEM":        string(es.PublicPEM()),
		"1024 bits":         string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)})),
		"P-224":             string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: p224DER})),
		"broken PEM":        string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})),
		"encrypted PEM":     string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})),
	} {
		if _, err := ParseSigner([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, alg := range []string{"", "none", "HS256", "RS1", "es256"} {
		if _, err := NewSigner(alg); err == nil {
			t.Errorf("NewSigner(%q): no error", alg)
		}
	}
}

func TestParseSignerOtherPEM(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text []byte
		alg  string
	}{
		{pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)}), "RS256"},
		// openssl ecparam writes the curve in front of the key.
		{append([]byte("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...), "ES384"},
	} {
		s, err := ParseSigner(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.alg, err)
			continue
		}
		if s.Algorithm() != c.alg {
			t.Errorf("algorithm %q, want %q", s.Algorithm(), c.alg)
		}
	}
}

func TestSignHeader(t *testing.T) {
	s, _ := NewSigner("ES256")
	signed, err := s.SignHeader(map[string]any{"alg": "none", "kid": nil, "jku": "https://evil.example"}, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(signed, ".")
	if head != "eyJhbGciOiJub25lIiwiamt1IjoiaHR0cHM6Ly9ldmlsLmV4YW1wbGUiLCJ0eXAiOiJKV1QifQ" {
		t.Errorf("header %s", head)
	}
	if _, err := s.Sign(map[string]any{"f": func() {}}); err == nil {
		t.Error("claims that are not JSON were signed")
	}
}
