package upstream

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// upload is a request's body on its way over HTTP/2. net/http reads it in a
// goroutine of its own, which may outlive the exchange by a moment: once
// closed, upload touches what it reads from no more.
type upload struct {
	from   io.Reader
	length int64 // -1: not known
	duplex bool
	stream bool // from is the request's Stream, not its Body

	began   atomic.Bool
	asking  atomic.Bool  // in from.Read
	moved   atomic.Int64 // when something was read last, a moment
	ended   atomic.Bool  // all of it was read, or it failed
	stopped atomic.Bool

	closing sync.Mutex // held while from is closed

	mu   sync.Mutex // held while from is read
	left int64
	err  error // why reading failed
}

// newUpload makes the body of a request; nil where it has none.
func newUpload(q *Request, body io.Reader) *upload {
	u := &upload{from: body, length: int64(len(q.Body))}
	if q.Stream != nil {
		u.from, u.length, u.stream, u.duplex = q.Stream, q.Length, true, q.Duplex
	}
	if u.length == 0 {
		return nil
	}
	u.left = u.length
	u.moved.Store(int64(readClock()))
	return u
}

// Read implements io.Reader for net/http.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.stopped.Load():
		return 0, errStopped
	case u.err != nil:
		return 0, u.err
	case u.left == 0:
		return 0, io.EOF
	}
	if u.left > 0 && int64(len(p)) > u.left {
		p = p[:u.left]
	}
	u.began.Store(true)
	u.asking.Store(true)
	n, err := u.from.Read(p)
	u.moved.Store(int64(readClock()))
	u.asking.Store(false)
	if u.left > 0 {
		u.left -= int64(n)
	}
	switch {
	case u.left == 0:
		// net/http looks for more than the length unless told of the end.
		err = io.EOF
	case err == nil:
		return n, nil
	case u.stopped.Load():
		err = errStopped
	case !errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: %w", ErrRequestBody, err)
	case u.left > 0:
		err = fmt.Errorf("%w: it is shorter than its length", ErrRequestBody)
	default:
		err = io.EOF
	}
	u.err = err
	u.ended.Store(true)
	return n, err
}

// Close stops reading, and lets a Read that waits for the client return.
// When it returns from is closed, whoever has done it.
func (u *upload) Close() error {
	u.closing.Lock()
	defer u.closing.Unlock()
	if u.stopped.Swap(true) || u.ended.Load() {
		return nil
	}
	if c, ok := u.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// settle closes the body and waits until nothing reads it.
func (u *upload) settle() error {
	_ = u.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	if errors.Is(u.err, ErrRequestBody) {
		return u.err
	}
	return nil
}

// moving tells until when the answer may be waited for, as sender.moving
// does. With both sides talking at will, time in which the client is asked
// counts as well.
func (u *upload) moving(now moment, pause time.Duration) moment {
	if u.asking.Load() && !u.duplex {
		return now.add(pause)
	}
	return moment(u.moved.Load()).add(pause)
}
