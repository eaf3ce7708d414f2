package state

import (
	"berth"

	"github.com/hashicorp/go-memdb"
)

// ref says that an instance or a check stands under another key than its own. A secondary index
// of go-memdb would do the same, but it is rewritten whenever the row is replaced, and rows are
// replaced much more often (a new status, a new output) than these keys change.
type ref struct {
	key  key
	node string
	id   string // of the instance or check
}

// First bytes of the keys of refs.
const (
	refName  = "n" // service name -> instances
	refAddr  = "a" // address -> instances
	refCheck = "c" // node and instance ID, "" for the node itself -> checks
)

func nameRefs(service string) key { return joinKey(refName + fold(service)) }

func addrRefs(ip key) key { return append(key(refAddr), ip...) }

func checkRefs(node, serviceID string) key { return joinKey(refCheck+fold(node), fold(serviceID)) }

func nameRef(s *berth.ServiceInstance) key {
	return append(nameRefs(s.Name), instanceKey(s.Node, s.ID)...)
}

// addrRef is nil for an instance without an IP address of its own.
func addrRef(s *berth.ServiceInstance) key {
	ip := addrKey(s.Address)
	if ip == nil {
		return nil
	}
	return append(addrRefs(ip), instanceKey(s.Node, s.ID)...)
}

func checkRef(c *berth.Check) key {
	return append(checkRefs(c.Node, c.ServiceID), joinKey(fold(c.CheckID))...)
}

func (t *Tx) addRef(k key, node, id string) {
	if k != nil {
		t.insert(tableRefs, k, &ref{key: k, node: node, id: id})
	}
}

func (t *Tx) dropRef(k key) {
	if k != nil {
		t.remove(tableRefs, k, &ref{key: k})
	}
}

func (t *Tx) addCheckRef(c *berth.Check) {
	t.refsWritten[string(checkRefs(c.Node, c.ServiceID))] = true
	t.addRef(checkRef(c), c.Node, c.CheckID)
}

func (t *Tx) dropCheckRef(c *berth.Check) {
	t.refsWritten[string(checkRefs(c.Node, c.ServiceID))] = true
	t.dropRef(checkRef(c))
}

// checksOf returns the checks of an instance, or those of the node itself for "".
func (t *Tx) checksOf(node, serviceID string) []*berth.Check {
	k := checkRefs(node, serviceID)
	txn := t.base // see Tx.written
	if t.refsWritten[string(k)] {
		txn = t.txn
	}
	var checks []*berth.Check
	for r := range each[ref](txn, nil, tableRefs, byID, k) {
		if c := t.check(r.node, r.id); c != nil {
			checks = append(checks, c)
		}
	}
	return checks
}

// checksOf is Tx.checksOf for readers; it appends to checks.
func (r *Reader) checksOf(checks []*berth.Check, node, serviceID string) []*berth.Check {
	for f := range each[ref](r.txn, nil, tableRefs, byID, checkRefs(node, serviceID)) {
		if c := r.Check(f.node, f.id); c != nil {
			checks = append(checks, c)
		}
	}
	return checks
}

// instances yields those under a key of refs, in the order of their nodes and IDs.
func (r *Reader) instances(ws memdb.WatchSet, k key, f func(*berth.ServiceInstance)) {
	for x := range each[ref](r.txn, ws, tableRefs, byID, k) {
		if s := r.Instance(x.node, x.id); s != nil {
			f(s)
		}
	}
}
