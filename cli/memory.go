package cli

import (
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// startPercent is GOGC while the process starts: the first collection
	// comes at a heap of 16 MB instead of 4. A start takes about 8, of which
	// it keeps half, and two collections would be a tenth of its time.
	startPercent = 400
	// settleTime is how long after a start or a reload memory is given back:
	// requests that run under what was before have mostly ended by then.
	settleTime = time.Second
	// spareBytes is how much more free memory there must be than used for it
	// to be given back: so much is free after an ordinary collection.
	spareBytes = 8 << 20
)

// limitMemory has the collector work harder as the process comes near the
// memory that its container gives it, so that it is not killed for what is
// garbage. GOMEMLIMIT, where it is set, holds instead.
func limitMemory(log *slog.Logger, container memlimit.Provider) {
	limit, err := memlimit.Set(memlimit.WithProvider(container))
	switch {
	case err != nil:
		log.Warn("the container's memory limit can't be read; set GOMEMLIMIT", "error", err.Error())
	case limit != math.MaxInt64:
		log.Info("the memory is limited", "bytes", limit)
	}
}

var putOff sync.Once

// putOffCollection lets the process start without a garbage collection, where
// it starts small and GOGC is not set. What it returns ends that; so does the
// first collection.
func putOffCollection() (end func()) {
	end = func() {}
	if _, set := os.LookupEnv("GOGC"); set {
		return end
	}
	putOff.Do(func() {
		before := debug.SetGCPercent(startPercent)
		end = sync.OnceFunc(func() { debug.SetGCPercent(before) })
		runtime.AddCleanup(new(*byte), func(end func()) { end() }, end)
	})
	return end
}

// giveBack gives memory back to the system where much more is free than used,
// as after a long configuration was compiled. What is free after an ordinary
// collection stays: it is needed until the next.
func giveBack() {
	runtime.GC()
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	if used, free := s[0].Value.Uint64(), s[1].Value.Uint64(); free > used+spareBytes {
		debug.FreeOSMemory()
	}
}
