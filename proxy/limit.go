package proxy

import (
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"sync"
	"time"

	"hopgate/config"
)

// limiter is a rate limit with one budget per key, by the generic cell rate
// algorithm: for each key it holds the time at which the budget will be full
// again. A key whose budget is full again needs no memory, so the table is
// bounded by what happened within one window, and by maxKeys beyond that.
// It is safe for concurrent use.
type limiter struct {
	interval time.Duration // time between two requests at the steady rate
	window   time.Duration // interval * burst
	burst    int
	seed     maphash.Seed
	shards   [limitShards]limitShard
}

const (
	limitShards = 64
	// maxKeysPerShard bounds memory at about 100 bytes a key and 6.5 MB a
	// route. When a shard is full and nothing in it has expired, keys that
	// are nearest to a full budget are forgotten first.
	maxKeysPerShard = 1024
)

type limitShard struct {
	mu   sync.Mutex
	full map[string]*int64 // key to the Unix time in ns at which its budget is full again
}

func newLimiter(c config.Limit) *limiter {
	burst := c.Burst
	if burst == 0 {
		burst = c.Rate.Events
	}
	l := &limiter{
		interval: max(1, c.Rate.Per/time.Duration(max(1, c.Rate.Events))),
		burst:    burst,
		seed:     maphash.MakeSeed(),
	}
	l.window = l.interval * time.Duration(burst)
	for i := range l.shards {
		l.shards[i].full = make(map[string]*int64)
	}
	return l
}

// verdict is the outcome of one question to a limiter.
type verdict struct {
	ok        bool
	remaining int           // requests that could follow at once
	reset     time.Duration // until the budget is full again
	retry     time.Duration // until one request is allowed, where ok is false
}

// take asks for one request under key at now. The key is lent: it is copied
// where it is kept.
func (l *limiter) take(key []byte, now time.Time) verdict {
	s := &l.shards[maphash.Bytes(l.seed, key)%limitShards]
	at := now.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.full[string(key)]
	full := at
	if kept != nil {
		full = max(at, *kept)
	}
	next := full + int64(l.interval)
	if over := next - at - int64(l.window); over > 0 {
		return verdict{retry: time.Duration(over), reset: time.Duration(full - at)}
	}
	if kept == nil {
		if len(s.full) >= maxKeysPerShard {
			s.makeRoom(at)
		}
		kept = new(int64)
		s.full[string(key)] = kept
	}
	*kept = next
	left := (int64(l.window) - (next - at)) / int64(l.interval)
	return verdict{ok: true, remaining: int(left), reset: time.Duration(next - at)}
}

// makeRoom forgets the keys whose budget is full again, or, where there are
// none, the one that is nearest to it.
func (s *limitShard) makeRoom(at int64) {
	nearest, least := "", int64(math.MaxInt64)
	for k, full := range s.full {
		if *full <= at {
			delete(s.full, k)
		} else if *full < least {
			nearest, least = k, *full
		}
	}
	if len(s.full) >= maxKeysPerShard {
		delete(s.full, nearest)
	}
}

var nameRateLimit = []byte("RateLimit")

// policyField gives the RateLimit-Policy field of a limit: its quota q in
// requests per window w in seconds.
func (l *limiter) policyField(c *config.Limit) string {
	return fmt.Sprintf(`"%s";q=%d;w=%d`, c.By, l.burst, max(1, int64(math.Ceil(l.window.Seconds()))))
}

// appendRateLimit writes the RateLimit field: r requests remain, the budget
// is full again in t seconds.
func appendRateLimit(b []byte, by string, v verdict) []byte {
	b = append(b, '"')
	b = append(b, by...)
	b = append(b, `";r=`...)
	b = strconv.AppendInt(b, int64(v.remaining), 10)
	b = append(b, ";t="...)
	return appendSeconds(b, v.reset)
}

// appendSeconds writes a duration in whole seconds, rounded up.
func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendInt(b, int64((d+time.Second-1)/time.Second), 10)
}
