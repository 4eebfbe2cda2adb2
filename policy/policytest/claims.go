package policytest

import (
	"fmt"
	"slices"
	"time"

	"hopgate/config"
	"hopgate/token"
)

// principalOf checks the registered claims, which token.PrincipalFromClaims
// leaves to verification, and maps the claims to the principal as the
// issuer's preset says.
func principalOf(issuer config.Issuer, name string, claims map[string]any, now time.Time) (*token.Principal, error) {
	if iss, _ := claims["iss"].(string); iss != issuer.Issuer {
		return nil, fmt.Errorf("iss is not the issuer of %s: %w", name, token.ErrIssuer)
	}
	if err := checkTimes(issuer, claims, now); err != nil {
		return nil, err
	}
	if err := checkParties(issuer, claims); err != nil {
		return nil, err
	}
	return token.PrincipalFromClaims(issuer, name, claims)
}

// checkTimes holds exp, nbf and iat against now (RFC 7519 section 4.1).
func checkTimes(issuer config.Issuer, claims map[string]any, now time.Time) error {
	at := func(name string) (time.Time, bool) {
		switch v := claims[name].(type) {
		case int64:
			return time.Unix(v, 0), true
		case float64:
			return time.UnixMilli(int64(v * 1000)), true
		}
		return time.Time{}, false
	}
	if exp, ok := at("exp"); !ok || !now.Before(exp.Add(issuer.ClockSkew)) {
		return token.ErrExpired
	}
	if nbf, ok := at("nbf"); ok && now.Add(issuer.ClockSkew).Before(nbf) {
		return token.ErrNotYetValid
	}
	iat, ok := at("iat")
	if ok && now.Add(issuer.ClockSkew).Before(iat) {
		return token.ErrNotYetValid
	}
	if issuer.MaxAge > 0 && (!ok || now.After(iat.Add(issuer.MaxAge+issuer.ClockSkew))) {
		return token.ErrTooOld
	}
	return nil
}

// checkParties holds aud, azp and the required claims against the issuer's
// settings.
func checkParties(issuer config.Issuer, claims map[string]any) error {
	if len(issuer.Audiences) > 0 && !slices.ContainsFunc(audiences(claims["aud"]), func(a string) bool { return slices.Contains(issuer.Audiences, a) }) {
		return token.ErrAudience
	}
	if azp, ok := claims["azp"]; ok && len(issuer.AuthorizedParties) > 0 {
		if party, _ := azp.(string); !slices.Contains(issuer.AuthorizedParties, party) {
			return token.ErrParty
		}
	}
	for _, name := range issuer.RequiredClaims {
		if _, ok := claims[name]; !ok {
			return fmt.Errorf("there is no %s: %w", name, token.ErrClaimMissing)
		}
	}
	return nil
}

// audiences gives the aud claim, which is a text or a list (RFC 7519 section
// 4.1.3).
func audiences(aud any) []string {
	switch aud := aud.(type) {
	case string:
		return []string{aud}
	case []any:
		var list []string
		for _, a := range aud {
			if s, ok := a.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}
