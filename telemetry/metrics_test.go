package telemetry

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// exercise touches every metric once, so that all are gathered.
func exercise() *Metrics {
	m := New(Reason{"allowed", true}, Reason{"token_expired", false})
	m.Build("1.2.3")
	m.Panic()
	m.KeysFetched("clerk", 2, nil, time.Second)
	m.KeysFetched("clerk", 0, errors.New("down"), time.Second)
	m.Reload(1, time.Unix(1700000000, 0), nil)
	m.OnCache(func() CacheStats { return CacheStats{Bytes: 10, Entries: 2, Evictions: 3} })
	m.OnKeySets(func() []KeySetStats { return []KeySetStats{{"clerk", 2, time.Minute}, {"new", 0, -1}} })
	m.OnConnections(func() int { return 7 })
	m.OnAccessLogDropped(func() uint64 { return 5 })
	r := m.Route("read-self")
	r.Answered(&Record{
		Reason: "allowed", Status: 200, Duration: 20 * time.Millisecond, Hop: 16 * time.Millisecond,
		Cache: CacheHit, Verify: time.Microsecond, Known: true, Decide: time.Microsecond,
	}, nil)
	r.Answered(&Record{
		Reason: "token_expired", Status: 401, Duration: 20 * time.Millisecond, Hop: 15 * time.Millisecond,
		Cache: "never heard of", Verify: time.Millisecond,
	}, nil)
	r.Answered(&Record{Reason: "never heard of", Status: 999, Duration: time.Minute, Hop: time.Millisecond, Report: true, Denial: "token_expired"}, nil)
	m.Route("uncalled")
	m.Purged("principal", 2)
	m.Purged("never heard of", 1)
	m.Webhook("clerk", WebhookPurged)
	u := m.Upstream("backend")
	u.Begin()
	u.Begin()
	u.End(UpstreamTimeout, 3, time.Second)
	return m
}

func TestMetricsAreWellNamed(t *testing.T) {
	problems, err := testutil.GatherAndLint(exercise().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "hopgate_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestEveryMetricIsDefinedAndRegistered(t *testing.T) {
	families, err := exercise().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	gathered := map[string]string{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "hopgate_") {
			gathered[f.GetName()] = f.GetHelp()
		}
	}
	reference := string(Reference())
	for _, d := range defined {
		if gathered[d.name] != d.help {
			t.Errorf("%s is not gathered with its help text", d.name)
		}
		delete(gathered, d.name)
		if !strings.Contains(reference, "| `"+d.name+"` | "+string(d.kind)+" |") {
			t.Errorf("%s is not in the reference", d.name)
		}
	}
	for name := range gathered {
		t.Errorf("%s is gathered but not defined", name)
	}
}

func TestMetricValues(t *testing.T) {
	m := exercise()
	body := scrape(m)
	for _, want := range []string{
		`hopgate_requests_total{decision="allow",reason="allowed",route="read-self"} 1`,
		`hopgate_requests_total{decision="deny",reason="token_expired",route="read-self"} 1`,
		`hopgate_requests_total{decision="deny",reason="other",route="read-self"} 1`,
		`hopgate_responses_total{class="2xx",route="read-self"} 1`,
		`hopgate_responses_total{class="4xx",route="read-self"} 1`,
		`hopgate_report_denials_total{reason="token_expired",route="read-self"} 1`,
		`hopgate_hop_over_budget_total{route="read-self"} 1`,
		`hopgate_hop_duration_seconds_bucket{route="read-self",le="0.015"} 2`,
		`hopgate_request_duration_seconds_count{route="read-self"} 3`,
		`hopgate_request_duration_seconds_bucket{route="read-self",le="30"} 2`,
		`hopgate_request_duration_seconds_bucket{route="read-self",le="+Inf"} 3`,
		`hopgate_verify_duration_seconds_count{result="known"} 1`,
		`hopgate_verify_duration_seconds_count{result="new"} 1`,
		`hopgate_decision_duration_seconds_count 1`,
		`hopgate_cache_requests_total{result="hit",route="read-self"} 1`,
		`hopgate_cache_requests_total{result="stale_error",route="read-self"} 0`,
		`hopgate_cache_bytes 10`,
		`hopgate_cache_entries 2`,
		`hopgate_cache_evictions_total 3`,
		`hopgate_cache_purges_total{by="principal"} 2`,
		`hopgate_cache_purges_total{by="all"} 0`,
		`hopgate_webhook_events_total{result="purged",webhook="clerk"} 1`,
		`hopgate_upstream_requests_total{result="timeout",upstream="backend"} 1`,
		`hopgate_upstream_retries_total{upstream="backend"} 2`,
		`hopgate_upstream_in_flight{upstream="backend"} 1`,
		`hopgate_upstream_duration_seconds_count{upstream="backend"} 1`,
		`hopgate_keyset_keys{issuer="clerk"} 2`,
		`hopgate_keyset_keys{issuer="new"} 0`,
		`hopgate_keyset_age_seconds{issuer="clerk"} 60`,
		`hopgate_keyset_fetches_total{issuer="clerk",result="error"} 1`,
		`hopgate_reloads_total{result="ok"} 1`,
		`hopgate_reloads_total{result="error"} 0`,
		`hopgate_config_generation 1`,
		`hopgate_config_last_reload_successful 1`,
		`hopgate_config_last_reload_success_timestamp_seconds 1.7e+09`,
		`hopgate_connections 7`,
		`hopgate_access_log_dropped_total 5`,
		`hopgate_panics_total 1`,
		`hopgate_build_info{goversion="go`,
		`go_goroutines `,
		`process_open_fds `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no line %s", want)
		}
	}
	if strings.Contains(body, "uncalled") {
		t.Error("a route that nobody called has series")
	}
	if strings.Contains(body, "never heard of") {
		t.Error("an unforeseen word became a label")
	}
	if strings.Contains(body, `hopgate_keyset_age_seconds{issuer="new"}`) {
		t.Error("keys that never came have an age")
	}
}

func TestCacheCounts(t *testing.T) {
	m := exercise()
	m.Route("read-self").Answered(&Record{Reason: "allowed", Cache: CacheHit}, nil)
	m.Route("other")
	got := m.CacheCounts()
	if len(got) != 3 || got["read-self"][CacheHit] != 2 || got["read-self"][CacheMiss] != 0 || got["other"][CacheHit] != 0 {
		t.Errorf("%v", got)
	}
}

func TestFailedReloadKeepsGeneration(t *testing.T) {
	m := New()
	m.Reload(4, time.Unix(1700000000, 0), nil)
	m.Reload(4, time.Unix(1700000100, 0), errors.New("bad file"))
	if got := testutil.ToFloat64(m.lastOK); got != 0 {
		t.Errorf("last_reload_successful = %v", got)
	}
	if got := testutil.ToFloat64(m.generation); got != 4 {
		t.Errorf("generation = %v", got)
	}
	if got := testutil.ToFloat64(m.lastSuccess); got != 1700000000 {
		t.Errorf("last success = %v", got)
	}
}

func TestHandlesAreKept(t *testing.T) {
	m := New()
	route, upstream := m.Route("a"), m.Upstream("a")
	if m.Route("a") != route || m.Upstream("a") != upstream {
		t.Error("a second look gave another handle")
	}
}

// TestScrapeKeepsItsForm holds the whole text against what Prometheus's own
// counters and histograms make of the same requests.
func TestScrapeKeepsItsForm(t *testing.T) {
	var got strings.Builder
	for line := range strings.Lines(scrape(exercise())) {
		if strings.Contains(line, "hopgate_") && !strings.HasPrefix(line, "hopgate_build_info{") {
			got.WriteString(line)
		}
	}
	want, err := os.ReadFile(filepath.Join("testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestDistributionCountsAsPrometheusDoes(t *testing.T) {
	for name, s := range map[string]*scale{"hop": hopScale, "exchange": exchangeScale, "short": shortScale} {
		reference := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x_seconds", Help: "x", Buckets: s.seconds})
		var own distribution
		observe := func(d time.Duration) {
			reference.Observe(d.Seconds())
			own.observe(s, d)
		}
		for _, bound := range s.bounds {
			for d := range 3 {
				observe(time.Duration(bound) + time.Duration(d) - 1)
			}
		}
		for shift := range 62 {
			observe(1 << shift)
			observe(1<<shift - 1)
			observe(3 << shift / 2)
		}
		observe(-time.Second)
		want := collected(t, reference)
		got := collected(t, own.metric(reference.Desc(), s, time.Now()))
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// single collects one metric.
type single struct{ prometheus.Metric }

func (s single) Describe(ch chan<- *prometheus.Desc) { ch <- s.Desc() }
func (s single) Collect(ch chan<- prometheus.Metric) { ch <- s.Metric }

// collected gives a metric's text without its sum, whose last digit is a
// matter of rounding.
func collected(t *testing.T, m prometheus.Metric) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(single{m})
	var b strings.Builder
	for line := range strings.Lines(scrape(&Metrics{registry: registry})) {
		if !strings.HasPrefix(line, "x_seconds_sum") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestCountsOfAllLanesAddUp(t *testing.T) {
	m := New(Reason{"allowed", true}, Reason{"token_expired", false})
	const workers, each = 8, 2000
	u := m.Upstream("backend")
	stop := make(chan struct{})
	var scrapes, wg sync.WaitGroup
	scrapes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if strings.Contains(scrape(m), "in_flight{upstream=\"backend\"} -") {
					t.Error("less than no exchange is under way")
				}
			}
		}
	})
	for range workers {
		wg.Go(func() {
			for i := range each {
				q := Record{Reason: "allowed", Status: 200, Duration: time.Second, Hop: 16 * time.Millisecond, Cache: CacheHit, Decide: 1, Verify: 1}
				if i%2 == 1 {
					q.Reason, q.Status, q.Known = "token_expired", 401, true
				}
				u.Begin()
				u.End(UpstreamOK, 2, time.Second)
				m.Route("busy").Answered(&q, nil)
			}
		})
	}
	// All lanes, however few cores there are.
	for n := range lane(lanes) {
		r := m.Route("busy")
		if r.counts.Load() == nil {
			r.first()
		}
		m.count(n, r.counts.Load(), &Record{Reason: "never heard of", Status: 500, Report: true, Denial: "token_expired", Cache: CacheMiss})
	}
	wg.Wait()
	close(stop)
	scrapes.Wait()
	body := scrape(m)
	for _, want := range []string{
		`hopgate_requests_total{decision="allow",reason="allowed",route="busy"} 8000`,
		`hopgate_requests_total{decision="deny",reason="token_expired",route="busy"} 8000`,
		`hopgate_requests_total{decision="deny",reason="other",route="busy"} 8`,
		`hopgate_report_denials_total{reason="token_expired",route="busy"} 8`,
		`hopgate_responses_total{class="2xx",route="busy"} 8000`,
		`hopgate_responses_total{class="5xx",route="busy"} 8`,
		`hopgate_cache_requests_total{result="hit",route="busy"} 16000`,
		`hopgate_cache_requests_total{result="miss",route="busy"} 8`,
		`hopgate_hop_over_budget_total{route="busy"} 16000`,
		`hopgate_request_duration_seconds_sum{route="busy"} 16000`,
		`hopgate_request_duration_seconds_count{route="busy"} 16008`,
		`hopgate_verify_duration_seconds_count{result="known"} 8000`,
		`hopgate_verify_duration_seconds_count{result="new"} 8000`,
		`hopgate_decision_duration_seconds_count 16000`,
		`hopgate_upstream_requests_total{result="ok",upstream="backend"} 16000`,
		`hopgate_upstream_retries_total{upstream="backend"} 16000`,
		`hopgate_upstream_in_flight{upstream="backend"} 0`,
		`hopgate_upstream_duration_seconds_sum{upstream="backend"} 16000`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}

func TestUnforeseenWordsTakeNoMemory(t *testing.T) {
	m := New(Reason{"allowed", true})
	var list []wordCount
	for i := range 100 {
		list, _ = m.countWord(list, strings.Repeat("x", i))
	}
	if len(list) != 1 || list[0].n != 100 || list[0].word != otherReason {
		t.Errorf("%v", list)
	}
}

func TestRoutesTakeLittleMemory(t *testing.T) {
	if n := reflect.TypeFor[RouteMetrics]().Size(); n > 32 {
		t.Errorf("a route that nobody called takes %d bytes", n)
	}
	if n := reflect.TypeFor[routeShare]().Size(); n%64 != 0 {
		t.Errorf("a share of %d bytes has a cache line in common with the next", n)
	}
}

func TestHandlesDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	m := New(Reason{"allowed", true})
	r, u := m.Route("read-self"), m.Upstream("backend")
	q := busy()
	if n := testing.AllocsPerRun(1000, func() {
		u.Begin()
		u.End(UpstreamOK, 2, time.Millisecond)
		r.Answered(&q, nil)
	}); n != 0 {
		t.Errorf("%v allocations for one request's metrics", n)
	}
}

// busy is a request that touches every figure of a route.
func busy() Record {
	return Record{
		Reason: "allowed", Status: 200, Duration: time.Millisecond, Hop: 30 * time.Microsecond,
		Cache: CacheMiss, Verify: time.Microsecond, Known: true, Decide: time.Microsecond, Report: true, Denial: "allowed",
	}
}

// BenchmarkRequestMetrics is what counting a forwarded request takes.
func BenchmarkRequestMetrics(b *testing.B) {
	m := New(Reason{"allowed", true})
	r, u := m.Route("read-self"), m.Upstream("backend")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		q := busy()
		q.Report = false
		for pb.Next() {
			u.Begin()
			u.End(UpstreamOK, 1, time.Millisecond)
			r.Answered(&q, nil)
		}
	})
}

// BenchmarkScrape is what showing a thousand busy routes takes.
func BenchmarkScrape(b *testing.B) {
	m := New(Reason{"allowed", true})
	q := busy()
	for i := range 1000 {
		m.Route("route-"+strconv.Itoa(i)).Answered(&q, nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		scrape(m)
	}
}
