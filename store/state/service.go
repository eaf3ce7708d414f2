package state

import (
	"maps"
	"slices"

	"berth"
)

func (t *Tx) instance(node, id string) *berth.ServiceInstance {
	return lookup[berth.ServiceInstance](t, tableServices, instanceKey(node, id))
}

func instanceID(s *berth.ServiceInstance) string {
	if s.ID == "" {
		return s.Name
	}
	return s.ID
}

func defaultWeights() *berth.Weights { return &berth.Weights{Passing: 1, Warning: 1} }

// applyInstance registers s, which it does not change, on a node that exists; node is its name
// as stored.
func (t *Tx) applyInstance(idx uint64, node string, s *berth.ServiceInstance) *berth.ServiceInstance {
	row := *s
	row.Node, row.ID = node, instanceID(s)
	if row.Weights == nil {
		row.Weights = defaultWeights()
	}
	row.CreateIndex, row.ModifyIndex = idx, idx
	old := t.instance(node, row.ID)
	if old != nil {
		if sameInstance(old, &row) {
			return old
		}
		row.CreateIndex = old.CreateIndex
	}
	t.putInstance(idx, old, &row)
	if old != nil && (old.Name != row.Name || old.ID != row.ID || !slices.Equal(old.Tags, row.Tags)) {
		t.relabelChecks(idx, &row)
	}
	return &row
}

// sameInstance compares all but the indexes.
func sameInstance(a, b *berth.ServiceInstance) bool {
	return a.Node == b.Node && a.ID == b.ID && a.Name == b.Name && a.Kind == b.Kind &&
		a.Address == b.Address && a.Port == b.Port && a.SocketPath == b.SocketPath &&
		a.EnableTagOverride == b.EnableTagOverride && *a.Weights == *b.Weights &&
		slices.Equal(a.Tags, b.Tags) && maps.Equal(a.Meta, b.Meta) &&
		maps.Equal(a.TaggedAddresses, b.TaggedAddresses)
}

// relabelChecks keeps the service's name and tags in its checks true.
func (t *Tx) relabelChecks(idx uint64, s *berth.ServiceInstance) {
	for _, c := range t.checksOf(s.Node, s.ID) {
		row := *c
		row.ServiceID, row.ServiceName, row.ServiceTags, row.ModifyIndex = s.ID, s.Name, s.Tags, idx
		t.putCheck(idx, c, &row)
	}
}

// putInstance stores a row as it is in the place of old, nil for none, and raises what depends
// on it.
func (t *Tx) putInstance(idx uint64, old, row *berth.ServiceInstance) {
	switch {
	case old == nil:
		t.g.InstanceCount++
		t.raise(&t.g.Usage, idx)
		t.touchTags(idx, t.touchInstance(idx, row, 1))
		t.addRef(nameRef(row), row.Node, row.ID)
		t.addRef(addrRef(row), row.Node, row.ID)
	case fold(old.Name) != fold(row.Name):
		t.raise(&t.g.Usage, idx)
		t.touchTags(idx, t.touchInstance(idx, old, -1))
		t.touchTags(idx, t.touchInstance(idx, row, 1))
		t.dropRef(nameRef(old))
		t.addRef(nameRef(row), row.Node, row.ID)
	default:
		touched := t.touchInstance(idx, row, 0)
		if old.Name != row.Name || !slices.Equal(old.Tags, row.Tags) {
			t.touchTags(idx, touched)
		}
	}
	if old != nil && old.Address != row.Address {
		t.dropRef(addrRef(old))
		t.addRef(addrRef(row), row.Node, row.ID)
	}
	t.insert(tableServices, instanceKey(row.Node, row.ID), row)
	t.pending.Deltas = append(t.pending.Deltas, Delta{Service: row})
	t.raise(&t.g.Services, idx)
}

// deleteInstance takes out an instance with its checks.
func (t *Tx) deleteInstance(idx uint64, now int64, s *berth.ServiceInstance) {
	for _, c := range t.checksOf(s.Node, s.ID) {
		t.deleteCheck(idx, now, c)
	}
	t.dropInstance(idx, s)
}

// dropInstance removes the row alone.
func (t *Tx) dropInstance(idx uint64, s *berth.ServiceInstance) {
	t.remove(tableServices, instanceKey(s.Node, s.ID), s)
	t.dropRef(nameRef(s))
	t.dropRef(addrRef(s))
	t.pending.Deltas = append(t.pending.Deltas, Delta{Deleted: true, Service: &berth.ServiceInstance{Node: s.Node, ID: s.ID}})
	t.g.InstanceCount--
	t.raise(&t.g.Usage, idx)
	t.raise(&t.g.Services, idx)
	t.touchTags(idx, t.touchInstance(idx, s, -1))
	t.removedFrom(idx, s.Node)
}
