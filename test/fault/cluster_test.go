//go:build fault

package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/testutil"
)

// clusters numbers the clusters of this process.
var clusters atomic.Int32

// options of a Cluster.
type options struct {
	servers     int // in each datacenter
	clients     int // in the first datacenter
	datacenters int // 0 is one
	key         string
	configure   func(h *host) // after the defaults, before the first start
	stopped     bool          // do not start anything yet
}

// Cluster is a set of hosts on one switch. When the test ends everything is taken away; when it
// failed the logs' ends are shown.
type Cluster struct {
	t       testing.TB
	sw      *switchNS
	hosts   []*host
	servers []*host // of the first datacenter
	clients []*host
	moves   int
	cut     map[*host]bool // hosts with rules
}

// newCluster makes the hosts, starts them and waits for a leader in each datacenter.
func newCluster(t testing.TB, o options) *Cluster {
	t.Helper()
	p := fmt.Sprintf("%s-%d", prefix, clusters.Add(1))
	c := &Cluster{t: t, cut: map[*host]bool{}}
	t.Cleanup(func() { c.finish(p) })
	c.sw = newSwitch(t, p+"-sw")
	for dc := range max(1, o.datacenters) {
		for i := range o.servers {
			h := c.add(p, dc+1, fmt.Sprintf("s%d", i+1), true)
			h.set(map[string]any{"server": true, "bootstrap_expect": o.servers})
		}
	}
	for i := range o.clients {
		c.clients = append(c.clients, c.add(p, 1, fmt.Sprintf("c%d", i+1), false))
	}
	for _, h := range c.hosts {
		if h.dc == "dc1" && h.server {
			c.servers = append(c.servers, h)
		}
	}
	for _, h := range c.hosts {
		c.defaults(h, o)
	}
	c.writeHosts()
	if o.stopped {
		return c
	}
	for _, h := range c.hosts {
		h.Start()
	}
	for dc := range max(1, o.datacenters) {
		c.waitLeader(fmt.Sprintf("dc%d", dc+1), patience(20*time.Second))
	}
	c.waitVoters(o.servers, patience(30*time.Second))
	return c
}

func (c *Cluster) add(p string, dc int, name string, server bool) *host {
	n := len(c.hosts) + 1
	h := &host{t: c.t, name: name, dc: fmt.Sprintf("dc%d", dc), server: server, ns: fmt.Sprintf("%s-%d", p, n), ip: fmt.Sprintf("10.214.%d.%d", dc, n)}
	h.dir = filepath.Join(baseDir, h.ns)
	testutil.NoError(c.t, os.MkdirAll(h.dir, 0o755))
	testutil.NoError(c.t, os.MkdirAll(filepath.Join(etcNetns, h.ns), 0o755))
	testutil.NoError(c.t, os.WriteFile(filepath.Join(etcNetns, h.ns, "resolv.conf"), []byte("nameserver 10.214.255.254\n"), 0o644))
	c.sw.plug(h.ns, h.ip)
	h.http = newHTTPClient(h.ns)
	h.config = map[string]any{}
	c.hosts = append(c.hosts, h)
	return h
}

// defaults fills in what every host is told: Consul's own words, default timing.
func (c *Cluster) defaults(h *host, o options) {
	var join []string
	for _, s := range c.hosts {
		if s.server && s.dc == h.dc {
			join = append(join, s.fqdn())
		}
	}
	h.set(map[string]any{"node_name": h.name, "datacenter": h.dc, "client_addr": "127.0.0.1", "retry_join": join, "enable_debug": true, "ports": map[string]any{"dns": 8600}})
	if h.server && o.datacenters > 1 && h.dc != "dc1" {
		h.set(map[string]any{"retry_join_wan": []string{"s1.dc1.fault"}})
	}
	if o.key != "" {
		h.set(map[string]any{"encrypt": o.key})
	}
	if o.configure != nil {
		o.configure(h)
	}
}

// writeHosts tells every host the names and addresses of all.
func (c *Cluster) writeHosts() {
	var b bytes.Buffer
	b.WriteString("127.0.0.1 localhost\n")
	for _, h := range c.hosts {
		fmt.Fprintf(&b, "%s %s\n", h.addr(), h.fqdn())
	}
	for _, h := range c.hosts {
		testutil.NoError(c.t, os.WriteFile(filepath.Join(etcNetns, h.ns, "hosts"), b.Bytes(), 0o644))
	}
}

// finish ends all processes and removes what the cluster made on the machine.
func (c *Cluster) finish(p string) {
	if c.t.Failed() {
		for _, h := range c.hosts {
			c.t.Logf("the end of the log of %s (%s, %s):\n%s", h.name, h.dc, h.addr(), h.tail(6000))
		}
	}
	for _, h := range c.hosts {
		h.Kill()
		h.http.CloseIdleConnections()
	}
	clean(p)
}

// of lists the servers of a datacenter.
func (c *Cluster) of(dc string) []*host {
	var out []*host
	for _, h := range c.hosts {
		if h.server && h.dc == dc {
			out = append(out, h)
		}
	}
	return out
}

// leader is the server that all running servers of a datacenter call leader.
func (c *Cluster) leader(dc string) (*host, error) {
	said := ""
	for _, h := range c.of(dc) {
		if !h.running() {
			continue
		}
		b, err := h.get("/v1/status/leader")
		if err != nil {
			return nil, err
		}
		var lead string
		if err := json.Unmarshal(b, &lead); err != nil || lead == "" {
			return nil, fmt.Errorf("%s knows no leader", h.name)
		}
		if said != "" && lead != said {
			return nil, fmt.Errorf("leaders %s and %s", said, lead)
		}
		said = lead
	}
	for _, h := range c.of(dc) {
		if h.running() && strings.HasPrefix(said, h.addr()+":") {
			return h, nil
		}
	}
	return nil, fmt.Errorf("the leader is said to be %q, which does not run", said)
}

// waitLeader waits until the running servers agree on a running leader.
func (c *Cluster) waitLeader(dc string, limit time.Duration) (lead *host) {
	c.t.Helper()
	testutil.Eventually(c.t, limit, 10*time.Millisecond, func() (err error) {
		lead, err = c.leader(dc)
		return err
	})
	return lead
}

// waitVoters waits until raft of the first datacenter has n servers, all of them voters at
// their hosts' addresses and healthy.
func (c *Cluster) waitVoters(n int, limit time.Duration) {
	c.t.Helper()
	testutil.Eventually(c.t, limit, 50*time.Millisecond, func() error { return c.voters(n) })
}

func (c *Cluster) voters(n int) error {
	lead, err := c.leader("dc1")
	if err != nil {
		return err
	}
	all, err := lead.raft()
	if err != nil {
		return err
	}
	for _, s := range all {
		if !s.Voter || !slices.ContainsFunc(c.servers, func(h *host) bool { return h.addr()+":8300" == s.Address }) {
			return fmt.Errorf("raft has %+v", s)
		}
	}
	if len(all) != n {
		return fmt.Errorf("raft has %d servers, want %d: %+v", len(all), n, all)
	}
	var health struct {
		Healthy          bool
		FailureTolerance int
	}
	b, err := lead.get("/v1/operator/autopilot/health")
	var status *statusError
	if errors.As(err, &status) && status.code == 429 {
		return fmt.Errorf("autopilot: not healthy: %s", status.body)
	} else if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &health); err != nil || !health.Healthy {
		return fmt.Errorf("autopilot: %s", b)
	}
	return nil
}

// eventually polls f until it gives no error.
func (c *Cluster) eventually(limit time.Duration, f func() error) {
	c.t.Helper()
	testutil.Eventually(c.t, limit, 20*time.Millisecond, f)
}

// write puts a key through a host. On a busy machine a leader may lose its lease at any time, so
// a failed write is repeated: only one that goes on failing is a fault.
func (c *Cluster) write(h *host, key string) {
	c.t.Helper()
	c.eventually(patience(5*time.Second), func() error { return h.put("/v1/kv/"+key, "x") })
}

// has waits until a key that write has put is read through a quorum.
func (c *Cluster) has(h *host, key string) {
	c.t.Helper()
	c.eventually(patience(5*time.Second), func() error {
		v, err := h.kvGet(key)
		if err == nil && v != "x" {
			err = fmt.Errorf("%s reads %s as %q", h.name, key, v)
		}
		return err
	})
}

// agree waits until all running servers have the same state, and gives it to the caller.
func (c *Cluster) agree(limit time.Duration) map[string]string {
	c.t.Helper()
	var state map[string]string
	c.eventually(limit, func() error {
		state = nil
		for _, h := range c.servers {
			if !h.running() {
				continue
			}
			got, err := h.state()
			if err != nil {
				return err
			}
			for path, v := range got {
				if state != nil && state[path] != v {
					return fmt.Errorf("%s differs on %s:\n%s\nelsewhere\n%s", path, h.name, cutText(v), cutText(state[path]))
				}
			}
			state = got
		}
		return nil
	})
	return state
}

func cutText(s string) string { return s[:min(len(s), 1500)] }

// state is everything that a server's own copy of the catalog and of the keys holds.
func (h *host) state() (map[string]string, error) {
	out := map[string]string{}
	for _, path := range []string{"/v1/catalog/nodes?stale", "/v1/catalog/services?stale", "/v1/health/state/any?stale", "/v1/kv/?recurse&stale", "/v1/session/list?stale"} {
		b, err := h.get(path)
		var status *statusError
		if err != nil && !(errors.As(err, &status) && status.code == 404) {
			return nil, err
		}
		out[path] = string(b)
	}
	return out, nil
}
