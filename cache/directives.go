package cache

import (
	"slices"
	"strings"
	"time"
)

// directives are what a Cache-Control field, or one in its place, says (RFC
// 9111 section 5.2). The directives of requests and of responses are read
// alike; each side looks at its own.
//
// Odd spellings are read in the safe direction. A directive that forbids
// holds in any case, with an argument that it does not take, quoted, and in
// whatever company. A time that is not a whole number of seconds is none at
// all; the shorter of two is taken where a longer one would be riskier.
type directives struct {
	noStore, private, noCache, public bool
	mustRevalidate, proxyRevalidate   bool
	mustUnderstand, onlyIfCached      bool

	// In lower case: no-cache="…" and private="…" (sections 5.2.2.4 and
	// 5.2.2.7). The directives without fields are noCache and private.
	noCacheFields, privateFields []string

	maxAge, sMaxAge                    seconds
	staleWhileRevalidate, staleIfError seconds
	maxStale, minFresh                 seconds
	maxStaleAny                        bool // max-stale without a number
}

// seconds is a delta-seconds argument (RFC 9111 section 1.2.2).
type seconds struct {
	given bool
	time.Duration
}

// The longest time that a directive can give: RFC 9111 section 1.2.2 asks
// for at least 2^31 seconds where the number is too large.
const maxSeconds = 1 << 31

// shortest is the shorter of the two times that are given.
func (s seconds) shortest(other seconds) seconds {
	if !s.given || other.given && other.Duration < s.Duration {
		return other
	}
	return s
}

func (s seconds) longest(other seconds) seconds {
	if !s.given || other.given && other.Duration > s.Duration {
		return other
	}
	return s
}

// parseSeconds reads an argument. One that cannot be understood is 0.
func parseSeconds[T text](argument T) seconds {
	n, _ := parseDigits(unquote(argument))
	return seconds{given: true, Duration: time.Duration(min(n, maxSeconds)) * time.Second}
}

// parse reads a list of directives.
func parse[T text](d *directives, list T) {
	all := members[T]{rest: list}
	for member, ok := all.next(); ok; member, ok = all.next() {
		name, argument := member, member[len(member):]
		hasArgument := false
		for i := range len(member) {
			if member[i] == '=' {
				name, argument, hasArgument = member[:i], member[i+1:], true
				break
			}
			if member[i] == '"' {
				break
			}
		}
		// White space beside the equals sign is not allowed. What forbids
		// holds all the same, what allows does not.
		spaced := len(name) > 0 && isSpace(name[len(name)-1]) || len(argument) > 0 && isSpace(argument[0])
		apply(d, unquote(trim(name)), trim(argument), hasArgument, spaced)
	}
}

func apply[T text](d *directives, name, argument T, hasArgument, spaced bool) {
	delta := func() seconds {
		if spaced {
			return seconds{given: true}
		}
		return parseSeconds(argument)
	}
	switch {
	case equalFold(name, "no-store"):
		d.noStore = true
	case equalFold(name, "no-cache"):
		if fields := fieldNames(argument); fields != nil {
			d.noCacheFields = append(d.noCacheFields, fields...)
		} else {
			d.noCache = true
		}
	case equalFold(name, "private"):
		if fields := fieldNames(argument); fields != nil {
			d.privateFields = append(d.privateFields, fields...)
		} else {
			d.private = true
		}
	case equalFold(name, "public"):
		d.public = d.public || !hasArgument
	case equalFold(name, "must-revalidate"):
		d.mustRevalidate = true
	case equalFold(name, "proxy-revalidate"):
		d.proxyRevalidate = true
	case equalFold(name, "must-understand"):
		d.mustUnderstand = true
	case equalFold(name, "only-if-cached"):
		d.onlyIfCached = true
	case equalFold(name, "max-age"):
		d.maxAge = d.maxAge.shortest(delta())
	case equalFold(name, "s-maxage"):
		d.sMaxAge = d.sMaxAge.shortest(delta())
	case equalFold(name, "stale-while-revalidate"):
		d.staleWhileRevalidate = d.staleWhileRevalidate.shortest(delta())
	case equalFold(name, "stale-if-error"):
		d.staleIfError = d.staleIfError.shortest(delta())
	case equalFold(name, "min-fresh"):
		fresh := delta()
		if _, ok := parseDigits(unquote(argument)); !ok || spaced {
			fresh.Duration = maxSeconds * time.Second
		}
		d.minFresh = d.minFresh.longest(fresh)
	case equalFold(name, "max-stale"):
		if hasArgument {
			d.maxStale = d.maxStale.shortest(delta())
		} else {
			d.maxStaleAny = true
		}
	}
}

// fieldNames reads the argument of no-cache and private: the names, in lower
// case, or nil where it is no list of names between quotes. Then the
// directive holds for the whole answer, which is the stronger meaning.
func fieldNames[T text](argument T) []string {
	if !quoted(argument) {
		return nil
	}
	var names []string
	all := members[T]{rest: unquote(argument)}
	for member, ok := all.next(); ok; member, ok = all.next() {
		if !isToken(member) {
			return nil
		}
		names = append(names, strings.ToLower(string(member)))
	}
	return names
}

// responseDirectives reads what an answer says about caching: the targeted
// field for hopgate, the one for all content delivery networks, or
// Cache-Control (RFC 9213 section 2.2). targeted tells that it was one of the
// first two, so that Expires does not count.
func responseDirectives(a *Answer) (d directives, targeted bool) {
	for _, name := range [...]string{hopgateCacheControl, cdnCacheControl} {
		if d, ok := parseTargeted(a, name); ok {
			return d, true
		}
	}
	return plainDirectives(a), false
}

// plainDirectives reads Cache-Control.
func plainDirectives(a *Answer) (d directives) {
	for i := range a.count {
		if name, value := a.FieldAt(i); equalFold(name, "cache-control") {
			parse(&d, value)
		}
	}
	return d
}

// requestDirectives reads what a request says about caching. Pragma counts
// where there is no Cache-Control (RFC 9111 section 5.4).
func requestDirectives(req Fields) (d directives) {
	value, n := req.Field("cache-control")
	if n > 0 {
		parse(&d, value)
		return d
	}
	if pragma, n := req.Field("pragma"); n > 0 {
		var p directives
		parse(&p, pragma)
		d.noCache = p.noCache
	}
	return d
}

// holdsBack tells whether the field must not be stored with the answer: it
// is for one connection or one hop (RFC 9111 section 3.1), the answer says
// that it is private or needs validation each time (sections 5.2.2.4 and
// 5.2.2.7), or it is written anew when the answer is given (Age).
//
// What is private within a scope of one user is that user's.
func (d *directives) holdsBack(name []byte, personal bool) bool {
	for _, hop := range hopByHop {
		if equalFold(name, hop) {
			return true
		}
	}
	listed := func(names []string) bool {
		return slices.ContainsFunc(names, func(s string) bool { return equalFold(name, s) })
	}
	return listed(d.noCacheFields) || !personal && listed(d.privateFields)
}

var hopByHop = [...]string{
	"age", "connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
	"proxy-authenticate", "proxy-authentication-info", "proxy-authorization",
}
