package token

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"hopgate/config"
)

// The names of the presets whose principals need to be told apart.
const (
	presetClerk    = "clerk"
	presetSupabase = "supabase"
)

var (
	rs256       = []string{"RS256"}
	asymmetric  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	symmetric   = []string{"HS256", "HS384", "HS512"}
	bearerToken = []config.TokenPlace{{Header: "Authorization"}}

	// typeJWT is the type of tokens that say no more than that they are JWTs,
	// typeAccess adds the access tokens of RFC 9068 section 2.1. RFC 7515
	// section 4.1.9 lets application/ be left out.
	typeJWT    = []string{"JWT", "application/jwt"}
	typeAccess = []string{"JWT", "application/jwt", "at+jwt", "application/at+jwt"}
)

// preset is what is known of an identity provider. Presets are constant.
type preset struct {
	name, title string
	algorithms  []string
	tokenTypes  []string
	required    []string // claims that every token of the provider has
	discovery   bool     // keys are found by OpenID discovery, not by keys

	// keys gives the address of the JWK Set.
	keys func(cfg config.Issuer) (string, error)

	// places gives where tokens are; nil means Authorization: Bearer.
	places func(cfg config.Issuer) []config.TokenPlace

	// audiences gives the audience of every token, where it is known from
	// the issuer. needsAudience tells that a token must not be accepted
	// whatever its audience is.
	audiences     func(cfg config.Issuer) []string
	needsAudience string // what the audience is, for the fault's text

	// client names the claims that tell the client which the token was
	// issued to; the first that is present is compared with client_ids.
	client        []string
	usesClientIDs bool // for something else

	mapping config.ClaimMapping

	// check refuses tokens for reasons of the provider's own; fill adds to
	// the principal what mapping cannot say. Either may be nil.
	check func(m *mapper, claims claimSet) error
	fill  func(m *mapper, claims claimSet, p *Principal)

	// validate adds faults and warnings of an issuer's settings.
	validate func(cfg config.Issuer, u *url.URL, errs *config.Errors)
}

// presets lists all of them, in the order in which they are shown.
var presets = []*preset{
	clerkPreset,
	auth0Preset,
	supabasePreset,
	firebasePreset,
	cognitoPreset,
	keycloakPreset,
	workosPreset,
	oktaPreset,
	entraPreset,
	oidcPreset,
}

// presetOf gives the preset that an issuer names. For a name that does not
// exist, which the configuration reports, it is that of plain OpenID Connect.
func presetOf(cfg config.Issuer) *preset {
	for _, p := range presets {
		if p.name == cfg.Preset {
			return p
		}
	}
	return oidcPreset
}

// withPreset fills in what the preset of an issuer knows and cfg does not
// say: Algorithms, TokenTypes, RequiredClaims, Tokens, Audiences, and JWKS.URL
// or JWKS.Discovery. Where no key location can be told, it leaves JWKS as it
// is; [checkPreset] reports that.
func withPreset(cfg config.Issuer) config.Issuer {
	p := presetOf(cfg)
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = p.algorithms
		if !cfg.Secret.IsZero() {
			switch {
			case p.name == presetSupabase:
				// Both, because a project that moves from its secret to
				// signing keys has tokens of both kinds for a while.
				cfg.Algorithms = append(slices.Clone(p.algorithms), "HS256")
			case hasKeySource(cfg.JWKS):
				cfg.Algorithms = append(slices.Clone(p.algorithms), symmetric...)
			default:
				cfg.Algorithms = symmetric
			}
		}
	}
	if len(cfg.TokenTypes) == 0 {
		cfg.TokenTypes = p.tokenTypes
	}
	for _, name := range p.required {
		if !slices.Contains(cfg.RequiredClaims, name) {
			cfg.RequiredClaims = append(slices.Clip(cfg.RequiredClaims), name)
		}
	}
	if len(cfg.Tokens) == 0 {
		cfg.Tokens = bearerToken
		if p.places != nil {
			cfg.Tokens = p.places(cfg)
		}
	}
	if len(cfg.Audiences) == 0 && p.audiences != nil {
		cfg.Audiences = p.audiences(cfg)
	}
	if !hasKeySource(cfg.JWKS) && needsKeys(cfg.Algorithms) {
		if p.discovery {
			cfg.JWKS.Discovery = strings.TrimSuffix(cfg.Issuer, "/") + "/.well-known/openid-configuration"
		} else if address, err := p.keys(cfg); err == nil {
			cfg.JWKS.URL = address
		}
	}
	return cfg
}

func hasKeySource(j config.JWKS) bool {
	return j.URL != "" || j.Discovery != "" || j.File != "" || j.Keys != "" || j.PEM != ""
}

// needsKeys tells whether any of the algorithms verifies with a public key.
func needsKeys(algorithms []string) bool {
	return slices.ContainsFunc(algorithms, func(a string) bool { return !slices.Contains(symmetric, a) })
}

// checkPreset reports what of an issuer's settings cannot be right for its
// identity provider. It takes the settings as they were written, before
// [withPreset].
func checkPreset(cfg config.Issuer, errs *config.Errors) {
	p := presetOf(cfg)
	checkMapping(cfg, errs)
	checkPlaces(cfg, errs)
	if cfg.Issuer == "" {
		return // reported as missing
	}
	pos := cfg.Source.Pos("issuer")
	if host, ok := clerkHost(cfg.Issuer); ok {
		errs.Addf(pos, "issuer is a publishable key; the issuer that belongs to it is https://%s", host)
		return
	}
	u, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		if p.validate == nil && (hasKeySource(cfg.JWKS) || !needsKeys(withPreset(cfg).Algorithms)) {
			return // an iss need not be an address where the keys are not looked up by it
		}
		errs.Addf(pos, "issuer is %q; it should be the provider's address, such as %s", cfg.Issuer, docs[p.name].Issuer)
		return
	case u.Scheme == "http" && !loopback(u.Hostname()) && !hasKeySource(cfg.JWKS):
		errs.Addf(pos, "issuer is %q; it should start with https://, because whoever can change an unencrypted answer could put in keys of their own", cfg.Issuer)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		errs.Addf(pos, "issuer is %q; it should have no query, fragment or user", cfg.Issuer)
	}
	if p.validate != nil {
		p.validate(cfg, u, errs)
	}
	if p.keys != nil && !hasKeySource(cfg.JWKS) && needsKeys(withPreset(cfg).Algorithms) {
		if _, err := p.keys(cfg); err != nil {
			errs.Addf(pos, "%v", err)
		}
	}
	if len(cfg.ClientIDs) > 0 && len(p.client) == 0 && !p.usesClientIDs {
		errs.Addf(cfg.Source.Pos("client_ids"), "client_ids is set; with preset %s no claim names the client: use authorized_parties (azp) or audiences (aud)", p.name)
	}
	if p.needsAudience != "" && len(withPreset(cfg).Audiences) == 0 {
		errs.Addf(pos, "audiences is missing; with preset %s it should be %s, else tokens that were issued for other services would be accepted", p.name, p.needsAudience)
	}
}

// below makes a keys function for a provider whose key set stands at a fixed
// path below the issuer.
func below(path string) func(config.Issuer) (string, error) {
	return func(cfg config.Issuer) (string, error) {
		return strings.TrimSuffix(cfg.Issuer, "/") + path, nil
	}
}

// noSlash reports an issuer that ends in the slash which the provider's iss
// claim does not have.
func noSlash(cfg config.Issuer, errs *config.Errors) {
	if strings.HasSuffix(cfg.Issuer, "/") {
		errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; iss is compared byte for byte and has no / at the end with preset %s: write %q",
			cfg.Issuer, cfg.Preset, strings.TrimRight(cfg.Issuer, "/"))
	}
}

// userWritable are the names under which providers put what users may write
// themselves.
var userWritable = []string{"user_metadata", "unsafe_metadata"}

// mappings lists the entries of a claim mapping by their keys.
func mappings(c config.ClaimMapping) [][2]string {
	return [][2]string{
		{"user_id", c.UserID}, {"org_id", c.OrgID}, {"org_slug", c.OrgSlug}, {"org_role", c.OrgRole},
		{"roles", c.Roles}, {"permissions", c.Permissions}, {"scopes", c.Scopes},
		{"session_id", c.SessionID}, {"actor", c.Actor},
	}
}

func checkMapping(cfg config.Issuer, errs *config.Errors) {
	for _, e := range mappings(cfg.Claims) {
		key, path := e[0], e[1]
		pos := cfg.Source.Pos("claims", key)
		for _, part := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("./:", r) }) {
			if slices.Contains(userWritable, part) {
				errs.Addf(pos, "claims.%s is %q; %s is writable by the users themselves, so nothing may be authorized on it: use a claim that only the issuer sets (app_metadata, public metadata, a role claim)", key, path, part)
			}
		}
		if cfg.Preset == cognitoPreset.name && strings.HasPrefix(path, "custom:") {
			errs.Warnf(pos, "claims.%s is %q; a user may change a custom attribute wherever the app client may write it", key, path)
		}
	}
}

// clerkHost gives the host that a Clerk publishable key names.
func clerkHost(key string) (string, bool) {
	for _, kind := range []string{"pk_live_", "pk_test_"} {
		if rest, ok := strings.CutPrefix(key, kind); ok {
			return decodePublishable(rest)
		}
	}
	return "", false
}

// client checks the claim that names the client against client_ids.
func (m *mapper) client(claims claimSet) error {
	if len(m.cfg.ClientIDs) == 0 || len(m.preset.client) == 0 {
		return nil
	}
	for _, name := range m.preset.client {
		if v := claims.get(name); v.kind != absent {
			if id, _ := v.text(); !slices.Contains(m.cfg.ClientIDs, id) {
				return fmt.Errorf("%s is not one of client_ids: %w", name, ErrParty)
			}
			return nil
		}
	}
	return fmt.Errorf("there is no %s to compare with client_ids: %w", m.preset.client[0], ErrParty)
}
