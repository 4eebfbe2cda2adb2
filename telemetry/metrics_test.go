package telemetry

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// exercise touches every metric once, so that all are gathered.
func exercise() *Metrics {
	m := New(Reason{"allowed", true}, Reason{"token_expired", false})
	m.Build("1.2.3")
	m.Verify(true, time.Microsecond)
	m.Verify(false, time.Millisecond)
	m.Decision(time.Microsecond)
	m.Panic()
	m.KeysFetched("clerk", 2, nil, time.Second)
	m.KeysFetched("clerk", 0, errors.New("down"), time.Second)
	m.Reload(1, time.Unix(1700000000, 0), nil)
	m.OnCache(func() CacheStats { return CacheStats{Bytes: 10, Entries: 2, Evictions: 3} })
	m.OnKeySets(func() []KeySetStats { return []KeySetStats{{"clerk", 2, time.Minute}, {"new", 0, -1}} })
	m.OnConnections(func() int { return 7 })
	m.OnAccessLogDropped(func() uint64 { return 5 })
	r := m.Route("read-self")
	r.Request("allowed", 200)
	r.Request("token_expired", 401)
	r.Request("never heard of", 999)
	r.ReportDenial("token_expired")
	r.Durations(20*time.Millisecond, 16*time.Millisecond)
	r.Durations(20*time.Millisecond, 15*time.Millisecond)
	r.Cache(CacheHit)
	r.Cache("never heard of")
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
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	for _, want := range []string{
		`hopgate_requests_total{decision="allow",reason="allowed",route="read-self"} 1`,
		`hopgate_requests_total{decision="deny",reason="token_expired",route="read-self"} 1`,
		`hopgate_requests_total{decision="deny",reason="other",route="read-self"} 1`,
		`hopgate_responses_total{class="2xx",route="read-self"} 1`,
		`hopgate_responses_total{class="4xx",route="read-self"} 1`,
		`hopgate_report_denials_total{reason="token_expired",route="read-self"} 1`,
		`hopgate_hop_over_budget_total{route="read-self"} 1`,
		`hopgate_hop_duration_seconds_bucket{route="read-self",le="0.015"} 1`,
		`hopgate_request_duration_seconds_count{route="read-self"} 2`,
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
	if strings.Contains(body, "never heard of") {
		t.Error("an unforeseen word became a label")
	}
	if strings.Contains(body, `hopgate_keyset_age_seconds{issuer="new"}`) {
		t.Error("keys that never came have an age")
	}
}

func TestCacheCounts(t *testing.T) {
	m := exercise()
	m.Route("read-self").Cache(CacheHit)
	m.Route("other")
	got := m.CacheCounts()
	if len(got) != 2 || got["read-self"][CacheHit] != 2 || got["read-self"][CacheMiss] != 0 || got["other"][CacheHit] != 0 {
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

func TestHandlesDoNotAllocate(t *testing.T) {
	m := New(Reason{"allowed", true})
	r, u := m.Route("read-self"), m.Upstream("backend")
	n := testing.AllocsPerRun(1000, func() {
		r.Request("allowed", 200)
		r.ReportDenial("allowed")
		r.Durations(time.Millisecond, time.Microsecond)
		r.Cache(CacheBypass)
		m.Verify(true, time.Microsecond)
		m.Decision(time.Microsecond)
		u.Begin()
		u.End(UpstreamOK, 2, time.Millisecond)
	})
	if n != 0 {
		t.Errorf("%v allocations for one request's metrics", n)
	}
}

func BenchmarkRequestMetrics(b *testing.B) {
	m := New(Reason{"allowed", true})
	r, u := m.Route("read-self"), m.Upstream("backend")
	b.ReportAllocs()
	for b.Loop() {
		r.Request("allowed", 200)
		r.Durations(time.Millisecond, time.Microsecond)
		r.Cache(CacheMiss)
		m.Verify(true, time.Microsecond)
		m.Decision(time.Microsecond)
		u.Begin()
		u.End(UpstreamOK, 1, time.Millisecond)
	}
}
