package state

import (
	"slices"
	"strings"

	"berth"
)

// A user may deregister in the catalog what a node's agent still wants and would register again.
// The node's row then says so until the agent has taken notice: see docs/decisions/0003. The word
// goes with the row, so nothing is left when the node goes or is renamed.

// maxForgotten bounds what is kept of a node whose agent never comes back; the oldest goes first.
const maxForgotten = 1024

// forgetInstance leaves word for the agent of a deleted instance.
func (t *Tx) forgetInstance(idx uint64, s *berth.ServiceInstance) {
	t.forget(idx, s.Node, berth.Forgotten{ServiceID: s.ID, Owner: s.Meta[berth.MetaOwner]})
}

// forgetCheck does so for a deleted check.
func (t *Tx) forgetCheck(idx uint64, c *berth.Check) {
	f := berth.Forgotten{CheckID: c.CheckID}
	if s := t.instance(c.Node, c.ServiceID); s != nil {
		f.Owner = s.Meta[berth.MetaOwner]
	}
	t.forget(idx, c.Node, f)
}

func (t *Tx) forget(idx uint64, node string, f berth.Forgotten) {
	n := t.node(node)
	if n == nil || strings.EqualFold(f.CheckID, berth.NodeHealthCheckID) || t.check(node, berth.NodeHealthCheckID) == nil {
		return // no agent, or the servers' own check
	}
	rest := without(n.Forgotten, f)
	if over := len(rest) + 1 - maxForgotten; over > 0 {
		rest = rest[over:]
	}
	t.setForgotten(idx, n, append(rest, f))
}

// heeded takes the word away that d names, if it is of the same owner.
func (t *Tx) heeded(idx uint64, d *berth.Deregistration) {
	n := t.node(d.Node)
	f := berth.Forgotten{ServiceID: d.ServiceID, CheckID: d.CheckID, Owner: d.Owner}
	if n != nil && slices.Contains(n.Forgotten, f) {
		t.setForgotten(idx, n, without(n.Forgotten, f))
	}
}

// setForgotten stores the node's row with another list.
func (t *Tx) setForgotten(idx uint64, n *berth.Node, list []berth.Forgotten) {
	row := *n
	row.ModifyIndex = idx
	if row.Forgotten = list; len(list) == 0 {
		row.Forgotten = nil
	}
	t.putNode(idx, n, &row)
}

// without is a copy of list less what is about the same instance or check as f.
func without(list []berth.Forgotten, f berth.Forgotten) []berth.Forgotten {
	return slices.DeleteFunc(slices.Clone(list), func(x berth.Forgotten) bool {
		return strings.EqualFold(x.ServiceID, f.ServiceID) && strings.EqualFold(x.CheckID, f.CheckID)
	})
}
