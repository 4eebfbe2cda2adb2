package cache

import (
	"net/url"
	"strings"
)

// Unsafe tells whether requests of that method may change what is stored,
// so that they invalidate (RFC 9111 section 4.4, RFC 9110 section 9.2.1). A
// method that nobody knows is unsafe.
func Unsafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH":
		return false
	}
	return true
}

// TagURI returns the tag of a target URI, for [Query.Tags]: scheme and
// authority in lower case and without a default port, and the path as it is.
// Answers to it are invalidated by it in whatever scope they are. The query
// is left out: parameters that say nothing, or stand in another order, must
// not keep an answer from being reached.
func (c *Cache) TagURI(scheme, authority, target string) Tag {
	target, _, _ = strings.Cut(target, "?")
	scheme, authority = canonicalOrigin(scheme, authority)
	return Tag(c.purges.tag(TagURI, scheme, "://", authority, target))
}

// Invalidate does what an answer to a request of an unsafe method asks for:
// it purges the target URI, and those of its Location and Content-Location
// that have the same origin (RFC 9111 section 4.4). It does nothing where
// the method is safe or the answer is an error. field returns the first line
// of that name of the answer, empty if there is none.
func (c *Cache) Invalidate(method string, status int, scheme, authority, target string, field func(name string) string) {
	if !Unsafe(method) || status < 200 || status > 399 {
		return
	}
	tags := []Tag{c.TagURI(scheme, authority, target)}
	scheme, authority = canonicalOrigin(scheme, authority)
	base, err := url.Parse(scheme + "://" + authority + target)
	for _, name := range [...]string{"Location", "Content-Location"} {
		value := field(name)
		if value == "" || err != nil {
			continue
		}
		named, err := base.Parse(value)
		if err != nil {
			continue
		}
		if s, a := canonicalOrigin(named.Scheme, named.Host); s != scheme || a != authority {
			continue
		}
		tags = append(tags, c.TagURI(named.Scheme, named.Host, named.RequestURI()))
	}
	c.Purge(false, tags...)
}

func canonicalOrigin(scheme, authority string) (string, string) {
	scheme, authority = strings.ToLower(scheme), strings.ToLower(authority)
	switch scheme {
	case "http":
		authority = strings.TrimSuffix(authority, ":80")
	case "https":
		authority = strings.TrimSuffix(authority, ":443")
	}
	return scheme, authority
}
