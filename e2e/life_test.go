package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// mint makes a development key and a token with it by the program itself,
// and gives the key set's file and a function that mints.
func mint(t *testing.T) (jwks string, token func(claims string) string) {
	t.Helper()
	dir := t.TempDir()
	key, jwks := filepath.Join(dir, "key.jwk"), filepath.Join(dir, "jwks.json")
	must(t, "token", "--key", key, "--new", "--jwks", jwks)
	return jwks, func(claims string) string {
		return strings.TrimSpace(must(t, "token", "--key", key, "--claims", claims))
	}
}

// must runs hopgate and gives what it prints.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(binary, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("hopgate %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
		}
		t.Fatalf("hopgate %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func localConfig(jwks, upstream, routes string) string {
	return `
server: {listen: "127.0.0.1:0", drain: 10s}
admin: {listen: "127.0.0.1:0"}
issuers:
  local:
    issuer: https://issuer.example.test
    algorithms: [ES256]
    claims: {org_id: org_id}
    jwks: {file: ` + jwks + `}
upstreams:
  backend:
    endpoints: ["` + upstream + `"]
    secret: {header: Authorization, value: "Bearer ${E2E_SECRET}"}
` + routes
}

const secret = "sk_e2e_0123456789abcdef"

func claims(user, org string) string {
	return fmt.Sprintf(`{"iss":"https://issuer.example.test","sub":%q,"org_id":%q}`, user, org)
}

const openRoute = `
routes:
  - id: open
    match: {methods: [GET, POST], path: "/{rest...}"}
    allow: "true"
    upstream: backend
`

// TestReloadUnderLoad loads the configuration anew a hundred times while
// requests run: none fails, and the last generation is in force.
func TestReloadUnderLoad(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	g := serve(t, localConfig(jwks, b.url, openRoute), "E2E_SECRET="+secret)
	alice := token(claims("alice", "acme"))

	var stop atomic.Bool
	var requests, failures atomic.Int64
	var first atomic.Value
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				a, err := tryCall("GET", g.url+"/x", "", "Authorization", "Bearer "+alice)
				requests.Add(1)
				if err != nil || a.status != 200 {
					failures.Add(1)
					first.CompareAndSwap(nil, fmt.Sprint(err, a))
				}
			}
		})
	}
	const reloads = 100
	for i := range reloads {
		n := len(g.log())
		write(t, g.file, localConfig(jwks, b.url, openRoute+fmt.Sprintf(`
  - id: added-%d
    match: {path: "/added/%d"}
    allow: "true"
    upstream: backend
`, i, i)))
		g.signal(syscall.SIGHUP)
		g.awaitAfter(n, `"msg":"configuration loaded"`)
	}
	stop.Store(true)
	wg.Wait()
	if failures.Load() > 0 {
		t.Errorf("%d of %d requests failed, the first with %v", failures.Load(), requests.Load(), first.Load())
	}
	if requests.Load() < reloads {
		t.Errorf("only %d requests ran: the test shows nothing", requests.Load())
	}
	if generation, err := strconv.Atoi(g.metric("hopgate_config_generation")); err != nil || generation <= reloads {
		t.Errorf("generation %d after %d reloads", generation, reloads)
	}
	if a := call(t, "GET", g.admin+"/config", ""); !strings.Contains(a.body, "added-99") || strings.Contains(a.body, secret) {
		t.Errorf("the effective configuration is\n%s", a.body)
	}
}

// TestBrokenFile breaks the configuration of a running gate.
func TestBrokenFile(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	good := localConfig(jwks, b.url, openRoute)
	g := serve(t, good, "E2E_SECRET="+secret)
	alice := token(claims("alice", "acme"))

	// A changed file is noticed without a signal.
	write(t, g.file, strings.Replace(good, "allow: \"true\"", "allow: principal.user_idd == \"x\"", 1))
	line := g.await("the running one stays")
	if !strings.Contains(line, g.file+":") || !strings.Contains(line, "user_id") {
		t.Errorf("the message does not say where and what is right: %s", line)
	}
	if strings.Contains(strings.Join(g.log(), "\n"), secret) {
		t.Error("the log shows the secret")
	}
	if v := g.metric("hopgate_config_last_reload_successful"); v != "0" {
		t.Errorf("the gauge of the last reload says %s", v)
	}
	if a := get(t, g.url+"/x", alice); a.status != 200 {
		t.Errorf("the gate answers %d %s", a.status, a.body)
	}
	n := len(g.log())
	write(t, g.file, strings.Replace(good, "id: open", "id: opened", 1))
	g.awaitAfter(n, `"msg":"configuration loaded"`)
	if v := g.metric("hopgate_config_last_reload_successful"); v != "1" {
		t.Errorf("the gauge of the last reload says %s", v)
	}
	// The file vanishes: the gate goes on.
	if err := os.Remove(g.file); err != nil {
		t.Fatal(err)
	}
	g.signal(syscall.SIGHUP)
	g.awaitAfter(n, "the running one stays")
	if a := get(t, g.url+"/x", alice); a.status != 200 {
		t.Errorf("without its file the gate answers %d %s", a.status, a.body)
	}
}

// TestDrain ends the gate while a request is open.
func TestDrain(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	config := strings.Replace(localConfig(jwks, b.url, openRoute), "drain: 10s", "drain: 10s, drain_delay: 2s", 1)
	g := serve(t, config, "E2E_SECRET="+secret)
	alice := token(claims("alice", "acme"))
	waitFor(t, "the gate is ready", func() bool { return call(t, "GET", g.admin+"/readyz", "").status == 200 })

	open := make(chan answer, 1)
	go func() {
		a, err := tryCall("GET", g.url+"/hold", "", "Authorization", "Bearer "+alice)
		if err != nil {
			a.body = err.Error()
		}
		open <- a
	}()
	waitFor(t, "the request is with the backend", func() bool { return b.served.Load() == 1 })
	g.signal(syscall.SIGTERM)
	waitFor(t, "readyz fails", func() bool { return call(t, "GET", g.admin+"/readyz", "").status == 503 })
	// Load balancers notice while the gate still answers.
	if a := get(t, g.url+"/x", alice); a.status != 200 {
		t.Errorf("while readyz fails, the gate answers %d %s", a.status, a.body)
	}
	waitFor(t, "the listener is closed", func() bool {
		client.CloseIdleConnections()
		_, err := tryCall("GET", g.url+"/x", "", "Authorization", "Bearer "+alice)
		return err != nil
	})
	b.mu.Lock()
	close(b.hold)
	b.mu.Unlock()
	if a := <-open; a.status != 200 {
		t.Errorf("the open request got %d %s", a.status, a.body)
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// What the access log says of the request was not lost.
	if !strings.Contains(g.access(), `"path":"/hold"`) {
		t.Errorf("the access log lacks the last request:\n%s", g.access())
	}
}

// TestSecretsNeverShow looks for the secret and for tokens wherever the
// program writes.
func TestSecretsNeverShow(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	g := serve(t, localConfig(jwks, b.url, openRoute), "E2E_SECRET="+secret)
	alice := token(claims("alice", "acme"))
	var shown []string
	for _, a := range []answer{
		get(t, g.url+"/x", alice),
		get(t, g.url+"/x", alice+"x"),
		get(t, g.url+"/x", "not.a.token"),
		call(t, "GET", g.url+"/x?token="+alice, "", "Authorization", "Bearer "+alice),
		call(t, "GET", g.admin+"/config", ""),
		call(t, "GET", g.admin+"/metrics", ""),
		call(t, "GET", g.admin+"/", ""),
		call(t, "GET", g.admin+"/readyz", ""),
	} {
		b, _ := json.Marshal(a.header)
		shown = append(shown, string(b), a.body)
	}
	g.signal(syscall.SIGTERM)
	g.exit()
	shown = append(shown, g.access(), strings.Join(g.log(), "\n"))
	explain, _ := exec.Command(binary, "explain", "-c", g.file, "GET", "http://h/x", "--token", alice).CombinedOutput()
	cmd := exec.Command(binary, "explain", "-c", g.file, "GET", "http://h/x", "--token", alice)
	cmd.Env = append(os.Environ(), "E2E_SECRET="+secret)
	withEnv, _ := cmd.CombinedOutput()
	shown = append(shown, string(explain), string(withEnv))
	signature := alice[strings.LastIndexByte(alice, '.')+1:]
	for _, s := range shown {
		for _, hidden := range []string{secret, signature} {
			// The backend of this test echoes the query it got.
			if strings.Contains(s, hidden) && !strings.Contains(s, `"query":"token=`) {
				t.Errorf("%q is shown in:\n%s", hidden, s)
			}
		}
	}
	if !strings.Contains(g.access(), `"reason":"signature_invalid"`) && !strings.Contains(g.access(), `"reason":"token_malformed"`) {
		t.Errorf("the access log says nothing of the bad token:\n%s", g.access())
	}
}

// TestSecondSignal ends a drain that somebody does not want to wait for.
func TestSecondSignal(t *testing.T) {
	b := startBackend(t)
	jwks, token := mint(t)
	g := serve(t, strings.Replace(localConfig(jwks, b.url, openRoute), "drain: 10s", "drain: 10m", 1), "E2E_SECRET="+secret)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		close(b.hold)
	})
	alice := token(claims("alice", "acme"))
	go func() { _, _ = tryCall("GET", g.url+"/hold", "", "Authorization", "Bearer "+alice) }()
	waitFor(t, "the request is with the backend", func() bool { return b.served.Load() == 1 })
	g.signal(syscall.SIGTERM)
	g.await("shutting down")
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	g.await("when a second signal came")
}
