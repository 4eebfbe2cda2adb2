package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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
