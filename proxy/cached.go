package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	k = appendPart(k, x.path) // by which purges reach it
	k = appendPart(k, lend(out.Path))
	query := lend(out.Query)
	if rt.Config.Cache.SortQuery && strings.IndexByte(query, '&') >= 0 {
		parameters := strings.Split(query, "&")
		slices.SortStableFunc(parameters, compareParameters)
		query = strings.Join(parameters, "&")
	}
	k = appendPart(k, query)
	// A query that is empty is not none.
	if x.hasQuery && x.query == "" {
		k = append(k, 1)
	} else {
		k = append(k, 0)
	}
	for i := range out.Headers {
		k = appendPart(k, out.Headers[i].Name)
		k = appendPart(k, lend(out.Headers[i].Value))
	}
	for _, name := range rt.Config.Cache.VaryOn {
		value, n := x.fields.Field(name)
		if n > 1 {
			value = x.fields.joined(name)
		}
		k = append(k, byte(min(n, 255)))
		k = appendPart(k, value)
	}
	if !rt.shared {
		k = appendCookies(k, x.fields, rt.Config.Request.Cookies)
	}
	x.key = k
	return true
}

// compareParameters orders query parameters by name. Those of one name keep
// their order, which may mean something.
func compareParameters(a, b string) int {
	a, _, _ = strings.Cut(a, "=")
	b, _, _ = strings.Cut(b, "=")
	return strings.Compare(a, b)
}

// tag names the purges that reach the exchange's answer.
func (x *exchange) tag(c *cache.Cache) {
	t := append(x.tags[:0],
		c.Tag(cache.TagRoute, x.route.ID),
		c.TagURI(x.scheme, x.authority, x.path),
		c.Tag(tagKeyName, keyName(x.key)))
	x.eachOwner(func(kind, id string) { t = append(t, c.Tag(kind, id)) })
	x.tags = t
}

// eachOwner gives those whose data the exchange's answer holds: a caller only
// where it is kept for that one alone, an organization where not everybody
// shares it.
func (x *exchange) eachOwner(give func(kind, id string)) {
	p := x.principal
	if !x.route.shared && p.UserID != "" {
		give(cache.TagPrincipal, p.UserID)
		if p.SessionID != "" {
			give(cache.TagSession, p.SessionID)
		}
	}
	if p.OrgID != "" && x.route.Config.Cache.Scope.Word != "public" {
		give(cache.TagOrganization, p.OrgID)
	}
}

// sentFields are the fields of a request as the cache sees them: what speaks
// to caches as the client sent it, and of the rest what goes upstream, since
// the upstream's Vary speaks of that. It implements cache.Fields.
type sentFields struct {
	fields header
	route  *route
}

// Field gives the lines of a name joined, and how many there are.
func (s *sentFields) Field(name string) (string, int) {
	if !forTheCache(name) && !s.route.forwards(name, "GET", true) {
		return "", 0
	}
	value, n := s.fields.Field(name)
	if n > 1 {
		value = s.fields.joined(name)
	}
	return value, n
}

// forTheCache tells whether a request field speaks to caches. Authorization
// is one: RFC 9111 section 3.5 asks whether it was there.
func forTheCache(name string) bool {
	switch name {
	case "range", "if-range", "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "cache-control", "pragma", "authorization":
		return true
	}
	return false
}

func listedIn(names []string, name string) bool {
	for _, n := range names {
		if equalName(n, name) {
			return true
		}
	}
	return false
}

// serveCached answers from the cache, or fetches what it lacks.
func (x *exchange) serveCached() {
	c := x.snapshot.cache
	found := c.Lookup(x.look())
	switch found.State {
	case cache.Fresh, cache.Stale:
		if found.Refresh {
			x.renew(c)
		}
		x.cacheResult = telemetry.CacheHit
		if found.State == cache.Stale {
			x.cacheResult = telemetry.CacheStale
		}
		x.answerWith(found.Answer, found.Age, &cache.Status{Hit: true, TTL: found.TTL, HasTTL: true})
	case cache.OnlyIfCached:
		x.cacheResult = telemetry.CacheMiss
		x.refuse(policy.NotCached)
	case cache.Bypass:
		x.cacheResult = telemetry.CacheBypass
		x.forwardAlone(found.Forward)
	default:
		x.fetch(c, found)
	}
}

// look makes what the cache is asked.
func (x *exchange) look() *cache.Query {
	rt := x.route
	x.sent = sentFields{fields: x.fields, route: rt}
	x.lookup = cache.Query{Key: x.key, Method: x.method, Fields: &x.sent, Rule: &rt.cacheRule, Now: x.lapse}
	return &x.lookup
}

// renew fetches a new answer in the background.
func (x *exchange) renew(c *cache.Cache) {
	f := x.newFetch()
	f.alone = true
	f.request.Method = "GET"
	c.Renew(x.owned(c, f), f.do)
}

// owned is the exchange's lookup with memory of its own.
func (x *exchange) owned(c *cache.Cache, f *fetching) *cache.Query {
	x.tag(c)
	return &cache.Query{Key: x.key, Method: f.request.Method, Fields: &f.sent, Rule: &f.route.cacheRule, Tags: x.tags}
}

// fetch gets the answer from the upstream, together with all who ask for the
// same meanwhile, or gives the stored one where the upstream fails or takes
// too long.
func (x *exchange) fetch(c *cache.Cache, found cache.Found) {
	f := x.newFetch()
	q := x.owned(c, f)
	if found.Conditions {
		q.Alone = true
		f.sendConditions()
	}
	ctx := x.ctx
	if after := x.route.Config.Cache.StaleAfter; after > 0 && found.Answer != nil {
		limited, cancel := context.WithTimeout(ctx, after)
		defer cancel()
		ctx = limited
	}
	started := x.wait()
	got, err := c.Do(ctx, q, f.do)
	x.waited()
	x.upstreamTime = time.Since(started)
	m, stream, prefix := f.collect()
	x.attempts, x.endpoint = m.attempts, m.endpoint
	x.cacheResult = telemetry.CacheMiss
	if got.Collapsed {
		x.cacheResult = telemetry.CacheCollapsed
	}
	switch {
	case stream != nil && x.fields.has("Range") && !found.Conditions:
		// Too large to be kept, and more than the client asks for.
		stream.Release()
		x.forwardAlone(found.Forward)
	case stream != nil:
		// Too large to be kept: it streams to the one who asked first.
		if x.response != nil {
			x.response.Release()
		}
		x.response, x.prefix, x.why = stream, prefix, found.Forward
		x.relay()
	case errors.Is(err, cache.ErrNotShared), errors.Is(err, cache.ErrClosed):
		// The answer was for somebody else alone, or a reload has replaced the
		// cache meanwhile. That it was a failure is one reason: this request
		// may fail as well.
		x.fallback = found
		x.forwardAlone(found.Forward)
	case err != nil && found.Answer != nil && x.ctx.Err() == nil:
		detail := "stale-if-error"
		if errors.Is(err, context.DeadlineExceeded) {
			detail = "stale-after"
		}
		x.answerStale(found, upstreamReason(err).Outcome().Status, detail)
	case err != nil:
		x.refuse(x.failure(err))
	case found.Answer != nil && failedStatus(got.Answer.Status()):
		x.answerStale(found, got.Answer.Status(), "stale-if-error")
	default:
		status := cache.Status{
			Forward: found.Forward, TTL: got.TTL, HasTTL: got.Stored, Stored: got.Stored, Collapsed: got.Collapsed,
		}
		if got.Status != got.Answer.Status() {
			status.ForwardStatus = got.Status
		}
		x.arrival = got.Arrival
		x.answerWith(got.Answer, got.Age, &status)
	}
}

// failedStatus tells whether an answer is an error of the upstream, for
// which a stale one may stand in (RFC 5861 section 4).
func failedStatus(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

// answerStale answers with what is stored, in the place of a failure.
func (x *exchange) answerStale(found cache.Found, failed int, detail string) {
	x.cacheResult = telemetry.CacheStaleError
	x.answerWith(found.Answer, found.Age, &cache.Status{
		Forward: cache.ForwardStale, ForwardStatus: failed, TTL: found.TTL, HasTTL: true, Detail: detail,
	})
}

// answerWith answers with an answer that the cache gave: whole, in part, or
// not at all where the client has it already. A body that is stored never
// changes, so that it is written without being copied.
func (x *exchange) answerWith(a *cache.Answer, age time.Duration, s *cache.Status) {
	reply := a.Reply(x.method, &x.sent)
	if x.arrival != nil && reply.Status != 304 {
		// The body is still on its way: there is no part of it to choose.
		reply = cache.Reply{Status: a.Status()}
	}
	x.code = reply.Status
	x.answer.status(x.code)
	x.freshFor = s.TTL
	x.stored = storedFields{a, reply}
	x.copyFields(&x.stored)
	if reply.Cut && reply.Status != 304 {
		x.scratch = reply.AppendContentRange(x.scratch[:0])
		x.answer.addBytes(nameContentRange, x.scratch)
	}
	x.scratch = s.Append(x.scratch[:0], "hopgate")
	x.answer.addBytes(nameCacheStatus, x.scratch)
	if x.aged(a, s) {
		x.scratch = cache.AppendAge(x.scratch[:0], age)
		x.answer.addBytes(nameAge, x.scratch)
	}
	x.finishHead()
	switch {
	case reply.Status == 304:
		x.answer.noLength()
		return
	case x.method == "HEAD" && !s.Hit && len(reply.Body) == 0 && x.arrival == nil:
		x.headLength(a)
		return
	}
	if x.arrival != nil {
		x.stream(io.NopCloser(x.arrival.Reader(x.ctx)), int64(x.arrival.Len()))
		return
	}
	x.answer.staticBody(reply.Body)
	if x.method != "HEAD" {
		x.bytes = int64(len(reply.Body))
	}
}

// aged tells whether an answer has an Age: where it was neither made nor
// validated for this very request (RFC 9111 section 5.1), here or by a cache
// behind.
func (x *exchange) aged(a *cache.Answer, s *cache.Status) bool {
	if s.Hit || s.Collapsed || x.cacheResult == telemetry.CacheStaleError {
		return true
	}
	_, n := a.Field("age")
	return n > 0
}

// headLength says of an answer to HEAD the length that the upstream said.
func (x *exchange) headLength(a *cache.Answer) {
	if said, n := a.Field("content-length"); n == 1 && x.route.filter == nil {
		if length, err := strconv.ParseInt(lend(said), 10, 64); err == nil {
			x.answer.bodyLength(length)
			return
		}
	}
	x.answer.noLength()
}

// storedFields are the fields of a stored answer that belong to a reply.
type storedFields struct {
	*cache.Answer
	reply cache.Reply
}

// FieldAt gives a field, without a name where the reply does not have it.
func (s *storedFields) FieldAt(i int) (name, value []byte) {
	name, value = s.Answer.FieldAt(i)
	// Age and the length are written anew.
	if s.reply.Cut && !s.reply.Has(name) || equalText(name, "Age") || equalText(name, "Content-Length") {
		return nil, nil
	}
	return name, value
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
	prefix   []byte             // what was read of its body before that was clear
	alone    bool               // nobody waits for it
}

// collect gives who began the fetch what is theirs alone. What comes later
// is nobody's.
func (f *fetching) collect() (measure, *upstream.Response, []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alone = true
	return f.measure, f.response, f.prefix
}

// offer leaves an answer that streams to who began.
func (f *fetching) offer(r *upstream.Response, prefix []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.alone {
		r.Release()
		return
	}
	f.response, f.prefix = r, prefix
}

func (f *fetching) measured(m measure) {
	f.mu.Lock()
	f.measure = m
	f.mu.Unlock()
}

// newFetch copies what a fetch needs of the exchange.
func (x *exchange) newFetch() *fetching {
	x.buildRequest()
	f := &fetching{route: x.route, request: x.request.Clone(), sent: x.sent}
	f.sent.fields = make(header, len(x.fields))
	for i, line := range x.fields {
		f.sent.fields[i] = field{strings.Clone(line.name), strings.Clone(line.value)}
	}
	return f
}

// sendConditions puts the client's own conditions into the request.
func (f *fetching) sendConditions() {
	for _, line := range f.sent.fields {
		for _, name := range [...]string{"If-None-Match", "If-Modified-Since", "Range", "If-Range"} {
			if equalName(line.name, name) {
				f.request.Add(name, line.value)
			}
		}
	}
}

// do implements cache.Exchange.
func (f *fetching) do(ctx context.Context, t *cache.Transfer) (*cache.Answer, error) {
	rt, q := f.route, f.request
	if v := t.Validators; v != (cache.Validators{}) {
		q = q.Clone()
		if v.ETag != "" {
			q.Add("If-None-Match", v.ETag)
		}
		if v.LastModified != "" {
			q.Add("If-Modified-Since", v.LastModified)
		}
	}
	resp := new(upstream.Response)
	m, err := rt.pool.ask(ctx, time.Time{}, q, resp)
	f.measured(m)
	if err != nil {
		resp.Release()
		return nil, err
	}
	if resp.Stream() != nil {
		return f.gather(t, resp)
	}
	defer resp.Release()
	body := resp.Body()
	if rt.filter != nil {
		contentType, _ := resp.Field("Content-Type")
		coding, _ := resp.Field("Content-Encoding")
		var r policy.Reason
		if body, r = rt.filtered(nil, resp.Status(), contentType, coding, body, q.Method); r != policy.Allowed {
			return nil, reasonError(r)
		}
	}
	fields := rt.storedFields(resp)
	if q.Method == "HEAD" && resp.ContentLength() >= 0 && rt.filter == nil {
		fields = func(add func(name, value []byte)) {
			rt.storedFields(resp)(add)
			add(nameContentLength, strconv.AppendInt(nil, resp.ContentLength(), 10))
		}
	}
	return cache.Build(resp.Status(), fields, body), nil
}

var nameContentLength = []byte("Content-Length")

// storedFields gives the fields of an answer that are stored.
func (rt *route) storedFields(resp *upstream.Response) func(add func(name, value []byte)) {
	return func(add func(name, value []byte)) {
		for i := range resp.Len() {
			name, value := resp.FieldAt(i)
			if !rt.dropStored.has(lend(name)) {
				add(name, value)
			}
		}
	}
}

// gather takes in an answer that does not fit into one piece. Where its
// length is known all who wait get it as it comes; where it turns out too
// large to be kept it is left to who began.
func (f *fetching) gather(t *cache.Transfer, resp *upstream.Response) (*cache.Answer, error) {
	largest := f.route.maxEntry
	length := resp.ContentLength()
	if length > largest {
		f.offer(resp, nil)
		return nil, cache.ErrNotShared
	}
	if length >= 0 {
		if a := t.Begin(resp.Status(), f.route.storedFields(resp), int(length)); a != nil {
			defer resp.Release()
			if _, err := io.Copy(a, resp.Stream()); err != nil {
				return nil, fmt.Errorf("the answer broke off: %w: %w", upstream.ErrInvalid, err)
			}
			return a.Answer()
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Stream(), largest+1))
	switch {
	case err != nil:
		resp.Release()
		return nil, fmt.Errorf("the answer broke off: %w: %w", upstream.ErrInvalid, err)
	case int64(len(body)) > largest:
		f.offer(resp, body)
		return nil, cache.ErrNotShared
	}
	defer resp.Release()
	return cache.Build(resp.Status(), f.route.storedFields(resp), body), nil
}

// invalidate forgets what a request that may have changed something made
// outdated (RFC 9111 section 4.4), and what its route names. It takes effect
// before the client has the answer.
func (x *exchange) invalidate(resp *upstream.Response) {
	c := x.snapshot.cache
	c.Invalidate(x.method, resp.Status(), x.scheme, x.authority, x.path, func(name string) string {
		value, _ := resp.Field(name)
		return string(value)
	})
	if resp.Status() < 400 {
		x.forget(c)
	}
}

// forget forgets the answers of the routes that the exchange's route names.
func (x *exchange) forget(c *cache.Cache) {
	for _, id := range x.route.Config.Invalidates {
		c.Purge(false, c.Tag(cache.TagRoute, id))
	}
}
