// Package testcluster runs several real Stores in one process, each on a loopback address of
// its own, with links that tests can cut. When a test ends, the invariants of a healthy cluster
// are checked: servers agree on the state at the same index.
package testcluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/store"
)

// Ports of every node; nodes differ by address.
const (
	ServerPort = 18300
	LANPort    = 18301
	WANPort    = 18302
)

// lastHost numbers the nodes of this process.
var lastHost atomic.Uint32

// Options of a cluster.
type Options struct {
	Servers    int
	Clients    int
	Datacenter string // "" is dc1
	Disk       bool   // data directories instead of memory
	Key        string // gossip key
	Configure  func(i int, c *store.Config)
	Handler    func(n *Node) http.Handler // what runs requests on the server port
}

// Cluster is a set of nodes that can be stopped, started again and cut off.
type Cluster struct {
	t     testing.TB
	opts  Options
	Nodes []*Node

	mu  sync.Mutex // guards cut
	cut map[[2]string]bool
}

// Node is one member. Store is the running one; it is a new one after Restart.
type Node struct {
	Name string
	IP   string
	*store.Store
	cfg  store.Config
	stop func() error
}

// New makes and starts a cluster; servers come first in Nodes.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{t: t, opts: o, cut: map[[2]string]bool{}}
	if o.Datacenter == "" {
		c.opts.Datacenter = "dc1"
	}
	var join []string
	for range o.Servers + o.Clients {
		ip := address()
		c.Nodes = append(c.Nodes, &Node{IP: ip})
		if len(join) < o.Servers {
			join = append(join, net.JoinHostPort(ip, fmt.Sprint(LANPort)))
		}
	}
	for i, n := range c.Nodes {
		n.cfg = c.config(i, join)
		n.Name = n.cfg.NodeName
	}
	t.Cleanup(c.finish)
	for i := range c.Nodes {
		c.Start(i)
	}
	return c
}

// address is a loopback address that no other test process uses.
func address() string {
	pid, n := os.Getpid(), lastHost.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>8%250, pid%256, 1+n%250)
}

func (c *Cluster) config(i int, join []string) store.Config {
	n := c.Nodes[i]
	ip := n.IP // of this life: goroutines of it may outlive a change of address
	cfg := store.Config{
		Logger: testutil.Logger(c.t).With("node", i), NodeName: fmt.Sprintf("n%d", i), Datacenter: c.opts.Datacenter, Version: "0.0.1",
		Server: i < c.opts.Servers, EncryptKey: c.opts.Key, LeaveDelay: 100 * time.Millisecond, ReconcileInterval: 2 * time.Second,
		Net:  store.NetConfig{BindAddr: ip, ServerPort: ServerPort, LANPort: LANPort, WANPort: WANPort, Drop: func(addr string) bool { return c.isCut(ip, addr) }},
		Join: store.JoinConfig{LAN: join, Interval: 500 * time.Millisecond},
		Autopilot: &berth.AutopilotConfig{
			CleanupDeadServers: true, LastContactThreshold: berth.Duration(time.Second), MaxTrailingLogs: 250,
			ServerStabilizationTime: berth.Duration(500 * time.Millisecond),
		},
	}
	if cfg.Server {
		cfg.BootstrapExpect = c.opts.Servers
	}
	if c.opts.Disk {
		cfg.DataDir = filepath.Join(c.t.TempDir(), "data")
	}
	if c.opts.Configure != nil {
		c.opts.Configure(i, &cfg)
	}
	return cfg
}

// Config gives a stopped node's configuration, to be changed before the next Start.
func (c *Cluster) Config(i int) *store.Config { return &c.Nodes[i].cfg }

// Start runs a node that is not running.
func (c *Cluster) Start(i int) {
	c.t.Helper()
	n := c.Nodes[i]
	var s *store.Store
	testutil.Eventually(c.t, 5*time.Second, 20*time.Millisecond, func() (err error) {
		s, err = store.New(n.cfg) // a port of the last run may be busy for a moment
		return err
	})
	n.Store = s
	if c.opts.Handler != nil {
		s.Handle(c.opts.Handler(n))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	n.stop = func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return fmt.Errorf("node %s did not stop within 20 s", n.Name)
		}
	}
}

// Stop ends a node in an orderly way, as SIGTERM does.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	if n := c.Nodes[i]; n.stop != nil {
		if err := n.stop(); err != nil {
			c.t.Errorf("stop %s: %v", n.Name, err)
		}
		n.stop = nil
	}
}

// Kill ends a node without a word to the others: its links are cut first. Peers see its
// connections die, as they would see those of a killed process.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	n := c.Nodes[i]
	c.Isolate(i)
	if n.stop != nil {
		_ = n.stop() // it cannot hand over leadership: its links are cut
		n.stop = nil
	}
	c.Heal()
}

// Restart stops a node if it runs and starts it again.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	c.Stop(i)
	c.Start(i)
}

// Isolate cuts a node off from all others, in both directions.
func (c *Cluster) Isolate(i int) {
	for j := range c.Nodes {
		if j != i {
			c.Partition(i, j)
		}
	}
}

// Partition cuts the link between two nodes.
func (c *Cluster) Partition(i, j int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, b := c.Nodes[i].IP, c.Nodes[j].IP
	c.cut[[2]string{a, b}], c.cut[[2]string{b, a}] = true, true
}

// Heal mends all links.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cut)
}

func (c *Cluster) isCut(from, addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[[2]string{from, host}]
}

// Leader is the number of the server that all running servers call leader; -1: none.
func (c *Cluster) Leader() int {
	lead := ""
	for i, n := range c.Nodes {
		if n.stop == nil || i >= c.opts.Servers && !n.cfg.Server {
			continue
		}
		if l := n.Leader(); l == "" || lead != "" && l != lead {
			return -1
		} else {
			lead = l
		}
	}
	return slices.IndexFunc(c.Nodes, func(n *Node) bool { return n.stop != nil && n.Addr() != "" && n.Addr() == lead })
}

// WaitLeader waits until all running servers agree on a leader that is running, and gives its
// number.
func (c *Cluster) WaitLeader(limit time.Duration) (lead int) {
	c.t.Helper()
	testutil.Eventually(c.t, limit, 5*time.Millisecond, func() error {
		if lead = c.Leader(); lead < 0 {
			return fmt.Errorf("no leader that all servers agree on")
		}
		return nil
	})
	return lead
}

// WaitVoters waits until raft has n voters.
func (c *Cluster) WaitVoters(n int, limit time.Duration) {
	c.t.Helper()
	testutil.Eventually(c.t, limit, 20*time.Millisecond, func() error {
		lead := c.Leader()
		if lead < 0 {
			return fmt.Errorf("no leader")
		}
		servers, _, err := c.Nodes[lead].RaftConfiguration(context.Background())
		if err != nil {
			return err
		}
		voters := 0
		for _, s := range servers {
			if s.Voter {
				voters++
			}
		}
		if voters != n || len(servers) != n {
			return fmt.Errorf("%d voters of %d servers, want %d", voters, len(servers), n)
		}
		return nil
	})
}

// finish checks the invariants and stops everything.
func (c *Cluster) finish() {
	if !c.t.Failed() {
		c.Heal()
		c.checkStates()
	}
	var wg sync.WaitGroup
	for i := range c.Nodes {
		wg.Go(func() { c.Stop(i) })
	}
	wg.Wait()
}

// checkStates makes sure that running servers reach the same index with the same state.
func (c *Cluster) checkStates() {
	var err error
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = c.compare(); err == nil {
			return
		}
	}
	c.t.Errorf("servers do not agree: %v", err)
}

func (c *Cluster) compare() error {
	var index uint64
	var hash, of string
	for _, n := range c.Nodes {
		if n.stop == nil || !n.cfg.Server {
			continue
		}
		i, h := n.StateHash()
		if hash != "" && i != index {
			return fmt.Errorf("%s is at index %d, %s at %d", n.Name, i, of, index)
		}
		if hash != "" && h != hash {
			return fmt.Errorf("%s and %s differ at index %d", n.Name, of, i)
		}
		index, hash, of = i, h, n.Name
	}
	return nil
}

// Readdress gives a stopped node another address; its join list stays.
func (c *Cluster) Readdress(i int) {
	n := c.Nodes[i]
	n.IP = address()
	n.cfg.Net.BindAddr = n.IP
	ip := n.IP
	n.cfg.Net.Drop = func(addr string) bool { return c.isCut(ip, addr) }
}
