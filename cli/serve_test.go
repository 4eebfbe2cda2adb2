package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// serveConfig is a configuration whose first lines a test adds.
func serveConfig(head, upstream string) string {
	return head + fmt.Sprintf(`
upstreams: { backend: { endpoints: %q } }
routes: [{ id: open, match: { path: /open }, anonymous: true, upstream: backend }]
`, upstream)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // a test's server on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

var servingAt = regexp.MustCompile(`"address":"([^"]+)"`)

// TestServe runs the gate, changes settings of every kind while it runs, and
// ends it.
func TestServe(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(backend.Close)
	file := filepath.Join(t.TempDir(), "hopgate.yaml")
	writeFile(t, file, serveConfig(`
server: { listen: "127.0.0.1:0" }
admin: { listen: off }
log: { access: off, level: info }`, backend.URL))
	out, errs, end := start(t, "serve", "-c", file)
	errs.await(t, `"msg":"serving"`)
	m := servingAt.FindStringSubmatch(errs.String())
	if m == nil || strings.Contains(errs.String(), `"admin"`) {
		t.Fatalf("it serves at:\n%s", errs)
	}
	if status, body := fetch(t, m[1]+"/open"); status != 200 || body != "hello" {
		t.Errorf("%d %s", status, body)
	}

	// Settings that hold for the process's life are named; all others are in
	// force.
	writeFile(t, file, serveConfig(`
server: { listen: "127.0.0.1:1", read_timeout: 11s, write_timeout: 31s, idle_timeout: 76s, max_connections: 99, max_header_bytes: 16KiB, max_target_bytes: 4KiB, max_connections_per_address: 9, h2c: true, proxy_protocol: [192.0.2.0/24], request_id_header: X-Correlation-Id }
admin: { listen: "127.0.0.1:2" }
log: { access: stderr, level: debug }`, backend.URL))
	errs.await(t, `"msg":"configuration loaded"`)
	for _, setting := range []string{
		"server.listen", "server.read_timeout", "server.write_timeout", "server.idle_timeout",
		"server.max_connections", "server.max_header_bytes", "server.max_target_bytes", "server.max_connections_per_address",
		"server.h2c", "server.proxy_protocol", "admin.listen", "log.access",
	} {
		if !strings.Contains(errs.String(), `"msg":"this setting takes effect at the next start","setting":"`+setting+`"`) {
			t.Errorf("%s is not named", setting)
		}
	}
	if strings.Contains(errs.String(), "request_id_header") {
		t.Error("request_id_header is named, and in force at once")
	}
	resp, err := http.Get(m[1] + "/open") //nolint:noctx // a test's server on loopback
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("X-Correlation-Id") == "" {
		t.Errorf("the new request_id_header is not in force: %v", resp.Header)
	}

	// A file that is no YAML at all changes nothing.
	writeFile(t, file, "routes: [")
	errs.await(t, "the running one stays")
	if status, _ := fetch(t, m[1]+"/open"); status != 200 {
		t.Errorf("%d", status)
	}
	if code := end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if out.String() != "" {
		t.Errorf("with log.access off it writes %s", out)
	}
	errs.await(t, `"msg":"shut down"`)
}

// TestServeWarns prints what is legal and surely not meant, and goes on.
func TestServeWarns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hopgate.yaml")
	writeFile(t, file, `
server: { listen: "127.0.0.1:0" }
admin: { listen: off }
log: { access: off }
upstreams: { backend: { endpoints: "http://127.0.0.1:1", secret: { header: X-Key, value: plain-in-the-file } } }
routes: [{ id: open, match: { path: /open }, anonymous: true, upstream: backend }]
`)
	_, errs, end := start(t, "serve", "-c", file)
	errs.await(t, `"msg":"serving"`)
	if !strings.Contains(errs.String(), "hopgate.yaml:5:") || !strings.Contains(errs.String(), ": warning: ") {
		t.Errorf("it does not warn of the secret in the file:\n%s", errs)
	}
	if strings.Contains(errs.String(), "plain-in-the-file") {
		t.Error("the warning shows the secret")
	}
	if code := end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
