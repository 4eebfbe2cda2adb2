package proxy

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"hopgate/cache"
	"hopgate/policy"
	"hopgate/telemetry"
	"hopgate/upstream"
)

// makeKey makes the key of the exchange's cached answer: who shares it, and
// everything that shapes it. Because the outgoing request is part of it,
// callers whose requests reach the upstream in different words never share
// an answer, whatever the scope says. It tells whether there is a key: a
// caller without an organization has no place in an organization's cache.
func (x *exchange) makeKey() bool {
	rt, out := x.route, &x.outgoing
	k := append(x.key[:0], rt.fingerprint[:]...)
	var ok bool
	if k, ok = rt.AppendScope(k, x.principal); !ok {
		return false
	}
	k = appendPart(k, x.scheme)
	k = appendPart(k, x.authority)
	k = appendPart(k, lend(out.Path))
	k = appendPart(k, lend(out.Query))
	for i := range out.Headers {
		k = appendPart(k, out.Headers[i].Name)
		k = appendPart(k, lend(out.Headers[i].Value))
	}
	if !rt.shared {
		k = appendCookies(k, x.fields, rt.Config.Request.Cookies)
	}
	x.key = k
	return true
}

// serveCached answers from the cache, or fetches what it lacks.
func (x *exchange) serveCached(g *Gate) {
	rt, c := x.route, x.snapshot.cache
	x.sent = sentFields{fields: x.fields, drop: rt.drop, shared: rt.shared}
	found := c.Get(x.key, &x.sent, &rt.cacheRule)
	switch found.State {
	case cache.Fresh:
		x.answerStored(found.Answer, telemetry.CacheHit, found.Age, found.TTL, "")
		return
	case cache.Stale:
		if found.Refresh && x.method == "GET" {
			f := x.newFetch()
			f.alone = true
			c.Refresh(x.key, &f.sent, &rt.cacheRule, f.do)
		}
		x.answerStored(found.Answer, telemetry.CacheStale, found.Age, found.TTL, "")
		return
	}
	if x.method == "HEAD" {
		// Only whole answers are stored.
		x.cacheResult = telemetry.CacheBypass
		x.forward()
		return
	}
	x.fetch(c, found)
}

// fetch gets the answer from the upstream, together with all who ask for the
// same meanwhile, or gives the stored one where the upstream fails.
func (x *exchange) fetch(c *cache.Cache, found cache.Found) {
	rt := x.route
	f := x.newFetch()
	started := time.Now()
	x.wait()
	got, err := c.Fetch(x.ctx, x.key, &f.sent, &rt.cacheRule, f.do)
	x.waited()
	x.upstreamTime = time.Since(started)
	m, stream := f.collect()
	x.attempts, x.endpoint = m.attempts, m.endpoint
	x.cacheResult = telemetry.CacheMiss
	if got.Collapsed {
		x.cacheResult = telemetry.CacheCollapsed
	}
	switch {
	case stream != nil:
		// Too large to be kept: it streams to the one who asked first.
		if x.response != nil {
			x.response.Release()
		}
		x.response = stream
		x.relay()
	case errors.Is(err, cache.ErrNotShared):
		// The answer was for somebody else alone.
		x.forward()
	case err != nil:
		if found.Answer != nil {
			x.answerStored(found.Answer, telemetry.CacheStaleError, found.Age, found.TTL, staleStatus(err))
			return
		}
		x.refuse(x.failure(err))
	case found.Answer != nil && failedStatus(got.Answer.Status()):
		x.answerStored(found.Answer, telemetry.CacheStaleError, found.Age, found.TTL, strconv.Itoa(got.Answer.Status()))
	default:
		x.answerFetched(got)
	}
}

// failedStatus tells whether an answer is an error of the upstream, for
// which a stale one may stand in (RFC 5861 section 4).
func failedStatus(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

// staleStatus is the status that the failure would have had.
func staleStatus(err error) string {
	return strconv.Itoa(upstreamReason(err).Outcome().Status)
}

// fetching is a fetch on behalf of whoever waits for a key. It may outlive
// the exchange that began it, so it owns all it needs.
type fetching struct {
	route   *route
	request *upstream.Request
	sent    sentFields

	mu       sync.Mutex
	measure  measure
	response *upstream.Response // an answer that is only for who began
	alone    bool               // nobody waits for it
}

// collect gives who began the fetch what is theirs alone. What comes later
// is nobody's.
func (f *fetching) collect() (measure, *upstream.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alone = true
	return f.measure, f.response
}

// offer leaves an answer that streams to who began.
func (f *fetching) offer(r *upstream.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.alone {
		r.Release()
		return
	}
	f.response = r
}

func (f *fetching) measured(m measure) {
	f.mu.Lock()
	f.measure = m
	f.mu.Unlock()
}

// newFetch copies what a fetch needs of the exchange.
func (x *exchange) newFetch() *fetching {
	f := &fetching{route: x.route, request: x.request.Clone()}
	f.sent = x.sent
	f.sent.fields = make(header, len(x.fields))
	for i, line := range x.fields {
		f.sent.fields[i] = field{strings.Clone(line.name), strings.Clone(line.value)}
	}
	return f
}

// do implements cache.Fetch.
func (f *fetching) do(ctx context.Context) (*cache.Answer, error) {
	rt := f.route
	resp := new(upstream.Response)
	m, err := rt.pool.ask(ctx, f.request, resp)
	f.measured(m)
	if err != nil {
		resp.Release()
		return nil, err
	}
	if resp.Stream() != nil {
		f.offer(resp)
		return nil, cache.ErrNotShared
	}
	defer resp.Release()
	body := resp.Body()
	if rt.filter != nil {
		contentType, _ := resp.Field("Content-Type")
		coding, _ := resp.Field("Content-Encoding")
		var r policy.Reason
		if body, r = rt.filtered(nil, resp.Status(), contentType, coding, body, f.request.Method); r != policy.Allowed {
			return nil, reasonError(r)
		}
	}
	return cache.Build(resp.Status(), func(add func(name, value []byte)) {
		for i := range resp.Len() {
			name, value := resp.FieldAt(i)
			if !rt.dropAnswer.has(lend(name)) {
				add(name, value)
			}
		}
	}, body), nil
}

// answerStored answers with what is stored, fresh or stale. For a stale
// answer in the place of a failure, failed is that one's status.
func (x *exchange) answerStored(a *cache.Answer, result telemetry.CacheResult, age, ttl time.Duration, failed string) {
	x.cacheResult = result
	x.begin(a)
	b := append(x.scratch[:0], "hopgate; "...)
	if failed == "" {
		b = append(b, "hit"...)
	} else {
		b = append(append(b, "fwd=stale; fwd-status="...), failed...)
	}
	b = append(b, "; ttl="...)
	b = strconv.AppendInt(b, seconds(ttl), 10)
	if failed != "" {
		b = append(b, "; detail=stale-if-error"...)
	}
	x.answer.addBytes(nameCacheStatus, b)
	b = strconv.AppendInt(b[:0], max(0, int64(age/time.Second)), 10)
	x.answer.addBytes(nameAge, b)
	x.scratch = b
	x.conclude(a)
}

// answerFetched answers with what was just fetched, by this exchange or by
// another one.
func (x *exchange) answerFetched(got cache.Fetched) {
	x.begin(got.Answer)
	b := append(x.scratch[:0], "hopgate; fwd=miss"...)
	if got.Stored {
		b = append(b, "; stored; ttl="...)
		b = strconv.AppendInt(b, seconds(got.TTL), 10)
	}
	if got.Collapsed {
		b = append(b, "; collapsed"...)
	}
	x.answer.addBytes(nameCacheStatus, b)
	x.scratch = b
	x.conclude(got.Answer)
}

// addForwardedStatus adds Cache-Status to an answer that the cache had no
// part in.
func (x *exchange) addForwardedStatus() {
	x.answer.add("Cache-Status", "hopgate; fwd=bypass")
}

func (x *exchange) begin(a *cache.Answer) {
	x.code = a.Status()
	x.answer.status(x.code)
	x.copyFields(a)
}

// conclude ends an answer of the cache. Its body never changes, so that it
// is written without being copied.
func (x *exchange) conclude(a *cache.Answer) {
	x.finishHead()
	x.answer.staticBody(a.Body())
	if x.method != "HEAD" {
		x.bytes = int64(len(a.Body()))
	}
}

// seconds rounds down, so that what is stale by a moment is not shown as
// fresh.
func seconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		s--
	}
	return s
}
