// Package token finds session tokens in requests, verifies them and makes
// them principals: key sets, the checks of RFC 7519, identity providers'
// claims, and the cache of tokens that were found valid.
package token

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hopgate/config"
)

// Observer is told what should be counted.
type Observer interface {
	// KeysFetched is called after each attempt to read an issuer's keys:
	// how many can be used, or why it failed, and how long it took.
	KeysFetched(issuer string, keys int, err error, took time.Duration)
}

// Options are what a Verifier needs of its surroundings. The zero value
// works: the system's clock, nobody who counts, no log.
type Options struct {
	Now      func() time.Time
	Observer Observer
	Log      *slog.Logger // never gets a token
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Verifier verifies the tokens of a configuration's issuers. [Compile] makes
// it. All methods may be called concurrently.
type Verifier struct {
	o       Options
	issuers map[string]*issuer // by the configuration's names
	headers headers
	shared
	knownLimit int // bytes
}

// shared is what a Verifier has in common with those compiled before and
// after it.
type shared struct {
	known  *known
	turns  *turns
	sweeps *atomic.Bool // somebody sweeps known
}

// issuer is one issuer, compiled. It is immutable but for its keys.
type issuer struct {
	name   string
	cfg    config.Issuer // with its preset, without positions
	mapper *mapper
	places places
	types  []string // accepted typ values, in lower case and without application/
	secret []byte   // nil: none
	shared []*key   // the one that stands for secret; nil: none
	keys   *keySet  // nil: none
	salt   uint64   // of this issuer with these settings in the verified-token cache
}

// IssuerSet is the issuers whose tokens a route accepts, in the order of
// preference. The zero IssuerSet accepts none.
type IssuerSet struct{ set *issuerSet }

type issuerSet struct {
	issuers  []*issuer
	places   places
	maxBytes int
}

var noIssuers = &issuerSet{}

func (s IssuerSet) get() *issuerSet {
	if s.set == nil {
		return noIssuers
	}
	return s.set
}

// Set gives the issuers with these names in the configuration; without names,
// the only issuer where there is one. Names that do not exist are left out.
// It is for load time: keep the result.
func (v *Verifier) Set(names []string) IssuerSet {
	if len(names) == 0 && len(v.issuers) == 1 {
		names = slices.Collect(maps.Keys(v.issuers))
	}
	set := &issuerSet{}
	for _, name := range names {
		if i := v.issuers[name]; i != nil && !slices.Contains(set.issuers, i) {
			set.issuers = append(set.issuers, i)
			set.places = unionPlaces(set.places, i.places)
			set.maxBytes = max(set.maxBytes, int(i.cfg.MaxTokenBytes))
		}
	}
	return IssuerSet{set}
}

// Locate finds the token of a request in the places of the issuers. The error
// is or wraps ErrMissing or ErrMalformed. It does not allocate; the result
// lives no longer than the request's texts.
func (v *Verifier) Locate(set IssuerSet, r Request, rawQuery string) (Located, error) {
	return set.get().places.locate(r, rawQuery)
}

// TokenFields lists the names of the fields that may hold tokens of the
// issuers.
func (v *Verifier) TokenFields(set IssuerSet) []string { return set.get().places.fields() }

// TokenParams lists the names of the query parameters that may hold tokens of
// the issuers.
func (v *Verifier) TokenParams(set IssuerSet) []string { return set.get().places.params() }

// TokenProtocols gives the WebSocket subprotocols that announce the tokens of
// the set's issuers.
func (v *Verifier) TokenProtocols(set IssuerSet) []string { return set.get().places.protocols() }

// TokenCookies lists the names of the cookies that may hold tokens of the
// issuers; a * at the end stands for any rest.
func (v *Verifier) TokenCookies(set IssuerSet) []string { return set.get().places.cookies() }

// Verify verifies a token of one of the issuers (RFC 7515 section 5.2, RFC
// 7519 section 7.2, RFC 8725) and gives its principal, which is shared and
// must not be changed. known tells that the token had been verified before
// and only that this still holds was checked; then nothing is allocated. tok
// is lent; what is kept of it is copied.
//
// The error wraps a *Fault. Where keys have to be fetched first, Verify waits
// at most the jwks.timeout of the issuer, and no longer than ctx; the fetch
// itself goes on without it.
func (v *Verifier) Verify(ctx context.Context, set IssuerSet, tok string) (p *Principal, known bool, err error) {
	return v.VerifyAt(ctx, set, tok, v.o.Now(), netip.Addr{})
}

// VerifyAt is Verify for a caller who has just read the clock, which is much of
// what a known token costs, and who knows the client: where new tokens wait to
// be checked, clients take turns.
func (v *Verifier) VerifyAt(ctx context.Context, set IssuerSet, tok string, now time.Time, client netip.Addr) (p *Principal, known bool, err error) {
	if r := v.known.get(set.get().issuers, tok, now.UnixNano()); r != nil {
		return &r.principal, true, nil
	}
	return v.check(ctx, set, tok, client, nil)
}

// check makes every check of a token, in this order: what is cheap and needs
// no trust, whose it is, the signature, the claims. A token that passes
// becomes known; where it did so while this one waited for its turn, that is
// all that is checked. Where s records, what is known is left alone.
func (v *Verifier) check(ctx context.Context, set IssuerSet, tok string, client netip.Addr, s *steps) (p *Principal, known bool, err error) {
	issuers := set.get()
	if tok == "" {
		return nil, false, s.fail("form", ErrMissing)
	}
	if len(tok) > issuers.maxBytes {
		return nil, false, s.fail("form", tooLong(len(tok), issuers.maxBytes))
	}
	c, err := parseCompact(tok, v.headers.seen())
	if err == nil {
		err = c.readClaims()
	}
	if err != nil {
		return nil, false, s.fail("form", err)
	}
	if s != nil {
		s.pass("form", fmt.Sprintf("it is a compact JWS of %d bytes with %d claims", len(tok), len(c.claims)))
	}

	i, err := issuers.of(c.claims)
	if err != nil {
		return nil, false, s.fail("issuer", err)
	}
	if len(tok) > int(i.cfg.MaxTokenBytes) {
		return nil, false, s.fail("issuer", tooLong(len(tok), int(i.cfg.MaxTokenBytes)))
	}
	if s != nil {
		s.pass("issuer", fmt.Sprintf("iss is %q, issuer %s", i.cfg.Issuer, i.name))
	}
	if err := i.checkHeader(c.header, s); err != nil {
		return nil, false, err
	}
	list, err := i.candidates(ctx, c.header, s)
	if err != nil {
		return nil, false, err
	}
	waited, err := v.turns.take(ctx, client)
	if err != nil {
		return nil, false, s.fail("signature", err)
	}
	defer v.turns.give()
	if waited && s == nil {
		if r := v.known.get(issuers.issuers, tok, v.o.Now().UnixNano()); r != nil {
			return &r.principal, true, nil
		}
	}
	k, err := authentic(list, i.secret, &c, s)
	if err != nil {
		return nil, false, err
	}

	// The clock is read anew: fetching keys may have taken a while.
	now := v.o.Now()
	until, err := checkRegistered(&i.cfg, c.claims, now, s)
	if err != nil {
		return nil, false, err
	}
	r := &verified{issuer: i, key: k, until: until.UnixNano(), principal: Principal{payload: c.payload}}
	if err := i.mapper.principal(&r.principal, c.claims); err != nil {
		return nil, false, s.fail("preset", err)
	}
	pass(s, "preset", "the checks of %s pass; user_id is from the token", r.principal.Preset)
	if s != nil {
		return &r.principal, false, nil
	}
	v.headers.add(c.header)
	return v.known.put(tok, r, now.UnixNano()), false, nil
}

func tooLong(n, most int) error {
	return malformed(fmt.Sprintf("it has %d bytes; max_token_bytes is %d", n, most))
}

// of gives the issuer that the token says it is from.
func (s *issuerSet) of(claims claimSet) (*issuer, error) {
	iss, ok := claims.get("iss").text()
	if !ok || iss == "" {
		return nil, fmt.Errorf("there is no iss: %w", ErrIssuer)
	}
	for _, i := range s.issuers {
		if i.cfg.Issuer == iss {
			return i, nil
		}
	}
	return nil, fmt.Errorf("iss is none of the route's issuers: %w", ErrIssuer)
}

// checkHeader holds alg and typ against the issuer's settings.
func (i *issuer) checkHeader(h *header, s *steps) error {
	if !slices.Contains(i.cfg.Algorithms, h.alg) {
		return s.fail("algorithm", fmt.Errorf("alg is none of %s: %w", strings.Join(i.cfg.Algorithms, ", "), ErrAlgorithm))
	}
	pass(s, "algorithm", "alg is %s", h.alg)
	if h.typKind == absent {
		s.pass("type", "there is no typ")
		return nil
	}
	if h.typKind != text || !slices.Contains(i.types, h.typ) {
		return s.fail("type", fmt.Errorf("typ is none of %s: %w", strings.Join(i.types, ", "), ErrType))
	}
	pass(s, "type", "typ is %s", h.typ)
	return nil
}

// mediaType gives a typ value in the form in which two are compared: RFC 7515
// section 4.1.9 lets application/ be left out where no other / follows.
func mediaType(typ string) string {
	typ = strings.ToLower(typ)
	if rest, ok := strings.CutPrefix(typ, "application/"); ok && !strings.Contains(rest, "/") {
		return rest
	}
	return typ
}

// candidates gives the keys that a token may have been signed with, at least
// one: what stands for the secret for the HS algorithms, and keys of the
// issuer's set for all others.
func (i *issuer) candidates(ctx context.Context, h *header, s *steps) ([]*key, error) {
	if slices.Contains(symmetric, h.alg) {
		return i.shared, nil
	}
	if i.keys == nil {
		return nil, s.fail("key", fmt.Errorf("the issuer has no keys: %w", ErrKeysUnavailable))
	}
	list, err := i.keys.find(ctx, h)
	if err != nil {
		return nil, s.fail("key", err)
	}
	pass(s, "key", "kid %q is in the set", list[0].kid)
	return list, nil
}

// authentic checks the signature, with the secret for the HS algorithms, and
// gives the one of the keys that it verifies with.
func authentic(list []*key, secret []byte, c *compact, s *steps) (*key, error) {
	if slices.Contains(symmetric, c.alg) {
		if err := verifyMAC(c.alg, secret, c.signed, c.signature); err != nil {
			return nil, s.fail("signature", err)
		}
		s.pass("signature", "it verifies with secret")
		return list[0], nil
	}
	var err error
	for _, k := range list {
		if err = verifySignature(c.alg, k.public, c.signed, c.signature); err == nil {
			s.pass("signature", "it verifies")
			return k, nil
		}
	}
	return nil, s.fail("signature", err)
}

// Start begins to keep key sets fresh in the background, those that are not
// kept fresh already, and bounds the verified tokens as the configuration
// says. All of it ends with ctx.
func (v *Verifier) Start(ctx context.Context) {
	v.known.limit(v.knownLimit, v.o.Now().UnixNano())
	for _, i := range v.issuers {
		if i.keys != nil {
			i.keys.start(ctx)
		}
	}
	if v.sweeps.CompareAndSwap(false, true) {
		go v.sweep(ctx)
	}
}

func (v *Verifier) sweep(ctx context.Context) {
	defer v.sweeps.Store(false)
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			v.known.sweep(v.o.Now().UnixNano())
		case <-ctx.Done():
			return
		}
	}
}

// Retire stops the key sets that next, the Verifier that was compiled with
// this one as its predecessor, did not take over; with nil, all. Tokens can
// still be verified with the keys that are there.
func (v *Verifier) Retire(next *Verifier) {
	kept := map[*keySet]bool{}
	if next != nil {
		for _, i := range next.issuers {
			kept[i.keys] = true
		}
	}
	for _, i := range v.issuers {
		if i.keys != nil && !kept[i.keys] {
			i.keys.stop()
		}
	}
}

// Ready tells whether tokens of every issuer can be verified, and if not,
// why, one sentence an issuer.
func (v *Verifier) Ready() (bool, []string) {
	var why []string
	for _, name := range slices.Sorted(maps.Keys(v.issuers)) {
		i := v.issuers[name]
		if i.secret != nil || i.keys != nil && i.keys.usable() != nil {
			continue
		}
		text := "issuer " + name + " has no usable keys yet"
		if i.keys != nil {
			if st := i.keys.state(); st.Error != "" {
				text += ": " + st.Error
			}
		}
		why = append(why, text)
	}
	return len(why) == 0, why
}

// KeySetState is how an issuer's key set fares. Age is the time since the
// keys were read from their source, -1 where they never were; Error is why
// the last attempt failed, empty where it did not.
type KeySetState struct {
	Issuer  string
	Keys    int
	Fetched time.Time
	Age     time.Duration
	Error   string
}

// KeySets lists the key sets by the names of their issuers. Issuers that have
// only a secret are not among them.
func (v *Verifier) KeySets() []KeySetState {
	var list []KeySetState
	for _, name := range slices.Sorted(maps.Keys(v.issuers)) {
		if i := v.issuers[name]; i.keys != nil {
			list = append(list, i.keys.state())
		}
	}
	return list
}
