package cache

import "context"

// Get is [Cache.Lookup] for a GET request without tags.
func (c *Cache) Get(key []byte, req Fields, rule *Rule) Found {
	return c.Lookup(&Query{Key: key, Fields: req, Rule: rule})
}

// Fetch is an [Exchange] that validates nothing.
type Fetch func(ctx context.Context) (*Answer, error)

// Fetch is [Cache.Do] for a GET request without tags.
func (c *Cache) Fetch(ctx context.Context, key []byte, req Fields, rule *Rule, fetch Fetch) (Fetched, error) {
	return c.Do(ctx, plainQuery(key, req, rule), fetch.exchange())
}

// Refresh is [Cache.Renew] for a GET request without tags.
func (c *Cache) Refresh(key []byte, req Fields, rule *Rule, fetch Fetch) {
	c.Renew(plainQuery(key, req, rule), fetch.exchange())
}

func plainQuery(key []byte, req Fields, rule *Rule) *Query {
	return &Query{Key: key, Fields: req, Rule: rule}
}

func (f Fetch) exchange() Exchange {
	return func(ctx context.Context, _ *Transfer) (*Answer, error) { return f(ctx) }
}
