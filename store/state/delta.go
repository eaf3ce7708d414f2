package state

import (
	"errors"
	"fmt"

	"berth"
)

// Delta is one row of the catalog that came, changed or, with Deleted, went: then the row has
// its key members only (Node.Name; Service.Node and ID; Check.Node and CheckID). Exactly one
// of the rows is set.
type Delta struct {
	Deleted bool                   `codec:",omitempty"`
	Node    *berth.Node            `codec:",omitempty"`
	Service *berth.ServiceInstance `codec:",omitempty"`
	Check   *berth.Check           `codec:",omitempty"`
}

// Key is equal for deltas of the same row: the later one supersedes the earlier one.
func (d *Delta) Key() string {
	switch {
	case d.Node != nil:
		return "n" + string(nodeKey(d.Node.Name))
	case d.Service != nil:
		return "s" + string(instanceKey(d.Service.Node, d.Service.ID))
	case d.Check != nil:
		return "c" + string(instanceKey(d.Check.Node, d.Check.CheckID))
	}
	return ""
}

var errEmptyDelta = errors.New("catalog delta without a row")

// check refuses rows that cannot be stored.
func (d *Delta) check() error {
	switch {
	case d.Node != nil:
		return checkRow("node", d.Node.Name, d.Node.Name)
	case d.Service != nil:
		return checkRow("service", d.Service.Node, d.Service.ID)
	case d.Check != nil:
		return checkRow("check", d.Check.Node, d.Check.CheckID)
	}
	return errEmptyDelta
}

func checkRow(what, node, id string) error {
	if node == "" || id == "" {
		return fmt.Errorf("%s %q on node %q: the key is not complete", what, id, node)
	}
	return checkNames("node", node, what, id)
}

// ApplyDeltas writes what a server's Commit had, on a replica: rows are stored as they are,
// nothing follows from them but indexes, watches and changes. Nothing is written when it
// returns an error.
func (s *Store) ApplyDeltas(index uint64, deltas []Delta) error {
	for i := range deltas {
		if err := deltas[i].check(); err != nil {
			return fmt.Errorf("apply catalog deltas of index %d: %w", index, err)
		}
	}
	t := s.Begin()
	for i := range deltas {
		t.began()
		t.applyDelta(index, &deltas[i])
	}
	t.Commit(index)
	return nil
}

func (t *Tx) applyDelta(idx uint64, d *Delta) {
	switch {
	case d.Node != nil && !d.Deleted:
		t.putNode(idx, t.node(d.Node.Name), d.Node)
	case d.Node != nil:
		if n := t.node(d.Node.Name); n != nil {
			t.dropNode(idx, n)
		}
	case d.Service != nil && !d.Deleted:
		row := d.Service
		if row.Weights == nil {
			row = new(berth.ServiceInstance)
			*row = *d.Service
			row.Weights = defaultWeights()
		}
		t.putInstance(idx, t.instance(row.Node, row.ID), row)
	case d.Service != nil:
		if s := t.instance(d.Service.Node, d.Service.ID); s != nil {
			t.dropInstance(idx, s)
		}
	case d.Check != nil && !d.Deleted:
		t.putCheck(idx, t.check(d.Check.Node, d.Check.CheckID), d.Check)
	case d.Check != nil:
		if c := t.check(d.Check.Node, d.Check.CheckID); c != nil {
			t.dropCheck(idx, c)
		}
	}
}
