package upstream

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// authority is a certificate authority made for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate in PEM
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, cert: cert, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue makes a certificate for a name or address, valid until then.
func (a *authority) issue(name string, until time.Time) (cert tls.Certificate, certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(a.t, certFile, "CERTIFICATE", der)
	writePEM(a.t, keyFile, "PRIVATE KEY", keyDER)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile
}

// serveTLS is serve under TLS.
func serveTLS(t testing.TB, c *tls.Config, handle func(net.Conn, int)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, tls.NewListener(l, c), handle)
}

func (s *rawServer) secureURL() string { return "https://" + s.l.Addr().String() }

// trusting sets the authorities to trust.
func trusting(a *authority) func(*config.Upstream) {
	return func(u *config.Upstream) { u.TLS.CAFile = a.file }
}

func TestTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	good, certFile, keyFile := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	named, _, _ := a.issue("api.example.com", time.Now().Add(time.Hour))
	expired, _, _ := a.issue("127.0.0.1", time.Now().Add(-time.Hour))
	foreign, _, _ := other.issue("127.0.0.1", time.Now().Add(time.Hour))
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)

	for _, c := range []struct {
		name   string
		server *tls.Config
		change func(*config.Upstream)
		fails  string // part of the error; empty: works
	}{
		{name: "good", server: &tls.Config{Certificates: []tls.Certificate{good}}},
		{name: "1.2", server: &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}},
		{name: "1.1", server: &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, fails: "TLS"},
		{name: "server speaks h2 too", server: &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"h2", "http/1.1"}}},
		{name: "server speaks another protocol", server: &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"imap"}}, fails: "TLS"},
		{name: "other authority", server: &tls.Config{Certificates: []tls.Certificate{foreign}}, fails: "certificate"},
		{name: "expired", server: &tls.Config{Certificates: []tls.Certificate{expired}}, fails: "certificate"},
		{name: "other name", server: &tls.Config{Certificates: []tls.Certificate{named}}, fails: "certificate"},
		{name: "server_name", server: &tls.Config{Certificates: []tls.Certificate{named}}, change: func(u *config.Upstream) { u.TLS.ServerName = "api.example.com" }},
		{name: "other server_name", server: &tls.Config{Certificates: []tls.Certificate{good}}, change: func(u *config.Upstream) { u.TLS.ServerName = "api.example.com" }, fails: "certificate"},
		{name: "host does not change the name", server: &tls.Config{Certificates: []tls.Certificate{named}}, change: func(u *config.Upstream) { u.Host = "api.example.com" }, fails: "certificate"},
		{name: "client certificate", server: &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients},
			change: func(u *config.Upstream) { u.TLS.CertFile, u.TLS.KeyFile = certFile, keyFile }},
		{name: "no client certificate", server: &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}, fails: "TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serveTLS(t, c.server, answering(okAnswer))
			p := newPool(t, func(u *config.Upstream) {
				u.TLS.CAFile = a.file
				if c.change != nil {
					c.change(u)
				}
			}, s.secureURL())
			var r Response
			for range 3 {
				err := p.Do(context.Background(), get("/"), &r)
				if c.fails == "" {
					if err != nil || string(r.Body()) != "ok" {
						t.Fatalf("Do: %v, body %q", err, r.Body())
					}
					continue
				}
				if !errors.Is(err, ErrUnavailable) {
					t.Fatalf("Do: %v, want ErrUnavailable", err)
				}
				if c.fails == "certificate" && !strings.Contains(err.Error(), "certificate is not accepted") {
					t.Errorf("Do: %v, want it to say that the certificate is not accepted", err)
				}
			}
			r.Release()
			if c.fails == "" && s.connections() != 1 {
				t.Errorf("%d connections, want 1", s.connections())
			}
		})
	}
}

// TestTLSResumes makes a second connection cheaper than the first.
func TestTLSResumes(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	resumed := make(chan bool, 8)
	s := serveTLS(t, tlsConfig(cert), func(c net.Conn, _ int) {
		if _, _, err := readRequest(bufio.NewReader(c)); err == nil {
			resumed <- c.(*tls.Conn).ConnectionState().DidResume
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := newPool(t, trusting(a), s.secureURL())
	for i := range 2 {
		do(t, p, get("/"))
		if got := <-resumed; got != (i == 1) {
			t.Errorf("connection %d resumed: %v", i, got)
		}
	}
}

// TestTLSTruncation: without TLS's own end of data, an answer that ends with
// the connection may have been cut by anybody.
func TestTLSTruncation(t *testing.T) {
	a := newAuthority(t)
	cert, _, _ := a.issue("127.0.0.1", time.Now().Add(time.Hour))
	for _, orderly := range []bool{true, false} {
		s := serveTLS(t, tlsConfig(cert), func(c net.Conn, _ int) {
			if _, _, err := readRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nok")
				if !orderly {
					c.(*tls.Conn).NetConn().Close()
				}
			}
		})
		p := newPool(t, trusting(a), s.secureURL())
		q := get("/")
		q.MaxHold = 100
		var r Response
		err := p.Do(context.Background(), q, &r)
		if orderly && (err != nil || string(r.Body()) != "ok") {
			t.Errorf("orderly end: %v, body %q", err, r.Body())
		}
		if !orderly && !errors.Is(err, ErrUnavailable) {
			t.Errorf("cut off: %v, want ErrUnavailable", err)
		}
		r.Release()
	}
}

func tlsConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}
