package agent

import (
	"maps"
	"slices"

	"berth"
)

// Services are the services of this host, sorted by ID: shared, not to be changed.
func (a *Agent) Services() []*berth.ServiceInstance {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.servicesV == nil {
		a.servicesV = make([]*berth.ServiceInstance, 0, len(a.services))
		for _, id := range slices.Sorted(maps.Keys(a.services)) {
			if svc := a.services[id]; !svc.hidden {
				a.servicesV = append(a.servicesV, svc.row)
			}
		}
	}
	return a.servicesV
}

// Checks are the checks of this host, sorted by CheckID: shared, not to be changed.
func (a *Agent) Checks() []*berth.Check {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.checksV == nil {
		a.checksV = make([]*berth.Check, 0, len(a.checks))
		for _, id := range slices.Sorted(maps.Keys(a.checks)) {
			if c := a.checks[id]; a.published(c) {
				a.checksV = append(a.checksV, c.row)
			}
		}
	}
	return a.checksV
}

// Written says whether the catalog has all that this host wants, as far as is known.
func (a *Agent) Written() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.needFull && !a.comparing && a.dirty.empty() && a.inflight == nil
}

// published says whether the check is visible: not of a service that is taken out.
func (a *Agent) published(c *probed) bool {
	svc := a.services[c.def.ServiceID]
	return c.def.ServiceID == "" || (svc != nil && !svc.hidden)
}

// Watch returns a channel that is closed at the next change of Services or Checks.
func (a *Agent) Watch() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

// touch notes a local change that the catalog shall get: it wakes watchers and the sync loop.
// a.mu is held.
func (a *Agent) touch() {
	a.localChange()
	signal(a.wake)
}

// localChange wakes watchers only.
func (a *Agent) localChange() {
	a.servicesV, a.checksV = nil, nil
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}
