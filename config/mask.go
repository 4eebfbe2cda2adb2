package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// hidden is text that no message may show, and what is written in its place.
type hidden struct{ text, label string }

// anywhere is the length from which hidden text is looked for everywhere in
// a message. Shorter text, which words and numbers of the message itself
// would contain by chance, is hidden where it is quoted.
const anywhere = 4

// hide keeps text out of every message that is recorded from now on.
func (e *Errors) hide(text, label string) {
	add := func(s string) {
		if s != "" {
			e.hidden = append(e.hidden, hidden{s, label})
		}
	}
	add(text)
	add(strings.TrimSpace(text))
	if q := strconv.Quote(text); q[1:len(q)-1] != text {
		add(q[1 : len(q)-1])
	}
	if strings.Contains(text, "\n") {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); len(line) >= 2*anywhere {
				add(line)
			}
		}
	}
	// The longest first: a part must not be replaced before the whole.
	slices.SortStableFunc(e.hidden, func(a, b hidden) int { return cmp.Compare(len(b.text), len(a.text)) })
	e.hidden = slices.Compact(e.hidden)
}

// mask takes hidden text out of a message.
func (e *Errors) mask(message string) string {
	for _, h := range e.hidden {
		if len(h.text) >= anywhere {
			message = strings.ReplaceAll(message, h.text, h.label)
		} else {
			message = strings.ReplaceAll(message, `"`+h.text+`"`, h.label)
		}
	}
	return message
}
