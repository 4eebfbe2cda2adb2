package token

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// compact is a JWS in the compact serialization (RFC 7515 section 7.1) taken
// apart, before anything of it is believed.
type compact struct {
	signed    string // what the signature is over: header and payload as sent
	header    map[string]any
	payload   []byte
	signature []byte

	alg, kid string
	hasKid   bool

	claims map[string]any // the payload, decoded by readClaims
}

// canonical refuses padding and loose trailing bits, so that one signature
// has one spelling. It is base64url alone (RFC 7515 section 2).
var canonical = base64.RawURLEncoding.Strict()

// parseCompact takes a token apart. The error wraps ErrMalformed. signed is a
// part of tok; the rest is decoded and shares no memory with it.
//
// The header parameters jwk, jku, x5u and x5c are ignored, as all parameters
// that say where a key is: keys come from the configuration alone. crit and
// b64 are refused, since no extension is understood (RFC 7515 section 4.1.11,
// RFC 7797 section 6).
func parseCompact(tok string) (*compact, error) {
	head, rest, ok := strings.Cut(tok, ".")
	if !ok {
		return nil, malformed("it has one part; a compact JWS has three")
	}
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, malformed("it has two parts; a compact JWS has three")
	}
	if strings.IndexByte(signature, '.') >= 0 {
		return nil, malformed("it has more than three parts")
	}
	c := &compact{signed: tok[:len(head)+1+len(payload)]}
	header, err := decodeBase64("header", head)
	if err != nil {
		return nil, err
	}
	if c.header, err = decodeClaims(header); err != nil {
		return nil, fmt.Errorf("the header: %w: %w", err, ErrMalformed)
	}
	if err := c.readHeader(); err != nil {
		return nil, err
	}
	if c.payload, err = decodeBase64("payload", payload); err != nil {
		return nil, err
	}
	if c.signature, err = decodeBase64("signature", signature); err != nil {
		return nil, err
	}
	return c, nil
}

func malformed(text string) error { return fmt.Errorf("%s: %w", text, ErrMalformed) }

func decodeBase64(part, text string) ([]byte, error) {
	// The decoder passes over line breaks, which would give a token more
	// than one spelling.
	if strings.ContainsAny(text, "\r\n") {
		return nil, malformed("the " + part + " holds a line break")
	}
	b, err := canonical.DecodeString(text)
	if err != nil {
		return nil, malformed("the " + part + " is not canonical base64url without padding")
	}
	return b, nil
}

// readClaims decodes the payload. The error wraps ErrMalformed.
func (c *compact) readClaims() (err error) {
	if c.claims, err = decodeClaims(c.payload); err != nil {
		return fmt.Errorf("the payload: %w: %w", err, ErrMalformed)
	}
	return nil
}

func (c *compact) readHeader() error {
	for _, name := range [...]string{"crit", "b64"} {
		if _, ok := c.header[name]; ok {
			return malformed("the header has " + name + ", of which no extension is understood")
		}
	}
	var ok bool
	if c.alg, ok = c.header["alg"].(string); !ok {
		return malformed("the header has no alg that is a text")
	}
	kid, has := c.header["kid"]
	if c.kid, ok = kid.(string); has && !ok {
		return malformed("kid in the header is not a text")
	}
	c.hasKid = has
	return nil
}
