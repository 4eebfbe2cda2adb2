package upstream

import "time"

// budget bounds retries to a share of the requests over the last ten
// seconds, so that retries never multiply an outage.
type budget struct {
	seconds [10]second
}

// second counts what happened within one second.
type second struct {
	since             int64 // when it began, in seconds
	requests, retries int32
}

// freeRetries may happen within ten seconds however few requests there are:
// where there is next to no traffic, no share of it is a whole retry.
const freeRetries = 10

func (b *budget) at(now moment) *second {
	u := int64(now) / int64(time.Second)
	s := &b.seconds[((u%10)+10)%10]
	if s.since != u {
		*s = second{since: u}
	}
	return s
}

// request counts a request.
func (b *budget) request(now moment) { b.at(now).requests++ }

// retry counts a retry where one more is allowed. A share of 0 allows none.
func (b *budget) retry(now moment, share float64) bool {
	if share <= 0 {
		return false
	}
	var requests, retries int64
	u := int64(now) / int64(time.Second)
	for i := range b.seconds {
		if s := &b.seconds[i]; u-s.since < 10 && s.since <= u {
			requests += int64(s.requests)
			retries += int64(s.retries)
		}
	}
	if retries >= freeRetries && float64(retries+1) > share*float64(requests) {
		return false
	}
	b.at(now).retries++
	return true
}
