package httpapi_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"berth"
)

// fakeStore is a catalog, KV store and the rest in memory, faithful enough for the recorded
// exchanges. Every write raises one index, and every blocked read waits for that.
type fakeStore struct {
	mu       sync.Mutex // guards all below
	index    uint64
	changed  chan struct{}
	nodes    map[string]*berth.Node
	services map[string]map[string]*berth.ServiceInstance // by node, by ID
	checks   map[string]map[string]*berth.Check           // by node, by CheckID
	kv       map[string]*berth.KVEntry
	sessions map[string]*berth.Session
	queries  map[string]*berth.PreparedQuery
	events   []*berth.UserEvent
	fired    chan struct{}
	autoConf berth.AutopilotConfig
	waiting  int // blocked reads

	fakeCluster
}

func newFakeStore() *fakeStore {
	s := &fakeStore{
		index: 16, changed: make(chan struct{}), fired: make(chan struct{}),
		nodes: map[string]*berth.Node{}, services: map[string]map[string]*berth.ServiceInstance{}, checks: map[string]map[string]*berth.Check{},
		kv: map[string]*berth.KVEntry{}, sessions: map[string]*berth.Session{}, queries: map[string]*berth.PreparedQuery{},
		autoConf: berth.AutopilotConfig{CleanupDeadServers: true, LastContactThreshold: berth.Duration(200 * time.Millisecond), MaxTrailingLogs: 250,
			ServerStabilizationTime: berth.Duration(10 * time.Second), CreateIndex: 4, ModifyIndex: 4},
	}
	s.fakeCluster.store = s
	self := &berth.Registration{Node: "n1", Datacenter: "dc1", ID: nodeID, Address: "127.0.0.1", TaggedAddresses: map[string]string{"lan": "127.0.0.1",
		"lan_ipv4": "127.0.0.1", "wan": "127.0.0.1", "wan_ipv4": "127.0.0.1"},
		NodeMeta: map[string]string{"consul-network-segment": "", "consul-version": "1.21.4"},
		Service: &berth.ServiceInstance{ID: "consul", Name: "consul", Tags: []string{}, Port: 8300, Weights: &berth.Weights{Passing: 1, Warning: 1},
			Meta: map[string]string{"version": "1.21.4"}},
		Check: &berth.Check{Node: "n1", CheckID: berth.NodeHealthCheckID, Name: berth.NodeHealthCheckName, Status: berth.StatusPassing, Output: "Agent alive and reachable"}}
	if err := s.Register(context.Background(), self); err != nil {
		panic(err)
	}
	return s
}

const nodeID = "d3fa51fb-8f33-f417-dbf0-67cb061934c3"

// commit raises the index and wakes readers; the caller holds mu.
func (s *fakeStore) commit() uint64 {
	s.index++
	close(s.changed)
	s.changed = make(chan struct{})
	return s.index
}

// view runs f once the index has passed q.MinIndex, or when the wait is over.
func (s *fakeStore) view(ctx context.Context, q berth.QueryOptions, f func()) (berth.QueryMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.MinIndex > 0 {
		timer := time.NewTimer(q.MaxWait)
		defer timer.Stop()
		for s.index <= q.MinIndex {
			changed := s.changed
			s.waiting++
			s.mu.Unlock()
			var err error
			over := false
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-timer.C:
				over = true
			case <-changed:
			}
			s.mu.Lock()
			s.waiting--
			if err != nil {
				return berth.QueryMeta{}, err
			}
			if over {
				break
			}
		}
	}
	f()
	return berth.QueryMeta{Index: s.index, KnownLeader: true}, nil
}

func sorted[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

func metaMatches(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func (s *fakeStore) Nodes(ctx context.Context, q berth.QueryOptions) (out []*berth.Node, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() {
		for _, n := range sorted(s.nodes) {
			if metaMatches(n.Meta, q.NodeMeta) {
				out = append(out, n)
			}
		}
	})
	return out, m, err
}

func (s *fakeStore) Node(ctx context.Context, name string, q berth.QueryOptions) (out *berth.NodeServices, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() {
		if n := s.nodes[name]; n != nil {
			out = &berth.NodeServices{Node: n, Services: sorted(s.services[name]), Checks: sorted(s.checks[name])}
		}
	})
	return out, m, err
}

func (s *fakeStore) Services(ctx context.Context, q berth.QueryOptions) (out map[string][]string, m berth.QueryMeta, err error) {
	out = map[string][]string{}
	m, err = s.view(ctx, q, func() {
		for node, services := range s.services {
			for _, v := range services {
				if metaMatches(s.nodes[node].Meta, q.NodeMeta) {
					out[v.Name] = append(out[v.Name], v.Tags...)
				}
			}
		}
	})
	for name, tags := range out {
		slices.Sort(tags)
		out[name] = slices.Compact(tags)
	}
	return out, m, err
}

// entries gives the instances of a service; the caller holds mu.
func (s *fakeStore) entries(name string, meta map[string]string) (out []*berth.HealthEntry) {
	for _, n := range sorted(s.nodes) {
		for _, v := range sorted(s.services[n.Name]) {
			if v.Name != name || !metaMatches(n.Meta, meta) {
				continue
			}
			e := &berth.HealthEntry{Node: n, Service: v}
			for _, k := range sorted(s.checks[n.Name]) {
				if k.ServiceID == "" || k.ServiceID == v.ID {
					e.Checks = append(e.Checks, k)
				}
			}
			out = append(out, e)
		}
	}
	return out
}

func (s *fakeStore) Service(ctx context.Context, name string, q berth.QueryOptions) (out []*berth.HealthEntry, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() { s.lastNear, out = q.Near, s.entries(name, q.NodeMeta) })
	return out, m, err
}

func (s *fakeStore) checksWhere(ctx context.Context, q berth.QueryOptions, keep func(*berth.Check) bool) (out []*berth.Check, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() {
		for _, checks := range sorted(s.checks) {
			for _, k := range sorted(checks) {
				if keep(k) && metaMatches(s.nodes[k.Node].Meta, q.NodeMeta) {
					out = append(out, k)
				}
			}
		}
	})
	return out, m, err
}

func (s *fakeStore) NodeChecks(ctx context.Context, node string, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error) {
	return s.checksWhere(ctx, q, func(k *berth.Check) bool { return k.Node == node })
}

func (s *fakeStore) ServiceChecks(ctx context.Context, service string, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error) {
	return s.checksWhere(ctx, q, func(k *berth.Check) bool { return k.ServiceName == service })
}

func (s *fakeStore) StateChecks(ctx context.Context, status string, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error) {
	return s.checksWhere(ctx, q, func(k *berth.Check) bool { return status == berth.StatusAny || k.Status == status })
}

func (s *fakeStore) Register(_ context.Context, r *berth.Registration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.commit()
	if s.nodes[r.Node] == nil {
		s.nodes[r.Node] = &berth.Node{ID: r.ID, Name: r.Node, Address: r.Address, Datacenter: r.Datacenter, TaggedAddresses: r.TaggedAddresses,
			Meta: r.NodeMeta, CreateIndex: i, ModifyIndex: i}
		s.services[r.Node] = map[string]*berth.ServiceInstance{}
		s.checks[r.Node] = map[string]*berth.Check{}
	}
	if r.Service != nil {
		v := *r.Service
		v.Node, v.CreateIndex, v.ModifyIndex = r.Node, i, i
		s.services[r.Node][v.ID] = &v
	}
	checks := r.Checks
	if r.Check != nil {
		checks = append(slices.Clone(checks), r.Check)
	}
	for _, given := range checks {
		k := *given
		k.CreateIndex, k.ModifyIndex = i, i
		if v := s.services[r.Node][k.ServiceID]; v != nil {
			k.ServiceName, k.ServiceTags = v.Name, v.Tags
		}
		s.checks[r.Node][k.CheckID] = &k
	}
	return nil
}

func (s *fakeStore) Deregister(_ context.Context, d *berth.Deregistration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit()
	switch {
	case d.CheckID != "":
		delete(s.checks[d.Node], d.CheckID)
	case d.ServiceID != "":
		delete(s.services[d.Node], d.ServiceID)
		maps.DeleteFunc(s.checks[d.Node], func(_ string, k *berth.Check) bool { return k.ServiceID == d.ServiceID })
	default:
		delete(s.nodes, d.Node)
		delete(s.services, d.Node)
		delete(s.checks, d.Node)
	}
	return nil
}

func (s *fakeStore) KVGet(ctx context.Context, key string, q berth.QueryOptions) (e *berth.KVEntry, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() { e = s.kv[key] })
	return e, m, err
}

func (s *fakeStore) KVList(ctx context.Context, prefix string, q berth.QueryOptions) (out []*berth.KVEntry, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() {
		for _, e := range sorted(s.kv) {
			if strings.HasPrefix(e.Key, prefix) {
				out = append(out, e)
			}
		}
	})
	return out, m, err
}

func (s *fakeStore) KVKeys(ctx context.Context, prefix, separator string, q berth.QueryOptions) ([]string, berth.QueryMeta, error) {
	entries, m, err := s.KVList(ctx, prefix, q)
	var keys []string
	for _, e := range entries {
		key := e.Key
		if head, _, cut := strings.Cut(key[len(prefix):], separator); separator != "" && cut {
			key = prefix + head + separator
		}
		keys = append(keys, key)
	}
	return slices.Compact(keys), m, err
}

func (s *fakeStore) KVApply(_ context.Context, op berth.KVOp) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kvApply(op)
}

func (s *fakeStore) kvApply(op berth.KVOp) (bool, error) {
	old := s.kv[op.Entry.Key]
	have := uint64(0)
	e := op.Entry
	if old != nil {
		have, e.CreateIndex, e.LockIndex = old.ModifyIndex, old.CreateIndex, old.LockIndex
	}
	switch op.Verb {
	case berth.KVDelete:
		delete(s.kv, e.Key)
		s.commit()
		return true, nil
	case berth.KVDeleteTree:
		maps.DeleteFunc(s.kv, func(k string, _ *berth.KVEntry) bool { return strings.HasPrefix(k, e.Key) })
		s.commit()
		return true, nil
	case berth.KVDeleteCAS:
		if old != nil && have != e.ModifyIndex {
			return false, nil
		}
		delete(s.kv, e.Key)
		s.commit()
		return true, nil
	case berth.KVCAS:
		if have != e.ModifyIndex {
			return false, nil
		}
	case berth.KVLock:
		if s.sessions[e.Session] == nil {
			return false, berth.Rejected(`invalid session "` + e.Session + `"`)
		}
		if old != nil && old.Session != "" && old.Session != e.Session {
			return false, nil
		}
		e.LockIndex++
	case berth.KVUnlock:
		if old == nil || old.Session != e.Session {
			return false, nil
		}
		e.Session = ""
	}
	e.ModifyIndex = s.commit()
	e.CreateIndex = cmp.Or(e.CreateIndex, e.ModifyIndex)
	s.kv[e.Key] = &e
	return true, nil
}
