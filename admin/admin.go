// Package admin is hopgate's control plane on a listener of its own, which
// belongs on no public network: health, metrics, the effective configuration,
// and the cache, which can be looked into and purged. Nothing else can be
// changed here. No secret is ever given to it; a token comes in with a question
// about a request, and is neither kept nor shown.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Options are what the control plane shows. The functions are called
// concurrently, once per request. Where one is nil its path is 404, but
// /livez and /readyz are always there.
type Options struct {
	// Ready tells whether traffic should come, and if not why, in a few
	// words each: keys not yet fetched, draining. Nil is always ready.
	Ready func() (ready bool, reasons []string)

	// Config gives the effective configuration as YAML, secrets masked.
	Config func() []byte

	// Metrics answers /metrics.
	Metrics http.Handler

	// Info gives what /info shows as JSON: version, generation, the state of
	// the key sets.
	Info func() any

	// Cache gives what GET /cache shows as JSON.
	Cache func() any

	// Inspect answers POST /cache/inspect as JSON. An error is the asker's
	// fault.
	Inspect func(context.Context, InspectRequest) (any, error)

	// Purge does what POST /purge asks for before it returns. An error is
	// the asker's fault, and nothing was purged.
	Purge func(PurgeRequest) error

	// Log takes what goes wrong on the listener; nil is slog's default.
	Log *slog.Logger
}

// Server is the control plane. Make it with New.
type Server struct {
	options Options
	pages   map[string]page
	http    *http.Server
}

// page is what a path has: serve answers GET and HEAD, or post answers POST.
type page struct {
	about string
	serve http.HandlerFunc
	post  http.HandlerFunc
}

// order is that of the list of pages.
var order = []string{"/livez", "/readyz", "/metrics", "/config", "/info", "/cache", "/cache/inspect", "/purge"}

// New makes a control plane. It serves nothing before Serve.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{options: o}
	s.pages = map[string]page{
		"/":       {about: "this list", serve: s.index},
		"/livez":  {about: "200 while the process is alive", serve: s.livez},
		"/readyz": {about: "200 while traffic should come, else 503 and why", serve: s.readyz},
	}
	if o.Metrics != nil {
		s.pages["/metrics"] = page{about: "Prometheus metrics", serve: o.Metrics.ServeHTTP}
	}
	if o.Config != nil {
		s.pages["/config"] = page{about: "the effective configuration, secrets masked", serve: s.config}
	}
	if o.Info != nil {
		s.pages["/info"] = page{about: "version, generation and key sets", serve: s.info}
	}
	if o.Cache != nil {
		s.pages["/cache"] = page{about: "what the cache holds, by route", serve: s.cache}
	}
	if o.Inspect != nil {
		s.pages["/cache/inspect"] = page{about: "POST: what the cache has for a request", post: s.inspect}
	}
	if o.Purge != nil {
		s.pages["/purge"] = page{about: "POST: forget cached answers", post: s.purge}
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second, // a scrape of many routes is large
		IdleTimeout:       2 * time.Minute,  // longer than the usual scrape interval
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers on ln until Shutdown, which makes it return nil.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown closes the listener and waits for open requests until ctx is
// done. Call it last, so that probes see a gate that drains.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if why := fromForeignPage(r); why != "" {
		text(w, http.StatusForbidden, why)
		return
	}
	p, ok := s.pages[r.URL.Path]
	if !ok {
		text(w, http.StatusNotFound, "not found; / lists what is here")
		return
	}
	serve, allow := p.serve, "GET, HEAD"
	if p.post != nil {
		serve, allow = p.post, "POST"
	}
	if p.post != nil && r.Method != http.MethodPost || p.post == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", allow)
		text(w, http.StatusMethodNotAllowed, "only "+strings.ReplaceAll(allow, ",", " and"))
		return
	}
	serve(w, r)
}

// fromForeignPage tells why a request must be a page's of another site that
// misuses a browser which can reach this listener. Nothing here has scripts
// of its own, so no script has business here.
func fromForeignPage(r *http.Request) string {
	if len(r.Header.Values("Origin")) > 0 {
		return "no page may read this: the request has an Origin"
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return "no page may read this: Sec-Fetch-Site is neither none nor same-origin"
	}
	// A name of somebody else's that resolves to 127.0.0.1 (DNS rebinding)
	// makes that page same-origin; its Host gives it away.
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && local.IP.IsLoopback() && !isLocalName(r.Host) {
		return "on a loopback address the Host must be an IP address or localhost"
	}
	return ""
}

func isLocalName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString("hopgate admin\n\n")
	for _, path := range order {
		if p, ok := s.pages[path]; ok {
			b.WriteString(path + strings.Repeat(" ", 16-len(path)) + p.about + "\n")
		}
	}
	text(w, http.StatusOK, strings.TrimSuffix(b.String(), "\n"))
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons,omitempty"`
	}{Ready: true}
	if s.options.Ready != nil {
		answer.Ready, answer.Reasons = s.options.Ready()
	}
	if answer.Ready {
		answer.Reasons = nil
		s.json(w, http.StatusOK, answer)
		return
	}
	s.json(w, http.StatusServiceUnavailable, answer)
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/yaml; charset=utf-8")
	w.Write(s.options.Config()) //nolint:errcheck // the client left
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	s.json(w, http.StatusOK, s.options.Info())
}

func (s *Server) json(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.options.Log.Error("can't encode an admin answer", "error", err)
		text(w, http.StatusInternalServerError, "internal error")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client left
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, body+"\n") //nolint:errcheck // the client left
}
