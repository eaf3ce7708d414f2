package state

import (
	"fmt"
	"maps"
	"strings"

	"berth"
)

func (t *Tx) node(name string) *berth.Node {
	return lookup[berth.Node](t, tableNodes, nodeKey(name))
}

func (t *Tx) nodeByID(uuid string) *berth.Node {
	if uuid == "" {
		return nil
	}
	return first[berth.Node](t.txn, nil, tableNodes, byUUID, uuidKey(uuid))
}

// prepareNode is n as it can be given to applyNode: with the ID that the node had when n has
// none. The error says that n's name belongs to another node.
func (t *Tx) prepareNode(n *berth.Node) (*berth.Node, error) {
	if n.ID == "" {
		if old := t.node(n.Name); old != nil {
			n.ID = old.ID
		}
		return n, nil
	}
	holder := t.node(n.Name)
	if holder == nil || strings.EqualFold(holder.ID, n.ID) {
		return n, nil
	}
	old := t.nodeByID(n.ID)
	if holder.ID == "" && old == nil {
		return n, nil // registered by hand before: it gets its ID now
	}
	if c := t.check(holder.Name, berth.NodeHealthCheckID); c != nil && c.Status == berth.StatusCritical {
		return n, nil // the holder is dead
	}
	what := "registering node"
	if old != nil {
		what = "renaming node " + old.Name
	}
	return nil, fmt.Errorf("%s with ID %q (%s): Node name %s is reserved by node %s with name %s (%s)",
		what, n.ID, n.Address, n.Name, holder.ID, holder.Name, holder.Address)
}

// applyNode writes what prepareNode gave and returns the node's name as it is stored. A node
// that comes under another name than before is taken out with all that was on it. n may be
// the stored row.
func (t *Tx) applyNode(idx uint64, now int64, n *berth.Node) string {
	if byID := t.nodeByID(n.ID); byID != nil && fold(byID.Name) != fold(n.Name) {
		t.deleteNode(idx, now, byID)
	}
	old := t.node(n.Name)
	if old == n || old != nil && sameNode(old, n) {
		return old.Name
	}
	row := *n
	row.CreateIndex, row.ModifyIndex = idx, idx
	if old != nil {
		row.CreateIndex, row.Forgotten = old.CreateIndex, old.Forgotten
	}
	t.putNode(idx, old, &row)
	if old != nil && old.Name != row.Name {
		t.respell(idx, &row)
	}
	return row.Name
}

// sameNode compares all but the indexes.
func sameNode(a, b *berth.Node) bool {
	return a.Name == b.Name && a.ID == b.ID && a.Address == b.Address && a.Datacenter == b.Datacenter &&
		maps.Equal(a.TaggedAddresses, b.TaggedAddresses) && maps.Equal(a.Meta, b.Meta)
}

// respell gives what is on a node the node's name in its new upper and lower case.
func (t *Tx) respell(idx uint64, n *berth.Node) {
	for s := range each[berth.ServiceInstance](t.txn, nil, tableServices, byID, nodeKey(n.Name)) {
		row := *s
		row.Node, row.ModifyIndex = n.Name, idx
		t.putInstance(idx, s, &row)
	}
	for c := range each[berth.Check](t.txn, nil, tableChecks, byID, nodeKey(n.Name)) {
		row := *c
		row.Node, row.ModifyIndex = n.Name, idx
		t.putCheck(idx, c, &row)
	}
}

// putNode stores a row as it is in the place of old, nil for none, and raises what depends on
// it.
func (t *Tx) putNode(idx uint64, old, row *berth.Node) {
	if old == nil {
		t.g.NodeCount++
		t.raise(&t.g.Usage, idx)
	}
	t.insert(tableNodes, nodeKey(row.Name), row)
	t.pending.Deltas = append(t.pending.Deltas, Delta{Node: row})
	t.raise(&t.g.Nodes, idx)
	t.touchServicesOf(idx, row.Name)
}

// deleteNode takes out a node with all that is on it.
func (t *Tx) deleteNode(idx uint64, now int64, n *berth.Node) {
	t.endSessions(idx, now, byNode, nodeKey(n.Name))
	for s := range each[berth.ServiceInstance](t.txn, nil, tableServices, byID, nodeKey(n.Name)) {
		t.deleteInstance(idx, now, s)
	}
	for c := range each[berth.Check](t.txn, nil, tableChecks, byID, nodeKey(n.Name)) {
		t.deleteCheck(idx, now, c)
	}
	for c := range each[berth.NodeCoordinate](t.txn, nil, tableCoordinates, byID, nodeKey(n.Name)) {
		t.remove(tableCoordinates, instanceKey(c.Node, c.Segment), c)
		t.raise(&t.g.Coordinates, idx)
	}
	t.dropNode(idx, n)
}

// dropNode removes the row alone.
func (t *Tx) dropNode(idx uint64, n *berth.Node) {
	t.remove(tableNodes, nodeKey(n.Name), n)
	t.pending.Deltas = append(t.pending.Deltas, Delta{Deleted: true, Node: &berth.Node{Name: n.Name}})
	t.g.NodeCount--
	t.raise(&t.g.Nodes, idx)
	t.raise(&t.g.Usage, idx)
	t.raise(&t.g.NodeExtinction, idx)
	t.removals[fold(n.Name)] = 0
	delete(t.nodeTouched, fold(n.Name))
}
