package store_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

// Gossip shows a server alive for a moment after it had itself removed from raft: to be added
// and promoted again then would leave the other one without a quorum.
func TestCluster_DepartingServerIsNotAddedAgain(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 2})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(2, 15*time.Second)
	other := 1 - lead
	client := http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	client.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	resp, err := client.Post("http://"+c.Nodes[lead].Addr()+"/internal/store/leave?id="+c.Nodes[other].ID(), "", nil)
	testutil.NoError(t, err)
	testutil.NoError(t, resp.Body.Close())
	testutil.Equal(t, resp.StatusCode, http.StatusOK)
	client.CloseIdleConnections()
	for range 10 { // each has the leader look at all members
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		testutil.NoError(t, c.Nodes[lead].Deregister(ctx, &berth.Deregistration{Node: c.Nodes[other].LocalMember().Name}))
		cancel()
		time.Sleep(50 * time.Millisecond)
		if n := len(c.Nodes[lead].Peers()); n != 1 {
			t.Fatalf("raft has %d servers while one is leaving", n)
		}
	}
	c.WaitVoters(2, 20*time.Second) // it stayed after all
}
