// Command bench compares hopgate with its peers on one machine: what an
// authorized request costs in CPU time, against the same request through
// proxies that authorize and through such that do not. See README.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	// Children end with the thread that started them.
	runtime.LockOSThread()
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			fail(role(os.Args[2:]))
			return
		}
	}
	var (
		quick   = flag.Bool("quick", false, "only the main cases, in under two minutes")
		binary  = flag.String("hopgate", "", "the gate's binary (default: built from the folder above)")
		other   = flag.String("other", "", "another build of the gate, which enters the forward and hit trials, too")
		rounds  = flag.Int("rounds", 5, "rounds of each trial")
		seconds = flag.Int("seconds", 2, "seconds of each run")
		only    = flag.String("only", "", "trials, separated by commas (default: all)")
		strict  = flag.Bool("strict", false, "fail where a goal is missed")
		out     = flag.String("out", "results", "folder for the results")
		profile = flag.String("profile", "", "write a CPU profile of the gate to this file instead of results")
	)
	flag.Parse()
	p := plan{quick: *quick, rounds: *rounds, seconds: *seconds, only: map[string]bool{}}
	if p.quick {
		p.rounds = min(p.rounds, 4)
	}
	for name := range strings.SplitSeq(*only, ",") {
		if name != "" {
			p.only[name] = true
		}
	}
	if *profile != "" {
		p.rounds = min(p.rounds, 2)
		for _, name := range profiledTrials {
			p.only[name] = true
		}
	}
	missed, err := compare(p, *binary, *other, *out, *profile)
	fail(err)
	if *strict && missed > 0 {
		fail(fmt.Errorf("%d goals were missed", missed))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// note tells what goes on, apart from the results.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// compare runs the comparison, writes its results, and gives the number of
// goals that were missed.
// With a profile it writes that instead.
func compare(p plan, binary, other, out, profile string) (missed int, err error) {
	cache, err := filepath.Abs(".cache")
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return 0, err
	}
	l := &lab{client: newClient()}
	if other != "" {
		if l.other, err = filepath.Abs(other); err != nil {
			return 0, err
		}
	}
	if l.tools, err = findTools(cache); err != nil {
		return 0, err
	}
	l.machine = describe(l.tools)
	if l.machine.Cores < 2 {
		return 0, errors.New("two cores are needed: one for the proxy, one for the load")
	}
	if l.self, err = os.Executable(); err != nil {
		return 0, err
	}
	if l.dir, err = os.MkdirTemp("", "hopgate-bench-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(l.dir)
	defer func() {
		l.stopAll()
		if l.origin != nil {
			l.origin.stop()
		}
	}()
	l.endOnSignal()

	if profile == "" {
		l.hopgate, err = build(binary, l.dir)
	} else {
		l.hopgate, err = buildProfiled(l.dir)
	}
	if err != nil {
		return 0, err
	}
	for _, s := range []struct {
		to  **signer
		alg string
	}{{&l.es, "ES256"}, {&l.rs, "RS256"}, {&l.ed, "EdDSA"}} {
		if *s.to, err = newSigner(cache, s.alg); err != nil {
			return 0, err
		}
	}
	if err := l.startOrigin(); err != nil {
		return 0, err
	}
	began := time.Now()
	r := &report{Machine: l.machine, Quick: p.quick}
	if r.Size, err = size(l.hopgate); err != nil {
		return 0, err
	}
	if r.Start, err = l.startTime(); err != nil {
		return 0, err
	}
	for _, x := range experiments {
		if p.quick && !x.quick || len(p.only) > 0 && !slices.ContainsFunc(x.trials, func(id string) bool { return p.only[id] }) {
			continue
		}
		trials, err := x.begin(l, p)
		if err != nil {
			return 0, err
		}
		for _, t := range trials {
			if len(p.only) > 0 && !p.only[t.ID] {
				continue
			}
			if err := l.conduct(t); err != nil {
				return 0, err
			}
			r.Trials = append(r.Trials, t)
		}
		l.stopAll()
	}
	if profile != "" {
		return 0, mergeProfiles(l.dir, profile)
	}
	r.Seconds = time.Since(began).Seconds()
	return r.publish(out)
}

// endOnSignal ends everything where the user interrupts.
func (l *lab) endOnSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-c
		for _, s := range l.running {
			s.stop()
		}
		os.RemoveAll(l.dir)
		os.Exit(130)
	}()
}
