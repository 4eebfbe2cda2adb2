package proxy

import (
	"encoding/json"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"hopgate/policy"
)

// answerer writes the answer of one exchange. The transport's adapter
// implements it. Names and values are copied, or written before they are
// reused. A body is lent until the exchange is released, and a transport
// that writes it later copies it; that of staticBody never changes.
type answerer interface {
	status(code int)
	add(name, value string)
	addBytes(name, value []byte)
	body(b []byte)
	staticBody(b []byte)
	stream(r io.ReadCloser, length int64) // length -1: unknown; closed once written or given up
	bodyLength(n int64)                   // Content-Length of an answer without its body
	noLength()                            // an answer without a body, whose length nobody knows
	hints() bool                          // the transport can send interim answers
	hint(links [][]byte)                  // it sends Early Hints (103, RFC 8297) with these Link fields
	duplex() bool                         // an answer can be written while the request is read
	tunnels() bool                        // the transport can be taken over
	trailer(name, value []byte)           // a field after the body, where the transport can send it
	// tunnel takes the transport over: run is called once the head has gone
	// out, or else abandon, once, when the client is gone before.
	tunnel(run func(client net.Conn), abandon func())
	closeAfter() // the connection is closed after this answer
	reset()      // as if nothing had been set
}

// problemType is the prefix of the type of every problem document; the
// reason's word follows it.
const problemType = "urn:problem-type:hopgate:"

// problem is the part of an error answer that is known when the program
// starts: everything but the request id.
type problem struct {
	outcome   policy.Outcome
	head      []byte // JSON up to the request id
	challenge string // WWW-Authenticate, or empty
}

var problems = func() map[policy.Reason]*problem {
	m := make(map[policy.Reason]*problem)
	for _, r := range policy.Reasons() {
		o := r.Outcome()
		head, err := json.Marshal(struct {
			Type   string        `json:"type"`
			Title  string        `json:"title"`
			Status int           `json:"status"`
			Detail string        `json:"detail,omitempty"`
			Reason policy.Reason `json:"reason"`
		}{problemType + string(r), o.Title, o.Status, o.Detail, r})
		if err != nil {
			panic(err) // strings and numbers always marshal
		}
		p := &problem{outcome: o, head: append(head[:len(head)-1], `,"request_id":"`...)}
		switch o.Challenge {
		case policy.NoChallenge:
		case policy.BareChallenge:
			p.challenge = `Bearer realm="hopgate"`
		case policy.SignedWebhook:
			p.challenge = `Webhook-Signature realm="hopgate"`
		default:
			p.challenge = `Bearer realm="hopgate", error="` + string(o.Challenge) + `", error_description="` + o.Title + `"`
		}
		m[r] = p
	}
	return m
}()

// problemTail ends a problem document after the request id.
const problemTail = "\"}\n"

// refuse answers with the problem document of a reason (RFC 9457).
func (x *exchange) refuse(r policy.Reason) {
	p := problems[r]
	if p == nil {
		p = problems[policy.InternalError]
	}
	x.reason = r
	x.answer.status(p.outcome.Status)
	x.code = p.outcome.Status
	x.answer.add("Content-Type", "application/problem+json")
	x.answer.add("Cache-Control", "no-store")
	if p.challenge != "" {
		x.answer.add("WWW-Authenticate", p.challenge)
	}
	switch r {
	case policy.MethodNotAllowed:
		x.answer.add("Allow", x.allow)
	case policy.Overloaded:
		x.answer.add("Retry-After", "1")
	}
	if p.outcome.Close {
		x.answer.closeAfter()
	}
	x.finishHead()
	x.scratch = append(x.scratch[:0], p.head...)
	x.scratch = append(x.scratch, x.requestID...)
	x.scratch = append(x.scratch, problemTail...)
	x.answer.body(x.scratch)
	x.bytes = int64(len(x.scratch))
}

// imfFixdate is the form of a date (RFC 9110 section 5.6.7).
const imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"

// date is the text of a Date field, which is written once a second.
type date struct{ now atomic.Pointer[dated] }

type dated struct {
	second int64
	text   []byte
}

// of gives the date of a moment; it never changes.
func (d *date) of(t time.Time) []byte {
	second := t.Unix()
	now := d.now.Load()
	if now == nil || now.second != second {
		now = &dated{second, t.UTC().AppendFormat(nil, imfFixdate)}
		d.now.Store(now)
	}
	return now.text
}

// finishHead adds the fields that every answer has.
func (x *exchange) finishHead() {
	if x.cors != nil {
		x.cors.mark(x)
	}
	x.answer.addBytes(x.snapshot.requestIDName, x.requestID)
	x.answered = x.moment()
	if !x.dated {
		x.answer.addBytes(nameDate, x.gate.date.of(x.answered))
	}
	x.scratch = appendServerTiming(x.scratch[:0], x.hop(x.answered), x.upstreamTime)
	x.answer.addBytes(nameServerTiming, x.scratch)
}

var (
	nameDate         = []byte("Date")
	nameServerTiming = []byte("Server-Timing")
	nameCacheStatus  = []byte("Cache-Status")
	nameAge          = []byte("Age")
	nameContentRange = []byte("Content-Range")
	nameRetryAfter   = []byte("Retry-After")
)

// appendServerTiming writes the hop's own time, and the upstream's where it
// was asked, in milliseconds (W3C Server Timing).
func appendServerTiming(b []byte, hop, upstream time.Duration) []byte {
	b = append(b, "hop;dur="...)
	b = appendMillis(b, hop)
	if upstream > 0 {
		b = append(b, ", upstream;dur="...)
		b = appendMillis(b, upstream)
	}
	return b
}

// appendMillis writes a duration in milliseconds with three decimals.
func appendMillis(b []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	b = strconv.AppendInt(b, us/1000, 10)
	b = append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
	return b
}
