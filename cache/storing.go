package cache

import "time"

// classify makes an entry of an answer that was fetched for the query, or
// nil where it must not be given to anybody else. The answer is stored
// without the fields that must not be; who fetched it gets it whole.
//
// Whatever the rule, only whole answers are kept, none of 206 and 304, none
// that sets a cookie, none that says no-store, and none that varies by
// something that is not in a request (RFC 9111 section 3 and 4.1).
func (q *Query) classify(a *Answer, now instant, at time.Time, took time.Duration) *entry {
	rule := q.Rule
	d, targeted := responseDirectives(a)
	if targeted && !rule.Origin {
		// The operator's time leaves the answer little to say: what it says
		// against being kept counts wherever it says it.
		plain := plainDirectives(a)
		d.noStore = d.noStore || plain.noStore
		d.private = d.private || plain.private
	}
	vary := parseVary(a, rule.Public)
	if q.method() != "GET" || !whole(a) && !q.storesPart(a) || vary.any {
		return nil
	}
	if d.mustUnderstand && understood(a.status) {
		d.noStore = false // RFC 9111 section 5.2.2.3
	}
	if d.noStore || d.mustUnderstand && !understood(a.status) || setsCookie(a, &d, rule) {
		return nil
	}
	if rule.Origin && !q.originAllows(a, &d, targeted) || !rule.Origin && !operatorAllows(rule, a, &d) {
		return nil
	}
	e := &entry{
		names:                vary.names,
		stored:               now,
		took:                 took,
		staleWhileRevalidate: d.staleWhileRevalidate,
		staleIfError:         d.staleIfError,
		noCache:              d.noCache,
		private:              d.private,
		// A shared cache takes s-maxage for proxy-revalidate as well (RFC
		// 9111 section 5.2.2.10).
		mustRevalidate: d.mustRevalidate || d.proxyRevalidate || d.sMaxAge.given,
	}
	e.lifetime, e.explicit = d.lifetime(a, targeted, rule.Heuristic, at)
	e.age = initialAge(a, at, took)
	if len(vary.names) > 0 {
		e.variant = appendVariant(nil, vary.names, q.Fields)
	}
	e.answer = a.prepare(&d, rule, at)
	return e
}

// operatorAllows tells whether an answer may be kept by the operator's TTL:
// one that says something about the resource, and not about this request,
// this moment or this caller.
func operatorAllows(rule *Rule, a *Answer, d *directives) bool {
	if d.private && rule.Public {
		return false
	}
	if _, n := a.Field("content-range"); n > 0 {
		return false // a part, whatever it is called
	}
	switch a.status {
	case 200, 203, 204, 300, 301, 308:
		return true
	}
	return negative(a.status) && rule.NegativeTTL > 0
}

// originAllows tells whether an answer may be kept by what it says (RFC 9111
// section 3).
func (q *Query) originAllows(a *Answer, d *directives, targeted bool) bool {
	rule := q.Rule
	if d.private && !rule.Personal {
		return false
	}
	if rule.obeys() && requestDirectives(q.Fields).noStore {
		return false
	}
	if rule.Public {
		// Section 3.5: an answer to a request with credentials is for others
		// only if it says so.
		if _, n := q.Fields.Field("authorization"); n > 0 && !d.mustRevalidate && !d.public && !d.sMaxAge.given {
			return false
		}
	}
	if a.status < 200 || a.status > 599 {
		return false
	}
	if d.public || d.private || d.maxAge.given || d.sMaxAge.given {
		return true
	}
	if _, n := a.Field("expires"); n > 0 && !targeted {
		return true
	}
	return heuristicallyCacheable(a.status) || negative(a.status) && rule.NegativeTTL > 0
}

// whole tells whether the answer is all of what was asked for, and final.
// Content-Range means something with 206 and 416 alone (RFC 9110 section
// 14.4).
func whole(a *Answer) bool {
	if a.status < 200 || a.status == 206 || a.status == 304 || a.status == 416 {
		return false
	}
	length, n := a.Field("content-length")
	if n == 0 {
		return true
	}
	want, ok := parseDigits(length)
	return n == 1 && ok && want == int64(len(a.body))
}

// setsCookie tells whether the answer sets a cookie that is not held back
// from those it is stored for. RFC 9111 section 7.3 leaves it to the answer
// to say so; a cookie given to others by mistake costs more than a fetch.
func setsCookie(a *Answer, d *directives, rule *Rule) bool {
	_, n := a.Field("set-cookie")
	return n > 0 && !d.holdsBack([]byte("set-cookie"), rule.Personal)
}

// prepare returns the answer as it is stored: without the fields that must
// not be, and where its own words count with the Date that it may lack (RFC
// 9110 section 6.6.1). The body is shared.
func (a *Answer) prepare(d *directives, rule *Rule, at time.Time) *Answer {
	_, dates := a.Field("date")
	addDate := rule.Origin && dates == 0
	change := addDate
	for i := range a.count {
		name, _ := a.FieldAt(i)
		change = change || d.holdsBack(name, rule.Personal)
	}
	if !change {
		return a
	}
	var b headBuilder
	for i := range a.count {
		if name, value := a.FieldAt(i); !d.holdsBack(name, rule.Personal) {
			b.add(name, value)
		}
	}
	if addDate {
		b.add([]byte("Date"), []byte(at.UTC().Format(imfFixdate)))
	}
	return b.answer(a.status, a.body)
}
