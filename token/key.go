package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v3/jwk"
)

// key is a verification key. What it says is immutable; whether it may still
// be used is not.
type key struct {
	kid    string // empty: it has none
	alg    string // empty: any algorithm that fits
	public crypto.PublicKey
	id     string // equal for two keys exactly where all of the above is
	jwk    map[string]any

	gone  atomic.Bool   // it left its set
	until *atomic.Int64 // Unix nanoseconds from which on its set is too old
}

// live tells whether the key may be used at the moment now, in Unix
// nanoseconds.
func (k *key) live(now int64) bool { return !k.gone.Load() && now < k.until.Load() }

// takes tells whether tokens of the algorithm may be verified with the key.
func (k *key) takes(alg string) bool {
	return (k.alg == "" || k.alg == alg) && fits(alg, k.public)
}

// forever is the until of keys that do not become too old.
var forever = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(math.MaxInt64)
	return &n
}()

const (
	maxKeys    = 256   // of one set; more are no honest set
	maxRSABits = 16384 // larger ones only cost time
)

var (
	errNoSet   = errors.New("it is not a JWK Set, a JSON object with an array of keys")
	errNoKeys  = errors.New("it has no key that can verify a token")
	errPrivate = errors.New("it is a private key, which whoever can read the set can sign with")
)

// keySetText is what was read of a JWK Set.
type keySetText struct {
	keys    []*key
	skipped []error // why others can't be used, one error each
}

// parseKeySet reads a JWK Set (RFC 7517 section 5) and keeps the keys that
// verify tokens. A key of another kind or use is passed over, and so is one
// that is wrong: it must not take the others with it. A set without any
// usable key is an error, since it can only be an accident.
func parseKeySet(text []byte) (*keySetText, error) {
	doc, err := decodeClaims(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoSet, err)
	}
	list, ok := doc["keys"].([]any)
	if !ok {
		return nil, errNoSet
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("it has %d keys; at most %d are read", len(list), maxKeys)
	}
	set := &keySetText{}
	for i, v := range list {
		members, ok := v.(map[string]any)
		if !ok {
			return nil, errNoSet
		}
		k, err := parseKey(members)
		if err != nil {
			kid, _ := members["kid"].(string)
			set.skipped = append(set.skipped, fmt.Errorf("key %d (kid %.40q) is not used: %w", i+1, kid, err))
			continue
		}
		if !slices.ContainsFunc(set.keys, func(o *key) bool { return o.id == k.id }) {
			set.keys = append(set.keys, k)
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.Join(append([]error{errNoKeys}, set.skipped...)...)
	}
	return set, nil
}

// parseKey reads one JWK (RFC 7517 section 4).
func parseKey(members map[string]any) (*key, error) {
	material := map[string]any{}
	switch members["kty"] {
	case "RSA":
		material["n"], material["e"] = members["n"], members["e"]
	case "EC":
		material["crv"], material["x"], material["y"] = members["crv"], members["x"], members["y"]
	case "OKP":
		material["crv"], material["x"] = members["crv"], members["x"]
	case "oct":
		return nil, errors.New("it is a symmetric key; those come from secret alone")
	default:
		return nil, errors.New("its kty is not RSA, EC or OKP")
	}
	material["kty"] = members["kty"]
	// Only the material goes to the library, so that nothing else in a key,
	// such as a certificate chain, can make it fail or act.
	if _, private := members["d"]; private {
		return nil, errPrivate
	}
	if use, ok := members["use"]; ok && use != "sig" {
		return nil, errors.New("its use is not sig")
	}
	if ops, ok := members["key_ops"]; ok {
		list, _ := ops.([]any)
		if !slices.Contains(list, any("verify")) {
			return nil, errors.New("its key_ops is no list with verify")
		}
	}
	kid, ok := members["kid"].(string)
	if _, has := members["kid"]; has && !ok {
		return nil, errors.New("its kid is not a text")
	}
	alg, ok := members["alg"].(string)
	if _, has := members["alg"]; has && !ok {
		return nil, errors.New("its alg is not a text")
	}
	public, err := publicKey(material)
	if err != nil {
		return nil, err
	}
	return newKey(public, kid, alg)
}

// publicKey makes a public key of the members of a JWK that say what it is.
func publicKey(material map[string]any) (crypto.PublicKey, error) {
	text, err := json.Marshal(material)
	if err != nil {
		return nil, err
	}
	parsed, err := jwk.ParseKey(text)
	if err != nil {
		return nil, badMembers(err)
	}
	var raw any
	if err := jwk.Export(parsed, &raw); err != nil {
		return nil, badMembers(err)
	}
	return raw, nil
}

// badMembers shortens the library's error, which may quote the key; that is
// public.
func badMembers(err error) error {
	return fmt.Errorf("its members do not make a key: %.200s", err.Error())
}

// newKey checks a public key. alg may be empty.
func newKey(public crypto.PublicKey, kid, alg string) (*key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("it is an RSA key of %d bits; it should have at least %d", bits, minRSABits)
		}
		if p.E < 3 || p.E%2 == 0 {
			return nil, errors.New("its RSA exponent is not an odd number above 1")
		}
	case *ecdsa.PublicKey:
		// ECDH refuses what is not a point of the curve.
		if _, err := p.ECDH(); err != nil {
			return nil, errors.New("it is not a point of a curve that is known")
		}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return nil, errors.New("it is an Ed25519 key of another length")
		}
	default:
		return nil, errors.New("it is not RSA, P-256, P-384, P-521 or Ed25519")
	}
	if alg == "Ed25519" { // RFC 9864 renames it
		alg = "EdDSA"
	}
	if alg != "" && !fits(alg, public) {
		return nil, errors.New("its alg is not one that verifies tokens with a key of its kind")
	}
	imported, err := jwk.Import(public)
	if err != nil {
		return nil, errors.New("it is not RSA, P-256, P-384, P-521 or Ed25519")
	}
	print, err := thumbprint(imported)
	if err != nil {
		return nil, err
	}
	k := &key{kid: kid, alg: alg, public: public, id: fmt.Sprintf("%s %s %q", print, alg, kid), until: forever}
	if k.jwk, err = publicMembers(imported); err != nil {
		return nil, err
	}
	if kid != "" {
		k.jwk["kid"] = kid
	}
	if alg != "" {
		k.jwk["alg"] = alg
	}
	return k, nil
}

// publicMembers gives a public key's JWK, to be kept on disk.
func publicMembers(k jwk.Key) (map[string]any, error) {
	text, err := json.Marshal(k)
	if err != nil {
		return nil, errors.New("it can't be written as a JWK")
	}
	return decodeClaims(text)
}

// parsePEM reads public keys and certificates. Of a certificate only the key
// is taken: neither its validity nor who signed it is looked at, since that
// the file is trusted is the configuration's word.
func parsePEM(text []byte) (*keySetText, error) {
	set := &keySetText{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var (
			public crypto.PublicKey
			err    error
		)
		switch block.Type {
		case "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = c.PublicKey
			}
		case "EC PARAMETERS":
			continue // openssl writes them in front
		default:
			return nil, fmt.Errorf("it has a %s block; it should be PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("its %s block cannot be read: %w", block.Type, err)
		}
		k, err := newKey(public, "", "")
		if err != nil {
			return nil, fmt.Errorf("its %s block is of no use: %w", block.Type, err)
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		return nil, errors.New("it has no PEM block; it should have PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")
	}
	return set, nil
}
