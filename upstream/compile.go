package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"hopgate/config"
)

// settings are what a pool was compiled from, to be compared with a later
// configuration: the configuration without its places in the file, and the
// contents of the files it names.
type settings struct {
	config  config.Upstream
	ca      []byte
	cert    []byte
	key     []byte
	idle    time.Duration
	connect time.Duration
	header  time.Duration
	timeout time.Duration

	maxConns int
	attempts int
	budget   float64
}

// Compile makes the pool of an upstream. It reads the files that the
// configuration names, connects to nothing and starts nothing. Faults are
// added to errs; a pool with faults must not be used.
//
// Where neither the configuration nor a file changed since prev was
// compiled, prev itself is given back with all its connections. Otherwise
// the caller closes prev once the new pool is in use. prev may be nil.
func Compile(name string, u config.Upstream, prev *Pool, o Options, errs *config.Errors) *Pool {
	k := compiler{u: u, errs: errs}
	s := k.settings()
	if prev != nil && reflect.DeepEqual(prev.settings, s) {
		return prev
	}
	p := &Pool{
		name: name, settings: s, now: readClock, sameClock: o.Now == nil,
		multiplexed: u.Protocol == "h2" || u.Protocol == "h2c",
	}
	if o.Now != nil {
		first := o.Now()
		p.now = func() moment { return 1 + moment(o.Now().Sub(first)) }
	}
	fields := ""
	if f := u.Secret; f != nil && k.checkSecret() {
		p.secret, p.credential = f.Header, f.Value.Reveal()
		fields = f.Header + ": " + f.Value.Reveal() + "\r\n"
	}
	shared := k.tls(s)
	seen := make(map[string]int)
	for i, text := range u.Endpoints {
		e, ok := k.endpoint(i, text, fields, shared)
		if !ok {
			continue
		}
		if first, twice := seen[e.text]; twice {
			errs.Addf(u.Source.Pos("endpoints", i), "endpoint %q stands at position %d already; name each address once", text, first+1)
			continue
		}
		seen[e.text] = i
		if p.multiplexed {
			e.carrier = carrier(e, s)
		}
		p.endpoints = append(p.endpoints, e)
	}
	if len(u.Endpoints) == 0 {
		errs.Addf(u.Source.Pos("endpoints"), "an upstream needs at least one endpoint, for example https://api.example.com")
	}
	return p
}

// compiler compiles one upstream.
type compiler struct {
	u    config.Upstream
	errs *config.Errors
}

// settings reads the plain values and files. What is 0 has its default, so
// that a configuration made by hand works too.
func (k *compiler) settings() settings {
	u := k.u
	s := settings{
		config:   u,
		timeout:  k.duration("timeout", u.Timeout, 5*time.Second),
		connect:  k.duration("connect_timeout", u.ConnectTimeout, time.Second),
		idle:     k.duration("idle_timeout", u.IdleTimeout, 30*time.Second),
		header:   k.duration("header_timeout", u.HeaderTimeout, 0),
		maxConns: k.count(u.MaxConnections, 512, "max_connections"),
		attempts: k.count(u.Retry.Attempts, 1, "retry", "attempts"),
		budget:   u.Retry.Budget,
	}
	if !(u.Retry.Budget >= 0 && u.Retry.Budget <= 1) {
		k.errs.Addf(u.Source.Pos("retry", "budget"), "budget %v is no share; it is between 0 (no retries) and 1", u.Retry.Budget)
	}
	s.ca = k.file("ca_file", u.TLS.CAFile)
	s.cert = k.file("cert_file", u.TLS.CertFile)
	s.key = k.file("key_file", u.TLS.KeyFile)

	s.config.Source, s.config.TLS.Source = config.Source{}, config.Source{}
	if u.Secret != nil {
		secret := *u.Secret
		secret.Source = config.Source{}
		s.config.Secret = &secret
	}
	return s
}

func (k *compiler) duration(name string, d, otherwise time.Duration) time.Duration {
	if d < 0 {
		k.errs.Addf(k.u.Source.Pos(name), "%s %v is negative; write a duration such as 5s", name, d)
	}
	if d <= 0 {
		return otherwise
	}
	return d
}

func (k *compiler) count(n, otherwise int, path ...any) int {
	if n < 0 {
		k.errs.Addf(k.u.Source.Pos(path...), "%v %d is negative; it is at least 1", path[len(path)-1], n)
	}
	if n <= 0 {
		return otherwise
	}
	return n
}

func (k *compiler) file(key, name string) []byte {
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		k.errs.Addf(k.u.Source.Pos("tls", key), "%s cannot be read: %v; it is the name of a PEM file", key, err)
		return nil
	}
	return data
}

// tls makes what the endpoints' TLS settings have in common. Verification
// cannot be turned off.
func (k *compiler) tls(s settings) *tls.Config {
	u := k.u
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		ServerName:         u.TLS.ServerName,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	if s.ca != nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(s.ca) {
			k.errs.Addf(u.Source.Pos("tls", "ca_file"), "%q has no certificate that can be read; it is a PEM file of certificate authorities", u.TLS.CAFile)
		}
	}
	switch {
	case (u.TLS.CertFile == "") != (u.TLS.KeyFile == ""):
		k.errs.Addf(u.Source.Pos("tls"), "cert_file and key_file belong together; set both or neither")
	case s.cert != nil && s.key != nil:
		pair, err := tls.X509KeyPair(s.cert, s.key)
		if err != nil {
			k.errs.Addf(u.Source.Pos("tls", "cert_file"), "the client certificate cannot be used: %v; cert_file and key_file are PEM files that belong together", err)
			break
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// checkSecret refuses a secret that is no field of its own.
func (k *compiler) checkSecret() bool {
	f := k.u.Secret
	value := []byte(f.Value.Reveal())
	pos := k.u.Source.Pos("secret", "header")
	switch {
	case !isToken(f.Header):
		k.errs.Addf(pos, "secret header %q is no field name; it is a name such as Authorization", f.Header)
	case ownField(f.Header):
		k.errs.Addf(pos, "secret header %q frames the message or belongs to the connection; use a field such as Authorization", f.Header)
	case len(value) == 0:
		k.errs.Addf(k.u.Source.Pos("secret", "value"), "the secret is empty; set the variable or file that it comes from")
	case hasControl(value) || len(trimOWS(value)) != len(value):
		k.errs.Addf(k.u.Source.Pos("secret", "value"), "the secret has a control character, such as a line's end, or white space at an end; a field value has neither")
	default:
		return true
	}
	return false
}

// endpoint reads one address: https://host[:port][/path], http://… or
// unix:/path.
func (k *compiler) endpoint(i int, text, fields string, shared *tls.Config) (*endpoint, bool) {
	fault := func(what string) (*endpoint, bool) {
		k.errs.Addf(k.u.Source.Pos("endpoints", i), "endpoint %q %s", text, what)
		return nil, false
	}
	e := &endpoint{text: text}
	host := "localhost"
	if path, found := strings.CutPrefix(text, "unix:"); found {
		if !filepath.IsAbs(path) {
			return fault("is no absolute path; write unix:/path/to/socket")
		}
		e.network, e.address = "unix", path
	} else {
		scheme, rest, _ := strings.Cut(text, "://")
		authority, prefix := rest, ""
		if at := strings.IndexByte(rest, '/'); at >= 0 {
			authority, prefix = rest[:at], rest[at:]
		}
		if scheme != "http" && scheme != "https" {
			return fault("has no scheme that is known; write https://host, http://host or unix:/path")
		}
		parsed, err := url.Parse(scheme + "://" + authority)
		if err != nil || parsed.Host != authority || parsed.User != nil || !validHost(authority) {
			return fault("has no host that is valid; write https://host[:port], without user, query or fragment")
		}
		e.prefix = strings.TrimRight(prefix, "/")
		if strings.ContainsAny(prefix, "?#") || !validPath(e.prefix) {
			return fault("has a path that is not valid; write https://host/path without query, fragment, empty or dot segments, with %XX for what a path cannot have")
		}
		port := parsed.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[scheme]
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fault("has no port that is valid; it is a number from 1 to 65535")
		}
		host = authority
		e.network, e.address = "tcp", joinHostPort(parsed.Hostname(), port)
		if scheme == "https" {
			e.tls = shared.Clone()
			if e.tls.ServerName == "" {
				e.tls.ServerName = parsed.Hostname()
			}
		}
	}
	if h := k.u.Host; h != "" {
		if !validHost(h) {
			k.errs.Addf(k.u.Source.Pos("host"), "host %q is no host[:port]", h)
		}
		host = h
	}
	switch {
	case k.u.Protocol == "h2" && e.tls == nil:
		return fault("is in the clear, and the protocol is h2; write https://host, or the protocol h2c")
	case k.u.Protocol == "h2c" && e.tls != nil:
		return fault("is one of TLS, and the protocol is h2c; write http://host or unix:/path, or the protocol h2")
	}
	e.host = host
	e.fields = "Host: " + host + "\r\n" + fields
	return e, true
}

func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}

// validHost accepts host[:port] with a name of letters, digits, hyphens,
// underscores and dots, or an address.
func validHost(authority string) bool {
	host, port := authority, ""
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return false
		}
		a, err := netip.ParseAddr(authority[1:end])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		host, port = "v6", authority[end+1:]
	} else if at := strings.IndexByte(authority, ':'); at >= 0 {
		host, port = authority[:at], authority[at:]
	}
	if port != "" {
		if len(port) < 2 || port[0] != ':' || strings.Trim(port[1:], "0123456789") != "" {
			return false
		}
	}
	for i := range len(host) {
		c := host[i] | 0x20
		switch {
		case 'a' <= c && c <= 'z', digit(host[i]), host[i] == '-', host[i] == '.', host[i] == '_':
		default:
			return false
		}
	}
	return host != ""
}

// validPath accepts an absolute path in canonical form, or none.
func validPath(p string) bool {
	if p == "" {
		return true
	}
	for segment := range strings.SplitSeq(p[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	for i := range len(p) {
		c := p[i]
		switch {
		case c == '%':
			if i+2 >= len(p) {
				return false
			}
			_, a := unhex(p[i+1])
			_, b := unhex(p[i+2])
			if !a || !b {
				return false
			}
		case digit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || bytes.IndexByte([]byte("/-._~!$&'()*+,;=:@"), c) >= 0:
		default:
			return false
		}
	}
	return true
}
