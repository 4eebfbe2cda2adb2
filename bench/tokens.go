package main

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// What every token says, and every verifying competitor checks.
const (
	issuer   = "https://issuer.bench.test"
	audience = "bench"
)

// How long tokens are valid, and how old a stored one may be to be used
// again: signing the tokens of a whole comparison takes half a minute.
const (
	tokenLife = 30 * 24 * time.Hour
	tokenKept = 20 * 24 * time.Hour
)

// signer makes tokens of one algorithm.
type signer struct {
	alg     string
	key     crypto.Signer
	keyFile string // the public key in PEM
	tokens  string // file of tokens made before, one a line
}

// newSigner reads the algorithm's key from dir, or makes one.
func newSigner(dir, alg string) (*signer, error) {
	s := &signer{
		alg:     alg,
		keyFile: filepath.Join(dir, "public-"+alg+".pem"),
		tokens:  filepath.Join(dir, "tokens-"+alg+".txt"),
	}
	private := filepath.Join(dir, "private-"+alg+".pem")
	text, err := os.ReadFile(private)
	if err == nil {
		return s, s.parse(text)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if s.key, err = newKey(alg); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		return nil, err
	}
	os.Remove(s.tokens) // of another key
	return s, errors.Join(
		os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(s.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644))
}

func newKey(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no keys for %q", alg)
}

func (s *signer) parse(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("the private key for %s is not PEM: remove it", s.alg)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("can't read the private key for %s: %w", s.alg, err)
	}
	var ok bool
	if s.key, ok = key.(crypto.Signer); !ok {
		return fmt.Errorf("the key for %s can't sign", s.alg)
	}
	return nil
}

// jwk gives the public key as a JWK (RFC 7517).
func (s *signer) jwk() map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	k := map[string]string{"kid": s.alg, "alg": s.alg, "use": "sig"}
	switch p := s.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, X, Y
		if err != nil {
			panic(err) // a key that was just made or read is on its curve
		}
		k["kty"], k["crv"], k["x"], k["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", b64(p.N.Bytes()), "AQAB"
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", b64(p)
	}
	return k
}

// keySet is a JWK Set with the keys of all signers.
func keySet(signers ...*signer) []byte {
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	for _, s := range signers {
		set.Keys = append(set.Keys, s.jwk())
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return text
}

// user is the subject of the i-th token, and the last segment of the path
// that it may read.
func user(i int) string { return fmt.Sprintf("user_%06d", i) }

// mint makes the i-th token.
func (s *signer) mint(i int, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "aud": audience, "sub": user(i),
		"azp": "https://app.bench.test", "sid": fmt.Sprintf("sess_%08d", i), "jti": fmt.Sprintf("%s-%08d", s.alg, i),
		"org_id": "org_1", "org_role": "member",
		"iat": now.Unix(), "nbf": now.Unix() - 1, "exp": now.Add(tokenLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(`{"alg":"`+s.alg+`","kid":"`+s.alg+`","typ":"JWT"}`)) + "." + b64(claims)
	signature, err := s.sign([]byte(signed))
	if err != nil {
		return "", err
	}
	return signed + "." + b64(signature), nil
}

func (s *signer) sign(text []byte) ([]byte, error) {
	digest := sha256.Sum256(text)
	switch k := s.key.(type) {
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return nil, err
		}
		var out [64]byte // RFC 7518 section 3.4
		r.FillBytes(out[:32])
		v.FillBytes(out[32:])
		return out[:], nil
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	case ed25519.PrivateKey:
		return ed25519.Sign(k, text), nil
	}
	return nil, fmt.Errorf("can't sign with %T", s.key)
}

// pool gives the first n tokens: those of an earlier run as far as they are
// fresh, the rest signed now, on all cores, and stored.
func (s *signer) pool(n int) ([]string, error) {
	have, err := s.stored()
	if err != nil {
		return nil, err
	}
	if len(have) >= n {
		return have[:n], nil
	}
	began := time.Now()
	list := make([]string, n)
	copy(list, have)
	var (
		wg     sync.WaitGroup
		faults = make([]error, runtime.NumCPU())
	)
	for w := range faults {
		wg.Go(func() {
			for i := len(have) + w; i < n; i += len(faults) {
				if list[i], faults[w] = s.mint(i, began); faults[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("can't sign tokens with %s: %w", s.alg, err)
	}
	note("signed %d tokens with %s in %.1f s", n-len(have), s.alg, time.Since(began).Seconds())
	return list, s.store(list[len(have):])
}

func (s *signer) stored() ([]string, error) {
	f, err := os.Open(s.tokens)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The first line says when the first token was made; the rest follow.
	lines := bufio.NewScanner(f)
	if !lines.Scan() {
		return nil, os.Remove(s.tokens)
	}
	made, err := time.Parse(time.RFC3339, lines.Text())
	if err != nil || time.Since(made) > tokenKept {
		return nil, os.Remove(s.tokens)
	}
	var list []string
	for lines.Scan() {
		list = append(list, lines.Text())
	}
	return list, lines.Err()
}

func (s *signer) store(tokens []string) error {
	f, err := os.OpenFile(s.tokens, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		fmt.Fprintln(w, time.Now().Format(time.RFC3339))
	}
	for _, t := range tokens {
		fmt.Fprintln(w, t)
	}
	return errors.Join(w.Flush(), f.Close())
}
