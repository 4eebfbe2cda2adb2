package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// newClient makes the client that verifies answers.
func newClient() *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableCompression: true,
			DisableKeepAlives:  true, // a competitor that waits for its next request would be woken by the connection's end
			//nolint:gosec // the certificate was made by this program a moment ago, for loopback
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
	}
}

func (l *lab) get(url string) (string, error) {
	status, body, err := l.call(url, "")
	if err == nil && status != 200 {
		err = fmt.Errorf("%s answered %d", url, status)
	}
	return body, err
}

func (l *lab) call(url, token string) (int, string, error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// verify checks that an entrant does its work: the answer that is measured is
// the right one, and where the entrant says that it authorizes, it refuses
// who may not have it.
func (l *lab) verify(e *entrant) error {
	path, token := e.path, e.token
	expect := func(what, path, token string, status ...int) error {
		got, body, err := l.call(e.srv.url(path), token)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", e.Name, what, err)
		}
		for _, s := range status {
			if got != s {
				continue
			}
			if s == 200 && body != e.body {
				return fmt.Errorf("%s: %s: answered %d bytes, which are not the origin's %d", e.Name, what, len(body), len(e.body))
			}
			return nil
		}
		return fmt.Errorf("%s: %s: answered %d, not %d", e.Name, what, got, status)
	}
	err := expect("the measured request", path, token, e.status)
	if e.body != "" && e.status == 200 {
		// Again, as what is answered from a cache comes from another place.
		err = errors.Join(err, expect("the measured request again", path, token, 200))
	}
	if e.authorizes && e.status == 200 {
		other := strings.TrimRight(path, "0123456789") + "999999"
		tampered := token[:len(token)-10] + flip(token[len(token)-10:])
		err = errors.Join(err,
			expect("another user's path", other, token, 403),
			expect("no token", path, "", 401),
			expect("a token with another signature", path, tampered, 401),
			expect("a token without signature", path, token[:strings.LastIndexByte(token, '.')+1], 401))
	}
	return err
}

// flip changes a piece of base64url, keeping it base64url.
func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}
