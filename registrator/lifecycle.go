package registrator

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	dieConfirm   = 2 * time.Second      // no inspect within this: believe the event
	dieHold      = 5 * time.Millisecond // wait this long for the inspect, so that one write does
	stopDefault  = 10                   // seconds, docker's own
	stopSlack    = 5 * time.Second
	staleLimit   = 4
	flapWindow   = time.Minute
	flapStarts   = 3
	flapMin      = 2 * time.Second
	flapMax      = 30 * time.Second
	portRetryMax = 5
)

// act applies the events that take an entry out before any inspect: die, destroy, pause and
// the stop signal. An event older than the running incarnation, or met before, only makes the
// container dirty.
func (r *Registrator) act(rec *record, m *mark, now time.Time) {
	for i := range m.acts {
		ev := &m.acts[i]
		if !r.state.seen.first(ev) || rec.up == nil || ev.at <= rec.up.state.started.UnixNano() || rec.phase != phaseUp {
			m.look = m.look || ev.action != "kill"
			continue
		}
		switch ev.action {
		case "die", "destroy", "exit":
			if rec.died.valid && ev.action != "die" {
				continue
			}
			code, ok := ev.exitCode()
			ok = ok && !rec.up.shadows("exitCode", "containerExitCode")
			rec.died = death{valid: true, code: code, hasCode: ok, seen: now, started: rec.up.state.startedText,
				hold: rec.drain.since.IsZero() && ev.action != "exit"} // at an exit the engine knows nothing yet
			r.acted(rec)
		case "pause":
			rec.paused = true
			r.acted(rec)
		case "kill":
			r.maybeDrain(rec, ev, now)
		}
	}
	r.settle(rec, now)
}

// shadows: an event shows a container's labels among its own attributes, and a label of one of
// these names in the attribute's place.
func (c *inspected) shadows(names ...string) bool {
	for _, n := range names {
		if _, ok := c.labels[n]; ok {
			return true
		}
	}
	return false
}

func (r *Registrator) acted(rec *record) {
	r.state.seq++
	rec.actSeq = r.state.seq
}

// maybeDrain takes the instance out when it is told to stop. Other signals mean nothing.
func (r *Registrator) maybeDrain(rec *record, ev *event, now time.Time) {
	if rec.up.shadows("signal") {
		return
	}
	sig := signalNumber(ev.attrs["signal"])
	stop := signalNumber(rec.up.stopSignal)
	if stop == 0 {
		stop = 15
	}
	if sig == 0 || (sig != stop && sig != 9) || !rec.built.drainOnStop || rec.died.valid {
		return
	}
	secs := rec.up.stopTimeout
	if secs < 0 {
		secs = stopDefault
	}
	if rec.drain.since.IsZero() {
		rec.drain.since = now
	}
	rec.drain.until, rec.drain.expired = now.Add(time.Duration(secs)*time.Second+stopSlack), false
	if len(rec.built.instances) == 0 {
		return // nobody asks for it by name
	}
	r.log.Info("container is told to stop, draining", "container", short(rec.id), "name", rec.name, "signal", sig)
}

// apply takes in the result of an inspect.
func (r *Registrator) apply(res *result, now time.Time) {
	s := &r.state
	delete(s.inflight, res.id)
	if s.again[res.id] {
		delete(s.again, res.id)
		s.enqueue(res.id)
	}
	r.stats.inspect(res)
	delete(s.firstPass, res.id)
	defer r.checkSynced()
	rec := s.records[res.id]
	if rec != nil && res.seq < rec.actSeq {
		s.enqueue(res.id) // it may have been answered before the event happened
		return
	}
	if rec == nil {
		if errors.Is(res.err, errGone) {
			return
		}
		rec = s.record(res.id)
	}
	switch {
	case errors.Is(res.err, errGone):
		r.gone(rec, now)
	case res.err != nil:
		r.inspectFailed(rec, res, now)
	default:
		r.inspectedNow(rec, res, now)
	}
	if s.records[rec.id] == rec {
		r.settle(rec, now)
	}
}

func (r *Registrator) inspectFailed(rec *record, res *result, now time.Time) {
	if res.eng != r.state.eng {
		r.state.enqueue(rec.id) // of a connection that is no more
		return
	}
	if wrongVersion(res.err) {
		r.reconnectSoon()
	}
	rec.failures++
	rec.lastErr = res.err
	rec.retryAt = now.Add(retryPause(rec.failures))
	if rec.failures == 1 {
		r.log.Warn("docker inspect failed, keeping what is known", "container", short(rec.id), "name", rec.name, "err", res.err)
	}
}

// gone: the engine has no such container any more.
func (r *Registrator) gone(rec *record, now time.Time) {
	if len(rec.defs) > 0 && now.Before(r.state.holdUntil) && rec.engine() != r.state.engineID {
		rec.retryAt = r.state.holdUntil
		return
	}
	rec.died.valid, rec.backoff, rec.retryAt = false, time.Time{}, time.Time{}
	if at := rec.drainEnd(r.drainTime(rec), now); at.After(now) && len(rec.defs) > 0 {
		rec.phase, rec.remove = phaseKept, at
		return
	}
	r.forget(rec)
}

// forget drops all that is known of a container that is no more.
func (r *Registrator) forget(rec *record) {
	s := &r.state
	r.logRemoved(rec)
	r.unwatchExit(rec)
	s.changed = s.changed || len(rec.defs) > 0
	r.setChain(rec, nil)
	delete(s.records, rec.id)
	delete(s.timers, rec.id)
	for k := range s.warned {
		if strings.HasPrefix(k, rec.id) {
			delete(s.warned, k)
		}
	}
}

// inspectedNow moves the record to where an inspect says that the container is.
func (r *Registrator) inspectedNow(rec *record, res *result, now time.Time) {
	c := res.c
	rec.failures, rec.lastErr, rec.retryAt, rec.refused = 0, nil, time.Time{}, false
	rec.name, rec.last = c.name, c
	st := &c.state
	switch {
	case st.up() && rec.died.valid && st.startedText == rec.died.started && rec.died.stale < staleLimit:
		// The event is later than this incarnation's start, so this answer is behind.
		rec.died.stale++
		rec.retryAt = now.Add(retryPause(rec.died.stale))
	case st.up():
		r.cameUp(rec, res, now)
	case st.restarting:
		rec.died, rec.paused = death{}, false
		if rec.backoff.IsZero() {
			rec.backoff = now
		}
		if rec.phase != phaseDown {
			rec.phase = phaseRestarting
		}
	default:
		r.exited(rec, now)
	}
}

func (r *Registrator) cameUp(rec *record, res *result, now time.Time) {
	c := res.c
	if rec.up == nil || rec.up.state.startedText != c.state.startedText {
		known := rec.up != nil
		rec.drain, rec.portTries, rec.health = draining{}, 0, healthSeen{}
		if known || rec.phase == phaseDown {
			r.noteStart(rec, now)
		} else if len(rec.starts) == 0 {
			rec.starts = []time.Time{now}
		}
	} else if rec.drain.expired {
		rec.drain = draining{}
		r.log.Info("container did not stop, back in service", "container", short(rec.id), "name", rec.name)
	}
	rec.died, rec.paused, rec.backoff = death{}, c.state.paused, time.Time{}
	rec.remove, rec.kept = time.Time{}, time.Time{}
	rec.up, rec.owner, rec.trouble = c, res.owner, res.trouble
	r.setChain(rec, res.chain)
	if rec.waitForPorts() && rec.portTries < portRetryMax {
		rec.retryAt = now.Add([]time.Duration{100, 250, 500, 1000, 2000}[rec.portTries] * time.Millisecond)
		rec.portTries++
		if rec.phase != phaseUp {
			return // the rest comes within a moment; names depend on how many ports there are
		}
	}
	rec.phase, rec.stored = phaseUp, false
	r.watchExit(rec)
	r.rebuild(rec, now)
}

// waitForPorts: Docker Desktop shows published ports some time after the start.
func (rec *record) waitForPorts() bool {
	c := rec.up
	if m := c.networkMode; m == "host" || m == "none" || strings.HasPrefix(m, "container:") {
		return false
	}
	for p, want := range c.wanted {
		if len(want) > 0 && len(c.ports[p]) == 0 {
			return true
		}
	}
	return false
}

// noteStart counts starts; after three within a minute each further one waits longer.
func (r *Registrator) noteStart(rec *record, now time.Time) {
	recent := rec.starts[:0]
	for _, t := range rec.starts {
		if now.Sub(t) < flapWindow {
			recent = append(recent, t)
		}
	}
	rec.starts = append(recent, now)
	rec.flap = time.Time{}
	if extra := len(rec.starts) - flapStarts; extra > 0 && on(r.cfg.FlapDamping) {
		rec.flap = now.Add(min(flapMin<<min(extra-1, 10), flapMax))
		r.stats.flaps.Add(1)
	}
}

// exited applies the deregistration mode to a container that has ended.
func (r *Registrator) exited(rec *record, now time.Time) {
	code := rec.died.code
	if !rec.died.hasCode && rec.last != nil && !rec.last.state.up() {
		code = rec.last.state.exitCode
	}
	seen := rec.died.seen
	rec.died, rec.paused, rec.backoff = death{}, false, time.Time{}
	if rec.phase == phaseKept {
		return
	}
	if len(rec.defs) == 0 || rec.phase == phaseDown {
		r.down(rec)
		return
	}
	mode := r.deregisterMode(rec)
	if mode == DeregisterNever || (mode == DeregisterOnSuccess && code > 0 && code < 128) {
		rec.phase, rec.kept = phaseKept, now
		if mode != DeregisterNever {
			rec.remove = now.Add(r.cfg.DeadTTL)
		}
		rec.health.exit = fmt.Sprintf("exited with code %d", code)
		return
	}
	if seen.IsZero() {
		seen = now
	}
	if at := rec.drainEnd(r.drainTime(rec), seen); at.After(now) {
		rec.phase, rec.remove = phaseKept, at
		rec.health.exit = fmt.Sprintf("exited with code %d", code)
		return
	}
	r.down(rec)
}

// deregisterMode is what is to happen at rec's end: by its key, else by the setting.
func (r *Registrator) deregisterMode(rec *record) string {
	mode := rec.built.deregister
	if rec.stored && rec.last != nil { // it ended while no agent ran, its keys were not read yet
		b := builder{r: r, c: rec.last}
		b.keys = keyReader{settings: readSettings(rec.last, r.cfg.compat()), compat: r.cfg.compat()}
		b.lifecycleKeys()
		mode = b.out.deregister
	}
	if mode == "" {
		return r.cfg.Deregister
	}
	return mode
}

// drainEnd is until when an entry has to stay although its container ended at died.
func (rec *record) drainEnd(d time.Duration, died time.Time) time.Time {
	if !rec.remove.IsZero() && rec.kept.IsZero() {
		return rec.remove
	}
	if !rec.drain.since.IsZero() {
		died = rec.drain.since
	}
	return died.Add(d)
}

func (r *Registrator) drainTime(rec *record) time.Duration {
	if rec.built.drain >= 0 && rec.built.drainSet {
		return rec.built.drain
	}
	return r.cfg.Drain
}

// down takes out what is registered of the container, which still exists.
func (r *Registrator) down(rec *record) {
	rec.phase = phaseDown
	rec.remove, rec.kept, rec.backoff, rec.retryAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	rec.drain, rec.died, rec.paused = draining{}, death{}, false
	rec.up, rec.sound, rec.stored = nil, nil, false
	r.unwatchExit(rec)
	r.setChain(rec, nil)
}

// setChain keeps the index of who depends on whose network.
func (r *Registrator) setChain(rec *record, chain []string) {
	for _, o := range rec.chain {
		delete(r.state.dependants[o], rec.id)
		if len(r.state.dependants[o]) == 0 {
			delete(r.state.dependants, o)
		}
	}
	rec.chain = chain
	for _, o := range chain {
		if r.state.dependants[o] == nil {
			r.state.dependants[o] = map[string]bool{}
		}
		r.state.dependants[o][rec.id] = true
	}
}
