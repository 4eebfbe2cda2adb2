package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/token"
)

// authenticate makes the principal of the question's token, and shows each
// check. The error is about the command line.
func (e *explainer) authenticate(ctx context.Context) (policy.Reason, error) {
	q, route := e.question, e.match.Route
	if route.Config.Anonymous {
		e.verifier = token.Compile(e.cfg, nil, e.tokenOptions(), &config.Errors{})
		e.who = token.Anonymous
		return policy.Allowed, nil
	}
	cfg := *e.cfg
	e.out.Token = &explainedToken{Issuers: route.Config.Issuer}
	if q.claims != nil {
		if err := e.signClaims(&cfg); err != nil {
			return "", err
		}
	}
	verifier, err := e.compileTokens(&cfg)
	if err != nil {
		return "", err
	}
	e.verifier = verifier
	set := verifier.Set(route.Config.Issuer)
	if q.token != "" {
		e.placeToken(set)
	}
	located, err := verifier.Locate(set, q.fields, q.query)
	if err != nil {
		e.out.Token.Checks = append(e.out.Token.Checks, explainedCheck{Name: "place", Detail: err.Error()})
		return policy.ReasonOf(err), nil
	}
	q.hide(located.Token)
	e.out.Token.From = fieldPlace(located)
	p, checks, err := e.verify(ctx, &cfg, located.Token)
	for _, c := range checks {
		if q.claims != nil && (c.Name == "key" || c.Name == "signature" || c.Name == "algorithm") && c.OK {
			c.Detail = "taken for good, because of --claims"
		}
		e.out.Token.Checks = append(e.out.Token.Checks, explainedCheck{c.Name, c.OK, c.Detail})
	}
	if err != nil {
		return policy.ReasonOf(err), nil
	}
	e.who = p
	e.out.Principal = newExplainedPrincipal(p)
	e.out.fromCookie = located.FromCookie
	return policy.Allowed, nil
}

func (e *explainer) tokenOptions() token.Options {
	// A clock that stands still at --now, so that times are compared with
	// that.
	now := e.question.now
	return token.Options{Now: func() time.Time { return now }}
}

func (e *explainer) compileTokens(cfg *config.Config) (*token.Verifier, error) {
	errs := &config.Errors{}
	v := token.Compile(cfg, nil, e.tokenOptions(), errs)
	if err := errs.Err(); err != nil {
		return nil, unusable("%v", err)
	}
	return v, nil
}

// verify verifies with the keys that are on this machine, and only where
// these do not suffice with those that the issuer has now. Explaining never
// writes a cache_file: it may run as another user than the gate.
func (e *explainer) verify(ctx context.Context, cfg *config.Config, tok string) (*token.Principal, []token.Check, error) {
	set := e.match.Route.Config.Issuer
	e.verifier.Retire(nil) // no fetches
	p, checks, err := e.verifier.Explain(ctx, e.verifier.Set(set), tok)
	if e.offline || !errors.Is(err, token.ErrKeysUnavailable) && !errors.Is(err, token.ErrKeyUnknown) {
		if e.offline && errors.Is(err, token.ErrKeysUnavailable) {
			checks = append(checks, token.Check{Name: "key", Detail: "--offline: the issuer was not asked for its keys"})
		}
		return p, checks, err
	}
	online := *cfg
	online.Issuers = maps.Clone(cfg.Issuers)
	for name, i := range online.Issuers {
		i.JWKS.CacheFile = ""
		online.Issuers[name] = i
	}
	v, compileErr := e.compileTokens(&online)
	if compileErr != nil {
		return p, checks, err
	}
	e.verifier = v
	defer v.Retire(nil)
	p, checks, err = v.Explain(ctx, v.Set(set), tok)
	if errors.Is(err, token.ErrKeysUnavailable) {
		for _, state := range v.KeySets() {
			if state.Error != "" && slices.Contains(set, state.Issuer) {
				checks = append(checks, token.Check{Name: "key", Detail: "issuer " + state.Issuer + ": " + state.Error})
			}
		}
	}
	return p, checks, err
}

// placeToken puts the token of --token where the issuers look first.
func (e *explainer) placeToken(set token.IssuerSet) {
	q := e.question
	fieldNames, cookies, params := e.verifier.TokenFields(set), e.verifier.TokenCookies(set), e.verifier.TokenParams(set)
	switch {
	case slices.ContainsFunc(fieldNames, func(n string) bool { return strings.EqualFold(n, "Authorization") }):
		q.fields = append(q.fields, field{"Authorization", "Bearer " + q.token})
	case len(fieldNames) > 0:
		q.fields = append(q.fields, field{fieldNames[0], q.token})
	case len(cookies) > 0:
		q.fields = append(q.fields, field{"Cookie", strings.TrimSuffix(cookies[0], "*") + "=" + q.token})
	case len(params) > 0:
		if q.query != "" {
			q.query += "&"
		}
		q.query += params[0] + "=" + q.token
	}
}

func fieldPlace(l token.Located) string {
	switch {
	case l.FromCookie:
		return "cookie " + l.Name
	case l.FromQuery:
		return "query parameter " + l.Name
	}
	return "field " + http.CanonicalHeaderKey(l.Name)
}

// signClaims makes a token of --claims, with a key that only this run of the
// verifier accepts, so that all checks but that of the signature are the
// gate's own.
func (e *explainer) signClaims(cfg *config.Config) error {
	q := e.question
	name, err := e.issuerOfClaims()
	if err != nil {
		return err
	}
	signer, err := token.NewSigner("ES256")
	if err != nil {
		return failed("%v", err)
	}
	issuer := cfg.Issuers[name]
	issuer.Algorithms = []string{signer.Algorithm()}
	issuer.JWKS = config.JWKS{
		Keys: string(signer.PublicJWKS()), Refresh: issuer.JWKS.Refresh, MinInterval: issuer.JWKS.MinInterval,
		MaxStale: issuer.JWKS.MaxStale, Timeout: issuer.JWKS.Timeout,
	}
	issuer.Secret = config.Secret{}
	cfg.Issuers = maps.Clone(cfg.Issuers)
	cfg.Issuers[name] = issuer
	set := func(claim string, value any) {
		if _, ok := q.claims[claim]; !ok {
			q.claims[claim] = value
		}
	}
	set("iss", issuer.Issuer)
	set("iat", q.now.Unix())
	set("exp", q.now.Add(time.Minute).Unix())
	if len(issuer.Audiences) > 0 {
		set("aud", issuer.Audiences[0])
	}
	if q.token, err = signer.Sign(q.claims); err != nil {
		return unusable("the claims cannot be signed: %v", err)
	}
	return nil
}

// issuerOfClaims names the issuer that --claims are of.
func (e *explainer) issuerOfClaims() (string, error) {
	accepted := e.match.Route.Config.Issuer
	if iss, ok := e.question.claims["iss"]; ok {
		for _, name := range sortedKeys(e.cfg.Issuers) {
			if e.cfg.Issuers[name].Issuer == iss {
				return name, nil
			}
		}
		// Whose it claims to be does not matter then: it will be refused.
		return accepted[0], nil
	}
	if len(accepted) == 1 {
		return accepted[0], nil
	}
	return "", unusable("route %s accepts tokens of several issuers (%s); put the iss of one into --claims", e.match.Route.ID, strings.Join(accepted, ", "))
}

func newExplainedPrincipal(p *token.Principal) *explainedPrincipal {
	return &explainedPrincipal{
		UserID: p.UserID, OrgID: p.OrgID, OrgSlug: p.OrgSlug, OrgRole: p.OrgRole,
		Roles: p.Roles, Permissions: p.Permissions, Scopes: p.Scopes,
		SessionID: p.SessionID, Actor: p.Actor, Issuer: p.IssuerName,
		ExpiresAt: p.ExpiresAt.UTC().Format(time.RFC3339),
	}
}

func (p *explainedPrincipal) lines() [][2]string {
	var lines [][2]string
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, value})
		}
	}
	text := func(name, value string) {
		if value != "" {
			add(name, fmt.Sprintf("%q", value))
		}
	}
	list := func(name string, values []string) {
		if len(values) > 0 {
			add(name, fmt.Sprintf("%q", values))
		}
	}
	text("user_id", p.UserID)
	text("org_id", p.OrgID)
	text("org_slug", p.OrgSlug)
	text("org_role", p.OrgRole)
	list("roles", p.Roles)
	list("permissions", p.Permissions)
	list("scopes", p.Scopes)
	text("session_id", p.SessionID)
	text("actor", p.Actor)
	add("expires", p.ExpiresAt)
	return lines
}
