package dnsproxy

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"berth"
)

// catalog is a View that tests change at will.
type catalog struct {
	mu       sync.Mutex
	index    uint64
	unsynced bool
	services map[string][]*berth.HealthEntry
	nodes    map[string]*berth.Node
}

func newCatalog() *catalog {
	return &catalog{index: 1, services: map[string][]*berth.HealthEntry{}, nodes: map[string]*berth.Node{}}
}

func (c *catalog) Index() uint64      { c.mu.Lock(); defer c.mu.Unlock(); return c.index }
func (c *catalog) Synced() bool       { c.mu.Lock(); defer c.mu.Unlock(); return !c.unsynced }
func (c *catalog) Lag() time.Duration { return 0 }
func (c *catalog) view() View         { return c }
func (c *catalog) Servers() []*berth.Node {
	var out []*berth.Node
	for _, e := range c.Service("consul") {
		out = append(out, e.Node)
	}
	return out
}

func (c *catalog) Service(name string) []*berth.HealthEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.services[name]
}

func (c *catalog) ServiceExists(name string) bool { return len(c.Service(name)) > 0 }

func (c *catalog) Node(name string) (*berth.Node, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.nodes[strings.ToLower(name)]
	return n, ok
}

func (c *catalog) Addr(ip netip.Addr) []berth.Name {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []berth.Name
	for _, n := range c.nodes {
		if n.Address == ip.String() {
			out = append(out, berth.Name{Node: n.Name})
		}
	}
	for name, list := range c.services {
		for _, e := range list {
			if e.Service.Address == ip.String() {
				out = append(out, berth.Name{Node: e.Node.Name, Service: name})
				break
			}
		}
	}
	return out
}

func (c *catalog) node(name, address string, meta ...string) *berth.Node {
	n := &berth.Node{Name: name, Address: address, Datacenter: "dc1", Meta: map[string]string{}}
	for i := 0; i+1 < len(meta); i += 2 {
		n.Meta[meta[i]] = meta[i+1]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[strings.ToLower(name)] = n
	return n
}

// add registers an instance; opts change it.
func (c *catalog) add(node, name, address string, port int, opts ...func(*berth.HealthEntry)) *berth.HealthEntry {
	n, ok := c.Node(node)
	if !ok {
		panic("unknown node " + node)
	}
	e := &berth.HealthEntry{Node: n, Service: &berth.ServiceInstance{
		Node: node, ID: name, Name: name, Address: address, Port: port, Weights: &berth.Weights{Passing: 1, Warning: 1},
	}}
	for _, o := range opts {
		o(e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	key := strings.ToLower(name)
	c.services[key] = append(append([]*berth.HealthEntry(nil), c.services[key]...), e)
	return e
}

func tags(t ...string) func(*berth.HealthEntry) {
	return func(e *berth.HealthEntry) { e.Service.Tags = t }
}

func status(st string) func(*berth.HealthEntry) {
	return func(e *berth.HealthEntry) { e.Checks = append(e.Checks, &berth.Check{Status: st}) }
}

func weights(passing, warning int) func(*berth.HealthEntry) {
	return func(e *berth.HealthEntry) { e.Service.Weights = &berth.Weights{Passing: passing, Warning: warning} }
}

// key is a query by which the cache of any server of the test can be looked into.
func (s *Server) key(name string, typ uint16) *query {
	wire, _ := packName(name)
	q := (&query{}).about(wire, typ)
	q.hash = s.answers.hash(q)
	return q
}
