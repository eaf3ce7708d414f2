package state_test

import (
	"slices"
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/state"
)

// load copies the catalog of a server into a new replica.
func load(t *testing.T, r *state.Reader) *state.Store {
	t.Helper()
	l := state.NewLoader(nil)
	for rec := range r.CatalogRecords() {
		testutil.NoError(t, l.Add(rec))
	}
	return l.Done(r.Index())
}

// A replica that starts from a snapshot and applies deltas, with superseded ones left out as a
// change stream does, has the server's catalog.
func TestStore_ApplyDeltas_Superseded(t *testing.T) {
	b := newBox(t)
	b.fill()
	replica := load(t, b.read())
	if replica.Index() != b.index || replica.Read().CatalogHash() != b.read().CatalogHash() {
		t.Fatal("the snapshot's copy differs")
	}
	from := len(b.commits)
	for _, port := range []int{1, 2, 3} {
		b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "db-1", Name: "db", Port: port}})
	}
	b.register(&berth.Registration{Node: "d", Address: "10.0.0.4", Service: &berth.ServiceInstance{Name: "brief"}, Check: &berth.Check{CheckID: "x", ServiceID: "brief"}})
	b.deregister(&berth.Deregistration{Node: "d"})
	b.deregister(&berth.Deregistration{Node: "b", ServiceID: "web-2"})
	b.register(&berth.Registration{ID: idC, Node: "c2", Address: "10.0.0.3"}) // renames c
	var all []state.Delta
	for _, c := range b.commits[from:] {
		all = append(all, c.Deltas...)
	}
	var newest []state.Delta
	for i, d := range all {
		if !slices.ContainsFunc(all[i+1:], func(later state.Delta) bool { return later.Key() == d.Key() }) {
			newest = append(newest, d)
		}
	}
	if len(newest) >= len(all) {
		t.Fatalf("nothing was superseded among %d deltas", len(all))
	}
	testutil.NoError(t, replica.ApplyDeltas(b.index, newest))
	if replica.Read().CatalogHash() != b.read().CatalogHash() || replica.Index() != b.index {
		t.Error("the replica differs")
	}
	if _, u := replica.Read().Usage(nil); u != (berth.Usage{Nodes: 3, Services: 2, ServiceInstances: 2}) {
		t.Errorf("usage is %+v", u)
	}
}

func TestStore_ApplyDeltas_AnnouncesChanges(t *testing.T) {
	b := newBox(t)
	b.fill()
	var commits []state.Commit
	replica := state.New(func(c state.Commit) { commits = append(commits, c) })
	for _, c := range b.commits {
		testutil.NoError(t, replica.ApplyDeltas(c.Index, c.Deltas))
	}
	for i, c := range commits {
		testutil.Equal(t, [2]any{c.Index, c.Changes}, [2]any{b.commits[i].Index, b.commits[i].Changes})
	}
	for name, f := range map[string]func(*state.Reader) uint64{
		"web":      func(r *state.Reader) uint64 { return first(r.Service(nil, "web")) },
		"services": func(r *state.Reader) uint64 { return first(r.Services(nil)) },
		"node a":   func(r *state.Reader) uint64 { return first(r.NodeServices(nil, "a")) },
	} {
		if got, want := f(replica.Read()), f(b.read()); got != want {
			t.Errorf("index of %s is %d, on the server %d", name, got, want)
		}
	}
}

func TestStore_ApplyDeltas_RefusesBrokenOnes(t *testing.T) {
	b := newBox(t)
	b.fill()
	hash := b.read().Hash()
	for text, d := range map[string]state.Delta{
		"catalog delta without a row":                       {},
		`service "x" on node "": the key is not complete`:   {Service: &berth.ServiceInstance{ID: "x"}},
		`check "" on node "a": the key is not complete`:     {Check: &berth.Check{Node: "a"}},
		`node "" on node "": the key is not complete`:       {Deleted: true, Node: &berth.Node{}},
		`node "a\x00" contains a zero byte; take it out`:    {Node: &berth.Node{Name: "a\x00"}},
		`service "x\x00" contains a zero byte; take it out`: {Service: &berth.ServiceInstance{Node: "a", ID: "x\x00"}},
	} {
		err := b.s.ApplyDeltas(99, []state.Delta{{Node: &berth.Node{Name: "new"}}, d})
		if err == nil || !strings.HasSuffix(err.Error(), text) {
			t.Errorf("got %v, want %s", err, text)
		}
	}
	if b.read().Hash() != hash || b.s.Index() == 99 {
		t.Error("refused deltas were applied in part")
	}
}

func TestLoader_RefusesWhatDoesNotFit(t *testing.T) {
	node := state.Record{Node: &berth.Node{Name: "n"}}
	service := state.Record{Service: &berth.ServiceInstance{Node: "n", ID: "s", Name: "s"}}
	check := state.Record{Check: &berth.Check{Node: "n", CheckID: "c", ServiceID: "s"}}
	session := state.Record{Session: &berth.Session{ID: "x", Node: "n"}}
	kv := state.Record{KV: &berth.KVEntry{Key: "k", Session: "x"}}
	for text, recs := range map[string][]state.Record{
		"record without a row":                                 {{}},
		`service "s" is on the unknown node "n"`:               {service},
		`check "c" is on the unknown node "n"`:                 {check},
		`check "c" is for the unknown service "s" on node "n"`: {node, check},
		`session "x" is on the unknown node "n"`:               {session},
		`key "k" is locked by the unknown session "x"`:         {node, kv},
		`node "n" is there twice`:                              {node, node},
		`service "s" is on node "n" twice`:                     {node, service, service},
		`check "c" is on node "n" twice`:                       {node, service, check, check},
		`session "x" is there twice`:                           {node, session, session},
		`key "k" is there twice`:                               {node, session, kv, kv},
		`index of the unknown service "s"`:                     {node, {Index: &state.IndexRow{Kind: "service", Of: "s"}}},
		`index of the unknown node "m"`:                        {node, {Index: &state.IndexRow{Kind: "node", Of: "m"}}},
		`coordinate of the unknown node "m"`:                   {{Coordinate: &berth.NodeCoordinate{Node: "m"}}},
	} {
		l := state.NewLoader(nil)
		var err error
		for _, rec := range recs {
			err = l.Add(rec)
		}
		if err == nil || err.Error() != text {
			t.Errorf("got %v, want %s", err, text)
		}
	}
}

// A row from another version of berth may lack what this one's registration would fill in.
func TestLoader_FillsWeights(t *testing.T) {
	l := state.NewLoader(nil)
	testutil.NoError(t, l.Add(state.Record{Node: &berth.Node{Name: "n"}}))
	testutil.NoError(t, l.Add(state.Record{Service: &berth.ServiceInstance{Node: "n", ID: "s", Name: "s"}}))
	testutil.NoError(t, l.Add(state.Record{Index: &state.IndexRow{Kind: "of a later version", Index: 7}}))
	s := l.Done(3)
	if w := s.Read().Instance("n", "s").Weights; w == nil || *w != (berth.Weights{Passing: 1, Warning: 1}) {
		t.Errorf("weights are %v", w)
	}
}
