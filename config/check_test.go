package config

import (
	"strings"
	"testing"
)

// whole is a good configuration in which each case replaces one line, named
// by its key.
const whole = `
server: {listen: ":8080"}
issuers:
  a: {issuer: https://a.example}
upstreams:
  u:
    endpoints: https://api.example.com/v1
    host: api.example.com:443
    secret: {header: Authorization, value: "${SECRET}"}
    connect_timeout: 1s
    header_timeout: 1s
    tls: {server_name: api.example.com}
rules:
  is_self: "true"
routes:
  - id: r
    match: {methods: [GET, POST], path: /}
    anonymous: false
    issuer: a
    allow: rules.is_self
    deny: b
    mode: enforce
    upstream: u
    request: {headers: {X-User: "{x}"}}
    response: {remove: a}
    cache:
    limit: {rate: 1/s}
    cors: {origins: https://app.example.com}
  - {id: s, match: {path: /s}, issuer: a, allow: x, upstream: u}
`

// places of the keys in whole, without the line cache, which is there to be
// replaced.
func TestChecks(t *testing.T) {
	good := strings.Replace(whole, "    cache:\n", "    max_body_bytes: 0\n", 1)
	_, errs := Parse("f.yaml", []byte(good), env("SECRET", "s3cr3t"))
	if got := append(faults(errs), lines(errs.Warnings())...); len(got) > 0 {
		t.Fatalf("the file without a change: %q", got)
	}
	for _, c := range []struct {
		key, with      string
		fault, warning string
	}{
		{"id", `"r 1"`, `16:9: id is "r 1"; it should have letters`, ""},
		{"id", `s`, `29:10: id is "s"; the route in line 16 has the same`, ""},
		{"id", `${SECRET}`, "", ""},
		{"upstream", `v`, `23:15: upstream is "v"; it should be one of those in upstreams: u (did you mean "u"?)`, ""},
		{"upstream", `${SECRET}`, `23:15: upstream is what ${SECRET} gives; it should be one of those in upstreams: u`, ""},
		{"issuer", `b`, `19:13: issuer is "b"; it should be one of those in issuers: a (did you mean "a"?)`, ""},
		{"issuer", `[a, a]`, "", `19:17: issuer has "a" twice`},
		{"issuer", `[]`, `19:13: issuer is empty; it should have one or more of a`, ""},
		{"anonymous", `true`, `19:13: issuer is set, and anonymous is true`, ""},
		{"anonymous", `maybe`, `18:16: anonymous is "maybe"; it should be true or false`, ""},
		{"allow", `[]`, "20:12: allow is missing; it should say who may call the route", ""},
		{"allow", `[rules . is_self, true]`, "", "20:30: allow has true, so that the other rules"},
		{"allow", `["false", rules.is_self]`, "", ""},
		{"allow", `"false"`, "", "14:3: the rule is_self is used nowhere\n20:12: allow is false, so that nobody is let in"},
		{"allow", `[b, rules.is_self]`, "", "20:13: the same rule stands under allow and deny"},
		{"allow", `"x.rules.is_selfish"`, "", "14:3: the rule is_self is used nowhere; use it as rules.is_self"},
		{"deny", `true`, "", "21:11: deny has true"},
		{"deny", `[c, false]`, "", "21:15: deny has false"},
		{"match", `{path: /, methods: [get]}`, `17:32: methods is "get"; methods are case-sensitive`, ""},
		{"match", `{path: /, methods: "GE T"}`, `17:31: methods is "GE T"; it should be a method`, ""},
		{"match", `{path: /, methods: [GET, PSOT]}`, "", `17:37: methods has "PSOT", which is no registered method (did you mean "POST"?)`},
		{"match", `{path: /, methods: [GET, FROBNICATE]}`, "", `17:37: methods has "FROBNICATE", which is no registered method`},
		{"match", `{path: /, methods: [GET, PROPFIND, QUERY]}`, "", ""},
		{"match", `{path: /, methods: CONNECT}`, `17:31: methods is "CONNECT"; hopgate never forwards it`, ""},
		{"match", `{path: /, methods: []}`, `17:31: methods is empty`, ""},
		{"match", `{path: /, hosts: "https://a"}`, `17:29: hosts is "https://a"; it should be a host name alone`, ""},
		{"match", `{path: /, hosts: "a:80"}`, `17:29: hosts is "a:80"; it should have no port`, ""},
		{"match", `{path: /, hosts: "a.*.b"}`, `17:29: hosts is "a.*.b"; it should be a host name such as`, ""},
		{"match", `{path: /, hosts: ["*.a.example", "[::1]", 10.0.0.1, A.example]}`, "", ""},
		{"request", `{headers: {"a b": x}}`, `24:25: a field's name is "a b"`, ""},
		{"request", `{headers: {Content-length: x}}`, `24:25: Content-length cannot be set`, ""},
		{"request", `{headers: {authorization: x}}`, `24:25: authorization is the field of the upstream's secret`, ""},
		{"request", `{headers: {X-A: x, x-a: y}}`, `24:33: x-a is the same field as X-A`, ""},
		{"request", `{headers: {X-A: x}, remove: x-a}`, "", `24:42: remove has "x-a", which headers sets anyway`},
		{"request", `{remove: Host}`, `24:23: remove is "Host"; hopgate itself says how`, ""},
		{"request", `{cookies: "a=b"}`, `24:24: cookies is "a=b"; it should be a cookie's name`, ""},
		{"request", `{query: {"": x}}`, `24:23: a query parameter has no name`, ""},
		{"request", `{params: [a, a]}`, "", `24:27: params has "a" twice`},
		{"request", `{body: xml}`, `24:21: body is "xml"; it should be one of none, json`, ""},
		{"response", `{remove: a, keep: b}`, "25:33: keep and remove are both set", ""},
		{"response", `{keep: []}`, "25:22: keep is empty, which would remove everything", ""},
		{"response", `{remove_headers: Transfer-Encoding}`, `25:32: remove_headers is "Transfer-Encoding"; hopgate itself`, ""},
		{"cache", `{}`, "26:12: ttl is missing", ""},
		{"cache", `{ttl: 0}`, "26:18: ttl is 0; it should be at least 1ms", "26:12: only answers to GET"},
		{"cache", `{ttl: 1s, scope: public}`, "", "26:12: only answers to GET are cached\n26:29: scope is public: everybody"},
		{"cache", `{ttl: 1s, scope: everybody}`, `26:29: scope is "everybody"; it should be public, user, org, session`, "26:12: only answers"},
		{"cache", `{ttl: 1s, scope: [user]}`, `26:30: scope[0] is "user"; it should be a claim's path such as claims.tenant`, "26:12: only answers"},
		{"cache", `{ttl: 1s, scope: ["${SECRET}"]}`, "26:30: scope[0] is what its reference gives; it should be a claim's path", "26:12: only answers"},
		{"cache", `{ttl: 1s, scope: []}`, `26:29: scope is a list; it should be public, user`, "26:12: only answers"},
		{"limit", `{rate: 1/d}`, `27:19: rate is "1/d"; it should be a number of requests per second, minute or hour`, ""},
		{"limit", `{rate: 0/s}`, `27:19: rate is "0/s"`, ""},
		{"limit", `{rate: 5}`, `27:19: rate is 5`, ""},
		{"limit", `{burst: 5}`, `27:12: rate is missing`, ""},
		{"cors", `{origins: "*", credentials: true}`, "28:21: origins has *, and credentials is true", ""},
		{"cors", `{origins: ["*", "https://a.example"]}`, "", "28:22: origins has *, so that the others"},
		{"cors", `{origins: "http://a.example", credentials: true}`, "", `28:21: origins has "http://a.example" with credentials`},
		{"cors", `{origins: ["http://localhost:3000", "http://[::1]:3000"], credentials: true}`, "", ""},
		{"cors", `{origins: "https://a.example", max_age: 48h}`, "", "28:51: max_age is 48h; no browser"},
		{"cors", `{origins: "https://a.example", expose: "*", credentials: true}`, "28:50: expose is a single value; it should be a list", ""},
		{"cors", `{origins: "https://a.example", expose: ["*"], credentials: true}`, `28:51: expose is "*"; it should be a field's name`, ""},
		{"endpoints", `[http://127.0.0.1:1]
    protocol: h2`, `7:17: endpoints is "http://127.0.0.1:1"; protocol is h2, which is spoken over TLS`, "13:5: tls has no effect"},
		{"endpoints", `[https://api.example.com, http://127.0.0.1:1]
    protocol: h2c`, `7:17: endpoints is "https://api.example.com"; protocol is h2c, which is spoken in the clear`, ""},
		{"endpoints", `[unix:/run/a.sock, "http://127.0.0.1:1"]
    protocol: h2c`, "", "13:5: tls has no effect"},
		{"endpoints", `https://api.example.com
    protocol: http/2`, `8:15: protocol is "http/2"; it should be one of http/1.1, h2, h2c`, ""},
		{"endpoints", `http://api.example.com`, "", "7:16: endpoints has \"http://api.example.com\", so that the secret goes over the network in the clear\n12:5: tls has no effect"},
		{"endpoints", `http://127.0.0.1:1`, "", "12:5: tls has no effect"},
		{"endpoints", `https://api.example.com/`, `7:16: endpoints is "https://api.example.com/"; it should not end in /`, "12:5: tls has no effect"},
		{"endpoints", `https://api.example.com/a/../b`, `7:16: endpoints is "https://api.example.com/a/../b"; its path should have no`, "12:5: tls has no effect"},
		{"endpoints", `https://api.example.com?a=b`, `7:16: endpoints is "https://api.example.com?a=b"; it should have no query`, "12:5: tls has no effect"},
		{"endpoints", `https://api.example.com#`, `7:16: endpoints is "https://api.example.com#"; it should have no query and no fragment`, "12:5: tls has no effect"},
		{"endpoints", `https://me:pw@api.example.com`, `7:16: endpoints is "https://me:pw@api.example.com"; it should have no user`, "12:5: tls has no effect"},
		{"endpoints", `https://`, `7:16: endpoints is "https://"; its host should be`, "12:5: tls has no effect"},
		{"endpoints", `https://a:0`, `7:16: endpoints is "https://a:0"; its host should be a name or an address, with a port from 1`, "12:5: tls has no effect"},
		{"endpoints", `api.example.com:80`, `7:16: endpoints is "api.example.com:80"; it should be https://host`, "12:5: tls has no effect"},
		{"endpoints", `"unix:"`, `7:16: endpoints is "unix:"; it should have a path`, "12:5: tls has no effect"},
		{"endpoints", `["https://a", "https://a"]`, "", `7:30: endpoints has "https://a" twice`},
		{"endpoints", `[]`, `7:16: endpoints is empty`, ""},
		{"host", `a/b`, `8:11: host is "a/b"; it should be a host name`, ""},
		{"secret", `{header: Host, value: "${SECRET}"}`, `9:22: header is "Host"; hopgate itself`, ""},
		{"secret", `{header: "A:", value: "${SECRET}"}`, `9:22: header is "A:"; it should be a field's name`, ""},
		{"secret", `{header: A, value: "${SECRET}\n"}`, `9:32: value has a line break`, ""},
		{"secret", `{header: A, value: "x${EMPTY}"}`, ``, ""},
		{"secret", `{header: A, value: "${EMPTY}"}`, "9:32: value is empty, which is what ${EMPTY} gives", ""},
		{"secret", `{header: A, value: literal}`, "", "9:32: value stands in the file, where everybody"},
		{"secret", `{header: A, value: "********"}`, "", "9:32: value is the mask of a printed configuration"},
		{"connect_timeout", `10s`, "", "10:22: connect_timeout is 10s, longer than timeout (5s)"},
		{"header_timeout", `10s`, "", "11:21: header_timeout is 10s, longer than timeout (5s)"},
		{"tls", `{cert_file: a}`, "12:22: cert_file is set and key_file is missing", ""},
		{"tls", `{key_file: a}`, "12:21: key_file is set and cert_file is missing", ""},
		{"tls", `{server_name: "a:1"}`, `12:24: server_name is "a:1"; it should be a host name`, ""},
		{"server", `{listen: ":8080", trusted_proxies: ["::/0", "0.0.0.0/0"]}`, "", "2:45: trusted_proxies has every address\n2:53: trusted_proxies has every address"},
		{"server", `{listen: ":8080", proxy_protocol: "::/0"}`, "", "2:43: proxy_protocol has every address"},
		{"server", `{tls: {cert_file: a, key_file: b, client_auth: require}}`, "2:56: client_auth is require, and client_ca_file is missing", ""},
		{"server", `{h2c: true, tls: {cert_file: a, key_file: b}}`, "", "2:15: h2c has no effect with tls"},
		{"server", `{listen: "[::1]:http"}`, `2:18: listen is "[::1]:http"; its port should be a number`, ""},
		{"server", `{listen: "a b:1"}`, `2:18: listen is "a b:1"; it should be host:port`, ""},
		{"server", `{listen: "127.0.0.1:9090"}`, `2:1: listen is "127.0.0.1:9090"; server.listen has the same port`, ""},
		{"server", `{listen: "${SECRET}"}`, "2:18: listen is what ${SECRET} gives; it should be host:port", ""},
	} {
		t.Run(c.key+" "+c.with, func(t *testing.T) {
			text := good
			if c.key == "cache" {
				text = strings.Replace(text, "    max_body_bytes: 0", "    cache: x", 1)
			}
			var out []string
			done := false
			for line := range strings.SplitSeq(text, "\n") {
				if key, _, ok := strings.Cut(strings.TrimLeft(line, " -"), ": "); ok && key == c.key && !done {
					line, done = line[:strings.Index(line, c.key+": ")]+c.key+": "+c.with, true
				}
				out = append(out, line)
			}
			if !done {
				t.Fatal("no such key")
			}
			_, errs := Parse("f.yaml", []byte(strings.Join(out, "\n")), env("SECRET", "s3cr3t", "EMPTY", ""))
			compareLines(t, "faults", faults(errs), splitLines(c.fault))
			compareLines(t, "warnings", lines(errs.Warnings()), splitLines(c.warning))
		})
	}
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

func TestChecksOfReferences(t *testing.T) {
	for name, c := range map[string]struct {
		text           string
		fault, warning string
	}{
		"no issuers": {`
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, allow: x, upstream: u}
`, "4:3: the route has no issuer whose tokens it accepts", ""},
		"several issuers": {`
issuers: {a: {issuer: https://a}, b: {issuer: https://b}}
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, allow: x, upstream: u}
`, "5:3: issuer is missing; there are several, and it should say whose tokens are accepted: one or more of a, b", ""},
		"broken issuers": {`
issuers: x
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, allow: x, upstream: u}
`, "2:10: issuers is a single value", ""},
		"nothing asked": {`
issuers: {a: {issuer: https://a}}
upstreams: {u: {endpoints: http://127.0.0.1:1}, v: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, upstream: u}
`, "5:3: allow is missing; it should say who may call the route", ""},
		"nothing uses it": {`
issuers: {a: {issuer: https://a}, b: {issuer: https://b}}
upstreams: {u: {endpoints: http://127.0.0.1:1}, v: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, issuer: a, allow: x, upstream: u}
`, "", "2:35: no route accepts tokens of the issuer b\n3:49: no route goes to the upstream v"},
		"another router's parameters": {`
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: "/users/:id"}, anonymous: true, upstream: u}
- {id: s, match: {path: "/users/*"}, anonymous: true, upstream: u}
- {id: t, match: {path: "/<id>/a:b/**"}, anonymous: true, upstream: u}
`, "", `4:25: path has the segment ":id", which is literal text here; a parameter is written "/{id}"
5:25: path has the segment "*", which is literal text here; any one segment is written "/{name}", and the rest of a path "/{name...}"
6:25: path has the segment "<id>", which is literal text here; a parameter is written "/{id}"
6:25: path has the segment "**", which is literal text here; any one segment is written "/{name}"`},
		"an azp that no token has": {`
issuers: {a: {preset: clerk, issuer: https://a.example, authorized_parties: [https://app.example/, "https://*.example", "https://app.example:8443"]}, b: {issuer: https://b.example, authorized_parties: x/}}
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, issuer: [a, b], allow: x, upstream: u}
`, "", `2:78: authorized_parties has "https://app.example/", which is no azp of Clerk's: an origin has no / at its end
2:100: authorized_parties has "https://*.example", which is no azp of Clerk's: origins are compared as they stand, and * stands for nothing`},
		"anonymous": {`
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, anonymous: true, upstream: u, mode: report, cache: {ttl: 1s, scope: user}, limit: {rate: 1/s, by: org}}
`, "4:97: scope is \"user\", and the route is anonymous\n4:127: by is \"org\"; an anonymous route knows no organization", "4:65: mode is report, but the route has no rules"},
		"a WebSocket over HTTP/2": {`
upstreams: {u: {endpoints: http://127.0.0.1:1}, v: {endpoints: http://127.0.0.1:1, protocol: h2c}}
routes:
- {id: r, match: {path: /}, anonymous: true, upstream: u, websocket: {}}
- {id: s, match: {path: /s}, anonymous: true, upstream: v, websocket: {}}
`, `5:60: websocket is set, and the upstream "v" speaks h2c; a WebSocket needs one whose protocol is http/1.1`, ""},
		"rules in templates": {`
upstreams: {u: {endpoints: http://127.0.0.1:1}}
rules: {a: x, b: rules.a, c: x, d: x, e: x}
routes:
- {id: r, match: {path: /}, anonymous: true, upstream: u, request: {path: "/{rules.c}", query: {q: "{rules.d}"}, headers: {X: "{rules.e}"}}}
`, "", "3:15: the rule b is used nowhere"},
		"body of a GET": {`
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /, methods: [GET, HEAD]}, anonymous: true, upstream: u, request: {body: json}}
`, "", "4:97: body is json, but the route's requests (GET, HEAD) have none"},
		"template without quotes": {`
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, anonymous: true, upstream: u, request: {headers: {X: {a.b}}}}
`, "4:82: headers.X is a mapping; it should be text with {expression} parts; in quotes where it begins with {", ""},
		"secret in the file": {`
issuers: {a: {issuer: https://a, secret: 0123456789abcdef0123456789ABCDEF, algorithms: HS256}}
upstreams: {u: {endpoints: http://127.0.0.1:1}}
routes:
- {id: r, match: {path: /}, allow: x, upstream: u}
`, "", "2:42: secret stands in the file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := Parse("f.yaml", []byte(c.text), noEnv)
			compareLines(t, "faults", faults(errs), splitLines(c.fault))
			compareLines(t, "warnings", lines(errs.Warnings()), splitLines(c.warning))
		})
	}
}
