package store_test

import (
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

// A node without a key is not one whose value for it is empty.
func TestStore_NodeMeta_MissingIsNotEmpty(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1})
	c.WaitLeader(10 * time.Second)
	s := c.Nodes[0]
	for node, meta := range map[string]map[string]string{"without": nil, "empty": {"rack": ""}, "full": {"rack": "1"}} {
		testutil.NoError(t, s.Register(t.Context(), &berth.Registration{
			Node: node, Address: "10.0.0.1", NodeMeta: meta, Service: &berth.ServiceInstance{Name: "web", Meta: meta},
			Checks: []*berth.Check{{CheckID: "c", Name: "c", Status: berth.StatusPassing}},
		}))
	}
	for value, want := range map[string]string{"": "empty", "1": "full"} {
		q := berth.QueryOptions{NodeMeta: map[string]string{"rack": value}}
		nodes, _, err := s.Nodes(t.Context(), q)
		testutil.NoError(t, err)
		testutil.Equal(t, len(nodes), 1)
		testutil.Equal(t, nodes[0].Name, want)
		entries, _, err := s.Service(t.Context(), "web", q)
		testutil.NoError(t, err)
		testutil.Equal(t, len(entries), 1)
		testutil.Equal(t, entries[0].Node.Name, want)
		checks, _, err := s.StateChecks(t.Context(), "any", q)
		testutil.NoError(t, err)
		testutil.Equal(t, len(checks), 1)
		testutil.Equal(t, checks[0].Node, want)
		id, err := s.QueryApply(t.Context(), "create", &berth.PreparedQuery{
			Name: "q" + value, Service: berth.ServiceQuery{Service: "web", ServiceMeta: map[string]string{"rack": value}},
		})
		testutil.NoError(t, err)
		found, _, err := s.QueryExecute(t.Context(), id, berth.QuerySource{}, 0)
		testutil.NoError(t, err)
		testutil.Equal(t, len(found.Nodes), 1)
		testutil.Equal(t, found.Nodes[0].Node.Name, want)
	}
}
