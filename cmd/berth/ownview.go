package main

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"berth"
	"berth/agent"
	"berth/dnsproxy"
	"berth/registrator"
	"berth/store"
)

// ownView is the catalog as DNS shows it while there is no leader to write to: the last known one,
// with this host's own instances as they are now.
type ownView struct {
	*store.View
	node string
	own  *ownInstances
}

// ownInstances are this host's by lower-cased service name; never changed.
type ownInstances struct {
	entries map[string][]*berth.HealthEntry
	partial bool // not all of this host's sources have spoken: what they had before still counts
}

// Service is all instances: those of others as last known, this host's as they are.
func (v *ownView) Service(name string) []*berth.HealthEntry {
	own := v.own.entries[strings.ToLower(name)]
	have := map[string]bool{}
	for _, e := range own {
		have[e.Service.ID] = true
	}
	var out []*berth.HealthEntry
	for _, e := range v.View.Service(name) {
		mine := e.Node.Name == v.node && e.Service.ID != berth.ConsulServiceID
		if !mine || (v.own.partial && !have[e.Service.ID]) {
			out = append(out, e)
		}
	}
	return append(out, own...)
}

// ServiceExists: the name is in the catalog, or will be when there is a leader.
func (v *ownView) ServiceExists(name string) bool {
	return len(v.own.entries[strings.ToLower(name)]) > 0 || v.View.ServiceExists(name)
}

// ownership keeps what DNS shows of this host fresh while nothing can be written.
type ownership struct {
	node   string
	store  *store.Store
	agent  *agent.Agent
	docker *registrator.Registrator // nil: not wanted
	dns    *dnsproxy.Server
	own    atomic.Pointer[ownInstances] // nil: the catalog is up to date
}

// view is what DNS looks at; it never blocks.
func (o *ownership) view() dnsproxy.View {
	base, own := o.store.View(), o.own.Load()
	if own == nil {
		return base
	}
	if _, known := base.Node(o.node); !known {
		return base
	}
	return &ownView{View: base, node: o.node, own: own}
}

// leaderPoll is how often the leader is looked for.
const leaderPoll = 250 * time.Millisecond

// run follows the leader and this host's changes until ctx ends. The catalog alone counts again
// only when it has all of this host's changes, so that no instance comes and goes in between.
func (o *ownership) run(ctx context.Context) error {
	t := time.NewTicker(leaderPoll)
	defer t.Stop()
	for {
		changed := o.agent.Watch()
		switch leaderless := o.store.Leader() == ""; {
		case leaderless || (o.own.Load() != nil && !(o.agent.Written() && o.visible())):
			o.show(o.gather())
		case o.own.Load() != nil:
			o.show(nil)
		default:
			changed = nil // nothing to follow
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-t.C:
		}
	}
}

// services are this host's, without those that the catalog has refused.
func (o *ownership) services() []*berth.ServiceInstance {
	return slices.DeleteFunc(slices.Clone(o.agent.Services()), func(s *berth.ServiceInstance) bool { return o.agent.Refusal(s.ID) != "" })
}

// visible tells whether the local copy of the catalog has all of this host's instances: what was
// written comes back to it a moment later.
func (o *ownership) visible() bool {
	v := o.store.View()
	return !slices.ContainsFunc(o.services(), func(s *berth.ServiceInstance) bool {
		return !slices.ContainsFunc(v.Service(s.Name), func(e *berth.HealthEntry) bool { return e.Node.Name == o.node && e.Service.ID == s.ID })
	})
}

// show makes own what DNS shows of this host.
func (o *ownership) show(own *ownInstances) {
	before := o.own.Swap(own)
	names := map[string]bool{}
	for _, x := range []*ownInstances{before, own} {
		if x != nil {
			for name := range x.entries {
				names[name] = true
			}
		}
	}
	changes := make([]berth.Change, 0, len(names))
	for name := range names {
		changes = append(changes, berth.Change{Service: name})
	}
	o.dns.CatalogChanged(changes)
}

// gather is this host's instances now.
func (o *ownership) gather() *ownInstances {
	node, known := o.store.View().Node(o.node)
	out := &ownInstances{entries: map[string][]*berth.HealthEntry{}, partial: o.docker != nil && o.docker.Ready() != nil}
	if !known {
		return out
	}
	byService := map[string][]*berth.Check{}
	for _, c := range o.agent.Checks() {
		byService[c.ServiceID] = append(byService[c.ServiceID], c)
	}
	for _, s := range o.services() {
		checks := append(append([]*berth.Check(nil), byService[""]...), byService[s.ID]...)
		name := strings.ToLower(s.Name)
		out.entries[name] = append(out.entries[name], &berth.HealthEntry{Node: node, Service: s, Checks: checks})
	}
	return out
}
