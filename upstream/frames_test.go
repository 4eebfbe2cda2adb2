package upstream

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"hopgate/config"
)

// peer is the other end of an HTTP/2 connection, frame by frame.
type peer struct {
	t testing.TB
	*http2.Framer
	c   net.Conn
	buf bytes.Buffer
	enc *hpack.Encoder
	// got has the fields of the last request.
	got map[string]string
}

// framed serves HTTP/2 in the clear; handle speaks frames after the
// settings.
func framed(t testing.TB, handle func(p *peer, n int), settings ...http2.Setting) *rawServer {
	return serve(t, func(c net.Conn, n int) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		p := &peer{t: t, Framer: http2.NewFramer(c, c), c: c}
		p.enc = hpack.NewEncoder(&p.buf)
		p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		p.AllowIllegalWrites = true
		if p.WriteSettings(settings...) == nil {
			handle(p, n)
		}
	})
}

// request reads frames until a request's head has come, and gives its
// stream; 0 where the connection ended.
func (p *peer) request() uint32 {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			p.got = make(map[string]string)
			for _, h := range f.Fields {
				p.got[h.Name] += h.Value + ";"
			}
			return f.StreamID
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = p.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = p.WritePing(true, f.Data)
			}
		}
	}
}

// until reads frames until one is as wanted; false where the connection
// ended.
func (p *peer) until(is func(http2.Frame) bool) bool {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return false
		}
		if is(f) {
			return true
		}
	}
}

// drain reads until the connection ends.
func (p *peer) drain() { p.until(func(http2.Frame) bool { return false }) }

// reset tells whether a frame resets a stream.
func reset(id uint32) func(http2.Frame) bool {
	return func(f http2.Frame) bool {
		r, ok := f.(*http2.RSTStreamFrame)
		return ok && r.StreamID == id
	}
}

// headers writes a head or trailer of name, value pairs.
func (p *peer) headers(id uint32, end bool, pairs ...string) {
	p.buf.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	block := bytes.Clone(p.buf.Bytes())
	const most = 16 << 10
	first := block[:min(len(block), most)]
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block)})
	for block = block[len(first):]; len(block) > 0; block = block[min(len(block), most):] {
		_ = p.WriteContinuation(id, len(block) <= most, block[:min(len(block), most)])
	}
}

func (p *peer) data(id uint32, end bool, text string) { _ = p.WriteData(id, end, []byte(text)) }

// h2c makes an upstream one of HTTP/2 in the clear.
func h2c(u *config.Upstream) { u.Protocol = "h2c" }

func h2cWith(change func(*config.Upstream)) func(*config.Upstream) {
	return func(u *config.Upstream) {
		h2c(u)
		change(u)
	}
}
