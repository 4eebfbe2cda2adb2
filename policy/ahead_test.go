package policy

import (
	"fmt"
	"strings"
	"testing"
)

// TestAhead compiles more rules than are parsed one after the other, some of
// them wrong, and finds the faults of each where it stands.
func TestAhead(t *testing.T) {
	for _, n := range []int{fewTexts - 1, 4 * fewTexts} {
		var b strings.Builder
		b.WriteString("routes:\n")
		for i := range n {
			rule := fmt.Sprintf("path.id == 'v%d'", i)
			if i%50 == 7 {
				rule = fmt.Sprintf("path.other%d == 'x'", i)
			}
			fmt.Fprintf(&b, "  - { id: r%d, match: { path: \"/things%d/{id}\" }, allow: \"%s\", deny: \"path.id == 'no'\", upstream: u }\n", i, i, rule)
		}
		cfg, errs := parseConfig(t, b.String())
		Compile(cfg, errs)
		if got, want := errs.Len(), (n+42)/50; got != want {
			t.Fatalf("%d routes: %d faults, want %d: %v", n, got, want, errs.Err())
		}
		for i := 7; i < n; i += 50 {
			if want := fmt.Sprintf("hopgate.yaml:%d:", i+2); !strings.Contains(errs.Err().Error(), want) || !strings.Contains(errs.Err().Error(), fmt.Sprintf("path has no other%d ", i)) {
				t.Errorf("the fault of route %d is not told at %s: %v", i, want, errs.Err())
			}
		}
	}
	p := load(t, manyRules(4*fewTexts))
	for _, i := range []int{0, 99, 4*fewTexts - 1} {
		var m Match
		for value, want := range map[string]Effect{fmt.Sprintf("v%d", i): Allow, "v": Deny} {
			path := fmt.Sprintf("/things%d/%s", i, value)
			if r := p.Match(&m, "GET", "a", path); r != Allowed {
				t.Fatalf("%s: %s", path, r)
			}
			if d := m.Route.Decide(&m, &Request{Method: "GET", Path: path}, nil); d.Effect != want {
				t.Errorf("%s: %+v", path, d)
			}
		}
	}
}

// manyRules writes routes each of which has a rule of its own.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("routes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - { id: r%d, match: { path: \"/things%d/{id}\" }, allow: \"path.id == 'v%d'\", upstream: u }\n", i, i, i)
	}
	return b.String()
}
