package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const purgedRoutes = `
routes:
  - id: user
    match: {path: "/users/{user_id}"}
    allow: "true"
    upstream: backend
    cache: {ttl: 1h, stale_while_revalidate: 1h, stale_if_error: 10h, scope: user}
  - id: org
    match: {path: "/orgs/{org_id}"}
    allow: rules.in_org
    upstream: backend
    cache: {ttl: 1h, stale_if_error: 10h, scope: org}
  - id: public
    match: {path: "/public/{name}"}
    anonymous: true
    upstream: backend
    cache: {ttl: 1h, stale_if_error: 10h}
`

// TestPurge fills the cache with answers of every scope and purges by each
// kind of name: what it reaches is gone at once, and nothing else.
func TestPurge(t *testing.T) {
	w := newWorld(t, settings(purgedRoutes))
	alice := w.bearer(claims{"sub": "alice", "org_id": "acme", "sid": "sess_a"})
	bob := w.bearer(claims{"sub": "bob", "org_id": "acme", "sid": "sess_b"})
	carol := w.bearer(claims{"sub": "carol", "org_id": "globex", "sid": "sess_c"})
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Tag", "all-of-them, "+strings.ReplaceAll(r.URL.Path[1:], "/", "-"))
		_, _ = io.WriteString(rw, r.URL.Path)
	})
	asks := map[string]func() reply{
		"alice":  func() reply { return w.do("GET", "/users/alice?a=1", "", alice) },
		"bob":    func() reply { return w.do("GET", "/users/bob", "", bob) },
		"carol":  func() reply { return w.do("GET", "/users/carol", "", carol) },
		"acme":   func() reply { return w.do("GET", "/orgs/acme", "", bob) },
		"globex": func() reply { return w.do("GET", "/orgs/globex", "", carol) },
		"public": func() reply { return w.do("GET", "/public/x", "") },
	}
	for name, ask := range asks {
		ask()
		if got := status(ask()); !strings.Contains(got, "hit") {
			t.Fatalf("%s is not stored: %s", name, got)
		}
	}
	key := func(path string, who [2]string) string {
		x := w.inspect(t, Question{Method: "GET", URL: w.url + path, Fields: [][2]string{who}})
		if x.Cache == nil || len(x.Cache.Key) != keyNameLength {
			t.Fatalf("%s has no key: %+v", path, x)
		}
		return x.Cache.Key
	}
	for _, test := range []struct {
		purge Purge
		gone  string
	}{
		{Purge{Routes: []string{"user"}}, "alice bob carol"},
		{Purge{Routes: []string{"org", "public"}}, "acme globex public"},
		{Purge{Principals: []string{"alice"}}, "alice"},
		{Purge{Principals: []string{"nobody", "alic", "acme"}}, ""},
		{Purge{Sessions: []string{"sess_c"}}, "carol"},
		{Purge{Organizations: []string{"acme"}}, "acme alice bob"},
		{Purge{Tags: []string{"orgs-globex"}}, "globex"},
		{Purge{Tags: []string{"all-of-them"}}, "acme alice bob carol globex public"},
		{Purge{URIs: []string{w.url + "/users/alice?a=1"}}, "alice"},
		{Purge{URIs: []string{w.url + "/users/alice"}}, "alice"},
		{Purge{URIs: []string{w.url + "/users/alic"}}, ""},
		{Purge{URIs: []string{"HTTPS" + strings.TrimPrefix(w.url, "http") + "/public/x"}}, "public"},
		{Purge{Keys: []string{key("/users/alice?a=1", alice)}}, "alice"},
		{Purge{Keys: []string{strings.ToUpper(key("/orgs/acme", alice))}}, "acme"},
		{Purge{All: true}, "acme alice bob carol globex public"},
	} {
		if err := w.gate.Purge(test.purge); err != nil {
			t.Fatalf("%+v: %v", test.purge, err)
		}
		for name, ask := range asks {
			gone := !strings.Contains(status(ask()), "hit")
			if gone != strings.Contains(" "+test.gone+" ", " "+name+" ") {
				t.Errorf("%+v: %s is gone: %t", test.purge, name, gone)
			}
			if got := status(ask()); !strings.Contains(got, "hit") {
				t.Errorf("%+v: %s is not stored again: %s", test.purge, name, got)
			}
		}
	}
	for by, want := range map[string]string{"route": "3", "principal": "4", "session": "1", "organization": "1", "tag": "2", "uri": "4", "key": "2", "all": "1"} {
		if got := w.metric(`hopgate_cache_purges_total{by="` + by + `"}`); got != want {
			t.Errorf("by %s: %s, want %s", by, got, want)
		}
	}
}

// TestSoftPurge leaves answers to be given where the backend fails.
func TestSoftPurge(t *testing.T) {
	w := newWorld(t, settings(purgedRoutes))
	alice := w.bearer(claims{"sub": "alice", "org_id": "acme"})
	w.do("GET", "/users/alice", "", alice)
	w.do("GET", "/orgs/acme", "", alice)
	if err := w.gate.Purge(Purge{All: true, Soft: true}); err != nil {
		t.Fatal(err)
	}
	if got := status(w.do("GET", "/users/alice", "", alice)); !strings.HasPrefix(got, "hopgate; hit; ttl=") {
		t.Errorf("within stale_while_revalidate: %s", got)
	}
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) })
	if r := w.do("GET", "/orgs/acme", "", alice); r.status != 200 || !strings.Contains(status(r), "stale-if-error") {
		t.Errorf("within stale_if_error: %d %s", r.status, status(r))
	}
	if err := w.gate.Purge(Purge{Organizations: []string{"acme"}}); err != nil {
		t.Fatal(err)
	}
	if r := w.do("GET", "/orgs/acme", "", alice); r.status != 503 {
		t.Errorf("after a hard purge: %d %s", r.status, status(r))
	}
}

// TestPurgeReachesFetches: a fetch that began before a purge is of no use to
// those who ask after it.
func TestPurgeReachesFetches(t *testing.T) {
	w := newWorld(t, settings(purgedRoutes))
	old, hold := make(chan struct{}), make(chan struct{})
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) {
		close(old)
		<-hold
		_, _ = io.WriteString(rw, "before")
	})
	before := make(chan reply, 1)
	go func() { before <- w.do("GET", "/public/x", "") }()
	<-old
	w.backend.will(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "after") })
	if err := w.gate.Purge(Purge{Routes: []string{"public"}}); err != nil {
		t.Fatal(err)
	}
	if r := w.do("GET", "/public/x", ""); r.body != "after" {
		t.Errorf("asked after the purge: %s", r.body)
	}
	close(hold)
	if r := <-before; r.body != "before" {
		t.Errorf("asked before the purge: %s", r.body)
	}
	if r := w.do("GET", "/public/x", ""); r.body != "after" || !strings.Contains(status(r), "hit") {
		t.Errorf("the older answer took the newer one's place: %s %s", r.body, status(r))
	}
}

func TestPurgeThatCannotBeMeant(t *testing.T) {
	w := newWorld(t, settings(purgedRoutes))
	w.do("GET", "/public/x", "")
	for fault, p := range map[string]Purge{
		"nothing is named":                       {},
		"nothing is named; name":                 {Soft: true},
		`routes[1] is "orgs", and no route`:      {Routes: []string{"org", "orgs"}, All: true},
		"the routes are user, org, public":       {Routes: []string{"x"}},
		"keys[0] is \"abc\"; it should be a key": {Keys: []string{"abc"}, Routes: []string{"public"}},
		"it should be a key as an inspection":    {Keys: []string{strings.Repeat("x", keyNameLength)}},
		"principals[0] is empty":                 {Principals: []string{""}},
		"tags[1] is empty":                       {Tags: []string{"a", ""}},
		`uris[0] is "/public/x"; it should be`:   {URIs: []string{"/public/x"}},
		`uris[0] is "ftp://a/b"`:                 {URIs: []string{"ftp://a/b"}},
		`uris[0] is "http://a/b/../c"`:           {URIs: []string{"http://a/b/../c"}},
		`uris[0] is "http://a/b#c"`:              {URIs: []string{"http://a/b#c"}},
		`uris[0] is "http://u@a/b"`:              {URIs: []string{"http://u@a/b"}},
		`uris[0] is "http:///b"`:                 {URIs: []string{"http:///b"}},
	} {
		if err := w.gate.Purge(p); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%+v: %v, want %s", p, err, fault)
		}
	}
	if got := status(w.do("GET", "/public/x", "")); !strings.Contains(got, "hit") {
		t.Errorf("a purge that was refused purged: %s", got)
	}
	if err := New(Options{Metrics: w.metrics, Now: time.Now}).Purge(Purge{All: true}); err == nil {
		t.Error("without a configuration there is nothing to purge, and nothing said so")
	}
}
