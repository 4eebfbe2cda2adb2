package upstream

import (
	"encoding/binary"
	"math/bits"
)

// token marks the characters of a field name or method (RFC 9110 section
// 5.6.2).
var token = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// isToken tells whether s is a token.
func isToken[T string | []byte](s T) bool {
	for i := range len(s) {
		if !token[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// hasControl tells whether b has a control character, tab excepted: what no
// field value may have (RFC 9110 section 5.5). It looks at eight bytes at a
// time; the odd eight that have a tab or what looks like a control are
// looked at again one by one.
func hasControl[T string | []byte](b T) bool {
	for len(b) >= 8 {
		if controls(word(b)) != 0 && anyControl(b[:8]) {
			return true
		}
		b = b[8:]
	}
	return anyControl(b)
}

// word gives the first eight bytes of b, the first one lowest.
func word[T string | []byte](b T) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// controls marks the control characters among eight bytes by their highest
// bits. The lowest mark is right; those above it may come of a carry.
func controls(w uint64) uint64 {
	del := w ^ 0x7f*lows
	return ((w-0x20*lows)&^w | (del-lows)&^del) & highs
}

// hasSpace tells whether b has a space, a tab or another control character.
func hasSpace(b []byte) bool {
	for len(b) >= 8 {
		if w := binary.LittleEndian.Uint64(b); controls(w)|(w-0x21*lows)&^w&highs != 0 {
			return true
		}
		b = b[8:]
	}
	for _, c := range b {
		if c <= 0x20 || c == 0x7f {
			return true
		}
	}
	return false
}

// controlIn gives the place of the first control character in b, tab
// included, from from on; the length of b where there is none.
func controlIn(b []byte, from int) int {
	for ; from+8 <= len(b); from += 8 {
		if m := controls(binary.LittleEndian.Uint64(b[from:])); m != 0 {
			return from + bits.TrailingZeros64(m)/8
		}
	}
	for ; from < len(b); from++ {
		if c := b[from]; c < 0x20 || c == 0x7f {
			break
		}
	}
	return from
}

func anyControl[T string | []byte](b T) bool {
	for i := range len(b) {
		if c := b[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// equalFold compares without regard to the case of ASCII letters. b is in
// small letters.
func equalFold[T string | []byte](a T, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		c := a[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != b[i] {
			return false
		}
	}
	return true
}

// sameName compares two field names without regard to case.
func sameName(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		c, d := a[i], b[i]
		if c == d {
			continue
		}
		if c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return true
}

// trimOWS cuts optional white space off both ends (RFC 9110 section 5.6.3).
func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
