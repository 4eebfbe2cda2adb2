package cache

import "strings"

// The targeted fields that hopgate obeys, the first before the second (RFC
// 9213 section 3 and section 2).
const (
	hopgateCacheControl = "hopgate-cache-control"
	cdnCacheControl     = "cdn-cache-control"
)

// parseTargeted reads a targeted field: a dictionary of RFC 9651, and not
// the looser syntax of Cache-Control. One that is no dictionary, or empty,
// counts as absent (RFC 9213 section 2.1).
func parseTargeted(a *Answer, name string) (d directives, ok bool) {
	var lines []string
	for i := range a.count {
		if k, v := a.FieldAt(i); equalFold(k, name) {
			lines = append(lines, string(v))
		}
	}
	if lines == nil {
		return directives{}, false
	}
	p := sfParser{rest: strings.Join(lines, ",")}
	members, ok := p.dictionary()
	if !ok || len(members) == 0 {
		return directives{}, false
	}
	for key, value := range members {
		// The parameters of a member say nothing here. A time of another
		// type than an integer is no time, as in Cache-Control.
		switch {
		case value == "?1":
			apply(&d, key, "", false, false)
		case value == "?0":
		case value[0] == '"' && key != "no-cache" && key != "private":
			apply(&d, key, "not an integer", true, false)
		default:
			apply(&d, key, value, true, false)
		}
	}
	return d, true
}

// sfParser reads structured fields (RFC 9651 section 4.2).
type sfParser struct{ rest string }

// dictionary reads a dictionary whole (section 4.2.2). The values come as
// they are spelled, without parameters; a member without a value is ?1. The
// last of several members with one key counts.
func (p *sfParser) dictionary() (map[string]string, bool) {
	members := make(map[string]string)
	p.skip(" ")
	for p.rest != "" {
		key, ok := p.key()
		if !ok {
			return nil, false
		}
		value := "?1"
		if p.take('=') {
			start := p.rest
			if p.peek() == '(' {
				ok = p.innerList()
			} else {
				ok = p.bareItem()
			}
			if !ok {
				return nil, false
			}
			value = start[:len(start)-len(p.rest)]
		}
		if !p.parameters() {
			return nil, false
		}
		members[key] = value
		p.skip(" \t")
		if p.rest == "" {
			return members, true
		}
		if !p.take(',') {
			return nil, false
		}
		p.skip(" \t")
		if p.rest == "" {
			return nil, false
		}
	}
	return members, true
}

func (p *sfParser) peek() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

func (p *sfParser) take(c byte) bool {
	if p.peek() != c || p.rest == "" {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *sfParser) skip(chars string) { p.rest = strings.TrimLeft(p.rest, chars) }

// run takes as many characters as ok allows.
func (p *sfParser) run(ok func(c byte) bool) string {
	n := 0
	for n < len(p.rest) && ok(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// key reads a key (section 4.2.3.3).
func (p *sfParser) key() (string, bool) {
	if c := p.peek(); !isLower(c) && c != '*' {
		return "", false
	}
	return p.run(func(c byte) bool {
		return isLower(c) || isDigit(c) || c == '_' || c == '-' || c == '.' || c == '*'
	}), true
}

// parameters reads parameters and forgets them (section 4.2.3.2).
func (p *sfParser) parameters() bool {
	for p.take(';') {
		p.skip(" ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') && !p.bareItem() {
			return false
		}
	}
	return true
}

// innerList reads an inner list without its parameters (section 4.2.1.2).
func (p *sfParser) innerList() bool {
	if !p.take('(') {
		return false
	}
	for p.rest != "" {
		p.skip(" ")
		if p.take(')') {
			return true
		}
		if !p.bareItem() || !p.parameters() {
			return false
		}
		if c := p.peek(); c != ' ' && c != ')' {
			return false
		}
	}
	return false
}

// bareItem reads an item without its parameters (section 4.2.3.1).
func (p *sfParser) bareItem() bool {
	switch c := p.peek(); {
	case c == '-' || isDigit(c):
		return p.number(true)
	case c == '"':
		return p.string()
	case c == '?':
		p.take('?')
		return p.take('0') || p.take('1')
	case c == ':':
		p.take(':')
		p.run(func(c byte) bool {
			return isLower(lower(c)) || isDigit(c) || c == '+' || c == '/' || c == '='
		})
		return p.take(':')
	case c == '@':
		p.take('@')
		return p.number(false)
	case c == '%':
		p.take('%')
		return p.string()
	case c == '*' || isLower(lower(c)):
		p.run(func(c byte) bool { return c == ':' || c == '/' || isToken([]byte{c}) })
		return true
	}
	return false
}

// number reads an integer, or a decimal where that is allowed (section
// 4.2.4): at most 15 digits, or 12 before the point and 3 after it.
func (p *sfParser) number(decimal bool) bool {
	p.take('-')
	whole := len(p.run(isDigit))
	if whole == 0 || whole > 15 {
		return false
	}
	if !decimal || !p.take('.') {
		return true
	}
	fraction := len(p.run(isDigit))
	return whole <= 12 && 1 <= fraction && fraction <= 3
}

// string reads a string (section 4.2.5), or the quoted part of a display
// string, whose characters are among those of a string.
func (p *sfParser) string() bool {
	if !p.take('"') {
		return false
	}
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == '"':
			return true
		case c == '\\':
			if !p.take('"') && !p.take('\\') {
				return false
			}
		case c < ' ' || c > '~':
			return false
		}
	}
	return false
}
