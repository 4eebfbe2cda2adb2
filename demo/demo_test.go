package demo

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func start(t *testing.T) *Demo {
	t.Helper()
	d, err := Start(t.Context(), Options{Gate: "127.0.0.1:0", Admin: "off"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// client has no kept connections, so that none outlives a stopped backend.
var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(r.body), &object); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	return object
}

func ask(t *testing.T, method, url, body string, fields ...string) reply {
	t.Helper()
	r, err := try(t, method, url, body, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func try(t *testing.T, method, url, body string, fields ...string) (reply, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	res, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(got)}, err
}

type header struct{ Alg, Kid string }

func split(t *testing.T, signed string) (header, map[string]any, []byte, string) {
	t.Helper()
	parts := strings.Split(strings.TrimSpace(signed), ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", signed)
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			t.Fatal(err)
		}
	}
	var h header
	var claims map[string]any
	if err := json.Unmarshal(raw[0], &h); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw[1], &claims); err != nil {
		t.Fatal(err)
	}
	return h, claims, raw[2], parts[0] + "." + parts[1]
}

// verify checks a token with the published keys, by the standard library
// alone.
func verify(t *testing.T, jwks []byte, signed string) (published, good bool) {
	t.Helper()
	var set struct {
		Keys []struct{ Kid, Kty, N, E, D string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	h, _, signature, input := split(t, signed)
	for _, k := range set.Keys {
		if k.D != "" {
			t.Fatal("a private key is published")
		}
		if k.Kid != h.Kid {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if err != nil {
			t.Fatal(err)
		}
		e, err := base64.RawURLEncoding.DecodeString(k.E)
		if err != nil {
			t.Fatal(err)
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		sum := sha256.Sum256([]byte(input))
		return true, rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}
	return false, false
}

func TestIssuerDiscovery(t *testing.T) {
	d := start(t)
	r := ask(t, "GET", d.Issuer.URL()+"/.well-known/openid-configuration", "")
	document := r.object(t)
	if document["issuer"] != d.Issuer.URL() {
		t.Errorf("issuer %v, want %s", document["issuer"], d.Issuer.URL())
	}
	uri, ok := document["jwks_uri"].(string)
	if !ok {
		t.Fatal("no jwks_uri")
	}
	keys := ask(t, "GET", uri, "")
	if keys.status != 200 || !strings.Contains(keys.header.Get("Cache-Control"), "max-age=") {
		t.Errorf("%d %v", keys.status, keys.header)
	}
	signed := ask(t, "POST", d.Issuer.URL()+"/token", "user=alice", "Content-Type", "application/x-www-form-urlencoded")
	if published, good := verify(t, []byte(keys.body), signed.body); !published || !good {
		t.Errorf("published %v, good %v", published, good)
	}
}

func TestTokensAreClerkShaped(t *testing.T) {
	d := start(t)
	for name, want := range map[string]struct{ sub, org, role, fpm string }{
		"alice": {"user_alice", "org_acme", "admin", "3,3"},
		"bob":   {"user_bob", "org_acme", "member", "0,1"},
		"carol": {"user_carol", "org_globex", "admin", "3,3"},
	} {
		before := time.Now().Unix()
		_, claims, _, _ := split(t, ask(t, "GET", d.Issuer.URL()+"/token?ttl=10m&user="+name, "").body)
		org, ok := claims["o"].(map[string]any)
		if !ok {
			t.Fatalf("%s has no organization", name)
		}
		if claims["sub"] != want.sub || org["id"] != want.org || org["rol"] != want.role || org["fpm"] != want.fpm {
			t.Errorf("%s: %v", name, claims)
		}
		if claims["v"] != 2.0 || claims["iss"] != d.Issuer.URL() || claims["azp"] != "http://localhost:3000" || claims["sts"] != "active" {
			t.Errorf("%s: %v", name, claims)
		}
		exp, ok := claims["exp"].(float64)
		if left := int64(exp) - before; !ok || left < 600 || left > 605 {
			t.Errorf("%s lives %d seconds, want 600", name, left)
		}
		features, numbers := claims["fea"].(string), org["fpm"].(string)
		if strings.Count(features, ",") != strings.Count(numbers, ",") {
			t.Errorf("%s: features %s and permissions %s do not match", name, features, numbers)
		}
	}
}

func TestTokensToBeDenied(t *testing.T) {
	d := start(t)
	jwks := d.Issuer.JWKS()
	now := float64(time.Now().Unix())
	for kind, fault := range map[string]func(h header, claims map[string]any, published, good bool) bool{
		Expired:     func(_ header, c map[string]any, _, good bool) bool { return good && c["exp"].(float64) < now-60 },
		NotYetValid: func(_ header, c map[string]any, _, good bool) bool { return good && c["nbf"].(float64) > now+60 },
		WrongIssuer: func(_ header, c map[string]any, _, good bool) bool { return good && c["iss"] != d.Issuer.URL() },
		WrongParty:  func(_ header, c map[string]any, _, good bool) bool { return good && c["azp"] != appOrigin },
		Pending:     func(_ header, c map[string]any, _, good bool) bool { return good && c["sts"] == "pending" },
		UnknownKey:  func(_ header, _ map[string]any, published, _ bool) bool { return !published },
		Tampered: func(_ header, c map[string]any, published, good bool) bool {
			return published && !good && c["sub"] == "user_alice"
		},
		Unsigned: func(h header, _ map[string]any, _, good bool) bool { return h.Alg == "none" && !good },
	} {
		t.Run(kind, func(t *testing.T) {
			r := ask(t, "GET", d.Issuer.URL()+"/token?user=alice&kind="+kind, "")
			if r.status != 200 {
				t.Fatal(r.body)
			}
			h, claims, _, _ := split(t, r.body)
			published, good := verify(t, jwks, r.body)
			if !fault(h, claims, published, good) {
				t.Errorf("the token does not have its fault: %v %v", h, claims)
			}
		})
	}
}

func TestTokenRequestsThatFail(t *testing.T) {
	d := start(t)
	for _, query := range []string{"", "user=mallory", "user=alice&kind=golden", "user=alice&ttl=x", "user=alice&ttl=-1h", "user=alice&ttl=25h"} {
		if r := ask(t, "GET", d.Issuer.URL()+"/token?"+query, ""); r.status != 400 {
			t.Errorf("%q: %d", query, r.status)
		}
	}
}

func TestOldKeyStaysUntilItsTokensExpired(t *testing.T) {
	i, err := NewIssuer("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	i.now = func() time.Time { return now }
	old, err := i.Mint("alice", Valid, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Rotate(); err != nil {
		t.Fatal(err)
	}
	renewed, err := i.Mint("alice", Valid, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, signed := range []string{old, renewed} {
		if _, good := verify(t, i.JWKS(), signed); !good {
			t.Error("a living token does not verify after the rotation")
		}
	}
	now = now.Add(time.Hour + skew)
	if published, _ := verify(t, i.JWKS(), old); published {
		t.Error("the old key outlives its tokens")
	}
	if published, _ := verify(t, i.JWKS(), renewed); !published {
		t.Error("the signing key is not published")
	}
	// A key that signed nothing goes with the next rotation.
	for range 2 {
		if err := i.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(string(i.JWKS()), `"kid"`); n != 1 {
		t.Errorf("%d keys published, want 1", n)
	}
}

func TestKeysRotateByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, err := NewIssuer("http://127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		d := &Demo{Issuer: i}
		go d.rotate(ctx, time.Minute, nil)
		first := string(i.JWKS())
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if string(i.JWKS()) == first {
			t.Error("the key did not rotate")
		}
		cancel()
	})
}

func (d *Demo) backend(t *testing.T, method, path, body string) reply {
	t.Helper()
	return ask(t, method, d.Backend.URL()+path, body, "Authorization", "Bearer "+d.secret)
}

func TestBackendAsksForItsSecret(t *testing.T) {
	d := start(t)
	for _, fields := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", d.secret}} {
		if r := ask(t, "GET", d.Backend.URL()+"/v1/users/user_alice", "", fields...); r.status != 401 {
			t.Errorf("%d", r.status)
		}
	}
	if d.Backend.Served() != 0 {
		t.Error("counts what it refused")
	}
}

func TestBackendAnswers(t *testing.T) {
	d := start(t)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/status", "", 200, `"status":"ok"`},
		{"GET", "/v1/users/user_alice", "", 200, `"private_metadata":{"risk_score":17`},
		{"GET", "/v1/users/user_alice", "", 200, `"verification":{`},
		{"HEAD", "/v1/users/user_alice", "", 200, ``},
		{"GET", "/v1/users/nobody", "", 404, `resource_not_found`},
		{"GET", "/v1/users?organization_id=org_acme", "", 200, `"total_count":2`},
		{"GET", "/v1/users", "", 200, `"total_count":3`},
		{"GET", "/v1/users/user_bob/organization_memberships", "", 200, `"role":"org:member"`},
		{"GET", "/v1/users/nobody/organization_memberships", "", 404, `resource_not_found`},
		{"GET", "/v1/organizations/org_acme", "", 200, `"margin_percent":38`},
		{"GET", "/v1/organizations/nothing", "", 404, `resource_not_found`},
		{"GET", "/v1/organizations/org_acme/memberships", "", 200, `"user_id":"user_bob"`},
		{"GET", "/v1/organizations/org_acme/memberships?limit=1", "", 200, `"total_count":2`},
		{"GET", "/v1/organizations/org_acme/memberships?limit=0", "", 422, `form_param_invalid`},
		{"GET", "/v1/organizations/nothing/memberships", "", 404, `resource_not_found`},
		{"GET", "/v1/organizations/org_acme/invitations", "", 200, `"data":[]`},
		{"GET", "/v1/organizations/nothing/invitations", "", 404, `resource_not_found`},
		{"GET", "/v1/failing", "", 500, `bad day`},
		{"GET", "/v1/nothing", "", 404, `resource_not_found`},
		{"DELETE", "/v1/users/user_alice", "", 404, `resource_not_found`},
		{"PATCH", "/v1/users/user_alice", `{"first_name":"Alicia"}`, 200, `"first_name":"Alicia"`},
		{"PATCH", "/v1/users/nobody", `{"first_name":"Alicia"}`, 404, `resource_not_found`},
		{"PATCH", "/v1/users/user_alice", `{"id":"user_bob"}`, 422, `form_param_unknown`},
		{"PATCH", "/v1/users/user_alice", `["first_name"]`, 400, `request_body_invalid`},
		{"PATCH", "/v1/users/user_alice", `null`, 400, `request_body_invalid`},
		{"PATCH", "/v1/users/user_alice", `{"first_name":"` + strings.Repeat("a", 70<<10) + `"}`, 413, `request_body_too_large`},
	} {
		r := d.backend(t, test.method, test.path, test.body)
		if r.status != test.status || !strings.Contains(r.body, test.want) {
			t.Errorf("%s %s: %d %s, want %d with %s", test.method, test.path, r.status, r.body, test.status, test.want)
		}
	}
	if r := d.backend(t, "GET", "/v1/users/user_alice", ""); !strings.Contains(r.body, `"Alicia"`) {
		t.Error("the change was not kept")
	}
}

func TestBackendCountsAndTags(t *testing.T) {
	d := start(t)
	first, second := d.backend(t, "GET", "/v1/users/user_bob", ""), d.backend(t, "GET", "/v1/users/user_bob", "")
	if first.object(t)["served"] != 1.0 || second.object(t)["served"] != 2.0 || second.header.Get("X-Backend-Request-Count") != "2" || d.Backend.Served() != 2 {
		t.Errorf("%v %v", first, second)
	}
	tag := first.header.Get("ETag")
	if tag == "" || tag != second.header.Get("ETag") || first.header.Get("Date") == "" {
		t.Errorf("%v %v", first.header, second.header)
	}
	r := ask(t, "GET", d.Backend.URL()+"/v1/users/user_bob", "", "Authorization", "Bearer "+d.secret, "If-None-Match", tag)
	if r.status != 304 || r.body != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestBackendIsSlow(t *testing.T) {
	d := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", d.Backend.URL()+"/v1/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.secret)
	if res, err := client.Do(r); err == nil {
		res.Body.Close()
		t.Error("the slow answer came at once")
	}
}

func TestControls(t *testing.T) {
	d := start(t)
	before := string(d.Issuer.JWKS())
	if r := ask(t, "POST", d.Issuer.URL()+"/keys/rotate", ""); r.status != 200 || string(d.Issuer.JWKS()) == before {
		t.Errorf("%d, or the keys are the same", r.status)
	}
	address := d.Backend.URL()
	for range 2 { // stopping what is stopped does nothing
		if r := ask(t, "POST", d.Issuer.URL()+"/backend/stop", ""); r.status != 200 {
			t.Fatal(r.body)
		}
	}
	if _, err := try(t, "GET", address+"/v1/status", ""); err == nil {
		t.Error("the backend answers although it is stopped")
	}
	for range 2 {
		if r := ask(t, "POST", d.Issuer.URL()+"/backend/start", ""); r.status != 200 {
			t.Fatal(r.body)
		}
	}
	if d.Backend.URL() != address {
		t.Error("the backend moved")
	}
	if r := d.backend(t, "GET", "/v1/status", ""); r.status != 200 {
		t.Errorf("%d after the restart", r.status)
	}
	if r := ask(t, "GET", d.Issuer.URL()+"/backend/stop", ""); r.status != 405 {
		t.Errorf("GET stops the backend: %d", r.status)
	}
}

func TestNoPageUsesTheIssuer(t *testing.T) {
	d := start(t)
	for _, fields := range [][]string{{"Origin", "http://localhost:3000"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		for _, path := range []string{"/token?user=alice", "/backend/stop"} {
			if r := ask(t, "POST", d.Issuer.URL()+path, "", fields...); r.status != 403 {
				t.Errorf("%v %s: %d", fields, path, r.status)
			}
		}
	}
	if r := ask(t, "GET", d.Issuer.URL()+"/token?user=alice", "", "Sec-Fetch-Site", "none"); r.status != 200 {
		t.Errorf("typed by the user: %d", r.status)
	}
}

func TestStartRefusesAddressesOfOthers(t *testing.T) {
	for _, o := range []Options{{Gate: ":8080"}, {Admin: "0.0.0.0:9090"}, {Issuer: "192.0.2.1:0"}, {Backend: "localhost"}} {
		if d, err := Start(t.Context(), o); err == nil {
			d.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d, err := Start(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, "GET", d.Issuer.URL()+"/.well-known/jwks.json", ""); err == nil {
		t.Error("the issuer still answers")
	}
}

func TestConfigurationHasItsValues(t *testing.T) {
	d := start(t)
	var names []string
	for _, m := range regexp.MustCompile(`\$\{(DEMO_\w+)`).FindAllStringSubmatch(string(d.Config()), -1) {
		names = append(names, m[1])
		if value, ok := d.Env(m[1]); !ok || value == "" {
			t.Errorf("%s has no value", m[1])
		}
	}
	for name := range d.env {
		if !slices.Contains(names, name) {
			t.Errorf("%s is used nowhere", name)
		}
	}
}

// The scenario is run against a real gate by the command's own tests; here
// it must be well-formed.
func TestScenarioIsWellFormed(t *testing.T) {
	d := start(t)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	variables, err := d.Variables("http://127.0.0.1:8080", "http://127.0.0.1:9090")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, v := range variables {
		if !strings.HasPrefix(v.Line, v.Name+"=") || v.Value == "" {
			t.Errorf("%+v", v)
		}
		known = append(known, v.Name)
	}
	captions := map[string]bool{}
	for _, s := range d.Scenario(true) {
		if s.Caption == "" || captions[s.Caption] {
			t.Errorf("caption %q is empty or used twice", s.Caption)
		}
		captions[s.Caption] = true
		if s.Status == 0 && len(s.Match) == 0 {
			t.Errorf("%s: expects nothing", s.Caption)
		}
		if strings.Contains(s.Command, "\n") {
			t.Errorf("%s: more than a line", s.Caption)
		}
		if out, err := exec.CommandContext(t.Context(), shell, "-n", "-c", s.Command).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", s.Caption, out)
		}
		for _, m := range regexp.MustCompile(`\$([A-Z]+)`).FindAllStringSubmatch(s.Command, -1) {
			if !slices.Contains(known, m[1]) {
				t.Errorf("%s: no variable %s", s.Caption, m[1])
			}
		}
	}
	if len(d.Scenario(false)) >= len(d.Scenario(true)) {
		t.Error("without an admin listener its steps remain")
	}
}

func TestStepCheck(t *testing.T) {
	const output = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}\nHTTP/1.1 403 Forbidden\r\n\r\n{\"type\":\"x/rule_denied\"}\n"
	re := func(s string) []*regexp.Regexp { return []*regexp.Regexp{regexp.MustCompile(s)} }
	for _, test := range []struct {
		step Step
		good bool
	}{
		{Step{Status: 403}, true},
		{Step{Status: 200}, false},
		{Step{Match: re("rule_denied")}, true},
		{Step{Match: re("rule_failed")}, false},
		{Step{Never: re("rule_failed")}, true},
		{Step{Never: re("rule_denied")}, false},
	} {
		if err := test.step.Check(output); (err == nil) != test.good {
			t.Errorf("%+v: %v", test.step, err)
		}
	}
	if (Step{Status: 200}).Check("curl: (7) failed") == nil {
		t.Error("no answer passes")
	}
}
