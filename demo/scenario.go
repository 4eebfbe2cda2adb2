package demo

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
)

// Variable is a shell variable that the scenario's commands use.
type Variable struct {
	Name  string
	Value string // ready to be put into an environment
	Line  string // the same as a line to paste: tokens are asked from the issuer
}

// Variables gives the shell variables of the scenario. Gate and admin are
// the base addresses of the running gate (http://127.0.0.1:8080); admin may
// be empty. Tokens live for an hour.
func (d *Demo) Variables(gate, admin string) ([]Variable, error) {
	var list []Variable
	for _, v := range [][2]string{{"GATE", gate}, {"ADMIN", admin}, {"ISSUER", d.Issuer.URL()}, {"BACKEND", d.Backend.URL()}} {
		if v[1] != "" {
			list = append(list, Variable{v[0], v[1], v[0] + "=" + v[1]})
		}
	}
	for _, user := range [][2]string{{"ALICE", "alice"}, {"BOB", "bob"}, {"CAROL", "carol"}} {
		signed, err := d.Issuer.Mint(user[1], Valid, defaultTTL)
		if err != nil {
			return nil, err
		}
		list = append(list, Variable{user[0], signed, fmt.Sprintf(`%s=$(curl -sS "$ISSUER/token?user=%s")`, user[0], user[1])})
	}
	return list, nil
}

// Step is one command of the scenario and what it must print.
type Step struct {
	Caption string
	Command string           // for a POSIX shell with curl, and the Variables set
	Status  int              // of the last answer printed with its head; 0: not checked
	Match   []*regexp.Regexp // each is in the output
	Never   []*regexp.Regexp // none is
}

var statusLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^HTTP/[0-9.]+ ([0-9]{3})`) })

// Check tells what of a command's output is not as promised.
func (s Step) Check(output string) error {
	if s.Status != 0 {
		heads := statusLine().FindAllStringSubmatch(output, -1)
		if len(heads) == 0 {
			return fmt.Errorf("no answer, want status %d", s.Status)
		}
		if got := heads[len(heads)-1][1]; got != strconv.Itoa(s.Status) {
			return fmt.Errorf("status %s, want %d", got, s.Status)
		}
	}
	for _, m := range s.Match {
		if !m.MatchString(output) {
			return fmt.Errorf("the output has no match for %s", m)
		}
	}
	for _, n := range s.Never {
		if n.MatchString(output) {
			return fmt.Errorf("the output has a match for %s", n)
		}
	}
	return nil
}

// as is a curl command with somebody's token.
func as(who, rest string) string {
	return fmt.Sprintf(`curl -sS -i -H "Authorization: Bearer $%s" %s`, who, rest)
}

// with reads Alice with a token of some kind that is made for this command.
func with(kind string) string {
	return fmt.Sprintf(`curl -sS -i -H "Authorization: Bearer $(curl -sS "$ISSUER/token?user=alice&kind=%s")" "$GATE/v1/users/user_alice"`, kind)
}

// Scenario gives the demo's commands in an order in which each does what its
// caption says: the later ones stop the backend, start it again and rotate
// the issuer's keys. Admin tells whether the gate has an admin listener.
func (d *Demo) Scenario(admin bool) []Step {
	has := func(patterns ...string) []*regexp.Regexp {
		var list []*regexp.Regexp
		for _, p := range patterns {
			list = append(list, regexp.MustCompile(p))
		}
		return list
	}
	reason := func(word string) []*regexp.Regexp { return has(`[:/#]` + word + `"`) }

	steps := []Step{
		{
			Caption: "Alice reads herself; what the page must not see is gone from the answer",
			Command: as("ALICE", `"$GATE/v1/users/user_alice"`),
			Status:  200,
			Match:   has(`"id":"user_alice"`, `"email_address":"alice@example.com"`, `(?im)^server-timing: `, `(?im)^x-request-id: `),
			Never:   has(`private_metadata`, `verification`, `cus_alice`),
		},
		{
			Caption: "twice in five seconds: the second answer comes from the cache (served stays the same)",
			Command: as("ALICE", `"$GATE/v1/users/user_alice" "$GATE/v1/users/user_alice"`),
			Status:  200,
			Match:   has(`(?im)^cache-status: [^\r\n]*\bhit\b`),
		},
		{
			Caption: "the same with the token in the session cookie",
			Command: `curl -sS -i -b "__session=$ALICE" "$GATE/v1/users/user_alice"`,
			Status:  200,
		},
		{
			Caption: "anybody may ask for the status: an anonymous route",
			Command: `curl -sS -i "$GATE/v1/status"`,
			Status:  200,
			Match:   has(`"status":"ok"`),
		},
		{
			Caption: "Alice lists the members of her organization; the gate sets limit=50",
			Command: as("ALICE", `"$GATE/v1/organizations/org_acme/memberships?limit=1"`),
			Status:  200,
			Match:   has(`"limit":50`, `"user_id":"user_bob"`),
			Never:   has(`salary_band`),
		},
		{
			Caption: "Alice changes her name",
			Command: as("ALICE", `-X PATCH -H "Content-Type: application/json" -d '{"first_name":"Alicia"}' "$GATE/v1/users/user_alice"`),
			Status:  200,
			Match:   has(`"first_name":"Alicia"`),
			Never:   has(`private_metadata`),
		},

		{
			Caption: "denied: no token",
			Command: `curl -sS -i "$GATE/v1/users/user_alice"`,
			Status:  401,
			Match:   append(reason("token_missing"), has(`(?im)^www-authenticate: Bearer`)...),
		},
		{Caption: "denied: an expired token", Command: with(Expired), Status: 401, Match: reason("token_expired")},
		{Caption: "denied: a token that is not valid yet", Command: with(NotYetValid), Status: 401, Match: reason("token_not_yet_valid")},
		{Caption: "denied: a token of another issuer", Command: with(WrongIssuer), Status: 401, Match: reason("issuer_unknown")},
		{Caption: "denied: a token made for another front end", Command: with(WrongParty), Status: 401, Match: reason("authorized_party_mismatch")},
		{Caption: "denied: a token whose claims were changed after signing", Command: with(Tampered), Status: 401, Match: reason("signature_invalid")},
		{Caption: "denied: a token signed with a key that the issuer does not have", Command: with(UnknownKey), Status: 401, Match: reason("key_unknown")},
		{Caption: "denied: an unsigned token (alg none)", Command: with(Unsigned), Status: 401, Match: reason("algorithm_not_allowed")},
		{Caption: "denied: a session whose sign-in is not finished", Command: with(Pending), Match: reason("session_pending")},
		{Caption: "denied: something that is no token", Command: `curl -sS -i -H "Authorization: Bearer let.me.in" "$GATE/v1/users/user_alice"`, Status: 401, Match: reason("token_malformed")},

		{Caption: "denied: Bob reads Alice (wrong user), though her answer is in the cache", Command: `curl -sS -o /dev/null -H "Authorization: Bearer $ALICE" "$GATE/v1/users/user_alice"; ` + as("BOB", `"$GATE/v1/users/user_alice"`), Status: 403, Match: reason("rule_denied"), Never: has("alice@example.com")},
		{Caption: "denied: Carol lists the members of Acme (wrong organization)", Command: as("CAROL", `"$GATE/v1/organizations/org_acme/memberships"`), Status: 403, Match: reason("rule_denied")},
		{Caption: "denied: Bob lists the members of Acme (missing permission)", Command: as("BOB", `"$GATE/v1/organizations/org_acme/memberships"`), Status: 403, Match: reason("rule_denied")},
		{Caption: "denied: Alice changes what only the backend may (a rule on the body)", Command: as("ALICE", `-X PATCH -H "Content-Type: application/json" -d '{"private_metadata":{"risk_score":0}}' "$GATE/v1/users/user_alice"`), Status: 403, Match: reason("rule_denied")},
		{Caption: "denied: another site's page uses Alice's cookie (CSRF)", Command: `curl -sS -i -X PATCH -b "__session=$ALICE" -H "Origin: https://evil.example" -H "Sec-Fetch-Site: cross-site" -H "Content-Type: application/json" -d '{"first_name":"Mallory"}' "$GATE/v1/users/user_alice"`, Status: 403, Match: reason("cross_site_request")},

		{Caption: "refused: no route", Command: as("ALICE", `"$GATE/v1/sessions"`), Status: 404, Match: reason("route_not_found")},
		{Caption: "refused: no such method on this route", Command: as("ALICE", `-X DELETE "$GATE/v1/users/user_alice"`), Status: 405, Match: append(reason("method_not_allowed"), has(`(?im)^allow: [^\r\n]*PATCH`)...)},
		{Caption: "refused: a path with a dot segment", Command: as("BOB", `--path-as-is "$GATE/v1/users/user_bob/../user_alice"`), Status: 400, Match: reason("target_not_canonical")},
		{Caption: "refused: a path with an encoded slash", Command: as("BOB", `--path-as-is "$GATE/v1/users/user_bob%2f..%2fuser_alice"`), Status: 400, Match: reason("target_not_canonical")},
		{Caption: "refused: a parameter that the rule reads, given twice", Command: as("ALICE", `"$GATE/v1/users?organization_id=org_acme&organization_id=org_globex"`), Status: 400, Match: reason("parameter_duplicated")},
		{Caption: "refused: a body that is no JSON", Command: as("ALICE", `-X PATCH -H "Content-Type: application/json" -d '{' "$GATE/v1/users/user_alice"`), Status: 400, Match: reason("body_malformed")},
		{Caption: "refused: a body that is too large", Command: as("ALICE", `-X PATCH -H "Content-Type: application/json" -d "{\"first_name\":\"$(printf '%05000d' 0)\"}" "$GATE/v1/users/user_alice"`), Status: 413, Match: reason("body_too_large")},
		{Caption: "refused: the fourth of four quick calls (rate limit)", Command: `for i in 1 2 3 4; do ` + as("ALICE", `"$GATE/v1/organizations/org_acme/invitations"`) + `; done`, Status: 429, Match: append(reason("rate_limited"), has(`(?im)^retry-after: [0-9]+`)...)},

		{Caption: "report mode: a rule on trial would deny this, but lets it pass and counts it", Command: as("BOB", `"$GATE/v1/users/user_alice/organization_memberships"`), Status: 200, Match: has(`"org_acme"`)},
		{
			Caption: "a page on http://localhost:3000 asks before it calls (CORS preflight)",
			Command: `curl -sS -i -X OPTIONS -H "Origin: http://localhost:3000" -H "Access-Control-Request-Method: PATCH" -H "Access-Control-Request-Headers: authorization" "$GATE/v1/users/user_alice"`,
			Status:  204,
			Match:   has(`(?im)^access-control-allow-origin: http://localhost:3000\r?$`, `(?im)^access-control-allow-methods: [^\r\n]*PATCH`),
		},
		{
			Caption: "errors are readable for that page as well",
			Command: `curl -sS -i -H "Origin: http://localhost:3000" "$GATE/v1/users/user_alice"`,
			Status:  401,
			Match:   has(`(?im)^access-control-allow-origin: http://localhost:3000\r?$`, `(?im)^vary: [^\r\n]*origin`),
		},
		{Caption: "the backend fails: its answer passes", Command: as("ALICE", `"$GATE/v1/failing"`), Status: 500, Match: has(`bad day`)},
		{Caption: "the backend takes three seconds: the route's timeout is one", Command: as("ALICE", `"$GATE/v1/slow"`), Status: 504, Match: reason("upstream_timeout")},
		{Caption: "past the gate the backend answers nobody: its secret is the gate's", Command: as("ALICE", `"$BACKEND/v1/users/user_alice"`), Status: 401, Match: has("authentication_invalid")},

		{Caption: "Alice reads her organization: fresh for two seconds", Command: as("ALICE", `"$GATE/v1/organizations/org_acme"`), Status: 200, Match: has(`"name":"Acme"`), Never: has("margin_percent")},
		{Caption: "stop the backend", Command: `curl -sS -X POST "$ISSUER/backend/stop"`, Match: has("the backend is down")},
		{Caption: "three seconds later: the stale answer, because the backend is down", Command: `sleep 3; ` + as("ALICE", `"$GATE/v1/organizations/org_acme"`), Status: 200, Match: has(`"name":"Acme"`, `(?im)^cache-status: [^\r\n]*\b(hit|stale)\b`), Never: has("margin_percent")},
		{Caption: "and still not for Carol", Command: as("CAROL", `"$GATE/v1/organizations/org_acme"`), Status: 403, Match: reason("rule_denied")},
		{Caption: "what is in no cache is unavailable", Command: as("ALICE", `"$GATE/v1/users?organization_id=org_acme"`), Match: append(reason("upstream_unavailable"), has(`(?m)^HTTP/1.1 50[23] `)...)},
		{Caption: "start the backend", Command: `curl -sS -X POST "$ISSUER/backend/start"`, Match: has("the backend is up")},
		{Caption: "and it is back", Command: as("ALICE", `"$GATE/v1/users?organization_id=org_acme"`), Status: 200, Match: has(`"user_bob"`), Never: has("private_metadata", `"email_addresses"`)},

		{Caption: "rotate the issuer's keys", Command: `curl -sS -X POST "$ISSUER/keys/rotate"`, Match: has("new key")},
		{Caption: "a token of the old key is good until it expires", Command: as("ALICE", `"$GATE/v1/users/user_alice"`), Status: 200},
		{Caption: "a token of the new key is good within a second", Command: `sleep 1; ` + with(Valid), Status: 200},
	}
	if admin {
		steps = append(steps,
			Step{Caption: "is the gate ready?", Command: `curl -sS -i "$ADMIN/readyz"`, Status: 200},
			Step{Caption: "requests by route, decision and reason", Command: `curl -sS "$ADMIN/metrics" | grep ^hopgate_requests_total`, Match: has(`reason="rule_denied"`, `decision="allow"`)},
			Step{Caption: "what the rule on trial would have denied", Command: `curl -sS "$ADMIN/metrics" | grep ^hopgate_report_denials_total`, Match: has(`route="user-memberships"`)},
			Step{Caption: "the configuration in force, its secrets masked", Command: `curl -sS "$ADMIN/config"`, Match: has("read-self"), Never: has(regexp.QuoteMeta(d.secret))},
		)
	}
	return steps
}
