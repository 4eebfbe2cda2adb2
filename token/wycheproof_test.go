package token

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
)

// stricter lists the vectors that the file calls valid and that are refused
// all the same.
var stricter = map[int]struct {
	fault *Fault
	why   string
}{
	346: {ErrAlgorithm, "the token is PS384, the key's alg says PS256"},
	347: {ErrKeyUnknown, "the key's alg is ES521, which does not exist"},
	350: {ErrAlgorithm, "the token is PS384, the key's alg says PS256"},
	351: {ErrKeyUnknown, "the key's alg is ES521, which does not exist"},
	372: {ErrMalformed, "a character that is not base64url is in the header"},
	373: {ErrMalformed, "a character that is not base64url is in the payload"},
}

// sameAs lists the vectors that the file calls invalid although they are, byte
// for byte, another one that it calls valid: what was to be wrong with them
// has been lost.
var sameAs = map[int]int{367: 357, 370: 357}

// The vectors' payloads are no claims, so that they go through all that is
// about the JWS itself: form, header, choice of the key, signature. Outcomes
// are accepted and these faults; any other fails the test.
func TestWycheproof(t *testing.T) {
	text, err := os.ReadFile("testdata/wycheproof/json_web_signature_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			Comment         string
			Type            string
			Private, Public map[string]any
			Tests           []struct {
				TcID    int
				Comment string
				JWS     json.RawMessage
				Result  string
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	n, accepted := 0, 0
	valid := map[int]string{}
	for _, g := range file.TestGroups {
		if g.Type != "JsonWebSignature" {
			t.Errorf("group %s is of unknown type %q", g.Comment, g.Type)
		}
		check := wycheproofVerifier(t, g.Public, g.Private)
		for _, c := range g.Tests {
			n++
			var tok string
			if json.Unmarshal(c.JWS, &tok) != nil {
				tok = string(c.JWS) // the JSON serialization, as an object
			}
			err := check(tok)
			if strict, ok := stricter[c.TcID]; ok {
				if c.Result != "valid" || !errors.Is(err, strict.fault) {
					t.Errorf("%d (%s, %s): error %v; want %v, since %s", c.TcID, g.Comment, c.Comment, err, strict.fault, strict.why)
				}
				continue
			}
			if other, ok := sameAs[c.TcID]; ok {
				if c.Result != "invalid" || valid[other] != tok || err != nil {
					t.Errorf("%d is not %d: error %v", c.TcID, other, err)
				}
				continue
			}
			switch c.Result {
			case "valid":
				accepted++
				valid[c.TcID] = tok
				if err != nil {
					t.Errorf("%d (%s, %s) is valid: error %v", c.TcID, g.Comment, c.Comment, err)
				}
			case "invalid":
				if err == nil {
					t.Errorf("%d (%s, %s) is invalid and was accepted", c.TcID, g.Comment, c.Comment)
				} else if !slices.ContainsFunc([]*Fault{ErrMalformed, ErrAlgorithm, ErrKeyUnknown, ErrSignature}, func(f *Fault) bool { return errors.Is(err, f) }) {
					t.Errorf("%d (%s, %s): unexpected error %v", c.TcID, g.Comment, c.Comment, err)
				}
			default:
				t.Errorf("%d has unknown result %q", c.TcID, c.Result)
			}
		}
	}
	if n != file.NumberOfTests || n != 401 || accepted != 46-len(stricter) {
		t.Errorf("%d vectors, of which %d should be accepted", n, accepted)
	}
}

// wycheproofVerifier gives the checks of a group's key up to the signature.
func wycheproofVerifier(t *testing.T, public, private map[string]any) func(tok string) error {
	t.Helper()
	if public == nil { // an HMAC key
		secret, err := canonical.DecodeString(private["k"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return func(tok string) error {
			c, err := parseCompact(tok, nil)
			if err != nil {
				return err
			}
			if c.alg != private["alg"] {
				return ErrAlgorithm
			}
			return verifyMAC(c.alg, secret, c.signed, c.signature)
		}
	}
	var list []*key
	text, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		t.Fatal(err)
	}
	if set, err := parseKeySet(text); err == nil {
		list = set.keys
	} else if !errors.Is(err, errNoKeys) {
		t.Fatal(err)
	}
	i := &issuer{keys: newKeySet(keySetSettings{}, nil, Options{}.withDefaults())}
	i.keys.setStatic(list)
	i.cfg.Algorithms = asymmetric
	return func(tok string) error {
		c, err := parseCompact(tok, nil)
		if err != nil {
			return err
		}
		if err := i.checkHeader(c.header, nil); err != nil {
			return err
		}
		list, err := i.candidates(context.Background(), c.header, nil)
		if err != nil {
			return err
		}
		_, err = authentic(list, nil, &c, nil)
		return err
	}
}
