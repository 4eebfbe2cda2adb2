package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve runs a server on ln and gives a function that asks it.
func serve(t *testing.T, o Options, ln net.Listener) func(method, path string, fields ...string) (*http.Response, string) {
	t.Helper()
	s := New(o)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, ln.Addr().Network(), ln.Addr().String())
		},
	}}
	return func(method, path string, fields ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			if fields[i] == "Host" {
				r.Host = fields[i+1]
			} else {
				r.Header.Set(fields[i], fields[i+1])
			}
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func options(ready *atomic.Bool) Options {
	return Options{
		Ready: func() (bool, []string) {
			return ready.Load(), []string{`issuer "clerk" has no keys yet`, "draining"}
		},
		Config:  func() []byte { return []byte("server:\n  listen: :8080\n") },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hopgate_x 1\n") }),
		Info:    func() any { return map[string]int{"generation": 3} },
	}
}

func TestAnswers(t *testing.T) {
	var ready atomic.Bool
	ready.Store(true)
	ask := serve(t, options(&ready), loopback(t))
	for _, test := range []struct {
		name, method, path string
		fields             []string
		status             int
		kind, body         string
	}{
		{"alive", "GET", "/livez", nil, 200, "text/plain; charset=utf-8", "ok\n"},
		{"ready", "GET", "/readyz", nil, 200, "application/json", `{"ready":true}` + "\n"},
		{"head", "HEAD", "/readyz", nil, 200, "application/json", ""},
		{"with a query", "GET", "/readyz?verbose=1", nil, 200, "application/json", `{"ready":true}` + "\n"},
		{"metrics", "GET", "/metrics", nil, 200, "text/plain; charset=utf-8", "hopgate_x 1\n"},
		{"config", "GET", "/config", nil, 200, "text/yaml; charset=utf-8", "server:\n  listen: :8080\n"},
		{"info", "GET", "/info", nil, 200, "application/json", `{"generation":3}` + "\n"},
		{"not found", "GET", "/nothing", nil, 404, "text/plain; charset=utf-8", "not found; / lists what is here\n"},
		{"not below", "GET", "/livez/", nil, 404, "text/plain; charset=utf-8", "not found; / lists what is here\n"},
		{"post", "POST", "/readyz", nil, 405, "text/plain; charset=utf-8", "only GET and HEAD\n"},
		{"options", "OPTIONS", "/config", nil, 405, "text/plain; charset=utf-8", "only GET and HEAD\n"},
		{"from a page", "GET", "/config", []string{"Origin", "https://evil.example"}, 403, "text/plain; charset=utf-8", "no page may read this: the request has an Origin\n"},
		{"an empty origin", "GET", "/config", []string{"Origin", ""}, 403, "text/plain; charset=utf-8", "no page may read this: the request has an Origin\n"},
		{"cross-site", "GET", "/livez", []string{"Sec-Fetch-Site", "cross-site"}, 403, "text/plain; charset=utf-8", "no page may read this: Sec-Fetch-Site is neither none nor same-origin\n"},
		{"same site", "GET", "/livez", []string{"Sec-Fetch-Site", "same-site"}, 403, "text/plain; charset=utf-8", "no page may read this: Sec-Fetch-Site is neither none nor same-origin\n"},
		{"typed by the user", "GET", "/livez", []string{"Sec-Fetch-Site", "none"}, 200, "text/plain; charset=utf-8", "ok\n"},
		{"rebound name", "GET", "/config", []string{"Host", "evil.example:9090"}, 403, "text/plain; charset=utf-8", "on a loopback address the Host must be an IP address or localhost\n"},
		{"address", "GET", "/livez", []string{"Host", "127.0.0.1:9090"}, 200, "text/plain; charset=utf-8", "ok\n"},
		{"IPv6 address", "GET", "/livez", []string{"Host", "[::1]:9090"}, 200, "text/plain; charset=utf-8", "ok\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, body := ask(test.method, test.path, test.fields...)
			if res.StatusCode != test.status || body != test.body || res.Header.Get("Content-Type") != test.kind {
				t.Errorf("%d %s %q, want %d %s %q", res.StatusCode, res.Header.Get("Content-Type"), body, test.status, test.kind, test.body)
			}
			for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"} {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: %s", name, got)
				}
			}
			if got := res.Header.Get("Allow"); (test.status == 405) != (got == "GET, HEAD") {
				t.Errorf("Allow: %s", got)
			}
		})
	}
}

func TestReadyFollowsTheHook(t *testing.T) {
	var ready atomic.Bool
	ask := serve(t, options(&ready), loopback(t))
	res, body := ask("GET", "/readyz")
	if want := `{"ready":false,"reasons":["issuer \"clerk\" has no keys yet","draining"]}` + "\n"; res.StatusCode != 503 || body != want {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := ask("GET", "/livez"); res.StatusCode != 200 {
		t.Error("not alive while not ready")
	}
	ready.Store(true)
	if res, _ := ask("GET", "/readyz"); res.StatusCode != 200 {
		t.Error("not ready")
	}
}

func TestIndexListsWhatIsThere(t *testing.T) {
	var ready atomic.Bool
	_, body := serve(t, options(&ready), loopback(t))("GET", "/")
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/config", "/info"} {
		if !strings.Contains(body, "\n"+path+" ") {
			t.Errorf("no %s in %q", path, body)
		}
	}
	ask := serve(t, Options{}, loopback(t))
	if _, body := ask("GET", "/"); strings.Contains(body, "/metrics") {
		t.Error("lists what is not there")
	}
	if res, _ := ask("GET", "/config"); res.StatusCode != 404 {
		t.Error("an absent page is there")
	}
	if res, _ := ask("GET", "/readyz"); res.StatusCode != 200 {
		t.Error("not ready without a hook")
	}
}

func TestInfoThatCannotBeEncoded(t *testing.T) {
	ask := serve(t, Options{Info: func() any { return func() {} }}, loopback(t))
	if res, body := ask("GET", "/info"); res.StatusCode != 500 || body != "internal error\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestUnixSocket(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ask := serve(t, Options{}, ln)
	if res, _ := ask("GET", "/livez", "Host", "whatever.example"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}
