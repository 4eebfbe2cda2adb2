package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// base is a good configuration to which a case adds a section.
const base = `
upstreams: {u: {endpoints: "http://127.0.0.1:1"}}
routes: [{id: r, match: {path: /}, anonymous: true, upstream: u}]
`

func noEnv(string) (string, bool) { return "", false }

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// lines gives errors or warnings without the file's name.
func lines[E error](list []E) []string {
	var out []string
	for _, e := range list {
		out = append(out, strings.TrimPrefix(e.Error(), "f.yaml:"))
	}
	return out
}

func faults(errs *Errors) []string {
	err := errs.Err()
	if err == nil {
		return nil
	}
	return lines(err.(interface{ Unwrap() []error }).Unwrap())
}

// compareLines holds each line against its beginning in want.
func compareLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("%s: unexpected %q", what, got[i])
		case i >= len(got):
			t.Errorf("%s: missing %q", what, want[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("%s:\n got %q\nwant %q", what, got[i], want[i])
		}
	}
}

func TestFaultsOfWholeFiles(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		want   []string
		parsed bool
	}{
		"empty":            {"", []string{"1:1: the file is empty"}, false},
		"comments alone":   {"# nothing\n", []string{"1:1: the file is empty"}, false},
		"null":             {"~", []string{"1:1: the file is empty"}, false},
		"not a mapping":    {"- a\n", []string{"1:1: the file is a list; it should be a mapping"}, false},
		"text":             {"hello", []string{"1:1: the file is a single value"}, false},
		"not UTF-8":        {"rules:\n  é: \xff", []string{"2:6: the file is not UTF-8"}, false},
		"syntax":           {"server:\n  listen: a: b\n", []string{"2:3: the file is not YAML: mapping values are not allowed in this context"}, false},
		"syntax, late":     {base + "rules:\n  a: 'x\n", []string{"5:3: the file is not YAML: "}, false},
		"bare reference":   {"upstreams: {u: {endpoints: ${X}}}\n", []string{"1:1: the file is not YAML: did not find expected ',' or '}'; inside { } and [ ], write ${NAME} in quotes"}, false},
		"tab":              {"server:\n\tlisten: a\n", []string{"2:2: the file is not YAML: found character that cannot start any token; indent with spaces"}, false},
		"bare template":    {"routes:\n- {match: {path: /users/{id}}}\n", []string{"2:1: the file is not YAML: did not find expected ',' or '}'; inside { } and [ ], put text that has one of { } [ ] , ? in quotes, such as path: \"/users/{id}\""}, false},
		"indentation":      {"routes:\n  - id: r\n   allow: x\n", []string{"3:4: the file is not YAML: did not find expected '-' indicator; check the indentation"}, false},
		"bare star":        {"cors: {origins: *}\n", []string{"1:1: the file is not YAML: did not find expected alphabetic or numeric character; put text that begins with * or & in quotes"}, false},
		"open quote":       {"rules:\n  a: \"x\n", []string{"2:3: the file is not YAML: found unexpected end of stream; a quote is not closed"}, false},
		"unknown alias":    {"server: *x\n", []string{"1:1: the file is not YAML: unknown anchor"}, false},
		"second document":  {base + "---\na: 1\n", []string{"4:1: a second document begins here"}, true},
		"second, empty":    {base + "---\n", []string{"4:1: a second document begins here"}, true},
		"second, broken":   {base + "---\na: 'x\n", []string{"5:1: the file is not YAML: "}, true},
		"document markers": {"---" + base + "...\n", nil, true},
		"contains itself":  {base + "rules: &r {a: *r}\n", []string{"4:15: *r stands inside what &r names"}, true},
		"duplicate key":    {base + "log:\n  level: info\n  access: off\n  level: warn\n", []string{`7:3: "level" stands twice in this mapping, first in line 5`}, true},
		"duplicate, top":   {base + "routes: []\n", []string{`4:1: "routes" stands twice in this mapping, first in line 3`}, true},
		"key is a list":    {base + "rules: {[a]: b}\n", []string{"4:9: a key is a list; it should be a word"}, true},
		"key is empty":     {base + "rules: {~: b}\n", []string{"4:9: a key is empty"}, true},
		"missing":          {"rules: {a: 'true'}\n", []string{"1:1: upstreams is missing; it should be a mapping", "1:1: routes is missing; it should be a list"}, true},
		"merge of a text":  {base + "log: {<<: x}\n", []string{"4:11: << has a single value; it should have a mapping"}, true},
		"own tag":          {base + "rules:\n  a: !rules.b\n", []string{`5:6: the tag "!rules.b" is not used here; leave it out, or put text that begins with ! in quotes`}, true},
		"wrong tag":        {base + "log: !!seq {level: info}\n", []string{`4:6: the tag "!!seq" is not used here`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, errs := Parse("f.yaml", []byte(c.text), noEnv)
			compareLines(t, "faults", faults(errs), c.want)
			if (cfg != nil) != c.parsed {
				t.Errorf("a configuration is given: %v", cfg != nil)
			}
		})
	}
}

func TestAliasesAreBounded(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString(base + "rules: {a: &a0 'true'}\ncors:\n  origins: &l0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&bomb, "x%d: &l%d [%s]\n", i, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i), 10), ", "))
	}
	begin := time.Now()
	_, errs := Parse("f.yaml", []byte(bomb.String()), noEnv)
	if errs.Len() == 0 {
		t.Error("unknown keys are accepted")
	}

	// The same list under a key that takes routes: its elements are decoded.
	var routes strings.Builder
	routes.WriteString("upstreams: {u: {endpoints: http://127.0.0.1}}\nroutes:\n")
	routes.WriteString("- &r {id: r, match: {path: /}, anonymous: true, upstream: u, deny: &d ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']}\n")
	for range 20_000 {
		routes.WriteString("- *r\n")
	}
	_, errs = Parse("f.yaml", []byte(routes.String()), noEnv)
	if !slices.ContainsFunc(faults(errs), func(s string) bool { return strings.Contains(s, "more than 200000 values") }) {
		t.Errorf("%d faults, none of which is of the number of values", errs.Len())
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestAliasesAndMerges(t *testing.T) {
	cfg, errs := Parse("f.yaml", []byte(`
upstreams:
  a: &a
    endpoints: [http://127.0.0.1:1]
    timeout: 2s
    retry: &retry {attempts: 3}
  b:
    <<: *a
    timeout: 3s
  c:
    <<: [{timeout: 4s}, *a]
    retry: {<<: *retry, budget: 0.5}
routes:
  - {id: a, match: {path: /a}, anonymous: true, upstream: a}
  - {id: b, match: {path: /b}, anonymous: true, upstream: b}
  - {id: c, match: {path: /c}, anonymous: true, upstream: c}
`), noEnv)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "2s 3 0.1", "b": "3s 3 0.1", "c": "4s 3 0.5"} {
		u := cfg.Upstreams[name]
		if got := fmt.Sprint(u.Timeout, u.Retry.Attempts, u.Retry.Budget); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := cfg.Upstreams["b"].Source.Pos("endpoints", 0).String(); got != "f.yaml:4:17" {
		t.Errorf("a merged value is at %s", got)
	}
}

func TestFaultsOfValues(t *testing.T) {
	for text, want := range map[string]string{
		"servr: {}":                                         `4:1: "servr" is not known here (did you mean "server"?); the keys are server, admin`,
		"server: {x: 1}":                                    `4:10: "x" is not known here; the keys are listen, tls`,
		"server: []":                                        "4:9: server is a list; it should be a mapping with keys such as listen, tls, trusted_proxies",
		"server: a":                                         "4:9: server is a single value; it should be a mapping",
		"server:":                                           "4:8: server has no value; it should be a mapping",
		"server: {listen: 8080}":                            `4:18: listen is 8080; it should be text: put it in quotes, "8080"`,
		"server: {listen: '8080'}":                          `4:18: listen is "8080"; it should have a colon before the port: ":8080"`,
		"server: {listen: ''}":                              "4:18: listen is empty; it should be text",
		"server: {listen: [a]}":                             "4:18: listen is a list; it should be text",
		"server: {max_connections: 010}":                    "4:27: max_connections is 010; a zero in front makes it octal",
		"server: {max_connections: 0x10}":                   "4:27: max_connections is 0x10; it should be a whole number in decimal digits",
		"server: {max_connections: 1_0}":                    "4:27: max_connections is 1_0; it should be a whole number in decimal digits",
		"server: {max_connections: 1.5}":                    "4:27: max_connections is 1.5; it should be a whole number",
		"server: {max_connections: -1}":                     "4:27: max_connections is -1; it should be a whole number",
		"server: {max_connections: '1'}":                    `4:27: max_connections is "1"; it should be a whole number, without quotes`,
		"server: {max_connections: 0}":                      "4:27: max_connections is 0; it should be at least 1",
		"server: {max_connections: 9999999999999999999999}": "4:27: max_connections is 9999999999999999999999; it is too large",
		"server: {max_body_bytes: 010}":                     "4:26: max_body_bytes is 010; a zero in front",
		"server: {max_body_bytes: 1MB}":                     `4:26: max_body_bytes is "1MB"; it should be in B, KiB, MiB`,
		"server: {max_body_bytes: big}":                     `4:26: max_body_bytes is "big"; it should be a size`,
		"server: {max_body_bytes: 99999999TiB}":             `4:26: max_body_bytes is "99999999TiB"; it is too large`,
		"server: {max_header_bytes: 1}":                     `4:28: max_header_bytes is 1; it should be at least 1KiB`,
		"server: {max_header_bytes: 17MiB}":                 `4:28: max_header_bytes is "17MiB"; it should be at most 16MiB`,
		"server: {max_target_bytes: 64KiB}":                 "4:28: max_target_bytes is 64KiB, more than max_header_bytes (32KiB)",
		"server: {drain: 1d}":                               `4:17: drain is "1d"; there is no unit for days, whose length varies: write 24h`,
		"server: {drain: 5}":                                "4:17: drain is 5; it should have a unit",
		"server: {drain: -5s}":                              `4:17: drain is "-5s"; it should be a duration`,
		"server: {drain: soon}":                             `4:17: drain is "soon"; it should be a duration`,
		"server: {read_timeout: 0}":                         "4:24: read_timeout is 0; it should be at least 1ms",
		"server: {trusted_proxies: [10.0.0.1/8]}":           `4:28: trusted_proxies[0] is "10.0.0.1/8"; it has bits set beyond its length: write 10.0.0.0/8`,
		"server: {trusted_proxies: [proxy]}":                `4:28: trusted_proxies[0] is "proxy"; it should be an address range`,
		"server: {tls: {cert_file: a}}":                     "4:15: key_file is missing; it should be text: PEM file with the private key.",
		"server: {request_id_header: 'a b'}":                `4:29: request_id_header is "a b"; it should be a field's name`,
		"server: {request_id_header: Content-Length}":       `4:29: request_id_header is "Content-Length"; that field has a meaning`,
		"admin: {listen: ':8080'}":                          `4:17: listen is ":8080"; server.listen has the same port`,
		"admin: {listen: nowhere}":                          `4:17: listen is "nowhere"; it should be host:port, :port, or unix:/path, or off`,
		"log: {level: loud}":                                `4:14: level is "loud"; it should be one of debug, info, warn, error`,
		"log: {level: inof}":                                `4:14: level is "inof"; it should be one of debug, info, warn, error (did you mean "info"?)`,
		"cache: {max_bytes: 2KiB}":                          "4:8: max_entry_bytes is 1MiB, more than max_bytes (2KiB)",
		"rules: {a: 5}":                                     "4:12: rules.a is 5; it should be a CEL expression",
		"rules: {a: ' '}":                                   `4:12: rules.a is " "; it should be a CEL expression`,
		"rules: {a-b: 'true'}":                              `4:9: the rule's name is "a-b"; it should have letters`,
		"rules: {in: 'true'}":                               `4:9: the rule's name is "in", which is a word of CEL`,
		"rules: {a: '${'}":                                  "4:13: a ${ begins no reference; it should be ${NAME}",
		"rules: {a: 'x ${a b}'}":                            "4:15: a ${ begins no reference",
		"rules: {a: '${A}'}":                                "4:13: the environment variable A is not set; set it, or write ${A:-default}",
		"rules: {a: 'x == ${A:-y} && ${B}'}":                "4:29: the environment variable B is not set",
		"rules: {a: {file: nowhere}}":                       `4:19: the file "nowhere" cannot be read: no such file or directory`,
		"rules: {a: {file: .}}":                             `4:19: the file "." cannot be read: it is not a regular file`,
		"rules: {a: {file: ''}}":                            "4:19: file is empty",
		"cors: {origins: [], max_age: 1s}":                  "4:17: origins is empty; it should have at least one element",
		"cors: {origins: 'https://a.example/'}":             `4:17: origins is "https://a.example/"; an origin has no / at its end`,
		"cors: {origins: 'https://a.example:443'}":          `4:17: origins is "https://a.example:443"; browsers leave out the scheme's own port`,
		"cors: {origins: 'https://A.example'}":              `4:17: origins is "https://A.example"; browsers send origins in lower case`,
		"cors: {origins: a.example}":                        `4:17: origins is "a.example"; it should be an origin`,
		"cors: {origins: 'null'}":                           `4:17: origins is "null"; null is what any sandboxed or local page sends`,
		"cors: {origins: 'https://*.com'}":                  `4:17: origins is "https://*.com"; a * should stand before at least two further labels`,
		"cors: {origins: '*', credentials: true}":           "4:17: origins has *, and credentials is true",
		"cors: {origins: '*', credentials: yes}":            `4:35: credentials is "yes"; it should be true or false`,
		"cors: {origins: '*', credentials: 'true'}":         `4:35: credentials is "true"; it should be true or false, without quotes`,
		"cors: {origins: '*', methods: [get]}":              `4:32: methods is "get"; methods are case-sensitive`,
		"cors: {origins: '*', headers: ['a:']}":             `4:32: headers is "a:"; it should be a field's name`,
		"issuers: {'a b': {issuer: 'https://a'}}":           `4:11: the issuer's name is "a b"; it should have letters`,
		"issuers: {a: {issuer: 'https://a', secret: 12}}":   "4:44: secret is a value that is not shown; it should be text: put it in quotes",
		"issuers: {a: {issuer: 'https://a', secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}": "4:44: secret repeats a few characters",
		"issuers: {a: {issuer: 'https://a', tokens: [x]}}":                                                      "4:45: tokens[0] is a single value; it should be a mapping with keys such as header, cookie, query",
		"issuers: {a: {issuer: 'https://a', algorithms: none}}":                                                 `4:48: algorithms is "none"; it should be one of RS256`,
	} {
		t.Run(text, func(t *testing.T) {
			_, errs := Parse("f.yaml", []byte(base+text), noEnv)
			compareLines(t, "faults", faults(errs), []string{want})
		})
	}
}

func TestFaultsAreReportedTogether(t *testing.T) {
	_, errs := Parse("f.yaml", []byte("b: 1\na: 1\nupstreams: {u: {endpoints: ftp://x, timeout: x}}\nroutes: [{id: 1}]\n"), noEnv)
	compareLines(t, "faults", faults(errs), []string{
		`1:1: "b" is not known`, `2:1: "a" is not known`, "3:28: endpoints is", "3:46: timeout is",
		"4:10: match is missing", "4:10: upstream is missing", "4:10: the route has no issuer", "4:10: allow is missing", "4:15: id is 1",
	})
	var e *Error
	if !errors.As(errs.Err(), &e) || e.Pos.Line != 1 {
		t.Errorf("errors.As gives %v", e)
	}
}

func TestValues(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "rule", "principal.x ==\n  path.y\n")
	write(t, "secret", "s3cr3t\r\n")
	write(t, "two", "a\n\n")
	cfg, errs := Parse("f.yaml", []byte(`
server:
  listen: ${LISTEN:-:1}
  max_connections: "${N}"
  read_timeout: 1m30s
  drain: 0
  max_body_bytes: "512"
  max_header_bytes: 64KiB
  trusted_proxies: [10.0.0.0/8, 10.1.2.3, "::1", "fd00::/8", "::ffff:10.9.9.9", "::ffff:10.0.0.0/104"]
  request_id_header: ${NOTHING:-}
log: {access: "${EMPTY}"}
issuers:
  a: {issuer: https://a.example, audiences: one}
upstreams:
  u:
    endpoints: http://127.0.0.1:1
    secret: {header: X-Key, value: {file: secret}}
rules:
  r: {file: rule}
  two: {file: two}
  dollar: a == "$${N} ${N} $"
routes:
  - id: r
    match: {path: /}
    allow: true
    upstream: u
    request: {query: {limit: 010, b: true, empty: "", c: "x{{"}}
    limit: {rate: 100/m}
    cache: {ttl: 1s, scope: [claims.a, claims.b.c]}
  - id: s
    match: {path: /s, methods: [GET, POST]}
    anonymous: true
    upstream: u
    cache: {ttl: 1s}
  - id: t
    match: {path: /t}
    allow: [a, b]
    upstream: u
    cache: {ttl: 1s}
  - id: v
    match: {path: /v}
    allow: x
    upstream: u
    cache: {ttl: 1s, scope: claims.x}
`), env("N", "7", "EMPTY", ""))
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	r := cfg.Routes
	for _, c := range []struct{ got, want any }{
		{cfg.Server.Listen, ":1"},
		{cfg.Server.MaxConnections, 7},
		{cfg.Server.ReadTimeout, 90 * time.Second},
		{cfg.Server.Drain, time.Duration(0)},
		{cfg.Server.WriteTimeout, 30 * time.Second},
		{cfg.Server.MaxBodyBytes, Size(512)},
		{cfg.Server.MaxHeaderBytes, Size(65536)},
		{fmt.Sprint(cfg.Server.TrustedProxies), "[10.0.0.0/8 10.1.2.3/32 ::1/128 fd00::/8 10.9.9.9/32 10.0.0.0/8]"},
		{cfg.Server.RequestIDHeader, "X-Request-Id"},
		{cfg.Log.Access, "stdout"},
		{cfg.Admin.Listen, "127.0.0.1:9090"},
		{cfg.CORS == nil, true},
		{fmt.Sprint(cfg.Issuers["a"].Audiences), "[one]"},
		{cfg.Issuers["a"].Preset, "oidc"},
		{cfg.Issuers["a"].JWKS.Refresh, 10 * time.Minute},
		{cfg.Upstreams["u"].Secret.Value.Reveal(), "s3cr3t"},
		{cfg.Rules["r"].Text, "principal.x ==\n  path.y"},
		{cfg.Rules["r"].Pos(2, 2).String(), "rule:2:3"},
		{cfg.Rules["two"].Text, "a\n"},
		{cfg.Rules["dollar"].Text, `a == "${N} 7 $"`},
		{r[0].Allow[0].Text, "true"},
		{fmt.Sprint(r[0].Issuer), "[a]"},
		{r[0].Request.Query["limit"].Text, "010"},
		{r[0].Request.Query["b"].Text, "true"},
		{r[0].Request.Query["empty"].Text, ""},
		{r[0].Limit.Rate, Rate{100, time.Minute}},
		{r[0].Limit.By, "user"},
		{r[0].Cache.Scope.String(), "[claims.a, claims.b.c]"},
		{fmt.Sprint(r[0].Match.Methods), "[GET]"},
		{fmt.Sprint(r[1].Match.Methods), "[GET POST]"},
		{r[1].Cache.Scope.Word, "public"},
		{len(r[1].Issuer), 0},
		{r[2].Cache.Scope.Word, "user"},
		{len(r[2].Allow), 2},
		{r[3].Cache.Scope.String(), "[claims.x]"},
		{r[2].Source.Pos("allow", 1).String(), "f.yaml:37:16"},
		{r[2].Source.Pos("allow", 7).String(), "f.yaml:37:12"},
		{r[2].Source.Pos("mode").String(), "f.yaml:35:5"},
		{r[3].Source.Pos("allow", 0).String(), "f.yaml:42:12"},
		{Source{}.Pos("x"), Position{}},
	} {
		if c.got != c.want {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pass"), "Bearer x\n")
	text := `
server: {listen: "unix:gate.sock", tls: {cert_file: tls.crt, key_file: /abs/tls.key}}
admin: {listen: "unix:/run/admin.sock"}
log: {access: access.log}
issuers:
  a: {issuer: https://a.example, jwks: {file: sub/keys.json, cache_file: cache.json, ca_file: ca.pem}}
  b: {issuer: https://b.example, jwks: {pem: b.pem}}
  c: {issuer: https://c.example, jwks: {pem: "-----BEGIN PUBLIC KEY-----"}}
upstreams:
  u: {endpoints: ["unix:app.sock", "https://app"], secret: {header: X, value: {file: pass}}, tls: {cert_file: "${CERT}", key_file: k.pem}}
routes: [{id: r, match: {path: /}, issuer: [a, b, c], allow: true, upstream: u}]
`
	path := filepath.Join(dir, "hopgate.yaml")
	cfg, errs := Parse(path, []byte(text), env("CERT", "c.pem"))
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for got, want := range map[string]string{
		cfg.Server.Listen:                 "unix:" + in("gate.sock"),
		cfg.Server.TLS.CertFile:           in("tls.crt"),
		cfg.Server.TLS.KeyFile:            "/abs/tls.key",
		cfg.Admin.Listen:                  "unix:/run/admin.sock",
		cfg.Log.Access:                    in("access.log"),
		cfg.Issuers["a"].JWKS.File:        in("sub/keys.json"),
		cfg.Issuers["a"].JWKS.CacheFile:   in("cache.json"),
		cfg.Issuers["b"].JWKS.PEM:         in("b.pem"),
		cfg.Issuers["c"].JWKS.PEM:         "-----BEGIN PUBLIC KEY-----",
		cfg.Upstreams["u"].Endpoints[0]:   "unix:" + in("app.sock"),
		cfg.Upstreams["u"].TLS.CertFile:   in("c.pem"),
		cfg.Upstreams["u"].Endpoints[1]:   "https://app",
		cfg.Upstreams["u"].TLS.ServerName: "",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	files := cfg.Files()
	slices.Sort(files)
	want := []string{path, in("tls.crt"), "/abs/tls.key", in("sub/keys.json"), in("ca.pem"), in("b.pem"), in("pass"), in("c.pem"), in("k.pem")}
	slices.Sort(want)
	if !slices.Equal(files, want) {
		t.Errorf("the files are\n%v, want\n%v", files, want)
	}
	again, errs := Parse(path, cfg.Redacted(), env("CERT", "c.pem"))
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	if got := again.Files(); !slices.Contains(got, in("tls.crt")) || again.Server.Listen != cfg.Server.Listen {
		t.Errorf("the effective configuration names other files: %v", got)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hopgate.yaml")
	if _, errs, err := Load(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) || errs == nil {
		t.Errorf("a missing file: %v", err)
	}
	write(t, path, base+"rules: {a: '${HOPGATE_TEST_RULE}'}\n")
	t.Setenv("HOPGATE_TEST_RULE", "1 == 1")
	cfg, errs, err := Load(path)
	if err != nil || errs.Err() != nil || cfg.Rules["a"].Text != "1 == 1" {
		t.Errorf("%v %v %v", cfg, errs.Err(), err)
	}
}
