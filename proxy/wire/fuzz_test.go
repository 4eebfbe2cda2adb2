package wire

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"hopgate/proxy/wire/wiretest"
)

// feedAll feeds data in pieces of the given sizes over and over, and gives
// what was good of it and the ends of the messages that are complete.
func feedAll(p *parser, data []byte, sizes []byte) (good int, ends []int, fault *Error) {
	for i := 0; good < len(data); i++ {
		n := len(data) - good
		if len(sizes) > 0 {
			n = min(n, int(sizes[i%len(sizes)])+1)
		}
		m, fault := p.feed(data[good : good+n])
		good += m
		if fault != nil {
			return good, ends, fault
		}
		if p.at == atStart || p.at == atEnd {
			ends = append(ends, good)
		}
	}
	return good, ends, nil
}

func newParser() *parser {
	p := new(parser)
	p.limits.setDefaults()
	return p
}

// read is a message as a reader reads it.
type read struct {
	method, target, host, body string
	close                      bool
	fields                     map[string][]string
}

// dissect reads a message that passed the guard, by the simplest means:
// everything that would make them wrong has been refused.
func dissect(raw string) read {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	m := read{method: words[0], target: words[1], fields: make(map[string][]string)}
	m.close = words[2] == "HTTP/1.0"
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		switch name {
		case "Host":
			m.host = value
			continue
		case "Transfer-Encoding":
			body = join(body)
			continue
		}
		m.fields[name] = append(m.fields[name], value)
	}
	options := strings.Split(strings.ToLower(strings.Join(m.fields["Connection"], ",")), ",")
	has := func(option string) bool {
		return slices.ContainsFunc(options, func(o string) bool { return strings.Trim(o, " \t") == option })
	}
	m.close = has("close") || m.close && !has("keep-alive")
	m.body = body
	return m
}

// join takes the chunks of a body together.
func join(chunked string) string {
	var body strings.Builder
	for {
		line, rest, _ := strings.Cut(chunked, "\r\n")
		n, err := strconv.ParseUint(line, 16, 62)
		if err != nil || n == 0 {
			return body.String()
		}
		body.WriteString(rest[:n])
		chunked = rest[n+2:]
	}
}

func FuzzAgainstNetHTTP(f *testing.F) {
	for _, c := range wiretest.Malformed {
		if len(c.Raw) < 4096 {
			f.Add([]byte(c.Raw), []byte{})
			f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"+c.Raw), []byte{0})
		}
	}
	for _, g := range wiretest.Wellformed {
		f.Add([]byte(g.Raw), []byte{3, 200})
	}
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		whole := newParser()
		good, _, fault := feedAll(whole, data, nil)
		bytewise := newParser()
		good1, ends, fault1 := feedAll(bytewise, data, []byte{0})
		if good != good1 || fault != fault1 || whole.at != bytewise.at || whole.messages != bytewise.messages {
			t.Fatalf("at once: %d %v, byte by byte: %d %v", good, fault, good1, fault1)
		}
		if good2, _, fault2 := feedAll(newParser(), data, sizes); good != good2 || fault != fault2 {
			t.Fatalf("at once: %d %v, in pieces: %d %v", good, fault, good2, fault2)
		}
		// Complete messages, and then what was handed out of a next one.
		source := bytes.NewReader(data[:good])
		std := bufio.NewReaderSize(source, 64<<10)
		fast := bufio.NewReaderSize(bytes.NewReader(data[:good]), 64<<10)
		start := 0
		for _, end := range ends {
			want := dissect(string(data[start:end]))
			compareNetHTTP(t, std, want)
			if at := good - source.Len() - std.Buffered(); at != end {
				t.Fatalf("net/http: the next message is at %d, want %d", at, end)
			}
			compareFasthttp(t, fast, want)
			start = end
		}
		// A head that the guard cut off must not be complete to others.
		if fault != nil && bytewise.at < atBody && !bytewise.message.trailer {
			if r, err := http.ReadRequest(std); err == nil {
				t.Fatalf("net/http reads %s %s of a refused head: %v", r.Method, r.RequestURI, fault)
			}
			var r fasthttp.RequestHeader
			if err := r.Read(fast); err == nil {
				t.Fatalf("fasthttp reads %s of a refused head: %v", r.RequestURI(), fault)
			}
		}
	})
}

func compareNetHTTP(t *testing.T, br *bufio.Reader, want read) {
	t.Helper()
	r, err := http.ReadRequest(br)
	if err != nil {
		t.Fatalf("net/http: %v, want %+v", err, want)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("net/http: body: %v, want %+v", err, want)
	}
	if r.Header.Get("Pragma") == "no-cache" && want.fields["Cache-Control"] == nil {
		r.Header.Del("Cache-Control")
	}
	fields := maps.Clone(want.fields)
	// These are taken out where they mean something.
	if r.TransferEncoding != nil {
		delete(fields, "Trailer")
	}
	delete(fields, "Content-Length")
	r.Header.Del("Content-Length")
	got := read{r.Method, r.RequestURI, r.Host, string(body), r.Close, r.Header}
	if got.method != want.method || got.target != want.target || !strings.EqualFold(got.host, want.host) || got.body != want.body ||
		got.close != want.close || !maps.EqualFunc(got.fields, fields, slices.Equal) {
		t.Fatalf("net/http reads\n%+v, want\n%+v", got, want)
	}
}

func compareFasthttp(t *testing.T, br *bufio.Reader, want read) {
	t.Helper()
	var r fasthttp.Request
	err := r.Read(br)
	if err == nil && r.MayContinue() {
		err = r.ContinueReadBody(br, 0)
	}
	if err != nil && !strings.Contains(err.Error(), "multipart") {
		t.Fatalf("fasthttp: %v, want %+v", err, want)
	}
	if err != nil {
		t.Skip("a multipart body that is none")
	}
	got := read{method: string(r.Header.Method()), target: string(r.Header.RequestURI()), host: string(r.Header.Host())}
	if r.Header.MultipartFormBoundary() == nil {
		got.body = string(r.Body())
	} else {
		got.body = want.body
	}
	if got.method != want.method || got.target != want.target || got.host != want.host || got.body != want.body {
		t.Fatalf("fasthttp reads\n%+v, want\n%+v", got, want)
	}
}

// FuzzChecks holds that the checks of parts agree with the parser.
func FuzzChecks(f *testing.F) {
	for _, s := range [][4]string{
		{"/", "h", "X-A", "b"}, {"http://h:80/a?b", "H:80", "x", ""}, {"//a", "[::1]", "a_b", "\x7f"}, {"*", "h.", "Content_Length", "\x00"},
		{"/%2", "h..h", "X A", "\t"}, {"http://u@h/", "[1:2:3:4:5:6:7:8]", "Host", "h"}, {"http://h", "[::ffff:1.2.3.4]:1", "X", "\xff"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, target, host, name, value string) {
		raw := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + name + ": " + value + "\r\n\r\n"
		if len(raw) > 8000 || strings.Contains(target+host+value, "\r\n") || strings.ContainsAny(target, " ") || strings.Contains(name, ":") || strings.Trim(host, " \t") != host {
			return
		}
		if k, _ := kindOf(name); k != kindOther {
			return
		}
		p := newParser()
		good, _, fault := feedAll(p, []byte(raw), nil)
		_, _, hostFault := Host(host)
		_, _, _, targetFault := readTarget(target, "http", host)
		want := []*Error{targetFault, hostFault, fieldName(name), fieldValue(value)}
		if i := slices.IndexFunc(want, func(e *Error) bool { return e != nil }); (i >= 0) != (fault != nil) {
			t.Fatalf("%q: parser %v at %d, checks %v", raw, fault, good, want)
		}
		if addr, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(addr, "]") {
			addr = strings.TrimSuffix(addr, "]")
			a, err := netip.ParseAddr(addr)
			if ok := err == nil && a.Is6() && a.Zone() == ""; ok != (hostFault == nil) {
				t.Fatalf("%q: %v, netip says %v", host, hostFault, err)
			}
		}
	})
}
