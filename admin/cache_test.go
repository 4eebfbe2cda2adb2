package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// post sends a body to a server on ln.
func post(t *testing.T, ln net.Listener, path, kind, body string, fields ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+ln.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

const jsonKind = "application/json"

func TestPurge(t *testing.T) {
	var got []PurgeRequest
	ln := loopback(t)
	ask := serve(t, Options{Purge: func(p PurgeRequest) error {
		if len(p.Routes) == 1 && p.Routes[0] == "nowhere" {
			return errors.New("no route has that id")
		}
		got = append(got, p)
		return nil
	}}, ln)
	for _, test := range []struct {
		name, kind, body string
		status           int
		want             string
	}{
		{"all kinds", jsonKind, `{"routes":["a","b"],"keys":["k"],"principals":["p"],"organizations":["o"],"sessions":["s"],"tags":["t"],"uris":["u"],"all":true,"soft":true}`, 200,
			`{"purged":{"routes":["a","b"],"keys":["k"],"principals":["p"],"organizations":["o"],"sessions":["s"],"tags":["t"],"uris":["u"],"all":true,"soft":true}}`},
		{"one", "application/json; charset=utf-8", ` {"routes": ["a"]} `, 200, `{"purged":{"routes":["a"]}}`},
		{"refused by the gate", jsonKind, `{"routes":["nowhere"]}`, 400, "no route has that id"},
		{"no type", "", `{"all":true}`, 415, "the Content-Type should be application/json"},
		{"a form's type", "text/plain", `{"all":true}`, 415, "the Content-Type should be application/json"},
		{"empty", jsonKind, ``, 400, "the body should be a JSON object"},
		{"a list", jsonKind, `["a"]`, 400, "the body should be a JSON object"},
		{"unknown", jsonKind, `{"route":["a"]}`, 400, `"route" is not known; the members are routes, keys, principals, organizations, sessions, tags, uris, all, soft`},
		{"another case", jsonKind, `{"Routes":["a"]}`, 400, `"Routes" is not known`},
		{"twice", jsonKind, `{"routes":["a"],"routes":["b"]}`, 400, "routes stands there twice"},
		{"null", jsonKind, `{"routes":null}`, 400, "routes is null; leave it out"},
		{"a word for a list", jsonKind, `{"routes":"a"}`, 400, "routes is a JSON string; it should be a list of strings"},
		{"a number in a list", jsonKind, `{"routes":[1]}`, 400, "it should be a string"},
		{"a word for a truth", jsonKind, `{"all":"yes"}`, 400, "all is a JSON string; it should be true or false"},
		{"cut off", jsonKind, `{"routes":["a"`, 400, "the body is not well-formed JSON"},
		{"cut off after a member", jsonKind, `{"routes":["a"]`, 400, "the body is not well-formed JSON"},
		{"broken", jsonKind, `{"routes":["a"],}`, 400, "the body is not well-formed JSON"},
		{"more", jsonKind, `{"all":true} {}`, 400, "something follows the JSON object"},
		{"large", jsonKind, `{"routes":["` + strings.Repeat("a", maxBody) + `"]}`, 413, "the body has more than 1048576 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(got)
			res, body := post(t, ln, "/purge", test.kind, test.body)
			if res.StatusCode != test.status || !strings.HasPrefix(body, test.want) && !strings.Contains(body, test.want) {
				t.Errorf("%d %s, want %d %s", res.StatusCode, body, test.status, test.want)
			}
			if (len(got) > before) != (test.status == 200) {
				t.Errorf("it purged %d times", len(got)-before)
			}
		})
	}
	if want := (PurgeRequest{
		Routes: []string{"a", "b"}, Keys: []string{"k"}, Principals: []string{"p"}, Organizations: []string{"o"},
		Sessions: []string{"s"}, Tags: []string{"t"}, URIs: []string{"u"}, All: true, Soft: true,
	}); !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v", got[0])
	}

	for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		if res, _ := post(t, ln, "/purge", jsonKind, `{"all":true}`, name, value); res.StatusCode != 403 {
			t.Errorf("from a page (%s): %d", name, res.StatusCode)
		}
	}
	if len(got) != 2 {
		t.Errorf("%d purges", len(got))
	}
	for _, method := range []string{"GET", "HEAD", "PUT"} {
		if res, _ := ask(method, "/purge"); res.StatusCode != 405 || res.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d %s", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

func TestInspect(t *testing.T) {
	var got InspectRequest
	ln := loopback(t)
	ask := serve(t, Options{
		Cache: func() any { return map[string]int{"entries": 3} },
		Inspect: func(_ context.Context, q InspectRequest) (any, error) {
			if q.URL == "" {
				return nil, errors.New("the url should be absolute")
			}
			got = q
			return map[string]string{"state": "fresh"}, nil
		},
	}, ln)
	res, body := post(t, ln, "/cache/inspect", jsonKind, `{"method":"GET","url":"http://a/","headers":{"A":"b"},"token":"tok","client_ip":"192.0.2.1"}`)
	want := InspectRequest{"GET", "http://a/", map[string]string{"A": "b"}, "tok", "192.0.2.1"}
	if res.StatusCode != 200 || body != "{\"state\":\"fresh\"}\n" || !reflect.DeepEqual(got, want) {
		t.Errorf("%d %s: %+v", res.StatusCode, body, got)
	}
	for text, want := range map[string]string{
		`{"method":"GET"}`:           "the url should be absolute",
		`{"headers":["A: b"]}`:       "headers is a JSON array; it should be an object of strings",
		`{"token":"eyJtoken.a.b`:     "the body is not well-formed JSON",
		`{"eyJtoken.a.b":1}`:         "is not known",
		`{"token":"eyJtoken.a.b" x}`: "the body is not well-formed JSON: see byte",
	} {
		res, body := post(t, ln, "/cache/inspect", jsonKind, text)
		if res.StatusCode != 400 || !strings.Contains(body, want) || strings.Contains(body, "eyJtoken.a.b") && !strings.Contains(text, `{"eyJ`) {
			t.Errorf("%s: %d %s", text, res.StatusCode, body)
		}
	}
	if res, body := ask("GET", "/cache"); res.StatusCode != 200 || body != "{\"entries\":3}\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := post(t, ln, "/cache", jsonKind, `{}`); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /cache: %d", res.StatusCode)
	}
	// What is not offered is not there.
	if res, _ := post(t, ln, "/purge", jsonKind, `{"all":true}`); res.StatusCode != 404 {
		t.Errorf("purge: %d", res.StatusCode)
	}
	_, index := ask("GET", "/")
	if !strings.Contains(index, "\n/cache/inspect  POST: ") || strings.Contains(index, "/purge") {
		t.Errorf("%s", index)
	}
}
