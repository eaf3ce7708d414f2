package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth"
)

// fakeCatalog is a catalog of one node in memory, with faults on demand.
type fakeCatalog struct {
	mu       sync.Mutex
	node     *berth.Node
	services map[string]*berth.ServiceInstance
	checks   map[string]*berth.Check
	batches  [][]berth.CatalogOp // all that arrived
	states   int                 // NodeState calls

	delay  time.Duration
	down   error                             // every call fails with it, nothing is written
	lose   int                               // so many writes are taken but their answer is lost
	refuse func(op berth.CatalogOp) error    // per operation
	before func(ops []berth.CatalogOp) error // per write
}

func newFake() *fakeCatalog {
	return &fakeCatalog{services: map[string]*berth.ServiceInstance{}, checks: map[string]*berth.Check{}}
}

func (f *fakeCatalog) wait(ctx context.Context) error {
	f.mu.Lock()
	d := f.delay
	f.mu.Unlock()
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (f *fakeCatalog) NodeState(ctx context.Context, node string) (*berth.NodeServices, error) {
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states++
	if f.down != nil {
		return nil, f.down
	}
	ns := &berth.NodeServices{Node: f.node}
	for _, id := range slices.Sorted(maps.Keys(f.services)) {
		ns.Services = append(ns.Services, f.services[id])
	}
	for _, id := range slices.Sorted(maps.Keys(f.checks)) {
		ns.Checks = append(ns.Checks, f.checks[id])
	}
	return ns, nil
}

func (f *fakeCatalog) Write(ctx context.Context, ops []berth.CatalogOp) ([]error, error) {
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, f.down
	}
	if f.before != nil {
		if err := f.before(ops); err != nil {
			return nil, err
		}
	}
	f.batches = append(f.batches, ops)
	errs := make([]error, len(ops))
	bad := false
	for i, op := range ops {
		errs[i] = f.apply(op)
		bad = bad || errs[i] != nil
	}
	if f.lose > 0 {
		f.lose--
		return nil, errors.New("connection reset")
	}
	if !bad {
		return nil, nil
	}
	return errs, nil
}

func (f *fakeCatalog) apply(op berth.CatalogOp) error {
	if f.refuse != nil {
		if err := f.refuse(op); err != nil {
			return err
		}
	}
	if d := op.Deregister; d != nil {
		f.deregister(d)
		return nil
	}
	r := op.Register
	if f.node == nil || !r.SkipNodeUpdate {
		f.node = &berth.Node{ID: r.ID, Name: r.Node, Address: r.Address, Meta: r.NodeMeta, TaggedAddresses: r.TaggedAddresses}
	}
	if r.Service != nil {
		f.services[r.Service.ID] = r.Service
	}
	checks := r.Checks
	if r.Check != nil {
		checks = append(slices.Clone(checks), r.Check)
	}
	for _, c := range checks {
		if c.ServiceID != "" && f.services[c.ServiceID] == nil {
			return fmt.Errorf("Unknown service ID '%s' for check ID '%s'", c.ServiceID, c.CheckID)
		}
		f.checks[c.CheckID] = c
	}
	return nil
}

func (f *fakeCatalog) deregister(d *berth.Deregistration) {
	switch {
	case d.ServiceID != "":
		s := f.services[d.ServiceID]
		if s == nil || (d.Owner != "" && s.Meta[berth.MetaOwner] != d.Owner) {
			return
		}
		delete(f.services, d.ServiceID)
		for id, c := range f.checks {
			if c.ServiceID == d.ServiceID {
				delete(f.checks, id)
			}
		}
	case d.CheckID != "":
		delete(f.checks, d.CheckID)
	default:
		f.node = nil
		clear(f.services)
		clear(f.checks)
	}
}

func (f *fakeCatalog) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// ids are the service and check IDs in the catalog, in one line.
func (f *fakeCatalog) ids() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := slices.Sorted(maps.Keys(f.services))
	for _, id := range slices.Sorted(maps.Keys(f.checks)) {
		ids = append(ids, id+"="+f.checks[id].Status)
	}
	return strings.Join(ids, " ")
}

func (f *fakeCatalog) check(id string) berth.Check {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.checks[id]; c != nil {
		return *c
	}
	return berth.Check{}
}

func (f *fakeCatalog) writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.batches)
}

// differs says how the catalog is not as the agent wants it; nil: it is.
func (f *fakeCatalog) differs(a *Agent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	services, checks := a.Services(), a.Checks()
	if len(services) != len(f.services) || len(checks) != len(f.checks) {
		return fmt.Errorf("agent has %d services and %d checks, catalog %d and %d", len(services), len(checks), len(f.services), len(f.checks))
	}
	for _, s := range services {
		if r := f.services[s.ID]; r == nil || !sameService(s, r) {
			return fmt.Errorf("service %s: agent has %+v, catalog %+v", s.ID, s, r)
		}
	}
	for _, c := range checks {
		if r := f.checks[c.CheckID]; r == nil || !sameCheck(c, r, true) {
			return fmt.Errorf("check %s: agent has %+v, catalog %+v", c.CheckID, c, r)
		}
	}
	return nil
}

func testConfig(f Catalog) Config {
	return Config{
		Logger: slog.New(slog.DiscardHandler), Node: "n1", NodeID: "11111111-2222-3333-4444-555555555555",
		Datacenter: "dc1", Address: "10.0.0.1", NodeMeta: map[string]string{"rack": "r1"},
		Catalog: f, CheckUpdateInterval: 5 * time.Minute,
	}
}

func newAgent(t testing.TB, cfg Config) *Agent {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// start runs a until the returned function is called, which waits for its end.
func start(t testing.TB, a *Agent) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func svc(id string, port int) berth.ServiceDefinition {
	return berth.ServiceDefinition{ID: id, Name: "web", Port: port}
}

func owned(id, owner string, checks ...*berth.CheckDefinition) berth.ServiceDefinition {
	return berth.ServiceDefinition{
		ID: id, Name: "web", Port: 80, Checks: checks,
		Meta: map[string]string{berth.MetaSource: berth.SourceDocker, berth.MetaOwner: owner},
	}
}

// advance lets the fake clock of a synctest bubble run and everything due happen.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
