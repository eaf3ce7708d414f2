//go:build fault

package fault

import (
	"fmt"
	"testing"
	"time"

	"berth/internal/testutil"
)

func TestPromise_ServerNewIP(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 1})
	acks := startWriters(t, "acked", c.clients[0])
	for _, h := range []*host{c.follower(), c.waitLeader("dc1", patience(10*time.Second))} {
		h.Kill()
		c.ChangeIP(h)
		began := time.Now()
		h.Start()
		c.waitVoters(3, patience(60*time.Second))
		t.Logf("%s came back with another address: raft and gossip have it after %v", h.name, time.Since(began).Round(time.Millisecond))
		c.eventually(patience(30*time.Second), func() error { return h.seesAll(c) })
		c.write(h, "moved")
	}
	acks.present(t, c.clients[0], "acked")
	c.agree(patience(10 * time.Second))
}

func TestPromise_AllServersRestartedNewIPs(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 1})
	client := c.clients[0]
	c.write(client, "kept")
	testutil.NoError(t, client.register("web", "web", 80))
	c.eventually(patience(5*time.Second), func() error { return client.resolves("web.service.consul", 1) })
	dns := client.streamDNS(t, "web.service.consul")
	for _, h := range c.servers {
		h.Kill()
	}
	for _, h := range c.servers {
		c.ChangeIP(h)
	}
	began := time.Now()
	for _, h := range c.servers {
		h.Start()
	}
	c.waitLeader("dc1", patience(30*time.Second))
	t.Logf("quorum again after %v", time.Since(began).Round(time.Millisecond))
	c.waitVoters(3, patience(60*time.Second))
	t.Logf("all voters at their new addresses after %v", time.Since(began).Round(time.Millisecond))
	c.eventually(patience(40*time.Second), func() error { return client.putWithin(time.Second, "/v1/kv/new", "x") })
	t.Logf("a client agent that kept running writes again after %v", time.Since(began).Round(time.Millisecond))
	c.has(client, "kept")
	for _, h := range c.servers {
		c.eventually(patience(60*time.Second), func() error { return h.seesAll(c) })
	}
	dns.withoutGap(t)
	c.agree(patience(10 * time.Second))
}

func TestPromise_UDPBlocked_StaysAliveAndSays(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 1})
	client := c.clients[0]
	for _, h := range c.servers {
		c.BlockUDP(client, h)
	}
	began := time.Now()
	var said string
	c.eventually(patience(30*time.Second), func() error {
		for _, h := range c.servers {
			if lines := h.linesWith("UDP", client.name); len(lines) > 0 {
				said = h.name + ": " + lines[0]
			}
		}
		if said == "" {
			return fmt.Errorf("no server's log says that UDP to %s is blocked", client.name)
		}
		return nil
	})
	t.Logf("after %v %s", time.Since(began).Round(time.Millisecond), said)
	c.eventually(patience(30*time.Second), func() error {
		for _, h := range c.hosts {
			out, err := h.berth("members", "-detailed")
			if err != nil {
				return err
			}
			if containsAll(out, "UDP is blocked") {
				t.Logf("berth members -detailed on %s:\n%s", h.name, out)
				return nil
			}
		}
		return fmt.Errorf("berth members says it nowhere")
	})
	for until := time.Now().Add(15 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		for _, h := range c.servers {
			testutil.NoError(t, h.memberIs(client.name, memberAlive))
			testutil.NoError(t, client.memberIs(h.name, memberAlive))
		}
	}
	testutil.NoError(t, client.register("web", "web", 80))
	c.eventually(patience(5*time.Second), func() error { return c.servers[0].resolves("web.service.consul", 1) })
}
