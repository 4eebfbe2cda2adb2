package token

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Principal is who a request speaks for, in words that are the same for
// every identity provider. It is immutable and shared between requests: it
// comes from the verified-token cache. The nil *Principal is not valid; the
// principal of an anonymous route is [Anonymous].
type Principal struct {
	UserID      string
	OrgID       string
	OrgSlug     string
	OrgRole     string
	Roles       []string
	Permissions []string
	Scopes      []string
	SessionID   string
	Actor       string

	// Issuer is the exact iss claim, IssuerName the issuer's name in the
	// configuration, Preset the name of its preset.
	Issuer     string
	IssuerName string
	Preset     string

	// ExpiresAt is the exp claim.
	ExpiresAt time.Time

	payload string // claims as JSON; as base64url where entry is not nil
	claims  atomic.Pointer[map[string]any]
	entry   *verified // of which it is a part in the verified-token cache
}

// Anonymous is the principal of a request to an anonymous route. It has no
// role, permission or scope.
var Anonymous = &Principal{}

// HasRole tells whether role is one of the principal's roles or its role in
// the organization, exactly as written. Clerk's organization roles may be
// written with and without their org: prefix.
func (p *Principal) HasRole(role string) bool {
	if p == nil || role == "" {
		return false
	}
	if slices.Contains(p.Roles, role) || p.OrgRole == role {
		return true
	}
	if p.Preset != presetClerk || p.OrgRole == "" {
		return false
	}
	bare, prefixed := strings.CutPrefix(role, clerkPrefix)
	return prefixed && bare == p.OrgRole
}

// HasPermission tells whether the principal has the permission, exactly as
// written.
func (p *Principal) HasPermission(permission string) bool {
	return p != nil && permission != "" && slices.Contains(p.Permissions, permission)
}

// HasScope tells whether the token was given the OAuth scope (RFC 6749
// section 3.3), exactly as written.
func (p *Principal) HasScope(scope string) bool {
	return p != nil && scope != "" && slices.Contains(p.Scopes, scope)
}

// Claims gives every claim as encoding/json decodes it, but numbers as int64
// where they are integers that fit, else as float64. The map is made when it
// is asked for first, and kept: few principals need it, and it takes several
// times the memory of all else. It must not be changed.
func (p *Principal) Claims() map[string]any {
	if p == nil {
		return nil
	}
	if c := p.claims.Load(); c != nil {
		return *c
	}
	return p.decode()
}

// decode is the slow path of Claims.
func (p *Principal) decode() map[string]any {
	if p.payload == "" {
		return nil
	}
	payload := []byte(p.payload)
	if p.entry != nil {
		var err error
		if payload, err = canonical.DecodeString(p.payload); err != nil {
			return nil // there is no error: it was read before
		}
	}
	claims, err := decodeClaims(payload)
	if err != nil {
		return nil // there is no error: it was read before
	}
	if !p.claims.CompareAndSwap(nil, &claims) {
		return *p.claims.Load()
	}
	if p.entry != nil {
		p.entry.grow(len(payload) + claimsCost(claims))
	}
	return claims
}

// WithClaims sets the claims of a principal that was not made from a token,
// and gives it back. It must not be shared yet, and claims not be changed any
// more.
func (p *Principal) WithClaims(claims map[string]any) *Principal {
	p.claims.Store(&claims)
	return p
}

// texts are the texts that come from the token. The others belong to the
// configuration.
func (p *Principal) texts() [6]*string {
	return [...]*string{&p.UserID, &p.OrgID, &p.OrgSlug, &p.OrgRole, &p.SessionID, &p.Actor}
}

func (p *Principal) lists() [3][]string { return [...][]string{p.Roles, p.Permissions, p.Scopes} }

// textBytes is the length of all texts that come from the token.
func (p *Principal) textBytes() int {
	n := 0
	for _, t := range p.texts() {
		n += len(*t)
	}
	for _, list := range p.lists() {
		for _, t := range list {
			n += len(t)
		}
	}
	return n
}

// listBytes is the memory of the lists without their texts.
func (p *Principal) listBytes() int {
	n := 0
	for _, list := range p.lists() {
		n += 16 * cap(list)
	}
	return n
}

// claimsCost estimates the memory of a decoded claim: what an interface
// refers to, and for a map the group of slots that the runtime allocates. Its
// texts are parts of the payload, but for those with escapes.
func claimsCost(v any) int {
	switch v := v.(type) {
	case map[string]any:
		// Groups of 8 slots of name and value, at most 7/8 full, grown by
		// doubling.
		n, slots := 48, 8
		for slots*7/8 < len(v) {
			slots *= 2
		}
		n += slots * (16 + 16 + 1)
		for _, x := range v {
			n += claimsCost(x)
		}
		return n
	case []any:
		n := 24 + 16*cap(v)
		for _, x := range v {
			n += claimsCost(x)
		}
		return n
	case nil, bool:
		return 0
	}
	return 16
}
