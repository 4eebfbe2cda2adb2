// Package policytest runs the policy tests: files named *.test.yaml with
// cases, each a request, whose token it has, and how it should fare. A case
// is decided by the very evaluator that decides for the gate; nothing
// listens, and nobody is called.
//
//	config: ../hopgate.yaml            # relative to this file
//	env: { CLERK_SECRET_KEY: x }       # for ${NAME} where the environment has none
//	users:                             # named once, used by as:
//	  alice: { issuer: clerk, claims: { sub: user_alice, org_id: org_a } }
//	  root:  { principal: { user_id: user_root, roles: [admin] } }
//	defaults:                          # for what a case does not say
//	  as: alice
//	  issuer: clerk
//	  request: { client_ip: 192.0.2.1, now: 2026-01-31T12:00:00Z, headers: {} }
//	cases:
//	  - name: Alice reads herself
//	    as: alice                      # or claims, principal, or anonymous: true
//	    claims: { org_id: org_b }      # over those of as, the default one too; null takes a claim away
//	    request: { method: GET, path: /v1/users/user_alice?x=1 }   # or url; body: { json: … } or { text: … }
//	    upstream_response: { status: 200, json: { id: user_alice, private_metadata: {} } }
//	    expect:                        # only what is written is compared
//	      decision: allow              # or deny
//	      reason: allowed
//	      status: 200
//	      route: read-self
//	      rule: allow[0]
//	      report: false                # denied, had the route no mode: report
//	      upstream: { name: backend, path: /v1/users/user_alice, query: { x: 1 }, headers: { X-User-Id: user_alice } }
//	      cache: { scope: user, shared_with: [], not_shared_with: [root] }
//	      response: { json: { id: user_alice } }
//
// Claims become the principal as the issuer's preset says. iss, exp and aud
// are filled in where they are absent; exp, nbf and iat may be written as times,
// or relative to now (-1h). now is the token's iat, else 2026-01-01, where a
// case does not say, so that a run gives the same result on any day.
//
// Of upstream, path and query are compared whole; of headers only those
// named, among the ones that the route's templates set (null expects none). The upstream's secret is no part of it. Checks that come
// before the policy (a canonical target, CORS, limits) are not covered.
package policytest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"hopgate/config"
)

// Options change how files are run.
type Options struct {
	// Config is the configuration to run every file against, whatever it
	// names. Default is the one for files that name none.
	Config  string
	Default string

	// Env gives the values for ${NAME}. Nil: the process's environment.
	Env func(name string) (string, bool)
}

// Run runs the cases of test files. The error joins what is wrong with the
// files or their configurations, as *config.Error each; a case that does not
// fare as expected is no error but in the report.
func Run(files []string, o Options) (*Report, error) {
	errs := &config.Errors{}
	r := &runner{options: o, errs: errs, gates: map[string]*gate{}}
	if r.options.Env == nil {
		r.options.Env = os.LookupEnv
	}
	report := &Report{}
	for _, name := range files {
		r.file(name, report)
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	for _, g := range r.order {
		g.coverage.addTo(&report.Coverage)
	}
	report.Coverage.finish()
	return report, nil
}

type runner struct {
	options Options
	errs    *config.Errors
	gates   map[string]*gate // by what they are compiled from; nil: with faults
	order   []*gate
}

// file runs the cases of a file into the report.
func (r *runner) file(name string, report *Report) {
	f := readFile(name, r.errs)
	if f == nil {
		return
	}
	path := r.options.Config
	switch {
	case path != "":
	case f.Config != "":
		path = f.configFile()
	case r.options.Default != "":
		path = r.options.Default
	default:
		r.errs.Addf(f.Pos, "the file names no configuration; write config: ../hopgate.yaml, or give one with -c")
		return
	}
	g := r.gate(path, f)
	if g == nil {
		return
	}
	result := File{Name: name, Config: path}
	for i := range f.Cases {
		c := &f.Cases[i]
		o := g.evaluate(f, c, r.errs)
		done := Case{Name: c.Name, Pos: c.Pos, Line: c.Pos.Line, Outcome: o.summary(), Differences: g.compare(f, c, o, r.errs)}
		done.Passed = len(done.Differences) == 0
		report.Cases++
		if done.Passed {
			report.Passed++
		} else {
			report.Failed++
		}
		result.Cases = append(result.Cases, done)
	}
	report.Files = append(report.Files, result)
}

// gate compiles a configuration, once for all files that see the same.
func (r *runner) gate(path string, f *file) *gate {
	key := fmt.Sprintf("%q %q", filepath.Clean(path), f.Env) // maps print sorted
	if g, ok := r.gates[key]; ok {
		return g
	}
	r.gates[key] = nil
	data, err := os.ReadFile(path)
	if err != nil {
		r.errs.Addf(f.Pos, "the configuration can't be read: %v", err)
		return nil
	}
	cfg, errs := config.Parse(path, data, func(name string) (string, bool) {
		if v, ok := r.options.Env(name); ok {
			return v, ok
		}
		v, ok := f.Env[name]
		return v, ok
	})
	var g *gate
	if cfg != nil {
		g = compile(cfg, errs)
	}
	if errs.Len() > 0 {
		r.adopt(errs)
		return nil
	}
	r.gates[key] = g
	r.order = append(r.order, g)
	return g
}

// adopt takes over the faults of a configuration.
func (r *runner) adopt(errs *config.Errors) {
	err := errs.Err()
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, err := range list {
		var fault *config.Error
		if errors.As(err, &fault) {
			r.errs.Addf(fault.Pos, "%s", fault.Message)
		}
	}
}
