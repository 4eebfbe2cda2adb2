package proxy

import (
	"iter"

	"hopgate/policy"
	"hopgate/token"
)

// What `hopgate explain` asks beside the decision point. Routes are those of
// [Snapshot.Policy]; nothing here is on a request's way.

// SameSite tells whether a request whose token a browser adds by itself shows
// that the user's own page made it. origin and fetchSite are the values of
// Origin and Sec-Fetch-Site, empty where the request has none.
func (s *Snapshot) SameSite(r *policy.Route, method, scheme, authority, origin, fetchSite string) bool {
	x := exchange{snapshot: s, route: s.routes[r.Index], method: method, scheme: scheme, authority: authority, origin: origin}
	if fetchSite != "" {
		x.fields = header{{"Sec-Fetch-Site", fetchSite}}
	}
	return x.sameSite()
}

// CrossOrigin tells whether a cross-origin policy holds for a route (nil: for
// what no route matches), and whether it lets pages of origin read answers.
func (s *Snapshot) CrossOrigin(r *policy.Route, origin string) (holds, readable bool) {
	c := s.cors
	if r != nil {
		c = s.routes[r.Index].cors
	}
	return c != nil, c.allows(origin)
}

// Forwards tells whether a client's field goes on to the upstream of a route
// with that method; cached, whether it does where the answer is kept.
func (s *Snapshot) Forwards(r *policy.Route, name, method string, cached bool) bool {
	return s.routes[r.Index].forwards(name, method, cached)
}

// CacheKey names what is stored for a request that a route allows, as
// [Gate.Inspect] does; false where the caller has no place in the cache. out
// is what the route makes of the request, and fields are the client's.
func (s *Snapshot) CacheKey(r *policy.Route, who *token.Principal, scheme, authority string, out *policy.Outgoing, fields iter.Seq2[string, string]) (string, bool) {
	x := exchange{route: s.routes[r.Index], principal: who, scheme: scheme, authority: authority, outgoing: *out}
	for name, value := range fields {
		x.fields = append(x.fields, field{name, value})
	}
	if !x.makeKey() {
		return "", false
	}
	return keyName(x.key), true
}
