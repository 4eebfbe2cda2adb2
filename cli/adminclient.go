package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const defaultAdmin = "http://127.0.0.1:9090"

// adminTimeout is how long a running gate may take to answer.
const adminTimeout = 10 * time.Second

// askAdmin sends a question to the admin listener of a running gate and
// decodes its answer. Where the gate does not like the question the error is
// about the command line, in the gate's words; else it is that there is no
// gate.
func askAdmin(ctx context.Context, address, path string, question, answer any) error {
	client := &http.Client{
		Timeout: adminTimeout,
		// What a redirect would lead to is no admin listener.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	base := address
	if socket, ok := strings.CutPrefix(address, "unix:"); ok {
		base = "http://localhost"
		client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}
	} else if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return unusable("--admin is %q; it should be the address of a gate's admin listener such as %s, or unix:/path", address, defaultAdmin)
	}
	body, err := json.Marshal(question)
	if err != nil {
		return failed("cannot ask the gate: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return unusable("cannot ask the gate: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return failed("no gate answers at %s: %v; name its admin listener with --admin", address, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	const most = 16 << 20
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	switch {
	case err != nil:
		return failed("the gate's answer broke off: %v", err)
	case resp.StatusCode == http.StatusBadRequest:
		return unusable("%s", printable(strings.TrimSpace(string(text))))
	case resp.StatusCode == http.StatusNotFound:
		return failed("what answers at %s is no admin listener of a gate of this version", address)
	case resp.StatusCode != http.StatusOK:
		return failed("the gate answers %d: %s", resp.StatusCode, oneLine(string(text)))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return failed("what answers at %s is no admin listener of a gate: %v", address, err)
	}
	return nil
}
