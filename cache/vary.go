package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// variance is what an answer depends on beside its key: the request fields
// that its Vary lists (RFC 9111 section 4.1).
type variance struct {
	any   bool     // Vary: *, or a list that cannot be understood
	names []string // in lower case, sorted, each once
}

// Most fields that an answer may vary by; one with more is not kept.
const maxVaryNames = 16

// parseVary reads every Vary line of the answer. The scope of an answer that
// is not public stands for its Authorization, which is therefore left out:
// the key already separates the callers, a session token changes every
// minute while its holder does not, and the upstream sees hopgate's own
// credential and not the caller's. In public scope Authorization separates
// like any other field. Cookie always does, since a route may forward some.
func parseVary(a *Answer, public bool) variance {
	var v variance
	for i := range a.count {
		name, list := a.FieldAt(i)
		if !equalFold(name, "vary") {
			continue
		}
		all := members[[]byte]{rest: list}
		for member, ok := all.next(); ok; member, ok = all.next() {
			if !isToken(member) || string(member) == "*" {
				return variance{any: true}
			}
			v.names = append(v.names, strings.ToLower(string(member)))
		}
	}
	// What is encoded depends on what was accepted, said or not.
	if coding, n := a.Field("content-encoding"); n > 0 && !equalFold(coding, "identity") {
		v.names = append(v.names, "accept-encoding")
	}
	slices.Sort(v.names)
	v.names = slices.Compact(v.names)
	if !public {
		v.names = slices.DeleteFunc(v.names, func(name string) bool { return name == "authorization" })
	}
	if len(v.names) > maxVaryNames {
		return variance{any: true}
	}
	return v
}

// appendVariant appends the request's values of the fields that an answer
// varies by, so that two requests have equal bytes if and only if the answer
// to one may be given to the other.
func appendVariant(dst []byte, names []string, req Fields) []byte {
	for _, name := range names {
		value, n := req.Field(name)
		if n == 0 {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		start := len(dst)
		dst = binary.LittleEndian.AppendUint32(dst, 0)
		switch name {
		case "accept", "accept-charset", "accept-language":
			dst = appendPreferences(dst, value, false)
		case "accept-encoding":
			// Whichever of several codings a server takes first, whoever
			// lists them all can read it.
			dst = appendPreferences(dst, value, true)
		case "authorization", "cookie":
			// What is compared for a cached answer's life holds no credential.
			sum := sha256.Sum256([]byte(value))
			dst = append(dst, sum[:]...)
		default:
			dst = append(dst, trim(value)...)
		}
		binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	}
	return dst
}

// appendPreferences appends a list of preferences (RFC 9110 section 12.5) in
// one of the spellings that mean the same: no white space, lower case up to
// the parameters, no empty members, and by weight. Among those of the same
// weight the order stays, unless by name: it means nothing, but many servers
// take the first.
func appendPreferences(dst []byte, list string, byName bool) []byte {
	var room [16]string
	members := room[:0]
	for len(list) > 0 {
		member, rest, _ := strings.Cut(list, ",")
		list = rest
		if member = trim(member); member != "" {
			members = append(members, member)
		}
	}
	slices.SortStableFunc(members, func(a, b string) int {
		if c := compareFold(weight(b), weight(a)); c != 0 || !byName {
			return c
		}
		return compareFold(a, b)
	})
	for _, member := range members {
		dst = appendPreference(dst, member)
		dst = append(dst, ',')
	}
	return dst
}

// weight gives the weight of a member as plainWeight writes it, which sorts
// as text: 0 < 0.5 < 1.
func weight(member string) string {
	for {
		_, parameters, more := strings.Cut(member, ";")
		if !more {
			return "1"
		}
		parameter, _, _ := strings.Cut(parameters, ";")
		name, argument, _ := strings.Cut(parameter, "=")
		if equalFold(trim(name), "q") {
			return plainWeight(trim(argument))
		}
		member = parameters
	}
}

func appendPreference(dst []byte, member string) []byte {
	value, parameters, _ := strings.Cut(member, ";")
	for _, c := range []byte(trim(value)) {
		dst = append(dst, lower(c))
	}
	for parameters != "" {
		var parameter string
		parameter, parameters, _ = strings.Cut(parameters, ";")
		name, argument, _ := strings.Cut(parameter, "=")
		name, argument = trim(name), trim(argument)
		if equalFold(name, "q") {
			argument = plainWeight(argument)
			if argument == "1" {
				continue
			}
			name = "q"
		}
		dst = append(dst, ';')
		dst = append(dst, name...)
		dst = append(dst, '=')
		dst = append(dst, argument...)
	}
	return dst
}

// plainWeight writes a weight without trailing zeros (RFC 9110 section
// 12.4.2): 1.000 and 1 are 1, 0.50 is 0.5.
func plainWeight(q string) string {
	if strings.Contains(q, ".") {
		q = strings.TrimRight(q, "0")
		q = strings.TrimSuffix(q, ".")
	}
	return q
}

func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}
