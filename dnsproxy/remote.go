package dnsproxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"berth"
)

// Times of asking other datacenters.
const (
	remoteWait   = 3 * time.Second  // one look-up
	remoteFresh  = 5 * time.Second  // older data is not used without asking, unless that fails
	remoteEvery  = 2 * time.Second  // how often hot names are asked for again
	remoteHot    = 30 * time.Second // a name asked for within this is hot
	remoteForget = time.Hour        // a name not asked for within this is forgotten
	remoteMax    = 4096             // names kept
	remoteJobs   = 8                // names refreshed at once
)

// remoteKey is a name in another datacenter.
type remoteKey struct {
	kind     kind
	dc, name string
}

// remoteValue is what another datacenter said, never changed.
type remoteValue struct {
	entries []*berth.HealthEntry
	node    *berth.Node
	unknown bool // there is no such datacenter
	at      time.Time
}

// remoteName is what is known of a name in another datacenter. Answers made from it carry its
// mark, which goes up with each refresh.
type remoteName struct {
	mark mark

	mu     sync.Mutex // guards what follows
	value  *remoteValue
	failed bool          // the last look-up failed
	used   time.Time     // last answer built from it
	flight chan struct{} // closed when the look-up under way ends; nil: none
}

// remotes keeps the last answers of other datacenters, so that names in use are answered at
// once and survive the loss of the link.
type remotes struct {
	ask Remote

	mu sync.Mutex // guards m
	m  map[remoteKey]*remoteName
}

func (r *remotes) init(ask Remote) { r.ask, r.m = ask, map[remoteKey]*remoteName{} }

// name is the entry of a key, made when needed.
func (r *remotes) name(k remoteKey, now time.Time) *remoteName {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.m[k]
	if n == nil {
		if len(r.m) >= remoteMax {
			r.forget(now)
		}
		n = &remoteName{used: now}
		r.m[k] = n
	}
	return n
}

// forget drops names not in use; if all are, any. The caller holds mu.
func (r *remotes) forget(now time.Time) {
	for k, n := range r.m {
		if now.Sub(n.lastUse()) > remoteHot {
			delete(r.m, k)
		}
	}
	for k := range r.m {
		if len(r.m) < remoteMax {
			return
		}
		delete(r.m, k)
	}
}

func (n *remoteName) lastUse() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.used
}

// nothing: the datacenter was not known, or had nothing under the name.
func (v *remoteValue) nothing() bool { return v.unknown || v.node == nil && len(v.entries) == 0 }

// warm is what is known well enough to answer without waiting, or nil. That there was nothing is
// asked again each time, so that a datacenter and a name are there as soon as they are.
func (n *remoteName) warm(now time.Time) *remoteValue {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.value == nil || n.value.nothing() && !n.failed || now.Sub(n.value.at) > remoteFresh && !n.failed {
		return nil
	}
	n.used = now
	return n.value
}

// lookup asks the datacenter, once for all who want to know now. When that fails it gives
// what was known before; only when there is nothing it gives the error.
func (r *remotes) lookup(ctx context.Context, k remoteKey, n *remoteName) (*remoteValue, error) {
	n.mu.Lock()
	n.used = time.Now()
	wait := n.flight
	lead := wait == nil
	if lead {
		wait = make(chan struct{})
		n.flight = wait
	}
	n.mu.Unlock()
	var err error
	if lead {
		err = r.refresh(ctx, k, n)
		n.mu.Lock()
		n.flight = nil
		n.mu.Unlock()
		close(wait)
	} else {
		select {
		case <-wait:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.value != nil {
		return n.value, nil
	}
	if err == nil {
		err = berth.ErrRemoteUnreachable
	}
	return nil, err
}

// refresh asks the datacenter and keeps what it says.
func (r *remotes) refresh(ctx context.Context, k remoteKey, n *remoteName) error {
	ctx, cancel := context.WithTimeout(ctx, remoteWait)
	defer cancel()
	v := &remoteValue{}
	var err error
	if k.kind == kindNode {
		v.node, err = r.ask.Node(ctx, k.dc, k.name)
	} else {
		v.entries, err = r.ask.Service(ctx, k.dc, k.name)
	}
	if errors.Is(err, berth.ErrNoPath) {
		v, err = &remoteValue{unknown: true}, nil
	}
	v.at = time.Now()
	n.mu.Lock()
	n.failed = err != nil
	if err == nil {
		n.value = v
	}
	n.mu.Unlock()
	n.mark.gen.Add(1)
	return err
}

// run asks for hot names again before their answers get old, until ctx ends.
func (r *remotes) run(ctx context.Context) error {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	slots := make(chan struct{}, remoteJobs)
	t := time.NewTicker(remoteEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		for k, n := range r.due(time.Now()) {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			jobs.Go(func() {
				defer func() { <-slots }()
				_ = r.refresh(ctx, k, n)
			})
		}
	}
}

// due is the hot names; of the others answers go stale, so that they show when they are used.
func (r *remotes) due(now time.Time) map[remoteKey]*remoteName {
	hot := map[remoteKey]*remoteName{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, n := range r.m {
		switch idle := now.Sub(n.lastUse()); {
		case idle < remoteHot:
			hot[k] = n
		case idle > remoteForget:
			delete(r.m, k)
			n.mark.gen.Add(1)
		default:
			n.mark.gen.Add(1)
		}
	}
	return hot
}

// remoteKeyOf is the key of a parsed name. Empty non-terminals ask for a service that every
// datacenter has.
func remoteKeyOf(n *zoneName) remoteKey {
	if n.kind == kindEmpty {
		return remoteKey{kindService, n.dc, berth.ConsulServiceName}
	}
	return remoteKey{n.kind, n.dc, n.name}
}

// warmPlan answers a name of another datacenter from what is known of it, if that will do.
func (s *Server) warmPlan(b *build, n *zoneName) (plan, bool) {
	if n.kind == kindQuery {
		return plan{}, false
	}
	now := time.Now()
	known := s.remotes.name(remoteKeyOf(n), now)
	gen := known.mark.gen.Load()
	v := known.warm(now)
	if v == nil {
		return plan{}, false
	}
	p := b.remote(n, v)
	if p.answer != nil {
		p.answer.mark, p.answer.gen = &known.mark, gen
	}
	return p, true
}

// remote answers from what another datacenter said.
func (b *build) remote(n *zoneName, v *remoteValue) plan {
	switch {
	case v.unknown:
		return plan{answer: b.nxdomain()}
	case n.kind == kindEmpty:
		return plan{answer: b.nodata()}
	case n.kind == kindNode && v.node == nil:
		return plan{answer: b.nxdomain()}
	case n.kind == kindNode:
		a, cname := b.node(v.node)
		return plan{answer: a, cname: cname, ttl: b.set.nodeTTL, build: b}
	}
	if n.open && len(v.entries) == 0 {
		return plan{answer: b.nodata()}
	}
	ttl := b.serviceTTL(n.name, v.entries)
	a, cname := b.service(v.entries, n.tag, ttl)
	return plan{answer: a, once: b.once, cname: cname, ttl: ttl, build: b}
}

// remotePlan asks another datacenter, or has a prepared query executed. It blocks.
func (s *Server) remotePlan(ctx context.Context, q *query, b *build, n *zoneName) plan {
	if n.kind == kindQuery {
		return s.queryPlan(ctx, q, b, n)
	}
	k := remoteKeyOf(n)
	v, err := s.remotes.lookup(ctx, k, s.remotes.name(k, time.Now()))
	if err != nil {
		s.log.Debug("asking another datacenter failed", "datacenter", n.dc, "name", n.name, "err", err)
		return plan{answer: servfail(b.set, edeNetwork)}
	}
	return b.remote(n, v)
}

// queryPlan has a prepared query executed. It blocks.
func (s *Server) queryPlan(ctx context.Context, q *query, b *build, n *zoneName) plan {
	ctx, cancel := context.WithTimeout(ctx, remoteWait)
	defer cancel()
	res, err := s.remote.Query(ctx, b.dc, n.name, q.src.Addr())
	var invalid *berth.InvalidError
	switch {
	case errors.Is(err, berth.ErrNoPath), errors.As(err, &invalid) && invalid.Status == 404, err == nil && res == nil:
		return plan{answer: b.nxdomain()}
	case err != nil:
		s.log.Debug("prepared query failed", "query", n.name, "err", err)
		return plan{answer: servfail(b.set, edeNetwork)}
	}
	if res.Datacenter != "" {
		b.dc = res.Datacenter
	}
	ttl := b.serviceTTL(res.Service, res.Nodes)
	if d, err := time.ParseDuration(res.DNS.TTL); err == nil && d >= 0 {
		ttl = seconds(d)
	}
	b.chosen = true
	a, cname := b.service(res.Nodes, "", ttl)
	return plan{answer: a, cname: cname, ttl: ttl, build: b}
}
