package token

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// compact is a JWS in the compact serialization (RFC 7515 section 7.1) taken
// apart, before anything of it is believed.
type compact struct {
	*header
	signed    string // what the signature is over: header and payload as sent
	payload   string
	signature []byte

	claims claimSet // the payload, read by readClaims
}

// header is a JOSE header (RFC 7515 section 4). It is immutable.
type header struct {
	encoded string // as sent
	params  claimSet

	alg, kid string
	hasKid   bool
	typ      string // as mediaType gives it
	typKind  kind
}

// canonical refuses padding and loose trailing bits, so that one signature
// has one spelling. It is base64url alone (RFC 7515 section 2).
var canonical = base64.RawURLEncoding.Strict()

// parseCompact takes a token apart. The error wraps ErrMalformed. signed is a
// part of tok; the rest is decoded and shares no memory with it. The header
// is one of seen where it is spelled like that.
//
// The header parameters jwk, jku, x5u and x5c are ignored, as all parameters
// that say where a key is: keys come from the configuration alone. crit and
// b64 are refused, since no extension is understood (RFC 7515 section 4.1.11,
// RFC 7797 section 6).
func parseCompact(tok string, seen []*header) (c compact, err error) {
	head, rest, ok := strings.Cut(tok, ".")
	if !ok {
		return c, malformed("it has one part; a compact JWS has three")
	}
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return c, malformed("it has two parts; a compact JWS has three")
	}
	if strings.IndexByte(signature, '.') >= 0 {
		return c, malformed("it has more than three parts")
	}
	c.signed = tok[:len(head)+1+len(payload)]
	for _, h := range seen {
		if h.encoded == head {
			c.header = h
			break
		}
	}
	if c.header == nil {
		if c.header, err = parseHeader(head); err != nil {
			return c, err
		}
	}
	var room [2048]byte
	b, err := decodeBase64(room[:], "payload", payload)
	if err != nil {
		return c, err
	}
	c.payload = string(b)
	c.signature, err = decodeBase64(nil, "signature", signature)
	return c, err
}

func malformed(text string) error { return malformedError(text) }

// malformedError says what is wrong with a token that is none. Whoever sends
// such tokens may send many: the text is put together where it is read.
type malformedError string

func (e malformedError) Error() string { return string(e) + ": " + ErrMalformed.Error() }

// Unwrap gives ErrMalformed.
func (malformedError) Unwrap() error { return ErrMalformed }

// decodeBase64 decodes a part of a token, into room where that is large
// enough.
func decodeBase64(room []byte, part, text string) ([]byte, error) {
	// The decoder passes over line breaks, which would give a token more
	// than one spelling.
	if strings.IndexByte(text, '\r') >= 0 || strings.IndexByte(text, '\n') >= 0 {
		return nil, malformed("the " + part + " holds a line break")
	}
	if n := canonical.DecodedLen(len(text)); n > len(room) {
		room = make([]byte, n)
	}
	n, err := canonical.Decode(room, []byte(text))
	if err != nil {
		return nil, malformed("the " + part + " is not canonical base64url without padding")
	}
	return room[:n], nil
}

// readClaims reads the payload. The error wraps ErrMalformed.
func (c *compact) readClaims() (err error) {
	if c.claims, err = readClaimSet(c.payload, usualClaims); err != nil {
		return fmt.Errorf("the payload: %w: %w", err, ErrMalformed)
	}
	return nil
}

// parseHeader reads the first part of a token. It keeps nothing of it.
func parseHeader(encoded string) (*header, error) {
	b, err := decodeBase64(nil, "header", encoded)
	if err != nil {
		return nil, err
	}
	h := &header{encoded: strings.Clone(encoded)}
	if h.params, err = readClaimSet(string(b), usualMembers); err != nil {
		return nil, fmt.Errorf("the header: %w: %w", err, ErrMalformed)
	}
	for _, name := range [...]string{"crit", "b64"} {
		if h.params.get(name).kind != absent {
			return nil, malformed("the header has " + name + ", of which no extension is understood")
		}
	}
	var ok bool
	if h.alg, ok = h.params.get("alg").text(); !ok {
		return nil, malformed("the header has no alg that is a text")
	}
	kid := h.params.get("kid")
	h.hasKid = kid.kind != absent
	if h.kid, ok = kid.text(); h.hasKid && !ok {
		return nil, malformed("kid in the header is not a text")
	}
	typ := h.params.get("typ")
	h.typKind = typ.kind
	if s, ok := typ.text(); ok {
		h.typ = mediaType(s)
	}
	return h, nil
}
