package proxy

import (
	"net/url"
	"strings"
	"testing"

	"hopgate/policy"
)

func TestCanonicalPath(t *testing.T) {
	good := []string{
		"/", "/v1/users/user_1", "/a/", "/a.b/..c/...", "/a:b@c", "/%C3%A9t%C3%A9", "/a%20b", "/a;v=1/b", "/%25",
		"/~user/-._", "/a!$&'()*+,;=", "/%F0%9F%98%80", "/%EF%BF%BD", "/a%3Bb",
	}
	for _, p := range good {
		if !canonicalPath(p) {
			t.Errorf("%q refused", p)
		}
	}
	bad := map[string]string{
		"empty": "", "no slash": "a", "dot segment": "/a/./b", "dot dot": "/a/../b", "dot at the end": "/a/.", "dot dot at the end": "/a/..",
		"empty segment": "/a//b", "two slashes": "//a", "two slashes at the end": "/a//",
		"encoded slash": "/a%2Fb", "encoded slash, small": "/a%2fb", "encoded backslash": "/a%5Cb", "backslash": `/a\b`,
		"encoded NUL": "/a%00", "encoded control": "/a%0Ab", "encoded DEL": "/a%7F", "C1 control": "/%C2%85",
		"encoded unreserved": "/%61dmin", "encoded dot": "/%2e%2e/admin", "half encoded dot": "/.%2e/admin", "encoded tilde": "/%7Euser",
		"bad escape": "/a%zz", "cut escape": "/a%2", "lone percent": "/a%",
		"overlong slash": "/%C0%AF", "lone continuation": "/%80", "cut rune": "/%C3", "cut rune before text": "/%C3a", "surrogate": "/%ED%A0%80",
		"space": "/a b", "non-ASCII": "/é", "fragment": "/a#b", "question mark": "/a?b", "quote": `/a"b`, "less": "/<a>", "brackets": "/a[0]", "brace": "/{a}", "pipe": "/a|b", "caret": "/a^b", "grave": "/a`b",
		"path parameter after dots": "/public/..;/admin", "path parameter after a dot": "/.;x=1/admin", "encoded semicolon after dots": "/..%3B/admin", "small encoded semicolon": "/..%3b",
		"small hexadecimal digits": "/%c3%a9", "control": "/a\x01", "NUL": "/a\x00", "line separator": "/%E2%80%A8",
	}
	for name, p := range bad {
		if canonicalPath(p) {
			t.Errorf("%s: %q let through", name, p)
		}
	}
}

func TestCanonicalQuery(t *testing.T) {
	for _, q := range []string{"", "a=b&c=d", "a=%20+%0A", "q=/?:@", "x=%7E", "limit=50&offset=0"} {
		if !canonicalQuery(q) {
			t.Errorf("%q refused", q)
		}
	}
	for _, q := range []string{"a b", "a=%", "a=%2", "a=%zz", "a=%00", "a#b", "a=é", "a=\"", "a=[1]", "a\x00", "a=\x7f", "<"} {
		if canonicalQuery(q) {
			t.Errorf("%q let through", q)
		}
	}
}

// TestHost holds that one Host is read on all ways in, the wire guard's and
// that of HTTP/2 and explanations.
func TestHost(t *testing.T) {
	for authority, want := range map[string]string{
		"example.com": "example.com", "Example.COM:8080": "example.com", "127.0.0.1": "127.0.0.1", "[::1]:80": "[::1]", "a_b": "a_b",
	} {
		x := exchange{method: "GET", target: "/", authority: authority}
		if r := x.readTarget(1); r != policy.Allowed || x.host != want {
			t.Errorf("%q gives %q, %v", authority, x.host, r)
		}
	}
	for _, authority := range []string{
		"", ":80", "a:", "a:b", "a:123456", "a:65536", "a b", "user@host", "a/b", "a,b", "a..b", ".a", "[::1", "[]", "[x]", "[1::2::3]",
		"a:80:90", "h\x00", "é", "a%41", strings.Repeat("a", 300),
	} {
		if r := CheckTarget("GET", "/", authority); r != policy.RequestMalformed {
			t.Errorf("%q: %v", authority, r)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for _, c := range []struct {
		target, path, query string
		hasQuery, ok        bool
	}{
		{"/a", "/a", "", false, true},
		{"/a?", "/a", "", true, true},
		{"/a?b=c?d", "/a", "b=c?d", true, true},
		{"http://h:1/a?b", "/a", "b", true, true},
		{"http://H:1/a", "/a", "", false, true},
		{"http://evil/a", "", "", false, false},
		{"http://h:1", "", "", false, false},
		{"http://u@h:1/a", "", "", false, false},
		{"https://h:1/a", "", "", false, false},
		{"*", "", "", false, false},
		{"h:1", "", "", false, false},
		{"", "", "", false, false},
	} {
		path, query, hasQuery, ok := splitTarget(c.target, "http", "h:1")
		if path != c.path || query != c.query || hasQuery != c.hasQuery || ok != c.ok {
			t.Errorf("%q gives %q %q %v %v", c.target, path, query, hasQuery, ok)
		}
	}
}

func TestParseHead(t *testing.T) {
	h, r := parseHead(nil, "Host: h\r\nX-A:  b \t\r\nx-a:\r\n\r\n")
	if r != policy.Allowed || len(h) != 3 || h[1] != (field{"X-A", "b"}) || h[2] != (field{"x-a", ""}) {
		t.Fatalf("%v %v", h, r)
	}
	if v, n := h.Field("X-a"); v != "b" || n != 2 {
		t.Errorf("Field gives %q, %d", v, n)
	}
	bad := map[string]string{
		"folding":                   "A: b\r\n c\r\n",
		"folding with a tab":        "A: b\r\n\tc: d\r\n",
		"space before the colon":    "A : b\r\n",
		"space in the name":         "A B: c\r\n",
		"no name":                   ": b\r\n",
		"no colon":                  "A\r\n",
		"bare LF":                   "A: b\nC: d\r\n",
		"bare CR in a value":        "A: b\rC: d\r\n",
		"NUL":                       "A: \x00\r\n",
		"DEL":                       "A: \x7f\r\n",
		"control in the name":       "A\x01: b\r\n",
		"non-ASCII name":            "\xc3\xa9: b\r\n",
		"bracket in the name":       "A[]: b\r\n",
		"no end of line":            "A: b",
		"lines after the empty one": "A: b\r\n\r\nC: d\r\n",
	}
	for name, raw := range bad {
		if h, r := parseHead(nil, raw); r != policy.RequestMalformed {
			t.Errorf("%s: %q gives %v, %v", name, raw, h, r)
		}
	}
	if _, r := parseHead(nil, strings.Repeat("A: b\r\n", maxFields+1)); r != policy.HeaderTooLarge {
		t.Errorf("too many fields give %v", r)
	}
}

func TestParseFraming(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields header
		want   framing
		ok     bool
	}{
		{"none", nil, framing{}, true},
		{"length", header{{"Content-Length", "12"}}, framing{length: 12}, true},
		{"chunked", header{{"Transfer-Encoding", "Chunked"}}, framing{chunked: true}, true},
		{"both", header{{"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}}, framing{}, false},
		{"two lengths", header{{"Content-Length", "1"}, {"content-length", "1"}}, framing{}, false},
		{"list", header{{"Content-Length", "1, 1"}}, framing{}, false},
		{"sign", header{{"Content-Length", "+1"}}, framing{}, false},
		{"negative", header{{"Content-Length", "-1"}}, framing{}, false},
		{"hexadecimal", header{{"Content-Length", "0x1"}}, framing{}, false},
		{"empty", header{{"Content-Length", ""}}, framing{}, false},
		{"overflow", header{{"Content-Length", "9999999999999999999"}}, framing{}, false},
		{"identity", header{{"Transfer-Encoding", "identity"}}, framing{}, false},
		{"gzip, chunked", header{{"Transfer-Encoding", "gzip, chunked"}}, framing{}, false},
		{"chunked twice", header{{"Transfer-Encoding", "chunked, chunked"}}, framing{}, false},
		{"two codings", header{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}, framing{}, false},
	} {
		got, r := parseFraming(c.fields)
		if got != c.want || (r == policy.Allowed) != c.ok {
			t.Errorf("%s: %v, %v", c.name, got, r)
		}
	}
}

func TestSameField(t *testing.T) {
	if !sameField("X_User_Id", "x-user-id") || sameField("X-User", "X-Users") || sameField("X-User-Id", "X-User-Ie") {
		t.Error("sameField is wrong")
	}
}

// FuzzCanonicalPath holds that a path that passes reads the same to a parser
// that decodes and cleans paths as to one that does not.
func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/a/../b", "/%2e%2e/", "/a%2fb", "//a", "/a;b/..;/c", "/%C3%A9", "/%C0%AF", "/a%25b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !canonicalPath(path) {
			return
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		if strings.Count(decoded, "/") != strings.Count(path, "/") {
			t.Fatalf("%q decodes to other segments: %q", path, decoded)
		}
		for i, s := range strings.Split(decoded, "/") {
			name, _, _ := strings.Cut(s, ";")
			if name == "." || name == ".." {
				t.Fatalf("%q has a dot segment", path)
			}
			if s == "" && i != 0 && i != strings.Count(decoded, "/") {
				t.Fatalf("%q has an empty segment", path)
			}
		}
		if strings.ContainsAny(decoded, "\x00\\\r\n\t") {
			t.Fatalf("%q hides a control or backslash", path)
		}
		if u, err := url.ParseRequestURI(path); err != nil || u.EscapedPath() != path && u.RawPath != "" && u.RawPath != path {
			t.Fatalf("%q: net/url reads %v, %v", path, u, err)
		}
	})
}

// FuzzParseHead holds that a head that passes has exactly the lines it
// seems to have.
func FuzzParseHead(f *testing.F) {
	for _, s := range []string{"Host: h\r\n\r\n", "A: b\r\n c: d\r\n", "A : b\r\n", "A:b\nC:d\r\n", "A: b\r\n\r\nGET / HTTP/1.1\r\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		h, r := parseHead(nil, raw)
		if r != policy.Allowed {
			return
		}
		if strings.Count(raw, "\n") != strings.Count(raw, "\r\n") || strings.Count(raw, "\r") != strings.Count(raw, "\r\n") {
			t.Fatalf("%q has a bare CR or LF", raw)
		}
		lines := strings.Split(strings.TrimSuffix(strings.TrimSuffix(raw, "\r\n\r\n"), "\r\n"), "\r\n")
		if raw == "" || raw == "\r\n" {
			lines = nil
		}
		if len(lines) != len(h) {
			t.Fatalf("%q has %d lines, %d fields", raw, len(lines), len(h))
		}
		for i, l := range lines {
			if !strings.HasPrefix(l, h[i].name+":") || strings.TrimSpace(l[len(h[i].name)+1:]) != strings.TrimSpace(h[i].value) {
				t.Fatalf("line %q read as %q", l, h[i])
			}
			if strings.ContainsAny(h[i].name, " \t\r\n:") {
				t.Fatalf("name %q", h[i].name)
			}
		}
	})
}
