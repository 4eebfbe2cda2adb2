package policy

import (
	"fmt"
	"slices"
	"strings"
)

// pattern is a path template: segments that are literal or a parameter.
type pattern struct {
	segments []segment
	params   []string // names, in the order of the segments
}

type kind uint8

const (
	literal kind = iota // this text, byte for byte
	single              // {name}: one segment, not empty
	rest                // {name...}: everything that is left, one byte or more
)

type segment struct {
	kind kind
	text string // the literal's text, or the parameter's name
}

// reserved are words that can't be selected in CEL.
var reserved = []string{
	"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
	"let", "loop", "package", "namespace", "return", "var", "void", "while",
}

// parsePattern reads
//
//	template = 1*( "/" segment )
//	segment  = literal / "{" name "}" / "{" name "...}"
//
// where a literal is in the canonical form that requests must have, and
// {name...} stands at the end. The fault says what was found and what would
// be right.
func parsePattern(template string) (*pattern, string) {
	if template == "" || template[0] != '/' {
		return nil, "the path template should start with a slash: /" + template
	}
	parts := strings.Split(template[1:], "/")
	p := &pattern{segments: make([]segment, 0, len(parts))}
	for i, part := range parts {
		last := i == len(parts)-1
		if !strings.ContainsAny(part, "{}") {
			if part == "" && !last {
				return nil, "the path template has an empty segment; requests with // in their path are refused, so leave one slash out"
			}
			if fault := segmentFault(part); fault != "" {
				return nil, fmt.Sprintf("segment %s of the path template matches no request: %s", part, fault)
			}
			p.segments = append(p.segments, segment{literal, part})
			continue
		}
		name, ok := strings.CutPrefix(part, "{")
		if ok {
			name, ok = strings.CutSuffix(name, "}")
		}
		if !ok || strings.ContainsAny(name, "{}") {
			return nil, fmt.Sprintf("segment %s mixes text and a parameter; a segment is either literal text or one {name}", part)
		}
		k := single
		if strings.HasSuffix(name, "...") {
			k, name = rest, strings.TrimSuffix(name, "...")
			if !last {
				return nil, fmt.Sprintf("{%s...} stands for the rest of the path, so it has to be the last segment; {%s} is one segment", name, name)
			}
		}
		switch {
		case !isIdentifier(name):
			return nil, fmt.Sprintf("the parameter's name %q should be letters, digits and _, such as {user_id}", name)
		case slices.Contains(reserved, name):
			return nil, fmt.Sprintf("the parameter's name %s is a word of the expression language; choose another, such as {%s_id}", name, name)
		case slices.Contains(p.params, name):
			return nil, fmt.Sprintf("the path template has the parameter %s twice; give each its own name", name)
		}
		p.segments = append(p.segments, segment{k, name})
		p.params = append(p.params, name)
	}
	return p, ""
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		if class[s[i]]&identifier == 0 {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}
