package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"hopgate/config"
	"hopgate/sock"
)

// ServerOptions are the settings of a listener that hold for its life: a
// reload does not change them, and says so. Zero times and sizes mean the
// transport's own.
type ServerOptions struct {
	MaxHeaderBytes           int
	MaxTargetBytes           int
	MaxConnections           int // 0: no limit
	MaxConnectionsPerAddress int // 0: no limit
	ReadTimeout              time.Duration
	WriteTimeout             time.Duration
	IdleTimeout              time.Duration
	// ProxyProtocol are the peers whose connections begin with a PROXY
	// protocol header. From any other peer there is none.
	ProxyProtocol []netip.Prefix
	// H2C serves HTTP/2 with prior knowledge on clear connections (RFC 9113
	// section 3.3).
	H2C bool
}

// OptionsOf gives the settings that a configuration has for its listener.
func OptionsOf(s *config.Server) ServerOptions {
	return ServerOptions{
		MaxHeaderBytes:           int(s.MaxHeaderBytes),
		MaxTargetBytes:           int(s.MaxTargetBytes),
		MaxConnections:           s.MaxConnections,
		MaxConnectionsPerAddress: s.MaxConnectionsPerAddress,
		ReadTimeout:              s.ReadTimeout,
		WriteTimeout:             s.WriteTimeout,
		IdleTimeout:              s.IdleTimeout,
		ProxyProtocol:            s.ProxyProtocol,
		H2C:                      s.H2C,
	}
}

// Server accepts connections and gives their requests to a Gate. Its methods
// may be called concurrently.
type Server struct {
	gate     *Gate
	options  ServerOptions
	h1       *http1
	h2       *http2
	log      *slog.Logger
	watcher  *watcher
	unwatch  context.CancelFunc
	counted  counter
	lot      *lot
	grace    time.Duration // see Shutdown
	draining atomic.Bool
	settled  chan struct{} // closed when Shutdown waits for no more connections to be taken in
	settling sync.Once

	mu        sync.Mutex
	listeners []net.Listener
	accepting sync.WaitGroup // accept loops and greetings
}

// idleGrace is how long Shutdown leaves idle connections of HTTP/1.1 open. A
// request that is under way to the gate when they are closed is lost, and
// its client cannot know whether it was served; within this time it gets its
// answer, and with it the word that the connection ends.
const idleGrace = time.Second

// NewServer makes a server for gate; it does not listen yet. Shutdown ends
// what it started.
func NewServer(gate *Gate, o ServerOptions, log *slog.Logger) *Server {
	s := &Server{gate: gate, options: o, log: log, watcher: newWatcher(), lot: newLot(), grace: idleGrace, settled: make(chan struct{})}
	s.counted.most, s.counted.mostPerAddress = o.MaxConnections, o.MaxConnectionsPerAddress
	s.counted.by = make(map[netip.Addr]int)
	ctx, cancel := context.WithCancel(context.Background())
	s.unwatch = cancel
	go s.watcher.run(ctx)
	s.h1 = newHTTP1(gate, o)
	s.h2 = newHTTP2(gate, o)
	return s
}

// Serve accepts connections from ln until Shutdown. With withTLS it speaks
// HTTPS with the certificates of the gate's current configuration, HTTP/2 or
// HTTP/1.1 as the client prefers (ALPN, RFC 7301); without, clear HTTP/1.1,
// and HTTP/2 where H2C is set.
func (s *Server) Serve(ln net.Listener, withTLS bool) error {
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		return nil
	}
	s.listeners = append(s.listeners, ln)
	s.accepting.Add(1)
	s.mu.Unlock()
	err := s.accept(ln, withTLS)
	if s.draining.Load() {
		return nil
	}
	return err
}

// accept takes connections in, and hands each to the transport that it is
// for.
func (s *Server) accept(ln net.Listener, withTLS bool) error {
	one, two := newHandoff(ln.Addr()), newHandoff(ln.Addr())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.h1.server.Serve(&guarded{one, &s.options, s.watcher, s.lot, s.h1}) })
	wg.Go(func() { _ = s.h2.server.Serve(two) })
	defer wg.Wait()
	defer one.Close() //nolint:errcheck // it never fails
	defer two.Close() //nolint:errcheck // it never fails
	err := s.take(ln, withTLS, one, two)
	s.accepting.Done()
	if s.draining.Load() {
		// What was accepted before is served.
		<-s.settled
	}
	return err
}

// take accepts connections until that fails for good.
func (s *Server) take(ln net.Listener, withTLS bool, one, two *handoff) error {
	greets := withTLS || s.options.H2C || len(s.options.ProxyProtocol) > 0
	for {
		c, err := ln.Accept()
		if err != nil {
			if passing(err) {
				// Out of descriptors, say: others will close theirs.
				time.Sleep(5 * time.Millisecond)
				continue
			}
			return err
		}
		c = sock.New(c)
		if !greets {
			if counted := s.counted.admit(c, addrPort(c.RemoteAddr()).Addr()); counted != nil {
				one.give(counted)
			}
			continue
		}
		// Slow clients hold up nobody: each is greeted in a goroutine of its
		// own.
		if !s.counted.greet() {
			_ = c.Close()
			continue
		}
		s.accepting.Go(func() {
			defer s.counted.greeted()
			s.greet(c, withTLS, one, two)
		})
	}
}

// passing tells whether an error of Accept is one that passes.
func passing(err error) bool {
	var n net.Error
	//nolint:staticcheck // Temporary is what Accept's errors are told apart by, in net/http too
	return errors.As(err, &n) && (n.Timeout() || n.Temporary())
}

// Shutdown stops accepting, lets open requests finish, tells WebSockets and
// clients of HTTP/2 to go, and closes idle connections. It returns when all
// are gone, or with ctx's error when they are not gone in time.
//
// No request is lost by it: connections that were accepted are served, and
// those of HTTP/1.1 get the word that they end with their next answer; only
// those without a request for a second are closed without one.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.unwatch()
	s.mu.Lock()
	s.draining.Store(true)
	s.h1.closing.Store(true)
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
	s.mu.Unlock()
	grace, cancel := context.WithTimeout(ctx, s.grace)
	defer cancel()
	var wg sync.WaitGroup
	var err1, err2, err3 error
	wg.Go(func() { err3 = s.gate.tunnels.shutdown(ctx) })
	s.settle(grace)
	wg.Go(func() { err2 = s.h2.server.Shutdown(ctx) })
	wg.Go(func() {
		s.watcher.wait(grace)
		s.settling.Do(func() { close(s.settled) })
		s.lot.close()
		s.h1.retired.Store(true) // in this order: who rests from now on sees it, or is seen
		s.watcher.retire()
		err1 = s.h1.server.ShutdownWithContext(ctx)
	})
	wg.Wait()
	if errors.Is(err1, net.ErrClosed) {
		err1 = nil
	}
	return errors.Join(err1, err2, err3)
}

// settle waits until the connections that were accepted are with their
// transports, or ctx is done.
func (s *Server) settle(ctx context.Context) {
	taken := make(chan struct{})
	go func() {
		s.accepting.Wait()
		close(taken)
	}()
	select {
	case <-taken:
	case <-ctx.Done():
	}
}

// Connections gives the number of open client connections.
func (s *Server) Connections() int { return s.counted.open() }
