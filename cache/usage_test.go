package cache

import (
	"fmt"
	"testing"
	"time"
)

// TestUsage adds up to what Stats says, group by group.
func TestUsage(t *testing.T) {
	c := newTestCache(t, Options{})
	rule := &Rule{TTL: time.Minute}
	for i := range 10 {
		keepAnswer(t, c, fmt.Sprintf("aa%d", i), fields{}, rule, build(200, "v"))
	}
	for i := range 3 {
		keepAnswer(t, c, "bb", fields{"X-A", fmt.Sprint(i)}, rule, build(200, "v", "Vary", "X-A"))
	}
	keepAnswer(t, c, "c", fields{}, rule, build(200, "v"))
	got := c.Usage(2)
	total := Usage{}
	for _, u := range got {
		total.Entries += u.Entries
		total.Bytes += u.Bytes
	}
	s := c.Stats()
	if len(got) != 3 || got["aa"].Entries != 10 || got["bb"].Entries != 3 || got["c"].Entries != 1 || total != (Usage{s.Entries, s.Bytes}) {
		t.Errorf("%v, in all %v, Stats %v", got, total, s)
	}
	if a, one := got["aa"].Bytes, got["c"].Bytes; a < 9*one || a > 11*one {
		t.Errorf("ten answers take %d bytes and one takes %d", a, one)
	}
}
