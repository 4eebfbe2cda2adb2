package proxy

import (
	"context"
	"testing"
	"time"
)

// panicking is a body whose reading meets a fault of ours.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("a fault") }
func (panicking) Close() error             { return nil }

// TestStreamThatPanics breaks off the one answer whose body cannot be read for
// a fault of ours: it is read where the transport writes, and nobody else
// would stop the fault from ending the process.
func TestStreamThatPanics(t *testing.T) {
	w := newWorld(t, settings(userRoutes))
	_ = w.open()
	var c *conn
	eventually(t, "connected", func() bool {
		w.server.watcher.mu.Lock()
		defer w.server.watcher.mu.Unlock()
		for c = range w.server.watcher.conns {
			return true
		}
		return false
	})
	for _, length := range []int64{-1, 5} {
		a := &express{code: 200}
		x := acquire(a)
		x.gate, x.snapshot, x.ctx, x.start = w.gate, w.gate.Current(), context.Background(), time.Now()
		x.stream(panicking{}, length)
		if err := a.write(c, time.Now()); err == nil {
			t.Errorf("length %d: the answer passes for whole", length)
		}
	}
	if v := w.metric("hopgate_panics_total"); v != "2" {
		t.Errorf("panics counted: %s", v)
	}
}
