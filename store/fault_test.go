package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

func TestCluster_AllServersRestartWithNewAddresses(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3, Disk: true})
	c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	testutil.NoError(t, put(c.Nodes[0], "k"))
	var join []string
	for i := range c.Nodes {
		c.Stop(i)
		c.Readdress(i)
		join = append(join, fmt.Sprintf("%s:%d", c.Nodes[i].IP, testcluster.LANPort))
	}
	began := time.Now()
	for i := range c.Nodes {
		c.Config(i).Join.LAN = join // what the names in retry_join stand for now
		c.Start(i)
	}
	lead := c.WaitLeader(20 * time.Second)
	t.Logf("quorum again after %v", time.Since(began))
	testutil.NoError(t, put(c.Nodes[lead], "k2"))
	testutil.Eventually(t, 10*time.Second, 20*time.Millisecond, func() error {
		servers, _, err := c.Nodes[lead].RaftConfiguration(context.Background())
		for _, s := range servers {
			if !strings.Contains(strings.Join(join, " "), strings.TrimSuffix(s.Address, fmt.Sprint(":", testcluster.ServerPort))+":") {
				return fmt.Errorf("raft still has the old address %s", s.Address)
			}
		}
		return err
	})
}

func TestCluster_PeersJSON(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3, Disk: true})
	c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	testutil.NoError(t, put(c.Nodes[0], "k"))
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error { // on the survivor, too
		e, _, err := c.Nodes[2].KVGet(context.Background(), "k", berth.QueryOptions{})
		if err == nil && e == nil {
			err = fmt.Errorf("key has not been replicated")
		}
		return err
	})
	for i := range c.Nodes {
		c.Stop(i)
	}
	peers, err := json.Marshal([]map[string]any{{"id": c.Nodes[2].ID(), "address": c.Nodes[2].Addr(), "non_voter": false}})
	testutil.NoError(t, err)
	file := filepath.Join(c.Config(2).DataDir, "raft", "peers.json")
	testutil.NoError(t, os.WriteFile(file, peers, 0o600))
	c.Start(2)
	c.WaitLeader(10 * time.Second)
	testutil.NoError(t, put(c.Nodes[2], "k2"))
	if e, _, err := c.Nodes[2].KVGet(context.Background(), "k", berth.QueryOptions{}); err != nil || e == nil {
		t.Errorf("the recovery lost a key: %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("peers.json is still there: %v", err)
	}
}

func TestCluster_ClientFails(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 2})
	c.WaitLeader(10 * time.Second)
	ctx := context.Background()
	status := func(i int, node string) string {
		for _, e := range c.Nodes[i].View().Service(node + "-web") {
			return e.Status()
		}
		return "absent"
	}
	eventually := func(node, want string, limit time.Duration) {
		t.Helper()
		testutil.Eventually(t, limit, 10*time.Millisecond, func() error {
			for i, n := range c.Nodes {
				if n.Name == node {
					continue
				}
				if got := status(i, node); got != want {
					return fmt.Errorf("%s sees %s", n.Name, got)
				}
			}
			return nil
		})
	}
	for _, n := range c.Nodes[1:] {
		testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
			return n.Register(ctx, &berth.Registration{Node: n.Name, Address: n.IP, Service: &berth.ServiceInstance{ID: "web", Name: n.Name + "-web", Port: 80}})
		})
		eventually(n.Name, "passing", 5*time.Second)
	}
	c.Kill(1)
	began := time.Now()
	eventually("n1", "critical", 20*time.Second)
	t.Logf("instances of a dead host leave health answers after %v", time.Since(began))
	c.Start(1)
	eventually("n1", "passing", 20*time.Second)

	leave, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	testutil.NoError(t, c.Nodes[2].Leave(leave))
	eventually("n2", "absent", 20*time.Second)
}

func TestCluster_ReplicaOutlivesServers(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1, Disk: true})
	c.WaitLeader(10 * time.Second)
	ctx := context.Background()
	client := c.Nodes[1]
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
		return client.Register(ctx, &berth.Registration{Node: "n1", Address: client.IP, Service: &berth.ServiceInstance{ID: "web", Name: "web", Port: 80}})
	})
	has := func() error {
		if n := len(c.Nodes[1].View().Service("web")); n != 1 {
			return fmt.Errorf("%d instances", n)
		}
		return nil
	}
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, has)
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
		if lag := client.View().Lag(); lag > 2*time.Second {
			return fmt.Errorf("lag %v while the server is up", lag)
		}
		return nil
	})
	c.Stop(0)
	testutil.NoError(t, has())
	_, meta, err := client.Service(ctx, "web", berth.QueryOptions{Consistency: berth.ConsistencyStale})
	testutil.NoError(t, err)
	testutil.Eventually(t, 5*time.Second, 20*time.Millisecond, func() error {
		if _, m, _ := client.Service(ctx, "web", berth.QueryOptions{}); m.LastContact <= meta.LastContact {
			return fmt.Errorf("LastContact %v does not grow", m.LastContact)
		}
		return nil
	})
	c.Restart(1)
	if err := has(); err != nil || !c.Nodes[1].View().Synced() {
		t.Errorf("a restarted client does not answer from its file: %v", err)
	}
	c.Start(0)
	c.WaitLeader(10 * time.Second)
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		return c.Nodes[1].Register(ctx, &berth.Registration{Node: "n1", Address: client.IP, Service: &berth.ServiceInstance{ID: "web2", Name: "web"}})
	})
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		if n := len(c.Nodes[1].View().Service("web")); n != 2 {
			return fmt.Errorf("%d instances after the server is back", n)
		}
		return nil
	})
}

func TestCluster_MinorityCannotWrite(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	c.Isolate(lead)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if _, err := c.Nodes[lead].KVApply(ctx, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "minority"}}); err == nil {
		t.Error("a cut-off leader acknowledged a write")
	}
	testutil.Eventually(t, 6*time.Second, 5*time.Millisecond, func() error {
		try, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := c.Nodes[(lead+1)%3].KVApply(try, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "majority"}})
		return err
	})
	c.Heal()
	c.WaitLeader(15 * time.Second)
	testutil.Eventually(t, 15*time.Second, 20*time.Millisecond, func() error {
		e, _, err := c.Nodes[lead].KVGet(context.Background(), "majority", berth.QueryOptions{})
		if err == nil && e == nil {
			err = fmt.Errorf("the healed server lacks the majority's write")
		}
		return err
	})
}
