package policytest

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"hopgate/config"
	"hopgate/policy"
)

// The shape of a test file.
type (
	file struct {
		Config   string              `yaml:"config"`
		Env      map[string]string   `yaml:"env"`
		Users    map[string]identity `yaml:"users"`
		Defaults defaults            `yaml:"defaults"`
		Cases    []testCase          `yaml:"cases"`

		Pos  config.Position
		name string
	}

	defaults struct {
		As      text    `yaml:"as"`
		Issuer  text    `yaml:"issuer"`
		Request request `yaml:"request"`
	}

	// identity is whose token a request has.
	identity struct {
		Issuer    text           `yaml:"issuer"`
		Claims    *value         `yaml:"claims"`
		Principal *principalSpec `yaml:"principal"`

		Pos config.Position
	}

	principalSpec struct {
		UserID      string `yaml:"user_id"`
		OrgID       string `yaml:"org_id"`
		OrgSlug     string `yaml:"org_slug"`
		OrgRole     string `yaml:"org_role"`
		Roles       words  `yaml:"roles"`
		Permissions words  `yaml:"permissions"`
		Scopes      words  `yaml:"scopes"`
		SessionID   string `yaml:"session_id"`
		Actor       string `yaml:"actor"`
		Claims      value  `yaml:"claims"`
	}

	testCase struct {
		Name      string `yaml:"name"`
		As        text   `yaml:"as"`
		Anonymous bool   `yaml:"anonymous"`
		identity
		Request  request   `yaml:"request"`
		Upstream *answer   `yaml:"upstream_response"`
		Expect   *expected `yaml:"expect"`
	}

	request struct {
		Method   string           `yaml:"method"`
		URL      text             `yaml:"url"`
		Path     text             `yaml:"path"`
		Headers  map[string]words `yaml:"headers"`
		Body     *body            `yaml:"body"`
		ClientIP netip.Addr       `yaml:"client_ip"`
		Now      time.Time        `yaml:"now"`
	}

	body struct {
		JSON *value  `yaml:"json"`
		Text *string `yaml:"text"`

		Pos config.Position
	}

	answer struct {
		Status int `yaml:"status"`
		body
	}

	expected struct {
		Decision text              `yaml:"decision"`
		Reason   text              `yaml:"reason"`
		Status   int               `yaml:"status"`
		Route    *string           `yaml:"route"`
		Rule     *string           `yaml:"rule"`
		Report   *bool             `yaml:"report"`
		Upstream *expectedUpstream `yaml:"upstream"`
		Cache    *expectedCache    `yaml:"cache"`
		Response *body             `yaml:"response"`

		Pos config.Position
	}

	expectedUpstream struct {
		Name    *string          `yaml:"name"`
		Path    *string          `yaml:"path"`
		Query   *value           `yaml:"query"`
		Headers map[string]value `yaml:"headers"`
	}

	expectedCache struct {
		Scope     *string `yaml:"scope"`
		Shared    words   `yaml:"shared_with"`
		NotShared words   `yaml:"not_shared_with"`

		Pos config.Position
	}
)

// readFile reads a test file; its faults go to errs, and nil comes back
// where there are any.
func readFile(name string, errs *config.Errors) *file {
	data, err := os.ReadFile(name)
	if err != nil {
		errs.Addf(config.Position{File: name}, "the test file can't be read: %v", err)
		return nil
	}
	return parseFile(name, data, errs)
}

func parseFile(name string, data []byte, errs *config.Errors) *file {
	before := errs.Len()
	d := &decoder{file: name, errs: errs, left: maxNodes}
	root := d.parse(data)
	if root == nil {
		return nil
	}
	f := &file{name: name}
	d.decode(root, reflect.ValueOf(f).Elem(), "the file")
	if errs.Len() > before {
		return nil
	}
	f.check(errs)
	if errs.Len() > before {
		return nil
	}
	return f
}

// configFile gives the path of the configuration that the file names.
func (f *file) configFile() string {
	if filepath.IsAbs(f.Config) {
		return f.Config
	}
	return filepath.Join(filepath.Dir(f.name), f.Config)
}

// check finds what the shape alone does not tell.
func (f *file) check(errs *config.Errors) {
	if len(f.Cases) == 0 {
		errs.Addf(f.Pos, "the file has no case; write a list under cases")
	}
	user := func(t text) {
		if _, ok := f.Users[t.string]; !ok && t.string != "" {
			errs.Addf(t.pos, "there is no user %q%s", t.string, oneOf(t.string, f.userNames()))
		}
	}
	user(f.Defaults.As)
	for name, u := range f.Users {
		u.checkToken(errs, "user "+name)
	}
	f.Defaults.Request.check(errs, f.Pos)
	names := map[string]config.Position{}
	for i := range f.Cases {
		c := &f.Cases[i]
		if c.Name == "" {
			errs.Addf(c.Pos, "the case has no name; say what it shows")
		} else if before, ok := names[c.Name]; ok {
			errs.Addf(c.Pos, "another case, in line %d, is called %q too; names tell cases apart in reports", before.Line, c.Name)
		} else {
			names[c.Name] = c.Pos
		}
		user(c.As)
		c.checkToken(errs, "the case")
		if c.Anonymous && (c.As.string != "" || c.Claims != nil || c.Principal != nil) {
			errs.Addf(c.Pos, "the case is anonymous and has as, claims or principal too; leave one out")
		}
		c.Request.merge(&f.Defaults.Request)
		c.Request.check(errs, c.Pos)
		if c.Request.target() == "" {
			errs.Addf(c.Pos, "the request has neither path nor url; write request: { path: /v1/... }")
		}
		if c.Upstream != nil {
			c.Upstream.check(errs)
			if s := c.Upstream.Status; s != 0 && (s < 200 || s > 599) {
				errs.Addf(c.Upstream.Pos, "status is %d; it should be from 200 to 599", s)
			}
		}
		if c.Expect == nil {
			errs.Addf(c.Pos, "the case expects nothing; write expect: { decision: allow } or { decision: deny }")
			continue
		}
		c.Expect.check(errs, f, c.Upstream != nil)
	}
}

func (f *file) userNames() []string {
	names := make([]string, 0, len(f.Users))
	for n := range f.Users {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (u *identity) checkToken(errs *config.Errors, what string) {
	if u.Claims != nil && u.Principal != nil {
		errs.Addf(u.Pos, "%s has claims and principal; claims are mapped to the principal as the issuer's preset says, so give one of them", what)
	}
	if u.Claims != nil {
		if _, ok := u.Claims.data.(map[string]any); !ok {
			errs.Addf(u.Claims.pos, "claims should be a mapping of claim names to values, such as { sub: user_1 }")
		}
	}
	if u.Principal != nil && u.Principal.Claims.data != nil {
		if _, ok := u.Principal.Claims.data.(map[string]any); !ok {
			errs.Addf(u.Principal.Claims.pos, "claims should be a mapping of claim names to values, such as { sub: user_1 }")
		}
	}
}

func (b *body) check(errs *config.Errors) {
	if b.JSON != nil && b.Text != nil {
		errs.Addf(b.Pos, "json and text are given both; leave one out")
	}
}

// merge takes from the defaults what r does not say.
func (r *request) merge(d *request) {
	if r.Method == "" {
		r.Method = d.Method
	}
	if r.target() == "" {
		r.URL, r.Path = d.URL, d.Path
	}
	for name, v := range d.Headers {
		if !slices.ContainsFunc(keys(r.Headers), func(n string) bool { return strings.EqualFold(n, name) }) {
			if r.Headers == nil {
				r.Headers = map[string]words{}
			}
			r.Headers[name] = v
		}
	}
	if r.Body == nil {
		r.Body = d.Body
	}
	if !r.ClientIP.IsValid() {
		r.ClientIP = d.ClientIP
	}
	if r.Now.IsZero() {
		r.Now = d.Now
	}
}

func (r *request) target() string { return r.URL.string + r.Path.string }

func (r *request) check(errs *config.Errors, pos config.Position) {
	switch {
	case r.URL.string != "" && r.Path.string != "":
		errs.Addf(r.Path.pos, "path and url are given both; leave one out")
	case r.Path.string != "" && !strings.HasPrefix(r.Path.string, "/"):
		errs.Addf(r.Path.pos, "path is %q; it should start with a slash", r.Path.string)
	case r.URL.string != "":
		if u, err := url.Parse(r.URL.string); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			errs.Addf(r.URL.pos, "url is %q; it should be as in a browser: https://api.example.com/v1/...", r.URL.string)
		}
	}
	if strings.Contains(r.target(), "#") {
		errs.Addf(pos, "the request's target has a fragment (#), which clients do not send")
	}
	if r.Body != nil {
		r.Body.check(errs)
	}
}

func (e *expected) check(errs *config.Errors, f *file, answered bool) {
	switch d := e.Decision.string; {
	case d == "allow" || d == "deny":
	case d != "":
		errs.Addf(e.Decision.pos, "decision is %q; it should be allow or deny", d)
	case reflect.DeepEqual(*e, expected{Pos: e.Pos}):
		errs.Addf(e.Pos, "the case expects nothing; write { decision: allow } or { decision: deny }")
	}
	if e.Reason.string != "" && !slices.Contains(policy.Reasons(), policy.Reason(e.Reason.string)) {
		var words []string
		for _, r := range policy.Reasons() {
			words = append(words, string(r))
		}
		errs.Addf(e.Reason.pos, "there is no reason %q%s", e.Reason.string, oneOf(e.Reason.string, words))
	}
	if e.Upstream != nil && e.Upstream.Query != nil {
		switch q := e.Upstream.Query.data.(type) {
		case string, nil:
		case map[string]any:
			for name, v := range q {
				if _, ok := parameter(v); !ok {
					errs.Addf(e.Upstream.Query.pos, "query parameter %s should be a text, a number, true or false, or a list of them", name)
				}
			}
		default:
			errs.Addf(e.Upstream.Query.pos, "query should be a mapping of parameters, or a text such as a=1&b=2")
		}
	}
	if e.Upstream != nil {
		for _, name := range keys(e.Upstream.Headers) {
			h := e.Upstream.Headers[name]
			if values, ok := parameter(h.data); h.data != nil && (!ok || len(values) != 1) {
				errs.Addf(h.pos, "header %s should be a text, or null where it is not to be set", name)
			}
		}
	}
	if e.Cache != nil {
		for _, n := range slices.Concat(e.Cache.Shared, e.Cache.NotShared) {
			if _, ok := f.Users[n]; !ok {
				errs.Addf(e.Cache.Pos, "there is no user %q%s", n, oneOf(n, f.userNames()))
			}
		}
	}
	if e.Response != nil {
		e.Response.check(errs)
		if !answered {
			errs.Addf(e.Response.Pos, "a response is expected, but there is no upstream_response to make it of")
		}
	}
}

func keys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
