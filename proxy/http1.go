package proxy

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"hopgate/policy"
)

// http1 is the HTTP/1.1 transport: it lends what fasthttp has read to the
// pipeline and writes the answer through it. Of the requests of its
// connections it sees those that the express way has left.
type http1 struct {
	gate    *Gate
	server  *fasthttp.Server
	closing atomic.Bool // every connection ends with its next answer
	retired atomic.Bool // and those that rest are closed
}

func newHTTP1(g *Gate, o ServerOptions) *http1 {
	h := &http1{gate: g}
	h.server = &fasthttp.Server{
		Handler:       h.handle,
		ErrorHandler:  h.unreadable,
		ExpectHandler: h.expect,
		Logger:        silent{},

		// How long reads may wait is the wire guard's to bound: it knows a
		// head from a body and a steady slow upload from a stalled one. How
		// long writes may is the connection's.

		// One more than the guard lets through, so that it is the guard that
		// refuses.
		ReadBufferSize:     o.MaxHeaderBytes + 1,
		Concurrency:        o.MaxConnections,
		StreamRequestBody:  true,
		MaxRequestBodySize: prefetch,
		LazyRequestTime:    true,
		// Shutdown answers open requests with Connection: close.
		CloseOnShutdown: true,

		// The pipeline writes Date: that of a stored answer is the upstream's.
		NoDefaultDate: true,

		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
	}
	return h
}

// prefetch is how much of a body the transport may read before the head has
// been judged.
const prefetch = 4 << 10

// handle lends one request to the pipeline.
func (h *http1) handle(ctx *fasthttp.RequestCtx) {
	x, a := h.lend(ctx)
	h.gate.serve(x)
	if h.closing.Load() && !a.taken {
		a.closeAfter()
	}
	h.done(x, a)
}

// expect judges a request whose sender holds the body back until it is told
// to go on (Expect: 100-continue, RFC 9110 section 10.1.1).
func (h *http1) expect(ctx *fasthttp.RequestCtx) int {
	x, a := h.lend(ctx)
	status := fasthttp.StatusContinue
	if !h.gate.judge(x) {
		status = x.code
	}
	h.done(x, a)
	return status
}

// unreadable answers a request that the transport could not read. What it
// tells of the error is only its kind: the text quotes the request.
func (h *http1) unreadable(ctx *fasthttp.RequestCtx, err error) {
	x, a := h.begin(ctx)
	x.malformed = faultOf(err)
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		x.malformed = policy.HeaderTooLarge
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		x.malformed = policy.BodyTooLarge
	}
	h.gate.serve(x)
	a.closeAfter()
	h.done(x, a)
}

// begin makes an exchange that knows its connection.
func (h *http1) begin(ctx *fasthttp.RequestCtx) (*exchange, *http1Answer) {
	a := answers.Get().(*http1Answer)
	a.ctx, a.response = ctx, &ctx.Response
	x := acquire(a)
	c, ok := ctx.Conn().(*conn)
	if !ok {
		panic("proxy: the connection did not come from our listener")
	}
	a.conn = c
	c.introduce(x)
	return x, a
}

// lend makes an exchange of a request.
func (h *http1) lend(ctx *fasthttp.RequestCtx) (*exchange, *http1Answer) {
	x, a := h.begin(ctx)
	req := &ctx.Request.Header
	x.method = lend(req.Method())
	x.target = lend(req.RequestURI())
	x.http10 = !req.IsHTTP11()
	// The head is read once more, from the bytes as they came: the
	// transport's own reading joins, drops and reorders fields.
	if x.fields, x.malformed = parseHead(x.fields[:0], lend(req.RawHeaders())); x.malformed == policy.Allowed {
		x.framing, x.malformed = parseFraming(x.fields)
	}
	x.authority, x.hosts = x.fields.Field("Host")
	if x.framing.length > 0 || x.framing.chunked {
		a.upload = upload{conn: a.conn, from: ctx.RequestBodyStream(), message: a.conn.before + ctx.ConnRequestNum()}
		x.body = &a.upload
	}
	return x, a
}

// done gives back what a request used, unless its answer still streams: then
// the stream's end does.
func (h *http1) done(x *exchange, a *http1Answer) {
	if x.streaming {
		return
	}
	*a = http1Answer{}
	answers.Put(a)
	release(x)
}

// lend makes a string of bytes that somebody else owns, without copying. It
// is valid as long as they are.
func lend(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // the one place; who borrows copies what they keep
}

// statusText gives the reason phrase of a status code.
func statusText(code int) string { return fasthttp.StatusMessage(code) }

// upload is a request's body on its way in.
type upload struct {
	conn    *conn
	from    io.Reader
	message uint64 // number of the message on its connection
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	if u.from == nil {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := u.from.Read(p)
	if err != nil {
		// The transport wraps what it reads from, and loses some of it.
		if fault := u.conn.BodyErr(u.message); fault != nil {
			err = fault
		}
	}
	return n, err
}

// Close gives the rest of the body up. A Read that waits for the client ends.
func (u *upload) Close() error {
	return u.conn.SetReadDeadline(time.Unix(1, 0))
}

// http1Answer writes an answer through fasthttp.
type http1Answer struct {
	ctx      *fasthttp.RequestCtx
	response *fasthttp.Response
	conn     *conn
	upload   upload
	taken    bool // the connection is no longer HTTP's
}

var answers = sync.Pool{New: func() any { return new(http1Answer) }}

func (a *http1Answer) status(code int)        { a.response.SetStatusCode(code) }
func (a *http1Answer) add(name, value string) { a.response.Header.Add(name, value) }
func (a *http1Answer) addBytes(name, value []byte) {
	if equalText(name, "Date") {
		a.addDate(value)
		return
	}
	a.response.Header.AddBytesKV(name, value)
}

// standIn is as long as Date, and no field that anybody sends.
var standIn = []byte("Dxte")

// addDate adds the Date field. fasthttp drops one that it is given, also
// where it writes none of its own; so the field goes in under another name,
// which is then overwritten in place. Among the keys are constants of
// fasthttp's, which is why only that name is written to.
func (a *http1Answer) addDate(value []byte) {
	h := &a.response.Header
	h.AddBytesKV(standIn, value)
	for _, key := range slices.Backward(h.PeekKeys()) {
		if string(key) == string(standIn) {
			copy(key, nameDate)
			return
		}
	}
}

func (a *http1Answer) body(b []byte)       { a.response.SetBody(b) }
func (a *http1Answer) staticBody(b []byte) { a.response.SetBodyRaw(b) }
func (a *http1Answer) stream(r io.ReadCloser, length int64) {
	a.response.ImmediateHeaderFlush = true
	a.response.SetBodyStream(r, int(length))
}
func (a *http1Answer) bodyLength(n int64) { a.response.Header.SetContentLength(int(n)) }
func (a *http1Answer) noLength()          {}
func (a *http1Answer) hints() bool        { return false } // they could overtake the answer to a request before
func (a *http1Answer) hint([][]byte)      {}
func (a *http1Answer) duplex() bool       { return false }
func (a *http1Answer) tunnels() bool      { return true }
func (a *http1Answer) tunnel(run func(net.Conn), abandon func()) {
	a.add("Connection", "Upgrade")
	a.add("Upgrade", "websocket")
	// From now on what the client sends is no HTTP.
	a.conn.Release()
	a.conn.writeTimeout = 0 // the tunnel has its own
	a.taken = true
	// The transport forgets a handler where writing the head fails or the
	// server stops; the connection is closed on every such way.
	c := a.conn
	c.abandon.Store(&abandon)
	a.ctx.Hijack(func(client net.Conn) {
		if c.abandon.Swap(nil) != nil {
			run(client)
		}
	})
}
func (a *http1Answer) closeAfter() { a.response.SetConnectionClose() }
func (a *http1Answer) reset()      { a.response.Reset() }

// trailer drops a trailer field: clients of HTTP/1.1 rarely know them, and
// would need chunks.
func (a *http1Answer) trailer(_, _ []byte) {}

// silent drops what fasthttp would log: its messages quote requests, tokens
// included, and every refusal is in the access log.
type silent struct{}

func (silent) Printf(string, ...any) {}
