package policy

import (
	"strconv"
	"unicode/utf8"
)

// Classes of the characters of a target (RFC 3986 sections 2.3, 3.3).
const (
	unreserved = 1 << iota
	pchar
	hexDigit
	identifier
)

var class [256]uint8

func init() {
	mark := func(bits uint8, chars string) {
		for i := range len(chars) {
			class[chars[i]] |= bits
		}
	}
	const letters, digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	mark(unreserved|pchar, letters+digits+"-._~")
	mark(pchar, "!$&'()*+,;=:@")
	mark(hexDigit, digits+"abcdefABCDEF")
	mark(identifier, letters+digits+"_")
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

// segmentFault tells why a path segment is not in canonical form, or "".
// The empty segment is not looked at here: it may stand at the end of a path.
func segmentFault(s string) string {
	if dotSegment(s) {
		return "a dot segment is resolved before a request is sent"
	}
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) || class[s[i+1]]&hexDigit == 0 || class[s[i+2]]&hexDigit == 0 {
				return "% is not followed by two hexadecimal digits"
			}
			d := unhex(s[i+1])<<4 | unhex(s[i+2])
			switch {
			case d == '/' || d == '\\' || d < ' ' || d == 0x7f:
				return "requests with " + s[i:i+3] + " in their path are refused"
			case class[d]&unreserved != 0:
				return s[i:i+3] + " should be written " + string(rune(d))
			case s[i+1] >= 'a' || s[i+2] >= 'a':
				return "percent-encoding is written in capitals: " + string(appendEscaped(nil, d))
			}
			decoded = append(decoded, d)
			i += 2
		case class[c]&pchar == 0:
			return strconv.QuoteToGraphic(firstRune(s[i:])) + " has to be percent-encoded: " + string(appendSegment(nil, firstRune(s[i:])))
		default:
			decoded = append(decoded, c)
		}
	}
	if !utf8.Valid(decoded) {
		return "its percent-encoded bytes are not UTF-8"
	}
	return ""
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

// dotSegment tells whether a segment is . or .. once path parameters (from ;
// on) are cut off, as some servers do before they resolve dots.
func dotSegment(s string) bool {
	if s == "" || s[0] != '.' {
		return false
	}
	s = s[1:]
	if s != "" && s[0] == '.' {
		s = s[1:]
	}
	return s == "" || s[0] == ';' || len(s) >= 3 && s[0] == '%' && s[1] == '3' && s[2]|0x20 == 'b'
}

// safePath tells whether a path that was put together has no segment that
// another server reads as a step up or leaves out.
func safePath[T string | []byte](path T) bool {
	if len(path) == 0 || path[0] != '/' {
		return false
	}
	start := 1
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		segment := path[start:i]
		if len(segment) == 0 && i < len(path) || len(segment) > 0 && segment[0] == '.' && dotSegment(string(segment)) {
			return false
		}
		start = i + 1
	}
	return true
}

const upperHex = "0123456789ABCDEF"

func appendEscaped(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// appendSegment appends text percent-encoded as one path segment or as one
// name or value of a query: everything but the unreserved characters is
// encoded.
func appendSegment(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; class[c]&unreserved != 0 {
			dst = append(dst, c)
		} else {
			dst = appendEscaped(dst, c)
		}
	}
	return dst
}

// appendDecoded appends what percent-encoded text stands for; where plus is
// set, a + stands for a space. ok is false where the encoding is not
// well-formed.
func appendDecoded(dst []byte, s string, plus bool) (_ []byte, ok bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) || class[s[i+1]]&hexDigit == 0 || class[s[i+2]]&hexDigit == 0 {
				return dst, false
			}
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		case c == '+' && plus:
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst, true
}

// decodeSegment gives the text of a canonical path segment, without
// allocating where nothing in it is encoded.
func decodeSegment(s string) string {
	for i := range len(s) {
		if s[i] == '%' {
			b, _ := appendDecoded(make([]byte, 0, len(s)), s, false)
			return string(b)
		}
	}
	return s
}
