// Package openloop offers HTTP/1.1 requests at a fixed rate over a fixed
// number of kept-alive connections and measures each answer's latency from
// the instant at which its request was due. A server that stalls therefore
// answers for every request that had to wait, also for those that could not
// be sent yet: there is no coordinated omission.
//
// One thread serves all connections with epoll, and a timerfd says when the
// next request is due. The Go scheduler's own timers and its poller are up to
// a millisecond late, which is several times what is measured here.
package openloop

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what to offer. All fields are required.
type Options struct {
	Addr     netip.AddrPort // of the server, IPv4
	Rate     int            // requests a second
	Conns    int            // connections
	Duration time.Duration
	Requests [][]byte // whole requests, sent in turn
	Want     int      // status that each answer must have
	Length   int      // content length that each answer must have; -1: any
}

// Report says what came of it. Latencies are in microseconds.
type Report struct {
	Offered  int     `json:"offered"`
	Done     int     `json:"done"`    // answered, and rightly
	Wrong    int     `json:"wrong"`   // another status or length than wanted
	Missing  int     `json:"missing"` // not answered within a second after the end
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50_us"`
	P90      float64 `json:"p90_us"`
	P99      float64 `json:"p99_us"`
	P999     float64 `json:"p999_us"`
	Max      float64 `json:"max_us"`
	LateSend float64 `json:"late_send_p99_us"` // of the generator itself: sent after it was due, where a connection was free
}

// grace is how long answers are waited for after the last request.
const grace = time.Second

type conn struct {
	fd   int
	buf  []byte
	have int
	due  time.Duration // of the request that is under way
	busy bool
}

type generator struct {
	Options
	epoll, timer int
	conns        []conn
	idle         []*conn
	pending      []time.Duration // due instants that no connection was free for
	begun        time.Time
	clock        int64 // CLOCK_MONOTONIC at begun, in nanoseconds
	latencies    []time.Duration
	late         []time.Duration
	report       Report
	at           int
}

// Run offers the load and blocks until it is over. It pins itself to one
// thread and turns the garbage collector off: call it in a process of its own.
func Run(o Options) (Report, error) {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	g := &generator{Options: o}
	defer g.close()
	if err := g.open(); err != nil {
		return Report{}, fmt.Errorf("can't open the load's connections: %w", err)
	}
	if err := g.run(); err != nil {
		return Report{}, err
	}
	return g.summary(), nil
}

func (g *generator) open() (err error) {
	g.epoll, g.timer = -1, -1
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if g.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return err
	}
	if err = g.watch(g.timer, -1); err != nil {
		return err
	}
	g.conns = make([]conn, g.Conns)
	for i := range g.conns {
		c := &g.conns[i]
		c.buf = make([]byte, 256<<10)
		if c.fd, err = dial(g.Addr); err != nil {
			g.conns = g.conns[:i]
			return err
		}
		if err = g.watch(c.fd, int32(i)); err != nil {
			return err
		}
		g.idle = append(g.idle, c)
	}
	n := int(float64(g.Rate)*g.Duration.Seconds()) + 1
	g.latencies = make([]time.Duration, 0, n)
	g.late = make([]time.Duration, 0, n)
	g.pending = make([]time.Duration, 0, n)
	return nil
}

func dial(addr netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}),
		unix.SetNonblock(fd, true),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// watch asks for events of a descriptor; they carry the index.
func (g *generator) watch(fd int, index int32) error {
	return unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: index})
}

func (g *generator) close() {
	for i := range g.conns {
		unix.Close(g.conns[i].fd)
	}
	unix.Close(g.timer)
	unix.Close(g.epoll)
}

func (g *generator) run() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	g.begun, g.clock = time.Now(), ts.Nano()

	interval := time.Second / time.Duration(g.Rate)
	total := int(g.Duration / interval)
	next := interval
	if err := g.wakeAt(next); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, len(g.conns)+1)
	for g.report.Done+g.report.Wrong < total {
		n, err := unix.EpollWait(g.epoll, events, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd < 0 {
				var expirations [8]byte
				unix.Read(g.timer, expirations[:])
				continue
			}
			if err := g.receive(&g.conns[e.Fd]); err != nil {
				return err
			}
		}
		now := time.Since(g.begun)
		moved := false
		for next <= now && g.report.Offered < total {
			g.pending = append(g.pending, next)
			g.report.Offered++
			next += interval
			moved = true
		}
		if err := g.send(); err != nil {
			return err
		}
		switch {
		case g.report.Offered == total && now > g.Duration+grace:
			total = 0 // what is missing now will not come
		case moved && g.report.Offered < total:
			if err := g.wakeAt(next); err != nil {
				return err
			}
		}
	}
	g.report.Seconds = time.Since(g.begun).Seconds()
	return nil
}

func (g *generator) wakeAt(d time.Duration) error {
	when := unix.NsecToTimespec(g.clock + int64(d))
	return unix.TimerfdSettime(g.timer, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: when}, nil)
}

// send puts what is due on connections that are free.
func (g *generator) send() error {
	sent := 0
	for sent < len(g.pending) && len(g.idle) > 0 {
		c := g.idle[len(g.idle)-1]
		g.idle = g.idle[:len(g.idle)-1]
		c.due, c.busy, c.have = g.pending[sent], true, 0
		sent++
		g.late = append(g.late, time.Since(g.begun)-c.due)
		req := g.Requests[g.at%len(g.Requests)]
		g.at++
		if n, err := unix.Write(c.fd, req); err != nil || n != len(req) {
			return fmt.Errorf("could not send a request of %d bytes at once: %d sent, %w", len(req), n, err)
		}
	}
	g.pending = g.pending[:copy(g.pending, g.pending[sent:])]
	return nil
}

func (g *generator) receive(c *conn) error {
	n, err := unix.Read(c.fd, c.buf[c.have:])
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err != nil || n == 0 {
		return fmt.Errorf("the server closed a connection (%d bytes read, %w)", n, err)
	}
	if !c.busy {
		return errors.New("the server sent something that nobody asked for")
	}
	c.have += n
	status, length, whole, err := parse(c.buf[:c.have])
	if err != nil || !whole {
		return err
	}
	now := time.Since(g.begun)
	c.busy = false
	g.idle = append(g.idle, c)
	if status != g.Want || g.Length >= 0 && length != g.Length {
		g.report.Wrong++
		return nil
	}
	g.report.Done++
	g.latencies = append(g.latencies, now-c.due)
	return nil
}

var headEnd, lengthName = []byte("\r\n\r\n"), []byte("\r\ncontent-length:")

// parse reads an answer, which must have a Content-Length.
func parse(b []byte) (status, length int, whole bool, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return 0, 0, false, nil
	}
	head := bytes.ToLower(b[:end+2])
	if !bytes.HasPrefix(head, []byte("http/1.")) || len(head) < 12 {
		return 0, 0, false, fmt.Errorf("not an HTTP/1 answer: %q", b[:min(len(b), 20)])
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, 0, false, fmt.Errorf("no status in %q", b[:min(len(b), 20)])
	}
	at := bytes.Index(head, lengthName)
	if at < 0 {
		return 0, 0, false, errors.New("an answer has no Content-Length")
	}
	value := head[at+len(lengthName):]
	value = bytes.TrimSpace(value[:bytes.IndexByte(value, '\r')])
	if length, err = strconv.Atoi(string(value)); err != nil {
		return 0, 0, false, fmt.Errorf("no length in %q", value)
	}
	return status, length, len(b) >= end+len(headEnd)+length, nil
}

func (g *generator) summary() Report {
	r := &g.report
	r.Missing = r.Offered - r.Done - r.Wrong
	// What never came is slower than everything that did.
	for range r.Missing {
		g.latencies = append(g.latencies, g.Duration+grace)
	}
	slices.Sort(g.latencies)
	slices.Sort(g.late)
	r.P50, r.P90 = quantile(g.latencies, 0.50), quantile(g.latencies, 0.90)
	r.P99, r.P999 = quantile(g.latencies, 0.99), quantile(g.latencies, 0.999)
	r.Max, r.LateSend = quantile(g.latencies, 1), quantile(g.late, 0.99)
	return *r
}

// quantile gives a quantile of sorted durations in microseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / 1e3
}
