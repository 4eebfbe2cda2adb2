package upstream

import (
	"math"
	"time"
)

// moment is a time by the monotonic clock, in nanoseconds since the program
// began. It is half as dear to read as time.Now, and a number. 0 is no
// moment.
type moment int64

var origin = time.Now()

// readClock tells the time.
func readClock() moment { return 1 + moment(time.Since(origin)) }

// momentOf turns a time of time.Now into a moment.
func momentOf(t time.Time) moment { return moment(t.Sub(origin)) + 1 }

// time turns a moment into a time for the deadlines of package net.
func (m moment) time() time.Time { return origin.Add(time.Duration(m - 1)) }

// add gives the moment after d, or the last one there is.
func (m moment) add(d time.Duration) moment {
	if sum := m + moment(d); sum >= m {
		return sum
	}
	return math.MaxInt64
}

// since is the time from an earlier moment on.
func (m moment) since(earlier moment) time.Duration { return time.Duration(m - earlier) }

// left is the time from now on.
func (m moment) left() time.Duration { return m.since(readClock()) }
