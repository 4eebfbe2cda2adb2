package config

import (
	"fmt"
	"strings"
	"testing"
)

// Each case holds one rule whose text has a ^ before the characters that are
// looked for; the file position of each must be where the same character
// stands in the file.
func TestPositionsInScalars(t *testing.T) {
	for name, file := range map[string]string{
		"plain":                      "rules:\n  r: a ^b && ^c\n",
		"plain, wide characters":     "rules:\n  r: é == ü.^b && ^c\n",
		"plain after key and spaces": "rules: {r:    a ^b, s: x}\n",
		"plain, anchor and tag":      "rules:\n  r: &anchor !!str a ^b\n",
		"anchor on its own line":     "rules:\n  r: &anchor # why\n    # not\n    a ^b\n",
		"plain, folded":              "rules:\n  r: a &&\n    ^b &&\n\n    ^c\n",
		"single quotes":              "rules:\n  r: 'a ^b ''x'' ^c'\n",
		"single quotes, folded":      "rules:\n  r: 'a ^b\n      ^c\n\n\n     ^d'\n",
		"double quotes":              "rules:\n  r: \"a == \\\"x\\\" && ^b \\u00e9 \\x41 \\U0001F600 ^c \\t ^d\"\n",
		"double quotes, continued":   "rules:\n  r: \"a ^b \\\n      ^c\n      ^d\\\n\n   ^e\"\n",
		"literal":                    "rules:\n  r: |\n    a ^b\n      ^c\n\n    ^d\n",
		"literal, header comment":    "rules:\n  r: |- # why\n    a ^b\n    ^c\n",
		"literal, indent indicator":  "rules:\n  r: |2\n      a ^b\n    ^c\n",
		"literal after blank lines":  "rules:\n  r: |\n\n\n    a ^b\n",
		"literal, CRLF":              "rules:\r\n  r: |\r\n    a ^b\r\n    ^c\r\n",
		"folded":                     "rules:\n  r: >\n    a ^b\n    ^c\n\n    ^d\n      ^e\n      ^f\n    ^g\n",
		"folded, strip":              "rules:\n  r: >-\n    a ^b &&\n    ^c\n",
		"folded, indent indicator":   "rules:\n  r: >2-\n      a ^b\n    ^c\n",
		"folded, trailing blanks":    "rules:\n  r: >\n    a ^b  \n    ^c \n",
		"plain, CRLF and folded":     "rules:\r\n  r: a ^b &&\r\n     ^c\r\n",
		"byte order mark":            "\ufeffrules: {r: a ^b}\n",
		"with a reference":           "rules:\n  r: a ^b == ${LONG} && ^c || ${NONE:-x} ^d $${ ^e\n",
		"reference in double quotes": "rules:\n  r: \"a ^b\\t${LONG} \\\"^c\"\n",
		"alias":                      "rules:\n  s: &x a ^b\n  r: *x\n",
		"literal at the end":         "rules:\n  r: |-\n    a\n    ^b",
	} {
		t.Run(name, func(t *testing.T) {
			want := make(map[byte]string)
			line, column := 1, 1
			var plain strings.Builder
			marked := false
			bom := ""
			if rest, ok := strings.CutPrefix(file, "\ufeff"); ok {
				bom, file = "\ufeff", rest
			}
			for _, c := range file {
				if c == '^' {
					marked = true
					continue
				}
				if marked {
					want[byte(c)] = fmt.Sprintf("f.yaml:%d:%d", line, column)
					marked = false
				}
				plain.WriteRune(c)
				column++
				if c == '\n' {
					line, column = line+1, 1
				}
			}
			cfg, _ := Parse("f.yaml", []byte(bom+plain.String()), func(name string) (string, bool) {
				return "from\nenvironment", name == "LONG"
			})
			r := cfg.Rules["r"]
			for c, pos := range want {
				at := strings.LastIndexByte(r.Text, c)
				if at < 0 {
					t.Fatalf("%q is not in %q", c, r.Text)
				}
				before := r.Text[:at]
				line := strings.Count(before, "\n") + 1
				column := len([]rune(before[strings.LastIndex(before, "\n")+1:]))
				if got := r.Pos(line, column).String(); got != pos {
					t.Errorf("Expr: %q of %q is at %s, want %s", c, r.Text, got, pos)
				}
				template := Template(r)
				if got := template.Pos(at).String(); got != pos {
					t.Errorf("Template: %q of %q is at %s, want %s", c, r.Text, got, pos)
				}
			}
			if r.Pos(1000, 1000).Line == 0 || r.Pos(1, 0).Line == 0 {
				t.Error("a place beyond the text has no position")
			}
		})
	}
}
