package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/telemetry"
	"hopgate/token"
)

const testIssuer = "https://issuer.example.test"

// signer signs every test's tokens; its public key stands in their
// configurations.
var signer = sync.OnceValue(func() *token.Signer {
	s, err := token.NewSigner("ES256")
	if err != nil {
		panic(err)
	}
	return s
})

// world is a gate on loopback between a test and a recording backend.
type world struct {
	t       testing.TB
	gate    *Gate
	server  *Server
	address string
	url     string
	log     *bytes.Buffer // access log
	backend *recorder
	metrics *telemetry.Metrics
	access  *telemetry.AccessLog
	clock   *clock
	env     map[string]string
	serving chan error
}

// clock is the gate's idea of now: the real time, moved.
type clock struct{ moved atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.moved.Load())) }
func (c *clock) advance(d time.Duration) { c.moved.Add(int64(d)) }
func (w *world) advance(d time.Duration) { w.clock.advance(d) }
func (w *world) token(c claims) string   { return sign(w.t, c) }
func (w *world) bearer(c claims) [2]string {
	return [2]string{"Authorization", "Bearer " + sign(w.t, c)}
}

type claims map[string]any

func sign(t testing.TB, c claims) string {
	t.Helper()
	all := map[string]any{"iss": testIssuer, "iat": time.Now().Unix(), "exp": time.Now().Add(48 * time.Hour).Unix()}
	for k, v := range c {
		all[k] = v
	}
	s, err := signer().Sign(all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// syncBuffer may be written while it is read.
type syncBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// settings are a whole configuration around the routes of a test.
func settings(routes string) string {
	return `
server: {listen: "127.0.0.1:0"}
issuers:
  main:
    issuer: ` + testIssuer + `
    algorithms: ES256
    claims: {org_id: org_id, session_id: sid, permissions: permissions}
    jwks: {keys: '${JWKS}'}
    tokens: [{header: Authorization}, {cookie: session}]
upstreams:
  backend:
    endpoints: "${BACKEND}"
    secret: {header: Authorization, value: "Bearer ${SECRET}"}
rules:
  is_self: principal.user_id == path.user_id
  in_org: principal.org_id == path.org_id
` + routes
}

const backendSecret = "sk_test_0123456789abcdefghij"

// newWorld runs a gate with a whole configuration.
func newWorld(t testing.TB, text string) *world {
	t.Helper()
	return newWorldWith(t, text, nil)
}

// newWorldWith does it with more in the environment.
func newWorldWith(t testing.TB, text string, env map[string]string) *world {
	t.Helper()
	w := &world{t: t, backend: newRecorder(t), clock: &clock{}, log: &bytes.Buffer{}}
	w.env = map[string]string{"JWKS": string(signer().PublicJWKS()), "BACKEND": w.backend.url(), "SECRET": backendSecret}
	maps.Copy(w.env, env)
	var reasons []telemetry.Reason
	for _, r := range policy.Reasons() {
		reasons = append(reasons, telemetry.Reason{Word: string(r), Allow: r.Allowed()})
	}
	w.metrics = telemetry.New(reasons...)
	w.access = telemetry.NewAccessLog(&syncBuffer{b: w.log})
	w.gate = New(Options{Metrics: w.metrics, Access: w.access, Log: slog.New(slog.DiscardHandler), Now: w.clock.now})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w.publish(ctx, text)
	s := &w.gate.Current().Config.Server
	ln, err := Listen(s.Listen, false)
	if err != nil {
		t.Fatal(err)
	}
	w.server = NewServer(w.gate, OptionsOf(s), slog.New(slog.DiscardHandler))
	w.server.grace = 50 * time.Millisecond
	w.server.lot.after = 50 * time.Millisecond // every test is one of parking too
	w.address = ln.Addr().String()
	w.url = "http://" + w.address
	if s.TLS != nil {
		w.url = "https://" + w.address
	}
	w.serving = make(chan error, 1)
	go func() { w.serving <- w.server.Serve(ln, s.TLS != nil) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-w.serving; err != nil {
			t.Errorf("serve: %v", err)
		}
		w.gate.Current().retire(nil)
	})
	return w
}

// publish compiles a configuration and puts it into force.
func (w *world) publish(ctx context.Context, text string) {
	w.t.Helper()
	s := w.compile(text)
	w.gate.Publish(ctx, s)
}

func (w *world) compile(text string) *Snapshot {
	w.t.Helper()
	cfg, errs := config.Parse("hopgate.yaml", []byte(text), func(name string) (string, bool) { v, ok := w.env[name]; return v, ok })
	if cfg == nil {
		w.t.Fatal(errs.Err())
	}
	s := w.gate.Compile(cfg, errs)
	if err := errs.Err(); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// logged gives the access log; nothing is logged afterwards.
func (w *world) logged() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.access.Close(ctx); err != nil {
		w.t.Fatal(err)
	}
	return w.log.String()
}

// metric gives the value of the first sample whose line starts with prefix.
func (w *world) metric(prefix string) string {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.metrics.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:])
		}
	}
	return ""
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) reason() string {
	var p struct{ Reason string }
	_ = json.Unmarshal([]byte(r.body), &p)
	return p.Reason
}

var client = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       20 * time.Second,
}

// do makes a request; the target is sent byte for byte.
func (w *world) do(method, target, body string, fields ...[2]string) reply {
	w.t.Helper()
	return w.doWith(client, method, target, body, fields...)
}

func (w *world) doWith(c *http.Client, method, target, body string, fields ...[2]string) reply {
	w.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, w.url, r)
	if err != nil {
		w.t.Fatal(err)
	}
	path, query, found := strings.Cut(target, "?")
	req.URL.Opaque, req.URL.RawQuery, req.URL.ForceQuery = path, query, found
	for _, f := range fields {
		if f[0] == "Host" {
			req.Host = f[1]
			continue
		}
		req.Header.Add(f[0], f[1])
	}
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, target, err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// raw sends bytes on a connection of its own and gives all that comes until
// the gate closes it, or, where it stays open, until one answer is whole.
func (w *world) raw(request string) string {
	w.t.Helper()
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		w.t.Fatal(err)
	}
	br := bufio.NewReader(c)
	var out bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(br, &out)), nil)
	if err != nil {
		w.t.Fatalf("no answer to %q: %v (%q)", request, err, out.String())
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Header.Set("Connection", map[bool]string{true: "close"}[resp.Close])
	return resp.Status + "\n" + strings.TrimSpace(headerText(resp.Header)) + "\n\n" + string(b)
}

func headerText(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}

// rawBackend has serve talk to each connection that comes, and gives the URL.
func rawBackend(t testing.TB, serve func(c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// recorder is a backend that answers as it is told and keeps what it got.
type recorder struct {
	server *httptest.Server
	mu     sync.Mutex
	got    []received
	answer http.HandlerFunc
	hits   atomic.Int64
}

type received struct {
	method, target, host string
	header               http.Header
	trailer              http.Header
	body                 string
	length               int64
	proto                string
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	b := &recorder{}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	return b
}

func (b *recorder) url() string { return b.server.URL }

// will sets how the backend answers from now on.
func (b *recorder) will(h http.HandlerFunc) {
	b.mu.Lock()
	b.answer = h
	b.mu.Unlock()
}

func (b *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.hits.Add(1)
	b.mu.Lock()
	answer := b.answer
	b.mu.Unlock()
	if r.Header.Get("X-Stream") == "" {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.got = append(b.got, received{r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.Trailer.Clone(), string(body), r.ContentLength, r.Proto})
		b.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"target": r.RequestURI, "served": b.hits.Load()})
}

// last gives what the backend got last.
func (b *recorder) last(t testing.TB) received {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) == 0 {
		t.Fatal("the backend got nothing")
	}
	return b.got[len(b.got)-1]
}

// compileFaults gives what is wrong with a configuration.
func compileFaults(t testing.TB, text string) string {
	t.Helper()
	cfg, errs := config.Parse("hopgate.yaml", []byte(text), func(string) (string, bool) { return "http://127.0.0.1:1", true })
	if cfg == nil {
		t.Fatal(errs.Err())
	}
	New(Options{Metrics: telemetry.New(), Log: slog.New(slog.DiscardHandler)}).Compile(cfg, errs)
	if err := errs.Err(); err != nil {
		return err.Error()
	}
	return ""
}
