package state

import (
	"fmt"
	"strings"

	"berth"
)

// Txn applies all ops, in order, or none of them; later ops see what earlier ones did. The
// response has an error for each op that failed. now is the proposer's wall clock in Unix
// nanoseconds.
func (t *Tx) Txn(idx uint64, now int64, ops []berth.TxnOp) berth.TxnResponse {
	t.flush() // what was done before stays when this fails
	x := txnRun{t: t, r: &Reader{txn: t.txn}, idx: idx, now: now}
	for i := range ops {
		if err := x.op(&ops[i]); err != nil {
			x.errors = append(x.errors, &berth.TxnError{OpIndex: i, What: err.Error()})
		}
	}
	if len(x.errors) > 0 {
		t.discard()
		return berth.TxnResponse{Errors: x.errors}
	}
	return berth.TxnResponse{Results: x.results}
}

// TxnReadOnly is whether ops only read, so that they need no log entry.
func TxnReadOnly(ops []berth.TxnOp) bool {
	for i := range ops {
		switch op := &ops[i]; {
		case op.KV != nil:
			if !kvReads(op.KV.Verb) {
				return false
			}
		case op.Node != nil && op.Node.Verb == verbGet:
		case op.Service != nil && op.Service.Verb == verbGet:
		case op.Check != nil && op.Check.Verb == verbGet:
		default:
			return false
		}
	}
	return true
}

// TxnRead runs ops that only read; those that write fail.
func (r *Reader) TxnRead(ops []berth.TxnOp) berth.TxnResponse {
	x := txnRun{r: r}
	var errs []*berth.TxnError
	for i := range ops {
		err := errTxnWrites
		if TxnReadOnly(ops[i : i+1]) {
			err = x.op(&ops[i])
		}
		if err != nil {
			errs = append(errs, &berth.TxnError{OpIndex: i, What: err.Error()})
		}
	}
	if len(errs) > 0 {
		return berth.TxnResponse{Errors: errs}
	}
	return berth.TxnResponse{Results: x.results}
}

// Verbs of node, service, check and session operations.
const (
	verbGet       = "get"
	verbSet       = "set"
	verbCAS       = "cas"
	verbDelete    = "delete"
	verbDeleteCAS = "delete-cas"
)

var (
	errTxnWrites  = fmt.Errorf("operation writes: send it in a transaction that is not read-only")
	errTxnEmptyOp = fmt.Errorf("transaction operation is empty; set one of KV, Node, Service, Check or Session")
)

// txnRun is one run of a transaction; t is nil for one that only reads.
type txnRun struct {
	t       *Tx
	r       *Reader
	idx     uint64
	now     int64
	results []*berth.TxnResult
	errors  []*berth.TxnError
}

func (x *txnRun) op(op *berth.TxnOp) error {
	if x.t != nil {
		x.r.txn = x.t.txn
	}
	switch {
	case op.KV != nil:
		return x.kv(op.KV)
	case op.Node != nil:
		return x.node(op.Node)
	case op.Service != nil:
		return x.service(op.Service)
	case op.Check != nil:
		return x.check(op.Check)
	case op.Session != nil:
		return x.session(op.Session)
	}
	return errTxnEmptyOp
}

func kvReads(verb string) bool {
	switch verb {
	case berth.KVGet, berth.KVGetOrEmpty, berth.KVGetTree, berth.KVCheckSession, berth.KVCheckIndex, berth.KVCheckNotExists:
		return true
	}
	return false
}

func (x *txnRun) kv(op *berth.KVOp) error {
	if kvReads(op.Verb) {
		return x.kvRead(op)
	}
	ok, e, err := x.t.kvOp(x.idx, x.now, op)
	if err != nil {
		return err
	}
	k := op.Entry.Key
	if ok {
		if e != nil {
			x.kvResult(e, false)
		}
		return nil
	}
	switch op.Verb {
	case berth.KVCAS:
		return fmt.Errorf("failed to set key %q, index is stale", k)
	case berth.KVDeleteCAS:
		return fmt.Errorf("failed to delete key %q, index is stale", k)
	case berth.KVUnlock:
		return fmt.Errorf("failed to unlock key %q, lock isn't held, or is held by another session", k)
	}
	if e != nil && e.Session != "" {
		return fmt.Errorf("failed to lock key %q, lock is already held", k)
	}
	return fmt.Errorf("failed to lock key %q due to lock delay", k)
}

func (x *txnRun) kvRead(op *berth.KVOp) error {
	k := op.Entry.Key
	if op.Verb == berth.KVGetTree {
		_, entries := x.r.KVList(nil, k)
		for _, e := range entries {
			x.kvResult(e, true)
		}
		return nil
	}
	_, e := x.r.KVGet(nil, k)
	switch {
	case op.Verb == berth.KVCheckNotExists:
		if e != nil {
			return fmt.Errorf("key %q exists", k)
		}
		return nil
	case op.Verb == berth.KVGetOrEmpty && e == nil:
		e = &berth.KVEntry{Key: k}
	case e == nil:
		return fmt.Errorf("key %q doesn't exist", k)
	}
	switch op.Verb {
	case berth.KVCheckSession:
		if !strings.EqualFold(e.Session, op.Entry.Session) {
			return fmt.Errorf("failed session check for key %q, current session %q != %q", k, e.Session, op.Entry.Session)
		}
	case berth.KVCheckIndex:
		if e.ModifyIndex != op.Entry.ModifyIndex {
			return fmt.Errorf("failed index check for key %q, current modify index %d != %d", k, e.ModifyIndex, op.Entry.ModifyIndex)
		}
	}
	x.kvResult(e, op.Verb == berth.KVGet || op.Verb == berth.KVGetOrEmpty)
	return nil
}

func (x *txnRun) kvResult(e *berth.KVEntry, withValue bool) {
	if !withValue {
		c := *e
		c.Value = nil
		e = &c
	}
	x.results = append(x.results, &berth.TxnResult{KV: e})
}

func (x *txnRun) session(op *berth.TxnSessionOp) error {
	if op.Verb != verbDelete {
		return fmt.Errorf("unknown Session operation: %s", op.Verb)
	}
	if s := x.t.session(op.Session.ID); s != nil {
		x.t.endSession(x.idx, x.now, s)
	}
	return nil
}
