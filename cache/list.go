package cache

import (
	"math"
	"strings"
)

// text is what field values come as: lent bytes, or strings.
type text interface{ ~string | ~[]byte }

// members walks through a comma-separated list (RFC 9110 section 5.6.1). A
// comma between double quotes separates nothing; an opening quote that
// nothing closes is an ordinary character, so that it hides nothing after it.
type members[T text] struct {
	rest T
	// hopeless tells that a quote was found that nothing closes. Then none
	// after it is closed either, and looking again for each would take a
	// time that grows with the square of the length.
	hopeless bool
}

// next takes the next member that is not empty, without the white space
// around it.
func (m *members[T]) next() (member T, ok bool) {
	for len(m.rest) > 0 {
		end := m.end()
		member = trim(m.rest[:end])
		m.rest = m.rest[min(end+1, len(m.rest)):]
		if len(member) > 0 {
			return member, true
		}
	}
	return member, false
}

// end is where the first member ends.
func (m *members[T]) end() int {
	for i := 0; i < len(m.rest); i++ {
		switch m.rest[i] {
		case ',':
			return i
		case '"':
			if m.hopeless {
				continue
			}
			if end := closingQuote(m.rest, i); end > 0 {
				i = end
			} else {
				m.hopeless = true
			}
		}
	}
	return len(m.rest)
}

// closingQuote returns the position of the quote that closes the one at
// open, or 0 where there is none.
func closingQuote[T text](list T, open int) int {
	for i := open + 1; i < len(list); i++ {
		switch list[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return 0
}

// unquote returns what stands between double quotes, and anything else as
// it is. Escapes are left as they are.
func unquote[T text](b T) T {
	if quoted(b) {
		return b[1 : len(b)-1]
	}
	return b
}

func quoted[T text](b T) bool {
	return len(b) >= 2 && b[0] == '"' && b[len(b)-1] == '"'
}

// trim removes white space at both ends.
func trim[T text](b T) T {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parseDigits reads a non-negative integer of nothing but digits. One that
// is too large is as large as can be.
func parseDigits[T text](b T) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	n := int64(0)
	for i := range len(b) {
		c := b[i]
		if !isDigit(c) {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// isToken tells whether b is a token (RFC 9110 section 5.6.2).
func isToken[T text](b T) bool {
	for i := range len(b) {
		c := b[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c):
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return len(b) > 0
}

// equalFold compares ASCII text without regard to case.
func equalFold[A, B text](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// lower is c in lower case, if it is an ASCII letter.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
