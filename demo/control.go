package demo

import (
	"fmt"
	"net/http"
)

// registerControl adds the paths that break and mend the demo's world.
func (d *Demo) registerControl(mux *http.ServeMux) {
	for path, act := range map[string]struct {
		do   func() error
		done string
	}{
		"POST /backend/stop":  {d.Backend.Stop, "the backend is down"},
		"POST /backend/start": {d.Backend.Start, "the backend is up"},
		"POST /keys/rotate":   {d.Issuer.Rotate, "new tokens are signed with a new key"},
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			if err := act.do(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintln(w, act.done) //nolint:errcheck // the client left
		})
	}
}

// noPages keeps pages of a browser on the same machine away from tokens and
// switches: browsers add Origin to whatever a page sends but plain GET,
// whose answer it can't read, and Sec-Fetch-Site to that.
func noPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		if len(r.Header.Values("Origin")) > 0 || site != "" && site != "none" {
			http.Error(w, "not for pages", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
