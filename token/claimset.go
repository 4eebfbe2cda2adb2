package token

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claimSet is a JSON object in the order in which it is written, as it is
// read to verify a token: found well-formed by the rules of [decodeClaims],
// but decoded only where somebody asks. Its names and values are parts of the
// text that was read. It is immutable; the nil claimSet is an empty object.
type claimSet []member

type member struct {
	name  string
	value value
}

// value is the value of a claim. The zero value is that of a claim that is
// absent.
type value struct {
	raw   string // as it is written; a text without its quotes
	kind  kind
	plain bool // a text in which nothing is escaped
}

// kind is what a value is.
type kind uint8

const (
	absent kind = iota
	null
	boolean
	integer // a number without fraction and exponent that fits int64
	decimal // any other number
	text
	list
	object
)

const (
	usualClaims  = 16 // room for as many at first
	usualMembers = 8  // the same for objects in claims
	namesInRow   = 16 // above this, names are looked up rather than compared one by one
)

// readClaimSet reads a JSON object. It refuses what [decodeClaims] refuses,
// with the same errors.
func readClaimSet(payload string, room int) (claimSet, error) {
	d := decoder{b: payload}
	if d.next() != '{' {
		return nil, fmt.Errorf("it does not start with {: %w", errJSON)
	}
	var n names
	set := make(claimSet, 0, room)
	if err := d.passObject(0, &n, &set); err != nil {
		return nil, err
	}
	if d.space(); d.i != len(d.b) {
		return nil, d.fail("something follows the object")
	}
	return set, nil
}

// names are the names of the objects within the first that are being read,
// those of the outer ones first.
type names struct{ list []string }

// passObject passes over an object, whose members it appends to set where set
// is not nil.
func (d *decoder) passObject(depth int, n *names, set *claimSet) error {
	if depth == maxDepth {
		return d.fail("nested too deeply")
	}
	d.i++ // {
	if d.next() == '}' {
		d.i++
		return nil
	}
	if set == nil && n.list == nil {
		n.list = make([]string, 0, namesInRow)
	}
	outer := len(n.list)
	var many map[string]struct{}
	for count := 0; ; count++ {
		if d.next() != '"' {
			return d.fail("a name is missing")
		}
		name, err := d.text()
		if err != nil {
			return err
		}
		if count == namesInRow {
			many = make(map[string]struct{}, 4*namesInRow)
			for _, other := range n.list[outer:] {
				many[other] = struct{}{}
			}
			if set != nil {
				for _, m := range *set {
					many[m.name] = struct{}{}
				}
			}
		}
		twice := false
		switch {
		case many != nil:
			_, twice = many[name]
			many[name] = struct{}{}
		case set != nil:
			twice = set.get(name).kind != absent
		default:
			twice = slices.Contains(n.list[outer:], name)
			n.list = append(n.list, name)
		}
		if twice {
			return d.fail("a name occurs twice")
		}
		if d.next() != ':' {
			return d.fail("a colon is missing")
		}
		d.i++
		v, err := d.pass(depth+1, n)
		if err != nil {
			return err
		}
		if set != nil {
			*set = append(*set, member{name, v})
		}
		switch d.next() {
		case ',':
			d.i++
		case '}':
			d.i++
			n.list = n.list[:outer]
			return nil
		default:
			return d.fail("the object does not end")
		}
	}
}

func (d *decoder) passArray(depth int, n *names) error {
	if depth == maxDepth {
		return d.fail("nested too deeply")
	}
	d.i++ // [
	if d.next() == ']' {
		d.i++
		return nil
	}
	for {
		if _, err := d.pass(depth+1, n); err != nil {
			return err
		}
		switch d.next() {
		case ',':
			d.i++
		case ']':
			d.i++
			return nil
		default:
			return d.fail("the array does not end")
		}
	}
}

// pass passes over a value.
func (d *decoder) pass(depth int, n *names) (v value, err error) {
	c := d.next()
	start := d.i
	switch c {
	case '"':
		v.kind = text
		v.raw, v.plain, err = d.literal()
		return v, err
	case '{':
		v.kind, err = object, d.passObject(depth, n, nil)
	case '[':
		v.kind, err = list, d.passArray(depth, n)
	case 't':
		v.kind, err = boolean, d.word("true")
	case 'f':
		v.kind, err = boolean, d.word("false")
	case 'n':
		v.kind, err = null, d.word("null")
	default:
		v.kind, err = d.passNumber()
	}
	if err != nil {
		return value{}, err
	}
	v.raw = d.b[start:d.i]
	return v, nil
}

func (d *decoder) passNumber() (kind, error) {
	s, whole, err := d.number()
	if err != nil {
		return absent, err
	}
	if whole {
		if len(s) <= 18 { // it fits
			return integer, nil
		}
		if _, err := strconv.ParseInt(s, 10, 64); err == nil {
			return integer, nil
		}
	}
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return absent, d.fail("the number is out of range")
	}
	return decimal, nil
}

// get gives the claim of the name.
func (c claimSet) get(name string) value {
	for i := range c {
		if c[i].name == name {
			return c[i].value
		}
	}
	return value{}
}

// lookup finds the claim at a dotted path. Because claim names may have dots
// themselves (https://example.com/roles), at each level the longest name
// that exists wins, the whole path first.
func (c claimSet) lookup(path string) value {
	if v := c.get(path); v.kind != absent {
		return v
	}
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		if inner := c.get(path[:i]); inner.kind == object {
			if v := inner.members().lookup(path[i+1:]); v.kind != absent {
				return v
			}
		}
	}
	return value{}
}

// empty tells whether the claim is absent or null.
func (v value) empty() bool { return v.kind <= null }

// text gives the text, nothing for a value that is none.
func (v value) text() (s string, ok bool) {
	switch {
	case v.kind != text:
		return "", false
	case v.plain:
		return v.raw, true
	}
	return unescape(v.raw), true
}

// is tells whether the value is this text.
func (v value) is(s string) bool {
	t, ok := v.text()
	return ok && t == s
}

// number tells whether the value is this integer.
func (v value) number(n int64) bool {
	if v.kind != integer {
		return false
	}
	got, err := strconv.ParseInt(v.raw, 10, 64)
	return err == nil && got == n
}

// identifier gives a text, or an integer in decimal; identifiers may be
// numbers.
func (v value) identifier() string {
	if v.kind == integer {
		if v.raw == "-0" {
			return "0"
		}
		return v.raw
	}
	s, _ := v.text()
	return s
}

// words gives a list of texts, or the words of a text. A list that holds
// anything but texts gives nothing: who wrote it did not mean this.
func (v value) words() []string {
	if s, ok := v.text(); ok {
		return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
	}
	if v.kind != list {
		return nil
	}
	n := 0
	for e := range v.elements {
		if e.kind != text {
			return nil
		}
		if e.raw != "" {
			n++
		}
	}
	words := make([]string, 0, n)
	for e := range v.elements {
		if s, _ := e.text(); s != "" {
			words = append(words, s)
		}
	}
	return words
}

// anyOf tells whether the value, a text or a list of texts as aud is (RFC
// 7519 section 4.1.3), has one of the accepted ones. Unlike [value.words] it
// does not split texts.
func (v value) anyOf(accepted []string) bool {
	if s, ok := v.text(); ok {
		return slices.Contains(accepted, s)
	}
	return overlap(v.words(), accepted)
}

// elements yields the elements of a list.
func (v value) elements(yield func(value) bool) {
	if v.kind != list {
		return
	}
	var n names
	d := decoder{b: v.raw, i: 1}
	for d.next() != ']' {
		e, err := d.pass(0, &n)
		if err != nil || !yield(e) { // there is no error: it was read before
			return
		}
		if d.next() == ',' {
			d.i++
		}
	}
}

// members gives the members of an object, none for a value that is no object.
func (v value) members() claimSet {
	if v.kind != object {
		return nil
	}
	set, err := readClaimSet(v.raw, usualMembers)
	if err != nil {
		return nil // there is no error: it was read before
	}
	return set
}

// lastDate is the end of the year 9999: no honest token lives longer, and
// arithmetic on later times overflows.
const lastDate = 253402300799

// date gives a NumericDate (RFC 7519 section 2): seconds since 1970, possibly
// with a fraction. Anything else, also a text, is not one.
func (v value) date() (time.Time, bool) {
	switch v.kind {
	case integer:
		if n, err := strconv.ParseInt(v.raw, 10, 64); err == nil && 0 <= n && n <= lastDate {
			return time.Unix(n, 0), true
		}
	case decimal:
		if f, err := strconv.ParseFloat(v.raw, 64); err == nil && 0 <= f && f <= lastDate {
			whole, part := math.Modf(f)
			return time.Unix(int64(whole), int64(part*1e9)), true
		}
	}
	return time.Time{}, false
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
