package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
)

// What is written is what encoding/asn1 writes.
func TestAppendDER(t *testing.T) {
	for _, size := range []int{32, 48, 66} {
		for round := range 300 {
			r, s := make([]byte, size), make([]byte, size)
			zeros := min(round%(size+1), size)
			_, _ = rand.Read(r[zeros:])
			_, _ = rand.Read(s[round%3:])
			want, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
			if err != nil {
				t.Fatal(err)
			}
			if got := appendDER([]byte("x"), r, s); !bytes.Equal(got, append([]byte("x"), want...)) {
				t.Fatalf("%x and %x give %x, want %x", r, s, got, want)
			}
		}
	}
}

// Zero, the order of the curve and what is above it are no halves of a
// signature.
func TestSignatureOutOfRange(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512"} {
		public := signer(t, alg).key.Public().(*ecdsa.PublicKey)
		size := (public.Params().BitSize + 7) / 8
		good, err := signer(t, alg).signature([]byte("text"))
		if err != nil || verifySignature(alg, public, "text", good) != nil {
			t.Fatal(err)
		}
		order := public.Params().N.FillBytes(make([]byte, size))
		for name, half := range map[string][]byte{"zero": make([]byte, size), "order": order, "ones": bytes.Repeat([]byte{0xff}, size)} {
			for _, bad := range [][]byte{append(bytes.Clone(half), good[size:]...), append(bytes.Clone(good[:size]), half...), append(bytes.Clone(half), half...)} {
				if err := verifySignature(alg, public, "text", bad); !errors.Is(err, ErrSignature) {
					t.Errorf("%s, %s: %v", alg, name, err)
				}
			}
		}
		for _, bad := range [][]byte{nil, good[1:], append(bytes.Clone(good), 0)} {
			if err := verifySignature(alg, public, "text", bad); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %d bytes: %v", alg, len(bad), err)
			}
		}
	}
}
