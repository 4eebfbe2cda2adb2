package wiretest

import "strings"

// Wellformed are messages that have to be read, and as what.
var Wellformed = []Good{
	good("plain", "RFC 9112 section 3", target("/"), Request{"GET", "/", ""}),
	good("other methods", "RFC 9110 section 9", line("PATCH /a HTTP/1.1")+line("M-SEARCH /b HTTP/1.1")+line("PURGE /c HTTP/1.1")+line("OPTIONS /d HTTP/1.1"),
		Request{"PATCH", "/a", ""}, Request{"M-SEARCH", "/b", ""}, Request{"PURGE", "/c", ""}, Request{"OPTIONS", "/d", ""}),
	good("longest method", "RFC 9112 section 3", line(strings.Repeat("A", 32)+" / HTTP/1.1"), Request{strings.Repeat("A", 32), "/", ""}),
	good("all of a path and query", "RFC 3986 section 3.3", target("/aZ09-._~!$&'()*+,;=:@/%2f%C3%A9?/?:@!$&'()*+,;=%00?"),
		Request{"GET", "/aZ09-._~!$&'()*+,;=:@/%2f%C3%A9?/?:@!$&'()*+,;=%00?", ""}),
	good("empty query", "RFC 3986 section 3.4", target("/?"), Request{"GET", "/?", ""}),
	good("escape at the end", "RFC 3986 section 2.1", target("/%41"), Request{"GET", "/%41", ""}),
	good("slashes within", "RFC 3986 section 3.3", target("/a//b/"), Request{"GET", "/a//b/", ""}),
	good("absolute form", "RFC 9112 section 3.2.2", target("http://gate.test/a?b"), Request{"GET", "http://gate.test/a?b", ""}),
	good("absolute form in other case", "RFC 9110 section 4.2.3", target("http://GATE.test/a"), Request{"GET", "http://GATE.test/a", ""}),
	good("absolute form with a port", "RFC 9112 section 3.2.2", "GET http://gate.test:8080/ HTTP/1.1\r\nX-A: b\r\nHost: gate.test:8080\r\n\r\n", Request{"GET", "http://gate.test:8080/", ""}),
	good("absolute form with IPv6", "RFC 9112 section 3.2.2", "GET http://[::1]:8080/ HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", Request{"GET", "http://[::1]:8080/", ""}),
	good("HTTP/1.0", "RFC 9112 section 2.3", line("GET / HTTP/1.0"), Request{"GET", "/", ""}),
	good("HTTP/1.0 kept", "RFC 9112 section 9.3", "GET /a HTTP/1.0\r\nHost: gate.test\r\nConnection: keep-alive\r\n\r\n"+line("GET /b HTTP/1.0"),
		Request{"GET", "/a", ""}, Request{"GET", "/b", ""}),
	good("HTTP/1.0 with a body", "RFC 9112 section 6.3", "POST / HTTP/1.0\r\nHost: gate.test\r\nContent-Length: 5\r\n\r\nhello", Request{"POST", "/", "hello"}),
	good("HTTP/1.0 with an Expect", "RFC 9110 section 10.1.1", "POST / HTTP/1.0\r\nHost: gate.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", Request{"POST", "/", "hi"}),
	good("no space after the colon", "RFC 9112 section 5", field("X-A:b"), Request{"GET", "/", ""}),
	good("much space around the value", "RFC 9112 section 5", field("X-A: \t  b \t "), Request{"GET", "/", ""}),
	good("empty values", "RFC 9110 section 5.5", field("X-A:\r\nX-B: \r\nX-C:\t"), Request{"GET", "/", ""}),
	good("tab within a value", "RFC 9110 section 5.5", field("X-A: b\tc"), Request{"GET", "/", ""}),
	good("tabs in a long value", "RFC 9110 section 5.5", field("X-A: "+strings.Repeat("abcdefg\t", 40)), Request{"GET", "/", ""}),
	good("UTF-8 in a value", "RFC 9110 section 5.5", field("X-A: \xc3\xa9\xe2\x82\xac"), Request{"GET", "/", ""}),
	good("colons in a value", "RFC 9112 section 5", field("X-A: b: c:"), Request{"GET", "/", ""}),
	good("every character of a token", "RFC 9110 section 5.6.2", field("!#$%&'*+-.^_`|~09azAZ: b"), Request{"GET", "/", ""}),
	good("repeated fields", "RFC 9110 section 5.3", field("X-A: b\r\nX-A: c"), Request{"GET", "/", ""}),
	good("fields of other case", "RFC 9110 section 5.1", "POST / HTTP/1.1\r\nhOST: gate.test\r\nCONTENT-LENGTH: 5\r\n\r\nhello", Request{"POST", "/", "hello"}),
	good("as many fields as may be", "RFC 6585 section 5", field(strings.Repeat("X-A: b\r\n", 126)+"X-A: b"), Request{"GET", "/", ""}),
	good("long value", "RFC 9110 section 5.4", field("Authorization: Bearer "+strings.Repeat("abcd", 2000)), Request{"GET", "/", ""}),
	good("long target", "RFC 9110 section 4.1", target("/"+strings.Repeat("a", 8000)), Request{"GET", "/" + strings.Repeat("a", 8000), ""}),
	good("Host with a port", "RFC 9110 section 7.2", host("Host: gate.test:65535\r\n"), Request{"GET", "/", ""}),
	good("Host with a dot after", "RFC 9110 section 7.2", host("Host: gate.test.\r\n"), Request{"GET", "/", ""}),
	good("Host with an underscore", "RFC 3986 section 3.2.2", host("Host: a_b-c.gate.test\r\n"), Request{"GET", "/", ""}),
	good("Host of IPv4", "RFC 3986 section 3.2.2", host("Host: 127.0.0.1:80\r\n"), Request{"GET", "/", ""}),
	good("Host of IPv6", "RFC 3986 section 3.2.2", host("Host: [2001:db8::1]:80\r\n"), Request{"GET", "/", ""}),
	good("Host of IPv6 and IPv4", "RFC 3986 section 3.2.2", host("Host: [::ffff:192.0.2.1]\r\n"), Request{"GET", "/", ""}),
	good("Host not first", "RFC 9112 section 3.2", host("X-A: b\r\nHost:gate.test\r\nX-C: d\r\n"), Request{"GET", "/", ""}),
	good("length of zero", "RFC 9110 section 8.6", post("Content-Length: 0", ""), Request{"POST", "/", ""}),
	good("length with zeros before", "RFC 9110 section 8.6", post("Content-Length: 0010", "0123456789"), Request{"POST", "/", "0123456789"}),
	good("length with space around", "RFC 9112 section 5", post("Content-Length: \t 5 \t", "hello"), Request{"POST", "/", "hello"}),
	good("body of a GET", "RFC 9110 section 9.3.1", field("Content-Length: 5")+"hello", Request{"GET", "/", "hello"}),
	good("body like a request", "RFC 9112 section 6", post("Content-Length: 18", "GET /a HTTP/1.1\r\n\r")+target("/b"), Request{"POST", "/", "GET /a HTTP/1.1\r\n\r"}, Request{"GET", "/b", ""}),
	good("chunked", "RFC 9112 section 7.1", chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), Request{"POST", "/", "hello world"}),
	good("chunked with nothing", "RFC 9112 section 7.1", chunked("0\r\n\r\n"), Request{"POST", "/", ""}),
	good("chunked in capitals", "RFC 9112 section 7", post("Transfer-Encoding: Chunked", "A\r\n0123456789\r\n000\r\n\r\n"), Request{"POST", "/", "0123456789"}),
	good("chunked GET", "RFC 9110 section 9.3.1", field("Transfer-Encoding: chunked")+"1\r\na\r\n0\r\n\r\n", Request{"GET", "/", "a"}),
	good("chunk size with zeros before", "RFC 9112 section 7.1", chunked("000000000000005\r\nhello\r\n0\r\n\r\n"), Request{"POST", "/", "hello"}),
	good("chunks of line ends", "RFC 9112 section 7.1", chunked("2\r\n\r\n\r\n4\r\n0\r\n\r\r\n0\r\n\r\n"), Request{"POST", "/", "\r\n0\r\n\r"}),
	good("trailers", "RFC 9112 section 7.1.2", post("Trailer: X-Sum, x-b\r\nTransfer-Encoding: chunked", "1\r\na\r\n0\r\nX-Sum: b\r\nX-B:\r\n\r\n")+target("/b"),
		Request{"POST", "/", "a"}, Request{"GET", "/b", ""}),
	good("unannounced trailer", "RFC 9110 section 6.5", chunked("0\r\nServer-Timing: a;dur=1\r\n\r\n")+target("/b"), Request{"POST", "/", ""}, Request{"GET", "/b", ""}),
	good("pipelined", "RFC 9112 section 9.3.2", target("/a")+post("Content-Length: 2", "hi")+chunked("2\r\nho\r\n0\r\n\r\n")+target("/b"),
		Request{"GET", "/a", ""}, Request{"POST", "/", "hi"}, Request{"POST", "/", "ho"}, Request{"GET", "/b", ""}),
	good("Connection: close", "RFC 9112 section 9.6", field("Connection: close"), Request{"GET", "/", ""}),
	good("Connection list", "RFC 9110 section 7.6.1", field("Connection: Keep-Alive , x-a\r\nConnection:\tTE\r\nTE: trailers\r\nX-A: b"), Request{"GET", "/", ""}),
	good("Upgrade", "RFC 9110 section 7.8", field("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"), Request{"GET", "/", ""}),
	good("browser", "RFC 9110 section 10.1", field(browser), Request{"GET", "/", ""}),
}

func good(name, rfc, raw string, requests ...Request) Good {
	return Good{Name: name, RFC: rfc, Raw: raw, Requests: requests}
}

const browser = "Connection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\n" +
	"Cookie: a=b; c=\"d e\"; __session=eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
