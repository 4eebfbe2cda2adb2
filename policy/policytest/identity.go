package policytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/token"
)

// caller is whose token the request of a case has.
type caller struct {
	identity
	claims map[string]any // nil where there are none
	pos    config.Position
}

// identityOf puts together whose token a case has: its own claims over those
// of the user that it names. A claim that is null is taken away.
func (f *file) identityOf(c *testCase) caller {
	who := caller{identity: c.identity, pos: c.Pos}
	if c.Anonymous {
		return who
	}
	as := c.As.string
	if as == "" && c.Principal == nil {
		as = f.Defaults.As.string
	}
	return f.caller(who, as)
}

// caller completes an identity by the user as, where there is one.
func (f *file) caller(who caller, as string) caller {
	user := f.Users[as]
	if user.Claims != nil && who.Principal == nil {
		who.claims = maps.Clone(user.Claims.data.(map[string]any))
	}
	if who.Claims != nil {
		if who.claims == nil {
			who.claims = map[string]any{}
		}
		maps.Copy(who.claims, who.Claims.data.(map[string]any))
	}
	maps.DeleteFunc(who.claims, func(_ string, v any) bool { return v == nil })
	if who.Principal == nil && who.claims == nil {
		who.Principal = user.Principal
	}
	for _, issuer := range []text{user.Issuer, f.Defaults.Issuer} {
		if who.Issuer.string == "" {
			who.Issuer = issuer
		}
	}
	return who
}

// issuedAt is the moment of a case that gives none: when the token was
// issued, else the same in every run.
func (w *caller) issuedAt() time.Time {
	switch iat := w.claims["iat"].(type) {
	case int64:
		return time.Unix(iat, 0).UTC()
	case string:
		if t, err := time.Parse(time.RFC3339, iat); err == nil {
			return t
		}
	}
	return standardTime
}

// authenticate makes the principal of a caller for a route, as the verifier
// does from a token whose signature is right.
func (g *gate) authenticate(route *policy.Route, who caller, now time.Time, errs *config.Errors) (*token.Principal, error) {
	if route.Config.Anonymous {
		return token.Anonymous, nil
	}
	if who.claims == nil && who.Principal == nil {
		return nil, token.ErrMissing
	}
	accepted := route.Config.Issuer
	if len(accepted) == 0 {
		accepted = keys(g.cfg.Issuers)
	}
	name, ok := g.issuerOf(&who, accepted)
	if !ok {
		if name == "" {
			errs.Addf(who.pos, "route %s accepts tokens of several issuers; write issuer: with one of %s", route.ID, strings.Join(accepted, ", "))
		} else {
			errs.Addf(who.Issuer.pos, "there is no issuer %q%s", name, oneOf(name, keys(g.cfg.Issuers)))
		}
		return nil, token.ErrIssuer
	}
	if !slices.Contains(accepted, name) {
		return nil, fmt.Errorf("route %s accepts no tokens of %s: %w", route.ID, name, token.ErrIssuer)
	}
	issuer := g.cfg.Issuers[name]
	if who.Principal != nil {
		return who.Principal.principal(issuer, name, now), nil
	}
	claims := maps.Clone(who.claims)
	if err := complete(claims, issuer, now); err != nil {
		errs.Addf(who.pos, "%v", err)
		return nil, token.ErrMalformed
	}
	return token.VerifyClaims(issuer, name, claims, now)
}

// issuerOf names the issuer of a caller's token.
func (g *gate) issuerOf(who *caller, accepted []string) (name string, ok bool) {
	if name = who.Issuer.string; name != "" {
		_, ok = g.cfg.Issuers[name]
		return name, ok
	}
	if iss, said := who.claims["iss"].(string); said {
		for _, name := range keys(g.cfg.Issuers) {
			if g.cfg.Issuers[name].Issuer == iss {
				return name, true
			}
		}
	}
	if len(accepted) == 1 {
		return accepted[0], true
	}
	return "", false
}

// complete fills in what every token has, and turns times that are written
// for people (2026-01-31T12:00:00Z, or -1h and +5m relative to now) into
// seconds since 1970 (RFC 7519 section 2, NumericDate).
func complete(claims map[string]any, issuer config.Issuer, now time.Time) error {
	if _, ok := claims["iss"]; !ok {
		claims["iss"] = issuer.Issuer
	}
	if _, ok := claims["exp"]; !ok {
		claims["exp"] = now.Add(time.Minute).Unix()
	}
	if _, ok := claims["aud"]; !ok && len(issuer.Audiences) > 0 {
		claims["aud"] = issuer.Audiences[0]
	}
	for _, name := range []string{"exp", "nbf", "iat", "auth_time"} {
		s, ok := claims[name].(string)
		if !ok {
			continue
		}
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			claims[name] = t.Unix()
		} else if d, err := time.ParseDuration(s); err == nil {
			claims[name] = now.Add(d).Unix()
		} else {
			return fmt.Errorf("claim %s is %q; it should be seconds since 1970, a time such as 2026-01-31T12:00:00Z, or one relative to now such as -1h", name, s)
		}
	}
	return nil
}

func (p *principalSpec) principal(issuer config.Issuer, name string, now time.Time) *token.Principal {
	claims, _ := p.Claims.data.(map[string]any)
	who := &token.Principal{
		UserID: p.UserID, OrgID: p.OrgID, OrgSlug: p.OrgSlug, OrgRole: p.OrgRole,
		Roles: p.Roles, Permissions: p.Permissions, Scopes: p.Scopes,
		SessionID: p.SessionID, Actor: p.Actor,
		Issuer: issuer.Issuer, IssuerName: name, Preset: issuer.Preset,
		ExpiresAt: now.Add(time.Minute),
	}
	return who.WithClaims(claims)
}
