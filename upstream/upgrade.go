package upstream

import (
	"bytes"
	"context"
	"net"
	"sync"
	"time"
)

// Upgrade sends q with Connection: Upgrade and Upgrade: protocol (RFC 9110
// section 7.8). Where the upstream switches (101), the connection is given:
// it belongs to the caller, counts as one of the upstream's connections
// until it is closed, and is never used for anything else. r has the 101's
// fields. HTTP/2 has no such thing, and the error is ErrInvalid. Where the
// upstream answers otherwise, the connection is nil and r
// is an answer as from Do.
//
// ctx bounds the exchange up to the answer, not what follows. The upgraded
// connection has no deadlines but those the caller sets. Reads and writes
// may be concurrent.
func (p *Pool) Upgrade(ctx context.Context, protocol string, q *Request, r *Response) (net.Conn, error) {
	if p.multiplexed || !validProtocol(protocol) || q.Stream != nil || len(q.Body) > 0 {
		return nil, errRequest
	}
	if err := p.do(ctx, q, r, protocol); err != nil || r.head.status != 101 {
		return nil, err
	}
	c := r.c
	r.c = nil
	if r.unwatch != nil && !r.unwatch() {
		c.close()
		p.give(c.e, nil)
		return nil, broken(ctx, ctx.Err())
	}
	r.body.kind, r.body.from, r.body.to = bodyless, r.head.line, r.head.line
	c.readBy, c.writeBy = deadline{}, deadline{}
	u := &upgraded{Conn: c.Conn, p: p, conn: c, early: bytes.Clone(r.buf[r.head.line:])}
	if c.tls != nil {
		u.Conn = c.tls
	}
	if err := u.SetDeadline(time.Time{}); err != nil {
		_ = u.Close()
		return nil, broken(ctx, err)
	}
	return u, nil
}

// validProtocol accepts protocol-name ["/" protocol-version], both tokens.
func validProtocol(p string) bool {
	for i := range len(p) {
		if p[i] == '/' {
			return isToken(p[:i]) && isToken(p[i+1:])
		}
	}
	return isToken(p)
}

// upgraded is a connection that speaks another protocol.
type upgraded struct {
	net.Conn // with TLS, where there is TLS
	p        *Pool
	conn     *conn
	early    []byte // came with the answer
	once     sync.Once
}

// Read gives first what came with the answer.
func (u *upgraded) Read(b []byte) (int, error) {
	if len(u.early) > 0 {
		n := copy(b, u.early)
		u.early = u.early[n:]
		return n, nil
	}
	return u.Conn.Read(b)
}

// Close closes the connection and gives its place back. It may be called
// again.
func (u *upgraded) Close() error {
	var err error
	u.once.Do(func() {
		err = u.conn.Close()
		u.p.give(u.conn.e, nil)
	})
	return err
}
