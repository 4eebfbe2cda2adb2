package token

import (
	"fmt"
	"slices"
	"time"

	"hopgate/config"
)

// VerifyClaims makes the principal of a token that holds these claims at the
// moment now: it does all that [Verifier.Verify] does but for the header, the
// signature and the choice of the issuer by iss, which it compares. It serves
// policy tests and explanations. claims may hold whatever encoding/json can
// encode. The error wraps one of the package's faults.
func VerifyClaims(iss config.Issuer, name string, claims map[string]any, now time.Time) (*Principal, error) {
	m, err := newMapper(withPreset(iss), name)
	if err != nil {
		return nil, err
	}
	set, payload, err := claimSetOf(claims)
	if err != nil {
		return nil, err
	}
	if got, _ := set.get("iss").text(); got != iss.Issuer {
		return nil, fmt.Errorf("iss is not the issuer of %s: %w", name, ErrIssuer)
	}
	if _, err := checkRegistered(&m.cfg, set, now, nil); err != nil {
		return nil, err
	}
	p := &Principal{payload: payload}
	if err := m.principal(p, set); err != nil {
		return nil, err
	}
	return p, nil
}

// checkRegistered holds the claims of RFC 7519 section 4.1, azp and the
// required ones against an issuer's settings, which have gone through
// [withPreset]. It gives the moment from which on the answer is no longer
// right, however little else changes. The error wraps one of the package's
// faults.
func checkRegistered(cfg *config.Issuer, claims claimSet, now time.Time, s *steps) (until time.Time, err error) {
	exp, err := requireDate(claims, "exp")
	if err != nil {
		return until, s.fail("exp", err)
	}
	// RFC 7519 section 4.1.4: on or after it the token must not be accepted.
	until = exp.Add(cfg.ClockSkew)
	if !now.Before(until) {
		return until, s.fail("exp", fmt.Errorf("exp was %s ago: %w", now.Sub(exp).Round(time.Second), ErrExpired))
	}
	pass(s, "exp", "it expires in %s", exp.Sub(now).Round(time.Second))

	for _, name := range [...]string{"nbf", "iat"} {
		at, ok, err := date(claims, name)
		if err != nil {
			return until, s.fail(name, err)
		}
		if !ok {
			continue
		}
		if now.Add(cfg.ClockSkew).Before(at) {
			return until, s.fail(name, fmt.Errorf("%s is %s ahead: %w", name, at.Sub(now).Round(time.Second), ErrNotYetValid))
		}
		pass(s, name, "it was %s ago", now.Sub(at).Round(time.Second))
	}
	if cfg.MaxAge > 0 {
		iat, err := requireDate(claims, "iat")
		if err != nil {
			return until, s.fail("max_age", err)
		}
		oldest := iat.Add(cfg.MaxAge + cfg.ClockSkew)
		if !now.Before(oldest) {
			return until, s.fail("max_age", fmt.Errorf("iat was %s ago, more than max_age: %w", now.Sub(iat).Round(time.Second), ErrTooOld))
		}
		if oldest.Before(until) {
			until = oldest
		}
		pass(s, "max_age", "it is younger than %s", cfg.MaxAge)
	}
	return until, checkParties(cfg, claims, s)
}

func checkParties(cfg *config.Issuer, claims claimSet, s *steps) error {
	if len(cfg.Audiences) > 0 {
		if !claims.get("aud").anyOf(cfg.Audiences) {
			return s.fail("aud", fmt.Errorf("aud names none of audiences: %w", ErrAudience))
		}
		s.pass("aud", "it names one of audiences")
	}
	if azp := claims.get("azp"); azp.kind != absent && len(cfg.AuthorizedParties) > 0 {
		if party, _ := azp.text(); !slices.Contains(cfg.AuthorizedParties, party) {
			return s.fail("azp", fmt.Errorf("azp is not one of authorized_parties: %w", ErrParty))
		}
		s.pass("azp", "it is one of authorized_parties")
	}
	for _, name := range cfg.RequiredClaims {
		if claims.lookup(name).empty() {
			return s.fail("required_claims", fmt.Errorf("there is no %s: %w", name, ErrClaimMissing))
		}
	}
	if s != nil && len(cfg.RequiredClaims) > 0 {
		s.pass("required_claims", fmt.Sprintf("%d of %d are there", len(cfg.RequiredClaims), len(cfg.RequiredClaims)))
	}
	return nil
}

// date reads a claim that is a NumericDate where it is present.
func date(claims claimSet, name string) (at time.Time, ok bool, err error) {
	v := claims.get(name)
	if v.kind == absent {
		return at, false, nil
	}
	if at, ok = v.date(); !ok {
		return at, false, malformed(name + " is not a NumericDate between 1970 and 9999")
	}
	return at, true, nil
}

func requireDate(claims claimSet, name string) (time.Time, error) {
	at, ok, err := date(claims, name)
	if err == nil && !ok {
		err = fmt.Errorf("there is no %s: %w", name, ErrClaimMissing)
	}
	return at, err
}
