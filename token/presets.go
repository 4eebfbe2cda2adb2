package token

import (
	"maps"
	"slices"
)

// Preset describes an identity provider to people: `hopgate init` writes a
// configuration and a policy test from it.
type Preset struct {
	Name  string // as in preset: NAME
	Title string

	// Issuer, Audience and Party are examples of what to write for issuer,
	// audiences and authorized_parties; an empty one is not asked for. What
	// the user has to replace is in capitals or belongs to example.com.
	Issuer   string
	Audience string
	Party    string

	// ClientID is an example for client_ids, empty where it is not asked for.
	ClientID string

	// Comment says where to find these, one line each.
	Comment []string

	// Mapping says which claims fill the principal, one line a field.
	Mapping []string

	// Claims is what a token of the provider holds; with the examples above
	// it passes every check but those of signature and time. User is the
	// principal.user_id that comes of it.
	Claims map[string]any
	User   string
}

// Presets describes every identity provider that a configuration can name,
// in the order in which they should be shown. The caller may change the lists
// and add claims, but not what is inside one.
func Presets() []Preset {
	list := make([]Preset, 0, len(presets))
	for _, p := range presets {
		d := docs[p.name]
		d.Name, d.Title = p.name, p.title
		d.Comment, d.Mapping = slices.Clone(d.Comment), slices.Clone(d.Mapping)
		d.Claims = maps.Clone(d.Claims)
		d.Claims["iss"] = d.Issuer
		list = append(list, d)
	}
	return list
}

// docs holds the descriptions; Presets fills in names, titles and iss.
var docs = map[string]Preset{
	"clerk": {
		Issuer: "https://clerk.example.com",
		Party:  "https://app.example.com",
		Comment: []string{
			"issuer: the Frontend API URL (dashboard, API keys): https://clerk.DOMAIN, or https://SLUG.clerk.accounts.dev for development.",
			"authorized_parties: the origins of your front ends.",
		},
		Mapping: []string{
			"user_id: sub",
			"org_id, org_slug, org_role: the active organization (o of version 2, org_... of version 1); the role is without org:",
			"permissions: org:FEATURE:PERMISSION, but for system permissions (org:sys_...), which are in no session token",
			"session_id: sid",
			"actor: act.sub, who impersonates the user",
		},
		Claims: map[string]any{
			"azp": "https://app.example.com", "sub": "user_alice", "sid": "sess_1", "v": 2, "sts": "active", "fva": []int{5, -1},
			"fea": "o:members,o:billing",
			"o":   map[string]any{"id": "org_acme", "slg": "acme", "rol": "admin", "per": "read,manage", "fpm": "3,1"},
		},
		User: "user_alice",
	},
	"auth0": {
		Issuer:   "https://TENANT.auth0.com/",
		Audience: "https://api.example.com",
		Comment: []string{
			"issuer: https://, your tenant's domain (or the custom one) and a slash, which belongs to it.",
			"audiences: the API's identifier (dashboard, Applications, APIs).",
		},
		Mapping: []string{
			"user_id: sub",
			"org_id, org_slug: org_id, org_name",
			"permissions: permissions, with RBAC and \"Add Permissions in the Access Token\" switched on",
			"scopes: scope",
			"roles: none; an Action can add a claim such as https://example.com/roles, to be named in claims: { roles: ... }",
			"actor: act.sub",
		},
		Claims: map[string]any{
			"aud": []string{"https://api.example.com", "https://TENANT.auth0.com/userinfo"}, "azp": "my_client_id", "sub": "auth0|alice",
			"scope": "openid profile read:members", "permissions": []string{"read:members"}, "org_id": "org_acme", "org_name": "acme",
		},
		User: "auth0|alice",
	},
	"supabase": {
		Issuer: "https://REF.supabase.co/auth/v1",
		Comment: []string{
			"issuer: the project's URL and /auth/v1.",
			"A project that still signs with its JWT secret also needs secret: { file: ... } or secret: \"${SUPABASE_JWT_SECRET}\".",
		},
		Mapping: []string{
			"user_id: sub",
			"roles: role, which is the Postgres role (authenticated)",
			"session_id: session_id",
			"Claims of a hook are named in claims: { org_id: app_metadata.org_id }. Never use user_metadata: users write it themselves.",
			"Anonymous sign-ins are users, too: principal.claims.is_anonymous tells.",
		},
		Claims: map[string]any{
			"aud": "authenticated", "sub": "11111111-2222-4333-8444-555555555555", "role": "authenticated", "aal": "aal1", "session_id": "session-1",
			"is_anonymous": false, "email": "alice@example.com", "app_metadata": map[string]any{"provider": "email"}, "user_metadata": map[string]any{},
		},
		User: "11111111-2222-4333-8444-555555555555",
	},
	"firebase": {
		Issuer: "https://securetoken.google.com/PROJECT",
		Comment: []string{
			"issuer: ends in the project's identifier (console, project settings), which is the audience as well.",
		},
		Mapping: []string{
			"user_id: sub",
			"org_id: firebase.tenant, with Identity Platform's multi-tenancy",
			"Custom claims stand at the top and are named in claims: { roles: roles }.",
		},
		Claims: map[string]any{
			"aud": "PROJECT", "sub": "alice", "user_id": "alice", "iat": int64(1767225600), "auth_time": int64(1767225000),
			"email": "alice@example.com", "firebase": map[string]any{"sign_in_provider": "password", "identities": map[string]any{}},
		},
		User: "alice",
	},
	"cognito": {
		Issuer:   "https://cognito-idp.REGION.amazonaws.com/POOL",
		ClientID: "CLIENT",
		Comment: []string{
			"issuer: REGION and POOL as in the user pool's id, such as eu-west-1 and eu-west-1_AbCdEfGhI.",
			"client_ids: the app clients whose tokens are accepted: access tokens by client_id, id tokens by aud.",
			"audiences instead of client_ids accepts id tokens alone, which have aud and not client_id.",
		},
		Mapping: []string{
			"user_id: sub",
			"roles: cognito:groups",
			"scopes: scope, in access tokens",
			"session_id: origin_jti, the same for all tokens of one sign-in",
		},
		Claims: map[string]any{
			"token_use": "access", "client_id": "CLIENT", "sub": "alice-sub", "username": "alice", "scope": "openid members/read",
			"cognito:groups": []string{"admins"}, "origin_jti": "origin-1",
		},
		User: "alice-sub",
	},
	"keycloak": {
		Issuer:   "https://HOST/realms/REALM",
		Audience: "my-api",
		Comment: []string{
			"issuer: as in the realm's OpenID endpoint configuration; older servers have /auth/realms/REALM.",
			"audiences: the API's client; give the front end's client an audience mapper for it. Or authorized_parties: the front end's client.",
			"client_ids: clients whose roles (resource_access) count beside the realm's.",
		},
		Mapping: []string{
			"user_id: sub",
			"roles: realm_access.roles, and resource_access.CLIENT.roles of each of client_ids",
			"scopes: scope",
			"org_id, org_slug: where organization names exactly one; its id if the mapper adds it, else its alias",
			"session_id: sid",
			"actor: act.sub",
		},
		Claims: map[string]any{
			"typ": "Bearer", "aud": "my-api", "azp": "my-app", "sub": "alice-sub", "sid": "session-1", "scope": "openid profile", "preferred_username": "alice",
			"realm_access": map[string]any{"roles": []string{"admin"}}, "organization": []string{"acme"},
		},
		User: "alice-sub",
	},
	"workos": {
		Issuer: "https://api.workos.com/user_management/client_ID",
		Comment: []string{
			"issuer: as the dashboard shows it; where it does not end in the client's id, write that under client_ids.",
		},
		Mapping: []string{
			"user_id: sub",
			"org_id: org_id",
			"org_role: role",
			"roles, permissions: roles (or role), permissions",
			"session_id: sid",
			"actor: act.sub, who impersonates the user",
		},
		Claims: map[string]any{
			"sub": "user_alice", "sid": "session_1", "org_id": "org_acme", "role": "admin", "roles": []string{"admin"},
			"permissions": []string{"members:read"}, "entitlements": []string{"audit-logs"},
		},
		User: "user_alice",
	},
	"okta": {
		Issuer:   "https://ORG.okta.com/oauth2/default",
		Audience: "api://default",
		Comment: []string{
			"issuer: a custom authorization server (Security, API); tokens of the org's own cannot be verified by others.",
			"audiences: that server's audience.",
			"client_ids: the applications whose tokens are accepted (cid). Default: any.",
		},
		Mapping: []string{
			"user_id: uid; in tokens that have none, sub",
			"roles: groups, with a groups claim added to the server",
			"scopes: scp",
		},
		Claims: map[string]any{
			"aud": "api://default", "cid": "0oaclient", "uid": "00ualice", "sub": "alice@example.com", "scp": []string{"openid", "members.read"}, "groups": []string{"admins"},
		},
		User: "00ualice",
	},
	"entra": {
		Issuer:   "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
		Audience: "11111111-1111-1111-1111-111111111111",
		Comment: []string{
			"issuer: with your tenant's id; a multi-tenant API lists one issuer a tenant.",
			"audiences: the client id of the API's registration, whose accessTokenAcceptedVersion (requestedAccessTokenVersion) is 2.",
			"client_ids: the applications whose tokens are accepted (azp). Default: any.",
		},
		Mapping: []string{
			"user_id: oid, the same in all applications of the tenant",
			"org_id: tid",
			"roles: roles, the application roles",
			"scopes: scp",
			"session_id: sid",
		},
		Claims: map[string]any{
			"aud": "11111111-1111-1111-1111-111111111111", "azp": "22222222-2222-2222-2222-222222222222", "sub": "pairwise", "oid": "33333333-3333-3333-3333-333333333333",
			"tid": "00000000-0000-0000-0000-000000000000", "scp": "Members.Read", "roles": []string{"admin"}, "ver": "2.0",
		},
		User: "33333333-3333-3333-3333-333333333333",
	},
	"oidc": {
		Issuer:   "https://issuer.example.com",
		Audience: "https://api.example.com",
		Comment: []string{
			"issuer: exactly as in the issuer's /.well-known/openid-configuration, where the keys are found.",
			"audiences: what the issuer writes into aud for this API.",
		},
		Mapping: []string{
			"user_id: sub",
			"roles: roles",
			"scopes: scope",
			"session_id: sid",
			"actor: act.sub",
			"Other claims are named in claims: { org_id: tenant, permissions: \"https://example.com/permissions\" }.",
		},
		Claims: map[string]any{
			"aud": "https://api.example.com", "sub": "alice", "scope": "openid members:read", "roles": []string{"admin"},
		},
		User: "alice",
	},
}
