package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"berth"
)

func (s *fakeStore) Session(ctx context.Context, id string, q berth.QueryOptions) (v *berth.Session, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() { v = s.sessions[id] })
	return v, m, err
}

func (s *fakeStore) Sessions(ctx context.Context, node string, q berth.QueryOptions) (out []*berth.Session, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() {
		for _, v := range sorted(s.sessions) {
			if node == "" || v.Node == node {
				out = append(out, v)
			}
		}
	})
	return out, m, err
}

func (s *fakeStore) SessionCreate(_ context.Context, v *berth.Session) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range v.NodeChecks {
		if s.checks[v.Node][id] == nil {
			return "", berth.Rejected(fmt.Sprintf("Missing check '%s' registration", id))
		}
	}
	stored := *v
	stored.CreateIndex = s.commit()
	stored.ModifyIndex = stored.CreateIndex
	stored.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", stored.CreateIndex)
	s.sessions[stored.ID] = &stored
	return stored.ID, nil
}

func (s *fakeStore) SessionDestroy(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, id)
	s.commit()
	return nil
}

func (s *fakeStore) SessionRenew(_ context.Context, id string) (*berth.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.sessions[id]; v != nil {
		return v, nil
	}
	return nil, berth.ErrSessionNotFound
}

func (s *fakeStore) FireEvent(_ context.Context, e *berth.UserEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := *e
	got.LTime = uint64(len(s.events)) + 2
	s.events = append(s.events, &got)
	close(s.fired)
	s.fired = make(chan struct{})
	return nil
}

func (s *fakeStore) Events() []*berth.UserEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *fakeStore) EventsChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fired
}

// Txn knows the KV verbs that the recorded exchanges use; it applies nothing when one fails.
func (s *fakeStore) Txn(_ context.Context, ops []berth.TxnOp) (berth.TxnResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.txn(ops), nil
}

func (s *fakeStore) TxnRead(ctx context.Context, ops []berth.TxnOp, q berth.QueryOptions) (r berth.TxnResponse, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() { r = s.txn(ops) })
	return r, m, err
}

func (s *fakeStore) txn(ops []berth.TxnOp) (r berth.TxnResponse) {
	for i, op := range ops {
		if op.KV == nil {
			continue
		}
		e := s.kv[op.KV.Entry.Key]
		switch {
		case op.KV.Verb == berth.KVCheckNotExists && e != nil:
			r.Errors = append(r.Errors, &berth.TxnError{OpIndex: i, What: fmt.Sprintf("key %q exists", e.Key)})
		case op.KV.Verb == berth.KVGet && e == nil:
			r.Errors = append(r.Errors, &berth.TxnError{OpIndex: i, What: fmt.Sprintf("key %q doesn't exist", op.KV.Entry.Key)})
		}
	}
	if len(r.Errors) > 0 {
		return r
	}
	for _, op := range ops {
		switch {
		case op.KV == nil:
			if op.Service != nil {
				r.Results = append(r.Results, &berth.TxnResult{Service: &op.Service.Service})
			}
			if op.Node != nil {
				r.Results = append(r.Results, &berth.TxnResult{Node: &op.Node.Node})
			}
			if op.Check != nil {
				r.Results = append(r.Results, &berth.TxnResult{Check: &op.Check.Check})
			}
		case op.KV.Verb == berth.KVGet:
			r.Results = append(r.Results, &berth.TxnResult{KV: s.kv[op.KV.Entry.Key]})
		case op.KV.Verb == berth.KVSet:
			_, _ = s.kvApply(*op.KV) // a plain set does not fail
			e := *s.kv[op.KV.Entry.Key]
			e.Value = nil
			r.Results = append(r.Results, &berth.TxnResult{KV: &e})
		}
	}
	return r
}

func (s *fakeStore) Query(ctx context.Context, id string, q berth.QueryOptions) (v *berth.PreparedQuery, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() { v = s.query(id) })
	return v, m, err
}

func (s *fakeStore) query(idOrName string) *berth.PreparedQuery {
	for _, v := range s.queries {
		if v.ID == idOrName || v.Name == idOrName {
			return v
		}
	}
	return nil
}

func (s *fakeStore) Queries(ctx context.Context, q berth.QueryOptions) (out []*berth.PreparedQuery, m berth.QueryMeta, err error) {
	m, err = s.view(ctx, q, func() { out = sorted(s.queries) })
	return out, m, err
}

func (s *fakeStore) QueryApply(_ context.Context, verb string, q *berth.PreparedQuery) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := *q
	i := s.commit()
	stored.CreateIndex, stored.ModifyIndex = i, i
	switch verb {
	case "create":
		stored.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
	case "update":
		if s.queries[q.ID] == nil {
			return "", berth.Rejected("Cannot modify non-existent prepared query: '" + q.ID + "'")
		}
	case "delete":
		delete(s.queries, q.ID)
		return q.ID, nil
	}
	s.queries[stored.ID] = &stored
	return stored.ID, nil
}

func (s *fakeStore) QueryExecute(_ context.Context, idOrName string, from berth.QuerySource, limit int) (*berth.QueryResult, berth.QueryMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastNear, s.lastSource = from.Near, from
	q := s.query(idOrName)
	if q == nil {
		return nil, berth.QueryMeta{}, nil
	}
	r := &berth.QueryResult{Service: q.Service.Service, DNS: q.DNS, Datacenter: "dc1"}
	for _, e := range s.entries(q.Service.Service, nil) {
		if e.Status() == berth.StatusPassing && (limit == 0 || len(r.Nodes) < limit) {
			r.Nodes = append(r.Nodes, e)
		}
	}
	return r, berth.QueryMeta{Index: 1, KnownLeader: true}, nil
}

func (s *fakeStore) QueryExplain(_ context.Context, idOrName string) (*berth.PreparedQuery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.query(idOrName), nil
}

// fakeCluster is the part of fakeStore that is not the replicated state.
type fakeCluster struct {
	store      *fakeStore
	coords     []berth.NodeCoordinate
	lastNear   string
	lastSource berth.QuerySource
	lastRoute  atomic.Pointer[berth.Route]
	forward    func(w http.ResponseWriter, r *http.Request, route berth.Route) bool
	snapshot   []byte
	restored   []byte
	joined     []string
	left       atomic.Bool
	keyErr     string
	unhealthy  bool
	failUsage  bool
	saveBreaks bool

	datacenters []string
}

var errFake = errors.New("disk on fire")

func (f *fakeCluster) Datacenters() []string {
	if f.datacenters != nil {
		return f.datacenters
	}
	return []string{"dc1"}
}

func (f *fakeCluster) Coordinates(ctx context.Context, node string, q berth.QueryOptions) (out []berth.NodeCoordinate, m berth.QueryMeta, err error) {
	m, err = f.store.view(ctx, q, func() {
		for _, c := range f.coords {
			if node == "" || c.Node == node {
				out = append(out, c)
			}
		}
	})
	return out, m, err
}

func (f *fakeCluster) DatacenterCoordinates() []berth.DatacenterCoordinates {
	return []berth.DatacenterCoordinates{{Datacenter: "dc1", AreaID: "wan", Coordinates: []berth.NodeCoordinate{{Node: "n1", Coord: f.Coordinate()}}}}
}

func (f *fakeCluster) CoordinateUpdate(_ context.Context, c berth.NodeCoordinate) error {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	f.coords = append(f.coords, c)
	return nil
}

func (f *fakeCluster) Leader() string  { return "127.0.0.1:8300" }
func (f *fakeCluster) Peers() []string { return []string{"127.0.0.1:8300"} }

func (f *fakeCluster) RaftConfiguration(context.Context) ([]berth.Server, uint64, error) {
	return []berth.Server{{ID: nodeID, Node: "n1", Address: "127.0.0.1:8300", Leader: true, ProtocolVersion: "3", Voter: true, LastIndex: 17}}, 0, nil
}

func (f *fakeCluster) RaftRemovePeer(_ context.Context, id, address string) error {
	if address == "10.0.0.9:8300" {
		return nil
	}
	return berth.Rejected(fmt.Sprintf("address %q was not found in the Raft configuration", id+address))
}
func (f *fakeCluster) TransferLeader(context.Context, string) error { return nil }

func (f *fakeCluster) AutopilotConfig() (berth.AutopilotConfig, error) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	return f.store.autoConf, nil
}

func (f *fakeCluster) SetAutopilotConfig(_ context.Context, c berth.AutopilotConfig, cas bool) (bool, error) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	if cas && c.ModifyIndex != f.store.autoConf.ModifyIndex {
		return false, nil
	}
	f.store.autoConf = c
	return true, nil
}

func (f *fakeCluster) AutopilotHealth() (berth.AutopilotHealth, error) {
	return berth.AutopilotHealth{Healthy: !f.unhealthy, Servers: []berth.ServerHealth{{ID: nodeID, Name: "n1", Address: "127.0.0.1:8300", SerfStatus: "alive",
		Version: "1.21.4", Leader: true, LastTerm: 2, LastIndex: 17, Healthy: true, Voter: true, StableSince: time.Unix(1, 0).UTC()}}}, nil
}

func (f *fakeCluster) Keyring(_ context.Context, op, key string, _ int, _ bool) ([]berth.KeyringResponse, error) {
	return []berth.KeyringResponse{{Datacenter: "dc1", Keys: map[string]int{op + key: 1}, PrimaryKeys: map[string]int{}, NumNodes: 1, Error: f.keyErr}}, nil
}

func (f *fakeCluster) Usage(ctx context.Context, q berth.QueryOptions) (u berth.Usage, m berth.QueryMeta, err error) {
	if f.failUsage {
		return u, m, errFake
	}
	m, err = f.store.view(ctx, q, func() {
		names := map[string]bool{}
		for _, services := range f.store.services {
			for _, v := range services {
				names[v.Name] = true
				u.ServiceInstances++
			}
		}
		u.Nodes, u.Services = len(f.store.nodes), len(names)
	})
	return u, m, err
}

func (f *fakeCluster) SnapshotSave(_ context.Context, w io.Writer) error {
	if _, err := w.Write(f.snapshot); err != nil {
		return err
	}
	if f.saveBreaks {
		return errFake
	}
	return nil
}

func (f *fakeCluster) SnapshotRestore(_ context.Context, r io.Reader) (err error) {
	f.restored, err = io.ReadAll(r)
	return err
}

func (f *fakeCluster) Members(wan bool) []berth.Member {
	m := f.LocalMember()
	if wan {
		m.Name, m.Port = "n1.dc1", 8302
	}
	return []berth.Member{m}
}

func (f *fakeCluster) LocalMember() berth.Member {
	return berth.Member{Name: "n1", Addr: "127.0.0.1", Port: 8301, Tags: map[string]string{"role": "consul", "dc": "dc1"}, Status: berth.MemberAlive,
		ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4}
}

func (f *fakeCluster) Coordinate() *berth.Coordinate {
	return &berth.Coordinate{Vec: make([]float64, 8), Error: 1.5, Height: 1e-05}
}

func (f *fakeCluster) Join(addrs []string, _ bool) (int, error) {
	f.joined = append(f.joined, addrs...)
	return len(addrs), nil
}

func (f *fakeCluster) Leave(context.Context) error { f.left.Store(true); return nil }

func (f *fakeCluster) ForceLeave(node string, _, _ bool) error {
	if node == "dead" {
		return nil
	}
	return berth.Rejected("agent: No node found with name '" + node + "'")
}

// Forward is the leader of dc1: it knows no other datacenter.
func (f *fakeCluster) Forward(w http.ResponseWriter, r *http.Request, route berth.Route) bool {
	f.lastRoute.Store(&route)
	if f.forward != nil {
		return f.forward(w, r, route)
	}
	if route.Datacenter != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, berth.ErrNoPath.Error())
		return true
	}
	return false
}

func (f *fakeCluster) Stats() map[string]map[string]string {
	return map[string]map[string]string{"consul": {"server": "true"}}
}
