package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

// What is selected by nodes' metadata, or by what instances are, moves with these.
func TestStore_BlockingRead_Selected(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1})
	c.WaitLeader(10 * time.Second)
	server, client := c.Nodes[0], c.Nodes[1]
	put := func(rack, meta string) {
		t.Helper()
		testutil.NoError(t, server.Register(t.Context(), &berth.Registration{
			Node: "ext", Address: "10.0.0.1", NodeMeta: map[string]string{"rack": rack},
			Service: &berth.ServiceInstance{Name: "web", Meta: map[string]string{"v": meta}},
			Checks:  []*berth.Check{{CheckID: "c", Name: "c", Status: berth.StatusPassing}},
		}))
	}
	rack1 := map[string]string{"rack": "1"}
	for name, x := range map[string]struct {
		opts berth.QueryOptions
		read func(s *testcluster.Node, q berth.QueryOptions) (int, berth.QueryMeta, error)
		want int // afterwards
	}{
		"services by node":     {berth.QueryOptions{NodeMeta: rack1}, services, 0},
		"services by instance": {berth.QueryOptions{Instances: true}, services, 2},
		"checks by state": {berth.QueryOptions{NodeMeta: rack1}, func(s *testcluster.Node, q berth.QueryOptions) (int, berth.QueryMeta, error) {
			out, m, err := s.StateChecks(t.Context(), "any", q)
			return len(out), m, err
		}, 0},
		"checks by node": {berth.QueryOptions{NodeMeta: rack1}, func(s *testcluster.Node, q berth.QueryOptions) (int, berth.QueryMeta, error) {
			out, m, err := s.NodeChecks(t.Context(), "ext", q)
			return len(out), m, err
		}, 0},
	} {
		for _, n := range []*testcluster.Node{server, client} {
			t.Run(name+" at "+n.Name, func(t *testing.T) {
				put("1", "1")
				var before berth.QueryMeta
				testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
					have, m, err := x.read(n, x.opts)
					if before = m; err == nil && have == 0 {
						err = errors.New("nothing there yet")
					}
					return err
				})
				testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
					if server.View().Index() != n.View().Index() {
						return errors.New("the replica is behind")
					}
					return nil
				})
				_, before, err := x.read(n, x.opts)
				testutil.NoError(t, err)
				put("2", "2")
				q, began := x.opts, time.Now()
				q.MinIndex, q.MaxWait = before.Index, 10*time.Second
				have, after, err := x.read(n, q)
				testutil.NoError(t, err)
				if have != x.want || after.Index <= before.Index || time.Since(began) > 5*time.Second {
					t.Errorf("%d rows, want %d, index %d after %d, in %v", have, x.want, after.Index, before.Index, time.Since(began))
				}
			})
		}
	}
}

func services(s *testcluster.Node, q berth.QueryOptions) (int, berth.QueryMeta, error) {
	out, m, err := s.Services(context.Background(), q)
	return len(out), m, err
}

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
