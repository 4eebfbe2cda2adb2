package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// Ristretto makes a write visible some time later, or never. What the cache
// stored is found by the very next request, full or not.
func TestWhatWasStoredIsFoundAtOnce(t *testing.T) {
	c := newTestCache(t, Options{MaxBytes: 2 << 20, MaxEntryBytes: 64 << 10})
	rng := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 16<<10)
	for i := range 5_000 {
		key := fmt.Append(nil, "key ", i)
		want := build(200, string(body[:rng.IntN(len(body))]))
		if got, err := c.Fetch(t.Context(), key, fields{}, minute, always(want)); err != nil || !got.Stored {
			t.Fatalf("%s: %+v, %v", key, got, err)
		}
		if found := c.Get(key, fields{}, minute); found.Answer != want {
			t.Fatalf("%s was stored and is %v", key, found.State)
		}
	}
	if n := c.Stats().Evictions; n == 0 {
		t.Error("the cache was never full")
	}
}

// The same for many who store at once: ristretto drops four of five writes
// of such a burst.
func TestBurstLosesNothing(t *testing.T) {
	const writers, each = 8, 3_000
	c := newTestCache(t, Options{MaxBytes: 256 << 20})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				key := fmt.Append(nil, w, " ", i)
				if got, err := c.Fetch(t.Context(), key, fields{}, minute, always(build(200, string(key)))); err != nil || !got.Stored {
					t.Errorf("%s: %+v, %v", key, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for i := range each {
			key := fmt.Append(nil, w, " ", i)
			if found := c.Get(key, fields{}, minute); !bytes.Equal([]byte(bodyOf(found)), key) {
				t.Fatalf("%s is %v with body %q", key, found.State, bodyOf(found))
			}
		}
	}
	if n := c.Stats().Entries; n != writers*each {
		t.Errorf("%d entries", n)
	}
}

// Writing and dropping the same keys at once, which ristretto gets wrong,
// leaves no entry that should be gone and no count that is off.
func TestCountsStayRightUnderContention(t *testing.T) {
	c := newTestCache(t, Options{MaxBytes: 1 << 20, MaxEntryBytes: 64 << 10})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(w)))
			for range 3_000 {
				key := fmt.Append(nil, rng.IntN(100))
				answer := build(200, string(make([]byte, rng.IntN(32<<10))), "Vary", "X-A")
				if rng.IntN(4) == 0 {
					answer = build(404, "")
				}
				req := fields{"X-A", fmt.Sprint(rng.IntN(3))}
				c.Refresh(key, req, minute, always(answer))
				c.Get(key, req, minute)
			}
		})
	}
	wg.Wait()
	c.running.Wait()
	c.store.main.Wait()
	var cost, entries int64
	for i := range c.index.shards {
		for hash, s := range c.index.shards[i].slots {
			if s.hash != hash || s.cost != s.measure() {
				t.Errorf("slot %x at %x costs %d, counted as %d", s.hash, hash, s.measure(), s.cost)
			}
			cost += s.cost
			entries += int64(len(s.entries))
		}
		if n := len(c.index.shards[i].flights); n != 0 {
			t.Errorf("%d flights are left", n)
		}
	}
	if stats := c.Stats(); stats.Bytes != cost || stats.Entries != entries {
		t.Errorf("%+v, but %d bytes and %d entries are there", stats, cost, entries)
	}
	if cost > c.store.budget {
		t.Errorf("%d bytes of at most %d", cost, c.store.budget)
	}
	if used := c.store.main.MaxCost() - c.store.main.RemainingCost(); used+c.store.windowCost != cost {
		t.Errorf("ristretto counts %d, the window %d, together not %d", used, c.store.windowCost, cost)
	}
}

// The largest body that may be stored is stored, with everything beside it.
func TestLargestEntry(t *testing.T) {
	const most = 1 << 20
	c := newTestCache(t, Options{MaxBytes: 8 << 20, MaxEntryBytes: most})
	lines := fields{"X-A", string(make([]byte, 30<<10))}
	for size, want := range map[int]bool{most: true, most + 1: false} {
		if got := keepAnswer(t, c, fmt.Sprint(size), fields{}, minute, build(200, string(make([]byte, size)), lines...)); got.Stored != want {
			t.Errorf("%d bytes: stored %v", size, got.Stored)
		}
	}
	// In a cache that is small for it, half of that is what one entry can be.
	c = newTestCache(t, Options{MaxBytes: 1 << 20, MaxEntryBytes: most})
	for size, want := range map[int]bool{200 << 10: true, 700 << 10: false} {
		if got := keepAnswer(t, c, fmt.Sprint(size), fields{}, minute, build(200, string(make([]byte, size)))); got.Stored != want {
			t.Errorf("%d bytes in a small cache: stored %v", size, got.Stored)
		}
	}
}

// Ristretto does not compare keys; two of one hash must never meet.
func TestKeysOfOneHash(t *testing.T) {
	c := newTestCache(t, Options{})
	e := func(body string) *entry { return &entry{answer: build(200, body), stored: c.clock.instant()} }
	const hash = 42
	if !c.store.put(hash, []byte("a"), e("a"), fields{}) {
		t.Fatal("not stored")
	}
	if s := c.store.lookup(hash, []byte("b")); s != nil {
		t.Errorf("b found %q", s.entries[0].answer.Body())
	}
	c.store.drop(hash, []byte("b"), fields{}, 1)
	if s := c.store.lookup(hash, []byte("a")); s == nil {
		t.Error("dropping b dropped a")
	}
	if !c.store.put(hash, []byte("b"), e("b"), fields{}) {
		t.Fatal("not stored")
	}
	if a, b := c.store.lookup(hash, []byte("a")), c.store.lookup(hash, []byte("b")); a != nil || b == nil || string(b.entries[0].answer.Body()) != "b" {
		t.Errorf("after the second: a %v, b %v", a, b)
	}
	if stats := c.Stats(); stats.Entries != 1 || stats.Bytes != c.store.head.next.cost {
		t.Errorf("%+v", stats)
	}
}

// What is asked for often stays when much else passes through.
func TestHotEntriesStay(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool loses on purpose what ristretto notes there")
	}
	c := newTestCache(t, Options{MaxBytes: 4 << 20})
	rng := rand.New(rand.NewPCG(5, 6))
	ask := func(key []byte) bool {
		if c.Get(key, fields{}, minute).State == Fresh {
			return true
		}
		keepAnswer(t, c, string(key), fields{}, minute, build(200, string(make([]byte, 4<<10))))
		return false
	}
	hits := 0
	const rounds, hot = 30_000, 200
	for i := range rounds {
		if ask(fmt.Append(nil, "hot ", rng.IntN(hot))) && i > rounds/2 {
			hits++
		}
		ask(fmt.Append(nil, "once ", i))
	}
	if share := float64(hits) / (rounds / 2); share < 0.95 {
		t.Errorf("hot keys are found in %.0f%% of the requests for them", 100*share)
	}
}

// The heap grows by what was allowed and not more than a tenth beyond it,
// whatever the sizes.
func TestMemoryIsBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be measured")
	}
	for _, tt := range []struct {
		name     string
		maxBytes int64
		sizes    []int // of bodies, one phase after the other
	}{
		{"small answers", 16 << 20, []int{100}},
		{"middling answers", 16 << 20, []int{5_000}},
		{"large answers", 16 << 20, []int{200_000}},
		{"first small ones, then large ones", 16 << 20, []int{50, 100_000}},
		{"first large ones, then small ones", 16 << 20, []int{100_000, 50}},
		{"a small cache", 2 << 20, []int{1_000}},
		{"everything at once", 16 << 20, []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := heap()
			c := newTestCache(t, Options{MaxBytes: tt.maxBytes, MaxEntryBytes: 1 << 20})
			rng := rand.New(rand.NewPCG(7, 8))
			for phase, size := range tt.sizes {
				for passed, i := int64(0), 0; passed < 3*tt.maxBytes; i++ {
					var n int
					lines := fields{"Content-Type", "application/json", "ETag", `"0123456789abcdef"`, "Date", "Tue, 24 Nov 2026 12:00:00 GMT"}
					if size > 0 {
						n = size/2 + rng.IntN(size)
					} else {
						// Of all sizes, many of one key, with variants, tags and purges.
						n = 1 << rng.IntN(18)
						i = rng.IntN(100_000)
						lines = append(lines, "Vary", "X-A", "Cache-Tag", "a,b,c")
						if rng.IntN(100) == 0 {
							c.Purge(rng.IntN(2) == 0, c.Tag(TagUpstream, "a"))
						}
					}
					key := fmt.Sprintf("/v1/organizations/org_%d/memberships?page=%d", phase, i)
					keepAnswer(t, c, key, fields{"X-A", fmt.Sprint(i % 7)}, minute, build(200, string(make([]byte, n)), lines...))
					passed += int64(n) + 800
				}
			}
			grown := heap() - before
			t.Logf("%d KiB allowed, heap grew by %d KiB (%.0f%%), %+v", tt.maxBytes>>10, grown>>10, 100*float64(grown)/float64(tt.maxBytes), c.Stats())
			if grown > tt.maxBytes+tt.maxBytes/10 {
				t.Errorf("the heap grew by %d bytes, of at most %d", grown, tt.maxBytes)
			}
			if grown < tt.maxBytes*6/10 {
				t.Errorf("only %d bytes of %d are used", grown, tt.maxBytes)
			}
			runtime.KeepAlive(c)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Get while the cache closes: ristretto panics if it is asked then.
func TestLookupsWhileClosing(t *testing.T) {
	for range 20 {
		c, err := New(Options{MaxBytes: 1 << 20, MaxEntryBytes: 1 << 10})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				<-start
				for range 500 {
					c.Get([]byte("k"), fields{}, minute)
					c.Refresh([]byte("k"), fields{}, minute, always(build(200, "v")))
				}
			})
		}
		close(start)
		c.Close()
		wg.Wait()
	}
}
