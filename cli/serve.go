package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"hopgate/admin"
	"hopgate/config"
	"hopgate/policy"
	"hopgate/proxy"
	"hopgate/telemetry"
	"hopgate/token"
)

func newServe(s Streams) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gate",
		Long: `Runs the gate until SIGTERM or SIGINT. SIGHUP, or a change of the configuration
or of a file that it names, loads it anew: a broken one is reported and the
running one stays. On SIGTERM readyz fails first, then the listener closes and
open requests finish within server.drain. On SIGUSR2 the program is started
anew, and takes over the listening sockets once it is ready: replace the binary
before to upgrade without losing a request.`,
		Example: `  hopgate serve
  hopgate serve -c /etc/hopgate/hopgate.yaml
  kill -HUP $(pidof hopgate)        # load the configuration anew
  kill -USR2 $(pidof hopgate)       # go on as the binary that is installed now`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			started := putOffCollection()
			defer started()
			metrics := meanwhile(newMetrics)
			go policy.Prepare()
			cfg, errs, err := config.Load(path)
			if err != nil {
				return cannotLoad(err)
			}
			if cfg == nil {
				return configFaults(s, errs)
			}
			return serve(c.Context(), s, cfg, errs, serveOptions{reload: func() (*config.Config, *config.Errors, error) {
				return config.Load(path)
			}, watch: watchInterval, upgrade: true, metrics: metrics, started: started})
		},
	}
	configFlag(c, &path)
	return c
}

// watchInterval is how often the configuration's files are looked at.
const watchInterval = time.Second

type serveOptions struct {
	// reload reads the configuration again.
	reload func() (*config.Config, *config.Errors, error)
	// watch is how often files are looked at; 0 never.
	watch time.Duration
	// upgrade lets a signal start the program anew in this one's place.
	upgrade bool
	// listenName and adminName say where the addresses come from, where that
	// is not the configuration.
	listenName, adminName string
	// listening is called with the gate's and the admin's addresses once
	// both accept.
	listening func(gate, admin net.Addr)
	// metrics gives the metrics; nil: they are made.
	metrics func() *telemetry.Metrics
	// started, where there is one, is called some time after the start.
	started func()
}

// meanwhile begins a piece of work, and gives its result when it is asked
// for.
func meanwhile[T any](work func() T) func() T {
	result := sync.OnceValue(work)
	go result()
	return result
}

// serve runs the gate with a configuration that was just loaded, until the
// context ends or a signal comes.
func serve(ctx context.Context, s Streams, cfg *config.Config, errs *config.Errors, o serveOptions) error {
	r, err := newRunning(s, cfg, o)
	if err != nil {
		return err
	}
	defer r.close()

	limitMemory(r.log, memlimit.FromCgroup)
	snapshot := r.gate.Compile(cfg, errs)
	if errs.Len() > 0 {
		return configFaults(s, errs)
	}
	printWarnings(s, errs)
	cfg.Forget()

	heir, err := inherit()
	if err != nil {
		return unusable("cannot take over the sockets: %v", err)
	}
	ln, err := heir.listen("server", cfg.Server.Listen, cfg.Server.ReusePort)
	if err != nil {
		return unusable("%v; change %s, or end the program that uses it", err, cmp.Or(o.listenName, "server.listen"))
	}
	defer func() { _ = ln.Close() }() // also where it was closed before
	sockets := []socket{{Name: "server", Address: cfg.Server.Listen, listener: ln}}
	var adminLn net.Listener
	if cfg.Admin.Listen != "off" {
		if adminLn, err = heir.listen("admin", cfg.Admin.Listen, false); err != nil {
			return unusable("%v; change %s, or end the program that uses it", err, cmp.Or(o.adminName, "admin.listen"))
		}
		defer func() { _ = adminLn.Close() }()
		sockets = append(sockets, socket{Name: "admin", Address: cfg.Admin.Listen, listener: adminLn})
	}
	heir.rest()

	// Signals are taken before anything is announced, so that a supervisor
	// that sends one at once is not lost.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	if o.upgrade {
		signal.Notify(signals, upgradeSignal)
	}
	defer signal.Stop(signals)

	// Background work outlives ctx: it serves open requests while draining.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	r.background = background
	r.publish(snapshot)
	r.settled = time.AfterFunc(settleTime, func() {
		if o.started != nil {
			o.started()
		}
		giveBack()
	})
	defer r.settled.Stop()
	r.metrics.Reload(snapshot.Generation, time.Now(), nil)

	server := proxy.NewServer(r.gate, proxy.OptionsOf(&cfg.Server), r.log)
	r.metrics.OnConnections(server.Connections)
	if err := heir.await(ctx, r.gate.Ready); err != nil {
		return failed("%v", err)
	}

	ended := make(chan error, 2)
	var adminServer *admin.Server
	if adminLn != nil {
		adminServer = admin.New(admin.Options{
			Ready:   r.ready,
			Config:  func() []byte { return r.gate.Current().Config.Redacted() },
			Metrics: r.metrics.Handler(),
			Info:    r.info,
			Cache:   func() any { return r.gate.CacheState() },
			Inspect: r.inspect,
			Purge:   r.purge,
			Log:     r.log,
		})
		go func() { ended <- adminServer.Serve(adminLn) }()
	}
	go func() { ended <- server.Serve(ln, cfg.Server.TLS != nil) }()
	if o.watch > 0 {
		go r.watch(background)
	}
	scheme := "http"
	if cfg.Server.TLS != nil {
		scheme = "https"
	}
	attrs := []any{"address", scheme + "://" + ln.Addr().String(), "version", fullVersion(), "generation", snapshot.Generation, "pid", os.Getpid()}
	if adminLn != nil {
		attrs = append(attrs, "admin", "http://"+adminLn.Addr().String())
	}
	r.log.Info("serving", attrs...)
	if o.listening != nil {
		var adminAddr net.Addr
		if adminLn != nil {
			adminAddr = adminLn.Addr()
		}
		o.listening(ln.Addr(), adminAddr)
	}

	heir.serving()

	var next upgrade
	for {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				r.reload("SIGHUP")
				continue
			case upgradeSignal:
				next.begin(background, r.log, sockets)
				continue
			}
			r.log.Info("shutting down", "signal", sig.String())
		case err := <-next.ended:
			if !next.took(err, r.log) {
				continue
			}
			handedOver(sockets)
			if adminServer != nil {
				// Who asks now asks the process that took over.
				_ = adminLn.Close()
			}
			return r.drain(server, adminServer, nil)
		case err := <-ended:
			return failed("a listener ended: %v", err)
		case <-ctx.Done():
			r.log.Info("shutting down")
		}
		break
	}
	next.cancelled(r.log)
	notify("STOPPING=1")
	return r.drain(server, adminServer, signals)
}

// upgrade is an attempt to have another process take over.
type upgrade struct {
	stop  context.CancelFunc
	ended chan error // nil while none is under way
	pid   int
}

// begin starts the attempt, unless one is under way.
func (u *upgrade) begin(ctx context.Context, log *slog.Logger, sockets []socket) {
	if u.ended != nil {
		log.Warn("an upgrade is under way already")
		return
	}
	log.Info("upgrading: starting the program anew")
	ctx, u.stop = context.WithCancel(ctx)
	ended := make(chan error, 1)
	u.ended = ended
	go func() {
		var err error
		u.pid, err = successor(ctx, sockets)
		ended <- err
	}()
}

// took tells whether the attempt that has ended succeeded.
func (u *upgrade) took(err error, log *slog.Logger) bool {
	u.stop()
	u.ended = nil
	if err != nil {
		log.Error("the upgrade failed; this process goes on", "error", err.Error())
		return false
	}
	notify("MAINPID=" + strconv.Itoa(u.pid))
	log.Info("upgraded: the new process has taken over; finishing what is open", "pid", u.pid)
	return true
}

// cancelled ends an attempt that is under way, and with it its process.
func (u *upgrade) cancelled(log *slog.Logger) {
	if u.ended == nil {
		return
	}
	u.stop()
	if err := <-u.ended; err != nil {
		log.Warn("the upgrade was given up", "error", err.Error())
		return
	}
	// It had taken over just then: the order to end is for it too.
	if p, err := os.FindProcess(u.pid); err == nil {
		_ = p.Signal(syscall.SIGTERM)
	}
}

// running is what one run of serve consists of.
type running struct {
	streams    Streams
	log        *slog.Logger
	level      *slog.LevelVar
	metrics    *telemetry.Metrics
	access     *telemetry.AccessLog
	gate       *proxy.Gate
	options    serveOptions
	background context.Context

	loading  sync.Mutex  // held while a configuration is loaded
	settled  *time.Timer // gives memory back
	draining atomic.Bool
}

func newRunning(s Streams, cfg *config.Config, o serveOptions) (*running, error) {
	r := &running{streams: s, options: o, level: new(slog.LevelVar)}
	if level, err := telemetry.ParseLevel(cfg.Log.Level); err == nil {
		r.level.Set(level)
	}
	r.log = telemetry.NewLogger(s.Err, true, r.level)
	if o.metrics != nil {
		r.metrics = o.metrics()
	} else {
		r.metrics = newMetrics()
	}
	var err error
	switch cfg.Log.Access {
	case "stdout":
		r.access = telemetry.NewAccessLog(s.Out)
	case "stderr":
		r.access = telemetry.NewAccessLog(s.Err)
	default:
		if r.access, err = telemetry.Open(cfg.Log.Access); err != nil {
			return nil, unusable("cannot open the access log: %v; change log.access", err)
		}
	}
	r.metrics.OnAccessLogDropped(r.access.Dropped)
	r.gate = proxy.New(proxy.Options{Metrics: r.metrics, Access: r.access, Log: r.log})
	return r, nil
}

// newMetrics makes the metrics of a gate.
func newMetrics() *telemetry.Metrics {
	var reasons []telemetry.Reason
	for _, word := range policy.Reasons() {
		reasons = append(reasons, telemetry.Reason{Word: string(word), Allow: word.Allowed()})
	}
	m := telemetry.New(reasons...)
	m.Build(fullVersion())
	return m
}

// close writes what is left of the access log.
func (r *running) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = r.access.Close(ctx)
}

// publish puts a snapshot into force, starts what is new in it and stops
// what it no longer needs.
func (r *running) publish(next *proxy.Snapshot) { r.gate.Publish(r.background, next) }

// reload loads the configuration anew. A broken one changes nothing.
func (r *running) reload(cause string) {
	r.loading.Lock()
	defer r.loading.Unlock()
	if r.draining.Load() {
		return
	}
	old := r.gate.Current()
	cfg, errs, err := r.options.reload()
	var next *proxy.Snapshot
	if err == nil && cfg != nil {
		next = r.gate.Compile(cfg, errs)
	}
	if err == nil {
		err = errs.Err()
	}
	if err != nil {
		r.gate.Discard(next)
		r.metrics.Reload(old.Generation, time.Now(), err)
		r.log.Error("the new configuration is not used; the running one stays",
			"cause", cause, "generation", old.Generation, "faults", faultLines(err))
		return
	}
	for _, w := range errs.Warnings() {
		r.log.Warn(w.Message, "at", w.Pos.String())
	}
	for _, key := range fixedChanges(old.Config, cfg) {
		r.log.Warn("this setting takes effect at the next start", "setting", key)
	}
	cfg.Forget()
	r.publish(next)
	r.settled.Reset(settleTime)
	if level, err := telemetry.ParseLevel(cfg.Log.Level); err == nil {
		r.level.Set(level)
	}
	if err := r.access.Reopen(); err != nil {
		r.log.Error("cannot reopen the access log; going on in the old file", "error", err.Error())
	}
	r.metrics.Reload(next.Generation, time.Now(), nil)
	r.log.Info("configuration loaded", "cause", cause, "generation", next.Generation)
}

// watch reloads when a file of the configuration changes.
func (r *running) watch(ctx context.Context) {
	w := config.NewWatcher(r.options.watch, func() []string { return r.gate.Current().Config.Files() })
	for w.Wait(ctx) {
		r.reload("a file changed")
	}
}

// fixedChanges lists the settings that changed but hold for the life of the
// process.
func fixedChanges(old, next *config.Config) []string {
	var keys []string
	a, b := old.Server, next.Server
	for _, c := range []struct {
		key       string
		different bool
	}{
		{"server.listen", a.Listen != b.Listen},
		{"server.tls", (a.TLS == nil) != (b.TLS == nil)},
		{"server.max_header_bytes", a.MaxHeaderBytes != b.MaxHeaderBytes},
		{"server.max_connections", a.MaxConnections != b.MaxConnections},
		{"server.max_connections_per_address", a.MaxConnectionsPerAddress != b.MaxConnectionsPerAddress},
		{"server.proxy_protocol", !slices.Equal(a.ProxyProtocol, b.ProxyProtocol)},
		{"server.reuse_port", a.ReusePort != b.ReusePort},
		{"server.h2c", a.H2C != b.H2C},
		{"server.max_target_bytes", a.MaxTargetBytes != b.MaxTargetBytes},
		{"server.read_timeout", a.ReadTimeout != b.ReadTimeout},
		{"server.write_timeout", a.WriteTimeout != b.WriteTimeout},
		{"server.idle_timeout", a.IdleTimeout != b.IdleTimeout},
		{"admin.listen", old.Admin.Listen != next.Admin.Listen},
		{"log.access", old.Log.Access != next.Log.Access},
	} {
		if c.different {
			keys = append(keys, c.key)
		}
	}
	return keys
}

// ready tells whether the gate can serve, and why not.
func (r *running) ready() (bool, []string) {
	if r.draining.Load() {
		return false, []string{"draining: the process is shutting down"}
	}
	return r.gate.Ready()
}

// info is what the admin listener shows about the process.
func (r *running) info() any {
	current := r.gate.Current()
	return struct {
		Version    string `json:"version"`
		Generation uint64 `json:"generation"`
		Issuers    any    `json:"issuers"`
		Upstreams  any    `json:"upstreams"`
	}{fullVersion(), current.Generation, keySets(current.Issuers()), current.Upstreams()}
}

// keySet is how /info shows the state of an issuer's keys.
type keySet struct {
	Issuer  string     `json:"issuer"`
	Keys    int        `json:"keys"`
	Fetched *time.Time `json:"fetched,omitempty"` // absent where they never were
	Age     float64    `json:"age_seconds,omitempty"`
	Error   string     `json:"error,omitempty"`
}

func keySets(states []token.KeySetState) []keySet {
	list := make([]keySet, 0, len(states))
	for _, s := range states {
		k := keySet{Issuer: s.Issuer, Keys: s.Keys, Error: s.Error}
		if s.Age >= 0 {
			k.Fetched, k.Age = &s.Fetched, s.Age.Seconds()
		}
		list = append(list, k)
	}
	return list
}

// drain ends serving without failing a request: readyz fails first and,
// drain_delay later, the listener closes; open requests get drain to finish.
// Without signals there is no delay: another process has taken over.
func (r *running) drain(server *proxy.Server, adminServer *admin.Server, signals <-chan os.Signal) error {
	r.draining.Store(true)
	current := r.gate.Current().Config.Server
	// A second SIGTERM or SIGINT cuts short what is waited for then: the
	// delay, or the open requests.
	again, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGTERM && sig != syscall.SIGINT {
					continue
				}
				select {
				case again <- struct{}{}:
				case <-done:
				}
			case <-done:
				return
			}
		}
	}()
	if current.DrainDelay > 0 && signals != nil {
		select {
		case <-time.After(current.DrainDelay):
		case <-again:
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), current.Drain)
	defer cancel()
	go func() {
		select {
		case <-again:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := server.Shutdown(ctx)
	if adminServer != nil {
		adminCtx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = adminServer.Shutdown(adminCtx)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		r.log.Warn("requests were still open when server.drain was over", "drain", current.Drain.String())
	case errors.Is(err, context.Canceled):
		r.log.Warn("requests were still open when a second signal came")
	case err != nil:
		return failed("cannot shut down: %v", err)
	}
	r.log.Info("shut down")
	return nil
}
