package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/lestrrat-go/jwx/v3/jwk"
)

// Signer signs tokens with a private key, for development and tests. Its
// methods may be called concurrently.
type Signer struct {
	key crypto.Signer
	alg string
	kid string
}

const (
	rsaBits    = 2048 // of new keys
	minRSABits = 2048 // RFC 7518 section 3.3
)

// curveOf gives the only curve that RFC 7518 section 3.4 allows for an
// algorithm.
var curveOf = map[string]elliptic.Curve{
	"ES256": elliptic.P256(),
	"ES384": elliptic.P384(),
	"ES512": elliptic.P521(),
}

// NewSigner makes a new key for one of RS256, RS384, RS512, PS256, PS384,
// PS512, ES256, ES384, ES512 and EdDSA (Ed25519).
func NewSigner(alg string) (*Signer, error) {
	var (
		key crypto.Signer
		err error
	)
	switch {
	case curveOf[alg] != nil:
		key, err = ecdsa.GenerateKey(curveOf[alg], rand.Reader)
	case alg == "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case hashOf(alg) != 0:
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return nil, fmt.Errorf("cannot make a key for algorithm %q; it should be one of %s", alg, strings.Join(asymmetric, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return newSigner(key, alg, "")
}

// ParseSigner reads a private key: a JWK (RFC 7517), whose alg and kid are
// used where it has them, or PEM with a PKCS #8, PKCS #1 or SEC 1 block.
// Without alg it is RS256, EdDSA, or the one that fits the curve.
func ParseSigner(text []byte) (*Signer, error) {
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("{")) {
		return parseJWK(text)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var (
			raw any
			err error
		)
		switch block.Type {
		case "PRIVATE KEY":
			raw, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			raw, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			raw, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("cannot read the private key: it is encrypted; decrypt it first")
		default:
			continue // parameters and certificates come along
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the private key: %w", err)
		}
		return newSigner(raw, "", "")
	}
	return nil, errors.New("cannot find a private key; it should be a JWK or PEM (PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")
}

func parseJWK(text []byte) (*Signer, error) {
	key, err := jwk.ParseKey(text)
	if err != nil {
		// The library's error may quote the key.
		return nil, errors.New("cannot read the private key: it is not a JWK")
	}
	if private, err := jwk.IsPrivateKey(key); err != nil || !private {
		return nil, errors.New("cannot sign with this JWK: it is not a private key")
	}
	var raw any
	if err := jwk.Export(key, &raw); err != nil {
		return nil, errors.New("cannot read the private key: its members do not fit together")
	}
	var alg, kid string
	if a, ok := key.Algorithm(); ok {
		alg = a.String()
	}
	if k, ok := key.KeyID(); ok {
		kid = k
	}
	return newSigner(raw, alg, kid)
}

// newSigner checks that key and alg fit. An empty alg is chosen by the key,
// an empty kid is the key's thumbprint.
func newSigner(raw any, alg, kid string) (*Signer, error) {
	fits := false
	switch key := raw.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("cannot use an RSA key of %d bits; it should have at least %d", key.N.BitLen(), minRSABits)
		}
		if alg == "" {
			alg = "RS256"
		}
		fits = strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PrivateKey:
		for a, curve := range curveOf {
			if curve == key.Curve && (alg == "" || alg == a) {
				alg, fits = a, true
				break
			}
		}
	case ed25519.PrivateKey:
		if alg == "" || alg == "Ed25519" { // RFC 9864 renames it
			alg = "EdDSA"
		}
		fits = alg == "EdDSA"
	}
	key, ok := raw.(crypto.Signer)
	if !ok || !fits || alg != "EdDSA" && hashOf(alg) == 0 {
		return nil, fmt.Errorf("cannot use a %T with algorithm %q; it should be RSA, P-256, P-384, P-521 or Ed25519 with an algorithm that fits", raw, alg)
	}
	s := &Signer{key: key, alg: alg, kid: kid}
	if kid == "" {
		j, err := jwk.Import(key.Public())
		if err != nil {
			return nil, fmt.Errorf("cannot make a JWK of the key: %w", err)
		}
		if s.kid, err = thumbprint(j); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func thumbprint(key jwk.Key) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("cannot make the key's thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// hashOf gives the hash of an RS, PS or ES algorithm, 0 for others.
func hashOf(alg string) crypto.Hash {
	switch alg {
	case "RS256", "PS256", "ES256":
		return crypto.SHA256
	case "RS384", "PS384", "ES384":
		return crypto.SHA384
	case "RS512", "PS512", "ES512":
		return crypto.SHA512
	}
	return 0
}

// Algorithm gives the alg header parameter of the tokens.
func (s *Signer) Algorithm() string { return s.alg }

// KeyID gives the kid: the one the key came with, else its thumbprint (RFC
// 7638, SHA-256, base64url).
func (s *Signer) KeyID() string { return s.kid }

// PublicJWKS gives the JWK Set (RFC 7517 section 5) of the public keys of s
// and others.
func (s *Signer) PublicJWKS(others ...*Signer) []byte {
	keys := []json.RawMessage{s.encode(s.key.Public())}
	for _, o := range others {
		keys = append(keys, o.encode(o.key.Public()))
	}
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err) // it is made of valid JSON
	}
	return b
}

// PrivateJWK gives the private key as a JWK, for [ParseSigner]. Keep it
// secret.
func (s *Signer) PrivateJWK() []byte { return s.encode(s.key) }

// encode cannot fail with a key that newSigner accepted.
func (s *Signer) encode(raw any) []byte {
	j, err := jwk.Import(raw)
	if err == nil {
		err = errors.Join(j.Set(jwk.KeyIDKey, s.kid), j.Set(jwk.AlgorithmKey, s.alg), j.Set(jwk.KeyUsageKey, "sig"))
	}
	var b []byte
	if err == nil {
		b, err = json.Marshal(j)
	}
	if err != nil {
		panic("token: cannot encode a checked key: " + err.Error())
	}
	return b
}

// PEM gives the private key in PKCS #8, for [ParseSigner]. Keep it secret.
func (s *Signer) PEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic("token: cannot encode a checked key: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// PublicPEM gives the public key as a PEM PUBLIC KEY block.
func (s *Signer) PublicPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		panic("token: cannot encode a checked key: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Sign gives a token with the claims as a compact JWS (RFC 7515 section 7.1)
// with alg, kid and typ JWT in its header. It adds no claims.
func (s *Signer) Sign(claims map[string]any) (string, error) {
	return s.SignHeader(nil, claims)
}

// SignHeader is like Sign with header parameters set over those; one that is
// nil is left out. It does not mind what they say: the signature is always of
// the signer's own algorithm, so that tests can make tokens that lie.
func (s *Signer) SignHeader(header, claims map[string]any) (string, error) {
	h := map[string]any{"alg": s.alg, "kid": s.kid, "typ": "JWT"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	head, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("cannot encode the header: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("cannot encode the claims: %w", err)
	}
	return s.SignRaw(head, payload)
}

// SignRaw is like SignHeader with the bytes of header and payload as they
// are, which need not even be JSON.
func (s *Signer) SignRaw(header, payload []byte) (string, error) {
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := s.signature([]byte(input))
	if err != nil {
		return "", fmt.Errorf("cannot sign: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// signature follows RFC 7518 sections 3.3 to 3.5 and RFC 8037 section 3.1.
func (s *Signer) signature(input []byte) ([]byte, error) {
	hash := hashOf(s.alg)
	var digest []byte
	if hash != 0 {
		h := hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	switch key := s.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, input), nil
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		out := make([]byte, 2*size)
		r.FillBytes(out[:size])
		v.FillBytes(out[size:])
		return out, nil
	case *rsa.PrivateKey:
		if strings.HasPrefix(s.alg, "PS") {
			return rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, key, hash, digest)
	}
	return nil, fmt.Errorf("no signature with a %T", s.key)
}
