package state

import (
	"time"

	"berth"
)

// Overdue is a check that asks for its service to be deregistered at a time, with no living agent
// to do it.
type Overdue struct {
	Check *berth.Check
	At    time.Time
}

// minDeregisterAfter is what shorter times count as.
const minDeregisterAfter = time.Second

// deadline is when c's service shall go, false while it shall not: DeregisterCriticalServiceAfter
// counts from when the check became critical, or from when its agent was found dead, whichever was
// first. While the agent lives, which serf, the node's serfHealth check, tells, it is the agent's to
// do. Nodes without an agent (serf is nil) have their checks set from outside.
func deadline(c, serf *berth.Check) (time.Time, bool) {
	after := max(c.DeregisterAfter, c.Definition.DeregisterCriticalServiceAfter)
	if after <= 0 || c.ServiceID == "" {
		return time.Time{}, false
	}
	since := c.CriticalSince
	if serf != nil {
		if serf.CriticalSince == 0 {
			return time.Time{}, false
		}
		if since == 0 || serf.CriticalSince < since {
			since = serf.CriticalSince
		}
	}
	return time.Unix(0, since).Add(max(after.D(), minDeregisterAfter)), since != 0
}

// Overdue are the checks whose services have to go now or later, in no order. The channels that
// close when that may have changed are abandon, see AbandonCh, and changed.
func (s *Store) Overdue() (all []Overdue, changed, abandon <-chan struct{}) {
	r := s.Read()
	it, err := r.txn.Get(tableChecks, byStatus, joinKey(berth.StatusCritical))
	must(err)
	for raw := it.Next(); raw != nil; raw = it.Next() {
		c := raw.(*berth.Check)
		serf := first[berth.Check](r.txn, nil, tableChecks, byID, instanceKey(c.Node, berth.NodeHealthCheckID))
		switch {
		case c == serf:
			all = r.overdueOn(all, serf)
		case serf == nil:
			if at, ok := deadline(c, nil); ok {
				all = append(all, Overdue{c, at})
			}
		}
	}
	return all, it.WatchCh(), s.abandon
}

// overdueOn adds those of a node whose agent is dead.
func (r *Reader) overdueOn(all []Overdue, serf *berth.Check) []Overdue {
	for c := range each[berth.Check](r.txn, nil, tableChecks, byID, nodeKey(serf.Node)) {
		if at, ok := deadline(c, serf); ok {
			all = append(all, Overdue{c, at})
		}
	}
	return all
}

// deleteOverdue takes out the service of a check whose deadline has passed. That is asked again
// here, since the agent may have come back after the leader looked.
func (t *Tx) deleteOverdue(idx uint64, now int64, node, checkID string) {
	c := t.check(node, checkID)
	if c == nil {
		return
	}
	at, ok := deadline(c, t.check(node, berth.NodeHealthCheckID))
	if !ok || at.UnixNano() > now {
		return
	}
	if s := t.instance(node, c.ServiceID); s != nil {
		t.deleteInstance(idx, now, s)
	}
}
