package config

import (
	"net"
	"slices"
	"strings"
	"time"
)

// server checks the listeners and what all requests share.
func (c *checker) server() {
	s, top := &c.cfg.Server, at{source: c.cfg.Source}
	listen, admin := top.below("server", "listen"), top.below("admin", "listen")
	if problem := addressProblem(s.Listen); s.Listen != "" && problem != "" {
		c.bad(listen, "listen", s.Listen, problem)
	}
	if a := c.cfg.Admin.Listen; a != "" && a != "off" {
		problem := addressProblem(a)
		switch {
		case problem != "":
			c.bad(admin, "listen", a, problem+", or off")
		case sameAddress(a, s.Listen):
			c.bad(admin, "listen", a, "server.listen has the same port; the admin listener should have one of its own")
		}
	}
	for i, p := range s.TrustedProxies {
		if p.IsValid() && p.Bits() == 0 {
			c.warn(top.below("server", "trusted_proxies", i).pos(), "trusted_proxies has every address there is, so that any client can claim to be any other; list the ranges of the proxies alone")
		}
	}
	for i, p := range s.ProxyProtocol {
		if p.IsValid() && p.Bits() == 0 {
			c.warn(top.below("server", "proxy_protocol", i).pos(), "proxy_protocol has every address there is, so that any client can claim to be any other; list the ranges of the load balancers alone")
		}
	}
	if s.TLS != nil && s.TLS.ClientAuth == "require" && s.TLS.ClientCAFile == "" {
		c.fault(at{source: s.TLS.Source}.below("client_auth").pos(), "client_auth is require, and client_ca_file is missing; it should have the authorities whose client certificates are accepted")
	}
	if s.TLS != nil && s.H2C {
		c.warn(top.below("server", "h2c").pos(), "h2c has no effect with tls, which offers HTTP/2 by itself")
	}
	if s.MaxTargetBytes > s.MaxHeaderBytes {
		c.fault(top.below("server", "max_target_bytes").pos(), "max_target_bytes is %s, more than max_header_bytes (%s), of which it is a part", s.MaxTargetBytes, s.MaxHeaderBytes)
	}
	id := top.below("server", "request_id_header")
	switch h := s.RequestIDHeader; {
	case h == "":
	case !isToken(h):
		c.bad(id, "request_id_header", h, "it should be a field's name such as X-Request-Id")
	case isFraming(h) || slices.Contains([]string{"authorization", "cookie", "set-cookie", "content-type", "origin", "forwarded", "date", "vary"}, strings.ToLower(h)):
		c.bad(id, "request_id_header", h, "that field has a meaning of its own; it should be one such as X-Request-Id")
	}
	if m := &c.cfg.Cache; m.MaxEntryBytes > m.MaxBytes {
		c.fault(top.below("cache", "max_entry_bytes").pos(), "max_entry_bytes is %s, more than max_bytes (%s), in which it has to fit", m.MaxEntryBytes, m.MaxBytes)
	}
}

// sameAddress tells whether two listeners cannot both be opened.
func sameAddress(a, b string) bool {
	if strings.HasPrefix(a, "unix:") || strings.HasPrefix(b, "unix:") {
		return a == b
	}
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	all := func(h string) bool { return h == "" || h == "0.0.0.0" || h == "::" }
	return hostA == hostB || all(hostA) || all(hostB)
}

// cors checks one cors section.
func (c *checker) cors(a at, s *CORS) {
	for i, o := range s.Origins {
		here := a.below("origins", i)
		problem := originProblem(o)
		switch {
		case o == "":
		case problem != "":
			c.bad(here, "origins", o, problem)
		case o == "*" && s.Credentials:
			c.fault(here.pos(), "origins has *, and credentials is true: any page could read what its visitor may read; list the origins, or leave credentials out")
		case o == "*" && len(s.Origins) > 1:
			c.warn(here.pos(), "origins has *, so that the others beside it have no effect")
		case strings.HasPrefix(o, "http://") && s.Credentials && !isLoopback(originHost(o)):
			c.warn(here.pos(), "origins has %s with credentials; whoever sits between that page and its visitor can read answers: use https", here.show(o))
		}
	}
	c.twice(a.below("origins"), "origins", s.Origins)
	for i, m := range s.Methods {
		c.method(a.below("methods", i), m)
	}
	for i, h := range s.Headers {
		if h != "" && !isToken(h) || h == "*" && s.Credentials {
			c.bad(a.below("headers", i), "headers", h, "it should be a field's name such as Content-Type")
		}
	}
	for i, h := range s.Expose {
		if h != "" && !isToken(h) || h == "*" && s.Credentials {
			c.bad(a.below("expose", i), "expose", h, "it should be a field's name such as X-Request-Id")
		}
	}
	if s.MaxAge > 24*time.Hour {
		c.warn(a.below("max_age").pos(), "max_age is %s; no browser remembers a preflight for more than 24h", duration(s.MaxAge))
	}
}

func originHost(o string) string {
	_, rest, _ := strings.Cut(o, "://")
	host, _, _ := cutPort(rest)
	return strings.Trim(host, "[]")
}

// method checks one request method.
func (c *checker) method(a at, m string) {
	switch {
	case m == "":
	case !isToken(m):
		c.bad(a, "methods", m, "it should be a method such as GET or POST")
	case m != strings.ToUpper(m):
		c.bad(a, "methods", m, "methods are case-sensitive; it should be in capitals")
	case m == "CONNECT" || m == "TRACE":
		c.bad(a, "methods", m, "hopgate never forwards it, since it would go past the gate or show credentials")
	case !slices.Contains(registeredMethods, m) && a.show(m) == quote(m):
		c.warn(a.pos(), "methods has %s, which is no registered method%s", quote(m), didYouMean(m, registeredMethods))
	}
}

// registeredMethods are those of the IANA registry (RFC 9110 section 16.1.1)
// that are forwarded; others are legal, and most likely misspelt.
var registeredMethods = []string{
	"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY",
	"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY",
	"MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH",
	"REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF",
	"VERSION-CONTROL",
}
