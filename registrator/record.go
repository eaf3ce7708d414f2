package registrator

import (
	"time"

	"berth"
)

// phase is where a container stands.
type phase int

const (
	phaseUnknown    phase = iota // never looked at, or only known from docker.json
	phaseUp                      // running, paused, draining
	phaseRestarting              // in restart back-off
	phaseKept                    // exited, entry kept by the mode or by the drain time
	phaseDown                    // nothing to be registered
)

// record is all that is known of one container.
type record struct {
	id, name string
	last     *inspected // whatever state it showed
	up       *inspected // what the instances were built from
	owner    *inspected
	sound    *inspected // owner, or up, when its network could last be used
	chain    []string
	trouble  string // with the network owner
	built    built
	phase    phase

	actSeq  uint64 // an inspect sent before this says nothing
	died    death
	drain   draining
	paused  bool
	backoff time.Time   // restart back-off since
	kept    time.Time   // by the mode, since then
	remove  time.Time   // when phaseKept ends; zero: with the container
	starts  []time.Time // own clock, within flapWindow
	flap    time.Time   // registration delayed until

	failures  int
	retryAt   time.Time
	lastErr   error
	portTries int
	refused   bool // engine unreachable and the port refuses connections
	stored    bool // defs come from docker.json
	health    healthSeen

	exit     exitWatch
	defs     []berth.ServiceDefinition
	lost     map[string]string // service ID -> who has it
	panicked string            // incarnation whose settings made the builder panic
}

// death is a die event that no inspect has confirmed yet.
type death struct {
	valid   bool
	code    int
	hasCode bool
	seen    time.Time
	started string // incarnation that died
	stale   int    // inspects that still said running
	hold    bool   // wait for the inspect before telling
}

type draining struct {
	since, until time.Time
	expired      bool
}

// beats decides who has a service ID.
func (rec *record) beats(o *record) bool {
	if a, b := rec.rank(), o.rank(); a != b {
		return a > b
	}
	a, b := rec.startedAt(), o.startedAt()
	if !a.Equal(b) {
		return a.After(b)
	}
	return rec.id > o.id
}

func (rec *record) rank() int {
	switch {
	case rec.phase == phaseUp && !rec.died.valid && rec.drain.since.IsZero() && !rec.paused:
		return 3
	case rec.phase == phaseUp && !rec.died.valid, rec.phase == phaseUnknown:
		return 2
	case rec.phase == phaseRestarting:
		return 1
	}
	return 0
}

func (rec *record) startedAt() time.Time {
	if rec.up == nil {
		return time.Time{}
	}
	return rec.up.state.started
}

func (rec *record) lose(serviceID string, to *record) {
	if rec.lost == nil {
		rec.lost = map[string]string{}
	}
	rec.lost[serviceID] = to.name
}

// settle does what time has made due for rec, brings its definitions up to date and sets its
// timer.
func (r *Registrator) settle(rec *record, now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	if rec.died.valid && due(rec.died.seen.Add(dieConfirm)) && rec.died.stale == 0 {
		r.exited(rec, now)
	}
	if !rec.drain.expired && due(rec.drain.until) {
		rec.drain.expired = true
		r.state.enqueue(rec.id)
	}
	if rec.phase == phaseRestarting && due(rec.backoff.Add(r.cfg.RestartGrace)) {
		r.down(rec)
	}
	if rec.phase == phaseKept && due(rec.remove) {
		r.down(rec)
		r.state.enqueue(rec.id) // forgets it if it is no more
	}
	if due(rec.retryAt) {
		rec.retryAt = time.Time{}
		r.state.enqueue(rec.id)
	}
	if due(rec.flap) {
		rec.flap = time.Time{}
	}
	if rec.died.hold && due(rec.died.seen.Add(dieHold)) {
		rec.died.hold = false
	}
	if !rec.died.valid || !rec.died.hold {
		r.setDefs(rec, r.define(rec))
	}
	r.setTimer(rec)
}

func (r *Registrator) setTimer(rec *record) {
	t := earliest(rec.retryAt, rec.flap)
	t = earliest(t, rec.remove)
	if !rec.drain.expired {
		t = earliest(t, rec.drain.until)
	}
	if rec.died.valid && rec.died.hold {
		t = earliest(t, rec.died.seen.Add(dieHold))
	} else if rec.died.valid && rec.died.stale == 0 {
		t = earliest(t, rec.died.seen.Add(dieConfirm))
	}
	if rec.phase == phaseRestarting {
		t = earliest(t, rec.backoff.Add(r.cfg.RestartGrace))
	}
	if t.IsZero() {
		delete(r.state.timers, rec.id)
		return
	}
	r.state.timers[rec.id] = t
}

// setDefs replaces what is wanted for rec.
func (r *Registrator) setDefs(rec *record, defs []berth.ServiceDefinition) {
	if sameDefs(rec.defs, defs) {
		return
	}
	if len(defs) == 0 {
		r.logRemoved(rec)
	} else {
		for i := range defs {
			if !hasID(rec.defs, defs[i].ID) {
				r.log.Info("registering", "container", short(rec.id), "name", rec.name, "service", defs[i].Name,
					"id", defs[i].ID, "address", defs[i].Address, "port", defs[i].Port)
			}
		}
	}
	rec.defs = defs
	r.state.changed = true
}

func (r *Registrator) logRemoved(rec *record) {
	for i := range rec.defs {
		r.log.Info("deregistering", "container", short(rec.id), "name", rec.name, "service", rec.defs[i].Name, "id", rec.defs[i].ID)
	}
}

func hasID(defs []berth.ServiceDefinition, id string) bool {
	for i := range defs {
		if defs[i].ID == id {
			return true
		}
	}
	return false
}

// define is what rec wants registered now.
func (r *Registrator) define(rec *record) []berth.ServiceDefinition {
	switch {
	case rec.phase == phaseDown:
		return nil
	case rec.phase == phaseUnknown:
		return rec.defs // as docker.json said
	case rec.phase == phaseUp && !rec.flap.IsZero():
		return r.critical(rec.defs, "restarting too often")
	case rec.up == nil && rec.stored:
		status, output := r.lifecycleTrouble(rec)
		if status == "" {
			return rec.defs
		}
		return r.critical(rec.defs, output)
	}
	out := make([]berth.ServiceDefinition, 0, len(rec.built.instances))
	for i := range rec.built.instances {
		out = append(out, r.withHealth(rec, &rec.built.instances[i]))
	}
	return out
}
