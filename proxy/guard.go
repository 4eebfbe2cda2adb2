package proxy

import (
	"strings"
	"unicode/utf8"

	"hopgate/policy"
)

// The guard lets one well-formed, unambiguous message pass (RFC 9112) and
// refuses whatever two parsers could read differently. Everything here is a
// pure function of the bytes received.

// maxFields bounds the lines of a header section.
const maxFields = 128

// parseHead reads the field lines of an HTTP/1.1 head (RFC 9112 section 5),
// given without the request line, and appends them to dst. It is stricter
// than the transport's parser: no folding, no empty line but the last, no
// white space around names, no control character in values, and a bounded
// number of lines.
func parseHead(dst header, raw string) (header, policy.Reason) {
	for len(raw) > 0 {
		end := strings.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return dst, policy.RequestMalformed
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if line == "" {
			if raw != "" {
				return dst, policy.RequestMalformed
			}
			break
		}
		colon := strings.IndexByte(line, ':')
		if colon < 1 {
			return dst, policy.RequestMalformed
		}
		name, value := line[:colon], trimOWS(line[colon+1:])
		if !all(name, classToken) || !all(value, classValue) {
			return dst, policy.RequestMalformed
		}
		if len(dst) == maxFields {
			return dst, policy.HeaderTooLarge
		}
		dst = append(dst, field{name, value})
	}
	return dst, policy.Allowed
}

// framing is how a request's body is delimited (RFC 9112 section 6).
type framing struct {
	length  int64 // bytes, where Content-Length says so; 0 without a body
	chunked bool
}

// parseFraming reads Content-Length and Transfer-Encoding. Both together,
// repeated or in any unusual form are refused: they are how requests are
// smuggled.
func parseFraming(h header) (framing, policy.Reason) {
	length, lengths := h.Field("Content-Length")
	coding, codings := h.Field("Transfer-Encoding")
	switch {
	case lengths == 0 && codings == 0:
		return framing{}, policy.Allowed
	case lengths == 1 && codings == 0:
		if length == "" || len(length) > 18 {
			return framing{}, policy.RequestMalformed
		}
		var n int64
		for i := 0; i < len(length); i++ {
			if length[i] < '0' || length[i] > '9' {
				return framing{}, policy.RequestMalformed
			}
			n = n*10 + int64(length[i]-'0')
		}
		return framing{length: n}, policy.Allowed
	case lengths == 0 && codings == 1 && equalName(coding, "chunked"):
		return framing{chunked: true}, policy.Allowed
	}
	return framing{}, policy.RequestMalformed
}

// checkMethod accepts any method that is a token (RFC 9110 section 9.1), but
// not CONNECT and TRACE, which have no meaning for a gateway of APIs.
func checkMethod(method string) policy.Reason {
	if method == "" || len(method) > 32 || !all(method, classToken) {
		return policy.RequestMalformed
	}
	if method == "CONNECT" || method == "TRACE" {
		return policy.MethodNotSupported
	}
	return policy.Allowed
}

// splitTarget takes a request target in origin form, or in absolute form
// with an authority equal to the Host field (RFC 9112 section 3.2), apart
// into its path and query, byte for byte.
func splitTarget(target, scheme, host string) (path, query string, hasQuery, ok bool) {
	if target == "" {
		return "", "", false, false
	}
	if target[0] != '/' {
		rest, found := strings.CutPrefix(target, scheme)
		if !found {
			return "", "", false, false
		}
		if rest, found = strings.CutPrefix(rest, "://"); !found {
			return "", "", false, false
		}
		slash := strings.IndexByte(rest, '/')
		if slash < 0 || slash != len(host) || !equalFold(rest[:slash], host) {
			return "", "", false, false
		}
		target = rest[slash:]
	}
	if i := strings.IndexByte(target, '?'); i >= 0 {
		return target[:i], target[i+1:], true, true
	}
	return target, "", false, true
}

// canonicalPath tells whether a path has exactly one reading (RFC 3986
// section 6.2.2). Dot segments, empty segments, encoded slashes,
// backslashes, controls and unreserved characters, bytes that are no UTF-8
// and characters outside of pchar are refused, not normalized, because what
// was authorized is what is sent. A slash at the end is allowed: it names
// another resource than the path without it. A segment that is a dot segment
// before its first semicolon is refused too, since some servers cut path
// parameters off before they resolve dots.
func canonicalPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	segment := 1 // where the current segment starts
	var r utf8Check
	for i := 1; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '/':
			if i == segment || !r.done() || dotSegment(path[segment:i]) {
				return false
			}
			segment = i + 1
		case c == '%':
			if i+2 >= len(path) || class[path[i+1]]&classHex == 0 || class[path[i+2]]&classHex == 0 {
				return false
			}
			if path[i+1] >= 'a' || path[i+2] >= 'a' {
				return false // RFC 3986 section 6.2.2.1: capitals
			}
			d := unhex(path[i+1])<<4 | unhex(path[i+2])
			if d < ' ' || d == 0x7f || d == '/' || d == '\\' || class[d]&classUnreserved != 0 || !r.next(d) {
				return false
			}
			i += 2
		case class[c]&classPchar == 0 || !r.done():
			return false
		}
	}
	return r.done() && !dotSegment(path[segment:])
}

// dotSegment tells whether a segment is . or .. when a path parameter (from
// ; or %3B on) is cut off.
func dotSegment(s string) bool {
	if s == "" || s[0] != '.' {
		return false
	}
	s = s[1:]
	if s != "" && s[0] == '.' {
		s = s[1:]
	}
	return s == "" || s[0] == ';' || len(s) >= 3 && s[0] == '%' && s[1] == '3' && lower[s[2]] == 'b'
}

// utf8Check follows the percent-encoded bytes of a path and tells whether
// they form UTF-8. Overlong forms, which old servers decode to slashes and
// dots, are no UTF-8.
type utf8Check struct {
	buf [utf8.UTFMax]byte
	n   int
}

func (u *utf8Check) next(b byte) bool {
	u.buf[u.n] = b
	u.n++
	if !utf8.FullRune(u.buf[:u.n]) {
		return true
	}
	r, size := utf8.DecodeRune(u.buf[:u.n])
	// C1 controls and line separators have no place in a path.
	ok := size == u.n && (r != utf8.RuneError || u.n == 3) && (r < 0x80 || r > 0x9f) && r != 0x2028 && r != 0x2029
	u.n = 0
	return ok
}

func (u *utf8Check) done() bool { return u.n == 0 }

// canonicalQuery tells whether a query has only the characters of RFC 3986
// section 3.4 and well-formed escapes other than %00.
func canonicalQuery(query string) bool {
	for i := 0; i < len(query); i++ {
		c := query[i]
		if c == '%' {
			if i+2 >= len(query) || class[query[i+1]]&classHex == 0 || class[query[i+2]]&classHex == 0 {
				return false
			}
			if query[i+1] == '0' && query[i+2] == '0' {
				return false
			}
			i += 2
			continue
		}
		if class[c]&classQuery == 0 {
			return false
		}
	}
	return true
}

func all(s string, bit uint8) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&bit == 0 {
			return false
		}
	}
	return true
}

func trimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
