package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// PathError is a fault in a path.
type PathError struct {
	List   string // which list the path is in: remove or keep
	Index  int    // its place there, from 0
	Path   string
	Column int    // where in the path, in characters from 1
	Text   string // what was found; what would be right
}

func (e *PathError) Error() string {
	return fmt.Sprintf("path %s, column %d: %s", e.Path, e.Column, e.Text)
}

// special are the characters that a name outside quotes cannot have.
const special = ".[]\"\\"

// parsePath reads
//
//	path = [ 1*"[]" "." ] name *( *"[]" "." name )
//	name = bare / JSON string
//
// and gives the names.
func parsePath(path string) ([]string, *PathError) {
	fault := func(at int, format string, args ...any) ([]string, *PathError) {
		return nil, &PathError{Path: path, Column: utf8.RuneCountInString(path[:at]) + 1, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case path == "":
		return fault(0, "the path is empty; write the names of members separated by dots, for example user.email")
	case !utf8.ValidString(path):
		return fault(0, "the path is not UTF-8")
	case strings.HasPrefix(path, "$"):
		return fault(0, "a path starts at the document itself; leave out $ and write names separated by dots, or write the name as \"$...\"")
	case strings.HasPrefix(path, "/"):
		return fault(0, "names are separated by dots: user.email; a name that starts with a slash is written as \"/...\"")
	}
	var names []string
	i := 0
	for {
		brackets := i
		for strings.HasPrefix(path[i:], "[") {
			if !strings.HasPrefix(path[i:], "[]") {
				return fault(i, "%s stands for every element of an array; there are no indexes", "[]")
			}
			i += 2
		}
		switch {
		case i == len(path) && i > brackets:
			return fault(brackets, "a path ends with the name of a member; leave out the last [] to mean the whole array")
		case i == len(path):
			return names, nil
		case path[i] == '.' && i > 0:
			i++
		case i == 0: // the first name
		default:
			return fault(i, "a dot should be here, before the next name")
		}
		start := i
		name, n, text := parseName(path[i:])
		if text != "" {
			return fault(start+n, "%s", text)
		}
		names = append(names, name)
		i += n
	}
}

// parseName reads a name at the start of s: its text, and how long it is. A
// fault is told by what should be there, and n is where.
func parseName(s string) (name string, n int, fault string) {
	if strings.HasPrefix(s, `"`) {
		for n = 1; ; n++ {
			if n >= len(s) {
				return "", 0, "the quoted name has no closing quote"
			}
			if s[n] == '\\' {
				n++
			} else if s[n] == '"' {
				break
			}
		}
		n++
		if err := json.Unmarshal([]byte(s[:n]), &name); err != nil {
			return "", 0, "the quoted name is not a JSON string: " + err.Error()
		}
		return name, n, ""
	}
	for n < len(s) && strings.IndexByte(special, s[n]) < 0 && s[n] > ' ' && s[n] != 0x7f {
		n++
	}
	name = s[:n]
	switch {
	case n < len(s) && s[n] != '.' && s[n] != '[':
		return "", n, "a name with a dot, a bracket, a quote, a backslash or white space is written as a JSON string: \"a.b\""
	case n == 0:
		return "", n, "a name is missing; names are separated by single dots"
	case name == "*" || name == "**":
		return "", 0, "names are exact, there are no wildcards; every element of an array is NAME[], and a member of this name is \"" + name + "\""
	}
	return name, n, ""
}
