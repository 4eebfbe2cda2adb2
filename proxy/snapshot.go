package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hopgate/cache"
	"hopgate/config"
	"hopgate/policy"
	"hopgate/policy/filter"
	"hopgate/telemetry"
	"hopgate/token"
	"hopgate/upstream"
)

// Gate is the policy enforcement point: it takes exchanges from the
// transports through the pipeline under the current snapshot. It is safe for
// concurrent use.
type Gate struct {
	current atomic.Pointer[Snapshot]
	metrics *telemetry.Metrics
	access  *telemetry.AccessLog
	log     *slog.Logger
	now     func() time.Time
	// realTime says that now is time.Now.
	realTime bool
	tunnels  tunnels
	date     date
}

// Options are what a Gate needs besides a configuration.
type Options struct {
	Metrics *telemetry.Metrics
	Access  *telemetry.AccessLog // nil: no access log
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// New makes a Gate. It serves nothing before the first Publish.
func New(o Options) *Gate {
	g := &Gate{metrics: o.Metrics, access: o.Access, log: o.Log, now: o.Now, realTime: o.Now == nil}
	if g.now == nil {
		g.now = time.Now
	}
	return g
}

// Snapshot is one configuration compiled into everything that a request
// needs. It is immutable: a request loads it once and sees no other.
type Snapshot struct {
	Config     *config.Config
	Generation uint64

	policy        *policy.Policy
	verifier      *token.Verifier
	routes        []*route // by policy.Route.Index
	pools         map[string]*pool
	cache         *cache.Cache
	webhooks      map[string]*webhook // by path
	cors          *cors
	tls           *tls.Config
	tlsText       string // the certificates, for comparison
	clientsText   string // whose client certificates are accepted, for comparison; empty: nobody's
	trusted       []netip.Prefix
	maxTarget     int
	requestID     string
	requestIDName []byte
	unrouted      *telemetry.RouteMetrics
}

// pool is an upstream with its metrics.
type pool struct {
	*upstream.Pool
	name    string
	metrics *telemetry.UpstreamMetrics
}

// route is what the enforcement point adds to a policy.Route.
type route struct {
	*policy.Route
	*callers
	*fieldRules
	pool        *pool
	filter      *filter.Filter
	cacheRule   cache.Rule
	cached      bool
	shared      bool  // callers of several users share answers
	private     bool  // answers are for the caller alone: a token was asked for
	trailers    bool  // what comes after an answer's body passes
	maxHold     int64 // answers up to this size come in one piece
	maxEntry    int64 // the largest that are stored
	limiter     *limiter
	limit       *config.Limit
	policyField string // RateLimit-Policy
	cors        *cors
	aliases     aliases
	maxBody     int64
	timeout     time.Duration
	fingerprint [16]byte // of what shapes the answers, for cache keys
	metrics     *telemetry.RouteMetrics
}

// Compile makes a snapshot of a configuration, offline and without touching
// the running one. Faults are added to errs; a snapshot with faults must not
// be published. What did not change is taken over from the current snapshot:
// key sets, verified tokens, connections, cached answers and rate limits
// survive a reload.
func (g *Gate) Compile(cfg *config.Config, errs *config.Errors) *Snapshot {
	prev := g.current.Load()
	if prev == nil {
		prev = &Snapshot{Config: &config.Config{}}
	}
	s := &Snapshot{
		Config:     cfg,
		Generation: prev.Generation + 1,
		policy:     policy.Compile(cfg, errs),
		verifier:   token.Compile(cfg, prev.verifier, token.Options{Now: g.now, Observer: g.metrics, Log: g.log}, errs),
		pools:      make(map[string]*pool, len(cfg.Upstreams)),
		cors:       compileCORS(cfg.CORS),
		trusted:    cfg.Server.TrustedProxies,
		maxTarget:  int(cfg.Server.MaxTargetBytes),
		requestID:  cfg.Server.RequestIDHeader,
		unrouted:   g.metrics.Route(""),

		requestIDName: []byte(cfg.Server.RequestIDHeader),
	}
	for name, u := range cfg.Upstreams {
		var old *upstream.Pool
		if p := prev.pools[name]; p != nil {
			old = p.Pool
		}
		s.pools[name] = &pool{
			Pool:    upstream.Compile(name, u, old, upstream.Options{Now: g.now}, errs),
			name:    name,
			metrics: g.metrics.Upstream(name),
		}
	}
	s.compileTLS(cfg, prev, errs)
	s.compileCache(cfg, prev, errs, g.now)
	s.compileWebhooks(cfg, prev)
	shared := newCommon(prev)
	s.routes = make([]*route, 0, len(cfg.Routes))
	for _, r := range s.policy.Routes() {
		s.routes = append(s.routes, s.compileRoute(r, errs, g.metrics, shared))
	}
	return s
}

func (s *Snapshot) compileCache(cfg *config.Config, prev *Snapshot, errs *config.Errors, now func() time.Time) {
	if prev.cache != nil && prev.Config.Cache == cfg.Cache {
		s.cache = prev.cache
		return
	}
	c, err := cache.New(cache.Options{
		MaxBytes:      int64(cfg.Cache.MaxBytes),
		MaxEntryBytes: int64(cfg.Cache.MaxEntryBytes),
		Now:           now,
	})
	if err != nil {
		errs.Addf(cfg.Source.Pos("cache", "max_bytes"), "the cache cannot be made: %v", err)
		return
	}
	s.cache = c
}

func (s *Snapshot) compileRoute(r *policy.Route, errs *config.Errors, metrics *telemetry.Metrics, m *common) *route {
	c := r.Config
	rt := &route{
		Route:   r,
		callers: m.callersOf(s, c.Issuer),
		pool:    s.pools[c.Upstream],
		maxBody: int64(c.MaxBodyBytes),
		timeout: c.Timeout,
		cors:    s.cors,
		metrics: metrics.Route(c.ID),
	}
	if rt.maxBody == 0 {
		rt.maxBody = int64(s.Config.Server.MaxBodyBytes)
	}
	if c.CORS != nil {
		rt.cors = compileCORS(c.CORS)
	}
	if len(c.Response.Remove)+len(c.Response.Keep) > 0 {
		f, err := filter.Compile(c.Response.Remove, c.Response.Keep)
		if err != nil {
			key := "remove"
			if len(c.Response.Keep) > 0 {
				key = "keep"
			}
			errs.Addf(c.Source.Pos("response", key), "%v", err)
		}
		rt.filter = f
	}
	if cc := c.Cache; cc != nil {
		rt.cached = true
		rt.cacheRule = cache.Rule{
			TTL:                  cc.TTL.For,
			Origin:               cc.TTL.Origin,
			NegativeTTL:          cc.NegativeTTL,
			StaleWhileRevalidate: cc.StaleWhileRevalidate,
			StaleIfError:         cc.StaleIfError,
			Public:               cc.Scope.Word == "public",
			Personal:             cc.Scope.Word == "user" || cc.Scope.Word == "session",
			Heuristic:            cc.Heuristic,
			IgnoreRequest:        cc.IgnoreRequest,
		}
		rt.shared = cc.Scope.Word != "user" && cc.Scope.Word != "session"
	}
	rt.private = !c.Anonymous
	up := s.Config.Upstreams[c.Upstream]
	rt.trailers = (up.Protocol == "h2" || up.Protocol == "h2c") && rt.filter == nil && !rt.cached
	switch {
	case rt.filter != nil:
		rt.maxHold = int64(up.MaxResponseBytes)
	case rt.cached:
		rt.maxHold = min(wholeBody, int64(s.Config.Cache.MaxEntryBytes))
	}
	rt.maxEntry = int64(s.Config.Cache.MaxEntryBytes)
	read := r.FieldsRead()
	if c.Cache != nil {
		read = append(read, c.Cache.VaryOn...)
	}
	rt.aliases = read
	rt.fieldRules = m.fieldRulesOf(s, rt, c, &up)
	if c.Limit != nil {
		rt.limit = c.Limit
		rt.limiter = m.limiterOf(c)
		if rt.limiter == nil {
			rt.limiter = newLimiter(*c.Limit)
		}
		rt.policyField = rt.limiter.policyField(c.Limit)
	}
	if rt.cached {
		rt.fingerprint = fingerprint(c, &up)
	}
	return rt
}

// Publish puts a snapshot that compiled without faults into force, then
// starts what is new in it and stops what it no longer needs. Background work
// ends with ctx. Only one Publish may run at a time.
func (g *Gate) Publish(ctx context.Context, next *Snapshot) {
	prev := g.current.Swap(next)
	next.verifier.Start(ctx)
	g.metrics.OnCache(func() telemetry.CacheStats {
		s := next.cache.Stats()
		return telemetry.CacheStats{Bytes: s.Bytes, Entries: s.Entries, Evictions: s.Evictions}
	})
	g.metrics.OnKeySets(func() []telemetry.KeySetStats {
		var list []telemetry.KeySetStats
		for _, k := range next.verifier.KeySets() {
			list = append(list, telemetry.KeySetStats{Issuer: k.Issuer, Keys: k.Keys, Age: k.Age})
		}
		return list
	})
	if prev != nil {
		prev.retire(next)
	}
}

// Discard frees what a snapshot that will never be published took up. The
// running one keeps what they share. A nil snapshot has nothing.
func (g *Gate) Discard(s *Snapshot) {
	if s != nil {
		s.retire(g.current.Load())
	}
}

// retire stops what next, which may be nil, did not take over. Requests that
// still run under s are not disturbed.
func (s *Snapshot) retire(next *Snapshot) {
	if next == nil {
		next = &Snapshot{}
	}
	s.verifier.Retire(next.verifier)
	for name, p := range s.pools {
		if n := next.pools[name]; n == nil || n.Pool != p.Pool {
			p.Close()
		}
	}
	if s.cache != nil && s.cache != next.cache {
		// Close waits for fetches under way.
		go s.cache.Close()
	}
}

// Current gives the snapshot in force, nil before the first Publish.
func (g *Gate) Current() *Snapshot { return g.current.Load() }

// Ready tells whether the gate can serve every route, and why not.
func (g *Gate) Ready() (bool, []string) {
	s := g.current.Load()
	if s == nil {
		return false, []string{"no configuration is in force yet"}
	}
	return s.verifier.Ready()
}

// Policy gives the decision point of the snapshot.
func (s *Snapshot) Policy() *policy.Policy { return s.policy }

// Verifier gives what verifies tokens for the snapshot.
func (s *Snapshot) Verifier() *token.Verifier { return s.verifier }

// Issuers gives the state of the issuers' keys.
func (s *Snapshot) Issuers() []token.KeySetState { return s.verifier.KeySets() }

// Upstreams gives the names of the upstreams, sorted.
func (s *Snapshot) Upstreams() []string {
	names := make([]string, 0, len(s.pools))
	for name := range s.pools {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// methods lists the methods of a path for Allow (RFC 9110 section 10.2.1).
func (s *Snapshot) methods(host, path string) string {
	return strings.Join(s.policy.Methods(host, path), ", ")
}

// fingerprint identifies what shapes a route's stored answers: where a
// reload changes it, answers stored before are not found any more.
func fingerprint(c *config.Route, up *config.Upstream) [16]byte {
	var secret string // whose account it is changes what the upstream answers
	if up.Secret != nil {
		secret = up.Secret.Header + ": " + up.Secret.Value.Reveal()
	}
	b, err := json.Marshal([]any{c.ID, c.Match, c.Upstream, up.Endpoints, up.Host, secret, c.Request, c.Response, c.Cache.Scope, c.Cache.VaryOn, c.Cache.SortQuery})
	if err != nil {
		panic(err) // plain data always marshals
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// find gives the route that a request with the method would take, or nil.
func (s *Snapshot) find(m *policy.Match, method, host, path string) *route {
	if s.policy.Match(m, method, host, path) != policy.Allowed {
		return nil
	}
	return s.routes[m.Route.Index]
}

var corsFields = []string{
	"access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods",
	"access-control-allow-headers", "access-control-expose-headers", "access-control-max-age",
	"access-control-allow-private-network",
}
