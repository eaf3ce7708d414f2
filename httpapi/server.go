package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth/internal/run"
)

// Config is all that a Server needs. Addrs, Self, Store, Agent and Logger are required; the zero
// value of everything else works.
type Config struct {
	Logger *slog.Logger

	Addrs      []string // host:port, or unix:///path
	TLSAddrs   []string // the same, served with TLS
	TLS        *tls.Config
	UnixSocket UnixSocket

	Self       Self
	Store      Store
	Agent      Agent
	Explainer  Explainer  // nil: no Docker on this agent
	Authorizer Authorizer // nil: everything is allowed
	Tokens     Tokens     // nil: access control is off

	Dev                bool // indent all JSON
	BlockEndpoints     []string
	AllowWriteFrom     []netip.Prefix // empty: everywhere
	ResponseHeaders    map[string]string
	NoCache            bool   // ?cached has no effect
	DefaultPolicy      string // of access control; "" is allow
	TranslateWANAddrs  bool
	AllowUnprintable   bool         // take paths with unprintable characters
	UI                 http.Handler // nil: off
	DisableCoordinates bool

	Leave    func(context.Context) error // leaves the cluster and ends the process; nil: only leaves
	Reload   func(context.Context) error // reads the configuration again; nil: cannot
	Metrics  Metrics                     // nil: none kept in memory
	Gatherer prometheus.Gatherer         // nil: no Prometheus text
	Logs     Logs                        // nil: /v1/agent/monitor is off
	Debug    bool                        // serve /debug/pprof/

	DefaultQueryTime  time.Duration // 0: 5 min
	MaxQueryTime      time.Duration // 0: 10 min
	DiscoveryMaxStale time.Duration // above 0: catalog and health reads are stale by default
	SessionTTLMin     time.Duration // 0: 10 s

	Limits Limits
}

// UnixSocket says who owns a unix socket and who may use it. Empty members leave what the
// process has; the mode is octal.
type UnixSocket struct {
	User, Group, Mode string
}

// Limits bound what clients can make the server hold.
type Limits struct {
	MaxConnsPerClient int   // connections from one IP; 0: 200, below 0: no limit
	MaxConns          int   // connections in all; 0: no limit
	KVMaxValueSize    int64 // bytes of a value; 0: 512 KiB
	TxnMaxRequestLen  int64 // bytes of a transaction; 0: 512 KiB
	MaxBodyBytes      int64 // bytes of any other JSON body; 0: 1 MiB
	MaxHeaderBytes    int   // 0: net/http's default

	HandshakeTimeout time.Duration // for a TLS handshake, and then for a request's header; 0: 10 s
}

const (
	defaultConnsPerClient = 200
	defaultValueSize      = 512 << 10
	defaultBodyBytes      = 1 << 20
	headerTimeout         = 10 * time.Second
	idleTimeout           = 3 * time.Minute
	shutdownTimeout       = 5 * time.Second
)

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	setDefault(&c.DefaultQueryTime, 5*time.Minute)
	setDefault(&c.MaxQueryTime, 10*time.Minute)
	setDefault(&c.SessionTTLMin, 10*time.Second)
	setDefault(&c.DefaultPolicy, "allow")
	setDefault(&c.Limits.MaxConnsPerClient, defaultConnsPerClient)
	setDefault(&c.Limits.KVMaxValueSize, defaultValueSize)
	setDefault(&c.Limits.TxnMaxRequestLen, defaultValueSize)
	setDefault(&c.Limits.MaxBodyBytes, defaultBodyBytes)
	setDefault(&c.Limits.HandshakeTimeout, headerTimeout)
	if c.Authorizer == nil {
		c.Authorizer = allowAll{}
	}
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server serves the API on its listeners and lends its handlers to others.
type Server struct {
	cfg       Config
	log       *slog.Logger
	table     *table
	headers   http.Header // of every answer
	common    http.Header // of answers of the table's endpoints
	bodies    bodies
	listeners []net.Listener
	base      context.Context // ends when waiting queries shall be answered
	stop      context.CancelFunc
}

// New checks the configuration and binds all listeners; an address in use is an error that says
// who has it.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Logger == nil:
		return nil, errors.New("http: Config.Logger is missing")
	case cfg.Store == nil || cfg.Agent == nil:
		return nil, errors.New("http: Config.Store or Config.Agent is missing")
	case len(cfg.TLSAddrs) > 0 && cfg.TLS == nil:
		return nil, fmt.Errorf("http: cannot serve HTTPS on %v without a certificate: set tls.https.cert_file and key_file", cfg.TLSAddrs)
	}
	cfg = cfg.withDefaults()
	if cfg.TLS != nil && len(cfg.TLS.NextProtos) == 0 {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.NextProtos = []string{"h2", "http/1.1"}
	}
	s := &Server{cfg: cfg, log: cfg.Logger, table: newTable(routes()), headers: make(http.Header), common: commonHeaders(&cfg)}
	for k, v := range cfg.ResponseHeaders {
		s.headers.Set(k, v)
	}
	s.base, s.stop = context.WithCancel(context.Background()) //nolint:forbidigo // the root of all requests; Run ends it
	if err := s.listenAll(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// Addrs are the addresses that the server listens on, plain ones first.
func (s *Server) Addrs() []net.Addr {
	out := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		out[i] = l.Addr()
	}
	return out
}

// Handler answers clients.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, true) })
}

// stopping tells whether Run has begun to shut down.
func (s *Server) stopping() bool { return s.base.Err() != nil }

// Run serves until ctx ends or a listener fails. Then it answers waiting queries with what there
// is, lets running requests finish within a few seconds, and closes all connections.
func (s *Server) Run(ctx context.Context) error {
	defer s.stop()
	server := s.newServer()
	g, gctx := run.New(ctx)
	for _, l := range s.listeners {
		g.Go(func() error {
			s.log.Info("serving http", "addr", l.Addr().String())
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("http: serve on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-gctx.Done()
		s.stop()
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(deadline); err != nil {
			s.log.Warn("requests cut off at shutdown", "err", err)
			_ = server.Close() // nothing is left to do about connections that do not close
		}
		return nil
	})
	return g.Wait()
}

func (s *Server) newServer() *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.cfg.Limits.HandshakeTimeout, // bounds the TLS handshake, too
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    s.cfg.Limits.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.base },
	}
}

// Close releases the listeners of a server whose Run was never called.
func (s *Server) Close() error {
	s.stop()
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
