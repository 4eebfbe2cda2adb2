//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package upstream

import "net"

// Where the system offers no way to look at a connection without reading,
// no connection is used twice: every kept one counts as stale.

func (l *link) open(c net.Conn) error {
	l.Conn = c
	return nil
}

func (l *link) takeTurns() error {
	if l.phase == peeking {
		l.failure = errStale
		return nil
	}
	if l.wrote, l.failure = l.Write(l.out); l.failure != nil {
		return nil
	}
	if len(l.in) == 0 {
		l.failure = errPartial
		return nil
	}
	l.n, l.failure = l.Read(l.in)
	return nil
}

func (l *link) quiet() bool { return false }

func (l *link) readStill([]byte) (int, error) { return 0, errWouldWait }
