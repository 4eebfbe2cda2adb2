package cache

import "math"

// directives are what a response's Cache-Control says (RFC 9111 section
// 5.2.2).
type directives struct {
	noStore, private bool
}

// parseCacheControl reads every Cache-Control line of the answer. A
// directive that forbids holds however oddly it is written: in any case,
// with an argument that it does not take, or quoted.
func parseCacheControl(a *Answer) directives {
	var d directives
	for i := range a.count {
		name, value := a.FieldAt(i)
		if !equalFold(name, "cache-control") {
			continue
		}
		eachDirective(value, func(name, _ []byte) {
			switch {
			case equalFold(name, "no-store"):
				d.noStore = true
			case equalFold(name, "private"):
				d.private = true
			}
		})
	}
	return d
}

// eachDirective calls f for each directive of a list, with its argument
// without quotes, nil where there is none.
func eachDirective(list []byte, f func(name, argument []byte)) {
	for len(list) > 0 {
		var member []byte
		member, list = nextMember(list)
		if len(member) == 0 {
			continue
		}
		name, argument := member, []byte(nil)
		for i, c := range member {
			if c == '=' {
				name, argument = trim(member[:i]), unquote(trim(member[i+1:]))
				break
			}
			if c == '"' {
				break
			}
		}
		f(unquote(name), argument)
	}
}

// nextMember takes the first member from a comma-separated list (RFC 9110
// section 5.6.1), without the white space around it. A comma between double
// quotes separates nothing; an opening quote that nothing closes is an
// ordinary character, so that it hides no directive after it.
func nextMember(list []byte) (member, rest []byte) {
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
	return trim(list), nil
}

// closingQuote returns the position of the quote that closes the one at
// open, or 0 where there is none.
func closingQuote(list []byte, open int) int {
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
// it is. Escapes are left: no argument that we understand has them.
func unquote(b []byte) []byte {
	if len(b) >= 2 && b[0] == '"' && b[len(b)-1] == '"' {
		return b[1 : len(b)-1]
	}
	return b
}

// trim removes white space at both ends.
func trim[T ~string | ~[]byte](b T) T {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// parseDigits reads a non-negative integer of nothing but digits. One that
// is too large is as large as can be.
func parseDigits[T ~string | ~[]byte](b T) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	n := int64(0)
	for i := range len(b) {
		c := b[i]
		if c < '0' || c > '9' {
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
