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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func full() Record {
	return Record{
		Time:      time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC),
		RequestID: "01J", Route: "read-self", Decision: "allow", Reason: "allowed", Rule: "is_self",
		Method: "GET", Host: "api.example.com", Path: "/v1/users/user_1",
		Status: 200, Bytes: 512, Duration: 12345 * time.Microsecond, Hop: 60 * time.Microsecond, Upstream: 12 * time.Millisecond,
		Endpoint: "127.0.0.1:9000", Attempts: 1, Cache: "miss",
		ClientIP: "192.0.2.1", UserID: "user_1", OrgID: "org_1", Issuer: "clerk", Report: true,
	}
}

// written gives what a log writes for the records.
func written(t *testing.T, records ...Record) string {
	t.Helper()
	var out bytes.Buffer
	l := NewAccessLog(&out)
	for i := range records {
		l.Log(&records[i])
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
	if got := written(t, full()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAccessLogLeavesOutWhatIsAbsent(t *testing.T) {
	got := written(t, Record{Time: time.Unix(0, 0), Method: "GET", Status: 502, Decision: "deny", Reason: "route_not_found"})
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
			line := written(t, Record{Path: test.in, Method: "GET", Status: 400})
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
	l.Log(&r)
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
	l.Log(&r)
	<-w.entered
	const n = 3 * maxBatchRecords
	for range n {
		l.Log(&r) // would hang here
	}
	if l.Dropped() == 0 {
		t.Error("nothing was dropped although nothing was written")
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
	if got := uint64(w.n) + l.Dropped(); got != n+1 {
		t.Errorf("%d written and dropped, want %d", got, n+1)
	}
	l.Log(&r)
	if got := uint64(w.n) + l.Dropped(); got != n+2 {
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
		l.Log(&r)
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
		l.Log(&r)
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
		l.Log(&r)
		synctest.Wait()
		if n := out.n.Load(); n != 1 {
			t.Errorf("%d lines after the first record, want it at once", n)
		}
		l.Log(&r)
		synctest.Wait()
		if n := out.n.Load(); n != 1 {
			t.Errorf("%d lines, want the second one to wait", n)
		}
		time.Sleep(flushInterval)
		synctest.Wait()
		if n := out.n.Load(); n != 2 {
			t.Errorf("%d lines after the interval, want 2", n)
		}
		for range maxBatchRecords / 2 {
			l.Log(&r)
		}
		synctest.Wait()
		if n := out.n.Load(); n < maxBatchRecords/2 {
			t.Errorf("%d lines, want a half full batch not to wait", n)
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
				l.Log(&r)
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
	l.Log(&r)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	r.Path = "/after"
	l.Log(&r)
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
	l.Log(&r)
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
	l.Log(&r)
	if l.Enabled() || l.Dropped() != 0 || l.Reopen() != nil || l.Close(t.Context()) != nil {
		t.Error("a log that is off does something")
	}
}

func TestLogDoesNotAllocate(t *testing.T) {
	// No worker runs, so that its allocations are not counted here.
	l := newAccessLog(io.Discard)
	r := full()
	r.Path = strings.Repeat("/x", 2000) + "?q"
	if n := testing.AllocsPerRun(1000, func() { l.Log(&r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for range maxBatchRecords {
		l.Log(&r)
	}
	if n := testing.AllocsPerRun(1000, func() { l.Log(&r) }); n != 0 {
		t.Errorf("%v allocations when full", n)
	}
}

func TestBatchIsBoundedInBytes(t *testing.T) {
	l := newAccessLog(io.Discard)
	r := Record{Path: strings.Repeat("x", 4096), UserID: strings.Repeat("y", 4096)}
	for range maxBatchRecords {
		l.Log(&r)
	}
	if l.Dropped() == 0 || len(l.front.text) > maxBatchText || cap(l.front.text) != maxBatchText {
		t.Errorf("%d bytes of text kept, %d dropped", len(l.front.text), l.Dropped())
	}
	if !utf8.Valid(l.front.text) {
		t.Error("a character was split")
	}
}

func BenchmarkLog(b *testing.B) {
	l := newAccessLog(io.Discard)
	r := full()
	b.ReportAllocs()
	for b.Loop() {
		l.Log(&r)
		if len(l.front.records) == maxBatchRecords/2 {
			l.front.records, l.front.text = l.front.records[:0], l.front.text[:0]
		}
	}
}

// BenchmarkWrite is what one record costs the worker.
func BenchmarkWrite(b *testing.B) {
	l := newAccessLog(io.Discard)
	r := full()
	b.ReportAllocs()
	for n := 0; n < b.N; {
		for range 1000 {
			l.Log(&r)
			n++
		}
		l.write()
	}
}

// FuzzAppendJSON holds the log's own encoder against the standard library's.
func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c", "\n\r\t\x00\x1f\x7f", "é\xff\xc3", "<&>", "\u2028", "\ufffd"} {
		f.Add(s, int64(len(s)))
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		var got string
		if err := json.Unmarshal(appendJSON(nil, []byte(s)), &got); err != nil || got != strings.ToValidUTF8(strings.Join(strings.Split(s, ""), ""), "\ufffd") && got != strings.Map(func(r rune) rune { return r }, s) {
			t.Errorf("%q gives %s, %q, %v", s, appendJSON(nil, []byte(s)), got, err)
		}
		d := time.Duration(n & (1<<50 - 1))
		var ms float64
		if err := json.Unmarshal(appendMilliseconds(nil, d), &ms); err != nil || ms != float64(d.Microseconds())/1000 {
			t.Errorf("%v gives %s, %v", d, appendMilliseconds(nil, d), err)
		}
	})
}
