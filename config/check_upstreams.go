package config

import (
	"net/url"
	"strings"
)

// issuer checks what of an issuer is plain data; its provider, its keys and
// its algorithms are checked where they are used, in package token.
func (c *checker) issuer(s Issuer) {
	a := at{source: s.Source}
	c.secret(a.below("secret"), "secret", s.Secret)
	if text := s.Secret.Reveal(); len(text) >= minHSBytes && guessable(text) {
		c.fault(a.below("secret").pos(), "secret repeats a few characters, so that it can be guessed; it should be random: openssl rand -base64 32")
	}
	if s.MaxTokenBytes > c.cfg.Server.MaxHeaderBytes {
		where := a.below("max_token_bytes")
		if where.written() {
			c.warn(where.pos(), "max_token_bytes is %s, more than server.max_header_bytes (%s): such a token never gets here", s.MaxTokenBytes, c.cfg.Server.MaxHeaderBytes)
		}
	}
	if s.Preset == "clerk" {
		c.origins(a.below("authorized_parties"), s.AuthorizedParties)
	}
	for key, list := range map[string][]string{
		"audiences": s.Audiences, "authorized_parties": s.AuthorizedParties, "client_ids": s.ClientIDs,
		"algorithms": s.Algorithms, "required_claims": s.RequiredClaims, "token_types": s.TokenTypes,
	} {
		c.twice(a.below(key), key, list)
	}
}

// origins warns of authorized parties that no token of Clerk's has: its azp is
// the origin of a page, as browsers write it.
func (c *checker) origins(a at, parties []string) {
	for i, p := range parties {
		here := a.below(i)
		if !strings.HasPrefix(p, "https://") && !strings.HasPrefix(p, "http://") {
			continue // of an app or a browser's extension
		}
		problem := originProblem(p)
		if strings.Contains(p, "*") {
			problem = "origins are compared as they stand, and * stands for nothing"
		}
		if problem != "" {
			c.warn(here.pos(), "authorized_parties has %s, which is no azp of Clerk's: %s", here.show(p), problem)
		}
	}
}

// minHSBytes is the shortest secret that is judged for its randomness; a
// shorter one is refused where it is used (RFC 7518 section 3.2).
const minHSBytes = 32

// guessable tells whether a long secret is surely not random: it has few
// different characters, or repeats a short part.
func guessable(s string) bool {
	seen := make(map[byte]bool)
	for _, c := range []byte(s) {
		seen[c] = true
	}
	if len(seen) < 8 {
		return true
	}
	for n := 1; n <= 12; n++ {
		if strings.Repeat(s[:n], len(s)/n+1)[:len(s)] == s {
			return true
		}
	}
	return false
}

// secret warns of a secret that stands in the file.
func (c *checker) secret(a at, label string, s Secret) {
	n := a.node()
	if n == nil || s.IsZero() || n.kind != scalarNode || strings.Contains(n.value, "${") || n.value == mask {
		return
	}
	c.warn(a.pos(), "%s stands in the file, where everybody who may read the file sees it; take it from the environment (${NAME}) or a file ({file: path})", label)
}

// upstream checks one upstream.
func (c *checker) upstream(s Upstream) {
	a := at{source: s.Source}
	tls := false
	for i, e := range s.Endpoints {
		if e == "" {
			continue
		}
		here := a.below("endpoints", i)
		if problem := endpointProblem(e); problem != "" {
			c.bad(here, "endpoints", e, problem)
			continue
		}
		u, _ := url.Parse(e)
		tls = tls || strings.HasPrefix(e, "https:")
		switch secure := strings.HasPrefix(e, "https:"); {
		case s.Protocol == "h2" && !secure:
			c.bad(here, "endpoints", e, "protocol is h2, which is spoken over TLS; it should be https://..., or the protocol h2c")
		case s.Protocol == "h2c" && secure:
			c.bad(here, "endpoints", e, "protocol is h2c, which is spoken in the clear; it should be http://... or unix:/path, or the protocol h2")
		}
		if s.Secret != nil && u != nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			c.warn(here.pos(), "endpoints has %s, so that the secret goes over the network in the clear; use https where the network is not your own", here.show(e))
		}
	}
	c.twice(a.below("endpoints"), "endpoints", s.Endpoints)
	if s.Host != "" && !isHostPort(s.Host) {
		c.bad(a.below("host"), "host", s.Host, "it should be a host name, with a port if need be")
	}
	if s.Secret != nil {
		where := at{source: s.Secret.Source}
		c.field(where.below("header"), "header", s.Secret.Header)
		c.secret(where.below("value"), "value", s.Secret.Value)
		if !isFieldValue(s.Secret.Value.Reveal()) {
			c.fault(where.below("value").pos(), "value has a line break, a control character, or white space at an end; a field cannot carry it: look at the end of the file or variable that it comes from")
		}
	}
	if s.ConnectTimeout > s.Timeout && a.below("connect_timeout").written() {
		c.warn(a.below("connect_timeout").pos(), "connect_timeout is %s, longer than timeout (%s), which ends it first", duration(s.ConnectTimeout), duration(s.Timeout))
	}
	if s.HeaderTimeout > s.Timeout {
		c.warn(a.below("header_timeout").pos(), "header_timeout is %s, longer than timeout (%s), which ends it first", duration(s.HeaderTimeout), duration(s.Timeout))
	}
	t := at{source: s.TLS.Source}
	if (s.TLS.CertFile == "") != (s.TLS.KeyFile == "") {
		missing, there := "key_file", "cert_file"
		if s.TLS.CertFile == "" {
			missing, there = there, missing
		}
		c.fault(t.below(there).pos(), "%s is set and %s is missing; a client certificate has both", there, missing)
	}
	if s.TLS.ServerName != "" && !isHost(s.TLS.ServerName) {
		c.bad(t.below("server_name"), "server_name", s.TLS.ServerName, "it should be a host name")
	}
	if len(s.Endpoints) > 0 && !tls && a.below("tls").written() {
		c.warn(a.below("tls").key(), "tls has no effect, since no endpoint is https")
	}
}

// field checks the name of a field that hopgate sets, adds or removes.
func (c *checker) field(a at, label, name string) {
	switch {
	case name == "":
	case !isToken(name):
		c.bad(a, label, name, "it should be a field's name such as X-User-Id")
	case isFraming(name):
		c.bad(a, label, name, "hopgate itself says how a message is transferred; it should be another field")
	}
}
