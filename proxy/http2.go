package proxy

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"hopgate/policy"
)

// http2 is the HTTP/2 transport: it lends what net/http has read to the same
// pipeline that HTTP/1.1 goes through.
type http2 struct {
	gate   *Gate
	server *http.Server
}

func newHTTP2(g *Gate, o ServerOptions) *http2 {
	h := &http2{gate: g}
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
	}
	return h
}

// ServeHTTP lends one request to the pipeline.
func (h *http2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := acquire()
	a := &http2Answer{w: w, code: http.StatusOK}
	x.answer, x.ctx = a, r.Context()
	x.method = r.Method
	x.target = r.RequestURI
	x.scheme = "http"
	if r.TLS != nil {
		x.scheme = "https"
	}
	x.authority, x.hosts = r.Host, 1
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		x.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	x.malformed = policy.Allowed
	for name, values := range r.Header {
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
		x.body = r.Body
	case r.ContentLength < 0:
		x.framing.chunked = true
		x.body = r.Body
	}
	h.gate.serve(x)
	if !x.streaming {
		release(x)
	}
	a.finish()
}

// http2Answer gathers an answer and writes it through net/http. Field values
// are copied and bodies too, so that it can be written when the exchange has
// been given back.
type http2Answer struct {
	w      http.ResponseWriter
	code   int
	length int64
	known  bool // length is known
	silent bool // no length is said
	bytes  []byte
	reader io.ReadCloser
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
func (a *http2Answer) bodyLength(n int64)    { a.length, a.known = n, true }
func (a *http2Answer) noLength()             { a.silent = true }
func (a *http2Answer) tunnels() bool         { return false }
func (a *http2Answer) tunnel(func(net.Conn)) {}
func (a *http2Answer) progress()             {}

// closeAfter closes the connection of HTTP/1.1; a stream of HTTP/2 has
// framing that no field of it can confuse.
func (a *http2Answer) closeAfter() {}

func (a *http2Answer) reset() {
	clear(a.w.Header())
	*a = http2Answer{w: a.w, code: http.StatusInternalServerError}
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
	a.w.WriteHeader(a.code)
	if a.reader == nil {
		_, _ = a.w.Write(a.bytes)
		return
	}
	flush := http.NewResponseController(a.w)
	_ = flush.Flush()
	buf := make([]byte, 32<<10)
	for {
		n, err := a.reader.Read(buf)
		if n > 0 {
			if _, werr := a.w.Write(buf[:n]); werr != nil {
				return
			}
			// Each part goes out at once: it may be an event.
			_ = flush.Flush()
		}
		if err == io.EOF { //nolint:errorlint // streams end in the bare io.EOF
			return
		}
		if err != nil {
			// A truncated answer must not look whole: reset the stream.
			panic(http.ErrAbortHandler)
		}
	}
}
