package state

import (
	"cmp"
	"maps"
	"slices"

	"berth"
)

// A service's health entries are computed when they are first read, and kept with the row that
// stands for the service until something changes in them. Then the next row starts from them and
// knows which are out of date, so that a change in a service with thousands of instances costs
// its readers no more than that change.

// slot is where an entry is among those of its service: both parts in lower case.
type slot struct{ node, id string }

// stale is what is known of a row's entries before they are computed: those of an earlier row,
// and where they are out of date.
type stale struct {
	entries []*berth.HealthEntry
	dirty   dirt
}

// dirt is which entries of a service changed: single ones, and all on some nodes.
type dirt struct {
	slots map[slot]bool
	nodes map[string]bool
}

func (d *dirt) addSlot(node, id string) {
	if d.slots == nil {
		d.slots = make(map[slot]bool)
	}
	d.slots[slot{fold(node), fold(id)}] = true
}

func (d *dirt) addNode(node string) {
	if d.nodes == nil {
		d.nodes = make(map[string]bool)
	}
	d.nodes[node] = true
}

func (d *dirt) size() int { return len(d.slots) + len(d.nodes) }

// with is both, in maps of its own.
func (d *dirt) with(e *dirt) dirt {
	var sum dirt
	for _, x := range []*dirt{d, e} {
		for s := range x.slots {
			sum.addSlot(s.node, s.id)
		}
		for n := range x.nodes {
			sum.addNode(n)
		}
	}
	return sum
}

// inherit makes row start from what its predecessor has, unless so much changed that computing
// all is as good.
func (row *serviceRow) inherit(old *serviceRow, d *dirt) {
	var from *stale
	if memo := old.entries.Load(); memo != nil {
		from = &stale{entries: *memo, dirty: *d}
	} else if before := old.before.Load(); before != nil {
		from = &stale{entries: before.entries, dirty: before.dirty.with(d)}
	}
	if from != nil && from.dirty.size()*2 <= len(from.entries) {
		row.before.Store(from)
	}
}

// entries are the health entries of a service, by node and ID.
func (r *Reader) entries(row *serviceRow) []*berth.HealthEntry {
	if memo := row.entries.Load(); memo != nil {
		return *memo
	}
	var all []*berth.HealthEntry
	if before := row.before.Load(); before != nil {
		all = r.patched(row, before)
	} else {
		all = make([]*berth.HealthEntry, 0, row.instances)
		r.instances(nil, nameRefs(row.key), func(s *berth.ServiceInstance) {
			if e := r.entry(s); e != nil {
				all = append(all, e)
			}
		})
	}
	row.entries.Store(&all)
	row.before.Store(nil)
	return all
}

// entry is nil on a replica whose server sent the instance before its node.
func (r *Reader) entry(s *berth.ServiceInstance) *berth.HealthEntry {
	_, n := r.Node(nil, s.Node)
	if n == nil {
		return nil
	}
	checks := r.checksOf(nil, s.Node, "")
	return &berth.HealthEntry{Node: n, Service: s, Checks: r.checksOf(checks, s.Node, s.ID)}
}

func (r *Reader) patched(row *serviceRow, before *stale) []*berth.HealthEntry {
	all := slices.Clone(before.entries)
	slots := maps.Clone(before.dirty.slots)
	for node := range before.dirty.nodes {
		i, _ := slices.BinarySearchFunc(all, slot{node: node}, compareSlot)
		for ; i < len(all) && fold(all[i].Service.Node) == node; i++ {
			if slots == nil {
				slots = make(map[slot]bool)
			}
			slots[slot{node, fold(all[i].Service.ID)}] = true
		}
	}
	for at := range slots {
		i, found := slices.BinarySearchFunc(all, at, compareSlot)
		var e *berth.HealthEntry
		if s := r.Instance(at.node, at.id); s != nil && fold(s.Name) == row.key {
			e = r.entry(s)
		}
		switch {
		case found && e != nil:
			all[i] = e
		case found:
			all = slices.Delete(all, i, i+1)
		case e != nil:
			all = slices.Insert(all, i, e)
		}
	}
	return all
}

// compareSlot orders as the keys of the tables do: part by part, each ended by a zero byte.
func compareSlot(e *berth.HealthEntry, at slot) int {
	return cmp.Or(cmp.Compare(fold(e.Service.Node), at.node), cmp.Compare(fold(e.Service.ID), at.id))
}
