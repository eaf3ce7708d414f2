package state_test

import (
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/store/state"
)

// overdue are the checks that ask for their services' removal, and when, as seconds.
func overdue(s *state.Store) map[string]int64 {
	all, _, _ := s.Overdue()
	out := map[string]int64{}
	for _, o := range all {
		out[o.Check.Node+"/"+o.Check.CheckID] = o.At.Unix()
	}
	return out
}

func TestStore_Overdue(t *testing.T) {
	s := state.New(nil)
	at := func(sec int64, idx uint64, ops ...berth.CatalogOp) {
		t.Helper()
		tx := s.Begin()
		for _, err := range tx.Catalog(idx, sec*int64(time.Second), ops) {
			testutil.NoError(t, err)
		}
		tx.Commit(idx)
	}
	set := func(node, id, status string, after time.Duration) berth.CatalogOp {
		c := &berth.Check{CheckID: id, Status: status, DeregisterAfter: berth.Duration(after)}
		r := &berth.Registration{Node: node, Address: "10.0.0.1", Check: c}
		if id != berth.NodeHealthCheckID {
			c.ServiceID, r.Service = "web", &berth.ServiceInstance{Name: "web"}
		}
		return berth.CatalogOp{Register: r}
	}
	reap := func(node, id string) berth.CatalogOp {
		return berth.CatalogOp{Deregister: &berth.Deregistration{Node: node, CheckID: id, Overdue: true}}
	}
	const sec, dead = time.Second, berth.NodeHealthCheckID

	at(100, 1, set("a", dead, "passing", 0), set("a", "own", "critical", 10*sec), set("a", "ok", "passing", 20*sec), set("a", "never", "critical", 0))
	testutil.Equal(t, overdue(s), map[string]int64{}) // the agent lives, so it does it
	at(105, 2, set("a", dead, "critical", 0))
	want := map[string]int64{"a/own": 110, "a/ok": 125}
	testutil.Equal(t, overdue(s), want)
	at(107, 3, set("a", dead, "critical", 0), set("a", "own", "critical", 10*sec)) // said again: it counts from the first time
	testutil.Equal(t, overdue(s), want)

	at(109, 4, reap("a", "own"))
	testutil.Equal(t, s.Read().Instance("a", "web") != nil, true) // too early
	at(120, 5, set("a", dead, "passing", 0), reap("a", "own"))
	testutil.Equal(t, s.Read().Instance("a", "web") != nil, true) // the agent came back just before
	at(121, 6, set("a", dead, "critical", 0), reap("a", "own"))
	testutil.Equal(t, s.Read().Instance("a", "web") == nil, true)
	_, n := s.Read().Node(nil, "a")
	testutil.Equal(t, len(n.Forgotten), 0) // nobody tells the agent that it shall not come back
	testutil.Equal(t, overdue(s), map[string]int64{})

	// A node without an agent: only the check itself counts, and less than a second is a second.
	at(200, 7, set("ext", "own", "passing", sec/10))
	testutil.Equal(t, overdue(s), map[string]int64{})
	at(210, 8, set("ext", "own", "critical", sec/10))
	testutil.Equal(t, overdue(s), map[string]int64{"ext/own": 211})
	at(211, 9, set("ext", "own", "warning", sec/10), reap("ext", "own"))
	testutil.Equal(t, s.Read().Instance("ext", "web") != nil, true)
}
