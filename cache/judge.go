package cache

import (
	"math"
	"time"
)

// judge says what the entry is good for, for a request whose directives are
// req (which only count where the rule obeys requests).
func (e *entry) judge(rule *Rule, req *directives, now instant, purged purge) Found {
	age := now.since(e.stored)
	if age < 0 || purged.hard || e.private && (rule.Public || rule.Origin && !rule.Personal) {
		// Nobody can tell how old it is, or it must not be used at all.
		return Found{Forward: ForwardStale}
	}
	life, swr, sie := e.terms(rule)
	if rule.Origin {
		age += e.age
	}
	ttl := life - age
	if purged.soft {
		ttl = min(ttl, -time.Duration(max(now.mono-purged.at, 0)))
	}
	staleness := max(-ttl, 0)
	bound := rule.Origin && (e.noCache || e.mustRevalidate)
	validated := rule.Origin && e.noCache // each time
	fresh := ttl > 0 && !validated

	refused, lenient := false, false
	if rule.obeys() {
		refused = req.noCache ||
			req.maxAge.given && (age > req.maxAge.Duration || req.maxAge.Duration == 0) ||
			req.minFresh.given && ttl < req.minFresh.Duration
		lenient = !bound && (req.maxStaleAny && !req.maxStale.given || req.maxStale.given && staleness <= req.maxStale.Duration)
		if req.staleIfError.given && !bound {
			sie = max(sie, req.staleIfError.Duration)
		}
	}

	found := Found{Answer: e.answer, Age: age, TTL: ttl, Forward: ForwardStale}
	if fresh && refused {
		found.Forward = ForwardRequest
	}
	switch {
	case fresh && !refused:
		found.State, found.Forward = Fresh, ""
	case staleness < swr && !refused:
		found.State, found.Forward, found.Refresh = Stale, "", true
	case lenient && !refused:
		found.State, found.Forward = Stale, ""
	case staleness < sie:
		found.State = Expired
	default:
		found.Answer = nil
	}
	return found
}

// terms returns how long the answer is fresh, and how long afterwards it may
// still be given while another is fetched, and where that fails.
func (e *entry) terms(rule *Rule) (life, swr, sie time.Duration) {
	life, swr, sie = rule.TTL, rule.StaleWhileRevalidate, rule.StaleIfError
	if !rule.Origin {
		if negative(e.answer.status) {
			life = rule.NegativeTTL
		}
		return life, swr, sie
	}
	life = e.lifetime
	if !e.explicit && negative(e.answer.status) && rule.NegativeTTL > 0 {
		life = rule.NegativeTTL
	}
	if e.noCache || e.mustRevalidate {
		// Never without validation once it is stale (RFC 9111 sections
		// 4.2.4, 5.2.2.2 and 5.2.2.4), whatever grace the operator gives.
		return life, 0, 0
	}
	if e.staleWhileRevalidate.given {
		swr = e.staleWhileRevalidate.Duration
	}
	if e.staleIfError.given {
		sie = e.staleIfError.Duration
	}
	return life, swr, sie
}

// worthKeeping tells whether the answer can be of use to anybody: now or
// when it is stale, or to validate it.
func (e *entry) worthKeeping(rule *Rule) bool {
	life, swr, sie := e.terms(rule)
	// What is stale when it comes may still be fresh enough for one who says
	// max-stale.
	if rule.Origin && (e.mustRevalidate || !rule.obeys()) {
		life -= e.age
	}
	usable := life+max(swr, sie) > 0 && (!rule.Origin || !e.noCache)
	return usable || e.answer.validators() != Validators{}
}

// The chance that an answer is fetched before its time falls off from sure
// at the end of its time, over the time that a fetch takes ("optimal
// probabilistic cache stampede prevention", Vattani and others, 2015): who
// asks often is nearly sure to be early, who asks seldom is not.
const (
	earlyBeta = 1
	// e to the minus this is as good as never.
	earlyReach = 20
)

// early tells whether this request is the one that renews a fresh answer.
// random is in [0, 1).
func (e *entry) early(rule *Rule, ttl time.Duration, random func() float64) bool {
	return e.soon(rule, ttl) && float64(e.took)*earlyBeta*-math.Log(1-random()) >= float64(ttl)
}

// soon tells whether a fresh answer is near enough to its end to be renewed.
func (e *entry) soon(rule *Rule, ttl time.Duration) bool {
	return !rule.NoEarlyRefresh && ttl <= earlyReach*earlyBeta*e.took
}
