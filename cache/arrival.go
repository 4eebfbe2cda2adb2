package cache

import (
	"context"
	"errors"
	"io"
	"sync"
)

// An Arrival is an answer whose body is still arriving. All who asked for it
// read it as it comes, each at their own pace; the exchange writes it. It
// holds the whole body, which is why its length is known from the start.
//
// Its methods are safe for concurrent use, but that only one may write.
type Arrival struct {
	head *Answer // without a body
	body []byte  // of full length; written from the front

	mu    sync.Mutex
	ready int           // how much of body is there
	ended bool          // no more comes
	err   error         // why, if not because it is whole
	more  chan struct{} // closed when any of these changes
}

func newArrival(head *Answer, length int) *Arrival {
	return &Arrival{head: head, body: make([]byte, length), more: make(chan struct{})}
}

// Len is the length of the whole body.
func (a *Arrival) Len() int { return len(a.body) }

// errTooMuch is what writing beyond the length gives.
var errTooMuch = errors.New("the body is longer than was said")

// Write adds to the body. It copies p.
func (a *Arrival) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(p) > len(a.body)-a.ready {
		return 0, errTooMuch
	}
	// Readers only look at what is before ready.
	copy(a.body[a.ready:], p)
	a.ready += len(p)
	a.wake()
	return len(p), nil
}

// Answer returns the whole answer, for the exchange to return, or an error if
// it is not whole.
func (a *Arrival) Answer() (*Answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ready < len(a.body) {
		return nil, io.ErrUnexpectedEOF
	}
	whole := *a.head
	whole.body = a.body
	return &whole, nil
}

// end tells the readers that no more comes. Only the first call counts.
func (a *Arrival) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.ended, a.err = true, err
		a.wake()
	}
}

func (a *Arrival) wake() {
	close(a.more)
	a.more = make(chan struct{})
}

// Reader returns a reader of the body from its beginning, which waits for
// what has not come yet, at most until ctx ends. Where the upstream breaks
// off it gives what came before the error: whoever passes it on must break
// off as well.
func (a *Arrival) Reader(ctx context.Context) io.Reader {
	return &arrivalReader{arrival: a, ctx: ctx}
}

type arrivalReader struct {
	arrival *Arrival
	ctx     context.Context
	read    int
}

func (r *arrivalReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	a := r.arrival
	for {
		a.mu.Lock()
		ready, ended, err, more := a.ready, a.ended, a.err, a.more
		a.mu.Unlock()
		switch {
		case r.read < ready:
			n := copy(p, a.body[r.read:ready])
			r.read += n
			return n, nil
		case ready == len(a.body):
			return 0, io.EOF
		case ended:
			return 0, err
		}
		select {
		case <-more:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

// A Transfer is what an [Exchange] is told, and how it tells that an answer
// begins to arrive.
type Transfer struct {
	// Validators are what to ask with, in the place of any conditions of the
	// client; zero for none.
	Validators Validators

	cache  *Cache
	flight *flight
}

// Begin makes an answer known whose head is there and whose body, of that
// length, is not. All who wait get it now, or learn that it is not theirs.
// The exchange then writes the body and returns what Answer of the Arrival
// returns, or an error.
//
// It returns nil where there is no use in that: the body is larger than any
// that is stored, the answer has none (to HEAD, or a 304), or one has begun
// already. Then the exchange gathers the body itself, or returns
// ErrNotShared.
func (t *Transfer) Begin(status int, fields func(add func(name, value []byte)), length int) *Arrival {
	f := t.flight
	if length < 0 || int64(length) > t.cache.maxBodyBytes || status == 304 || f.q.method() != "GET" || f.arrival != nil {
		return nil
	}
	var b headBuilder
	if fields != nil {
		fields(b.add)
	}
	f.arrival = newArrival(b.answer(status, nil), length)
	t.cache.begin(f)
	return f.arrival
}
