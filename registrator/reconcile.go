package registrator

import (
	"context"
	"net/netip"
	"time"
)

const (
	missedAfter   = 5 * time.Second
	missedWindow  = 10 * time.Minute
	missedLimit   = 3
	engineHold    = 30 * time.Second // another engine answers: wait before removing what it does not know
	publishMaxGap = 50 * time.Millisecond
	uptimeSlack   = 2 * time.Second // the clock of a list is in whole seconds
)

// state belongs to the loop; Registrator.mu guards it.
type state struct {
	records map[string]*record

	eng      *engine
	info     engineInfo
	engineID string // last one known, from before a restart too
	lostWhy  error
	lostAt   time.Time

	loaded    bool            // docker.json told what was registered
	synced    bool            // every container of the first list has been looked at
	firstPass map[string]bool // those that have not

	queue    []string
	queued   map[string]bool
	again    map[string]bool
	inflight map[string]uint64
	seq      uint64

	timers     map[string]time.Time
	dependants map[string]map[string]bool // network owner -> who uses it
	seen       seenEvents
	holdUntil  time.Time

	keys       map[string]string // of the last list
	listed     bool
	listAt     time.Time
	fullAt     time.Time
	heard      map[string]time.Time // last event about a container, also of those removed since the last lists
	suspects   map[string]time.Time // changes seen in a list that no event told, since when
	missed     []time.Time
	nodeAddr   netip.Addr
	nodeAddr6  netip.Addr
	changed    bool
	publishAt  time.Time // not before
	publishErr int
	warned     map[string]bool
}

func (s *state) init() {
	s.records = map[string]*record{}
	s.queued, s.again, s.inflight = map[string]bool{}, map[string]bool{}, map[string]uint64{}
	s.timers = map[string]time.Time{}
	s.dependants = map[string]map[string]bool{}
	s.keys = map[string]string{}
	s.heard, s.suspects = map[string]time.Time{}, map[string]time.Time{}
	s.warned = map[string]bool{}
}

func (s *state) record(id string) *record {
	rec := s.records[id]
	if rec == nil {
		rec = &record{id: id}
		s.records[id] = rec
	}
	return rec
}

// loop owns the state: it is the only goroutine that changes it.
func (r *Registrator) loop(ctx context.Context) error {
	poll := time.NewTicker(addressPoll)
	defer poll.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.drainInspects()
			return nil
		case m := <-r.inbox:
			r.with(func() { r.take(m, time.Now()) })
		case res := <-r.results:
			r.with(func() { r.apply(&res, time.Now()) })
		case <-r.dirty.signal:
		case <-r.refresh:
			r.with(func() { r.rebuildAll(time.Now()) })
		case <-poll.C:
			r.with(func() { r.checkAddress(time.Now()) })
		case <-timer.C:
		}
		timer.Reset(r.step(ctx))
	}
}

func (r *Registrator) with(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// drainInspects waits for the inspects in flight, whose context has ended.
func (r *Registrator) drainInspects() {
	r.mu.Lock()
	n := len(r.state.inflight)
	r.mu.Unlock()
	for range n {
		<-r.results
	}
	r.with(func() { r.state.inflight = map[string]uint64{} })
}

// step does all that is due and returns for how long nothing else is.
func (r *Registrator) step(ctx context.Context) time.Duration {
	now := time.Now()
	r.mu.Lock()
	next := r.takeMarks(now)
	for id, t := range r.state.timers {
		if !t.After(now) {
			delete(r.state.timers, id)
			if rec := r.state.records[id]; rec != nil {
				r.settle(rec, now)
			}
		}
	}
	r.countMissed(now)
	r.collectResults(now)
	r.dispatch(ctx)
	set, publish := r.gather(now)
	next = earliest(next, r.nextTimer())
	r.mu.Unlock()
	if publish {
		r.publish(set)
	}
	r.mu.Lock()
	if r.state.changed && (r.state.loaded || r.state.synced) {
		next = earliest(next, r.state.publishAt)
	}
	r.mu.Unlock()
	if next.IsZero() {
		return time.Minute
	}
	return max(0, time.Until(next))
}

// collectResults takes in what inspects have brought meanwhile, so that one publication covers
// many containers.
func (r *Registrator) collectResults(now time.Time) {
	for {
		select {
		case res := <-r.results:
			r.apply(&res, now)
		default:
			return
		}
	}
}

func (r *Registrator) nextTimer() time.Time {
	var next time.Time
	for _, t := range r.state.timers {
		next = earliest(next, t)
	}
	for _, t := range r.state.suspects {
		next = earliest(next, t.Add(missedAfter))
	}
	return next
}

// earliest is the earlier of two times; the zero time is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// takeMarks acts on what became due in the dirty set.
func (r *Registrator) takeMarks(now time.Time) time.Time {
	s := &r.state
	due, networks, next := r.dirty.take(now)
	for id, m := range due {
		if m.events {
			s.heard[id] = now
			delete(s.suspects, id)
		}
		rec := s.records[id]
		if rec != nil && len(m.acts) > 0 {
			r.act(rec, m, now)
		}
		if m.unknownToo || (m.look && rec != nil) {
			s.enqueue(id)
		}
		if m.look {
			for dep := range s.dependants[id] {
				s.enqueue(dep)
			}
		}
	}
	for net := range networks {
		for id, rec := range s.records {
			if rec.last != nil && rec.last.onNetwork(net) {
				s.enqueue(id)
			}
		}
	}
	return next
}

func (c *inspected) onNetwork(id string) bool {
	for _, n := range c.networks {
		if n.id == id || n.name == id {
			return true
		}
	}
	return false
}

// take handles what the connection says.
func (r *Registrator) take(m any, now time.Time) {
	s := &r.state
	switch m := m.(type) {
	case connected:
		r.takeConnected(m, now)
	case disconnected:
		if s.eng != nil {
			s.lostAt = now
		}
		s.eng, s.lostWhy = nil, m.err
		r.stats.up.Store(false)
	case relisted:
		r.takeList(m.list, now)
	}
}

func (r *Registrator) takeConnected(m connected, now time.Time) {
	s := &r.state
	if s.engineID != "" && m.info.id != "" && m.info.id != s.engineID && len(s.records) > 0 {
		s.holdUntil = now.Add(engineHold)
		r.log.Warn("another docker engine answers, waiting before its unknown containers are taken out",
			"engine", m.info.id, "before", s.engineID, "wait", engineHold)
	}
	s.eng, s.info, s.lostWhy = m.eng, m.info, nil
	if m.info.id != "" {
		s.engineID = m.info.id
	}
	r.stats.up.Store(true)
	r.log.Info("docker is connected", "engine", s.engineID, "version", m.info.version, "api", m.info.api,
		"podman", m.info.podman, "rootless", m.info.rootless, "containers", len(m.list))
	if !s.synced {
		s.firstPass = map[string]bool{}
	}
	r.noteList(m.list, now)
	s.fullAt = now
	for _, l := range m.list {
		r.lookAtStart(l.id)
	}
	for id, rec := range s.records {
		rec.failures, rec.retryAt, rec.refused = 0, time.Time{}, false
		r.lookAtStart(id)
	}
	r.checkSynced()
}

func (r *Registrator) lookAtStart(id string) {
	if !r.state.synced {
		r.state.firstPass[id] = true
	}
	r.state.enqueue(id)
}

func (r *Registrator) checkSynced() {
	s := &r.state
	if !s.synced && s.eng != nil && len(s.firstPass) == 0 {
		s.synced, s.changed = true, true
		r.log.Info("first pass over the containers complete", "containers", len(s.records))
	}
}

// noteList remembers a list for the next comparison and returns the keys before it.
func (r *Registrator) noteList(list []listed, now time.Time) map[string]string {
	s := &r.state
	before := s.keys
	s.keys = make(map[string]string, len(list))
	for _, l := range list {
		s.keys[l.id] = l.key
	}
	s.listed, s.listAt = true, now
	for id, t := range s.heard {
		if now.Sub(t) > 2*r.cfg.Resync+missedAfter {
			delete(s.heard, id)
		}
	}
	return before
}

// takeList compares a list with the one before and with what is registered.
func (r *Registrator) takeList(list []listed, now time.Time) {
	s := &r.state
	lastAt := s.listAt
	before := r.noteList(list, now)
	full := now.Sub(s.fullAt) >= r.cfg.FullInspect
	if full {
		s.fullAt = now
	}
	suspect := func(id string) {
		// A list may be older than the events that came while it was under way.
		if heard, ok := s.heard[id]; (!ok || heard.Before(lastAt.Add(-missedAfter))) && s.inflight[id] == 0 {
			if _, known := s.suspects[id]; !known {
				s.suspects[id] = now
			}
		}
	}
	for _, l := range list {
		key, known := before[l.id]
		rec := s.records[l.id]
		switch {
		case !known || key != l.key || rec.restartedUnseen(l.startedAfter):
			suspect(l.id)
			s.enqueue(l.id)
		case full || rec == nil || rec.phase != phaseUp:
			s.enqueue(l.id)
		}
	}
	for id := range before {
		if _, still := s.keys[id]; !still {
			suspect(id)
		}
	}
	for id, rec := range s.records {
		if _, running := s.keys[id]; !running && (full || len(rec.defs) > 0 || rec.phase == phaseUp) {
			if rec.phase == phaseUp {
				suspect(id)
			}
			s.enqueue(id) // only an inspect removes
		}
	}
}

// restartedUnseen: the list shows an uptime that is too short for the incarnation known.
func (rec *record) restartedUnseen(startedAfter time.Time) bool {
	return rec != nil && rec.up != nil && rec.up.state.started.Add(uptimeSlack).Before(startedAfter)
}

// countMissed counts changes that no event announced; several within ten minutes mean that
// the stream is not to be trusted.
func (r *Registrator) countMissed(now time.Time) {
	s := &r.state
	for id, since := range s.suspects {
		if now.Sub(since) < missedAfter {
			continue
		}
		delete(s.suspects, id)
		r.stats.missed.Add(1)
		r.log.Debug("a change was found that no event told", "container", short(id))
		s.missed = append(s.missed, now)
	}
	for len(s.missed) > 0 && now.Sub(s.missed[0]) > missedWindow {
		s.missed = s.missed[1:]
	}
	if len(s.missed) >= missedLimit {
		s.missed = nil
		r.reconnectSoon()
	}
}

// checkAddress rebuilds everything when the node's address has changed.
func (r *Registrator) checkAddress(now time.Time) {
	a, b := r.nodeAddresses()
	if a != r.state.nodeAddr || b != r.state.nodeAddr6 {
		r.log.Info("node address changed", "address", a, "before", r.state.nodeAddr)
		r.rebuildAll(now)
	}
}

func (r *Registrator) nodeAddresses() (v4, v6 netip.Addr) {
	v4 = r.cfg.NodeAddress()
	if r.cfg.NodeAddress6 != nil {
		v6 = r.cfg.NodeAddress6()
	}
	if v4.Is6() && !v4.Is4In6() && !v6.IsValid() {
		v4, v6 = netip.Addr{}, v4
	}
	return v4.Unmap(), v6
}

func (r *Registrator) rebuildAll(now time.Time) {
	r.state.nodeAddr, r.state.nodeAddr6 = r.nodeAddresses()
	for _, rec := range r.state.records {
		if rec.up != nil && rec.phase == phaseUp {
			r.rebuild(rec, now)
			r.settle(rec, now)
		}
	}
}
