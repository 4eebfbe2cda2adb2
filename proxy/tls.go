package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"os"

	"hopgate/config"
	"hopgate/policy"
)

// compileTLS reads the certificates. Where neither they nor the settings
// changed, the previous configuration goes on, and with it the sessions that
// clients may resume.
func (s *Snapshot) compileTLS(cfg *config.Config, prev *Snapshot, errs *config.Errors) {
	t := cfg.Server.TLS
	if t == nil {
		return
	}
	faults := errs.Len()
	conf := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	sum := sha256.New()
	add := func(pos config.Position, certFile, keyFile string) {
		c, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			errs.Addf(pos, "the certificate cannot be used: %v; cert_file and key_file are PEM files that belong together", err)
			return
		}
		conf.Certificates = append(conf.Certificates, c)
		for _, der := range c.Certificate {
			sum.Write(der)
		}
	}
	add(t.Source.Pos("cert_file"), t.CertFile, t.KeyFile)
	for i, c := range t.Certificates {
		add(t.Source.Pos("certificates", i), c.CertFile, c.KeyFile)
	}
	if t.ClientCAFile != "" {
		pem, err := os.ReadFile(t.ClientCAFile)
		conf.ClientCAs = x509.NewCertPool()
		if err != nil || !conf.ClientCAs.AppendCertsFromPEM(pem) {
			errs.Addf(t.Source.Pos("client_ca_file"), "client_ca_file cannot be used: it should be a PEM file with certificates of authorities (%v)", err)
		}
		sum.Write(pem)
		clients := sha256.Sum256(append(pem, t.ClientAuth...))
		s.clientsText = hex.EncodeToString(clients[:])
		conf.ClientAuth = tls.VerifyClientCertIfGiven
		if t.ClientAuth == "require" {
			conf.ClientAuth = tls.RequireAndVerifyClientCert
		}
		sum.Write([]byte(t.ClientAuth))
	}
	if errs.Len() > faults {
		return
	}
	s.tlsText = hex.EncodeToString(sum.Sum(nil))
	s.tls = conf
	if prev.tls != nil && prev.tlsText == s.tlsText {
		s.tls = prev.tls
	}
}

// certificateOf gives the identity of a client certificate that the handshake
// verified, nil where there is none.
func certificateOf(state *tls.ConnectionState) *policy.Certificate {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	c := &policy.Certificate{Subject: leaf.Subject.String()}
	c.Names = append(append(c.Names, leaf.DNSNames...), leaf.EmailAddresses...)
	for _, u := range leaf.URIs {
		c.Names = append(c.Names, u.String())
	}
	sum := sha256.Sum256(leaf.Raw)
	c.Fingerprint = hex.EncodeToString(sum[:])
	return c
}

// clientsOf says whose certificates were accepted when a connection was made,
// for the comparison with those that are now.
func clientsOf(t *tls.Conn) string {
	if c, ok := t.NetConn().(*counted); ok {
		return c.clients
	}
	return ""
}

// outdated tells that the connection was made while other client
// certificates were accepted than now: what it knows of its client no longer
// counts, and only a new handshake can tell.
func (x *exchange) outdated() bool {
	return x.scheme == "https" && x.clients != x.snapshot.clientsText
}
