package cache

import (
	"reflect"
	"testing"
	"time"
)

func TestInspect(t *testing.T) {
	clock := newFakeClock()
	c := newTestCache(t, Options{Now: clock.Now})
	rule := &Rule{TTL: 10 * time.Second, StaleIfError: time.Minute}
	q := &Query{Key: []byte("k"), Fields: fields{"X-A", "1"}, Rule: rule}
	if got := c.Inspect(q); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	keepAnswer(t, c, "k", fields{"X-A", "1"}, rule, build(200, "v", "Vary", "X-A"))
	clock.Advance(4 * time.Second)
	keepAnswer(t, c, "k", fields{"X-A", "2"}, rule, build(301, "v", "Vary", "X-A"))
	clock.Advance(8 * time.Second)
	c.Purge(true, c.TagKey([]byte("k")))
	got := c.Inspect(q)
	for i := range got {
		if got[i].Bytes < 100 {
			t.Errorf("%d bytes", got[i].Bytes)
		}
		got[i].Bytes = 0
	}
	want := []Stored{
		{Status: 301, Age: 8 * time.Second, Vary: []string{"x-a"}, State: Expired, PurgedSoft: true},
		{Status: 200, Age: 12 * time.Second, TTL: -2 * time.Second, Vary: []string{"x-a"}, Selected: true, State: Expired, PurgedSoft: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	c.PurgeAll(false)
	for _, s := range c.Inspect(q) {
		if s.State != Miss || !s.PurgedHard {
			t.Errorf("after a purge of all: %+v", s)
		}
	}
}
