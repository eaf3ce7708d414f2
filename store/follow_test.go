package store_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
	"berth/store"
)

func registerOn(t *testing.T, n *testcluster.Node, services ...string) {
	t.Helper()
	for _, name := range services {
		testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
			return n.Register(context.Background(), &berth.Registration{Node: "ext", Address: "10.0.0.1", Service: &berth.ServiceInstance{ID: name, Name: name, Port: 80}})
		})
	}
}

func awaitService(t *testing.T, n *testcluster.Node, name string, want int) {
	t.Helper()
	testutil.Eventually(t, 15*time.Second, 5*time.Millisecond, func() error {
		if got := len(n.View().Service(name)); got != want {
			return fmt.Errorf("%s has %d instances of %s, want %d", n.Name, got, name, want)
		}
		return nil
	})
}

func TestReplica_GoesOnAtAnotherServerWithoutASnapshot(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3, Clients: 1, Disk: true})
	c.WaitVoters(3, 20*time.Second)
	client := func() *testcluster.Node { return c.Nodes[3] }
	registerOn(t, client(), "a", "b")
	awaitService(t, client(), "b", 1)
	before := client().Stats()["replica"]["snapshots"]
	for i := range 3 {
		registerOn(t, client(), fmt.Sprint("before-", i))
		c.Stop(i) // at one of them it follows
		registerOn(t, client(), fmt.Sprint("during-", i))
		c.Start(i)
		c.WaitLeader(20 * time.Second)
		c.WaitVoters(3, 20*time.Second)
		registerOn(t, client(), fmt.Sprint("after-", i))
		for _, when := range []string{"before", "during", "after"} {
			awaitService(t, client(), fmt.Sprint(when, "-", i), 1)
		}
	}
	stats := client().Stats()["replica"]
	if stats["snapshots"] != before || stats["resumed"] == "0" {
		t.Errorf("the client went to another server and took a snapshot: %v, before %s", stats, before)
	}
	c.Stop(3)
	registerOn(t, c.Nodes[0], "while-away")
	c.Start(3)
	awaitService(t, client(), "while-away", 1)
	awaitService(t, client(), "a", 1)
	if stats := client().Stats()["replica"]; stats["snapshots"] != "0" {
		t.Errorf("a restarted client took a snapshot, though it had the state on disk: %v", stats)
	}
}

// A cluster that was started anew has the same indexes and another history: its servers must
// not take a follower of the old one for one of theirs.
func TestReplica_OfAnotherHistoryIsReplaced(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1, Disk: true, Configure: func(i int, cfg *store.Config) {
		cfg.NodeID = fmt.Sprintf("00000000-0000-0000-0000-00000000000%d", i+1)
	}})
	c.WaitLeader(10 * time.Second)
	registerOn(t, c.Nodes[1], "old")
	awaitService(t, c.Nodes[1], "old", 1)
	c.Stop(1)
	c.Stop(0)
	c.Config(0).DataDir = t.TempDir()
	c.Start(0)
	c.WaitLeader(10 * time.Second)
	for i := range 50 { // past the index of the old history
		registerOn(t, c.Nodes[0], fmt.Sprint("new-", i))
	}
	c.Config(1).Join.LAN = []string{net.JoinHostPort(c.Nodes[0].IP, fmt.Sprint(testcluster.LANPort))}
	c.Start(1)
	awaitService(t, c.Nodes[1], "new-49", 1)
	awaitService(t, c.Nodes[1], "old", 0)
}
