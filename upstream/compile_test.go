package upstream

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hopgate/config"
)

// compile gives the faults of an upstream.
func compile(u config.Upstream, prev *Pool) (*Pool, string) {
	var errs config.Errors
	p := Compile("backend", u, prev, Options{}, &errs)
	if err := errs.Err(); err != nil {
		return p, err.Error()
	}
	return p, ""
}

func TestCompileFaults(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	_, certFile, keyFile := a.issue("client", time.Now().Add(time.Hour))
	_, _, otherKey := a.issue("other", time.Now().Add(time.Hour))
	endpoint := func(e ...string) config.Upstream { return config.Upstream{Endpoints: e} }
	with := func(change func(*config.Upstream)) config.Upstream {
		u := endpoint("https://api.example.com")
		change(&u)
		return u
	}
	secret := func(name, value string) config.Upstream {
		return with(func(u *config.Upstream) {
			u.Secret = &config.SecretField{Header: name, Value: config.NewSecret(value)}
		})
	}
	for _, c := range []struct {
		name  string
		u     config.Upstream
		fault string // part of it; empty: none
	}{
		{"host", endpoint("https://api.example.com"), ""},
		{"port", endpoint("http://api.example.com:8080"), ""},
		{"underscore", endpoint("http://api_1:8080"), ""},
		{"IPv4", endpoint("http://10.0.0.1"), ""},
		{"IPv6", endpoint("https://[2001:db8::1]:8443/v1"), ""},
		{"path", endpoint("https://api.example.com/v1/a%20b/"), ""},
		{"root", endpoint("https://api.example.com/"), ""},
		{"unix", endpoint("unix:/run/backend.sock"), ""},
		{"several", endpoint("http://a", "http://b", "unix:/c"), ""},

		{"none", endpoint(), "at least one endpoint"},
		{"no scheme", endpoint("api.example.com"), "no scheme"},
		{"other scheme", endpoint("ftp://api.example.com"), "no scheme"},
		{"h2c", endpoint("h2c://api.example.com"), "no scheme"},
		{"no host", endpoint("https://"), "no host"},
		{"no host but a port", endpoint("https://:443"), "no host"},
		{"user", endpoint("https://u:p@api.example.com"), "no host"},
		{"space", endpoint("https://api example.com"), "no host"},
		{"LF", endpoint("https://api.example.com\r\nX: y"), "no host"},
		{"zone", endpoint("https://[fe80::1%25eth0]"), "no host"},
		{"word for a port", endpoint("https://api.example.com:https"), "no host"},
		{"large port", endpoint("https://api.example.com:65536"), "no port"},
		{"port 0", endpoint("https://api.example.com:0"), "no port"},
		{"query", endpoint("https://api.example.com/v1?x"), "query"},
		{"query without a path", endpoint("https://api.example.com?x"), "no host"},
		{"fragment", endpoint("https://api.example.com/#x"), "query"},
		{"dot segment", endpoint("https://api.example.com/../x"), "path"},
		{"empty segment", endpoint("https://api.example.com//x"), "path"},
		{"bad escape", endpoint("https://api.example.com/%zz"), "path"},
		{"cut escape", endpoint("https://api.example.com/%2"), "path"},
		{"space in the path", endpoint("https://api.example.com/a b"), "path"},
		{"relative socket", endpoint("unix:run/x"), "absolute"},
		{"twice", endpoint("http://a", "http://b", "http://a"), "position 1"},

		{"Host", with(func(u *config.Upstream) { u.Host = "internal:8443" }), ""},
		{"bad Host", with(func(u *config.Upstream) { u.Host = "a b" }), "host"},
		{"Host with a path", with(func(u *config.Upstream) { u.Host = "a/b" }), "host"},

		{"secret", secret("Authorization", "Bearer x"), ""},
		{"secret without a name", secret("", "x"), "no field name"},
		{"secret's name", secret("X Key", "x"), "no field name"},
		{"secret in Host", secret("host", "x"), "frames"},
		{"secret in Connection", secret("Connection", "x"), "frames"},
		{"empty secret", secret("X-Key", ""), "empty"},
		{"secret with a line's end", secret("X-Key", "hunter2\n"), "control character"},
		{"secret with a space", secret("X-Key", "hunter2 "), "white space"},

		{"negative timeout", with(func(u *config.Upstream) { u.Timeout = -1 }), "negative"},
		{"negative connections", with(func(u *config.Upstream) { u.MaxConnections = -1 }), "negative"},
		{"negative attempts", with(func(u *config.Upstream) { u.Retry.Attempts = -1 }), "negative"},
		{"large budget", with(func(u *config.Upstream) { u.Retry.Budget = 1.5 }), "share"},

		{"CA", with(func(u *config.Upstream) { u.TLS.CAFile = a.file }), ""},
		{"no CA", with(func(u *config.Upstream) { u.TLS.CAFile = filepath.Join(dir, "none.pem") }), "cannot be read"},
		{"empty CA", with(func(u *config.Upstream) { u.TLS.CAFile = empty }), "no certificate"},
		{"client certificate", with(func(u *config.Upstream) { u.TLS.CertFile, u.TLS.KeyFile = certFile, keyFile }), ""},
		{"certificate without a key", with(func(u *config.Upstream) { u.TLS.CertFile = certFile }), "belong together"},
		{"another's key", with(func(u *config.Upstream) { u.TLS.CertFile, u.TLS.KeyFile = certFile, otherKey }), "cannot be used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, fault := compile(c.u, nil)
			if p == nil {
				t.Fatal("no pool")
			}
			if (c.fault == "") != (fault == "") || !strings.Contains(fault, c.fault) {
				t.Errorf("fault %q, want %q", fault, c.fault)
			}
			if strings.Contains(fault, "hunter2") {
				t.Errorf("the fault tells the secret: %q", fault)
			}
		})
	}
}

// TestTakeOver keeps the pool, with its connections, where nothing changed.
func TestTakeOver(t *testing.T) {
	a := newAuthority(t)
	base := func() config.Upstream {
		return config.Upstream{
			Endpoints: []string{"https://a", "https://b"}, Timeout: time.Second,
			Secret: &config.SecretField{Header: "Authorization", Value: config.NewSecret("x")},
			TLS:    config.UpstreamTLS{CAFile: a.file},
		}
	}
	old, fault := compile(base(), nil)
	if fault != "" {
		t.Fatal(fault)
	}
	if p, _ := compile(base(), old); p != old {
		t.Error("the same configuration makes another pool")
	}
	for name, change := range map[string]func(*config.Upstream){
		"endpoint": func(u *config.Upstream) { u.Endpoints = u.Endpoints[:1] },
		"secret":   func(u *config.Upstream) { u.Secret.Value = config.NewSecret("y") },
		"no secret": func(u *config.Upstream) {
			u.Secret = nil
		},
		"timeout": func(u *config.Upstream) { u.Timeout++ },
		"retry":   func(u *config.Upstream) { u.Retry.Attempts = 3 },
		"name":    func(u *config.Upstream) { u.TLS.ServerName = "c" },
	} {
		u := base()
		change(&u)
		if p, fault := compile(u, old); p == old || fault != "" {
			t.Errorf("another %s makes no other pool: %s", name, fault)
		}
	}
	other := newAuthority(t)
	data, err := os.ReadFile(other.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, _ := compile(base(), old); p == old {
		t.Error("another content of ca_file makes no other pool")
	}
}
