package cache

import (
	"testing"
	"time"
)

// RFC 9110 sections 13.1.2, 13.1.3 and 13.2.2, RFC 9111 section 4.3.2.
func TestConditionalRequests(t *testing.T) {
	both := fields{"ETag", `"a"`, "Last-Modified", date(-time.Hour), "Date", date(0)}
	weak := fields{"ETag", `W/"a"`}
	comma := fields{"ETag", `"a,b\"`}
	dated := fields{"Date", date(-time.Hour)}
	tests := []struct {
		name   string
		answer fields
		req    fields
		want   int
	}{
		{"no condition", both, nil, 200},
		{"same", both, fields{"If-None-Match", `"a"`}, 304},
		{"another", both, fields{"If-None-Match", `"b"`}, 200},
		{"list", both, fields{"If-None-Match", `"b", W/"c" ,"a"`}, 304},
		{"list on two lines", both, fields{"If-None-Match", `"b"`, "If-None-Match", `"a"`}, 304},
		{"empty members", both, fields{"If-None-Match", `, ,"a",`}, 304},
		{"any", both, fields{"If-None-Match", `*`}, 304},
		{"weak against strong", both, fields{"If-None-Match", `W/"a"`}, 304},
		{"strong against weak", weak, fields{"If-None-Match", `"a"`}, 304},
		{"weak against weak", weak, fields{"If-None-Match", `W/"a"`}, 304},
		{"lower case w", weak, fields{"If-None-Match", `w/"a"`}, 200},
		{"unquoted", both, fields{"If-None-Match", `a`}, 200},
		{"open quote", both, fields{"If-None-Match", `"a`}, 200},
		{"a comma and a backslash in it", comma, fields{"If-None-Match", `"x", "a,b\"`}, 304},
		{"no entity tag stored", dated, fields{"If-None-Match", `"a"`}, 200},
		{"two entity tags stored", fields{"ETag", `"a"`, "ETag", `"a"`}, fields{"If-None-Match", `"a"`}, 200},
		{"If-Modified-Since, same", both, fields{"If-Modified-Since", date(-time.Hour)}, 304},
		{"If-Modified-Since, later", both, fields{"If-Modified-Since", date(0)}, 304},
		{"If-Modified-Since, earlier", both, fields{"If-Modified-Since", date(-time.Hour - time.Second)}, 200},
		{"If-Modified-Since, asctime", both, fields{"If-Modified-Since", "Tue Nov 24 11:00:00 2026"}, 304},
		{"If-Modified-Since, no date", both, fields{"If-Modified-Since", "0"}, 200},
		{"If-Modified-Since twice", both, fields{"If-Modified-Since", date(0), "If-Modified-Since", date(0)}, 200},
		{"If-Modified-Since against Date", dated, fields{"If-Modified-Since", date(0)}, 304},
		{"If-Modified-Since against an earlier Date", dated, fields{"If-Modified-Since", date(-2 * time.Hour)}, 200},
		{"If-Modified-Since against nothing", nil, fields{"If-Modified-Since", date(0)}, 200},
		{"If-None-Match goes before", both, fields{"If-None-Match", `"b"`, "If-Modified-Since", date(0)}, 200},
		{"If-None-Match goes before, the other way", both, fields{"If-None-Match", `"a"`, "If-Modified-Since", date(-2 * time.Hour)}, 304},
		{"a condition goes before a range", both, fields{"If-None-Match", `"a"`, "Range", "bytes=0-0"}, 304},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "HEAD"} {
			r := build(200, "body", tt.answer...).Reply(method, tt.req)
			if r.Status != tt.want || (len(r.Body) == 0) != (tt.want == 304) {
				t.Errorf("%s, %s: %d %q, want %d", tt.name, method, r.Status, r.Body, tt.want)
			}
		}
		// Preconditions are for answers that succeed (section 13.2.1).
		if r := build(404, "body", tt.answer...).Reply("GET", tt.req); r.Status != 404 {
			t.Errorf("%s: a 404 became %d", tt.name, r.Status)
		}
		if r := build(203, "body", tt.answer...).Reply("GET", tt.req); (r.Status == 304) != (tt.want == 304) || r.Status == 206 {
			t.Errorf("%s: a 203 became %d", tt.name, r.Status)
		}
	}
}

// RFC 9110 sections 14.1.2, 14.2, 14.4 and 13.1.5.
func TestRanges(t *testing.T) {
	const body = "0123456789"
	answer := fields{"ETag", `"a"`, "Last-Modified", date(-time.Hour), "Date", date(0)}
	tests := []struct {
		name    string
		req     fields
		status  int
		body    string
		content string
	}{
		{"first to last", fields{"Range", "bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{"one byte", fields{"Range", "bytes=0-0"}, 206, "0", "bytes 0-0/10"},
		{"open", fields{"Range", "bytes=7-"}, 206, "789", "bytes 7-9/10"},
		{"suffix", fields{"Range", "bytes=-3"}, 206, "789", "bytes 7-9/10"},
		{"suffix longer than all", fields{"Range", "bytes=-99"}, 206, body, "bytes 0-9/10"},
		{"beyond the end", fields{"Range", "bytes=8-99"}, 206, "89", "bytes 8-9/10"},
		{"huge numbers", fields{"Range", "bytes=8-99999999999999999999999"}, 206, "89", "bytes 8-9/10"},
		{"unit in capitals", fields{"Range", "Bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{"behind the end", fields{"Range", "bytes=10-"}, 416, "", "bytes */10"},
		{"far behind the end", fields{"Range", "bytes=99999999999999999999999-"}, 416, "", "bytes */10"},
		{"empty suffix", fields{"Range", "bytes=-0"}, 416, "", "bytes */10"},
		{"backwards", fields{"Range", "bytes=4-2"}, 200, body, ""},
		{"several", fields{"Range", "bytes=0-1,3-4"}, 200, body, ""},
		{"several lines", fields{"Range", "bytes=0-1", "Range", "bytes=0-1"}, 200, body, ""},
		{"another unit", fields{"Range", "lines=0-1"}, 200, body, ""},
		{"no number", fields{"Range", "bytes=a-b"}, 200, body, ""},
		{"nothing", fields{"Range", "bytes="}, 200, body, ""},
		{"a dash", fields{"Range", "bytes=-"}, 200, body, ""},
		{"negative", fields{"Range", "bytes=--1"}, 200, body, ""},
		{"If-Range, same", fields{"Range", "bytes=2-4", "If-Range", `"a"`}, 206, "234", "bytes 2-4/10"},
		{"If-Range, another", fields{"Range", "bytes=2-4", "If-Range", `"b"`}, 200, body, ""},
		{"If-Range, weak", fields{"Range", "bytes=2-4", "If-Range", `W/"a"`}, 200, body, ""},
		{"If-Range, date", fields{"Range", "bytes=2-4", "If-Range", date(-time.Hour)}, 206, "234", "bytes 2-4/10"},
		{"If-Range, later date", fields{"Range", "bytes=2-4", "If-Range", date(0)}, 200, body, ""},
		{"If-Range, nonsense", fields{"Range", "bytes=2-4", "If-Range", "a"}, 200, body, ""},
	}
	for _, tt := range tests {
		r := build(200, body, answer...).Reply("GET", tt.req)
		if r.Status != tt.status || string(r.Body) != tt.body {
			t.Errorf("%s: %d %q, want %d %q", tt.name, r.Status, r.Body, tt.status, tt.body)
		}
		if r.Status != 200 {
			if got := string(r.AppendContentRange(nil)); got != tt.content {
				t.Errorf("%s: Content-Range: %s, want %s", tt.name, got, tt.content)
			}
		}
		if r := build(200, body, answer...).Reply("HEAD", tt.req); r.Status != 200 {
			t.Errorf("%s: HEAD is answered %d", tt.name, r.Status)
		}
	}
	// A weak entity tag and a date within a second of the answer's are no
	// strong validators.
	if r := build(200, body, "ETag", `W/"a"`).Reply("GET", fields{"Range", "bytes=2-4", "If-Range", `W/"a"`}); r.Status != 200 {
		t.Errorf("weak entity tag: %d", r.Status)
	}
	if r := build(200, body, "Last-Modified", date(0), "Date", date(0)).Reply("GET", fields{"Range", "bytes=2-4", "If-Range", date(0)}); r.Status != 200 {
		t.Errorf("date of just now: %d", r.Status)
	}
	if r := build(200, "").Reply("GET", fields{"Range", "bytes=0-"}); r.Status != 416 || string(r.AppendContentRange(nil)) != "bytes */0" {
		t.Errorf("range of an empty body: %d", r.Status)
	}
}

// RFC 9110 section 15.4.5.
func TestFieldsOfReplies(t *testing.T) {
	for name, want := range map[string][4]bool{ // 200, 206, 304, 416
		"Content-Length":   {true, false, false, false},
		"Content-Range":    {true, false, false, false},
		"Content-Type":     {true, true, false, false},
		"content-encoding": {true, true, false, false},
		"Content-Location": {true, true, true, false},
		"ETag":             {true, true, true, false},
		"Date":             {true, true, true, true},
		"Cache-Control":    {true, true, true, false},
		"Expires":          {true, true, true, false},
		"Vary":             {true, true, true, true},
		"X-A":              {true, true, true, true},
	} {
		for i, status := range []int{200, 206, 304, 416} {
			if got := (Reply{Status: status}).Has([]byte(name)); got != want[i] {
				t.Errorf("%s in a %d: %v", name, status, got)
			}
		}
	}
}

func TestReplyAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	a := build(200, "0123456789", "ETag", `"a"`, "Last-Modified", date(-time.Hour), "Date", date(0))
	for _, req := range []Fields{oneField{}, oneField{"if-none-match", `"b", "a"`}, oneField{"if-modified-since", date(0)}, oneField{"range", "bytes=1-2"}} {
		room := make([]byte, 0, 64)
		if n := testing.AllocsPerRun(100, func() {
			r := a.Reply("GET", req)
			r.AppendContentRange(room)
		}); n != 0 {
			t.Errorf("%v: %v allocations", req, n)
		}
	}
}

// RFC 9211.
func TestCacheStatus(t *testing.T) {
	tests := []struct {
		status Status
		want   string
	}{
		{Status{}, `hopgate`},
		{Status{Hit: true, HasTTL: true, TTL: 30*time.Second + 1}, `hopgate; hit; ttl=30`},
		{Status{Hit: true, HasTTL: true, TTL: -time.Second - 1}, `hopgate; hit; ttl=-2`},
		{Status{Hit: true, HasTTL: true}, `hopgate; hit; ttl=0`},
		{Status{Forward: ForwardStale, ForwardStatus: 304, HasTTL: true, TTL: time.Minute, Stored: true}, `hopgate; fwd=stale; fwd-status=304; ttl=60; stored`},
		{Status{Forward: ForwardURIMiss, Collapsed: true}, `hopgate; fwd=uri-miss; collapsed`},
		{Status{Forward: ForwardBypass, Detail: "no key"}, `hopgate; fwd=bypass; detail="no key"`},
		{Status{Hit: true, Key: "a\"b\\c\x00ü"}, `hopgate; hit; key="a\"b\\c%00%C3%BC"`},
	}
	for _, tt := range tests {
		if got := string(tt.status.Append(nil, "hopgate")); got != tt.want {
			t.Errorf("%+v\n got %s\nwant %s", tt.status, got, tt.want)
		}
		p := sfParser{rest: tt.want}
		if !p.bareItem() || !p.parameters() || p.rest != "" {
			t.Errorf("%s is no item with parameters", tt.want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0", time.Second - 1: "0", time.Minute: "60", -time.Second: "0"} {
		if got := string(AppendAge(nil, d)); got != want {
			t.Errorf("Age of %v: %s", d, got)
		}
	}
}

// RFC 9110 section 5.6.7.
func TestDates(t *testing.T) {
	now := newFakeClock().now
	for s, want := range map[string]string{
		"Sun, 06 Nov 1994 08:49:37 GMT":    "1994-11-06T08:49:37Z",
		"Sunday, 06-Nov-94 08:49:37 GMT":   "1994-11-06T08:49:37Z",
		"Sun Nov  6 08:49:37 1994":         "1994-11-06T08:49:37Z",
		"Monday, 06-Nov-70 08:49:37 GMT":   "2070-11-06T08:49:37Z",
		"Monday, 06-Nov-77 08:49:37 GMT":   "1977-11-06T08:49:37Z",
		"Friday, 06-Nov-26 08:49:37 GMT":   "2026-11-06T08:49:37Z",
		"SUN, 06 nov 1994 08:49:37 gmt":    "1994-11-06T08:49:37Z",
		"sunday, 06-NOV-94 08:49:37 Gmt":   "1994-11-06T08:49:37Z",
		"sun nov  6 08:49:37 1994":         "1994-11-06T08:49:37Z",
		"Mon, 06 Nov 1994 08:49:37 GMT":    "1994-11-06T08:49:37Z",
		"Xyz, 06 Nov 1994 08:49:37 GMT":    "",
		"Sun, 06 Nov 1994 8:49:37  GMT":    "",
		"Sun,  6 Nov 1994 08:49:37 GMT":    "",
		"Sun Nov 06 08:49:37 1994":         "",
		"Sun, 06 Nov 1994 08:49:37 UTC":    "",
		"Sun, 06 Nov 1994 08:49:37 +0000":  "",
		"Sun, 06 Nov 1994 08:49:37":        "",
		"Sun, 6 Nov 1994 08:49:37 GMT":     "",
		"Sun, 06 Nov 94 08:49:37 GMT":      "",
		"Sun, 06 Nov 1994 08:49:37.1 GMT":  "",
		"Sunday, 06-Nov-94 08:49:37.5 GMT": "",
		"Sun, 06 Nov 1994 25:49:37 GMT":    "",
		"Sun, 31 Feb 1994 08:49:37 GMT":    "",
		"Sun, 06 Nov 1994 08:49:37 GMT, x": "",
		"1994-11-06T08:49:37Z":             "",
		"784111777":                        "",
		"0":                                "",
		"":                                 "",
	} {
		got, ok := parseDate(s, now)
		if ok != (want != "") || ok && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v; want %s", s, got, ok, want)
		}
	}
}

// RFC 9651 section 4.2.2.
func TestDictionaries(t *testing.T) {
	for s, want := range map[string]map[string]string{
		``:                             {},
		`a`:                            {"a": "?1"},
		`  a=1 ,  b=2  `:               {"a": "1", "b": "2"},
		`a=1,a=2`:                      {"a": "2"},
		`a;x=1;y="z", b=?0`:            {"a": "?1", "b": "?0"},
		`a="x, \"y\" \\"`:              {"a": `"x, \"y\" \\"`},
		`a=:YQ==:, b=@1234, c=%"f%c3"`: {"a": ":YQ==:", "b": "@1234", "c": `%"f%c3"`},
		`a=(1 "b";c tok);d`:            {"a": `(1 "b";c tok)`},
		`a=(), *b=-1.5`:                {"a": "()", "*b": "-1.5"},
		`a=tok/en:x`:                   {"a": "tok/en:x"},
		`a=1,`:                         nil,
		`,a=1`:                         nil,
		`a=1,,b=2`:                     nil,
		`A=1`:                          nil,
		`a=`:                           nil,
		`a= 1`:                         nil,
		`a =1`:                         nil,
		`a=1 b=2`:                      nil,
		`a="x`:                         nil,
		`a="\x"`:                       nil,
		"a=\"\x7f\"":                   nil,
		`a=?2`:                         nil,
		`a=:YQ`:                        nil,
		`a=1.`:                         nil,
		`a=1.1234`:                     nil,
		`a=1234567890123456`:           nil,
		`a=-`:                          nil,
		`a=(1 2`:                       nil,
		`a=(1"b")`:                     nil,
		`a;B`:                          nil,
		`a;b=`:                         nil,
		`a=@1.5`:                       nil,
		`a="ü"`:                        nil,
	} {
		p := sfParser{rest: s}
		got, ok := p.dictionary()
		if ok != (want != nil) {
			t.Errorf("%s: %v, %v", s, got, ok)
			continue
		}
		if !ok {
			continue
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v", s, got)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %s, want %s", s, key, got[key], value)
			}
		}
	}
}
