package cache

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Whatever the two sides say, nothing panics; what is forbidden in so many
// words is not stored; what is stored is given back whole, and only to those
// it is for.
func FuzzFields(f *testing.F) {
	f.Add(`max-age=9`, `Accept`, `"a"`, `3`, `no-cache`, `bytes=0-1`, `W/"a", "b"`)
	f.Add(`no-store, a="b`, `*`, `a`, `-1`, `max-age=0, max-stale`, `bytes=-1`, `*`)
	f.Add(`private="a, b", no-cache=""`, `a,,b c`, `"`, `1, 2`, `only-if-cached`, `bytes=1-0,2-`, `"a\"`)
	f.Add(`s-maxage="1`, "", `W/`, `99999999999999999999`, `min-fresh=x`, `bytes=9-`, `W`)
	f.Fuzz(func(t *testing.T, control, vary, etag, age, wants, ranges, match string) {
		lines := fields{"Cache-Control", control, "CDN-Cache-Control", match, "Hopgate-Cache-Control", wants, "Vary", vary, "ETag", etag, "Age", age, "Expires", match, "Date", ranges, "Last-Modified", etag, "Cache-Tag", vary}
		req := fields{"Cache-Control", wants, "Range", ranges, "If-None-Match", match, "If-Range", etag, "If-Modified-Since", age, "Accept", match, "Accept-Language", wants}
		a := build(200, "0123456789", lines...)
		forbidden := false
		for _, member := range strings.Split(control, ",") {
			forbidden = forbidden || strings.EqualFold(strings.Trim(member, " \t"), "no-store")
		}
		forbidden = forbidden && !strings.Contains(control, `"`)
		for _, rule := range []*Rule{{TTL: time.Minute, Public: true}, {Origin: true, Heuristic: true}, {Origin: true, Public: true, IgnoreRequest: true}} {
			c := newTestCache(t, Options{MaxBytes: 1 << 20})
			q := &Query{Key: []byte("k"), Fields: req, Rule: rule}
			if _, err := c.Do(t.Context(), q, func(context.Context, *Transfer) (*Answer, error) { return a, nil }); err != nil {
				t.Fatal(err)
			}
			found := c.Lookup(q)
			if found.Answer == nil {
				continue
			}
			if forbidden && !rule.Origin {
				t.Errorf("%+v: stored against %q", rule, control)
			}
			if string(found.Answer.Body()) != "0123456789" {
				t.Errorf("%+v: body %q", rule, found.Answer.Body())
			}
			if strings.TrimSpace(vary) == "*" {
				t.Errorf("%+v: stored against Vary: %q", rule, vary)
			}
			r := found.Answer.Reply("GET", req)
			if r.Status == 206 && (len(r.Body) == 0 || len(r.Body) > 10) {
				t.Errorf("range %q is %q", ranges, r.Body)
			}
			// A 304 that says anything leaves the body as it is.
			if merged := found.Answer.freshened(build(304, "", lines...)); merged != nil && string(merged.Body()) != "0123456789" {
				t.Errorf("freshened: %q", merged.Body())
			}
		}
		status := Status{Hit: true, Key: match, Detail: control}
		p := sfParser{rest: string(status.Append(nil, "hopgate"))}
		if !p.bareItem() || !p.parameters() || p.rest != "" {
			t.Errorf("%s is no item", status.Append(nil, "hopgate"))
		}
	})
}
