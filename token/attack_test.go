package token

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"hopgate/config"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// raw gives a token of the texts of its parts, the signature given.
func raw(header, payload string, signature []byte) string {
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64(signature)
}

func signRaw(t testing.TB, s *Signer, header, payload string) string {
	t.Helper()
	tok, err := s.SignRaw([]byte(header), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// hs256 signs with an HMAC.
func hs256(header, payload string, secret []byte) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(input))
	return input + "." + b64(h.Sum(nil))
}

// attack is a token that must be refused with this fault.
type attack struct {
	name  string
	tok   string
	fault *Fault
}

// Known attacks on verifiers of JWS and JWT. The verifier accepts every
// asymmetric algorithm, and its key set holds the attacked keys.
func TestAttacks(t *testing.T) {
	var (
		rs, ps, es, ed = signer(t, "RS256"), signer(t, "PS256"), signer(t, "ES256"), signer(t, "EdDSA")
		i              = withKeys(plainIssuer, rs, ps, es, ed, signer(t, "ES384"))
		claims         = jsonOf(t, goodClaims(nil))
		header         = func(members string) string {
			return fmt.Sprintf(`{"alg":"ES256","kid":%q%s}`, es.KeyID(), members)
		}
		good      = sign(t, es, nil, goodClaims(nil))
		parts     = strings.Split(good, ".")
		attacker  = mustSigner(t, "ES256")
		attackerR = mustSigner(t, "RS256")
		own       = jsonOf(t, json.RawMessage(attacker.encode(attacker.key.Public())))
		withClaim = func(name, value string) string {
			return strings.TrimSuffix(claims, "}") + fmt.Sprintf(`,%q:%s}`, name, value)
		}
		withExp = func(value string) string {
			return strings.Replace(claims, fmt.Sprintf(`"exp":%d`, testTime.Unix()+60), `"exp":`+value, 1)
		}
	)
	var attacks []attack
	add := func(name, tok string, fault *Fault) { attacks = append(attacks, attack{name, tok, fault}) }

	// No signature.
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", " none", "", "null", "HS256\u0000", "nöne"} {
		h := jsonOf(t, map[string]string{"alg": alg})
		add("alg "+alg+" without signature", raw(h, claims, nil), ErrAlgorithm)
		add("alg "+alg+" with a signature", raw(h, claims, []byte("x")), ErrAlgorithm)
		add("alg "+alg+" under a good signature", signRaw(t, es, h, claims), ErrAlgorithm)
	}
	add("alg escaped", signRaw(t, es, `{"alg":"\u006eone"}`, claims), ErrAlgorithm)
	add("alg is null", signRaw(t, es, `{"alg":null}`, claims), ErrMalformed)
	add("alg is a list", signRaw(t, es, `{"alg":["ES256"]}`, claims), ErrMalformed)
	add("alg is missing", signRaw(t, es, `{}`, claims), ErrMalformed)
	add("signature stripped", parts[0]+"."+parts[1]+".", ErrSignature)
	add("signature and point stripped", parts[0]+"."+parts[1], ErrMalformed)
	add("signature of another token", parts[0]+"."+parts[1]+"."+strings.Split(sign(t, es, nil, goodClaims(map[string]any{"sub": "bob"})), ".")[2], ErrSignature)
	add("payload exchanged", parts[0]+"."+b64([]byte(strings.Replace(claims, "alice", "admin", 1)))+"."+parts[2], ErrSignature)

	// A public key as the secret of an HMAC.
	for name, secret := range map[string][]byte{
		"PEM": rs.PublicPEM(), "PEM without its last line break": bytes.TrimSpace(rs.PublicPEM()), "JWK Set": rs.PublicJWKS(), "nothing": {},
		"DER": mustDER(t, rs), "modulus": rs.key.Public().(*rsa.PublicKey).N.Bytes(),
	} {
		for _, kid := range []string{"", fmt.Sprintf(`,"kid":%q`, rs.KeyID())} {
			add("HS256 with the public key as "+name+kid, hs256(`{"alg":"HS256"`+kid+`}`, claims, secret), ErrAlgorithm)
			add("RS256 in the header, HMAC with the public key as "+name+kid, hs256(fmt.Sprintf(`{"alg":"RS256","kid":%q}`, rs.KeyID()), claims, secret), ErrSignature)
		}
	}

	// Keys that come along.
	for name, members := range map[string]string{
		"jwk":                     `,"jwk":` + own,
		"jwk and jku":             `,"jwk":` + own + `,"jku":"https://evil.example/jwks.json"`,
		"jku":                     `,"jku":"https://evil.example/jwks.json"`,
		"jku below the issuer":    `,"jku":"https://issuer.example.com/redirect?to=https://evil.example"`,
		"jku of a file":           `,"jku":"file:///etc/passwd"`,
		"x5u":                     `,"x5u":"https://evil.example/cert.pem"`,
		"x5c":                     `,"x5c":["MIIB"]`,
		"x5t":                     `,"x5t":"AAAA","x5t#S256":"AAAA"`,
		"nothing, but a true kid": ``,
	} {
		add("attacker's key with "+name, signRaw(t, attacker, header(members), claims), ErrSignature)
		add("attacker's kid with "+name, signRaw(t, attacker, fmt.Sprintf(`{"alg":"ES256","kid":%q%s}`, attacker.KeyID(), members), claims), ErrKeyUnknown)
	}
	for n, kid := range []string{
		"../../../../dev/null", "/dev/null", "/proc/self/environ", `' OR '1'='1`, `x' UNION SELECT 'AAAA';--`, "; sleep 10", "$(id)", "http://evil.example/jwks.json",
		"%00", "\u0000", es.KeyID() + "\u0000", es.KeyID() + "/../x", strings.ToUpper(es.KeyID()), " " + es.KeyID(), strings.Repeat("a", 4000),
	} {
		add(fmt.Sprintf("kid %d %.40s", n, kid), signRaw(t, attacker, jsonOf(t, map[string]any{"alg": "ES256", "kid": kid}), claims), ErrKeyUnknown)
		add(fmt.Sprintf("kid under a good signature %d %.40s", n, kid), signRaw(t, es, jsonOf(t, map[string]any{"alg": "ES256", "kid": kid}), claims), ErrKeyUnknown)
	}
	add("kid is a number", signRaw(t, es, `{"alg":"ES256","kid":1}`, claims), ErrMalformed)
	add("kid is null", signRaw(t, es, `{"alg":"ES256","kid":null}`, claims), ErrMalformed)
	add("kid is a list", signRaw(t, es, fmt.Sprintf(`{"alg":"ES256","kid":[%q]}`, es.KeyID()), claims), ErrMalformed)
	add("no kid, two keys fit", signRaw(t, rs, `{"alg":"RS512"}`, claims), ErrKeyUnknown)

	// Extensions.
	add("crit", signRaw(t, es, header(`,"crit":["exp"],"exp":1`), claims), ErrMalformed)
	add("crit of b64", signRaw(t, es, header(`,"crit":["b64"],"b64":true`), claims), ErrMalformed)
	add("crit empty", signRaw(t, es, header(`,"crit":[]`), claims), ErrMalformed)
	add("crit null", signRaw(t, es, header(`,"crit":null`), claims), ErrMalformed)
	add("b64 false", signRaw(t, es, header(`,"b64":false`), claims), ErrMalformed)
	add("b64 true", signRaw(t, es, header(`,"b64":true`), claims), ErrMalformed)
	add("typ of a DPoP proof", signRaw(t, es, header(`,"typ":"dpop+jwt"`), claims), ErrType)
	add("typ of a logout token", signRaw(t, es, header(`,"typ":"logout+jwt"`), claims), ErrType)
	add("typ is a list", signRaw(t, es, header(`,"typ":["JWT"]`), claims), ErrType)

	// Two meanings.
	add("alg twice", signRaw(t, es, `{"alg":"none","alg":"ES256"}`, claims), ErrMalformed)
	add("alg twice, the other way round", signRaw(t, es, `{"alg":"ES256","alg":"none"}`, claims), ErrMalformed)
	add("kid twice", signRaw(t, es, header(`,"kid":"x"`), claims), ErrMalformed)
	add("alg twice by escape", signRaw(t, es, header(`,"\u0061lg":"none"`), claims), ErrMalformed)
	add("sub twice", signRaw(t, es, header(""), withClaim("sub", `"admin"`)), ErrMalformed)
	add("iss twice", signRaw(t, es, header(""), withClaim("iss", `"https://evil.example"`)), ErrMalformed)
	add("name twice below", signRaw(t, es, header(""), withClaim("act", `{"sub":"a","sub":"b"}`)), ErrMalformed)
	add("something behind the payload", signRaw(t, es, header(""), claims+`{"sub":"admin"}`), ErrMalformed)
	add("something behind the header", signRaw(t, es, header("")+"{}", claims), ErrMalformed)
	add("payload is a list", signRaw(t, es, header(""), "["+claims+"]"), ErrMalformed)
	add("payload is a text", signRaw(t, es, header(""), `"x"`), ErrMalformed)
	add("payload is empty", signRaw(t, es, header(""), ""), ErrMalformed)
	add("payload is not UTF-8", signRaw(t, es, header(""), withClaim("x", "\"\xff\"")), ErrMalformed)
	add("nested token", signRaw(t, es, header(`,"cty":"JWT"`), good), ErrMalformed)

	// Spellings.
	for n, part := range []string{"header", "payload", "signature"} {
		changed := func(change func(string) string) string {
			p := strings.Split(good, ".")
			p[n] = change(p[n])
			return strings.Join(p, ".")
		}
		add("padding in "+part, changed(func(s string) string { return s + strings.Repeat("=", (4-len(s)%4)%4+1) }), ErrMalformed)
		add("space before "+part, changed(func(s string) string { return " " + s }), ErrMalformed)
		add("line break behind "+part, changed(func(s string) string { return s + "\n" }), ErrMalformed)
		add("carriage return in "+part, changed(func(s string) string { return s[:4] + "\r\n" + s[4:] }), ErrMalformed)
		add("NUL behind "+part, changed(func(s string) string { return s + "\x00" }), ErrMalformed)
		add("point before "+part, changed(func(s string) string { return "." + s }), ErrMalformed)
		add("letter more in "+part, changed(func(s string) string { return s + strings.Repeat("A", 5-len(s)%4) }), ErrMalformed)
		add("percent-encoding in "+part, changed(func(s string) string { return "%" + fmt.Sprintf("%02X", s[0]) + s[1:] }), ErrMalformed)
	}
	add("padding that fits", paddedToken(t, es), ErrMalformed)
	add("loose bits in the signature", parts[0]+"."+parts[1]+"."+loose(t, parts[2]), ErrMalformed)
	add("loose bits in the header", looseHeader(t, es, claims), ErrMalformed)
	add("standard alphabet in the signature", standardAlphabet(t, es), ErrMalformed)
	add("JSON serialization", fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]), ErrMalformed)
	add("general JSON serialization", fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2]), ErrMalformed)
	add("JSON serialization with claims outside", fmt.Sprintf(`{"sub":"admin","payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]), ErrMalformed)
	add("five parts", good+".x.y", ErrMalformed)
	add("JWE", strings.Join([]string{b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM"}`)), "AA", "AA", "AA", "AA"}, "."), ErrMalformed)
	add("four parts", good+".x", ErrMalformed)
	add("point behind", good+".", ErrMalformed)
	add("one part", parts[0], ErrMalformed)
	add("only points", "..", ErrMalformed)
	add("nothing", "", ErrMissing)
	add("scheme in front", "Bearer "+good, ErrMalformed)
	add("quotes", `"`+good+`"`, ErrMalformed)
	add("100 KB of header", signRaw(t, es, header(`,"x":"`+strings.Repeat("x", 100<<10)+`"`), claims), ErrMalformed)
	add("100 KB of points", strings.Repeat(".", 100<<10), ErrMalformed)
	add("deep header", signRaw(t, es, header(`,"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)), claims), ErrMalformed)

	// Times.
	for value, fault := range map[string]*Fault{
		`"1769860860"`: ErrMalformed, `"never"`: ErrMalformed, `null`: ErrMalformed, `true`: ErrMalformed, `[1]`: ErrMalformed, `{}`: ErrMalformed,
		`-1`: ErrMalformed, `-1e300`: ErrMalformed, `1e300`: ErrMalformed, `9223372036854775807`: ErrMalformed, `18446744073709551616`: ErrMalformed,
		`99999999999999999999999999`: ErrMalformed, `253402300800`: ErrMalformed, `1e999`: ErrMalformed, `NaN`: ErrMalformed, `Infinity`: ErrMalformed, `0x7fffffff`: ErrMalformed,
		`0`: ErrExpired, `-0`: ErrExpired, `0.5`: ErrExpired, fmt.Sprint(testTime.Unix() - 5): ErrExpired, fmt.Sprintf("%d.999", testTime.Unix()-6): ErrExpired,
		fmt.Sprintf("%d000", testTime.Unix()+60): ErrMalformed, // milliseconds
	} {
		add("exp "+value, signRaw(t, es, header(""), withExp(value)), fault)
	}
	add("no exp", sign(t, es, nil, goodClaims(map[string]any{"exp": nil})), ErrClaimMissing)
	add("nbf ahead", sign(t, es, nil, goodClaims(map[string]any{"nbf": testTime.Unix() + 6})), ErrNotYetValid)
	add("nbf far ahead", sign(t, es, nil, goodClaims(map[string]any{"nbf": int64(lastDate)})), ErrNotYetValid)
	add("nbf is a text", sign(t, es, nil, goodClaims(map[string]any{"nbf": "0"})), ErrMalformed)
	add("iat ahead", sign(t, es, nil, goodClaims(map[string]any{"iat": testTime.Unix() + 6})), ErrNotYetValid)
	add("iat negative", sign(t, es, nil, goodClaims(map[string]any{"iat": -1})), ErrMalformed)

	// Whose it is.
	for name, iss := range map[string]any{
		"slash behind": plainIssuer.Issuer + "/", "other case": strings.ToUpper(plainIssuer.Issuer), "empty": "", "null": json.RawMessage("null"), "list": []string{plainIssuer.Issuer},
		"another": "https://evil.example", "prefix": plainIssuer.Issuer + ".evil.example", "NUL": plainIssuer.Issuer + "\x00", "the name": "main",
	} {
		add("iss "+name, sign(t, es, nil, goodClaims(map[string]any{"iss": iss})), ErrIssuer)
	}
	add("no iss", sign(t, es, nil, goodClaims(map[string]any{"iss": nil})), ErrIssuer)
	add("iss in the header alone", sign(t, es, map[string]any{"iss": plainIssuer.Issuer}, goodClaims(map[string]any{"iss": nil})), ErrIssuer)

	// Signatures.
	order := elliptic.P256().Params().N
	r, s := signatureOf(t, parts[2])
	for name, rs := range map[string][2]*big.Int{
		"zero": {new(big.Int), new(big.Int)}, "r zero": {new(big.Int), s}, "s zero": {r, new(big.Int)}, "r is the order": {order, s}, "s is the order": {r, order},
		"both are the order": {order, order}, "one": {big.NewInt(1), big.NewInt(1)}, "exchanged": {s, r},
	} {
		var sig [64]byte
		rs[0].FillBytes(sig[:32])
		rs[1].FillBytes(sig[32:])
		add("ECDSA "+name, parts[0]+"."+parts[1]+"."+b64(sig[:]), ErrSignature)
	}
	sig, _ := canonical.DecodeString(parts[2])
	add("ECDSA a byte less", parts[0]+"."+parts[1]+"."+b64(sig[:63]), ErrSignature)
	add("ECDSA a byte more", parts[0]+"."+parts[1]+"."+b64(append([]byte{0}, sig...)), ErrSignature)
	add("ECDSA zeros behind", parts[0]+"."+parts[1]+"."+b64(append(sig[:64:64], 0, 0)), ErrSignature)
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	asn1, err := ecdsa.SignASN1(rand.Reader, es.key.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	add("ECDSA in ASN.1", parts[0]+"."+parts[1]+"."+b64(asn1), ErrSignature)
	add("ES384 with the P-256 key", signRaw(t, es, fmt.Sprintf(`{"alg":"ES384","kid":%q}`, es.KeyID()), claims), ErrAlgorithm)
	add("ES256 with the P-384 key", signRaw(t, signer(t, "ES384"), fmt.Sprintf(`{"alg":"ES256","kid":%q}`, signer(t, "ES384").KeyID()), claims), ErrAlgorithm)
	add("RS256 with the EC key's kid", signRaw(t, attackerR, fmt.Sprintf(`{"alg":"RS256","kid":%q}`, es.KeyID()), claims), ErrAlgorithm)
	add("EdDSA with the EC key's kid", signRaw(t, ed, fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, es.KeyID()), claims), ErrAlgorithm)
	add("PS256 with the key of RS256", signRaw(t, rs, fmt.Sprintf(`{"alg":"PS256","kid":%q}`, rs.KeyID()), claims), ErrAlgorithm)
	add("RS256 signature as PS256", pkcs1Token(t, ps, claims), ErrSignature)
	for name, salt := range map[string]int{"nothing": 0, "20": 20, "31": 31, "33": 33, "as long as can be": rsa.PSSSaltLengthAuto} {
		add("PSS with a salt of "+name, pssToken(t, ps, claims, salt), ErrSignature)
	}
	add("Ed25519 a byte more", sign(t, ed, nil, goodClaims(nil))+"AA", ErrSignature)
	add("Ed25519 zeros", zeroSignature(t, ed, claims, 64), ErrSignature)
	add("RSA zeros", zeroSignature(t, rs, claims, 256), ErrSignature)
	add("RSA a zero in front", zeroSignature(t, rs, claims, 257), ErrSignature)

	v, set := one(t, i)
	tried := map[string]bool{}
	for _, a := range attacks {
		if tried[a.name] {
			t.Fatalf("%s is there twice", a.name)
		}
		tried[a.name] = true
		for round := range 2 { // nothing of the first may have been kept
			p, known, err := v.Verify(context.Background(), set, a.tok)
			if !errors.Is(err, a.fault) || p != nil || known {
				t.Errorf("%s, round %d: principal %v, known %v, error %v; want %v", a.name, round, p, known, err, a.fault)
			}
			var f *Fault
			if !errors.As(err, &f) || f != a.fault {
				t.Errorf("%s: fault %v", a.name, f)
			}
		}
		_, checks, err := v.Explain(context.Background(), set, a.tok)
		for _, text := range append([]string{fmt.Sprint(err)}, details(checks)...) {
			for _, part := range strings.Split(a.tok, ".") {
				if len(part) > 12 && strings.Contains(text, part) || strings.Contains(text, "alice") || strings.Contains(text, "evil") {
					t.Errorf("%s: %q holds a part of the token", a.name, text)
				}
			}
		}
	}
	if got := entries(v.known); got != 0 {
		t.Errorf("%d attacks are in the verified-token cache", got)
	}
	// The attacked token itself is good, so the attacks are what was refused.
	for _, tok := range []string{good, sign(t, rs, nil, goodClaims(nil)), sign(t, ps, nil, goodClaims(nil)), sign(t, ed, nil, goodClaims(nil)),
		signRaw(t, es, header(`,"jwk":`+own+`,"jku":"https://evil.example","x5u":"https://evil.example","x5c":["MIIB"],"cty":"x","extra":{"a":1}`), claims),
		signRaw(t, es, `{"alg":"ES256"}`, claims),
		signRaw(t, es, header(""), withExp(fmt.Sprintf("%d.5", testTime.Unix()-5))), signRaw(t, es, header(""), withExp("1.77e9")), signRaw(t, es, header(""), withExp(fmt.Sprint(int64(lastDate)))),
		sign(t, es, nil, goodClaims(map[string]any{"nbf": testTime.Unix() + 5, "iat": testTime.Unix() + 5})),
		sign(t, es, nil, goodClaims(map[string]any{"iat": nil})),
		sign(t, es, map[string]any{"typ": "at+JWT"}, goodClaims(nil)), sign(t, es, map[string]any{"typ": "Application/AT+jwt"}, goodClaims(nil)), sign(t, es, map[string]any{"typ": nil}, goodClaims(nil)),
	} {
		if p, _, err := v.Verify(context.Background(), set, tok); err != nil || p.UserID != "alice" {
			t.Errorf("good token: %v", err)
		}
	}
}

func details(checks []Check) []string {
	var list []string
	for _, c := range checks {
		list = append(list, c.Detail)
	}
	return list
}

func entries(n *known) int {
	total := 0
	for i := range n.shards {
		n.shards[i].mu.Lock()
		total += n.shards[i].live
		n.shards[i].mu.Unlock()
	}
	return total
}

func mustSigner(t testing.TB, alg string) *Signer {
	t.Helper()
	s, err := NewSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustDER(t testing.TB, s *Signer) []byte {
	t.Helper()
	set, err := parsePEM(s.PublicPEM())
	if err != nil {
		t.Fatal(err)
	}
	k := set.keys[0].public.(*rsa.PublicKey)
	return append(k.N.Bytes(), 1, 0, 1)
}

// paddedToken gives a good token whose signature has the padding that
// standard base64 would give it.
func paddedToken(t testing.TB, s *Signer) string {
	tok := sign(t, s, nil, goodClaims(nil))
	return tok + "==" // a signature of 64 bytes has 86 letters
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// loose sets a bit of the last letter that stands for nothing.
func loose(t testing.TB, part string) string {
	t.Helper()
	if len(part)%4 == 0 {
		t.Fatal("the part has no loose bits")
	}
	last := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + string(alphabet[last|1])
}

func looseHeader(t testing.TB, s *Signer, claims string) string {
	t.Helper()
	h := fmt.Sprintf(`{"alg":"ES256","kid":%q}`, s.KeyID())
	for len(h)%3 == 0 {
		h += " "
	}
	p := strings.Split(signRaw(t, s, h, claims), ".")
	p[0] = loose(t, p[0])
	return strings.Join(p, ".")
}

// standardAlphabet gives a token whose signature has a + or / in place of -
// or _.
func standardAlphabet(t testing.TB, s *Signer) string {
	for range 1000 {
		tok := sign(t, s, nil, goodClaims(nil))
		i := strings.LastIndexByte(tok, '.')
		if changed := strings.NewReplacer("-", "+", "_", "/").Replace(tok[i:]); changed != tok[i:] {
			return tok[:i] + changed
		}
	}
	t.Fatal("no signature has - or _")
	return ""
}

func signatureOf(t testing.TB, part string) (r, s *big.Int) {
	t.Helper()
	b, err := canonical.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(b[:32]), new(big.Int).SetBytes(b[32:])
}

// pkcs1Token gives a token that says PS256 with a PKCS #1 signature of the same
// key.
func pkcs1Token(t testing.TB, ps *Signer, claims string) string {
	t.Helper()
	input := b64([]byte(fmt.Sprintf(`{"alg":"PS256","kid":%q}`, ps.KeyID()))) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, ps.key.(*rsa.PrivateKey), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(sig)
}

func pssToken(t testing.TB, ps *Signer, claims string, salt int) string {
	t.Helper()
	input := b64([]byte(fmt.Sprintf(`{"alg":"PS256","kid":%q}`, ps.KeyID()))) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(input))
	var sig []byte
	for len(sig) == 0 {
		var err error
		if sig, err = rsa.SignPSS(rand.Reader, ps.key.(*rsa.PrivateKey), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt}); err != nil {
			t.Fatal(err)
		}
	}
	return input + "." + b64(sig)
}

func zeroSignature(t testing.TB, s *Signer, claims string, n int) string {
	t.Helper()
	return raw(fmt.Sprintf(`{"alg":%q,"kid":%q}`, s.Algorithm(), s.KeyID()), claims, make([]byte, n))
}

// A secret and a key set side by side do not vouch for each other's tokens.
func TestSecretAndKeys(t *testing.T) {
	rs := signer(t, "RS256")
	secret := strings.Repeat("s", 32)
	i := withKeys(plainIssuer, rs)
	i.Secret = config.NewSecret(secret)
	v, set := one(t, i)
	claims := jsonOf(t, goodClaims(nil))
	for name, c := range map[string]struct {
		tok   string
		fault *Fault
	}{
		"secret":             {hs256(`{"alg":"HS256"}`, claims, []byte(secret)), nil},
		"secret, any kid":    {hs256(`{"alg":"HS256","kid":"x"}`, claims, []byte(secret)), nil},
		"key":                {sign(t, rs, nil, goodClaims(nil)), nil},
		"public key as PEM":  {hs256(fmt.Sprintf(`{"alg":"HS256","kid":%q}`, rs.KeyID()), claims, rs.PublicPEM()), ErrSignature},
		"public key as JWKS": {hs256(fmt.Sprintf(`{"alg":"HS256","kid":%q}`, rs.KeyID()), claims, rs.PublicJWKS()), ErrSignature},
		"empty secret":       {hs256(`{"alg":"HS256"}`, claims, nil), ErrSignature},
		"part of the secret": {hs256(`{"alg":"HS256"}`, claims, []byte(secret[:31])), ErrSignature},
		"HS256 as HS512":     {hs256(`{"alg":"HS512"}`, claims, []byte(secret)), ErrSignature},
		"HMAC as RS256":      {hs256(fmt.Sprintf(`{"alg":"RS256","kid":%q}`, rs.KeyID()), claims, []byte(secret)), ErrSignature},
		"MAC cut short":      {hs256(`{"alg":"HS256"}`, claims, []byte(secret))[:120], ErrMalformed},
		"MAC stripped":       {raw(`{"alg":"HS256"}`, claims, nil), ErrSignature},
	} {
		p, _, err := v.Verify(context.Background(), set, c.tok)
		if c.fault == nil && (err != nil || p.UserID != "alice") || c.fault != nil && !errors.Is(err, c.fault) {
			t.Errorf("%s: error %v, want %v", name, err, c.fault)
		}
	}
}
