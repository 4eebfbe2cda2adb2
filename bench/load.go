package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"hopgate/bench/openloop"
)

// outcome is what a load generator says of one run.
type outcome struct {
	Requests int     // answered
	Seconds  float64 // that it took
	Wrong    int     // answers with another status than the entrant's
	Bytes    int     // received, heads included; 0 where not known
	Latency  *openloop.Report
}

// load is a way to call an entrant for some seconds.
type load func(l *lab, e *entrant, seconds int) (outcome, error)

//go:embed summary.lua
var summaryLua string

//go:embed requests.lua
var requestsLua string

// saturate keeps conns connections busy with wrk.
func saturate(conns int) load {
	return func(l *lab, e *entrant, seconds int) (outcome, error) {
		script := summaryLua
		if e.file != "" {
			script += requestsLua
		}
		path := filepath.Join(l.dir, "load.lua")
		if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
			return outcome{}, err
		}
		argv := []string{l.wrk, "-t1", "-c", strconv.Itoa(conns), "-d", strconv.Itoa(seconds) + "s", "-s", path}
		if e.file == "" {
			argv = append(argv, "-H", "Authorization: Bearer "+e.token)
		}
		argv = append(argv, e.srv.url(e.path))
		if e.file != "" {
			argv = append(argv, "--", e.file, e.reading)
		}
		out, err := l.run(argv...)
		if err != nil {
			return outcome{}, err
		}
		return parseWrk(out, e)
	}
}

func parseWrk(out string, e *entrant) (outcome, error) {
	_, line, ok := strings.Cut(out, "SUMMARY ")
	if !ok {
		return outcome{}, fmt.Errorf("wrk gave no summary: %s", out)
	}
	var s struct {
		Requests, Bytes, Refused, Broken, Wrapped int
		Seconds                                   float64
	}
	if err := json.Unmarshal([]byte(firstLine(line)), &s); err != nil {
		return outcome{}, fmt.Errorf("can't read wrk's summary: %w", err)
	}
	if s.Broken > 0 {
		return outcome{}, fmt.Errorf("%d connections broke or waited over 2 s: %s", s.Broken, out)
	}
	o := outcome{Requests: s.Requests, Seconds: s.Seconds, Bytes: s.Bytes}
	switch {
	case e.share > 0: // of the requests are to be refused
		want := float64(s.Requests) * e.share
		if d := float64(s.Refused) - want; d > want/10+64 || d < -want/10-64 {
			return outcome{}, fmt.Errorf("%d of %d requests were refused, not about %.0f", s.Refused, s.Requests, want)
		}
	case e.status >= 400:
		o.Wrong = s.Requests - s.Refused
	default:
		o.Wrong = s.Refused
	}
	if e.reading == "once" && s.Wrapped > 0 {
		// The rest of the time was idle.
		o.Seconds = 0
	}
	return o, nil
}

// multiplex keeps conns HTTP/2 connections busy with streams each, by h2load.
func multiplex(conns, streams int) load {
	return func(l *lab, e *entrant, seconds int) (outcome, error) {
		out, err := l.run(l.h2load, "-t1", "-c", strconv.Itoa(conns), "-m", strconv.Itoa(streams), "-D", strconv.Itoa(seconds),
			"-H", "authorization: Bearer "+e.token, e.srv.url(e.path))
		if err != nil {
			return outcome{}, err
		}
		return parseH2load(out)
	}
}

var (
	h2Protocol = regexp.MustCompile(`Application protocol: (\S+)`)
	h2Finished = regexp.MustCompile(`finished in ([0-9.]+)(ms|s|us)`)
	h2Requests = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded`)
	h2Status   = regexp.MustCompile(`status codes: (\d+) 2xx`)
)

func parseH2load(out string) (outcome, error) {
	protocol, finished := h2Protocol.FindStringSubmatch(out), h2Finished.FindStringSubmatch(out)
	requests, status := h2Requests.FindStringSubmatch(out), h2Status.FindStringSubmatch(out)
	if protocol == nil || protocol[1] != "h2" || finished == nil || requests == nil || status == nil {
		return outcome{}, fmt.Errorf("h2load did not speak HTTP/2, or can't be read: %s", out)
	}
	done, _ := strconv.Atoi(requests[1])
	good, _ := strconv.Atoi(status[1])
	seconds, _ := strconv.ParseFloat(finished[1], 64)
	if finished[2] == "ms" {
		seconds /= 1e3
	}
	return outcome{Requests: done, Seconds: seconds, Wrong: done - good}, nil
}

// offer sends rate requests a second over conns connections, whatever the
// server does.
func offer(rate, conns int) load {
	return func(l *lab, e *entrant, seconds int) (outcome, error) {
		r, err := l.offer(e, rate, conns, seconds)
		if err != nil {
			return outcome{}, err
		}
		return outcome{Requests: r.Done + r.Wrong, Seconds: r.Seconds, Wrong: r.Wrong + r.Missing, Latency: &r}, nil
	}
}

func (l *lab) offer(e *entrant, rate, conns, seconds int) (openloop.Report, error) {
	file := e.file
	if file == "" {
		var err error
		file, err = l.requestFile("offered.txt", func(add func(path, token string)) { add(e.path, e.token) })
		if err != nil {
			return openloop.Report{}, err
		}
	}
	length := -1
	if e.body != "" {
		length = len(e.body)
	}
	out, err := l.run(l.self, "openloop", strconv.Itoa(e.srv.port), strconv.Itoa(rate), strconv.Itoa(conns), strconv.Itoa(seconds),
		strconv.Itoa(e.status), strconv.Itoa(length), file)
	if err != nil {
		return openloop.Report{}, err
	}
	var r openloop.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return r, fmt.Errorf("can't read the load generator's report: %w", err)
	}
	return r, nil
}

// openloopAddr is where servers listen, as the load generator takes it.
func openloopAddr(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

// run runs a load generator on the load's cores and gives what it prints.
func (l *lab) run(argv ...string) (string, error) {
	cmd := exec.Command("taskset", append([]string{"-c", l.machine.loadCores}, argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var faults strings.Builder
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(argv[0]), err, strings.TrimSpace(faults.String()))
	}
	return string(out), nil
}
