package config

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// text is the text of one file with an index of its lines, to turn places in
// it into positions. Lines end where YAML 1.1 ends them, since that is how
// the parser counts.
type text struct {
	name   string
	data   string
	starts []int // byte offset of each line's first character
}

func newText(name, data string) *text {
	t := &text{name: name, data: data, starts: []int{0}}
	for i := 0; i < len(data); {
		if n := breakLen(data[i:]); n > 0 {
			i += n
			t.starts = append(t.starts, i)
			continue
		}
		i++
	}
	return t
}

// breakLen gives the length of the line break that s begins with, or 0.
func breakLen(s string) int {
	switch {
	case s == "":
		return 0
	case strings.HasPrefix(s, "\r\n"):
		return 2
	case s[0] == '\n', s[0] == '\r':
		return 1
	case strings.HasPrefix(s, "\u0085"):
		return 2
	case strings.HasPrefix(s, "\u2028"), strings.HasPrefix(s, "\u2029"):
		return 3
	}
	return 0
}

// line gives line i, counted from 0, without its break; "" where there is
// none.
func (t *text) line(i int) string {
	if i < 0 || i >= len(t.starts) {
		return ""
	}
	s := t.data[t.starts[i]:]
	for j := range len(s) {
		if breakLen(s[j:]) > 0 {
			return s[:j]
		}
	}
	return s
}

// offset gives the byte offset of a line and column, both counted from 1,
// the column in code points.
func (t *text) offset(line, column int) int {
	if line < 1 || line > len(t.starts) {
		return len(t.data)
	}
	at := t.starts[line-1]
	for range column - 1 {
		if at >= len(t.data) {
			break
		}
		_, n := utf8.DecodeRuneInString(t.data[at:])
		at += n
	}
	return at
}

// position is the reverse of offset.
func (t *text) position(offset int) Position {
	offset = min(max(offset, 0), len(t.data))
	line := sort.SearchInts(t.starts, offset+1)
	return Position{File: t.name, Line: line, Column: utf8.RuneCountInString(t.data[t.starts[line-1]:offset]) + 1}
}
