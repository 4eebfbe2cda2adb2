package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hopgate/admin"
	"hopgate/proxy"
	"hopgate/telemetry"
	"hopgate/token"
)

var adminAt = regexp.MustCompile(`"admin":"([^"]+)"`)

// TestPurgeRunningGate asks a running gate about a stored answer, purges it,
// and sees the backend asked again.
func TestPurgeRunningGate(t *testing.T) {
	var served atomic.Int64
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Vary", "Accept-Language")
		_, _ = fmt.Fprint(w, served.Add(1))
	}))
	t.Cleanup(backend.Close)
	file := filepath.Join(t.TempDir(), "hopgate.yaml")
	writeFile(t, file, strings.Replace(serveConfig(`
server: { listen: "127.0.0.1:0" }
admin: { listen: "127.0.0.1:0" }
log: { access: off }`, backend.URL), "anonymous: true", "anonymous: true, cache: { ttl: 1h, stale_if_error: 1h }", 1))
	_, errs, end := start(t, "serve", "-c", file)
	errs.await(t, `"msg":"serving"`)
	gate, control := servingAt.FindStringSubmatch(errs.String())[1], adminAt.FindStringSubmatch(errs.String())[1]
	run := func(args ...string) string {
		t.Helper()
		var out, complaints bytes.Buffer
		if code := Run(append(args, "--admin", control), Streams{In: strings.NewReader(""), Out: &out, Err: &complaints}); code != exitOK {
			t.Fatalf("%q: %d %s", args, code, complaints.String())
		}
		return out.String()
	}
	explain := func(more ...string) string {
		t.Helper()
		_, text, found := strings.Cut(run(append([]string{"explain", "GET", gate + "/open", "-c", file}, more...)...), "cache of the running gate")
		if !found {
			t.Fatal("the running gate says nothing")
		}
		return text
	}
	asked := func(want string) {
		t.Helper()
		if _, body := fetch(t, gate+"/open"); body != want {
			t.Errorf("%s, want %s", body, want)
		}
	}
	asked("1")
	asked("1")
	text := explain()
	key := regexp.MustCompile(`key +([0-9a-f]{32})\n`).FindStringSubmatch(text)
	if key == nil || !strings.Contains(text, "it stays fresh for ") || !strings.Contains(text, "bytes of memory") ||
		!strings.Contains(text, ", selected by this request's fields, varies by accept-language") || !strings.Contains(text, "tags         route:open, uri:"+gate+"/open\n") {
		t.Fatalf("%s", text)
	}
	if text := explain("-H", "Accept-Language: de"); !strings.Contains(text, "miss         what is stored is for other values") {
		t.Errorf("%s", text)
	}
	run("purge", "--key", key[1], "--soft")
	if text := explain(); !strings.Contains(text, "expired      it was purged softly; the upstream is asked") || !strings.Contains(text, ", purged (soft)") {
		t.Errorf("%s", text)
	}
	asked("2")
	run("purge", "--uri", gate+"/open")
	asked("3")
	resp, err := http.Get(control + "/cache") //nolint:noctx // a test's server on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	state, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(state), `"id":"open","scope":"public","ttl":"1h","entries":1,`) || !strings.Contains(string(state), `"miss":3,`) {
		t.Errorf("%s", state)
	}
	if code := end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestInspectRequestThatCannotBeMeant(t *testing.T) {
	r := &running{gate: proxy.New(proxy.Options{Metrics: telemetry.New(), Log: slog.New(slog.DiscardHandler)})}
	if _, err := r.inspect(t.Context(), admin.InspectRequest{ClientIP: "here"}); err == nil || err.Error() != `client_ip is "here"; it should be an address such as 192.0.2.1` {
		t.Errorf("%v", err)
	}
	if err := r.purge(admin.PurgeRequest{All: true}); err == nil {
		t.Error("there is no configuration, and it purged")
	}
	q := &question{method: "GET", scheme: "http", authority: "a", target: "/", fields: fields{{"A", "b"}, {"a", "c"}}}
	if _, err := q.askRunning(t.Context(), "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "-H has a twice") {
		t.Errorf("%v", err)
	}
}

func TestInfoShowsKeySets(t *testing.T) {
	fetched := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	text, err := json.Marshal(keySets([]token.KeySetState{
		{Issuer: "a", Keys: 2, Fetched: fetched, Age: 1500 * time.Millisecond},
		{Issuer: "b", Age: -1, Error: "no answer"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"issuer":"a","keys":2,"fetched":"2026-01-31T12:00:00Z","age_seconds":1.5},{"issuer":"b","keys":0,"error":"no answer"}]`
	if string(text) != want {
		t.Errorf("\n got %s\nwant %s", text, want)
	}
}
