// Package demo is a small world to try hopgate in, within one process and
// without any outside service: an OpenID issuer whose keys rotate, a backend
// API in the shape of Clerk's, the configuration of a gate between them, and
// a scenario of curl commands. Everything listens on loopback addresses only.
package demo

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

//go:embed hopgate.demo.yaml
var configuration []byte

// Options say where the demo's parts listen. All addresses must be loopback
// ones, with port 0 for any free port.
type Options struct {
	Gate      string        // server.listen of the gate; empty: 127.0.0.1:8080
	Admin     string        // admin.listen of the gate; empty: 127.0.0.1:9090; off is allowed
	Issuer    string        // empty: 127.0.0.1:0
	Backend   string        // empty: 127.0.0.1:0
	AccessLog string        // log.access of the gate; empty: stderr
	Rotate    time.Duration // how often the issuer's key changes; 0: only on demand
	Log       *slog.Logger  // nil: slog's default
}

// Demo is the world around the gate. The gate itself is started by the
// caller, with Config and Env.
type Demo struct {
	Issuer  *Issuer
	Backend *Backend

	env    map[string]string
	secret string
	server *http.Server
	cancel context.CancelFunc
}

// Start starts the issuer, with the demo's controls on the same listener,
// and the backend. They run until ctx is done or Close is called.
func Start(ctx context.Context, o Options) (*Demo, error) {
	for _, a := range []struct {
		address *string
		usual   string
	}{{&o.Gate, "127.0.0.1:8080"}, {&o.Admin, "127.0.0.1:9090"}, {&o.Issuer, "127.0.0.1:0"}, {&o.Backend, "127.0.0.1:0"}} {
		if *a.address == "" {
			*a.address = a.usual
		}
		if err := checkLoopback(*a.address); err != nil && (a.address != &o.Admin || o.Admin != "off") {
			return nil, err
		}
	}
	if o.AccessLog == "" {
		o.AccessLog = "stderr"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}

	ln, err := net.Listen("tcp", o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("can't start the demo issuer: %w", err)
	}
	d := &Demo{secret: "sk_demo_" + rand.Text()}
	if d.Issuer, err = NewIssuer("http://" + ln.Addr().String()); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	if d.Backend, err = NewBackend(o.Backend, d.secret); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	d.env = map[string]string{
		"DEMO_LISTEN":         o.Gate,
		"DEMO_ADMIN":          o.Admin,
		"DEMO_ACCESS_LOG":     o.AccessLog,
		"DEMO_ISSUER":         d.Issuer.URL(),
		"DEMO_BACKEND":        d.Backend.URL(),
		"DEMO_BACKEND_SECRET": d.secret,
	}
	mux := http.NewServeMux()
	d.Issuer.register(mux)
	d.registerControl(mux)
	d.server = &http.Server{Handler: noPages(mux), ReadHeaderTimeout: 5 * time.Second}
	go d.server.Serve(ln) //nolint:errcheck // ends with Close

	ctx, d.cancel = context.WithCancel(ctx)
	context.AfterFunc(ctx, func() {
		if err := d.stop(); err != nil {
			o.Log.Warn("the demo did not end cleanly", "error", err)
		}
	})
	if o.Rotate > 0 {
		go d.rotate(ctx, o.Rotate, o.Log)
	}
	return d, nil
}

// checkLoopback refuses addresses that others can reach: the issuer gives
// any token to whoever asks.
func checkLoopback(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("the demo listens on loopback addresses only, such as 127.0.0.1:8080, not on %q", address)
	}
	return nil
}

func (d *Demo) rotate(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := d.Issuer.Rotate(); err != nil {
				log.Warn("the demo issuer keeps its key", "error", err)
			}
		}
	}
}

// Close stops the issuer and the backend.
func (d *Demo) Close() error {
	d.cancel()
	return d.stop()
}

func (d *Demo) stop() error { return errors.Join(d.server.Close(), d.Backend.Stop()) }

// Config gives the configuration of the demo's gate, with ${NAME} where Env
// has the value.
func (d *Demo) Config() []byte { return append([]byte(nil), configuration...) }

// Env looks up a value that the configuration names, as os.LookupEnv would.
func (d *Demo) Env(name string) (string, bool) {
	value, ok := d.env[name]
	return value, ok
}
