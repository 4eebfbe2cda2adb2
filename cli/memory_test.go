package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
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

// TestLimitMemory takes nine tenths of what the container gives, unless
// GOMEMLIMIT says something else.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	if v, set := os.LookupEnv("GOMEMLIMIT"); set {
		t.Setenv("GOMEMLIMIT", v) // restores it
		_ = os.Unsetenv("GOMEMLIMIT")
	}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	limitMemory(log, memlimit.Limit(1000<<20))
	if got := debug.SetMemoryLimit(-1); got != 900<<20 {
		t.Errorf("the limit is %d", got)
	}
	limitMemory(log, func() (uint64, error) { return 0, errors.New("no such file") })
	if got := debug.SetMemoryLimit(-1); got != 900<<20 || !strings.Contains(text.String(), "no such file") {
		t.Errorf("the limit is %d; %s", got, &text)
	}
	limitMemory(log, func() (uint64, error) { return 0, memlimit.ErrNoLimit })
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("without a limit it is %d", got)
	}
	t.Setenv("GOMEMLIMIT", "123MiB")
	limitMemory(log, memlimit.Limit(1000<<20))
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("GOMEMLIMIT does not hold: %d", got)
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
