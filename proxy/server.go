package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ServerOptions are the settings of a listener that hold for its life: a
// reload does not change them, and says so.
type ServerOptions struct {
	MaxHeaderBytes int
	MaxTargetBytes int
	MaxConnections int
	ReadTimeout    time.Duration
	WriteTimeout   time.Duration
	IdleTimeout    time.Duration
}

// Server accepts connections and gives their requests to a Gate.
type Server struct {
	gate    *Gate
	options ServerOptions
	h1      *http1
	h2      *http2
	log     *slog.Logger
	watcher *watcher
	unwatch context.CancelFunc

	mu        sync.Mutex
	listeners []net.Listener
	handshake sync.WaitGroup
	draining  atomic.Bool
}

// NewServer makes a server for gate; it does not listen yet. Shutdown ends
// what it started.
func NewServer(gate *Gate, o ServerOptions, log *slog.Logger) *Server {
	s := &Server{gate: gate, options: o, log: log, watcher: newWatcher()}
	ctx, cancel := context.WithCancel(context.Background())
	s.unwatch = cancel
	go s.watcher.run(ctx)
	s.h1 = newHTTP1(gate, o)
	s.h2 = newHTTP2(gate, o)
	return s
}

// Listen opens the listener of an address: host:port for TCP (IPv4 and
// IPv6), unix:/path for a unix socket, whose left-over file is replaced.
func Listen(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
		}
		return ln, nil
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("cannot listen on %s: another process does", address)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return ln, nil
}

// Serve accepts connections from ln until Shutdown. With withTLS it speaks
// HTTPS with the certificate of the gate's current configuration, HTTP/2 or
// HTTP/1.1 as the client prefers; without, clear HTTP/1.1.
func (s *Server) Serve(ln net.Listener, withTLS bool) error {
	s.mu.Lock()
	s.listeners = append(s.listeners, ln)
	s.mu.Unlock()
	var err error
	if withTLS {
		err = s.serveTLS(ln)
	} else {
		err = s.h1.server.Serve(guarded{ln, &s.options, s.watcher})
	}
	if s.draining.Load() {
		return nil
	}
	return err
}

// Shutdown stops accepting, lets open requests finish, and closes idle
// connections. It returns when all are gone, or with ctx's error when they
// are not gone in time.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.unwatch()
	s.draining.Store(true)
	s.mu.Lock()
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	var err1, err2 error
	wg.Go(func() { err1 = s.h1.server.ShutdownWithContext(ctx) })
	wg.Go(func() { err2 = s.h2.server.Shutdown(ctx) })
	wg.Wait()
	if errors.Is(err1, net.ErrClosed) {
		err1 = nil
	}
	return errors.Join(err1, err2)
}

// Connections gives the number of open HTTP/1.1 client connections.
func (s *Server) Connections() int { return int(s.h1.server.GetOpenConnectionsCount()) }

// serveTLS does the handshakes, in goroutines of their own so that a slow
// client holds up nobody, and hands each connection to the transport that
// was agreed on (ALPN, RFC 7301).
func (s *Server) serveTLS(ln net.Listener) error {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := s.gate.current.Load().certificate; c != nil {
				return c, nil
			}
			return nil, errors.New("no certificate is configured")
		},
	}
	one := newHandoff(ln.Addr())
	two := newHandoff(ln.Addr())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.h1.server.Serve(guarded{one, &s.options, s.watcher}) })
	wg.Go(func() { _ = s.h2.server.Serve(two) })
	defer wg.Wait()
	defer one.Close()
	defer two.Close()
	slots := make(chan struct{}, handshakes)
	for {
		c, err := ln.Accept()
		if err != nil {
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() {
				continue
			}
			return err
		}
		slots <- struct{}{}
		s.handshake.Go(func() {
			defer func() { <-slots }()
			tc := tls.Server(c, conf)
			_ = tc.SetDeadline(time.Now().Add(handshakeTimeout))
			if err := tc.Handshake(); err != nil {
				_ = c.Close()
				return
			}
			_ = tc.SetDeadline(time.Time{})
			to := one
			if tc.ConnectionState().NegotiatedProtocol == "h2" {
				to = two
			}
			to.give(tc)
		})
	}
}

const (
	// handshakes bounds the TLS handshakes under way at once.
	handshakes = 512
	// handshakeTimeout bounds one handshake.
	handshakeTimeout = 10 * time.Second
)

// handoff is a listener whose connections another one accepted.
type handoff struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handoff) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return h.addr }
