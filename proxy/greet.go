package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
)

// greetTimeout bounds how long a new connection may take until it is clear
// what it speaks, its PROXY protocol header, its TLS handshake and its first
// bytes together, where the time for a request is not shorter.
const greetTimeout = 10 * time.Second

// greet finds out who is at the other end and what it speaks, and hands the
// connection to the transport for it.
func (s *Server) greet(c net.Conn, withTLS bool, one, two *handoff) {
	timeout := greetTimeout
	if s.options.ReadTimeout > 0 {
		timeout = min(timeout, s.options.ReadTimeout)
	}
	until := time.Now().Add(timeout)
	_ = c.SetDeadline(until)
	address := addrPort(c.RemoteAddr()).Addr()
	if trusts(s.options.ProxyProtocol, address) {
		p := proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(timeout))
		// It sets the deadline that it knows of once it has read the header.
		_ = p.SetDeadline(until)
		header := p.ProxyHeader()
		address = addrPort(p.RemoteAddr()).Addr()
		if header == nil || !address.IsValid() {
			// A proxy that should have sent one and did not must not be
			// taken for the client, nor may a client have no address.
			s.counted.refused.Add(1)
			_ = c.Close()
			return
		}
		c = &proxied{Conn: p, raw: c}
	}
	known := s.counted.admit(c, address)
	if known == nil {
		return
	}
	switch {
	case withTLS:
		s.handshake(known, one, two)
	case s.options.H2C:
		p := &prefixed{counted: known}
		isTwo, err := p.speaksHTTP2()
		if err != nil {
			_ = known.Close()
			return
		}
		_ = known.SetDeadline(time.Time{})
		if isTwo {
			two.give(p)
		} else {
			one.give(p)
		}
	default:
		_ = known.SetDeadline(time.Time{})
		one.give(known)
	}
}

// handshake does the TLS handshake and hands the connection to the transport
// that was agreed on.
func (s *Server) handshake(c *counted, one, two *handoff) {
	c.clients = s.gate.current.Load().clientsText
	t := tls.Server(c, s.tlsConfig())
	if err := t.Handshake(); err != nil {
		_ = c.Close()
		return
	}
	_ = t.SetDeadline(time.Time{})
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		two.give(t)
	} else {
		one.give(t)
	}
}

// tlsConfig gives the settings of a handshake: those of the configuration
// in force. Session tickets belong to one configuration's certificates, so
// that a session is never resumed under a certificate that has gone.
func (s *Server) tlsConfig() *tls.Config {
	if c := s.gate.current.Load().tls; c != nil {
		return c
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errors.New("no certificate is configured")
		},
	}
}

// proxied is a connection behind a PROXY protocol header.
type proxied struct {
	*proxyproto.Conn
	raw net.Conn
}

// NetConn gives the connection to the proxy.
func (p *proxied) NetConn() net.Conn { return p.raw }

// CloseWrite closes one half of the connection.
func (p *proxied) CloseWrite() error {
	if half, ok := p.raw.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}

// preface is what a client of HTTP/2 sends first (RFC 9113 section 3.4).
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// prefixed is a connection whose first bytes were looked at.
type prefixed struct {
	*counted
	seen []byte
}

// speaksHTTP2 reads as much as is needed to tell a client of HTTP/2 from one
// of HTTP/1.1.
func (p *prefixed) speaksHTTP2() (bool, error) {
	buf := make([]byte, 0, len(preface))
	for len(buf) < len(preface) {
		n, err := p.counted.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		p.seen = buf
		if !bytes.HasPrefix(preface, buf) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// Read implements net.Conn.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.seen) > 0 {
		n := copy(b, p.seen)
		if p.seen = p.seen[n:]; len(p.seen) == 0 {
			p.seen = nil
		}
		return n, nil
	}
	return p.counted.Read(b)
}
