package policy

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

var (
	unread     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^token recognition error at: '(.*)'$`) })
	unexpected = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:mismatched|extraneous) input '(.*)' expecting `) })
	unfit      = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	})
)

// The words and signs of other languages, and what CEL has instead.
var elsewhere = map[string]string{
	"=": "==", "&": "&&", "|": "||", "and": "&&", "or": "||", "not": "!", "===": "==", "<>": "!=",
}

// complaint says in plain words what CEL's parser and checker say in those of
// their grammar.
func complaint(message string) string {
	if m := unread().FindStringSubmatch(message); m != nil {
		sign := strings.TrimSpace(m[1])
		switch {
		case elsewhere[sign] != "":
			return sign + " is not used here; it should be " + elsewhere[sign]
		case strings.HasPrefix(sign, "'") || strings.HasPrefix(sign, `"`):
			return "a text begins here and has no end; it should be closed by " + sign[:1]
		}
		return sign + " has no meaning here"
	}
	if m := unexpected().FindStringSubmatch(message); m != nil {
		switch {
		case m[1] == "<EOF>":
			return "the expression ends too early: something is missing here, or a bracket is not closed"
		case elsewhere[m[1]] != "":
			return m[1] + " is not used here; it should be " + elsewhere[m[1]]
		}
		return m[1] + " is not expected here; something before it is missing, such as && or ||"
	}
	if m := unfit().FindStringSubmatch(message); m != nil {
		name, types := m[1], strings.TrimSuffix(strings.TrimPrefix(m[2], "("), ")")
		sign := strings.Trim(name, "_")
		if slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, sign) {
			return sign + " compares values of one type; here are " + strings.Replace(types, ", ", " and ", 1)
		}
		return sign + " is not for values of these types: " + types
	}
	return message
}
