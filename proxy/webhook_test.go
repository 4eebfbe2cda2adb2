package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	hookSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	rotatedSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

const hookedRoutes = purgedRoutes + `
webhooks:
  clerk: {path: /webhooks/clerk, secret: ["` + rotatedSecret + `", "` + hookSecret + `"], preset: clerk}
  own: {path: /webhooks/own, secret: "` + hookSecret + `", principals: data.users.id, tags: data.tags, organizations: [org, orgs], sessions: number, routes: public, soft: true}
`

// hookSignature signs as a sender does, by the letter of the specification.
func hookSignature(secret, id, timestamp, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, id+"."+timestamp+"."+body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// event sends a signed event.
func (w *world) event(path, id, body string) reply {
	w.t.Helper()
	now := strconv.FormatInt(w.clock.now().Unix(), 10)
	return w.do("POST", path, body, [2]string{"webhook-id", id}, [2]string{"webhook-timestamp", now},
		[2]string{"webhook-signature", hookSignature(hookSecret, id, now, body)})
}

// TestWebhookVector verifies the example of the Standard Webhooks
// specification, which Svix publishes too.
func TestWebhookVector(t *testing.T) {
	w := newWorld(t, settings(hookedRoutes))
	hook := w.gate.Current().webhooks["/webhooks/own"]
	const body = `{"test": 2432232314}`
	for _, prefix := range []string{"webhook", "svix", "Webhook"} {
		h := header{
			{prefix + "-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
			{prefix + "-timestamp", "1614265330"},
			{prefix + "-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		}
		d, fault := readDelivery(h)
		if fault != "" || !hook.verifies(d, []byte(body)) || d.at.Unix() != 1614265330 {
			t.Errorf("%s: %+v %s", prefix, d, fault)
		}
		if hook.verifies(d, []byte(body+" ")) {
			t.Errorf("%s: another body verifies", prefix)
		}
	}
}

// TestWebhookVerifies accepts what is signed rightly and now, and nothing
// else.
func TestWebhookVerifies(t *testing.T) {
	w := newWorld(t, settings(hookedRoutes))
	const body = `{"type":"user.updated","data":{"id":"nobody"}}`
	now := time.Now()
	at := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
	right := hookSignature(hookSecret, "msg_1", at(0), body)
	wrong := hookSignature(hookSecret, "msg_1", at(0), body+" ")
	fields := func(id, timestamp, signature string) [][2]string {
		return [][2]string{{"webhook-id", id}, {"webhook-timestamp", timestamp}, {"webhook-signature", signature}}
	}
	for _, test := range []struct {
		name   string
		method string
		body   string
		fields [][2]string
		status int
		reason string
	}{
		{"right", "POST", body, fields("msg_1", at(0), right), 204, ""},
		{"Svix's names", "POST", body, [][2]string{{"svix-id", "msg_1"}, {"svix-timestamp", at(0)}, {"svix-signature", right}}, 204, ""},
		{"the other secret", "POST", body, fields("msg_1", at(0), hookSignature(rotatedSecret, "msg_1", at(0), body)), 204, ""},
		{"one of several", "POST", body, fields("msg_1", at(0), wrong+" v1a,x "+right), 204, ""},
		{"four minutes old", "POST", body, fields("msg_2", at(-4*time.Minute), hookSignature(hookSecret, "msg_2", at(-4*time.Minute), body)), 204, ""},
		{"four minutes ahead", "POST", body, fields("msg_3", at(4*time.Minute), hookSignature(hookSecret, "msg_3", at(4*time.Minute), body)), 204, ""},

		{"six minutes old", "POST", body, fields("msg_4", at(-6*time.Minute), hookSignature(hookSecret, "msg_4", at(-6*time.Minute), body)), 401, "webhook_unverified"},
		{"six minutes ahead", "POST", body, fields("msg_5", at(6*time.Minute), hookSignature(hookSecret, "msg_5", at(6*time.Minute), body)), 401, "webhook_unverified"},
		{"another body", "POST", body + " ", fields("msg_1", at(0), right), 401, "webhook_unverified"},
		{"another id", "POST", body, fields("msg_9", at(0), right), 401, "webhook_unverified"},
		{"another time", "POST", body, fields("msg_1", at(time.Second), right), 401, "webhook_unverified"},
		{"another secret", "POST", body, fields("msg_1", at(0), hookSignature("whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", "msg_1", at(0), body)), 401, "webhook_unverified"},
		{"another version", "POST", body, fields("msg_1", at(0), "v2"+right[2:]), 401, "webhook_unverified"},
		{"no version", "POST", body, fields("msg_1", at(0), right[3:]), 401, "webhook_unverified"},
		{"a shorter signature", "POST", body, fields("msg_1", at(0), right[:len(right)-5]), 401, "webhook_unverified"},
		{"an empty signature", "POST", body, fields("msg_1", at(0), "v1,"), 401, "webhook_unverified"},
		{"no fields", "POST", body, nil, 401, "webhook_unverified"},
		{"no id", "POST", body, fields("msg_1", at(0), right)[1:], 401, "webhook_unverified"},
		{"no time", "POST", body, [][2]string{{"webhook-id", "msg_1"}, {"webhook-signature", right}}, 401, "webhook_unverified"},
		{"no signature", "POST", body, fields("msg_1", at(0), right)[:2], 401, "webhook_unverified"},
		{"two ids", "POST", body, append(fields("msg_1", at(0), right), [2]string{"webhook-id", "msg_1"}), 401, "webhook_unverified"},
		{"mixed names", "POST", body, [][2]string{{"webhook-id", "msg_1"}, {"svix-timestamp", at(0)}, {"svix-signature", right}}, 401, "webhook_unverified"},
		{"a time that is none", "POST", body, fields("msg_1", "+"+at(0), hookSignature(hookSecret, "msg_1", "+"+at(0), body)), 401, "webhook_unverified"},
		{"an id with a full stop", "POST", body, fields("msg.1", at(0), hookSignature(hookSecret, "msg.1", at(0), body)), 401, "webhook_unverified"},
		{"a long id", "POST", body, fields(strings.Repeat("x", 257), at(0), hookSignature(hookSecret, strings.Repeat("x", 257), at(0), body)), 401, "webhook_unverified"},
		{"no JSON", "POST", "user", fields("msg_6", at(0), hookSignature(hookSecret, "msg_6", at(0), "user")), 400, "body_malformed"},
		{"two events", "POST", "{} {}", fields("msg_6", at(0), hookSignature(hookSecret, "msg_6", at(0), "{} {}")), 400, "body_malformed"},
		{"another method", "PUT", body, fields("msg_1", at(0), right), 405, "method_not_allowed"},
		{"a look", "GET", "", nil, 405, "method_not_allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := w.do(test.method, "/webhooks/clerk", test.body, test.fields...)
			if r.status != test.status || r.reason() != test.reason {
				t.Errorf("%d %s, want %d %s", r.status, r.body, test.status, test.reason)
			}
			challenge := r.header.Get("WWW-Authenticate")
			if (r.status == 401) != (challenge == `Webhook-Signature realm="hopgate"`) {
				t.Errorf("challenge %q", challenge)
			}
			if (r.status == 405) != (r.header.Get("Allow") == "POST") {
				t.Errorf("Allow %q", r.header.Get("Allow"))
			}
		})
	}
	if n := w.backend.hits.Load(); n != 0 {
		t.Errorf("%d events reached the backend", n)
	}
	// A sender of a body that is too large is told before all of it came.
	if got := w.raw(fmt.Sprintf("POST /webhooks/clerk HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", maxEvent+1, strings.Repeat(" ", prefetch))); !strings.HasPrefix(got, "413 ") {
		t.Errorf("a large body: %s", got)
	}
	// A sender that holds its body back is told at once.
	if got := w.raw("POST /webhooks/clerk HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "401 ") {
		t.Errorf("100-continue: %s", got)
	}
	signed := fmt.Sprintf("webhook-id: msg_7\r\nwebhook-timestamp: %s\r\nwebhook-signature: %s\r\n", at(0), hookSignature(hookSecret, "msg_7", at(0), "{}"))
	if got := w.raw("POST /webhooks/clerk HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n" + signed + "\r\n{}"); !strings.HasPrefix(got, "204 ") {
		t.Errorf("as bytes: %s", got)
	}
	for result, want := range map[string]string{"ignored": "", "repeated": "3", "purged": "3", "refused": "5"} {
		if got := w.metric(`hopgate_webhook_events_total{result="` + result + `",webhook="clerk"}`); want != "" && got != want {
			t.Errorf("%s: %s, want %s", result, got, want)
		}
	}
	if log := w.logged(); strings.Count(log, `"reason":"webhook_accepted"`) != 7 || !strings.Contains(log, `"reason":"webhook_unverified"`) || strings.Contains(log, "v1,") {
		t.Errorf("the access log:\n%s", log)
	}
}

// TestWebhookPurges: what an event is about is a miss with the very next
// request, and nothing else is.
func TestWebhookPurges(t *testing.T) {
	w := newWorld(t, settings(hookedRoutes))
	alice := w.bearer(claims{"sub": "user_a", "org_id": "acme", "sid": "sess_a"})
	bob := w.bearer(claims{"sub": "user_b", "org_id": "globex", "sid": "sess_b"})
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Tag", strings.ReplaceAll(r.URL.Path[1:], "/", "-"))
		_, _ = io.WriteString(rw, "x")
	})
	asks := map[string]func() reply{
		"alice":  func() reply { return w.do("GET", "/users/user_a", "", alice) },
		"bob":    func() reply { return w.do("GET", "/users/user_b", "", bob) },
		"acme":   func() reply { return w.do("GET", "/orgs/acme", "", alice) },
		"globex": func() reply { return w.do("GET", "/orgs/globex", "", bob) },
		"public": func() reply { return w.do("GET", "/public/x", "") },
	}
	for i, test := range []struct{ path, event, gone string }{
		{"clerk", `{"type":"user.updated","object":"event","data":{"id":"user_a"}}`, "alice"},
		{"clerk", `{"type":"user.deleted","data":{"id":"user_b","deleted":true}}`, "bob"},
		{"clerk", `{"type":"session.revoked","data":{"id":"sess_a","user_id":"user_a"}}`, "alice"},
		{"clerk", `{"type":"session.ended","data":{"id":"sess_b"}}`, "bob"},
		{"clerk", `{"type":"organization.updated","data":{"id":"acme"}}`, "acme alice"},
		{"clerk", `{"type":"organizationMembership.deleted","data":{"organization":{"id":"globex"},"public_user_data":{"user_id":"user_a"}}}`, "globex bob alice"},
		{"clerk", `{"type":"organizationInvitation.accepted","data":{"organization_id":"globex"}}`, "globex bob"},
		{"clerk", `{"type":"email.created","data":{"id":"user_a"}}`, ""},
		{"clerk", `{"type":"users.updated","data":{"id":"user_a"}}`, ""},
		{"clerk", `{"type":["user.updated","user.x"],"data":{"id":"user_a"}}`, ""},
		{"clerk", `{"data":{"id":"user_a"}}`, ""},
		{"clerk", `[]`, ""},
		{"own", `{}`, "public"},
		{"own", `{"data":{"users":[{"id":"user_a"},{"id":"user_b"}]}}`, "public alice bob"},
		{"own", `{"data":{"tags":["orgs-acme",{"x":1},""]}}`, "public acme"},
		{"own", `{"org":"acme","orgs":["globex"],"number":17}`, "public acme alice globex bob"},
	} {
		for name, ask := range asks {
			ask()
			if got := status(ask()); !strings.Contains(got, "hit") {
				t.Fatalf("%s is not stored: %s", name, got)
			}
		}
		if r := w.event("/webhooks/"+test.path, fmt.Sprint("msg_", i), test.event); r.status != 204 || r.body != "" {
			t.Fatalf("%s: %d %s", test.event, r.status, r.body)
		}
		for name, ask := range asks {
			got := status(ask())
			gone := !strings.Contains(got, "hit") || strings.Contains(got, "ttl=-") || strings.Contains(got, "ttl=0")
			if gone != strings.Contains(" "+test.gone+" ", " "+name+" ") {
				t.Errorf("%s: %s is gone: %t (%s)", test.event, name, gone, got)
			}
		}
		eventually(t, "renewed", func() bool {
			for _, ask := range asks {
				if got := status(ask()); !strings.Contains(got, "hit") || strings.Contains(got, "ttl=-") || strings.Contains(got, "ttl=0") {
					return false
				}
			}
			return true
		})
	}
}

// TestWebhookRepeats: an event that is sent again within the tolerance has
// no effect, also after a reload; later it has one.
func TestWebhookRepeats(t *testing.T) {
	w := newWorld(t, settings(hookedRoutes))
	const event = `{"type":"user.updated","data":{"id":"user_a"}}`
	alice := w.bearer(claims{"sub": "user_a"})
	ask := func() string { return status(w.do("GET", "/users/user_a", "", alice)) }
	ask()
	send := func(id, want string) {
		t.Helper()
		if r := w.event("/webhooks/clerk", id, event); r.status != 204 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if got := ask(); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	send("msg_1", "fwd=")
	send("msg_1", "hit")
	w.publish(t.Context(), settings(hookedRoutes))
	send("msg_1", "hit")
	send("msg_2", "fwd=")
	w.advance(6 * time.Minute)
	send("msg_1", "fwd=")
	if got := w.metric(`hopgate_webhook_events_total{result="repeated",webhook="clerk"}`); got != "2" {
		t.Errorf("repeated: %s", got)
	}
	// However many come, what is kept is bounded, and the last are known.
	r := w.gate.Current().webhooks["/webhooks/clerk"].received
	until := time.Now().Add(time.Hour)
	for i := range 3 * maxReceived {
		r.add(fmt.Sprint(i), until)
	}
	if len(r.until) != maxReceived || len(r.order) != maxReceived || r.has(fmt.Sprint(2*maxReceived-1), time.Now()) || !r.has(fmt.Sprint(2*maxReceived), time.Now()) || !r.has(fmt.Sprint(3*maxReceived-1), time.Now()) {
		t.Errorf("%d events are kept", len(r.until))
	}
}

// TestWebhookReachesFetches: an answer whose fetch began before an event is
// given to nobody who asks after it.
func TestWebhookReachesFetches(t *testing.T) {
	w := newWorld(t, settings(hookedRoutes))
	alice := w.bearer(claims{"sub": "user_a"})
	old, hold := make(chan struct{}), make(chan struct{})
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		close(old)
		<-hold
		_, _ = io.WriteString(rw, "before")
	})
	before := make(chan reply, 1)
	go func() { before <- w.do("GET", "/users/user_a", "", alice) }()
	<-old
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "after") })
	if r := w.event("/webhooks/clerk", "msg_1", `{"type":"user.updated","data":{"id":"user_a"}}`); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	close(hold)
	if r := <-before; r.body != "before" {
		t.Errorf("asked before the event: %s", r.body)
	}
	if r := w.do("GET", "/users/user_a", "", alice); r.body != "after" || strings.Contains(status(r), "hit") {
		t.Errorf("asked after the event: %s %s", r.body, status(r))
	}
}

// TestWebhookAndInspect: an inspection of a webhook's path is no event.
func TestWebhookAndInspect(t *testing.T) {
	w := newWorld(t, settings(hookedRoutes))
	if in := w.inspect(t, Question{Method: "POST", URL: w.url + "/webhooks/clerk"}); in.Decision.Reason != "webhook_unverified" || in.Route != "" {
		t.Errorf("%+v", in)
	}
	if in := w.inspect(t, Question{Method: "GET", URL: w.url + "/webhooks/clerk"}); in.Decision.Reason != "method_not_allowed" {
		t.Errorf("%+v", in)
	}
	if s := w.gate.Current(); s.Webhook("/webhooks/own") != "own" || s.Webhook("/webhooks") != "" {
		t.Error("the webhooks' names")
	}
}

// FuzzWebhook gives whatever may come to where events are read: nothing
// verifies but what was signed, and nothing without a name is purged.
func FuzzWebhook(f *testing.F) {
	f.Add("msg_1", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", `{"type":"user.updated","data":{"id":"user_a"}}`)
	f.Add("msg_1", "1", "v1, v1,= v1a,AAAA", `{"type":"organizationMembership.x","data":[{"organization":{"id":1e9}}]}`)
	f.Add("", "-1", "", `[[[{"type":"session.x","data":{"id":"\u0000","user_id":""}}]]]`)
	f.Add("a", "99999999999999999999", "v1", "{")
	key := []byte("0123456789abcdef01234567")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(key)
	hook := &webhook{keys: [][]byte{key}, clerk: true, found: []eventPlace{{[]string{"data", "tags"}, func(p *Purge) *[]string { return &p.Tags }}}}
	f.Fuzz(func(t *testing.T, id, timestamp, signature, body string) {
		d, fault := readDelivery(header{{"webhook-id", id}, {"webhook-timestamp", timestamp}, {"webhook-signature", signature}})
		if fault == "" {
			right := hookSignature(secret, id, timestamp, body)
			if hook.verifies(d, []byte(body)) != strings.Contains(" "+strings.Join(strings.Fields(signature), " ")+" ", " "+right+" ") {
				t.Fatalf("%q", signature)
			}
			d.signatures += " " + right
			if !hook.verifies(d, []byte(body)) || hook.verifies(d, []byte(body+"x")) {
				t.Fatalf("%q %q", d.signatures, body)
			}
		}
		p, ok := hook.named([]byte(body))
		if !ok && len(p.Principals)+len(p.Organizations)+len(p.Sessions)+len(p.Tags) > 0 {
			t.Fatalf("%+v of what cannot be read", p)
		}
		for _, names := range [][]string{p.Principals, p.Organizations, p.Sessions, p.Tags} {
			for _, name := range names {
				if name == "" {
					t.Fatalf("an empty name: %+v", p)
				}
			}
		}
	})
}
