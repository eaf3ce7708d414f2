package state

import (
	"maps"
	"reflect"
	"slices"

	"berth"
)

func (t *Tx) check(node, id string) *berth.Check {
	return lookup[berth.Check](t, tableChecks, instanceKey(node, id))
}

func checkID(c *berth.Check) string {
	if c.CheckID == "" {
		return c.Name
	}
	return c.CheckID
}

// applyCheck registers c, which it does not change, on a node that exists; node is its name
// as stored, and the instance that c names is on it. Sessions bound to a check that is
// critical now end.
func (t *Tx) applyCheck(idx uint64, now int64, node string, c *berth.Check) *berth.Check {
	row := *c
	row.Node, row.CheckID = node, checkID(c)
	if row.Status == "" {
		row.Status = berth.StatusCritical
	}
	row.ServiceName, row.ServiceTags = "", nil
	if row.ServiceID != "" {
		s := t.instance(node, row.ServiceID)
		row.ServiceID, row.ServiceName, row.ServiceTags = s.ID, s.Name, s.Tags
	}
	row.CreateIndex, row.ModifyIndex, row.CriticalSince = idx, idx, 0
	old := t.check(node, row.CheckID)
	if row.Status == berth.StatusCritical {
		row.CriticalSince = now
		if old != nil && old.Status == berth.StatusCritical {
			row.CriticalSince = old.CriticalSince
		}
	}
	if old != nil {
		if sameCheck(old, &row) {
			return old
		}
		row.CreateIndex = old.CreateIndex
	}
	t.putCheck(idx, old, &row)
	if row.Status == berth.StatusCritical {
		t.endSessions(idx, now, byCheck, instanceKey(node, row.CheckID))
	}
	return &row
}

// sameCheck compares all but the indexes and since when it is critical.
func sameCheck(a, b *berth.Check) bool {
	return a.Node == b.Node && a.CheckID == b.CheckID && a.Name == b.Name && a.Status == b.Status &&
		a.Notes == b.Notes && a.Output == b.Output && a.ServiceID == b.ServiceID &&
		a.ServiceName == b.ServiceName && slices.Equal(a.ServiceTags, b.ServiceTags) &&
		a.Type == b.Type && a.Interval == b.Interval && a.Timeout == b.Timeout &&
		a.ExposedPort == b.ExposedPort && a.DeregisterAfter == b.DeregisterAfter && sameTarget(&a.Definition, &b.Definition)
}

func sameTarget(a, b *berth.CheckTarget) bool {
	if !maps.EqualFunc(a.Header, b.Header, slices.Equal[[]string]) || !slices.Equal(a.ScriptArgs, b.ScriptArgs) {
		return false
	}
	x, y := *a, *b
	x.Header, x.ScriptArgs, y.Header, y.ScriptArgs = nil, nil, nil, nil
	return reflect.DeepEqual(&x, &y)
}

// putCheck stores a row as it is in the place of old, nil for none, and raises what depends on
// it: the services that the check was for and is for now, all of the node's when it is the
// node's own.
func (t *Tx) putCheck(idx uint64, old, row *berth.Check) {
	if old == nil || fold(old.ServiceID) != fold(row.ServiceID) {
		if old != nil {
			t.touchCheck(idx, old)
			t.dropCheckRef(old)
		}
		t.addCheckRef(row)
	}
	t.insert(tableChecks, instanceKey(row.Node, row.CheckID), row)
	t.pending.Deltas = append(t.pending.Deltas, Delta{Check: row})
	t.touchCheck(idx, row)
}

func (t *Tx) touchCheck(idx uint64, c *berth.Check) {
	t.raise(&t.g.Checks, idx)
	if c.ServiceID == "" {
		t.touchServicesOf(idx, c.Node)
	} else if s := t.instance(c.Node, c.ServiceID); s != nil {
		t.touchInstance(idx, s, 0)
	}
}

// deleteCheck takes out a check; sessions bound to it end.
func (t *Tx) deleteCheck(idx uint64, now int64, c *berth.Check) {
	t.dropCheck(idx, c)
	t.endSessions(idx, now, byCheck, instanceKey(c.Node, c.CheckID))
}

// dropCheck removes the row alone.
func (t *Tx) dropCheck(idx uint64, c *berth.Check) {
	t.remove(tableChecks, instanceKey(c.Node, c.CheckID), c)
	t.dropCheckRef(c)
	t.pending.Deltas = append(t.pending.Deltas, Delta{Deleted: true, Check: &berth.Check{Node: c.Node, CheckID: c.CheckID}})
	t.touchCheck(idx, c)
	t.removedFrom(idx, c.Node)
}
