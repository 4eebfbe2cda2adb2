package cache

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// fields are request fields; Field joins the lines of one name.
type fields []string // name, value, name, value

func (f fields) Field(name string) (string, int) {
	var values []string
	for i := 0; i < len(f); i += 2 {
		if strings.EqualFold(f[i], name) {
			values = append(values, f[i+1])
		}
	}
	if len(values) == 1 {
		return values[0], 1
	}
	return strings.Join(values, ", "), len(values)
}

// build makes an answer with field lines given as name, value, …
func build(status int, body string, lines ...string) *Answer {
	return Build(status, func(add func(name, value []byte)) {
		for i := 0; i < len(lines); i += 2 {
			add([]byte(lines[i]), []byte(lines[i+1]))
		}
	}, []byte(body))
}

// always is a fetch that brings the answer.
func always(a *Answer) Fetch {
	return func(context.Context) (*Answer, error) { return a, nil }
}

// fakeClock is a clock that only moves when it is told to. It has no
// monotonic reading, unless mono is set.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newTestCache(t testing.TB, o Options) *Cache {
	t.Helper()
	if o.MaxBytes == 0 {
		o.MaxBytes = 8 << 20
	}
	if o.MaxEntryBytes == 0 {
		o.MaxEntryBytes = 256 << 10
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// keepAnswer fetches the answer for the request into the cache.
func keepAnswer(t testing.TB, c *Cache, key string, req Fields, rule *Rule, a *Answer) Fetched {
	t.Helper()
	got, err := c.Fetch(t.Context(), []byte(key), req, rule, always(a))
	if err != nil {
		t.Fatalf("Fetch(%q): %v", key, err)
	}
	return got
}

// bodyOf is the body that was found, or "" for none.
func bodyOf(f Found) string {
	if f.Answer == nil {
		return ""
	}
	return string(f.Answer.Body())
}
