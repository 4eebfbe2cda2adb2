package filter

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// space skips insignificant white space (RFC 8259 section 2).
func (r *run) space(i int) int {
	for i < len(r.src) {
		switch r.src[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
	}
	return i
}

func (r *run) word(i int, word string) int {
	if len(r.src)-i < len(word) || string(r.src[i:i+len(word)]) != word {
		return r.wrong(i, "a value should be here")
	}
	return i + len(word)
}

// number reads a number (RFC 8259 section 6).
func (r *run) number(i int) int {
	start := i
	if r.at(i) == '-' {
		i++
	}
	switch c := r.at(i); {
	case c == '0':
		i++
	case isDigit(c):
		i = r.digits(i)
	case i > start:
		return r.wrong(i, "a digit should be here")
	default:
		return r.wrong(i, "a value should be here")
	}
	if r.at(i) == '.' {
		if i++; !isDigit(r.at(i)) {
			return r.wrong(i, "a digit should be here")
		}
		i = r.digits(i)
	}
	if c := r.at(i); c == 'e' || c == 'E' {
		i++
		if c := r.at(i); c == '+' || c == '-' {
			i++
		}
		if !isDigit(r.at(i)) {
			return r.wrong(i, "a digit should be here")
		}
		i = r.digits(i)
	}
	return i
}

// at gives the byte at i, or 0 at the end.
func (r *run) at(i int) byte {
	if i < len(r.src) {
		return r.src[i]
	}
	return 0
}

func (r *run) digits(i int) int {
	for i < len(r.src) && isDigit(r.src[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// text reads a string (RFC 8259 section 7) from behind its opening quote and
// tells whether it has escapes. Its bytes must be UTF-8 (section 8.1). An
// escaped surrogate without its other half is let through, as section 8.2
// allows: JavaScript writes one wherever it cut a text short.
func (r *run) text(i int) (end int, escaped bool) {
	for {
		// Eight bytes at a time, to the first that is a quote, a backslash,
		// a control character or not ASCII. Borrows only reach bytes behind
		// one that is found itself.
		for len(r.src)-i >= 8 {
			w := binary.LittleEndian.Uint64(r.src[i:])
			found := (w | (w - 0x20*lows) | ((w ^ '"'*lows) - lows) | ((w ^ '\\'*lows) - lows)) & highs
			if found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
			i += 8
		}
		if i >= len(r.src) {
			return r.wrong(i, "it ends inside a string"), false
		}
		switch c := r.src[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i = r.escape(i + 1); i < 0 {
				return -1, false
			}
		case c < ' ':
			return r.wrong(i, "a control character in a string is not escaped"), false
		case c < utf8.RuneSelf:
			i++
		default:
			// Texts that are not ASCII are rarely so for one character only.
			for i < len(r.src) && r.src[i] >= utf8.RuneSelf {
				_, n := utf8.DecodeRune(r.src[i:])
				if n == 1 {
					return r.wrong(i, "a string is not UTF-8"), false
				}
				i += n
			}
		}
	}
}

// escape reads what is behind a backslash.
func (r *run) escape(i int) int {
	switch r.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for k := 1; k <= 4; k++ {
			if hexDigit(r.at(i+k)) < 0 {
				return r.wrong(i+k, "a hexadecimal digit should be here")
			}
		}
		return i + 5
	}
	return r.wrong(i, "an escape that JSON does not have")
}

func hexDigit(c byte) rune {
	switch {
	case isDigit(c):
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// appendDecoded appends the text that s, a well-formed string without its
// quotes, stands for. A lone surrogate becomes U+FFFD, as in encoding/json.
func appendDecoded(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = s[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			u := unit(s[i+2:])
			i += 6
			if utf16.IsSurrogate(u) {
				pair := rune(utf8.RuneError)
				if len(s)-i >= 6 && s[i] == '\\' && s[i+1] == 'u' {
					pair = utf16.DecodeRune(u, unit(s[i+2:]))
				}
				if u = pair; pair != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, u)
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// unit reads the four hexadecimal digits of a UTF-16 code unit.
func unit(s []byte) rune {
	return hexDigit(s[0])<<12 | hexDigit(s[1])<<8 | hexDigit(s[2])<<4 | hexDigit(s[3])
}
