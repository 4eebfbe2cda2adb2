package upstream

import (
	"crypto/tls"
	"errors"
	"io"
)

// conn is a connection to an endpoint. It belongs to one exchange, or to the
// pool.
type conn struct {
	link
	tls     *tls.Conn // nil in the clear
	e       *endpoint
	expires moment // when it is too old to be used again
	used    moment // when it was last taken
	kept    bool   // it served an exchange before
	cut     func() // closes it from another goroutine, bound once
}

// read reads content, through TLS where there is TLS. An end that TLS does
// not announce is no orderly one: anybody can make it (RFC 8446 section 6.1).
func (c *conn) read(b []byte) (n int, err error) {
	if c.tls == nil {
		return c.Read(b)
	}
	n, err = c.tls.Read(b)
	if errors.Is(err, io.EOF) && c.ended {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// write writes content, through TLS where there is TLS.
func (c *conn) write(b []byte) (n int, err error) {
	if c.tls != nil {
		return c.tls.Write(b)
	}
	return c.Write(b)
}

// start sends out, the request or its beginning, and with more false waits
// for the first bytes of the answer. sent is how much of out left this
// machine; with more true, or where not all of it could be sent at once, the
// error is errPartial.
func (c *conn) start(out, in []byte, more bool) (n, sent int, err error) {
	if c.tls == nil {
		if more {
			in = nil
		}
		return c.exchange(out, in, !c.kept)
	}
	if c.kept && !c.clean() {
		return 0, 0, errStale
	}
	if more || len(out) > maxJoined {
		return 0, 0, errPartial
	}
	if _, err = c.tls.Write(out); err != nil {
		// What the peer made of a part of a record is not known.
		return 0, len(out), err
	}
	n, err = c.read(in)
	if n > 0 {
		return n, len(out), nil
	}
	return 0, len(out), err
}

// clean tells whether a kept connection has nothing to say. Under TLS
// records may have come that are no content, such as session tickets and key
// updates; they are taken in.
func (c *conn) clean() bool {
	return c.quiet() || c.tls != nil && c.drained(reads{still: true})
}

// settled tells whether nothing beyond the answer was read. Without TLS
// nothing can have been: what the kernel still has is seen before the next
// exchange.
func (c *conn) settled() bool {
	return c.tls == nil || c.drained(reads{dry: true})
}

// drained tells whether TLS holds neither content nor a part of a record.
func (c *conn) drained(how reads) bool {
	c.reads = how
	var one [1]byte
	n, err := c.tls.Read(one[:])
	c.reads = reads{}
	return n == 0 && errors.Is(err, errWouldWait) && c.records.whole()
}

// close closes the connection at once, without TLS's good-bye: it may not
// wait for a peer that does not read.
func (c *conn) close() { _ = c.Close() }
