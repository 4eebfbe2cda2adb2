package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"hopgate/cache"
	"hopgate/policy"
)

// Purge says which stored answers are forgotten. What it names is compared
// whole, as text; a name that nothing has purges nothing.
type Purge struct {
	Routes        []string // ids
	Keys          []string // as [Gate.Inspect] names them
	Principals    []string // user ids: what is kept for one caller alone
	Organizations []string // organization ids
	Sessions      []string // session ids: what a session fetched for one caller alone
	Tags          []string // that the upstream gave in Cache-Tag or Surrogate-Key
	URIs          []string // absolute; http and https alike, whatever the query and the caller
	All           bool
	// Soft makes answers stale instead: they are still given within
	// stale_while_revalidate and stale_if_error, counted from now.
	Soft bool
}

// tagKeyName is the kind of the tag by which a key's own name purges it.
const tagKeyName = "key name"

// keyName names a key for people. It is a digest: the key itself holds what
// the scope's claims, the request's fields and the route's templates do, some
// of which may be secret. The same configuration makes the same names in
// every process.
func keyName(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

const keyNameLength = 32

// Purge forgets stored answers. When it returns no request that begins is
// given one, nor one whose fetch began before. It takes the same time however
// much is stored. The error says which name has no form that could be right;
// then nothing was purged.
func (g *Gate) Purge(p Purge) error {
	if err := p.check(g.current.Load()); err != nil {
		return err
	}
	g.purge(p)
	return nil
}

// check tells what of a purge cannot be meant.
func (p *Purge) check(s *Snapshot) error {
	if s == nil {
		return errors.New("no configuration is in force yet")
	}
	total := 0
	for _, group := range []struct {
		label string
		names []string
		fault func(name string) string
	}{
		{"routes", p.Routes, s.routeFault},
		{"keys", p.Keys, keyFault},
		{"principals", p.Principals, nil},
		{"organizations", p.Organizations, nil},
		{"sessions", p.Sessions, nil},
		{"tags", p.Tags, nil},
		{"uris", p.URIs, uriFault},
	} {
		for i, name := range group.names {
			fault := ""
			switch {
			case name == "":
				fault = "is empty"
			case group.fault != nil:
				fault = group.fault(name)
			}
			if fault != "" {
				return fmt.Errorf("%s[%d] %s", group.label, i, fault)
			}
		}
		total += len(group.names)
	}
	if total == 0 && !p.All {
		return errors.New("nothing is named; name routes, keys, principals, organizations, sessions, tags or uris, or say all")
	}
	return nil
}

func (s *Snapshot) routeFault(id string) string {
	ids := make([]string, len(s.routes))
	for i, rt := range s.routes {
		if rt.ID == id {
			return ""
		}
		ids[i] = rt.ID
	}
	return fmt.Sprintf("is %q, and no route has that id; the routes are %s", id, strings.Join(ids, ", "))
}

func keyFault(name string) string {
	if _, err := hex.DecodeString(name); err != nil || len(name) != keyNameLength {
		return fmt.Sprintf("is %q; it should be a key as an inspection shows it: %d hexadecimal digits", name, keyNameLength)
	}
	return ""
}

func uriFault(uri string) string {
	if _, _, ok := purgedURI(uri); !ok {
		return fmt.Sprintf("is %q; it should be a URI that the gate would take, with its host: https://api.example.com/path", uri)
	}
	return ""
}

// purgedURI takes a URI apart, its authority without a default port.
func purgedURI(uri string) (authority, target string, ok bool) {
	scheme, authority, target, ok := cutURI(uri)
	if scheme == "https" {
		authority = strings.TrimSuffix(authority, ":443")
	} else {
		authority = strings.TrimSuffix(authority, ":80")
	}
	return authority, target, ok && CheckTarget("GET", target, authority) == policy.Allowed
}

// cutURI takes an absolute http or https URI apart, byte for byte: what the
// guard refuses must not be mended here.
func cutURI(uri string) (scheme, authority, target string, ok bool) {
	scheme, rest, found := strings.Cut(uri, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "http" && scheme != "https" {
		return "", "", "", false
	}
	authority, target = rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, target = rest[:i], rest[i:]
		if target[0] != '/' {
			target = "/" + target // as clients do
		}
	}
	return scheme, authority, target, true
}

// purge does what a purge says that was checked.
func (g *Gate) purge(p Purge) {
	c := g.current.Load().cache
	var tags []cache.Tag
	add := func(by, kind string, names []string) {
		for _, name := range names {
			tags = append(tags, c.Tag(kind, name))
		}
		g.metrics.Purged(by, len(names))
	}
	add("route", cache.TagRoute, p.Routes)
	keys := make([]string, len(p.Keys))
	for i, name := range p.Keys {
		keys[i] = strings.ToLower(name)
	}
	add("key", tagKeyName, keys)
	add("principal", cache.TagPrincipal, p.Principals)
	add("organization", cache.TagOrganization, p.Organizations)
	add("session", cache.TagSession, p.Sessions)
	add("tag", cache.TagUpstream, p.Tags)
	for _, uri := range p.URIs {
		authority, target, _ := purgedURI(uri)
		// Where a load balancer ends TLS the gate saw http.
		tags = append(tags, c.TagURI("http", authority, target), c.TagURI("https", authority, target))
	}
	g.metrics.Purged("uri", len(p.URIs))
	if p.All {
		g.metrics.Purged("all", 1)
		c.PurgeAll(p.Soft)
		return
	}
	c.Purge(p.Soft, tags...)
}
