package state_test

import (
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/state"
)

func (b *box) query(q *berth.PreparedQuery) (err error) {
	b.do(func(tx *state.Tx, idx uint64) { err = tx.QuerySet(idx, q) })
	return err
}

func TestTx_Query(t *testing.T) {
	b := newBox(t)
	b.fill()
	web := berth.ServiceQuery{Service: "web"}
	for text, q := range map[string]*berth.PreparedQuery{
		"Missing Query ID":                                    {Name: "x", Service: web},
		"Must be bound to a session":                          {ID: "x", Service: web},
		"Must provide a Service name to query":                {ID: "x", Name: "x"},
		`invalid session "nope"`:                              {ID: "x", Session: "nope", Service: web},
		"name 'FIND-web' aliases an existing query name":      {ID: "x", Name: "FIND-web", Service: web},
		"name '" + queryID + "' aliases an existing query ID": {ID: "x", Name: queryID, Service: web},
		"Targets cannot be populated with NearestN or Datacenters": {ID: "x", Name: "x",
			Service: berth.ServiceQuery{Service: "web", Failover: berth.QueryFailover{NearestN: 1, Targets: []berth.QueryFailoverTarget{{Datacenter: "dc2"}}}}},
	} {
		b.wantErr(b.query(q), text)
	}
	if err := state.CheckQuery(&berth.PreparedQuery{Template: berth.QueryTemplate{Type: "name_prefix_match", Regexp: "("}, Service: web}); err == nil {
		t.Error("a broken regular expression is not refused before it is proposed")
	}
	b.wantFired(func() { testutil.NoError(t, b.query(&berth.PreparedQuery{ID: "q3", Name: "third", Service: web})) }, "queries")
	b.wantFired(func() {
		testutil.NoError(t, b.query(&berth.PreparedQuery{ID: queryID, Name: "renamed", Service: web}))
	}, "queries", "query find-web")
	_, q := b.read().Query(nil, queryID)
	if q.Name != "renamed" || q.CreateIndex == q.ModifyIndex || q.ModifyIndex != b.index {
		t.Errorf("updated query is %+v", q)
	}
	if q, _ := b.read().QueryLookup("find-web"); q != nil {
		t.Error("the old name still finds it")
	}
	b.wantFired(func() { b.do(func(tx *state.Tx, idx uint64) { tx.QueryDelete(idx, queryID) }) }, "queries", "query find-web")
	if idx, q := b.read().Query(nil, queryID); q != nil || idx != b.index {
		t.Errorf("deleted query: %v at %d", q, idx)
	}
}

func TestReader_QueryLookup(t *testing.T) {
	b := newBox(t)
	for id, name := range map[string]string{"id-geo": "geo-", "id-geo-db": "geo-db", "id-all": ""} {
		testutil.NoError(t, b.query(&berth.PreparedQuery{ID: id, Name: name, Service: berth.ServiceQuery{Service: "${name.full}"},
			Template: berth.QueryTemplate{Type: "name_prefix_match", Regexp: "^(.*)$"}}))
	}
	testutil.NoError(t, b.query(&berth.PreparedQuery{ID: "id-plain", Name: "geo-exact", Service: berth.ServiceQuery{Service: "web"}}))
	for name, want := range map[string]string{
		"geo-exact": "id-plain", "GEO-EXACT": "id-plain", "id-plain": "id-plain",
		"geo-x": "id-geo", "geo-db-1": "id-geo-db", "Geo-DB": "id-geo-db", "other": "id-all",
	} {
		q, re := b.read().QueryLookup(name)
		if q == nil || q.ID != want || (re != nil) != (q.Template.Type != "") {
			t.Errorf("%s finds %+v, want %s", name, q, want)
		}
	}
	if q, _ := b.read().QueryLookup(""); q != nil {
		t.Errorf("no name finds %+v", q)
	}
	b.wantErr(b.query(&berth.PreparedQuery{ID: "x", Template: berth.QueryTemplate{Type: "name_prefix_match"}, Service: berth.ServiceQuery{Service: "web"}}),
		"a template that matches all names exists already: give this one a name")
}

func TestTx_Coordinates(t *testing.T) {
	b := newBox(t)
	b.fill()
	set := func(node string, x float64) {
		b.do(func(tx *state.Tx, idx uint64) {
			tx.Coordinates(idx, []berth.NodeCoordinate{{Node: node, Coord: &berth.Coordinate{Vec: []float64{x, 2}, Error: 1.5}}})
		})
	}
	b.wantFired(func() { set("a", 1) }) // unchanged
	b.wantFired(func() { set("nope", 1) })
	b.wantFired(func() { set("A", 3) }, "coordinates", "coordinate a")
	if idx, cs := b.read().Coordinates(nil, "a"); idx != b.index || len(cs) != 1 || cs[0].Node != "a" || cs[0].Coord.Vec[0] != 3 {
		t.Errorf("got %+v at %d", cs, idx)
	}
	b.deregister(&berth.Deregistration{Node: "a"})
	if idx, cs := b.read().Coordinates(nil, ""); idx != b.index || len(cs) != 0 {
		t.Errorf("after its node went: %+v at %d", cs, idx)
	}
}

func TestTx_Autopilot(t *testing.T) {
	b := newBox(t)
	set := func(c berth.AutopilotConfig, cas bool) (ok bool) {
		b.do(func(tx *state.Tx, idx uint64) { ok = tx.Autopilot(idx, c, cas) })
		return ok
	}
	if _, c := b.read().Autopilot(); c != nil {
		t.Errorf("empty store has %+v", c)
	}
	if !set(berth.AutopilotConfig{MinQuorum: 3}, false) || set(berth.AutopilotConfig{MinQuorum: 5, ModifyIndex: 9}, true) {
		t.Error("set or compare-and-set is wrong")
	}
	if !set(berth.AutopilotConfig{MinQuorum: 5, ModifyIndex: 1}, true) {
		t.Error("a matching compare-and-set was refused")
	}
	idx, c := b.read().Autopilot()
	testutil.Equal(t, []any{idx, *c}, []any{uint64(3), berth.AutopilotConfig{MinQuorum: 5, CreateIndex: 1, ModifyIndex: 3}})
}
