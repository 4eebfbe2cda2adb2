package token

import (
	"crypto/sha1" //nolint:gosec // Clerk derives the name of a cookie with it
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hopgate/config"
)

// clerkPrefix starts the names of Clerk's organization roles and permissions.
// Roles come with it in version 1 of the session token and without it in
// version 2; the principal has them without.
const clerkPrefix = "org:"

var clerkPreset = &preset{
	name:       presetClerk,
	title:      "Clerk",
	algorithms: rs256,
	tokenTypes: typeJWT,
	required:   []string{"sub"},
	keys:       below("/.well-known/jwks.json"),
	places: func(cfg config.Issuer) []config.TokenPlace {
		// Where several instances share a domain, the cookie with the suffix
		// of this one is surely its own, and __session is whoever's wrote it
		// last; so Clerk's own libraries prefer the suffixed one, too.
		places := []config.TokenPlace{{Header: "Authorization"}}
		if u, err := url.Parse(cfg.Issuer); err == nil && u.Host != "" {
			places = append(places, config.TokenPlace{Cookie: "__session_" + clerkSuffix(u.Host)})
		}
		return append(places, config.TokenPlace{Cookie: "__session"}, config.TokenPlace{Cookie: "__session_*"})
	},
	mapping: config.ClaimMapping{
		UserID:    "sub",
		SessionID: "sid",
		Actor:     "act.sub",
	},
	check: func(m *mapper, claims claimSet) error {
		if claims.get("sts").is("pending") && !m.cfg.AllowPending {
			return fmt.Errorf("sts is pending: %w", ErrPending)
		}
		return nil
	},
	fill: clerkFill,
	validate: func(cfg config.Issuer, u *url.URL, errs *config.Errors) {
		if u.Path != "" && u.Path != "/" {
			errs.Addf(cfg.Source.Pos("issuer"), "issuer is %q; Clerk's has no path: https://clerk.DOMAIN or https://SLUG.clerk.accounts.dev", cfg.Issuer)
			return
		}
		noSlash(cfg, errs)
		if len(cfg.AuthorizedParties) == 0 {
			errs.Warnf(cfg.Source.Pos("issuer"), "authorized_parties is missing; without it a token that was made for another site of the same Clerk instance is accepted: list the origins of your front ends")
		}
	},
}

// clerkFill reads the organization of a session token. Version 2 has it in
// o, packed; version 1, which has no v claim, in claims that start with
// org_. Of a version that is not known nothing is read.
func clerkFill(_ *mapper, claims claimSet, p *Principal) {
	switch v := claims.get("v"); {
	case v.number(2):
		o := claims.get("o").members()
		p.OrgID = o.get("id").identifier()
		p.OrgSlug = o.get("slg").identifier()
		p.OrgRole = o.get("rol").identifier()
		p.Permissions = clerkPermissions(claims.get("fea").identifier(), o.get("per").identifier(), o.get("fpm").identifier())
	case v.empty(), v.number(1):
		p.OrgID = claims.get("org_id").identifier()
		p.OrgSlug = claims.get("org_slug").identifier()
		p.OrgRole = claims.get("org_role").identifier()
		p.Permissions = claims.get("org_permissions").words()
	}
	p.OrgRole = strings.TrimPrefix(p.OrgRole, clerkPrefix)
	if p.OrgRole != "" {
		p.Roles = []string{p.OrgRole}
	}
}

// clerkPermissions unpacks the organization permissions of a version 2 token.
// fea lists features, each with its scopes in front: o for the organization,
// u for the user, or both (o:dashboard,u:beta,ou:teams). per names
// permissions. The n-th number of fpm belongs to the n-th organization
// feature; its bits, least significant first, tell which permissions of per
// the caller has on the feature:
//
//	fea o:dashboard,o:teams   per manage,read   fpm 3,2
//
// gives org:dashboard:manage, org:dashboard:read and org:teams:read. Where
// anything does not fit there are no permissions at all.
func clerkPermissions(fea, per, fpm string) []string {
	if fea == "" || per == "" || fpm == "" {
		return nil
	}
	var featureRoom, nameRoom, mapRoom [clerkUsual]string
	features := featureRoom[:0]
	for f := range strings.SplitSeq(fea, ",") {
		scopes, name, _ := strings.Cut(f, ":")
		if !clerkName(name) {
			return nil
		}
		switch scopes {
		case "o", "ou", "uo":
			features = append(features, name)
		case "u":
		default:
			return nil
		}
	}
	names := slices.AppendSeq(nameRoom[:0], strings.SplitSeq(per, ","))
	maps := slices.AppendSeq(mapRoom[:0], strings.SplitSeq(fpm, ","))
	if len(maps) != len(features) || len(names) > 63 || repeats(features) || repeats(names) {
		return nil
	}
	for _, name := range names {
		if !clerkName(name) {
			return nil
		}
	}
	// Once to see how much there is, and once to write it into one text.
	var bitRoom [clerkUsual]uint64
	held := bitRoom[:0]
	count, size := 0, 0
	for i, feature := range features {
		bits, err := strconv.ParseUint(maps[i], 10, 63)
		if err != nil || maps[i][0] == '0' && maps[i] != "0" || bits>>len(names) != 0 {
			return nil
		}
		held = append(held, bits)
		for n, name := range names {
			if bits>>n&1 == 1 {
				count++
				size += len(clerkPrefix) + len(feature) + 1 + len(name)
			}
		}
	}
	if count == 0 {
		return nil
	}
	var b strings.Builder
	b.Grow(size)
	list := make([]string, 0, count)
	for i, feature := range features {
		for n, name := range names {
			if held[i]>>n&1 == 1 {
				start := b.Len()
				b.WriteString(clerkPrefix)
				b.WriteString(feature)
				b.WriteByte(':')
				b.WriteString(name)
				list = append(list, b.String()[start:]) // the room does not move: it is enough
			}
		}
	}
	return list
}

// clerkUsual is how many features and permissions there is room for without
// asking for memory.
const clerkUsual = 16

// clerkName tells whether s can be the name of a feature or permission.
func clerkName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == ':' || c == ',' || c >= 0x7f {
			return false
		}
	}
	return s != ""
}

func repeats(list []string) bool {
	if len(list) <= clerkUsual {
		for i, s := range list {
			if slices.Contains(list[:i], s) {
				return true
			}
		}
		return false
	}
	seen := make(map[string]struct{}, len(list))
	for _, s := range list {
		seen[s] = struct{}{}
	}
	return len(seen) != len(list)
}

// clerkSuffix gives the suffix of the cookies of the instance whose Frontend
// API is at host: the start of a hash of its publishable key, which is
// nothing but the host, encoded.
func clerkSuffix(host string) string {
	kind := "pk_live_"
	if strings.Contains(host, ".clerk.accounts") {
		kind = "pk_test_"
	}
	key := kind + base64.RawStdEncoding.EncodeToString([]byte(host+"$"))
	sum := sha1.Sum([]byte(key)) //nolint:gosec // a name, not a signature
	return base64.URLEncoding.EncodeToString(sum[:])[:8]
}

// decodePublishable reads the part of a publishable key behind its prefix.
func decodePublishable(s string) (host string, ok bool) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return "", false
	}
	return strings.CutSuffix(string(b), "$")
}
