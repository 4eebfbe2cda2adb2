package cache

import (
	"math"
	"strings"
)

// text is what field values come as: lent bytes, or strings.
type text interface{ ~string | ~[]byte }

// nextMember takes the first member from a comma-separated list (RFC 9110
// section 5.6.1), without the white space around it. A comma between double
// quotes separates nothing; an opening quote that nothing closes is an
// ordinary character, so that it hides nothing after it.
func nextMember[T text](list T) (member, rest T) {
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case ',':
			return trim(list[:i]), list[i+1:]
		case '"':
			if end := closingQuote(list, i); end > 0 {
				i = end
			}
		}
	}
	return trim(list), list[len(list):]
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
