package token

import "time"

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
	// configuration.
	Issuer     string
	IssuerName string

	// Claims holds every claim as encoding/json decodes it with UseNumber
	// replaced by int64 where the number is an integer that fits, else
	// float64. It must not be changed.
	Claims map[string]any

	// ExpiresAt is the exp claim.
	ExpiresAt time.Time
}

// Anonymous is the principal of a request to an anonymous route.
var Anonymous = &Principal{}
