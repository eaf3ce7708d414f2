package state

import (
	"slices"
	"strings"

	"berth"

	"github.com/hashicorp/go-memdb"
)

// Reader is one immutable snapshot of the tables; any number of goroutines may use it, for as
// long as they like.
//
// Each read returns the index of its result: the raft index at which the result last changed,
// or may have changed. It adds to ws, unless that is nil, what fires when the result changes.
// A fired watch does not promise a larger index: a blocking query reads again from a new
// Reader and goes on waiting while the index is not larger. Indexes may be 0.
type Reader struct {
	txn   *memdb.Txn
	index uint64
}

// Index is the raft index up to which the snapshot is complete.
func (r *Reader) Index() uint64 { return r.index }

func (r *Reader) globals(ws memdb.WatchSet) *globals {
	if g := first[globals](r.txn, ws, tableGlobals, byID, globalsKey()); g != nil {
		return g
	}
	return &globals{}
}

// Nodes returns all nodes, by name.
func (r *Reader) Nodes(ws memdb.WatchSet) (uint64, []*berth.Node) {
	nodes := make([]*berth.Node, 0, r.globals(nil).NodeCount)
	for n := range each[berth.Node](r.txn, ws, tableNodes, byID, nil) {
		nodes = append(nodes, n)
	}
	return r.globals(nil).Nodes, nodes
}

// Node returns one node by its name, nil when there is none. Its index is that of its row
// alone.
func (r *Reader) Node(ws memdb.WatchSet, name string) (uint64, *berth.Node) {
	n := first[berth.Node](r.txn, ws, tableNodes, byID, nodeKey(name))
	if n == nil {
		return r.globals(nil).NodeExtinction, nil
	}
	return n.ModifyIndex, n
}

// minIDPrefix is how much of a node's ID has to be given to find it.
const minIDPrefix = 4

// NodeByIDPrefix returns the node whose ID starts with prefix, nil when there is none or more
// than one, or prefix has less than four characters.
func (r *Reader) NodeByIDPrefix(ws memdb.WatchSet, prefix string) *berth.Node {
	if len(prefix) < minIDPrefix {
		return nil
	}
	var found *berth.Node
	for n := range each[berth.Node](r.txn, ws, tableNodes, byUUID, key(fold(prefix))) {
		if found != nil {
			return nil
		}
		found = n
	}
	return found
}

// NodeServices returns a node by its name, or else by a prefix of its ID, with all that is on
// it, by ID; nil when there is none. Which node an ID belongs to may change with any node, so
// then, and when there is none, the index is at least that of all nodes.
func (r *Reader) NodeServices(ws memdb.WatchSet, name string) (uint64, *berth.NodeServices) {
	n := first[berth.Node](r.txn, ws, tableNodes, byID, nodeKey(name))
	var idx uint64
	if n == nil {
		n, idx = r.NodeByIDPrefix(ws, name), r.globals(nil).Nodes
	}
	if n == nil {
		return idx, nil
	}
	name = n.Name
	onNode, checks := r.NodeChecks(ws, name)
	idx = max(idx, onNode)
	ns := &berth.NodeServices{Node: n, Checks: checks}
	for s := range each[berth.ServiceInstance](r.txn, ws, tableServices, byID, nodeKey(name)) {
		ns.Services = append(ns.Services, s)
		idx = max(idx, s.ModifyIndex)
	}
	return max(idx, n.ModifyIndex), ns
}

// Services returns the names of all services that have instances, as they are written, each
// with the union of its instances' tags. The index is raised by changes of names and tags
// only.
func (r *Reader) Services(ws memdb.WatchSet) (uint64, map[string][]string) {
	g := r.globals(nil)
	names := make(map[string][]string, g.ServiceCount)
	first[mark](r.txn, ws, tableMarks, byID, joinKey(markServiceNames))
	for row := range each[serviceRow](r.txn, nil, tableServiceIndex, byID, nil) {
		for _, nt := range r.tagsOf(row) {
			names[nt.name] = nt.tags
		}
	}
	return g.ServiceNames, names
}

// AnyNode is the index of what nodes are, but not what is on them, for results that are selected by it.
func (r *Reader) AnyNode(ws memdb.WatchSet) uint64 {
	each[berth.Node](r.txn, ws, tableNodes, byID, nil)
	return r.globals(nil).Nodes
}

// AnyInstance is the index of what instances and their nodes are, for results that are selected by it.
func (r *Reader) AnyInstance(ws memdb.WatchSet) uint64 {
	each[berth.ServiceInstance](r.txn, ws, tableServices, byID, nil)
	return max(r.globals(nil).Services, r.AnyNode(ws))
}

func (r *Reader) tagsOf(row *serviceRow) []nameTags {
	if memo := row.tags.Load(); memo != nil {
		return *memo
	}
	var all []nameTags
	r.instances(nil, nameRefs(row.key), func(s *berth.ServiceInstance) {
		i := slices.IndexFunc(all, func(nt nameTags) bool { return nt.name == s.Name })
		if i < 0 {
			i = len(all)
			all = append(all, nameTags{name: s.Name, tags: []string{}})
		}
		all[i].tags = union(all[i].tags, s.Tags)
	})
	row.tags.Store(&all)
	return all
}

// union appends to a those of b that it lacks.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// Service returns all instances of a service, whatever their health, by node and ID. The name
// is compared without regard to case.
func (r *Reader) Service(ws memdb.WatchSet, name string) (uint64, []*berth.HealthEntry) {
	row := r.serviceRow(ws, name)
	if row == nil {
		return r.missingService(), nil
	}
	return row.Index, r.entries(row)
}

func (r *Reader) serviceRow(ws memdb.WatchSet, name string) *serviceRow {
	return first[serviceRow](r.txn, ws, tableServiceIndex, byID, joinKey(fold(name)))
}

// missingService is the index of a service that has no instance.
func (r *Reader) missingService() uint64 {
	g := r.globals(nil)
	if g.ServiceExtinction > 0 {
		return g.ServiceExtinction
	}
	return g.Services
}

// Instance returns one instance, nil when there is none.
func (r *Reader) Instance(node, id string) *berth.ServiceInstance {
	return first[berth.ServiceInstance](r.txn, nil, tableServices, byID, instanceKey(node, id))
}

// Check returns one check, nil when there is none.
func (r *Reader) Check(node, id string) *berth.Check {
	return first[berth.Check](r.txn, nil, tableChecks, byID, instanceKey(node, id))
}

// NodeChecks returns the checks of a node and of all that is on it.
func (r *Reader) NodeChecks(ws memdb.WatchSet, node string) (uint64, []*berth.Check) {
	n := first[berth.Node](r.txn, ws, tableNodes, byID, nodeKey(node))
	if n == nil {
		return r.globals(nil).NodeExtinction, nil
	}
	idx := n.CreateIndex
	if row := first[nodeRow](r.txn, nil, tableNodeIndex, byID, nodeKey(node)); row != nil {
		idx = max(idx, row.Index)
	}
	var checks []*berth.Check
	for c := range each[berth.Check](r.txn, ws, tableChecks, byID, nodeKey(node)) {
		checks = append(checks, c)
		idx = max(idx, c.ModifyIndex)
	}
	return idx, checks
}

// ServiceChecks returns the checks of a service's instances, without those of their nodes.
func (r *Reader) ServiceChecks(ws memdb.WatchSet, service string) (uint64, []*berth.Check) {
	idx, entries := r.Service(ws, service)
	var checks []*berth.Check
	for _, e := range entries {
		for _, c := range e.Checks {
			if c.ServiceID != "" {
				checks = append(checks, c)
			}
		}
	}
	return idx, checks
}

// StateChecks returns the checks with a status, or all for berth.StatusAny.
func (r *Reader) StateChecks(ws memdb.WatchSet, status string) (uint64, []*berth.Check) {
	status = strings.ToLower(status)
	index, k := byStatus, joinKey(status)
	if status == berth.StatusAny || status == berth.StatusPassing {
		index, k = byID, nil
	}
	var checks []*berth.Check
	for c := range each[berth.Check](r.txn, ws, tableChecks, index, k) {
		if status == berth.StatusAny || c.Status == status {
			checks = append(checks, c)
		}
	}
	return r.globals(nil).Checks, checks
}

// Usage counts what is in the catalog.
func (r *Reader) Usage(ws memdb.WatchSet) (uint64, berth.Usage) {
	g := r.globals(nil)
	first[mark](r.txn, ws, tableMarks, byID, joinKey(markUsage))
	return g.Usage, berth.Usage{Nodes: g.NodeCount, Services: g.ServiceCount, ServiceInstances: g.InstanceCount}
}
