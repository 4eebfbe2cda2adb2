package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report is everything that came out.
type report struct {
	Machine machine  `json:"machine"`
	Quick   bool     `json:"quick"`
	Seconds float64  `json:"seconds"`
	Start   float64  `json:"start_ms"`
	Size    float64  `json:"binary_mb"`
	Trials  []*trial `json:"trials"`
	Goals   []result `json:"goals"`
}

// goal is an upper bound for a ratio of medians paired by round.
type goal struct {
	trial, a, b string
	metric      metric
	what        string // CPU, p99
	most        float64
}

// Every goal compares hopgate with an entrant of the same trial.
var goals = []goal{
	{"forward", hopgate, haproxy, cpu, "CPU", 1.00},
	{"forward", hopgate, nginx, cpu, "CPU", 1.00},
	{"forward", hopgate, haproxyJWT, cpu, "CPU", 0.16},
	{"forward", hopgate, hopgateOpen, cpu, "CPU", 1.05},
	{"two", hopgate, haproxy, cpu, "CPU", 1.10},
	{"paced", hopgate, haproxy, cpu, "CPU", 1.10},
	{"hit", hopgate, nginxCache, cpu, "CPU", 0.75},
	{"hit", hopgate, varnish, cpu, "CPU", 0.45},
	{"hit", hopgate, haproxyCache, cpu, "CPU", 0.55},
	{"pacedhit", hopgate, nginxCache, cpu, "CPU", 1.10},
	{"hit64k", hopgate, nginxCache, cpu, "CPU", 1.2},
	{"new-es256", hopgate, haproxyJWT, cpu, "CPU", 1.0},
	{"new-rs256", hopgate, haproxyJWT, cpu, "CPU", 1.1},
	{"denied", hopgateDenied, hopgate, cpu, "CPU", 1.0},
	{"denied", hopgateBroken, hopgate, cpu, "CPU", 1.0},
	{"p99", hopgate, haproxy, p99, "p99", 1.2},
	{"flood", hopgateFlood, hopgate, p99, "p99", 1.1},
	{"scale", hopgateMany, hopgate, cpu, "CPU", 1.1},
	{"scale", hopgateTokens, hopgate, cpu, "CPU", 1.1},
}

// result is a goal with what was reached.
type result struct {
	Case    string  `json:"case"`
	Against string  `json:"against"`
	What    string  `json:"what"`
	Most    float64 `json:"at_most"`
	Reached float64 `json:"reached"`
	Least   float64 `json:"lowest_round"`
	Worst   float64 `json:"highest_round"`
	Met     bool    `json:"met"`
}

func (r *report) trial(id string) *trial {
	for _, t := range r.Trials {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// judge compares what was measured with the goals.
func (r *report) judge() {
	r.Goals = nil
	for _, g := range goals {
		t := r.trial(g.trial)
		if t == nil {
			continue
		}
		a, b := t.find(g.a), t.find(g.b)
		if a == nil || b == nil {
			continue
		}
		list := ratios(a, b, g.metric)
		r.add(t.Title+": "+g.a, g.b, g.what+" ratio", g.most, list)
	}
	r.add("start to first answer", "", "ms", 20, []float64{r.Start})
	r.add("stripped binary", "", "MB", 20, []float64{r.Size})
	if t := r.trial("forward"); t != nil {
		r.add("memory with 64 busy connections", "", "MB", 40, t.find(hopgate).values(memory))
	}
}

func (r *report) add(title, against, what string, most float64, list []float64) {
	m := median(list)
	r.Goals = append(r.Goals, result{title, against, what, most, m, slices.Min(list), slices.Max(list), m <= most})
}

// publish prints the table and writes table, chart and JSON. It gives the
// number of goals that were missed.
func (r *report) publish(dir string) (int, error) {
	r.judge()
	table := r.markdown()
	fmt.Print(table)
	name := "full"
	if r.Quick {
		name = "quick"
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return 0, err
	}
	missed := 0
	for _, g := range r.Goals {
		if !g.Met {
			missed++
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	base := filepath.Join(dir, name)
	return missed, errors.Join(
		os.WriteFile(base+".json", append(text, '\n'), 0o644),
		os.WriteFile(base+".md", []byte(table), 0o644),
		os.WriteFile(base+".svg", []byte(r.chart()), 0o644))
}

func (r *report) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "# hopgate and its peers\n\n%s, %d cores, %s, Linux %s, %s; %s, commit %s.\n\n",
		m.CPU, m.Cores, m.OS, m.Kernel, m.Go, m.Time.Format("2006-01-02 15:04 UTC"), m.Commit)
	fmt.Fprintf(&b, "CPU is user and system time of all the proxy's processes over the requests they answered. "+
		"Medians of the rounds; in brackets the lowest and the highest. Ratios are hopgate's CPU over the peer's, paired by round. "+
		"Every answer was checked. Took %.0f s.\n", r.Seconds)
	for _, t := range r.Trials {
		t.table(&b)
	}
	fmt.Fprintf(&b, "\n## Goals\n\n| | against | | at most | reached | |\n|---|---|---|--:|--:|---|\n")
	for _, g := range r.Goals {
		verdict := "met"
		if !g.Met {
			verdict = "**missed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.4g | %s | %s |\n", g.Case, g.Against, g.What, g.Most, spread(g.Reached, g.Least, g.Worst, 2), verdict)
	}
	return b.String()
}

func (t *trial) table(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", t.Title)
	first := t.Entrants[0]
	paced := len(first.Runs) > 0 && first.Runs[0].Latency != nil
	fmt.Fprintf(b, "| | CPU µs/request | of it system | hopgate's ratio | requests/s | core busy | memory MB |")
	rule := "|---|--:|--:|--:|--:|--:|--:|"
	if paced {
		fmt.Fprint(b, " p50 µs | p99 µs | p99.9 µs |")
		rule += "--:|--:|--:|"
	}
	fmt.Fprintf(b, "\n%s\n", rule)
	for _, e := range t.Entrants {
		ratio := ""
		if e != first {
			ratio = of(ratios(first, e, cpu), 2)
		}
		fmt.Fprintf(b, "| %s | %s | %.1f | %s | %.0f | %.2f | %.0f |", e.Name, of(e.values(cpu), 1), median(e.values(system)), ratio,
			median(e.values(perSecond)), median(e.values(busy)), median(e.values(memory)))
		if paced {
			fmt.Fprintf(b, " %.0f | %s | %.0f |", median(e.values(p50)), of(e.values(p99), 0), median(e.values(p999)))
		}
		fmt.Fprintln(b)
		dropped := 0
		for _, r := range e.Runs {
			dropped += r.Dropped
		}
		if dropped > 0 {
			fmt.Fprintf(b, "| *%d access log records dropped* |\n", dropped)
		}
	}
}

// of writes a median with its spread.
func of(list []float64, digits int) string {
	if len(list) == 0 {
		return ""
	}
	return spread(median(list), slices.Min(list), slices.Max(list), digits)
}

func spread(m, least, most float64, digits int) string {
	if least == most {
		return fmt.Sprintf("%.*f", digits, m)
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, m, digits, least, digits, most)
}
