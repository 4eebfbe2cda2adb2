package token

import (
	"crypto/x509"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hopgate/config"
)

// Compile makes the Verifier of a configuration and reports what of its
// issuers is wrong. It reads the files that the configuration names and keys
// kept on disk, but nothing from the network, and starts nothing. From prev,
// which may be nil, it takes over the verified tokens and key sets of issuers
// whose settings did not change; prev goes on working. The Verifier is never
// nil; with faults in errs it must not be used.
func Compile(cfg *config.Config, prev *Verifier, o Options, errs *config.Errors) *Verifier {
	v := &Verifier{o: o.withDefaults(), issuers: map[string]*issuer{}}
	v.knownLimit = knownLimit(int64(cfg.Tokens.MaxBytes))
	if prev != nil {
		v.shared = prev.shared
	} else {
		v.shared = shared{newKnown(v.knownLimit), newTurns(), new(atomic.Bool)}
	}
	cacheFiles := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Issuers)) {
		c := cfg.Issuers[name]
		before := errs.Len()
		checkPreset(c, errs)
		checkIssuer(c, withPreset(c), errs)
		if other, ok := cacheFiles[c.JWKS.CacheFile]; ok && c.JWKS.CacheFile != "" {
			errs.Addf(c.Source.Pos("jwks", "cache_file"), "cache_file is that of issuer %s as well; each issuer should have its own", other)
		}
		cacheFiles[c.JWKS.CacheFile] = name
		if errs.Len() > before {
			continue // what follows would only repeat it
		}
		var old *issuer
		if prev != nil {
			old = prev.issuers[name]
		}
		if i := compileIssuer(name, withPreset(c), old, v.o, errs); i != nil {
			v.issuers[name] = i
		}
	}
	for _, r := range cfg.Routes {
		checkRoute(&r, cfg.Issuers, errs)
	}
	return v
}

// checkRoute reports issuers that cannot be told apart by iss.
func checkRoute(r *config.Route, issuers map[string]config.Issuer, errs *config.Errors) {
	seen := map[string]string{}
	for n, name := range r.Issuer {
		i, ok := issuers[name]
		if !ok {
			continue // reported as dangling
		}
		if other, twice := seen[i.Issuer]; twice && other != name {
			errs.Addf(r.Source.Pos("issuer", n), "issuer %s has the same iss as %s; a route should have one of them, since only iss tells whose settings a token is held against", name, other)
		}
		seen[i.Issuer] = name
	}
}

// checkIssuer reports settings that do not go together, whatever the
// provider. It takes the settings as they were written and with their preset.
func checkIssuer(written, c config.Issuer, errs *config.Errors) {
	at := c.Source.Pos
	for n, a := range c.Algorithms {
		switch {
		case slices.Contains(symmetric, a):
			if c.Secret.IsZero() {
				errs.Addf(at("algorithms", n), "algorithms has %s, which needs a secret; write secret, or only algorithms of public keys", a)
			}
		case !slices.Contains(asymmetric, a):
			errs.Addf(at("algorithms", n), "algorithms has %q; it should be of %s, %s", a, strings.Join(asymmetric, ", "), strings.Join(symmetric, ", "))
		}
	}
	if !c.Secret.IsZero() {
		if !slices.ContainsFunc(c.Algorithms, func(a string) bool { return slices.Contains(symmetric, a) }) {
			errs.Addf(at("secret"), "secret is set, but algorithms has none of %s; add the one that the issuer uses, or remove secret", strings.Join(symmetric, ", "))
		}
		if n := len(c.Secret.Reveal()); n < minSecretBytes {
			errs.Addf(at("secret"), "secret has %d bytes; it should have at least %d (RFC 7518 section 3.2)", n, minSecretBytes)
		}
	}
	if hasKeySource(c.JWKS) && !needsKeys(c.Algorithms) {
		errs.Addf(at("jwks"), "jwks is set, but algorithms has only %s, which are verified with secret alone", strings.Join(c.Algorithms, ", "))
	}
	if c.MaxTokenBytes <= 0 {
		errs.Addf(at("max_token_bytes"), "max_token_bytes is %d; it should be above 0", c.MaxTokenBytes)
	}
	for key, d := range map[string]time.Duration{"clock_skew": c.ClockSkew, "max_age": c.MaxAge} {
		if d < 0 {
			errs.Addf(at(key), "%s is %s; it should not be negative", key, d)
		}
	}
	if c.ClockSkew > 5*time.Minute {
		errs.Warnf(at("clock_skew"), "clock_skew is %s; tokens stay valid that long after they have expired", c.ClockSkew)
	}
	checkAddresses(written, errs)
	checkJWKS(c, errs)
}

// checkAddresses reports where keys would be fetched without protection. Of
// what a preset derives from the issuer, [checkPreset] reports it.
func checkAddresses(written config.Issuer, errs *config.Errors) {
	for key, address := range map[string]string{"url": written.JWKS.URL, "discovery": written.JWKS.Discovery} {
		if address == "" {
			continue
		}
		if err := checkAddress(address); err != nil {
			errs.Addf(written.Source.Pos("jwks", key), "%s is %q: %v", key, address, err)
		}
	}
}

func checkJWKS(c config.Issuer, errs *config.Errors) {
	j := &c.JWKS
	at := func(key string) config.Position { return c.Source.Pos("jwks", key) }
	var set []string
	for _, e := range [][2]string{{"url", j.URL}, {"discovery", j.Discovery}, {"file", j.File}, {"keys", j.Keys}, {"pem", j.PEM}} {
		if e[1] != "" {
			set = append(set, e[0])
		}
	}
	if len(set) > 1 {
		errs.Addf(c.Source.Pos("jwks"), "jwks has %s; keys should come from one place", strings.Join(set, ", "))
	}
	if j.URL == "" && j.Discovery == "" {
		for key, value := range map[string]string{"cache_file": j.CacheFile, "ca_file": j.CAFile} {
			if value != "" {
				errs.Addf(at(key), "%s is set, but keys are not fetched; it goes with url and discovery", key)
			}
		}
	}
	if !needsKeys(c.Algorithms) {
		return
	}
	for key, d := range map[string]time.Duration{"refresh": j.Refresh, "min_interval": j.MinInterval, "max_stale": j.MaxStale, "timeout": j.Timeout} {
		if d <= 0 {
			errs.Addf(at(key), "%s is %s; it should be above 0", key, d)
		}
	}
	if j.MinInterval > j.Refresh {
		errs.Addf(at("min_interval"), "min_interval is %s, longer than refresh (%s)", j.MinInterval, j.Refresh)
	}
	if j.MaxStale < j.Refresh {
		errs.Addf(at("max_stale"), "max_stale is %s, shorter than refresh (%s): keys would be too old before they are fetched again", j.MaxStale, j.Refresh)
	}
}

// compileIssuer makes the runtime of settings that were found right. It gives
// old itself where nothing has changed, and nil with a fault in errs.
func compileIssuer(name string, c config.Issuer, old *issuer, o Options, errs *config.Errors) *issuer {
	i := &issuer{name: name, cfg: plainIssuerOf(c), places: placesOf(c.Tokens), salt: rand.Uint64()} //nolint:gosec // it keeps entries apart and no secret
	for _, t := range c.TokenTypes {
		i.types = append(i.types, mediaType(t))
	}
	if !c.Secret.IsZero() {
		i.secret = []byte(c.Secret.Reveal())
		i.shared = []*key{{until: forever}}
	}
	var err error
	if i.mapper, err = newMapper(i.cfg, name); err != nil {
		errs.Addf(c.Source.Pos(), "%v", err)
		return nil
	}
	if needsKeys(c.Algorithms) {
		var running *keySet
		if old != nil {
			running = old.keys
		}
		if i.keys = compileKeySet(name, c, running, o, errs); i.keys == nil {
			return nil
		}
	}
	if old != nil && old.keys == i.keys && reflect.DeepEqual(old.cfg, i.cfg) {
		return old
	}
	return i
}

// plainIssuerOf gives the settings without their places in the file, which
// change with each line that is added.
func plainIssuerOf(c config.Issuer) config.Issuer {
	c.Source, c.JWKS.Source = config.Source{}, config.Source{}
	c.Tokens = slices.Clone(c.Tokens)
	for n := range c.Tokens {
		c.Tokens[n].Source = config.Source{}
	}
	return c
}

// compileKeySet gives the key set of an issuer: running, where that has the
// same settings, else a new one with the keys that can be had offline. It
// gives nil with a fault in errs.
func compileKeySet(name string, c config.Issuer, running *keySet, o Options, errs *config.Errors) *keySet {
	j := plainIssuerOf(c).JWKS
	settings := keySetSettings{name: name, issuer: c.Issuer, jwks: j}
	at := func(key string) config.Position { return c.Source.Pos("jwks", key) }

	var (
		src    source
		static *keySetText
		where  string
		err    error
	)
	switch {
	case j.Keys != "":
		where = "keys"
		static, err = parseKeySet([]byte(j.Keys))
	case j.PEM != "":
		where = "pem"
		if settings.pem, err = pemText(j.PEM); err == nil {
			static, err = parsePEM([]byte(settings.pem))
		}
	case j.File != "":
		where, src = "file", fileSource(j.File)
		var text []byte
		if text, err = readFile(j.File); err == nil {
			static, err = parseKeySet(text)
		}
	case j.URL != "", j.Discovery != "":
		where = "ca_file"
		var roots *x509.CertPool
		if settings.ca, roots, err = authorities(j.CAFile); err == nil {
			if j.URL != "" {
				src = &urlSource{newClient(roots), j.URL}
			} else {
				src = &discoverySource{newClient(roots), j.Discovery, c.Issuer}
			}
		}
	default:
		errs.Addf(c.Source.Pos("jwks"), "jwks is missing; with preset %s it should say where the keys are", presetOf(c).name)
		return nil
	}
	if err == nil && static != nil && !slices.ContainsFunc(static.keys, func(k *key) bool { return slices.ContainsFunc(c.Algorithms, k.takes) }) {
		err = fmt.Errorf("none of its keys fits any of algorithms (%s)", strings.Join(c.Algorithms, ", "))
	}
	if err != nil {
		errs.Addf(at(where), "%s cannot be used: %v", where, err)
		return nil
	}
	if static != nil {
		for _, why := range static.skipped {
			errs.Warnf(at(where), "%v", why)
		}
	}
	if running != nil && running.settings == settings && running.life.Err() == nil {
		return running
	}
	k := newKeySet(settings, src, o)
	switch {
	case static != nil && src == nil:
		k.setStatic(static.keys)
	case static != nil:
		k.setFirst(static.keys)
	case j.CacheFile != "":
		if err := k.load(); err != nil {
			o.Log.Warn("cannot use keys from disk", "issuer", name, "file", j.CacheFile, "error", err.Error())
		}
	}
	return k
}

// pemText gives PEM that is in the configuration itself, or in a file that it
// names.
func pemText(value string) (string, error) {
	if strings.Contains(value, "-----BEGIN") {
		return value, nil
	}
	text, err := readFile(value)
	return string(text), err
}

// authorities reads certificates to trust; nil roots stand for the system's.
func authorities(file string) (text string, roots *x509.CertPool, err error) {
	if file == "" {
		return "", nil, nil
	}
	b, err := readFile(file)
	if err != nil {
		return "", nil, err
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return "", nil, fmt.Errorf("it has no certificate in PEM")
	}
	return string(b), roots, nil
}
