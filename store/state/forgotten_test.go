package state_test

import (
	"fmt"
	"testing"

	"berth"
	"berth/internal/testutil"
)

// agentNode registers a node that has an agent, with an instance of a container and one without.
func agentNode(b *box) {
	b.register(&berth.Registration{ID: idA, Node: "a", Address: "10.0.0.1", Datacenter: "dc1",
		Service: &berth.ServiceInstance{ID: "web-1", Name: "web", Meta: map[string]string{berth.MetaOwner: "e/c/1"}},
		Checks: []*berth.Check{
			{CheckID: berth.NodeHealthCheckID, Name: "alive", Status: berth.StatusPassing},
			{CheckID: "web-up", ServiceID: "web-1", Status: berth.StatusPassing},
		}})
	b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "db-1", Name: "db"}})
}

func (b *box) forgotten(node string) []berth.Forgotten {
	if _, n := b.read().Node(nil, node); n != nil {
		return n.Forgotten
	}
	return nil
}

func TestTx_Deregister_LeavesWordForTheAgent(t *testing.T) {
	web := berth.Forgotten{ServiceID: "web-1", Owner: "e/c/1"}
	by := func(d berth.Deregistration) berth.Deregistration { d.Node = "A"; return d }
	for name, c := range map[string]struct {
		do   []berth.Deregistration
		want []berth.Forgotten
	}{
		"by a user":              {[]berth.Deregistration{{ServiceID: "WEB-1", Forget: true}}, []berth.Forgotten{web}},
		"by the agent":           {[]berth.Deregistration{{ServiceID: "web-1", Owner: "e/c/1"}}, nil},
		"of another owner":       {[]berth.Deregistration{{ServiceID: "web-1", Owner: "e/c/2", Forget: true}}, nil},
		"of what is not there":   {[]berth.Deregistration{{ServiceID: "none", Forget: true}}, nil},
		"a check":                {[]berth.Deregistration{{CheckID: "web-up", Forget: true}}, []berth.Forgotten{{CheckID: "web-up", Owner: "e/c/1"}}},
		"the servers' own check": {[]berth.Deregistration{{CheckID: berth.NodeHealthCheckID, Forget: true}}, nil},
		"the node":               {[]berth.Deregistration{{ServiceID: "web-1", Forget: true}, {}}, nil},
		"heeded":                 {[]berth.Deregistration{{ServiceID: "web-1", Forget: true}, {ServiceID: "web-1", Owner: "e/c/1", Forgotten: true}}, nil},
		"heeded for another owner": {[]berth.Deregistration{{ServiceID: "web-1", Forget: true}, {ServiceID: "web-1", Owner: "e/c/2", Forgotten: true}},
			[]berth.Forgotten{web}},
		"heeded deletes nothing": {[]berth.Deregistration{{ServiceID: "db-1", Forgotten: true}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			agentNode(b)
			for _, d := range c.do {
				d = by(d)
				b.deregister(&d)
			}
			testutil.Equal(t, b.forgotten("a"), c.want)
			if name == "heeded deletes nothing" && b.read().Instance("a", "db-1") == nil {
				t.Error("the instance is gone")
			}
			copied := load(t, b.read())
			if copied.Read().CatalogHash() != b.read().CatalogHash() {
				t.Error("a replica differs")
			}
		})
	}
}

func TestTx_Deregister_WordGoesWithTheNode(t *testing.T) {
	start := func(t *testing.T) *box {
		b := newBox(t)
		agentNode(b)
		b.deregister(&berth.Deregistration{Node: "a", ServiceID: "web-1", Forget: true})
		return b
	}
	t.Run("a new address keeps it", func(t *testing.T) {
		b := start(t)
		b.register(&berth.Registration{ID: idA, Node: "a", Address: "10.0.0.9", Datacenter: "dc1"})
		testutil.Equal(t, len(b.forgotten("a")), 1)
	})
	t.Run("renamed", func(t *testing.T) {
		b := start(t)
		b.register(&berth.Registration{ID: idA, Node: "z", Address: "10.0.0.1", Datacenter: "dc1"})
		testutil.Equal(t, len(b.forgotten("z")), 0)
	})
	t.Run("gone and back", func(t *testing.T) {
		b := start(t)
		b.deregister(&berth.Deregistration{Node: "a"})
		agentNode(b)
		testutil.Equal(t, len(b.forgotten("a")), 0)
	})
	t.Run("a node without an agent has none", func(t *testing.T) {
		b := newBox(t)
		b.register(&berth.Registration{Node: "ext", Address: "10.0.0.1", Service: &berth.ServiceInstance{Name: "web"}})
		b.deregister(&berth.Deregistration{Node: "ext", ServiceID: "web", Forget: true})
		testutil.Equal(t, len(b.forgotten("ext")), 0)
	})
	t.Run("by a transaction", func(t *testing.T) {
		b := newBox(t)
		agentNode(b)
		b.txn(berth.TxnOp{Service: &berth.TxnServiceOp{Verb: "delete", Node: "a", Service: berth.ServiceInstance{ID: "db-1", Name: "db"}}})
		testutil.Equal(t, b.forgotten("a"), []berth.Forgotten{{ServiceID: "db-1"}})
	})
	t.Run("it is bounded", func(t *testing.T) {
		b := start(t)
		for i := range 1100 {
			id := fmt.Sprint("s", i)
			b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: id, Name: "s"}})
			b.deregister(&berth.Deregistration{Node: "a", ServiceID: id, Forget: true})
		}
		got := b.forgotten("a")
		testutil.Equal(t, []any{len(got), got[len(got)-1].ServiceID}, []any{1024, "s1099"})
	})
}
