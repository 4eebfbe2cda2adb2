package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// suite gives the path of a test suite of others, which make e2e-deps
// installs.
func suite(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(".cache", path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not installed: run 'make e2e-deps'", filepath.Base(path))
	}
	return path
}

// outcome is how a case of Autobahn ended.
type outcome struct{ Behavior, BehaviorClose string }

// runAutobahn gives the outcomes of a server by case.
func runAutobahn(t *testing.T, wstest, address string) map[string]outcome {
	dir := t.TempDir()
	spec, err := json.Marshal(map[string]any{
		"outdir":  filepath.Join(dir, "reports"),
		"servers": []map[string]string{{"agent": "it", "url": "ws" + strings.TrimPrefix(address, "http") + "/"}},
		"cases": []string{"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.1.2", "9.2.1", "9.2.2",
			"9.3.1", "9.4.1", "9.5.1", "9.7.1", "10.*"},
		"exclude-cases":       []string{},
		"exclude-agent-cases": map[string]any{},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "spec.json"), spec, 0o600)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	cmd := exec.CommandContext(t.Context(), wstest, "-m", "fuzzingclient", "-s", filepath.Join(dir, "spec.json"))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, "reports", "index.json"))
	var results map[string]map[string]outcome
	if err == nil {
		err = json.Unmarshal(text, &results)
	}
	if err != nil {
		t.Error(err)
	}
	return results["it"]
}

// TestAutobahn runs the WebSocket test suite of Autobahn against an echoing
// backend, with the gate before it and without: each case ends in the same
// way.
func TestAutobahn(t *testing.T) {
	wstest := suite(t, "autobahn/wstest")
	t.Parallel() // it waits most of the time
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, b, err := c.Read(r.Context())
			if err == nil && kind == websocket.MessageText && !utf8.Valid(b) {
				_ = c.Close(websocket.StatusInvalidFramePayloadData, "no UTF-8")
				return
			}
			if err != nil || c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	}))
	t.Cleanup(echo.Close)
	g := serve(t, strings.Replace(wireConfig(echo.URL, ""), "    upstream: backend\n", "    upstream: backend\n    websocket: {max_connections: 100}\n", 1))
	var direct, gate map[string]outcome
	var wg sync.WaitGroup
	wg.Go(func() { direct = runAutobahn(t, wstest, echo.URL) })
	wg.Go(func() { gate = runAutobahn(t, wstest, g.url) })
	wg.Wait()
	good := 0
	for name, want := range direct {
		if want.Behavior == "OK" || want.Behavior == "NON-STRICT" || want.Behavior == "INFORMATIONAL" {
			good++
		}
		if got := gate[name]; got != want {
			t.Errorf("%s: through the gate %+v, without it %+v", name, got, want)
		}
	}
	if len(gate) != len(direct) || len(direct) < 200 || good < len(direct)*9/10 {
		t.Errorf("%d cases through the gate, %d without it, of which %d are good", len(gate), len(direct), good)
	}
	t.Logf("%d cases, %d of them good without the gate", len(direct), good)
}

// runH2spec gives the cases that a server fails, and how many there were.
func runH2spec(t *testing.T, program, address string, secure bool) (failed map[string]string, total int) {
	u, err := url.Parse(address)
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	args := []string{"-h", u.Hostname(), "-p", u.Port(), "-j", report, "-o", "2", "-P", "/x"}
	if secure {
		args = append(args, "-t", "-k")
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	text, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Errorf("%v %v\n%s", err, readErr, out)
		return nil, 0
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Package string  `xml:"package,attr"`
				Name    string  `xml:"classname,attr"`
				Failure *string `xml:"failure"`
				Error   *string `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.NewDecoder(bytes.NewReader(text)).Decode(&suites); err != nil {
		t.Error(err)
	}
	failed = map[string]string{}
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			total++
			for _, why := range []*string{c.Failure, c.Error} {
				if why != nil {
					failed[c.Package+": "+c.Name] = *why
				}
			}
		}
	}
	return failed, total
}

// TestH2spec holds that the gate fails nothing of h2spec that Go's own server
// does not fail, with TLS and without.
func TestH2spec(t *testing.T) {
	program := suite(t, "h2spec")
	t.Parallel() // it waits most of the time
	// Not at once: one case opens more streams than may be open.
	handler := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		time.Sleep(50 * time.Millisecond)
		_, _ = io.Copy(w, q.Body)
	})
	backend := httptest.NewServer(handler)
	t.Cleanup(backend.Close)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Server{Handler: handler, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = plain.Serve(ln) }()
	t.Cleanup(func() { _ = plain.Close() })
	dir := t.TempDir()
	cert := fmt.Sprintf(", tls: {cert_file: %s, key_file: %s}", selfSigned(t, dir), filepath.Join(dir, "tls.key"))
	clear, secure := serve(t, wireConfig(backend.URL, ", h2c: true")), serve(t, wireConfig(backend.URL, cert))
	// Most of its time is spent waiting.
	var known map[string]string
	var total int
	type result struct {
		failed map[string]string
		total  int
	}
	results := map[*gate]*result{clear: {}, secure: {}}
	var wg sync.WaitGroup
	wg.Go(func() { known, total = runH2spec(t, program, "http://"+ln.Addr().String(), false) })
	for g, r := range results {
		wg.Go(func() { r.failed, r.total = runH2spec(t, program, g.url, g == secure) })
	}
	wg.Wait()
	if total < 100 || len(known) > total/10 {
		t.Fatalf("Go's server fails %d of %d: %v", len(known), total, slices.Sorted(maps.Keys(known)))
	}
	for g, r := range results {
		for c, why := range r.failed {
			if _, ok := known[c]; !ok {
				t.Errorf("%s: %s: %s", g.url, c, why)
			}
		}
		if r.total != total {
			t.Errorf("%s: %d cases ran, %d against Go's server", g.url, r.total, total)
		}
		t.Logf("%s: %d cases, %d fail; %d with Go's server", g.url, r.total, len(r.failed), len(known))
		if v := g.metric("hopgate_panics_total"); v != "0" && v != "" {
			t.Errorf("%s panics", v)
		}
	}
	t.Logf("Go's server fails %v", slices.Sorted(maps.Keys(known)))
}
