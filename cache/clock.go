package cache

import "time"

// An instant is a point in time by two clocks, in nanoseconds since the
// cache was made. The monotonic one ignores that the wall clock is set, and
// stands still while the machine is suspended; the wall clock does neither.
type instant struct {
	mono, wall int64
}

type clock struct {
	now  func() time.Time
	base time.Time
}

func newClock(now func() time.Time) clock {
	if now == nil {
		now = time.Now
	}
	return clock{now: now, base: now()}
}

func (c *clock) instant() instant { return c.of(c.now()) }

// of makes an instant of a reading of the clock.
func (c *clock) of(t time.Time) instant {
	return instant{mono: int64(t.Sub(c.base)), wall: t.UnixNano() - c.base.UnixNano()}
}

// since returns the time from t to now, the larger where the two clocks
// differ. It is negative if both went back.
func (now instant) since(t instant) time.Duration {
	return time.Duration(max(now.mono-t.mono, now.wall-t.wall))
}
