package token

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hopgate/config"
)

// Real servers on the loopback interface. The clock of the verifiers stands
// still, so that nothing depends on how long a test takes.

// provider is an OpenID provider on the loopback interface.
type provider struct {
	*httptest.Server
	issuer   string // what the discovery document says; empty: its own address
	jwksURI  string
	jwks     []byte
	requests atomic.Int64
}

func newProvider(t *testing.T, tls bool, s *Signer) *provider {
	t.Helper()
	p := &provider{jwks: s.PublicJWKS()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.requests.Add(1)
		issuer, uri := p.issuer, p.jwksURI
		if issuer == "" {
			issuer = p.URL
		}
		if uri == "" {
			uri = p.URL + "/jwks"
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, uri)
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Error("credentials were sent")
		}
		w.Write(p.jwks)
	})
	mux.HandleFunc("GET /redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/jwks", http.StatusFound)
	})
	mux.HandleFunc("GET /huge", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"keys":[`))
		for range maxDocument / 1024 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1025))); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("GET /hang", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"keys":`))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /head", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 2*maxHead))
		w.Write(p.jwks)
	})
	p.Server = httptest.NewUnstartedServer(mux)
	p.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what is tested
	if tls {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *provider) caFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFetchFromServers(t *testing.T) {
	es := signer(t, "ES256")
	for name, c := range map[string]struct {
		tls   bool
		setup func(t *testing.T, p *provider, i *config.Issuer)
		text  string // of the fetch's error; empty: it works
	}{
		"url":              {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.JWKS.URL = p.URL + "/jwks" }, ""},
		"discovery":        {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.Issuer = p.URL }, ""},
		"https, ca_file":   {true, func(t *testing.T, p *provider, i *config.Issuer) { i.Issuer, i.JWKS.CAFile = p.URL, p.caFile(t) }, ""},
		"https, untrusted": {true, func(_ *testing.T, p *provider, i *config.Issuer) { i.JWKS.URL = p.URL + "/jwks" }, "certificate"},
		"http on a port of https": {true, func(_ *testing.T, p *provider, i *config.Issuer) {
			i.JWKS.URL = strings.Replace(p.URL, "https", "http", 1) + "/jwks"
		}, "400"},
		"issuer of another": {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.Issuer, p.issuer = p.URL, p.URL+"/" }, "is of issuer"},
		"jwks_uri not encrypted": {false, func(_ *testing.T, p *provider, i *config.Issuer) {
			i.Issuer, p.jwksURI = p.URL, "http://issuer.example.com/jwks"
		}, "not encrypted"},
		"jwks_uri of a file": {false, func(_ *testing.T, p *provider, i *config.Issuer) {
			i.Issuer, p.jwksURI = p.URL, "file:///etc/passwd"
		}, "no address"},
		"jwks_uri redirects": {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.Issuer, p.jwksURI = p.URL, p.URL+"/redirect" }, "redirect"},
		"redirect":           {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.JWKS.URL = p.URL + "/redirect" }, "redirect"},
		"not found":          {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.JWKS.URL = p.URL + "/nothing" }, "404"},
		"huge":               {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.JWKS.URL = p.URL + "/huge" }, "more than"},
		"huge head":          {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.JWKS.URL = p.URL + "/head" }, "header"},
		"hang": {false, func(_ *testing.T, p *provider, i *config.Issuer) {
			i.JWKS.URL, i.JWKS.Timeout = p.URL+"/hang", 50*time.Millisecond
		}, "deadline"},
		"down": {false, func(_ *testing.T, p *provider, i *config.Issuer) { i.JWKS.URL = p.URL + "/jwks?key=secret"; p.Close() }, "refused"},
		"empty set": {false, func(_ *testing.T, p *provider, i *config.Issuer) {
			i.JWKS.URL, p.jwks = p.URL+"/jwks", []byte(`{"keys":[]}`)
		}, "no key"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, c.tls, es)
			i := plainIssuer
			c.setup(t, p, &i)
			v := compile(t, map[string]config.Issuer{"main": i}, nil, at(testTime))
			t.Cleanup(func() { v.Retire(nil) })
			set := v.Set(nil)
			tok := sign(t, es, nil, goodClaims(map[string]any{"iss": i.Issuer}))
			who, _, err := v.Verify(context.Background(), set, tok)
			state := v.KeySets()[0]
			if c.text == "" {
				if err != nil || who.UserID != "alice" || state.Keys != 1 || !state.Fetched.Equal(testTime) {
					t.Fatalf("principal %v, error %v, state %+v", who, err, state)
				}
				return
			}
			if !errors.Is(err, ErrKeysUnavailable) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(waitForError(v), c.text) || strings.Contains(waitForError(v), "secret") {
				t.Errorf("state %q; want %q", waitForError(v), c.text)
			}
		})
	}
}

// waitForError gives the error of the fetch, which the caller that gave up on
// it may have outrun.
func waitForError(v *Verifier) string {
	k := v.issuers["main"].keys
	k.mu.Lock()
	f := k.flight
	k.mu.Unlock()
	if f != nil {
		<-f.done
	}
	return v.KeySets()[0].Error
}

func TestNothingIsFetchedToCompile(t *testing.T) {
	p := newProvider(t, false, signer(t, "ES256"))
	i := plainIssuer
	i.Issuer = p.URL
	v := compile(t, map[string]config.Issuer{"main": i}, nil, at(testTime))
	// Nor for tokens that are refused whatever the keys are.
	set := v.Set(nil)
	for _, tok := range []string{"", "a.b.c", sign(t, signer(t, "ES256"), nil, goodClaims(nil)), sign(t, signer(t, "ES256"), map[string]any{"alg": "none"}, goodClaims(map[string]any{"iss": p.URL}))} {
		if _, _, err := v.Verify(context.Background(), set, tok); err == nil || errors.Is(err, ErrKeysUnavailable) {
			t.Errorf("error %v", err)
		}
	}
	if n := p.requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestCheckAddress(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://issuer.example.com/jwks":       true,
		"https://issuer.example.com:8443/x?a=b": true,
		"http://127.0.0.1:8080/jwks":            true,
		"http://127.1.2.3/jwks":                 true,
		"http://[::1]:8080/jwks":                true,
		"http://localhost/jwks":                 true,
		"HTTPS://issuer.example.com/":           true,
		"http://issuer.example.com/jwks":        false,
		"http://127.0.0.1.evil.example/jwks":    false,
		"http://127.evil.example/jwks":          false,
		"http://localhost.evil.example/jwks":    false,
		"http://evil.localhost/jwks":            false,
		"http://0.0.0.0/jwks":                   false,
		"http://169.254.169.254/":               false,
		"https://user:pw@issuer.example.com/":   false,
		"https://issuer.example.com/#x":         false,
		"ftp://issuer.example.com/":             false,
		"file:///etc/passwd":                    false,
		"//issuer.example.com/":                 false,
		"issuer.example.com":                    false,
		"https:issuer.example.com":              false,
		"https://":                              false,
		"":                                      false,
		"http://127.0.0.1@evil.example/":        false,
		"https://issuer.example.com/\x7f":       false,
	} {
		if err := checkAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
