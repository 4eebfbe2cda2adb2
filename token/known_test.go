package token

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hopgate/config"
)

func knownBy(owner *issuer, k *key, until time.Time) *verified {
	return &verified{principal: Principal{UserID: "alice"}, issuer: owner, key: k, until: until.UnixNano()}
}

func (n *known) bytes() int {
	total := 0
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		sum, count := 0, 0
		for e := s.oldest; e != nil; e = e.newer {
			sum += int(e.cost)
			count++
			if s.find(e.hash, e.issuer, e.text(e.size)) != e {
				panic("an entry is not found")
			}
		}
		taken, placed := 0, 0
		for i := range *s.table.Load() {
			switch (*s.table.Load())[i].entry.Load() {
			case nil:
			case removed:
				taken++
			default:
				taken++
				placed++
			}
		}
		if sum != s.bytes || count != s.live || placed != s.live || taken != s.used || sum > s.max {
			panic(fmt.Sprintf("the shard's books are wrong: %d of %d bytes, %d, %d and %d entries, %d of %d slots", s.bytes, sum, s.live, count, placed, s.used, taken))
		}
		total += sum
		s.mu.Unlock()
	}
	return total
}

func TestKnown(t *testing.T) {
	var (
		n         = newKnown(1 << 20)
		a, b      = &issuer{salt: 1 << 60}, &issuer{salt: 7}
		k         = &key{until: forever}
		now       = testTime.UnixNano()
		tok       = strings.Repeat("t", 700)
		onlyA     = []*issuer{a}
		both      = []*issuer{b, a}
		in10      = testTime.Add(10 * time.Second)
		known     = func(owners []*issuer, at int64) bool { return n.get(owners, tok, at) != nil }
		wantKnown = func(what string, got, want bool) {
			t.Helper()
			if got != want {
				t.Errorf("%s: known %v", what, got)
			}
		}
	)
	wantKnown("nothing", known(both, now), false)
	n.put(tok, knownBy(a, k, in10), now)
	wantKnown("at once", known(onlyA, now), true)
	wantKnown("among others", known(both, now), true)
	wantKnown("another issuer", known([]*issuer{b}, now), false)
	wantKnown("no issuer", known(nil, now), false)
	wantKnown("a moment before", known(onlyA, in10.UnixNano()-1), true)
	wantKnown("expired", known(onlyA, in10.UnixNano()), false)
	if n.get(onlyA, tok[:699], now) != nil || n.get(onlyA, tok+"t", now) != nil || n.get(onlyA, tok[:699]+"u", now) != nil {
		t.Error("another token is known")
	}
	n.put(tok, knownBy(a, k, in10), now)
	if entries(n) != 1 {
		t.Errorf("%d entries of one token", entries(n))
	}
	// A collision of hashes is not a hit.
	n.get(onlyA, tok, now).texts(700)[350] = 'u'
	wantKnown("collision", known(onlyA, now), false)
	n.put(tok, knownBy(a, k, in10), now)
	wantKnown("collision beside", known(onlyA, now), true)
	if entries(n) != 2 {
		t.Errorf("%d entries", entries(n))
	}
	k.gone.Store(true)
	wantKnown("key gone", known(onlyA, now), false)
	n.put(tok, knownBy(a, k, in10), now)
	wantKnown("verified with a key that is gone by now", known(onlyA, now), false)
	n.sweep(now)
	if n.bytes() != 0 || entries(n) != 0 {
		t.Errorf("%d bytes after sweeping", n.bytes())
	}
	n.put(strings.Repeat("x", 1<<15), knownBy(a, &key{until: forever}, in10), now)
	if entries(n) != 0 {
		t.Error("an entry that takes all of a shard was kept")
	}
	n.put("1", knownBy(a, &key{until: forever}, in10), now)
	n.sweep(in10.UnixNano() - 1)
	if entries(n) != 1 {
		t.Error("a live entry was swept")
	}
	n.bytes()
}

// What the cache keeps is its own: the token may be lent.
func TestKnownCopiesTokens(t *testing.T) {
	es := signer(t, "ES256")
	v, set := one(t, withKeys(plainIssuer, es))
	tok := sign(t, es, nil, goodClaims(nil))
	lent := []byte(tok)
	if _, _, err := v.Verify(context.Background(), set, unsafeText(lent)); err != nil {
		t.Fatal(err)
	}
	clear(lent)
	if p, known, err := v.Verify(context.Background(), set, tok); err != nil || !known || p.UserID != "alice" || p.Claims()["iss"] != plainIssuer.Issuer {
		t.Errorf("principal %+v, known %v, error %v", p, known, err)
	}
}

func TestKnownIsBounded(t *testing.T) {
	const limit = 4 << 20
	var (
		n     = newKnown(limit)
		owner = &issuer{}
		k     = &key{until: forever}
		now   = testTime.UnixNano()
		in10  = testTime.Add(10 * time.Second)
		tok   = func(i int) string { return fmt.Sprintf("%0700d", i) }
		m, _  = newMapper(withPreset(plainIssuer), "main")
		put   = func(i int, at int64, until time.Time) {
			claims, _, err := claimSetOf(typicalClaims(i))
			if err != nil {
				t.Fatal(err)
			}
			r := &verified{issuer: owner, key: k, until: until.UnixNano()}
			if err := m.principal(&r.principal, claims); err != nil {
				t.Fatal(err)
			}
			n.put(tok(i), r, at)
		}
	)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const count = 10000
	for i := range count {
		put(i, now, in10)
		if i >= 100 { // the first hundred are in use
			n.get([]*issuer{owner}, tok(i%100), now)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int(after.HeapAlloc - before.HeapAlloc); used > limit*5/4 || used < limit/2 {
		t.Errorf("%d bytes are really taken, of at most %d", used, limit)
	}
	if b, e := n.bytes(), entries(n); b > limit || b < limit*8/10 || e < 1000 {
		t.Errorf("%d bytes in %d entries", b, e)
	}
	hot := 0
	for i := range 100 {
		if n.get([]*issuer{owner}, tok(i), now) != nil {
			hot++
		}
	}
	if hot < 99 {
		t.Errorf("of 100 tokens in use %d stayed", hot)
	}
	// Expired tokens make way for new ones first, and none of those is lost.
	late := in10.UnixNano()
	for i := count; i < count+400; i++ {
		put(i, late, in10.Add(time.Minute))
	}
	for i := count; i < count+400; i++ {
		if n.get([]*issuer{owner}, tok(i), late) == nil {
			t.Fatalf("token %d was pushed out by dead ones", i)
		}
	}
	n.bytes()
}

// Claims that are asked for count, too, and make others go where there is no
// room. What is gone has its claims all the same.
func TestKnownClaimsAreBounded(t *testing.T) {
	const limit = 3 << 19
	v, set, toks := manyKnown(t, 1000, typicalClaims)
	v.known.limit(limit, testTime.UnixNano())
	before := entries(v.known)
	if before < 900 { // shards are not equally full
		t.Fatalf("%d entries", before)
	}
	last, _, err := v.Verify(context.Background(), set, toks[len(toks)-1])
	if err != nil {
		t.Fatal(err)
	}
	var all []*Principal
	for _, tok := range toks[:len(toks)-1] {
		r := v.known.get(set.get().issuers, tok, testTime.UnixNano())
		if r == nil {
			continue
		}
		p := &r.principal
		all = append(all, p)
		if p.Claims()["sub"] != p.UserID {
			t.Fatalf("claims %v of %s", p.Claims(), p.UserID)
		}
	}
	if n, b := entries(v.known), v.known.bytes(); n > before*9/10 || b > limit || b < limit/2 {
		t.Errorf("%d of %d entries, %d bytes", n, before, b)
	}
	for _, p := range all {
		if p.Claims()["sub"] != p.UserID {
			t.Fatalf("claims %v of %s", p.Claims(), p.UserID)
		}
	}
	v.known.limit(0, 0)
	if n := entries(v.known); n != 0 {
		t.Errorf("%d entries without room", n)
	}
	for _, p := range append(all, last) { // last was not asked before
		if p.Claims()["sub"] != p.UserID {
			t.Fatalf("claims %v of %s", p.Claims(), p.UserID)
		}
	}
}

func TestClaimsConcurrently(t *testing.T) {
	v, set, toks := manyKnown(t, 20, typicalClaims)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, tok := range toks {
				p, known, err := v.Verify(context.Background(), set, tok)
				if err != nil || !known || p.Claims()["sub"] != p.UserID {
					t.Errorf("known %v, error %v", known, err)
				}
			}
		})
	}
	wg.Wait()
	v.known.bytes()
}

// A new bound holds from the moment on at which the new configuration does.
func TestKnownLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	for _, c := range []struct{ set, memory, want int64 }{
		{0, math.MaxInt64, knownBytes},
		{5 << 20, math.MaxInt64, 5 << 20},
		{0, 100 << 20, 25 << 20},
		{64 << 20, 100 << 20, 64 << 20},
		{0, 1 << 40, knownBytes},
	} {
		debug.SetMemoryLimit(c.memory)
		if got := knownLimit(c.set); int64(got) != c.want {
			t.Errorf("set %d, memory %d: %d", c.set, c.memory, got)
		}
	}
	debug.SetMemoryLimit(math.MaxInt64)
	cfg := &config.Config{Tokens: config.TokenStore{MaxBytes: 1 << 20}}
	first := Compile(cfg, nil, Options{}, &config.Errors{})
	if got := first.known.shards[0].max; got != 1<<20/knownShards {
		t.Errorf("a shard of %d bytes", got)
	}
	cfg.Tokens.MaxBytes = 2 << 20
	next := Compile(cfg, first, Options{}, &config.Errors{})
	if got := first.known.shards[0].max; got != 1<<20/knownShards {
		t.Errorf("a shard of %d bytes before the configuration is in use", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	next.Start(ctx)
	if got := first.known.shards[0].max; got != 2<<20/knownShards {
		t.Errorf("a shard of %d bytes", got)
	}
}

// Tokens of every length around the sizes of blocks come back as they are.
func TestKnownBlocks(t *testing.T) {
	n := newKnown(1 << 30)
	owner, k := &issuer{}, &key{until: forever}
	lengths := []int{1, 2}
	for i := range room {
		if room[i].size < entryBytes || i > 0 && room[i].size <= room[i-1].size {
			t.Errorf("room %d", i)
		}
		for d := -20; d <= 20; d++ {
			lengths = append(lengths, room[i].size-entryBytes+d)
		}
	}
	put := 0
	for _, length := range lengths {
		tok := strings.Repeat(string(rune('a'+length%26)), length)
		p := n.put(tok, &verified{issuer: owner, key: k, until: 1, principal: Principal{UserID: "u", Roles: []string{"r", "s"}, Scopes: []string{"t"}, Actor: "v"}}, 0)
		if length+5 <= room[len(room)-1].size-entryBytes-8 {
			put++
			if r := n.get([]*issuer{owner}, tok, 0); r == nil || &r.principal != p {
				t.Fatalf("%d bytes are not known", length)
			}
		} else if n.get([]*issuer{owner}, tok, 0) != nil {
			t.Fatalf("%d bytes are known", length)
		}
		if got := fmt.Sprint(p.UserID, p.Roles, p.Scopes, p.Actor); got != "u[r s] [t]v" {
			t.Fatalf("%d bytes: %s", length, got)
		}
	}
	runtime.GC()
	for _, length := range lengths {
		tok := strings.Repeat(string(rune('a'+length%26)), length)
		if r := n.get([]*issuer{owner}, tok, 0); r != nil {
			put--
			if got := fmt.Sprint(r.principal.UserID, r.principal.Roles, r.principal.Scopes, r.principal.Actor); got != "u[r s] [t]v" {
				t.Fatalf("%d bytes: %s", length, got)
			}
		}
	}
	if put > 0 {
		t.Errorf("%d are gone", put)
	}
}

func TestKnownConcurrently(t *testing.T) {
	n := newKnown(1 << 20)
	owner := &issuer{salt: 3}
	now := testTime.UnixNano()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			k := &key{until: forever}
			for i := range 3000 {
				tok := fmt.Sprintf("%0600d", (i*7+g)%2500)
				if r := n.get([]*issuer{owner}, tok, now); r != nil && r.principal.UserID != tok {
					t.Errorf("the principal of another token: %s", r.principal.UserID)
				}
				n.put(tok, &verified{principal: Principal{UserID: tok}, issuer: owner, key: k, until: testTime.Add(time.Second).UnixNano()}, now)
				if i%500 == 0 {
					k.gone.Store(true)
					k = &key{until: forever}
					n.sweep(now)
					n.limit(1<<20, now)
				}
			}
		})
	}
	wg.Wait()
	n.bytes()
}

// A known token dies at the earliest of exp and max_age, each with the skew.
func TestKnownExpires(t *testing.T) {
	es := signer(t, "ES256")
	for name, c := range map[string]struct {
		maxAge time.Duration
		lives  time.Duration
		fault  *Fault
	}{
		"exp":     {0, 65 * time.Second, ErrExpired},
		"max_age": {30 * time.Second, 35 * time.Second, ErrTooOld},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := withKeys(plainIssuer, es)
				cfg.MaxAge = c.maxAge
				v := compile(t, map[string]config.Issuer{"main": cfg}, nil, Options{})
				ctx, cancel := context.WithCancel(context.Background())
				v.Start(ctx)
				set := v.Set(nil)
				tok := sign(t, es, nil, map[string]any{"iss": plainIssuer.Issuer, "sub": "alice", "iat": time.Now().Unix(), "exp": time.Now().Unix() + 60})
				if _, known, err := v.Verify(ctx, set, tok); err != nil || known {
					t.Fatal(known, err)
				}
				time.Sleep(c.lives - time.Nanosecond)
				if _, known, err := v.Verify(ctx, set, tok); err != nil || !known {
					t.Errorf("known %v, error %v", known, err)
				}
				time.Sleep(time.Nanosecond)
				if p, known, err := v.Verify(ctx, set, tok); err == nil || known || p != nil || err.Error() == "" || !strings.Contains(err.Error(), c.fault.Error()) {
					t.Errorf("known %v, error %v", known, err)
				}
				time.Sleep(sweepInterval)
				synctest.Wait()
				if n := entries(v.known); n != 0 {
					t.Errorf("%d entries after sweeping", n)
				}
				cancel()
			})
		})
	}
}
