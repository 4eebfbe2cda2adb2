package wiretest

import "strings"

func hosts() []Case {
	const rfc = "RFC 9112 section 3.2"
	bad := func(name, lines string) Case {
		return Case{Name: name, RFC: rfc, Raw: host(lines), Reason: malformed}
	}
	cases := []Case{
		bad("no Host", ""),
		bad("no Host but another field", "X-A: b\r\n"),
		{"no Host in HTTP/1.0", rfc, "GET / HTTP/1.0\r\n\r\n", malformed, false},
		{"no Host but an absolute form", rfc, "GET http://gate.test/ HTTP/1.1\r\n\r\n", malformed, false},
		bad("two Hosts", "Host: gate.test\r\nHost: other.test\r\n"),
		bad("two equal Hosts", "Host: gate.test\r\nHost: gate.test\r\n"),
		bad("two Hosts of other case", "Host: gate.test\r\nX-A: b\r\nhost: gate.test\r\n"),
		bad("second Host empty", "Host: gate.test\r\nHost:\r\n"),
	}
	for _, c := range []struct{ name, value string }{
		{"empty Host", ""}, {"blank Host", " \t "}, {"Host list", "gate.test, other.test"}, {"Host of two words", "gate.test other.test"},
		{"Host with a tab", "gate\t.test"}, {"Host with a user", "user@gate.test"}, {"Host with user and password", "a:b@gate.test"},
		{"Host with a path", "gate.test/"}, {"Host with a query", "gate.test?a"}, {"Host with a fragment", "gate.test#a"},
		{"Host with a backslash", `gate.test\a`}, {"Host URI", "http://gate.test"}, {"Host with an escape", "gate%2Etest"},
		{"Host with an escaped NUL", "gate.test%00"}, {"Host of UTF-8", "g\xc3\xa4te.test"}, {"quoted Host", `"gate.test"`},
		{"Host with a quote", "gate'test"}, {"Host with a semicolon", "gate.test;a"}, {"Host with a star", "*.test"},
		{"Host with a tilde", "~gate.test"}, {"Host with a dollar", "$gate.test"}, {"Host with an angle", "<gate.test>"},
		{"Host of a port", ":80"}, {"Host with an empty port", "gate.test:"}, {"Host with two ports", "gate.test:80:80"},
		{"Host with a port of letters", "gate.test:http"}, {"Host with a signed port", "gate.test:+80"},
		{"Host with a negative port", "gate.test:-1"}, {"Host with a port too high", "gate.test:65536"},
		{"Host with a port too long", "gate.test:000080"}, {"Host with a port and a space", "gate.test: 80"},
		{"Host with a port and a path", "gate.test:80/"}, {"Host of a dot", "."}, {"Host with a dot before", ".gate.test"},
		{"Host with an empty label", "gate..test"}, {"Host with two dots after", "gate.test.."},
		{"Host bracket open", "[::1"}, {"Host bracket closed", "::1]"}, {"Host of empty brackets", "[]"}, {"Host IPv6 bare", "::1"},
		{"Host IPv6 of letters", "[gate.test]"}, {"Host IPv6 with a zone", "[fe80::1%eth0]"}, {"Host IPv6 with an escaped zone", "[fe80::1%25eth0]"},
		{"Host IPv6 too short", "[1:2:3]"}, {"Host IPv6 too long", "[1:2:3:4:5:6:7:8:9]"}, {"Host IPv6 elided twice", "[1::2::3]"},
		{"Host IPv6 with a group too long", "[::12345]"}, {"Host IPv6 with three colons", "[:::1]"}, {"Host IPv6 with one colon before", "[:1::2]"},
		{"Host IPv6 with a bad IPv4", "[::1.2.3.256]"}, {"Host IPv6 with letters after", "[::1]a"}, {"Host IPv6 with an empty port", "[::1]:"},
		{"Host IPvFuture", "[v1.a]"}, {"Host much too long", strings.Repeat("a", 262)}, {"Host far too long", strings.Repeat("a.", 2000)},
	} {
		k := bad(c.name, "Host: "+c.value+"\r\n")
		if len(c.value) > 512 {
			k.RFC, k.Reason = "RFC 6585 section 5", headLarge
		}
		cases = append(cases, k)
	}
	return cases
}

func lengths() []Case {
	const (
		length = "RFC 9110 section 8.6"
		both   = "RFC 9112 section 6.1"
	)
	bad := func(name, rfc, lines string) Case {
		return Case{Name: name, RFC: rfc, Raw: post(lines, "hello"), Reason: malformed}
	}
	cases := []Case{
		bad("two lengths", "RFC 9112 section 6.3", "Content-Length: 5\r\nContent-Length: 6"),
		bad("two equal lengths", "RFC 9112 section 6.3", "Content-Length: 5\r\nContent-Length: 5"),
		bad("two lengths of other case", "RFC 9112 section 6.3", "Content-Length: 5\r\nX-A: b\r\ncontent-length: 5"),
		bad("second length empty", "RFC 9112 section 6.3", "Content-Length: 5\r\nContent-Length:"),
		bad("length and coding", both, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
		bad("coding and length", both, "Transfer-Encoding: chunked\r\nContent-Length: 5"),
		bad("coding and length of zero", both, "Transfer-Encoding: chunked\r\nContent-Length: 0"),
		bad("identity and length", both, "Transfer-Encoding: identity\r\nContent-Length: 5"),
	}
	for _, c := range []struct{ name, value string }{
		{"empty length", ""}, {"blank length", " \t"}, {"length list", "5, 5"}, {"length list without a space", "5,5"}, {"length with a comma", "5,"},
		{"length of two numbers", "5 5"}, {"length with a plus", "+5"}, {"length with a minus", "-5"}, {"length of minus zero", "-0"},
		{"hexadecimal length", "0x5"}, {"length of letters", "five"}, {"hexadecimal digit", "a"}, {"length with a fraction", "5.0"},
		{"length with an exponent", "5e0"}, {"length with an underscore", "1_0"}, {"length with a group mark", "1'000"}, {"quoted length", `"5"`},
		{"length with a semicolon", "5;a=b"}, {"length with a unit", "5 bytes"}, {"length of other digits", "\xef\xbc\x95"},
		{"length with a no-break space", "5\xa0"}, {"length of nineteen digits", "9223372036854775808"}, {"length of twenty digits", "18446744073709551621"},
		{"length of padded digits", strings.Repeat("0", 30) + "5"},
	} {
		cases = append(cases, bad(c.name, length, "Content-Length: "+c.value))
	}
	cases = append(cases,
		Case{"length with a vertical tab", "RFC 9110 section 5.5", post("Content-Length: \v5", "hello"), malformed, false},
		Case{"length with a NUL", "RFC 9110 section 5.5", post("Content-Length: 5\x00", "hello"), malformed, false},
		Case{"length behind a NUL", "RFC 9110 section 5.5", post("Content-Length:\x005", "hello"), malformed, false})
	return cases
}

func codings() []Case {
	const rfc = "RFC 9112 section 6.1"
	bad := func(name, lines string) Case {
		return Case{Name: name, RFC: rfc, Raw: post(lines, "0\r\n\r\n"), Reason: malformed}
	}
	cases := []Case{
		bad("coding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
		bad("coding and identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
		bad("identity and coding", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
		bad("coding on two lines", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
		{"coding in HTTP/1.0", rfc, "POST / HTTP/1.0\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", malformed, false},
		{"coding in HTTP/1.0 that is kept", rfc, "POST / HTTP/1.0\r\nHost: gate.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", malformed, false},
		{"coding of a GET", rfc, field("Transfer-Encoding: gzip"), malformed, false},
	}
	for _, c := range []struct{ name, value string }{
		{"empty coding", ""}, {"identity", "identity"}, {"gzip", "gzip"}, {"gzip, chunked", "gzip, chunked"}, {"chunked, gzip", "chunked, gzip"},
		{"chunked, chunked", "chunked, chunked"}, {"chunked, identity", "chunked, identity"}, {"identity, chunked", "identity, chunked"},
		{"chunked with a comma", "chunked,"}, {"comma and chunked", ",chunked"}, {"chunked with a parameter", "chunked;q=1"},
		{"chunked with a semicolon", "chunked;"}, {"quoted chunked", `"chunked"`}, {"single quoted chunked", "'chunked'"},
		{"xchunked", "xchunked"}, {"chunkedx", "chunkedx"}, {"chunked with a space", "chunked x"}, {"chunk", "chunk"},
		{"chunked with a hyphen", "-chunked"}, {"chunked in a list of spaces", "chunked chunked"}, {"chunked behind a no-break space", "\xa0chunked"},
		{"chunked behind other space", "\xc2\x85chunked"}, {"ch\xfcnked", "ch\xfcnked"}, {"chunked with a dotless letter", "chun\xe2\x84\xaaed"},
	} {
		cases = append(cases, bad("coding "+c.name, "Transfer-Encoding: "+c.value))
	}
	return append(cases,
		Case{"coding behind a vertical tab", "RFC 9110 section 5.5", post("Transfer-Encoding: \vchunked", "0\r\n\r\n"), malformed, false},
		Case{"coding behind a NUL", "RFC 9110 section 5.5", post("Transfer-Encoding: \x00chunked", "0\r\n\r\n"), malformed, false},
		Case{"coding behind a carriage return", "RFC 9112 section 2.2", post("X-A: b\rTransfer-Encoding: chunked", "0\r\n\r\n"), malformed, false},
		Case{"coding behind a line feed", "RFC 9112 section 2.2", post("X-A: b\nTransfer-Encoding: chunked", "0\r\n\r\n"), malformed, false})
}

func connections() []Case {
	const (
		connection = "RFC 9110 section 7.6.1"
		expect     = "RFC 9110 section 10.1.1"
		trailer    = "RFC 9110 section 6.6.2"
	)
	bad := func(name, rfc, lines string) Case {
		return Case{Name: name, RFC: rfc, Raw: field(lines), Reason: malformed}
	}
	return []Case{
		bad("empty Connection", connection, "Connection:"),
		bad("Connection of a comma", connection, "Connection: ,"),
		bad("Connection with an empty option", connection, "Connection: close,, upgrade"),
		bad("Connection with a comma after", connection, "Connection: close,"),
		bad("Connection of words", connection, "Connection: keep alive"),
		bad("Connection with a parameter", connection, "Connection: close;a=b"),
		bad("quoted Connection", connection, `Connection: "close"`),
		bad("non-ASCII Connection", connection, "Connection: clos\xe9"),
		bad("Connection lists Content-Length", connection, "Connection: close, Content-Length"),
		bad("Connection lists content_length", connection, "Connection: content_length"),
		bad("Connection lists Transfer-Encoding", connection, "Connection: transfer-encoding"),
		bad("Connection lists Host", connection, "Connection: Host"),
		bad("Connection lists Authorization", connection, "Connection: keep-alive, Authorization"),
		bad("Connection lists Cookie", connection, "Connection: cookie"),
		bad("empty Expect", expect, "Expect:"),
		bad("other Expect", expect, "Expect: 200-ok"),
		bad("Expect list", expect, "Expect: 100-continue, 100-continue"),
		bad("Expect with a parameter", expect, "Expect: 100-continue;a"),
		bad("two Expects", expect, "Expect: 100-continue\r\nExpect: 100-continue"),
		bad("empty Trailer", trailer, "Trailer:"),
		bad("Trailer of words", trailer, "Trailer: x a"),
		bad("Trailer with an empty name", trailer, "Trailer: x-a,,x-b"),
		bad("Trailer lists Content-Length", "RFC 9110 section 6.5.1", "Trailer: Content-Length"),
		bad("Trailer lists Authorization", "RFC 9110 section 6.5.1", "Trailer: x-a, authorization"),
		bad("Trailer lists Transfer-Encoding", "RFC 9110 section 6.5.1", "Trailer: Transfer-Encoding"),
		bad("Trailer lists X-Forwarded-For", "RFC 9110 section 6.5.1", "Trailer: X-Forwarded-For"),
	}
}

func chunks() []Case {
	const (
		size = "RFC 9112 section 7.1"
		ext  = "RFC 9112 section 7.1.1"
		end  = "RFC 9112 section 2.2"
	)
	bad := func(name, rfc, body string) Case {
		return Case{Name: name, RFC: rfc, Raw: chunked(body), Reason: malformed, Late: true}
	}
	return []Case{
		bad("chunk size with a plus", size, "+5\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size with a minus", size, "-5\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size of minus zero", size, "-0\r\n\r\n"),
		bad("chunk size with 0x", size, "0x5\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size with an underscore", size, "0_5\r\nhello\r\n0\r\n\r\n"),
		bad("space before a chunk size", size, " 5\r\nhello\r\n0\r\n\r\n"),
		bad("space after a chunk size", size, "5 \r\nhello\r\n0\r\n\r\n"),
		bad("tab after a chunk size", size, "5\t\r\nhello\r\n0\r\n\r\n"),
		bad("space in a chunk size", size, "0 5\r\nhello\r\n0\r\n\r\n"),
		bad("space after the last chunk size", size, "5\r\nhello\r\n0 \r\n\r\n"),
		bad("empty chunk size", size, "\r\nhello\r\n0\r\n\r\n"),
		bad("empty chunk size with a line feed", size, "\nhello\r\n0\r\n\r\n"),
		bad("chunk size of other letters", size, "g\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size with h", size, "5h\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size with a fraction", size, "5.0\r\nhello\r\n0\r\n\r\n"),
		bad("quoted chunk size", size, "\"5\"\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size with a comma", size, "5,\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size with a NUL", size, "5\x00\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size of other digits", size, "\xef\xbc\x95\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size of sixteen digits", size, "0000000000000005\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size beyond signed", size, "8000000000000000\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size beyond unsigned", size, "10000000000000005\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size of all ones", size, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
		bad("chunk size of many zeros", size, strings.Repeat("0", 1000)+"5\r\nhello\r\n0\r\n\r\n"),
		bad("last chunk of many zeros", size, strings.Repeat("0", 100)+"\r\n\r\n"),
		bad("chunk extension", ext, "5;a=b\r\nhello\r\n0\r\n\r\n"),
		bad("chunk extension without a name", ext, "5;\r\nhello\r\n0\r\n\r\n"),
		bad("chunk extension behind a space", size, "5 ;a\r\nhello\r\n0\r\n\r\n"),
		bad("chunk extension with a line feed", ext, "5;\nhello\r\n0\r\n\r\n"),
		bad("chunk extension with a carriage return", ext, "5;a\rb\r\nhello\r\n0\r\n\r\n"),
		bad("quoted chunk extension", ext, "5;a=\"\r\nhello\r\n0\r\n\r\n\""),
		bad("extension of the last chunk", ext, "5\r\nhello\r\n0;a\r\n\r\n"),
		bad("line feed after a chunk size", end, "5\nhello\r\n0\r\n\r\n"),
		bad("carriage return after a chunk size", end, "5\rhello\r\n0\r\n\r\n"),
		bad("two carriage returns after a chunk size", end, "5\r\r\nhello\r\n0\r\n\r\n"),
		bad("line feed after the last chunk", end, "5\r\nhello\r\n0\n\r\n"),
		bad("line feed after a chunk", size, "5\r\nhello\n0\r\n\r\n"),
		bad("carriage return after a chunk", size, "5\r\nhello\r0\r\n\r\n"),
		bad("nothing after a chunk", size, "5\r\nhello0\r\n\r\n"),
		bad("chunk longer than its size", size, "5\r\nhello world\r\n0\r\n\r\n"),
		bad("chunk longer by a byte", size, "5\r\nhellox\r\n0\r\n\r\n"),
		bad("chunk shorter than its size", size, "6\r\nhello\r\n0\r\n\r\n"),
		bad("chunk shorter by two", size, "7\r\nhello\r\n0\r\n\r\n"),
		bad("line feeds in a chunked body", end, "5\nhello\n0\n\n"),
		bad("empty line between chunks", size, "5\r\nhello\r\n\r\n0\r\n\r\n"),
		bad("line feed at the end of the body", end, "5\r\nhello\r\n0\r\n\n"),
		bad("carriage return at the end of the body", end, "5\r\nhello\r\n0\r\n\rX"),
		bad("body that is not chunked", size, "hello"),
		bad("JSON body that is not chunked", size, "{\"a\":1}"),
		bad("request in place of a chunk", size, target("/smuggled")),
		bad("request in place of the last empty line", "RFC 9112 section 5.1", "0\r\n"+target("/smuggled")),
	}
}

func trailers() []Case {
	const (
		end       = "RFC 9112 section 2.2"
		forbidden = "RFC 9110 section 6.5.1"
		name      = "RFC 9110 section 5.1"
		value     = "RFC 9110 section 5.5"
	)
	bad := func(name, rfc, lines string) Case {
		return Case{Name: name, RFC: rfc, Raw: chunked("5\r\nhello\r\n0\r\n" + lines + "\r\n\r\n"), Reason: malformed, Late: true}
	}
	cases := []Case{
		bad("space before a trailer", end, " X-A: b"),
		bad("folded trailer", "RFC 9112 section 5.2", "X-A: b\r\n c"),
		bad("space before a trailer's colon", "RFC 9112 section 5.1", "X-A : b"),
		bad("trailer without a colon", "RFC 9112 section 5", "X-A"),
		bad("trailer without a name", "RFC 9112 section 5", ": b"),
		bad("line feed after a trailer", end, "X-A: b\nX-B: c"),
		bad("carriage return in a trailer", end, "X-A: b\rc"),
		bad("NUL in a trailer", value, "X-A: b\x00"),
		bad("DEL in a trailer", value, "X-A: b\x7f"),
		bad("control in a trailer's name", name, "X\x01A: b"),
		bad("non-ASCII trailer name", name, "X-\xc3\xa9: b"),
		bad("content_length as a trailer", name, "content_length: 5"),
	}
	for _, n := range []string{
		"Content-Length", "transfer-encoding", "Host", "Trailer", "TE", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade",
		"Expect", "Max-Forwards", "Authorization", "Proxy-Authorization", "WWW-Authenticate", "Cookie", "Set-Cookie",
		"Content-Type", "Content-Encoding", "Content-Range", "Cache-Control", "Range", "If-None-Match", "Forwarded", "Via", "Origin",
		"X-Forwarded-For", "X-Forwarded-User", "x_forwarded_for", "X-Real-IP", "X-HTTP-Method-Override", "X-Original-URL",
	} {
		cases = append(cases, bad(n+" as a trailer", forbidden, n+": 5"))
	}
	return cases
}

func limits() []Case {
	const fields = "RFC 6585 section 5"
	return []Case{
		{"target too long", "RFC 9110 section 15.5.15", target("/" + strings.Repeat("a", 9000)), targetLong, false},
		{"query too long", "RFC 9110 section 15.5.15", target("/?" + strings.Repeat("a", 9000)), targetLong, false},
		{"target of escapes too long", "RFC 9110 section 15.5.15", target("/" + strings.Repeat("%20", 3000)), targetLong, false},
		{"target far too long", "RFC 9110 section 15.5.15", target("/" + strings.Repeat("a", 100000)), targetLong, false},
		{"absolute form too long", "RFC 9110 section 15.5.15", target("http://gate.test/" + strings.Repeat("a", 9000)), targetLong, false},
		{"too many fields", fields, field(strings.Repeat("X-A: b\r\n", 200) + "X-A: b"), headLarge, false},
		{"one field too many", fields, field(strings.Repeat("X-A: b\r\n", 127) + "X-A: b"), headLarge, false},
		{"line too long", fields, field("X-A: " + strings.Repeat("b", 17<<10)), headLarge, false},
		{"name too long", fields, field(strings.Repeat("X", 17<<10) + ": b"), headLarge, false},
		{"name without an end", fields, field(strings.Repeat("X", 100<<10)), headLarge, false},
		{"head too large", fields, field(strings.Repeat("X-A: "+strings.Repeat("b", 4000)+"\r\n", 20) + "X-B: c"), headLarge, false},
		{"Connection too long", fields, field("Connection: " + strings.Repeat("a, ", 1000) + "a"), headLarge, false},
		{"Content-Length of many spaces", fields, post("Content-Length: "+strings.Repeat(" ", 1000)+"5", "hello"), headLarge, false},
		{"Transfer-Encoding of many tabs", fields, post("Transfer-Encoding: "+strings.Repeat("\t", 1000)+"chunked", "0\r\n\r\n"), headLarge, false},
		{"too many trailers", fields, chunked("0\r\n" + strings.Repeat("X-A: b\r\n", 200) + "\r\n"), headLarge, true},
		{"trailer too long", fields, chunked("0\r\nX-A: " + strings.Repeat("b", 17<<10) + "\r\n\r\n"), headLarge, true},
		{"trailers too large", fields, chunked("0\r\n" + strings.Repeat("X-A: "+strings.Repeat("b", 4000)+"\r\n", 20) + "\r\n"), headLarge, true},
	}
}
