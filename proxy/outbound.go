package proxy

import (
	"net/netip"
	"slices"
	"strings"

	"hopgate/cache"
	"hopgate/config"
)

// The request that goes upstream is a fresh one: what of the client's fields
// may pass is copied, one by one, and nothing that names an identity, frames
// a message or belongs to a connection is among it.

// neverForwarded are fields that a client's request never passes on, in
// small letters with - for _.
var neverForwarded = []string{
	// Hop-by-hop fields (RFC 9110 section 7.6.1) and framing.
	"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-length", "host", "expect", "http2-settings", "max-forwards",
	// Credentials: the caller's end here, the upstream's are added.
	"authorization", "proxy-authorization", "proxy-authenticate", "cookie",
	// Where the request came from: hopgate writes these itself.
	"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
	"x-forwarded-prefix", "x-forwarded-server", "x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-by",
	"x-forwarded-path", "x-forwarded-uri", "x-forwarded-method", "x-forwarded-user", "x-forwarded-email",
	"x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token",
	"x-forwarded-client-cert", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip",
	"cf-connecting-ip", "fastly-client-ip", "fly-client-ip", "x-envoy-external-address",
	"x-original-forwarded-for", "x-original-host", "x-host", "front-end-https", "client-ip",
	// Ways to change method or path behind the policy's back.
	"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
	"x-original-uri", "x-original-method", "x-envoy-original-path",
	// Cross-origin access is settled here.
	"access-control-request-method", "access-control-request-headers", "access-control-request-private-network",
}

// conditional are the fields that ask for less than the whole answer. They
// do not go upstream where hopgate must hold the whole answer to store or
// filter it.
//
// With a method that may change something those that ask for a part alone
// are held back: a precondition is what the change hangs on.
var (
	conditional = []string{"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"}
	partial     = []string{"if-range", "range"}
)

const acceptEncoding = "accept-encoding"

// forwards tells whether a client's field goes upstream with that method;
// kept, whether it does where the answer may be kept for others.
//
// There the rules differ. By an operator's time it is not the upstream that
// says what parts two answers, so that of the fields that are not in the key
// only those pass by which answers are negotiated: who shares an answer must
// not be able to shape it. Where the upstream says how long an answer may be
// kept, it also says by Vary what it depends on (RFC 9111 section 4.1), and
// all pass but those that name an identity or ask for less than everything,
// and those with a _: CGI-style backends take them for a field with -, which
// their Vary names, and an answer by the one would be given for the other.
func (rt *route) forwards(name, method string, kept bool) bool {
	switch {
	case kept:
	case cache.Unsafe(method):
		return !rt.drop.has(name)
	default:
		return !rt.dropRead.has(name)
	}
	if rt.dropKept.has(name) {
		return false
	}
	if !rt.shared || negotiation(name) || listedIn(rt.Config.Cache.VaryOn, name) {
		return true
	}
	return rt.cacheRule.Origin && strings.IndexByte(name, '_') < 0
}

// negotiation tells whether a request field is one by which an answer is
// negotiated, and that upstreams name in Vary.
func negotiation(name string) bool {
	switch len(name) {
	case len("Accept"):
		return equalFold(name, "Accept")
	case len("Accept-Language"):
		return equalFold(name, "Accept-Language")
	}
	return false
}

// dropSet is a set of field names that are compared without regard to case
// and to _ and -. Most names are none of it, which length and first letter
// tell.
type dropSet struct {
	initials [longestName + 1]uint32
	names    [longestName + 1][]string // by length, with - for _
	longer   []string
}

// longestName bounds the names that are told by their length, in bytes.
const longestName = 64

func newDropSet(lists ...[]string) *dropSet {
	d := new(dropSet)
	for _, names := range lists {
		d.add(names...)
	}
	return d
}

func (d *dropSet) add(names ...string) {
	for _, n := range names {
		switch {
		case d.has(n):
		case len(n) > longestName:
			d.longer = append(d.longer, loosened(n))
		case n != "":
			d.initials[len(n)] |= initial(n)
			d.names[len(n)] = append(d.names[len(n)], loosened(n))
		}
	}
}

func (d *dropSet) clone() *dropSet {
	c := *d
	for i := range c.names {
		c.names[i] = slices.Clone(c.names[i])
	}
	c.longer = slices.Clone(c.longer)
	return &c
}

func initial(name string) uint32 { return 1 << (loose[name[0]] & 31) }

func loosened(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = loose[c]
	}
	return string(b)
}

// has tells whether a field is in the set, without allocating.
func (d *dropSet) has(name string) bool {
	candidates := d.longer
	if n := len(name); n <= longestName {
		if n == 0 || d.initials[n]&initial(name) == 0 {
			return false
		}
		candidates = d.names[n]
	}
	for _, c := range candidates {
		if sameField(name, c) {
			return true
		}
	}
	return false
}

// joined gives the value of a list field that may stand on several lines
// (RFC 9110 section 5.3).
func (h header) joined(name string) string {
	var values []string
	for i := range h {
		if equalName(h[i].name, name) {
			values = append(values, h[i].value)
		}
	}
	return strings.Join(values, ", ")
}

// has tells whether there is a line of that name.
func (h header) has(name string) bool {
	_, n := h.Field(name)
	return n > 0
}

// endToEnd takes out, in place, the fields that Connection makes those of the
// connection (RFC 9110 section 7.6.1): they end here. It is done once and
// first, so that rules, cache keys and what goes upstream are of one reading.
// Upgrade stays: it is looked at, and never forwarded.
func (h header) endToEnd() header {
	if !h.namesFields() {
		return h
	}
	options := slices.DeleteFunc(slices.Clone(h), func(f field) bool { return !equalName(f.name, "Connection") })
	return slices.DeleteFunc(h, func(f field) bool {
		return options.listed(f.name) && !equalName(f.name, "Upgrade")
	})
}

// namesFields tells whether Connection lists anything but what most clients
// send.
func (h header) namesFields() bool {
	for i := range h {
		if !equalName(h[i].name, "Connection") {
			continue
		}
		for rest := h[i].value; rest != ""; {
			var option string
			option, rest, _ = strings.Cut(rest, ",")
			if option = trimOWS(option); option != "" && !equalName(option, "keep-alive") && !equalName(option, "close") && !equalName(option, "upgrade") {
				return true
			}
		}
	}
	return false
}

// aliases are the names of the fields that a route decides by. What differs
// from one of them by _ and - alone is another field to hopgate, and the same
// to CGI-style backends.
type aliases []string

// without takes out, in place, the fields that a backend could take for one
// that the route decides by.
func (h header) without(names aliases) header {
	if len(names) == 0 {
		return h
	}
	return slices.DeleteFunc(h, func(f field) bool { return names.mistakable(f.name) })
}

// mistakable tells whether a name is none of these, and looks like one.
func (a aliases) mistakable(name string) bool {
	found := false
	for _, n := range a {
		if equalName(n, name) {
			return false
		}
		found = found || sameField(n, name)
	}
	return found
}

// listed tells whether a Connection field names another field, which makes
// that one hop-by-hop (RFC 9110 section 7.6.1).
func (h header) listed(name string) bool {
	for i := range h {
		if !equalName(h[i].name, "Connection") {
			continue
		}
		rest := h[i].value
		for rest != "" {
			var option string
			option, rest, _ = strings.Cut(rest, ",")
			option = trimOWS(option)
			if equalName(option, name) {
				return true
			}
		}
	}
	return false
}

// appendCookies writes the pairs of the client's cookies that names allow.
func appendCookies(dst []byte, h header, names []string) []byte {
	if len(names) == 0 {
		return dst
	}
	start := len(dst)
	for i := range h {
		if !equalName(h[i].name, "Cookie") {
			continue
		}
		rest := h[i].value
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			pair = trimOWS(pair)
			name, _, _ := strings.Cut(pair, "=")
			for _, n := range names {
				if name == n {
					if len(dst) > start {
						dst = append(dst, "; "...)
					}
					dst = append(dst, pair...)
					break
				}
			}
		}
	}
	return dst
}

// clientAddress finds the address of the client (not of the proxies in
// front) from the peer and, where the peer is a trusted proxy, from
// X-Forwarded-For or else Forwarded (RFC 7239): the rightmost address that
// is not itself a trusted proxy's. A chain that cannot be read gives no
// address, so that a rule that asks for one denies. chain is the believed
// part of X-Forwarded-For, to be sent upstream.
func clientAddress(peer netip.Addr, h header, trusted []netip.Prefix) (client netip.Addr, chain string) {
	if !trusts(trusted, peer) {
		return peer, ""
	}
	switch x, f := h.has("X-Forwarded-For"), h.has("Forwarded"); {
	case x && f:
		// A proxy writes one of them, and may pass on the other as the client
		// sent it: where they do not agree nobody can tell which.
		client, chain = h.chained("X-Forwarded-For", parseForwardedFor, peer, trusted)
		if other, _ := h.chained("Forwarded", parseForwardedElement, peer, trusted); other != client {
			return netip.Addr{}, ""
		}
		return client, chain
	case x:
		return h.chained("X-Forwarded-For", parseForwardedFor, peer, trusted)
	case f:
		client, _ = h.chained("Forwarded", parseForwardedElement, peer, trusted)
		return client, ""
	}
	return peer, ""
}

// chained finds the client in the list of one field, and the part of it that
// is believed.
func (h header) chained(name string, parse func(string) (netip.Addr, bool), peer netip.Addr, trusted []netip.Prefix) (client netip.Addr, chain string) {
	list, n := h.Field(name)
	if n > 1 {
		list = h.joined(name)
	}
	client = peer
	rest := list
	for rest != "" {
		var element string
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, element = rest[:i], rest[i+1:]
		} else {
			rest, element = "", rest
		}
		a, ok := parse(trimOWS(element))
		if !ok {
			return netip.Addr{}, ""
		}
		client = a
		if !trusts(trusted, a) {
			break
		}
	}
	// What stands left of the client's address is the client's own claim.
	if chain = list[len(rest):]; chain != "" && chain[0] == ',' {
		chain = chain[1:]
	}
	return client, trimOWS(chain)
}

// trusts tells whether an address is a trusted proxy's.
func trusts(trusted []netip.Prefix, a netip.Addr) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func parseForwardedFor(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return a.Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Addr().Zone() == "" {
		return ap.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

// parseForwardedElement takes the for parameter of one element of Forwarded
// (RFC 7239 section 4).
func parseForwardedElement(s string) (netip.Addr, bool) {
	for s != "" {
		var pair string
		pair, s, _ = strings.Cut(s, ";")
		name, value, found := strings.Cut(trimOWS(pair), "=")
		if !found || !equalName(name, "for") {
			continue
		}
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		if strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") {
			value = value[1 : len(value)-1]
		}
		return parseForwardedFor(value)
	}
	return netip.Addr{}, false
}

// identityFields lists the fields that hopgate itself sets on a route's
// upstream requests; a client's field of such a name never passes.
func identityFields(rt *config.Route, up *config.Upstream) []string {
	var names []string
	for n := range rt.Request.Headers {
		names = append(names, n)
	}
	if up != nil && up.Secret != nil {
		names = append(names, up.Secret.Header)
	}
	return names
}
