package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/telemetry"
)

// maxEvent is the largest event that is received.
const maxEvent = 1 << 20

// webhook is a place at which signed events are received, which make stored
// answers be forgotten (Standard Webhooks; Svix, which Clerk uses, sends the
// same under other names).
type webhook struct {
	name      string
	keys      [][]byte
	tolerance time.Duration
	clerk     bool
	purge     Purge // what every event purges
	found     []eventPlace
	received  *receipts
}

// eventPlace is where in an event names stand that are purged.
type eventPlace struct {
	path []string
	into func(*Purge) *[]string
}

func (s *Snapshot) compileWebhooks(cfg *config.Config, prev *Snapshot) {
	s.webhooks = make(map[string]*webhook, len(cfg.Webhooks))
	for name, c := range cfg.Webhooks {
		w := &webhook{
			name: name, tolerance: c.Tolerance, clerk: c.Preset == "clerk",
			purge: Purge{Routes: c.Routes, Soft: c.Soft},
		}
		for _, secret := range c.Secret {
			if key, ok := config.WebhookKey(secret); ok {
				w.keys = append(w.keys, key)
			}
		}
		for _, list := range []struct {
			paths []string
			into  func(*Purge) *[]string
		}{
			{c.Principals, func(p *Purge) *[]string { return &p.Principals }},
			{c.Organizations, func(p *Purge) *[]string { return &p.Organizations }},
			{c.Sessions, func(p *Purge) *[]string { return &p.Sessions }},
			{c.Tags, func(p *Purge) *[]string { return &p.Tags }},
		} {
			for _, path := range list.paths {
				w.found = append(w.found, eventPlace{strings.Split(path, "."), list.into})
			}
		}
		for _, old := range prev.webhooks {
			if old.name == name {
				w.received = old.received
			}
		}
		if w.received == nil {
			w.received = &receipts{until: make(map[string]int64)}
		}
		s.webhooks[c.Path] = w
	}
}

// Webhook gives the name of the webhook that receives events at a path,
// empty if there is none.
func (s *Snapshot) Webhook(path string) string {
	if w := s.webhooks[path]; w != nil {
		return w.name
	}
	return ""
}

// receive serves a request to a webhook. What the event names is forgotten
// when the sender has the answer.
func (x *exchange) receive(w *webhook) {
	result, r := x.take(w)
	x.gate.metrics.Webhook(w.name, result)
	if r != policy.WebhookAccepted {
		x.refuse(r)
		return
	}
	x.reason, x.code = r, r.Outcome().Status
	x.answer.status(x.code)
	x.finishHead()
}

// take verifies an event and purges what it names.
func (x *exchange) take(w *webhook) (telemetry.WebhookResult, policy.Reason) {
	d, r := x.expect(w)
	if r == policy.Allowed {
		r = x.readUpTo(maxEvent)
	}
	if r == policy.Allowed && !w.verifies(d, x.content) {
		r = x.distrust(w, "no signature is right")
	}
	switch {
	case r == policy.WebhookUnverified:
		return telemetry.WebhookUnverified, r
	case r != policy.Allowed:
		return telemetry.WebhookRefused, r
	case w.received.has(d.id, x.start):
		return telemetry.WebhookRepeated, policy.WebhookAccepted
	}
	p, ok := w.named(x.content)
	if !ok {
		return telemetry.WebhookRefused, policy.BodyMalformed
	}
	result := telemetry.WebhookIgnored
	if len(p.Routes)+len(p.Principals)+len(p.Organizations)+len(p.Sessions)+len(p.Tags) > 0 {
		x.gate.purge(p)
		result = telemetry.WebhookPurged
	}
	w.received.add(d.id, d.at.Add(w.tolerance))
	return result, policy.WebhookAccepted
}

// expect checks what of a request to a webhook comes before its body.
func (x *exchange) expect(w *webhook) (delivery, policy.Reason) {
	if x.method != "POST" {
		x.allow = "POST"
		return delivery{}, policy.MethodNotAllowed
	}
	if x.framing.length > maxEvent {
		return delivery{}, policy.BodyTooLarge
	}
	d, fault := readDelivery(x.fields)
	if fault == "" {
		if skew := x.start.Sub(d.at).Abs(); skew > w.tolerance {
			fault = "its time is " + skew.Round(time.Second).String() + " off"
		}
	}
	if fault != "" {
		return d, x.distrust(w, fault)
	}
	return d, policy.Allowed
}

// distrust tells the operator, and nobody else, why an event is not verified.
func (x *exchange) distrust(w *webhook, why string) policy.Reason {
	x.gate.log.Debug("an event is not verified", "webhook", w.name, "why", why, "request_id", string(x.requestID))
	return policy.WebhookUnverified
}

// delivery is what a sender says of an event beside its body.
type delivery struct {
	id, time, signatures string
	at                   time.Time
}

// longestEventID bounds what is kept of each event.
const longestEventID = 256

// readDelivery reads the fields of a signed event; fault says what is wrong.
func readDelivery(h header) (d delivery, fault string) {
	names := [...]string{"webhook-id", "webhook-timestamp", "webhook-signature"}
	if !h.has(names[0]) {
		names = [...]string{"svix-id", "svix-timestamp", "svix-signature"}
	}
	for i, into := range []*string{&d.id, &d.time, &d.signatures} {
		value, n := h.Field(names[i])
		if n != 1 || value == "" {
			return d, "it has no " + names[i] + ", or several"
		}
		*into = value
	}
	// A full stop separates what is signed.
	if len(d.id) > longestEventID || strings.IndexByte(d.id, '.') >= 0 {
		return d, "its id is too long, or has a full stop"
	}
	seconds, err := strconv.ParseUint(d.time, 10, 40)
	if err != nil || d.time[0] == '+' {
		return d, "its time is no number of seconds"
	}
	d.at = time.Unix(int64(seconds), 0)
	return d, ""
}

// verifies tells whether one of the signatures is right for the body. How
// long it takes does not depend on how nearly it is.
func (w *webhook) verifies(d delivery, body []byte) bool {
	const scheme = "v1,"
	right := false
	for _, key := range w.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(d.id + "." + d.time + "."))
		mac.Write(body)
		sum := mac.Sum(nil)
		for signature := range strings.FieldsSeq(d.signatures) {
			text, ok := strings.CutPrefix(signature, scheme)
			if !ok {
				continue // of a scheme that we have no key for
			}
			given, err := base64.StdEncoding.Strict().DecodeString(text)
			right = hmac.Equal(given, sum) && err == nil || right
		}
	}
	return right
}

// named gives what an event purges; false where it cannot be read.
func (w *webhook) named(body []byte) (p Purge, ok bool) {
	p = w.purge
	if len(w.found) == 0 && !w.clerk {
		return p, true
	}
	d := json.NewDecoder(strings.NewReader(lend(body)))
	d.UseNumber()
	var event any
	if d.Decode(&event) != nil || d.More() {
		return p, false
	}
	for _, f := range w.found {
		gather(f.into(&p), event, f.path)
	}
	if w.clerk {
		p.addClerk(event)
	}
	return p, true
}

// addClerk adds what an event of Clerk is about.
func (p *Purge) addClerk(event any) {
	var kinds []string
	gather(&kinds, event, []string{"type"})
	if len(kinds) != 1 {
		return
	}
	kind, _, _ := strings.Cut(kinds[0], ".")
	switch kind {
	case "user":
		gather(&p.Principals, event, []string{"data", "id"})
	case "session":
		gather(&p.Principals, event, []string{"data", "user_id"})
		gather(&p.Sessions, event, []string{"data", "id"})
	case "organization":
		gather(&p.Organizations, event, []string{"data", "id"})
	case "organizationMembership":
		gather(&p.Organizations, event, []string{"data", "organization", "id"})
		gather(&p.Principals, event, []string{"data", "public_user_data", "user_id"})
	case "organizationInvitation", "organizationDomain":
		gather(&p.Organizations, event, []string{"data", "organization_id"})
	}
}

// gather appends the texts and numbers at a path of members. Of an array it
// looks at each element.
func gather(into *[]string, v any, path []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			gather(into, e, path)
		}
	case map[string]any:
		if len(path) > 0 {
			gather(into, v[path[0]], path[1:])
		}
	case string:
		if len(path) == 0 && v != "" {
			*into = append(*into, v)
		}
	case json.Number:
		if len(path) == 0 {
			*into = append(*into, v.String())
		}
	}
}

// receipts remember events, so that one that is sent again has no effect a
// second time. It is safe for concurrent use.
type receipts struct {
	mu    sync.Mutex
	until map[string]int64 // by id: when its time is too old to be accepted, in Unix seconds
	order []string         // a ring of the ids
	next  int
}

// maxReceived bounds the memory at 1 MiB a webhook. Where more events come
// within the tolerance, the oldest are forgotten; they could be sent again
// then, which costs a fetch and nothing else.
const maxReceived = 4096

func (r *receipts) has(id string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, ok := r.until[id]
	return ok && now.Unix() <= until
}

// add remembers an event; the id is copied.
func (r *receipts) add(id string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.until[id]
	id = strings.Clone(id)
	switch {
	case known:
	case len(r.order) < maxReceived:
		r.order = append(r.order, id)
	default:
		delete(r.until, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % maxReceived
	}
	r.until[id] = max(r.until[id], until.Unix())
}
