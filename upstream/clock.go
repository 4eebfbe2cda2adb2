package upstream

import "time"

// origin is the moment from which the others are told.
var origin = time.Now()

// readClock tells the time for timeouts and ages. It reads the monotonic clock
// alone, at half the cost of time.Now: its wall time does not follow a clock
// that is set, so that its moments are only to be held against each other.
func readClock() time.Time { return origin.Add(time.Since(origin)) }

// ticks is a moment as a number, and moment is the reverse.
func ticks(t time.Time) int64  { return int64(t.Sub(origin)) }
func moment(n int64) time.Time { return origin.Add(time.Duration(n)) }
