package proxy

import "strings"

var nameCacheControl = []byte("Cache-Control")

// appendPrivate writes the Cache-Control of an answer that was made for one
// caller, from what the upstream said. Whatever that was, no shared cache in
// front may keep the answer (RFC 9111 section 5.2.2.7): public, s-maxage and
// the like are dropped and private is added. What hopgate itself keeps fresh
// must not be kept for a second time by the browser, so there it says
// no-cache.
func appendPrivate(b []byte, said string, cached bool) []byte {
	b = append(b, "private"...)
	kept := false
	for rest := said; rest != ""; {
		var directive string
		directive, rest = nextDirective(rest)
		name, _, _ := strings.Cut(directive, "=")
		name = trimOWS(name)
		switch {
		case name == "" || sharedOnly(name):
			continue
		case cached && !equalName(name, "no-store"):
			continue
		}
		kept = true
		b = append(append(b, ", "...), directive...)
	}
	if !kept {
		b = append(b, ", no-cache"...)
	}
	return b
}

// nextDirective takes the first element of a list whose elements may have
// quoted parts.
func nextDirective(s string) (directive, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return trimOWS(s[:i]), s[i+1:]
		}
	}
	if quoted {
		return "", "" // no end: nobody can tell what it says
	}
	return trimOWS(s), ""
}

// sharedOnly tells whether a directive speaks to shared caches only, or is
// written anew.
func sharedOnly(name string) bool {
	for _, n := range [...]string{"public", "private", "s-maxage", "proxy-revalidate"} {
		if equalName(name, n) {
			return true
		}
	}
	return false
}

// forHopgate speaks to hopgate's cache alone.
const forHopgate = "hopgate-cache-control"

// forCaches are response fields that speak to caches in front of hopgate. An
// answer that was made for one caller is none of theirs.
var forCaches = []string{
	"surrogate-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "vercel-cdn-cache-control",
	"netlify-cdn-cache-control", "akamai-cache-control", "edge-control", "x-accel-expires",
	"cache-tag", "surrogate-key",
}

// forServers are response fields by which an upstream commands a server in
// front of it. Whoever stands before hopgate does not take such commands
// from behind it.
var forServers = []string{
	"x-accel-redirect", "x-accel-buffering", "x-accel-limit-rate", "x-accel-charset", "x-sendfile", "x-lighttpd-send-file",
	"x-reproxy-url", "trailer", "alt-svc", "strict-transport-security",
}
