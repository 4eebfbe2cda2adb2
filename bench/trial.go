package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"hopgate/bench/openloop"
)

// entrant is a server and what it is asked in one trial.
type entrant struct {
	Name string `json:"name"`
	Runs []run  `json:"runs"`

	srv        *server
	path       string // asked, by one token
	token      string
	file       string // of requests, asked in turn instead
	reading    string // of the file: around, or once
	slices     func(round int) (file string, err error)
	status     int     // that answers must have
	share      float64 // of the requests that are to be refused
	body       string
	authorizes bool
	origin     float64 // requests that reach the origin, of one; -1: not looked at
}

// run is one measurement of one entrant.
type run struct {
	Requests  int              `json:"requests"`
	Seconds   float64          `json:"seconds"`
	PerSecond float64          `json:"requests_per_second"`
	CPU       float64          `json:"cpu_us_per_request"`
	User      float64          `json:"user_us_per_request"`
	System    float64          `json:"system_us_per_request"`
	Busy      float64          `json:"cores_busy"`
	Resident  int64            `json:"resident_bytes"`
	Latency   *openloop.Report `json:"latency,omitempty"`
	Dropped   int              `json:"log_records_dropped,omitempty"`
}

// trial measures entrants against each other: round by round, each once a
// round, so that what the machine does meanwhile meets all of them.
type trial struct {
	ID       string     `json:"id"`
	Title    string     `json:"title"`
	Rounds   int        `json:"rounds"`
	Seconds  int        `json:"seconds"` // of a run
	Entrants []*entrant `json:"entrants"`

	load load
}

// fewest is how many requests a run must have: the kernel counts CPU time in
// hundredths of a second.
const fewest = 1000

// conduct verifies, warms up and measures.
func (l *lab) conduct(t *trial) error {
	began := time.Now()
	for _, e := range t.Entrants {
		e.Runs = nil
		if e.path != "" {
			if err := l.verify(e); err != nil {
				return fmt.Errorf("a wrong answer: %w", err)
			}
		}
	}
	// Round -1 warms up.
	for round := -1; round < t.Rounds; round++ {
		for _, e := range t.Entrants {
			seconds := t.Seconds
			if round < 0 {
				seconds = 1
			}
			r, err := l.measure(t, e, round, seconds)
			if err != nil {
				return fmt.Errorf("%s, round %d, %s: %w", t.ID, round+1, e.Name, err)
			}
			if round >= 0 {
				e.Runs = append(e.Runs, r)
			}
		}
	}
	note("%-12s %3.0f s  %s", t.ID, time.Since(began).Seconds(), t.summary())
	return nil
}

func (t *trial) summary() string {
	var parts []string
	for _, e := range t.Entrants {
		parts = append(parts, fmt.Sprintf("%s %.1f", e.Name, median(e.values(cpu))))
	}
	return strings.Join(parts, ", ") + " µs"
}

func (l *lab) measure(t *trial, e *entrant, round, seconds int) (run, error) {
	if e.slices != nil {
		var err error
		if e.file, err = e.slices(round); err != nil {
			return run{}, err
		}
	}
	if e.srv.log != "" {
		// So that a comparison does not fill the disk.
		if err := os.Truncate(e.srv.log, 0); err != nil {
			return run{}, err
		}
	}
	dropped := l.counter(e.srv, "hopgate_access_log_dropped_total")
	asked, err := l.originRequests()
	if err != nil {
		return run{}, err
	}
	before, err := e.srv.cpu()
	if err != nil {
		return run{}, err
	}
	o, err := t.load(l, e, seconds)
	if err != nil {
		return run{}, err
	}
	time.Sleep(30 * time.Millisecond) // what was put off until after the answers is part of them
	after, err := e.srv.cpu()
	if err != nil {
		return run{}, err
	}
	answered, err := l.originRequests()
	if err != nil {
		return run{}, err
	}
	if !e.srv.alive() {
		return run{}, errors.New("ended: " + e.srv.complaint())
	}
	if err := e.judge(o, answered-asked-1); err != nil {
		return run{}, err
	}
	if round >= 0 && o.Requests < fewest {
		return run{}, fmt.Errorf("only %d answers, too few to measure: the machine is busy with something else", o.Requests)
	}
	r := run{Requests: o.Requests, Seconds: o.Seconds, Latency: o.Latency, Resident: e.srv.resident()}
	user, system := after.user-before.user, after.system-before.system
	each := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(o.Requests) }
	r.CPU, r.User, r.System = each(user+system), each(user), each(system)
	if o.Seconds > 0 {
		r.PerSecond = float64(o.Requests) / o.Seconds
		r.Busy = (user + system).Seconds() / o.Seconds
	}
	r.Dropped = l.counter(e.srv, "hopgate_access_log_dropped_total") - dropped
	return r, nil
}

// judge refuses a run in which the entrant did not do its work.
func (e *entrant) judge(o outcome, origin int) error {
	switch {
	case o.Requests == 0:
		return errors.New("no answer")
	case o.Wrong > 0:
		return fmt.Errorf("%d of %d answers were wrong", o.Wrong, o.Requests)
	case o.Bytes > 0 && o.Bytes < o.Requests*len(e.body):
		return fmt.Errorf("%d answers had %d bytes, heads included: bodies of %d are missing", o.Requests, o.Bytes, len(e.body))
	}
	// 200 of them may be under way at the end, or fill a cache.
	if want := e.origin * float64(o.Requests); e.origin >= 0 && (float64(origin) < want-200 || float64(origin) > want*1.01+200) {
		return fmt.Errorf("the origin saw %d requests for %d answers, not about %.0f", origin, o.Requests, want)
	}
	return nil
}

// counter reads one of hopgate's metrics, without labels; 0 for others.
func (l *lab) counter(s *server, name string) int {
	if s.admin == 0 {
		return 0
	}
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.admin))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var text strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			break
		}
	}
	for line := range strings.Lines(text.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			fmt.Sscan(rest, &v)
			return int(v)
		}
	}
	return 0
}

// metric is what is read of a run.
type metric func(run) float64

func cpu(r run) float64       { return r.CPU }
func system(r run) float64    { return r.System }
func perSecond(r run) float64 { return r.PerSecond }
func busy(r run) float64      { return r.Busy }
func memory(r run) float64    { return float64(r.Resident) / 1e6 }
func p50(r run) float64       { return r.Latency.P50 }
func p99(r run) float64       { return r.Latency.P99 }
func p999(r run) float64      { return r.Latency.P999 }

func (e *entrant) values(m metric) []float64 {
	var list []float64
	for _, r := range e.Runs {
		list = append(list, m(r))
	}
	return list
}

// ratios gives a's metric over b's, round by round.
func ratios(a, b *entrant, m metric) []float64 {
	x, y := a.values(m), b.values(m)
	var list []float64
	for i := range min(len(x), len(y)) {
		list = append(list, x[i]/y[i])
	}
	return list
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// find gives the entrant of a name, or nil.
func (t *trial) find(name string) *entrant {
	for _, e := range t.Entrants {
		if e.Name == name {
			return e
		}
	}
	return nil
}
