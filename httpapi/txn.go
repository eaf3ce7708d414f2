package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"berth"
)

// maxTxnOps is how many operations one transaction may have.
const maxTxnOps = 128

// txnOpBody is one operation as clients send it.
type txnOpBody struct {
	KV *struct {
		Verb    string
		Key     string
		Value   []byte
		Flags   uint64
		Index   uint64
		Session string
	}
	Node *struct {
		Verb string
		Node nodeBody
	}
	Service *struct {
		Verb    string
		Node    string
		Service instanceBody
	}
	Check *struct {
		Verb  string
		Check catalogCheckBody
	}
	Session *berth.TxnSessionOp
}

type nodeBody struct {
	berth.Node
	PeerName string
	Locality *struct{}
}

// op gives the operation and the access it needs.
func (b *txnOpBody) op() (berth.TxnOp, Access, error) {
	var op berth.TxnOp
	if n := b.members(); n > 1 {
		return op, Access{}, fmt.Errorf("operation has %d of KV, Node, Service, Check and Session; send each as an operation of its own", n)
	}
	switch {
	case b.KV != nil:
		op.KV = &berth.KVOp{Verb: b.KV.Verb, Entry: berth.KVEntry{Key: b.KV.Key, Value: b.KV.Value, Flags: b.KV.Flags,
			Session: b.KV.Session, ModifyIndex: b.KV.Index}}
		return op, Access{"key", txnVerb(b.KV.Verb), b.KV.Key}, nil
	case b.Node != nil:
		op.Node = &berth.TxnNodeOp{Verb: b.Node.Verb, Node: b.Node.Node.Node}
		return op, Access{"node", txnVerb(b.Node.Verb), b.Node.Node.Name}, nil
	case b.Service != nil:
		if w := b.Service.Service.Weights; w != nil && *w == (berth.Weights{}) {
			b.Service.Service.Weights = nil // clients that have no weights to give send zeros
		}
		if err := plausibleInstance(&b.Service.Service.ServiceInstance); err != nil {
			return op, Access{}, err
		}
		op.Service = &berth.TxnServiceOp{Verb: b.Service.Verb, Node: b.Service.Node, Service: b.Service.Service.ServiceInstance}
		return op, Access{"service", txnVerb(b.Service.Verb), b.Service.Service.Name}, nil
	case b.Check != nil:
		op.Check = &berth.TxnCheckOp{Verb: b.Check.Verb, Check: *b.Check.Check.check()}
		return op, Access{"node", txnVerb(b.Check.Verb), b.Check.Check.Node}, nil
	case b.Session != nil:
		op.Session = b.Session
		return op, Access{"session", Write, b.Session.Session.Node}, nil
	}
	return op, Access{}, errors.New("operation has none of KV, Node, Service, Check and Session")
}

// members counts what the operation is about; more than one would be left out in silence.
func (b *txnOpBody) members() (n int) {
	for _, there := range []bool{b.KV != nil, b.Node != nil, b.Service != nil, b.Check != nil, b.Session != nil} {
		if there {
			n++
		}
	}
	return n
}

// txnVerb is the access that a verb needs: unknown ones are refused later, and change nothing.
func txnVerb(verb string) string {
	switch verb {
	case berth.KVSet, berth.KVDelete, berth.KVDeleteCAS, berth.KVDeleteTree, berth.KVCAS, berth.KVLock, berth.KVUnlock:
		return Write
	}
	return Read
}

// badVerb says what is wrong with an operation's verb, "" if nothing is.
func badVerb(op *berth.TxnOp) string {
	var what, verb string
	switch {
	case op.KV != nil:
		switch op.KV.Verb {
		case berth.KVSet, berth.KVDelete, berth.KVDeleteCAS, berth.KVDeleteTree, berth.KVCAS, berth.KVLock, berth.KVUnlock, berth.KVGet,
			berth.KVGetOrEmpty, berth.KVGetTree, berth.KVCheckSession, berth.KVCheckIndex, berth.KVCheckNotExists:
			return ""
		}
		return "unknown KV operation: " + op.KV.Verb
	case op.Node != nil:
		what, verb = "Node", op.Node.Verb
	case op.Service != nil:
		what, verb = "Service", op.Service.Verb
	case op.Check != nil:
		what, verb = "Check", op.Check.Verb
	case op.Session != nil:
		if op.Session.Verb == berth.KVDelete {
			return ""
		}
		return fmt.Sprintf("unknown Session operation %q", op.Session.Verb)
	}
	switch verb {
	case berth.KVGet, berth.KVSet, berth.KVCAS, berth.KVDelete, berth.KVDeleteCAS:
		return ""
	}
	return fmt.Sprintf("unknown %s operation %q", what, verb)
}

// txn is a transaction on its way to its handler.
type txn struct {
	ops   []berth.TxnOp
	write bool
}

// prepareTxn reads the operations, since a transaction that only reads runs where reads run.
func prepareTxn(c *call, to *berth.Route) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	c.setBody(raw)
	var bodies []txnOpBody
	if err := decodeStrict(raw, &bodies); err != nil {
		return berth.Invalid("Failed to parse body: " + err.Error())
	}
	if len(bodies) > maxTxnOps {
		return httpError(http.StatusRequestEntityTooLarge, fmt.Sprintf("Transaction contains too many operations (%d > %d)", len(bodies), maxTxnOps))
	}
	t := &txn{ops: make([]berth.TxnOp, len(bodies))}
	for i := range bodies {
		op, access, err := bodies[i].op()
		if op.Node != nil && op.Node.Node.Datacenter == "" {
			op.Node.Node.Datacenter = c.s.cfg.Self.Datacenter
		}
		if err != nil {
			return berth.Invalid(fmt.Sprintf("Failed to parse body: operation %d: %v", i, err))
		}
		if limit := c.s.cfg.Limits.KVMaxValueSize; op.KV != nil && int64(len(op.KV.Entry.Value)) > limit {
			return httpError(http.StatusRequestEntityTooLarge,
				fmt.Sprintf("Value for key %q is too large (%d > %d bytes)", op.KV.Entry.Key, len(op.KV.Entry.Value), limit))
		}
		if err := c.authorize(access.Resource, access.Verb, access.Name); err != nil {
			return err
		}
		t.ops[i] = op
		t.write = t.write || access.Verb == Write
	}
	c.txn = t
	if t.write {
		return nil
	}
	if err := c.parseConsistency(); err != nil {
		return err
	}
	to.Stale = c.opts.Consistency == berth.ConsistencyStale
	to.Leader, to.MaxStale, to.Servers = !to.Stale, c.maxStale, to.Stale
	return nil
}

// txnAnswer is the answer to a transaction; those that only read have the read's particulars, too.
type txnAnswer struct {
	Results []*txnResult
	Errors  []*berth.TxnError
	*queryMeta
}

type txnResult struct {
	KV      *berth.KVEntry `json:",omitempty"`
	Node    *node          `json:",omitempty"`
	Service *nodeService   `json:",omitempty"`
	Check   *berth.Check   `json:",omitempty"`
}

// queryMeta is how the particulars of a read appear inside of some answers.
type queryMeta struct {
	Index                 uint64
	LastContact           time.Duration
	KnownLeader           bool
	ConsistencyLevel      string
	NotModified           bool
	Backend               int
	ResultsFilteredByACLs bool
}

func newQueryMeta(m berth.QueryMeta, level string) *queryMeta {
	return &queryMeta{Index: m.Index, LastContact: m.LastContact, KnownLeader: m.KnownLeader, ConsistencyLevel: level}
}

// txnApply answers PUT /v1/txn.
func txnApply(c *call) (any, error) {
	t := c.txn
	var response berth.TxnResponse
	var meta berth.QueryMeta
	var err error
	for i := range t.ops {
		if what := badVerb(&t.ops[i]); what != "" {
			response.Errors = append(response.Errors, &berth.TxnError{OpIndex: i, What: what})
		}
	}
	switch {
	case len(response.Errors) > 0:
	case t.write:
		response, err = c.s.cfg.Store.Txn(c.ctx, t.ops)
	default:
		response, meta, err = c.s.cfg.Store.TxnRead(c.ctx, t.ops, c.opts)
	}
	if err != nil {
		return nil, err
	}
	answer := newTxnAnswer(response)
	if !t.write {
		setContact(c.w.Header(), meta)
		answer.queryMeta = newQueryMeta(meta, "")
	}
	status := http.StatusOK
	if len(response.Errors) > 0 {
		status = http.StatusConflict
	}
	return &reply{status: status, value: answer}, nil
}

func newTxnAnswer(r berth.TxnResponse) *txnAnswer {
	if len(r.Errors) > 0 {
		return &txnAnswer{Errors: r.Errors}
	}
	a := &txnAnswer{Results: make([]*txnResult, len(r.Results))}
	for i, v := range r.Results {
		out := &txnResult{KV: v.KV, Node: newNode(v.Node)}
		if v.Service != nil {
			out.Service = newNodeService(v.Service)
		}
		if v.Check != nil {
			out.Check = v.Check // as stored: a check of a node has null for ServiceTags here
		}
		a.Results[i] = out
	}
	return a
}
