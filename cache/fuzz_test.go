package cache

import (
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
	purges := newPurges(1)
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
			q := &Query{Key: []byte("k"), Fields: req, Rule: rule}
			e := q.classify(a, instant{}, newFakeClock().now, time.Second)
			if e == nil {
				continue
			}
			if forbidden && !rule.Origin {
				t.Errorf("%+v: stored against %q", rule, control)
			}
			if string(e.answer.Body()) != "0123456789" {
				t.Errorf("%+v: body %q", rule, e.answer.Body())
			}
			if strings.TrimSpace(vary) == "*" {
				t.Errorf("%+v: stored against Vary: %q", rule, vary)
			}
			if !e.matches(req) {
				t.Errorf("%+v: not for the request that fetched it, Vary: %q", rule, vary)
			}
			wanted := requestDirectives(req)
			found := e.judge(rule, &wanted, instant{mono: 1, wall: 1}, purge{})
			if found.State == Fresh && found.TTL <= 0 || (found.Answer != nil) != (found.State != Miss) {
				t.Errorf("%+v: %+v", rule, found)
			}
			if tags, _ := purges.upstreamTags(a); len(tags) > maxUpstreamTags {
				t.Errorf("%d tags are noted", len(tags))
			}
			r := e.answer.Reply("GET", req)
			if r.Status == 206 && (len(r.Body) == 0 || len(r.Body) > 10) {
				t.Errorf("range %q is %q", ranges, r.Body)
			}
			// A 304 that says anything leaves the body as it is.
			if merged := e.answer.freshened(build(304, "", lines...)); merged != nil && string(merged.Body()) != "0123456789" {
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
