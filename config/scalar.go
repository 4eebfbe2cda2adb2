package config

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// scalar is the text of one scalar value after substitution, with what is
// needed to find a place in it again in the file.
type scalar struct {
	text string // after substitution

	in       *text     // the file that {file: path} names; nil where the text stands in doc
	doc      *document // where node stands
	node     *node
	segments []segment
	names    []string // what the text came from: ${NAME} and {file: path}, for messages
}

// origin is where a text that is kept came from.
type origin struct {
	doc *document // nil where the text stands in no configuration
	id  int32     // of the node in doc
	put *put      // nil where the text is the node's, as it stands there
}

// put is how a text was put together.
type put struct {
	in       *text // the file that it was taken from whole; nil: segments
	segments []segment
}

// origin gives where the scalar came from.
func (s *scalar) origin() origin {
	switch {
	case s.in != nil:
		return origin{put: &put{in: s.in}}
	case s.node == nil:
		return origin{}
	case s.segments == nil:
		return origin{doc: s.doc, id: s.node.id}
	}
	return origin{doc: s.doc, id: s.node.id, put: &put{segments: s.segments}}
}

// segment is one stretch of a scalar's text: copied from the file as it
// stands there, or put in for a reference.
type segment struct {
	out, raw int // where it begins, after and before substitution
	copied   bool
}

// outside tells whether any of the text came from the environment or from a
// file, so that it must not be shown.
func (s *scalar) outside() bool { return len(s.names) > 0 }

// show describes the text for a message without giving away what came from
// outside.
func (s *scalar) show() string {
	if s.outside() {
		return "what " + strings.Join(s.names, " and ") + " gives"
	}
	if s.node != nil && !s.node.quoted() && s.node.tag != tagString && s.node.tag != tagMerge {
		return s.text
	}
	return quote(s.text)
}

// quote is strconv.Quote for messages: long text is cut.
func quote(s string) string {
	const most = 80
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}

// position gives the place in the file of the byte at offset of the text that
// came from there.
func (o origin) position(text string, offset int) Position {
	offset = min(max(offset, 0), len(text))
	if o.put != nil && o.put.in != nil {
		return o.put.in.position(offset)
	}
	if o.doc == nil {
		return Position{}
	}
	at := segment{copied: true}
	if o.put != nil {
		for _, g := range o.put.segments {
			if g.out > offset {
				break
			}
			at = g
		}
	}
	raw := at.raw
	if at.copied {
		raw += offset - at.out
	}
	return o.doc.text.within(o.doc.node(o.id), raw)
}

// within gives the place in the file of the byte at offset of the node's
// value, before substitution. Where the scalar's text cannot be followed it
// is the place where the scalar begins.
func (t *text) within(n *node, offset int) Position {
	begin := t.afterProperties(t.offset(int(n.line), int(n.column)))
	var places []int
	if n.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		first := t.position(begin).Line // index of the line after the header
		if n.style&yaml.LiteralStyle != 0 {
			places = t.literal(first, n.value)
		} else {
			places = t.folded(first, n.value)
		}
	} else {
		places = t.flow(begin, n)
	}
	if offset < len(places) {
		return t.position(places[offset])
	}
	return t.position(begin)
}

// afterProperties skips the anchor and tag that may stand before a scalar.
func (t *text) afterProperties(at int) int {
	for at < len(t.data) && (t.data[at] == '&' || t.data[at] == '!') {
		for at < len(t.data) && !isBlank(t.data[at]) && breakLen(t.data[at:]) == 0 {
			at++
		}
		for at < len(t.data) {
			if n := breakLen(t.data[at:]); n > 0 {
				at += n
			} else if isBlank(t.data[at]) {
				at++
			} else if t.data[at] == '#' {
				for at < len(t.data) && breakLen(t.data[at:]) == 0 {
					at++
				}
			} else {
				break
			}
		}
	}
	return at
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// flow reads a plain or quoted scalar again and gives, for each byte of its
// value and for its end, the offset in the file; nil where what was read is
// not the value.
func (t *text) flow(at int, n *node) []int {
	var read strings.Builder
	var places []int
	put := func(s string, at int, copied bool) {
		for i := range len(s) {
			if copied {
				places = append(places, at+i)
			} else {
				places = append(places, at)
			}
		}
		read.WriteString(s)
	}
	single, double := n.style&yaml.SingleQuotedStyle != 0, n.style&yaml.DoubleQuotedStyle != 0
	if single || double {
		at++
	}
	for read.Len() < len(n.value) && at < len(t.data) {
		c := t.data[at]
		switch {
		case isBlank(c) || breakLen(t.data[at:]) > 0:
			next, breaks := t.blanks(at)
			switch len(breaks) {
			case 0:
				put(t.data[at:next], at, true)
			case 1: // a single line break is folded into a space
				put(" ", at, false)
			default:
				for _, b := range breaks[1:] {
					put("\n", b, false)
				}
			}
			at = next
		case single && strings.HasPrefix(t.data[at:], "''"):
			put("'", at, false)
			at += 2
		case double && c == '\\':
			if at+1 < len(t.data) && breakLen(t.data[at+1:]) > 0 {
				next, breaks := t.blanks(at + 1)
				for _, b := range breaks[1:] {
					put("\n", b, false)
				}
				at = next
				continue
			}
			s, size := escape(t.data[at:])
			if size == 0 {
				return nil
			}
			put(s, at, false)
			at += size
		default:
			_, size := utf8.DecodeRuneInString(t.data[at:])
			put(t.data[at:at+size], at, true)
			at += size
		}
	}
	if read.String() != n.value {
		return nil
	}
	return append(places, at)
}

// blanks gives the end of the white space at an offset, and its line breaks.
func (t *text) blanks(at int) (end int, breaks []int) {
	for at < len(t.data) {
		if n := breakLen(t.data[at:]); n > 0 {
			breaks = append(breaks, at)
			at += n
		} else if isBlank(t.data[at]) {
			at++
		} else {
			break
		}
	}
	return at, breaks
}

var escapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", '\t': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r", 'e': "\x1b",
	' ': " ", '"': `"`, '/': "/", '\\': `\`, '\'': "'", 'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

// escape reads the escape that s begins with: what it stands for, and its
// length in the file, 0 where it is none.
func escape(s string) (string, int) {
	if len(s) < 2 {
		return "", 0
	}
	if e, ok := escapes[s[1]]; ok {
		return e, 2
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if digits == 0 || len(s) < 2+digits {
		return "", 0
	}
	r, err := strconv.ParseUint(s[2:2+digits], 16, 32)
	if err != nil {
		return "", 0
	}
	return string(rune(r)), 2 + digits
}

// literal finds a literal block scalar: its lines are those of the value,
// each ending as the value's ends.
func (t *text) literal(first int, value string) []int {
	var places []int
	for i, want := range strings.Split(value, "\n") {
		have := t.line(first + i)
		if first+i >= len(t.starts) {
			if want != "" {
				return nil
			}
			return append(places, len(t.data))
		}
		if !strings.HasSuffix(have, want) {
			return nil
		}
		begin := t.starts[first+i] + len(have) - len(want)
		for j := range len(want) + 1 { // the last is the line break
			places = append(places, begin+j)
		}
	}
	return places
}

// folded finds a folded block scalar: the text of each line stands in the
// value, with a space or line breaks between.
func (t *text) folded(first int, value string) []int {
	indent := -1
	var places []int
	end := t.starts[min(first, len(t.starts)-1)]
	for i := first; i < len(t.starts) && len(places) < len(value); i++ {
		have := t.line(i)
		if strings.Trim(have, " ") == "" && (indent < 0 || len(have) <= indent) {
			continue
		}
		if indent < 0 {
			begin := strings.TrimLeft(value, "\n")
			indent = len(have) - len(strings.TrimLeft(have, " ")) - (len(begin) - len(strings.TrimLeft(begin, " ")))
			if indent < 0 {
				return nil
			}
		}
		if len(have) < indent {
			return nil
		}
		have = have[indent:]
		rest := value[len(places):]
		gap := len(rest) - len(strings.TrimLeft(rest, "\n"))
		if gap == 0 && len(places) > 0 && strings.HasPrefix(rest, " ") {
			gap = 1
		}
		if !strings.HasPrefix(rest[gap:], have) {
			return nil
		}
		for range gap {
			places = append(places, end)
		}
		begin := t.starts[i] + indent
		for j := range len(have) {
			places = append(places, begin+j)
		}
		end = begin + len(have)
	}
	for len(places) <= len(value) {
		places = append(places, end)
	}
	return places
}
