package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// plan says how much of everything there is to do.
type plan struct {
	quick   bool
	rounds  int
	seconds int
	only    map[string]bool // trials; empty: all
}

// experiment starts its competitors and gives the trials among them. They are
// stopped when the trials are over.
type experiment struct {
	trials []string
	quick  bool // part of the quick comparison, too
	begin  func(*lab, plan) ([]*trial, error)
}

// Names of entrants, which the goals use.
const (
	hopgate       = "hopgate"
	hopgateOther  = "hopgate, other binary"
	hopgateOpen   = "hopgate, anonymous route"
	haproxy       = "HAProxy"
	haproxyJWT    = "HAProxy jwt_verify"
	haproxyCache  = "HAProxy cache"
	nginx         = "nginx"
	nginxCache    = "nginx proxy_cache"
	varnish       = "Varnish"
	envoy         = "Envoy jwt_authn + rbac"
	goPeer        = "net/http + golang-jwt"
	hopgateMany   = "hopgate, 10,000 routes"
	hopgateTokens = "hopgate, 100,000 live tokens"
	hopgateDenied = "hopgate, denied"
	hopgateFlood  = "hopgate, half of the load invalid tokens"
	hopgateBroken = "hopgate, malformed token"
)

const conns = 64

var experiments = []experiment{
	{[]string{"forward", "hit", "paced", "pacedhit", "p99", "denied"}, true, oneCore},
	{[]string{"new-es256"}, false, newTokens("ES256", 12000, haproxyJWT, envoy, goPeer)},
	{[]string{"new-rs256"}, false, newTokens("RS256", 14000, haproxyJWT)},
	{[]string{"new-eddsa"}, false, newTokens("EdDSA", 10000, goPeer)},
	{[]string{"forward64k", "hit64k"}, false, largeBodies},
	{[]string{"tls", "h2"}, false, encrypted},
	{[]string{"two"}, false, twoCores},
	{[]string{"scale"}, false, scale},
	{[]string{"day"}, false, mixedDay},
	{[]string{"flood"}, false, flood},
}

// lesser makes a trial of fewer rounds, so that the whole stays within ten
// minutes.
func (p plan) lesser(id, title string, l load, entrants ...*entrant) *trial {
	return &trial{ID: id, Title: title, Rounds: max(1, p.rounds-2), Seconds: p.seconds, Entrants: present(entrants), load: l}
}

func (p plan) full(id, title string, l load, entrants ...*entrant) *trial {
	return &trial{ID: id, Title: title, Rounds: p.rounds, Seconds: p.seconds, Entrants: present(entrants), load: l}
}

// present leaves out entrants whose program is not there.
func present(list []*entrant) []*entrant {
	var there []*entrant
	for _, e := range list {
		if e != nil && e.srv != nil {
			there = append(there, e)
		}
	}
	return there
}

// roster starts competitors, and remembers the first fault.
type roster struct {
	*lab
	on  on
	err error
}

func (r *roster) keep(s *server, err error) *server {
	r.err = errors.Join(r.err, err)
	return s
}

// gateOf starts another build of the gate, where there is one to compare with.
func (r *roster) gateOf(binary string) *server {
	if binary == "" {
		return nil
	}
	return r.keep(r.startBinary(binary, hopgateOther, r.on, 10))
}

func (r *roster) startGate(name string, routes int) *server {
	return r.keep(r.startHopgate(name, r.on, routes))
}

func (r *roster) haproxy(name, alg string, cache bool) *server {
	if r.tools.haproxy == "" {
		return nil
	}
	return r.keep(r.startHAProxy(name, r.on, alg, cache))
}

func (r *roster) nginx(name string, cache bool) *server {
	return r.keep(r.startNginx(name, r.on, cache))
}

func (r *roster) varnish() *server {
	if r.tools.varnish == "" {
		return nil
	}
	return r.keep(r.startVarnish(varnish, r.on))
}

func (r *roster) envoy() *server {
	if r.tools.envoy == "" {
		return nil
	}
	return r.keep(r.startEnvoy(envoy, r.on))
}

func (r *roster) golang(alg string) *server {
	return r.keep(r.startGo(goPeer, r.on, alg))
}

// asking makes an entrant that is asked one path by one token, and forwards.
func asking(name string, s *server, path, token string) *entrant {
	return &entrant{Name: name, srv: s, path: path + user(0), token: token, status: 200, body: smallBody, origin: 1}
}

func (e *entrant) thatAuthorizes() *entrant { e.authorizes = true; return e }
func (e *entrant) fromCache() *entrant      { e.origin = 0; return e }
func (e *entrant) large() *entrant          { e.body = largeBody; return e }

func (e *entrant) refusing(status int) *entrant {
	e.status, e.body, e.origin = status, "", 0
	return e
}

// oneCore are the main trials: a known token, one core for the proxy.
func oneCore(l *lab, p plan) ([]*trial, error) {
	list, err := l.es.pool(2)
	if err != nil {
		return nil, err
	}
	token := list[0]
	r := &roster{lab: l, on: on{cores: l.machine.proxyCores, threads: 1}}
	gate := r.startGate(hopgate, 10)
	plain, jwt, ng := r.haproxy(haproxy, "", false), r.haproxy(haproxyJWT, "ES256", false), r.nginx(nginx, false)
	ngCache, vc, hc := r.nginx(nginxCache, true), r.varnish(), r.haproxy(haproxyCache, "", true)
	other := r.gateOf(l.other)
	var ev, gp *server
	if !p.quick {
		ev, gp = r.envoy(), r.golang("ES256")
	}
	if r.err != nil {
		return nil, r.err
	}
	forwarding := func() []*entrant {
		return []*entrant{
			asking(hopgate, gate, "/v1/users/", token).thatAuthorizes(),
			asking(haproxy, plain, "/v1/users/", token),
			asking(nginx, ng, "/v1/users/", token),
		}
	}
	hitting := func() []*entrant {
		return []*entrant{
			asking(hopgate, gate, "/v1/cached/", token).thatAuthorizes().fromCache(),
			asking(nginxCache, ngCache, "/v1/cached/", token).fromCache(),
			asking(varnish, vc, "/v1/cached/", token).fromCache(),
		}
	}
	forward := p.full("forward", "Known token, forwarded, saturated", saturate(conns), append(forwarding(),
		asking(haproxyJWT, jwt, "/v1/users/", token).thatAuthorizes(),
		asking(hopgateOpen, gate, "/v1/open/", token),
		asking(hopgateOther, other, "/v1/users/", token),
		asking(envoy, ev, "/v1/users/", token).thatAuthorizes(),
		asking(goPeer, gp, "/v1/users/", token).thatAuthorizes())...)
	hit := p.full("hit", "Cache hit, saturated", saturate(conns), append(hitting(),
		asking(haproxyCache, hc, "/v1/cached/", token).fromCache(),
		asking(hopgateOther, other, "/v1/cached/", token).fromCache())...)
	if p.quick {
		return []*trial{forward, hit}, nil
	}
	strange := asking(hopgateDenied, gate, "/v1/users/", list[1]).refusing(403)
	broken := asking(hopgateBroken, gate, "/v1/users/", "not.a.token").refusing(401)
	return []*trial{
		forward, hit,
		p.lesser("paced", "Known token, forwarded, 5,000 requests/s", offer(5000, conns), forwarding()...),
		p.lesser("pacedhit", "Cache hit, 5,000 requests/s", offer(5000, conns), hitting()...),
		p.lesser("p99", "Known token, forwarded, 8 connections, 5,000 requests/s", offer(5000, 8), forwarding()[:2]...),
		p.lesser("denied", "Denied, saturated", saturate(conns), hitting()[0], strange, broken),
	}, nil
}

// requestFile writes requests for the load generator.
func (l *lab) requestFile(name string, lines func(add func(path, token string))) (string, error) {
	path := filepath.Join(l.dir, name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	lines(func(path, token string) { fmt.Fprintf(w, "%s\t%s\n", path, token) })
	return path, errors.Join(w.Flush(), f.Close())
}

// warmTokens is how many new tokens the round that warms up may use.
const warmTokens = 3000

// newTokens has every request carry a token that its server never saw. perRun
// is how many the fastest may use up in a second.
func newTokens(alg string, perRun int, against ...string) func(*lab, plan) ([]*trial, error) {
	return func(l *lab, p plan) ([]*trial, error) {
		rounds, seconds := max(1, p.rounds-2), 1
		tokens, err := l.signer(alg).pool(warmTokens + rounds*perRun)
		if err != nil {
			return nil, err
		}
		r := &roster{lab: l, on: on{cores: l.machine.proxyCores, threads: 1}}
		slice := func(round int) (string, error) {
			from, to := 0, warmTokens
			if round >= 0 {
				from = warmTokens + round*perRun
				to = from + perRun
			}
			return l.requestFile("new-tokens.txt", func(add func(path, token string)) {
				for i := from; i < to; i++ {
					add("/v1/users/"+user(i), tokens[i])
				}
			})
		}
		fresh := func(name string, s *server) *entrant {
			return &entrant{Name: name, srv: s, slices: slice, reading: "once", status: 200, body: smallBody, origin: 1}
		}
		entrants := []*entrant{fresh(hopgate, r.startGate(hopgate, 10))}
		for _, name := range against {
			var s *server
			switch name {
			case haproxyJWT:
				s = r.haproxy(name, alg, false)
			case envoy:
				s = r.envoy()
			case goPeer:
				s = r.golang(alg)
			}
			entrants = append(entrants, fresh(name, s))
		}
		return []*trial{{
			ID: "new-" + map[string]string{"ES256": "es256", "RS256": "rs256", "EdDSA": "eddsa"}[alg], Title: "Every request a new " + alg + " token, forwarded",
			Rounds: rounds, Seconds: seconds, Entrants: present(entrants), load: saturate(conns),
		}}, r.err
	}
}

func largeBodies(l *lab, p plan) ([]*trial, error) {
	list, err := l.es.pool(1)
	if err != nil {
		return nil, err
	}
	r := &roster{lab: l, on: on{cores: l.machine.proxyCores, threads: 1}}
	gate, plain, ng := r.startGate(hopgate, 10), r.haproxy(haproxy, "", false), r.nginx(nginx, false)
	ngCache, vc := r.nginx(nginxCache, true), r.varnish()
	return []*trial{
		p.lesser("forward64k", "64 KiB forwarded", saturate(conns),
			asking(hopgate, gate, "/v1/blobs/", list[0]).thatAuthorizes().large(),
			asking(haproxy, plain, "/v1/blobs/", list[0]).large(),
			asking(nginx, ng, "/v1/blobs/", list[0]).large()),
		p.lesser("hit64k", "64 KiB from cache", saturate(conns),
			asking(hopgate, gate, "/v1/blobs/cached/", list[0]).thatAuthorizes().large().fromCache(),
			asking(nginxCache, ngCache, "/v1/blobs/cached/", list[0]).large().fromCache(),
			asking(varnish, vc, "/v1/blobs/cached/", list[0]).large().fromCache()),
	}, r.err
}

func encrypted(l *lab, p plan) ([]*trial, error) {
	list, err := l.es.pool(1)
	if err != nil {
		return nil, err
	}
	if err := l.certificate(); err != nil {
		return nil, err
	}
	r := &roster{lab: l, on: on{cores: l.machine.proxyCores, threads: 1, tls: true}}
	gate, plain, ng := r.startGate(hopgate, 10), r.haproxy(haproxy, "", false), r.nginx(nginx, false)
	entrants := func() []*entrant {
		return []*entrant{
			asking(hopgate, gate, "/v1/users/", list[0]).thatAuthorizes(),
			asking(haproxy, plain, "/v1/users/", list[0]),
			asking(nginx, ng, "/v1/users/", list[0]),
		}
	}
	trials := []*trial{p.lesser("tls", "HTTP/1.1 over TLS, forwarded", saturate(conns), entrants()...)}
	if l.h2load != "" {
		trials = append(trials, p.lesser("h2", "HTTP/2, 16 connections with 4 streams each, forwarded", multiplex(16, 4), entrants()...))
	}
	return trials, r.err
}

func twoCores(l *lab, p plan) ([]*trial, error) {
	list, err := l.es.pool(1)
	if err != nil {
		return nil, err
	}
	r := &roster{lab: l, on: on{cores: l.machine.twoCores, threads: 2}}
	gate, plain, ng := r.startGate(hopgate, 10), r.haproxy(haproxy, "", false), r.nginx(nginx, false)
	return []*trial{p.lesser("two", "Known token, forwarded, two cores", saturate(conns),
		asking(hopgate, gate, "/v1/users/", list[0]).thatAuthorizes(),
		asking(haproxy, plain, "/v1/users/", list[0]),
		asking(nginx, ng, "/v1/users/", list[0]))}, r.err
}

// scale asks a gate of 10 routes by one token, one of 10,000, and one of 10 by
// 100,000 tokens in turn.
func scale(l *lab, p plan) ([]*trial, error) {
	const live = 100_000
	tokens, err := l.es.pool(live)
	if err != nil {
		return nil, err
	}
	r := &roster{lab: l, on: on{cores: l.machine.proxyCores, threads: 1}}
	base, many, busy := r.startGate(hopgate, 10), r.startGate(hopgateMany, 10_000), r.startGate(hopgateTokens, 10)
	if r.err != nil {
		return nil, r.err
	}
	// All read their requests from files, so that the load is the same.
	one, err := l.requestFile("one-token.txt", func(add func(path, token string)) { add("/v1/users/"+user(0), tokens[0]) })
	if err != nil {
		return nil, err
	}
	all, err := l.requestFile("live-tokens.txt", func(add func(path, token string)) {
		for i, t := range tokens {
			add("/v1/users/"+user(i), t)
		}
	})
	if err != nil {
		return nil, err
	}
	reading := func(name string, s *server, file string) *entrant {
		return &entrant{Name: name, srv: s, path: "/v1/users/" + user(0), token: tokens[0], file: file, reading: "around",
			status: 200, body: smallBody, origin: 1, authorizes: true}
	}
	if err := l.introduce(busy, tokens); err != nil {
		return nil, err
	}
	return []*trial{p.lesser("scale", "Routes and live tokens, forwarded", saturate(conns),
		reading(hopgate, base, one), reading(hopgateMany, many, one), reading(hopgateTokens, busy, all))}, nil
}

// introduce shows each token to the gate once.
func (l *lab) introduce(gate *server, tokens []string) error {
	const atOnce = 10_000 // more than a second's worth
	// The last of a run are under way when it ends.
	for seen := 0; seen < len(tokens)-2*conns; {
		file, err := l.requestFile("introduced.txt", func(add func(path, token string)) {
			for i := seen; i < min(seen+atOnce, len(tokens)); i++ {
				add("/v1/users/"+user(i), tokens[i])
			}
		})
		if err != nil {
			return err
		}
		e := &entrant{Name: hopgateTokens, srv: gate, file: file, reading: "once", status: 200, body: smallBody}
		o, err := saturate(conns)(l, e, 1)
		if err != nil {
			return err
		}
		if err := e.judge(o, 0); err != nil {
			return err
		}
		seen += o.Requests
	}
	return nil
}

// mixedDay is 90% known tokens, 60% cacheable, 1% denied.
func mixedDay(l *lab, p plan) ([]*trial, error) {
	const (
		users  = 1000
		perRun = 80_000 // requests in a file, of which a run uses the first part
	)
	rounds := max(1, p.rounds-2)
	perRound := perRun / 10 // new tokens
	tokens, err := l.es.pool(users + (rounds+1)*perRound)
	if err != nil {
		return nil, err
	}
	r := &roster{lab: l, on: on{cores: l.machine.proxyCores, threads: 1}}
	gate, jwt := r.startGate(hopgate, 10), r.haproxy(haproxyJWT, "ES256", true)
	day := func(round int) (string, error) {
		random := rand.New(rand.NewPCG(1, uint64(round+1)))
		next := users + (round+1)*perRound
		return l.requestFile("day.txt", func(add func(path, token string)) {
			for i := range perRun {
				who := random.IntN(users)
				if i%10 == 0 {
					who, next = next, next+1
				}
				whose := who
				if random.IntN(100) == 0 {
					whose = (who + 1) % users
				}
				path := "/v1/users/"
				if random.IntN(100) < 60 {
					path = "/v1/cached/"
				}
				add(path+user(whose), tokens[who])
			}
		})
	}
	enter := func(name string, s *server) *entrant {
		return &entrant{Name: name, srv: s, slices: day, reading: "once", status: 200, share: 0.01, origin: -1}
	}
	return []*trial{{
		ID: "day", Title: "A mixed day: 90% known tokens, 60% cacheable, 1% denied", Rounds: rounds, Seconds: p.seconds,
		Entrants: present([]*entrant{enter(hopgate, gate), enter(haproxyJWT, jwt)}), load: saturate(conns),
	}}, r.err
}

// flood offers known tokens alone, and again while as many requests come with
// tokens whose signature is wrong.
func flood(l *lab, p plan) ([]*trial, error) {
	const rate, invalid = 2500, 10_000
	tokens, err := l.es.pool(invalid)
	if err != nil {
		return nil, err
	}
	r := &roster{lab: l, on: on{cores: l.machine.proxyCores, threads: 1}}
	gate := r.startGate(hopgate, 10)
	if r.err != nil {
		return nil, r.err
	}
	bad, err := l.requestFile("invalid-tokens.txt", func(add func(path, token string)) {
		for i, t := range tokens {
			signature := strings.LastIndexByte(t, '.') + 1
			add("/v1/users/"+user(i), t[:signature]+flip(t[signature:]))
		}
	})
	if err != nil {
		return nil, err
	}
	alone := asking(hopgate, gate, "/v1/users/", tokens[0])
	flooded := asking(hopgateFlood, gate, "/v1/users/", tokens[0])
	attack := &entrant{srv: gate, file: bad, status: 401}
	return []*trial{p.lesser("flood", "2,500 requests/s with known tokens, and as many with invalid ones", func(l *lab, e *entrant, seconds int) (outcome, error) {
		if e == alone {
			return offer(rate, conns)(l, e, seconds)
		}
		var attacked error
		over := make(chan struct{})
		go func() {
			defer close(over)
			var o outcome
			if o, attacked = offer(rate, conns)(l, attack, seconds); attacked == nil && o.Wrong > 0 {
				attacked = fmt.Errorf("%d of %d invalid tokens were not refused", o.Wrong, o.Requests)
			}
		}()
		o, err := offer(rate, conns)(l, e, seconds)
		<-over
		return o, errors.Join(err, attacked)
	}, alone, flooded)}, nil
}
