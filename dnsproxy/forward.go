package dnsproxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Times of serving stale answers (RFC 8767) and of remembering failures (RFC 9520).
const (
	staleRetry   = 30 * time.Second // pause after a refresh that failed
	failureTTL   = 1                // seconds, doubled while it lasts
	failureLimit = 5
)

// forwarder sends questions to upstreams and keeps the answers.
type forwarder struct {
	s         *Server
	cache     *cache
	routes    atomic.Pointer[routes]
	flights   flights
	probes    probes
	refreshes chan *refresh
	asked     atomic.Int64 // cache's clock at the last forwarded question
}

// refresh is a cached answer that is asked for again before it ends.
type refresh struct {
	e *entry
	q *query
}

func newForwarder(s *Server) *forwarder {
	f := &forwarder{s: s, cache: newCache(s.cfg.Cache), refreshes: make(chan *refresh, 64)}
	f.probes.init()
	f.cache.refresh = f.wantRefresh
	f.flights.init(s.cfg.Limits.Waiters)
	return f
}

// errAnswered ends the attempts that came second.
var errAnswered = errors.New("another upstream has answered")

// Why a question could not be answered.
var (
	errUpstreams = errors.New("no upstream answered")
	errNoneLeft  = errors.New("there is no upstream to ask")
	errBusy      = errors.New("too many questions wait")
)

// reply answers q through g: fresh data if it comes in time, else what is kept from before.
func (f *forwarder) reply(ctx context.Context, g *group, q *query, out []byte, c *counters) []byte {
	c.forwarded.Add(1)
	now := time.Now()
	old := f.cache.stale(q, now)
	if old != nil && f.cache.resting(old, now) {
		return f.replyStale(old, q, out, c)
	}
	wait := time.Duration(0)
	if old != nil {
		wait = f.cache.cfg.Load().StaleAfter
		if g.lost() { // there is no point in waiting
			wait = time.Millisecond
		}
	}
	e, err := f.lookup(ctx, g, q, wait)
	if err == nil {
		return f.replyFresh(e, q, out, c)
	}
	if old != nil {
		return f.replyStale(old, q, out, c)
	}
	c.failed.Add(1)
	c.rcode(rcodeServFail)
	q.ede = failureCode(err)
	return q.fail(out, rcodeServFail, q.ede)
}

// failureCode is the extended error that tells a client why.
func failureCode(err error) uint16 {
	switch {
	case errors.Is(err, errNoneLeft):
		return edeNotReady
	case errors.Is(err, errRcode):
		return edeNoReachable
	case errors.Is(err, errBusy):
		return edeOther
	}
	return edeNetwork
}

func (f *forwarder) replyStale(e *entry, q *query, out []byte, c *counters) []byte {
	c.stale.Add(1)
	c.rcode(e.rcode)
	e.used.Store(f.cache.clock(time.Now()))
	e.hits.Add(1)
	reply, _ := e.write(q, out, 0, true)
	return reply
}

func (f *forwarder) replyFresh(e *entry, q *query, out []byte, c *counters) []byte {
	c.rcode(e.rcode)
	reply, cut := e.write(q, out, 0, false)
	if cut {
		c.truncated.Add(1)
	} else if e.cutOff && !q.tcp {
		reply[2] |= flagTC >> 8
	}
	return reply
}

// errSlow: there is no answer yet, and something older to give.
var errSlow = errors.New("no answer yet")

// lookup gives the answer to q from g, asking once for all who want it now. With a wait above
// 0 it gives up after that with errSlow, while the question goes on.
func (f *forwarder) lookup(ctx context.Context, g *group, q *query, wait time.Duration) (*entry, error) {
	f.asked.Store(f.cache.clock(time.Now()))
	fl, lead, ok := f.flights.join(q, g)
	if !ok {
		return nil, errBusy
	}
	if lead {
		own := q.clone()
		f.s.later.Go(func() { f.fly(ctx, g, own, fl) })
	} else if f.suspicious(g, q) {
		f.probes.poke()
	}
	var slow <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		slow = t.C
	}
	select {
	case <-fl.done:
		return fl.entry, fl.err
	case <-slow:
		return nil, errSlow
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly asks the upstreams for all who joined the flight. A panic lands it too: the waiters
// must not hang.
func (f *forwarder) fly(ctx context.Context, g *group, q *query, fl *flight) {
	err := errUpstreams
	var e *entry
	defer func() {
		if p := recover(); p != nil {
			f.s.log.Error("forwarding failed", "panic", p, "name", nameText(q.qname()))
		}
		f.flights.land(q, g, fl, e, err)
	}()
	if int(g.busy.Add(1)) > max(f.s.cfg.Limits.Concurrent/2, 1) && len(f.routes.Load().domains) > 0 {
		g.busy.Add(-1)
		err = errBusy
		return
	}
	defer g.busy.Add(-1)
	if e, err = f.ask(ctx, g, q, fl); err == nil {
		f.cache.put(q, e, time.Now())
		f.back(g)
	} else if ctx.Err() == nil {
		f.cache.putFailure(q, failureCode(err), time.Now())
	}
}

type result struct {
	u   *upstream
	e   *entry
	err error
}

// asking is one question on its way through the upstreams of a group.
type asking struct {
	f       *forwarder
	g       *group
	q       *query
	ups     []*upstream
	dead    map[*upstream]bool // said that they cannot answer
	next    int
	limit   int // most attempts
	pending int
	resumed bool // again was called
	results chan result
}

// ask sends q to the upstreams of g in order. The next one is asked when one fails, while one
// is slow, and when a client asks again; the first acceptable answer wins.
func (f *forwarder) ask(ctx context.Context, g *group, q *query, fl *flight) (*entry, error) {
	ctx, stop := context.WithTimeout(ctx, f.routes.Load().cfg.Timeout)
	defer stop()
	ctx, answered := context.WithCancelCause(ctx)
	defer answered(errAnswered)
	a := &asking{f: f, g: g, q: q, ups: g.order(time.Now()), dead: map[*upstream]bool{}}
	if len(a.ups) == 0 {
		return nil, errNoneLeft
	}
	a.limit = min(max(2*len(a.ups), 3), 8)
	a.results = make(chan result, a.limit+1)
	timer := time.NewTimer(a.launch(ctx))
	defer timer.Stop()
	if g.policy == PolicyAll {
		for a.next < len(a.ups) {
			a.launch(ctx)
		}
	}
	var last error
	for {
		select {
		case <-timer.C:
			timer.Reset(a.launch(ctx))
		case <-fl.poke:
			timer.Reset(0)
		case <-fl.back:
			a.again(ctx)
		case r := <-a.results:
			if r.err == nil {
				return r.e, nil
			}
			a.pending--
			last = r.err
			if errors.Is(r.err, errRcode) {
				a.dead[r.u] = true
			}
			switch {
			case a.pending == 0 && a.exhausted():
				return nil, last
			case a.next < len(a.ups) || errors.Is(r.err, errRcode):
				timer.Reset(0)
			default: // a network error, and all were asked once
				timer.Reset(100 * time.Millisecond)
			}
		case <-ctx.Done():
			if last == nil {
				last = errUpstreams
			}
			return nil, last
		}
	}
}

// launch starts the next attempt, if there is one, and says how long to wait for it.
func (a *asking) launch(ctx context.Context) time.Duration {
	for a.next < a.limit {
		u := a.ups[a.next%len(a.ups)]
		a.next++
		if a.dead[u] {
			continue
		}
		a.start(ctx, u)
		if a.g.policy == PolicySequential {
			return time.Second
		}
		return u.hedge()
	}
	return time.Hour
}

// start asks u.
func (a *asking) start(ctx context.Context, u *upstream) {
	a.pending++
	a.f.s.later.Go(func() {
		e, err := a.f.exchange(ctx, u, a.q)
		a.results <- result{u, e, err}
	})
}

// again asks, once and beyond the limit, an upstream that has just come back.
func (a *asking) again(ctx context.Context) {
	for _, u := range a.ups {
		if !u.mute.Load() && !a.dead[u] && !a.resumed {
			a.resumed = true
			a.start(ctx, u)
		}
	}
}

// exhausted tells whether nobody is left to ask.
func (a *asking) exhausted() bool {
	return a.next >= a.limit || len(a.dead) == len(a.ups)
}

// wantRefresh asks for e anew in the background; it runs in the read loop.
func (f *forwarder) wantRefresh(e *entry, q *query) {
	select {
	case f.refreshes <- &refresh{e, q.clone()}:
	default:
		e.busy.Store(false)
	}
}

// refreshNow does what wantRefresh asked for.
func (f *forwarder) refreshNow(ctx context.Context, r *refresh) {
	defer r.e.busy.Store(false)
	if p := f.s.plan(f.s.set.Load(), r.q); p.group != nil {
		_, _ = f.lookup(ctx, p.group, r.q, 0)
	}
}

// run keeps upstreams and cache in order until ctx ends.
func (f *forwarder) run(ctx context.Context) error {
	sweep := time.NewTicker(time.Minute)
	defer sweep.Stop()
	probe := time.NewTimer(0)
	defer probe.Stop()
	revive := time.NewTicker(reviveEvery)
	defer revive.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-sweep.C:
			f.cache.sweep(now)
		case now := <-revive.C:
			f.revive(ctx, now)
		case r := <-f.refreshes:
			f.s.later.Go(func() { f.refreshNow(ctx, r) })
		case <-f.probes.wake:
			probe.Reset(0)
		case <-probe.C:
			if f.routes.Load().cfg.NoLoopProbe {
				continue
			}
			f.s.later.Go(func() { f.probe(ctx) })
			if f.looping() {
				probe.Reset(probeAgain)
			}
		}
	}
}
