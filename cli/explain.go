package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hopgate/config"
	"hopgate/policy"
	"hopgate/proxy"
	"hopgate/token"
)

func newExplain(s Streams) *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain METHOD URL",
		Short: "Show step by step how a request would fare, and why",
		Long: `Takes a request through the gate's own decision and shows each step: the route
that was chosen and those that lost, each check of the token, each part of each
rule with its value, the decision, who shares a cached answer, and what would be
sent upstream, secrets masked. Nothing is sent to the upstream.

--token stands where the issuer looks for tokens first; give -H or a query
parameter instead to say where it is. --claims explains a token with these
claims whose signature is taken for good; iss, aud, iat and exp are filled in.

Keys come from the configuration's files and cache_file; where those do not
suffice they are fetched from the issuer, unless --offline is given.

With --admin a running gate is asked, too, how it would serve the request now and
what its cache has for it; it sends nothing to the upstream either.

Exit status 0 whatever the decision is; 2 where the request cannot be explained.`,
		Example: `  hopgate explain GET http://localhost:8080/v1/users/user_1 --token "$TOKEN"
  hopgate explain GET /v1/users/user_1 --claims '{"sub":"user_1"}'
  hopgate explain PATCH /v1/users/user_1 --claims @claims.json -d '{"first_name":"A"}'
  hopgate explain GET /v1/users/user_1 -H "Cookie: __session=$TOKEN" --format json
  hopgate explain GET http://localhost:8080/v1/users/user_1 --token @token.txt --admin http://127.0.0.1:9090`,
		Args: methodAndURL,
		RunE: func(c *cobra.Command, args []string) error {
			o.method, o.url = args[0], args[1]
			o.hasBody = c.Flags().Changed("data")
			return runExplain(c.Context(), s, o)
		},
	}
	configFlag(c, &o.config)
	f := c.Flags()
	f.StringVar(&o.token, "token", "", "the token, or @FILE, or @- for standard input")
	f.StringVar(&o.claims, "claims", "", "claims as JSON, or @FILE, or @- for standard input")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "a request field, NAME: VALUE; may be repeated")
	f.StringVarP(&o.body, "data", "d", "", "the body, or @FILE, or @- for standard input")
	f.StringVar(&o.clientIP, "client-ip", "127.0.0.1", "the client's address")
	f.StringVar(&o.now, "now", "", "the time, such as 2026-01-31T12:00:00Z (default the clock's)")
	f.StringVar(&o.format, "format", "text", "text or json")
	words(c, "format", "text", "json")
	f.BoolVar(&o.offline, "offline", false, "do not fetch keys")
	f.StringVar(&o.admin, "admin", "", "the admin listener of a running gate to ask too, or unix:/path")
	c.MarkFlagsMutuallyExclusive("token", "claims")
	for _, flag := range []string{"claims", "data", "now", "offline"} {
		// What the running gate cannot be asked about.
		c.MarkFlagsMutuallyExclusive("admin", flag)
	}
	return c
}

type explainOptions struct {
	config, method, url string
	token, claims, body string
	hasBody, offline    bool
	headers             []string
	clientIP, now       string
	format, admin       string
}

func runExplain(ctx context.Context, s Streams, o explainOptions) error {
	if o.format != "text" && o.format != "json" {
		return unusable("--format is %q; it should be text or json", o.format)
	}
	env := &environment{}
	gate, err := loadForExplain(s, o.config, env)
	if err != nil {
		return err
	}
	q, err := newQuestion(s, o)
	if err != nil {
		return err
	}
	e := &explainer{cfg: gate.Config, gate: gate, policy: gate.Policy(), question: q, env: env, offline: o.offline}
	var running *proxy.Inspection
	if o.admin != "" {
		if running, err = q.askRunning(ctx, o.admin); err != nil {
			return err
		}
	}
	x, err := e.explain(ctx)
	if err != nil {
		return err
	}
	x.Running = running
	var out strings.Builder
	if o.format == "json" {
		j := json.NewEncoder(&out)
		j.SetEscapeHTML(false)
		j.SetIndent("", "  ")
		err = j.Encode(x)
	} else {
		x.writeText(&out)
	}
	if err != nil {
		return failed("cannot write the explanation: %v", err)
	}
	if _, err = fmt.Fprint(s.Out, q.mask(out.String())); err != nil {
		return failed("cannot write the explanation: %v", err)
	}
	return nil
}

// loadForExplain loads and compiles a configuration as check does, noting
// what it takes from the environment.
func loadForExplain(s Streams, path string, env *environment) (*proxy.Snapshot, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, cannotLoad(err)
	}
	var gate *proxy.Snapshot
	cfg, errs := config.Parse(path, data, env.lookup)
	if cfg != nil {
		gate = compileOnly(cfg, errs)
	}
	if errs.Len() > 0 {
		return nil, configFaults(s, errs)
	}
	return gate, nil
}

// environment is the process's, and remembers what was asked for.
type environment struct{ values map[string]string }

func (e *environment) lookup(name string) (string, bool) {
	value, ok := os.LookupEnv(name)
	if ok {
		if e.values == nil {
			e.values = map[string]string{}
		}
		e.values[name] = value
	}
	return value, ok
}

// mask puts ${NAME} where a value of the environment stands. Very short
// values are left: they would be found by chance, and are no secrets.
func (e *environment) mask(text string) string {
	for _, name := range sortedKeys(e.values) {
		if value := e.values[name]; len(value) >= 4 {
			text = strings.ReplaceAll(text, value, "${"+name+"}")
		}
	}
	return text
}

// question is the request that is asked about.
type question struct {
	method, scheme  string
	host, authority string // without and with a port
	target          string
	path, query     string
	fields          fields
	body            []byte
	client          netip.Addr
	now             time.Time
	token           string         // from --token; empty: in the fields, or none
	claims          map[string]any // from --claims
	secret          []string       // what must not be shown
}

func newQuestion(s Streams, o explainOptions) (*question, error) {
	q := &question{method: o.method}
	if q.method == "" || q.method != strings.ToUpper(q.method) {
		return nil, unusable("the method is %q; methods are written in capitals, and the method comes before the URL: hopgate explain GET URL", o.method)
	}
	if err := q.setURL(o.url); err != nil {
		return nil, err
	}
	for _, line := range o.headers {
		name, value, found := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !found || name == "" || strings.ContainsAny(line, "\r\n\x00") {
			return nil, unusable("a -H is not NAME: VALUE; write -H 'Accept: application/json'")
		}
		if strings.EqualFold(name, "Host") {
			q.authority = value
			continue
		}
		q.fields = append(q.fields, field{name, value})
	}
	q.host = hostOf(q.authority)
	if o.hasBody {
		text, err := argument(s, o.body)
		if err != nil {
			return nil, unusable("cannot read the body: %v", err)
		}
		q.body = text
		if _, n := q.fields.Field("Content-Type"); n == 0 {
			q.fields = append(q.fields, field{"Content-Type", "application/json"})
		}
	}
	var err error
	if q.client, err = netip.ParseAddr(o.clientIP); err != nil {
		return nil, unusable("--client-ip is %q; it should be an address such as 192.0.2.1", o.clientIP)
	}
	q.now = time.Now()
	if o.now != "" {
		if q.now, err = time.Parse(time.RFC3339, o.now); err != nil {
			return nil, unusable("--now is %q; it should be a time such as 2026-01-31T12:00:00Z", o.now)
		}
	}
	if o.token != "" {
		text, err := argument(s, o.token)
		if err != nil {
			return nil, unusable("cannot read the token: %v", err)
		}
		q.token = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(text)), "Bearer "))
		if q.token == "" {
			return nil, unusable("--token is empty")
		}
	}
	if o.claims != "" {
		text, err := argument(s, o.claims)
		if err != nil {
			return nil, unusable("cannot read the claims: %v", err)
		}
		if q.claims, err = parseClaims(text); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// setURL takes an address apart, byte for byte: what the guard refuses must
// not be mended here.
func (q *question) setURL(address string) error {
	q.scheme, q.authority, q.target = "http", "localhost", address
	if scheme, rest, found := strings.Cut(address, "://"); found && !strings.ContainsAny(scheme, "/?#") {
		q.scheme = strings.ToLower(scheme)
		if q.scheme != "http" && q.scheme != "https" {
			return unusable("the URL's scheme is %q; it should be http or https", scheme)
		}
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		q.authority, q.target = rest[:end], rest[end:]
		if q.target == "" || q.target[0] != '/' {
			q.target = "/" + q.target // as clients do
		}
	} else if !strings.HasPrefix(address, "/") {
		return unusable("the URL is %q; it should be http://HOST/PATH, or a path that starts with /", address)
	}
	// No client sends the fragment.
	q.target, _, _ = strings.Cut(q.target, "#")
	q.path, q.query, _ = strings.Cut(q.target, "?")
	return nil
}

// hostOf gives a host without its port, in small letters.
func hostOf(authority string) string {
	host := strings.ToLower(authority)
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host
}

// mask hides tokens in a text.
func (q *question) mask(text string) string {
	for _, secret := range q.secret {
		text = strings.ReplaceAll(text, secret, "[token]")
	}
	return text
}

// hide makes mask hide a token, and its signature wherever that stands.
func (q *question) hide(tok string) {
	q.secret = append(q.secret, tok)
	if i := strings.LastIndexByte(tok, '.'); len(tok)-i > 8 {
		q.secret = append(q.secret, tok[i+1:])
	}
}

// argument gives the text of a flag that may name a file.
func argument(s Streams, value string) ([]byte, error) {
	if name, isFile := strings.CutPrefix(value, "@"); isFile {
		return readFileOrStdin(s, name)
	}
	return []byte(value), nil
}

func parseClaims(text []byte) (map[string]any, error) {
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	err := d.Decode(&claims)
	if err == nil && d.More() {
		err = fmt.Errorf("something follows the object")
	}
	if err == nil && claims == nil {
		err = fmt.Errorf("it is null")
	}
	if err != nil {
		return nil, unusable("the claims are not a JSON object: %v", err)
	}
	return claims, nil
}

// fields are the request's.
type fields []field

type field struct {
	name, value string
}

// Field gives the first value of a name, and how many there are.
func (f fields) Field(name string) (value string, n int) {
	for i := range f {
		if strings.EqualFold(f[i].name, name) {
			if n == 0 {
				value = f[i].value
			}
			n++
		}
	}
	return value, n
}

// all gives each field.
func (f fields) all(yield func(name, value string) bool) {
	for i := range f {
		if !yield(f[i].name, f[i].value) {
			return
		}
	}
}

// explainer answers a question under a configuration.
type explainer struct {
	cfg      *config.Config
	gate     *proxy.Snapshot
	policy   *policy.Policy
	question *question
	env      *environment
	offline  bool

	verifier *token.Verifier
	match    policy.Match
	who      *token.Principal
	out      *explanation
}

func (e *explainer) explain(ctx context.Context) (*explanation, error) {
	q := e.question
	e.out = &explanation{Request: explainedRequest{
		Method: q.method, URL: q.scheme + "://" + q.authority + q.target,
		ClientIP: q.client.String(), Time: q.now.UTC().Format(time.RFC3339),
	}}
	if len(q.target) > int(e.cfg.Server.MaxTargetBytes) {
		e.decide(policy.TargetTooLong)
		return e.out, nil
	}
	if r := proxy.CheckTarget(q.method, q.target, q.authority); r != policy.Allowed {
		e.decide(r)
		return e.out, nil
	}
	if name := e.gate.Webhook(q.path); name != "" {
		e.webhook(name)
		return e.out, nil
	}
	found := e.route()
	if e.preflight() {
		return e.out, nil
	}
	if found != policy.Allowed {
		e.decide(found)
		return e.out, nil
	}
	r := e.bodyFits()
	if r == policy.Allowed {
		var err error
		if r, err = e.authenticate(ctx); err != nil {
			return nil, err
		}
	}
	if r == policy.Allowed && e.out.fromCookie && !e.sameSite() {
		r = policy.CrossSiteRequest
	}
	if r != policy.Allowed {
		e.decide(r)
		return e.out, nil
	}
	e.authorize()
	return e.out, nil
}

// decide sets a decision that was made before or beside the rules.
func (e *explainer) decide(r policy.Reason) {
	o := r.Outcome()
	e.out.Decision = explainedDecision{Effect: "deny", Reason: r, Status: o.Status, Title: o.Title}
	if e.match.Route != nil {
		e.out.Decision.Route = e.match.Route.ID
	}
}

// webhook tells of a request to where events are received, before the routes.
func (e *explainer) webhook(name string) {
	if e.question.method != "POST" {
		e.decide(policy.MethodNotAllowed)
		e.out.Methods = []string{"POST"}
		return
	}
	e.out.Decision = explainedDecision{
		Effect: "allow", Reason: policy.WebhookAccepted, Status: policy.WebhookAccepted.Outcome().Status,
		Detail: "an event for the webhook " + name + ", where its signature is right; that is not looked at here",
	}
}

// route finds the route, and says why the others lost.
func (e *explainer) route() policy.Reason {
	q := e.question
	r := e.policy.Match(&e.match, q.method, q.host, q.path)
	if r == policy.Allowed {
		e.out.Route = &explainedRoute{ID: e.match.Route.ID, Path: e.match.Route.Config.Match.Path, Mode: e.match.Route.Config.Mode}
	} else {
		e.match.Route = nil
		if r == policy.MethodNotAllowed {
			e.out.Methods = e.policy.Methods(q.host, q.path)
		}
	}
	for _, c := range e.policy.Candidates(q.method, q.host, q.path) {
		if c.Route != e.match.Route {
			e.out.Others = append(e.out.Others, explainedLoser{c.Route.ID, c.Why})
		}
	}
	e.cors()
	return r
}

// bodyFits checks the body's size.
func (e *explainer) bodyFits() policy.Reason {
	limit := e.match.Route.Config.MaxBodyBytes
	if limit == 0 {
		limit = e.cfg.Server.MaxBodyBytes
	}
	if len(e.question.body) > int(limit) {
		return policy.BodyTooLarge
	}
	return policy.Allowed
}

// authorize asks the route's rules, and where they allow shows what follows.
func (e *explainer) authorize() {
	q, route := e.question, e.match.Route
	in := &policy.Request{
		Method: q.method, Scheme: q.scheme, Host: q.host, Path: q.path, RawQuery: q.query,
		Fields: q.fields, ClientIP: q.client, Now: q.now,
	}
	if route.NeedsBody() {
		in.Body = q.body
	}
	d, traces := route.Explain(&e.match, in, e.who)
	for _, t := range traces {
		e.out.Rules = append(e.out.Rules, newExplainedRule(t))
	}
	o := d.Reason.Outcome()
	e.out.Decision = explainedDecision{Effect: "deny", Reason: d.Reason, Status: o.Status, Title: o.Title, Route: route.ID, Rule: d.Rule}
	if d.Effect != policy.Allow {
		return
	}
	e.out.Decision.Effect, e.out.Decision.Status, e.out.Decision.Title = "allow", 0, ""
	if d.Report {
		e.out.Decision.ReportOnly = d.Denial
	}
	e.limit()
	in.Body = q.body
	in.DropQuery = e.verifier.TokenParams(e.verifier.Set(route.Config.Issuer))
	var sent policy.Outgoing
	if err := route.Rewrite(&sent, &e.match, in, e.who); err != nil {
		e.decide(policy.ReasonOf(err))
		e.out.Decision.Detail = err.Error()
		return
	}
	e.cache(&sent)
	e.upstream(&sent)
	e.response()
}

func sortedKeys[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
