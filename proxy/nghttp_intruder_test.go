package proxy

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

// nghttp makes a request with nghttp2's client, which sends what Go's does
// not.
func nghttp(t *testing.T, url string, fields ...string) string {
	t.Helper()
	path, err := exec.LookPath("nghttp")
	if err != nil {
		t.Skip("there is no nghttp")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	args := []string{"-v"}
	for _, f := range fields {
		args = append(args, "-H", f)
	}
	out, _ := exec.CommandContext(ctx, path, append(args, url)...).CombinedOutput()
	return string(out)
}
