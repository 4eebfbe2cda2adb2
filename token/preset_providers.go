package token

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"hopgate/config"
)

var auth0Preset = &preset{
	name:       "auth0",
	title:      "Auth0",
	algorithms: rs256,
	tokenTypes: typeAccess,
	required:   []string{"sub"},
	keys:       below("/.well-known/jwks.json"),
	// Every access token for the userinfo endpoint has the tenant's iss, too.
	needsAudience: "the API's identifier, as shown in the dashboard",
	// The default token profile has azp, the RFC 9068 profile client_id.
	client: []string{"azp", "client_id"},
	mapping: config.ClaimMapping{
		UserID:      "sub",
		OrgID:       "org_id",
		OrgSlug:     "org_name",
		Permissions: "permissions",
		Scopes:      "scope",
		SessionID:   "sid",
		Actor:       "act.sub",
	},
	validate: func(cfg config.Issuer, _ *url.URL, errs *config.Errors) {
		if !strings.HasSuffix(cfg.Issuer, "/") {
			errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; iss is compared byte for byte and ends in / with Auth0: write %q", cfg.Issuer, cfg.Issuer+"/")
		}
	},
}

var supabasePreset = &preset{
	name:       presetSupabase,
	title:      "Supabase",
	algorithms: []string{"ES256", "RS256"},
	tokenTypes: typeJWT,
	required:   []string{"sub"},
	keys:       below("/.well-known/jwks.json"),
	// Anonymous and service keys are JWTs as well, for other audiences.
	audiences:     func(config.Issuer) []string { return []string{"authenticated"} },
	needsAudience: "authenticated",
	mapping: config.ClaimMapping{
		UserID:    "sub",
		Roles:     "role",
		SessionID: "session_id",
	},
	validate: func(cfg config.Issuer, u *url.URL, errs *config.Errors) {
		noSlash(cfg, errs)
		if !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/auth/v1") {
			errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; Supabase's ends in /auth/v1: write %q", cfg.Issuer, strings.TrimRight(cfg.Issuer, "/")+"/auth/v1")
		}
	},
}

const firebaseIssuer = "https://securetoken.google.com/"

var firebasePreset = &preset{
	name:       "firebase",
	title:      "Firebase Authentication",
	algorithms: rs256,
	tokenTypes: typeJWT,
	required:   []string{"sub", "iat", "auth_time"},
	keys: func(config.Issuer) (string, error) {
		return "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com", nil
	},
	audiences: func(cfg config.Issuer) []string {
		if project := strings.TrimPrefix(cfg.Issuer, firebaseIssuer); project != "" && project != cfg.Issuer {
			return []string{project}
		}
		return nil
	},
	needsAudience: "the project's identifier",
	mapping: config.ClaimMapping{
		UserID: "sub",
		OrgID:  "firebase.tenant",
	},
	check: func(m *mapper, claims claimSet) error {
		at, ok := claims.get("auth_time").date()
		if !ok {
			return fmt.Errorf("there is no auth_time: %w", ErrClaimMissing)
		}
		// auth_time has to be in the past; iat is known to be.
		issued, ok := claims.get("iat").date()
		if !ok {
			return fmt.Errorf("there is no iat: %w", ErrClaimMissing)
		}
		if at.After(issued.Add(max(m.cfg.ClockSkew, time.Second))) {
			return fmt.Errorf("auth_time is after iat: %w", ErrNotYetValid)
		}
		return nil
	},
	validate: func(cfg config.Issuer, u *url.URL, errs *config.Errors) {
		project := strings.TrimPrefix(cfg.Issuer, firebaseIssuer)
		switch {
		case loopback(u.Hostname()): // a stand-in for tests
		case project == cfg.Issuer || project == "" || strings.ContainsRune(project, '/'):
			errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; Firebase's is %sPROJECT", cfg.Issuer, firebaseIssuer)
		case len(cfg.Audiences) > 0 && !slices.Equal(cfg.Audiences, []string{project}):
			errs.Addf(cfg.Source.Pos("audiences"), "audiences is %q; with Firebase it is the project at the end of issuer, %q: leave audiences out", cfg.Audiences, project)
		}
	},
}

var cognitoPreset = &preset{
	name:       "cognito",
	title:      "Amazon Cognito",
	algorithms: rs256,
	tokenTypes: typeJWT,
	required:   []string{"sub", "token_use"},
	keys:       below("/.well-known/jwks.json"),
	mapping: config.ClaimMapping{
		UserID:    "sub",
		Roles:     "cognito:groups",
		Scopes:    "scope",
		SessionID: "origin_jti",
	},
	usesClientIDs: true,
	check:         cognitoCheck,
	validate: func(cfg config.Issuer, u *url.URL, errs *config.Errors) {
		noSlash(cfg, errs)
		if strings.Trim(u.Path, "/") == "" || strings.Count(strings.Trim(u.Path, "/"), "/") > 0 {
			errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; Cognito's is https://cognito-idp.REGION.amazonaws.com/POOL", cfg.Issuer)
		}
		if len(cfg.ClientIDs) == 0 && len(cfg.Audiences) == 0 {
			errs.Warnf(cfg.Source.Pos("issuer"), "client_ids is missing; without it access tokens of every app client of the pool are accepted, and id tokens of none")
		}
	},
}

// cognitoCheck tells the two kinds of Cognito's tokens apart, which have the
// same issuer and keys: an access token names its client in client_id, an id
// token in aud. An id token proves to one application who its user is, so it
// is taken only where that application is named.
func cognitoCheck(m *mapper, claims claimSet) error {
	switch use := claims.get("token_use"); {
	case use.is("access"):
		if id := claims.get("client_id").identifier(); len(m.cfg.ClientIDs) > 0 && !slices.Contains(m.cfg.ClientIDs, id) {
			return fmt.Errorf("client_id is not one of client_ids: %w", ErrParty)
		}
		return nil
	case use.is("id"):
		aud := claims.get("aud")
		switch {
		case len(m.cfg.ClientIDs) == 0 && len(m.cfg.Audiences) == 0:
			return fmt.Errorf("it is an id token, and neither client_ids nor audiences says for which application: %w", ErrType)
		case len(m.cfg.ClientIDs) > 0 && !aud.anyOf(m.cfg.ClientIDs),
			len(m.cfg.Audiences) > 0 && !aud.anyOf(m.cfg.Audiences):
			return fmt.Errorf("aud is not one of client_ids or audiences: %w", ErrAudience)
		}
		return nil
	case use.empty():
		return fmt.Errorf("there is no token_use: %w", ErrClaimMissing)
	}
	return fmt.Errorf("token_use is neither access nor id: %w", ErrType)
}

var keycloakPreset = &preset{
	name:       "keycloak",
	title:      "Keycloak",
	algorithms: []string{"RS256", "ES256", "PS256", "EdDSA"},
	tokenTypes: typeAccess,
	// No sub: tokens of realms with lightweight access tokens have none. The
	// mapper asks for whatever claim names the user.
	keys: below("/protocol/openid-connect/certs"),
	mapping: config.ClaimMapping{
		UserID:    "sub",
		Roles:     "realm_access.roles",
		Scopes:    "scope",
		SessionID: "sid",
		Actor:     "act.sub",
	},
	usesClientIDs: true,
	check: func(_ *mapper, claims claimSet) error {
		// The claim, not the header field: ID, Refresh, Logout and DPoP
		// tokens have the same issuer and header.
		if typ := claims.get("typ"); typ.kind != absent && !typ.is("Bearer") {
			return fmt.Errorf("the typ claim is not Bearer: %w", ErrType)
		}
		return nil
	},
	fill: keycloakFill,
	validate: func(cfg config.Issuer, u *url.URL, errs *config.Errors) {
		noSlash(cfg, errs)
		if !strings.Contains(u.Path, "/realms/") && !loopback(u.Hostname()) {
			errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; Keycloak's is https://HOST/realms/REALM", cfg.Issuer)
		}
		if len(cfg.Audiences) == 0 && len(cfg.AuthorizedParties) == 0 {
			errs.Warnf(cfg.Source.Pos("issuer"), "audiences and authorized_parties are missing; without them tokens for every client of the realm are accepted")
		}
	},
}

// keycloakFill adds the roles of the clients that client_ids lists, and the
// organization where the token names exactly one. The organization claim is
// a list of aliases, or a map from alias to details where the mapper adds
// identifiers or attributes.
func keycloakFill(m *mapper, claims claimSet, p *Principal) {
	var access claimSet
	if len(m.cfg.ClientIDs) > 0 {
		access = claims.get("resource_access").members()
	}
	for _, id := range m.cfg.ClientIDs {
		for _, role := range access.get(id).members().get("roles").words() {
			if !slices.Contains(p.Roles, role) {
				p.Roles = append(p.Roles, role)
			}
		}
	}
	switch o := claims.get("organization"); o.kind {
	case list:
		n := 0
		var first value
		for e := range o.elements {
			if n++; n > 1 {
				return
			}
			first = e
		}
		if n == 1 {
			p.OrgSlug = first.identifier()
			p.OrgID = p.OrgSlug // the alias cannot be changed
		}
	case object:
		organizations := o.members()
		if len(organizations) != 1 {
			return
		}
		only := organizations[0]
		p.OrgSlug, p.OrgID = only.name, only.name
		if id := only.value.members().get("id"); !id.empty() {
			p.OrgID = id.identifier()
		}
	}
}

var workosPreset = &preset{
	name:       "workos",
	title:      "WorkOS AuthKit",
	algorithms: rs256,
	tokenTypes: typeAccess,
	required:   []string{"sub"},
	keys: func(cfg config.Issuer) (string, error) {
		// Issuers are https://api.workos.com/user_management/CLIENT, or the
		// same for all clients in older environments.
		client := cfg.Issuer[strings.LastIndexByte(cfg.Issuer, '/')+1:]
		if !strings.HasPrefix(client, "client_") {
			if len(cfg.ClientIDs) != 1 {
				return "", fmt.Errorf("issuer is %q, which does not name the client whose keys sign the tokens; write client_ids: client_..., or jwks", cfg.Issuer)
			}
			client = cfg.ClientIDs[0]
		}
		return "https://api.workos.com/sso/jwks/" + url.PathEscape(client), nil
	},
	usesClientIDs: true,
	mapping: config.ClaimMapping{
		UserID:      "sub",
		OrgID:       "org_id",
		OrgRole:     "role",
		Roles:       "roles",
		Permissions: "permissions",
		Scopes:      "scope",
		SessionID:   "sid",
		Actor:       "act.sub",
	},
	check: func(m *mapper, claims claimSet) error {
		// The keys are the client's own; newer tokens name it as well.
		id := claims.get("client_id")
		if s, _ := id.text(); id.kind != absent && len(m.cfg.ClientIDs) > 0 && !slices.Contains(m.cfg.ClientIDs, s) {
			return fmt.Errorf("client_id is not one of client_ids: %w", ErrParty)
		}
		return nil
	},
	fill: func(_ *mapper, _ claimSet, p *Principal) {
		if len(p.Roles) == 0 && p.OrgRole != "" {
			p.Roles = []string{p.OrgRole}
		}
	},
	validate: func(config.Issuer, *url.URL, *config.Errors) {},
}

var oktaPreset = &preset{
	name:          "okta",
	title:         "Okta",
	algorithms:    rs256,
	tokenTypes:    typeAccess,
	required:      []string{"sub"},
	keys:          below("/v1/keys"),
	needsAudience: "the authorization server's audience, such as api://default",
	client:        []string{"cid"},
	mapping: config.ClaimMapping{
		UserID:    "uid",
		Roles:     "groups",
		Scopes:    "scp",
		SessionID: "sid",
	},
	fill: func(_ *mapper, claims claimSet, p *Principal) {
		// In a user's access token sub is the login name, which changes, and
		// uid the identifier. Tokens without uid are those of a client
		// itself, and id tokens, whose sub is the identifier.
		if claims.get("uid").empty() {
			p.UserID = claims.get("sub").identifier()
		}
	},
	validate: func(cfg config.Issuer, u *url.URL, errs *config.Errors) {
		noSlash(cfg, errs)
		if !strings.HasPrefix(u.Path, "/oauth2/") && !loopback(u.Hostname()) {
			errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; access tokens of Okta's org authorization server cannot be verified by others: use a custom one, https://ORG.okta.com/oauth2/SERVER", cfg.Issuer)
		}
	},
}

var entraPreset = &preset{
	name:       "entra",
	title:      "Microsoft Entra ID",
	algorithms: rs256,
	tokenTypes: typeAccess,
	required:   []string{"tid"},
	keys: func(cfg config.Issuer) (string, error) {
		base, ok := strings.CutSuffix(cfg.Issuer, "/v2.0")
		if !ok {
			return "", fmt.Errorf("issuer is %q; Entra's is https://login.microsoftonline.com/TENANT/v2.0; for tokens of version 1.0 (https://sts.windows.net/TENANT/) write jwks, too", cfg.Issuer)
		}
		return base + "/discovery/v2.0/keys", nil
	},
	needsAudience: "the client id of the API's registration",
	// Version 1.0 tokens call it appid.
	client: []string{"azp", "appid"},
	mapping: config.ClaimMapping{
		UserID:    "oid", // sub differs from application to application
		OrgID:     "tid",
		Roles:     "roles",
		Scopes:    "scp",
		SessionID: "sid",
	},
	check: func(m *mapper, claims claimSet) error {
		tenant := claims.get("tid").identifier()
		if tenant == "" {
			return fmt.Errorf("there is no tid: %w", ErrClaimMissing)
		}
		if u, err := url.Parse(m.cfg.Issuer); err != nil || !loopback(u.Hostname()) && entraTenant(u) != tenant {
			return fmt.Errorf("tid is not the issuer's tenant: %w", ErrIssuer)
		}
		return nil
	},
	validate: func(cfg config.Issuer, u *url.URL, errs *config.Errors) {
		tenant := entraTenant(u)
		if loopback(u.Hostname()) || isGUID(tenant) {
			return
		}
		errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; iss names the tenant by its identifier, also where sign-in goes by a domain, common or organizations: write https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0 with your tenant's, one issuer a tenant", cfg.Issuer)
	},
}

// entraTenant gives the tenant in an issuer's path.
func entraTenant(u *url.URL) string {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return tenant
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
		default:
			return false
		}
	}
	return true
}

var oidcPreset = &preset{
	name:       "oidc",
	title:      "OpenID Connect",
	algorithms: asymmetric,
	tokenTypes: typeAccess,
	discovery:  true,
	client:     []string{"client_id", "azp"},
	mapping: config.ClaimMapping{
		UserID:    "sub",
		Roles:     "roles", // RFC 9068 section 2.2.3.1
		Scopes:    "scope",
		SessionID: "sid",
		Actor:     "act.sub", // RFC 8693 section 4.1
	},
}
