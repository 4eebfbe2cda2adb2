package policy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestBranches looks up literal segments and their other spellings where a
// node has few branches, and where it has many.
func TestBranches(t *testing.T) {
	for _, others := range []int{0, manyBranches - 4, manyBranches - 2, manyBranches, 100} {
		lines := []string{"plain: GET - /admin", "encoded: GET - /a%3Ab%25", "percent: GET - /%253A", "any: GET - /{x}"}
		for i := range others {
			lines = append(lines, fmt.Sprintf("other%d: GET - /other%d", i, i))
		}
		p := routeTable(t, lines...)
		var m Match
		for path, want := range map[string]string{
			"/admin":     "plain",
			"/a%3Ab%25":  "encoded",
			"/%253A":     "percent",
			"/%61dmin":   string(TargetNotCanonical),
			"/admin;v=1": string(TargetNotCanonical),
			"/a:b%25":    string(TargetNotCanonical),
			"/%25%33A":   string(TargetNotCanonical),
			// What looks like a literal only once it is decoded is another text:
			// %253A stands for %3A, which is no other spelling of a colon.
			"/a%253Ab%2525": "any x=a%253Ab%2525",
			"/%25253A":      "any x=%25253A",
			"/adm":          "any x=adm",
		} {
			if got := matched(p, &m, "GET", "a", path); got != want {
				t.Errorf("with %d others, %s: %s, want %s", others, path, got, want)
			}
		}
		for i := range others {
			path := fmt.Sprintf("/other%d", i)
			if got := matched(p, &m, "GET", "a", path); got != path[1:] {
				t.Errorf("with %d others, %s: %s", others, path, got)
			}
			if got := strings.Join(p.Methods("a", path), ","); got != "GET,HEAD" {
				t.Errorf("with %d others, %s has the methods %s", others, path, got)
			}
		}
	}
}

// TestRouteMemory holds what a compiled route takes beside its configuration:
// there may be ten thousand.
func TestRouteMemory(t *testing.T) {
	const n, most = 4000, 1800
	var b strings.Builder
	b.WriteString("rules: { is_self: principal.user_id == path.id }\nroutes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - { id: r%d, match: { methods: [GET, POST], path: \"/v1/things%d/{id}/parts/{part}\" }, allow: rules.is_self, upstream: u }\n", i, i)
	}
	cfg, errs := parseConfig(t, b.String())
	before := inUse()
	p := Compile(cfg, errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	each := (int64(inUse()) - int64(before)) / n
	t.Logf("%d bytes a route", each)
	if each > most && !raceDetector {
		t.Errorf("a route takes %d bytes, more than %d", each, most)
	}
	runtime.KeepAlive(cfg)
	runtime.KeepAlive(p)
}

// inUse gives the bytes of what is reachable.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
