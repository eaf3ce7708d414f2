//go:build fault

package fault

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/testutil"
)

func TestPromise_ThreeServersFormWithin2s(t *testing.T) {
	c := newCluster(t, options{servers: 3, stopped: true})
	meter := measureStalls()
	began := time.Now()
	for _, h := range c.servers {
		h.Start()
	}
	c.waitLeader("dc1", 20*time.Second)
	c.write(c.servers[2], "first")
	c.eventually(10*time.Second, func() error {
		all, err := c.servers[0].raft()
		if err == nil && len(all) != 3 {
			err = fmt.Errorf("raft has %d servers", len(all))
		}
		return err
	})
	took, stalled := time.Since(began), meter.end()
	t.Logf("three servers formed a cluster and took a write in %v (stalls of this machine: %v)", took, stalled)
	if took > 2*time.Second+stalled {
		t.Errorf("a cluster took %v to form, 2 s are promised", took)
	}
}

func TestPromise_LeaderKilled_WritesWithin2500ms(t *testing.T) {
	c := newCluster(t, options{servers: 3, clients: 1})
	client := c.clients[0]
	testutil.NoError(t, client.register("web", "web", 80))
	c.eventually(patience(5*time.Second), func() error { return client.resolves("web.service.consul", 1) })
	dns := client.streamDNS(t, "web.service.consul")
	acks := startWriters(t, "acked", client, client)
	var worst, worstOver time.Duration
	for round := range 10 {
		c.waitVoters(3, patience(30*time.Second))
		lead := c.waitLeader("dc1", patience(10*time.Second))
		meter := measureStalls()
		began := time.Now()
		lead.Kill()
		c.eventually(20*time.Second, func() error { return client.put(fmt.Sprintf("/v1/kv/round/%d", round), "x") })
		took := time.Since(began)
		stalled := meter.end()
		t.Logf("%s killed: next write accepted after %v (stalls of this machine: %v)", lead.name, took.Round(time.Millisecond), stalled.Round(time.Millisecond))
		worst, worstOver = max(worst, took), max(worstOver, took-stalled)
		if _, err := client.passing("web"); err != nil {
			t.Errorf("a stale read failed: %v", err)
		}
		lead.Start()
	}
	t.Logf("worst of 10: %v", worst)
	if worstOver > 2500*time.Millisecond {
		t.Errorf("the slowest fail-over took %v, 2.5 s are promised", worstOver)
	}
	c.waitVoters(3, patience(30*time.Second))
	dns.withoutGap(t)
	acks.present(t, client, "acked")
	c.agree(patience(10 * time.Second))
}

func TestPromise_AllServersGone_DNSGoesOn(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 1})
	client := c.clients[0]
	testutil.NoError(t, client.register("web", "web", 80))
	c.eventually(patience(5*time.Second), func() error { return client.resolves("web.service.consul", 1) })
	dns := client.streamDNS(t, "web.service.consul")

	lead := c.waitLeader("dc1", 5*time.Second)
	lead.Kill()
	c.eventually(patience(10*time.Second), func() error { return client.put("/v1/kv/a", "x") })
	for _, h := range c.servers {
		h.Kill()
	}
	began := time.Now()
	testutil.NoError(t, client.register("queued", "queued", 81))
	t.Logf("a registration without servers is accepted after %v", time.Since(began).Round(time.Millisecond))
	before := client.lastContact(t)
	c.eventually(patience(15*time.Second), func() error {
		if now := client.lastContact(t); now < before+3*time.Second {
			return fmt.Errorf("LastContact %v, before %v", now, before)
		}
		return nil
	})

	began = time.Now()
	for _, h := range c.servers {
		h.Start()
	}
	c.waitLeader("dc1", patience(20*time.Second))
	c.eventually(patience(30*time.Second), func() error { return c.servers[0].resolves("queued.service.consul", 1) })
	t.Logf("servers back: the queued registration is in their catalog %v after their start", time.Since(began).Round(time.Millisecond))
	c.waitVoters(3, patience(30*time.Second))
	dns.withoutGap(t)
	c.agree(patience(10 * time.Second))
}

// lastContact is what a stale read says about its age.
func (h *host) lastContact(t testing.TB) time.Duration {
	t.Helper()
	_, head, err := h.do(t.Context(), http.MethodGet, "/v1/health/service/web?stale", "")
	testutil.NoError(t, err)
	var ms int64
	_, err = fmt.Sscan(head.Get("X-Consul-LastContact"), &ms)
	testutil.NoError(t, err)
	return time.Duration(ms) * time.Millisecond
}

func TestPromise_TwoServersOneLeavesAndReturns(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 2})
	for _, o := range []struct {
		name string
		pick func() *host
		wipe bool
	}{
		{"the leader, with its data", func() *host { return c.waitLeader("dc1", patience(10*time.Second)) }, false},
		{"a follower, without its data", c.follower, true},
		{"the leader, without its data", func() *host { return c.waitLeader("dc1", patience(10*time.Second)) }, true},
	} {
		goes := o.pick()
		stays := c.servers[1-slices.Index(c.servers, goes)]
		t.Logf("%s: %s leaves", o.name, goes.name)
		c.write(stays, "before/"+goes.name)
		out, err := goes.berth("leave")
		if err != nil {
			t.Fatalf("berth leave: %v: %s", err, out)
		}
		left := time.Now()
		testutil.NoError(t, stays.memberIs(goes.name, memberLeft)) // the answer comes when it has left
		testutil.NoError(t, goes.awaitExit(patience(25*time.Second)))
		if code := goes.exitCode(); code != 0 {
			t.Errorf("after the leave it ended with status %d", code)
		}
		if lead := c.waitLeader("dc1", patience(10*time.Second)); lead != stays {
			t.Errorf("the leader is %s", lead.name)
		}
		c.write(stays, "alone")
		t.Logf("the one left leads and writes %v after the leave", time.Since(left).Round(time.Millisecond))
		goes.Kill()
		if o.wipe {
			testutil.NoError(t, goes.WipeData())
		}
		back := time.Now()
		goes.Start()
		c.waitVoters(2, patience(60*time.Second))
		t.Logf("back as a voter after %v", time.Since(back).Round(time.Millisecond))
		c.write(goes, "together")
		c.has(goes, "before/"+goes.name)
		for _, h := range c.servers {
			if files, _ := filepath.Glob(filepath.Join(h.dataDir(), "raft", "peers.*")); len(files) > 0 {
				t.Errorf("%s has %v", h.name, files)
			}
		}
	}
	c.agree(patience(10 * time.Second))
}

// follower is a server that does not lead.
func (c *Cluster) follower() *host {
	c.t.Helper()
	lead := c.waitLeader("dc1", patience(10*time.Second))
	return c.servers[(slices.Index(c.servers, lead)+1)%len(c.servers)]
}

func TestPromise_DataDirWiped_ServicesBackWithinOneSync(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 1, configure: func(h *host) {
		if h.server {
			h.set(map[string]any{"services": []any{map[string]any{"name": "cfg-" + h.name, "port": 80}}})
		}
	}})
	client := c.clients[0]
	testutil.NoError(t, client.register("web", "web", 80))
	c.write(client, "kept")
	// The agent gives one of them, the leader the other.
	complete := func(h *host, other string) error {
		node, err := client.node(h.name)
		if err != nil || node.ID == other || !slices.Equal(node.services, []string{"cfg-" + h.name, "consul"}) {
			return fmt.Errorf("the catalog has %+v of %s: %v", node, h.name, err)
		}
		return client.resolves("cfg-"+h.name+".service.consul", 1)
	}
	for _, h := range c.servers {
		c.eventually(patience(30*time.Second), func() error { return complete(h, "") })
	}
	for _, o := range []struct {
		name   string
		pick   func() *host
		failed bool // wait until the others know that it has failed
	}{
		{"a follower, back at once", c.follower, false},
		{"the leader, back at once", func() *host { return c.waitLeader("dc1", patience(10*time.Second)) }, false},
		{"a follower, back after it has failed", c.follower, true},
	} {
		h := o.pick()
		before, err := client.node(h.name)
		testutil.NoError(t, err)
		t.Logf("%s: %s loses its data", o.name, h.name)
		h.Kill()
		testutil.NoError(t, h.WipeData())
		if o.failed {
			c.eventually(patience(30*time.Second), func() error { return client.memberIs(h.name, memberFailed) })
		}
		began := time.Now()
		h.Start()
		c.eventually(patience(60*time.Second), func() error { return complete(h, before.ID) })
		t.Logf("its service is back after %v", time.Since(began).Round(time.Millisecond))
		c.waitVoters(3, patience(60*time.Second))
		t.Logf("a voter again after %v", time.Since(began).Round(time.Millisecond))
		for _, s := range c.servers {
			c.eventually(patience(30*time.Second), func() error { return s.seesAll(c) })
		}
		t.Logf("all members of both pools see one another after %v", time.Since(began).Round(time.Millisecond))
		c.has(h, "kept")
		testutil.NoError(t, h.resolves("web.service.consul", 1))
		c.agree(patience(10 * time.Second))
		quietFor(t, 3*time.Second, c.hosts, "reserved by node", "another node ID")
	}
}

// catalogNode is what the catalog has of a node.
type catalogNode struct {
	ID       string
	services []string
}

// node reads a node from this host's copy of the catalog.
func (h *host) node(name string) (catalogNode, error) {
	var n *struct {
		Node     *struct{ ID string }
		Services map[string]any
	}
	if err := h.getJSON("/v1/catalog/node/"+name+"?stale", &n); err != nil || n == nil || n.Node == nil {
		return catalogNode{}, err
	}
	return catalogNode{n.Node.ID, slices.Sorted(maps.Keys(n.Services))}, nil
}

// seesAll is an error until both pools of a server have all running hosts alive at their
// addresses, and no others alive.
func (h *host) seesAll(c *Cluster) error {
	for _, wan := range []bool{false, true} {
		all, err := h.members(wan)
		if err != nil {
			return err
		}
		for _, other := range c.hosts {
			name := other.name
			if wan {
				name += "." + other.dc
			}
			if !other.running() || wan && !other.server || !wan && other.dc != h.dc {
				continue
			}
			if m := all[name]; m.Status != memberAlive || m.Addr != other.addr() {
				return fmt.Errorf("%s (wan %v) has %s at %s with status %d", h.name, wan, name, m.Addr, m.Status)
			}
		}
	}
	return nil
}

// quietFor fails the test when hosts go on saying one of the words.
func quietFor(t testing.TB, d time.Duration, hosts []*host, words ...string) {
	t.Helper()
	count := func() map[string]int {
		n := map[string]int{}
		for _, h := range hosts {
			for _, w := range words {
				n[h.name+": "+w] = len(h.linesWith(w))
			}
		}
		return n
	}
	before := count()
	time.Sleep(d)
	for what, n := range count() {
		if n > before[what] {
			t.Errorf("%s: said %d times more in %v", what, n-before[what], d)
		}
	}
}

func TestStop_LeaderHandsOver_NoWriteIsLost(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 3})
	acks := startWriters(t, "acked", c.clients...)
	var worst time.Duration // stall
	for range 4 {
		c.waitVoters(3, patience(30*time.Second))
		lead := c.waitLeader("dc1", patience(10*time.Second))
		meter := measureStalls()
		began := time.Now()
		lead.Stop()
		took, stalled := time.Since(began), meter.end()
		worst = max(worst, stalled)
		t.Logf("the leader %s ended %v after SIGTERM (stalls of this machine: %v)", lead.name, took.Round(time.Millisecond), stalled.Round(time.Millisecond))
		if took > 3*time.Second+stalled {
			t.Errorf("an orderly stop took %v", took)
		}
		lead.Start()
	}
	acks.present(t, c.clients[0], "acked")
	for err, n := range acks.failed {
		if strings.Contains(err, "went away") && worst < time.Second { // a server that stops gives a write 2 s
			t.Errorf("%d writes failed since a server stopped in order: %s", n, err)
		}
	}
}
