package policy

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// A query is read as forms are (the URL standard, application/x-www-form-
// urlencoded parsing): pairs between &, the name before the first =, + for a
// space, percent-encoding for the rest. Servers differ in what else they do,
// so what any of them could take for a second copy of a parameter that
// hopgate reads is refused: a name in other letters, with brackets behind it
// (a[]), with a dot or a space for an underscore, and a bare ; anywhere.

// parameter is a query parameter that the route reads.
type parameter struct {
	raw   string // its value, as it stands in the query
	found bool
}

var (
	errDuplicated = &Error{ParameterDuplicated, "a query parameter that is read here is given twice"}
	errQuery      = &Error{TargetNotCanonical, "the query can't be decoded in one way"}
	errNoQuery    = failure("a query parameter is missing")
)

// pair is a parameter as it stands in a query.
type pair struct{ whole, name, value string }

// nextPair takes the first pair off a query. Empty ones (&&) come too, with
// neither name nor value.
func nextPair(query string) (p pair, left string) {
	p.whole, left, _ = strings.Cut(query, "&")
	p.name, p.value, _ = strings.Cut(p.whole, "=")
	return p, left
}

// decoded gives the text of a name or value of a query; where nothing in it
// is encoded it is s itself. ok is false where it is not well-formed, not
// UTF-8, or has a control character.
func decodedQuery(s string) (string, bool) {
	if !encoded(s) {
		return s, true
	}
	b, ok := appendDecoded(make([]byte, 0, len(s)), s, true)
	return string(b), ok && validText(b)
}

func validText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

// nameBuffer is room for a decoded name on the stack.
type nameBuffer [64]byte

// decodeName decodes a name into buf, or into memory of its own where it is
// longer.
func decodeName(buf *nameBuffer, name string) ([]byte, bool) {
	b, ok := appendDecoded(buf[:0], name, true)
	return b, ok && validText(b)
}

// readQuery reads the parameters that the route reads.
func (e *evaluation) readQuery() *Error {
	r := e.route
	if !r.readsQuery {
		return nil
	}
	e.params = append(e.params[:0], r.noParams...)
	if strings.IndexByte(e.in.RawQuery, ';') >= 0 {
		return errQuery
	}
	if r.wholeQuery {
		if err := e.readWholeQuery(); err != nil {
			return err
		}
	}
	for left := e.in.RawQuery; left != ""; {
		var p pair
		p, left = nextPair(left)
		var err *Error
		if encoded(p.name) {
			var buf nameBuffer
			name, ok := decodeName(&buf, p.name)
			if !ok {
				return errQuery
			}
			err = take(e, name, p.value)
		} else {
			err = take(e, p.name, p.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take keeps the value of a parameter that the route reads.
func take[T string | []byte](e *evaluation, name T, value string) *Error {
	for i, wanted := range e.route.query {
		switch {
		case !alike(name, wanted):
			continue
		case e.params[i].found:
			return errDuplicated
		case string(name) != wanted || !decodable(value):
			return errQuery
		}
		e.params[i] = parameter{raw: value, found: true}
	}
	return nil
}

func encoded(s string) bool { return strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0 }

// decodable tells whether decodedQuery will succeed, without allocating
// where nothing is encoded.
func decodable(s string) bool {
	_, ok := decodedQuery(s)
	return ok
}

// alike tells whether some server takes name for wanted: without regard to
// case, spaces before it and what follows a [, and to _ and . and space.
func alike[T string | []byte](name T, wanted string) bool {
	for len(name) > 0 && name[0] == ' ' {
		name = name[1:]
	}
	if len(name) < len(wanted) {
		return false
	}
	for i := range len(wanted) {
		if looseByte(name[i]) != looseByte(wanted[i]) {
			return false
		}
	}
	return len(name) == len(wanted) || name[len(wanted)] == '[' && strings.IndexByte(wanted, '[') < 0
}

func looseByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '.' || c == ' ':
		return '_'
	}
	return c
}

// readWholeQuery reads all parameters, for rules that may read any. None may
// be there twice.
func (e *evaluation) readWholeQuery() *Error {
	all := map[string]string{}
	seen := map[string]bool{}
	for left := e.in.RawQuery; left != ""; {
		var p pair
		p, left = nextPair(left)
		if p.whole == "" {
			continue
		}
		name, ok := decodedQuery(p.name)
		value, ok2 := decodedQuery(p.value)
		if !ok || !ok2 || !utf8.ValidString(name) {
			return errQuery
		}
		loose := looseName(name)
		if seen[loose] {
			return errDuplicated
		}
		seen[loose] = true
		all[name] = value
	}
	e.all = all
	return nil
}

// looseName is equal for names that are alike.
func looseName(name string) string {
	b := []byte(strings.TrimLeft(name, " "))
	if i := slices.Index(b, '['); i >= 0 {
		b = b[:i]
	}
	for i := range b {
		b[i] = looseByte(b[i])
	}
	return string(b)
}

// queryMap gives the parameters that the route reads, for CEL's interpreter.
func (e *evaluation) queryMap() map[string]string {
	if e.all == nil {
		e.all = make(map[string]string, len(e.params))
		for i, p := range e.params {
			if p.found {
				e.all[e.route.query[i]], _ = decodedQuery(p.raw)
			}
		}
	}
	return e.all
}

// param gives a parameter that the route reads, by its place in Route.query.
func (e *evaluation) param(i int) (string, error) {
	if i >= len(e.params) || !e.params[i].found {
		return "", errNoQuery
	}
	s, _ := decodedQuery(e.params[i].raw)
	return s, nil
}
