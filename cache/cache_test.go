package cache

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestAnswerGivesBackWhatWasBuilt(t *testing.T) {
	body := []byte("body")
	a := Build(203, func(add func(name, value []byte)) {
		line := []byte("first")
		add([]byte("X-A"), line)
		copy(line, "XXXXX")
		add([]byte("x-a"), []byte("second"))
		add([]byte("Empty"), nil)
	}, body)
	copy(body, "XXXX")
	if a.Status() != 203 || a.Len() != 3 || string(a.Body()) != "body" {
		t.Errorf("status %d, %d fields, body %q", a.Status(), a.Len(), a.Body())
	}
	want := [][2]string{{"X-A", "first"}, {"x-a", "second"}, {"Empty", ""}}
	for i, w := range want {
		if name, value := a.FieldAt(i); string(name) != w[0] || string(value) != w[1] {
			t.Errorf("FieldAt(%d) = %q: %q, want %q", i, name, value, w)
		}
	}
	if value, n := a.Field("X-a"); string(value) != "first" || n != 2 {
		t.Errorf("Field(X-a) = %q, %d", value, n)
	}
	if _, n := a.Field("absent"); n != 0 {
		t.Errorf("Field(absent) found %d lines", n)
	}
	if empty := Build(204, nil, nil); empty.Len() != 0 || len(empty.Body()) != 0 {
		t.Errorf("an empty answer has %d fields and body %q", empty.Len(), empty.Body())
	}
}

func TestStatesOverTime(t *testing.T) {
	rule := &Rule{TTL: 5 * time.Second, StaleWhileRevalidate: 10 * time.Second, StaleIfError: time.Minute}
	tests := []struct {
		after   time.Duration
		state   State
		ttl     time.Duration
		refresh bool
	}{
		{0, Fresh, 5 * time.Second, false},
		{5*time.Second - 1, Fresh, 1, false},
		{5 * time.Second, Stale, 0, true},
		{15*time.Second - 1, Stale, -10*time.Second + 1, true},
		{15 * time.Second, Expired, -10 * time.Second, false},
		{65*time.Second - 1, Expired, -time.Minute + 1, false},
		{65 * time.Second, Miss, 0, false},
		{1000 * time.Hour, Miss, 0, false},
		// Neither clock can tell how old it is.
		{-1, Miss, 0, false},
		{-time.Hour, Miss, 0, false},
	}
	for _, tt := range tests {
		clock := newFakeClock()
		c := newTestCache(t, Options{Now: clock.Now})
		keepAnswer(t, c, "k", fields{}, rule, build(200, "v"))
		clock.Advance(tt.after)
		found := c.Get([]byte("k"), fields{}, rule)
		if found.State != tt.state || found.TTL != tt.ttl || found.Refresh != tt.refresh || (found.Answer == nil) != (tt.state == Miss) {
			t.Errorf("after %v: %v, TTL %v, Refresh %v, Answer %v; want %v, %v, %v", tt.after, found.State, found.TTL, found.Refresh, found.Answer != nil, tt.state, tt.ttl, tt.refresh)
		}
		if tt.state != Miss && found.Age != tt.after {
			t.Errorf("after %v: age %v", tt.after, found.Age)
		}
	}
}

// A wall clock that jumps makes nothing younger while the monotonic clock
// goes on, and a monotonic clock that stood still makes nothing younger
// either.
func TestAgeIsTheLargerOfTwoClocks(t *testing.T) {
	at := instant{mono: int64(time.Hour), wall: int64(time.Hour)}
	tests := []struct {
		mono, wall, want time.Duration
	}{
		{time.Second, time.Second, time.Second},
		{time.Second, -time.Hour, time.Second},
		{time.Second, time.Hour, time.Hour},
		{-time.Second, -time.Minute, -time.Second},
	}
	for _, tt := range tests {
		now := instant{mono: at.mono + int64(tt.mono), wall: at.wall + int64(tt.wall)}
		if got := now.since(at); got != tt.want {
			t.Errorf("monotonic %v, wall %v later: %v, want %v", tt.mono, tt.wall, got, tt.want)
		}
	}
	// The real clock has both readings.
	c := newClock(nil)
	first := c.instant()
	if later := c.instant(); later.mono <= first.mono {
		t.Errorf("the monotonic clock went from %d to %d", first.mono, later.mono)
	}
}

func TestRuleIsReadAtEachRequest(t *testing.T) {
	clock := newFakeClock()
	c := newTestCache(t, Options{Now: clock.Now})
	keepAnswer(t, c, "k", fields{}, &Rule{TTL: time.Hour}, build(200, "v"))
	clock.Advance(time.Minute)
	if found := c.Get([]byte("k"), fields{}, &Rule{TTL: time.Second}); found.State != Miss {
		t.Errorf("with a shorter TTL after a reload: %v", found.State)
	}
}

func TestWhatOperatorTTLStores(t *testing.T) {
	tests := []struct {
		name   string
		answer *Answer
		scoped bool // stored where the scope is not public
		public bool // stored where it is
	}{
		{"200", build(200, "x"), true, true},
		{"203", build(203, "x"), true, true},
		{"204", build(204, ""), true, true},
		{"300", build(300, "x"), true, true},
		{"301", build(301, "", "Location", "/"), true, true},
		{"308", build(308, "", "Location", "/"), true, true},
		{"100", build(100, ""), false, false},
		{"201", build(201, "x"), false, false},
		{"206", build(206, "x", "Content-Range", "bytes 0-0/2"), false, false},
		{"302", build(302, "", "Location", "/"), false, false},
		{"304", build(304, ""), false, false},
		{"307", build(307, "", "Location", "/"), false, false},
		{"401", build(401, "x"), false, false},
		{"403", build(403, "x"), false, false},
		{"404", build(404, "x"), false, false},
		{"410", build(410, "x"), false, false},
		{"429", build(429, "x"), false, false},
		{"500", build(500, "x"), false, false},
		{"503", build(503, "x"), false, false},
		{"whatever the upstream says of freshness", build(200, "x", "Cache-Control", "max-age=0, no-cache, must-revalidate", "Expires", "0", "Pragma", "no-cache"), true, true},
		{"Set-Cookie", build(200, "x", "Set-Cookie", "a=b"), false, false},
		{"set-cookie in lower case", build(200, "x", "set-cookie", ""), false, false},
		{"no-store", build(200, "x", "Cache-Control", "no-store"), false, false},
		{"no-store in odd case", build(200, "x", "cache-control", "NO-Store"), false, false},
		{"no-store among others", build(200, "x", "Cache-Control", "max-age=5 ,, no-store ,x"), false, false},
		{"no-store on a second line", build(200, "x", "Cache-Control", "max-age=5", "Cache-Control", "no-store"), false, false},
		{"no-store with an argument", build(200, "x", "Cache-Control", "no-store=1"), false, false},
		{"quoted no-store", build(200, "x", "Cache-Control", `"no-store"`), false, false},
		{"no-store after an open quote", build(200, "x", "Cache-Control", `a="b, no-store`), false, false},
		{"no-store inside a quoted argument", build(200, "x", "Cache-Control", `a="b, no-store, c"`), true, true},
		{"no-store as a part of a word", build(200, "x", "Cache-Control", "xno-store, no-storex"), true, true},
		{"private", build(200, "x", "Cache-Control", "private"), true, false},
		{"private with fields", build(200, "x", "Cache-Control", `private="set-cookie, x"`), true, true},
		{"private with fields that are none", build(200, "x", "Cache-Control", `private="a b"`), true, false},
		{"Vary: *", build(200, "x", "Vary", "*"), false, false},
		{"Vary: * among others", build(200, "x", "Vary", "Accept", "Vary", "Origin, *"), false, false},
		{"Vary that is no list of names", build(200, "x", "Vary", "Accept Encoding"), false, false},
		{"Vary with too many names", build(200, "x", "Vary", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"), false, false},
		{"Vary", build(200, "x", "Vary", "Accept"), true, true},
		{"whole by its length", build(200, "xyz", "Content-Length", "3"), true, true},
		{"cut short", build(200, "xyz", "Content-Length", "4"), false, false},
		{"two lengths", build(200, "xyz", "Content-Length", "3", "Content-Length", "3"), false, false},
		{"no number for a length", build(200, "xyz", "Content-Length", "3x"), false, false},
		{"a part that is called whole", build(200, "xyz", "Content-Range", "bytes 0-2/9"), false, false},
	}
	for _, tt := range tests {
		for _, public := range []bool{false, true} {
			c := newTestCache(t, Options{})
			rule := &Rule{TTL: time.Minute, Public: public}
			want := tt.scoped
			if public {
				want = tt.public
			}
			got := keepAnswer(t, c, "k", fields{}, rule, tt.answer)
			if got.Answer != tt.answer || got.Stored != want || got.Collapsed || (got.TTL > 59*time.Second) != want {
				t.Errorf("%s, public %v: stored %v for %v, want %v", tt.name, public, got.Stored, got.TTL, want)
			}
			if found := c.Get([]byte("k"), fields{}, rule); (found.State == Fresh) != want {
				t.Errorf("%s, public %v: then it is %v", tt.name, public, found.State)
			}
		}
	}
}

// A browser's no-cache or no-store is no way round the operator's TTL.
func TestRequestDirectivesDoNotPassOperatorTTL(t *testing.T) {
	c := newTestCache(t, Options{})
	rule := &Rule{TTL: time.Minute}
	req := fields{"Cache-Control", "no-cache, no-store, max-age=0", "Pragma", "no-cache"}
	if got := keepAnswer(t, c, "k", req, rule, build(200, "v")); !got.Stored {
		t.Error("not stored")
	}
	if found := c.Get([]byte("k"), req, rule); found.State != Fresh {
		t.Errorf("found %v", found.State)
	}
}

func TestVariants(t *testing.T) {
	tests := []struct {
		name         string
		vary         string
		public       bool
		first, other fields
		same         bool
	}{
		{"equal", "Accept", false, fields{"Accept", "text/html"}, fields{"Accept", "text/html"}, true},
		{"another value", "Accept", false, fields{"Accept", "text/html"}, fields{"Accept", "text/plain"}, false},
		{"absent", "Accept", false, fields{"Accept", "text/html"}, fields{}, false},
		{"empty is not absent", "X-A", false, fields{"X-A", ""}, fields{}, false},
		{"fields that are not listed", "Accept", false, fields{"X-A", "1"}, fields{"X-A", "2"}, true},
		{"names in any case", "aCCept-LANGUAGE", false, fields{"accept-language", "de"}, fields{"Accept-Language", "fr"}, false},
		{"white space and empty members", "Accept-Encoding", false, fields{"Accept-Encoding", "gzip, br"}, fields{"Accept-Encoding", " gzip ,,br ,"}, true},
		{"order of weights", "Accept-Encoding", false, fields{"Accept-Encoding", "gzip;q=0.5, br"}, fields{"Accept-Encoding", "br, gzip;q=0.50"}, true},
		{"order of codings", "Accept-Encoding", false, fields{"Accept-Encoding", "gzip, br"}, fields{"Accept-Encoding", "br, gzip"}, true},
		{"order among equals", "Accept-Language", false, fields{"Accept-Language", "de, en"}, fields{"Accept-Language", "en, de"}, false},
		{"case of languages", "Accept-Language", false, fields{"Accept-Language", "en-GB"}, fields{"Accept-Language", "EN-gb"}, true},
		{"weights of one", "Accept", false, fields{"Accept", "a/b;q=1.000, c/d;q=0.50"}, fields{"Accept", "a/b, c/d; Q=0.5"}, true},
		{"other weights", "Accept", false, fields{"Accept", "a/b, c/d;q=0.5"}, fields{"Accept", "a/b, c/d;q=0.6"}, false},
		{"parameters", "Accept", false, fields{"Accept", "a/b;level=1"}, fields{"Accept", "a/b;level=2"}, false},
		{"a weight is no parameter", "Accept", false, fields{"Accept", "a/b;q=0.1"}, fields{"Accept", "a/b;x=0.1"}, false},
		{"unknown fields keep their case", "X-A", false, fields{"X-A", "a"}, fields{"X-A", "A"}, false},
		{"unknown fields keep their order", "X-A", false, fields{"X-A", "a, b"}, fields{"X-A", "b, a"}, false},
		{"several fields", "X-A, X-B", false, fields{"X-A", "1", "X-B", "2"}, fields{"X-A", "1", "X-B", "3"}, false},
		{"no sliding between fields", "X-A, X-B", false, fields{"X-A", "12", "X-B", "3"}, fields{"X-A", "1", "X-B", "23"}, false},
		{"Authorization in a scope", "Authorization", false, fields{"Authorization", "Bearer a"}, fields{"Authorization", "Bearer b"}, true},
		{"Authorization in public", "Authorization", true, fields{"Authorization", "Bearer a"}, fields{"Authorization", "Bearer b"}, false},
		{"Authorization against none in public", "Authorization", true, fields{"Authorization", "Bearer a"}, fields{}, false},
		{"Cookie in a scope", "Cookie", false, fields{"Cookie", "a=1"}, fields{"Cookie", "a=2"}, false},
		{"Cookie in public", "Cookie", true, fields{"Cookie", "a=1"}, fields{"Cookie", "a=2"}, false},
	}
	for _, tt := range tests {
		c := newTestCache(t, Options{})
		rule := &Rule{TTL: time.Minute, Public: tt.public}
		keepAnswer(t, c, "k", tt.first, rule, build(200, "first", "Vary", tt.vary))
		if got := bodyOf(c.Get([]byte("k"), tt.first, rule)); got != "first" {
			t.Errorf("%s: the same request finds %q", tt.name, got)
		}
		if got := c.Get([]byte("k"), tt.other, rule).State == Fresh; got != tt.same {
			t.Errorf("%s: the other request finds it: %v", tt.name, got)
		}
		if tt.same {
			continue
		}
		// Both are kept side by side, and each can be replaced alone.
		keepAnswer(t, c, "k", tt.other, rule, build(200, "other", "Vary", tt.vary))
		if a, b := bodyOf(c.Get([]byte("k"), tt.first, rule)), bodyOf(c.Get([]byte("k"), tt.other, rule)); a != "first" || b != "other" {
			t.Errorf("%s: both stored, found %q and %q", tt.name, a, b)
		}
		if n := c.Stats().Entries; n != 2 {
			t.Errorf("%s: %d entries", tt.name, n)
		}
	}
}

// What is kept to compare by holds no credential.
func TestVariantsHoldNoCredentials(t *testing.T) {
	req := fields{"Authorization", "Bearer secret-token", "Cookie", "session=secret-session"}
	b := appendVariant(nil, []string{"authorization", "cookie"}, req)
	if bytes.Contains(b, []byte("secret")) {
		t.Errorf("the variant holds a secret: %q", b)
	}
}

func TestVariantsOfOneKeyAreBounded(t *testing.T) {
	c := newTestCache(t, Options{})
	rule := &Rule{TTL: time.Minute}
	for i := range 3 * maxVariants {
		keepAnswer(t, c, "k", fields{"X-A", strings.Repeat("x", i)}, rule, build(200, "v", "Vary", "X-A"))
	}
	if n := c.Stats().Entries; n != maxVariants {
		t.Errorf("%d variants are kept, want %d", n, maxVariants)
	}
	if found := c.Get([]byte("k"), fields{"X-A", strings.Repeat("x", 3*maxVariants-1)}, rule); found.State != Fresh {
		t.Errorf("the latest is %v", found.State)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := newTestCache(t, Options{})
	rule := &Rule{TTL: time.Minute}
	var req Fields = oneField{"accept-encoding", "gzip, deflate, br;q=0.9"}
	keepAnswer(t, c, "plain", req, rule, build(200, "v"))
	keepAnswer(t, c, "vary", req, rule, build(200, "v", "Vary", "Accept-Encoding, Origin, Cookie"))
	stale := &Rule{StaleWhileRevalidate: time.Minute}
	for _, tt := range []struct {
		key   string
		rule  *Rule
		state State
	}{{"plain", rule, Fresh}, {"vary", rule, Fresh}, {"plain", stale, Stale}, {"absent", rule, Miss}} {
		key := []byte(tt.key)
		if n := testing.AllocsPerRun(1000, func() {
			if found := c.Get(key, req, tt.rule); found.State != tt.state {
				t.Fatalf("Get(%s) = %v, want %v", key, found.State, tt.state)
			}
		}); n != 0 {
			t.Errorf("Get(%s), %v: %v allocations", key, tt.state, n)
		}
	}
}

type oneField struct{ name, value string }

func (f oneField) Field(name string) (string, int) {
	if name == f.name {
		return f.value, 1
	}
	return "", 0
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, o := range []Options{{}, {MaxBytes: 1 << 20}, {MaxEntryBytes: 1}, {MaxBytes: -1, MaxEntryBytes: 1}} {
		if c, err := New(o); err == nil {
			c.Close()
			t.Errorf("New(%+v) made a cache", o)
		}
	}
}
