package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestGiveBack gives back what is free, and tells free memory from used.
func TestGiveBack(t *testing.T) {
	released := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	debug.FreeOSMemory()
	before := released()
	const size = 64 << 20
	b := make([]byte, size)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	giveBack()
	if got := released(); got+size/2 < before {
		t.Errorf("of %d bytes %d are given back, before it were %d", size, got, before)
	}
}

// TestPutOffCollection puts the collector's target off, until the first
// collection and once in a process.
func TestPutOffCollection(t *testing.T) {
	if _, set := os.LookupEnv("GOGC"); set {
		putOffCollection()()
		t.Skip("GOGC is set, and stays")
	}
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	was := percent()
	end := putOffCollection()
	if p := percent(); p != was && p != startPercent {
		t.Errorf("GOGC is %d", p)
	}
	runtime.GC()
	for until := time.Now().Add(10 * time.Second); percent() == startPercent; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the first collection does not end it")
		}
	}
	end()
	if p := percent(); p == startPercent {
		t.Errorf("GOGC is %d at the end", p)
	}
}
