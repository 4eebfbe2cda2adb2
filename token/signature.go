package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
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
	var room [sha512.Size]byte
	hash := hashOf(alg)
	digest := digestOf(hash, signed, &room)
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
		der := make([]byte, 0, 160) // of P-521: 2*(3+66)+3
		good = ecdsa.VerifyASN1(key, digest, appendDER(der, signature[:size], signature[size:]))
	case ed25519.PublicKey:
		good = ed25519.Verify(key, []byte(signed), signature)
	}
	if !good {
		return ErrSignature
	}
	return nil
}

// digestOf puts the digest of a text into room. Of no hash it is empty.
func digestOf(hash crypto.Hash, text string, room *[sha512.Size]byte) []byte {
	switch hash {
	case crypto.SHA256:
		d := sha256.Sum256([]byte(text))
		return append(room[:0], d[:]...)
	case crypto.SHA384:
		d := sha512.Sum384([]byte(text))
		return append(room[:0], d[:]...)
	case crypto.SHA512:
		d := sha512.Sum512([]byte(text))
		return append(room[:0], d[:]...)
	}
	return nil
}

// appendDER appends the ASN.1 sequence of two numbers, each of at most 127
// bytes, most significant first (RFC 3279 section 2.2.3), which is how
// crypto/ecdsa takes a signature.
func appendDER(dst, r, s []byte) []byte {
	start := len(dst)
	dst = append(dst, 0x30, 0x81, 0) // a sequence, its length in one byte
	dst = appendInteger(appendInteger(dst, r), s)
	n := len(dst) - start - 3
	dst[start+2] = byte(n)
	if n < 0x80 { // the length has to be in the shortest form
		dst = append(append(dst[:start+1], byte(n)), dst[start+3:]...)
	}
	return dst
}

func appendInteger(dst, n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	if n[0] >= 0x80 { // without this it would be negative
		return append(append(dst, 0x02, byte(len(n)+1), 0), n...)
	}
	return append(append(dst, 0x02, byte(len(n))), n...)
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
