package proxy

import (
	"strings"

	"hopgate/config"
	"hopgate/token"
)

// common has what routes share: most routes of a configuration accept the
// same tokens and let the same fields pass, and there may be ten thousand of
// them. It is there while a snapshot is compiled.
type common struct {
	callers map[string]*callers
	fields  map[string]*fieldRules
	limited map[string]*route // by id: the routes of the snapshot before that have a limit
}

func newCommon(prev *Snapshot) *common {
	m := &common{callers: make(map[string]*callers), fields: make(map[string]*fieldRules), limited: make(map[string]*route)}
	for _, rt := range prev.routes {
		if rt.limit != nil {
			m.limited[rt.Config.ID] = rt
		}
	}
	return m
}

// limiterOf finds the limiter of a route whose limit did not change, so that
// a reload does not refill anybody's budget.
func (m *common) limiterOf(c *config.Route) *limiter {
	rt := m.limited[c.ID]
	if rt == nil || rt.limit.Rate != c.Limit.Rate || rt.limit.Burst != c.Limit.Burst || rt.limit.By != c.Limit.By {
		return nil
	}
	return rt.limiter
}

// callers are what routes that accept the tokens of the same issuers have in
// common.
type callers struct {
	issuers     token.IssuerSet
	parties     []string // authorized parties of the issuers: origins of the front ends
	credentials []string // request fields that may hold the token
	tokenFields []string // the same without Cookie
	tokenParams []string
	protocols   []string // WebSocket subprotocols that announce a token
}

func (m *common) callersOf(s *Snapshot, names []string) *callers {
	key := strings.Join(names, "\n")
	if c := m.callers[key]; c != nil {
		return c
	}
	set := s.verifier.Set(names)
	c := &callers{
		issuers:     set,
		credentials: s.verifier.TokenFields(set),
		tokenFields: s.verifier.TokenFields(set),
		tokenParams: s.verifier.TokenParams(set),
		protocols:   s.verifier.TokenProtocols(set),
	}
	if len(s.verifier.TokenCookies(set)) > 0 {
		c.credentials = append(c.credentials, "Cookie")
	}
	for _, name := range names {
		c.parties = append(c.parties, s.Config.Issuers[name].AuthorizedParties...)
	}
	m.callers[key] = c
	return c
}

// fieldRules are the fields that do not pass a route.
type fieldRules struct {
	drop       *dropSet // request fields that do not pass
	dropRead   *dropSet // those that do not where the request changes nothing
	dropKept   *dropSet // those that do not where the answer may be kept
	dropAnswer *dropSet // response fields that do not pass
	dropStored *dropSet // response fields that are not even stored
}

// fieldRulesOf gives the fields that do not pass a route, all else of which is
// compiled.
func (m *common) fieldRulesOf(s *Snapshot, rt *route, c *config.Route, up *config.Upstream) *fieldRules {
	lists := [][]string{identityFields(c, up), c.Request.Remove, rt.tokenFields, c.Response.RemoveHeaders}
	var key strings.Builder
	for _, flag := range []bool{rt.filter != nil, rt.private, rt.cached, rt.cacheRule.Origin} {
		if flag {
			key.WriteByte('1')
		} else {
			key.WriteByte('0')
		}
	}
	for _, names := range lists {
		for _, name := range names {
			key.WriteString(name)
			key.WriteByte('\n') // no name has one
		}
		key.WriteByte('\n')
	}
	if p := m.fields[key.String()]; p != nil {
		return p
	}
	p := &fieldRules{drop: newDropSet(append(lists[:3], neverForwarded, []string{s.requestID})...)}
	if rt.filter != nil {
		p.drop.add(acceptEncoding)
		p.drop.add(partial...)
	}
	p.dropRead = p.drop.clone()
	if rt.filter != nil {
		p.dropRead.add(conditional...)
	}
	p.dropKept = p.drop.clone()
	p.dropKept.add(conditional...)
	if !rt.cacheRule.Origin {
		p.dropKept.add(acceptEncoding)
	}
	p.dropAnswer = newDropSet(c.Response.RemoveHeaders, []string{s.requestID}, forServers)
	p.dropStored = newDropSet(c.Response.RemoveHeaders, []string{s.requestID}, forServers, corsFields)
	p.dropAnswer.add(forHopgate)
	if rt.private {
		p.dropAnswer.add(forCaches...)
	}
	if rt.private && rt.cached {
		p.dropAnswer.add("cache-status")
	}
	// Who may read an answer is said here alone.
	p.dropAnswer.add(corsFields...)
	if rt.filter != nil {
		// They describe the bytes before the filter.
		described := []string{"etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"}
		p.dropAnswer.add(described...)
		p.dropStored.add(described...)
	}
	m.fields[key.String()] = p
	return p
}
