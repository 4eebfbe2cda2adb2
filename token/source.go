package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// source is where the text of a key set comes from.
type source interface {
	// read gives the text, and how long it stays fresh, 0 where that is not
	// said.
	read(ctx context.Context) (text []byte, fresh time.Duration, err error)
}

// maxDocument is the most bytes read of a key set or discovery document.
const maxDocument = 1 << 20

// fileSource is a file that is read anew each time.
type fileSource string

func (f fileSource) read(context.Context) ([]byte, time.Duration, error) {
	text, err := readFile(string(f))
	return text, 0, err
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return readBounded(file)
}

func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxDocument {
		return nil, fmt.Errorf("it has more than %d bytes", maxDocument)
	}
	return text, nil
}

// urlSource is the address of a key set.
type urlSource struct {
	client  *http.Client
	address string
}

func (u *urlSource) read(ctx context.Context) ([]byte, time.Duration, error) {
	return get(ctx, u.client, u.address)
}

// discoverySource is the address of a document that says where the key set is
// (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2).
type discoverySource struct {
	client  *http.Client
	address string
	issuer  string
}

func (d *discoverySource) read(ctx context.Context) ([]byte, time.Duration, error) {
	text, _, err := get(ctx, d.client, d.address)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the OpenID configuration: %w", err)
	}
	doc, err := decodeClaims(text)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the OpenID configuration: %w", err)
	}
	// Section 4.3: the issuer must be the one that was asked for, else one
	// tenant of a provider could pass for another.
	if iss, _ := doc["issuer"].(string); iss != d.issuer {
		return nil, 0, fmt.Errorf("the OpenID configuration is of issuer %.200q instead of %q", iss, d.issuer)
	}
	address, _ := doc["jwks_uri"].(string)
	if err := checkAddress(address); err != nil {
		return nil, 0, fmt.Errorf("jwks_uri of the OpenID configuration: %w", err)
	}
	if isLoopback(address) && !isLoopback(d.address) {
		// A provider elsewhere has no business with services of this machine.
		return nil, 0, errors.New("jwks_uri of the OpenID configuration: it is on this machine, and the configuration is not")
	}
	return get(ctx, d.client, address)
}

// get reads a document. Its errors hold no part of the document.
func get(ctx context.Context, client *http.Client, address string) ([]byte, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, errors.New("the address is not well-formed")
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("User-Agent", "hopgate")
	res, err := client.Do(req)
	if err != nil {
		var u *url.Error // it repeats the address, which may hold a credential
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, 0, fmt.Errorf("%s does not answer: %w", req.URL.Host, err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if 300 <= res.StatusCode && res.StatusCode < 400 {
		return nil, 0, fmt.Errorf("%s answers %d; redirects are not followed: write the final address", req.URL.Host, res.StatusCode)
	}
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answers %d", req.URL.Host, res.StatusCode)
	}
	text, err := readBounded(res.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the answer of %s: %w", req.URL.Host, err)
	}
	return text, freshness(res.Header), nil
}

// freshness gives how long an answer may be kept by its max-age (RFC 9111
// section 5.2.2.1), less its Age. It is 0 where nothing is said, and where
// the answer must not be kept, which key servers say out of habit: keys that
// could not be kept would verify nothing.
func freshness(h http.Header) time.Duration {
	var fresh time.Duration
	for d := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(n) * time.Second
			}
		}
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil && fresh > 0 {
		// What is used up already is still something that was said.
		fresh = max(fresh-time.Duration(age)*time.Second, 1)
	}
	return fresh
}

// checkAddress tells whether keys may be fetched from an address: by https,
// or by http from this machine. Whoever can change an unencrypted answer
// could put in keys of their own.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("it is no address; it should start with https://")
	case u.User != nil || u.Fragment != "":
		return errors.New("it has a user or a fragment; it should have neither")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("it is not encrypted; it should start with https://, or be http:// on a loopback address")
}

func isLoopback(address string) bool {
	u, err := url.Parse(address)
	return err == nil && loopback(u.Hostname())
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// maxHead is the most bytes of an answer's head.
const maxHead = 64 << 10

// newClient makes a client for a key set, which trusts roots, or the system's
// where they are nil. It follows no redirects, keeps no connections (the next
// fetch is minutes away), and goes by the proxy that the environment names.
func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHead,
		},
	}
}
