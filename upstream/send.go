package upstream

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// sender sends what of a request did not go out at once, in a goroutine of
// its own, while the exchange's goroutine reads the answer: an upstream may
// answer before it has read everything (RFC 9112 section 9.3), and one that
// answers while it reads must find a reader.
type sender struct {
	c      *conn
	head   []byte // what is left of the head, with a body that stands behind it
	body   []byte
	stream io.Reader
	length int64 // of stream; -1: chunked
	pause  time.Duration

	moved   atomic.Int64 // when something was sent last, a moment
	asking  atomic.Bool  // in stream.Read
	last    atomic.Bool  // the last bytes are being sent
	stopped atomic.Bool

	done chan struct{} // closed when nothing more is sent
	err  error         // why sending failed; valid when done is closed
}

const (
	pieceSize = 32 << 10
	// pieceHead is the room before a piece for the size line of a chunk.
	pieceHead = 10
)

var pieces = sync.Pool{New: func() any { b := make([]byte, pieceHead+pieceSize+2); return &b }}

// run sends everything.
func (s *sender) run() {
	defer close(s.done)
	s.err = s.send()
	if s.err != nil && errors.Is(s.err, ErrRequestBody) {
		s.c.cut() // nobody waits for the answer to half a request
	}
}

func (s *sender) send() error {
	whole := s.stream == nil
	if whole && len(s.body) == 0 {
		s.last.Store(true)
	}
	if err := s.write(s.head); err != nil {
		return err
	}
	if whole {
		for b := s.body; len(b) > 0; {
			n := min(len(b), pieceSize)
			s.last.Store(n == len(b))
			if err := s.write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	}
	piece := pieces.Get().(*[]byte)
	defer pieces.Put(piece)
	if s.length >= 0 {
		return s.counted((*piece)[pieceHead : pieceHead+pieceSize])
	}
	return s.chunks(*piece)
}

// counted sends a stream of known length.
func (s *sender) counted(piece []byte) error {
	for left := s.length; left > 0; {
		n, err := s.read(piece[:min(int64(len(piece)), left)])
		left -= int64(n)
		s.last.Store(left == 0)
		if werr := s.write(piece[:n]); werr != nil {
			return werr
		}
		switch {
		case left == 0:
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it is shorter than its length", ErrRequestBody)
		case err != nil:
			return err
		}
	}
	s.last.Store(true)
	return nil
}

// chunks sends a stream chunk by chunk, each as soon as it is there.
func (s *sender) chunks(piece []byte) error {
	for {
		n, err := s.read(piece[pieceHead : pieceHead+pieceSize])
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n > 0 {
			var line [pieceHead]byte
			size := append(strconv.AppendInt(line[:0], int64(n), 16), "\r\n"...)
			from := pieceHead - len(size)
			copy(piece[from:], size)
			end := pieceHead + n
			end += copy(piece[end:], "\r\n")
			if werr := s.write(piece[from:end]); werr != nil {
				return werr
			}
		}
		if err != nil {
			s.last.Store(true)
			return s.write([]byte("0\r\n\r\n"))
		}
	}
}

// errStopped ends sending after an early answer.
var errStopped = errors.New("sending was stopped")

func (s *sender) read(b []byte) (int, error) {
	if s.stopped.Load() {
		return 0, errStopped
	}
	s.asking.Store(true)
	n, err := s.stream.Read(b)
	s.moved.Store(int64(readClock()))
	s.asking.Store(false)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case s.stopped.Load():
		return 0, errStopped
	}
	return n, fmt.Errorf("%w: %w", ErrRequestBody, err)
}

func (s *sender) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if s.stopped.Load() {
		return errStopped
	}
	if s.stream != nil {
		now := readClock()
		s.c.writeUntil(now, now.add(s.pause))
	}
	_, err := s.c.write(b)
	s.moved.Store(int64(readClock()))
	return err
}

// moving tells until when the answer may be waited for while a stream is
// being sent: as long as the client is being read, and then for as long as
// an upstream may take from the last progress on.
func (s *sender) moving(now moment) moment {
	if s.asking.Load() {
		return now.add(s.pause)
	}
	return moment(s.moved.Load()).add(s.pause)
}

// over tells whether all was sent, waiting a moment where it is just about
// to be: an answer may overtake the news that its request has left.
func (s *sender) over() bool {
	if !s.last.Load() {
		return false
	}
	patience := time.NewTimer(10 * time.Millisecond)
	defer patience.Stop()
	select {
	case <-s.done:
		return s.err == nil
	case <-patience.C:
		return false
	}
}

// stop ends sending. The connection can only be closed afterwards.
func (s *sender) stop() {
	if s.stopped.Swap(true) {
		return
	}
	s.c.halt()
	select {
	case <-s.done:
		if s.err == nil || errors.Is(s.err, ErrRequestBody) {
			return // the stream is at its end
		}
	default:
	}
	if c, ok := s.stream.(io.Closer); ok {
		_ = c.Close()
	}
}
