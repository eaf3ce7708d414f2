package httpapi_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"berth"
)

// fakeAgent keeps services and checks of node n1 and writes every change through to its store.
type fakeAgent struct {
	store *fakeStore

	mu       sync.Mutex // guards all below
	services map[string]*berth.ServiceInstance
	checks   map[string]*berth.Check
	changed  chan struct{}
	forgot   []berth.Deregistration
	lastDef  *berth.ServiceDefinition
	lastChk  *berth.CheckDefinition
	replaced bool
}

func newFakeAgent(s *fakeStore) *fakeAgent {
	return &fakeAgent{store: s, services: map[string]*berth.ServiceInstance{}, checks: map[string]*berth.Check{}, changed: make(chan struct{})}
}

// publish wakes watchers and syncs; the caller holds mu.
func (a *fakeAgent) publish() {
	close(a.changed)
	a.changed = make(chan struct{})
	for _, s := range sorted(a.services) {
		_ = a.store.Register(context.Background(), &berth.Registration{Node: "n1", Service: s})
	}
	for _, k := range sorted(a.checks) {
		_ = a.store.Register(context.Background(), &berth.Registration{Node: "n1", Check: k})
	}
}

func (a *fakeAgent) drop(d *berth.Deregistration) {
	d.Node = "n1"
	_ = a.store.Deregister(context.Background(), d)
}

func (a *fakeAgent) Services() []*berth.ServiceInstance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return sorted(a.services)
}

func (a *fakeAgent) Checks() []*berth.Check {
	a.mu.Lock()
	defer a.mu.Unlock()
	return sorted(a.checks)
}

func (a *fakeAgent) Watch() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

func (a *fakeAgent) RegisterService(_ context.Context, d *berth.ServiceDefinition, replaceChecks bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range d.AllChecks() {
		if len(k.ScriptArgs) > 0 {
			return berth.ErrScriptsDisabled
		}
	}
	a.lastDef, a.replaced = d, replaceChecks
	s := &berth.ServiceInstance{Node: "n1", ID: d.ID, Name: d.Name, Tags: d.Tags, Address: d.Address, Meta: d.Meta, Port: d.Port, Weights: d.Weights}
	if s.ID == "" {
		s.ID = d.Name
	}
	a.services[s.ID] = s
	for i, k := range d.AllChecks() {
		id := k.ID
		if id == "" {
			id = "service:" + s.ID
			if len(d.AllChecks()) > 1 {
				id = fmt.Sprintf("%s:%d", id, i+1)
			}
		}
		a.addCheck(id, k, s)
	}
	a.publish()
	return nil
}

func (a *fakeAgent) addCheck(id string, d *berth.CheckDefinition, s *berth.ServiceInstance) {
	k := &berth.Check{Node: "n1", CheckID: id, Name: d.Name, Status: d.Status, Notes: d.Notes, Type: d.Kind()}
	if k.Status == "" {
		k.Status = berth.StatusCritical
	}
	switch {
	case s == nil:
		k.Interval, k.Timeout = d.Interval.String(), d.Timeout.String()
	default:
		k.ServiceID, k.ServiceName, k.ServiceTags = s.ID, s.Name, s.Tags
		if d.Interval > 0 {
			k.Interval = d.Interval.String()
		}
		if d.Timeout > 0 {
			k.Timeout = d.Timeout.String()
		}
	}
	if k.Name == "" && s != nil {
		k.Name = "Service '" + s.Name + "' check"
	}
	a.checks[id] = k
}

func (a *fakeAgent) DeregisterService(_ context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.services[id] == nil {
		return fmt.Errorf("deregister %q: %w", id, berth.ErrUnknownService)
	}
	delete(a.services, id)
	for _, k := range sorted(a.checks) {
		if k.ServiceID == id {
			delete(a.checks, k.CheckID)
		}
	}
	a.drop(&berth.Deregistration{ServiceID: id})
	a.publish()
	return nil
}

func (a *fakeAgent) RegisterCheck(_ context.Context, d *berth.CheckDefinition) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.services[d.ServiceID]
	if d.ServiceID != "" && s == nil {
		return berth.ErrUnknownService
	}
	a.lastChk = d
	id := d.ID
	if id == "" {
		id = d.Name
	}
	a.addCheck(id, d, s)
	a.publish()
	return nil
}

func (a *fakeAgent) DeregisterCheck(_ context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.checks[id] == nil {
		return berth.ErrUnknownCheck
	}
	delete(a.checks, id)
	a.drop(&berth.Deregistration{CheckID: id})
	return nil
}

func (a *fakeAgent) UpdateTTL(id, status, output string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.checks[id]
	switch {
	case old == nil:
		return berth.ErrUnknownCheck
	case old.Type != berth.CheckTTL:
		return berth.ErrNotTTL
	}
	k := *old
	k.Status, k.Output = status, output
	a.checks[id] = &k
	a.publish()
	return nil
}

func (a *fakeAgent) maintain(id, name, notes string, on bool, s *berth.ServiceInstance) {
	if !on {
		delete(a.checks, id)
		a.drop(&berth.Deregistration{CheckID: id})
		return
	}
	k := &berth.Check{Node: "n1", CheckID: id, Name: name, Status: berth.StatusCritical, Notes: notes, Type: berth.CheckMaintenance}
	if s != nil {
		k.ServiceID, k.ServiceName, k.ServiceTags = s.ID, s.Name, s.Tags
	}
	a.checks[id] = k
	a.publish()
}

func (a *fakeAgent) ServiceMaintenance(id string, on bool, reason string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.services[id]
	if s == nil {
		return berth.ErrUnknownService
	}
	a.maintain(berth.ServiceMaintenancePrefix+id, "Service Maintenance Mode", reason, on, s)
	return nil
}

func (a *fakeAgent) NodeMaintenance(on bool, reason string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if reason == "" {
		reason = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
	}
	a.maintain(berth.NodeMaintenanceCheckID, "Node Maintenance Mode", reason, on, nil)
	return nil
}

func (a *fakeAgent) Forget(_ context.Context, d *berth.Deregistration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgot = append(a.forgot, *d)
	return true
}

// forgotten is what the agent was told to forget so far.
func (a *fakeAgent) forgotten() []berth.Deregistration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.forgot)
}
