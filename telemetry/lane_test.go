package telemetry

import (
	"runtime"
	"testing"
	"time"
)

// TestLanesAreFreed has the pool forget its tickets: their lanes are free
// again, so that a machine of few cores does not fill all lanes in time.
func TestLanesAreFreed(t *testing.T) {
	if runtime.GOMAXPROCS(0) >= lanes {
		t.Skip("all lanes may be in use")
	}
	for range 4 * lanes {
		here()
		runtime.GC()
		runtime.GC()
	}
	for until := time.Now().Add(10 * time.Second); taken.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("nobody holds a ticket, and the lanes %b are taken", taken.Load())
		}
		runtime.GC()
	}
	if n := here(); n != 0 {
		t.Errorf("the next lane is %d, and 0 is free", n)
	}
}
