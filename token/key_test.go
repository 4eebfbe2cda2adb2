package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// jwkOf gives the public JWK of a signer, changed; nil leaves a member out.
func jwkOf(t testing.TB, s *Signer, change map[string]any) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(s.encode(s.key.Public()), &m); err != nil {
		t.Fatal(err)
	}
	for name, v := range change {
		if v == nil {
			delete(m, name)
		} else {
			m[name] = v
		}
	}
	return m
}

func setOf(t testing.TB, keys ...any) []byte {
	t.Helper()
	return []byte(jsonOf(t, map[string]any{"keys": keys}))
}

func smallRSA(t testing.TB) map[string]any {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), 1023) // a modulus of 1,024 bits; nothing needs to be signed
	n.Add(n, big.NewInt(12345))
	return map[string]any{"kty": "RSA", "kid": "small", "n": b64(n.Bytes()), "e": "AQAB"}
}

// Each of these keys stands in a set beside a good one, which it must neither
// harm nor join.
func TestParseKeySetSkips(t *testing.T) {
	rs, es, ed := signer(t, "RS256"), signer(t, "ES256"), signer(t, "EdDSA")
	good := jwkOf(t, signer(t, "ES384"), nil)
	var private map[string]any
	if err := json.Unmarshal(es.PrivateJWK(), &private); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  any
		text string // in the reason
	}{
		"unknown kty":               {map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, "kty"},
		"kty of other case":         {jwkOf(t, rs, map[string]any{"kty": "rsa"}), "kty"},
		"no kty":                    {map[string]any{"kid": "x"}, "kty"},
		"nothing":                   {map[string]any{}, "kty"},
		"oct":                       {map[string]any{"kty": "oct", "kid": "x", "k": b64(make([]byte, 32)), "alg": "HS256"}, "symmetric"},
		"RSA of 1,024 bits":         {smallRSA(t), "2048"},
		"RSA of 20,000 bits":        {map[string]any{"kty": "RSA", "n": b64(append([]byte{1}, make([]byte, 2500)...)), "e": "AQAB"}, "bits"},
		"RSA exponent 1":            {jwkOf(t, rs, map[string]any{"e": "AQ"}), "exponent"},
		"RSA exponent 2":            {jwkOf(t, rs, map[string]any{"e": "Ag"}), "exponent"},
		"RSA exponent 0":            {jwkOf(t, rs, map[string]any{"e": "AA"}), ""},
		"RSA exponent too large":    {jwkOf(t, rs, map[string]any{"e": b64([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1})}), ""},
		"RSA without n":             {jwkOf(t, rs, map[string]any{"n": nil}), "key"},
		"RSA n is a number":         {jwkOf(t, rs, map[string]any{"n": 5}), "key"},
		"private EC":                {private, "private"},
		"private in part":           {jwkOf(t, rs, map[string]any{"d": "AA"}), "private"},
		"use enc":                   {jwkOf(t, rs, map[string]any{"use": "enc"}), "use"},
		"use of other case":         {jwkOf(t, rs, map[string]any{"use": "SIG"}), "use"},
		"use null":                  {jwkOf(t, rs, map[string]any{"use": json.RawMessage("null")}), "use"},
		"key_ops without verify":    {jwkOf(t, rs, map[string]any{"key_ops": []string{"sign"}}), "key_ops"},
		"key_ops empty":             {jwkOf(t, rs, map[string]any{"key_ops": []string{}}), "key_ops"},
		"key_ops is a text":         {jwkOf(t, rs, map[string]any{"key_ops": "verify"}), "key_ops"},
		"alg for encryption":        {jwkOf(t, rs, map[string]any{"alg": "RSA-OAEP"}), "alg"},
		"alg HS256":                 {jwkOf(t, rs, map[string]any{"alg": "HS256"}), "alg"},
		"alg none":                  {jwkOf(t, rs, map[string]any{"alg": "none"}), "alg"},
		"alg is a number":           {jwkOf(t, rs, map[string]any{"alg": 256}), "alg"},
		"P-256 with ES384":          {jwkOf(t, es, map[string]any{"alg": "ES384"}), "alg"},
		"P-256 called P-384":        {jwkOf(t, es, map[string]any{"crv": "P-384", "alg": nil}), ""},
		"RSA with ES256":            {jwkOf(t, rs, map[string]any{"alg": "ES256"}), "alg"},
		"kid is a number":           {jwkOf(t, rs, map[string]any{"kid": 1}), "kid"},
		"secp256k1":                 {map[string]any{"kty": "EC", "crv": "secp256k1", "x": es32(), "y": es32()}, ""},
		"point not on the curve":    {jwkOf(t, es, map[string]any{"x": es32(), "y": es32()}), ""},
		"point at infinity":         {jwkOf(t, es, map[string]any{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), ""},
		"coordinate beyond":         {jwkOf(t, es, map[string]any{"x": b64(elliptic.P256().Params().P.Bytes())}), ""},
		"X25519":                    {jwkOf(t, ed, map[string]any{"crv": "X25519", "alg": nil}), ""},
		"X25519 for EdDSA":          {jwkOf(t, ed, map[string]any{"crv": "X25519"}), ""},
		"Ed448":                     {map[string]any{"kty": "OKP", "crv": "Ed448", "x": b64(make([]byte, 57))}, ""},
		"Ed25519 of another length": {jwkOf(t, ed, map[string]any{"x": b64(make([]byte, 31))}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, list := range [][]any{{c.key, good}, {good, c.key}} {
				set, err := parseKeySet(setOf(t, list...))
				if err != nil {
					t.Fatal(err)
				}
				if len(set.keys) != 1 || set.keys[0].kid != good["kid"] || len(set.skipped) != 1 || !strings.Contains(set.skipped[0].Error(), c.text) {
					t.Errorf("%d keys, skipped %v", len(set.keys), set.skipped)
				}
			}
			if _, err := parseKeySet(setOf(t, c.key)); !errors.Is(err, errNoKeys) {
				t.Errorf("alone: error %v", err)
			}
			if name == "private EC" {
				if _, err := parseKeySet(setOf(t, c.key)); !errors.Is(err, errPrivate) || strings.Contains(err.Error(), private["d"].(string)) {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

func es32() string { return b64([]byte("0123456789abcdef0123456789abcdef")) }

func TestParseKeySetKeeps(t *testing.T) {
	rs, es, ed := signer(t, "RS256"), signer(t, "ES256"), signer(t, "EdDSA")
	for name, key := range map[string]map[string]any{
		"as it is":                 jwkOf(t, rs, nil),
		"without alg, use and kid": jwkOf(t, es, map[string]any{"alg": nil, "use": nil, "kid": nil}),
		"key_ops":                  jwkOf(t, es, map[string]any{"key_ops": []string{"sign", "verify"}, "use": nil}),
		"alg Ed25519":              jwkOf(t, ed, map[string]any{"alg": "Ed25519"}),
		"a bad chain":              jwkOf(t, rs, map[string]any{"x5c": []int{1}, "x5u": "https://evil.example", "x5t": "AA", "other": map[string]any{"a": 1}}),
	} {
		set, err := parseKeySet(setOf(t, key))
		if err != nil || len(set.keys) != 1 || len(set.skipped) != 0 {
			t.Errorf("%s: %+v, error %v", name, set, err)
			continue
		}
		again, err := parseKeySet(setOf(t, set.keys[0].jwk))
		if err != nil || again.keys[0].id != set.keys[0].id {
			t.Errorf("%s: not the same after being written: error %v", name, err)
		}
	}
	set, err := parseKeySet(setOf(t, jwkOf(t, rs, nil), jwkOf(t, rs, nil), jwkOf(t, rs, map[string]any{"kid": "x"})))
	if err != nil || len(set.keys) != 2 {
		t.Errorf("the same key twice: %v, error %v", set, err)
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	good := jsonOf(t, jwkOf(t, signer(t, "ES256"), nil))
	many := make([]any, maxKeys+1)
	for i := range many {
		many[i] = map[string]any{"kty": "x"}
	}
	for name, text := range map[string]string{
		"nothing":       "",
		"text":          "not found",
		"HTML":          "<html></html>",
		"list":          "[" + good + "]",
		"object":        "{}",
		"a key alone":   good,
		"keys null":     `{"keys":null}`,
		"keys object":   `{"keys":{}}`,
		"empty":         `{"keys":[]}`,
		"key is a text": `{"keys":["a",` + good + `]}`,
		"cut short":     `{"keys":[` + good,
		"keys twice":    `{"keys":[],"keys":[` + good + `]}`,
		"n twice":       `{"keys":[` + strings.Replace(good, "{", `{"kty":"EC",`, 1) + `]}`,
		"too many":      string(setOf(t, many...)),
	} {
		if set, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%s: %v", name, set)
		}
	}
}

func TestParsePEM(t *testing.T) {
	certificate := func(key any, public any) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)} // long expired
		der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	rs, es := signer(t, "RS256"), signer(t, "ES256")
	rsa1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(rs.key.Public().(*rsa.PublicKey))})
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(p224.Public())
	if err != nil {
		t.Fatal(err)
	}
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(12345), 1023, 1), E: 65537}
	for name, c := range map[string]struct {
		text []byte
		keys int // 0: refused
	}{
		"public key":        {rs.PublicPEM(), 1},
		"RSA public key":    {rsa1, 1},
		"certificate":       {certificate(es.key, es.key.Public()), 1},
		"two":               {append(rs.PublicPEM(), es.PublicPEM()...), 2},
		"text around":       {append(append([]byte("subject=x\n"), es.PublicPEM()...), "end\n"...), 1},
		"private key":       {rs.PEM(), 0},
		"private key, too":  {append(rs.PublicPEM(), rs.PEM()...), 0},
		"P-224":             {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0},
		"broken":            {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), 0},
		"RSA of 1,024 bits": {pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(small)}), 0},
		"RSA exponent 2":    {pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: rs.key.Public().(*rsa.PublicKey).N, E: 2})}), 0},
		"no PEM":            {[]byte("x"), 0},
		"empty":             {nil, 0},
		"cut short":         {rs.PublicPEM()[:100], 0},
	} {
		set, err := parsePEM(c.text)
		if (err == nil) != (c.keys > 0) || err == nil && len(set.keys) != c.keys {
			t.Errorf("%s: %v, error %v", name, set, err)
		}
	}
}

func TestChoose(t *testing.T) {
	k := func(kid, alg, of string) *key {
		t.Helper()
		key, err := newKey(signer(t, of).key.Public(), kid, alg)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	var (
		r1, r2   = k("r1", "RS256", "RS256"), k("r2", "", "PS256")
		e1       = k("e1", "", "ES256")
		n1, n2   = k("", "", "ES256"), k("", "", "ES384")
		n3       = k("", "", "RS256")
		twice    = k("r1", "", "PS256")
		otherAlg = k("r1", "PS256", "RS256")
	)
	for name, c := range map[string]struct {
		keys     []*key
		alg, kid string // kid "-": none
		want     []*key
		again    bool
		fault    *Fault
	}{
		"by kid":                        {keys: []*key{r1, r2, e1}, alg: "RS256", kid: "r1", want: []*key{r1}},
		"unknown kid":                   {keys: []*key{r1, r2, e1}, alg: "RS256", kid: "r3", again: true, fault: ErrKeyUnknown},
		"kid of another type":           {keys: []*key{r1, r2, e1}, alg: "ES256", kid: "r1", fault: ErrAlgorithm},
		"kid of another alg":            {keys: []*key{r1, r2, e1}, alg: "PS256", kid: "r1", fault: ErrAlgorithm},
		"kid of another curve":          {keys: []*key{e1}, alg: "ES384", kid: "e1", fault: ErrAlgorithm},
		"HS256 by kid":                  {keys: []*key{r1}, alg: "HS256", kid: "r1", fault: ErrAlgorithm},
		"kid twice":                     {keys: []*key{r1, twice}, alg: "RS256", kid: "r1", want: []*key{r1, twice}},
		"kid twice, one fits":           {keys: []*key{r1, otherAlg}, alg: "PS256", kid: "r1", want: []*key{otherAlg}},
		"no kid, one fits":              {keys: []*key{r1, e1}, alg: "ES256", kid: "-", want: []*key{e1}},
		"no kid, two fit":               {keys: []*key{r1, r2}, alg: "RS256", kid: "-", fault: ErrKeyUnknown},
		"no kid, alg decides":           {keys: []*key{r1, r2}, alg: "RS512", kid: "-", want: []*key{r2}},
		"no kid, none fits":             {keys: []*key{r1, r2}, alg: "ES256", kid: "-", again: true, fault: ErrKeyUnknown},
		"kid, but keys have none":       {keys: []*key{n1, n2}, alg: "ES384", kid: "x", want: []*key{n2}},
		"kid, some keys have none":      {keys: []*key{r1, n3}, alg: "RS256", kid: "x", want: []*key{n3}},
		"empty kid":                     {keys: []*key{r1, n1}, alg: "ES256", kid: "", want: []*key{n1}},
		"empty kid is not any kid":      {keys: []*key{r1, e1}, alg: "ES256", kid: "", again: true, fault: ErrKeyUnknown},
		"kid, two keys without one fit": {keys: []*key{n1, k("", "ES256", "ES256")}, alg: "ES256", kid: "x", fault: ErrKeyUnknown},
		"empty set":                     {alg: "ES256", kid: "x", again: true, fault: ErrKeyUnknown},
	} {
		got, again, err := newKeys(c.keys).choose(&header{alg: c.alg, kid: strings.TrimPrefix(c.kid, "-"), hasKid: c.kid != "-"})
		if c.fault == nil && err != nil || c.fault != nil && !errors.Is(err, c.fault) || fmt.Sprint(got) != fmt.Sprint(c.want) || again != c.again {
			t.Errorf("%s: %v, again %v, error %v", name, got, again, err)
		}
	}
}
