package state

import (
	"net/netip"

	"berth"
)

// View is one immutable snapshot as DNS wants it. No method blocks.
type View struct {
	r *Reader
}

// Index is the raft index up to which the snapshot is complete.
func (v View) Index() uint64 { return v.r.index }

// Service returns all instances of a service, whatever their health, by node and ID. The name
// is compared without regard to case.
func (v View) Service(name string) []*berth.HealthEntry {
	row := v.r.serviceRow(nil, name)
	if row == nil {
		return nil
	}
	return v.r.entries(row)
}

// ServiceExists is whether a service has instances, whatever their health.
func (v View) ServiceExists(name string) bool { return v.r.serviceRow(nil, name) != nil }

// Node returns a node by its name, compared without regard to case.
func (v View) Node(name string) (*berth.Node, bool) {
	n := first[berth.Node](v.r.txn, nil, tableNodes, byID, nodeKey(name))
	return n, n != nil
}

// Servers returns the nodes with an instance of service "consul": the datacenter's servers.
func (v View) Servers() []*berth.Node {
	var nodes []*berth.Node
	for _, e := range v.Service(berth.ConsulServiceName) {
		if n := len(nodes); n == 0 || nodes[n-1] != e.Node { // entries are ordered by node
			nodes = append(nodes, e.Node)
		}
	}
	return nodes
}

// Addr returns what has an address: nodes first, then services that are registered with the
// address themselves, by node and ID.
func (v View) Addr(ip netip.Addr) []berth.Name {
	if !ip.IsValid() {
		return nil
	}
	var names []berth.Name
	for n := range each[berth.Node](v.r.txn, nil, tableNodes, byAddr, ipKey(ip)) {
		names = append(names, berth.Name{Node: n.Name})
	}
	v.r.instances(nil, addrRefs(ipKey(ip)), func(s *berth.ServiceInstance) {
		names = append(names, berth.Name{Node: s.Node, Service: s.Name})
	})
	return names
}
