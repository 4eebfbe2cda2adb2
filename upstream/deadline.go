package upstream

// deadline is the time by which reads, or writes, of a connection must be
// over, and the time for which the connection's timer is set.
//
// Moving a timer for each exchange is work that nearly every exchange does
// in vain. So the timer may be set for any time up to the one wanted: where
// it fires early, it is moved and the operation goes on; where it is set
// and not yet over, a new exchange leaves it alone. With one timeout for all
// exchanges a busy connection's timer moves once per timeout.
type deadline struct{ want, armed moment }

// set wants operations to end by t. The timer must be moved, by arm, where
// it tells so.
func (d *deadline) set(now, t moment) (move bool) {
	d.want = t
	return d.armed > t || d.armed <= now // or was never set
}

// early tells that a timer that fired did so too early.
func (d *deadline) early() bool { return readClock() < d.want }
