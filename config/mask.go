package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// hidden is text that no message may show, and what is written in its place.
type hidden struct{ text, label string }

const (
	// shortText is the length up to which hidden text is hidden only where it
	// is a whole argument of a message: words and numbers would contain it by
	// chance.
	shortText = 3
	// longText is the length from which no message contains hidden text by
	// chance, so that the whole message is searched.
	longText = 8
)

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
			if line = strings.TrimSpace(line); len(line) >= longText {
				add(line)
			}
		}
	}
	// The longest first: a part must not be replaced before the whole.
	slices.SortStableFunc(e.hidden, func(a, b hidden) int {
		return cmp.Or(cmp.Compare(len(b.text), len(a.text)), cmp.Compare(a.text, b.text))
	})
	e.hidden = slices.Compact(e.hidden)
}

// message formats a message without what is hidden. Arguments are searched
// rather than the whole, so that the message's own words stay.
func (e *Errors) message(format string, args []any) string {
	if len(e.hidden) == 0 {
		return fmt.Sprintf(format, args...)
	}
	masked := make([]any, len(args))
	for i, a := range args {
		masked[i] = e.argument(a)
	}
	return e.mask(fmt.Sprintf(format, masked...), longText)
}

func (e *Errors) argument(a any) any {
	switch a := a.(type) {
	case string:
		return e.mask(a, shortText+1)
	case []byte:
		return []byte(e.mask(string(a), shortText+1))
	case []string:
		list := make([]string, len(a))
		for i, s := range a {
			list[i] = e.mask(s, shortText+1)
		}
		return list
	case error:
		return errors.New(e.mask(a.Error(), shortText+1))
	case fmt.Stringer:
		if text := a.String(); e.mask(text, shortText+1) != text {
			return e.mask(text, shortText+1)
		}
	}
	return a
}

// mask replaces hidden text of at least some length, and the text as a whole
// whatever its length.
func (e *Errors) mask(text string, least int) string {
	for _, h := range e.hidden {
		switch {
		case text == h.text:
			return h.label
		case len(h.text) >= least:
			text = strings.ReplaceAll(text, h.text, h.label)
		}
	}
	return text
}
