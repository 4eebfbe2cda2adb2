package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hopgate/config"
)

// table compiles routes written as "ID: METHODS HOSTS TEMPLATE", where HOSTS
// is - for any.
func routeTable(t testing.TB, lines ...string) *Policy {
	t.Helper()
	cfg := &config.Config{}
	for _, line := range lines {
		id, rest, _ := strings.Cut(line, ": ")
		f := strings.Fields(rest)
		m := config.Match{Methods: strings.Split(f[0], ","), Path: f[2]}
		if f[1] != "-" {
			m.Hosts = strings.Split(f[1], ",")
		}
		cfg.Routes = append(cfg.Routes, config.Route{ID: id, Match: m, Anonymous: true})
	}
	errs := &config.Errors{}
	p := Compile(cfg, errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// outcome writes what Match gives: the route and the parameters, or the
// reason.
func matched(p *Policy, m *Match, method, host, path string) string {
	if r := p.Match(m, method, host, path); r != Allowed {
		return string(r)
	}
	out := m.Route.ID
	for i, name := range m.Route.pattern.params {
		out += " " + name + "=" + m.values[i]
	}
	return out
}

func TestMatch(t *testing.T) {
	lines := []string{
		"root: GET - /",
		"users: GET,POST - /users",
		"users-slash: GET - /users/",
		"me: GET - /users/me",
		"user: GET - /users/{id}",
		"user-delete: DELETE - /users/{id}",
		"me-delete: DELETE - /users/me/{x}",
		"posts: GET - /users/{user}/posts",
		"post: GET - /users/{user}/posts/{post}",
		"me-rest: GET - /users/me/{all...}",
		"files: GET - /files/{path...}",
		"file-meta: GET - /files/{name}/meta",
		"head-only: HEAD - /head/x",
		"head-get: GET - /head/{x}",
		"options: OPTIONS - /users",
		"colon: GET - /batch:get",
		"batch: GET - /{any}",
		"utf8: GET - /caf%C3%A9/x",
		"api-users: GET API.example.com /users",
		"wild-users: GET *.example.com /users",
		"wild-only: GET *.example.com /wild/{x}",
		"other: PUT api.example.com /users",
	}
	for range 5 {
		rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		p := routeTable(t, lines...)
		var m Match
		for _, tt := range []struct{ method, host, path, want string }{
			{"GET", "h", "/", "root"},
			{"GET", "h", "", "route_not_found"},
			{"GET", "h", "users", "route_not_found"},
			{"GET", "h", "//", "route_not_found"},
			{"GET", "h", "/users", "users"},
			{"HEAD", "h", "/users", "users"},
			{"POST", "h", "/users", "users"},
			{"GET", "h", "/users/", "users-slash"},
			{"GET", "h", "/users/me", "me"},
			{"GET", "h", "/users/me2", "user id=me2"},
			{"GET", "h", "/users/m", "user id=m"},
			{"DELETE", "h", "/users/me", "user-delete id=me"},
			{"PATCH", "h", "/users/me", "method_not_allowed"},
			{"GET", "h", "/users/me/posts", "me-rest all=posts"},
			{"GET", "h", "/users/you/posts", "posts user=you"},
			{"GET", "h", "/users/you/posts/1", "post user=you post=1"},
			{"GET", "h", "/users/me/", "route_not_found"},
			{"GET", "h", "/users/you/", "route_not_found"},
			{"GET", "h", "/users/you/posts/", "route_not_found"},
			{"GET", "h", "/users/me/a/b/", "me-rest all=a/b/"},
			{"GET", "h", "/files/", "route_not_found"},
			{"GET", "h", "/files", "batch any=files"},
			{"GET", "h", "/files/a", "files path=a"},
			{"GET", "h", "/files/a/meta", "file-meta name=a"},
			{"GET", "h", "/files/a/metal", "files path=a/metal"},
			{"GET", "h", "/files/a/meta/b", "files path=a/meta/b"},
			{"PUT", "h", "/files/a/meta/b", "method_not_allowed"},
			{"HEAD", "h", "/head/x", "head-only"},
			{"GET", "h", "/head/x", "head-get x=x"},
			{"HEAD", "h", "/head/y", "head-get x=y"},
			{"OPTIONS", "h", "/users", "options"},
			{"OPTIONS", "h", "/users/me", "method_not_allowed"},
			{"get", "h", "/users", "method_not_allowed"},
			{"GET", "h", "/batch:get", "colon"},
			{"GET", "h", "/batch%3Aget", "target_not_canonical"},
			{"GET", "h", "/batch%3Aput", "batch any=batch%3Aput"},
			{"GET", "h", "/caf%C3%A9/x", "utf8"},
			{"GET", "h", "/caf%c3%a9/x", "target_not_canonical"},
			{"GET", "api.example.com", "/users", "api-users"},
			{"PUT", "api.example.com", "/users", "other"},
			{"POST", "api.example.com", "/users", "users"},
			{"PATCH", "api.example.com", "/users", "method_not_allowed"},
			{"GET", "www.example.com", "/users", "wild-users"},
			{"GET", "a.www.example.com", "/users", "users"},
			{"GET", "example.com", "/users", "users"},
			{"GET", ".example.com", "/users", "users"},
			{"GET", "api.example.com", "/wild/1", "wild-only x=1"},
			{"GET", "h", "/wild/1", "route_not_found"},
			{"POST", "api.example.com", "/wild/1", "method_not_allowed"},
		} {
			if got := matched(p, &m, tt.method, tt.host, tt.path); got != tt.want {
				t.Errorf("%s %s%s: %s, want %s", tt.method, tt.host, tt.path, got, tt.want)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	p := routeTable(t,
		"a: GET,DELETE - /users/{id}", "b: PUT - /users/me", "c: POST api.example.com /users/{x...}",
		"d: OPTIONS *.example.com /users/me", "e: PATCH - /users/{id}/x", "f: HEAD - /head",
	)
	for _, tt := range []struct{ host, path, want string }{
		{"h", "/users/me", "DELETE GET HEAD PUT"},
		{"h", "/users/you", "DELETE GET HEAD"},
		{"api.example.com", "/users/me", "DELETE GET HEAD OPTIONS POST PUT"},
		{"h", "/users/me/x", "PATCH"},
		{"h", "/head", "HEAD"},
		{"h", "/users/", ""},
		{"h", "/nothing", ""},
		{"h", "", ""},
	} {
		if got := strings.Join(p.Methods(tt.host, tt.path), " "); got != tt.want {
			t.Errorf("%s%s: %s, want %s", tt.host, tt.path, got, tt.want)
		}
	}
}

func TestRouteFaults(t *testing.T) {
	one := func(match string) string {
		return "routes: [{ id: a, anonymous: true, upstream: u, match: " + match + " }]"
	}
	for _, tt := range []struct{ text, want string }{
		{one(`{ path: users }`), "1:64: the path template should start with a slash: /users"},
		{one(`{ path: /a//b }`), "has an empty segment"},
		{one(`{ path: /a/../b }`), "segment .. of the path template matches no request: a dot segment"},
		{one(`{ path: "/a/..;x/b" }`), "a dot segment"},
		{one(`{ path: /a%2Fb }`), "requests with %2F in their path are refused"},
		{one(`{ path: /a%2 }`), "% is not followed by two hexadecimal digits"},
		{one(`{ path: /%61 }`), "%61 should be written a"},
		{one(`{ path: /%c3%a9 }`), "percent-encoding is written in capitals: %C3"},
		{one(`{ path: /é }`), `"é" has to be percent-encoded: %C3%A9`},
		{one(`{ path: "/a b" }`), `" " has to be percent-encoded: %20`},
		{one(`{ path: "/a?b" }`), `"?" has to be percent-encoded`},
		{one(`{ path: /%FF }`), "not UTF-8"},
		{one(`{ path: "/a/x{b}" }`), "segment x{b} mixes text and a parameter"},
		{one(`{ path: "/a/{b}{c}" }`), "mixes text and a parameter"},
		{one(`{ path: "/a/{b" }`), "mixes text and a parameter"},
		{one(`{ path: "/{a...}/b" }`), "{a...} stands for the rest of the path, so it has to be the last segment"},
		{one(`{ path: "/{}" }`), `the parameter's name ""`},
		{one(`{ path: "/{user-id}" }`), `the parameter's name "user-id" should be letters, digits and _`},
		{one(`{ path: "/{in}" }`), "the parameter's name in is a word of the expression language"},
		{one(`{ path: "/{a}/{a}" }`), "has the parameter a twice"},
		{`
routes:
  - { id: a, anonymous: true, upstream: u, match: { path: "/x/{one}" } }
  - { id: b, anonymous: true, upstream: u, match: { path: "/x/{two}" } }
`, "4:59: routes b and a (at 3:59) match the same requests: GET /x/{two}; give them different"},
		{`
routes:
  - { id: a, anonymous: true, upstream: u, match: { path: "/x/{a...}", methods: [GET, PUT], hosts: [a.b, "*.b"] } }
  - { id: b, anonymous: true, upstream: u, match: { path: "/x/{b...}", methods: [PUT], hosts: ["*.b"] } }
`, "routes b and a (at 3:59) match the same requests: PUT *.b/x/{b...}"},
	} {
		if got := faults(t, tt.text); !strings.Contains(got, tt.want) {
			t.Errorf("%s\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

// slowMatch finds a route the obvious way: of all that fit, the most specific.
func slowMatch(p *Policy, method, host, path string) string {
	var best *Route
	var bestRank []int
	other := false
	for _, r := range p.routes {
		rank := r.rank(host, path)
		if rank == nil {
			continue
		}
		explicit := slices.Contains(r.Config.Match.Methods, method)
		implied := method == "HEAD" && slices.Contains(r.Config.Match.Methods, "GET")
		if !explicit && !implied {
			other = true
			continue
		}
		if !explicit {
			rank = append(rank, 1)
		} else {
			rank = append(rank, 0)
		}
		if best == nil || slices.Compare(rank, bestRank) < 0 {
			best, bestRank = r, rank
		}
	}
	switch {
	case best != nil:
		out := best.ID
		parts := strings.Split(path[1:], "/")
		for i, s := range best.pattern.segments {
			switch s.kind {
			case single:
				out += " " + s.text + "=" + parts[i]
			case rest:
				out += " " + s.text + "=" + strings.Join(parts[i:], "/")
			}
		}
		return out
	case other:
		return string(MethodNotAllowed)
	}
	return string(RouteNotFound)
}

// rank orders the routes that fit by how specific they are: host, then
// segment by segment. Nil where the route does not fit.
func (r *Route) rank(host, path string) []int {
	var rank []int
	for _, h := range r.Config.Match.Hosts {
		label, parent, _ := strings.Cut(host, ".")
		switch {
		case strings.EqualFold(h, host):
			rank = []int{0}
		case rank == nil && strings.HasPrefix(h, "*.") && label != "" && strings.Contains(host, ".") && h[2:] == parent:
			rank = []int{1}
		}
	}
	if len(r.Config.Match.Hosts) == 0 {
		rank = []int{2}
	}
	if rank == nil || path == "" || path[0] != '/' {
		return nil
	}
	parts := strings.Split(path[1:], "/")
	for i, s := range r.pattern.segments {
		if i >= len(parts) {
			return nil
		}
		switch {
		case s.kind == rest && strings.Join(parts[i:], "/") != "":
			return append(rank, int(rest))
		case s.kind == single && parts[i] != "", s.kind == literal && parts[i] == s.text:
			rank = append(rank, int(s.kind))
		default:
			return nil
		}
	}
	if len(parts) != len(r.pattern.segments) {
		return nil
	}
	return rank
}

// randomTable makes a table of routes that overlap a lot.
func randomTable(rng *rand.Rand) *Policy {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	cfg := &config.Config{}
	have := map[string]bool{}
	for i := range 1 + rng.IntN(30) {
		path, shape := "", ""
		for j := range 1 + rng.IntN(5) {
			if rng.IntN(12) == 0 {
				path += fmt.Sprintf("/{r%d_%d...}", i, j)
				shape += "/..."
				break
			}
			if rng.IntN(2) == 0 {
				path += fmt.Sprintf("/{p%d_%d}", i, j)
				shape += "/."
				continue
			}
			s := pick("a", "b", "c")
			path += "/" + s
			shape += "/" + s
		}
		if rng.IntN(10) == 0 && !strings.HasSuffix(path, "...}") {
			path += "/"
			shape += "/"
		}
		host, method := pick("", "", "x.y", "*.y"), pick("GET", "GET", "POST", "HEAD")
		if key := host + method + shape; !have[key] {
			have[key] = true
			r := config.Route{ID: fmt.Sprint("r", i), Anonymous: true, Match: config.Match{Methods: []string{method}, Path: path}}
			if host != "" {
				r.Match.Hosts = []string{host}
			}
			cfg.Routes = append(cfg.Routes, r)
		}
	}
	return Compile(cfg, &config.Errors{})
}

func FuzzMatch(f *testing.F) {
	f.Add(uint64(1), "GET", "x.y", "/a/b/c")
	f.Add(uint64(2), "HEAD", "z.y", "/a/b/")
	f.Add(uint64(3), "POST", "y", "/a//c")
	f.Add(uint64(4), "PUT", "", "/")
	f.Fuzz(func(t *testing.T, seed uint64, method, host, path string) {
		if strings.ContainsAny(path, "%;") {
			return // other spellings are refused, which TestMatch looks at
		}
		host = strings.ToLower(host) // as the guard gives it
		p := randomTable(rand.New(rand.NewPCG(seed, 1)))
		var m Match
		if got, want := matched(p, &m, method, host, path), slowMatch(p, method, host, path); got != want {
			t.Errorf("%s %s%s: %s, want %s", method, host, path, got, want)
		}
	})
}

func TestMatchIsObvious(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var m Match
	for range 300 {
		p := randomTable(rng)
		for range 100 {
			path := ""
			for range 1 + rng.IntN(5) {
				path += "/" + []string{"a", "b", "c", "d", ""}[rng.IntN(5)]
			}
			method, host := []string{"GET", "POST", "HEAD", "PUT"}[rng.IntN(4)], []string{"x.y", "z.y", "y"}[rng.IntN(3)]
			if got, want := matched(p, &m, method, host, path), slowMatch(p, method, host, path); got != want {
				t.Fatalf("%s %s%s: %s, want %s", method, host, path, got, want)
			}
			methods := p.Methods(host, path)
			if r := p.Match(&m, method, host, path); (r == Allowed) != slices.Contains(methods, method) {
				t.Fatalf("%s %s%s: %s, but the methods are %s", method, host, path, r, methods)
			}
		}
	}
}

// BenchmarkMatch shows that looking a route up costs the same with 10 routes
// and with 10,000.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, path := manyRoutes(b, n)
			var m Match
			b.ReportAllocs()
			for b.Loop() {
				if p.Match(&m, "GET", "api.example.com", path) != Allowed {
					b.Fatal("no route")
				}
			}
		})
	}
}

// manyRoutes makes a table of n routes, and the path of one of them.
func manyRoutes(t testing.TB, n int) (*Policy, string) {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("r%d: GET - /v1/things%d/{id}/parts", i, i))
	}
	return routeTable(t, lines...), fmt.Sprintf("/v1/things%d/t1/parts", n/2)
}
