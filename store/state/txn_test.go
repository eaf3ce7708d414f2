package state_test

import (
	"fmt"
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/state"
)

func kvOp(verb, key, value string, index uint64, session string) berth.TxnOp {
	return berth.TxnOp{KV: &berth.KVOp{Verb: verb, Entry: berth.KVEntry{Key: key, Value: []byte(value), ModifyIndex: index, Session: session}}}
}

func TestTx_Txn_Errors(t *testing.T) {
	node := func(verb, name string, index uint64) berth.TxnOp {
		return berth.TxnOp{Node: &berth.TxnNodeOp{Verb: verb, Node: berth.Node{Name: name, ModifyIndex: index}}}
	}
	service := func(verb, node, id string, index uint64) berth.TxnOp {
		return berth.TxnOp{Service: &berth.TxnServiceOp{Verb: verb, Node: node, Service: berth.ServiceInstance{ID: id, Name: id, ModifyIndex: index}}}
	}
	check := func(verb, node, id, service string, index uint64) berth.TxnOp {
		return berth.TxnOp{Check: &berth.TxnCheckOp{Verb: verb, Check: berth.Check{Node: node, CheckID: id, ServiceID: service, ModifyIndex: index}}}
	}
	for _, c := range []struct {
		op   berth.TxnOp
		text string
	}{
		{kvOp(berth.KVGet, "no", "", 0, ""), `key "no" doesn't exist`},
		{kvOp(berth.KVCheckSession, "no", "", 0, ""), `key "no" doesn't exist`},
		{kvOp(berth.KVCheckIndex, "no", "", 0, ""), `key "no" doesn't exist`},
		{kvOp(berth.KVCheckNotExists, "p/x", "", 0, ""), `key "p/x" exists`},
		{kvOp(berth.KVCheckIndex, "p/x", "", 99, ""), `failed index check for key "p/x", current modify index 5 != 99`},
		{kvOp(berth.KVCheckSession, "p/x", "", 0, "s"), `failed session check for key "p/x", current session "" != "s"`},
		{kvOp(berth.KVCAS, "p/x", "", 99, ""), `failed to set key "p/x", index is stale`},
		{kvOp(berth.KVDeleteCAS, "p/x", "", 99, ""), `failed to delete key "p/x", index is stale`},
		{kvOp(berth.KVLock, "held", "", 0, sessionID), `failed to lock key "held", lock is already held`},
		{kvOp(berth.KVLock, "delayed", "", 0, sessionID), `failed to lock key "delayed" due to lock delay`},
		{kvOp(berth.KVLock, "p/x", "", 0, "nope"), `invalid session "nope"`},
		{kvOp(berth.KVUnlock, "p/x", "", 0, sessionID), `failed to unlock key "p/x", lock isn't held, or is held by another session`},
		{kvOp("zap", "t", "", 0, ""), "unknown KV operation: zap"},
		{node("get", "no", 0), `node "no" doesn't exist`},
		{node("cas", "a", 99), `failed to set node "a", index is stale`},
		{node("cas", "a", 0), `failed to set node "a", index is stale`},
		{node("delete-cas", "a", 99), `failed to delete node "a", index is stale`},
		{node("set", "", 0), "Must provide node"},
		{node("zap", "a", 0), "unknown Node operation: zap"},
		{service("get", "a", "no", 0), `service "no" on node "a" doesn't exist`},
		{service("cas", "a", "web-1", 99), `failed to set service "web-1" on node "a", index is stale`},
		{service("delete-cas", "a", "web-1", 99), `failed to delete service "web-1" on node "a", index is stale`},
		{service("set", "no", "x", 0), "Missing node registration"},
		{service("set", "a", "", 0), "Must provide service name (Service.Service)"},
		{service("zap", "a", "x", 0), "unknown Service operation: zap"},
		{check("get", "a", "no", "", 0), `check "no" on node "a" doesn't exist`},
		{check("cas", "a", "web-alive", "", 99), `failed to set check "web-alive" on node "a", index is stale`},
		{check("delete-cas", "a", "web-alive", "", 99), `failed to delete check "web-alive" on node "a", index is stale`},
		{check("set", "no", "x", "", 0), "Missing node registration"},
		{check("set", "a", "x", "no", 0), "Unknown service ID 'no' for check ID 'x'"},
		{check("zap", "a", "x", "", 0), "unknown Check operation: zap"},
		{berth.TxnOp{Session: &berth.TxnSessionOp{Verb: "get"}}, "unknown Session operation: get"},
		{berth.TxnOp{}, "transaction operation is empty; set one of KV, Node, Service, Check or Session"},
	} {
		t.Run(c.text, func(t *testing.T) {
			b := newBox(t)
			b.fill()
			const other = "99999999-0000-0000-0000-000000000000"
			testutil.NoError(t, b.session(&berth.Session{ID: other, Node: "b"}))
			b.mustKV(berth.KVLock, berth.KVEntry{Key: "held", Session: other})
			const brief = "88888888-0000-0000-0000-000000000000"
			testutil.NoError(t, b.session(&berth.Session{ID: brief, Node: "b", LockDelay: second}))
			b.mustKV(berth.KVLock, berth.KVEntry{Key: "delayed", Session: brief})
			b.do(func(tx *state.Tx, idx uint64) { tx.SessionDestroy(idx, 0, brief) })

			hash := b.read().Hash()
			b.wantFired(func() {
				res := b.txn(kvOp(berth.KVSet, "p/new", "new", 0, ""), c.op,
					berth.TxnOp{Node: &berth.TxnNodeOp{Verb: "delete", Node: berth.Node{Name: "a"}}})
				if res.Results != nil || len(res.Errors) != 1 || res.Errors[0].OpIndex != 1 || res.Errors[0].What != c.text {
					t.Errorf("got %+v, want %s", res.Errors, c.text)
				}
			})
			if b.read().Hash() != hash {
				t.Error("a failed transaction left something behind")
			}
			if got := b.lastCommit(); len(got.Changes)+len(got.Deltas) > 0 {
				t.Errorf("a failed transaction announced %+v", got)
			}
		})
	}
}

func TestTx_Txn_Results(t *testing.T) {
	b := newBox(t)
	b.fill()
	res := b.txn(
		kvOp(berth.KVSet, "t/1", "one", 0, ""),
		kvOp(berth.KVCAS, "t/2", "two", 0, ""),
		kvOp(berth.KVGet, "t/1", "", 0, ""),
		kvOp(berth.KVGetTree, "t/", "", 0, ""),
		kvOp(berth.KVGetOrEmpty, "none", "", 0, ""),
		kvOp(berth.KVCheckNotExists, "none", "", 0, ""),
		kvOp(berth.KVCheckIndex, "p/x", "", 5, ""),
		kvOp(berth.KVLock, "t/1", "lock", 0, sessionID),
		kvOp(berth.KVCheckSession, "t/1", "", 0, sessionID),
		kvOp(berth.KVUnlock, "t/1", "free", 0, sessionID),
		kvOp(berth.KVDelete, "t/2", "", 0, ""),
		berth.TxnOp{Node: &berth.TxnNodeOp{Verb: "set", Node: berth.Node{Name: "new", Address: "10.0.0.9"}}},
		berth.TxnOp{Service: &berth.TxnServiceOp{Verb: "set", Node: "new", Service: berth.ServiceInstance{Name: "api"}}},
		berth.TxnOp{Check: &berth.TxnCheckOp{Verb: "cas", Check: berth.Check{Node: "new", Name: "ping", ServiceID: "api"}}},
		berth.TxnOp{Check: &berth.TxnCheckOp{Verb: "get", Check: berth.Check{Node: "new", CheckID: "ping"}}},
		berth.TxnOp{Service: &berth.TxnServiceOp{Verb: "delete", Node: "a", Service: berth.ServiceInstance{ID: "db-1"}}},
		berth.TxnOp{Node: &berth.TxnNodeOp{Verb: "get", Node: berth.Node{ID: idB}}},
		berth.TxnOp{Node: &berth.TxnNodeOp{Verb: "delete", Node: berth.Node{Name: "b"}}},
	)
	if res.Errors != nil {
		t.Fatalf("refused: %+v", res.Errors[0])
	}
	i := b.index
	var got []string
	for _, r := range res.Results {
		switch {
		case r.KV != nil:
			got = append(got, kvText(r.KV))
		case r.Node != nil:
			got = append(got, fmt.Sprint("node ", r.Node.Name, r.Node.ModifyIndex))
		case r.Service != nil:
			got = append(got, fmt.Sprint("service ", r.Service.Node, r.Service.ID, r.Service.ModifyIndex))
		case r.Check != nil:
			got = append(got, fmt.Sprint("check ", r.Check.CheckID, r.Check.Status, r.Check.ServiceName))
		}
	}
	testutil.Equal(t, got, []string{
		fmt.Sprintf("t/1= flags=0 session= lock=0 create=%d modify=%d", i, i),
		fmt.Sprintf("t/2= flags=0 session= lock=0 create=%d modify=%d", i, i),
		fmt.Sprintf("t/1=one flags=0 session= lock=0 create=%d modify=%d", i, i),
		fmt.Sprintf("t/1=one flags=0 session= lock=0 create=%d modify=%d", i, i),
		fmt.Sprintf("t/2=two flags=0 session= lock=0 create=%d modify=%d", i, i),
		"none= flags=0 session= lock=0 create=0 modify=0",
		"p/x= flags=0 session= lock=0 create=5 modify=5",
		fmt.Sprintf("t/1= flags=0 session=1111 lock=1 create=%d modify=%d", i, i),
		fmt.Sprintf("t/1= flags=0 session=1111 lock=1 create=%d modify=%d", i, i),
		fmt.Sprintf("t/1= flags=0 session= lock=1 create=%d modify=%d", i, i),
		fmt.Sprint("node new", i), fmt.Sprint("service newapi", i), "check pingcriticalapi", "check pingcriticalapi", "node b3",
	})
	b.wantKV("t/1", fmt.Sprintf("t/1=free flags=0 session= lock=1 create=%d modify=%d", i, i))
	b.wantKV("t/2", "none")
	if _, ns := b.read().NodeServices(nil, "b"); ns != nil {
		t.Error("node b is still there")
	}
}

func TestReader_TxnRead(t *testing.T) {
	b := newBox(t)
	b.fill()
	read := []berth.TxnOp{kvOp(berth.KVGet, "p/x", "", 0, ""), {Node: &berth.TxnNodeOp{Verb: "get", Node: berth.Node{Name: "a"}}}}
	write := append(read[:2:2], kvOp(berth.KVSet, "p/x", "", 0, ""))
	if !state.TxnReadOnly(read) || state.TxnReadOnly(write) {
		t.Error("TxnReadOnly is wrong")
	}
	if res := b.read().TxnRead(read); res.Errors != nil || len(res.Results) != 2 || string(res.Results[0].KV.Value) != "1" {
		t.Errorf("got %+v", res)
	}
	if res := b.read().TxnRead(write); len(res.Errors) != 1 || res.Errors[0].OpIndex != 2 || res.Results != nil {
		t.Errorf("got %+v", res)
	}
}

// A transaction that fails takes back its own writes only, not those of its neighbours in the
// same Tx.
func TestTx_Txn_FailsAlone(t *testing.T) {
	b := newBox(t)
	b.do(func(tx *state.Tx, idx uint64) {
		tx.Catalog(idx, 0, []berth.CatalogOp{{Register: &berth.Registration{Node: "before", Address: "10.0.0.1"}}})
		if res := tx.Txn(idx, 0, []berth.TxnOp{kvOp(berth.KVSet, "x", "", 0, ""), kvOp(berth.KVGet, "no", "", 0, "")}); res.Errors == nil {
			t.Error("it was applied")
		}
		tx.Catalog(idx, 0, []berth.CatalogOp{{Register: &berth.Registration{Node: "after", Address: "10.0.0.1"}}})
	})
	_, nodes := b.read().Nodes(nil)
	if _, e := b.read().KVGet(nil, "x"); e != nil || len(nodes) != 2 {
		t.Errorf("key %v, %d nodes", e, len(nodes))
	}
	if c := b.lastCommit(); len(c.Changes) != 2 || len(c.Deltas) != 2 {
		t.Errorf("announced %+v", c)
	}
}
