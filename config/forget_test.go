package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

const placed = `upstreams: { u: &u { endpoints: http://localhost:1, secret: { header: X-Key, value: "${SECRET}" } } }
issuers: { i: { issuer: "https://i.example.com" } }
rules:
  r: >-
    principal.user_id
    == path.id
routes:
  - id: a
    match: { path: "/a/{id}", methods: [GET, POST] }
    allow: [rules.r, "'${WHO:-me}' == path.id"]
    upstream: u
    request: { headers: { X-Who: "{principal.user_id}" } }
`

// TestForget finds the same positions before and after the tree is let go.
func TestForget(t *testing.T) {
	cfg, errs := Parse("f.yaml", []byte(placed), func(name string) (string, bool) { return "long secret", name == "SECRET" })
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	places := func() string {
		r := &cfg.Routes[0]
		return fmt.Sprint(
			cfg.Source.Pos("upstreams", "u", "secret"), r.Source.Pos("allow", 1), r.Match.Source.Pos("methods", 1),
			cfg.Upstreams["u"].Secret.Source.Pos("value"), cfg.Rules["r"].Pos(1, 18), r.Allow[1].Pos(1, 0), r.Allow[1].Pos(1, 9),
			r.Request.Headers["X-Who"].Pos(3), r.Source.Pos("nothing"),
		)
	}
	want := places()
	if strings.Count(want, "f.yaml:") != 9 {
		t.Fatalf("the positions are %s", want)
	}
	redacted := string(cfg.Redacted())
	for range 2 {
		cfg.Forget()
		if cfg.Source.doc.tree.Load() != nil {
			t.Fatal("the tree is kept")
		}
		if got := string(cfg.Redacted()); got != redacted {
			t.Errorf("the effective configuration became\n%s", got)
		}
		if got := places(); got != want {
			t.Errorf("the positions became\n%s, were\n%s", got, want)
		}
	}
	(&Config{}).Forget() // one that stands in no file has nothing to let go of
}

// TestMemory holds what the configuration of a route takes once it is
// compiled: there may be ten thousand.
func TestMemory(t *testing.T) {
	const n, most = 4000, 1500
	var b strings.Builder
	b.WriteString(placed)
	for i := range n {
		fmt.Fprintf(&b, "  - { id: r%d, match: { methods: [GET, POST], path: \"/v1/things%d/{id}/parts/{part}\" }, allow: rules.r, upstream: u }\n", i, i)
	}
	data := []byte(b.String())
	before := inUse()
	cfg, errs := Parse("f.yaml", data, func(string) (string, bool) { return "secret", true })
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	errs = nil
	full := inUse()
	cfg.Forget()
	each := (int64(inUse()) - int64(before)) / n
	t.Logf("%d bytes a route, %d before Forget", each, (int64(full)-int64(before))/n)
	if each > most {
		t.Errorf("a route takes %d bytes, more than %d", each, most)
	}
	runtime.KeepAlive(data)
	runtime.KeepAlive(cfg)
}

// inUse gives the bytes of what is reachable.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
