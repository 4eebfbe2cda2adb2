package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzAnswer reads what an upstream may say, and holds what is accepted
// against net/http: it must read the same status, fields and body. However
// the bytes are cut, the reading is the same.
func FuzzAnswer(f *testing.F) {
	for _, c := range answers {
		if len(c.bytes) < 2000 {
			f.Add(c.bytes, c.method == "HEAD", uint16(len(c.bytes)/2))
		}
	}
	for _, body := range badChunks {
		if len(body) < 2000 {
			f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+body, false, uint16(20))
		}
	}
	f.Fuzz(func(t *testing.T, answer string, head bool, cut uint16) {
		q := &Request{Method: "GET", MaxHold: 1 << 20}
		if head {
			q.Method = "HEAD"
		}
		got := readAnswer(q, answer)
		at := min(int(cut), len(answer))
		for _, pieces := range [][]string{{answer[:at], answer[at:]}, asBytes(answer)} {
			again := readAnswer(q, pieces...)
			if (got.err == nil) != (again.err == nil) || got.status != again.status || got.fields != again.fields || got.body != again.body {
				t.Fatalf("whole: %+v\nin %d pieces: %+v", got, len(pieces), again)
			}
			if again.kept && !got.kept && len(pieces) == 2 && pieces[1] == "" {
				t.Fatal("an empty piece keeps a connection")
			}
		}
		if got.err != nil {
			if !errors.Is(got.err, ErrInvalid) && !errors.Is(got.err, ErrUnavailable) {
				t.Fatalf("an error of another kind: %v", got.err)
			}
			return
		}
		compare(t, q, answer, got)
	})
}

// compare reads an answer with net/http.
func compare(t *testing.T, q *Request, answer string, got outcome) {
	t.Helper()
	br := bufio.NewReader(strings.NewReader(answer))
	var resp *http.Response
	for {
		var err error
		resp, err = http.ReadResponse(br, &http.Request{Method: q.Method})
		if err != nil {
			t.Fatalf("net/http refuses what is accepted: %v\n%q", err, answer)
		}
		if resp.StatusCode >= 200 {
			break
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("net/http refuses the body that is accepted: %v\n%q", err, answer)
	}
	if resp.StatusCode != got.status || string(body) != got.body {
		t.Fatalf("net/http reads %d %q, this %d %q", resp.StatusCode, body, got.status, got.body)
	}
	var ours []string
	for line := range strings.Lines(got.fields) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		ours = append(ours, textproto.CanonicalMIMEHeaderKey(name)+": "+value)
	}
	var theirs []string
	listed := resp.Header.Values("Connection")
	for name, values := range resp.Header {
		if hop(name, listed) {
			continue
		}
		for _, v := range values {
			theirs = append(theirs, name+": "+v)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	if !slices.Equal(ours, theirs) {
		t.Fatalf("fields here\n%q\nin net/http\n%q", ours, theirs)
	}
	if got.kept && br.Buffered() > 0 {
		t.Fatalf("the connection is kept with %d bytes that belong to nobody", br.Buffered())
	}
}

// hop tells whether a field is none of the end-to-end ones.
func hop(name string, listed []string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Proxy-Authenticate", "Proxy-Authorization":
		return true
	}
	for _, l := range listed {
		for option := range strings.SplitSeq(l, ",") {
			if strings.EqualFold(strings.Trim(option, " \t"), name) {
				return true
			}
		}
	}
	return false
}

// FuzzRequest builds requests of anything, and has net/http read each as the
// one request that was meant, or refuses it.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/a?b", "Accept", "*/*", "", false)
	f.Add("POST", "/", "X-A", "b\r\nc: d", "body", true)
	f.Add("PUT", "/ HTTP/1.1\r\n", "Host", "evil", "body", false)
	f.Add("DELETE", "/%2e%2e/x", "X_Y", "\xff", "0\r\n\r\nGET / HTTP/1.1\r\n\r\n", true)
	e := &endpoint{prefix: "/v1", fields: "Host: api.example.com\r\nAuthorization: secret\r\n"}
	f.Fuzz(func(t *testing.T, method, target, name, value, body string, stream bool) {
		q := &Request{Method: method, Target: []byte(target)}
		if stream {
			q.Stream, q.Length = strings.NewReader(body), -1
		} else {
			q.Body = []byte(body)
		}
		q.Add(name, value)
		if q.check("Authorization") != nil {
			return
		}
		if _, err := url.ParseRequestURI("/v1" + target); err != nil {
			return // whether the target is a URI is the caller's to check
		}
		joined := q.build(e, "")
		var wire bytes.Buffer
		wire.Write(q.out)
		if stream {
			s := &sender{stream: q.Stream, length: -1, c: &conn{link: link{Conn: &recorded{w: &wire}}}, done: make(chan struct{})}
			if err := s.send(); err != nil {
				t.Fatal(err)
			}
		} else if !joined {
			wire.Write(q.Body)
		}
		br := bufio.NewReader(&wire)
		got, content, err := readRequest(br)
		if err != nil {
			t.Fatalf("net/http refuses what was built: %v\n%q", err, q.out)
		}
		if got.Method != method || got.RequestURI != "/v1"+target || got.Host != "api.example.com" || content != body {
			t.Fatalf("net/http reads %s %q at %q with %q\n%q", got.Method, got.RequestURI, got.Host, content, q.out)
		}
		if a := got.Header.Values("Authorization"); len(a) != 1 || a[0] != "secret" {
			t.Fatalf("Authorization is %q", a)
		}
		if v := got.Header.Values(name); len(v) != 1 || v[0] != strings.Trim(value, " \t") {
			t.Fatalf("%s is %q, want %q", name, v, value)
		}
		if br.Buffered() > 0 {
			t.Fatalf("%d bytes stand behind the request", br.Buffered())
		}
	})
}

// recorded is a connection that keeps what is written.
type recorded struct {
	scripted
	w io.Writer
}

func (r *recorded) Write(b []byte) (int, error) { return r.w.Write(b) }
