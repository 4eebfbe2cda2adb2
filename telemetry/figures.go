package telemetry

import "github.com/prometheus/client_golang/prometheus"

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
	for _, r := range f.routeList() {
		f.collectRoute(ch, r)
	}
	for _, u := range f.upstreamList() {
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

func (m *Metrics) upstreamList() []*UpstreamMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*UpstreamMetrics, 0, len(m.upstreams))
	for _, u := range m.upstreams {
		list = append(list, u)
	}
	return list
}
