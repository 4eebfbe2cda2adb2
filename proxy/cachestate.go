package proxy

import (
	"hopgate/cache"
	"hopgate/telemetry"
)

// CacheState is what the cache holds and how it has served.
type CacheState struct {
	MaxBytes      int64  `json:"max_bytes"`
	MaxEntryBytes int64  `json:"max_entry_bytes"`
	Bytes         int64  `json:"bytes"`
	Entries       int64  `json:"entries"`
	Evictions     uint64 `json:"evictions"`
	// Routes are those that keep answers, in the order of the file.
	Routes []RouteCacheState `json:"routes"`
	// Outdated is what was stored before a reload changed its route, and
	// waits to make room.
	Outdated cache.Usage `json:"outdated"`
}

// RouteCacheState is the part of a CacheState that is one route's.
type RouteCacheState struct {
	ID    string `json:"id"`
	Scope string `json:"scope"`
	TTL   string `json:"ttl"`
	cache.Usage
	// Requests are those since the process started.
	Requests map[telemetry.CacheResult]uint64 `json:"requests"`
}

// CacheState tells the state of the cache; nil before the first Publish. It
// looks at every key that is stored.
func (g *Gate) CacheState() *CacheState {
	s := g.current.Load()
	if s == nil {
		return nil
	}
	total, requests := s.cache.Stats(), g.metrics.CacheCounts()
	usage := s.cache.Usage(len(route{}.fingerprint))
	state := &CacheState{
		MaxBytes: int64(s.Config.Cache.MaxBytes), MaxEntryBytes: int64(s.Config.Cache.MaxEntryBytes),
		Bytes: total.Bytes, Entries: total.Entries, Evictions: total.Evictions,
		Routes: []RouteCacheState{},
	}
	for _, rt := range s.routes {
		if !rt.cached {
			continue
		}
		group := string(rt.fingerprint[:])
		state.Routes = append(state.Routes, RouteCacheState{
			ID: rt.ID, Scope: rt.Config.Cache.Scope.String(), TTL: rt.Config.Cache.TTL.String(),
			Usage: usage[group], Requests: requests[rt.ID],
		})
		delete(usage, group)
	}
	for _, u := range usage {
		state.Outdated.Entries += u.Entries
		state.Outdated.Bytes += u.Bytes
	}
	return state
}
