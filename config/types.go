// Package config reads the configuration file as plain data: types with their
// defaults, strict decoding in which every fault has its place, ${NAME} and
// {file: path}, and from the same struct tags the JSON Schema, the reference
// and the effective configuration.
package config

import (
	"net/netip"
	"time"
)

// Config is one configuration file as plain data, defaults filled in. It is
// immutable once [Load] has returned it and safe for concurrent reading.
//
// Struct tags carry what the decoder, the JSON Schema and the reference
// documentation need: `yaml` names the key, `doc` says what it is for in one
// sentence, `default` is the value that an absent key has, `enum` lists the
// words a field allows (separated by commas), `one:"true"` lets a list be
// written as its single element, and `required:"true"` refuses absence.
// `file` marks a path that is relative to the configuration's folder: "read"
// shapes the configuration and is watched, "write" is only written, "socket"
// is a path after unix:; `words` lists what a path field may hold instead.
// `min` and `max` bound a number, a size or a duration.
type Config struct {
	Server    Server              `yaml:"server" doc:"Where and how hopgate listens."`
	Admin     Admin               `yaml:"admin" doc:"The control plane: health, metrics and the effective configuration, on a listener of its own."`
	Log       Log                 `yaml:"log" doc:"The access log and the program's own messages."`
	Cache     CacheStore          `yaml:"cache" doc:"The memory that all routes' cached answers share."`
	Tokens    TokenStore          `yaml:"tokens" doc:"The memory that holds verified tokens, so that a token's signature is checked once."`
	CORS      *CORS               `yaml:"cors" doc:"Cross-origin access for every route that has no cors section of its own. Without it no page of another origin may read an answer."`
	Issuers   map[string]Issuer   `yaml:"issuers" doc:"The issuers whose session tokens hopgate accepts, by a name of your choice."`
	Upstreams map[string]Upstream `yaml:"upstreams" doc:"The backends that requests are forwarded to, by a name of your choice." required:"true"`
	Rules     map[string]Expr     `yaml:"rules" doc:"CEL expressions named once; other rules and routes use them as rules.NAME."`
	Webhooks  map[string]Webhook  `yaml:"webhooks" doc:"Where providers send signed events about changes, so that cached answers are forgotten at once; by a name of your choice."`
	Routes    []Route             `yaml:"routes" doc:"What may be called, by whom, and how it is forwarded. What no route matches is 404." required:"true"`

	Source Source `yaml:"-"`
}

// Server is the data-plane listener.
type Server struct {
	Listen                   string         `yaml:"listen" file:"socket" default:":8080" doc:"Address to listen on: host:port for TCP, unix:/path for a unix socket."`
	TLS                      *TLS           `yaml:"tls" doc:"Serve HTTPS with this certificate. Without it hopgate speaks clear HTTP."`
	TrustedProxies           []netip.Prefix `yaml:"trusted_proxies" doc:"Address ranges of the proxies in front whose X-Forwarded-For, -Proto and Forwarded fields are believed. From any other peer these fields are dropped."`
	MaxHeaderBytes           Size           `yaml:"max_header_bytes" min:"1KiB" max:"16MiB" default:"32KiB" doc:"Largest request head; a larger one is answered 431."`
	MaxTargetBytes           Size           `yaml:"max_target_bytes" min:"128" max:"1MiB" default:"8KiB" doc:"Longest request target (path and query); a longer one is answered 414."`
	MaxBodyBytes             Size           `yaml:"max_body_bytes" min:"1" default:"1MiB" doc:"Largest request body; a larger one is answered 413. A route can set its own."`
	MaxConnections           int            `yaml:"max_connections" min:"1" default:"10000" doc:"Open client connections at once; further ones are refused."`
	MaxConnectionsPerAddress int            `yaml:"max_connections_per_address" min:"0" default:"0" doc:"Open client connections at once from one address (an IPv6 /64 counts as one); further ones are refused. 0 means no limit; set none where clients come through a load balancer that sends no PROXY protocol."`
	ProxyProtocol            []netip.Prefix `yaml:"proxy_protocol" one:"true" doc:"Address ranges of load balancers whose connections begin with a PROXY protocol header (version 1 or 2), which tells the client's address. A connection from there without one is refused."`
	H2C                      bool           `yaml:"h2c" default:"false" doc:"Serve HTTP/2 on clear connections too, to clients that begin with it (prior knowledge). With tls HTTP/2 is always offered."`
	ReusePort                bool           `yaml:"reuse_port" default:"false" doc:"Let several processes listen on the same address (SO_REUSEPORT); the kernel spreads connections over them. What waits in the queue of one that ends is lost, so that SIGUSR2 is the better way to a new binary."`
	ReadTimeout              time.Duration  `yaml:"read_timeout" min:"1ms" default:"10s" doc:"Longest time a client may take to send one request."`
	WriteTimeout             time.Duration  `yaml:"write_timeout" min:"1ms" default:"30s" doc:"Longest time a client may take to read one answer."`
	IdleTimeout              time.Duration  `yaml:"idle_timeout" min:"1ms" default:"75s" doc:"How long a kept-alive connection may stay silent between requests."`
	Drain                    time.Duration  `yaml:"drain" default:"25s" doc:"After SIGTERM, how long open requests may still take to finish."`
	DrainDelay               time.Duration  `yaml:"drain_delay" default:"0s" doc:"After SIGTERM, how long hopgate goes on accepting while readyz already fails, so that load balancers notice first."`
	RequestIDHeader          string         `yaml:"request_id_header" default:"X-Request-Id" doc:"Field that carries the request id: taken from a trusted proxy, else made, sent upstream and answered."`
}

// TLS is a certificate and its private key, re-read when the files change.
type TLS struct {
	CertFile     string    `yaml:"cert_file" file:"read" required:"true" doc:"PEM file with the certificate chain."`
	KeyFile      string    `yaml:"key_file" file:"read" required:"true" doc:"PEM file with the private key."`
	Certificates []KeyPair `yaml:"certificates" one:"true" doc:"Further certificates; the name that a client asks for (SNI) chooses, and cert_file's is used where none fits."`
	ClientCAFile string    `yaml:"client_ca_file" file:"read" doc:"PEM file with the certificate authorities whose client certificates are accepted. Without it clients are asked for none."`
	ClientAuth   string    `yaml:"client_auth" default:"optional" enum:"optional,require" doc:"Whether a client may do without a certificate, where client_ca_file is set. Rules see it as client.cert_subject, client.cert_names and client.cert_fingerprint."`

	Source Source `yaml:"-"`
}

// KeyPair is one more certificate and its private key.
type KeyPair struct {
	CertFile string `yaml:"cert_file" file:"read" required:"true" doc:"PEM file with the certificate chain."`
	KeyFile  string `yaml:"key_file" file:"read" required:"true" doc:"PEM file with the private key."`

	Source Source `yaml:"-"`
}

// Admin is the control-plane listener.
type Admin struct {
	Listen string `yaml:"listen" file:"socket" default:"127.0.0.1:9090" doc:"Address of the admin listener (/livez, /readyz, /metrics, /config): host:port, or unix:/path. Keep it off the public network. The word off disables it."`

	Source Source `yaml:"-"`
}

// Log configures the access log and the program's own messages.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"Least severe message that is written."`
	Access string `yaml:"access" file:"write" words:"stdout,stderr,off" default:"stdout" doc:"Where the JSON access log goes: stdout, stderr, off, or a file's path (reopened on reload)."`
}

// CacheStore is the memory shared by the cached answers of all routes.
type CacheStore struct {
	MaxBytes      Size `yaml:"max_bytes" min:"1KiB" default:"64MiB" doc:"Most memory that cached answers may take, bookkeeping included."`
	MaxEntryBytes Size `yaml:"max_entry_bytes" min:"1" default:"1MiB" doc:"Largest answer that is stored; larger ones pass uncached."`
}

// TokenStore is the memory of verified tokens, shared by all issuers.
type TokenStore struct {
	MaxBytes Size `yaml:"max_bytes" default:"0" doc:"Most memory that verified tokens may take: about 1.1 KB each, more for long ones and where rules read their claims. A token that found no room is verified each time. 0 means 128MiB, for 100,000 tokens, or a quarter of the process's memory limit where that is less."`
}

// CORS answers preflights and marks answers readable for the listed origins
// (the Fetch standard's CORS protocol).
type CORS struct {
	Origins     []string      `yaml:"origins" one:"true" required:"true" doc:"Origins whose pages may read answers, for example https://app.example.com. A * label stands for one host label (https://*.example.com); * alone means any origin, without credentials."`
	Methods     []string      `yaml:"methods" doc:"Methods a preflight allows. Default: the methods of the routes that match the path."`
	Headers     []string      `yaml:"headers" default:"Authorization, Content-Type" doc:"Request fields a preflight allows."`
	Expose      []string      `yaml:"expose" doc:"Response fields a page may read beyond the safelisted ones."`
	Credentials bool          `yaml:"credentials" default:"false" doc:"Allow cookies to be sent (Access-Control-Allow-Credentials). Refused together with origin *."`
	MaxAge      time.Duration `yaml:"max_age" default:"10m" doc:"How long a browser may remember a preflight."`

	Source Source `yaml:"-"`
}

// Issuer is one source of session tokens.
type Issuer struct {
	Preset            string        `yaml:"preset" default:"oidc" enum:"clerk,auth0,supabase,firebase,cognito,keycloak,workos,okta,entra,oidc" doc:"Identity provider: sets key location, algorithms, token places, provider checks and how claims become the principal. What is written here overrides it."`
	Issuer            string        `yaml:"issuer" required:"true" doc:"The exact iss claim, byte for byte (RFC 7519 section 4.1.1)."`
	Audiences         []string      `yaml:"audiences" one:"true" doc:"Accepted aud values; one must be in the token. Empty: aud is not checked, unless the preset needs it."`
	AuthorizedParties []string      `yaml:"authorized_parties" one:"true" doc:"Accepted azp values (for Clerk the origins of your front ends). A token that has azp must have one of them."`
	ClientIDs         []string      `yaml:"client_ids" one:"true" doc:"Accepted client identifiers where the provider uses its own claim (Cognito client_id, Okta cid)."`
	Algorithms        []string      `yaml:"algorithms" one:"true" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,HS256,HS384,HS512" doc:"Accepted signature algorithms. Default: the preset's."`
	ClockSkew         time.Duration `yaml:"clock_skew" default:"5s" doc:"Tolerance when exp, nbf and iat are compared with this machine's clock."`
	MaxAge            time.Duration `yaml:"max_age" default:"0s" doc:"Oldest token accepted, counted from iat; 0 means no limit but exp."`
	MaxTokenBytes     Size          `yaml:"max_token_bytes" min:"64" default:"8KiB" doc:"Longest token accepted."`
	RequiredClaims    []string      `yaml:"required_claims" one:"true" doc:"Claims that must be present beside iss and exp."`
	TokenTypes        []string      `yaml:"token_types" one:"true" doc:"Accepted typ header values, without case (JWT, at+jwt). Default: the preset's; an absent typ is accepted."`
	Tokens            []TokenPlace  `yaml:"tokens" one:"true" doc:"Where the token is looked for, in this order. Default: the preset's (Authorization: Bearer)."`
	Claims            ClaimMapping  `yaml:"claims" doc:"Overrides which claims fill the principal; each is a claim name, or a dotted path into nested claims."`
	JWKS              JWKS          `yaml:"jwks" doc:"Where the verification keys come from. Default: the preset's."`
	Secret            Secret        `yaml:"secret" doc:"Shared secret for HS256, HS384 and HS512, at least 32 bytes. Only with it are HS algorithms accepted, and a key set's keys are never used for them."`
	AllowPending      bool          `yaml:"allow_pending" default:"false" doc:"Accept sessions that the provider calls pending (Clerk sts)."`

	Source Source `yaml:"-"`
}

// TokenPlace is one place of a request; exactly one field is set.
type TokenPlace struct {
	Header            string `yaml:"header" doc:"Request field. Authorization must have the Bearer scheme; any other field holds the bare token."`
	Cookie            string `yaml:"cookie" doc:"Cookie name; a * at the end matches suffixed names (__session_*)."`
	Query             string `yaml:"query" doc:"Query parameter; it is removed before forwarding. Query strings end in logs and histories: prefer a header."`
	WebSocketProtocol string `yaml:"websocket_protocol" doc:"Subprotocol before the token in Sec-WebSocket-Protocol, for browsers, which cannot set other fields on a WebSocket: new WebSocket(url, [NAME, token, ...]). Both are removed before forwarding."`

	Source Source `yaml:"-"`
}

// ClaimMapping names the claims that fill the principal.
type ClaimMapping struct {
	UserID      string `yaml:"user_id" doc:"Claim for principal.user_id."`
	OrgID       string `yaml:"org_id" doc:"Claim for principal.org_id."`
	OrgSlug     string `yaml:"org_slug" doc:"Claim for principal.org_slug."`
	OrgRole     string `yaml:"org_role" doc:"Claim for principal.org_role."`
	Roles       string `yaml:"roles" doc:"Claim for principal.roles: a list, or words separated by spaces."`
	Permissions string `yaml:"permissions" doc:"Claim for principal.permissions: a list, or words separated by spaces."`
	Scopes      string `yaml:"scopes" doc:"Claim for principal.scopes: a list, or words separated by spaces."`
	SessionID   string `yaml:"session_id" doc:"Claim for principal.session_id."`
	Actor       string `yaml:"actor" doc:"Claim for principal.actor, who acts on the user's behalf."`
}

// JWKS says where verification keys come from; at most one of URL,
// Discovery, File, Keys and PEM is set.
type JWKS struct {
	URL         string        `yaml:"url" doc:"Address of the JWK Set (RFC 7517): https, or http to a loopback address."`
	Discovery   string        `yaml:"discovery" doc:"Address of an OpenID configuration document whose jwks_uri is used; its issuer must equal this issuer exactly."`
	File        string        `yaml:"file" file:"read" doc:"File with a JWK Set, re-read when it changes."`
	Keys        string        `yaml:"keys" doc:"The JWK Set itself, as JSON."`
	PEM         string        `yaml:"pem" file:"read" doc:"A public key or certificate in PEM, or the path of a file with one."`
	Refresh     time.Duration `yaml:"refresh" min:"1ms" default:"10m" doc:"How often keys are fetched in the background when the answer's Cache-Control does not say; also the longest interval."`
	MinInterval time.Duration `yaml:"min_interval" min:"1ms" default:"10s" doc:"Shortest interval between two fetches, also when tokens name unknown keys."`
	MaxStale    time.Duration `yaml:"max_stale" default:"24h" doc:"How long the last good keys stay in use while the issuer cannot be reached."`
	Timeout     time.Duration `yaml:"timeout" min:"1ms" default:"5s" doc:"Longest time for one fetch; a request that needs keys which are not there yet waits at most this long."`
	CacheFile   string        `yaml:"cache_file" file:"write" doc:"File in which fetched keys are kept, so that hopgate starts while the issuer is down."`
	CAFile      string        `yaml:"ca_file" file:"read" doc:"PEM file with the certificate authorities to trust for this issuer instead of the system's."`

	Source Source `yaml:"-"`
}

// Upstream is a backend: one or more equal endpoints.
type Upstream struct {
	Endpoints        []string      `yaml:"endpoints" file:"socket" one:"true" required:"true" doc:"Equal addresses of the backend: https://host[:port], http://host[:port], or unix:/path. A path is put before the forwarded one (https://api.clerk.com/v1)."`
	Protocol         string        `yaml:"protocol" default:"http/1.1" enum:"http/1.1,h2,h2c" doc:"HTTP version spoken to the endpoints: http/1.1, h2 (HTTP/2 over TLS, for https endpoints) or h2c (HTTP/2 in the clear with prior knowledge, for http and unix ones). gRPC needs one of the latter two."`
	Host             string        `yaml:"host" doc:"Host field sent upstream. Default: the endpoint's."`
	Secret           *SecretField  `yaml:"secret" doc:"The credential that hopgate adds; callers can neither see nor override it."`
	Timeout          time.Duration `yaml:"timeout" min:"1ms" default:"5s" doc:"Longest time for the whole exchange with the upstream, retries included."`
	ConnectTimeout   time.Duration `yaml:"connect_timeout" min:"1ms" default:"1s" doc:"Longest time to open a connection, TLS included."`
	HeaderTimeout    time.Duration `yaml:"header_timeout" default:"0s" doc:"Longest time until the head of the answer has arrived; 0 means timeout."`
	IdleTimeout      time.Duration `yaml:"idle_timeout" min:"1ms" default:"30s" doc:"How long an unused connection is kept open."`
	MaxConnections   int           `yaml:"max_connections" min:"1" default:"512" doc:"Open connections per endpoint at most. One of HTTP/2 carries many requests at a time."`
	MaxResponseBytes Size          `yaml:"max_response_bytes" min:"1" default:"10MiB" doc:"Largest answer that hopgate holds in memory to filter or cache. A larger one is refused where the route filters it, and streamed through where it does not."`
	Retry            Retry         `yaml:"retry" doc:"Second attempts for what is safe to repeat."`
	TLS              UpstreamTLS   `yaml:"tls" doc:"How the upstream's certificate is checked."`

	Source Source `yaml:"-"`
}

// SecretField is a field that hopgate adds to each upstream request.
type SecretField struct {
	Header string `yaml:"header" required:"true" doc:"Field name."`
	Value  Secret `yaml:"value" required:"true" doc:"Field value, from the environment (${NAME}) or a file ({file: path})."`

	Source Source `yaml:"-"`
}

// Retry bounds second attempts.
type Retry struct {
	Attempts int     `yaml:"attempts" min:"1" max:"10" default:"2" doc:"Attempts in all for one request; 1 means no retry. Only requests that never reached the upstream, and idempotent methods (RFC 9110 section 9.2.2) without an answer, are repeated."`
	Budget   float64 `yaml:"budget" max:"1" default:"0.1" doc:"Most retries as a share of requests over the last ten seconds, so that retries never multiply an outage."`
}

// UpstreamTLS configures the TLS client towards an upstream.
type UpstreamTLS struct {
	CAFile     string `yaml:"ca_file" file:"read" doc:"PEM file with the certificate authorities to trust instead of the system's."`
	ServerName string `yaml:"server_name" doc:"Name the certificate must have. Default: the endpoint's host."`
	CertFile   string `yaml:"cert_file" file:"read" doc:"PEM file with a client certificate."`
	KeyFile    string `yaml:"key_file" file:"read" doc:"PEM file with the client certificate's key."`

	Source Source `yaml:"-"`
}

// Webhook is a place at which signed events are received (Standard
// Webhooks).
type Webhook struct {
	Path          string        `yaml:"path" required:"true" doc:"Path at which events are received, on any host, by POST. It comes before the routes; no route can have the same."`
	Secret        []Secret      `yaml:"secret" one:"true" required:"true" doc:"Signing secret as the provider shows it: whsec_ and base64. While it is rotated, the new one and the old one."`
	Tolerance     time.Duration `yaml:"tolerance" min:"1s" max:"1h" default:"5m" doc:"How far the time of an event may be from this machine's clock. For as long an event is remembered, so that it has its effect once."`
	Preset        string        `yaml:"preset" default:"none" enum:"clerk,none" doc:"Provider whose events are known. clerk: what is kept for the user, session or organization that an event is about, and for both sides of a membership."`
	Principals    []string      `yaml:"principals" one:"true" doc:"Where in an event user ids stand: member names separated by dots, for example data.user_id. What is kept for these users alone is forgotten."`
	Organizations []string      `yaml:"organizations" one:"true" doc:"The same for organizations."`
	Sessions      []string      `yaml:"sessions" one:"true" doc:"The same for sessions."`
	Tags          []string      `yaml:"tags" one:"true" doc:"The same for tags that the upstream gives its answers (Cache-Tag, Surrogate-Key)."`
	Routes        []string      `yaml:"routes" one:"true" doc:"Ids of routes whose cached answers are forgotten with every event, for everybody."`
	Soft          bool          `yaml:"soft" default:"false" doc:"Make answers stale instead: they are still given while others are fetched, and where that fails."`

	Source Source `yaml:"-"`
}

// Route is one thing that may be called.
type Route struct {
	ID        string   `yaml:"id" required:"true" doc:"Name of the route in logs, metrics, tests and decisions."`
	Match     Match    `yaml:"match" required:"true" doc:"Which requests this route is for."`
	Anonymous bool     `yaml:"anonymous" default:"false" doc:"Ask for no token; principal is empty."`
	Issuer    []string `yaml:"issuer" one:"true" doc:"Names of the issuers whose tokens are accepted. Default: the only issuer, where there is one."`
	Allow     []Expr   `yaml:"allow" one:"true" doc:"CEL rules; one that is true allows the request. Required unless the route is anonymous."`
	Deny      []Expr   `yaml:"deny" one:"true" doc:"CEL rules that are asked first; one that is true, or fails, denies."`
	Mode      string   `yaml:"mode" default:"enforce" enum:"enforce,report" doc:"report logs and counts what the allow and deny rules decide but lets the request through. The token is verified all the same."`
	Upstream  string   `yaml:"upstream" required:"true" doc:"Name of the upstream that answers."`

	Request     Request     `yaml:"request" doc:"What is changed on the way to the upstream."`
	Response    Response    `yaml:"response" doc:"What is changed on the way back."`
	Cache       *RouteCache `yaml:"cache" doc:"Keep answers of this route for a short time. Without it nothing is cached."`
	Invalidates []string    `yaml:"invalidates" one:"true" doc:"Ids of routes whose cached answers are forgotten, for everybody, when a request to this one succeeds; for routes that write."`
	Limit       *Limit      `yaml:"limit" doc:"How often this route may be called."`
	CORS        *CORS       `yaml:"cors" doc:"Cross-origin access for this route, instead of the default."`
	WebSocket   *WebSocket  `yaml:"websocket" doc:"Let WebSocket handshakes (RFC 6455) through, authorized as any request. Without it an Upgrade field is not forwarded."`

	MaxBodyBytes Size          `yaml:"max_body_bytes" default:"0" doc:"Largest request body for this route; 0 means the server's."`
	Timeout      time.Duration `yaml:"timeout" default:"0s" doc:"Longest time for the exchange with the upstream for this route; 0 means the upstream's."`

	Source Source `yaml:"-"`
}

// Match selects requests by host, method and path template.
type Match struct {
	Hosts   []string `yaml:"hosts" one:"true" doc:"Host names, without port; *.example.com matches one label. Default: any."`
	Methods []string `yaml:"methods" one:"true" default:"GET" doc:"Methods; HEAD follows GET."`
	Path    string   `yaml:"path" required:"true" doc:"Path template: {name} is one segment, {name...} at the end is the rest."`

	Source Source `yaml:"-"`
}

// Request changes what goes upstream. Templates are text with {expression}
// parts, CEL over the same variables as rules.
type Request struct {
	Path    Template            `yaml:"path" doc:"Path sent upstream instead of the client's; inserted values are percent-encoded as one segment. Default: the client's path, byte for byte."`
	Query   map[string]Template `yaml:"query" doc:"Query parameters that are set, replacing the client's of that name."`
	Headers map[string]Template `yaml:"headers" doc:"Fields that are set, for example X-User-Id: \"{principal.user_id}\"; the client's of that name are dropped."`
	Remove  []string            `yaml:"remove" one:"true" doc:"Request fields that are not forwarded, beside those that never are."`
	Cookies []string            `yaml:"cookies" one:"true" doc:"Cookies that are forwarded. Default: none."`
	Params  []string            `yaml:"params" one:"true" doc:"Query parameters that are forwarded, all others being dropped. Default: all."`
	Body    string              `yaml:"body" default:"none" enum:"none,json" doc:"json reads and parses the body before deciding, so that rules may use request.body."`

	Source Source `yaml:"-"`
}

// Response changes what comes back. Paths are member names separated by
// dots; NAME[] stands for every element of an array. A name that itself has
// a dot, a bracket or a quote is written as a JSON string.
type Response struct {
	Remove        []string `yaml:"remove" one:"true" doc:"JSON members that are removed, for example private_metadata or email_addresses[].verification."`
	Keep          []string `yaml:"keep" one:"true" doc:"JSON members that are kept, all others being removed. Not together with remove."`
	RemoveHeaders []string `yaml:"remove_headers" one:"true" doc:"Response fields that are removed."`

	Source Source `yaml:"-"`
}

// RouteCache keeps answers of one route.
type RouteCache struct {
	TTL                  TTL           `yaml:"ttl" required:"true" doc:"How long an answer is fresh, whatever the upstream says; or origin, to follow what the answer says, as a shared cache does (RFC 9111)."`
	NegativeTTL          time.Duration `yaml:"negative_ttl" default:"0s" doc:"The same for answers that there is nothing, or nothing for this caller: 403, 404 and 410 of the upstream. 0 keeps none of these."`
	StaleWhileRevalidate time.Duration `yaml:"stale_while_revalidate" default:"0s" doc:"How long after that a stale answer is still given at once while a new one is fetched (RFC 5861)."`
	StaleIfError         time.Duration `yaml:"stale_if_error" default:"0s" doc:"How long after ttl a stale answer is given where the upstream fails (RFC 5861)."`
	StaleAfter           time.Duration `yaml:"stale_after" default:"0s" doc:"How long a caller waits for a slow upstream before a stale answer is given, where stale_if_error has one. 0 means until the upstream's timeout."`
	BrowserTTL           time.Duration `yaml:"browser_ttl" default:"0s" doc:"How long the caller's browser may keep the answer by itself (Cache-Control: private, max-age), at most as long as it is fresh here. No purge reaches it there. 0 lets it keep none without asking."`
	Heuristic            bool          `yaml:"heuristic" default:"false" doc:"With ttl origin: keep answers that say nothing of their freshness for a tenth of their age at the time (RFC 9111 section 4.2.2), at most a day."`
	IgnoreRequest        bool          `yaml:"ignore_request" default:"false" doc:"With ttl origin: ignore what requests say about caching (no-cache, max-age). A ttl of your own always does."`
	VaryOn               []string      `yaml:"vary_on" one:"true" doc:"Request fields whose values have answers of their own, and which are forwarded also where callers share answers. With ttl origin the others are, too: there the upstream's Vary says what its answers depend on."`
	SortQuery            bool          `yaml:"sort_query" default:"false" doc:"Find the same answer whatever the order of the query parameters."`
	Scope                Scope         `yaml:"scope" doc:"Who shares an answer: public, user, org, session, or a list of claims such as [claims.tenant]. Default: user, or public where the route is anonymous."`

	Source Source `yaml:"-"`
}

// WebSocket bounds the WebSockets of one route.
type WebSocket struct {
	MaxConnections int           `yaml:"max_connections" min:"1" default:"10000" doc:"Open WebSockets of this route at once; a further handshake is answered 503."`
	IdleTimeout    time.Duration `yaml:"idle_timeout" min:"1s" default:"5m" doc:"How long neither side may send anything; pings count."`
	CloseOnExpiry  bool          `yaml:"close_on_expiry" default:"true" doc:"Close it (status 1008) when the token that opened it expires."`

	Source Source `yaml:"-"`
}

// Limit is a rate limit.
type Limit struct {
	Rate  Rate   `yaml:"rate" required:"true" doc:"Requests per time, for example 20/s, 100/m or 1000/h."`
	Burst int    `yaml:"burst" default:"0" doc:"Requests that may come at once; 0 means the rate's number."`
	By    string `yaml:"by" default:"user" enum:"user,org,ip,route" doc:"Who has a budget of their own. On anonymous routes user means ip."`

	Source Source `yaml:"-"`
}
