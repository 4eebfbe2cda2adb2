package telemetry

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HopBudget is the longest time that hopgate itself may add to a request. A
// request that took longer is counted in hopgate_hop_over_budget_total.
const HopBudget = 15 * time.Millisecond

// kind is a metric's type as Prometheus calls it.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// metric is the name and meaning of one metric family. No label takes its
// value from a client: routes, upstreams and issuers are the configuration's
// names, all else are closed sets of words.
type metric struct {
	name   string
	kind   kind
	help   string
	labels []string
}

var defined []metric

func define(name string, k kind, help string, labels ...string) metric {
	d := metric{name, k, help, labels}
	defined = append(defined, d)
	return d
}

// Every metric, in the order of the reference.
var (
	requestsTotal   = define("hopgate_requests_total", counter, "Requests answered, by route, decision (allow, deny) and reason. Requests that no route took have an empty route.", "route", "decision", "reason")
	responsesTotal  = define("hopgate_responses_total", counter, "Answers by route and class of status code (1xx to 5xx).", "route", "class")
	requestDuration = define("hopgate_request_duration_seconds", histogram, "Time from the end of the request's head to the end of the answer.", "route")
	hopDuration     = define("hopgate_hop_duration_seconds", histogram, "Time that hopgate itself took: the whole without waiting for the upstream.", "route")
	hopOverBudget   = define("hopgate_hop_over_budget_total", counter, "Requests for which hopgate itself took more than 15 ms.", "route")
	reportDenials   = define("hopgate_report_denials_total", counter, "Requests let through by a route in report mode that its rules would have denied.", "route", "reason")

	verifyDuration   = define("hopgate_verify_duration_seconds", histogram, "Time to verify a token: known tokens were verified before, new ones take cryptography.", "result")
	decisionDuration = define("hopgate_decision_duration_seconds", histogram, "Time to evaluate a route's rules.")

	keysetKeys    = define("hopgate_keyset_keys", gauge, "Usable verification keys of an issuer.", "issuer")
	keysetAge     = define("hopgate_keyset_age_seconds", gauge, "Time since an issuer's keys were last fetched or read successfully.", "issuer")
	keysetFetches = define("hopgate_keyset_fetches_total", counter, "Fetches of an issuer's keys, by result (ok, error).", "issuer", "result")

	cacheRequests  = define("hopgate_cache_requests_total", counter, "Requests to routes with a cache, by result (hit, stale, stale_error, miss, collapsed, bypass).", "route", "result")
	cacheBytes     = define("hopgate_cache_bytes", gauge, "Memory that cached answers take.")
	cacheEntries   = define("hopgate_cache_entries", gauge, "Cached answers.")
	cacheEvictions = define("hopgate_cache_evictions_total", counter, "Cached answers that made room for others.")
	cachePurges    = define("hopgate_cache_purges_total", counter, "Names that were purged through the admin listener and webhooks, by what they name (route, key, principal, organization, session, tag, uri, all).", "by")
	webhooksTotal  = define("hopgate_webhook_events_total", counter, "Requests to a webhook, by result: purged; ignored, since the event names nothing to purge; repeated, since it was received before; unverified; refused for another reason.", "webhook", "result")

	upstreamRequests = define("hopgate_upstream_requests_total", counter, "Exchanges with an upstream, retries included in one, by result (ok, unavailable, timeout, invalid, too_large, canceled). A 5xx answer is ok: the upstream answered.", "upstream", "result")
	upstreamDuration = define("hopgate_upstream_duration_seconds", histogram, "Time of an exchange with an upstream, retries included.", "upstream")
	upstreamInFlight = define("hopgate_upstream_in_flight", gauge, "Exchanges with an upstream that are under way.", "upstream")
	upstreamRetries  = define("hopgate_upstream_retries_total", counter, "Second and further attempts.", "upstream")

	reloads           = define("hopgate_reloads_total", counter, "Attempts to load a configuration, by result (ok, error).", "result")
	configGeneration  = define("hopgate_config_generation", gauge, "Number of the configuration in force; each successful load adds one.")
	configLastOK      = define("hopgate_config_last_reload_successful", gauge, "Whether the last attempt to load a configuration succeeded (1) or the one before stays in force (0).")
	configLastSuccess = define("hopgate_config_last_reload_success_timestamp_seconds", gauge, "Unix time of the last successful load.")

	connections      = define("hopgate_connections", gauge, "Open client connections.")
	accessLogDropped = define("hopgate_access_log_dropped_total", counter, "Access log records dropped because the log's reader was too slow or its writer failed.")
	panics           = define("hopgate_panics_total", counter, "Requests ended by a fault of hopgate's own.")
	buildInfo        = define("hopgate_build_info", gauge, "Always 1; the version of hopgate and of Go are labels.", "version", "goversion")
)

// Buckets in seconds. A hop is some tens of microseconds and has a budget of
// 15 ms, so that is a boundary; whole requests and upstreams take longer.
var (
	hopBuckets      = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 15e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1}
	exchangeBuckets = []float64{500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 30}
	shortBuckets    = []float64{250e-9, 500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 15e-3}
)

// Reason is one word of the closed set that hopgate_requests_total counts.
type Reason struct {
	Word  string
	Allow bool // the request was authorized, whatever became of it later
}

// CacheResult is how the cache took part in an answer.
type CacheResult string

// The results of hopgate_cache_requests_total.
const (
	CacheHit        CacheResult = "hit"
	CacheStale      CacheResult = "stale"       // served while a new answer is fetched
	CacheStaleError CacheResult = "stale_error" // served because the upstream failed
	CacheMiss       CacheResult = "miss"
	CacheCollapsed  CacheResult = "collapsed" // waited for another request's fetch
	CacheBypass     CacheResult = "bypass"    // neither read nor stored
)

var cacheResults = [...]CacheResult{CacheHit, CacheStale, CacheStaleError, CacheMiss, CacheCollapsed, CacheBypass}

// UpstreamResult is how an exchange with an upstream ended.
type UpstreamResult string

// The results of hopgate_upstream_requests_total.
const (
	UpstreamOK          UpstreamResult = "ok"
	UpstreamUnavailable UpstreamResult = "unavailable"
	UpstreamTimeout     UpstreamResult = "timeout"
	UpstreamInvalid     UpstreamResult = "invalid"
	UpstreamTooLarge    UpstreamResult = "too_large"
	UpstreamCanceled    UpstreamResult = "canceled"
)

var upstreamResults = [...]UpstreamResult{UpstreamOK, UpstreamUnavailable, UpstreamTimeout, UpstreamInvalid, UpstreamTooLarge, UpstreamCanceled}

var statusClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// otherReason counts words that New was not given, so that a mistake shows
// in the figures instead of making labels out of unforeseen text.
const otherReason = "other"

// Metrics holds every metric of a process in a registry of its own. All its
// methods and those of its handles may be called concurrently. Resolve
// handles (Route, Upstream) when a configuration is compiled, not per
// request.
type Metrics struct {
	registry *prometheus.Registry
	reasons  []Reason       // the last one is otherReason
	index    map[string]int // word to place in reasons

	mu        sync.Mutex
	routes    map[string]*RouteMetrics
	upstreams map[string]*UpstreamMetrics

	requests, responses, overBudget, reportDenials, cacheRequests *prometheus.CounterVec
	requestDuration, hopDuration                                  *prometheus.HistogramVec
	upstreamRequests, upstreamRetries                             *prometheus.CounterVec
	upstreamDuration                                              *prometheus.HistogramVec
	upstreamInFlight                                              *prometheus.GaugeVec
	keysetFetches, reloads, cachePurges, webhooks                 *prometheus.CounterVec
	generation, lastOK, lastSuccess                               prometheus.Gauge
	buildInfo                                                     *prometheus.GaugeVec
	panics                                                        prometheus.Counter
	verifyKnown, verifyNew, decision                              prometheus.Observer

	cacheCounts *prometheus.Registry // cacheRequests alone
	callbacks   callbacks
}

// New makes the metrics of a process. Reasons is the closed set of words
// that RouteMetrics.Request will be called with.
func New(reasons ...Reason) *Metrics {
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		reasons:   append(append([]Reason(nil), reasons...), Reason{Word: otherReason}),
		index:     make(map[string]int, len(reasons)),
		routes:    map[string]*RouteMetrics{},
		upstreams: map[string]*UpstreamMetrics{},
	}
	for i, r := range reasons {
		m.index[r.Word] = i
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&m.callbacks,
	)
	m.requests = m.counterVec(requestsTotal)
	m.responses = m.counterVec(responsesTotal)
	m.requestDuration = m.histogramVec(requestDuration, exchangeBuckets)
	m.hopDuration = m.histogramVec(hopDuration, hopBuckets)
	m.overBudget = m.counterVec(hopOverBudget)
	m.reportDenials = m.counterVec(reportDenials)
	verify := m.histogramVec(verifyDuration, shortBuckets)
	m.verifyKnown, m.verifyNew = verify.WithLabelValues("known"), verify.WithLabelValues("new")
	m.decision = m.histogramVec(decisionDuration, shortBuckets).WithLabelValues()
	m.keysetFetches = m.counterVec(keysetFetches)
	m.cacheRequests = m.counterVec(cacheRequests)
	m.cacheCounts = prometheus.NewRegistry()
	m.cacheCounts.MustRegister(m.cacheRequests)
	m.cachePurges = m.counterVec(cachePurges)
	m.webhooks = m.counterVec(webhooksTotal)
	m.upstreamRequests = m.counterVec(upstreamRequests)
	m.upstreamDuration = m.histogramVec(upstreamDuration, exchangeBuckets)
	m.upstreamInFlight = m.gaugeVec(upstreamInFlight)
	m.upstreamRetries = m.counterVec(upstreamRetries)
	m.reloads = m.counterVec(reloads)
	m.generation = m.gaugeVec(configGeneration).WithLabelValues()
	m.lastOK = m.gaugeVec(configLastOK).WithLabelValues()
	m.lastSuccess = m.gaugeVec(configLastSuccess).WithLabelValues()
	m.panics = m.counterVec(panics).WithLabelValues()
	m.buildInfo = m.gaugeVec(buildInfo)
	// Both series exist from the start, so that an alert on errors sees the
	// first one as an increase.
	m.reloads.WithLabelValues("ok")
	m.reloads.WithLabelValues("error")
	for _, by := range purgedBy {
		m.cachePurges.WithLabelValues(by)
	}
	return m
}

// Handler serves the metrics in the Prometheus text format and OpenMetrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// Build records the version of the program.
func (m *Metrics) Build(version string) {
	m.buildInfo.WithLabelValues(version, runtime.Version()).Set(1)
}

// Verify records how long a token took. Known means that it was found in the
// verified-token cache.
func (m *Metrics) Verify(known bool, took time.Duration) {
	if known {
		m.verifyKnown.Observe(took.Seconds())
	} else {
		m.verifyNew.Observe(took.Seconds())
	}
}

// Decision records how long a route's rules took.
func (m *Metrics) Decision(took time.Duration) { m.decision.Observe(took.Seconds()) }

// Panic counts a request that ended by a fault of ours.
func (m *Metrics) Panic() { m.panics.Inc() }

// KeysFetched counts a fetch of an issuer's keys; issuer is its name in the
// configuration. Not for a request's way.
func (m *Metrics) KeysFetched(issuer string, _ int, err error, _ time.Duration) {
	m.keysetFetches.WithLabelValues(issuer, okOrError(err)).Inc()
}

// Reload records an attempt to load a configuration: with a nil error the
// generation that is now in force and since when, else the generation that
// stays.
func (m *Metrics) Reload(generation uint64, at time.Time, err error) {
	m.reloads.WithLabelValues(okOrError(err)).Inc()
	m.generation.Set(float64(generation))
	if err != nil {
		m.lastOK.Set(0)
		return
	}
	m.lastOK.Set(1)
	m.lastSuccess.Set(float64(at.UnixMilli()) / 1000)
}

func okOrError(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// RouteMetrics counts the requests of one route. Its methods take some
// nanoseconds and allocate nothing, but for a reason's first time.
type RouteMetrics struct {
	m         *Metrics
	id        string
	requests  []atomic.Pointer[prometheus.Counter] // by reason, made when first needed
	reports   []atomic.Pointer[prometheus.Counter]
	responses [len(statusClasses)]prometheus.Counter
	cache     [len(cacheResults)]prometheus.Counter
	over      prometheus.Counter
	whole     prometheus.Observer
	hop       prometheus.Observer
}

// Route gives the handle of the route with this id, the same one each time,
// also across configurations. An empty id stands for requests that no route
// took.
func (m *Metrics) Route(id string) *RouteMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.routes[id]; r != nil {
		return r
	}
	r := &RouteMetrics{
		m:        m,
		id:       id,
		requests: make([]atomic.Pointer[prometheus.Counter], len(m.reasons)),
		reports:  make([]atomic.Pointer[prometheus.Counter], len(m.reasons)),
		over:     m.overBudget.WithLabelValues(id),
		whole:    m.requestDuration.WithLabelValues(id),
		hop:      m.hopDuration.WithLabelValues(id),
	}
	for i, class := range statusClasses {
		r.responses[i] = m.responses.WithLabelValues(id, class)
	}
	for i, result := range cacheResults {
		r.cache[i] = m.cacheRequests.WithLabelValues(id, string(result))
	}
	m.routes[id] = r
	return r
}

// Request counts one answered request with its reason and status code.
func (r *RouteMetrics) Request(reason string, status int) {
	i := r.m.reason(reason)
	c := r.requests[i].Load()
	if c == nil {
		c = r.firstRequest(i)
	}
	(*c).Inc()
	if class := status/100 - 1; class >= 0 && class < len(r.responses) {
		r.responses[class].Inc()
	}
}

// ReportDenial counts a request that a route in report mode let through.
func (r *RouteMetrics) ReportDenial(reason string) {
	i := r.m.reason(reason)
	c := r.reports[i].Load()
	if c == nil {
		c = r.firstReport(i)
	}
	(*c).Inc()
}

func (m *Metrics) reason(word string) int {
	if i, ok := m.index[word]; ok {
		return i
	}
	return len(m.reasons) - 1
}

// firstRequest makes a counter when its reason first occurs: all reasons of
// all routes beforehand would be fifty series a route. Two that race get the
// same counter from the vector.
func (r *RouteMetrics) firstRequest(i int) *prometheus.Counter {
	decision := "deny"
	if r.m.reasons[i].Allow {
		decision = "allow"
	}
	c := r.m.requests.WithLabelValues(r.id, decision, r.m.reasons[i].Word)
	r.requests[i].Store(&c)
	return &c
}

func (r *RouteMetrics) firstReport(i int) *prometheus.Counter {
	c := r.m.reportDenials.WithLabelValues(r.id, r.m.reasons[i].Word)
	r.reports[i].Store(&c)
	return &c
}

// Durations records the time of a whole request and what of it was hopgate's
// own.
func (r *RouteMetrics) Durations(whole, hop time.Duration) {
	r.whole.Observe(whole.Seconds())
	r.hop.Observe(hop.Seconds())
	if hop > HopBudget {
		r.over.Inc()
	}
}

// Cache counts how the cache took part in a request.
func (r *RouteMetrics) Cache(result CacheResult) {
	for i, known := range cacheResults {
		if known == result {
			r.cache[i].Inc()
			return
		}
	}
}

// CacheCounts gives how often the cache took part in a route's requests since
// the process started, by route and result. It is not for a request's way.
func (m *Metrics) CacheCounts() map[string]map[CacheResult]uint64 {
	counts := make(map[string]map[CacheResult]uint64)
	families, err := m.cacheCounts.Gather()
	if err != nil {
		return counts // counters alone cannot contradict each other
	}
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			var route, result string
			for _, label := range sample.GetLabel() {
				switch label.GetName() {
				case "route":
					route = label.GetValue()
				case "result":
					result = label.GetValue()
				}
			}
			if counts[route] == nil {
				counts[route] = make(map[CacheResult]uint64)
			}
			counts[route][CacheResult(result)] = uint64(sample.GetCounter().GetValue())
		}
	}
	return counts
}

// The values of hopgate_cache_purges_total's label.
var purgedBy = [...]string{"route", "key", "principal", "organization", "session", "tag", "uri", "all"}

// Purged counts so many names of one kind that were purged.
func (m *Metrics) Purged(by string, names int) {
	for _, known := range purgedBy {
		if known == by && names > 0 {
			m.cachePurges.WithLabelValues(by).Add(float64(names))
		}
	}
}

// WebhookResult is what became of a request to a webhook.
type WebhookResult string

// The results of hopgate_webhook_events_total.
const (
	WebhookPurged     WebhookResult = "purged"
	WebhookIgnored    WebhookResult = "ignored"  // the event names nothing to purge
	WebhookRepeated   WebhookResult = "repeated" // it was received before
	WebhookUnverified WebhookResult = "unverified"
	WebhookRefused    WebhookResult = "refused" // for another reason
)

// Webhook counts a request to the webhook of this name in the configuration.
func (m *Metrics) Webhook(name string, result WebhookResult) {
	m.webhooks.WithLabelValues(name, string(result)).Inc()
}

// UpstreamMetrics counts the exchanges with one upstream.
type UpstreamMetrics struct {
	results  [len(upstreamResults)]prometheus.Counter
	duration prometheus.Observer
	inFlight prometheus.Gauge
	retries  prometheus.Counter
}

// Upstream gives the handle of the upstream of this name, the same one each
// time, also across configurations.
func (m *Metrics) Upstream(name string) *UpstreamMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.upstreams[name]; u != nil {
		return u
	}
	u := &UpstreamMetrics{
		duration: m.upstreamDuration.WithLabelValues(name),
		inFlight: m.upstreamInFlight.WithLabelValues(name),
		retries:  m.upstreamRetries.WithLabelValues(name),
	}
	for i, result := range upstreamResults {
		u.results[i] = m.upstreamRequests.WithLabelValues(name, string(result))
	}
	m.upstreams[name] = u
	return u
}

// Begin counts an exchange that starts; each needs its End.
func (u *UpstreamMetrics) Begin() { u.inFlight.Inc() }

// End counts an exchange that ended after so many attempts.
func (u *UpstreamMetrics) End(result UpstreamResult, attempts int, took time.Duration) {
	u.inFlight.Dec()
	u.duration.Observe(took.Seconds())
	if attempts > 1 {
		u.retries.Add(float64(attempts - 1))
	}
	for i, known := range upstreamResults {
		if known == result {
			u.results[i].Inc()
			return
		}
	}
}

// CacheStats is the state of the response cache.
type CacheStats struct {
	Bytes     int64
	Entries   int64
	Evictions uint64
}

// KeySetStats is the state of one issuer's keys.
type KeySetStats struct {
	Issuer string // name in the configuration
	Keys   int
	Age    time.Duration // since the last success; negative: never
}

// callbacks collects the figures that are asked for at each scrape. Asking
// for them also means that an issuer which left the configuration leaves the
// figures.
type callbacks struct {
	cache       atomic.Pointer[func() CacheStats]
	keySets     atomic.Pointer[func() []KeySetStats]
	connections atomic.Pointer[func() int]
	dropped     atomic.Pointer[func() uint64]
}

// OnCache says how to ask for the cache's state. The functions given to this
// and the next three methods are called at each scrape, concurrently, and
// may be replaced at any time.
func (m *Metrics) OnCache(f func() CacheStats) { m.callbacks.cache.Store(&f) }

// OnKeySets says how to ask for the state of all issuers' keys.
func (m *Metrics) OnKeySets(f func() []KeySetStats) { m.callbacks.keySets.Store(&f) }

// OnConnections says how to ask for the number of open connections.
func (m *Metrics) OnConnections(f func() int) { m.callbacks.connections.Store(&f) }

// OnAccessLogDropped says how to ask for the number of dropped records.
func (m *Metrics) OnAccessLogDropped(f func() uint64) { m.callbacks.dropped.Store(&f) }

var (
	cacheBytesDesc     = desc(cacheBytes)
	cacheEntriesDesc   = desc(cacheEntries)
	cacheEvictionsDesc = desc(cacheEvictions)
	keysetKeysDesc     = desc(keysetKeys)
	keysetAgeDesc      = desc(keysetAge)
	connectionsDesc    = desc(connections)
	droppedDesc        = desc(accessLogDropped)
)

// Describe implements prometheus.Collector.
func (c *callbacks) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cacheBytesDesc, cacheEntriesDesc, cacheEvictionsDesc, keysetKeysDesc, keysetAgeDesc, connectionsDesc, droppedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *callbacks) Collect(ch chan<- prometheus.Metric) {
	if f := c.cache.Load(); f != nil {
		s := (*f)()
		ch <- prometheus.MustNewConstMetric(cacheBytesDesc, prometheus.GaugeValue, float64(s.Bytes))
		ch <- prometheus.MustNewConstMetric(cacheEntriesDesc, prometheus.GaugeValue, float64(s.Entries))
		ch <- prometheus.MustNewConstMetric(cacheEvictionsDesc, prometheus.CounterValue, float64(s.Evictions))
	}
	if f := c.keySets.Load(); f != nil {
		for _, s := range (*f)() {
			ch <- prometheus.MustNewConstMetric(keysetKeysDesc, prometheus.GaugeValue, float64(s.Keys), s.Issuer)
			if s.Age >= 0 {
				ch <- prometheus.MustNewConstMetric(keysetAgeDesc, prometheus.GaugeValue, s.Age.Seconds(), s.Issuer)
			}
		}
	}
	if f := c.connections.Load(); f != nil {
		ch <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64((*f)()))
	}
	if f := c.dropped.Load(); f != nil {
		ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64((*f)()))
	}
}

func desc(d metric) *prometheus.Desc { return prometheus.NewDesc(d.name, d.help, d.labels, nil) }

func (m *Metrics) counterVec(d metric) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.name, Help: d.help}, d.labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gaugeVec(d metric) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.name, Help: d.help}, d.labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histogramVec(d metric, buckets []float64) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.name, Help: d.help, Buckets: buckets}, d.labels)
	m.registry.MustRegister(v)
	return v
}

// Reference gives the documentation of every metric as a Markdown table.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range defined {
		labels := ""
		if len(d.labels) > 0 {
			labels = "`" + strings.Join(d.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.name, d.kind, labels, d.help)
	}
	return b.Bytes()
}
