package token

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

func TestCompileReports(t *testing.T) {
	es, rs := signer(t, "ES256"), signer(t, "RS256")
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	jwks, broken, key := file("jwks.json", es.PublicJWKS()), file("broken.json", []byte("{}")), file("key.pem", es.PublicPEM())
	long := config.NewSecret(strings.Repeat("s", 32))
	for name, c := range map[string]struct {
		change func(i *config.Issuer)
		text   string // of the fault; empty: none
	}{
		"keys by discovery":        {func(*config.Issuer) {}, ""},
		"url":                      {func(i *config.Issuer) { i.JWKS.URL = "https://issuer.example.com/jwks" }, ""},
		"file":                     {func(i *config.Issuer) { i.JWKS.File = jwks }, ""},
		"pem in a file":            {func(i *config.Issuer) { i.JWKS.PEM = key }, ""},
		"pem":                      {func(i *config.Issuer) { i.JWKS.PEM = string(rs.PublicPEM()) }, ""},
		"secret":                   {func(i *config.Issuer) { i.Secret = long }, ""},
		"HS256 without secret":     {func(i *config.Issuer) { i.Algorithms = []string{"RS256", "HS256"} }, "HS256, which needs a secret"},
		"secret without HS256":     {func(i *config.Issuer) { i.Secret, i.Algorithms = long, []string{"RS256"} }, "secret is set, but algorithms"},
		"short secret":             {func(i *config.Issuer) { i.Secret = config.NewSecret(strings.Repeat("s", 31)) }, "31 bytes"},
		"keys for HS256 alone":     {func(i *config.Issuer) { i.Secret, i.Algorithms, i.JWKS.File = long, []string{"HS256"}, jwks }, "verified with secret alone"},
		"unknown algorithm":        {func(i *config.Issuer) { i.Algorithms = []string{"ES256K"} }, `"ES256K"`},
		"none":                     {func(i *config.Issuer) { i.Algorithms = []string{"none"} }, `"none"`},
		"two places":               {func(i *config.Issuer) { i.JWKS.File, i.JWKS.URL = jwks, "https://issuer.example.com/jwks" }, "url, file"},
		"url not encrypted":        {func(i *config.Issuer) { i.JWKS.URL = "http://issuer.example.com/jwks" }, "not encrypted"},
		"discovery not encrypted":  {func(i *config.Issuer) { i.JWKS.Discovery = "http://issuer.example.com/x" }, "not encrypted"},
		"no such file":             {func(i *config.Issuer) { i.JWKS.File = filepath.Join(dir, "missing") }, "no such file"},
		"broken file":              {func(i *config.Issuer) { i.JWKS.File = broken }, "JWK Set"},
		"broken keys":              {func(i *config.Issuer) { i.JWKS.Keys = "{" }, "JWK Set"},
		"no keys":                  {func(i *config.Issuer) { i.JWKS.Keys = `{"keys":[]}` }, "no key"},
		"weak key":                 {func(i *config.Issuer) { i.JWKS.Keys = string(setOf(t, smallRSA(t))) }, "2048"},
		"keys of other algorithms": {func(i *config.Issuer) { i.JWKS.File, i.Algorithms = jwks, []string{"RS256", "ES384"} }, "none of its keys fits"},
		"no such pem":              {func(i *config.Issuer) { i.JWKS.PEM = filepath.Join(dir, "missing") }, "no such file"},
		"pem is a private key":     {func(i *config.Issuer) { i.JWKS.PEM = string(rs.PEM()) }, "PRIVATE KEY block"},
		"pem is no pem":            {func(i *config.Issuer) { i.JWKS.PEM = broken }, "no PEM block"},
		"ca_file":                  {func(i *config.Issuer) { i.JWKS.CAFile = broken }, "no certificate"},
		"no such ca_file":          {func(i *config.Issuer) { i.JWKS.CAFile = filepath.Join(dir, "missing") }, "no such file"},
		"ca_file for a file":       {func(i *config.Issuer) { i.JWKS.File, i.JWKS.CAFile = jwks, key }, "ca_file is set, but keys are not fetched"},
		"cache_file for a file":    {func(i *config.Issuer) { i.JWKS.File, i.JWKS.CacheFile = jwks, "x" }, "cache_file is set, but keys are not fetched"},
		"min_interval":             {func(i *config.Issuer) { i.JWKS.MinInterval = -1 }, "min_interval"},
		"min_interval and refresh": {func(i *config.Issuer) { i.JWKS.MinInterval = time.Hour }, "longer than refresh"},
		"max_stale and refresh":    {func(i *config.Issuer) { i.JWKS.MaxStale = time.Minute }, "shorter than refresh"},
		"timeout":                  {func(i *config.Issuer) { i.JWKS.Timeout = -1 }, "timeout"},
		"max_token_bytes":          {func(i *config.Issuer) { i.MaxTokenBytes = -1 }, "max_token_bytes"},
		"clock_skew":               {func(i *config.Issuer) { i.ClockSkew = -1 }, "clock_skew"},
		"max_age":                  {func(i *config.Issuer) { i.MaxAge = -1 }, "max_age"},
		"issuer not encrypted":     {func(i *config.Issuer) { i.Issuer = "http://issuer.example.com" }, "https://"},
		"issuer looks local":       {func(i *config.Issuer) { i.Issuer = "http://127.0.0.1.evil.example" }, "https://"},
	} {
		i := plainIssuer
		c.change(&i)
		var errs config.Errors
		v := Compile(&config.Config{Issuers: map[string]config.Issuer{"main": filled(i)}}, nil, Options{}, &errs)
		if v == nil {
			t.Fatal("no verifier")
		}
		switch err := errs.Err(); {
		case c.text == "" && err != nil, c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)):
			t.Errorf("%s: error %v; want %q", name, err, c.text)
		case err != nil && strings.Contains(err.Error(), strings.Repeat("s", 31)):
			t.Errorf("%s: the secret is in %v", name, err)
		case errs.Len() > 1:
			t.Errorf("%s: %d faults: %v", name, errs.Len(), err)
		}
		v.Retire(nil)
	}
}

func TestCompileReportsPairs(t *testing.T) {
	i := filled(withKeys(plainIssuer, signer(t, "ES256")))
	cached := filled(plainIssuer)
	cached.JWKS.CacheFile = "/tmp/keys.json"
	var errs config.Errors
	Compile(&config.Config{
		Issuers: map[string]config.Issuer{"a": i, "b": i, "c": cached, "d": cached},
		Routes:  []config.Route{{ID: "one", Issuer: []string{"a"}}, {ID: "other", Issuer: []string{"b"}}, {ID: "both", Issuer: []string{"a", "b"}}, {ID: "none", Issuer: []string{"missing", "missing"}}},
	}, nil, Options{}, &errs)
	if errs.Len() != 2 || !strings.Contains(errs.Err().Error(), "issuer b has the same iss as a") || !strings.Contains(errs.Err().Error(), "cache_file is that of issuer c") {
		t.Errorf("%d faults: %v", errs.Len(), errs.Err())
	}
}

func TestCompileWarns(t *testing.T) {
	i := filled(plainIssuer)
	i.JWKS.Keys = string(setOf(t, jwkOf(t, signer(t, "ES256"), nil), map[string]any{"kty": "oct", "k": "AAAA"}))
	i.ClockSkew = time.Hour
	var errs config.Errors
	Compile(&config.Config{Issuers: map[string]config.Issuer{"main": i}}, nil, Options{}, &errs)
	var all []string
	for _, w := range errs.Warnings() {
		all = append(all, w.Message)
	}
	if text := strings.Join(all, "\n"); errs.Len() != 0 || !strings.Contains(text, "symmetric") || !strings.Contains(text, "clock_skew") {
		t.Errorf("faults %v, warnings %s", errs.Err(), text)
	}
}

// Issuers of one route are told apart by iss, and each has its own settings.
func TestSets(t *testing.T) {
	es, rs := signer(t, "ES256"), signer(t, "RS256")
	a, b := withKeys(plainIssuer, es), withKeys(plainIssuer, rs)
	b.Issuer, b.MaxTokenBytes = "https://b.example.com", 20<<10
	b.Tokens = []config.TokenPlace{{Cookie: "session_*"}, {Query: "token"}, {Header: "X-Token"}}
	strict := a
	strict.Audiences = []string{"https://api.example.com"}
	v := compile(t, map[string]config.Issuer{"a": a, "b": b, "strict": strict}, nil, at(testTime))
	tokA := sign(t, es, nil, goodClaims(nil))
	tokB := sign(t, rs, nil, goodClaims(map[string]any{"iss": b.Issuer}))
	aByB := sign(t, rs, nil, goodClaims(nil))
	bByA := sign(t, es, nil, goodClaims(map[string]any{"iss": b.Issuer}))
	pad := strings.Repeat("x", 9<<10)
	longA := sign(t, es, nil, goodClaims(map[string]any{"x": pad}))
	longB := sign(t, rs, nil, goodClaims(map[string]any{"iss": b.Issuer, "x": pad}))
	for name, c := range map[string]struct {
		set   []string
		tok   string
		from  string
		fault *Fault
	}{
		"a":                     {[]string{"a"}, tokA, "a", nil},
		"b":                     {[]string{"b"}, tokB, "b", nil},
		"a of both":             {[]string{"a", "b"}, tokA, "a", nil},
		"b of both":             {[]string{"a", "b"}, tokB, "b", nil},
		"a where b is":          {[]string{"b"}, tokA, "", ErrIssuer},
		"b where a is":          {[]string{"a"}, tokB, "", ErrIssuer},
		"a signed by b":         {[]string{"a", "b"}, aByB, "", ErrKeyUnknown},
		"b signed by a":         {[]string{"a", "b"}, bByA, "", ErrKeyUnknown},
		"other settings":        {[]string{"strict"}, tokA, "", ErrAudience},
		"other settings, and b": {[]string{"b", "strict"}, tokA, "", ErrAudience},
		"too long for a":        {[]string{"a", "b"}, longA, "", ErrMalformed},
		"long enough for b":     {[]string{"a", "b"}, longB, "b", nil},
		"no names, three exist": {nil, tokA, "", ErrMalformed},
		"a name that is none":   {[]string{"c"}, tokA, "", ErrMalformed},
		"one of them is none":   {[]string{"c", "a", "a"}, tokA, "a", nil},
	} {
		for range 2 {
			p, _, err := v.Verify(context.Background(), v.Set(c.set), c.tok)
			if c.fault != nil && !errors.Is(err, c.fault) || c.fault == nil && (err != nil || p.IssuerName != c.from) {
				t.Errorf("%s: principal %+v, error %v; want %v", name, p, err, c.fault)
			}
		}
	}
	if _, _, err := v.Verify(context.Background(), IssuerSet{}, tokA); err == nil {
		t.Error("the empty set accepts a token")
	}

	set := v.Set([]string{"a", "b"})
	if f, p, c := v.TokenFields(set), v.TokenParams(set), v.TokenCookies(set); strings.Join(f, " ") != "Authorization X-Token" || strings.Join(p, " ") != "token" || strings.Join(c, " ") != "session_*" {
		t.Errorf("fields %q, parameters %q, cookies %q", f, p, c)
	}
	found, err := v.Locate(set, &fields{"Cookie", "session_1=" + tokB}, "")
	if err != nil || found.Token != tokB || !found.FromCookie {
		t.Errorf("%+v, error %v", found, err)
	}
	if _, err := v.Locate(v.Set([]string{"a"}), &fields{"Cookie", "session_1=" + tokB}, "token="+tokB); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
	if _, err := v.Locate(IssuerSet{}, &fields{"Authorization", "Bearer " + tokA}, ""); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
}
