package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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

// UpstreamMetrics counts the exchanges with one upstream.
type UpstreamMetrics struct {
	name   string
	shares [lanes]upstreamShare
}

// upstreamShare is what one lane counted.
type upstreamShare struct {
	mu           sync.Mutex
	begun, ended uint64
	retries      uint64
	results      [len(upstreamResults)]uint64
	duration     distribution
	_            apart
}

// Upstream gives the handle of the upstream of this name, the same one each
// time, also across configurations.
func (m *Metrics) Upstream(name string) *UpstreamMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.upstreams[name]
	if u == nil {
		u = &UpstreamMetrics{name: name}
		m.upstreams[name] = u
	}
	return u
}

// Begin counts an exchange that starts; each needs its End.
func (u *UpstreamMetrics) Begin() {
	s := &u.shares[here()]
	s.mu.Lock()
	s.begun++
	s.mu.Unlock()
}

// End counts an exchange that ended after so many attempts.
func (u *UpstreamMetrics) End(result UpstreamResult, attempts int, took time.Duration) {
	s := &u.shares[here()]
	s.mu.Lock()
	s.ended++
	s.duration.observe(exchangeScale, took)
	if attempts > 1 {
		s.retries += uint64(attempts - 1)
	}
	for i, known := range upstreamResults {
		if known == result {
			s.results[i]++
			break
		}
	}
	s.mu.Unlock()
}

func (m *Metrics) collectUpstream(ch chan<- prometheus.Metric, u *UpstreamMetrics) {
	var t upstreamShare
	for n := range u.shares {
		s := &u.shares[n]
		s.mu.Lock()
		t.ended += s.ended
		t.retries += s.retries
		for i, k := range s.results {
			t.results[i] += k
		}
		t.duration.add(&s.duration)
		s.mu.Unlock()
	}
	// After all that ended: what begins meanwhile makes no exchange end that
	// had not begun.
	for n := range u.shares {
		s := &u.shares[n]
		s.mu.Lock()
		t.begun += s.begun
		s.mu.Unlock()
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(d, prometheus.CounterValue, float64(n), m.since, labels...)
	}
	for i, result := range upstreamResults {
		count(upstreamRequestsDesc, t.results[i], u.name, string(result))
	}
	count(upstreamRetriesDesc, t.retries, u.name)
	ch <- prometheus.MustNewConstMetric(upstreamInFlightDesc, prometheus.GaugeValue, float64(t.begun-t.ended), u.name)
	ch <- t.duration.metric(upstreamDurationDesc, exchangeScale, m.since, u.name)
}
