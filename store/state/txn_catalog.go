package state

import (
	"fmt"

	"berth"
)

// casHolds is whether a compare-and-set may go on: index 0 means "not there yet".
func casHolds(exists bool, have, want uint64) bool {
	if !exists {
		return want == 0
	}
	return want != 0 && have == want
}

func (x *txnRun) node(op *berth.TxnNodeOp) error {
	n := &op.Node
	_, old := x.r.Node(nil, n.Name)
	if n.ID != "" {
		old = first[berth.Node](x.r.txn, nil, tableNodes, byUUID, uuidKey(n.ID))
	}
	switch op.Verb {
	case verbGet:
		if old == nil {
			return fmt.Errorf("node %q doesn't exist", n.Name)
		}
		x.results = append(x.results, &berth.TxnResult{Node: old})
		return nil
	case verbCAS:
		if !casHolds(old != nil, modifyIndexOf(old), n.ModifyIndex) {
			return fmt.Errorf("failed to set node %q, index is stale", n.Name)
		}
		return x.setNode(n)
	case verbSet:
		return x.setNode(n)
	case verbDeleteCAS:
		if old == nil || old.ModifyIndex != n.ModifyIndex {
			return fmt.Errorf("failed to delete node %q, index is stale", n.Name)
		}
		x.t.deleteNode(x.idx, x.now, old)
		return nil
	case verbDelete:
		if old != nil {
			x.t.deleteNode(x.idx, x.now, old)
		}
		return nil
	}
	return fmt.Errorf("unknown Node operation: %s", op.Verb)
}

func modifyIndexOf(n *berth.Node) uint64 {
	if n == nil {
		return 0
	}
	return n.ModifyIndex
}

func (x *txnRun) setNode(n *berth.Node) error {
	r := &berth.Registration{
		ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: n.Datacenter,
		TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
		SkipNodeUpdate: true, // clients may set nodes without an address here
	}
	if err := CheckRegistration(r); err != nil {
		return err
	}
	row, err := x.t.prepareNode(registeredNode(r))
	if err != nil {
		return err
	}
	name := x.t.applyNode(x.idx, x.now, row)
	x.results = append(x.results, &berth.TxnResult{Node: x.t.node(name)})
	return nil
}

func (x *txnRun) service(op *berth.TxnServiceOp) error {
	s := &op.Service
	id := instanceID(s)
	old := x.r.Instance(op.Node, id)
	switch op.Verb {
	case verbGet:
		if old == nil {
			return fmt.Errorf("service %q on node %q doesn't exist", id, op.Node)
		}
		x.results = append(x.results, &berth.TxnResult{Service: old})
		return nil
	case verbCAS:
		var have uint64
		if old != nil {
			have = old.ModifyIndex
		}
		if !casHolds(old != nil, have, s.ModifyIndex) {
			return fmt.Errorf("failed to set service %q on node %q, index is stale", id, op.Node)
		}
		return x.setService(op.Node, s)
	case verbSet:
		return x.setService(op.Node, s)
	case verbDeleteCAS:
		if old == nil || old.ModifyIndex != s.ModifyIndex {
			return fmt.Errorf("failed to delete service %q on node %q, index is stale", id, op.Node)
		}
		x.t.deleteInstance(x.idx, x.now, old)
		x.t.forgetInstance(x.idx, old)
		return nil
	case verbDelete:
		if old != nil {
			x.t.deleteInstance(x.idx, x.now, old)
			x.t.forgetInstance(x.idx, old)
		}
		return nil
	}
	return fmt.Errorf("unknown Service operation: %s", op.Verb)
}

func (x *txnRun) setService(node string, s *berth.ServiceInstance) error {
	if err := checkInstance(s); err != nil {
		return err
	}
	n := x.t.node(node)
	if n == nil {
		return errNoNode
	}
	row := x.t.applyInstance(x.idx, n.Name, s)
	x.results = append(x.results, &berth.TxnResult{Service: row})
	return nil
}

func (x *txnRun) check(op *berth.TxnCheckOp) error {
	c := &op.Check
	id := checkID(c)
	old := x.r.Check(c.Node, id)
	switch op.Verb {
	case verbGet:
		if old == nil {
			return fmt.Errorf("check %q on node %q doesn't exist", id, c.Node)
		}
		x.results = append(x.results, &berth.TxnResult{Check: old})
		return nil
	case verbCAS:
		var have uint64
		if old != nil {
			have = old.ModifyIndex
		}
		if !casHolds(old != nil, have, c.ModifyIndex) {
			return fmt.Errorf("failed to set check %q on node %q, index is stale", id, c.Node)
		}
		return x.setCheck(c)
	case verbSet:
		return x.setCheck(c)
	case verbDeleteCAS:
		if old == nil || old.ModifyIndex != c.ModifyIndex {
			return fmt.Errorf("failed to delete check %q on node %q, index is stale", id, c.Node)
		}
		x.t.deleteCheck(x.idx, x.now, old)
		x.t.forgetCheck(x.idx, old)
		return nil
	case verbDelete:
		if old != nil {
			x.t.deleteCheck(x.idx, x.now, old)
			x.t.forgetCheck(x.idx, old)
		}
		return nil
	}
	return fmt.Errorf("unknown Check operation: %s", op.Verb)
}

func (x *txnRun) setCheck(c *berth.Check) error {
	if err := checkCheck(c.Node, c); err != nil {
		return err
	}
	n := x.t.node(c.Node)
	if n == nil {
		return errNoNode
	}
	if err := x.t.knownServices(n, nil, []*berth.Check{c}); err != nil {
		return err
	}
	row := x.t.applyCheck(x.idx, x.now, n.Name, c)
	x.results = append(x.results, &berth.TxnResult{Check: row})
	return nil
}
