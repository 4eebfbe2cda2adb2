package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What follows measures the cache from outside, in the manner of a test suite
// for HTTP caches: a client, the gate, and an origin that answers as the test
// says. Nobody sleeps: the gate's clock is moved.

// behaviour is one thing that a cache does, told as a sequence of requests.
type behaviour struct {
	name  string
	kind  string // of the route: see measuredGate; "" is origin
	steps []step
}

// step is one request and what should become of it.
type step struct {
	method string        // GET where empty
	target string        // put behind the behaviour's own path
	host   string        // another authority
	send   []string      // "Name: value"
	body   string        // of the request
	after  time.Duration // how far the clock moves before

	origin origin // what the origin answers, if it is asked
	want   want
	of     int      // whose answer is given, by step from 1; 0: that of the last one who was answered by the origin
	status int      // 0: the origin's
	see    []string // "Name: value" of the answer; "Name" there at all; "!Name" not there
	asked  []string // the same of what the origin got
	text   string   // the body, where it is not the origin's
	cut    bool     // the answer may break off
	soon   bool     // it is so once what goes on in the background is done
}

// want is where an answer comes from.
type want int

const (
	miss   want = iota // the origin was asked without conditions of hopgate's, and its answer is given
	hit                // the origin was not asked
	valid              // the origin was asked whether what is stored is right, and it is
	stale              // what is stored is given, and the origin is asked in the background
	saved              // the origin was asked in vain, and what is stored is given
	own                // the answer is the gate's own; the origin was not asked
	failed             // the origin was asked in vain, and the client is told so
)

// origin is an answer. {now}, {now-1h} and the like in fields are dates.
type origin struct {
	status  int // 200 where 0
	fields  []string
	body    string // "answer N" to its Nth request where empty; "-" is none
	chunked bool
	cut     bool   // the connection ends in the middle of the body
	mute    bool   // it ends without an answer
	before  string // interim answers, raw
	raw     string // all of it
	noDate  bool
}

func ok(fields ...string) origin             { return origin{fields: fields} }
func st(status int, fields ...string) origin { return origin{status: status, fields: fields} }

// theOrigin answers by script.
type theOrigin struct {
	t      testing.TB
	ln     net.Listener
	now    func() time.Time
	mu     sync.Mutex
	script map[string]*script // by path
}

type script struct {
	next  origin
	got   []http.Header
	lines []string // request lines
	last  string   // the body of its last answer
}

func newOrigin(t testing.TB) *theOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &theOrigin{t: t, ln: ln, script: make(map[string]*script)}
	var open sync.WaitGroup
	conns := make(map[net.Conn]bool)
	var mu sync.Mutex
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			open.Go(func() { o.serve(c) })
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	return o
}

func (o *theOrigin) at(path string) *script {
	if o.script[path] == nil {
		o.script[path] = &script{}
	}
	return o.script[path]
}

func (o *theOrigin) serve(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		o.mu.Lock()
		s := o.at(req.URL.Path)
		s.got = append(s.got, req.Header)
		s.lines = append(s.lines, req.Method+" "+req.RequestURI)
		text, goOn := o.answer(s, req)
		o.mu.Unlock()
		if _, err := io.WriteString(c, text); err != nil || !goOn {
			return
		}
	}
}

// answer writes an answer down.
func (o *theOrigin) answer(s *script, req *http.Request) (text string, goOn bool) {
	a := s.next
	switch {
	case a.mute:
		return "", false
	case a.raw != "":
		return a.raw, false
	}
	status := a.status
	if status == 0 {
		status = 200
	}
	body := a.body
	switch {
	case body == "-", status == 204, status == 304:
		body = ""
	case body == "":
		body = fmt.Sprintf("answer %d", len(s.got))
	}
	s.last = body
	var b strings.Builder
	b.WriteString(a.before)
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	dated, sized := a.noDate, false
	for _, f := range a.fields {
		f = dates(f, o.now())
		name, _, _ := strings.Cut(f, ":")
		dated = dated || strings.EqualFold(name, "Date")
		sized = sized || strings.EqualFold(name, "Content-Length")
		b.WriteString(f + "\r\n")
	}
	if !dated {
		b.WriteString("Date: " + o.now().UTC().Format(http.TimeFormat) + "\r\n")
	}
	switch {
	case status == 204 || status == 304:
	case a.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case !sized:
		n := len(body)
		if a.cut {
			n += 10
		}
		fmt.Fprintf(&b, "Content-Length: %d\r\n", n)
	}
	b.WriteString("\r\n")
	if req.Method == "HEAD" || status == 204 || status == 304 {
		return b.String(), true
	}
	if a.chunked && body != "" {
		half := len(body) / 2
		for _, part := range []string{body[:half], body[half:]} {
			if part != "" {
				fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
			}
		}
	} else {
		b.WriteString(body)
	}
	if a.chunked && !a.cut {
		b.WriteString("0\r\n\r\n")
	}
	return b.String(), !a.cut
}

// dates puts dates where {now…} stands.
func dates(s string, now time.Time) string {
	for {
		before, rest, found := strings.Cut(s, "{now")
		if !found {
			return s
		}
		shift, after, _ := strings.Cut(rest, "}")
		format := http.TimeFormat
		if f, s, ok := strings.Cut(shift, "|"); ok {
			shift = f
			format = map[string]string{
				"850": "Monday, 02-Jan-06 15:04:05 GMT", "asctime": time.ANSIC, "z": "Mon, 02 Jan 2006 15:04:05 +0000", "short": "Mon, 2 Jan 06 15:04:05 GMT",
			}[s]
		}
		var d time.Duration
		if shift != "" {
			var err error
			if d, err = time.ParseDuration(shift); err != nil {
				panic(err)
			}
		}
		s = before + now.Add(d).UTC().Format(format) + after
	}
}

// measuredGate is the configuration that is measured: routes without tokens
// whose answers everybody shares, by what the origin says, under several
// settings; and one with a time of the operator's.
const measuredGate = `
server: {listen: "127.0.0.1:0", h2c: true}
upstreams:
  backend: {endpoints: "${ORIGIN}", retry: {attempts: 1}}
routes:
`

var measuredKinds = map[string]string{
	"origin":    `{ttl: origin, scope: public}`,
	"heuristic": `{ttl: origin, scope: public, heuristic: true}`,
	"grace":     `{ttl: origin, scope: public, stale_while_revalidate: 60s, stale_if_error: 1h}`,
	"ttl":       `{ttl: 60s, scope: public, stale_if_error: 1h}`,
}

const everyMethod = `[GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, M-SEARCH, FROBNICATE]`

// observe holds the gate to behaviours, over both versions of HTTP and both
// ways of HTTP/1.1.
func observe(t *testing.T, all []behaviour) {
	t.Helper()
	o := newOrigin(t)
	text := measuredGate
	for _, kind := range []string{"origin", "heuristic", "grace", "ttl"} {
		text += fmt.Sprintf("  - {id: %s, match: {path: \"/%s/{rest...}\", methods: %s}, anonymous: true, upstream: backend, cache: %s}\n", kind, kind, everyMethod, measuredKinds[kind])
	}
	w := newWorldWith(t, text, map[string]string{"ORIGIN": "http://" + o.ln.Addr().String()})
	o.now = w.clock.now
	two := h2cClient(t)
	two.CheckRedirect, two.Timeout = client.CheckRedirect, client.Timeout
	seen := make(map[string]bool)
	for i, b := range all {
		if seen[b.name] {
			t.Errorf("two behaviours are called %q", b.name)
		}
		seen[b.name] = true
		kind := b.kind
		if kind == "" {
			kind = "origin"
		}
		for version, client := range map[string]*http.Client{"1": client, "1-roundabout": roundabout, "2": two} {
			t.Run(b.name+", HTTP/"+version, func(t *testing.T) {
				m := measuring{t: t, w: w, o: o, client: client, path: fmt.Sprintf("/%s/%d-%s", kind, i, version)}
				for n := range b.steps {
					if !m.step(n+1, &b.steps[n]) {
						return
					}
				}
			})
		}
	}
}

// measuring is one behaviour under way.
type measuring struct {
	t      *testing.T
	w      *world
	o      *theOrigin
	client *http.Client
	path   string
	bodies []string // of the origin's answers, by step from 1
	last   string
}

func (m *measuring) step(n int, s *step) (goOn bool) {
	m.t.Helper()
	t := m.t
	m.w.advance(s.after)
	target := m.path + s.target
	path, _, _ := strings.Cut(target, "?")
	m.o.mu.Lock()
	sc := m.o.at(path)
	sc.next = s.origin
	sc.next.fields = nil
	for _, f := range s.origin.fields {
		sc.next.fields = append(sc.next.fields, strings.NewReplacer("{path}", m.path, "{host}", m.w.address).Replace(f))
	}
	before := len(sc.got)
	sc.last = ""
	m.o.mu.Unlock()
	got, broken := m.ask(s, target)
	asked := func() int {
		m.o.mu.Lock()
		defer m.o.mu.Unlock()
		return len(sc.got) - before
	}
	fault := func(format string, args ...any) {
		t.Helper()
		t.Errorf("request %d: %s\n%s", n, fmt.Sprintf(format, args...), got)
	}
	if broken && !s.cut {
		fault("the answer broke off")
		return false
	}
	times := map[want]int{hit: 0, own: 0}
	expected, bound := times[s.want]
	if !bound {
		expected = 1
	}
	switch {
	case s.want == stale:
		tries := 0
		eventually(t, "the refresh", func() bool {
			if tries++; tries%50 == 0 && asked() == 0 {
				got, _ = m.ask(s, target) // the one before was under way still
			}
			return asked() > 0
		})
	case s.soon:
		eventually(t, "what is to be soon", func() bool { got, _ = m.ask(s, target); return got.body == s.text })
	}
	if k := asked(); k != expected {
		fault("the origin was asked %d times, not %d", k, expected)
		return false
	}
	m.o.mu.Lock()
	lastBody := sc.last
	var line string
	var fields http.Header
	if expected > 0 {
		line, fields = sc.lines[len(sc.lines)-1], sc.got[len(sc.got)-1]
	}
	m.o.mu.Unlock()
	m.bodies = append(m.bodies, lastBody)
	if s.want == miss {
		m.last = lastBody
	}
	method := s.method
	if method == "" {
		method = "GET"
	}
	if expected > 0 && s.want != stale && line != method+" "+target {
		fault("the origin was asked %q", line)
	}
	for _, f := range s.asked {
		checkField(fields, dates(f, m.w.clock.now()), func(what string) { t.Helper(); fault("the origin was asked with %s", what) })
	}
	if s.want == valid && fields.Get("If-None-Match") == "" && fields.Get("If-Modified-Since") == "" {
		fault("the origin was not asked to validate")
	}
	status := s.status
	if status == 0 {
		status = 200
		if s.want == miss && s.origin.status != 0 {
			status = s.origin.status
		}
	}
	if s.want == failed && got.status >= 500 || broken {
		status = got.status
	}
	if got.status != status {
		fault("status %d, not %d", got.status, status)
	}
	body := m.last
	switch {
	case s.text == "-" || method == "HEAD" || status == 304 || status == 204:
		body = ""
	case s.text != "":
		body = s.text
	case s.of > 0:
		body = m.bodies[s.of-1]
	}
	if s.want != own && s.want != failed && !s.cut && got.body != body {
		fault("body %.80q, not %.80q", got.body, body)
	}
	for _, f := range s.see {
		checkField(got.header, dates(f, m.w.clock.now()), func(what string) { t.Helper(); fault("the answer has %s", what) })
	}
	return !t.Failed()
}

// checkField holds fields against "Name: value" (of the lines joined), "Name"
// or "!Name".
func checkField(h http.Header, f string, fault func(what string)) {
	name, value, valued := strings.Cut(f, ": ")
	absent := strings.HasPrefix(name, "!")
	lines := h.Values(strings.TrimPrefix(name, "!"))
	switch {
	case absent && len(lines) > 0:
		fault(fmt.Sprintf("%s: %q", name[1:], lines))
	case !absent && len(lines) == 0:
		fault("no " + name)
	case valued && strings.HasPrefix(value, ">="):
		least, _ := strconv.Atoi(value[2:])
		if is, err := strconv.Atoi(strings.Join(lines, " | ")); err != nil || is < least || is > least+3 {
			fault(fmt.Sprintf("%s: %q", name, lines))
		}
	case valued && strings.HasPrefix(value, "~"):
		if !strings.Contains(strings.Join(lines, " | "), value[1:]) {
			fault(fmt.Sprintf("%s: %q", name, lines))
		}
	case valued && strings.Join(lines, " | ") != value:
		fault(fmt.Sprintf("%s: %q, not %q", name, lines, value))
	}
}

type measured struct {
	reply
	interim []string
}

func (r measured) String() string {
	b := fmt.Sprintf("\t%d %v\n", r.status, r.interim)
	var names []string
	for name := range r.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.header[name] {
			b += "\t" + name + ": " + v + "\n"
		}
	}
	return fmt.Sprintf("%s\n\t%.100q", b, r.body)
}

// ask makes the step's request.
func (m *measuring) ask(s *step, target string) (got measured, broken bool) {
	m.t.Helper()
	method := s.method
	if method == "" {
		method = "GET"
	}
	var body io.Reader
	if s.body != "" {
		body = bytes.NewReader([]byte(s.body))
	}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		got.interim = append(got.interim, fmt.Sprint(code, h))
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(m.t.Context(), trace), method, m.w.url+target, body)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header["User-Agent"] = nil
	for _, f := range s.send {
		name, value, _ := strings.Cut(dates(f, m.w.clock.now()), ": ")
		req.Header[http.CanonicalHeaderKey(name)] = append(req.Header[http.CanonicalHeaderKey(name)], value)
	}
	req.Host = s.host
	resp, err := m.client.Do(req)
	if err != nil {
		return got, true
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	got.reply = reply{resp.StatusCode, resp.Header, string(b)}
	return got, err != nil
}
