package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// edgeWorld is a world with settings of the listener and one open route.
func edgeWorld(t testing.TB, server string) *world {
	t.Helper()
	return newWorld(t, edgeSettings(server))
}

func edgeSettings(server string) string {
	return strings.Replace(settings(`
routes:
  - id: any
    match: {methods: [GET, POST], path: "/{rest...}"}
    anonymous: true
    upstream: backend
    max_body_bytes: 64MiB
`), `server: {listen: "127.0.0.1:0"}`, "server: {"+server+"}", 1)
}

const loopback = `listen: "127.0.0.1:0"`

const plainGet = "GET /x HTTP/1.1\r\nHost: gate.test\r\n\r\n"

// open opens a connection to the gate. It is closed when the test ends.
func (w *world) open() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// answerTo sends bytes and reads one answer; nil where the gate closes
// without one.
func answerTo(t testing.TB, c net.Conn, request string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		return nil
	}
	return nextAnswer(t, bufio.NewReader(c))
}

func nextAnswer(t testing.TB, r *bufio.Reader) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("a broken answer: %v", err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(b)))
	return resp
}

// silentEnd tells whether the gate closes a connection without a word.
func silentEnd(t testing.TB, c net.Conn) bool {
	t.Helper()
	b, err := io.ReadAll(c)
	if len(b) > 0 {
		t.Logf("the gate said %q", b)
	}
	return len(b) == 0 && !errors.Is(err, os.ErrDeadlineExceeded)
}

// proxyHeader makes a PROXY protocol header.
func proxyHeader(t testing.TB, version byte, command proxyproto.ProtocolVersionAndCommand, source, destination net.Addr) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, source, destination)
	h.Command = command
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProxyProtocol takes the client's address from the headers of listed
// peers, and from nobody else.
func TestProxyProtocol(t *testing.T) {
	four := &net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1234}
	six := &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 1234}
	here := &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 443}
	here6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 443}
	datagram := &net.UDPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1234}
	socket := &net.UnixAddr{Net: "unix", Name: "/x"}
	withTLV := func() string {
		h := proxyproto.HeaderProxyFromAddrs(2, four, here)
		if err := h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("gate.test")}}); err != nil {
			t.Fatal(err)
		}
		b, err := h.Format()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}()
	w := edgeWorld(t, loopback+`, proxy_protocol: 127.0.0.0/8`)
	for _, c := range []struct{ name, header, client string }{
		{"v1 IPv4", "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n", "192.0.2.7"},
		{"v1 IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 1234 443\r\n", "2001:db8::7"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"v2 IPv4", proxyHeader(t, 2, proxyproto.PROXY, four, here), "192.0.2.7"},
		{"v2 IPv6", proxyHeader(t, 2, proxyproto.PROXY, six, here6), "2001:db8::7"},
		{"v2 local", proxyHeader(t, 2, proxyproto.LOCAL, four, here), "127.0.0.1"},
		{"v2 with a TLV", withTLV, "192.0.2.7"},
		{"none", "", ""},
		{"v1 without ports", "PROXY TCP4 192.0.2.7 192.0.2.1\r\n", ""},
		{"v1 of another family", "PROXY TCP4 2001:db8::7 2001:db8::1 1234 443\r\n", ""},
		{"v1 with a name", "PROXY TCP4 localhost 192.0.2.1 1234 443\r\n", ""},
		{"v1 with a bare line feed", "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\n", ""},
		{"v1 too long", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", ""},
		{"v2 of datagrams", proxyHeader(t, 2, proxyproto.PROXY, datagram, &net.UDPAddr{IP: here.IP, Port: 443}), ""},
		{"v2 of a unix socket", proxyHeader(t, 2, proxyproto.PROXY, socket, socket), ""},
	} {
		before := w.backend.hits.Load()
		conn := w.open()
		resp := answerTo(t, conn, c.header+plainGet)
		if c.client == "" {
			if resp != nil || w.backend.hits.Load() != before {
				t.Errorf("%s: answered %v", c.name, resp)
			}
			continue
		}
		if resp == nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v", c.name, resp)
			continue
		}
		if got := w.backend.last(t).header.Get("X-Forwarded-For"); got != c.client {
			t.Errorf("%s: the client is %q", c.name, got)
		}
	}
	// Byte by byte.
	conn := w.open()
	for _, b := range []byte(withTLV) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if resp := answerTo(t, conn, plainGet); resp == nil || resp.StatusCode != 200 {
		t.Errorf("byte by byte: %v", resp)
	}
	// A second header is part of the first request, which it spoils.
	if resp := answerTo(t, w.open(), withTLV+"PROXY TCP4 198.51.100.1 192.0.2.1 1 2\r\n"+plainGet); resp == nil || resp.StatusCode != 400 {
		t.Errorf("a second header: %v", resp)
	}
	if log := w.logged(); strings.Count(log, `"client_ip":"192.0.2.7"`) < 3 || strings.Count(log, `"client_ip":"2001:db8::7"`) != 2 || strings.Contains(log, "198.51.100.1") {
		t.Errorf("log:\n%s", log)
	}

	// Peers that are not listed are clients.
	w = edgeWorld(t, loopback+`, proxy_protocol: 10.0.0.0/8, trusted_proxies: [10.0.0.0/8]`)
	if resp := answerTo(t, w.open(), plainGet); resp == nil || resp.StatusCode != 200 {
		t.Errorf("without a header: %v", resp)
	}
	for _, h := range []string{"PROXY TCP4 10.0.0.1 192.0.2.1 1234 443\r\n", proxyHeader(t, 2, proxyproto.PROXY, four, here)} {
		if resp := answerTo(t, w.open(), h+plainGet); resp == nil || resp.StatusCode != 400 {
			t.Errorf("%q from a peer that is not listed: %v", h, resp)
		}
	}
	if n := w.backend.hits.Load(); n != 1 {
		t.Errorf("%d requests reached the backend", n)
	}
}

// TestConnectionLimits refuses connections beyond the limits and frees the
// place of each that ends.
func TestConnectionLimits(t *testing.T) {
	t.Run("in all", func(t *testing.T) {
		w := edgeWorld(t, loopback+`, max_connections: 2`)
		one, two := w.open(), w.open()
		for _, c := range []net.Conn{one, two} {
			if resp := answerTo(t, c, plainGet); resp == nil || resp.StatusCode != 200 {
				t.Fatalf("within the limit: %v", resp)
			}
		}
		if !silentEnd(t, w.open()) {
			t.Error("a third connection is open")
		}
		_ = one.Close()
		eventually(t, "a place is free", func() bool { return w.server.Connections() == 1 })
		if resp := answerTo(t, w.open(), plainGet); resp == nil || resp.StatusCode != 200 {
			t.Errorf("after one has ended: %v", resp)
		}
	})
	t.Run("per address", func(t *testing.T) {
		w := edgeWorld(t, loopback+`, max_connections_per_address: 1, proxy_protocol: 127.0.0.1`)
		header := func(ip string) string {
			return proxyHeader(t, 2, proxyproto.PROXY, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}, &net.TCPAddr{IP: net.ParseIP(ip), Port: 2})
		}
		for _, c := range []struct {
			ip   string
			open bool
		}{
			{"192.0.2.7", true}, {"192.0.2.7", false}, {"192.0.2.8", true},
			{"2001:db8::1", true}, {"2001:db8::ffff", false}, {"2001:db8:0:1::1", true},
		} {
			if resp := answerTo(t, w.open(), header(c.ip)+plainGet); (resp != nil) != c.open {
				t.Errorf("%s: %v", c.ip, resp)
			}
		}
	})
	t.Run("by the peer", func(t *testing.T) {
		w := edgeWorld(t, loopback+`, max_connections_per_address: 1`)
		first := w.open()
		if resp := answerTo(t, first, plainGet); resp == nil {
			t.Fatal("the first is refused")
		}
		if !silentEnd(t, w.open()) {
			t.Error("a second is open")
		}
		_ = first.Close()
		eventually(t, "forgotten", func() bool { return w.server.Connections() == 0 && len(w.server.counted.by) == 0 })
	})
	t.Run("greeting", func(t *testing.T) {
		n := counter{most: 1, by: map[netip.Addr]int{}}
		for range minGreeting {
			if !n.greet() {
				t.Fatal("refused within the bound")
			}
		}
		if n.greet() {
			t.Error("no bound for connections that are not yet known")
		}
		n.greeted()
		if !n.greet() {
			t.Error("a place that became free is not given")
		}
	})
}

// TestPriorKnowledge serves HTTP/2 on a clear port only where that is on.
func TestPriorKnowledge(t *testing.T) {
	const begin = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	w := edgeWorld(t, loopback+`, h2c: true`)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	two := &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: 10 * time.Second}
	t.Cleanup(two.CloseIdleConnections)
	resp, err := two.Get(w.url + "/x")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || resp.Proto != "HTTP/2.0" {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
	if resp := answerTo(t, w.open(), plainGet); resp == nil || resp.StatusCode != 200 || resp.ProtoMajor != 1 {
		t.Errorf("HTTP/1.1 beside it: %v", resp)
	}
	// The preface in pieces, and what only begins like it.
	c := w.open()
	for _, b := range []byte(begin) {
		_, _ = c.Write([]byte{b})
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(c, head); err != nil || head[3] != 4 {
		t.Errorf("after the preface: % x, %v", head, err)
	}
	for _, raw := range []string{"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", "PRI * HTTP/1.1\r\nHost: gate.test\r\n\r\n", "P / HTTP/2.0\r\n\r\n"} {
		if resp := answerTo(t, w.open(), raw); resp == nil || resp.StatusCode != 400 || !resp.Close {
			t.Errorf("%q: %v", raw, resp)
		}
	}

	w = edgeWorld(t, loopback)
	c = w.open()
	_, _ = io.WriteString(c, begin)
	b, _ := io.ReadAll(c)
	if s := string(b); !strings.HasPrefix(s, "HTTP/1.1 400 ") || !strings.Contains(s, `"reason":"request_malformed"`) || strings.Count(s, "HTTP/1.1") != 1 {
		t.Errorf("the preface without h2c: %q", s)
	}
	if n := w.backend.hits.Load(); n != 0 {
		t.Errorf("%d requests reached the backend", n)
	}
}

// handshake opens a TLS connection and makes one request on it.
func (w *world) handshake(conf *tls.Config) (tls.ConnectionState, int, error) {
	w.t.Helper()
	c := tls.Client(w.open(), conf)
	if err := c.Handshake(); err != nil {
		return tls.ConnectionState{}, 0, err
	}
	resp := answerTo(w.t, c, plainGet)
	if resp == nil {
		return c.ConnectionState(), 0, io.ErrUnexpectedEOF
	}
	return c.ConnectionState(), resp.StatusCode, nil
}

func tlsSettings(c *testCertificate, more string) string {
	return fmt.Sprintf("%s, tls: {cert_file: %s, key_file: %s%s}", loopback, c.certFile, c.keyFile, more)
}

// TestServerNames chooses the certificate by the name that the client asks
// for.
func TestServerNames(t *testing.T) {
	first, second := certificateFor(t, t.TempDir(), "first.test"), certificateFor(t, t.TempDir(), "second.test")
	third := certificateFor(t, t.TempDir(), "*.third.test")
	w := edgeWorld(t, tlsSettings(first, fmt.Sprintf(", certificates: [{cert_file: %s, key_file: %s}, {cert_file: %s, key_file: %s}]",
		second.certFile, second.keyFile, third.certFile, third.keyFile)))
	for asked, want := range map[string]*testCertificate{
		"first.test": first, "second.test": second, "SECOND.test": second, "a.third.test": third, "a.b.third.test": first, "other.test": first, "": first,
	} {
		state, status, err := w.handshake(&tls.Config{ServerName: asked, InsecureSkipVerify: true})
		if err != nil || status != 200 {
			t.Fatalf("%q: %d, %v", asked, status, err)
		}
		if got := state.PeerCertificates[0]; string(got.Raw) != string(want.pair.Certificate[0]) {
			t.Errorf("%q gets the certificate of %v", asked, got.DNSNames)
		}
	}
	if _, _, err := w.handshake(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if state, _, err := w.handshake(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2: %v", err)
	}
	// HTTP without TLS is no handshake, and gets none of the backend.
	if resp := answerTo(t, w.open(), plainGet); resp != nil && resp.StatusCode == 200 {
		t.Errorf("clear HTTP on the port of TLS: %v", resp)
	}
}

// TestCertificateReload puts another certificate into force: for new
// handshakes, and for clients that would resume a session of the old one.
func TestCertificateReload(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		dir := t.TempDir()
		old := certificateFor(t, dir, "gate.test")
		text := edgeSettings(tlsSettings(old, ""))
		w := newWorld(t, text)
		sessions := tls.NewLRUClientSessionCache(8)
		conf := &tls.Config{ServerName: "gate.test", RootCAs: old.pool, ClientSessionCache: sessions, MaxVersion: version}
		open := tls.Client(w.open(), conf)
		if resp := answerTo(t, open, plainGet); resp == nil || resp.StatusCode != 200 {
			t.Fatalf("%v", resp)
		}
		if state, _, err := w.handshake(conf); err != nil || !state.DidResume {
			t.Fatalf("a second handshake: resumed %v, %v", state.DidResume, err)
		}
		// The same files: sessions go on.
		w.publish(context.Background(), text)
		if state, _, err := w.handshake(conf); err != nil || !state.DidResume {
			t.Errorf("after a reload that changed nothing: resumed %v, %v", state.DidResume, err)
		}
		fresh := certificateFor(t, dir, "gate.test")
		w.publish(context.Background(), text)
		both := x509.NewCertPool()
		for _, c := range []*testCertificate{old, fresh} {
			leaf, err := x509.ParseCertificate(c.pair.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			both.AddCert(leaf)
		}
		conf = conf.Clone()
		conf.RootCAs = both
		state, status, err := w.handshake(conf)
		if err != nil || status != 200 || state.DidResume || string(state.PeerCertificates[0].Raw) != string(fresh.pair.Certificate[0]) {
			t.Errorf("after the change: %d, resumed %v, %v", status, state.DidResume, err)
		}
		if state, _, err := w.handshake(conf); err != nil || !state.DidResume {
			t.Errorf("sessions of the new certificate: resumed %v, %v", state.DidResume, err)
		}
		// Connections that were open stay so.
		if resp := answerTo(t, open, plainGet); resp == nil || resp.StatusCode != 200 {
			t.Errorf("the open connection: %v", resp)
		}
	}
}

// TestClientCertificates asks clients for certificates.
func TestClientCertificates(t *testing.T) {
	server, good, bad := certificateFor(t, t.TempDir(), "gate.test"), certificateFor(t, t.TempDir(), "client.test"), certificateFor(t, t.TempDir(), "client.test")
	for _, c := range []struct {
		auth                  string
		none, right, stranger bool
	}{{"optional", true, true, false}, {"require", false, true, false}} {
		w := edgeWorld(t, tlsSettings(server, fmt.Sprintf(", client_ca_file: %s, client_auth: %s", good.certFile, c.auth)))
		for name, try := range map[string]struct {
			pair []tls.Certificate
			in   bool
		}{"none": {nil, c.none}, "right": {[]tls.Certificate{good.pair}, c.right}, "stranger": {[]tls.Certificate{bad.pair}, c.stranger}} {
			// A client sends one that no authority of the server made only if told to.
			conf := &tls.Config{ServerName: "gate.test", RootCAs: server.pool}
			if try.pair != nil {
				conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &try.pair[0], nil }
			}
			if _, status, err := w.handshake(conf); (err == nil && status == 200) != try.in {
				t.Errorf("%s, %s: %d, %v", c.auth, name, status, err)
			}
		}
	}
	if errs := compileFaults(t, edgeSettings(tlsSettings(server, ", client_ca_file: "+server.keyFile))); !strings.Contains(errs, "client_ca_file cannot be used") {
		t.Errorf("a key for an authority: %s", errs)
	}
}

// TestUnixSocket serves on a socket that a killed process left, for the
// owner and the group only.
func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "gate") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "gate.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	w := edgeWorld(t, `listen: "unix:`+path+`"`)
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if resp := answerTo(t, c, plainGet); resp == nil || resp.StatusCode != 200 {
			t.Fatalf("%v", resp)
		}
	}
	if got := w.backend.last(t).header; got.Get("X-Forwarded-For") != "unknown" {
		t.Errorf("the client's address is %q", got.Get("X-Forwarded-For"))
	}
	if _, err := Listen("unix:"+path, false); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second listener: %v", err)
	}
}

// TestBothFamilies listens on IPv4 and IPv6 where no address is given.
func TestBothFamilies(t *testing.T) {
	w := edgeWorld(t, `listen: ":0"`)
	_, port, err := net.SplitHostPort(w.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			if ip == "::1" {
				t.Skipf("no IPv6 here: %v", err)
			}
			t.Fatal(err)
		}
		defer c.Close()
		if resp := answerTo(t, c, plainGet); resp == nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v", ip, resp)
		}
		if got := w.backend.last(t).header.Get("X-Forwarded-For"); got != ip {
			t.Errorf("over %s the client is %q", ip, got)
		}
	}
}

// TestSilentClients keeps connections open that say nothing, or not all.
func TestSilentClients(t *testing.T) {
	cert := certificateFor(t, t.TempDir(), "gate.test")
	header := "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n"
	for name, c := range map[string]struct{ server, partial, before string }{
		"TLS":              {tlsSettings(cert, ""), "\x16\x03\x01\x02", ""},
		"PROXY":            {loopback + ", proxy_protocol: 127.0.0.1", "PROXY TCP4 19", header},
		"PROXY and TLS":    {tlsSettings(cert, "") + ", proxy_protocol: 127.0.0.1", header, header},
		"h2c":              {loopback + ", h2c: true", "PRI * HT", ""},
		"clear":            {loopback, "GET /x HTT", ""},
		"PROXY and no TLS": {loopback + ", h2c: true, proxy_protocol: 127.0.0.1", header + "PRI", header},
	} {
		t.Run(name, func(t *testing.T) {
			w := edgeWorld(t, c.server)
			for i := range 60 {
				silent := w.open()
				if i%2 == 0 {
					_, _ = io.WriteString(silent, c.partial)
				}
			}
			started := time.Now()
			conn := w.open()
			_, _ = io.WriteString(conn, c.before)
			if strings.Contains(c.server, "tls:") {
				conn = tls.Client(conn, &tls.Config{ServerName: "gate.test", RootCAs: cert.pool})
			}
			if resp := answerTo(t, conn, plainGet); resp == nil || resp.StatusCode != 200 {
				t.Fatalf("%v", resp)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("a client that speaks waited %v for those that do not", took)
			}
		})
	}
}
