package cache

// Usage is what some of the stored answers take.
type Usage struct {
	Entries int64 `json:"entries"` // answers
	Bytes   int64 `json:"bytes"`   // memory, estimated
}

// Usage adds up what is stored by the first n bytes of its keys; shorter keys
// count as they are. What a purge reached counts until it is replaced or makes
// room. It looks at every key, so it is for people and not for a request's
// way; it holds up others for a few microseconds at a time.
func (c *Cache) Usage(n int) map[string]Usage {
	groups := make(map[string]Usage)
	for i := range c.index.shards {
		sh := &c.index.shards[i]
		sh.mu.RLock()
		for _, s := range sh.slots {
			group := s.key[:min(n, len(s.key))]
			u := groups[string(group)]
			u.Entries += int64(len(s.entries))
			u.Bytes += s.cost
			groups[string(group)] = u
		}
		sh.mu.RUnlock()
	}
	return groups
}
