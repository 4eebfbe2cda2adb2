package proxy

import (
	"strings"
	"testing"
)

func TestDropSet(t *testing.T) {
	long := strings.Repeat("Long_", 20) + "name"
	d := newDropSet([]string{"Host", "x-user_id", long, "Host", ""}, neverForwarded)
	for _, name := range []string{"host", "HOST", "X-User-Id", "x_user_id", strings.ToLower(long), strings.ReplaceAll(long, "_", "-"), "Connection", "X_Forwarded-FOR"} {
		if !d.has(name) {
			t.Errorf("%q is not in the set", name)
		}
	}
	for _, name := range []string{"", "h", "hos", "hosts", "xost", "X-User-Ix", long + "x", long[:len(long)-1] + "x", "User-Agent", "Accept"} {
		if d.has(name) {
			t.Errorf("%q is in the set", name)
		}
	}
	c := d.clone()
	c.add("hosx", "user-agent", long+"2")
	for _, name := range []string{"Hosx", "User-Agent", long + "2"} {
		if !c.has(name) || d.has(name) {
			t.Errorf("%q: in the copy %v, in the set %v", name, c.has(name), d.has(name))
		}
	}
	for _, name := range neverForwarded {
		if !d.has(name) || !c.has(name) {
			t.Errorf("%q is missing", name)
		}
	}
}

func BenchmarkDropSet(b *testing.B) {
	d := newDropSet(neverForwarded)
	names := []string{"Host", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Origin", "Referer", "Authorization"}
	for b.Loop() {
		for _, n := range names {
			d.has(n)
		}
	}
}
