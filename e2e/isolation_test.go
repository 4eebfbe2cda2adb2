package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// isolationRoutes have answers that are one user's, one organization's, and
// one session's; what is fresh only briefly is also served stale and fetched
// behind, so that every way of sharing an answer is taken.
const isolationRoutes = `
routes:
  - id: me
    match: {path: "/me"}
    allow: "true"
    upstream: backend
    request: {headers: {X-User-Id: "{principal.user_id}", X-Org-Id: "{principal.org_id}"}}
    cache: {ttl: 20ms, stale_while_revalidate: 20ms, stale_if_error: 1m, scope: user}
  - id: org
    match: {path: "/org"}
    allow: "true"
    upstream: backend
    request: {headers: {X-Org-Id: "{principal.org_id}"}}
    cache: {ttl: 20ms, stale_while_revalidate: 20ms, stale_if_error: 1m, scope: org}
  - id: long
    match: {path: "/long"}
    allow: "true"
    upstream: backend
    request: {headers: {X-User-Id: "{principal.user_id}", X-Org-Id: "{principal.org_id}"}}
    cache: {ttl: 1m, scope: user}
  - id: own
    match: {path: "/users/{user_id}"}
    allow: principal.user_id == path.user_id
    upstream: backend
    request: {headers: {X-User-Id: "{principal.user_id}", X-Org-Id: "{principal.org_id}"}}
    cache: {ttl: 20ms, scope: user}
`

// isolation is what came of mixed requests of several users.
type isolation struct {
	mu     sync.Mutex
	leaks  []string // answers with another's data
	faults []string // answers that should not be
	hits   atomic.Int64
}

func (r *isolation) leak(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaks = append(r.leaks, fmt.Sprintf(format, args...))
}

func (r *isolation) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// mixRequests sends workers*each requests of two users of each of two
// organizations, all mixed, and checks whose data each answer has. Both
// organizations have the same users, as people are members of several.
func mixRequests(g *gate, token func(string) string, workers, each int) *isolation {
	type caller struct{ user, org, token string }
	var callers []caller
	for _, org := range []string{"acme", "globex"} {
		for _, user := range []string{"alice", "bob"} {
			callers = append(callers, caller{user, org, token(claims(user, org))})
		}
	}
	r := &isolation{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				c := callers[(w+i*7)%len(callers)]
				r.one(g, c.user, c.org, c.token, i)
			}
		})
	}
	wg.Wait()
	return r
}

// one sends a request of a user and checks the answer.
func (r *isolation) one(g *gate, user, org, token string, i int) {
	other := map[string]string{"alice": "bob", "bob": "alice"}[user]
	path := []string{"/me", "/org", "/long", "/users/" + user, "/users/" + other}[i%5]
	a, err := tryCall("GET", g.url+path, "", "Authorization", "Bearer "+token)
	if err != nil {
		r.fault("request failed: %v", err)
		return
	}
	if path == "/users/"+other {
		if a.status != 403 || strings.Contains(a.body, `"user":"`+other) {
			r.leak("%s of %s got %d %s at %s", user, org, a.status, a.body, path)
		}
		return
	}
	var got struct{ User, Org string }
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 {
		r.fault("%d %s: %v", a.status, a.body, err)
		return
	}
	want := user
	if path == "/org" {
		want = ""
	}
	if got.Org != org || got.User != want {
		r.leak("%s of %s got %s at %s", user, org, a.body, path)
	}
	if strings.Contains(a.header.Get("Cache-Status"), "hit") {
		r.hits.Add(1)
	}
	if cc := a.header.Get("Cache-Control"); !strings.Contains(cc, "private") {
		r.leak("a scoped answer has Cache-Control %q, which lets caches in front share it", cc)
	}
}

// TestIsolation mixes two users of each of two organizations, ten thousand
// requests, with caching on: nobody ever sees another's answer.
func TestIsolation(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	g := serve(t, localConfig(jwks, b.url, isolationRoutes), "E2E_SECRET="+secret)
	const workers, each = 20, 500
	r := mixRequests(g, token, workers, each)
	for _, list := range [][]string{r.leaks, r.faults} {
		if len(list) > 0 {
			t.Errorf("%d of %d answers are wrong, such as:\n%s", len(list), workers*each, strings.Join(list[:min(len(list), 5)], "\n"))
		}
	}
	if r.hits.Load() < workers*each/10 {
		t.Errorf("only %d hits: the cache was hardly used", r.hits.Load())
	}
}

// TestIsolationCatchesABrokenKey breaks the cache's key in a build of its own
// and holds it against the same checker, which has to see it: else
// TestIsolation would show nothing.
func TestIsolationCatchesABrokenKey(t *testing.T) {
	const (
		file   = "../proxy/cached.go"
		anchor = "func (x *exchange) makeKey() bool {\n"
	)
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Whose answer it is and what was sent for it are no part of the key.
	broken := strings.Replace(string(source), anchor, anchor+"\tif x.path != \"\" {\n\t\tx.key = append(x.key[:0], x.path...)\n\t\treturn true\n\t}\n", 1)
	if broken == string(source) {
		t.Fatalf("%s has no %q any more: break the key where it is made now", file, anchor)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "cached.go"), broken)
	original, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: filepath.Join(dir, "cached.go")}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), string(overlay))
	program := filepath.Join(dir, "hopgate")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "hopgate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	b := startBackend(t)
	jwks, token := mint(t)
	g := serveWith(t, program, localConfig(jwks, b.url, isolationRoutes), "E2E_SECRET="+secret)
	r := mixRequests(g, token, 4, 100)
	if len(r.leaks) == 0 {
		t.Errorf("with a key that all callers share, nobody got another's answer (%d hits): the checker is blind", r.hits.Load())
	}
	for _, f := range r.faults {
		t.Errorf("%s", f)
	}
}
