package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hopgate/policy"
	"hopgate/proxy/wire/wiretest"
)

const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// script is a connection whose reads give the pieces in turn, and then
// io.EOF.
type script struct {
	net.Conn
	pieces []string
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func scripted(o Limits, pieces ...string) *Conn { return NewConn(&script{pieces: pieces}, o) }

// step is one read: what it gives, and the state after it.
type step struct {
	give  string
	err   error
	state State
}

func walk(t *testing.T, c *Conn, steps ...step) {
	t.Helper()
	b := make([]byte, 4096)
	for i, s := range steps {
		n, err := c.Read(b)
		if string(b[:n]) != s.give || err != s.err || c.State() != s.state { //nolint:errorlint // the very error is meant
			t.Fatalf("read %d gives %q, %v, %v; want %q, %v, %v", i, b[:n], err, c.State(), s.give, s.err, s.state)
		}
	}
}

func TestStateFollowsMessages(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
	c := scripted(Limits{}, get, "POST", head[4:], "ab", "cd", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", "1\r", "\na\r\n0\r\n", "X: y\r\n", "\r\n")
	if c.State() != Idle {
		t.Errorf("begins %v", c.State())
	}
	walk(t, c,
		step{get, nil, Idle}, step{"POST", nil, Head}, step{head[4:], nil, Body}, step{"ab", nil, Body}, step{"cd", nil, Idle},
		step{"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", nil, Body},
		step{"1\r", nil, Body}, step{"\na\r\n0\r\n", nil, Body}, step{"X: y\r\n", nil, Body}, step{"\r\n", nil, Done}, step{"", io.EOF, Done})
	if c.Messages() != 3 {
		t.Errorf("%d messages", c.Messages())
	}
	if c.Err() != nil {
		t.Errorf("fault %v", c.Err())
	}
}

func TestRefusalIsFinal(t *testing.T) {
	c := scripted(Limits{}, get+"GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", get, get)
	walk(t, c,
		step{get + "GET / HTTP/1.1\r\nHost: h\r\nX", nil, Refused},
		step{"", errColonSpace, Refused}, step{"", errColonSpace, Refused})
	if c.Err() != errColonSpace || c.Messages() != 1 {
		t.Errorf("%v, %d messages", c.Err(), c.Messages())
	}
}

func TestRefusalAtTheFirstByteIsMarked(t *testing.T) {
	walk(t, scripted(Limits{}, "\r\n"+get),
		step{"?", nil, Refused}, step{"", errEmptyLine, Refused}, step{"", errEmptyLine, Refused})
	walk(t, scripted(Limits{}, get+"\x16\x03"),
		step{get, nil, Refused}, step{"?", nil, Refused}, step{"", errTLS, Refused})
}

func TestNothingAfterTheLastMessage(t *testing.T) {
	for _, last := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: x, CLOSE\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: h\r\n\r\n",
	} {
		walk(t, scripted(Limits{}, last+get), step{last, nil, Refused}, step{"", errAfterClose, Refused})
		walk(t, scripted(Limits{}, last, get), step{last, nil, Done}, step{"", errAfterClose, Refused})
	}
}

func TestCutOffMessages(t *testing.T) {
	for _, raw := range []string{
		"G", "GET /", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\nHost: h", "GET / HTTP/1.1\r\nHost: h\r\n\r",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-A: b\r\n",
	} {
		c := scripted(Limits{}, raw)
		b, err := io.ReadAll(c)
		if string(b) != raw || !errors.Is(err, io.ErrUnexpectedEOF) || c.Err() != errTruncated {
			t.Errorf("%q: gives %q, %v, %v", raw, b, err, c.Err())
		}
	}
}

func TestLimits(t *testing.T) {
	small := Limits{MaxHead: 200, MaxTarget: 20, MaxLine: 30, MaxFields: 4, MaxBody: 10}
	for _, c := range []struct {
		name, raw string
		fault     *Error
	}{
		{"all fits", "GET /" + strings.Repeat("a", 19) + " HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("b", 27) + "\r\nB: c\r\nC: d\r\n\r\n", nil},
		{"target", "GET /" + strings.Repeat("a", 20) + " HTTP/1.1\r\nHost: h\r\n\r\n", errTargetLong},
		{"target with an escape at the end", "GET /" + strings.Repeat("a", 18) + "%20 HTTP/1.1\r\nHost: h\r\n\r\n", errTargetLong},
		{"target that a query begins too late", "GET /" + strings.Repeat("a", 19) + "? HTTP/1.1\r\nHost: h\r\n\r\n", errTargetLong},
		{"absolute target", "GET http://" + strings.Repeat("a", 14) + "/ HTTP/1.1\r\nHost: h\r\n\r\n", errTargetLong},
		{"value", "GET / HTTP/1.1\r\nHost: h\r\nA:" + strings.Repeat("b", 29) + "\r\n\r\n", errLine},
		{"name", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("b", 31) + ":\r\n\r\n", errLine},
		{"colon", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("b", 30) + ":\r\n\r\n", errLine},
		{"fields", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nB: c\r\nC: d\r\nD: e\r\n\r\n", errFields},
		{"head", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: "+strings.Repeat("b", 27)+"\r\n", 3) + "C: " + strings.Repeat("d", 27) + "\r\n" + strings.Repeat("E", 30), errFields},
		{"length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", errBody},
		{"length that fits", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789", nil},
		{"chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n", errBody},
		{"chunks", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\n", errBody},
		{"chunks that fit", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n1\r\n9\r\n0\r\n\r\n", nil},
	} {
		p := &parser{limits: small}
		if _, _, fault := feedAll(p, []byte(c.raw), nil); fault != c.fault {
			t.Errorf("%s: %v, want %v", c.name, fault, c.fault)
		}
	}
}

// TestHeadLimitIsExact holds that a head may have as many bytes as the limit
// says, wherever it begins in a read, and not one more.
func TestHeadLimitIsExact(t *testing.T) {
	head := "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"
	for _, c := range []struct {
		limit int
		fault *Error
	}{{len(head), nil}, {len(head) - 1, errHead}, {len(head) - 4, errHead}} {
		for _, sizes := range [][]byte{nil, {0}, {6}} {
			p := &parser{limits: Limits{MaxHead: c.limit}}
			p.limits.setDefaults()
			good, _, fault := feedAll(p, []byte(get+head+get), sizes)
			want := len(get + head + get)
			if c.fault != nil {
				want = len(get) + c.limit
			}
			if fault != c.fault || good != want {
				t.Errorf("limit %d, pieces %v: %d bytes, %v", c.limit, sizes, good, fault)
			}
		}
	}
	p := &parser{limits: Limits{MaxHead: 100, MaxTarget: 1000}}
	p.limits.setDefaults()
	if _, _, fault := feedAll(p, []byte("GET /"+strings.Repeat("a", 200)), nil); fault != errTargetLong {
		t.Errorf("a head that is all target: %v", fault)
	}
}

func TestHTTPSTargets(t *testing.T) {
	p := &parser{limits: Limits{HTTPS: true}}
	p.limits.setDefaults()
	if _, _, fault := feedAll(p, []byte("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n"), nil); fault != nil {
		t.Errorf("https: %v", fault)
	}
	if _, _, fault := feedAll(p, []byte("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"), nil); fault != errForm {
		t.Errorf("http: %v", fault)
	}
	if !scripted(Limits{HTTPS: true}).HTTPS() {
		t.Error("the connection does not know its scheme")
	}
}

func TestReleasePassesAllBytes(t *testing.T) {
	upgrade := "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
	c := scripted(Limits{}, upgrade, "\x00\r\n", "GET")
	walk(t, c, step{upgrade, nil, Idle})
	c.Release()
	walk(t, c, step{"\x00\r\n", nil, Released}, step{"GET", nil, Released}, step{"", io.EOF, Released})

	c = scripted(Limits{}, "G T:", get)
	walk(t, c, step{"G ", nil, Refused})
	c.Release()
	walk(t, c, step{"", errForm, Refused})
}

func TestReleaseDuringRead(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	c := NewConn(server, Limits{})
	got := make(chan string)
	go func() {
		b := make([]byte, 10)
		n, err := c.Read(b)
		if err != nil {
			t.Error(err)
		}
		got <- string(b[:n])
	}()
	c.Release()
	go func() { _, _ = client.Write([]byte("\x00\x01")) }()
	if s := <-got; s != "\x00\x01" {
		t.Errorf("read %q", s)
	}
}

func TestTimeouts(t *testing.T) {
	limits := Limits{Timeouts: Timeouts{Idle: 80 * time.Second, Head: 8 * time.Second, Body: 16 * time.Second}}
	post := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"
	// Each sends a byte a second.
	for _, c := range []struct {
		name, raw string
		pause     time.Duration // between bytes
		after     time.Duration // the last one comes before this
		err       error
		state     State
	}{
		{"idle", "", 0, 80 * time.Second, io.EOF, Idle},
		{"idle after a message", get, 0, 80 * time.Second, io.EOF, Idle},
		{"slow head", "GET / HTTP/1.1\r\nHost: h\r\n", time.Second, 9 * time.Second, errTimeout, Refused},
		{"silent head", "GET / HTTP/1.1\r\n", 0, 8 * time.Second, errTimeout, Refused},
		{"silent body", post + "abc", 0, 16 * time.Second, errTimeout, Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				conn := NewConn(server, limits)
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for i := range len(c.raw) {
						if _, err := client.Write([]byte{c.raw[i]}); err != nil {
							return
						}
						time.Sleep(c.pause)
					}
				}()
				start := time.Now()
				var err error
				for err == nil {
					_, err = conn.Read(make([]byte, 100))
				}
				if took := time.Since(start); err != c.err || conn.State() != c.state || took > c.after || took < c.after*7/8-time.Second { //nolint:errorlint // the very error is meant
					t.Errorf("%v, %v after %v", err, conn.State(), took)
				}
				if (c.err == errTimeout) != errors.Is(err, os.ErrDeadlineExceeded) { //nolint:errorlint // the very error is meant
					t.Errorf("%v as a deadline", err)
				}
				_ = client.Close()
				_ = conn.Close()
				<-sent
			})
		})
	}
}

// TestSteadySlowUploadIsNotCut sends a body for much longer than any of the
// timeouts, and then waits out an answer that takes long.
func TestSteadySlowUploadIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		conn := NewConn(server, Limits{Timeouts: Timeouts{Idle: 3 * time.Second, Head: 2 * time.Second, Body: 2 * time.Second}})
		go func() {
			for _, s := range []string{"POST / HTTP/1.1\r\nHost: h\r\n", "Content-Length: 100\r\n\r\n"} {
				_, _ = io.WriteString(client, s)
			}
			for range 100 {
				time.Sleep(1500 * time.Millisecond)
				_, _ = io.WriteString(client, "x")
			}
			time.Sleep(time.Hour + time.Second)
			_, _ = io.WriteString(client, get[:4])
			time.Sleep(time.Second)
			_, _ = io.WriteString(client, get[4:])
		}()
		b := make([]byte, 100)
		for conn.Messages() == 0 || conn.State() != Idle {
			if _, err := conn.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		for conn.Messages() == 1 {
			if _, err := conn.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		_ = client.Close()
	})
}

// TestCallersDeadlineHolds lets a caller end a read that Timeouts would let
// wait, before and while it waits, and hands deadlines back.
func TestCallersDeadlineHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		conn := NewConn(server, Limits{Timeouts: Timeouts{Idle: time.Minute, Head: time.Minute, Body: time.Minute}})
		b := make([]byte, 100)
		_ = conn.SetReadDeadline(time.Now().Add(-time.Second))
		if _, err := conn.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read with a past deadline: %v", err)
		}
		_ = conn.SetDeadline(time.Time{})
		start := time.Now()
		if _, err := conn.Read(b); err != io.EOF || time.Since(start) != time.Minute { //nolint:errorlint // the very error is meant
			t.Fatalf("idle read: %v after %v", err, time.Since(start))
		}
		go func() { _, _ = io.WriteString(client, "GET") }()
		if _, err := conn.Read(b); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			_ = conn.SetReadDeadline(time.Now())
		}()
		start = time.Now()
		if _, err := conn.Read(b); err != errTimeout || time.Since(start) != time.Second { //nolint:errorlint // the very error is meant
			t.Fatalf("head read: %v after %v", err, time.Since(start))
		}
		_ = client.Close()
	})
}

// TestReleaseEndsTimeouts holds that a connection that was taken over may be
// silent for long.
func TestReleaseEndsTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		conn := NewConn(server, Limits{Timeouts: Timeouts{Idle: time.Second}})
		go func() {
			_, _ = io.WriteString(client, get)
			time.Sleep(time.Hour)
			_, _ = io.WriteString(client, "\x00")
		}()
		b := make([]byte, 100)
		if _, err := conn.Read(b); err != nil {
			t.Fatal(err)
		}
		conn.Release()
		if n, err := conn.Read(b); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		_ = client.Close()
	})
}

// TestTimeoutsGiveWayToNone has a timeout for heads only: what is armed for
// one does not end a wait for the next message.
func TestTimeoutsGiveWayToNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		conn := NewConn(server, Limits{Timeouts: Timeouts{Head: time.Second}})
		go func() {
			_, _ = io.WriteString(client, get[:5])
			_, _ = io.WriteString(client, get[5:])
			time.Sleep(time.Hour)
			_, _ = io.WriteString(client, get)
		}()
		b := make([]byte, 100)
		for range 3 {
			if _, err := conn.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		_ = client.Close()
	})
}

// TestCloseLetsTheAnswerArrive closes a connection with bytes unread, as
// after a refusal: the client still gets the answer, not a reset.
func TestCloseLetsTheAnswerArrive(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, raw := range map[string]string{
		"refused":     "get / HTTP/1.1\r\n" + strings.Repeat("x", 100_000),
		"in the body": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000),
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			inner, err := ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			c := NewConn(inner, Limits{})
			_, _ = c.Read(make([]byte, 64))
			_, _ = io.WriteString(c, "answer")
			_ = c.Close()
		}()
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, raw); err != nil {
			t.Errorf("%s: write: %v", name, err)
		}
		if b, err := io.ReadAll(client); string(b) != "answer" || err != nil {
			t.Errorf("%s: read %q, %v", name, b, err)
		}
		_ = client.Close()
		<-done
	}
}

func TestPassesTheSocketThrough(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	inner, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	c := NewConn(inner, Limits{})
	raw, err := syscall.Conn(c).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := uintptr(0)
	if err := raw.Control(func(f uintptr) { fd = f }); err != nil || fd == 0 {
		t.Errorf("descriptor %d, %v", fd, err)
	}
	if c.NetConn() != inner || c.LocalAddr() != inner.LocalAddr() {
		t.Error("not the guarded connection")
	}
	pipe, _ := net.Pipe()
	if _, err := NewConn(pipe, Limits{}).SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pipe's descriptor: %v", err)
	}
}

func TestReasonsAreThePolicys(t *testing.T) {
	for ours, want := range map[string]policy.Reason{
		requestMalformed: policy.RequestMalformed, targetNotCanonical: policy.TargetNotCanonical, targetTooLong: policy.TargetTooLong,
		headerTooLarge: policy.HeaderTooLarge, bodyTooLarge: policy.BodyTooLarge, requestTimeout: policy.RequestTimeout,
		methodNotSupported: policy.MethodNotSupported,
	} {
		if policy.Reason(ours) != want {
			t.Errorf("%q is not %q", ours, want)
		}
	}
	if s := errTwoSlashes.Error(); s != "path begins with two slashes (RFC 3986 section 3.3)" || errTwoSlashes.Timeout() || !errTimeout.Timeout() {
		t.Error(s)
	}
}

// TestMalformedIsHeldBack holds for each message that its head is not handed
// out whole, with the fault in the head, and nothing after the fault.
func TestMalformedIsHeldBack(t *testing.T) {
	for _, c := range wiretest.Malformed {
		p := newParser()
		good, ends, fault := feedAll(p, []byte(c.Raw+get), nil)
		switch {
		case fault == nil:
			t.Errorf("%s: passes", c.Name)
		case fault.Reason != c.Reason || fault.RFC != c.RFC:
			t.Errorf("%s: %s, %s; want %s, %s", c.Name, fault.Reason, fault.RFC, c.Reason, c.RFC)
		case len(ends) > 0:
			t.Errorf("%s: a message ends at %d", c.Name, ends)
		case !c.Late && p.messages > 0, c.Late && p.messages != 1:
			t.Errorf("%s: %d heads", c.Name, p.messages)
		case !c.Late && bytes.HasSuffix([]byte(c.Raw)[:good], []byte("\r\n\r\n")):
			t.Errorf("%s: its head is handed out", c.Name)
		}
	}
}

func TestEarlyBytesOfValues(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 15, 16, 17, 31} {
		for c := range 256 {
			b := append(bytes.Repeat([]byte{'\t'}, n/2), bytes.Repeat([]byte{0xff}, n-n/2)...)
			b = append(b, byte(c))
			b = append(b, " abcdefghijklmnop\x00"...)
			want := n
			if c == '\t' || c >= ' ' && c != 0x7f {
				want = len(b) - 1
			}
			if got := spanValue(b); got != want {
				t.Fatalf("%q: %d, want %d", b, got, want)
			}
		}
	}
}
