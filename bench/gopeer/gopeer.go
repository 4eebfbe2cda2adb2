// Package gopeer is what a Go team would write in a day: net/http's
// ReverseProxy behind a handler that verifies the token with golang-jwt and
// compares a claim with the path. It is one of the comparison's peers.
package gopeer

import (
	"crypto"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Config is what the peer is told.
type Config struct {
	Listen   string
	Origin   string // URL
	Issuer   string
	Audience string
	Alg      string
	Key      crypto.PublicKey
	Secret   string // sent to the origin as X-Backend-Key
}

// Serve serves until the process ends.
func Serve(c Config) error {
	origin, err := url.Parse(c.Origin)
	if err != nil {
		return fmt.Errorf("can't read the origin's address: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(origin)
			r.SetXForwarded()
			r.Out.Header.Del("Authorization")
			r.Out.Header.Set("X-Backend-Key", c.Secret)
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			MaxIdleConns:        512,
			MaxIdleConnsPerHost: 512,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{c.Alg}),
		jwt.WithIssuer(c.Issuer),
		jwt.WithAudience(c.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(5*time.Second))
	key := func(*jwt.Token) (any, error) { return c.Key, nil }

	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/users/{user_id}", func(w http.ResponseWriter, r *http.Request) {
		bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		var claims jwt.RegisteredClaims
		if _, err := parser.ParseWithClaims(bearer, &claims, key); err != nil {
			http.Error(w, "token refused", http.StatusUnauthorized)
			return
		}
		if claims.Subject != r.PathValue("user_id") {
			http.Error(w, "not yours", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	server := &http.Server{Addr: c.Listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	slog.Info("serving", "address", c.Listen)
	return server.ListenAndServe()
}
