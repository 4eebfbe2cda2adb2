package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const cachedRoutes = `
routes:
  - id: user
    match: {path: "/users/{user_id}"}
    allow: "true"
    upstream: backend
    request: {headers: {X-User-Id: "{principal.user_id}"}}
    cache: {ttl: 5s, stale_while_revalidate: 30s, stale_if_error: 10m, scope: user}
  - id: org
    match: {path: "/orgs/{org_id}"}
    allow: rules.in_org
    upstream: backend
    cache: {ttl: 5s, stale_if_error: 10m, scope: org}
    response: {remove: [private]}
  - id: public
    match: {path: "/public/{name}"}
    anonymous: true
    upstream: backend
    cache: {ttl: 5s, stale_if_error: 10m, scope: public}
`

func status(r reply) string { return r.header.Get("Cache-Status") }

func TestCache(t *testing.T) {
	w := newWorld(t, settings(cachedRoutes))
	alice := w.bearer(claims{"sub": "alice", "org_id": "acme"})
	first := w.do("GET", "/users/alice", "", alice)
	if first.status != 200 || !strings.HasPrefix(status(first), "hopgate; fwd=uri-miss; ttl=") {
		t.Fatalf("%d %v %s", first.status, first.header, first.body)
	}
	hit := w.do("GET", "/users/alice", "", alice)
	if hit.body != first.body || !strings.HasPrefix(status(hit), "hopgate; hit; ttl=") || hit.header.Get("Age") == "" || hit.header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("%v %s", hit.header, hit.body)
	}
	if head := w.do("HEAD", "/users/alice", "", alice); !strings.Contains(status(head), "hit") || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(first.body)) {
		t.Errorf("HEAD: %v", head.header)
	}
	if n := w.backend.hits.Load(); n != 1 {
		t.Errorf("%d requests upstream", n)
	}
	// Stale, and refreshed behind.
	w.advance(10 * time.Second)
	if r := w.do("GET", "/users/alice", "", alice); r.body != first.body || !strings.HasPrefix(status(r), "hopgate; hit; ttl=-") {
		t.Errorf("stale: %v %s", r.header, r.body)
	}
	eventually(t, "refreshed", func() bool { return w.do("GET", "/users/alice", "", alice).body != first.body })
	if n := w.backend.hits.Load(); n != 2 {
		t.Errorf("%d requests upstream after the refresh", n)
	}
}

// eventually polls until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after 10 s", what)
		}
		time.Sleep(5 * time.Millisecond) // polling, bounded by the deadline
	}
}

// TestStaleIfError gives stale answers while the backend fails in any way.
func TestStaleIfError(t *testing.T) {
	w := newWorld(t, settings(cachedRoutes))
	acme := w.bearer(claims{"sub": "alice", "org_id": "acme"})
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"id":"acme","private":1}`)
	})
	if r := w.do("GET", "/orgs/acme", "", acme); r.status != 200 || r.body != `{"id":"acme"}` {
		t.Fatalf("%d %s", r.status, r.body)
	}
	w.advance(time.Minute)
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) })
	// An error that the filter cannot read is an error all the same.
	for _, want := range []string{"502", "502"} {
		r := w.do("GET", "/orgs/acme", "", acme)
		if r.status != 200 || r.body != `{"id":"acme"}` || !strings.Contains(status(r), "fwd=stale; fwd-status=") || !strings.Contains(status(r), "stale-if-error") {
			t.Errorf("%s: %d %v %s", want, r.status, r.header, r.body)
		}
	}
	w.backend.server.CloseClientConnections()
	w.backend.server.Listener.Close()
	if r := w.do("GET", "/orgs/acme", "", acme); r.status != 200 || r.body != `{"id":"acme"}` {
		t.Errorf("the backend is gone: %d %s", r.status, r.body)
	}
	if v := w.metric(`hopgate_cache_requests_total{result="stale_error",route="org"}`); v != "3" {
		t.Errorf("stale_error counted %s times", v)
	}
	w.advance(time.Hour)
	if r := w.do("GET", "/orgs/acme", "", acme); r.status < 500 {
		t.Errorf("after stale_if_error: %d %s", r.status, r.body)
	}
}

// TestUnkeyed shows that nobody can shape an answer that others get.
func TestUnkeyed(t *testing.T) {
	w := newWorld(t, settings(cachedRoutes))
	w.do("GET", "/public/a", "", [2]string{"X-Evil", "1"}, [2]string{"X-Forwarded-Host", "evil"}, [2]string{"Cookie", "a=b"}, [2]string{"Accept", "text/plain"}, [2]string{"User-Agent", "x"})
	got := w.backend.last(t).header
	for name := range got {
		switch name {
		case "Accept", "Accept-Encoding", "Authorization", "Via", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id":
		default:
			t.Errorf("%s: %q reached the backend of a shared answer", name, got.Get(name))
		}
	}
	if h := got.Get("X-Forwarded-Host"); h != w.address {
		t.Errorf("X-Forwarded-Host %q", h)
	}
	// Another Host is another answer.
	before := w.backend.hits.Load()
	w.do("GET", "/public/a", "", [2]string{"Host", "other.example"}, [2]string{"Accept", "text/plain"})
	if w.backend.hits.Load() == before {
		t.Error("two hosts share an answer")
	}
}

// TestRulesHoldOnHits authorizes a hit exactly as a miss.
func TestRulesHoldOnHits(t *testing.T) {
	w := newWorld(t, settings(cachedRoutes))
	w.do("GET", "/orgs/acme", "", w.bearer(claims{"sub": "alice", "org_id": "acme"}))
	if r := w.do("GET", "/orgs/acme", "", w.bearer(claims{"sub": "carol", "org_id": "globex"})); r.status != 403 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := w.do("GET", "/orgs/acme", ""); r.status != 401 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := w.do("GET", "/orgs/acme", "", w.bearer(claims{"sub": "bob", "org_id": "acme"})); !strings.Contains(status(r), "hit") {
		t.Errorf("bob of acme: %v", r.header)
	}
}

// TestReloadKeepsCache keeps stored answers through a reload that does not
// change them, and loses them where it does.
func TestReloadKeepsCache(t *testing.T) {
	w := newWorld(t, settings(cachedRoutes))
	acme := w.bearer(claims{"sub": "alice", "org_id": "acme"})
	w.do("GET", "/orgs/acme", "", acme)
	w.publish(t.Context(), settings(cachedRoutes+`
  - id: more
    match: {path: /more}
    anonymous: true
    upstream: backend
`))
	if r := w.do("GET", "/orgs/acme", "", acme); !strings.Contains(status(r), "hit") {
		t.Errorf("after a reload: %v", r.header)
	}
	w.publish(t.Context(), settings(strings.Replace(cachedRoutes, "remove: [private]", "remove: [private, served]", 1)))
	if r := w.do("GET", "/orgs/acme", "", acme); strings.Contains(status(r), "hit") || strings.Contains(r.body, "served") {
		t.Errorf("after the filter changed: %v %s", r.header, r.body)
	}
}

// TestCollapse asks upstream once for many who ask at the same time.
func TestCollapse(t *testing.T) {
	w := newWorld(t, settings(cachedRoutes))
	hold := make(chan struct{})
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) { <-hold; _, _ = io.WriteString(rw, "x") })
	var wg sync.WaitGroup
	var good atomic.Int64
	const callers = 50
	for range callers {
		wg.Go(func() {
			if r := w.do("GET", "/public/x", ""); r.status == 200 && r.body == "x" {
				good.Add(1)
			}
		})
	}
	eventually(t, "the request is upstream", func() bool { return w.backend.hits.Load() > 0 })
	close(hold)
	wg.Wait()
	if good.Load() != callers || w.backend.hits.Load() != 1 {
		t.Errorf("%d good answers, %d requests upstream", good.Load(), w.backend.hits.Load())
	}
}

// TestUncacheable passes on what must not be kept: to each their own.
func TestUncacheable(t *testing.T) {
	w := newWorld(t, settings(cachedRoutes))
	var n atomic.Int64
	for name, field := range map[string][2]string{
		"set-cookie": {"Set-Cookie", "a=b"}, "no-store": {"Cache-Control", "no-store"}, "private": {"Cache-Control", "private"}, "vary": {"Vary", "*"},
	} {
		w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set(field[0], field[1])
			fmt.Fprint(rw, n.Add(1))
		})
		a, b := w.do("GET", "/public/"+name, ""), w.do("GET", "/public/"+name, "")
		if a.status != 200 || a.body == b.body || strings.Contains(status(a)+status(b), "stored") {
			t.Errorf("%s: %s %s, %v", name, a.body, b.body, b.header)
		}
	}
	// Larger than an entry may be.
	large := strings.Repeat("x", 3<<20)
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, large) })
	for range 2 {
		if r := w.do("GET", "/public/large", ""); r.body != large || strings.Contains(status(r), "hit") {
			t.Errorf("large: %d bytes, %v", len(r.body), r.header)
		}
	}
}

// isolation sends mixed requests of two users of each of two organizations
// and tells how many answers held another's data.
func isolation(t *testing.T, w *world, requests int) (leaks int64) {
	t.Helper()
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Date", w.clock.now().UTC().Format(http.TimeFormat))
		rw.Header().Set("Cache-Control", "max-age=2, stale-while-revalidate=5")
		rw.Header().Set("ETag", `"`+r.URL.Path+r.Header.Get("Accept-Language")+`"`)
		if rand.IntN(20) == 0 {
			rw.WriteHeader(500)
			return
		}
		// Whose data it is: told in a field that the key does not have, so
		// that only the scope keeps callers apart.
		_ = json.NewEncoder(rw).Encode(map[string]string{"user": r.Header.Get("Accept-Language"), "path": r.URL.Path})
	})
	type who struct{ user, org, token string }
	var people []who
	for _, p := range [][2]string{{"alice", "acme"}, {"bob", "acme"}, {"carol", "globex"}, {"dave", "globex"}} {
		people = append(people, who{p[0], p[1], w.token(claims{"sub": p[0], "org_id": p[1]})})
	}
	var n atomic.Int64
	var left atomic.Int64
	left.Store(int64(requests))
	var wg sync.WaitGroup
	for worker := range 16 {
		random := rand.New(rand.NewPCG(uint64(worker), 1))
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				p := people[random.IntN(len(people))]
				target := fmt.Sprintf("/users/%d", random.IntN(5))
				own := target
				if random.IntN(2) == 0 {
					target = "/orgs/" + p.org
					own = target
					if random.IntN(4) == 0 {
						target = "/orgs/" + people[random.IntN(len(people))].org
					}
				}
				if random.IntN(50) == 0 {
					w.advance(3 * time.Second)
				}
				req, err := http.NewRequest("GET", w.url+target, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+p.token)
				if strings.HasPrefix(target, "/users/") {
					req.Header.Set("Accept-Language", p.user)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				var got struct{ User, Path string }
				if resp.StatusCode == 200 {
					if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
						t.Error(err)
					}
					if got.Path != target || got.User != "" && got.User != p.user || strings.HasPrefix(target, "/orgs/") && target != own {
						n.Add(1)
					}
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	return n.Load()
}

// TestIsolation gives nobody another's data, whatever happens at once; and
// shows that it would notice, by breaking the key.
func TestIsolation(t *testing.T) {
	routes := strings.Replace(cachedRoutes, `request: {headers: {X-User-Id: "{principal.user_id}"}}`, "", 1)
	w := newWorld(t, settings(routes))
	if leaks := isolation(t, w, 10_000); leaks > 0 {
		t.Errorf("%d answers held another's data", leaks)
	}
	if v := w.metric(`hopgate_cache_requests_total{result="hit",route="user"}`); v == "0" || v == "" {
		t.Error("nothing came from the cache: the test shows nothing")
	}
	// With everything on that the cache can do.
	every := strings.NewReplacer(
		"ttl: 5s, stale_while_revalidate: 30s, stale_if_error: 10m, scope: user",
		"ttl: origin, heuristic: true, stale_if_error: 10m, stale_after: 20ms, browser_ttl: 1s, sort_query: true, vary_on: [X-Any], scope: user",
		"ttl: 5s, stale_if_error: 10m, scope: org",
		"ttl: 5s, negative_ttl: 1s, stale_while_revalidate: 2s, stale_if_error: 10m, stale_after: 20ms, vary_on: [Accept], scope: org",
	).Replace(routes)
	w = newWorld(t, settings(every+`
  - id: write
    match: {methods: [POST], path: "/users/{user_id}"}
    allow: "true"
    upstream: backend
    invalidates: [user, org]
`))
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		token := [2]string{"Authorization", "Bearer " + w.token(claims{"sub": "alice", "org_id": "acme"})}
		tick := time.NewTicker(20 * time.Millisecond) // each forgets everything
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				w.do("POST", fmt.Sprintf("/users/%d", i%5), "x", token, [2]string{"Accept-Language", "alice"})
			}
		}
	})
	if leaks := isolation(t, w, 10_000); leaks > 0 {
		t.Errorf("with every feature %d answers held another's data", leaks)
	}
	close(stop)
	writer.Wait()
	if v := w.metric(`hopgate_cache_requests_total{result="hit",route="user"}`); v == "0" || v == "" {
		t.Error("with every feature nothing came from the cache: the test shows nothing")
	}
	broken := newWorld(t, settings(strings.Replace(routes, "scope: user", "scope: public", 1)))
	if leaks := isolation(t, broken, 2_000); leaks == 0 {
		t.Error("with a key that lacks the caller no leak was noticed: the test shows nothing")
	}
}

// TestFieldsBesideVary keeps from the upstream of a shared answer what it could
// take for a field that its Vary names, and that nobody compares.
func TestFieldsBesideVary(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - {id: org, match: {path: /org}, allow: "true", upstream: backend, cache: {ttl: origin, scope: org}}
  - {id: public, match: {path: /public}, anonymous: true, upstream: backend, cache: {ttl: origin, scope: public}}
  - {id: named, match: {path: /named}, anonymous: true, upstream: backend, cache: {ttl: origin, scope: public, vary_on: [x_lang]}}
  - {id: user, match: {path: /user}, allow: "true", upstream: backend, cache: {ttl: origin, scope: user}}
`))
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Vary", "X-Lang")
		rw.Header().Set("Cache-Control", "public, max-age=60")
		fmt.Fprintf(rw, "%q %q", r.Header["X-Lang"], r.Header["X_lang"])
	})
	mallory := w.bearer(claims{"sub": "mallory", "org_id": "acme"})
	alice := w.bearer(claims{"sub": "alice", "org_id": "acme"})
	en, evil := [2]string{"X-Lang", "en"}, [2]string{"X_lang", "evil"}
	for path, want := range map[string]string{"/org": `["en"] []`, "/public": `["en"] []`, "/named": `[] ["evil"]`, "/user": `["en"] ["evil"]`} {
		if got := w.do("GET", path, "", mallory, en, evil); got.body != want {
			t.Errorf("%s: the upstream got %s, want %s", path, got.body, want)
		}
		if got := w.do("GET", path, "", alice, en); strings.Contains(got.body, "evil") {
			t.Errorf("%s: one caller shapes the answer of another: %s", path, got.body)
		}
	}
}
