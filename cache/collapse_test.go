package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A herd is many requests at once, and what became of them.
type herd struct {
	fetches, collapsed, notShared atomic.Int64
}

func (h *herd) run(t *testing.T, c *Cache, n int, query func(i int) *Query, answer func() *Answer) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			got, err := c.Do(t.Context(), query(i), func(context.Context, *Transfer) (*Answer, error) {
				h.fetches.Add(1)
				time.Sleep(time.Second)
				return answer(), nil
			})
			switch {
			case errors.Is(err, ErrNotShared):
				h.notShared.Add(1)
			case err != nil:
				t.Errorf("Do: %v", err)
			case got.Collapsed:
				h.collapsed.Add(1)
			}
		})
	}
	wg.Wait()
}

func TestWhoFetchesTogether(t *testing.T) {
	origin := &Rule{Origin: true, Public: true}
	tests := []struct {
		name                          string
		rule                          *Rule
		method                        string
		req                           func(i int) fields
		answer                        fields
		fetches, collapsed, notShared int64
	}{
		{"fresh", origin, "GET", nil, fields{"Cache-Control", "max-age=9"}, 1, 9, 0},
		{"stale at once", origin, "GET", nil, fields{"Cache-Control", "max-age=0"}, 1, 0, 9},
		{"stale at once, with grace", origin, "GET", nil, fields{"Cache-Control", "max-age=0, stale-while-revalidate=9"}, 1, 9, 0},
		{"no-cache", origin, "GET", nil, fields{"Cache-Control", "max-age=9, no-cache", "ETag", `"a"`}, 1, 0, 9},
		{"private", origin, "GET", nil, fields{"Cache-Control", "max-age=9, private"}, 1, 0, 9},
		{"varies", origin, "GET", func(i int) fields { return fields{"X-A", fmt.Sprint(i % 2)} }, fields{"Cache-Control", "max-age=9", "Vary", "X-A"}, 1, 4, 5},
		{"requests for ranges", origin, "GET", func(int) fields { return fields{"Range", "bytes=0-1"} }, fields{"Cache-Control", "max-age=9"}, 10, 0, 0},
		{"HEAD", origin, "HEAD", nil, fields{"Cache-Control", "max-age=9"}, 10, 0, 0},
		{"requests for no cache", origin, "GET", func(int) fields { return fields{"Cache-Control", "no-cache"} }, fields{"Cache-Control", "max-age=9"}, 10, 0, 0},
		{"requests for no store", origin, "GET", func(int) fields { return fields{"Cache-Control", "no-store"} }, fields{"Cache-Control", "max-age=9"}, 10, 0, 0},
		{"requests for no cache do not pass the operator", minute, "GET", func(int) fields { return fields{"Cache-Control", "no-cache"} }, nil, 1, 9, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestCache(t, Options{})
				var h herd
				query := func(i int) *Query {
					q := &Query{Key: []byte("k"), Method: tt.method, Fields: fields{}, Rule: tt.rule}
					if tt.req != nil {
						q.Fields = tt.req(i)
					}
					return q
				}
				h.run(t, c, 10, query, func() *Answer { return build(200, "v", tt.answer...) })
				if h.fetches.Load() != tt.fetches || h.collapsed.Load() != tt.collapsed || h.notShared.Load() != tt.notShared {
					t.Errorf("%d fetches, %d collapsed, %d not shared; want %d, %d, %d", h.fetches.Load(), h.collapsed.Load(), h.notShared.Load(), tt.fetches, tt.collapsed, tt.notShared)
				}
			})
		})
	}
}

// Once it is known that answers to a key cannot be shared, nobody waits for
// another's; once it is known by what they vary, only those wait together
// that will have the same.
func TestHerdsLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Options{})
		plain := func(key string) func(int) *Query {
			return func(int) *Query { return &Query{Key: []byte(key), Fields: fields{}, Rule: minute} }
		}
		private := func() *Answer { return build(200, "v", "Set-Cookie", "a=b") }
		var h herd
		h.run(t, c, 10, plain("k"), private)
		if h.fetches.Load() != 1 || h.notShared.Load() != 9 {
			t.Errorf("at first: %d fetches, %d not shared", h.fetches.Load(), h.notShared.Load())
		}
		start := time.Now()
		h = herd{}
		h.run(t, c, 10, plain("k"), private)
		if h.fetches.Load() != 10 || h.notShared.Load() != 0 || time.Since(start) != time.Second {
			t.Errorf("then: %d fetches, %d not shared, %v", h.fetches.Load(), h.notShared.Load(), time.Since(start))
		}
		h = herd{}
		h.run(t, c, 10, plain("other"), private)
		if h.fetches.Load() != 1 {
			t.Errorf("for another key: %d fetches", h.fetches.Load())
		}
		time.Sleep(lonerTime)
		h = herd{}
		h.run(t, c, 10, plain("k"), private)
		if h.fetches.Load() != 1 {
			t.Errorf("later: %d fetches", h.fetches.Load())
		}
		// One answer that can be shared is enough to wait for the next.
		keepAnswer(t, c, "k", fields{}, &Rule{TTL: time.Second}, build(200, "v"))
		time.Sleep(2 * time.Minute)
		h = herd{}
		h.run(t, c, 10, plain("k"), private)
		if h.fetches.Load() != 1 {
			t.Errorf("after one that could be shared: %d fetches", h.fetches.Load())
		}

		varies := func(i int) *Query {
			return &Query{Key: []byte("vary"), Fields: fields{"X-A", fmt.Sprint(i % 2)}, Rule: minute}
		}
		answer := func() *Answer { return build(200, "v", "Vary", "X-A") }
		keepAnswer(t, c, "vary", fields{"X-A", "9"}, minute, answer())
		h = herd{}
		h.run(t, c, 10, varies, answer)
		if h.fetches.Load() != 2 || h.collapsed.Load() != 8 {
			t.Errorf("varying: %d fetches, %d collapsed", h.fetches.Load(), h.collapsed.Load())
		}
	})
}

// A hot answer is renewed before its time, by about one request; a cold one
// is not.
func TestEarlyRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		c := newTestCache(t, Options{Random: rng.Float64})
		rule := &Rule{TTL: 10 * time.Second}
		q := &Query{Key: []byte("k"), Fields: fields{}, Rule: rule}
		var fetches int
		exchange := func(context.Context, *Transfer) (*Answer, error) {
			fetches++
			time.Sleep(100 * time.Millisecond)
			return build(200, "v"), nil
		}
		if _, err := c.Do(t.Context(), q, exchange); err != nil {
			t.Fatal(err)
		}
		waits := 0
		const seconds = 1000
		for range seconds * 100 { // a hundred requests a second
			found := c.Lookup(q)
			if found.State != Fresh {
				waits++
				if _, err := c.Do(t.Context(), q, exchange); err != nil {
					t.Fatal(err)
				}
			}
			if found.Refresh {
				c.Renew(q, exchange)
				if c.Lookup(q).Refresh {
					t.Error("two renew at once")
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		if waits > 5 || fetches > seconds/10*12/10 {
			t.Errorf("%d requests waited, %d fetches in %d lives", waits, fetches, seconds/10)
		}
		off := *rule
		off.NoEarlyRefresh = true
		if _, err := c.Do(t.Context(), q, exchange); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if c.Lookup(&Query{Key: q.Key, Fields: q.Fields, Rule: &off}).Refresh {
				t.Error("renewed although it is turned off")
			}
			time.Sleep(9 * time.Millisecond)
		}
	})
}

// A method that a cache does not answer, and preconditions for the origin,
// pass by what is stored.
func TestBypass(t *testing.T) {
	c := newTestCache(t, Options{})
	keepAnswer(t, c, "k", fields{}, minute, build(200, "v", "ETag", `"a"`))
	for _, tt := range []struct {
		method  string
		req     fields
		state   State
		forward Forward
	}{
		{"GET", fields{}, Fresh, ""},
		{"HEAD", fields{}, Fresh, ""},
		{"", fields{}, Fresh, ""},
		{"POST", fields{}, Bypass, ForwardMethod},
		{"get", fields{}, Bypass, ForwardMethod},
		{"GET", fields{"If-Match", `"a"`}, Bypass, ForwardBypass},
		{"GET", fields{"If-Unmodified-Since", date(0)}, Bypass, ForwardBypass},
	} {
		found := c.Lookup(&Query{Key: []byte("k"), Method: tt.method, Fields: tt.req, Rule: minute})
		if found.State != tt.state || found.Forward != tt.forward || (found.Answer != nil) != (tt.state == Fresh) {
			t.Errorf("%s %v: %v %q", tt.method, tt.req, found.State, found.Forward)
		}
	}
	if got := State(99).String(); got != "invalid" {
		t.Errorf("State(99) is %q", got)
	}
}

// Many at once, with everything that can happen: nobody ever gets an answer
// that is not for them, and none that was purged before they asked.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	c := newTestCache(t, Options{MaxBytes: 1 << 20, MaxEntryBytes: 16 << 10})
	rule := &Rule{TTL: 2 * time.Millisecond, StaleWhileRevalidate: time.Millisecond, StaleIfError: time.Millisecond}
	const users, pages = 5, 10
	var versions, purged [users]atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(9, uint64(w)))
			for range 1500 {
				user, page := rng.IntN(users), rng.IntN(pages)
				language := []string{"de", "en"}[rng.IntN(2)]
				q := &Query{Key: fmt.Append(nil, "user ", user, " page ", page), Fields: fields{"Accept-Language", language}, Rule: rule, Tags: []Tag{c.Tag(TagPrincipal, fmt.Sprint(user))}}
				exchange := func(context.Context, *Transfer) (*Answer, error) {
					version := versions[user].Load()
					switch rand.IntN(12) {
					case 0:
						return nil, errRefused
					case 1:
						return build(503, ""), nil
					}
					lines := fields{"Vary", "Accept-Language"}
					if rand.IntN(6) == 0 {
						lines = append(lines, "Set-Cookie", "a=b")
					}
					return build(200, fmt.Sprint(user, " ", page, " ", language, " ", version), lines...), nil
				}
				if rng.IntN(20) == 0 {
					version := versions[user].Add(1)
					c.Purge(false, c.Tag(TagPrincipal, fmt.Sprint(user)))
					for old := purged[user].Load(); old < version && !purged[user].CompareAndSwap(old, version); old = purged[user].Load() {
					}
				}
				// Whoever raised the version and has purged since then is
				// counted here; nothing older may be given after that.
				least := purged[user].Load()
				check := func(a *Answer) {
					var u, p int
					var l string
					var v int64
					if a.Status() != 200 {
						return
					}
					if _, err := fmt.Sscan(string(a.Body()), &u, &p, &l, &v); err != nil || u != user || p != page || l != language || v < least {
						t.Errorf("%s, %s got %q, and version %d was purged", q.Key, language, a.Body(), least)
					}
				}
				found := c.Lookup(q)
				if found.Answer != nil {
					check(found.Answer)
				}
				if found.Refresh {
					c.Renew(q, exchange)
				}
				if found.State == Fresh || found.State == Stale {
					continue
				}
				got, err := c.Do(t.Context(), q, exchange)
				if err == nil {
					check(got.Answer)
				}
			}
		})
	}
	wg.Wait()
}
