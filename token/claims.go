package token

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep claims may nest, so that hostile input cannot use
// up the stack.
const maxDepth = 32

var errJSON = errors.New("not a JSON object with unique names")

// decodeClaims reads one JSON object (RFC 8259) and refuses whatever two
// readers could understand differently: a name that occurs twice at any
// depth (RFC 7519 section 4), text that is not UTF-8, half a surrogate pair,
// anything behind the object. Objects become map[string]any, arrays []any,
// integers that fit int64, other numbers float64. The result shares no
// memory with payload.
func decodeClaims(payload []byte) (map[string]any, error) {
	d := decoder{b: string(payload)}
	d.space()
	if d.i >= len(d.b) || d.b[d.i] != '{' {
		return nil, fmt.Errorf("it does not start with {: %w", errJSON)
	}
	v, err := d.object(0)
	if err != nil {
		return nil, err
	}
	if d.space(); d.i != len(d.b) {
		return nil, d.fail("something follows the object")
	}
	return v, nil
}

// decoder reads JSON. What it gives are parts of b wherever possible.
type decoder struct {
	b string
	i int
}

// fail says where, never what: the text may end in a log.
func (d *decoder) fail(what string) error {
	return fmt.Errorf("at byte %d: %s: %w", d.i, what, errJSON)
}

func (d *decoder) space() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

// next skips white space and tells the byte that follows, 0 at the end.
func (d *decoder) next() byte {
	d.space()
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
}

func (d *decoder) object(depth int) (map[string]any, error) {
	if depth == maxDepth {
		return nil, d.fail("nested too deeply")
	}
	d.i++ // {
	m := map[string]any{}
	if d.next() == '}' {
		d.i++
		return m, nil
	}
	for {
		if d.next() != '"' {
			return nil, d.fail("a name is missing")
		}
		name, err := d.text()
		if err != nil {
			return nil, err
		}
		if _, twice := m[name]; twice {
			return nil, d.fail("a name occurs twice")
		}
		if d.next() != ':' {
			return nil, d.fail("a colon is missing")
		}
		d.i++
		if m[name], err = d.value(depth + 1); err != nil {
			return nil, err
		}
		switch d.next() {
		case ',':
			d.i++
		case '}':
			d.i++
			return m, nil
		default:
			return nil, d.fail("the object does not end")
		}
	}
}

func (d *decoder) array(depth int) ([]any, error) {
	if depth == maxDepth {
		return nil, d.fail("nested too deeply")
	}
	d.i++ // [
	list := []any{}
	if d.next() == ']' {
		d.i++
		return list, nil
	}
	for {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		switch d.next() {
		case ',':
			d.i++
		case ']':
			d.i++
			return list, nil
		default:
			return nil, d.fail("the array does not end")
		}
	}
}

func (d *decoder) value(depth int) (any, error) {
	switch d.next() {
	case '{':
		return d.object(depth)
	case '[':
		return d.array(depth)
	case '"':
		return d.text()
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case 'n':
		return nil, d.word("null")
	}
	s, integer, err := d.number()
	if err != nil {
		return nil, err
	}
	if integer {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, d.fail("the number is out of range")
	}
	return f, nil
}

func (d *decoder) word(w string) error {
	if !strings.HasPrefix(d.b[d.i:], w) {
		return d.fail("not a value")
	}
	d.i += len(w)
	return nil
}

// number passes over -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? and tells
// whether it has neither fraction nor exponent.
func (d *decoder) number() (s string, integer bool, err error) {
	start := d.i
	integer = true
	if d.at('-') {
		d.i++
	}
	if d.at('0') {
		d.i++
	} else if !d.digits() {
		return "", false, d.fail("not a value")
	}
	if d.at('.') {
		integer = false
		if d.i++; !d.digits() {
			return "", false, d.fail("not a number")
		}
	}
	if d.at('e') || d.at('E') {
		integer = false
		if d.i++; d.at('+') || d.at('-') {
			d.i++
		}
		if !d.digits() {
			return "", false, d.fail("not a number")
		}
	}
	return d.b[start:d.i], integer, nil
}

func (d *decoder) at(c byte) bool { return d.i < len(d.b) && d.b[d.i] == c }

func (d *decoder) digits() bool {
	start := d.i
	for d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9' {
		d.i++
	}
	return d.i > start
}

func (d *decoder) text() (string, error) {
	s, plain, err := d.literal()
	if err == nil && !plain {
		s = unescape(s)
	}
	return s, err
}

// literal passes over a text and gives what is between its quotes. plain
// tells that nothing in it is escaped, so that this is the text itself.
func (d *decoder) literal() (s string, plain bool, err error) {
	d.i++ // "
	start := d.i
	plain = true
	ascii := true
	for d.i < len(d.b) {
		switch c := d.b[d.i]; {
		case c == '"':
			s = d.b[start:d.i]
			// Escapes stand for whole characters, so that what surrounds them
			// has to be UTF-8 by itself.
			if !ascii && !utf8.ValidString(s) {
				return "", false, d.fail("not UTF-8")
			}
			d.i++
			return s, plain, nil
		case c < ' ':
			return "", false, d.fail("a control character in a text")
		case c == '\\':
			plain = false
			d.i++
			var room [utf8.UTFMax]byte
			if _, err := d.escape(room[:0]); err != nil {
				return "", false, err
			}
		default:
			ascii = ascii && c < utf8.RuneSelf
			d.i++
		}
	}
	return "", false, d.fail("a text does not end")
}

// unescape gives the text that a literal stands for.
func unescape(literal string) string {
	d := decoder{b: literal}
	out := make([]byte, 0, len(literal))
	for d.i < len(d.b) {
		c := d.b[d.i]
		d.i++
		if c != '\\' {
			out = append(out, c)
		} else {
			out, _ = d.escape(out) // it was read before
		}
	}
	return string(out)
}

func (d *decoder) escape(out []byte) ([]byte, error) {
	if d.i >= len(d.b) {
		return nil, d.fail("a text does not end")
	}
	c := d.b[d.i]
	d.i++
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
		r, ok := d.unit()
		if ok && utf16.IsSurrogate(r) {
			if ok = d.at('\\'); ok {
				d.i++
				if ok = d.at('u'); ok {
					d.i++
					var low rune
					low, ok = d.unit()
					r = utf16.DecodeRune(r, low)
					ok = ok && r != utf8.RuneError
				}
			}
		}
		if ok {
			return utf8.AppendRune(out, r), nil
		}
	}
	return nil, d.fail("not an escape")
}

// unit reads four hexadecimal digits.
func (d *decoder) unit() (rune, bool) {
	if len(d.b)-d.i < 4 {
		return 0, false
	}
	var r rune
	for _, c := range []byte(d.b[d.i : d.i+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	d.i += 4
	return r, true
}
