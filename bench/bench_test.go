package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestStatOfANameWithParentheses(t *testing.T) {
	s, err := parseStat([]byte("42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 150 25 9 9 20 0 1 0 100 0 0"))
	if err != nil || s.parent != 7 || s.user != 1500*time.Millisecond || s.system != 250*time.Millisecond {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := parseStat([]byte("no such thing")); err == nil {
		t.Error("nonsense was read")
	}
}

func TestProcessTimesAreReadOfOneself(t *testing.T) {
	s, err := readStat(os.Getpid())
	if err != nil || s.parent != os.Getppid() {
		t.Errorf("got %+v, %v; the parent is %d", s, err, os.Getppid())
	}
}

func TestWrkSummaries(t *testing.T) {
	for _, c := range []struct {
		name, out string
		entrant   entrant
		wrong     int
		fails     bool
	}{
		{"right", `SUMMARY {"requests":1000,"seconds":1.0,"bytes":9,"refused":0,"broken":0,"wrapped":0}`, entrant{status: 200}, 0, false},
		{"refused", `SUMMARY {"requests":1000,"seconds":1.0,"bytes":9,"refused":3,"broken":0,"wrapped":0}`, entrant{status: 200}, 3, false},
		{"let through", `SUMMARY {"requests":1000,"seconds":1.0,"bytes":9,"refused":990,"broken":0,"wrapped":0}`, entrant{status: 403}, 10, false},
		{"about the share", `SUMMARY {"requests":100000,"seconds":1.0,"bytes":9,"refused":1020,"broken":0,"wrapped":0}`, entrant{status: 200, share: 0.01}, 0, false},
		{"far from the share", `SUMMARY {"requests":100000,"seconds":1.0,"bytes":9,"refused":0,"broken":0,"wrapped":0}`, entrant{status: 200, share: 0.01}, 0, true},
		{"broken", `SUMMARY {"requests":1000,"seconds":1.0,"bytes":9,"refused":0,"broken":1,"wrapped":0}`, entrant{status: 200}, 0, true},
		{"no summary", `unable to connect`, entrant{status: 200}, 0, true},
	} {
		o, err := parseWrk(c.out+"\n", &c.entrant)
		if (err != nil) != c.fails || o.Wrong != c.wrong {
			t.Errorf("%s: %+v, %v", c.name, o, err)
		}
	}
}

func TestH2loadOutput(t *testing.T) {
	const out = `Application protocol: h2
finished in 2.00s, 15000.50 req/s, 18.00MB/s
requests: 30001 total, 30065 started, 30001 done, 30001 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 29999 2xx, 0 3xx, 2 4xx, 0 5xx
`
	o, err := parseH2load(out)
	if err != nil || o.Requests != 30001 || o.Wrong != 2 || o.Seconds != 2 {
		t.Errorf("got %+v, %v", o, err)
	}
	if _, err := parseH2load(strings.Replace(out, "protocol: h2", "protocol: http/1.1", 1)); err == nil {
		t.Error("HTTP/1.1 passed for HTTP/2")
	}
}

func TestAnEntrantThatDoesLessIsRefused(t *testing.T) {
	e := &entrant{status: 200, body: smallBody, origin: 1}
	for _, c := range []struct {
		name   string
		o      outcome
		origin int
		good   bool
	}{
		{"whole", outcome{Requests: 10000, Bytes: 12_000_000}, 10050, true},
		{"no bodies", outcome{Requests: 10000, Bytes: 2_000_000}, 10050, false},
		{"from a cache", outcome{Requests: 10000, Bytes: 12_000_000}, 5, false},
		{"asked twice", outcome{Requests: 10000, Bytes: 12_000_000}, 20000, false},
		{"a wrong answer", outcome{Requests: 10000, Bytes: 12_000_000, Wrong: 1}, 10050, false},
		{"nothing", outcome{}, 0, false},
	} {
		if err := e.judge(c.o, c.origin); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRatiosArePairedByRound(t *testing.T) {
	a := &entrant{Runs: []run{{CPU: 10}, {CPU: 40}, {CPU: 12}}}
	b := &entrant{Runs: []run{{CPU: 20}, {CPU: 80}, {CPU: 20}}}
	if got := ratios(a, b, cpu); !slices.Equal(got, []float64{0.5, 0.5, 0.6}) {
		t.Errorf("got %v", got)
	}
	for _, c := range []struct {
		list []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.list); got != c.want {
			t.Errorf("median of %v: %v, not %v", c.list, got, c.want)
		}
	}
}

func TestTokensVerifyByAnotherLibraryAndAreKept(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		dir := t.TempDir()
		s, err := newSigner(dir, alg)
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.pool(3)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range first {
			parsed, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return s.key.Public(), nil },
				jwt.WithValidMethods([]string{alg}), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired())
			if err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
			if sub, _ := parsed.Claims.GetSubject(); sub != user(i) {
				t.Errorf("%s: token %d is %s's", alg, i, sub)
			}
		}
		again, err := newSigner(dir, alg)
		if err != nil {
			t.Fatal(err)
		}
		more, err := again.pool(5)
		if err != nil || !slices.Equal(more[:3], first) {
			t.Errorf("%s: what was signed before is not used again (%v)", alg, err)
		}
		if slices.Contains(more[:3], more[3]) || more[3] == more[4] {
			t.Errorf("%s: a token came twice", alg)
		}
	}
}

func TestDocumentsAreAsLongAsTheySay(t *testing.T) {
	if len(smallBody) != 1<<10 || len(largeBody) != 64<<10 {
		t.Errorf("%d and %d bytes", len(smallBody), len(largeBody))
	}
}

// sample is a report of one trial.
func sample() *report {
	r := &report{Start: 7, Size: 9, Trials: []*trial{{ID: "forward", Title: "Known <token>", Entrants: []*entrant{
		{Name: hopgate, Runs: []run{{CPU: 10, Resident: 20e6}, {CPU: 12, Resident: 20e6}}},
		{Name: haproxy, Runs: []run{{CPU: 20}, {CPU: 10}}},
		{Name: nginx, Runs: []run{{CPU: 20}, {CPU: 24}}},
	}}}}
	r.judge()
	return r
}

func TestGoalsAreJudged(t *testing.T) {
	var got []string
	for _, g := range sample().Goals {
		verdict := "missed"
		if g.Met {
			verdict = "met"
		}
		got = append(got, g.Against+" "+verdict)
	}
	want := []string{"HAProxy met", "nginx met", " met", " met", " met"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, not %q", got, want)
	}
	if g := sample().Goals[0]; g.Reached != 0.85 || g.Least != 0.5 || g.Worst != 1.2 {
		t.Errorf("got %+v", g)
	}
}

func TestChartIsWellFormedAndEscaped(t *testing.T) {
	svg := sample().chart()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
	}
	if !strings.Contains(svg, "Known &lt;token&gt;") || strings.Count(svg, "<rect") != 4 {
		t.Errorf("unexpected chart: %s", svg)
	}
}

var update = flag.Bool("update", false, "write the README's table and the committed table and chart anew")

// TestCommittedResults holds what is told of the results against the results.
func TestCommittedResults(t *testing.T) {
	text, err := os.ReadFile("results/full.json")
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- results: generated, see bench/README.md -->\n", "<!-- /results -->"
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(readme), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("the README has no markers for the results")
	}
	for path, want := range map[string]string{
		"../README.md": head + begin + r.summary() + end + tail, "results/full.md": r.markdown(), "results/full.svg": r.chart(),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s does not tell what results/full.json has (%v): run go test -run Committed -update", path, err)
		}
	}
}
