package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPurge(t *testing.T) {
	rule := &Rule{TTL: time.Minute, StaleWhileRevalidate: 10 * time.Second, StaleIfError: 20 * time.Second}
	tests := []struct {
		name   string
		purge  func(c *Cache, soft bool)
		purged bool
	}{
		{"its route", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagRoute, "r")) }, true},
		{"its principal", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagPrincipal, "p")) }, true},
		{"its key", func(c *Cache, soft bool) { c.Purge(soft, c.TagKey([]byte("k"))) }, true},
		{"its URI", func(c *Cache, soft bool) { c.Purge(soft, c.TagURI("HTTPS", "Example.com:443", "/a?b")) }, true},
		{"its Cache-Tag", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagUpstream, "t 2")) }, true},
		{"its Surrogate-Key", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagUpstream, "s2")) }, true},
		{"one of several", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagRoute, "x"), c.Tag(TagRoute, "r")) }, true},
		{"everything", (*Cache).PurgeAll, true},
		{"nothing", func(c *Cache, soft bool) { c.Purge(soft) }, false},
		{"another route", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagRoute, "r2")) }, false},
		{"another kind", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagOrganization, "r")) }, false},
		{"another key", func(c *Cache, soft bool) { c.Purge(soft, c.TagKey([]byte("kk"))) }, false},
		{"another URI", func(c *Cache, soft bool) { c.Purge(soft, c.TagURI("http", "example.com", "/a?b")) }, false},
		{"a part of a tag", func(c *Cache, soft bool) { c.Purge(soft, c.Tag(TagUpstream, "t")) }, false},
	}
	for _, tt := range tests {
		for _, soft := range []bool{false, true} {
			clock := newFakeClock()
			c := newTestCache(t, Options{Now: clock.Now})
			q := &Query{Key: []byte("k"), Fields: fields{}, Rule: rule, Tags: []Tag{
				c.Tag(TagRoute, "r"), c.Tag(TagPrincipal, "p"), c.TagURI("https", "example.com", "/a?b"),
			}}
			fill := func() {
				if _, err := c.Do(t.Context(), q, func(context.Context, *Transfer) (*Answer, error) {
					return build(200, "v", "Cache-Tag", "t1,t 2 ,", "Surrogate-Key", "s1  s2", "Surrogate-Key", "s3"), nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			fill()
			clock.Advance(time.Second)
			tt.purge(c, soft)
			want := Fresh
			if tt.purged {
				want = map[bool]State{false: Miss, true: Stale}[soft]
			}
			if got := c.Lookup(q); got.State != want || got.Refresh != (want == Stale) {
				t.Errorf("%s, soft %v: %v, Refresh %v; want %v", tt.name, soft, got.State, got.Refresh, want)
			}
			if tt.purged && soft {
				// Its grace begins with the purge.
				for _, step := range []struct {
					after time.Duration
					state State
				}{{10*time.Second - 1, Stale}, {1, Expired}, {10 * time.Second, Miss}} {
					clock.Advance(step.after)
					if got := c.Lookup(q).State; got != step.state {
						t.Errorf("%s, soft, later: %v, want %v", tt.name, got, step.state)
					}
				}
			}
			if tt.purged {
				fill()
				if got := c.Lookup(q).State; got != Fresh {
					t.Errorf("%s, soft %v: fetched anew it is %v", tt.name, soft, got)
				}
			}
		}
	}
}

// A purge reaches what is being fetched by a request that came before it.
// Who comes after does not wait for that.
func TestPurgeReachesFetchesUnderWay(t *testing.T) {
	for _, tag := range []struct{ kind, value string }{{TagRoute, "r"}, {TagUpstream, "t"}} {
		for _, soft := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c := newTestCache(t, Options{})
				q := func() *Query {
					return &Query{Key: []byte("k"), Fields: fields{}, Rule: &Rule{TTL: time.Minute}, Tags: []Tag{c.Tag(TagRoute, "r")}}
				}
				var version atomic.Int64
				version.Store(1)
				exchange := func(context.Context, *Transfer) (*Answer, error) {
					body := fmt.Sprint(version.Load())
					time.Sleep(time.Second)
					return build(200, body, "Cache-Tag", "t"), nil
				}
				results := make(chan string, 2)
				ask := func() {
					got, err := c.Do(t.Context(), q(), exchange)
					if err != nil {
						t.Errorf("Do: %v", err)
						results <- ""
						return
					}
					results <- string(got.Answer.Body())
				}
				go ask()
				synctest.Wait()
				time.Sleep(100 * time.Millisecond)
				version.Store(2)
				c.Purge(soft, c.Tag(tag.kind, tag.value))
				go ask()
				if first := <-results; first != "1" {
					t.Errorf("who asked before got %q", first)
				}
				if second := <-results; second != "2" {
					t.Errorf("%s, soft %v: who asked after the purge got %q", tag.kind, soft, second)
				}
				if found := c.Lookup(q()); found.State != Fresh || bodyOf(found) != "2" {
					t.Errorf("%s, soft %v: then %v %q", tag.kind, soft, found.State, bodyOf(found))
				}
			})
		}
	}
}

// What a slow fetch brings does not take the place of what a later one
// brought, whether it may be stored or not.
func TestTheLaterFetchWins(t *testing.T) {
	for _, slow := range []*Answer{build(200, "slow"), build(404, "slow"), build(200, string(make([]byte, 300<<10)))} {
		synctest.Test(t, func(t *testing.T) {
			c := newTestCache(t, Options{})
			q := &Query{Key: []byte("k"), Fields: fields{}, Rule: &Rule{TTL: time.Minute}}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if _, err := c.Do(t.Context(), q, func(context.Context, *Transfer) (*Answer, error) {
					time.Sleep(10 * time.Second)
					return slow, nil
				}); err != nil {
					t.Errorf("Do: %v", err)
				}
			}()
			synctest.Wait()
			c.PurgeAll(false)
			keepAnswer(t, c, "k", fields{}, q.Rule, build(200, "later"))
			<-done
			if found := c.Lookup(q); bodyOf(found) != "later" {
				t.Errorf("%v %q", found.State, bodyOf(found))
			}
		})
	}
}

// RFC 9111 section 4.4.
func TestInvalidation(t *testing.T) {
	tests := []struct {
		method     string
		status     int
		location   string
		content    string
		target, at bool // whether /t and /at are invalidated
	}{
		{"POST", 200, "", "", true, false},
		{"PUT", 204, "", "", true, false},
		{"DELETE", 200, "", "", true, false},
		{"PATCH", 200, "", "", true, false},
		{"M-SEARCH", 200, "", "", true, false},
		{"POST", 302, "", "", true, false},
		{"POST", 201, "/at", "", true, true},
		{"POST", 201, "https://EXAMPLE.com:443/at", "", true, true},
		{"POST", 201, "at#fragment", "", true, true},
		{"POST", 201, "//example.com/at", "", true, true},
		{"POST", 200, "", "/at", true, true},
		{"POST", 201, "https://other.example/at", "http://example.com/at", true, false},
		{"POST", 201, "https://example.com:444/at", "", true, false},
		{"POST", 201, "%zz", "", true, false},
		{"POST", 400, "/at", "", false, false},
		{"POST", 500, "/at", "", false, false},
		{"GET", 200, "/at", "", false, false},
		{"HEAD", 200, "", "", false, false},
		{"OPTIONS", 200, "", "", false, false},
		{"QUERY", 200, "", "", false, false},
	}
	for _, tt := range tests {
		c := newTestCache(t, Options{})
		q := func(key, target string) *Query {
			return &Query{Key: []byte(key + target), Fields: fields{}, Rule: minute, Tags: []Tag{c.TagURI("https", "example.com", target)}}
		}
		for _, target := range []string{"/t", "/at"} {
			for _, scope := range []string{"user 1 ", "user 2 "} {
				if _, err := c.Do(t.Context(), q(scope, target), func(context.Context, *Transfer) (*Answer, error) { return build(200, "v"), nil }); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Invalidate(tt.method, tt.status, "https", "example.com", "/t", func(name string) string {
			return map[string]string{"Location": tt.location, "Content-Location": tt.content}[name]
		})
		for target, gone := range map[string]bool{"/t": tt.target, "/at": tt.at} {
			for _, scope := range []string{"user 1 ", "user 2 "} {
				if got := c.Lookup(q(scope, target)).State; (got == Miss) != gone {
					t.Errorf("%s %d, Location %q, Content-Location %q: %s%s is %v", tt.method, tt.status, tt.location, tt.content, scope, target, got)
				}
			}
		}
	}
}

// An answer with more tags than can be noted is not kept: a purge by one of
// them would not reach it.
func TestTooManyTags(t *testing.T) {
	c := newTestCache(t, Options{})
	for _, n := range []int{maxUpstreamTags, maxUpstreamTags + 1} {
		tags := ""
		for i := range n {
			tags += fmt.Sprint("t", i, ",")
		}
		got := keepAnswer(t, c, fmt.Sprint(n), fields{}, minute, build(200, "v", "Cache-Tag", tags))
		if got.Stored != (n == maxUpstreamTags) {
			t.Errorf("%d tags: stored %v", n, got.Stored)
		}
	}
}

func TestTagsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := newTestCache(t, Options{})
	if n := testing.AllocsPerRun(100, func() {
		c.Tag(TagPrincipal, "user_1")
		c.TagURI("https", "example.com", "/v1/users/user_1?a=b")
		c.TagKey([]byte("k"))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// A lookup that has to look at purges does not allocate either.
	q := &Query{Key: []byte("k"), Fields: oneField{}, Rule: minute}
	if _, err := c.Do(t.Context(), q, func(context.Context, *Transfer) (*Answer, error) { return build(200, "v"), nil }); err != nil {
		t.Fatal(err)
	}
	c.Purge(true, c.TagKey([]byte("k")))
	if n := testing.AllocsPerRun(100, func() { c.Lookup(q) }); n != 0 {
		t.Errorf("Lookup: %v allocations", n)
	}
}

// Purging takes no longer, and takes no memory, however much is stored.
func BenchmarkPurge(b *testing.B) {
	c := newTestCache(b, Options{MaxBytes: 64 << 20})
	for i := range 50_000 {
		keepAnswer(b, c, fmt.Sprint(i), fields{}, minute, build(200, "v"))
	}
	tags := []Tag{c.Tag(TagRoute, "r"), c.Tag(TagPrincipal, "p")}
	b.ReportAllocs()
	for b.Loop() {
		c.Purge(false, tags...)
	}
}
