package main

import (
	"fmt"
	"strings"
)

// summarized are the trials that the README names, in its words.
var summarized = []struct{ trial, text string }{
	{"forward", "known token, forwarded"},
	{"hit", "known token, from the cache"},
	{"tls", "forwarded over TLS"},
	{"new-es256", "every token new (ES256)"},
	{"day", "a mixed day"},
	{"h2", "HTTP/2 over TLS, forwarded"},
}

// summary is the table of the README.
func (r *report) summary() string {
	var b strings.Builder
	b.WriteString("| on one core | µs of CPU | that is |\n|---|--:|---|\n")
	for _, s := range summarized {
		t := r.trial(s.trial)
		if t == nil {
			continue
		}
		var against []string
		first := t.Entrants[0]
		for _, e := range t.Entrants[1:] {
			if e.Name != hopgateOpen {
				against = append(against, fmt.Sprintf("%.2f × %s", median(ratios(first, e, cpu)), e.Name))
			}
		}
		fmt.Fprintf(&b, "| %s | %.1f | %s |\n", s.text, median(first.values(cpu)), strings.Join(against, ", "))
	}
	return b.String()
}
