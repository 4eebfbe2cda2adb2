package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime/debug"
	"strconv"
	"time"

	"hopgate/cache"
	"hopgate/policy"
	"hopgate/telemetry"
	"hopgate/token"
	"hopgate/upstream"
)

// wholeBody is the largest request body of known length that is read before
// the upstream is asked, so that it can be sent with the head and repeated.
const wholeBody = 16 << 10

// prepare makes the upstream request of an authorized exchange, and the key
// of its cached answer where the route keeps one.
func (x *exchange) prepare() policy.Reason {
	rt := x.route
	if x.framing.length > rt.maxBody {
		return policy.BodyTooLarge
	}
	if x.content == nil && x.body != nil && !x.framing.chunked && x.framing.length <= wholeBody {
		if r := x.readBody(); r != policy.Allowed {
			return r
		}
	}
	x.input.DropQuery = rt.tokenParams
	if err := rt.Rewrite(&x.outgoing, &x.match, &x.input, x.principal); err != nil {
		return policy.ReasonOf(err)
	}
	if rt.cached {
		safe := x.method == "GET" || x.method == "HEAD"
		x.caches = safe && x.framing.length == 0 && !x.framing.chunked && !x.wantsWebSocket() && x.makeKey()
		if !x.caches {
			x.cacheResult, x.why = telemetry.CacheBypass, cache.ForwardBypass
			if !safe {
				x.why = cache.ForwardMethod
			}
		}
	}
	if !x.caches {
		x.buildRequest() // else where the cache lacks the answer
	}
	return policy.Allowed
}

// buildRequest fills the upstream request, a fresh one: what of the client's
// fields may pass is copied, and hopgate's own are added.
func (x *exchange) buildRequest() {
	rt, out := x.route, &x.outgoing
	q := &x.request
	q.Reset()
	q.Method = x.method
	q.Target = append(q.Target[:0], out.Path...)
	if len(out.Query) > 0 || x.hasQuery && x.query == "" {
		q.Target = append(q.Target, '?')
		q.Target = append(q.Target, out.Query...)
	}
	switch {
	case x.content != nil:
		q.Body = x.content
	case x.body != nil:
		x.upload = bodyReader{from: x.body, left: rt.maxBody, missing: x.framing.length, chunked: x.framing.chunked}
		q.Stream, q.Length = &x.upload, x.framing.length
		if x.framing.chunked {
			q.Length = -1
		}
	}
	q.Timeout = rt.timeout
	q.MaxHold, q.MustHold = rt.maxHold, rt.filter != nil
	x.converse()
	if !x.caches && x.answer.hints() {
		q.Informational = x.hint
	}

	shared := x.caches && rt.shared
	for i := range x.fields {
		f := &x.fields[i]
		if !rt.forwards(f.name, x.method, x.caches) {
			continue
		}
		value := f.value
		if len(rt.protocols) > 0 && equalName(f.name, "Sec-WebSocket-Protocol") {
			for _, name := range rt.protocols {
				value = token.WithoutToken(value, name)
			}
			if value == "" {
				continue
			}
		}
		// The guard has judged name and value, and what frames a message is never
		// forwarded.
		q.AddTrusted(f.name, value)
	}
	x.arena = x.arena[:0]
	if !shared && len(rt.Config.Request.Cookies) > 0 {
		at := len(x.arena)
		x.arena = appendCookies(x.arena, x.fields, rt.Config.Request.Cookies)
		if len(x.arena) > at {
			q.Add("Cookie", lend(x.arena[at:]))
		}
	}
	if rt.filter != nil || x.caches && !rt.cacheRule.Origin {
		q.Add("Accept-Encoding", "identity")
	}
	if !shared {
		at := len(x.arena)
		x.arena = x.appendForwardedFor(x.arena)
		q.AddTrusted("X-Forwarded-For", lend(x.arena[at:]))
	}
	q.AddTrusted("X-Forwarded-Proto", x.scheme)
	q.AddTrusted("X-Forwarded-Host", x.authority)
	q.AddTrusted("Via", x.via())
	q.Add(x.snapshot.requestID, lend(x.requestID))
	for i := range out.Headers {
		q.Add(out.Headers[i].Name, lend(out.Headers[i].Value))
	}
}

func (x *exchange) via() string {
	if x.http10 {
		return "1.0 hopgate"
	}
	return "1.1 hopgate"
}

// appendForwardedFor writes X-Forwarded-For: what trusted proxies said, and
// the peer that said it.
func (x *exchange) appendForwardedFor(b []byte) []byte {
	peer := x.peer.Addr()
	switch {
	case x.chain != "":
		b = append(append(b, x.chain...), ", "...)
	case x.client.IsValid() && x.client != peer:
		b = append(append(b, x.clientText...), ", "...)
	}
	if !peer.IsValid() {
		return append(b, "unknown"...)
	}
	return peer.AppendTo(b)
}

// forwardAlone forwards a request that could have been answered from the
// cache but is not: with all that its client asks for.
func (x *exchange) forwardAlone(why cache.Forward) {
	x.caches, x.why = false, why
	x.buildRequest()
	x.forward()
}

// forward sends the request upstream and gives back what comes.
func (x *exchange) forward() {
	if x.response == nil {
		x.response = new(upstream.Response)
	}
	if err := x.ask(); err != nil {
		if cache.Unsafe(x.method) {
			// It may have had its effect all the same.
			x.forget(x.snapshot.cache)
		}
		if x.fallback.Answer != nil && x.ctx.Err() == nil {
			x.answerStale(x.fallback, upstreamReason(err).Outcome().Status, "stale-if-error")
			return
		}
		x.refuse(x.failure(err))
		return
	}
	if !x.endUpload() {
		return
	}
	if status := x.response.Status(); x.fallback.Answer != nil && failedStatus(status) {
		x.response.Release()
		x.answerStale(x.fallback, status, "stale-if-error")
		return
	}
	x.relay()
}

// endUpload takes an error that comes while the client still sends in whole,
// where the transport cannot write an answer while the request is read. What
// it gives back the response with ends the sending. It tells whether there is
// still an answer to give.
func (x *exchange) endUpload() bool {
	stream := x.response.Stream()
	if x.request.Stream == nil || stream == nil || x.response.Status() < 300 || x.answer.duplex() {
		return true
	}
	most := int64(x.snapshot.Config.Upstreams[x.route.Config.Upstream].MaxResponseBytes)
	body, err := io.ReadAll(io.LimitReader(stream, most+1))
	switch {
	case err != nil:
		x.refuse(policy.UpstreamInvalid)
		return false
	case int64(len(body)) > most:
		x.refuse(policy.UpstreamTooLarge)
		return false
	}
	x.early = body
	x.answer.closeAfter()
	return true
}

// measure is what one exchange with an upstream took.
type measure struct {
	took     time.Duration
	attempts int
	endpoint string
}

// ask sends the exchange's request upstream, measured.
func (x *exchange) ask() error {
	m, err := x.route.pool.ask(x.ctx, x.wait(), &x.request, x.response)
	if err != nil || x.response.Stream() == nil {
		x.waited()
	}
	x.upstreamTime += m.took
	x.attempts, x.endpoint = m.attempts, m.endpoint
	return err
}

func (p *pool) ask(ctx context.Context, now time.Time, q *upstream.Request, r *upstream.Response) (measure, error) {
	q.Now = now
	p.metrics.Begin()
	err := p.Do(ctx, q, r)
	m := measure{took: r.Took(), attempts: r.Attempts(), endpoint: r.Endpoint()}
	p.metrics.End(upstreamResult(err), m.attempts, m.took)
	return m, err
}

// relay answers with the upstream's answer.
func (x *exchange) relay() {
	rt, resp := x.route, x.response
	if cache.Unsafe(x.method) {
		x.invalidate(resp)
	}
	stream := resp.Stream()
	body := resp.Body()
	if x.early != nil {
		stream, body = nil, x.early
	}
	if rt.filter != nil {
		contentType, _ := resp.Field("Content-Type")
		coding, _ := resp.Field("Content-Encoding")
		var r policy.Reason
		if body, r = rt.filtered(x.filterBuf[:0], resp.Status(), contentType, coding, body, x.method); r != policy.Allowed {
			x.refuse(r)
			return
		}
		x.filterBuf = body
	}
	x.code = resp.Status()
	x.answer.status(x.code)
	x.copyFields(resp)
	if x.route.cached {
		status := cache.Status{Forward: x.why}
		x.scratch = status.Append(x.scratch[:0], "hopgate")
		x.answer.addBytes(nameCacheStatus, x.scratch)
	}
	x.finishHead()
	switch {
	case stream != nil:
		if x.prefix != nil {
			stream = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(x.prefix), stream), stream}
		}
		x.stream(stream, resp.ContentLength())
	case x.method == "HEAD" || x.code == 304:
		// The length is that of the answer to GET, where the upstream says it
		// and no filter changes it.
		if n := resp.ContentLength(); n >= 0 && rt.filter == nil {
			x.answer.bodyLength(n)
		} else {
			x.answer.noLength()
		}
	default:
		x.answer.body(body)
		x.bytes = int64(len(body))
		x.passTrailers()
	}
}

// stream leaves the body to the transport, which ends the exchange when it
// has written it.
func (x *exchange) stream(body io.ReadCloser, length int64) {
	x.relayed = relayed{x: x, from: body, since: time.Now()}
	x.streaming = true
	x.answer.stream(&x.relayed, length)
}

// hint passes Early Hints of the upstream on (RFC 8297): its Link fields,
// where those of the final answer pass.
func (x *exchange) hint(r *upstream.Response) {
	if x.route.dropAnswer.has("Link") {
		return
	}
	var links [][]byte
	for i := range r.Len() {
		if name, value := r.FieldAt(i); equalText(name, "Link") {
			links = append(links, value)
		}
	}
	if len(links) > 0 {
		x.answer.hint(links)
	}
}

// fielder is an answer from which fields are copied.
type fielder interface {
	Len() int
	FieldAt(i int) (name, value []byte)
}

// copyFields copies what passes of an answer's fields. What would let a
// cache in front give the answer to another caller is rewritten.
func (x *exchange) copyFields(from fielder) {
	rt := x.route
	x.arena = x.arena[:0]
	for i := range from.Len() {
		name, value := from.FieldAt(i)
		if len(name) == 0 || rt.dropAnswer.has(lend(name)) {
			continue
		}
		x.dated = x.dated || equalText(name, "Date")
		if rt.private && equalText(name, "Cache-Control") {
			if len(x.arena) > 0 {
				x.arena = append(x.arena, ',')
			}
			x.arena = append(x.arena, value...)
			continue
		}
		x.answer.addBytes(name, value)
	}
	if rt.private {
		x.scratch = appendPrivate(x.scratch[:0], lend(x.arena), rt.cached)
		if x.freshFor > 0 && rt.cached && rt.Config.Cache.BrowserTTL > 0 && x.code < 300 {
			x.scratch = append(x.scratch[:0], "private, max-age="...)
			x.scratch = strconv.AppendInt(x.scratch, int64(min(x.freshFor, rt.Config.Cache.BrowserTTL)/time.Second), 10)
			// The next user of the browser is another caller.
			for _, name := range rt.credentials {
				x.answer.add("Vary", name)
			}
		}
		x.answer.addBytes(nameCacheControl, x.scratch)
	}
}

// filtered applies the route's response filter to a whole body. What is not
// JSON, or is encoded, or is only a part, cannot be filtered and is refused,
// never passed on.
func (rt *route) filtered(dst []byte, status int, contentType, coding, body []byte, method string) ([]byte, policy.Reason) {
	if len(body) == 0 && (method == "HEAD" || status == 204 || status == 304 || status == 205) {
		return dst, policy.Allowed
	}
	if status == 206 || len(coding) > 0 && !equalText(coding, "identity") || !isJSON(lend(contentType)) {
		return nil, policy.ResponseUnfilterable
	}
	out, err := rt.filter.Append(dst, body)
	if err != nil {
		return nil, policy.ResponseUnfilterable
	}
	return out, policy.Allowed
}

// isJSON tells whether a media type is JSON (RFC 8259, RFC 6839 section 3.1).
func isJSON(contentType string) bool {
	for i := 0; i < len(contentType); i++ {
		if contentType[i] == ';' {
			contentType = contentType[:i]
			break
		}
	}
	t := trimOWS(contentType)
	const suffix = "+json"
	return equalName(t, "application/json") || len(t) > len(suffix) && equalFold(t[len(t)-len(suffix):], suffix)
}

// relayed is an answer that streams through. It ends the exchange when the
// transport closes it.
type relayed struct {
	x     *exchange
	from  io.ReadCloser
	since time.Time
}

// errFault is that of a body that could not be read for a fault of ours.
var errFault = errors.New("reading the body met a fault of hopgate's own")

// Read implements io.Reader for the transport. A panic ends the one answer:
// the transport reads outside of serve.
func (r *relayed) Read(p []byte) (n int, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			r.x.gate.panicked(fault, debug.Stack())
			n, err = 0, errFault
		}
	}()
	n, err = r.from.Read(p)
	r.x.bytes += int64(n)
	if err == io.EOF {
		r.x.passTrailers()
	}
	return n, err
}

// Close implements io.Closer for the transport. It records the exchange and
// gives it back.
func (r *relayed) Close() error {
	x := r.x
	if x == nil {
		return nil // closed before
	}
	r.x = nil
	err := r.from.Close()
	x.waited()
	x.upstreamTime += time.Since(r.since)
	x.streaming = false
	x.gate.record(x)
	release(x)
	return err
}

// failure gives the reason of a failed exchange with an upstream.
func (x *exchange) failure(err error) policy.Reason {
	if x.ctx.Err() != nil {
		return policy.ClientGone
	}
	if errors.Is(err, upstream.ErrRequestBody) && x.upload.fault != "" {
		return x.upload.fault
	}
	return upstreamReason(err)
}

func upstreamReason(err error) policy.Reason {
	var reason reasonError
	switch {
	case errors.As(err, &reason):
		return policy.Reason(reason)
	case errors.Is(err, upstream.ErrTimeout):
		return policy.UpstreamTimeout
	case errors.Is(err, upstream.ErrTooLarge):
		return policy.UpstreamTooLarge
	case errors.Is(err, upstream.ErrInvalid):
		return policy.UpstreamInvalid
	case errors.Is(err, upstream.ErrOverloaded):
		return policy.Overloaded
	case errors.Is(err, upstream.ErrRequestBody):
		return policy.RequestMalformed
	}
	return policy.UpstreamUnavailable
}

func upstreamResult(err error) telemetry.UpstreamResult {
	switch {
	case err == nil:
		return telemetry.UpstreamOK
	case errors.Is(err, upstream.ErrTimeout):
		return telemetry.UpstreamTimeout
	case errors.Is(err, upstream.ErrTooLarge):
		return telemetry.UpstreamTooLarge
	case errors.Is(err, upstream.ErrInvalid):
		return telemetry.UpstreamInvalid
	case errors.Is(err, context.Canceled), errors.Is(err, upstream.ErrRequestBody):
		return telemetry.UpstreamCanceled
	}
	return telemetry.UpstreamUnavailable
}
