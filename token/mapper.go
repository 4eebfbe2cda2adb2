package token

import (
	"encoding/json"
	"fmt"
	"strconv"
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

// readClaims gives the claims as they would be read from a token, and what
// maps them.
func readClaims(iss config.Issuer, name string, claims map[string]any) (*mapper, map[string]any, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encode the claims: %w", ErrMalformed)
	}
	if claims, err = decodeClaims(payload); err != nil {
		return nil, nil, fmt.Errorf("cannot read the claims: %w: %w", err, ErrMalformed)
	}
	m, err := newMapper(withPreset(iss), name)
	return m, claims, err
}

// principal checks what the provider asks for beyond the registered claims
// and makes the principal. It keeps claims, which must not change any more.
// The error wraps one of the package's faults.
func (m *mapper) principal(claims map[string]any) (*Principal, error) {
	if err := m.client(claims); err != nil {
		return nil, err
	}
	if m.preset.check != nil {
		if err := m.preset.check(m, claims); err != nil {
			return nil, err
		}
	}
	p := &Principal{IssuerName: m.name, Issuer: m.cfg.Issuer, Preset: m.preset.name, Claims: claims}
	p.ExpiresAt, _ = numericDate(claims["exp"])
	apply(p, m.preset.mapping, claims)
	if m.preset.fill != nil {
		m.preset.fill(m, claims, p)
	}
	apply(p, m.cfg.Claims, claims)
	if m.preset.name == presetClerk {
		p.OrgRole = strings.TrimPrefix(p.OrgRole, clerkPrefix)
	}
	if p.UserID == "" {
		// A principal without a name would equal every other one without.
		claim := m.cfg.Claims.UserID
		if claim == "" {
			claim = m.preset.mapping.UserID
		}
		return nil, fmt.Errorf("there is no %s that names the user: %w", claim, ErrClaimMissing)
	}
	return p, nil
}

// apply sets the fields that the mapping names. A claim that is absent or of
// another type gives an empty field, never the default's value.
func apply(p *Principal, c config.ClaimMapping, claims map[string]any) {
	text := func(field *string, path string) {
		if path != "" {
			v, _ := lookup(claims, path)
			*field = textOf(v)
		}
	}
	list := func(field *[]string, path string) {
		if path != "" {
			v, _ := lookup(claims, path)
			*field = listOf(v)
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

// lookup finds the claim at a dotted path. Because claim names may have dots
// themselves (https://example.com/roles), at each level the longest name
// that exists wins, the whole path first.
func lookup(claims map[string]any, path string) (any, bool) {
	if v, ok := claims[path]; ok {
		return v, true
	}
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v, ok := lookup(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// textOf gives a text, or an integer in decimal; identifiers may be numbers.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// listOf gives a list of texts, or the words of a text. A list that holds
// anything but texts gives nothing: who wrote it did not mean this.
func listOf(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.FieldsFunc(v, func(r rune) bool { return r == ' ' })
	case []any:
		list := make([]string, 0, len(v))
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil
			}
			if s != "" {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}
