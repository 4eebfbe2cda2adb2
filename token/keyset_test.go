package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hopgate/config"
)

// fakeIssuer answers fetches without a network, so that tests can run in a
// bubble with a clock of its own.
type fakeIssuer struct {
	mu     sync.Mutex
	status int
	header http.Header
	body   []byte
	delay  time.Duration // hangs until the request is given up where it is negative
	times  []time.Time   // of the fetches
}

func (f *fakeIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	status, header, body, delay := f.status, f.header.Clone(), f.body, f.delay
	f.times = append(f.times, time.Now())
	f.mu.Unlock()
	if delay < 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func (f *fakeIssuer) set(change func(f *fakeIssuer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeIssuer) serve(list ...*Signer) {
	f.set(func(f *fakeIssuer) {
		f.status, f.delay, f.header = http.StatusOK, 0, http.Header{}
		f.body = list[0].PublicJWKS(list[1:]...)
	})
}

func (f *fakeIssuer) fetches() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.times)
}

// counter counts what an Observer is told.
type counter struct {
	mu       sync.Mutex
	ok, bad  int
	lastKeys int
}

func (c *counter) KeysFetched(issuer string, keys int, err error, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if issuer != "main" {
		panic("issuer " + issuer)
	}
	if err != nil {
		c.bad++
		return
	}
	c.ok++
	c.lastKeys = keys
}

func (c *counter) counts() (ok, bad, lastKeys int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ok, c.bad, c.lastKeys
}

// logged is what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// gate is a verifier with one issuer whose keys come from a fake.
type gate struct {
	t      *testing.T
	issuer *fakeIssuer
	cfg    config.Issuer
	v      *Verifier
	set    IssuerSet
	seen   *counter
	log    *logged
}

func newGate(t *testing.T, issuer *fakeIssuer, change func(*config.Issuer)) *gate {
	t.Helper()
	cfg := plainIssuer
	cfg.JWKS.URL = "https://issuer.example.com/jwks.json"
	if change != nil {
		change(&cfg)
	}
	g := &gate{t: t, issuer: issuer, cfg: cfg, seen: &counter{}, log: &logged{}}
	g.compile(nil, cfg)
	return g
}

func (g *gate) compile(prev *Verifier, cfg config.Issuer) {
	g.t.Helper()
	handler := slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})
	g.v = compile(g.t, map[string]config.Issuer{"main": cfg}, prev, Options{Observer: g.seen, Log: slog.New(handler)})
	g.set = g.v.Set(nil)
	if prev == nil || g.v.issuers["main"].keys != prev.issuers["main"].keys {
		switch s := g.v.issuers["main"].keys.source.(type) {
		case *urlSource:
			s.client.Transport = g.issuer
		case *discoverySource:
			s.client.Transport = g.issuer
		}
	}
}

// start runs the background until the bubble's test is over.
func (g *gate) start() {
	ctx, cancel := context.WithCancel(context.Background())
	g.t.Cleanup(cancel)
	g.v.Start(ctx)
}

// fresh gives a new token that is valid for a week; two are never the same.
func fresh(t testing.TB, s *Signer, n int) string {
	return sign(t, s, nil, map[string]any{"iss": plainIssuer.Issuer, "sub": "alice", "n": n, "exp": time.Now().Add(7 * 24 * time.Hour).Unix()})
}

// verify wants a fault, or none where it is nil, and tells whether the token
// was known.
func (g *gate) verify(ctx context.Context, tok string, want *Fault) bool {
	g.t.Helper()
	p, known, err := g.v.Verify(ctx, g.set, tok)
	if want == nil && (err != nil || p.UserID != "alice") || want != nil && (!errors.Is(err, want) || p != nil) {
		g.t.Fatalf("principal %v, error %v; want %v", p, err, want)
	}
	return known
}

func TestFirstFetchIsSharedAndWaitedFor(t *testing.T) {
	es := signer(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, nil)
		g.issuer.serve(es)
		g.issuer.set(func(f *fakeIssuer) { f.delay = 2 * time.Second })
		if ok, why := g.v.Ready(); ok || len(why) != 1 || !strings.Contains(why[0], "main") {
			t.Errorf("ready %v %q", ok, why)
		}
		started := time.Now()
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() { g.verify(context.Background(), fresh(t, es, n), nil) })
		}
		wg.Wait()
		if took := time.Since(started); took != 2*time.Second || g.issuer.fetches() != 1 {
			t.Errorf("took %s and %d fetches", took, g.issuer.fetches())
		}
		if ok, why := g.v.Ready(); !ok || len(why) != 0 {
			t.Errorf("ready %v %q", ok, why)
		}
		if ok, bad, n := g.seen.counts(); ok != 1 || bad != 0 || n != 1 {
			t.Errorf("observed %d good ones, %d bad ones, %d keys", ok, bad, n)
		}
	})
}

func TestCallersThatLeaveDoNotCancelTheFetch(t *testing.T) {
	es := signer(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, nil)
		g.issuer.serve(es)
		g.issuer.set(func(f *fakeIssuer) { f.delay = 2 * time.Second })
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		started := time.Now()
		g.verify(ctx, fresh(t, es, 1), ErrKeysUnavailable)
		if took := time.Since(started); took != 100*time.Millisecond {
			t.Errorf("waited %s", took)
		}
		g.verify(context.Background(), fresh(t, es, 1), nil)
		if took := time.Since(started); took != 2*time.Second || g.issuer.fetches() != 1 {
			t.Errorf("took %s and %d fetches", took, g.issuer.fetches())
		}
	})
}

func TestIssuerHangs(t *testing.T) {
	es := signer(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, func(i *config.Issuer) { i.JWKS.Timeout = 3 * time.Second })
		g.issuer.set(func(f *fakeIssuer) { f.delay = -1 })
		started := time.Now()
		g.verify(context.Background(), fresh(t, es, 1), ErrKeysUnavailable)
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("waited %s", took)
		}
		// The next ones do not even wait, until a fetch is allowed again.
		g.verify(context.Background(), fresh(t, es, 1), ErrKeysUnavailable)
		if took := time.Since(started); took != 3*time.Second || g.issuer.fetches() != 1 {
			t.Errorf("took %s and %d fetches", took, g.issuer.fetches())
		}
		time.Sleep(7 * time.Second)
		g.issuer.serve(es)
		g.verify(context.Background(), fresh(t, es, 1), nil)

		// A hang does not touch the keys that are there, nor those who use them.
		g.issuer.set(func(f *fakeIssuer) { f.delay = -1 })
		time.Sleep(time.Hour)
		started = time.Now()
		go g.v.Verify(context.Background(), g.set, fresh(t, mustSigner(t, "EdDSA"), 1))
		synctest.Wait()
		g.verify(context.Background(), fresh(t, es, 2), nil)
		if took := time.Since(started); took != 0 || g.issuer.fetches() != 3 {
			t.Errorf("took %s and %d fetches", took, g.issuer.fetches())
		}
		time.Sleep(time.Minute)
	})
}

func TestUnknownKidStorm(t *testing.T) {
	es, stranger := signer(t, "ES256"), mustSigner(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, nil)
		g.issuer.serve(es)
		g.start()
		synctest.Wait()
		begin := g.issuer.fetches()
		const seconds = 100
		for s := range seconds {
			var wg sync.WaitGroup
			for n := range 20 {
				wg.Go(func() {
					kid := fmt.Sprintf("kid-%d-%d", s, n)
					g.verify(context.Background(), sign(t, stranger, map[string]any{"kid": kid}, map[string]any{"iss": plainIssuer.Issuer, "exp": time.Now().Unix() + 60}), ErrKeyUnknown)
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
		}
		if n := g.issuer.fetches() - begin; n < seconds/10-1 || n > seconds/10 {
			t.Errorf("%d fetches in %d seconds", n, seconds)
		}
		g.verify(context.Background(), fresh(t, es, 1), nil)
		if len(g.v.issuers["main"].keys.current.Load().byID) != 1 {
			t.Error("unknown kids were kept")
		}
	})
}

func TestRotation(t *testing.T) {
	old, next := signer(t, "ES256"), mustSigner(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, nil)
		g.issuer.serve(old)
		g.start()
		tok := fresh(t, old, 1)
		g.verify(context.Background(), tok, nil)

		// A new key: found at once when a token names it.
		g.issuer.serve(old, next)
		time.Sleep(10 * time.Second)
		g.verify(context.Background(), fresh(t, next, 2), nil)
		if !g.verify(context.Background(), tok, nil) {
			t.Error("the known token was forgotten although its key stayed")
		}

		// Two rotations within the shortest interval: the second has to wait.
		third := mustSigner(t, "ES256")
		g.issuer.serve(next, third)
		g.verify(context.Background(), fresh(t, third, 3), ErrKeyUnknown)
		time.Sleep(10 * time.Second)
		if !g.verify(context.Background(), tok, nil) {
			t.Error("the known token was forgotten before its key was gone")
		}
		g.verify(context.Background(), fresh(t, third, 3), nil)

		// With that the old key was gone, and at once with it what it vouched for.
		g.verify(context.Background(), tok, ErrKeyUnknown)
		g.verify(context.Background(), fresh(t, old, 4), ErrKeyUnknown)
		if st := g.v.KeySets(); len(st) != 1 || st[0].Keys != 2 || st[0].Issuer != "main" || st[0].Error != "" || st[0].Age != 0 {
			t.Errorf("state %+v", st)
		}
		// It comes back: tokens verify again, but not from memory.
		g.issuer.serve(old)
		time.Sleep(10 * time.Second)
		if g.verify(context.Background(), tok, nil) {
			t.Error("the token was still known")
		}
	})
}

// The same kid with other material is another key.
func TestKeyExchangedUnderItsKid(t *testing.T) {
	old, next := signer(t, "ES256"), mustSigner(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, nil)
		g.issuer.serve(old)
		g.start()
		tok := fresh(t, old, 1)
		g.verify(context.Background(), tok, nil)
		renamed := jwkOf(t, next, map[string]any{"kid": old.KeyID()})
		g.issuer.set(func(f *fakeIssuer) { f.body = setOf(t, renamed) })
		time.Sleep(10 * time.Minute)
		g.verify(context.Background(), tok, ErrSignature)
		g.verify(context.Background(), sign(t, next, map[string]any{"kid": old.KeyID()}, map[string]any{"iss": plainIssuer.Issuer, "sub": "alice", "exp": time.Now().Unix() + 60}), nil)
	})
}

func TestOutage(t *testing.T) {
	es := signer(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, func(i *config.Issuer) { i.JWKS.MaxStale = time.Hour })
		g.issuer.serve(es)
		g.start()
		tok := fresh(t, es, 1)
		g.verify(context.Background(), tok, nil)
		g.issuer.set(func(f *fakeIssuer) { f.status = 0 })
		time.Sleep(time.Hour - time.Second)
		g.verify(context.Background(), fresh(t, es, 2), nil)
		if !g.verify(context.Background(), tok, nil) {
			t.Error("not known")
		}
		if st := g.v.KeySets()[0]; st.Age != time.Hour-time.Second || st.Error == "" || st.Keys != 1 {
			t.Errorf("state %+v", st)
		}
		time.Sleep(time.Second)
		g.verify(context.Background(), tok, ErrKeysUnavailable)
		g.verify(context.Background(), fresh(t, es, 3), ErrKeysUnavailable)
		if ok, why := g.v.Ready(); ok || !strings.Contains(strings.Join(why, ""), "connection refused") {
			t.Errorf("ready %v %q", ok, why)
		}
		// Fetches grew rarer, but never rarer than refresh and a quarter.
		g.issuer.mu.Lock()
		times := g.issuer.times
		g.issuer.mu.Unlock()
		for n := 1; n < len(times); n++ {
			if d := times[n].Sub(times[n-1]); d < 10*time.Second || d > 750*time.Second {
				t.Errorf("fetch %d was %s after the one before", n, d)
			}
		}
		if len(times) < 8 || len(times) > 16 {
			t.Errorf("%d fetches in an hour", len(times))
		}
		g.issuer.serve(es)
		time.Sleep(750 * time.Second)
		g.verify(context.Background(), tok, nil)
		if ok, _ := g.v.Ready(); !ok {
			t.Error("not ready after the outage")
		}
		if ok, bad, _ := g.seen.counts(); bad == 0 || ok < 2 || ok+bad != g.issuer.fetches() {
			t.Errorf("observed %d good ones and %d bad ones of %d", ok, bad, g.issuer.fetches())
		}
		if strings.Contains(g.log.String(), tok) || !strings.Contains(g.log.String(), "cannot fetch keys") {
			t.Errorf("log %s", g.log)
		}
	})
}

// No answer that is not a good key set takes the place of one.
func TestBadAnswersKeepGoodKeys(t *testing.T) {
	es := signer(t, "ES256")
	other := mustSigner(t, "ES256").PublicJWKS()
	for name, c := range map[string]struct {
		status int
		body   []byte
		text   string // in the state
	}{
		"503":             {503, other, "503"},
		"404":             {404, other, "404"},
		"204":             {204, nil, "204"},
		"201":             {201, other, "201"},
		"redirect":        {302, other, "redirect"},
		"not modified":    {304, nil, "304"},
		"empty set":       {200, []byte(`{"keys":[]}`), "no key"},
		"no set":          {200, []byte(`{}`), "JWK Set"},
		"empty":           {200, nil, "JWK Set"},
		"HTML":            {200, []byte("<html>maintenance</html>"), "JWK Set"},
		"cut short":       {200, other[:len(other)-2], "JWK Set"},
		"symmetric alone": {200, []byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), "symmetric"},
		"unknown alone":   {200, []byte(`{"keys":[{"kty":"AKP"}]}`), "kty"},
		"too large":       {200, append([]byte(`{"keys":[],"x":"`), bytes.Repeat([]byte("x"), maxDocument)...), "more than"},
		"no connection":   {0, nil, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(t, &fakeIssuer{}, nil)
				g.issuer.serve(es)
				g.start()
				tok := fresh(t, es, 1)
				g.verify(context.Background(), tok, nil)
				g.issuer.set(func(f *fakeIssuer) {
					f.status, f.body = c.status, c.body
					f.header.Set("Location", "https://evil.example/jwks.json")
				})
				time.Sleep(2 * time.Hour)
				if n := g.issuer.fetches(); n < 5 {
					t.Errorf("%d fetches", n)
				}
				if !g.verify(context.Background(), tok, nil) {
					t.Error("not known")
				}
				g.verify(context.Background(), fresh(t, es, 2), nil)
				if st := g.v.KeySets()[0]; st.Keys != 1 || !strings.Contains(st.Error, c.text) {
					t.Errorf("state %+v", st)
				}
				if ok, _ := g.v.Ready(); !ok {
					t.Error("not ready")
				}
			})
		})
	}
}

func TestRefreshInterval(t *testing.T) {
	es := signer(t, "ES256")
	for name, c := range map[string]struct {
		cacheControl, age string
		want              time.Duration // the longest interval; the shortest is a tenth less
	}{
		"nothing":         {"", "", 10 * time.Minute},
		"max-age":         {"public, max-age=60", "", time.Minute},
		"quoted":          {`max-age="60"`, "", time.Minute},
		"Age":             {"max-age=120", "60", time.Minute},
		"Age beyond":      {"max-age=120", "600", 10 * time.Second},
		"short":           {"max-age=1", "", 10 * time.Second},
		"long":            {"max-age=86400", "", 10 * time.Minute},
		"very long":       {"max-age=99999999999999999999", "", 10 * time.Minute},
		"negative":        {"max-age=-1", "", 10 * time.Minute},
		"no number":       {"max-age=x", "", 10 * time.Minute},
		"no-store":        {"no-store, max-age=1", "", 10 * time.Minute},
		"all against it":  {"no-cache, no-store, max-age=0, must-revalidate", "", 10 * time.Minute},
		"capital letters": {"Max-Age=60", "", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(t, &fakeIssuer{}, nil)
				g.issuer.serve(es)
				g.issuer.set(func(f *fakeIssuer) {
					f.header.Set("Cache-Control", c.cacheControl)
					f.header.Set("Age", c.age)
				})
				g.start()
				time.Sleep(2 * time.Hour)
				g.issuer.mu.Lock()
				defer g.issuer.mu.Unlock()
				for n := 1; n < len(g.issuer.times); n++ {
					if d := g.issuer.times[n].Sub(g.issuer.times[n-1]); d > c.want || d < max(c.want*9/10, 10*time.Second) {
						t.Fatalf("fetch %d was %s after the one before; want %s", n, d, c.want)
					}
				}
				if n := len(g.issuer.times); n < int(2*time.Hour/c.want) {
					t.Errorf("%d fetches", n)
				}
			})
		})
	}
}

func TestKeysOnDisk(t *testing.T) {
	es, other := signer(t, "ES256"), mustSigner(t, "ES256")
	dir := t.TempDir()
	file := filepath.Join(dir, "keys.json")
	withFile := func(i *config.Issuer) { i.JWKS.CacheFile = file }
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, withFile)
		g.issuer.serve(es)
		g.start()
		synctest.Wait()
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, error %v", info.Mode(), err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("left in the folder: %v, error %v", list, err)
		}
		time.Sleep(9 * time.Hour) // it is written anew with each fetch
		g.v.Retire(nil)

		// The issuer is down: keys come from the file, and age from when they
		// were fetched.
		time.Sleep(23 * time.Hour)
		g = newGate(t, &fakeIssuer{}, withFile)
		if ok, why := g.v.Ready(); !ok {
			t.Fatalf("not ready: %q", why)
		}
		g.start()
		g.verify(context.Background(), fresh(t, es, 1), nil)
		if st := g.v.KeySets()[0]; st.Keys != 1 || st.Age < 23*time.Hour || st.Age > 23*time.Hour+10*time.Minute {
			t.Errorf("state %+v", st)
		}
		synctest.Wait()
		if g.issuer.fetches() != 1 {
			t.Errorf("%d fetches", g.issuer.fetches())
		}
		time.Sleep(time.Hour)
		g.verify(context.Background(), fresh(t, es, 1), ErrKeysUnavailable)

		// It comes back with another key, which replaces those of the file.
		g.issuer.serve(other)
		time.Sleep(time.Hour)
		g.verify(context.Background(), fresh(t, other, 1), nil)
		g.verify(context.Background(), fresh(t, es, 1), ErrKeyUnknown)
	})
}

func TestBadKeysOnDisk(t *testing.T) {
	es := signer(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		good := func(issuer, source string, fetched time.Time, keys ...any) string {
			return jsonOf(t, map[string]any{"issuer": issuer, "source": source, "fetched": fetched, "keys": keys})
		}
		const source = "https://issuer.example.com/jwks.json"
		now, k := time.Now(), jwkOf(t, es, nil)
		for name, c := range map[string]struct {
			text string
			ok   bool
		}{
			"good":           {good(plainIssuer.Issuer, source, now, k), true},
			"nothing":        {"", false},
			"no JSON":        {"x", false},
			"another issuer": {good("https://evil.example", source, now, k), false},
			"another source": {good(plainIssuer.Issuer, "https://evil.example/jwks.json", now, k), false},
			"too old":        {good(plainIssuer.Issuer, source, now.Add(-24*time.Hour), k), false},
			"of the future":  {good(plainIssuer.Issuer, source, now.Add(2*time.Minute), k), false},
			"no keys":        {good(plainIssuer.Issuer, source, now), false},
			"symmetric key":  {good(plainIssuer.Issuer, source, now, map[string]any{"kty": "oct", "k": "AAAA"}), false},
			"weak key":       {good(plainIssuer.Issuer, source, now, smallRSA(t)), false},
			"no time":        {string(setOf(t, k)), false},
			"too large":      {good(plainIssuer.Issuer, source, now, k) + strings.Repeat(" ", maxDocument), false},
		} {
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			g := newGate(t, &fakeIssuer{}, func(i *config.Issuer) { i.JWKS.CacheFile = file })
			if ok, _ := g.v.Ready(); ok != c.ok {
				t.Errorf("%s: ready %v", name, ok)
			}
			if logged := strings.Contains(g.log.String(), "cannot use keys from disk"); logged == c.ok {
				t.Errorf("%s: log %s", name, g.log)
			}
			g.v.Retire(nil)
		}
		// A folder that is not there, or a file that cannot be written, fails
		// no fetch.
		g := newGate(t, &fakeIssuer{}, func(i *config.Issuer) { i.JWKS.CacheFile = filepath.Join(dir, "missing", "keys.json") })
		g.issuer.serve(es)
		g.verify(context.Background(), fresh(t, es, 1), nil)
		if !strings.Contains(g.log.String(), "cannot keep keys on disk") {
			t.Errorf("log %s", g.log)
		}
	})
}

// Private keys of a careless issuer neither verify nor end on disk, and the
// log cries out.
func TestPrivateKeysInASet(t *testing.T) {
	es, leaked := signer(t, "ES256"), mustSigner(t, "ES256")
	file := filepath.Join(t.TempDir(), "keys.json")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, func(i *config.Issuer) { i.JWKS.CacheFile = file })
		g.issuer.serve(es)
		private := string(leaked.PrivateJWK())
		g.issuer.set(func(f *fakeIssuer) {
			f.body = []byte(strings.Replace(string(f.body), "[", "["+private+",", 1))
		})
		g.verify(context.Background(), fresh(t, leaked, 1), ErrKeyUnknown)
		g.verify(context.Background(), fresh(t, es, 1), nil)
		text, err := os.ReadFile(file)
		if err != nil || bytes.Contains(text, []byte(`"d"`)) || !bytes.Contains(text, []byte(es.KeyID())) {
			t.Errorf("file %s, error %v", text, err)
		}
		if !strings.Contains(g.log.String(), "level=ERROR") || !strings.Contains(g.log.String(), "private key") {
			t.Errorf("log %s", g.log)
		}
	})
}

func TestKeyFileIsReadAgain(t *testing.T) {
	es, next := signer(t, "ES256"), mustSigner(t, "ES256")
	file := filepath.Join(t.TempDir(), "jwks.json")
	write := func(text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		write(es.PublicJWKS())
		g := newGate(t, nil, func(i *config.Issuer) { i.JWKS.URL, i.JWKS.File = "", file })
		if ok, _ := g.v.Ready(); !ok {
			t.Fatal("not ready offline")
		}
		tok := fresh(t, es, 1)
		g.verify(context.Background(), tok, nil)
		g.start()
		write(next.PublicJWKS())
		time.Sleep(11 * time.Second)
		g.verify(context.Background(), tok, ErrKeyUnknown)
		g.verify(context.Background(), fresh(t, next, 1), nil)
		write([]byte("half a fi"))
		time.Sleep(time.Minute)
		g.verify(context.Background(), fresh(t, next, 2), nil)
		if st := g.v.KeySets()[0]; st.Error == "" {
			t.Errorf("state %+v", st)
		}

		// Loading the configuration again looks at the file at once.
		write(next.PublicJWKS(es))
		time.Sleep(11 * time.Minute) // the back-off is over
		write(es.PublicJWKS())
		time.Sleep(10 * time.Second)
		prev := g.v
		g.compile(prev, g.cfg)
		g.start()
		prev.Retire(g.v)
		synctest.Wait()
		g.verify(context.Background(), fresh(t, next, 3), ErrKeyUnknown)
		g.verify(context.Background(), fresh(t, es, 3), nil)
	})
}

func TestReload(t *testing.T) {
	es := signer(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, nil)
		g.issuer.serve(es)
		g.start()
		tok := fresh(t, es, 1)
		g.verify(context.Background(), tok, nil)

		// Nothing changed: the token is still known, nothing is fetched.
		first := g.v
		g.compile(first, g.cfg)
		g.start()
		first.Retire(g.v)
		if !g.verify(context.Background(), tok, nil) || g.issuer.fetches() != 1 {
			t.Errorf("not known, %d fetches", g.issuer.fetches())
		}

		// What is asked of a token changed: the keys stay, what was verified is
		// verified anew.
		cfg := g.cfg
		cfg.RequiredClaims = []string{"sub", "n"}
		second := g.v
		g.compile(second, cfg)
		g.start()
		second.Retire(g.v)
		if g.verify(context.Background(), tok, nil) || g.issuer.fetches() != 1 {
			t.Errorf("known, %d fetches", g.issuer.fetches())
		}
		stricter := cfg
		stricter.Audiences = []string{"other"}
		third := g.v
		g.compile(third, stricter)
		third.Retire(g.v)
		g.verify(context.Background(), tok, ErrAudience)
		// A request that began before still sees the old settings.
		if _, known, err := third.Verify(context.Background(), third.Set(nil), tok); err != nil || !known {
			t.Errorf("known %v, error %v", known, err)
		}

		// Where the keys come from changed: the old set stops.
		fourth := g.v
		moved := g.cfg
		moved.JWKS.URL = "https://issuer.example.com/moved.json"
		g.compile(fourth, moved)
		if ok, _ := g.v.Ready(); ok {
			t.Error("ready with keys of another address")
		}
		g.start()
		fourth.Retire(g.v)
		time.Sleep(time.Second)
		before := g.issuer.fetches()
		g.verify(context.Background(), tok, nil)
		old := fourth.issuers["main"].keys
		if old.fetch() != nil {
			t.Error("a retired key set fetches")
		}
		time.Sleep(9*time.Minute + 30*time.Second)
		if n := g.issuer.fetches() - before; n > 1 {
			t.Errorf("%d fetches", n)
		}
		// An old request can still use the keys that are there.
		if _, _, err := third.Verify(context.Background(), third.Set(nil), fresh(t, es, 9)); err != nil {
			t.Errorf("after retirement: %v", err)
		}
		g.v.Retire(nil)
	})
}

// The bubble fails the test where a goroutine outlives it.
func TestEverythingEnds(t *testing.T) {
	es := signer(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &fakeIssuer{}, nil)
		g.issuer.serve(es)
		g.issuer.set(func(f *fakeIssuer) { f.delay = -1 })
		ctx, cancel := context.WithCancel(context.Background())
		g.v.Start(ctx)
		g.v.Start(ctx)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if g.v.issuers["main"].keys.fetch() != nil {
			t.Error("it fetches after its end")
		}
		if n := g.issuer.fetches(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		if strings.Contains(g.log.String(), "cannot fetch") {
			t.Errorf("the end was logged as a failure: %s", g.log)
		}
	})
}

// answers is a transport that answers every request with one document.
type answers string

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

// TestDiscoveryStaysAway does not let a provider elsewhere send hopgate to
// services of its own machine.
func TestDiscoveryStaysAway(t *testing.T) {
	for _, uri := range []string{"http://127.0.0.1:9090/purge", "https://localhost/keys", "http://[::1]/keys"} {
		d := &discoverySource{
			address: "https://issuer.example/.well-known/openid-configuration", issuer: "https://issuer.example",
			client: &http.Client{Transport: answers(`{"issuer":"https://issuer.example","jwks_uri":"` + uri + `"}`)},
		}
		if _, _, err := d.read(t.Context()); err == nil || !strings.Contains(err.Error(), "on this machine") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
