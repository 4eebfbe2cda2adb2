package policy

import "testing"

// TestCertificate reads the identity of a client certificate in rules, and
// denies where there is none.
func TestCertificate(t *testing.T) {
	p := load(t, `routes:
  - id: by-subject
    match: {path: /subject}
    anonymous: true
    allow: client.cert_subject == "CN=alice,O=Acme"
    upstream: u
  - id: by-name
    match: {path: /name}
    anonymous: true
    allow: '"alice.example" in client.cert_names && client.cert_fingerprint.startsWith("ab")'
    upstream: u
  - id: whether
    match: {path: /whether}
    anonymous: true
    allow: "!has(client.cert_subject)"
    upstream: u
`)
	alice := &Certificate{Subject: "CN=alice,O=Acme", Names: []string{"alice.example"}, Fingerprint: "abcd"}
	bob := &Certificate{Subject: "CN=bob,O=Acme", Fingerprint: "abcd"}
	for _, c := range []struct {
		path string
		cert *Certificate
		want Reason
	}{
		{"/subject", alice, Allowed}, {"/subject", bob, RuleDenied}, {"/subject", nil, RuleFailed},
		{"/name", alice, Allowed}, {"/name", bob, RuleDenied}, {"/name", nil, RuleFailed},
		{"/whether", alice, RuleDenied}, {"/whether", nil, Allowed},
	} {
		var m Match
		if r := p.Match(&m, "GET", "h", c.path); r != Allowed {
			t.Fatal(r)
		}
		if d := m.Route.Decide(&m, &Request{Method: "GET", Host: "h", Path: c.path, Certificate: c.cert}, nil); d.Reason != c.want {
			t.Errorf("%s with %v: %s, want %s", c.path, c.cert, d.Reason, c.want)
		}
	}
}
