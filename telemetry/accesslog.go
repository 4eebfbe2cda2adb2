package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Record is what there is to count and to log of one request. Its strings may
// be lent: what is kept of them is copied. There is no place for a header or
// a token.
type Record struct {
	Time      time.Time // when the request's head was complete
	RequestID string
	Reason    string // one of the words that New was given
	Rule      string
	Method    string
	Host      string
	Path      string // without the query; what follows a ? or # is cut off
	Status    int
	Bytes     int64 // of the answer's content, as sent
	Duration  time.Duration
	Hop       time.Duration // without waiting for the upstream
	Upstream  time.Duration // waiting for the upstream
	Endpoint  string        // address that answered
	Attempts  int
	Cache     CacheResult // empty: the route has no cache
	ClientIP  string
	UserID    string
	OrgID     string
	Issuer    string // the issuer's name in the configuration
	Report    bool   // would have been denied, but the route only reports
	Denial    string // the reason of that

	// For the figures alone.
	Verify time.Duration // to verify a token; 0: none was
	Known  bool          // that token was found in the verified-token cache
	Decide time.Duration // to evaluate the route's rules; 0: they were not
}

// Limits of the access log. Each lane in use keeps two batches of this size:
// one that requests fill, one that is being written.
const (
	maxBatchText  = 512 << 10              // bytes
	maxBatchLines = maxBatchText / 128     // a line without any text takes about that
	flushInterval = 100 * time.Millisecond // between two batches, unless half full
	writeSize     = 64 << 10
)

// AccessLog writes one JSON object per request on a goroutine of its own. It
// never blocks a request and allocates nothing but the batches: where the
// writer can't keep up, lines are dropped and counted. All methods may be
// called concurrently.
type AccessLog struct {
	path  string // of the file, where it is one
	lanes [lanes]logLane

	idle    atomic.Bool   // the worker waits for the next line
	wake    chan struct{} // something to write
	urgent  chan struct{} // half full: do not wait for the interval
	closing chan struct{}
	done    chan struct{}
	dropped atomic.Uint64

	mu     sync.Mutex // Reopen and Close exclude each other
	closed bool

	// The rest is the worker's.
	next atomic.Pointer[os.File] // replaces out, after Reopen
	out  io.Writer
	file *os.File // out, where it must be closed
	buf  []byte
}

// logLane is what requests of one core fill.
type logLane struct {
	mu     sync.Mutex
	closed bool
	called bool // the worker knows that front is half full
	front  batch
	clock  stamp
	back   batch // the worker's
	_      apart
}

// batch is lines, ready to be written.
type batch struct {
	text    []byte
	lines   []line
	written int // how many of the lines were merged with those of others
}

// next gives the first line that was not merged yet.
func (b *batch) next() []byte {
	start := 0
	if b.written > 0 {
		start = b.lines[b.written-1].end
	}
	b.written++
	return b.text[start:b.lines[b.written-1].end]
}

// line is what puts the lines of several lanes in order.
type line struct {
	at  int64 // when the request was answered, in nanoseconds since 1970
	end int   // of the line in text
}

// Open starts an access log to dest: stdout, stderr, off, or the path of a
// file, which is appended to and made with mode 0640.
func Open(dest string) (*AccessLog, error) {
	switch dest {
	case "off":
		return &AccessLog{closed: true}, nil
	case "stdout":
		return NewAccessLog(os.Stdout), nil
	case "stderr":
		return NewAccessLog(os.Stderr), nil
	}
	file, err := openAppend(dest)
	if err != nil {
		return nil, err
	}
	l := newAccessLog(file)
	l.path, l.file = dest, file
	go l.run()
	return l, nil
}

func openAppend(path string) (*os.File, error) {
	// Requests' paths and users' ids are not for everyone on the machine.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640) //nolint:gosec // the operator names the file, and log collectors read it as a group
	if err != nil {
		return nil, fmt.Errorf("can't open the access log: %w", err)
	}
	return file, nil
}

// NewAccessLog starts an access log to w, which only the log's goroutine
// uses and does not close.
func NewAccessLog(w io.Writer) *AccessLog {
	l := newAccessLog(w)
	go l.run()
	return l
}

func newAccessLog(w io.Writer) *AccessLog {
	return &AccessLog{
		out:     w,
		wake:    make(chan struct{}, 1),
		urgent:  make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
}

func newBatch() batch {
	return batch{text: make([]byte, 0, maxBatchText), lines: make([]line, 0, maxBatchLines)}
}

// Dropped gives the number of records that were lost: the writer was too
// slow, failed, or the log was closed.
func (l *AccessLog) Dropped() uint64 { return l.dropped.Load() }

// log takes a record. Route and verdict are the members of its line that are
// known beforehand.
func (l *AccessLog) log(n lane, route, verdict string, r *Record) {
	a := &l.lanes[n]
	a.mu.Lock()
	if a.closed || !a.add(r, route, verdict) {
		a.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	call := !a.called && len(a.front.text) >= maxBatchText/2
	a.called = a.called || call
	a.mu.Unlock()
	if l.idle.Load() && l.idle.CompareAndSwap(true, false) {
		signal(l.wake)
	}
	if call {
		signal(l.urgent)
	}
}

// add reports false where the batch may have no room for the line.
func (a *logLane) add(r *Record, route, verdict string) bool {
	if a.front.text == nil {
		a.front = newBatch()
	}
	b := &a.front
	if len(b.lines) == cap(b.lines) || cap(b.text)-len(b.text) < maxLineFrame+len(route)+len(verdict)+textSize(r) {
		return false
	}
	b.text = appendLine(b.text, r, route, verdict, &a.clock)
	b.lines = append(b.lines, line{r.Time.UnixNano() + int64(r.Duration), len(b.text)})
	return true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Reopen opens the log's file anew, after it was rotated away. Where the log
// is no file it does nothing. On an error the log goes on in the old file.
func (l *AccessLog) Reopen() error {
	if l.path == "" {
		return nil
	}
	file, err := openAppend(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	unused := file
	if !l.closed {
		unused = l.next.Swap(file)
		signal(l.wake)
	}
	if unused != nil {
		unused.Close() //nolint:errcheck // nothing was written to it
	}
	return nil
}

// Close writes what is left and ends the log. It waits until that is done or
// ctx is, and then gives ctx's error. Later records are dropped.
func (l *AccessLog) Close(ctx context.Context) error {
	if l.done == nil {
		return nil
	}
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		for n := range l.lanes {
			a := &l.lanes[n]
			a.mu.Lock()
			a.closed = true
			a.mu.Unlock()
		}
		close(l.closing)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the access log's reader does not take what is left: %w", context.Cause(ctx))
	}
}

// run writes batches: the first record after a pause at once, later ones in
// intervals, so that a busy gate wakes it some ten times a second and not
// once per request, and an idle one never.
func (l *AccessLog) run() {
	defer close(l.done)
	pause := time.NewTimer(flushInterval)
	defer pause.Stop()
	for {
		// In this order: a record that comes in between is seen here, or
		// sees that the worker is idle.
		l.idle.Store(true)
		if !l.pending() {
			select {
			case <-l.wake:
			case <-l.closing:
				l.write()
				if l.file != nil {
					l.file.Close() //nolint:errcheck // every write was checked
				}
				return
			}
		}
		l.idle.Store(false)
		l.write()
		pause.Reset(flushInterval)
		select {
		case <-pause.C:
		case <-l.urgent:
		case <-l.closing:
		}
	}
}

// pending tells whether there is something to write.
func (l *AccessLog) pending() bool {
	for n := range l.lanes {
		a := &l.lanes[n]
		a.mu.Lock()
		some := len(a.front.lines) > 0
		a.mu.Unlock()
		if some {
			return true
		}
	}
	return l.next.Load() != nil
}

// write swaps the batches and writes those that requests filled, in the order
// in which the requests were answered.
func (l *AccessLog) write() {
	if file := l.next.Swap(nil); file != nil {
		l.file.Close() //nolint:errcheck // every write was checked
		l.out, l.file = file, file
	}
	var full [lanes]*batch
	taken := full[:0]
	for n := range l.lanes {
		a := &l.lanes[n]
		a.mu.Lock()
		if len(a.front.lines) > 0 {
			a.front, a.back = a.back, a.front
			a.called = false
			taken = append(taken, &a.back)
		}
		a.mu.Unlock()
	}
	if len(taken) == 1 {
		l.flush(taken[0].text)
	} else {
		l.merge(taken)
	}
	for _, b := range taken {
		b.text, b.lines, b.written = b.text[:0], b.lines[:0], 0
	}
}

// merge writes the lines of several batches.
func (l *AccessLog) merge(batches []*batch) {
	if l.buf == nil {
		l.buf = make([]byte, 0, 2*writeSize)
	}
	for {
		var first *batch
		for _, b := range batches {
			if b.written < len(b.lines) && (first == nil || b.lines[b.written].at < first.lines[first.written].at) {
				first = b
			}
		}
		if first == nil {
			break
		}
		l.buf = append(l.buf, first.next()...)
		if len(l.buf) >= writeSize {
			l.flush(l.buf)
			l.buf = l.buf[:0]
		}
	}
	l.flush(l.buf)
	l.buf = l.buf[:0]
}

// flush writes lines. What the writer does not take is lost.
func (l *AccessLog) flush(lines []byte) {
	if len(lines) == 0 {
		return
	}
	n, err := l.out.Write(lines)
	if err != nil {
		// There is nobody to tell but the metric; requests go on.
		l.dropped.Add(uint64(bytes.Count(lines[min(max(n, 0), len(lines)):], []byte("\n"))))
	}
}
