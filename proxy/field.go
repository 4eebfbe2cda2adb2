package proxy

// field is one line of a header section as it was received. Name and value
// are lent by the transport until the exchange ends: copy what outlives it.
type field struct {
	name  string
	value string
}

// header is a header section, in the order received. It is the one reading
// of the head that guard, authentication, policy and forwarding share.
type header []field

// Field returns the value of the first line named name, without regard to
// case, and how many such lines there are. It serves token.Request and
// policy.Fields.
func (h header) Field(name string) (value string, n int) {
	for i := range h {
		if equalName(h[i].name, name) {
			if n == 0 {
				value = h[i].value
			}
			n++
		}
	}
	return value, n
}

// equalName compares names without regard to case.
func equalName(a, b string) bool { return len(a) == len(b) && equalFold(a, b) }

func equalText(b []byte, text string) bool { return equalName(lend(b), text) }

// equalFold compares ASCII text of equal length without regard to case.
func equalFold(a, b string) bool {
	for i := 0; i < len(a); i++ {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return true
}

// sameField tells whether two field names are equal without regard to case
// and to the difference between _ and -, which CGI-style backends do not see
// (X_User_Id arrives in the same variable as X-User-Id).
func sameField(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if loose[a[i]] != loose[b[i]] {
			return false
		}
	}
	return true
}

// lower maps ASCII capitals to small letters, loose does so and maps _ to -.
var lower, loose [256]byte

// Character classes of RFC 9110 section 5.6.2 (token), RFC 9110 section 5.5
// (field-content) and RFC 3986 (pchar, query).
const (
	classToken = 1 << iota
	classValue
	classPchar
	classQuery
	classHex
	classUnreserved
)

var class [256]uint8

func init() {
	mark := func(bit uint8, chars string) {
		for i := 0; i < len(chars); i++ {
			class[chars[i]] |= bit
		}
	}
	const (
		digits  = "0123456789"
		letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	)
	for i := range lower {
		c := byte(i)
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i], loose[i] = c, c
		if c == '_' {
			loose[i] = '-'
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			class[i] |= classValue
		}
	}
	mark(classToken, digits+letters+"!#$%&'*+-.^_`|~")
	mark(classUnreserved, digits+letters+"-._~")
	mark(classPchar, digits+letters+"-._~!$&'()*+,;=:@")
	mark(classQuery, digits+letters+"-._~!$&'()*+,;=:@/?")
	mark(classHex, digits+"abcdefABCDEF")
}
