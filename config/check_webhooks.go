package config

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"sync"
)

var eventPathForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`) })

// shortestWebhookKey is the least of what Standard Webhooks recommends.
const shortestWebhookKey = 24

// WebhookKey gives the bytes of a signing secret: base64, after whsec_ or
// alone.
func WebhookKey(s Secret) (key []byte, ok bool) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), "whsec_"))
	return key, err == nil && len(key) >= shortestWebhookKey
}

// webhooks checks where events are received.
func (c *checker) webhooks() {
	paths := make(map[string]string)
	for _, name := range sortedKeys(c.cfg.Webhooks) {
		w := c.cfg.Webhooks[name]
		a := at{source: w.Source}
		if before, twice := paths[w.Path]; twice && w.Path != "" {
			c.bad(a.below("path"), "path", w.Path, "the webhook "+before+" has the same; it should be its own")
		}
		paths[w.Path] = name
		if w.Path != "" && (!eventPathForm().MatchString(w.Path) || slices.ContainsFunc(strings.Split(w.Path, "/"), func(s string) bool { return s == "." || s == ".." })) {
			c.bad(a.below("path"), "path", w.Path, "it should be a path such as /webhooks/clerk: letters, digits, dots, -, _ and ~ between slashes")
		}
		for i, s := range w.Secret {
			here := a.below("secret", i)
			c.secret(here, "secret", s)
			if _, ok := WebhookKey(s); !ok && !s.IsZero() {
				c.fault(here.pos(), "secret is no signing secret; it should be whsec_ and the base64 of at least %d bytes, as the provider shows it", shortestWebhookKey)
			}
		}
		for _, list := range []struct {
			label string
			paths []string
		}{{"principals", w.Principals}, {"organizations", w.Organizations}, {"sessions", w.Sessions}, {"tags", w.Tags}} {
			for i, p := range list.paths {
				if p != "" && slices.Contains(strings.Split(p, "."), "") {
					c.bad(a.below(list.label, i), list.label, p, "it should be member names separated by dots such as data.user_id")
				}
			}
			c.twice(a.below(list.label), list.label, list.paths)
		}
		for i, id := range w.Routes {
			if !c.isRoute(id) {
				c.unknown(a.below("routes", i), "routes", id, c.routeIDs(), "routes")
			}
			for j := range c.cfg.Routes {
				if r := &c.cfg.Routes[j]; r.ID == id && r.Cache == nil {
					c.warn(a.below("routes", i).pos(), "routes has %s, which keeps no answers", a.below("routes", i).show(id))
				}
			}
		}
		c.twice(a.below("routes"), "routes", w.Routes)
		if !slices.ContainsFunc([]string{"preset", "principals", "organizations", "sessions", "tags", "routes"}, func(key string) bool { return a.below(key).written() }) {
			c.fault(a.pos(), "no event makes anything forgotten; add a preset, or principals, organizations, sessions, tags or routes")
		}
	}
}
