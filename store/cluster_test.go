package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

func put(s interface {
	KVApply(context.Context, berth.KVOp) (bool, error)
}, key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := s.KVApply(ctx, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: key, Value: []byte("v")}})
	return err
}

func TestCluster_BootstrapExpect(t *testing.T) {
	began := time.Now()
	c := testcluster.New(t, testcluster.Options{Servers: 3, Clients: 1})
	c.WaitLeader(10 * time.Second)
	t.Logf("three servers have a leader after %v", time.Since(began))
	c.WaitVoters(3, 10*time.Second)
	for i, n := range c.Nodes {
		if err := put(n, fmt.Sprint("key", i)); err != nil {
			t.Errorf("write at %s: %v", n.Name, err)
		}
	}
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
		for _, n := range c.Nodes {
			v := n.View()
			if !v.Synced() || len(v.Servers()) != 3 {
				return fmt.Errorf("%s sees %d servers", n.Name, len(v.Servers()))
			}
			if _, ok := v.Node("N3"); !ok {
				return fmt.Errorf("%s does not see the client", n.Name)
			}
		}
		return nil
	})
}

func TestCluster_LeaderKilled(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3, Clients: 1})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	testutil.NoError(t, put(c.Nodes[3], "before"))
	began := time.Now()
	c.Kill(lead)
	killed := time.Since(began)
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error { return put(c.Nodes[3], "after") })
	t.Logf("write through a client %v after the leader began to die (%v for the kill itself)", time.Since(began), killed)
	other := (lead + 1) % 3
	testutil.NoError(t, put(c.Nodes[other], "after2"))
	for _, key := range []string{"before", "after", "after2"} {
		l := c.WaitLeader(5 * time.Second)
		if e, _, err := c.Nodes[l].KVGet(context.Background(), key, berth.QueryOptions{}); err != nil || e == nil {
			t.Errorf("acknowledged key %q is lost: %v", key, err)
		}
	}
}

func TestCluster_LeaderStopsInOrder(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	began := time.Now()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.Stop(lead)
	}()
	defer func() { <-stopped }()
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		l := c.Nodes[(lead+1)%3].Leader()
		if l == "" || l == c.Nodes[lead].Addr() {
			return fmt.Errorf("leader is %q", l)
		}
		return nil
	})
	t.Logf("leadership handed over in %v", time.Since(began))
	testutil.NoError(t, put(c.Nodes[(lead+1)%3], "k"))
}

func TestCluster_LeaveAndReturn(t *testing.T) {
	for _, wiped := range []bool{false, true} {
		t.Run(fmt.Sprint("data wiped ", wiped), func(t *testing.T) {
			c := testcluster.New(t, testcluster.Options{Servers: 2, Disk: true})
			c.WaitLeader(10 * time.Second)
			c.WaitVoters(2, 15*time.Second)
			testutil.NoError(t, put(c.Nodes[0], "k"))
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			testutil.NoError(t, c.Nodes[1].Leave(ctx))
			c.Stop(1)
			c.WaitLeader(10 * time.Second)
			c.WaitVoters(1, 10*time.Second)
			testutil.NoError(t, put(c.Nodes[0], "alone"))
			if wiped {
				c.Config(1).DataDir += "-new"
			}
			c.Start(1)
			c.WaitVoters(2, 20*time.Second)
			testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
				if e, _, err := c.Nodes[1].KVGet(ctx, "alone", berth.QueryOptions{}); err != nil || e == nil {
					return fmt.Errorf("the returned server lacks a key: %v", err)
				}
				return nil
			})
		})
	}
}

func TestCluster_ServerReturnsWithNewAddress(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3, Disk: true})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	moved := (lead + 1) % 3
	id := c.Nodes[moved].ID()
	c.Stop(moved)
	c.Readdress(moved)
	c.Start(moved)
	testutil.Eventually(t, 20*time.Second, 20*time.Millisecond, func() error {
		l := c.Leader()
		if l < 0 {
			return fmt.Errorf("no leader")
		}
		servers, _, err := c.Nodes[l].RaftConfiguration(context.Background())
		if err != nil {
			return err
		}
		for _, s := range servers {
			if s.ID == id && s.Voter && s.Address == c.Nodes[moved].Addr() {
				return nil
			}
		}
		return fmt.Errorf("raft has %+v", servers)
	})
	c.WaitVoters(3, 10*time.Second)
	testutil.NoError(t, put(c.Nodes[moved], "k"))
}
