package telemetry

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

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

// place gives a result's place in cacheResults; -1 where it is none.
func (c CacheResult) place() int {
	for i, known := range cacheResults {
		if known == c {
			return i
		}
	}
	return -1
}

var statusClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// RouteMetrics counts the requests of one route and tells the access log of
// them. A route that nobody calls takes some tens of bytes.
type RouteMetrics struct {
	m      *Metrics
	id     string
	counts atomic.Pointer[routeCounts] // nil before the first request
}

// routeCounts is the figures of a route that was called.
type routeCounts struct {
	member string             // the route as the access log has it
	shares [lanes]*routeShare // each under its lane's lock; nil before its first use
}

// routeShare is what one lane counted.
type routeShare struct {
	requests, reports []wordCount
	routeFigures
	_ [32]byte // to whole cache lines
}

// routeFigures is what is counted besides the reasons.
type routeFigures struct {
	responses  [len(statusClasses)]uint64
	cache      [len(cacheResults)]uint64
	over       uint64
	whole, hop distribution
}

// wordCount is a counter of one reason. A route has few of them, and those
// that it meets most stand in front: looking through them takes less than
// hashing the word.
type wordCount struct {
	reason int // in Metrics.reasons
	word   string
	n      uint64
}

// share holds what a lane counts beyond the routes.
type share struct {
	mu                               sync.Mutex
	verifyKnown, verifyNew, decision distribution
	_                                apart
}

// Route gives the handle of the route with this id, the same one each time,
// also across configurations. An empty id stands for requests that no route
// took. Its series appear with its first request.
func (m *Metrics) Route(id string) *RouteMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.routes[id]
	if r == nil {
		r = &RouteMetrics{m: m, id: id}
		m.routes[id] = r
	}
	return r
}

// Answered counts a request and writes it to the access log, unless that is
// nil. It takes some tens of nanoseconds without the log, and allocates
// nothing but for what a route or a reason needs the first time. It copies
// what it keeps of the record.
func (r *RouteMetrics) Answered(q *Record, log *AccessLog) {
	n := here()
	c := r.counts.Load()
	if c == nil {
		c = r.first()
	}
	reason := r.m.count(n, c, q)
	if log != nil && log.done != nil {
		log.log(n, c.member, r.m.verdict(reason, q.Reason), q)
	}
}

func (r *RouteMetrics) first() *routeCounts {
	c := &routeCounts{}
	if r.id != "" {
		c.member = string(append(appendText([]byte(routeKey), r.id), '"'))
	}
	r.counts.CompareAndSwap(nil, c)
	return r.counts.Load()
}

// verdict gives what the access log says of a reason. A word that New was
// not given is a mistake, and stands there as it is.
func (m *Metrics) verdict(reason int, word string) string {
	if reason < len(m.verdicts) {
		return m.verdicts[reason]
	}
	return verdict(Reason{Word: word})
}

// count gives the place of the record's reason.
func (m *Metrics) count(n lane, c *routeCounts, q *Record) (reason int) {
	l := &m.shares[n]
	l.mu.Lock()
	s := c.shares[n]
	if s == nil {
		s = new(routeShare)
		c.shares[n] = s
	}
	s.requests, reason = m.countWord(s.requests, q.Reason)
	if class := uint(q.Status/100 - 1); class < uint(len(s.responses)) {
		s.responses[class]++
	}
	s.whole.observe(exchangeScale, q.Duration)
	s.hop.observe(hopScale, q.Hop)
	if q.Hop > HopBudget {
		s.over++
	}
	if q.Report {
		s.reports, _ = m.countWord(s.reports, q.Denial)
	}
	if q.Cache != "" {
		if i := q.Cache.place(); i >= 0 {
			s.cache[i]++
		}
	}
	if q.Verify > 0 {
		if q.Known {
			l.verifyKnown.observe(shortScale, q.Verify)
		} else {
			l.verifyNew.observe(shortScale, q.Verify)
		}
	}
	if q.Decide > 0 {
		l.decision.observe(shortScale, q.Decide)
	}
	l.mu.Unlock()
	return reason
}

// countWord counts a reason in a list and gives its place.
func (m *Metrics) countWord(list []wordCount, word string) ([]wordCount, int) {
	for i := range list {
		if list[i].word == word {
			list[i].n++
			return list, list[i].reason
		}
	}
	return m.countNew(list, word)
}

func (m *Metrics) countNew(list []wordCount, word string) ([]wordCount, int) {
	reason, ok := m.index[word]
	if !ok {
		reason = len(m.reasons) - 1
		for i := range list {
			if list[i].reason == reason {
				list[i].n++
				return list, reason
			}
		}
	}
	if list == nil {
		list = make([]wordCount, 0, 8) // whole cache lines
	}
	return append(list, wordCount{reason, m.reasons[reason].Word, 1}), reason
}

// routeTotal is the sum of a route's shares.
type routeTotal struct {
	requests, reports []uint64 // by reason; those that occurred are not 0
	routeFigures
}

func (m *Metrics) total(r *RouteMetrics) *routeTotal {
	t := &routeTotal{requests: make([]uint64, len(m.reasons)), reports: make([]uint64, len(m.reasons))}
	c := r.counts.Load()
	if c == nil {
		return t
	}
	for n := range c.shares {
		m.shares[n].mu.Lock()
		if s := c.shares[n]; s != nil {
			t.add(s)
		}
		m.shares[n].mu.Unlock()
	}
	return t
}

func (t *routeTotal) add(s *routeShare) {
	for _, w := range s.requests {
		t.requests[w.reason] += w.n
	}
	for _, w := range s.reports {
		t.reports[w.reason] += w.n
	}
	for i, n := range s.responses {
		t.responses[i] += n
	}
	for i, n := range s.cache {
		t.cache[i] += n
	}
	t.over += s.over
	t.whole.add(&s.whole)
	t.hop.add(&s.hop)
}

func (m *Metrics) collectRoute(ch chan<- prometheus.Metric, r *RouteMetrics) {
	if r.counts.Load() == nil {
		return
	}
	t := m.total(r)
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(d, prometheus.CounterValue, float64(n), m.since, labels...)
	}
	for i, reason := range m.reasons {
		if t.requests[i] > 0 {
			decision := "deny"
			if reason.Allow {
				decision = "allow"
			}
			count(requestsDesc, t.requests[i], r.id, decision, reason.Word)
		}
		if t.reports[i] > 0 {
			count(reportDenialsDesc, t.reports[i], r.id, reason.Word)
		}
	}
	for i, class := range statusClasses {
		count(responsesDesc, t.responses[i], r.id, class)
	}
	for i, result := range cacheResults {
		count(cacheRequestsDesc, t.cache[i], r.id, string(result))
	}
	count(hopOverBudgetDesc, t.over, r.id)
	ch <- t.whole.metric(requestDurationDesc, exchangeScale, m.since, r.id)
	ch <- t.hop.metric(hopDurationDesc, hopScale, m.since, r.id)
}

// CacheCounts gives how often the cache took part in a route's requests since
// the process started, by route and result. It is not for a request's way.
func (m *Metrics) CacheCounts() map[string]map[CacheResult]uint64 {
	counts := make(map[string]map[CacheResult]uint64)
	for _, r := range listed(m, m.routes) {
		t := m.total(r)
		counts[r.id] = make(map[CacheResult]uint64, len(cacheResults))
		for i, result := range cacheResults {
			counts[r.id][result] = t.cache[i]
		}
	}
	return counts
}
