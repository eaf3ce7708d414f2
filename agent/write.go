package agent

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"berth"
)

// maxOps and maxOpsBytes bound one catalog write: a log entry must stay of a size that raft ships at
// once, whatever tags and metadata containers have.
const (
	maxOps      = 4096
	maxOpsBytes = 4 << 20
)

// plannedOp is a catalog operation with what it is about, for log lines.
type plannedOp struct {
	op   berth.CatalogOp
	what string
	text string // why the catalog refused it; "": it did not
}

// plan turns marks into operations, registrations before deregistrations. a.mu is held; the
// rows are immutable, so the operations may be used after it is released.
func (a *Agent) plan(d *dirtySet) []plannedOp {
	ops := make([]plannedOp, 0, len(d.services)+len(d.checks)+len(d.goneServices)+len(d.goneChecks)+1)
	if d.node {
		ops = append(ops, plannedOp{op: berth.CatalogOp{Register: a.nodeRegistration()}, what: "node " + a.cfg.Node})
	}
	bound := a.checksByService(d)
	for _, id := range slices.Sorted(maps.Keys(d.services)) {
		svc := a.services[id]
		if svc == nil || svc.hidden {
			continue
		}
		reg := a.registration()
		reg.Service, reg.Checks = svc.row, bound[id]
		delete(bound, id)
		ops = append(ops, plannedOp{op: berth.CatalogOp{Register: reg}, what: "service " + id})
	}
	for _, sid := range slices.Sorted(maps.Keys(bound)) {
		for _, row := range bound[sid] {
			reg := a.registration()
			reg.Check = row
			ops = append(ops, plannedOp{op: berth.CatalogOp{Register: reg}, what: "check " + row.CheckID})
		}
	}
	return a.planRemovals(d, ops)
}

// checksByService are the rows to write, under their service's ID.
func (a *Agent) checksByService(d *dirtySet) map[string][]*berth.Check {
	bound := make(map[string][]*berth.Check, len(d.services))
	for id := range d.checks {
		if c := a.checks[id]; c != nil && a.published(c) {
			bound[c.def.ServiceID] = append(bound[c.def.ServiceID], c.row)
		}
	}
	for _, rows := range bound {
		slices.SortFunc(rows, func(x, y *berth.Check) int { return cmp.Compare(x.CheckID, y.CheckID) })
	}
	return bound
}

func (a *Agent) planRemovals(d *dirtySet, ops []plannedOp) []plannedOp {
	for _, id := range slices.Sorted(maps.Keys(d.goneServices)) {
		if svc := a.services[id]; svc != nil && !svc.hidden {
			continue
		}
		ops = append(ops, plannedOp{what: "service " + id, op: berth.CatalogOp{Deregister: &berth.Deregistration{
			Node: a.cfg.Node, Datacenter: a.cfg.Datacenter, ServiceID: id, Owner: d.goneServices[id],
		}}})
	}
	for _, id := range slices.Sorted(maps.Keys(d.goneChecks)) {
		if a.checks[id] != nil {
			continue
		}
		ops = append(ops, plannedOp{what: "check " + id, op: berth.CatalogOp{Deregister: &berth.Deregistration{
			Node: a.cfg.Node, Datacenter: a.cfg.Datacenter, CheckID: id,
		}}})
	}
	return ops
}

// registration is what all registrations of this node have in common.
func (a *Agent) registration() *berth.Registration {
	return &berth.Registration{
		ID: a.cfg.NodeID, Node: a.cfg.Node, Address: a.cfg.Address, Datacenter: a.cfg.Datacenter, SkipNodeUpdate: true,
	}
}

func (a *Agent) nodeRegistration() *berth.Registration {
	return &berth.Registration{
		ID: a.cfg.NodeID, Node: a.cfg.Node, Address: a.cfg.Address, Datacenter: a.cfg.Datacenter,
		TaggedAddresses: a.node.TaggedAddresses, NodeMeta: a.node.Meta,
	}
}

// write sends ops, as one log entry unless they are too many, and notes refusals in them. An
// error means that it is not known what was written.
func (a *Agent) write(ctx context.Context, ops []plannedOp) error {
	for len(ops) > 0 {
		chunk := ops[:fitting(ops)]
		ops = ops[len(chunk):]
		batch := make([]berth.CatalogOp, len(chunk))
		for i := range chunk {
			batch[i] = chunk[i].op
		}
		wctx, cancel := context.WithTimeout(ctx, callTimeout)
		errs, err := a.cfg.Catalog.Write(wctx, batch)
		cancel()
		if err != nil {
			return fmt.Errorf("write %d changes to the catalog: %w", len(batch), err)
		}
		for i, err := range errs {
			if err != nil && i < len(chunk) {
				chunk[i].text = err.Error()
			}
		}
	}
	return nil
}

// fitting is how many of ops go into one write, at least one.
func fitting(ops []plannedOp) int {
	size := 0
	for i := range ops {
		size += opBytes(ops[i].op.Register)
		if i > 0 && (i == maxOps || size > maxOpsBytes) {
			return i
		}
	}
	return len(ops)
}

// opBytes is about how large a registration is; its unbounded parts count.
func opBytes(r *berth.Registration) int {
	if r == nil {
		return 0
	}
	n := 0
	if s := r.Service; s != nil {
		for _, t := range s.Tags {
			n += len(t)
		}
		for k, v := range s.Meta {
			n += len(k) + len(v)
		}
	}
	for _, c := range r.Checks {
		n += len(c.Name) + len(c.Notes) + len(c.Output)
	}
	if c := r.Check; c != nil {
		n += len(c.Name) + len(c.Notes) + len(c.Output)
	}
	return n
}
