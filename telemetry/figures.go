package telemetry

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// figures collects what is counted in lanes.
type figures struct{ *Metrics }

var (
	requestsDesc         = desc(requestsTotal)
	responsesDesc        = desc(responsesTotal)
	requestDurationDesc  = desc(requestDuration)
	hopDurationDesc      = desc(hopDuration)
	hopOverBudgetDesc    = desc(hopOverBudget)
	reportDenialsDesc    = desc(reportDenials)
	verifyDurationDesc   = desc(verifyDuration)
	decisionDurationDesc = desc(decisionDuration)
	cacheRequestsDesc    = desc(cacheRequests)
	upstreamRequestsDesc = desc(upstreamRequests)
	upstreamDurationDesc = desc(upstreamDuration)
	upstreamInFlightDesc = desc(upstreamInFlight)
	upstreamRetriesDesc  = desc(upstreamRetries)
)

// Describe implements prometheus.Collector.
func (f figures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		requestsDesc, responsesDesc, requestDurationDesc, hopDurationDesc, hopOverBudgetDesc, reportDenialsDesc,
		verifyDurationDesc, decisionDurationDesc, cacheRequestsDesc,
		upstreamRequestsDesc, upstreamDurationDesc, upstreamInFlightDesc, upstreamRetriesDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f figures) Collect(ch chan<- prometheus.Metric) {
	for _, r := range listed(f.Metrics, f.routes) {
		f.collectRoute(ch, r)
	}
	for _, u := range listed(f.Metrics, f.upstreams) {
		f.collectUpstream(ch, u)
	}
	var known, fresh, decision distribution
	for n := range f.shares {
		s := &f.shares[n]
		s.mu.Lock()
		known.add(&s.verifyKnown)
		fresh.add(&s.verifyNew)
		decision.add(&s.decision)
		s.mu.Unlock()
	}
	ch <- known.metric(verifyDurationDesc, shortScale, f.since, "known")
	ch <- fresh.metric(verifyDurationDesc, shortScale, f.since, "new")
	ch <- decision.metric(decisionDurationDesc, shortScale, f.since)
}

// listed gives the handles of one of the maps under mu.
func listed[T any](m *Metrics, handles map[string]T) []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(handles))
}
