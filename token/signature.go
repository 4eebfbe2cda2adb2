package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// fits tells whether public is a key of the type, and for ECDSA the curve,
// that the algorithm asks for (RFC 7518 section 3.1, RFC 8037 section 3.1).
// No public key fits an HS algorithm, whatever it is.
func fits(alg string, public crypto.PublicKey) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return hashOf(alg) != 0 && (alg[0] == 'R' || alg[0] == 'P')
	case *ecdsa.PublicKey:
		curve := curveOf[alg]
		return curve != nil && curve == key.Curve
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// verifySignature checks a signature with a public key that fits alg. The
// error wraps ErrSignature.
func verifySignature(alg string, public crypto.PublicKey, signed string, signature []byte) error {
	if !fits(alg, public) {
		return fmt.Errorf("the key does not fit the algorithm: %w", ErrSignature)
	}
	input := []byte(signed)
	var digest []byte
	hash := hashOf(alg)
	if hash != 0 {
		h := hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	good := false
	switch key := public.(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(alg, "PS") {
			// RFC 7518 section 3.5: the salt is as long as the hash.
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			good = rsa.VerifyPSS(key, hash, digest, signature, options) == nil
		} else {
			good = rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
		}
	case *ecdsa.PublicKey:
		// RFC 7518 section 3.4: R and S, each as long as the curve's order.
		size := (key.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return fmt.Errorf("it has %d bytes instead of %d: %w", len(signature), 2*size, ErrSignature)
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		good = ecdsa.Verify(key, digest, r, s)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, input, signature)
	}
	if !good {
		return ErrSignature
	}
	return nil
}

// verifyMAC checks a token of an HS algorithm with the configured secret. The
// error wraps ErrSignature.
func verifyMAC(alg string, secret []byte, signed string, mac []byte) error {
	if !slices.Contains(symmetric, alg) || len(secret) < minSecretBytes {
		return fmt.Errorf("there is no secret for the algorithm: %w", ErrSignature)
	}
	// HS256, HS384 and HS512 have the hashes of RS256, RS384 and RS512.
	h := hmac.New(hashOf("RS"+alg[2:]).New, secret)
	h.Write([]byte(signed))
	if !hmac.Equal(h.Sum(nil), mac) {
		return ErrSignature
	}
	return nil
}

// minSecretBytes is the shortest secret for HS256 (RFC 7518 section 3.2).
const minSecretBytes = 32
