package dnsproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"berth"
	"berth/dnsproxy/socket"
	"berth/internal/run"
)

// Server answers DNS on the addresses of its Config.
type Server struct {
	cfg    Config
	log    *slog.Logger
	view   func() View
	remote Remote

	set     atomic.Pointer[settings]
	marks   marks
	answers *table
	fwd     *forwarder
	stats   stats
	qlog    queryLog
	remotes remotes

	read     string             // fingerprint of the files as New saw them
	binds    []*socket.Binding  // guarded by mu
	unbound  map[string]missing // optional addresses that could not be bound
	tcpTimes tcpTimes
	slots    slots
	conns    connTable
	rrl      *limiter
	later    sync.WaitGroup // questions answered on their own goroutine

	reload sync.Mutex // held while settings are replaced
	mu     sync.Mutex // guards what follows
	config Config     // as of the last Reload
	closed bool
}

// New checks the configuration and binds all addresses; it starts nothing.
func New(cfg Config) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, config: cfg, log: cfg.Logger, view: cfg.View, remote: cfg.Remote, answers: newTable(),
		rrl: newLimiter(cfg.Access.RRLPerSecond), unbound: map[string]missing{}, tcpTimes: defaultTCPTimes,
	}
	s.slots.init(cfg.Limits.Concurrent, cfg.Limits.PerClient)
	s.conns.init(cfg.Limits)
	s.remotes.init(cfg.Remote)
	s.qlog.lines = make(chan logLine, 1024)
	s.SetQueryLog(cfg.QueryLog, 1)
	s.read = fingerprint(s.files()) // before they are read
	hosts, err := s.readHosts(cfg.Static.HostsFiles)
	if err != nil {
		return nil, fmt.Errorf("dns hosts files: %w", err)
	}
	s.set.Store(newSettings(&s.cfg, newStatic(&cfg.Static, hosts)))
	s.fwd = newForwarder(s)
	for _, addr := range socket.Expand(cfg.Addrs) {
		b, err := socket.Listen(addr)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.binds = append(s.binds, b)
	}
	s.bindOptional(s.unbound)
	s.reroute(&cfg.Forward)
	return s, nil
}

// bound is what is bound now.
func (s *Server) bound() []*socket.Binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*socket.Binding(nil), s.binds...)
}

// Addrs are the bound addresses, with the ports that were chosen for port 0.
func (s *Server) Addrs() []string {
	var out []string
	for _, b := range s.bound() {
		out = append(out, b.Addr.String())
	}
	return out
}

// Close unbinds a server that was never run.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, b := range s.binds {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// Run answers until ctx ends, then waits for all questions under way.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return berth.ErrClosed
	}
	g, gctx := run.New(ctx)
	g.Go(func() error { return s.fwd.run(gctx) })
	g.Go(func() error { return s.watchFiles(gctx, s.read) })
	g.Go(func() error { return s.remotes.run(gctx) })
	g.Go(func() error {
		if s.cfg.QueryLogger != nil {
			return s.qlog.run(gctx, s.cfg.QueryLogger, slog.LevelInfo)
		}
		return s.qlog.run(gctx, s.log, slog.LevelDebug)
	})
	for _, b := range s.bound() {
		s.serve(gctx, g, b)
	}
	g.Go(func() error { return s.followAddrs(gctx, g, s.unbound) })
	g.Go(func() error {
		<-gctx.Done()
		return s.Close()
	})
	err := g.Wait()
	s.later.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serve starts the readers of one bound address in g.
func (s *Server) serve(ctx context.Context, g *run.Group, b *socket.Binding) {
	for _, c := range b.UDP {
		g.Go(func() error { return s.serveUDP(ctx, c) })
	}
	g.Go(func() error { return s.serveTCP(ctx, b.TCP) })
}

// CatalogChanged makes answers from the touched services and nodes stale; the next question
// rebuilds them from View. It never blocks.
func (s *Server) CatalogChanged(changes []berth.Change) { s.marks.changed(changes) }

// respond makes the reply to a packet in out. A nil reply with wait false is silence. wait
// says that the answer takes looking elsewhere: the caller hands q to respondLater.
func (s *Server) respond(q *query, raw, out []byte, c *counters) (reply []byte, wait bool) {
	c.queries.Add(1)
	if q.tcp {
		c.tcp.Add(1)
	}
	what, rcode := q.parse(raw)
	if what == parseDrop || !validSource(q.src) {
		c.dropped.Add(1)
		return nil, false
	}
	set, now := s.set.Load(), time.Now()
	q.loopback, q.hash = q.src.Addr().IsLoopback(), 0
	q.limit = q.limitFor()
	switch {
	case !set.allowed(q.src.Addr()):
		return s.limited(q, s.refuseClient(q, set, out, c), out, now, c), false
	case what == parseOK:
		rcode = q.unsupported()
	}
	if rcode != rcodeOK {
		c.rcode(rcode)
		return s.limited(q, q.fail(out, rcode, edeNone), out, now, c), false
	}
	if q.tail {
		c.trailing.Add(1)
	}
	q.hash = s.answers.hash(q)
	reply, how := s.local(q, set, out, now, c)
	if reply == nil {
		return nil, true
	}
	s.qlog.note(q, reply, how, now)
	return s.limited(q, reply, out, now, c), false
}

// local answers from packed answers, from the cache, or by building an answer from the
// catalog; nil: that takes looking elsewhere.
func (s *Server) local(q *query, set *settings, out []byte, now time.Time, c *counters) (reply []byte, how string) {
	if a := s.answers.find(q); a != nil && a.fresh(set, now) {
		c.zoneHits.Add(1)
		return s.send(q, a, out, now, c), "zone"
	}
	if reply := s.fwd.cache.answer(q, out, now); reply != nil {
		c.cacheHits.Add(1)
		c.rcode(uint16(reply[3] & 0xf))
		return reply, "cache"
	}
	p := s.plan(set, q)
	if p.answer == nil {
		return nil, ""
	}
	if !p.once {
		s.keep(q, p.answer, now)
	}
	c.zoneMisses.Add(1)
	return s.send(q, p.answer, out, now, c), "zone"
}

// unsupported is the rcode for what a parsed query must not ask for, or 0.
func (q *query) unsupported() uint16 {
	switch {
	case q.opt && q.version != 0:
		return rcodeBadVers
	case q.qclass != classIN, q.qtype == typeAXFR, q.qtype == typeIXFR:
		return rcodeRefused
	}
	return rcodeOK
}

// keep stores an answer for the next question of the same name and type, unless it is only
// true for now.
func (s *Server) keep(q *query, a *answer, now time.Time) {
	if a.rcode == rcodeServFail || a.tc || q.qtype == typeANY {
		return
	}
	if a.empty && a.set.zone.EmptyService == EmptyLastKnown {
		if old := s.answers.find(q); old != nil && len(old.recs) > 0 && old.set == a.set {
			mark, gen := a.mark, a.gen
			*a = *old
			a.mark, a.gen = mark, gen
		}
	}
	a.born = now.UnixNano()
	s.answers.put(q, a)
}

// send writes a as the reply to q and counts it.
func (s *Server) send(q *query, a *answer, out []byte, now time.Time, c *counters) []byte {
	reply, cut := a.write(q, out, uint32(now.Unix()))
	if cut {
		c.truncated.Add(1)
		if q.tcp && s.stats.cutLog.allow(now, time.Minute) {
			s.log.Warn("answer is too large even for TCP, cut", "name", nameText(q.qname()), "records", len(a.recs))
		}
	}
	c.rcode(a.rcode)
	return reply
}

// respondLater answers a question that needs other hosts. It blocks until there is a reply.
func (s *Server) respondLater(ctx context.Context, q *query, out []byte, c *counters) []byte {
	began := time.Now()
	p := s.plan(s.set.Load(), q)
	if p.group != nil {
		reply := s.fwd.reply(ctx, p.group, q, out, c)
		s.qlog.note(q, reply, "upstream", began)
		return reply
	}
	if p.answer == nil {
		p.answer = s.elsewhere(ctx, q, &p)
	}
	reply := s.send(q, p.answer, out, time.Now(), c)
	s.qlog.note(q, reply, "elsewhere", began)
	return reply
}

// guard turns a panic while answering into SERVFAIL: one bad packet must not end the process.
func (s *Server) guard(q *query, out []byte, reply *[]byte, c *counters) {
	p := recover()
	if p == nil {
		return
	}
	c.panics.Add(1)
	if s.stats.panicLog.allow(time.Now(), time.Minute) {
		s.log.Error("answering a question failed", "panic", p, "name", nameText(q.qname()), "stack", string(debug.Stack()))
	}
	*reply = q.fail(out[:0], rcodeServFail, edeNone)
}

// closedErr tells whether an error only says that a socket was closed.
func closedErr(err error) bool { return errors.Is(err, net.ErrClosed) }
