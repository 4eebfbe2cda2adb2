package policy

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
)

var (
	errBody   = &Error{BodyMalformed, "the body is not one JSON document that every reader understands alike"}
	errNoBody = failure("the request has no body")
	// errNumber stands for an integer that other readers round: nothing can
	// be decided by it.
	errNumber = types.WrapErr(failure("an integer of the body is beyond what every reader can represent"))
)

// readBody reads the body where the route's rules may use it. A request
// without one has no request.body.
func (e *evaluation) readBody() *Error {
	if !e.route.NeedsBody() || len(e.in.Body) == 0 {
		return nil
	}
	kind, n := e.field("Content-Type")
	if n != 1 || !isJSON(kind) {
		return errBody
	}
	// What another reader decodes must be what is judged here.
	if coding, n := e.field("Content-Encoding"); n > 0 && !strings.EqualFold(coding, "identity") {
		return errBody
	}
	v, err := decodeJSON(e.in.Body)
	if err != nil {
		return errBody
	}
	e.body, e.bodyRead = v, true
	return nil
}

// bodyValue gives request.body.
func (e *evaluation) bodyValue() (any, error) {
	if !e.bodyRead {
		return nil, errNoBody
	}
	return e.body, nil
}

// isJSON tells whether a media type is JSON (RFC 8259 section 11, RFC 6839
// section 3.1), in UTF-8 if it says so.
func isJSON(contentType string) bool {
	kind, params, more := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.Trim(kind, " \t"))
	subtype, ok := strings.CutPrefix(kind, "application/")
	if !ok || subtype != "json" && (len(subtype) <= len("+json") || !strings.HasSuffix(subtype, "+json")) {
		return false
	}
	if !more {
		return true
	}
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(strings.ToLower(strings.Trim(p, " \t")), "=")
		if name == "charset" && strings.Trim(value, `"`) != "utf-8" {
			return false
		}
	}
	return true
}

// maxDepth bounds how deep a body may nest.
const maxDepth = 64

// safeInteger is the largest integer up to which every integer is a double
// (RFC 7493 section 2.2).
const safeInteger = 1<<53 - 1

var errJSON = errors.New("not JSON, or not in one way")

// decodeJSON reads one JSON document (RFC 8259) into CEL's native values. It
// refuses what two readers could understand differently: names that occur
// twice in an object, text that is not UTF-8, halves of surrogate pairs,
// numbers out of range, anything behind the document.
func decodeJSON(b []byte) (any, error) {
	d := &jsonDecoder{b: b}
	v := d.value(0)
	d.space()
	if d.bad || d.i != len(b) {
		return nil, errJSON
	}
	return v, nil
}

type jsonDecoder struct {
	b   []byte
	i   int
	bad bool
}

// fail ends reading: nothing is left.
func (d *jsonDecoder) fail() {
	d.bad = true
	d.i = len(d.b)
}

func (d *jsonDecoder) space() {
	for d.i < len(d.b) && strings.IndexByte(" \t\n\r", d.b[d.i]) >= 0 {
		d.i++
	}
}

// peek gives the byte that follows white space, or 0 at the end.
func (d *jsonDecoder) peek() byte {
	d.space()
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
}

// take skips c, which has to be next.
func (d *jsonDecoder) take(c byte) {
	if d.peek() != c || d.bad {
		d.fail()
		return
	}
	d.i++
}

func (d *jsonDecoder) value(depth int) any {
	if depth > maxDepth {
		d.fail()
		return nil
	}
	switch c := d.peek(); c {
	case '{':
		return d.object(depth)
	case '[':
		return d.array(depth)
	case '"':
		return d.text()
	case 't':
		d.word("true")
		return true
	case 'f':
		d.word("false")
		return false
	case 'n':
		d.word("null")
		return nil
	}
	return d.number()
}

func (d *jsonDecoder) object(depth int) any {
	m := map[string]any{}
	d.take('{')
	if d.peek() == '}' {
		d.i++
		return m
	}
	for {
		if d.peek() != '"' {
			d.fail()
			return nil
		}
		name := d.text()
		d.take(':')
		v := d.value(depth + 1)
		if _, twice := m[name]; twice || d.bad {
			d.fail()
			return nil
		}
		m[name] = v
		if len(m) > 1 && alikeNames(m, name) {
			d.fail()
			return nil
		}
		if d.peek() == ',' {
			d.i++
			continue
		}
		d.take('}')
		return m
	}
}

// alikeNames tells whether m has another name that differs from name in
// letter case alone. Many decoders take the two for the same and let the last
// one win.
func alikeNames(m map[string]any, name string) bool {
	if len(m) > 64 {
		return alikeAny(m)
	}
	for other := range m {
		if other != name && strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}

// alikeAny is alikeNames for all names at once, for objects of so many that
// comparing each with each would take long.
func alikeAny(m map[string]any) bool {
	folded := make(map[string]struct{}, len(m))
	for name := range m {
		f := foldName(name)
		if _, twice := folded[f]; twice {
			return true
		}
		folded[f] = struct{}{}
	}
	return false
}

// foldName brings names that EqualFold takes for the same into one form.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for s := unicode.SimpleFold(r); s != r; s = unicode.SimpleFold(s) {
			least = min(least, s)
		}
		return least
	}, name)
}

func (d *jsonDecoder) array(depth int) any {
	list := []any{}
	d.take('[')
	if d.peek() == ']' {
		d.i++
		return list
	}
	for {
		list = append(list, d.value(depth+1))
		if d.bad {
			return nil
		}
		if d.peek() == ',' {
			d.i++
			continue
		}
		d.take(']')
		return list
	}
}

func (d *jsonDecoder) word(w string) {
	if !strings.HasPrefix(string(d.b[d.i:min(len(d.b), d.i+len(w))]), w) {
		d.fail()
		return
	}
	d.i += len(w)
}

func (d *jsonDecoder) number() any {
	start, integer := d.i, true
	d.skip("-")
	if !d.skip("0") {
		d.digits()
	}
	if d.skip(".") {
		integer = false
		d.digits()
	}
	if d.skip("eE") {
		integer = false
		d.skip("+-")
		d.digits()
	}
	if d.bad {
		return nil
	}
	s := string(d.b[start:d.i])
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		d.fail()
		return nil
	}
	switch {
	case integer && math.Abs(f) <= safeInteger:
		return int64(f)
	case math.Abs(f) > safeInteger && f == math.Trunc(f):
		return errNumber
	}
	return f
}

// skip skips one of the characters, if it is next.
func (d *jsonDecoder) skip(chars string) bool {
	if d.i < len(d.b) && strings.IndexByte(chars, d.b[d.i]) >= 0 {
		d.i++
		return true
	}
	return false
}

func (d *jsonDecoder) digits() {
	start := d.i
	for d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9' {
		d.i++
	}
	if d.i == start {
		d.fail()
	}
}

func (d *jsonDecoder) text() string {
	d.take('"')
	var out []byte
	for {
		start := d.i
		for d.i < len(d.b) && d.b[d.i] != '"' && d.b[d.i] != '\\' && d.b[d.i] >= ' ' {
			d.i++
		}
		if d.i >= len(d.b) || d.b[d.i] < ' ' {
			d.fail()
			return ""
		}
		out = append(out, d.b[start:d.i]...)
		c := d.b[d.i]
		d.i++
		if c == '"' {
			break
		}
		out = d.escape(out)
	}
	if !utf8.Valid(out) {
		d.fail()
	}
	return string(out)
}

func (d *jsonDecoder) escape(out []byte) []byte {
	if d.i >= len(d.b) {
		d.fail()
		return out
	}
	c := d.b[d.i]
	d.i++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return append(out, "\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		d.fail()
		return out
	}
	r := d.unit()
	if utf16.IsSurrogate(r) {
		if !d.skip(`\`) || !d.skip("u") {
			d.fail()
			return out
		}
		if r = utf16.DecodeRune(r, d.unit()); r == utf8.RuneError {
			d.fail()
			return out
		}
	}
	return utf8.AppendRune(out, r)
}

// unit reads the four hexadecimal digits of a UTF-16 code unit.
func (d *jsonDecoder) unit() rune {
	var r rune
	for range 4 {
		if d.i >= len(d.b) || class[d.b[d.i]]&hexDigit == 0 {
			d.fail()
			return 0
		}
		r = r<<4 | rune(unhex(d.b[d.i]))
		d.i++
	}
	return r
}
