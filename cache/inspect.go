package cache

import "time"

// Stored describes an answer that is stored, for people.
type Stored struct {
	Status int
	Bytes  int64         // memory that it takes
	Age    time.Duration // how old it is
	TTL    time.Duration // how long it stays fresh; negative when it no longer is
	Vary   []string      // the request fields that select it, in lower case
	// Selected tells that the request would be given it, if it may be used.
	Selected bool
	// State is what it is good for, for a request without directives.
	State State
	// PurgedHard and PurgedSoft tell that a purge reached it.
	PurgedHard, PurgedSoft bool
}

// Inspect returns all that is stored under the query's key, the latest
// first. It changes nothing. [Cache.Lookup] says what the query would get,
// and why.
func (c *Cache) Inspect(q *Query) []Stored {
	s := c.index.find(c.index.hash(q.Key), q.Key)
	if s == nil {
		return nil
	}
	selected := s.pick(q.Fields)
	all := make([]Stored, len(s.entries))
	for i, e := range s.entries {
		purged := c.purges.since(e.born, e.tags)
		found := e.judge(q.Rule, new(directives), c.clock.instant(), purged)
		all[i] = Stored{
			Status: e.answer.status, Bytes: e.measure(), Age: found.Age, TTL: found.TTL, Vary: e.names,
			Selected: e == selected, State: found.State, PurgedHard: purged.hard, PurgedSoft: purged.soft,
		}
	}
	return all
}
