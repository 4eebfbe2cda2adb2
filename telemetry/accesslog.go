package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// Record is what the access log says about one request. Its strings may be
// lent: Log copies them. There is no place for a header or a token.
type Record struct {
	Time      time.Time // when the request's head was complete
	RequestID string
	Route     string // id of the route; empty where none matched
	Decision  string // allow or deny
	Reason    string
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
	Cache     string // hit, stale, stale_error, miss, collapsed, bypass
	ClientIP  string
	UserID    string
	OrgID     string
	Issuer    string // the issuer's name in the configuration
	Report    bool   // would have been denied, but the route only reports
	Denial    string // the reason of that
}

// Limits of the access log. Two batches of this size are kept: one that
// requests fill, one that is being written.
const (
	maxBatchRecords = 4096
	maxBatchText    = 1 << 20               // bytes
	maxLoggedText   = 1 << 10               // bytes of one field; more is cut off
	flushInterval   = 10 * time.Millisecond // between two batches, unless half full
	writeSize       = 64 << 10
)

const ellipsis = "…"

// AccessLog writes one JSON object per request on a goroutine of its own.
// Log never blocks and never allocates: where the writer can't keep up,
// records are dropped and counted. All methods may be called concurrently.
type AccessLog struct {
	path string // of the file, where it is one

	mu     sync.Mutex
	front  *batch // requests fill this one
	closed bool

	wake    chan struct{} // something to write
	urgent  chan struct{} // half full: do not wait for the interval
	closing chan struct{}
	done    chan struct{}
	dropped atomic.Uint64

	// The rest is the worker's.
	next atomic.Pointer[os.File] // replaces out, after Reopen
	out  io.Writer
	file *os.File // out, where it must be closed
	back *batch
	buf  bytes.Buffer
	held uint64 // records in buf
}

// batch holds records without pointers, so that the garbage collector has
// nothing to look at.
type batch struct {
	records []packed
	text    []byte // the strings of all records, in order
}

const texts = 15 // string fields of a Record

type packed struct {
	time                    int64 // nanoseconds since 1970
	bytes                   int64
	duration, hop, upstream time.Duration
	status, attempts        int32
	report                  bool
	lens                    [texts]uint16
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
	l := &AccessLog{
		front:   newBatch(),
		back:    newBatch(),
		out:     w,
		wake:    make(chan struct{}, 1),
		urgent:  make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	return l
}

func newBatch() *batch {
	return &batch{records: make([]packed, 0, maxBatchRecords), text: make([]byte, 0, maxBatchText)}
}

// Enabled tells whether records are wanted at all, for callers that can save
// the work of making them.
func (l *AccessLog) Enabled() bool { return l.done != nil }

// Dropped gives the number of records that were lost: the writer was too
// slow, failed, or the log was closed.
func (l *AccessLog) Dropped() uint64 { return l.dropped.Load() }

// Log takes a record. It copies what it keeps.
func (l *AccessLog) Log(r *Record) {
	if l.done == nil {
		return
	}
	path := r.Path
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	strs := [texts]string{r.RequestID, r.Route, r.Decision, r.Reason, r.Rule, r.Method, r.Host, path, r.Endpoint, r.Cache, r.ClientIP, r.UserID, r.OrgID, r.Issuer, r.Denial}
	p := packed{
		time: r.Time.UnixNano(), bytes: r.Bytes,
		duration: r.Duration, hop: r.Hop, upstream: r.Upstream,
		status: int32(r.Status), attempts: int32(r.Attempts),
		report: r.Report,
	}
	l.mu.Lock()
	if l.closed || !l.front.add(&p, &strs) {
		l.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	half := len(l.front.records) >= maxBatchRecords/2 || len(l.front.text) >= maxBatchText/2
	l.mu.Unlock()
	signal(l.wake)
	if half {
		signal(l.urgent)
	}
}

// add reports false where the batch is full.
func (b *batch) add(p *packed, strs *[texts]string) bool {
	if len(b.records) == cap(b.records) {
		return false
	}
	start := len(b.text)
	for i, s := range strs {
		cut := len(s) > maxLoggedText
		if cut {
			s = s[:cutAt(s, maxLoggedText-len(ellipsis))]
		}
		if len(b.text)+len(s)+len(ellipsis) > cap(b.text) {
			b.text = b.text[:start]
			return false
		}
		p.lens[i] = uint16(len(s)) // at most maxLoggedText
		b.text = append(b.text, s...)
		if cut {
			b.text = append(b.text, ellipsis...)
			p.lens[i] += uint16(len(ellipsis))
		}
	}
	b.records = append(b.records, *p)
	return true
}

// cutAt gives the largest length up to n that splits no character of s.
func cutAt(s string, n int) int {
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return n
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
// intervals, so that a busy gate wakes it a hundred times a second and not
// once per request.
func (l *AccessLog) run() {
	defer close(l.done)
	pause := time.NewTimer(flushInterval)
	defer pause.Stop()
	for {
		select {
		case <-l.wake:
		case <-l.closing:
			l.write()
			if l.file != nil {
				l.file.Close() //nolint:errcheck // every write was checked
			}
			return
		}
		l.write()
		pause.Reset(flushInterval)
		select {
		case <-pause.C:
		case <-l.urgent:
		case <-l.closing:
		}
	}
}

// write swaps the batches and writes the full one.
func (l *AccessLog) write() {
	if file := l.next.Swap(nil); file != nil {
		l.file.Close() //nolint:errcheck // every write was checked
		l.out, l.file = file, file
	}
	l.mu.Lock()
	l.front, l.back = l.back, l.front
	l.mu.Unlock()
	text := l.back.text
	for i := range l.back.records {
		text = l.encode(&l.back.records[i], text)
		if l.buf.Len() >= writeSize {
			l.flush()
		}
	}
	l.flush()
	l.back.records, l.back.text = l.back.records[:0], l.back.text[:0]
}

func (l *AccessLog) flush() {
	if l.buf.Len() == 0 {
		return
	}
	if _, err := l.out.Write(l.buf.Bytes()); err != nil {
		// There is nobody to tell but the metric; requests go on.
		l.dropped.Add(l.held)
	}
	l.buf.Reset()
	l.held = 0
}

// encode appends the JSON of a record, whose strings stand at the start of
// text, and gives the rest of text. It writes what slog's JSONHandler would:
// the log is most of what a busy gate writes, and the handler's generality
// costs several times as much as this.
func (l *AccessLog) encode(p *packed, text []byte) []byte {
	var strs [texts][]byte
	for i, n := range p.lens {
		strs[i], text = clean(text[:n]), text[n:]
	}
	level := slog.LevelInfo
	if p.status >= 500 {
		level = slog.LevelError
	}
	b := l.buf.AvailableBuffer()
	b = append(b, `{"time":"`...)
	b = time.Unix(0, p.time).UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, level.String()...)
	b = append(b, `","msg":"request"`...)
	str := func(key string, i int) {
		if len(strs[i]) > 0 {
			b = appendMember(b, key)
			b = appendJSON(b, strs[i])
		}
	}
	str("request_id", 0)
	str("route", 1)
	str("decision", 2)
	str("reason", 3)
	str("rule", 4)
	str("method", 5)
	str("host", 6)
	str("path", 7)
	b = strconv.AppendInt(appendMember(b, "status"), int64(p.status), 10)
	b = strconv.AppendInt(appendMember(b, "bytes"), p.bytes, 10)
	b = appendMilliseconds(appendMember(b, "duration_ms"), p.duration)
	b = appendMilliseconds(appendMember(b, "hop_ms"), p.hop)
	if p.attempts > 0 {
		b = appendMilliseconds(appendMember(b, "upstream_ms"), p.upstream)
		str("upstream", 8)
		b = strconv.AppendInt(appendMember(b, "attempts"), int64(p.attempts), 10)
	}
	str("cache", 9)
	str("client_ip", 10)
	str("user_id", 11)
	str("org_id", 12)
	str("issuer", 13)
	if p.report {
		b = append(appendMember(b, "report"), "true"...)
		str("report_reason", 14)
	}
	b = append(b, "}\n"...)
	l.buf.Write(b)
	l.held++
	return text
}

func appendMember(b []byte, key string) []byte {
	b = append(b, `,"`...)
	b = append(b, key...)
	return append(b, `":`...)
}

// appendMilliseconds writes a time with three decimals at most.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	b = strconv.AppendInt(b, us/1000, 10)
	if us %= 1000; us != 0 {
		b = append(b, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return b
}

// appendJSON writes a JSON string. What is no UTF-8 becomes U+FFFD.
func appendJSON(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[from:i]...)
				b = append(b, "\uFFFD"...)
				i++
				from = i
				continue
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// clean replaces what a terminal could take for a command. JSON escapes the
// C0 control characters by itself, but neither DEL, the C1 ones, nor those
// that turn the direction of writing.
func clean(s []byte) []byte {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return bytes.Map(func(r rune) rune {
		if r >= 0x7f && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r)) {
			return utf8.RuneError
		}
		return r
	}, s)
}
