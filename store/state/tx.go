package state

import (
	"slices"

	"berth"

	"github.com/hashicorp/go-memdb"
)

// Tx is a write to the store: any number of commands of consecutive log entries, which readers
// see together after Commit. It is for the goroutine that applies the log; exactly one Tx
// exists at a time (Begin waits for the previous one).
//
// The outcome of a command does not depend on how commands are grouped into Txs, since servers
// may group them differently.
type Tx struct {
	s    *Store
	txn  *memdb.Txn
	base *memdb.Txn // the tables before txn

	// written has the rows that txn inserted, nil for removed ones, by table and primary key.
	// A point look-up takes them from here and all else from base: reading from a tree that txn
	// has modified makes go-memdb copy the modified nodes again.
	written map[rowKey]any
	// refsWritten has the prefixes under which txn changed references to checks.
	refsWritten map[string]bool

	g        globals
	gDirty   bool
	was      globals                    // g as it was committed last
	services map[string]*touchedService // by lower-cased name
	removals map[string]uint64          // node -> index of the last removal from it, 0 when the node went

	// nodeTouched are nodes whose row or own checks changed: all services on them change, which
	// is worked out at the end, once per node.
	nodeTouched map[string]uint64

	order   []string // keys of services, as they came
	changed map[berth.Change]bool
	pending Commit // what has been flushed, and deltas since
	flushed int    // length of pending.Deltas at the last flush
	ops     int    // since the last flush
}

type rowKey struct{ table, key string }

// opsPerFlush bounds how much one memdb transaction changes: above some 8,000 tree nodes it
// compares whole tables to find the watches to fire.
const opsPerFlush = 400

// Begin starts a Tx.
func (s *Store) Begin() *Tx {
	t := &Tx{s: s, changed: make(map[berth.Change]bool)}
	t.reset()
	return t
}

func (t *Tx) reset() {
	t.txn, t.base = t.s.db.Txn(true), t.s.Read().txn
	t.written = make(map[rowKey]any)
	t.refsWritten = make(map[string]bool)
	t.g = *t.s.Read().globals(nil)
	t.was = t.g
	t.gDirty, t.ops = false, 0
	t.services = make(map[string]*touchedService)
	t.removals = make(map[string]uint64)
	t.nodeTouched = make(map[string]uint64)
	t.order = t.order[:0]
}

// Commit makes everything visible as the state at index and calls the store's onCommit.
func (t *Tx) Commit(index uint64) {
	t.complete()
	t.s.commit(t.txn, index)
	t.pending.Index = index
	if t.s.onCommit != nil {
		t.s.onCommit(t.pending)
	}
}

// flush makes what was done so far visible without raising the store's index.
func (t *Tx) flush() {
	t.complete()
	t.s.commit(t.txn, t.s.Index())
	t.reset()
}

// began is called before each command.
func (t *Tx) began() {
	if t.ops++; t.ops > opsPerFlush {
		t.flush()
	}
}

// discard takes back everything since the last flush.
func (t *Tx) discard() {
	t.txn.Abort()
	t.pending.Deltas = t.pending.Deltas[:t.flushed]
	t.reset()
}

// complete writes the rows that follow from those written, and works out what changed.
func (t *Tx) complete() {
	for node, idx := range t.nodeTouched {
		for s := range each[berth.ServiceInstance](t.txn, nil, tableServices, byID, nodeKey(node)) {
			t.touchService(idx, s.Name, 0).dirty.addNode(node)
		}
	}
	slices.Sort(t.order) // its order depends on the maps' otherwise
	for _, name := range t.order {
		t.writeServiceRow(name, t.services[name])
		t.change(berth.Change{Service: name})
	}
	for name, index := range t.removals {
		t.writeNodeRow(name, index)
	}
	if t.gDirty {
		g := t.g
		t.insert(tableGlobals, globalsKey(), &g)
		if g.ServiceNames != t.was.ServiceNames {
			t.insert(tableMarks, joinKey(markServiceNames), &mark{markServiceNames})
		}
		if g.Usage != t.was.Usage {
			t.insert(tableMarks, joinKey(markUsage), &mark{markUsage})
		}
	}
	for _, d := range t.pending.Deltas[t.flushed:] {
		switch {
		case d.Node != nil:
			t.change(berth.Change{Node: fold(d.Node.Name)})
		case d.Check != nil && d.Check.CheckID == berth.NodeHealthCheckID:
			t.change(berth.Change{Node: fold(d.Check.Node)})
		}
	}
	t.flushed = len(t.pending.Deltas)
}

func (t *Tx) change(c berth.Change) {
	if !t.changed[c] {
		t.changed[c] = true
		t.pending.Changes = append(t.pending.Changes, c)
	}
}

func (t *Tx) writeServiceRow(name string, touched *touchedService) {
	old := lookup[serviceRow](t, tableServiceIndex, joinKey(name))
	if touched.instances == 0 {
		if old != nil {
			t.remove(tableServiceIndex, joinKey(name), old)
		}
		return
	}
	row := &serviceRow{key: name, Index: touched.index, instances: touched.instances}
	if old != nil {
		row.inherit(old, &touched.dirty)
		if !touched.tags {
			row.tags.Store(old.tags.Load())
		}
	}
	t.insert(tableServiceIndex, joinKey(name), row)
}

func (t *Tx) writeNodeRow(name string, index uint64) {
	old := lookup[nodeRow](t, tableNodeIndex, joinKey(name))
	switch {
	case index > 0:
		if old != nil {
			index = max(index, old.Index)
		}
		t.insert(tableNodeIndex, joinKey(name), &nodeRow{key: name, Index: index})
	case old != nil:
		t.remove(tableNodeIndex, joinKey(name), old)
	}
}

// touchInstance notes a change in an instance of a service, or in its checks, and changes the
// service's number of instances by n.
func (t *Tx) touchInstance(idx uint64, s *berth.ServiceInstance, n int) *touchedService {
	touched := t.touchService(idx, s.Name, n)
	touched.dirty.addSlot(s.Node, s.ID)
	return touched
}

// touchService raises the index of a service name and changes its number of instances by n.
func (t *Tx) touchService(idx uint64, name string, n int) *touchedService {
	k := fold(name)
	s := t.services[k]
	if s == nil {
		s = &touchedService{}
		if row := lookup[serviceRow](t, tableServiceIndex, joinKey(k)); row != nil {
			s.index, s.instances = row.Index, row.instances
		}
		t.services[k] = s
		t.order = append(t.order, k)
	}
	was := s.instances
	s.index = max(s.index, idx)
	s.instances += n
	if (was == 0) != (s.instances == 0) {
		t.g.ServiceCount += n
		t.gDirty = true
		if n < 0 {
			t.raise(&t.g.ServiceExtinction, idx)
		}
	}
	return s
}

// touchTags notes that the set of service names and tags changed.
func (t *Tx) touchTags(idx uint64, s *touchedService) {
	s.tags = true
	t.raise(&t.g.ServiceNames, idx)
}

// removedFrom raises the index of what is on a node.
func (t *Tx) removedFrom(idx uint64, node string) {
	k := fold(node)
	t.removals[k] = max(t.removals[k], idx)
}

// touchServicesOf raises the index of all services with an instance on a node.
func (t *Tx) touchServicesOf(idx uint64, node string) {
	k := fold(node)
	t.nodeTouched[k] = max(t.nodeTouched[k], idx)
}

// raise sets a member of t.g to idx unless it is larger already.
func (t *Tx) raise(member *uint64, idx uint64) {
	raise(member, idx)
	t.gDirty = true
}

func raise(member *uint64, idx uint64) { *member = max(*member, idx) }

// lookup returns the row under a primary key as it is now, nil when there is none.
func lookup[T any](t *Tx, table string, k key) *T {
	if row, ok := t.written[rowKey{table, string(k)}]; ok {
		if row == nil {
			return nil
		}
		return row.(*T)
	}
	return first[T](t.base, nil, table, byID, k)
}

// insert stores a row under its primary key.
func (t *Tx) insert(table string, k key, row any) {
	must(t.txn.Insert(table, row))
	t.written[rowKey{table, string(k)}] = row
}

// remove takes out the row under a primary key.
func (t *Tx) remove(table string, k key, row any) {
	must(t.txn.Delete(table, row))
	t.written[rowKey{table, string(k)}] = nil
}
