package transport

//lint:file-ignore SA1019 one connection with both raft and HTTP/2 needs the parts that net/http does not offer for a connection that is open already

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// RaftByte is the first byte of a raft connection on a plain port.
const RaftByte = 0x01

// ALPN protocol names on a TLS port.
const (
	protoRaft = "berth-raft"
	protoHTTP = "h2"
)

const (
	handshakeTimeout = 10 * time.Second // unless Config.Handshake says otherwise
	idlePing         = 3 * time.Second  // silence on an HTTP/2 connection before it is probed
	pingTimeout      = 3 * time.Second
	maxStreams       = 16384 // blocking queries of one peer that one connection may carry
)

// TLS supplies the certificates of the moment; both ends of a connection are verified.
type TLS interface {
	Server() *tls.Config
	Client() *tls.Config
}

// Config of a Transport.
type Config struct {
	Logger   *slog.Logger
	Listener net.Listener // bound; nil: this agent only dials
	TLS      TLS          // nil: plain
	// With TLS: plain connections are taken in, or made, as on the way to a secured cluster.
	TakeClear, SendClear bool

	Handshake    time.Duration // for a handshake, both ends; 0: 10 s
	ConnsPerAddr int           // incoming connections from one address; 0: no limit
	// Long tells which requests may last for ever, so that Drain does not wait for them; nil: none.
	Long func(*http.Request) bool
	// Dial replaces the network, for tests that cut links.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// Transport serves port 8300 and dials the port of others. Create it with New, run it with
// Serve, end it with Close. All methods may be called from several goroutines.
type Transport struct {
	cfg   Config
	log   *slog.Logger
	raft  *chanListener
	h2    *http2.Server
	base  *http.Server
	pool  *pool
	hints hints

	farewell *http.Server // through which h2 is told to end its connections in order
	busy     atomic.Int64 // requests that Drain waits for

	raftCtx context.Context // ends dials of raft that are under way
	endRaft context.CancelFunc

	mu       sync.Mutex // guards the rest but wg and crowd, and raft and peer of each connection
	conns    map[*trackedConn]struct{}
	draining bool
	closed   bool
	raftOver bool
	wg       sync.WaitGroup // connections' and handlers' goroutines
	crowd    crowd
}

// New prepares a transport over a bound listener; it starts nothing.
func New(cfg Config) *Transport {
	if cfg.Dial == nil {
		d := &net.Dialer{KeepAlive: 15 * time.Second}
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	if cfg.Listener == nil {
		cfg.Listener = newChanListener(&net.TCPAddr{}) // nobody connects: Serve only waits
	}
	if cfg.Handshake <= 0 {
		cfg.Handshake = handshakeTimeout
	}
	t := &Transport{
		cfg: cfg, log: cfg.Logger, conns: map[*trackedConn]struct{}{}, crowd: crowd{limit: cfg.ConnsPerAddr},
		raft: newChanListener(cfg.Listener.Addr()),
		h2:   &http2.Server{MaxConcurrentStreams: maxStreams, ReadIdleTimeout: idlePing, PingTimeout: pingTimeout},
		base: &http.Server{ReadHeaderTimeout: cfg.Handshake, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)},
	}
	t.farewell = &http.Server{ReadHeaderTimeout: cfg.Handshake}
	_ = http2.ConfigureServer(t.farewell, t.h2) // it could only refuse a TLS configuration, and there is none
	t.pool = newPool(t)
	t.raftCtx, t.endRaft = context.WithCancel(context.Background())
	return t
}

// Addr is the address that the port is bound to.
func (t *Transport) Addr() net.Addr { return t.cfg.Listener.Addr() }

// RaftListener gives the raft connections that come in. Closing it only ends raft's part.
func (t *Transport) RaftListener() net.Listener { return t.raft }

// Serve accepts connections and runs h for HTTP/2 requests until ctx ends or Close; it returns
// when every connection and handler has ended. An accept error is returned.
func (t *Transport) Serve(ctx context.Context, h http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, t.Close)
	defer stop()
	h = t.counted(h)
	var err error
	for {
		var c net.Conn
		if c, err = t.cfg.Listener.Accept(); err != nil {
			break
		}
		leave, ok := t.crowd.enter(c.RemoteAddr())
		if !ok {
			t.hints.warn(t.log, c.RemoteAddr(), "a peer has too many connections to the server port (limits.rpc_max_conns_per_client)", "limit", t.cfg.ConnsPerAddr)
			c.Close()
			continue
		}
		t.wg.Go(func() { t.serveConn(ctx, &countedConn{Conn: c, leave: leave}, h) })
	}
	if t.isDraining() {
		<-ctx.Done()
	}
	if t.isClosed() || errors.Is(err, net.ErrClosed) {
		err = nil
	}
	cancel()
	t.Close()
	t.wg.Wait()
	return err
}

// counted makes Serve wait for handlers, which http2 runs in goroutines of its own.
func (t *Transport) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.wg.Add(1)
		defer t.wg.Done()
		defer t.short(r)()
		h.ServeHTTP(w, r)
	})
}

func (t *Transport) serveConn(ctx context.Context, raw net.Conn, h http.Handler) {
	c := t.track(raw)
	if c == nil {
		return
	}
	proto, conn, err := t.classify(c)
	if err == nil {
		t.remember(c, conn)
	}
	switch {
	case err != nil:
		c.Close()
	case proto == protoRaft:
		t.markRaft(c)
		if !t.raft.offer(conn) {
			c.Close()
		}
	default:
		t.h2.ServeConn(conn, &http2.ServeConnOpts{Context: ctx, BaseConfig: t.base, Handler: h})
		c.Close()
	}
}

// DialRaft opens a raft connection to another server's port.
func (t *Transport) DialRaft(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.raftCtx, timeout)
	defer cancel()
	c, _, err := t.dial(ctx, addr, protoRaft)
	return c, err
}

// dial opens, secures and tracks one outgoing connection of the given protocol; over is what was tracked.
func (t *Transport) dial(ctx context.Context, addr, proto string) (conn net.Conn, over *trackedConn, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Handshake)
	defer cancel()
	raw, err := t.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	c := t.track(raw)
	if c == nil {
		return nil, nil, net.ErrClosed
	}
	if proto == protoRaft {
		t.markRaft(c)
	}
	if t.cfg.TLS == nil || t.cfg.SendClear {
		if proto == protoRaft {
			if _, err := c.Write([]byte{RaftByte}); err != nil {
				c.Close()
				return nil, nil, err
			}
		}
		return c, c, nil
	}
	cfg := t.cfg.TLS.Client()
	cfg.NextProtos = []string{proto}
	tc := tls.Client(c, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, nil, t.hints.client(t.log, addr, t.derived(), err)
	}
	t.remember(c, tc)
	return tc, c, nil
}

// CloseRaft ends raft's connections in both directions and takes no new ones, so that nothing of
// raft waits on the network while it stops.
func (t *Transport) CloseRaft() {
	t.endRaft()
	t.raft.Close()
	t.mu.Lock()
	t.raftOver = true
	var open []net.Conn
	for c := range t.conns {
		if c.raft {
			open = append(open, c)
		}
	}
	t.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

// markRaft remembers that a tracked connection is raft's.
func (t *Transport) markRaft(c *trackedConn) {
	t.mu.Lock()
	over := t.raftOver
	c.raft = true
	t.mu.Unlock()
	if over {
		c.Close()
	}
}

// Close ends the port, all connections in both directions, and the waits on them. It may be
// called more than once.
func (t *Transport) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	open := make([]net.Conn, 0, len(t.conns))
	for c := range t.conns {
		open = append(open, c)
	}
	t.mu.Unlock()
	t.cfg.Listener.Close()
	t.endRaft()
	t.raft.Close()
	t.pool.close()
	for _, c := range open {
		c.Close()
	}
}

func (t *Transport) isDraining() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.draining && !t.closed
}

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// track remembers c until it is closed; nil when the transport is closed already.
func (t *Transport) track(c net.Conn) *trackedConn {
	tc := &trackedConn{Conn: c, t: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		c.Close()
		return nil
	}
	t.conns[tc] = struct{}{}
	return tc
}

// trackedConn takes itself out of the transport's set when it is closed.
type trackedConn struct {
	net.Conn
	t    *Transport
	raft bool
	peer *x509.Certificate // nil: not known, or plain
	once sync.Once
}

// Close closes the connection once.
func (c *trackedConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		c.t.mu.Lock()
		delete(c.t.conns, c)
		c.t.mu.Unlock()
		err = c.Conn.Close()
	})
	return err
}
