package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// startHopgate starts the gate with the configuration that a user would
// have: every check on, the access log in a file, metrics served. Of its
// routes the first are what the experiments call.
func (l *lab) startHopgate(name string, o on, routes int) (*server, error) {
	return l.startBinary(l.hopgate, name, o, routes)
}

func (l *lab) startBinary(binary, name string, o on, routes int) (*server, error) {
	v := l.variables(o)
	v.Admin = freePort()
	v.Log = filepath.Join(l.dir, fileName(name)+"-access.log")
	v.JWKS = filepath.Join(l.dir, "keys.json")
	if err := os.WriteFile(v.JWKS, keySet(l.es, l.rs, l.ed), 0o600); err != nil {
		return nil, err
	}
	conf, err := l.write(fileName(name)+".yaml", hopgateConf, struct {
		variables
		Others []int
	}{v, make([]int, max(0, routes-4))})
	if err != nil {
		return nil, err
	}
	return l.launch(&server{port: v.Port, tls: v.TLS, admin: v.Admin, log: v.Log}, name, o.cores, binary, "serve", "-c", conf)
}

const hopgateConf = `
server:
  listen: 127.0.0.1:{{.Port}}
  {{- if .TLS}}
  tls: { cert_file: {{.Cert}}, key_file: {{.Key}} }
  {{- end}}
admin: { listen: 127.0.0.1:{{.Admin}} }
log: { level: warn, access: {{.Log}} }
cache: { max_bytes: 256MiB }
issuers:
  main:
    issuer: {{.Issuer}}
    audiences: [{{.Audience}}]
    algorithms: [ES256, RS256, EdDSA]
    jwks: { file: {{.JWKS}} }
upstreams:
  origin:
    endpoints: [http://127.0.0.1:{{.Origin}}]
    secret: { header: X-Backend-Key, value: {{.Secret}} }
rules:
  is_self: principal.user_id == path.user_id
routes:
  - { id: read-user, match: { path: "/v1/users/{user_id}" }, allow: rules.is_self, upstream: origin }
  - { id: read-open, match: { path: "/v1/open/{user_id}" }, anonymous: true, upstream: origin }
  - { id: read-cached, match: { path: "/v1/cached/{user_id}" }, allow: rules.is_self, upstream: origin, cache: { ttl: 1h } }
  - { id: read-blob, match: { path: "/v1/blobs/{user_id}" }, allow: rules.is_self, upstream: origin }
  - { id: cached-blob, match: { path: "/v1/blobs/cached/{user_id}" }, allow: rules.is_self, upstream: origin, cache: { ttl: 1h } }
{{- range $i, $_ := .Others}}
  - { id: other-{{$i}}, match: { methods: [GET, POST], path: "/v1/other-{{$i}}/{user_id}/items/{item}" }, allow: rules.is_self, upstream: origin }
{{- end}}
`

// startHAProxy starts HAProxy: forwarding only, or with cache, or verifying
// tokens of alg (empty: none) and comparing their subject with the path as its
// documentation has it.
func (l *lab) startHAProxy(name string, o on, alg string, cache bool) (*server, error) {
	v := l.variables(o)
	v.Cache, v.Alg = cache, alg
	if alg != "" {
		v.PublicKey = l.signer(alg).keyFile
	}
	if v.TLS {
		v.Cert = l.cert + ".both"
	}
	conf, err := l.write(fileName(name)+".cfg", haproxyConf, v)
	if err != nil {
		return nil, err
	}
	return l.launch(&server{port: v.Port, tls: v.TLS}, name, o.cores, l.haproxy, "-db", "-f", conf)
}

const haproxyConf = `
global
  nbthread {{.Threads}}
  maxconn 8192
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 30s
  timeout http-request 10s
  http-reuse always
{{- if .Cache}}
cache answers
  total-max-size 64
  max-object-size 200000
  max-age 3600
{{- end}}
frontend front
  bind 127.0.0.1:{{.Port}}{{if .TLS}} ssl crt {{.Cert}} alpn h2,http/1.1{{end}}
{{- if .Alg}}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_header_query('$.alg') -m str {{.Alg}} }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str {{.Issuer}} }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.aud') -m str {{.Audience}} }
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.exp),sub(txn.now) -m int gt 0 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"{{.PublicKey}}") -m int 1 }
  http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
  http-request deny deny_status 403 unless { path,field(4,/),strcmp(txn.sub) eq 0 }
  http-request set-header X-Backend-Key {{.Secret}}
{{- end}}
{{- if .Cache}}
  # HAProxy does not answer requests with credentials from its cache.
  http-request del-header Authorization
  {{- if .Alg}}
  acl cacheable path_beg /v1/cached/
  http-request cache-use answers if cacheable
  http-response cache-store answers if { capture.req.uri -m beg /v1/cached/ }
  {{- else}}
  http-request cache-use answers
  http-response cache-store answers
  {{- end}}
{{- end}}
  default_backend origin
backend origin
  server origin 127.0.0.1:{{.Origin}}
`

// startNginx starts nginx, forwarding or answering from proxy_cache.
func (l *lab) startNginx(name string, o on, cache bool) (*server, error) {
	v := l.variables(o)
	v.Cache, v.Path = cache, fileName(name)
	conf, err := l.write(v.Path+".conf", nginxConf, v)
	if err != nil {
		return nil, err
	}
	return l.launch(&server{port: v.Port, tls: v.TLS}, name, o.cores, l.nginx, "-c", conf, "-p", l.dir, "-e", "stderr")
}

const nginxConf = `
{{.User}} worker_processes {{.Threads}}; daemon off; pid {{.Dir}}/{{.Path}}.pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s; tcp_nodelay on; sendfile on;
  client_body_temp_path {{.Dir}}/{{.Path}}-body; proxy_temp_path {{.Dir}}/{{.Path}}-temp;
  upstream origin { server 127.0.0.1:{{.Origin}}; keepalive 512; keepalive_requests 1000000000; }
{{- if .Cache}}
  proxy_cache_path {{.Dir}}/{{.Path}}-cache levels=1:2 keys_zone=answers:64m max_size=256m inactive=1h use_temp_path=off;
  open_file_cache max=10000 inactive=10m;
{{- end}}
  server {
    listen 127.0.0.1:{{.Port}}{{if .TLS}} ssl http2{{end}} backlog=4096;
{{- if .TLS}}
    ssl_certificate {{.Cert}}; ssl_certificate_key {{.Key}}; http2_max_requests 1000000000;
{{- end}}
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_buffers 8 16k;
{{- if .Cache}}
      proxy_cache answers; proxy_cache_key $uri; proxy_cache_valid 200 1h;
{{- end}}
    }
  }
}
`

// startVarnish starts Varnish, which answers from memory.
func (l *lab) startVarnish(name string, o on) (*server, error) {
	v := l.variables(o)
	vcl, err := l.write("varnish.vcl", varnishConf, v)
	if err != nil {
		return nil, err
	}
	return l.launch(&server{port: v.Port}, name, o.cores, l.varnish, "-F", "-j", "none",
		"-n", filepath.Join(l.dir, "varnish"), "-a", "127.0.0.1:"+strconv.Itoa(v.Port), "-f", vcl,
		"-s", "malloc,256m", "-p", "thread_pools=1", "-p", "thread_pool_min=200")
}

const varnishConf = `
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "{{.Origin}}"; }
sub vcl_recv { unset req.http.Authorization; return (hash); }
`

// startEnvoy starts Envoy with jwt_authn, and an RBAC condition (CEL) that
// compares the token's subject with the path.
func (l *lab) startEnvoy(name string, o on) (*server, error) {
	v := l.variables(o)
	jwks, err := json.Marshal(string(keySet(l.es)))
	if err != nil {
		return nil, err
	}
	v.JWKS = string(jwks)
	conf, err := l.write("envoy.yaml", envoyConf, v)
	if err != nil {
		return nil, err
	}
	return l.launch(&server{port: v.Port}, name, o.cores, l.envoy, "-c", conf, "--concurrency", strconv.Itoa(o.threads),
		"--log-level", "warn", "--disable-hot-restart")
}

const envoyConf = `
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: {{.Port}} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                route: { cluster: origin }
                request_headers_to_add: [{ header: { key: x-backend-key, value: {{.Secret}} } }]
          http_filters:
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                main: { issuer: "{{.Issuer}}", audiences: ["{{.Audience}}"], payload_in_metadata: claims, local_jwks: { inline_string: {{.JWKS}} } }
              rules: [{ match: { prefix: / }, requires: { provider_name: main } }]
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  self:
                    permissions: [{ any: true }]
                    principals: [{ any: true }]
                    cel_config: { enable_string_concat: true }
                    # request.path == "/v1/users/" + metadata.filter_metadata["envoy.filters.http.jwt_authn"]["claims"]["sub"]
                    condition:
                      call_expr:
                        function: _==_
                        args:
                        - select_expr: { operand: { ident_expr: { name: request } }, field: path }
                        - call_expr:
                            function: _+_
                            args:
                            - const_expr: { string_value: /v1/users/ }
                            - call_expr:
                                function: _[_]
                                args:
                                - call_expr:
                                    function: _[_]
                                    args:
                                    - call_expr:
                                        function: _[_]
                                        args:
                                        - select_expr: { operand: { ident_expr: { name: metadata } }, field: filter_metadata }
                                        - const_expr: { string_value: envoy.filters.http.jwt_authn }
                                    - const_expr: { string_value: claims }
                                - const_expr: { string_value: sub }
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: origin
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{.Origin}} } } } }] }]
`

// startGo starts the net/http peer, which is this same program.
func (l *lab) startGo(name string, o on, alg string) (*server, error) {
	v := l.variables(o)
	return l.launch(&server{port: v.Port}, name, o.cores, l.self, "gopeer",
		fmt.Sprintf("127.0.0.1:%d", v.Port), fmt.Sprintf("http://127.0.0.1:%d", v.Origin), alg, l.signer(alg).keyFile)
}

func (l *lab) signer(alg string) *signer {
	switch alg {
	case "RS256":
		return l.rs
	case "EdDSA":
		return l.ed
	}
	return l.es
}

// versionOf gives the first line of what a program says of its version.
func versionOf(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil && len(out) == 0 {
		return ""
	}
	// Where it is installed is nobody's business.
	return strings.ReplaceAll(firstLine(string(out)), argv[0], filepath.Base(argv[0]))
}
