package cache

import "time"

// A Query is a request as the cache sees it.
type Query struct {
	// Key is everything that separates two answers but what Vary says. It is
	// the same for GET and HEAD. It is lent.
	Key []byte
	// Method is the request's method; empty means GET.
	Method string
	// Fields are the request's fields. They are lent to [Cache.Lookup]; to
	// [Cache.Do] and [Cache.Renew] the caller gives a copy of its own,
	// which stays valid and unchanged until the fetch has ended.
	Fields Fields
	// Rule is the route's.
	Rule *Rule
	// Now is a reading of the cache's clock by a caller who has just made one;
	// zero has the cache make one. Only [Cache.Lookup] looks at it.
	Now time.Time
	// Tags are the purges that reach the answer, beside those for its key
	// and for the tags that it names itself. They are lent.
	Tags []Tag

	// Alone tells that the exchange asks for an answer that is for this
	// request alone, unless it turns out to be whole: see [Found.Conditions].
	Alone bool
}

// wantsLess tells whether the request may be answered by less than the whole
// answer.
func (q *Query) wantsLess() bool {
	return q.has("range") || q.has("if-none-match") || q.has("if-modified-since")
}

func (q *Query) method() string {
	if q.Method == "" {
		return "GET"
	}
	return q.Method
}

func (q *Query) has(name string) bool {
	_, n := q.Fields.Field(name)
	return n > 0
}

// State is what a stored answer is good for.
type State uint8

// The states of a stored answer.
const (
	// Miss: there is none, or none that may be used.
	Miss State = iota
	// Fresh: it may be given.
	Fresh
	// Stale: it may be given at once.
	Stale
	// Expired: it may be given if the upstream fails, and not otherwise.
	Expired
	// OnlyIfCached: there is none, and the request wants no other. The
	// answer is 504 (RFC 9111 section 5.2.1.7).
	OnlyIfCached
	// Bypass: the request is none that a cache answers. It is forwarded as
	// it came, and its answer is not stored.
	Bypass
)

func (s State) String() string {
	names := [...]string{"miss", "fresh", "stale", "expired", "only-if-cached", "bypass"}
	if int(s) < len(names) {
		return names[s]
	}
	return "invalid"
}

// Forward is why a request goes upstream (RFC 9211 section 2.2).
type Forward string

// Why a request goes upstream.
const (
	ForwardBypass   Forward = "bypass"    // it is none that a cache answers
	ForwardMethod   Forward = "method"    // its method is none
	ForwardURIMiss  Forward = "uri-miss"  // nothing is stored for its key
	ForwardVaryMiss Forward = "vary-miss" // nothing that its fields select
	ForwardRequest  Forward = "request"   // its own directives ask for it
	ForwardStale    Forward = "stale"     // what is stored needs validation
)

// Found is what the cache has for a request.
type Found struct {
	Answer *Answer // nil unless State is Fresh, Stale or Expired
	State  State
	Age    time.Duration // how old the answer is
	TTL    time.Duration // how long it stays fresh; negative when it no longer is
	// Forward is why the request goes upstream, empty where it need not.
	Forward Forward

	// Conditions tells that nothing is stored that the request's conditions
	// could be held against, and that they may go upstream with it, where
	// [Query.Alone] is set: who asks for the answer has it already, as it
	// seems. It is told once for each key, since a 304 leaves nothing to
	// store. It is also told of a range of what is not kept whole, which then
	// goes upstream with what else the request asks.
	Conditions bool

	// Refresh tells that the caller should call [Cache.Renew]: the answer
	// is stale or soon will be, nobody is fetching another, and no attempt
	// failed just now.
	Refresh bool
}
