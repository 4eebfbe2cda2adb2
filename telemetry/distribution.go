package telemetry

import (
	"math"
	"math/bits"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Buckets in seconds. A hop is some tens of microseconds and has a budget of
// 15 ms, so that is a boundary; whole requests and upstreams take longer.
var (
	hopScale      = newScale(50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 15e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1)
	exchangeScale = newScale(500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 30)
	shortScale    = newScale(250e-9, 500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 15e-3)
)

const maxBuckets = 16 // of a distribution, with the one above all bounds

// scale is the boundaries of a histogram's buckets, rising.
type scale struct {
	seconds []float64 // as they are shown
	bounds  []uint64  // in nanoseconds; a bucket has its upper bound
	start   [65]uint8 // the first bucket that a time of so many bits may be in
}

func newScale(seconds ...float64) *scale {
	s := &scale{seconds: seconds}
	if len(seconds) >= maxBuckets {
		panic("telemetry: a distribution has no room for so many buckets")
	}
	for _, b := range seconds {
		s.bounds = append(s.bounds, uint64(math.Round(b*1e9)))
	}
	for n := range s.start {
		least := uint64(0)
		if n > 0 {
			least = 1 << (n - 1)
		}
		for int(s.start[n]) < len(s.bounds) && s.bounds[s.start[n]] < least {
			s.start[n]++
		}
	}
	return s
}

// bucket gives the number of the bucket of a time; a negative one is in the
// first.
func (s *scale) bucket(d time.Duration) int {
	t := uint64(max(0, d))
	i := int(s.start[bits.Len64(t)])
	for i < len(s.bounds) && t > s.bounds[i] {
		i++
	}
	return i
}

// distribution counts times by bucket. Whoever uses it holds its lane's
// lock.
type distribution struct {
	sum    float64 // nanoseconds: as an integer, days of many open streams overflow it
	counts [maxBuckets]uint64
}

func (t *distribution) observe(s *scale, d time.Duration) {
	t.sum += float64(d)
	t.counts[s.bucket(d)&(maxBuckets-1)]++
}

func (t *distribution) add(o *distribution) {
	t.sum += o.sum
	for i, n := range o.counts {
		t.counts[i] += n
	}
}

// metric gives the distribution as a Prometheus histogram.
func (t *distribution) metric(d *prometheus.Desc, s *scale, since time.Time, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(s.seconds))
	total := uint64(0)
	for i, bound := range s.seconds {
		total += t.counts[i]
		buckets[bound] = total
	}
	total += t.counts[len(s.seconds)]
	return prometheus.MustNewConstHistogramWithCreatedTimestamp(d, total, t.sum/1e9, buckets, since, labels...)
}
