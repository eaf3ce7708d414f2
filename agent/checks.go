package agent

import (
	"math/rand/v2"
	"time"

	"berth"
	"berth/agent/check"
)

// probed is an effective check: its definition, its current row and what runs it. All of it
// is guarded by the agent's mutex.
type probed struct {
	a        *Agent
	id       string
	src      *source
	def      *berth.CheckDefinition
	owner    string       // of its service
	row      *berth.Check // replaced, never changed
	counters *check.Hysteresis

	job      *check.Job  // nil unless the scheduler runs it
	cancel   func()      // ends a remote alias's poll
	ttl      *time.Timer // fires at deadline or before
	deadline time.Time   // of a TTL check
	since    time.Time   // when it became critical
	kept     bool        // since is from before a restart
	reaper   *time.Timer // see DeregisterCriticalServiceAfter
	deferred *time.Timer // an output-only change waits to be written
}

func (c *probed) passive() bool { return c.def.Passive }

// stop ends all that runs for the check.
func (c *probed) stop() {
	for _, t := range []*time.Timer{c.ttl, c.reaper, c.deferred} {
		if t != nil {
			t.Stop()
		}
	}
	if c.job != nil {
		c.job.Stop()
	}
	if c.cancel != nil {
		c.cancel()
	}
}

// checkRow is the catalog's row of a check that has no result yet.
func (a *Agent) checkRow(def *berth.CheckDefinition, svc *local) *berth.Check {
	row := &berth.Check{
		Node: a.cfg.Node, CheckID: def.ID, Name: def.Name, Notes: def.Notes,
		ServiceID: def.ServiceID, Type: def.Type, DeregisterAfter: def.DeregisterCriticalServiceAfter,
	}
	if row.Type == "" {
		row.Type = def.Kind()
	}
	if svc != nil {
		row.ServiceName, row.ServiceTags = svc.row.Name, svc.row.Tags
	}
	row.Interval, row.Timeout = durationText(def, def.Interval), durationText(def, def.Timeout)
	return row
}

// durationText follows Consul: "0s" only for checks of the node, else nothing.
func durationText(def *berth.CheckDefinition, d berth.Duration) string {
	if d == 0 && (def.ServiceID != "" || def.Passive) {
		return ""
	}
	return d.String()
}

// firstStatus fills c's row: with what was known of the check before, if it was the same
// owner's, else with what the definition says.
func (a *Agent) firstStatus(c, old *probed, same bool) {
	st, saved := a.states0[c.id]
	delete(a.states0, c.id)
	c.row.Status, c.row.Output = c.def.Status, c.def.Output
	if c.row.Status == "" {
		c.row.Status = berth.StatusCritical
	}
	switch {
	case c.passive():
	case same:
		c.row.Status, c.row.Output = old.row.Status, old.row.Output
		c.since, c.kept = old.since, old.kept
	case saved && st.Owner == c.owner:
		c.row.Status, c.row.Output = st.Status, st.Output
		c.deadline = st.Deadline
		c.since, c.kept = st.Since, !st.Since.IsZero()
		c.counters.Restart()
	}
	if a.cfg.DiscardCheckOutput {
		c.row.Output = ""
	}
}

// start sets going what the check needs; a.mu is held.
func (a *Agent) start(c, old *probed, same bool) {
	switch kind := c.def.Kind(); {
	case c.passive() || a.closed:
	case kind == berth.CheckTTL:
		a.startTTL(c)
	case kind == berth.CheckAlias && a.isLocalAlias(c.def):
		a.aliases.add(c.id)
		a.refreshAlias(c)
	case kind == berth.CheckAlias:
		c.cancel = a.polls.add(a.remoteAlias(c))
	default:
		run, err := a.runners.New(c.def)
		if err != nil {
			c.row.Status, c.row.Output = berth.StatusCritical, err.Error()
			return
		}
		c.job = a.sched.Start(check.Task{
			Run: run, Interval: c.def.Interval.D(),
			Report: func(r check.Result) { a.report(c, r) },
		})
	}
	if same && old.job != nil && c.job != nil {
		c.counters.Adopt(old.counters)
	}
}

// report takes a runner's result.
func (a *Agent) report(c *probed, r check.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.checks[c.id] != c {
		return
	}
	a.countRun(c.def.Kind(), r.Took)
	status, ok := c.counters.Next(r)
	if !ok {
		a.log.Debug("check result is below its threshold", "check", c.id, "result", r.Status, "status", c.row.Status)
		return
	}
	a.setResult(c, status, r.Output)
}

// setResult makes status and output the check's: a new status goes to the catalog at once,
// output alone after a while. a.mu is held.
func (a *Agent) setResult(c *probed, status, output string) {
	if a.cfg.DiscardCheckOutput {
		output = ""
	}
	old := c.row
	if old.Status == status && old.Output == output {
		return
	}
	row := *old
	row.Status, row.Output = status, output
	c.row = &row
	if old.Status == status {
		a.localChange()
		if c.passive() { // its source speaks only when something changed: starting, then unhealthy
			a.writeOutput(c)
		} else {
			a.deferOutput(c)
		}
		return
	}
	a.log.Info("check changed its status", "check", c.id, "service_id", c.def.ServiceID, "was", old.Status, "is", status)
	a.changes++
	if c.deferred != nil {
		c.deferred.Stop()
		c.deferred = nil
	}
	a.dirty.putCheck(c.id)
	a.stateDirtyFor(c.id)
	a.statusChanged(c)
	a.touch()
}

// writeOutput has the check written in the next round.
func (a *Agent) writeOutput(c *probed) {
	a.dirty.putCheck(c.id)
	signal(a.wake)
}

// deferOutput has the check written later, unless that is under way.
func (a *Agent) deferOutput(c *probed) {
	if a.cfg.CheckUpdateInterval <= 0 {
		a.writeOutput(c)
		return
	}
	if c.deferred != nil {
		return
	}
	wait := a.cfg.CheckUpdateInterval/2 + rand.N(a.cfg.CheckUpdateInterval)
	c.deferred = time.AfterFunc(wait, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.closed || a.checks[c.id] != c || c.deferred == nil {
			return
		}
		c.deferred = nil
		a.dirty.putCheck(c.id)
		signal(a.wake)
	})
}

// statusChanged lets everything follow that depends on the check's status; a.mu is held.
func (a *Agent) statusChanged(c *probed) {
	a.watchCritical(c)
	a.refreshAliases(c.def.ServiceID)
}

// watchCritical starts or ends the wait for DeregisterCriticalServiceAfter.
func (a *Agent) watchCritical(c *probed) {
	if c.row.Status != berth.StatusCritical {
		c.since, c.kept = time.Time{}, false
		if c.reaper != nil {
			c.reaper.Stop()
			c.reaper = nil
		}
		a.unhide(c.def.ServiceID)
		return
	}
	after := c.def.DeregisterCriticalServiceAfter.D()
	if c.since.IsZero() {
		c.since = time.Now()
		if after > 0 {
			a.stateDirtyFor(c.id)
		}
	}
	if after > 0 && c.def.ServiceID != "" && c.reaper == nil && !a.closed {
		wait := max(after-time.Since(c.since), 0)
		if c.kept {
			wait = max(wait, min(after, c.firstResult()))
		}
		c.reaper = time.AfterFunc(wait, func() { a.reap(c) })
	}
}

// firstResult is how long a check may take to say something new after a restart, since its service
// may have recovered meanwhile: checks run at once, and who refreshes a TTL tries again soon.
func (c *probed) firstResult() time.Duration {
	return max(10*time.Second, c.def.Timeout.D())
}

// reap takes out the service of a check that has been critical for too long: for good when
// the API registered it, else until the check recovers, since its container or file is there
// still.
func (a *Agent) reap(c *probed) {
	a.mu.Lock()
	svc := a.services[c.def.ServiceID]
	if a.closed || a.checks[c.id] != c || c.row.Status != berth.StatusCritical || svc == nil || svc.hidden {
		a.mu.Unlock()
		return
	}
	a.log.Warn("service is deregistered since its check was critical for too long", "service", svc.row.Name,
		"id", c.def.ServiceID, "check", c.id, "after", c.def.DeregisterCriticalServiceAfter.String())
	if svc.src.name == berth.SourceAPI {
		a.dropService(c.def.ServiceID)
	} else {
		svc.hidden = true
		a.dirty.removeService(c.def.ServiceID, svc.want.owner())
		a.touch()
	}
	a.mu.Unlock()
	if err := a.saved.commit(); err != nil {
		a.log.Error("deregistration could not be saved, so a restart would bring the service back",
			"id", c.def.ServiceID, "err", err)
	}
}

// unhide puts a service back that reap took out, once no check keeps it out. a.mu is held.
func (a *Agent) unhide(id string) {
	svc := a.services[id]
	if svc == nil || !svc.hidden {
		return
	}
	for cid := range a.byService[id] {
		c := a.checks[cid]
		if c.def.DeregisterCriticalServiceAfter > 0 && c.row.Status == berth.StatusCritical {
			return
		}
	}
	svc.hidden = false
	a.dirty.putService(id)
	for cid := range a.byService[id] {
		a.dirty.putCheck(cid)
	}
	a.log.Info("service is registered again since its checks recovered", "service", svc.row.Name, "id", id)
	a.touch()
}
