package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// TestPlain tries each byte at each place of texts of all lengths that the
// words of eight bytes divide differently.
func TestPlain(t *testing.T) {
	for size := range 34 {
		text := bytes.Repeat([]byte("a"), size)
		if !plain(string(text)) {
			t.Errorf("%q is not plain", text)
		}
		for at := range text {
			for c := range 256 {
				text[at] = byte(c)
				want := c >= ' ' && c < 0x7f && c != '"' && c != '\\'
				if plain(string(text)) != want {
					t.Errorf("%q: plain is %v", text, !want)
				}
			}
			text[at] = 'z'
		}
	}
}

// shown gives a text as the log has it: cut, and without what a terminal
// could take for a command.
func shown(s string) string {
	if len(s) > maxLoggedText {
		n := maxLoggedText - len(ellipsis)
		for n > maxLoggedText-len(ellipsis)-utf8.UTFMax+1 && !utf8.RuneStart(s[n]) {
			n--
		}
		if !utf8.RuneStart(s[n]) {
			n = maxLoggedText - len(ellipsis)
		}
		s = s[:n] + ellipsis
	}
	return strings.Map(func(r rune) rune {
		if r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// FuzzLine holds a line against what slog's JSONHandler writes.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c", "\n\r\t\x00\x1f\x7f", "é\xff\xc3", "<&>", "\ufffd", "seven b", "eight by", "nine byte", strings.Repeat("é", 513), strings.Repeat("\x80", 1025)} {
		f.Add(s, "/users", int64(len(s)), int64(1234567890123456789), 200)
		f.Add("id", s, int64(-1), int64(0), 599)
	}
	f.Fuzz(func(t *testing.T, s, path string, n, at int64, status int) {
		if strings.ContainsAny(s+path, "\b\f\u2028\u2029") {
			t.Skip("slog has other escapes for these")
		}
		n &= 1<<50 - 1
		took := time.Duration(n)
		r := Record{
			Time: time.Unix(at>>31, at&(1<<30-1)), RequestID: s, Rule: path, Method: s, Host: path, Path: path, Status: status,
			Bytes: n, Duration: took, Hop: took / 3, Upstream: took / 1000, Endpoint: s, Attempts: int(n % 3), Cache: CacheResult(s),
			ClientIP: path, UserID: s, OrgID: path, Issuer: s, Report: n%2 == 0, Denial: path,
		}
		if r.Time.Year() < 0 || r.Time.Year() > 9999 {
			t.Skip("JSON has no form for such a time")
		}
		route, decided := `,"route":"`+"r"+`"`, verdict(Reason{"allowed", true})
		got := string(appendLine(nil, &r, route, decided, new(stamp)))
		if want := slogged(&r); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if len(got) > maxLineFrame+len(route)+len(decided)+textSize(&r) {
			t.Errorf("%d bytes, more than was allowed for", len(got))
		}
	})
}

// slogged is the line of a request to the route r that was allowed.
func slogged(r *Record) string {
	var out bytes.Buffer
	level := slog.LevelInfo
	if r.Status >= 500 {
		level = slog.LevelError
	}
	line := slog.NewRecord(r.Time.UTC(), level, "request", 0)
	text := func(key, s string) {
		if s != "" {
			line.AddAttrs(slog.String(key, shown(s)))
		}
	}
	milliseconds := func(key string, d time.Duration) {
		line.AddAttrs(slog.Float64(key, float64(d.Microseconds())/1000))
	}
	path, _, _ := strings.Cut(r.Path, "?")
	path, _, _ = strings.Cut(path, "#")
	text("request_id", r.RequestID)
	text("route", "r")
	text("decision", "allow")
	text("reason", "allowed")
	text("rule", r.Rule)
	text("method", r.Method)
	text("host", r.Host)
	text("path", path)
	line.AddAttrs(slog.Int("status", r.Status), slog.Int64("bytes", r.Bytes))
	milliseconds("duration_ms", r.Duration)
	milliseconds("hop_ms", r.Hop)
	if r.Attempts > 0 {
		milliseconds("upstream_ms", r.Upstream)
		text("upstream", r.Endpoint)
		line.AddAttrs(slog.Int("attempts", r.Attempts))
	}
	text("cache", string(r.Cache))
	text("client_ip", r.ClientIP)
	text("user_id", r.UserID)
	text("org_id", r.OrgID)
	text("issuer", r.Issuer)
	if r.Report {
		line.AddAttrs(slog.Bool("report", true))
		text("report_reason", r.Denial)
	}
	_ = slog.NewJSONHandler(&out, nil).Handle(context.Background(), line)
	return out.String()
}

// TestStamp: times of one second share its form, and no other.
func TestStamp(t *testing.T) {
	var c stamp
	for _, at := range []time.Time{
		time.Unix(0, 0), time.Unix(0, 1), time.Unix(0, 999999999), time.Unix(1, 500000000), time.Unix(-1, 120), time.Unix(-1, 0),
		time.Unix(0, 0), time.Date(2026, 12, 31, 23, 59, 59, 1e6, time.FixedZone("", 3600)), time.Date(2026, 12, 31, 23, 59, 59, 1e6, time.UTC),
	} {
		got := string(append(c.append(nil, at), 'Z'))
		if want := `{"time":"` + at.UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	r := full()
	var clock stamp
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		r.Time = r.Time.Add(12345)
		buf = appendLine(buf[:0], &r, `,"route":"read-self"`, `,"decision":"allow","reason":"allowed"`, &clock)
	}
}
