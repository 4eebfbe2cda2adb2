package telemetry

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
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

// Reason is one word of the closed set that hopgate_requests_total counts.
type Reason struct {
	Word  string
	Allow bool // the request was authorized, whatever became of it later
}

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
	verdicts []string       // by place in reasons, but for otherReason: decision and reason as the access log has them

	mu        sync.Mutex
	routes    map[string]*RouteMetrics
	upstreams map[string]*UpstreamMetrics

	keysetFetches, reloads, cachePurges, webhooks *prometheus.CounterVec
	generation, lastOK, lastSuccess               prometheus.Gauge
	buildInfo                                     *prometheus.GaugeVec
	panics                                        prometheus.Counter

	since     time.Time // all counters stood at 0 then
	shares    [lanes]share
	callbacks callbacks
}

// New makes the metrics of a process. Reasons is the closed set of words
// that RouteMetrics.Answered will be given.
func New(reasons ...Reason) *Metrics {
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		reasons:   append(append([]Reason(nil), reasons...), Reason{Word: otherReason}),
		index:     make(map[string]int, len(reasons)),
		routes:    map[string]*RouteMetrics{},
		upstreams: map[string]*UpstreamMetrics{},
		since:     time.Now(),
	}
	for i, r := range reasons {
		m.index[r.Word] = i
		m.verdicts = append(m.verdicts, verdict(r))
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&m.callbacks,
		figures{m},
	)
	m.keysetFetches = m.counterVec(keysetFetches)
	m.cachePurges = m.counterVec(cachePurges)
	m.webhooks = m.counterVec(webhooksTotal)
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
