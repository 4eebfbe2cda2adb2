package wire

import (
	"strings"
	"testing"
)

func TestMethod(t *testing.T) {
	for m, want := range map[string]*Error{
		"GET": nil, "M-SEARCH": nil, "A_1": nil, strings.Repeat("A", 32): nil,
		"": errMethodByte, "G T": errMethodByte, "GET\x00": errMethodByte, "get": errMethod, "1A": errMethod, "-A": errMethod, "A~": errMethod,
		strings.Repeat("A", 33): errMethodLong, "CONNECT": errConnect, "TRACE": errTrace, "PRI": errPreface,
	} {
		if got := checkMethod(m); got != want {
			t.Errorf("%q: %v, want %v", m, got, want)
		}
	}
}

func TestHost(t *testing.T) {
	for value, want := range map[string][2]string{
		"h": {"h", ""}, "Gate.Test:80": {"Gate.Test", "80"}, "a.b.": {"a.b.", ""}, "h:0": {"h", "0"}, "h:65535": {"h", "65535"},
		"127.0.0.1:1": {"127.0.0.1", "1"}, "[::1]": {"[::1]", ""}, "[::]:80": {"[::]", "80"}, "[1:2:3:4:5:6:7::]": {"[1:2:3:4:5:6:7::]", ""},
		"[1:2:3:4:5:6:1.2.3.4]": {"[1:2:3:4:5:6:1.2.3.4]", ""}, strings.Repeat("a", 261): {strings.Repeat("a", 261), ""},
	} {
		host, port, fault := Host([]byte(value))
		if string(host) != want[0] || string(port) != want[1] || fault != nil {
			t.Errorf("%q: %q, %q, %v", value, host, port, fault)
		}
	}
	for _, value := range []string{
		"", ":80", "h:", "h:65536", "h:a", "h: 1", "h:000001", ".h", "a..b", ".", "a b", "a%41", "é", "[", "[]", "[::1", "[::1]x", "[::1]:",
		"[1:2:3:4:5:6:7:8::]", "[1::2::3]", "[:1]", "[1:]", "[12345::]", "[::1.2.3]", "[::1.2.3.04]", "[::1.2.3.4.5]", "[::1.2.3.]", "[::1.2.3.256]",
		"[1:2:3:4:5:6:7:1.2.3.4]", "[::1%1]", strings.Repeat("a", 262),
	} {
		if host, port, fault := Host(value); fault != errHost {
			t.Errorf("%q: %q, %q, %v", value, host, port, fault)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct {
		target, scheme, host, path, query string
		hasQuery                          bool
		fault                             *Error
	}{
		{"/", "", "h", "/", "", false, nil},
		{"/a%2F?", "", "h", "/a%2F", "", true, nil},
		{"/a?b=/?%00", "http", "h", "/a", "b=/?%00", true, nil},
		{"http://H:1/a?b", "http", "h:1", "/a", "b", true, nil},
		{"https://[::1]/", "https", "[::1]", "/", "", false, nil},
		{"", "http", "h", "", "", false, errNoTarget},
		{"*", "http", "h", "", "", false, errAsterisk},
		{"http://h/", "", "h", "", "", false, errForm},
		{"http://h/", "https", "h", "", "", false, errForm},
		{"http", "http", "h", "", "", false, errForm},
		{"httpx//h/", "http", "h", "", "", false, errForm},
		{"h:443", "https", "h", "", "", false, errForm},
		{"http:///", "http", "h", "", "", false, errAuthority},
		{"http://x/", "http", "h", "", "", false, errAuthority},
		{"http://hh/", "http", "h", "", "", false, errAuthority},
		{"http://u@h/", "http", "h", "", "", false, errUserinfo},
		{"http://h", "http", "h", "", "", false, errNoPath},
		{"http://h?a", "http", "h", "", "", false, errNoPath},
		{`http://h\a`, "http", "h", "", "", false, errTargetByte},
		{"//h/a", "http", "h", "", "", false, errTwoSlashes},
		{"/a%2", "http", "h", "", "", false, errEscape},
		{"/%2g", "http", "h", "", "", false, errEscape},
		{"/a#b", "http", "h", "", "", false, errFragment},
		{"/a b", "http", "h", "", "", false, errTargetByte},
		{"/a\tb", "http", "h", "", "", false, errSpaces},
		{"/a\r", "http", "h", "", "", false, errNoVersion},
		{"/[", "http", "h", "", "", false, errTargetByte},
	} {
		path, query, hasQuery, fault := readTarget(c.target, c.scheme, c.host)
		if fault != c.fault || fault == nil && (path != c.path || query != c.query || hasQuery != c.hasQuery) {
			t.Errorf("%q: %q, %q, %v, %v", c.target, path, query, hasQuery, fault)
		}
	}
}

func TestFields(t *testing.T) {
	for name, want := range map[string]*Error{
		"x-a": nil, "X_A": nil, "Host": nil, "content-length": nil, "!#$%&'*+-.^_`|~": nil,
		"": errNoName, "x a": errNameByte, "x:": errNameByte, "é": errNameByte,
		"Content_Length": errUnderscore, "TRANSFER_ENCODING": errUnderscore,
	} {
		if got := fieldName(name); got != want {
			t.Errorf("name %q: %v, want %v", name, got, want)
		}
	}
	for value, want := range map[string]*Error{
		"": nil, "a\tb": nil, "\x80\xff": nil, "a\x00": errNUL, "a\r": errBareCR, "a\n": errBareLF, "\x7f": errControl, "\x1b": errControl,
	} {
		if got := fieldValue(value); got != want {
			t.Errorf("value %q: %v, want %v", value, got, want)
		}
	}
	for name, want := range map[string]*Error{
		"X-Checksum": nil, "grpc-status": nil, strings.Repeat("x", 100): nil,
		"": errNoName, "Content_Length": errUnderscore, "content-length": errTrailerName, "X-Forwarded-Anything-" + strings.Repeat("x", 100): errTrailerName,
		"x_forwarded_": errTrailerName, "X_Real_Ip": errTrailerName,
	} {
		if got := TrailerName(name); got != want {
			t.Errorf("trailer %q: %v, want %v", name, got, want)
		}
	}
	for name := range forbiddenTrailers {
		if len(name) > longestTrailer {
			t.Errorf("%q is longer than what is looked up", name)
		}
	}
}

func TestStatesHaveNames(t *testing.T) {
	if s := Idle.String() + Head.String() + Body.String() + Done.String() + Refused.String() + Released.String(); s != "idleheadbodydonerefusedreleased" {
		t.Error(s)
	}
}
