package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

// A prepared query may sort by who asks; who asks may still say otherwise.
func TestStore_QueryExecute_Near(t *testing.T) {
	ctx := context.Background()
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1})
	c.WaitLeader(10 * time.Second)
	server, client := c.Nodes[0], c.Nodes[1]
	for i := range 6 {
		testutil.NoError(t, server.Register(ctx, &berth.Registration{
			Node: fmt.Sprintf("n%d", i), Address: fmt.Sprintf("10.0.0.%d", i),
			Service: &berth.ServiceInstance{ID: "web", Name: "web"},
		}))
	}
	for _, near := range []string{"_agent", "_ip", "n3", "${match(1)}"} {
		_, err := server.QueryApply(ctx, "create", &berth.PreparedQuery{Name: "web-" + near, Service: berth.ServiceQuery{Service: "web", Near: near}})
		testutil.NoError(t, err)
	}
	_, err := server.QueryApply(ctx, "create", &berth.PreparedQuery{Name: "geo-", Service: berth.ServiceQuery{Service: "web", Near: "${match(1)}"},
		Template: berth.QueryTemplate{Type: "name_prefix_match", Regexp: "^geo-(.*)$"}})
	testutil.NoError(t, err)
	from := berth.QuerySource{Agent: "n2", IP: netip.MustParseAddr("10.0.0.4")}
	for _, tc := range []struct {
		query, near, first string
	}{{"web-_agent", "", "n2"}, {"web-_ip", "", "n4"}, {"web-n3", "", "n3"}, {"geo-n5", "", "n5"}, {"web-_agent", "n1", "n1"}} {
		from.Near = tc.near
		for _, s := range []*testcluster.Node{server, client} {
			for range 10 { // the rest is in random order
				res, _, err := s.QueryExecute(ctx, tc.query, from, 0)
				testutil.NoError(t, err)
				testutil.Equal(t, res.Nodes[0].Node.Name, tc.first)
				testutil.Equal(t, len(res.Nodes), 6)
			}
		}
	}
}
