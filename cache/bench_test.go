package cache

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func BenchmarkLookup(b *testing.B) {
	c := newTestCache(b, Options{MaxBytes: 64 << 20})
	operator := &Rule{TTL: time.Hour, StaleWhileRevalidate: time.Hour}
	origin := &Rule{Origin: true}
	var req Fields = oneField{"accept-language", "de, en;q=0.5"}
	const keys = 1000
	queries := make(map[string][]*Query)
	for name, lines := range map[string]fields{"plain": nil, "vary": {"Vary", "Accept-Language, Origin"}, "origin": {"Cache-Control", "max-age=3600"}} {
		for i := range keys {
			q := &Query{Key: fmt.Appendf(nil, "%s user_%032d GET /v1/users/user_%d", name, i, i), Fields: req, Rule: operator, Tags: []Tag{c.Tag(TagRoute, "r"), c.Tag(TagPrincipal, fmt.Sprint(i))}}
			if name == "origin" {
				q.Rule = origin
			}
			if _, err := c.Do(b.Context(), q, func(context.Context, *Transfer) (*Answer, error) {
				return build(200, string(make([]byte, 1000)), lines...), nil
			}); err != nil {
				b.Fatal(err)
			}
			queries[name] = append(queries[name], q)
		}
	}
	run := func(name string, qs []*Query) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if c.Lookup(qs[i%keys]).State != Fresh {
					b.Fatal("not fresh")
				}
				i++
			}
		})
	}
	for _, name := range []string{"plain", "vary", "origin"} {
		run(name, queries[name])
	}
	c.Purge(false, c.Tag(TagRoute, "another"))
	run("after a purge", queries["plain"])
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			i := 0
			for pb.Next() {
				c.Lookup(queries["plain"][i%keys])
				i++
			}
		})
	})
}

func BenchmarkFetch(b *testing.B) {
	for _, tt := range []struct {
		name string
		max  int64
	}{{"with room", 1 << 30}, {"full", 4 << 20}} {
		b.Run(tt.name, func(b *testing.B) {
			c := newTestCache(b, Options{MaxBytes: tt.max})
			a := build(200, string(make([]byte, 1000)))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				key := fmt.Appendf(nil, "key %d", i)
				if _, err := c.Fetch(b.Context(), key, fields{}, minute, always(a)); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}
