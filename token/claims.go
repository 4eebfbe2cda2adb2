package token

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
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
	d := decoder{b: payload}
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

type decoder struct {
	b []byte
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
	return d.number()
}

func (d *decoder) word(w string) error {
	if len(d.b)-d.i < len(w) || string(d.b[d.i:d.i+len(w)]) != w {
		return d.fail("not a value")
	}
	d.i += len(w)
	return nil
}

// number reads -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?.
func (d *decoder) number() (any, error) {
	start, integer := d.i, true
	if d.at('-') {
		d.i++
	}
	if d.at('0') {
		d.i++
	} else if !d.digits() {
		return nil, d.fail("not a value")
	}
	if d.at('.') {
		integer = false
		if d.i++; !d.digits() {
			return nil, d.fail("not a number")
		}
	}
	if d.at('e') || d.at('E') {
		integer = false
		if d.i++; d.at('+') || d.at('-') {
			d.i++
		}
		if !d.digits() {
			return nil, d.fail("not a number")
		}
	}
	s := string(d.b[start:d.i])
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

func (d *decoder) at(c byte) bool { return d.i < len(d.b) && d.b[d.i] == c }

func (d *decoder) digits() bool {
	start := d.i
	for d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9' {
		d.i++
	}
	return d.i > start
}

func (d *decoder) text() (string, error) {
	d.i++ // "
	start := d.i
	for d.i < len(d.b) && d.b[d.i] != '"' && d.b[d.i] != '\\' && d.b[d.i] >= ' ' {
		d.i++
	}
	if d.at('"') { // nothing is escaped
		s := string(d.b[start:d.i])
		if !utf8.ValidString(s) {
			return "", d.fail("not UTF-8")
		}
		d.i++
		return s, nil
	}
	out := append([]byte(nil), d.b[start:d.i]...)
	for d.i < len(d.b) {
		switch c := d.b[d.i]; {
		case c == '"':
			if !utf8.Valid(out) {
				return "", d.fail("not UTF-8")
			}
			d.i++
			return string(out), nil
		case c < ' ':
			return "", d.fail("a control character in a text")
		case c != '\\':
			out = append(out, c)
			d.i++
		default:
			d.i++
			var err error
			if out, err = d.escape(out); err != nil {
				return "", err
			}
		}
	}
	return "", d.fail("a text does not end")
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
	for _, c := range d.b[d.i : d.i+4] {
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

// lastDate is the end of the year 9999: no honest token lives longer, and
// arithmetic on later times overflows.
const lastDate = 253402300799

// numericDate reads a NumericDate (RFC 7519 section 2): seconds since 1970,
// possibly with a fraction. Anything else, also a text, is not one.
func numericDate(v any) (time.Time, bool) {
	switch v := v.(type) {
	case int64:
		if 0 <= v && v <= lastDate {
			return time.Unix(v, 0), true
		}
	case float64:
		if 0 <= v && v <= lastDate {
			whole, part := math.Modf(v)
			return time.Unix(int64(whole), int64(part*1e9)), true
		}
	}
	return time.Time{}, false
}
