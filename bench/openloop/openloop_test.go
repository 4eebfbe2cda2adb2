package openloop

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

func options(s *httptest.Server) Options {
	return Options{
		Addr: netip.MustParseAddrPort(s.Listener.Addr().String()), Rate: 500, Conns: 4, Duration: 400 * time.Millisecond,
		Requests: [][]byte{[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")}, Want: 200, Length: 2,
	}
}

func TestEachRequestIsCounted(t *testing.T) {
	var served atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		w.Write([]byte("ok"))
	}))
	defer s.Close()
	r, err := Run(options(s))
	if err != nil {
		t.Fatal(err)
	}
	if r.Offered != 200 || r.Done != 200 || served.Load() != 200 || r.Wrong != 0 || r.Missing != 0 {
		t.Errorf("%d served, report %+v", served.Load(), r)
	}
	if r.P50 <= 0 || r.P50 > r.P99 || r.P99 > r.Max {
		t.Errorf("latencies out of order: %+v", r)
	}
}

func TestAWrongAnswerIsToldFromARightOne(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer s.Close()
	r, err := Run(options(s))
	if err != nil || r.Wrong != 200 || r.Done != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A server that stands still once must answer for the requests that were due
// meanwhile, not only for those that were on their way.
func TestAStallCountsForAllThatHadToWait(t *testing.T) {
	const stall = 200 * time.Millisecond
	var begun atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun.CompareAndSwap(0, time.Now().UnixNano())
		time.Sleep(time.Until(time.Unix(0, begun.Load()).Add(stall))) // every request, until the stall is over
		w.Write([]byte("ok"))
	}))
	defer s.Close()
	r, err := Run(options(s))
	if err != nil {
		t.Fatal(err)
	}
	// Half of the 200 requests were due during the stall; 4 were on their way.
	if r.P90 < 100e3 {
		t.Errorf("p90 is %.0f µs: the requests that could not be sent were left out", r.P90)
	}
}

func TestAServerThatHangsUpIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	o := options(&httptest.Server{Listener: l})
	if _, err := Run(o); err == nil {
		t.Error("no error")
	}
}

func TestAnswersAreParsed(t *testing.T) {
	for _, c := range []struct {
		name, text     string
		status, length int
		whole, fails   bool
	}{
		{"whole", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, 2, true, false},
		{"any case", "HTTP/1.1 403 No\r\nA: b\r\ncontent-LENGTH:0\r\n\r\n", 403, 0, true, false},
		{"body missing", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 200, 3, false, false},
		{"head missing", "HTTP/1.1 200 OK\r\nContent-", 0, 0, false, false},
		{"no length", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 0, 0, false, true},
		{"not HTTP", "SSH-2.0\r\n\r\n", 0, 0, false, true},
	} {
		status, length, whole, err := parse([]byte(c.text))
		if (err != nil) != c.fails || err == nil && (status != c.status || length != c.length || whole != c.whole) {
			t.Errorf("%s: %d %d %t %v", c.name, status, length, whole, err)
		}
	}
}
