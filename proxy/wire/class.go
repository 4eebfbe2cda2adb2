package wire

import (
	"encoding/binary"
	"math/bits"
)

// text is what the checks read: bytes lent by a transport, or a string.
type text interface{ ~string | ~[]byte }

// Classes of bytes: methods as accepted here, tokens (RFC 9110 section
// 5.6.2), field values (RFC 9110 section 5.5), paths and queries without %
// (RFC 3986 section 3.3 and 3.4), hexadecimal digits, host names, and the
// bytes of an authority.
const (
	classMethod = 1 << iota
	classToken
	classValue
	classPath
	classQuery
	classHex
	classHost
	classAuthority
)

var (
	class [256]uint8
	// loose maps ASCII capitals to small letters and _ to -, which CGI-style
	// backends do not tell apart; lower only the first.
	loose, lower [256]byte
	// unhex gives the value of a hexadecimal digit.
	unhex [256]uint8
)

func init() {
	mark := func(bit uint8, chars string) {
		for i := range len(chars) {
			class[chars[i]] |= bit
		}
	}
	const (
		digits   = "0123456789"
		capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		alphanum = digits + capitals + "abcdefghijklmnopqrstuvwxyz"
		pchar    = alphanum + "-._~!$&'()*+,;=:@"
	)
	for i := range class {
		c := byte(i)
		if c == '\t' || c >= ' ' && c != 0x7f {
			class[i] |= classValue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i], loose[i] = c, c
		if c == '_' {
			loose[i] = '-'
		}
	}
	mark(classMethod, capitals+digits+"-_")
	mark(classToken, alphanum+"!#$%&'*+-.^_`|~")
	mark(classPath, pchar+"/")
	mark(classQuery, pchar+"/?")
	mark(classHex, digits+"abcdefABCDEF")
	mark(classHost, alphanum+"-._")
	mark(classAuthority, alphanum+"-._:[]")
	for i := range 16 {
		unhex["0123456789abcdef"[i]] = uint8(i)
		unhex["0123456789ABCDEF"[i]] = uint8(i)
	}
}

// span gives the number of leading bytes of b that are in a class.
func span(b []byte, bit uint8) int {
	for i, c := range b {
		if class[c]&bit == 0 {
			return i
		}
	}
	return len(b)
}

// spanValue gives the number of leading bytes of b that may stand in a field
// value. It looks at eight bytes at a time: values are most of a head.
func spanValue(b []byte) int {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	i := 0
	for i+8 <= len(b) {
		// The lowest bit set in each of these is that of the first byte
		// below 0x20, and of the first 0x7f; higher ones may be false.
		w := binary.LittleEndian.Uint64(b[i:])
		x := w ^ 0x7f*ones
		found := ((w-0x20*ones)&^w | (x-ones)&^x) & high
		if found == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(found) / 8
		if b[i] != '\t' {
			return i
		}
		i++
	}
	return i + span(b[i:], classValue)
}

// within tells whether all bytes of s are in a class.
func within[T text](s T, bit uint8) bool {
	for i := range len(s) {
		if class[s[i]]&bit == 0 {
			return false
		}
	}
	return true
}

// is tells whether s is want, which is in small letters, without regard to
// case.
func is[T text](s T, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := range len(s) {
		if lower[s[i]] != want[i] {
			return false
		}
	}
	return true
}

// isLoosely tells whether s is want, which is in small letters with - for _,
// without regard to case and to the difference between _ and -.
func isLoosely[T text](s T, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := range len(s) {
		if loose[s[i]] != want[i] {
			return false
		}
	}
	return true
}

// trim cuts optional white space (RFC 9110 section 5.6.3) off both ends.
func trim[T text](s T) T {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
