package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hopgate/policy"
)

// http2 is the HTTP/2 transport: it lends what net/http has read to the same
// pipeline that HTTP/1.1 goes through.
type http2 struct {
	gate    *Gate
	server  *http.Server
	options ServerOptions
}

func newHTTP2(g *Gate, o ServerOptions) *http2 {
	h := &http2{gate: g, options: o}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	h.server = &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: o.ReadTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    o.MaxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250, SendPingTimeout: 30 * time.Second, WriteByteTimeout: o.WriteTimeout},
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				return context.WithValue(ctx, clientsKey{}, clientsOf(t))
			}
			return ctx
		},
	}
	return h
}

// clientsKey is the context's key of exchange.clients.
type clientsKey struct{}

// ServeHTTP lends one request to the pipeline.
func (h *http2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	a := &http2Answer{w: w, control: control, code: http.StatusOK, timeout: h.options.WriteTimeout}
	x := acquire(a)
	x.ctx = r.Context()
	x.method = r.Method
	x.target = r.RequestURI
	x.scheme = "http"
	if r.TLS != nil {
		x.scheme = "https"
		x.cert = certificateOf(r.TLS)
		x.clients, _ = r.Context().Value(clientsKey{}).(string)
	}
	x.authority, x.hosts = r.Host, 1
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		x.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	x.trailers = r.Header.Get("Te") == "trailers"
	// :authority takes the place of Host; another beside it is malformed (RFC
	// 9113 section 8.3.1). Rules read the one that counts.
	if hosts := r.Header["Host"]; len(hosts) > 1 || len(hosts) == 1 && hosts[0] != r.Host {
		x.malformed = policy.RequestMalformed
	}
	x.fields = append(x.fields, field{"Host", r.Host})
	for name, values := range r.Header {
		if name == "Host" {
			continue
		}
		for _, v := range values {
			if !all(name, classToken) || !all(v, classValue) {
				x.malformed = policy.RequestMalformed
			}
			x.fields = append(x.fields, field{name, v})
		}
	}
	if len(x.fields) > maxFields {
		x.malformed = policy.HeaderTooLarge
	}
	switch {
	case r.ContentLength > 0:
		x.framing.length = r.ContentLength
	case r.ContentLength < 0:
		x.framing.chunked = true
	}
	if r.ContentLength != 0 {
		body := &http2Body{ReadCloser: r.Body, stall: stall{timeout: h.options.ReadTimeout, cut: control.SetReadDeadline}}
		defer body.stall.close()
		x.body = body
	}
	h.gate.serve(x)
	if !x.streaming {
		release(x)
	}
	a.finish()
}

// http2Body is a request's body, whose sender may be slow but may not stop.
type http2Body struct {
	io.ReadCloser
	stall stall
}

// Read implements io.Reader.
func (b *http2Body) Read(p []byte) (int, error) {
	b.stall.begin()
	defer b.stall.end()
	return b.ReadCloser.Read(p)
}

// patience implements patient. It comes before the first Read.
func (b *http2Body) patience() { b.stall.timeout = 0 }

// stall cuts a stream of HTTP/2 off when one read or one write takes too
// long. The deadlines that net/http has for that run out between two writes
// as well, and streams may be silent as long as they like.
type stall struct {
	timeout time.Duration
	cut     func(time.Time) error // sets a deadline of the stream

	mu    sync.Mutex
	timer *time.Timer
	since time.Time // when what is under way began, or zero
	over  bool
}

// begin and end frame a read or a write.
func (s *stall) begin() {
	if s.timeout <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
	if s.timer == nil {
		s.timer = time.AfterFunc(s.timeout, s.expired)
	} else {
		s.timer.Reset(s.timeout)
	}
}

func (s *stall) end() {
	if s.timeout <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
	s.timer.Stop()
}

// expired cuts what is under way, unless the timer went off for what was
// before.
func (s *stall) expired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over && !s.since.IsZero() && time.Since(s.since) >= s.timeout {
		_ = s.cut(time.Unix(1, 0))
	}
}

// close ends the use of cut, which must not be called once the stream's
// handler has returned.
func (s *stall) close() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
}

// http2Answer gathers an answer and writes it through net/http. Field values
// are copied and bodies too, so that it can be written when the exchange has
// been given back.
type http2Answer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // of one write
	code    int
	length  int64
	known   bool // length is known
	silent  bool // no length is said
	bytes   []byte
	reader  io.ReadCloser

	trailers [][2]string // as net/http takes them
}

func (a *http2Answer) status(code int)             { a.code = code }
func (a *http2Answer) add(name, value string)      { a.w.Header().Add(name, strings.Clone(value)) }
func (a *http2Answer) addBytes(name, value []byte) { a.w.Header().Add(string(name), string(value)) }
func (a *http2Answer) staticBody(b []byte)         { a.bytes = b }
func (a *http2Answer) body(b []byte)               { a.bytes = append([]byte(nil), b...) }
func (a *http2Answer) stream(r io.ReadCloser, length int64) {
	a.reader = r
	a.silent = length < 0
	if length >= 0 {
		a.bodyLength(length)
	}
}
func (a *http2Answer) bodyLength(n int64) { a.length, a.known = n, true }
func (a *http2Answer) noLength()          { a.silent = true }
func (a *http2Answer) hints() bool        { return true }
func (a *http2Answer) hint(links [][]byte) {
	h := a.w.Header()
	kept := h.Clone()
	clear(h)
	for _, l := range links {
		h.Add("Link", string(l))
	}
	a.w.WriteHeader(http.StatusEarlyHints)
	clear(h)
	maps.Copy(h, kept)
}
func (a *http2Answer) duplex() bool                  { return true }
func (a *http2Answer) tunnels() bool                 { return false }
func (a *http2Answer) tunnel(func(net.Conn), func()) {}

func (a *http2Answer) trailer(name, value []byte) {
	a.trailers = append(a.trailers, [2]string{http.TrailerPrefix + string(name), string(value)})
}

// closeAfter closes the connection of HTTP/1.1; a stream of HTTP/2 has
// framing that no field of it can confuse.
func (a *http2Answer) closeAfter() {}

func (a *http2Answer) reset() {
	clear(a.w.Header())
	*a = http2Answer{w: a.w, control: a.control, timeout: a.timeout, code: http.StatusInternalServerError}
}

// finish sends what was gathered.
func (a *http2Answer) finish() {
	if a.reader != nil {
		defer a.reader.Close() //nolint:errcheck // the answer is out, or given up
	}
	if !a.known && !a.silent {
		a.bodyLength(int64(len(a.bytes)))
	}
	if a.known && a.code != http.StatusNoContent && a.code != http.StatusNotModified {
		a.w.Header().Set("Content-Length", strconv.FormatInt(a.length, 10))
	}
	writes := stall{timeout: a.timeout, cut: a.control.SetWriteDeadline}
	defer func() {
		writes.close()
		// What net/http still holds is bounded by its own deadline.
		if a.timeout > 0 {
			_ = a.control.SetWriteDeadline(time.Now().Add(a.timeout))
		}
	}()
	a.w.WriteHeader(a.code)
	if a.reader == nil {
		for part := range slices.Chunk(a.bytes, http2Part) {
			if a.write(&writes, part) != nil {
				return
			}
		}
		a.end()
		return
	}
	_ = a.flush(&writes)
	buf := make([]byte, http2Part)
	for {
		n, err := a.reader.Read(buf)
		if n > 0 {
			if a.write(&writes, buf[:n]) != nil {
				return
			}
			// Each part goes out at once: it may be an event.
			if a.flush(&writes) != nil {
				return
			}
		}
		if err == io.EOF {
			a.end()
			return
		}
		if err != nil {
			// A truncated answer must not look whole: reset the stream.
			panic(http.ErrAbortHandler)
		}
	}
}

// end leaves the trailers to net/http, which sends them when the handler
// returns.
func (a *http2Answer) end() {
	for _, t := range a.trailers {
		a.w.Header().Add(t[0], t[1])
	}
}

// http2Part is how much of a body is written at a time.
const http2Part = 32 << 10

// write passes a part of the body on, as fast as the client takes it.
func (a *http2Answer) write(s *stall, part []byte) error {
	s.begin()
	defer s.end()
	_, err := a.w.Write(part)
	return err
}

// flush sends what was written.
func (a *http2Answer) flush(s *stall) error {
	s.begin()
	defer s.end()
	return a.control.Flush()
}
