package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"hopgate/cache"
	"hopgate/policy"
)

// Question is a request that [Gate.Inspect] is asked about.
type Question struct {
	Method string
	URL    string      // absolute
	Fields [][2]string // names and values; a Host stands for the URL's
	// Token is put where the issuers of the request's route look for tokens.
	Token string
	// ClientIP is the peer that sends the request; invalid means 127.0.0.1.
	ClientIP netip.Addr
}

// Inspection is how a request would fare now, without having been made, and
// what the cache has for it. Times are in seconds.
type Inspection struct {
	Generation uint64           `json:"generation"`
	Route      string           `json:"route,omitempty"`
	Decision   InspectedVerdict `json:"decision"`
	// Cache is nil where the request is refused, or its route keeps nothing.
	Cache *InspectedCache `json:"cache,omitempty"`
}

// InspectedVerdict is what the gate decides.
type InspectedVerdict struct {
	Effect     string        `json:"effect"` // allow or deny
	Reason     policy.Reason `json:"reason"`
	Status     int           `json:"status,omitempty"` // of the gate's own answer
	Rule       string        `json:"rule,omitempty"`
	ReportOnly policy.Reason `json:"report_only,omitempty"` // what mode: report lets pass
}

// InspectedCache is what the cache has for a request.
type InspectedCache struct {
	Scope string `json:"scope"`
	// Key names what is stored for the request, for [Purge]; empty where it
	// takes no part in the cache.
	Key string `json:"key,omitempty"`
	// Tags are the names that purge it, beside its key and those that the
	// upstream gave: KIND:NAME.
	Tags []string `json:"tags,omitempty"`
	// State is what the request would be given: fresh, stale, expired, miss,
	// only-if-cached or bypass; Why says it in a sentence.
	State string            `json:"state"`
	Why   string            `json:"why"`
	Age   float64           `json:"age,omitempty"`
	TTL   float64           `json:"ttl,omitempty"` // negative: for how long it has been stale
	Found []InspectedAnswer `json:"stored,omitempty"`
}

// InspectedAnswer is one stored answer. What it holds is not shown.
type InspectedAnswer struct {
	Status   int      `json:"status"`
	Bytes    int64    `json:"bytes"`
	Age      float64  `json:"age"`
	TTL      float64  `json:"ttl"`
	Vary     []string `json:"vary,omitempty"`
	Selected bool     `json:"selected"` // the request's fields select it
	State    string   `json:"state"`
	Purged   string   `json:"purged,omitempty"` // hard or soft
}

// Inspect takes a request through guard, route, token and rules as it would
// be served, and looks what the cache has for it. It asks no upstream, takes
// nothing from a rate limit and counts nothing; an issuer may be asked for
// its keys. The error is about the question.
func (g *Gate) Inspect(ctx context.Context, q Question) (*Inspection, error) {
	x := acquire(nowhere{})
	defer release(x)
	x.ctx = ctx
	if x.begin(g); x.snapshot == nil {
		return nil, errors.New("no configuration is in force yet")
	}
	if err := x.pose(q); err != nil {
		return nil, err
	}
	in := &Inspection{Generation: x.snapshot.Generation}
	r := x.fare(q.Token)
	if x.route != nil {
		in.Route = x.route.ID
	}
	if x.code != 0 {
		// A preflight, which the gate answers itself.
		in.Decision = InspectedVerdict{Effect: "allow", Reason: x.reason, Status: x.code}
		return in, nil
	}
	in.Decision = InspectedVerdict{Effect: "deny", Reason: r, Status: r.Outcome().Status, Rule: x.decision.Rule}
	if r != policy.Allowed {
		return in, nil
	}
	in.Decision.Effect, in.Decision.Reason, in.Decision.Status = "allow", x.reason, 0
	if x.decision.Report {
		in.Decision.ReportOnly = x.decision.Denial
	}
	if x.route.cached && !x.wantsWebSocket() {
		in.Cache = x.inspectCache()
	}
	return in, nil
}

// pose fills an exchange as a transport does.
func (x *exchange) pose(q Question) error {
	var ok bool
	if x.scheme, x.authority, x.target, ok = cutURI(q.URL); !ok {
		return errors.New("the url should be absolute: http://api.example.com/path")
	}
	x.method = q.Method
	x.peer = netip.AddrPortFrom(q.ClientIP, 0)
	if !q.ClientIP.IsValid() {
		x.peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	}
	hosts := 0
	for i, f := range q.Fields {
		name, value := f[0], trimOWS(f[1])
		if name == "" || !all(name, classToken) || !all(value, classValue) {
			return fmt.Errorf("headers[%d] is no field that could be sent", i)
		}
		if equalName(name, "Host") {
			x.authority = value
			hosts++
			continue
		}
		x.fields = append(x.fields, field{name, value})
	}
	x.hosts = max(hosts, 1)
	x.fields = append(x.fields, field{"Host", x.authority})
	if len(x.fields) > maxFields {
		x.malformed = policy.HeaderTooLarge
	} else {
		x.framing, x.malformed = parseFraming(x.fields)
	}
	return nil
}

// fare takes an exchange as far as serve does before the cache. Where it set
// a status the gate answers by itself.
func (x *exchange) fare(tok string) policy.Reason {
	x.identify()
	if r := x.guard(); r != policy.Allowed {
		return r
	}
	if w := x.snapshot.webhooks[x.path]; w != nil {
		if _, r := x.expect(w); r != policy.Allowed {
			return r
		}
		return policy.WebhookUnverified // without its body
	}
	found := x.findRoute()
	if x.preflight() || found != policy.Allowed {
		return found
	}
	if tok != "" {
		x.placeToken(tok)
	}
	if r := x.authenticate(); r != policy.Allowed {
		return r
	}
	if r := x.authorize(); r != policy.Allowed {
		return r
	}
	return x.prepare()
}

// placeToken puts a token where the route's issuers look for one: in a field
// if there is one, else in a cookie or in the query.
func (x *exchange) placeToken(tok string) {
	v, set := x.snapshot.verifier, x.route.issuers
	fields, cookies, params := v.TokenFields(set), v.TokenCookies(set), v.TokenParams(set)
	for _, name := range fields {
		if equalName(name, "Authorization") {
			x.fields = append(x.fields, field{"Authorization", "Bearer " + tok})
			return
		}
	}
	switch {
	case len(fields) > 0:
		x.fields = append(x.fields, field{fields[0], tok})
	case len(cookies) > 0:
		x.fields = append(x.fields, field{"Cookie", strings.TrimSuffix(cookies[0], "*") + "=" + tok})
	case len(params) > 0:
		if x.query != "" {
			x.query += "&"
		}
		x.query, x.hasQuery = x.query+params[0]+"="+tok, true
	}
}

// inspectCache looks what there is for an exchange that was let through.
func (x *exchange) inspectCache() *InspectedCache {
	rt, c := x.route, x.snapshot.cache
	in := &InspectedCache{Scope: rt.Config.Cache.Scope.String(), State: cache.Bypass.String()}
	if !x.caches {
		switch {
		case x.method != "GET" && x.method != "HEAD":
			in.Why = "only answers to GET and HEAD are kept"
		default:
			in.Why = "the caller lacks what scope " + in.Scope + " tells callers apart by"
		}
		return in
	}
	in.Key = keyName(x.key)
	in.Tags = append(in.Tags, cache.TagRoute+":"+rt.ID)
	x.eachOwner(func(kind, id string) { in.Tags = append(in.Tags, kind+":"+id) })
	in.Tags = append(in.Tags, cache.TagURI+":"+x.scheme+"://"+x.authority+x.path)
	q := x.look()
	found := c.Lookup(q)
	in.State, in.Age, in.TTL = found.State.String(), found.Age.Seconds(), found.TTL.Seconds()
	for _, s := range c.Inspect(q) {
		a := InspectedAnswer{
			Status: s.Status, Bytes: s.Bytes, Age: s.Age.Seconds(), TTL: s.TTL.Seconds(),
			Vary: s.Vary, Selected: s.Selected, State: s.State.String(),
		}
		switch {
		case s.PurgedHard:
			a.Purged = "hard"
		case s.PurgedSoft:
			a.Purged = "soft"
		}
		in.Found = append(in.Found, a)
	}
	in.Why = why(found, in.Found)
	return in
}

// why says in a sentence what the cache would do.
func why(f cache.Found, stored []InspectedAnswer) string {
	purged := ""
	for _, s := range stored {
		if s.Selected {
			purged = s.Purged
		}
	}
	renewed := ""
	if f.Refresh {
		renewed = ", and another is fetched meanwhile"
	}
	since := "it has been stale for " + inWords(-f.TTL)
	if purged == "soft" {
		since = "it was purged softly"
	}
	switch f.State {
	case cache.Fresh:
		return "it stays fresh for " + inWords(f.TTL) + renewed
	case cache.Stale:
		return since + "; it is given all the same" + renewed
	case cache.Expired:
		return since + "; the upstream is asked, and it is given where that fails"
	case cache.OnlyIfCached:
		return "the request wants a stored answer or none (only-if-cached), and there is none that may be given"
	case cache.Bypass:
		return "the request has a condition that is for the upstream (If-Match, If-Unmodified-Since)"
	}
	switch {
	case f.Forward == cache.ForwardVaryMiss:
		return "what is stored is for other values of the fields that it varies by"
	case f.Forward == cache.ForwardRequest:
		return "the request's own directives ask for a new answer"
	case f.Forward == cache.ForwardURIMiss:
		return "nothing is stored for it"
	case purged == "hard":
		return "what is stored was purged"
	}
	return "what is stored is stale for longer than it may be given"
}

func inWords(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// nowhere is where the answer of an inspection goes. What it does not
// implement no step before the cache calls.
type nowhere struct{ answerer }

func (nowhere) status(int)           {}
func (nowhere) add(string, string)   {}
func (nowhere) addBytes(_, _ []byte) {}
func (nowhere) hints() bool          { return false }
func (nowhere) hint([][]byte)        {}
func (nowhere) duplex() bool         { return true }
func (nowhere) tunnels() bool        { return true }
