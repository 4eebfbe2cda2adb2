package cache

import (
	"fmt"
	"testing"
)

// RFC 9110 section 14.4, RFC 9111 section 3.3.
func TestParts(t *testing.T) {
	for value, ok := range map[string]bool{
		"bytes 2-4/10": true, "bytes 2-4/*": true, "BYTES 2-4/10": true, "bytes 2-4/5": true,
		"bytes 2-4/4": false, "bytes 4-2/10": false, "bytes 2-5/10": false, "bytes */10": false, "bytes 2-4": false, "bytes 2-4/": false,
		"bytes 2-/10": false, "bytes -4/10": false, "bytes=2-4/10": false, "lines 2-4/10": false, "bytes": false, "": false,
		"bytes 9223372036854775805-9223372036854775807/*": false, "bytes 2-4/99999999999999999999999": true,
	} {
		a := build(206, "234", "Content-Range", value)
		if _, got := a.part(); got != ok {
			t.Errorf("%q: %v", value, got)
		}
		a.Reply("GET", fields{"Range", "bytes=0-"})
	}
	for _, tt := range []struct{ content, ask, body, want string }{
		{"bytes 2-4/10", "bytes=3-4", "34", "bytes 3-4/10"},
		{"bytes 2-4/10", "bytes=2-2", "2", "bytes 2-2/10"},
		{"bytes 2-4/10", "bytes=1-3", "234", ""},
		{"bytes 2-4/10", "bytes=4-5", "234", ""},
		{"bytes 2-4/10", "bytes=0-1,3-3", "234", ""},
		{"bytes 2-4/5", "bytes=-2", "34", "bytes 3-4/5"},
		{"bytes 2-4/5", "bytes=3-99", "34", "bytes 3-4/5"},
		{"bytes 2-4/*", "bytes=3-3", "3", "bytes 3-3/*"},
		{"bytes 2-4/*", "bytes=3-", "234", ""},
		{"bytes 2-4/*", "bytes=-1", "234", ""},
		{"bytes 2-4/*", "bytes=3-99", "234", ""},
	} {
		r := build(206, "234", "Content-Range", tt.content).Reply("GET", fields{"Range", tt.ask})
		if r.Status != 206 || string(r.Body) != tt.body || r.Cut != (tt.want != "") {
			t.Errorf("%s of %s: %d %q", tt.ask, tt.content, r.Status, r.Body)
		}
		if r.Cut && string(r.AppendContentRange(nil)) != tt.want {
			t.Errorf("%s of %s: %s", tt.ask, tt.content, r.AppendContentRange(nil))
		}
	}
}

// Whatever the two sides say of ranges, nobody gets other bytes than those
// that the answer to them is said to have.
func FuzzParts(f *testing.F) {
	f.Add("bytes 2-6/10", "bytes=3-4", `"a"`)
	f.Add("bytes 2-6/7", "bytes=-2", "")
	f.Add("bytes 2-6/*", "bytes=3-", `W/"a"`)
	f.Add("bytes 9223372036854775807-9223372036854775807/*", "bytes=9223372036854775807-", "")
	const text = "0123456789"
	f.Fuzz(func(t *testing.T, content, ranges, condition string) {
		req := fields{"Range", ranges}
		if condition != "" {
			req = append(req, "If-Range", condition)
		}
		for n := range 9 {
			a := build(206, text[2:2+n], "Content-Range", content, "ETag", `"a"`)
			r := a.Reply("GET", req)
			if !r.Cut {
				if r.Status != 206 || string(r.Body) != text[2:2+n] {
					t.Errorf("%q of %q: %d %q", ranges, content, r.Status, r.Body)
				}
				continue
			}
			var first, last int
			if _, err := fmt.Sscanf(string(r.AppendContentRange(nil)), "bytes %d-%d/", &first, &last); err != nil || last-first+1 != len(r.Body) {
				t.Fatalf("%q of %q: %s and %d bytes", ranges, content, r.AppendContentRange(nil), len(r.Body))
			}
			if p, _ := a.part(); string(r.Body) != text[2+first-p.first:2+last-p.first+1] {
				t.Errorf("%q of %q: %q", ranges, content, r.Body)
			}
		}
	})
}
