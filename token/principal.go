package token

import (
	"slices"
	"strings"
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

	// Claims holds every claim as encoding/json decodes it with UseNumber
	// replaced by int64 where the number is an integer that fits, else
	// float64. It must not be changed.
	Claims map[string]any

	// ExpiresAt is the exp claim.
	ExpiresAt time.Time
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

// cost estimates how many bytes of memory the principal takes. Its texts are
// those of the claims, but for a few that are put together.
func (p *Principal) cost() int {
	n := 320 + claimsCost(p.Claims)
	for _, list := range [...][]string{p.Roles, p.Permissions, p.Scopes} {
		n += listCost(list)
	}
	return n + len(p.OrgRole) + len(p.IssuerName)
}

func listCost(list []string) int {
	n := 16 * cap(list)
	for _, s := range list {
		n += len(s)
	}
	return n
}

// claimsCost estimates the memory of a decoded claim: what an interface
// refers to, and for a map the group of slots that the runtime allocates.
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
		for name, x := range v {
			n += len(name) + claimsCost(x)
		}
		return n
	case []any:
		n := 24 + 16*cap(v)
		for _, x := range v {
			n += claimsCost(x)
		}
		return n
	case string:
		return 16 + len(v)
	case nil, bool:
		return 0
	}
	return 16
}
