package token

import (
	"encoding/json"
	"fmt"
	"strings"

	"hopgate/config"
)

// mapper makes principals of the claims of one issuer. It is immutable.
type mapper struct {
	preset *preset
	cfg    config.Issuer
	name   string
}

// newMapper makes the mapper of the issuer that the configuration calls name.
// cfg must have gone through [withPreset] and [checkPreset].
func newMapper(cfg config.Issuer, name string) (*mapper, error) {
	if cfg.Issuer == "" {
		return nil, fmt.Errorf("cannot map the claims of issuer %s: it has no issuer", name)
	}
	return &mapper{preset: presetOf(cfg), cfg: cfg, name: name}, nil
}

// claimSetOf gives claims as they would be read from a token, and their JSON.
func claimSetOf(claims map[string]any) (set claimSet, payload string, err error) {
	b, err := json.Marshal(claims)
	if err != nil {
		return nil, "", fmt.Errorf("cannot encode the claims: %w", ErrMalformed)
	}
	payload = string(b)
	if set, err = readClaimSet(payload, usualClaims); err != nil {
		return nil, "", fmt.Errorf("cannot read the claims: %w: %w", err, ErrMalformed)
	}
	return set, payload, nil
}

// principal checks what the provider asks for beyond the registered claims
// and fills in the principal, whose texts become parts of those of claims. The
// error wraps one of the package's faults; p must not be used then.
func (m *mapper) principal(p *Principal, claims claimSet) error {
	if err := m.client(claims); err != nil {
		return err
	}
	if m.preset.check != nil {
		if err := m.preset.check(m, claims); err != nil {
			return err
		}
	}
	p.IssuerName, p.Issuer, p.Preset = m.name, m.cfg.Issuer, m.preset.name
	p.ExpiresAt, _ = claims.get("exp").date()
	apply(p, &m.preset.mapping, claims)
	if m.preset.fill != nil {
		m.preset.fill(m, claims, p)
	}
	apply(p, &m.cfg.Claims, claims)
	if m.preset.name == presetClerk {
		p.OrgRole = strings.TrimPrefix(p.OrgRole, clerkPrefix)
	}
	if p.UserID == "" {
		// A principal without a name would equal every other one without.
		claim := m.cfg.Claims.UserID
		if claim == "" {
			claim = m.preset.mapping.UserID
		}
		return fmt.Errorf("there is no %s that names the user: %w", claim, ErrClaimMissing)
	}
	return nil
}

// apply sets the fields that the mapping names. A claim that is absent or of
// another type gives an empty field, never the default's value.
func apply(p *Principal, c *config.ClaimMapping, claims claimSet) {
	text := func(field *string, path string) {
		if path != "" {
			*field = claims.lookup(path).identifier()
		}
	}
	list := func(field *[]string, path string) {
		if path != "" {
			*field = claims.lookup(path).words()
		}
	}
	text(&p.UserID, c.UserID)
	text(&p.OrgID, c.OrgID)
	text(&p.OrgSlug, c.OrgSlug)
	text(&p.OrgRole, c.OrgRole)
	list(&p.Roles, c.Roles)
	list(&p.Permissions, c.Permissions)
	list(&p.Scopes, c.Scopes)
	text(&p.SessionID, c.SessionID)
	text(&p.Actor, c.Actor)
}
