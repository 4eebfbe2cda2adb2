package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// The routes whose requests go to the logs.
var (
	words   = New(Reason{"allowed", true}, Reason{"route_not_found", false})
	logging = words.Route("read-self")
	nowhere = words.Route("")
)

func full() Record {
	return Record{
		Time:      time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC),
		RequestID: "01J", Reason: "allowed", Rule: "is_self",
		Method: "GET", Host: "api.example.com", Path: "/v1/users/user_1",
		Status: 200, Bytes: 512, Duration: 12345 * time.Microsecond, Hop: 60 * time.Microsecond, Upstream: 12 * time.Millisecond,
		Endpoint: "127.0.0.1:9000", Attempts: 1, Cache: "miss",
		ClientIP: "192.0.2.1", UserID: "user_1", OrgID: "org_1", Issuer: "clerk", Report: true,
	}
}

// written gives what a log writes for the records.
func written(t *testing.T, route *RouteMetrics, records ...Record) string {
	t.Helper()
	var out bytes.Buffer
	l := NewAccessLog(&out)
	for i := range records {
		route.Answered(&records[i], l)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.Dropped() != 0 {
		t.Fatalf("%d records dropped", l.Dropped())
	}
	return out.String()
}

func TestAccessLogFields(t *testing.T) {
	const want = `{"time":"2026-03-01T12:00:00.005Z","level":"INFO","msg":"request","request_id":"01J","route":"read-self",` +
		`"decision":"allow","reason":"allowed","rule":"is_self","method":"GET","host":"api.example.com","path":"/v1/users/user_1",` +
		`"status":200,"bytes":512,"duration_ms":12.345,"hop_ms":0.06,"upstream_ms":12,"upstream":"127.0.0.1:9000","attempts":1,` +
		`"cache":"miss","client_ip":"192.0.2.1","user_id":"user_1","org_id":"org_1","issuer":"clerk","report":true}` + "\n"
	if got := written(t, logging, full()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAccessLogLeavesOutWhatIsAbsent(t *testing.T) {
	got := written(t, nowhere, Record{Time: time.Unix(0, 0), Method: "GET", Status: 502, Reason: "route_not_found"})
	const want = `{"time":"1970-01-01T00:00:00Z","level":"ERROR","msg":"request","decision":"deny","reason":"route_not_found","method":"GET","status":502,"bytes":0,"duration_ms":0,"hop_ms":0}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAccessLogUntrustedText(t *testing.T) {
	long := strings.Repeat("é", 2000)
	for _, test := range []struct{ name, in, want string }{
		{"line break", "/a\nGET /b", "/a\nGET /b"},
		{"quote", `/a","status":200,"x":"`, `/a","status":200,"x":"`},
		{"nul and escape", "/\x00\x1b[2J", "/\x00\x1b[2J"},
		{"invalid UTF-8", "/\xff\xfe", "/\ufffd\ufffd"},
		{"C1, DEL and bidi", "/\u009b2J\x7f\u202e", "/\ufffd2J\ufffd\ufffd"},
		{"line separator", "/\u2028", "/\u2028"},
		{"letters of the world", "/größe/日本", "/größe/日本"},
		{"long", long, long[:maxLoggedText-len(ellipsis)-1] + ellipsis},
		{"longest", strings.Repeat("a", maxLoggedText), strings.Repeat("a", maxLoggedText)},
		{"query", "/a?token=eyJhbGciOi", "/a"},
		{"fragment", "/a#access_token=eyJhbGciOi", "/a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			line := written(t, nowhere, Record{Path: test.in, Method: "GET", Status: 400})
			if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
				t.Errorf("not one line: %q", line)
			}
			for _, r := range line[:len(line)-1] {
				if r < 0x20 || r >= 0x7f && r <= 0x9f {
					t.Errorf("control character %U in the log", r)
				}
			}
			var got struct{ Path string }
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatal(err)
			}
			if got.Path != test.want {
				t.Errorf("path %q, want %q", got.Path, test.want)
			}
		})
	}
}

func TestAccessLogCopiesLentStrings(t *testing.T) {
	var out bytes.Buffer
	l := NewAccessLog(&out)
	lent := []byte("/first")
	r := Record{Path: string(lent), Status: 200}
	logging.Answered(&r, l)
	r.Path = "/other"
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"path":"/first"`) {
		t.Error(out.String())
	}
}

// stuck is a writer that blocks until it is released.
type stuck struct {
	entered chan struct{}
	release chan struct{}
	once    sync.Once
	n       int
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.release
	s.n += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

func TestBlockedWriterNeverBlocksLog(t *testing.T) {
	w := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	l := NewAccessLog(w)
	r := full()
	logging.Answered(&r, l)
	<-w.entered
	n := uint64(1)
	for ; l.Dropped() == 0; n++ {
		if n > lanes*maxBatchLines {
			t.Fatal("nothing was dropped although nothing was written")
		}
		logging.Answered(&r, l) // would hang here
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v", err)
	}
	close(w.release)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := uint64(w.n) + l.Dropped(); got != n {
		t.Errorf("%d written and dropped, want %d", got, n)
	}
	logging.Answered(&r, l)
	if got := uint64(w.n) + l.Dropped(); got != n+1 {
		t.Error("a record after Close was not counted as dropped")
	}
}

func TestBlockedPipeNeverBlocksLog(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l := NewAccessLog(write)
	r := full()
	for l.Dropped() == 0 {
		logging.Answered(&r, l)
	}
	// The reader goes away: the write fails, and the log ends all the same.
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestFailingWriterCounts(t *testing.T) {
	l := NewAccessLog(failing{})
	r := full()
	for range 10 {
		logging.Answered(&r, l)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.Dropped() != 10 {
		t.Errorf("%d dropped, want 10", l.Dropped())
	}
}

// lines counts the lines written to it.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.n.Add(int64(bytes.Count(p, []byte("\n"))))
	return len(p), nil
}

func TestAccessLogWritesWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		l := NewAccessLog(&out)
		r := full()
		logging.Answered(&r, l)
		synctest.Wait()
		if n := out.n.Load(); n != 1 {
			t.Errorf("%d lines after the first record, want it at once", n)
		}
		logging.Answered(&r, l)
		synctest.Wait()
		if n := out.n.Load(); n != 1 {
			t.Errorf("%d lines, want the second one to wait", n)
		}
		time.Sleep(flushInterval)
		synctest.Wait()
		if n := out.n.Load(); n != 2 {
			t.Errorf("%d lines after the interval, want 2", n)
		}
		const enough = lanes * maxBatchText / 2 / 256 // wherever they go, some batch gets half full
		for range enough {
			logging.Answered(&r, l)
		}
		synctest.Wait()
		if n := out.n.Load(); n == 2 {
			t.Error("a half full batch waits")
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAccessLogConcurrently(t *testing.T) {
	var out bytes.Buffer
	l := NewAccessLog(&out)
	const producers, each = 8, 500
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			r := full()
			r.UserID = string(rune('a' + p))
			r.Path = "/of/" + r.UserID
			for i := range each {
				logging.Answered(&r, l)
				if i%100 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if got := uint64(len(lines)) + l.Dropped(); got != producers*each {
		t.Errorf("%d written and dropped, want %d", got, producers*each)
	}
	for _, line := range lines {
		var got struct {
			Path   string
			UserID string `json:"user_id"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if got.Path != "/of/"+got.UserID {
			t.Fatalf("records mixed: %s", line)
		}
	}
}

func TestAccessLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, want no more than 0640", info.Mode())
	}
	r := full()
	r.Path = "/before"
	logging.Answered(&r, l)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	r.Path = "/after"
	logging.Answered(&r, l)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	renamed, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(renewed), "/after") || strings.Contains(string(renamed), "/after") {
		t.Error("the record after Reopen is not in the new file alone")
	}
	if strings.Count(string(renamed)+string(renewed), "\n") != 2 {
		t.Error("a record was lost")
	}
}

func TestAccessLogOpenFails(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "missing", "access.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestAccessLogReopenFailureKeepsFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "access.log")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil {
		t.Error("no error although the directory is gone")
	}
	r := full()
	logging.Answered(&r, l)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir+".old", "access.log"))
	if err != nil || strings.Count(string(got), "\n") != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAccessLogOff(t *testing.T) {
	l, err := Open("off")
	if err != nil {
		t.Fatal(err)
	}
	r := full()
	logging.Answered(&r, l)
	if l.Dropped() != 0 || l.Reopen() != nil || l.Close(t.Context()) != nil {
		t.Error("a log that is off does something")
	}
}

// TestLogKeepsOrder fills several lanes in turn, as requests do that run on
// several cores.
func TestLogKeepsOrder(t *testing.T) {
	var out bytes.Buffer
	l := newAccessLog(&out)
	start := time.Unix(1700000000, 0)
	const n = 1000 // more than one write of the worker
	for i := range n {
		r := full()
		r.Time, r.Duration = start.Add(time.Duration(-i)*time.Second), time.Duration(i)*(time.Second+time.Millisecond)
		r.RequestID = strconv.Itoa(i)
		l.log(lane(i*i%lanes), "", "", &r)
	}
	l.write()
	if got := bytes.Count(out.Bytes(), []byte("\n")); got != n {
		t.Fatalf("%d lines, want %d", got, n)
	}
	i := 0
	for line := range bytes.Lines(out.Bytes()) {
		if !bytes.Contains(line, []byte(`"request_id":"`+strconv.Itoa(i)+`"`)) {
			t.Fatalf("line %d is %s", i, line)
		}
		i++
	}
}

// TestPartialWriteCounts: lines that a writer took count as written.
func TestPartialWriteCounts(t *testing.T) {
	l := newAccessLog(partial(1000))
	for n := range lane(2) {
		r := full()
		for range 10 {
			l.log(n, "", "", &r)
		}
	}
	written := 1000 * 10 / len(l.lanes[0].front.text)
	l.write()
	if got, want := l.Dropped(), uint64(20-written); got != want {
		t.Errorf("%d dropped, want %d", got, want)
	}
}

// partial takes so many bytes of each write.
type partial int

func (p partial) Write([]byte) (int, error) { return int(p), io.ErrShortWrite }

func TestLogDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	// No worker runs, so that lines pile up until they are dropped.
	l := newAccessLog(io.Discard)
	r := full()
	r.Path = strings.Repeat("/é\x00\xff", 1000) + "?q"
	for range lanes * 4 { // the lanes that are used have their batches
		logging.Answered(&r, l)
	}
	if n := testing.AllocsPerRun(100, func() { logging.Answered(&r, l) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for l.Dropped() == 0 {
		logging.Answered(&r, l)
	}
	if n := testing.AllocsPerRun(1000, func() { logging.Answered(&r, l) }); n != 0 {
		t.Errorf("%v allocations when full", n)
	}
}

func TestBatchIsBoundedInBytes(t *testing.T) {
	for name, text := range map[string]string{"plain": "x", "escaped": "\x00", "replaced": "\u009b", "broken": "\xff"} {
		l := newAccessLog(io.Discard)
		long := strings.Repeat(text, 4096)
		r := Record{RequestID: long, Rule: long, Method: long, Host: long, Path: long, Attempts: 1, Endpoint: long, Cache: CacheResult(long), ClientIP: long, UserID: long, OrgID: long, Issuer: long, Report: true, Denial: long}
		for l.Dropped() == 0 {
			l.log(0, "", "", &r)
		}
		b := &l.lanes[0].front
		if len(b.text) > maxBatchText || cap(b.text) != maxBatchText || cap(b.lines) != maxBatchLines {
			t.Errorf("%s: %d bytes of %d", name, len(b.text), cap(b.text))
		}
		if !utf8.Valid(b.text) {
			t.Errorf("%s: a character was split", name)
		}
		if !json.Valid(b.text[:b.lines[0].end]) {
			t.Errorf("%s: no JSON: %s", name, b.text[:b.lines[0].end])
		}
	}
	// The shortest lines do not fill the text before the list of lines.
	l := newAccessLog(io.Discard)
	for l.Dropped() == 0 {
		l.log(0, "", "", &Record{})
	}
	if b := &l.lanes[0].front; len(b.lines) > maxBatchLines || cap(b.lines) != maxBatchLines || !l.lanes[0].called {
		t.Errorf("%d lines of %d", len(b.lines), cap(b.lines))
	}
}

// BenchmarkLog is what counting and logging a request takes.
func BenchmarkLog(b *testing.B) {
	l := newAccessLog(io.Discard)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := full()
		for i := 0; pb.Next(); i++ {
			logging.Answered(&r, l)
			if i%500 == 0 {
				l.forget()
			}
		}
	})
	if l.Dropped() > 0 {
		b.Error("lines were dropped")
	}
}

// forget empties the batches that requests fill.
func (l *AccessLog) forget() {
	for n := range l.lanes {
		a := &l.lanes[n]
		a.mu.Lock()
		a.front.text, a.front.lines = a.front.text[:0], a.front.lines[:0]
		a.mu.Unlock()
	}
}

// BenchmarkWrite is what one record of two lanes costs, the worker's part
// included.
func BenchmarkWrite(b *testing.B) {
	l := newAccessLog(io.Discard)
	r := full()
	b.ReportAllocs()
	for n := 0; n < b.N; {
		for range 1000 {
			l.log(lane(n%2), `,"route":"read-self"`, `,"decision":"allow","reason":"allowed"`, &r)
			n++
		}
		l.write()
	}
}
