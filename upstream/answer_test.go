package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// scripted is a connection from which given pieces are read, one a Read, and
// then an end.
type scripted struct {
	net.Conn
	pieces []string
}

func (s *scripted) Read(b []byte) (int, error) {
	for len(s.pieces) > 0 && s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }
func (*scripted) Close() error                     { return nil }

// outcome is what became of an answer.
type outcome struct {
	status   int
	fields   string
	body     string
	streamed bool
	kept     bool // the connection was given back
	err      error
}

// take reads an answer that comes in pieces, without a network.
func readAnswer(q *Request, pieces ...string) outcome {
	p := &Pool{now: readClock, settings: settings{idle: time.Hour, maxConns: 1}}
	e := &endpoint{open: 1}
	p.endpoints = []*endpoint{e}
	defer p.Close()
	until := readClock().add(time.Minute)
	c := &conn{link: link{Conn: &scripted{pieces: pieces}}, e: e, expires: until, cut: func() {}}
	r := new(Response)
	defer r.Release()
	r.begin(context.Background(), p, c, &attempt{timeout: time.Minute, until: until})
	err := r.readHead(q, "")
	if err != nil {
		return outcome{err: r.failed(err)}
	}
	if err = r.settle(q, until); err != nil {
		return outcome{err: err}
	}
	o := outcome{status: r.Status(), fields: fieldsOf(r), body: string(r.Body())}
	if s := r.Stream(); s != nil {
		b, err := io.ReadAll(s)
		o.body, o.err, o.streamed = string(b), err, true
	}
	_, idle := p.counts()
	o.kept = idle == 1
	return o
}

// asBytes cuts an answer into single bytes.
func asBytes(s string) []string { return strings.Split(s, "") }

var answers = []struct {
	name   string
	method string // GET where empty
	hold   int64
	must   bool
	bytes  string
	want   outcome // err alone is compared where it is set
}{
	{name: "length", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok", kept: true}},
	{name: "no reason", bytes: "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok", kept: true}},
	{name: "no space before no reason", bytes: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok", kept: true}},
	{name: "no content", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{status: 200, kept: true}},
	{name: "fields", bytes: "HTTP/1.1 404 Not Found\r\nA:1\r\nb-C:  x\ty \t\r\nEmpty:\r\nHigh: \xff\xe4\r\nA: 2\r\nContent-Length: 0\r\n\r\n",
		want: outcome{status: 404, fields: "A: 1\nb-C: x\ty\nEmpty: \nHigh: \xff\xe4\nA: 2\n", kept: true}},
	{name: "hop-by-hop fields", bytes: "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop ,,\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Hop: 1\r\nX-End: 2\r\n" +
		"TE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nProxy-Authorization: x\r\nContent-Length: 0\r\n\r\n",
		want: outcome{status: 200, fields: "X-End: 2\n", kept: true}},
	{name: "listed by connection that stands behind", bytes: "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: x-hop\r\nContent-Length: 0\r\n\r\n", want: outcome{status: 200, kept: true}},
	{name: "close", bytes: "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok"}},
	{name: "same length twice", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok", kept: true}},
	{name: "large length", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100000), want: outcome{status: 200, body: strings.Repeat("a", 100000), streamed: true, kept: true}},
	{name: "large length held", hold: 100000, bytes: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100000), want: outcome{status: 200, body: strings.Repeat("a", 100000), kept: true}},
	{name: "too large to be held", hold: 99999, must: true, bytes: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100000), want: outcome{err: ErrTooLarge}},
	{name: "too large by one", hold: 1, must: true, bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: outcome{err: ErrTooLarge}},
	{name: "larger than held", hold: 1, bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok", streamed: true, kept: true}},
	{name: "surplus", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + poison, want: outcome{status: 200, body: "ok"}},
	{name: "cut off", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", want: outcome{err: ErrUnavailable}},
	{name: "cut off in a stream", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nok", want: outcome{err: ErrUnavailable}},
	{name: "until the end", bytes: "HTTP/1.1 200 OK\r\n\r\nall there is", want: outcome{status: 200, body: "all there is", streamed: true}},
	{name: "until the end, held", hold: 12, bytes: "HTTP/1.1 200 OK\r\n\r\nall there is", want: outcome{status: 200, body: "all there is"}},
	{name: "until the end, larger than held", hold: 11, bytes: "HTTP/1.1 200 OK\r\n\r\nall there is", want: outcome{status: 200, body: "all there is", streamed: true}},
	{name: "until the end, too large", hold: 11, must: true, bytes: "HTTP/1.1 200 OK\r\n\r\nall there is", want: outcome{err: ErrTooLarge}},

	{name: "1.0", bytes: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok"}},
	{name: "1.0 kept alive is not kept", bytes: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok"}},
	{name: "1.0 until the end", hold: 9, bytes: "HTTP/1.0 200 OK\r\n\r\nok", want: outcome{status: 200, body: "ok"}},
	{name: "1.0 in chunks", bytes: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: outcome{err: ErrInvalid}},

	{name: "HEAD", method: "HEAD", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", want: outcome{status: 200, kept: true}},
	{name: "HEAD in chunks", method: "HEAD", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", want: outcome{status: 200, kept: true}},
	{name: "HEAD without a length", method: "HEAD", bytes: "HTTP/1.1 200 OK\r\n\r\n", want: outcome{status: 200, kept: true}},
	{name: "304", bytes: "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n", want: outcome{status: 304, fields: "ETag: \"x\"\n", kept: true}},
	{name: "204", bytes: "HTTP/1.1 204 No Content\r\n\r\n", want: outcome{status: 204, kept: true}},
	{name: "204 with a length", bytes: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", want: outcome{status: 204}},
	{name: "204 in chunks", bytes: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", want: outcome{status: 204}},

	{name: "chunks", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0A\r\n0123456789\r\n0\r\n\r\n", hold: 99, want: outcome{status: 200, body: "ok0123456789", kept: true}},
	{name: "chunks as they come", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\na\r\n0123456789\r\n0\r\n\r\n", hold: 3, want: outcome{status: 200, body: "ok0123456789", streamed: true, kept: true}},
	{name: "chunks, too large", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\na\r\n0123456789\r\n0\r\n\r\n", hold: 11, must: true, want: outcome{err: ErrTooLarge}},
	{name: "large chunk", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("b", 100000) + "\r\n3\r\nend\r\n0\r\n\r\n", hold: 5, want: outcome{status: 200, body: strings.Repeat("b", 100000) + "end", streamed: true, kept: true}},
	{name: "chunk extensions", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b;c\";d\r\nok\r\n0;x\r\n\r\n", hold: 99, want: outcome{status: 200, body: "ok", kept: true}},
	{name: "trailers are dropped", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-Id\r\n\r\n2\r\nok\r\n0\r\nX-User-Id: admin\r\nEmpty:\r\n\r\n", hold: 99, want: outcome{status: 200, body: "ok", kept: true}},
	{name: "surplus after chunks", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + poison, hold: 99, want: outcome{status: 200, body: "ok"}},
	{name: "event stream is not waited for", hold: 99, bytes: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", want: outcome{status: 200, fields: "Content-Type: text/event-stream\n", body: "data: 1\n\n", streamed: true}},

	{name: "100 is skipped", bytes: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok", kept: true}},
	{name: "103 is skipped, its fields too", bytes: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: outcome{status: 200, body: "ok", kept: true}},
	{name: "101 unasked", bytes: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "endless 1xx", bytes: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 40), want: outcome{err: ErrInvalid}},
	{name: "1xx of 1.0", bytes: "HTTP/1.0 100 Continue\r\n\r\n" + okAnswer, want: outcome{err: ErrInvalid}},

	{name: "nothing", bytes: "", want: outcome{err: ErrUnavailable}},
	{name: "half a status line", bytes: "HTTP/1.1 20", want: outcome{err: ErrUnavailable}},
	{name: "half a head", bytes: "HTTP/1.1 200 OK\r\nA: b\r\n", want: outcome{err: ErrUnavailable}},
	{name: "empty line first", bytes: "\r\n" + okAnswer, want: outcome{err: ErrInvalid}},
	{name: "0.9", bytes: "hello", want: outcome{err: ErrInvalid}},
	{name: "HTTP/2", bytes: "HTTP/2 200\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "HTTP/1.2", bytes: "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "http in small letters", bytes: "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "two spaces", bytes: "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "tab for a space", bytes: "HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "two digits", bytes: "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "four digits", bytes: "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "status with a sign", bytes: "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "status 099", bytes: "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "status 600", bytes: "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "control in the reason", bytes: "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "bare LF after the status line", bytes: "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "bare LF after a field", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "bare LF ends the head", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", want: outcome{err: ErrInvalid}},
	{name: "bare CR in a value", bytes: "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "two CRs", bytes: "HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "NUL in a value", bytes: "HTTP/1.1 200 OK\r\nA: b\x00c\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "DEL in a long value", bytes: "HTTP/1.1 200 OK\r\nA: 0123456789abcde\x7f0123456789\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "folded", bytes: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "folded with a tab", bytes: "HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "space before the first field", bytes: "HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "space before the colon", bytes: "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "no colon", bytes: "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "no name", bytes: "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "name that is no token", bytes: "HTTP/1.1 200 OK\r\nA(b): c\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "name with a high byte", bytes: "HTTP/1.1 200 OK\r\nA\xc3\xa4: c\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "connection with no token", bytes: "HTTP/1.1 200 OK\r\nConnection: a b\r\nContent-Length: 0\r\n\r\n", want: outcome{err: ErrInvalid}},

	{name: "both lengths", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "both lengths to HEAD", method: "HEAD", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "two lengths", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "list of lengths", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "length with a sign", bytes: "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "negative length", bytes: "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "hexadecimal length", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "empty length", bytes: "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "length with a space", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 1 2\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "overflowing length", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "length beyond 2^63", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "length of unreadable size, refused", hold: 1 << 20, must: true, bytes: "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nok", want: outcome{err: ErrTooLarge}},
	{name: "other coding", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", want: outcome{err: ErrInvalid}},
	{name: "coding before chunked", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "chunked twice", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "chunked with a vertical tab", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "identity", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", want: outcome{err: ErrInvalid}},

	{name: "large head", bytes: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHead) + "\r\n\r\n", want: outcome{err: ErrInvalid}},
	{name: "endless head", bytes: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 2*maxHead), want: outcome{err: ErrInvalid}},
	{name: "large head of many lines", bytes: "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+strings.Repeat("a", 700)+"\r\n", 100) + "\r\n", want: outcome{err: ErrInvalid}},
	{name: "many fields", bytes: "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxFields+1) + "\r\n", want: outcome{err: ErrInvalid}},
	{name: "many hop-by-hop fields", bytes: "HTTP/1.1 200 OK\r\n" + strings.Repeat("TE: b\r\n", maxFields+1) + "\r\n", want: outcome{err: ErrInvalid}},
}

// malformed chunked bodies; the head is the same for all.
var badChunks = map[string]string{
	"no size":                    "\r\nok\r\n0\r\n\r\n",
	"sign":                       "+2\r\nok\r\n0\r\n\r\n",
	"minus":                      "-2\r\nok\r\n0\r\n\r\n",
	"prefix":                     "0x2\r\nok\r\n0\r\n\r\n",
	"space before":               " 2\r\nok\r\n0\r\n\r\n",
	"space behind":               "2 \r\nok\r\n0\r\n\r\n",
	"space before the extension": "2 ;a\r\nok\r\n0\r\n\r\n",
	"overflow":                   "10000000000000002\r\nok\r\n0\r\n\r\n",
	"sixteen digits":             "0000000000000002\r\nok\r\n0\r\n\r\n",
	"no hexadecimal":             "g\r\nok\r\n0\r\n\r\n",
	"bare LF after the size":     "2\nok\r\n0\r\n\r\n",
	"CR without LF":              "2\rok\r\n0\r\n\r\n",
	"bare LF after the data":     "2\r\nok\n0\r\n\r\n",
	"longer than said":           "1\r\nok\r\n0\r\n\r\n",
	"shorter than said":          "3\r\nok\r\n0\r\n\r\n",
	"nothing after the data":     "2\r\nok0\r\n\r\n",
	"LF in an extension":         "2;a\nb\r\nok\r\n0\r\n\r\n",
	"NUL in an extension":        "2;a\x00\r\nok\r\n0\r\n\r\n",
	"long extension":             "2;" + strings.Repeat("a", maxChunkLine+1) + "\r\nok\r\n0\r\n\r\n",
	"trailer with a bare LF":     "2\r\nok\r\n0\r\nA: b\n\r\n",
	"trailer with a bare CR":     "2\r\nok\r\n0\r\nA: b\rc\r\n\r\n",
	"trailer without a colon":    "2\r\nok\r\n0\r\nA\r\n\r\n",
	"trailer with a space":       "2\r\nok\r\n0\r\nA : b\r\n\r\n",
	"folded trailer":             "2\r\nok\r\n0\r\nA: b\r\n c\r\n\r\n",
	"trailer without a name":     "2\r\nok\r\n0\r\n: b\r\n\r\n",
	"control in a trailer":       "2\r\nok\r\n0\r\nA: \x01\r\n\r\n",
	"endless trailers":           "2\r\nok\r\n0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 17) + "\r\n",
	"bare LF at the end":         "2\r\nok\r\n0\r\n\n",
	"junk at the end":            "2\r\nok\r\n0\r\n\rx",
}

func TestAnswers(t *testing.T) {
	for _, c := range answers {
		t.Run(c.name, func(t *testing.T) {
			q := &Request{Method: "GET", MaxHold: c.hold, MustHold: c.must}
			if c.method != "" {
				q.Method = c.method
			}
			checkAnswer(t, q, c.want, c.bytes)
		})
	}
	for name, body := range badChunks {
		t.Run("chunks/"+name, func(t *testing.T) {
			const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			checkAnswer(t, &Request{Method: "GET", MaxHold: 99999}, outcome{err: ErrInvalid}, head+body)
			checkAnswer(t, &Request{Method: "GET"}, outcome{err: ErrInvalid}, head+body)
		})
	}
}

// checkAnswer reads an answer whole, byte by byte and, where it is short, in
// two pieces cut at every byte.
func checkAnswer(t *testing.T, q *Request, want outcome, answer string) {
	t.Helper()
	check := func(how string, got outcome) {
		t.Helper()
		if want.err != nil {
			if !errors.Is(got.err, want.err) {
				t.Errorf("%s: got %+v, want error %v", how, short(got), want.err)
			}
			return
		}
		if how != "whole" {
			// How much is there when the head ends decides what is held, and
			// whether a surplus was seen in time to matter to the caller.
			got.streamed = want.streamed
			if !want.kept {
				got.kept = false
			}
		}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", how, short(got), short(want))
		}
	}
	check("whole", readAnswer(q, answer))
	check("byte by byte", readAnswer(q, asBytes(answer)...))
	if len(answer) > 1000 {
		return
	}
	for i := range answer {
		check(fmt.Sprintf("cut at %d", i), readAnswer(q, answer[:i], answer[i:]))
	}
}

func short(o outcome) outcome {
	if len(o.body) > 100 {
		o.body = fmt.Sprintf("%s… (%d bytes)", o.body[:20], len(o.body))
	}
	return o
}

// TestFields looks fields up.
func TestFields(t *testing.T) {
	s := serve(t, answering("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-[: 1\r\nContent-Length: 0\r\nset-cookie: b=2\r\n\r\n"))
	p := newPool(t, nil, s.url())
	if err := p.Do(context.Background(), get("/"), new(Response)); !errors.Is(err, ErrInvalid) {
		t.Fatalf("a name that is no token: %v", err)
	}
	s = serve(t, answering("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-@: 1\r\nContent-Length: 0\r\nset-cookie: b=2\r\n\r\n"))
	p = newPool(t, nil, s.url())
	if err := p.Do(context.Background(), get("/"), new(Response)); !errors.Is(err, ErrInvalid) {
		t.Fatalf("a name that is no token: %v", err)
	}
	s = serve(t, answering("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-`: 1\r\nContent-Length: 0\r\nset-cookie: b=2\r\n\r\n"))
	p = newPool(t, nil, s.url())
	_, _, r := do(t, p, get("/"))
	for _, c := range []struct {
		name, value string
		n           int
	}{{"Set-Cookie", "a=1", 2}, {"SET-COOKIE", "a=1", 2}, {"X-`", "1", 1}, {"X-@", "", 0}, {"Content-Length", "", 0}, {"Set-Cookies", "", 0}} {
		value, n := r.Field(c.name)
		if string(value) != c.value || n != c.n {
			t.Errorf("Field(%q) = %q, %d; want %q, %d", c.name, value, n, c.value, c.n)
		}
	}
	if r.ContentLength() != 0 {
		t.Errorf("ContentLength() = %d", r.ContentLength())
	}
}

// TestContentLength tells the length that the client may be told.
func TestContentLength(t *testing.T) {
	for _, c := range []struct {
		method, answer string
		hold           int64
		want           int64
	}{
		{"GET", okAnswer, 0, 2},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 0, 7},
		{"HEAD", "HTTP/1.1 200 OK\r\n\r\n", 0, -1},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 0, 9},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000), 0, 100000},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 9, 2},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1, -1},
	} {
		s := serve(t, answering(c.answer))
		p := newPool(t, nil, s.url())
		var r Response
		if err := p.Do(context.Background(), &Request{Method: c.method, Target: []byte("/"), MaxHold: c.hold}, &r); err != nil {
			t.Fatal(err)
		}
		if got := r.ContentLength(); got != c.want {
			t.Errorf("%s %q: %d, want %d", c.method, short(outcome{body: c.answer}).body, got, c.want)
		}
		r.Release()
	}
}
