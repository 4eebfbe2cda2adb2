package config

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// webhookSecret is the one of the Standard Webhooks specification.
const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func parseWebhook(text string) (*Config, *Errors) {
	return Parse("f.yaml", []byte(`
upstreams: {u: {endpoints: "https://api.example.com"}}
routes:
  - {id: r, match: {path: /r}, anonymous: true, upstream: u, cache: {ttl: 1s}}
  - {id: s, match: {path: /hooks/s}, anonymous: true, upstream: u}
webhooks:
`+text), env("SECRET", webhookSecret, "SHORT", "whsec_c2hvcnQ="))
}

func TestWebhooks(t *testing.T) {
	cfg, errs := parseWebhook(`
  clerk: {path: /hooks/clerk, secret: "${SECRET}", preset: clerk}
  own.2:
    path: /hooks/own
    secret: ["${SECRET}", "${SECRET}"]
    tolerance: 1m
    principals: data.user
    sessions: [a, b.c]
    routes: r
    soft: true
`)
	if got := append(faults(errs), lines(errs.Warnings())...); len(got) > 0 {
		t.Fatal(got)
	}
	clerk, own := cfg.Webhooks["clerk"], cfg.Webhooks["own.2"]
	if clerk.Tolerance != 5*time.Minute || clerk.Preset != "clerk" || clerk.Soft || own.Preset != "none" || !own.Soft || own.Tolerance != time.Minute || len(own.Secret) != 2 || own.Sessions[1] != "b.c" {
		t.Errorf("%+v\n%+v", clerk, own)
	}
	for _, text := range []string{webhookSecret, strings.TrimPrefix(webhookSecret, "whsec_")} {
		if key, ok := WebhookKey(NewSecret(text)); !ok || len(key) != 24 {
			t.Errorf("%s: %d bytes", text, len(key))
		}
	}
	// The printed one hides the secrets, and is good.
	printed := cfg.Redacted()
	if bytes.Contains(printed, []byte("MfKQ9r8")) || bytes.Count(printed, []byte(mask)) != 3 {
		t.Errorf("%s", printed)
	}
	if _, errs := Parse("printed.yaml", printed, env()); errs.Err() != nil {
		t.Errorf("the printed configuration: %v\n%s", errs.Err(), printed)
	}
}

func TestWebhookFaults(t *testing.T) {
	const good = `path: /hooks/a, secret: "${SECRET}", routes: r`
	for _, c := range []struct{ text, fault, warning string }{
		{`a: {` + good + `}`, "", ""},
		{`a: {secret: "${SECRET}", routes: r}`, "path is missing", ""},
		{`a: {path: /hooks/a, routes: r}`, "secret is missing", ""},
		{`a: {path: /hooks/a, secret: [], routes: r}`, "secret is empty", ""},
		{`a: {path: /hooks/a, secret: "${SHORT}", routes: r}`, "7:31: secret is no signing secret; it should be whsec_ and the base64 of at least 24 bytes", ""},
		{`a: {path: /hooks/a, secret: ["${SECRET}", "${SHORT}"], routes: r}`, "7:45: secret is no signing secret", ""},
		{`a: {path: /hooks/a, secret: "whsec_no/base_64!", routes: r}`, "secret is no signing secret", "secret stands in the file"},
		{`a: {path: /hooks/a, secret: "` + webhookSecret + `", routes: r}`, "", "7:31: secret stands in the file"},
		{`a: {path: hooks, secret: "${SECRET}", routes: r}`, `path is "hooks"; it should be a path such as`, ""},
		{`a: {path: "/hooks/{a}", secret: "${SECRET}", routes: r}`, `it should be a path such as`, ""},
		{`a: {path: /hooks/, secret: "${SECRET}", routes: r}`, `it should be a path such as`, ""},
		{`a: {path: /hooks/../a, secret: "${SECRET}", routes: r}`, `it should be a path such as`, ""},
		{`a: {path: /hooks/s, secret: "${SECRET}", routes: r}`, `5:27: path is "/hooks/s"; the webhook a has the same and comes first`, ""},
		{"a: {" + good + "}\n  b: {" + good + "}", `8:13: path is "/hooks/a"; the webhook a has the same`, ""},
		{`"a b": {` + good + `}`, `7:3: the webhook's name is "a b"`, ""},
		{`a: {` + good + `, tolerance: 2h}`, "tolerance is \"2h\"; it should be at most 1h", ""},
		{`a: {` + good + `, tolerance: 0s}`, "tolerance is \"0s\"; it should be at least 1s", ""},
		{`a: {` + good + `, preset: stripe}`, "preset is \"stripe\"; it should be one of clerk, none", ""},
		{`a: {` + good + `, principals: data..id}`, `principals is "data..id"; it should be member names separated by dots`, ""},
		{`a: {` + good + `, tags: [a, a]}`, "", `tags has "a" twice`},
		{`a: {path: /hooks/a, secret: "${SECRET}", routes: q}`, `routes is "q"; it should be one of those in routes: r, s`, ""},
		{`a: {path: /hooks/a, secret: "${SECRET}", routes: s}`, "", `routes has "s", which keeps no answers`},
		{`a: {path: /hooks/a, secret: "${SECRET}"}`, "7:6: no event makes anything forgotten", ""},
		{`a: 5`, "a is a single value", ""},
	} {
		_, errs := parseWebhook("  " + c.text)
		got := strings.Join(faults(errs), "\n")
		if c.fault == "" && got != "" || !strings.Contains(got, c.fault) || strings.Contains(got, "\n") {
			t.Errorf("%s: %s, want %s", c.text, got, c.fault)
		}
		warnings := strings.Join(lines(errs.Warnings()), "\n")
		if c.warning == "" && warnings != "" || !strings.Contains(warnings, c.warning) {
			t.Errorf("%s: warnings %s, want %s", c.text, warnings, c.warning)
		}
		if strings.Contains(got+warnings, "MfKQ9r8") || strings.Contains(got+warnings, "c2hvcnQ") || strings.Contains(got, "base_64") {
			t.Errorf("%s: the secret is shown: %s %s", c.text, got, warnings)
		}
	}
}
