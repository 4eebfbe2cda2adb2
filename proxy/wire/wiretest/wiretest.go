// Package wiretest holds HTTP/1.1 messages to test a server's reading with,
// byte by byte: malformed ones, each with the section of the RFC that it
// breaks, and well-formed ones that a strict reader may trip over.
package wiretest

import (
	"slices"
	"strings"
)

// Host is the host that the messages are for, where they name one.
const Host = "gate.test"

// A Case is one malformed message.
type Case struct {
	Name   string
	RFC    string // the section that it breaks
	Raw    string // its bytes; what follows on the connection must not be read
	Reason string // why it is refused, as package policy spells it
	Late   bool   // its head is good: the fault lies in the body or trailer section
}

// A Good is a run of well-formed messages.
type Good struct {
	Name     string
	RFC      string
	Raw      string
	Requests []Request // what a server has to read
}

// A Request is one message as it has to be read.
type Request struct {
	Method, Target, Body string
}

// The reasons, as package policy spells them.
const (
	malformed    = "request_malformed"
	notCanonical = "target_not_canonical"
	targetLong   = "target_too_long"
	headLarge    = "header_too_large"
	notSupported = "method_not_supported"
)

// Malformed are the messages that have to be refused under the default
// limits: a target of 8 KiB, a line of 16 KiB, a head of 32 KiB, 128 fields.
var Malformed = slices.Concat(requestLines(), targets(), lines(), hosts(), lengths(), codings(), connections(), chunks(), trailers(), limits())

// line makes a request of a request line.
func line(l string) string { return l + "\r\nHost: " + Host + "\r\n\r\n" }

// target makes a request of a target.
func target(t string) string { return line("GET " + t + " HTTP/1.1") }

// field makes a request with raw field lines.
func field(f string) string { return "GET / HTTP/1.1\r\nHost: " + Host + "\r\n" + f + "\r\n\r\n" }

// post makes a request with raw field lines and a body.
func post(f, body string) string {
	return "POST / HTTP/1.1\r\nHost: " + Host + "\r\n" + f + "\r\n\r\n" + body
}

// chunked makes a request with a raw chunked body.
func chunked(body string) string { return post("Transfer-Encoding: chunked", body) }

// host makes a request with raw lines in place of its Host field.
func host(l string) string { return "GET / HTTP/1.1\r\n" + l + "\r\n" }

func requestLines() []Case {
	const (
		start   = "RFC 9112 section 2.2"
		syntax  = "RFC 9112 section 3"
		method  = "RFC 9112 section 3.1"
		version = "RFC 9112 section 2.3"
	)
	bad := func(name, rfc, raw string) Case { return Case{Name: name, RFC: rfc, Raw: raw, Reason: malformed} }
	return []Case{
		bad("empty line before the request line", start, "\r\n"+target("/")),
		bad("two empty lines before the request line", start, "\r\n\r\n"+target("/")),
		bad("line feed before the request line", start, "\n"+target("/")),
		bad("carriage return before the request line", start, "\r"+target("/")),
		bad("space before the request line", start, " "+target("/")),
		bad("tab before the request line", start, "\t"+target("/")),
		bad("TLS handshake", syntax, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		bad("HTTP/2 preface", "RFC 9113 section 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
		bad("PRI as a method", "RFC 9113 section 3.4", line("PRI / HTTP/1.1")),
		bad("NUL before the method", method, "\x00"+target("/")),
		bad("byte order mark", method, "\xef\xbb\xbf"+target("/")),
		bad("PROXY protocol in binary", start, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"+target("/")),
		bad("colon in the method", method, line("GET: / HTTP/1.1")),
		bad("slash in the method", method, line("G/T / HTTP/1.1")),
		bad("parenthesis in the method", method, line("GET( / HTTP/1.1")),
		bad("quoted method", method, line(`"GET" / HTTP/1.1`)),
		bad("NUL in the method", method, line("GE\x00T / HTTP/1.1")),
		bad("DEL in the method", method, line("GET\x7f / HTTP/1.1")),
		bad("non-ASCII method", method, line("G\xc3\x89T / HTTP/1.1")),
		bad("carriage return after the method", syntax, line("GET\r/ HTTP/1.1")),
		bad("no target at all", syntax, line("GET")),
		bad("method and line feed", syntax, "GET\n/ HTTP/1.1\r\nHost: gate.test\r\n\r\n"),
		bad("field in place of the request line", method, "Host: gate.test\r\n\r\n"),
		{"small method", "RFC 9110 section 9.1", line("get / HTTP/1.1"), notSupported, false},
		{"method with a small letter", "RFC 9110 section 9.1", line("GEt / HTTP/1.1"), notSupported, false},
		{"method with a bang", "RFC 9110 section 9.1", line("GET! / HTTP/1.1"), notSupported, false},
		{"method with a tilde", "RFC 9110 section 9.1", line("~GET / HTTP/1.1"), notSupported, false},
		{"method of a digit", "RFC 9110 section 9.1", line("1GET / HTTP/1.1"), notSupported, false},
		{"method of a star", "RFC 9110 section 9.1", line("* / HTTP/1.1"), notSupported, false},
		{"method too long", syntax, line(strings.Repeat("G", 33) + " / HTTP/1.1"), notSupported, false},
		{"method much too long", syntax, line(strings.Repeat("GET", 10000) + " / HTTP/1.1"), notSupported, false},
		{"CONNECT", "RFC 9110 section 9.3.6", line("CONNECT gate.test:443 HTTP/1.1"), notSupported, false},
		{"CONNECT with a path", "RFC 9110 section 9.3.6", line("CONNECT / HTTP/1.1"), notSupported, false},
		{"TRACE", "RFC 9110 section 9.3.8", line("TRACE / HTTP/1.1"), notSupported, false},
		{"TRACE in HTTP/1.0", "RFC 9110 section 9.3.8", line("TRACE / HTTP/1.0"), notSupported, false},
		bad("two spaces after the method", syntax, line("GET  / HTTP/1.1")),
		bad("tab after the method", syntax, line("GET\t/ HTTP/1.1")),
		bad("space and tab after the method", syntax, line("GET \t/ HTTP/1.1")),
		bad("vertical tab after the method", method, line("GET\v/ HTTP/1.1")),
		bad("form feed after the method", method, line("GET\f/ HTTP/1.1")),
		bad("two spaces before the version", syntax, line("GET /  HTTP/1.1")),
		bad("tab before the version", syntax, line("GET /\tHTTP/1.1")),
		bad("space and tab before the version", syntax, line("GET / \tHTTP/1.1")),
		bad("space after the version", syntax, line("GET / HTTP/1.1 ")),
		bad("tab after the version", syntax, line("GET / HTTP/1.1\t")),
		bad("word after the version", syntax, line("GET / HTTP/1.1 x")),
		bad("request line continued", "RFC 9112 section 2.2", "GET / HTTP/1.1\r\n Host: gate.test\r\n\r\n"),
		bad("HTTP/0.9", syntax, "GET /\r\n"),
		bad("HTTP/0.9 with a line feed", syntax, "GET /\n"),
		bad("no version", syntax, line("GET /")),
		bad("space for a version", syntax, line("GET / ")),
		bad("line feed after the version", "RFC 9112 section 2.2", "GET / HTTP/1.1\nHost: gate.test\r\n\r\n"),
		bad("line feeds only", "RFC 9112 section 2.2", "GET / HTTP/1.1\nHost: gate.test\n\n"),
		bad("carriage return in the request line", "RFC 9112 section 2.2", "GET / HTTP/1.1\rX\r\nHost: gate.test\r\n\r\n"),
		bad("two carriage returns after the version", "RFC 9112 section 2.2", "GET / HTTP/1.1\r\r\nHost: gate.test\r\n\r\n"),
		bad("carriage returns only", "RFC 9112 section 2.2", "GET / HTTP/1.1\rHost: gate.test\r\r"),
		bad("NUL after the version", version, line("GET / HTTP/1.1\x00")),
		bad("HTTP/2.0", version, line("GET / HTTP/2.0")),
		bad("HTTP/2", version, line("GET / HTTP/2")),
		bad("HTTP/3.0", version, line("GET / HTTP/3.0")),
		bad("HTTP/1.2", version, line("GET / HTTP/1.2")),
		bad("HTTP/1.9", version, line("GET / HTTP/1.9")),
		bad("HTTP/0.9 in words", version, line("GET / HTTP/0.9")),
		bad("HTTP/1.", version, line("GET / HTTP/1.")),
		bad("HTTP/1", version, line("GET / HTTP/1")),
		bad("HTTP/1.01", version, line("GET / HTTP/1.01")),
		bad("HTTP/1.10", version, line("GET / HTTP/1.10")),
		bad("HTTP/01.1", version, line("GET / HTTP/01.1")),
		bad("HTTP/1.-1", version, line("GET / HTTP/1.-1")),
		bad("HTTP/1,1", version, line("GET / HTTP/1,1")),
		bad("HTTP 1.1", syntax, line("GET / HTTP 1.1")),
		bad("small version", version, line("GET / http/1.1")),
		bad("mixed version", version, line("GET / Http/1.1")),
		bad("version of other digits", version, line("GET / HTTP/\xef\xbc\x91.1")),
		bad("HTTPS/1.1", version, line("GET / HTTPS/1.1")),
		bad("RTSP/1.0", version, line("GET / RTSP/1.0")),
		bad("ICY", version, line("GET / ICY")),
		bad("version twice", syntax, line("GET / HTTP/1.1 HTTP/1.1")),
	}
}

func targets() []Case {
	const (
		syntax   = "RFC 9112 section 3.2"
		escape   = "RFC 3986 section 2.1"
		absolute = "RFC 9112 section 3.2.2"
	)
	bad := func(name, rfc, t string) Case {
		return Case{Name: name, RFC: rfc, Raw: target(t), Reason: malformed}
	}
	cases := []Case{
		bad("fragment", syntax, "/a#b"),
		bad("fragment in a query", syntax, "/a?b#c"),
		bad("fragment only", syntax, "#"),
		bad("space in the path", "RFC 9112 section 2.3", "/a b"),
		bad("space in the query", "RFC 9112 section 2.3", "/?a b"),
		bad("space before a version", "RFC 9112 section 3", "/a HTTP/1.1"),
		bad("tab in the path", "RFC 9112 section 3", "/a\tb"),
		bad("NUL in the path", syntax, "/a\x00b"),
		bad("NUL in the query", syntax, "/?a\x00b"),
		bad("control in the path", syntax, "/a\x01"),
		bad("DEL in the path", syntax, "/a\x7f"),
		bad("carriage return in the path", "RFC 9112 section 3", "/a\rb"),
		bad("line feed in the path", "RFC 9112 section 3", "/a\nb"),
		bad("UTF-8 in the path", syntax, "/\xc3\xa9"),
		bad("Latin 1 in the query", syntax, "/?q=\xe9"),
		bad("percent sign at the end", escape, "/a%"),
		bad("one digit at the end", escape, "/a%2"),
		bad("escape of letters", escape, "/%zz"),
		bad("escape of one digit", escape, "/%2g"),
		bad("escape with a sign", escape, "/%+2"),
		bad("escape of an escape", escape, "/%%32e"),
		bad("IIS escape", escape, "/%u002e"),
		bad("bad escape in the query", escape, "/?a=%"),
		bad("bad escape before an ampersand", escape, "/?a=%2&b=c"),
		bad("asterisk", "RFC 9112 section 3.2.4", "*"),
		bad("asterisk with a path", "RFC 9112 section 3.2.4", "*/a"),
		{"asterisk for OPTIONS", "RFC 9112 section 3.2.4", line("OPTIONS * HTTP/1.1"), malformed, false},
		bad("authority form", syntax, "gate.test:80"),
		bad("authority form with a name", syntax, "gate.test"),
		bad("relative path", syntax, "a/b"),
		bad("relative dot path", syntax, "../a"),
		bad("query only", syntax, "?a=b"),
		bad("backslash for a slash", syntax, `\a`),
		bad("escaped slash for a slash", syntax, "%2Fa"),
		bad("semicolon for a slash", syntax, ";a"),
		{"two slashes", "RFC 3986 section 3.3", target("//other.test/a"), notCanonical, false},
		{"two slashes only", "RFC 3986 section 3.3", target("//"), notCanonical, false},
		{"three slashes", "RFC 3986 section 3.3", target("///a"), notCanonical, false},
		{"absolute form with two slashes", "RFC 3986 section 3.3", target("http://gate.test//a"), notCanonical, false},
		bad("absolute form of another host", absolute, "http://other.test/"),
		bad("absolute form of a longer host", absolute, "http://gate.test.other.test/"),
		bad("absolute form of a shorter host", absolute, "http://gate/"),
		bad("absolute form with a port", absolute, "http://gate.test:80/"),
		bad("absolute form without an authority", absolute, "http:///"),
		bad("absolute form without a path", absolute, "http://gate.test"),
		bad("absolute form with a query for a path", absolute, "http://gate.test?a"),
		bad("absolute form with a fragment for a path", absolute, "http://gate.test#a"),
		bad("absolute form with a backslash", syntax, `http://gate.test\a`),
		bad("absolute form with user and password", "RFC 9110 section 4.2.4", "http://a:b@gate.test/"),
		bad("absolute form with a user", "RFC 9110 section 4.2.4", "http://gate.test@other.test/"),
		bad("absolute form with an empty user", "RFC 9110 section 4.2.4", "http://@gate.test/"),
		bad("absolute form with an escaped host", syntax, "http://gate%2Etest/"),
		bad("absolute form of other scheme", syntax, "ftp://gate.test/"),
		bad("absolute form of the wrong scheme", syntax, "https://gate.test/"),
		bad("absolute form of a longer scheme", syntax, "httpx://gate.test/"),
		bad("absolute form in capitals", syntax, "HTTP://gate.test/"),
		bad("absolute form with one slash", syntax, "http:/gate.test/"),
		bad("absolute form without slashes", syntax, "http:gate.test/"),
		bad("absolute form with a fragment", syntax, "http://gate.test/#a"),
		bad("absolute form with a bad escape", escape, "http://gate.test/%"),
		bad("file URI", syntax, "file:///etc/passwd"),
		bad("absolute form of a very long host", absolute, "http://"+strings.Repeat("a", 300)+"/"),
		{"absolute form with two hosts", absolute, "GET http://gate.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n", malformed, false},
	}
	for _, c := range []struct{ name, char string }{
		{"quote", `"`}, {"less", "<"}, {"greater", ">"}, {"backslash", `\`}, {"caret", "^"}, {"grave", "`"},
		{"brace", "{"}, {"closing brace", "}"}, {"pipe", "|"}, {"bracket", "["}, {"closing bracket", "]"},
	} {
		cases = append(cases,
			bad(c.name+" in the path", syntax, "/a"+c.char),
			bad(c.name+" in the query", syntax, "/?a"+c.char+"=b"))
	}
	return cases
}

func lines() []Case {
	const (
		end   = "RFC 9112 section 2.2"
		line  = "RFC 9112 section 5"
		name  = "RFC 9110 section 5.1"
		value = "RFC 9110 section 5.5"
		fold  = "RFC 9112 section 5.2"
		colon = "RFC 9112 section 5.1"
	)
	bad := func(name, rfc, raw string) Case { return Case{Name: name, RFC: rfc, Raw: raw, Reason: malformed} }
	cases := []Case{
		bad("folded line", fold, field("X-A: b\r\n c")),
		bad("line folded with a tab", fold, field("X-A: b\r\n\tc")),
		bad("folded line that looks like a field", fold, field("X-A: b\r\n Content-Length: 5")),
		bad("folded Host", fold, host("Host: gate\r\n .test\r\n")),
		bad("folded Transfer-Encoding", fold, post("Transfer-Encoding: chunked\r\n , identity", "0\r\n\r\n")),
		bad("fold before the value", fold, field("X-A:\r\n b")),
		bad("line of a space", fold, field("X-A: b\r\n ")),
		bad("space before the first field", end, "GET / HTTP/1.1\r\n Host: gate.test\r\n\r\n"),
		bad("tab before the first field", end, "GET / HTTP/1.1\r\n\tHost: gate.test\r\n\r\n"),
		bad("space before the end of the head", end, "GET / HTTP/1.1\r\n \r\nHost: gate.test\r\n\r\n"),
		bad("space before the colon", colon, field("X-A : b")),
		bad("tab before the colon", colon, field("X-A\t: b")),
		bad("space before the colon of Content-Length", colon, post("Content-Length : 5", "hello")),
		bad("space before the colon of Transfer-Encoding", colon, post("Transfer-Encoding : chunked", "0\r\n\r\n")),
		bad("space before the colon of Host", colon, host("Host : gate.test\r\n")),
		bad("space in a name", colon, field("X A: b")),
		bad("no colon", line, field("X-A")),
		bad("no colon but a space", colon, field("X-A b")),
		bad("name without a line end before the next", line, field("X-A\r\nX-B: c")),
		bad("no name", line, field(": b")),
		bad("colon only", line, field(":")),
		bad("no name in the first field", line, "GET / HTTP/1.1\r\n: a\r\nHost: gate.test\r\n\r\n"),
		bad("line feed in place of a line end", end, field("X-A: b\nX-B: c")),
		bad("line feed in a name", line, field("X-A\nX-B: c")),
		bad("line feed after a colon", end, field("X-A:\nX-B: c")),
		bad("line feed at the end of the head", end, "GET / HTTP/1.1\r\nHost: gate.test\r\n\n"),
		bad("line feeds at the end of the head", end, "GET / HTTP/1.1\r\nHost: gate.test\n\n"),
		bad("line feed before the end of the head", end, "GET / HTTP/1.1\r\nHost: gate.test\r\n\n\r\n"),
		bad("carriage return in a value", end, field("X-A: b\rc")),
		bad("carriage return in place of a line end", end, field("X-A: b\rX-B: c")),
		bad("carriage return in a name", line, field("X-\rA: b")),
		bad("carriage return after a colon", end, field("X-A:\rb")),
		bad("two carriage returns at a line's end", end, field("X-A: b\r")),
		bad("carriage return at the end of the head", end, "GET / HTTP/1.1\r\nHost: gate.test\r\n\rX"),
		bad("carriage returns at the end of the head", end, "GET / HTTP/1.1\r\nHost: gate.test\r\n\r\r\n"),
		bad("carriage return before a field", end, field("\rX-A: b")),
		bad("NUL in a name", name, field("X-\x00A: b")),
		bad("NUL before a name", name, field("\x00X-A: b")),
		bad("control in a name", name, field("X\x01A: b")),
		bad("DEL in a name", name, field("X\x7fA: b")),
		bad("UTF-8 in a name", name, field("X-\xc3\xa9: b")),
		bad("Latin 1 before a name", name, field("\xe9X: b")),
		bad("no-break space before the colon", name, field("Content-Length\xa0: 5")),
		bad("bracket in a name", name, field("X[a]: b")),
		bad("parenthesis in a name", name, field("X(a): b")),
		bad("slash in a name", name, field("X/A: b")),
		bad("at sign in a name", name, field("X@A: b")),
		bad("equals sign in a name", name, field("X=A: b")),
		bad("semicolon in a name", name, field("X;A: b")),
		bad("comma in a name", name, field("X,A: b")),
		bad("question mark in a name", name, field("X?: b")),
		bad("quoted name", name, field(`"X-A": b`)),
		bad("brace in a name", name, field("X{a}: b")),
		bad("backslash in a name", name, field(`X\A: b`)),
		bad("HTTP/2 pseudo-header field", line, field(":path: /a")),
		bad("NUL in a value", value, field("X-A: b\x00c")),
		bad("NUL before a value", value, field("X-A:\x00b")),
		bad("NUL after a value", value, field("X-A: b\x00")),
		bad("escape character in a value", value, field("X-A: \x1b[2J")),
		bad("vertical tab in a value", value, field("X-A: b\vc")),
		bad("form feed in a value", value, field("X-A: b\fc")),
		bad("backspace in a value", value, field("X-A: b\bc")),
		bad("unit separator in a value", value, field("X-A: b\x1fc")),
		bad("control far in a value", value, field("X-A: "+strings.Repeat("a", 100)+"\x01"+strings.Repeat("a", 100))),
		bad("DEL in a value", value, field("X-A: b\x7fc")),
		bad("DEL far in a value", value, field("X-A: "+strings.Repeat("a\t", 50)+"\x7f")),
		bad("Content_Length", name, post("Content_Length: 5", "hello")),
		bad("content_length beside Content-Length", name, post("Content-Length: 5\r\ncontent_length: 0", "hello")),
		bad("Transfer_Encoding", name, post("Transfer_Encoding: chunked", "0\r\n\r\n")),
		bad("TRANSFER_ENCODING beside Content-Length", name, post("Content-Length: 5\r\nTRANSFER_ENCODING: chunked", "hello")),
		bad("field after the end of a body's head", colon, post("Content-Length: 5\r\nGET / HTTP/1.1", "hello")),
	}
	return cases
}
