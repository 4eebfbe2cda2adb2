package token

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// providerCase is a token in the shape that a provider documents, and what
// is made of it.
type providerCase struct {
	name    string
	issuer  config.Issuer
	claims  string // JSON, without iss, iat and exp
	want    *Principal
	fault   *Fault // where not nil, nothing else is expected
	harmful bool   // the fault is of the registered claims: only the whole verifier finds it
}

const (
	entraIssuer = "https://login.microsoftonline.com/aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb/v2.0"
	supaClaims  = `"sub":"123e4567-e89b-12d3-a456-426614174000","role":"authenticated","aal":"aal1","session_id":"6f1f3a2e","email":"a@example.com","phone":"","is_anonymous":false,
		"app_metadata":{"provider":"email","providers":["email"],"org":"org_1","roles":["editor"]},"user_metadata":{"org":"org_2","roles":["admin"]},"amr":[{"method":"password","timestamp":1640991600}]`
)

var (
	clerkIssuer    = config.Issuer{Preset: "clerk", Issuer: "https://clerk.example.com", AuthorizedParties: []string{"https://example.com"}}
	auth0Issuer    = config.Issuer{Preset: "auth0", Issuer: "https://my-domain.auth0.com/", Audiences: []string{"https://example.com/health-api"}}
	supabaseIssuer = config.Issuer{Preset: "supabase", Issuer: "https://ref.supabase.co/auth/v1"}
	fireIssuer     = config.Issuer{Preset: "firebase", Issuer: "https://securetoken.google.com/my-project"}
	cognitoIssuer  = config.Issuer{Preset: "cognito", Issuer: "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example", ClientIDs: []string{"57cbishk4j24pabc1234567890"}}
	kcIssuer       = config.Issuer{Preset: "keycloak", Issuer: "https://sso.example.com/realms/demo", Audiences: []string{"account"}, ClientIDs: []string{"my-api"}}
	workosIssuer   = config.Issuer{Preset: "workos", Issuer: "https://api.workos.com/user_management/client_123"}
	oktaIssuer     = config.Issuer{Preset: "okta", Issuer: "https://org.okta.com/oauth2/default", Audiences: []string{"api://default"}}
	entra          = config.Issuer{Preset: "entra", Issuer: entraIssuer, Audiences: []string{"api-client"}}
	plainIssuer    = config.Issuer{Preset: "oidc", Issuer: "https://issuer.example.com"}
)

func with(i config.Issuer, change func(*config.Issuer)) config.Issuer { change(&i); return i }

var providerCases = []providerCase{
	{
		name: "Clerk version 2", issuer: clerkIssuer,
		claims: `{"azp":"https://example.com","fva":[7,-1],"jti":"a1b2","nbf":1713158390,"sid":"sess_123","sts":"active","sub":"user_123","v":2,"pla":"u:free,o:pro",
			"fea":"o:dashboard,o:teams","o":{"id":"org_123","slg":"org-slug","rol":"admin","per":"manage,read","fpm":"3,2"}}`,
		want: &Principal{UserID: "user_123", OrgID: "org_123", OrgSlug: "org-slug", OrgRole: "admin", Roles: []string{"admin"}, SessionID: "sess_123",
			Permissions: []string{"org:dashboard:manage", "org:dashboard:read", "org:teams:read"}},
	},
	{
		name: "Clerk version 2 without organization, impersonated, no azp", issuer: clerkIssuer,
		claims: `{"sid":"sess_123","sub":"user_123","v":2,"fea":"u:beta","act":{"iss":"https://dashboard.clerk.com","sid":"sess_456","sub":"user_456"}}`,
		want:   &Principal{UserID: "user_123", SessionID: "sess_123", Actor: "user_456"},
	},
	{
		name: "Clerk version 1", issuer: clerkIssuer,
		claims: `{"azp":"https://example.com","sid":"sess_123","sub":"user_123","org_id":"org_123","org_slug":"org-slug","org_role":"org:admin","org_permissions":["org:teams:read","org:teams:manage"]}`,
		want: &Principal{UserID: "user_123", OrgID: "org_123", OrgSlug: "org-slug", OrgRole: "admin", Roles: []string{"admin"}, SessionID: "sess_123",
			Permissions: []string{"org:teams:read", "org:teams:manage"}},
	},
	{
		name: "Clerk version 2 does not read the claims of version 1", issuer: clerkIssuer,
		claims: `{"sub":"user_123","v":2,"org_id":"org_9","org_role":"org:admin","org_permissions":["org:a:b"]}`,
		want:   &Principal{UserID: "user_123"},
	},
	{
		name: "Clerk version 1 does not read the claims of version 2", issuer: clerkIssuer,
		claims: `{"sub":"user_123","fea":"o:a","o":{"id":"org_9","rol":"admin","per":"b","fpm":"1"}}`,
		want:   &Principal{UserID: "user_123"},
	},
	{
		name: "Clerk, a version to come", issuer: clerkIssuer,
		claims: `{"sub":"user_123","v":3,"org_id":"org_9","o":{"id":"org_9","rol":"admin"}}`,
		want:   &Principal{UserID: "user_123"},
	},
	{name: "Clerk pending", issuer: clerkIssuer, claims: `{"sub":"user_123","sid":"sess_123","v":2,"sts":"pending"}`, fault: ErrPending},
	{
		name: "Clerk pending allowed", issuer: with(clerkIssuer, func(i *config.Issuer) { i.AllowPending = true }),
		claims: `{"sub":"user_123","sid":"sess_123","v":2,"sts":"pending"}`,
		want:   &Principal{UserID: "user_123", SessionID: "sess_123"},
	},
	{name: "Clerk for another site", issuer: clerkIssuer, claims: `{"sub":"user_123","v":2,"azp":"https://evil.example"}`, fault: ErrParty, harmful: true},
	{name: "Clerk without sub", issuer: clerkIssuer, claims: `{"sid":"sess_123","v":2}`, fault: ErrClaimMissing},

	{
		name: "Auth0 default profile", issuer: auth0Issuer,
		claims: `{"sub":"auth0|123456","aud":["https://example.com/health-api","https://my-domain.auth0.com/userinfo"],"azp":"my_client_id","scope":"openid profile read:patients read:admin",
			"permissions":["read:patients"],"org_id":"org_abc","org_name":"acme"}`,
		want: &Principal{UserID: "auth0|123456", OrgID: "org_abc", OrgSlug: "acme", Permissions: []string{"read:patients"}, Scopes: []string{"openid", "profile", "read:patients", "read:admin"}},
	},
	{
		name: "Auth0 RFC 9068 profile with client_ids and a namespaced claim", issuer: with(auth0Issuer, func(i *config.Issuer) {
			i.ClientIDs = []string{"my_client_id"}
			i.Claims.Roles = "https://example.com/roles"
		}),
		claims: `{"sub":"auth0|123456","aud":"https://example.com/health-api","client_id":"my_client_id","jti":"73Wa","scope":"openid","https://example.com/roles":["admin","support"]}`,
		want:   &Principal{UserID: "auth0|123456", Roles: []string{"admin", "support"}, Scopes: []string{"openid"}},
	},
	{name: "Auth0 for the userinfo endpoint", issuer: auth0Issuer, claims: `{"sub":"auth0|1","aud":"https://my-domain.auth0.com/userinfo"}`, fault: ErrAudience, harmful: true},
	{
		name: "Auth0 of another client", issuer: with(auth0Issuer, func(i *config.Issuer) { i.ClientIDs = []string{"mine"} }),
		claims: `{"sub":"auth0|1","aud":"https://example.com/health-api","azp":"other"}`, fault: ErrParty,
	},
	{
		name: "Auth0 of no client", issuer: with(auth0Issuer, func(i *config.Issuer) { i.ClientIDs = []string{"mine"} }),
		claims: `{"sub":"auth0|1","aud":"https://example.com/health-api"}`, fault: ErrParty,
	},

	{
		name: "Supabase", issuer: supabaseIssuer, claims: `{"aud":"authenticated",` + supaClaims + `}`,
		want: &Principal{UserID: "123e4567-e89b-12d3-a456-426614174000", Roles: []string{"authenticated"}, SessionID: "6f1f3a2e"},
	},
	{
		name: "Supabase with app_metadata", issuer: with(supabaseIssuer, func(i *config.Issuer) {
			i.Claims = config.ClaimMapping{OrgID: "app_metadata.org", Roles: "app_metadata.roles"}
		}),
		claims: `{"aud":["authenticated"],` + supaClaims + `}`,
		want:   &Principal{UserID: "123e4567-e89b-12d3-a456-426614174000", OrgID: "org_1", Roles: []string{"editor"}, SessionID: "6f1f3a2e"},
	},
	{name: "Supabase anonymous key", issuer: supabaseIssuer, claims: `{"aud":"anon","role":"anon","sub":"x"}`, fault: ErrAudience, harmful: true},

	{
		name: "Firebase", issuer: fireIssuer,
		claims: `{"aud":"my-project","auth_time":AUTH,"user_id":"abc","sub":"abc","email":"a@example.com","email_verified":true,"admin":true,"roles":["editor"],
			"firebase":{"identities":{"email":["a@example.com"]},"sign_in_provider":"password","tenant":"tenant-1"}}`,
		want: &Principal{UserID: "abc", OrgID: "tenant-1"},
	},
	{name: "Firebase auth_time in the future", issuer: fireIssuer, claims: `{"aud":"my-project","auth_time":FUTURE,"sub":"abc"}`, fault: ErrNotYetValid},
	{name: "Firebase auth_time as a text", issuer: fireIssuer, claims: `{"aud":"my-project","auth_time":"1","sub":"abc"}`, fault: ErrClaimMissing},
	{name: "Firebase without auth_time", issuer: fireIssuer, claims: `{"aud":"my-project","sub":"abc"}`, fault: ErrClaimMissing},
	{name: "Firebase empty sub", issuer: fireIssuer, claims: `{"aud":"my-project","auth_time":AUTH,"sub":""}`, fault: ErrClaimMissing},
	{name: "Firebase of another project", issuer: fireIssuer, claims: `{"aud":"other-project","auth_time":AUTH,"sub":"abc"}`, fault: ErrAudience, harmful: true},

	{
		name: "Cognito access token", issuer: cognitoIssuer,
		claims: `{"sub":"aaaaaaaa-bbbb","cognito:groups":["testgroup"],"version":2,"client_id":"57cbishk4j24pabc1234567890","origin_jti":"origin-1","token_use":"access","scope":"phone openid profile email","auth_time":1676313851,"username":"my-test-user"}`,
		want:   &Principal{UserID: "aaaaaaaa-bbbb", Roles: []string{"testgroup"}, Scopes: []string{"phone", "openid", "profile", "email"}, SessionID: "origin-1"},
	},
	{
		name: "Cognito id token", issuer: cognitoIssuer,
		claims: `{"sub":"aaaaaaaa-bbbb","cognito:groups":["testgroup"],"cognito:username":"my-test-user","aud":"57cbishk4j24pabc1234567890","origin_jti":"origin-1","token_use":"id","auth_time":1676313851}`,
		want:   &Principal{UserID: "aaaaaaaa-bbbb", Roles: []string{"testgroup"}, SessionID: "origin-1"},
	},
	{name: "Cognito access token of another client", issuer: cognitoIssuer, claims: `{"sub":"a","token_use":"access","client_id":"other"}`, fault: ErrParty},
	{name: "Cognito access token of no client", issuer: cognitoIssuer, claims: `{"sub":"a","token_use":"access","aud":"57cbishk4j24pabc1234567890"}`, fault: ErrParty},
	{name: "Cognito id token of another client", issuer: cognitoIssuer, claims: `{"sub":"a","token_use":"id","aud":"other","client_id":"57cbishk4j24pabc1234567890"}`, fault: ErrAudience},
	{name: "Cognito refresh token", issuer: cognitoIssuer, claims: `{"sub":"a","token_use":"refresh"}`, fault: ErrType},
	{name: "Cognito token_use missing", issuer: cognitoIssuer, claims: `{"sub":"a","client_id":"57cbishk4j24pabc1234567890"}`, fault: ErrClaimMissing},
	{
		name: "Cognito id token for nobody in particular", issuer: with(cognitoIssuer, func(i *config.Issuer) { i.ClientIDs = nil }),
		claims: `{"sub":"a","token_use":"id","aud":"x"}`, fault: ErrType,
	},
	{
		name: "Cognito access token where only id tokens are accepted", issuer: with(cognitoIssuer, func(i *config.Issuer) { i.ClientIDs, i.Audiences = nil, []string{"x"} }),
		claims: `{"sub":"a","token_use":"access","client_id":"x"}`, fault: ErrAudience, harmful: true,
	},

	{
		name: "Keycloak", issuer: kcIssuer,
		claims: `{"jti":"onrtac:1","aud":"account","sub":"36fa0f91","typ":"Bearer","azp":"something","sid":"2a88c258","acr":"1","allowed-origins":["http://localhost:5173"],
			"realm_access":{"roles":["offline_access","uma_authorization","admin"]},
			"resource_access":{"my-api":{"roles":["editor","admin"]},"account":{"roles":["manage-account"]}},
			"scope":"email profile","organization":["acme-corp"],"preferred_username":"alice"}`,
		want: &Principal{UserID: "36fa0f91", OrgID: "acme-corp", OrgSlug: "acme-corp", Roles: []string{"offline_access", "uma_authorization", "admin", "editor"}, Scopes: []string{"email", "profile"}, SessionID: "2a88c258"},
	},
	{
		name: "Keycloak, organization with its id", issuer: kcIssuer,
		claims: `{"aud":"account","sub":"36fa0f91","typ":"Bearer","organization":{"acme-corp":{"id":"a56bea03","tier":["gold"]}}}`,
		want:   &Principal{UserID: "36fa0f91", OrgID: "a56bea03", OrgSlug: "acme-corp"},
	},
	{
		name: "Keycloak, several organizations", issuer: kcIssuer,
		claims: `{"aud":"account","sub":"36fa0f91","typ":"Bearer","organization":{"acme-corp":{"id":"1"},"startup-co":{"id":"2"}}}`,
		want:   &Principal{UserID: "36fa0f91"},
	},
	{
		name: "Keycloak, client id with dots", issuer: with(kcIssuer, func(i *config.Issuer) { i.ClientIDs = []string{"api.example.com"} }),
		claims: `{"aud":"account","sub":"36fa0f91","resource_access":{"api.example.com":{"roles":["editor"]}}}`,
		want:   &Principal{UserID: "36fa0f91", Roles: []string{"editor"}},
	},
	{name: "Keycloak id token", issuer: kcIssuer, claims: `{"aud":"account","sub":"36fa0f91","typ":"ID"}`, fault: ErrType},
	{name: "Keycloak refresh token", issuer: kcIssuer, claims: `{"aud":"account","sub":"36fa0f91","typ":"Refresh"}`, fault: ErrType},
	{name: "Keycloak for another client", issuer: kcIssuer, claims: `{"aud":"other","sub":"36fa0f91","typ":"Bearer"}`, fault: ErrAudience, harmful: true},

	{
		name: "WorkOS", issuer: workosIssuer,
		claims: `{"sub":"user_01HBEQ","act":{"sub":"admin@foocorp.com"},"org_id":"org_01HRDM","role":"member","roles":["member","billing"],"permissions":["posts:read","posts:write"],"entitlements":["audit-logs"],"sid":"session_01HQ","jti":"01HQ"}`,
		want: &Principal{UserID: "user_01HBEQ", OrgID: "org_01HRDM", OrgRole: "member", Roles: []string{"member", "billing"}, Permissions: []string{"posts:read", "posts:write"},
			SessionID: "session_01HQ", Actor: "admin@foocorp.com"},
	},
	{
		name: "WorkOS without roles", issuer: workosIssuer, claims: `{"sub":"user_01HBEQ","org_id":"org_01HRDM","role":"member","sid":"session_01HQ"}`,
		want: &Principal{UserID: "user_01HBEQ", OrgID: "org_01HRDM", OrgRole: "member", Roles: []string{"member"}, SessionID: "session_01HQ"},
	},
	{
		name: "WorkOS of another client", issuer: with(workosIssuer, func(i *config.Issuer) { i.ClientIDs = []string{"client_123"} }),
		claims: `{"sub":"user_01HBEQ","client_id":"client_456"}`, fault: ErrParty,
	},

	{
		name: "Okta", issuer: oktaIssuer,
		claims: `{"ver":1,"jti":"AT.0mP4","aud":"api://default","cid":"0oa1","uid":"00u1","scp":["openid","items.read"],"auth_time":1449624026,"sub":"a@example.com","groups":["Everyone","Org Admins"]}`,
		want:   &Principal{UserID: "00u1", Roles: []string{"Everyone", "Org Admins"}, Scopes: []string{"openid", "items.read"}},
	},
	{
		name: "Okta, a client itself", issuer: with(oktaIssuer, func(i *config.Issuer) { i.ClientIDs = []string{"0oa1"} }),
		claims: `{"ver":1,"aud":"api://default","cid":"0oa1","scp":["items.read"],"sub":"0oa1"}`,
		want:   &Principal{UserID: "0oa1", Scopes: []string{"items.read"}},
	},
	{
		name: "Okta of another client", issuer: with(oktaIssuer, func(i *config.Issuer) { i.ClientIDs = []string{"0oa1"} }),
		claims: `{"aud":"api://default","cid":"0oa2","uid":"00u1","sub":"a@example.com"}`, fault: ErrParty,
	},
	{name: "Okta for another API", issuer: oktaIssuer, claims: `{"aud":"api://other","cid":"0oa1","uid":"00u1","sub":"a@example.com"}`, fault: ErrAudience, harmful: true},

	{
		name: "Entra", issuer: entra,
		claims: `{"aud":"api-client","azp":"spa-client","azpacr":"0","name":"A","oid":"00000000-0000-0000-66f3","preferred_username":"a@example.com","rh":"I","scp":"Files.Read User.Read","roles":["Writer"],
			"sub":"HKZpfaHy","tid":"aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb","uti":"fqi","sid":"s1","ver":"2.0"}`,
		want: &Principal{UserID: "00000000-0000-0000-66f3", OrgID: "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", Roles: []string{"Writer"}, Scopes: []string{"Files.Read", "User.Read"}, SessionID: "s1"},
	},
	{name: "Entra, tid of another tenant", issuer: entra, claims: `{"aud":"api-client","oid":"1","tid":"cccccccc-0000-1111-2222-bbbbbbbbbbbb"}`, fault: ErrIssuer},
	{name: "Entra without tid", issuer: entra, claims: `{"aud":"api-client","oid":"1"}`, fault: ErrClaimMissing},
	{name: "Entra without oid", issuer: entra, claims: `{"aud":"api-client","sub":"1","tid":"aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb"}`, fault: ErrClaimMissing},
	{
		name: "Entra of another client", issuer: with(entra, func(i *config.Issuer) { i.ClientIDs = []string{"spa-client"} }),
		claims: `{"aud":"api-client","azp":"evil","oid":"1","tid":"aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb"}`, fault: ErrParty,
	},
	{name: "Entra for another API", issuer: entra, claims: `{"aud":"00000003-0000-0000-c000-000000000000","oid":"1","tid":"aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb"}`, fault: ErrAudience, harmful: true},

	{
		name: "OpenID Connect", issuer: plainIssuer, claims: `{"sub":"alice","scope":"openid email","sid":"s1","roles":["a"],"act":{"sub":"bob"}}`,
		want: &Principal{UserID: "alice", Roles: []string{"a"}, Scopes: []string{"openid", "email"}, SessionID: "s1", Actor: "bob"},
	},
	{
		name: "OpenID Connect, every claim named", issuer: with(plainIssuer, func(i *config.Issuer) {
			i.Claims = config.ClaimMapping{UserID: "uid", OrgID: "tenant.id", OrgSlug: "tenant.name", OrgRole: "tenant.role", Roles: "cognito:groups",
				Permissions: "https://example.com/app.permissions", Scopes: "scp", SessionID: "https://example.com/session", Actor: "on_behalf"}
		}),
		claims: `{"sub":"x","uid":42,"tenant":{"id":"t1","name":"acme","role":"owner"},"cognito:groups":["g 1"],"https://example.com/app":{"permissions":"p1 p2"},
			"scp":["s"],"https://example.com/session":"s9","on_behalf":"bob"}`,
		want: &Principal{UserID: "42", OrgID: "t1", OrgSlug: "acme", OrgRole: "owner", Roles: []string{"g 1"}, Permissions: []string{"p1", "p2"}, Scopes: []string{"s"}, SessionID: "s9", Actor: "bob"},
	},
	{
		name: "OpenID Connect, claims of other types", issuer: plainIssuer, claims: `{"sub":"alice","scope":[1,"admin"],"sid":{"a":1},"roles":{"admin":true},"act":"bob"}`,
		want: &Principal{UserID: "alice"},
	},
	{name: "OpenID Connect, sub is a list", issuer: plainIssuer, claims: `{"sub":["alice"]}`, fault: ErrClaimMissing},
	{name: "OpenID Connect, sub is null", issuer: plainIssuer, claims: `{"sub":null}`, fault: ErrClaimMissing},
	{
		name: "OpenID Connect, the named claim is absent", issuer: with(plainIssuer, func(i *config.Issuer) { i.Claims.UserID = "uid" }),
		claims: `{"sub":"alice"}`, fault: ErrClaimMissing,
	},
}

var testTime = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// caseClaims gives the claims of a case with iss, iat and exp.
func caseClaims(t *testing.T, c *providerCase) map[string]any {
	t.Helper()
	text := strings.NewReplacer("AUTH", fmt.Sprint(testTime.Unix()-600), "FUTURE", fmt.Sprint(testTime.Unix()+600)).Replace(c.claims)
	claims, err := decodeClaims([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	claims["iss"] = c.issuer.Issuer
	claims["iat"] = testTime.Unix()
	claims["exp"] = testTime.Unix() + 60
	return claims
}

func TestPrincipalOfProviders(t *testing.T) {
	for _, c := range providerCases {
		if c.harmful {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			claims := caseClaims(t, &c)
			p, err := principalFromClaims(c.issuer, "main", claims)
			if c.fault != nil {
				if !errors.Is(err, c.fault) || p != nil {
					t.Fatalf("principal %v, error %v; want %v", p, err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(p.Claims(), claims) {
				t.Errorf("claims %v, want %v", p.Claims(), claims)
			}
			checkPrincipal(t, p, &c)
		})
	}
}

func checkPrincipal(t *testing.T, p *Principal, c *providerCase) {
	t.Helper()
	if p.Issuer != c.issuer.Issuer || p.IssuerName != "main" || p.Preset != c.issuer.Preset || !p.ExpiresAt.Equal(testTime.Add(time.Minute)) {
		t.Errorf("issuer %q %q %q, expires %v", p.Issuer, p.IssuerName, p.Preset, p.ExpiresAt)
	}
	want := &Principal{Issuer: p.Issuer, IssuerName: p.IssuerName, Preset: p.Preset, ExpiresAt: p.ExpiresAt}
	if c.want != nil {
		for i, t := range c.want.texts() {
			*want.texts()[i] = *t
		}
		want.Roles, want.Permissions, want.Scopes = c.want.Roles, c.want.Permissions, c.want.Scopes
	}
	if !samePrincipal(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

// samePrincipal compares all that is known of two principals but their
// claims.
func samePrincipal(a, b *Principal) bool {
	for i, t := range a.texts() {
		if *t != *b.texts()[i] {
			return false
		}
	}
	for i, list := range a.lists() {
		if !slices.Equal(list, b.lists()[i]) {
			return false
		}
	}
	return a.Issuer == b.Issuer && a.IssuerName == b.IssuerName && a.Preset == b.Preset && a.ExpiresAt.Equal(b.ExpiresAt)
}

func TestPresetsCoverTheConfiguration(t *testing.T) {
	field, _ := reflect.TypeFor[config.Issuer]().FieldByName("Preset")
	want := strings.Split(field.Tag.Get("enum"), ",")
	var got []string
	for _, p := range Presets() {
		got = append(got, p.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("presets %q, the configuration allows %q", got, want)
	}
}

// What hopgate init writes must pass hopgate check, and the sample claims
// the preset's checks.
func TestPresetExamples(t *testing.T) {
	for _, p := range Presets() {
		t.Run(p.Name, func(t *testing.T) {
			cfg := config.Issuer{Preset: p.Name, Issuer: p.Issuer}
			for _, set := range []struct {
				to   *[]string
				from string
			}{{&cfg.Audiences, p.Audience}, {&cfg.AuthorizedParties, p.Party}, {&cfg.ClientIDs, p.ClientID}} {
				if set.from != "" {
					*set.to = []string{set.from}
				}
			}
			var errs config.Errors
			checkPreset(cfg, &errs)
			if errs.Err() != nil || len(errs.Warnings()) > 0 {
				t.Errorf("%v %v", errs.Err(), errs.Warnings())
			}
			full := withPreset(cfg)
			if full.JWKS.URL == "" && full.JWKS.Discovery == "" {
				t.Error("no keys")
			}
			who, err := principalFromClaims(cfg, "main", p.Claims)
			if err != nil {
				t.Fatal(err)
			}
			if who.UserID != p.User || p.User == "" {
				t.Errorf("user %q, want %q", who.UserID, p.User)
			}
			set, _, err := claimSetOf(p.Claims)
			if err != nil {
				t.Fatal(err)
			}
			if len(full.Audiences) > 0 && !set.get("aud").anyOf(full.Audiences) {
				t.Errorf("aud %v, accepted %q", who.Claims()["aud"], full.Audiences)
			}
			for _, name := range full.RequiredClaims {
				if _, ok := who.Claims()[name]; !ok {
					t.Errorf("claim %s is missing", name)
				}
			}
			if p.Title == "" || len(p.Comment) == 0 || len(p.Mapping) == 0 {
				t.Error("not described")
			}
		})
	}
}

func TestCheckPreset(t *testing.T) {
	issuer := func(preset, address string) config.Issuer { return config.Issuer{Preset: preset, Issuer: address} }
	for _, c := range []struct {
		name string
		cfg  config.Issuer
		want string // part of the first fault; empty means none
	}{
		{"clerk", clerkIssuer, ""},
		{"clerk in a test", issuer("clerk", "http://127.0.0.1:4000"), ""},
		{"clerk unencrypted", issuer("clerk", "http://clerk.example.com"), "should start with https://"},
		{"clerk slash", issuer("clerk", "https://clerk.example.com/"), `write "https://clerk.example.com"`},
		{"clerk path", issuer("clerk", "https://clerk.example.com/v1"), "has no path"},
		{"clerk publishable key", issuer("clerk", "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"), "https://clerk.example.com"},
		{"clerk host", issuer("clerk", "clerk.example.com"), "provider's address, such as https://clerk.example.com"},
		{"clerk client_ids", with(clerkIssuer, func(i *config.Issuer) { i.ClientIDs = []string{"x"} }), "no claim names the client"},
		{"auth0", auth0Issuer, ""},
		{"auth0 slash", with(auth0Issuer, func(i *config.Issuer) { i.Issuer = "https://t.auth0.com" }), `write "https://t.auth0.com/"`},
		{"auth0 audience", issuer("auth0", "https://t.auth0.com/"), "audiences is missing; with preset auth0 it should be the API's identifier"},
		{"supabase", supabaseIssuer, ""},
		{"supabase path", issuer("supabase", "https://ref.supabase.co/"), `write "https://ref.supabase.co/auth/v1"`},
		{"firebase", fireIssuer, ""},
		{"firebase issuer", issuer("firebase", "https://my-project.firebaseapp.com"), "Firebase's is https://securetoken.google.com/PROJECT"},
		{"firebase audience", with(fireIssuer, func(i *config.Issuer) { i.Audiences = []string{"other"} }), `"my-project": leave audiences out`},
		{"firebase same audience", with(fireIssuer, func(i *config.Issuer) { i.Audiences = []string{"my-project"} }), ""},
		{"cognito", cognitoIssuer, ""},
		{"cognito issuer", issuer("cognito", "https://cognito-idp.eu-west-1.amazonaws.com"), "amazonaws.com/POOL"},
		{"keycloak", kcIssuer, ""},
		{"keycloak issuer", issuer("keycloak", "https://sso.example.com"), "https://HOST/realms/REALM"},
		{"workos", workosIssuer, ""},
		{"workos old issuer", issuer("workos", "https://api.workos.com"), "write client_ids"},
		{"workos old issuer with client", config.Issuer{Preset: "workos", Issuer: "https://api.workos.com", ClientIDs: []string{"client_1"}}, ""},
		{"okta", oktaIssuer, ""},
		{"okta org server", with(oktaIssuer, func(i *config.Issuer) { i.Issuer = "https://org.okta.com" }), "org authorization server"},
		{"okta audience", with(oktaIssuer, func(i *config.Issuer) { i.Audiences = nil }), "api://default"},
		{"entra", entra, ""},
		{"entra common", with(entra, func(i *config.Issuer) { i.Issuer = "https://login.microsoftonline.com/common/v2.0" }), "one issuer a tenant"},
		{"entra domain", with(entra, func(i *config.Issuer) { i.Issuer = "https://login.microsoftonline.com/example.com/v2.0" }), "names the tenant by its identifier"},
		{"entra version 1", with(entra, func(i *config.Issuer) { i.Issuer = "https://sts.windows.net/aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb/" }), "write jwks, too"},
		{"entra audience", with(entra, func(i *config.Issuer) { i.Audiences = nil }), "client id of the API"},
		{"oidc", plainIssuer, ""},
		{"oidc any iss with keys", config.Issuer{Preset: "oidc", Issuer: "accounts", JWKS: config.JWKS{File: "keys.json"}}, ""},
		{"oidc any iss with a secret", config.Issuer{Preset: "oidc", Issuer: "accounts", Secret: config.NewSecret("x")}, ""},
		{"oidc any iss without keys", issuer("oidc", "accounts"), "provider's address"},
		{"query", issuer("oidc", "https://issuer.example.com?x=1"), "no query"},
		{"unencrypted with keys", config.Issuer{Preset: "oidc", Issuer: "http://issuer.internal", JWKS: config.JWKS{File: "keys.json"}}, ""},
		{"user_metadata", with(supabaseIssuer, func(i *config.Issuer) { i.Claims.Roles = "user_metadata.roles" }), "user_metadata is writable by the users themselves"},
		{"user_metadata below", with(plainIssuer, func(i *config.Issuer) { i.Claims.OrgID = "https://example.com/user_metadata.org" }), "writable by the users"},
		{"unsafe_metadata", with(clerkIssuer, func(i *config.Issuer) { i.Claims.OrgID = "unsafe_metadata.org" }), "writable by the users"},
		{"place of two kinds", with(plainIssuer, func(i *config.Issuer) { i.Tokens = []config.TokenPlace{{Header: "X", Cookie: "y"}} }), "exactly one"},
		{"place Cookie", with(plainIssuer, func(i *config.Issuer) { i.Tokens = []config.TokenPlace{{Header: "cookie"}} }), "field that can hold a token"},
		{"place all cookies", with(plainIssuer, func(i *config.Issuer) { i.Tokens = []config.TokenPlace{{Cookie: "*"}} }), "cookie's name"},
		{"place odd parameter", with(plainIssuer, func(i *config.Issuer) { i.Tokens = []config.TokenPlace{{Query: "a=b"}} }), "parameter's name"},
	} {
		var errs config.Errors
		checkPreset(c.cfg, &errs)
		err := errs.Err()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	var errs config.Errors
	checkPreset(config.Issuer{Preset: "clerk", Issuer: "https://clerk.example.com"}, &errs)
	checkPreset(with(cognitoIssuer, func(i *config.Issuer) { i.Claims.OrgID = "custom:org" }), &errs)
	if len(errs.Warnings()) != 2 || errs.Err() != nil {
		t.Errorf("warnings %v, faults %v", errs.Warnings(), errs.Err())
	}
}

func TestWithPreset(t *testing.T) {
	secret := config.NewSecret("0123456789abcdef0123456789abcdef")
	for _, c := range []struct {
		cfg        config.Issuer
		keys       string
		algorithms string
		audiences  string
	}{
		{clerkIssuer, "https://clerk.example.com/.well-known/jwks.json", "RS256", ""},
		{auth0Issuer, "https://my-domain.auth0.com/.well-known/jwks.json", "RS256", "https://example.com/health-api"},
		{supabaseIssuer, "https://ref.supabase.co/auth/v1/.well-known/jwks.json", "ES256 RS256", "authenticated"},
		{with(supabaseIssuer, func(i *config.Issuer) { i.Secret = secret }), "https://ref.supabase.co/auth/v1/.well-known/jwks.json", "ES256 RS256 HS256", "authenticated"},
		{with(supabaseIssuer, func(i *config.Issuer) { i.Secret, i.Algorithms = secret, []string{"HS256"} }), "", "HS256", "authenticated"},
		{fireIssuer, "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com", "RS256", "my-project"},
		{cognitoIssuer, "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example/.well-known/jwks.json", "RS256", ""},
		{kcIssuer, "https://sso.example.com/realms/demo/protocol/openid-connect/certs", "RS256 ES256 PS256 EdDSA", "account"},
		{workosIssuer, "https://api.workos.com/sso/jwks/client_123", "RS256", ""},
		{config.Issuer{Preset: "workos", Issuer: "https://api.workos.com", ClientIDs: []string{"client_9"}}, "https://api.workos.com/sso/jwks/client_9", "RS256", ""},
		{oktaIssuer, "https://org.okta.com/oauth2/default/v1/keys", "RS256", "api://default"},
		{entra, "https://login.microsoftonline.com/aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb/discovery/v2.0/keys", "RS256", "api-client"},
		{plainIssuer, "discovery https://issuer.example.com/.well-known/openid-configuration", strings.Join(asymmetric, " "), ""},
		{with(plainIssuer, func(i *config.Issuer) { i.Secret = secret }), "", "HS256 HS384 HS512", ""},
		{with(plainIssuer, func(i *config.Issuer) { i.JWKS.File = "k.json" }), "", strings.Join(asymmetric, " "), ""},
		{with(plainIssuer, func(i *config.Issuer) { i.Algorithms = []string{"ES256"} }), "discovery https://issuer.example.com/.well-known/openid-configuration", "ES256", ""},
	} {
		got := withPreset(c.cfg)
		keys := got.JWKS.URL
		if got.JWKS.Discovery != "" {
			keys += "discovery " + got.JWKS.Discovery
		}
		if keys != c.keys || strings.Join(got.Algorithms, " ") != c.algorithms || strings.Join(got.Audiences, " ") != c.audiences {
			t.Errorf("%s: keys %q, algorithms %q, audiences %q; want %+v", c.cfg.Preset, keys, got.Algorithms, got.Audiences, c)
		}
		if len(got.Tokens) == 0 || len(got.TokenTypes) == 0 {
			t.Errorf("%s: no token places or types", c.cfg.Preset)
		}
	}
}

func TestClerkPlaces(t *testing.T) {
	var got []string
	for _, p := range withPreset(with(clerkIssuer, func(i *config.Issuer) { i.Issuer = "https://clerk.clerk.dev" })).Tokens {
		got = append(got, p.Header+p.Cookie)
	}
	// The suffix is that of Clerk's own tests.
	if want := []string{"Authorization", "__session_1Z8AzTQD", "__session", "__session_*"}; !slices.Equal(got, want) {
		t.Errorf("places %q, want %q", got, want)
	}
}
