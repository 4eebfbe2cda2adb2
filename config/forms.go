package config

import (
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// isToken tells whether a text is a token of RFC 9110 section 5.6.2, as
// methods, field names and cookie names are.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

// isFieldValue tells whether a text can be sent as a field's value (RFC 9110
// section 5.5).
func isFieldValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == strings.Trim(s, " \t")
}

// framing lists the fields that say how a message is transferred, which
// hopgate writes itself: in lower case.
var framing = []string{
	"connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate",
	"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

func isFraming(name string) bool { return slices.Contains(framing, strings.ToLower(name)) }

const (
	letters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	wordSet  = letters + "0123456789_"
	labelSet = wordSet + "-"
)

// isHostName tells whether a text is labels with dots between, and perhaps one
// at the end.
func isHostName(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || strings.Trim(label, labelSet) != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// isName tells whether a text is a name as the file gives them: letters,
// digits, dots, - and _, at most 64 of them, a letter or digit first.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, labelSet+".") == "" && strings.IndexByte("._-", s[0]) < 0
}

// isRuleName tells whether a text can stand in an expression as rules.NAME.
func isRuleName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, wordSet) == "" && (s[0] < '0' || s[0] > '9')
}

// isHost tells whether a text is a host name or an address, an IPv6 address
// in brackets.
func isHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		return ok && err == nil && a.Is6()
	}
	return len(s) <= 253 && isHostName(s)
}

// isHostPort is isHost with an optional port.
func isHostPort(s string) bool {
	host, port, ok := cutPort(s)
	return isHost(host) && (!ok || isPort(port, 1))
}

// cutPort takes the port off a host.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func isPort(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535 && isDecimal(s)
}

// isLoopback tells whether a URL's host is this machine.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// addressProblem says what is wrong with an address to listen on, or "".
func addressProblem(s string) string {
	const right = "it should be host:port, :port, or unix:/path"
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return right
		}
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if isPort(s, 0) {
			return "it should have a colon before the port: \":" + s + "\""
		}
		return right
	}
	if !isPort(port, 0) {
		return "its port should be a number from 0 to 65535"
	}
	if host != "" && !isHost(host) {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return right
		}
	}
	return ""
}

// endpointProblem says what is wrong with an upstream's address, or "".
func endpointProblem(s string) string {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !strings.HasPrefix(path, "/") && path == "" {
			return "it should have a path: unix:/path"
		}
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return "it should be https://host[:port], http://host[:port], or unix:/path"
	case u.User != nil:
		return "it should have no user or password; put a credential in secret"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return "it should have no query and no fragment; a route's request.query sets parameters"
	case !isHostPort(u.Host):
		return "its host should be a name or an address, with a port from 1 to 65535 if any"
	case strings.HasSuffix(u.Path, "/"):
		return "it should not end in /, since every forwarded path begins with one"
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(u.EscapedPath(), "/"), "/") {
		if segment == "." || segment == ".." || segment == "" && u.Path != "" {
			return "its path should have no empty, . or .. segment"
		}
	}
	return ""
}

// originProblem says what is wrong with an origin (RFC 6454 section 6.1), or
// "". A label may be *.
func originProblem(s string) string {
	const right = "it should be an origin such as https://app.example.com: scheme, host and port alone"
	if s == "*" {
		return ""
	}
	if s == "null" {
		return "null is what any sandboxed or local page sends; it should be an origin such as https://app.example.com"
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !isToken(scheme) || strings.Contains(scheme, "*") || rest == "" {
		return right
	}
	if host := strings.TrimRight(rest, "/"); host != rest && isHostPort(strings.ReplaceAll(host, "*", "x")) {
		return "an origin has no / at its end"
	}
	if s != strings.ToLower(s) {
		return "browsers send origins in lower case; it should be written so"
	}
	host, port, hasPort := cutPort(rest)
	labels := strings.Split(host, ".")
	for i, l := range labels {
		if l == "*" {
			labels[i] = "x"
			// *.com would be everybody's.
			if len(labels)-i < 3 && (i+1 >= len(labels) || labels[i+1] != "localhost") {
				return "a * should stand before at least two further labels, as in https://*.example.com"
			}
		}
	}
	if !isHost(strings.Join(labels, ".")) {
		return right
	}
	if hasPort {
		switch {
		case !isPort(port, 1):
			return right
		case scheme == "https" && port == "443", scheme == "http" && port == "80":
			return "browsers leave out the scheme's own port; it should be written without :" + port
		}
	}
	return ""
}

// hostPatternProblem says what is wrong with a route's host, or "".
func hostPatternProblem(s string) string {
	if strings.Contains(s, "://") || strings.Contains(s, "/") {
		return "it should be a host name alone, without scheme and path"
	}
	name, _, hasPort := cutPort(s)
	if hasPort && isHost(strings.TrimPrefix(name, "*.")) {
		return "it should have no port"
	}
	if !isHost(strings.TrimPrefix(s, "*.")) {
		return "it should be a host name such as api.example.com, or *.example.com for one label"
	}
	return ""
}
