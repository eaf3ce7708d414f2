package state_test

import (
	"fmt"
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/state"
)

func kvText(e *berth.KVEntry) string {
	if e == nil {
		return "none"
	}
	return fmt.Sprintf("%s=%s flags=%d session=%.4s lock=%d create=%d modify=%d", e.Key, e.Value, e.Flags, e.Session, e.LockIndex, e.CreateIndex, e.ModifyIndex)
}

func (b *box) wantKV(key, want string) {
	b.t.Helper()
	_, e := b.read().KVGet(nil, key)
	if got := kvText(e); got != want {
		b.t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTx_KV_Verbs(t *testing.T) {
	b := newBox(t)
	b.register(&berth.Registration{Node: "n", Address: "10.0.0.1"})
	testutil.NoError(t, b.session(&berth.Session{ID: sessionID, Node: "n"}))
	other := strings.ReplaceAll(sessionID, "1", "9")
	testutil.NoError(t, b.session(&berth.Session{ID: other, Node: "n"})) // index 3
	for i, c := range []struct {
		verb  string
		entry berth.KVEntry
		ok    bool
		want  string
	}{
		{berth.KVSet, berth.KVEntry{Key: "k", Value: []byte("a"), Flags: 1}, true, "k=a flags=1 session= lock=0 create=4 modify=4"},
		{berth.KVSet, berth.KVEntry{Key: "k", Value: []byte("a"), Flags: 1}, true, "k=a flags=1 session= lock=0 create=4 modify=4"},
		{berth.KVSet, berth.KVEntry{Key: "k", Value: []byte("b")}, true, "k=b flags=0 session= lock=0 create=4 modify=6"},
		{berth.KVCAS, berth.KVEntry{Key: "k", Value: []byte("c"), ModifyIndex: 5}, false, "k=b flags=0 session= lock=0 create=4 modify=6"},
		{berth.KVCAS, berth.KVEntry{Key: "k", Value: []byte("c")}, false, "k=b flags=0 session= lock=0 create=4 modify=6"},
		{berth.KVCAS, berth.KVEntry{Key: "k", Value: []byte("c"), ModifyIndex: 6}, true, "k=c flags=0 session= lock=0 create=4 modify=9"},
		{berth.KVLock, berth.KVEntry{Key: "k", Value: []byte("l"), Session: sessionID}, true, "k=l flags=0 session=1111 lock=1 create=4 modify=10"},
		{berth.KVLock, berth.KVEntry{Key: "k", Value: []byte("m"), Session: other}, false, "k=l flags=0 session=1111 lock=1 create=4 modify=10"},
		{berth.KVLock, berth.KVEntry{Key: "k", Value: []byte("l"), Session: sessionID}, true, "k=l flags=0 session=1111 lock=1 create=4 modify=10"},
		{berth.KVSet, berth.KVEntry{Key: "k", Value: []byte("s")}, true, "k=s flags=0 session=1111 lock=1 create=4 modify=13"},
		{berth.KVUnlock, berth.KVEntry{Key: "k", Value: []byte("u"), Session: other}, false, "k=s flags=0 session=1111 lock=1 create=4 modify=13"},
		{berth.KVUnlock, berth.KVEntry{Key: "k", Value: []byte("u"), Session: sessionID}, true, "k=u flags=0 session= lock=1 create=4 modify=15"},
		{berth.KVLock, berth.KVEntry{Key: "k", Value: []byte("m"), Session: other}, true, "k=m flags=0 session=9999 lock=2 create=4 modify=16"},
		{berth.KVDeleteCAS, berth.KVEntry{Key: "k"}, false, "k=m flags=0 session=9999 lock=2 create=4 modify=16"},
		{berth.KVDeleteCAS, berth.KVEntry{Key: "k", ModifyIndex: 16}, true, "none"},
		{berth.KVDeleteCAS, berth.KVEntry{Key: "k", ModifyIndex: 16}, true, "none"},
		{berth.KVDelete, berth.KVEntry{Key: "k"}, true, "none"},
		{berth.KVCAS, berth.KVEntry{Key: "k", Value: []byte("n"), ModifyIndex: 16}, false, "none"},
		{berth.KVCAS, berth.KVEntry{Key: "k", Value: []byte("n")}, true, "k=n flags=0 session= lock=0 create=22 modify=22"},
		{berth.KVLock, berth.KVEntry{Key: "fresh", Session: sessionID}, true, "k=n flags=0 session= lock=0 create=22 modify=22"},
		{berth.KVUnlock, berth.KVEntry{Key: "gone", Session: sessionID}, false, "k=n flags=0 session= lock=0 create=22 modify=22"},
		{berth.KVDelete, berth.KVEntry{Key: "k"}, true, "none"},
	} {
		ok, err := b.kv(0, c.verb, c.entry)
		testutil.NoError(t, err)
		if ok != c.ok {
			t.Errorf("step %d, %s: %v", i, c.verb, ok)
		}
		b.wantKV("k", c.want)
	}
	b.wantKV("fresh", "fresh= flags=0 session=1111 lock=1 create=23 modify=23")
}

func TestTx_KV_Errors(t *testing.T) {
	b := newBox(t)
	for text, op := range map[string]berth.KVOp{
		`invalid session "nope"`:    {Verb: berth.KVLock, Entry: berth.KVEntry{Key: "k", Session: "nope"}},
		"missing session":           {Verb: berth.KVLock, Entry: berth.KVEntry{Key: "k"}},
		"Must provide key":          {Verb: berth.KVSet},
		"unknown KV operation: zap": {Verb: "zap", Entry: berth.KVEntry{Key: "k"}},
		"unknown KV operation: get": {Verb: berth.KVGet, Entry: berth.KVEntry{Key: "k"}},
		"unknown KV operation: ":    {Entry: berth.KVEntry{Key: "k"}},
	} {
		_, err := b.kv(0, op.Verb, op.Entry)
		b.wantErr(err, text)
	}
}

func TestTx_KV_WhichWatchesFire(t *testing.T) {
	for _, c := range []struct {
		name  string
		op    berth.KVOp
		fired []string
	}{
		{"same content", berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "q/y", Value: []byte("2"), Flags: 7}}, nil},
		{"set", berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "p/x", Value: []byte("9")}}, []string{"key p/x", "keys p/"}},
		{"set another below the prefix", berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "p/z"}}, []string{"keys p/"}},
		{"set elsewhere", berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "r"}}, nil},
		{"delete", berth.KVOp{Verb: berth.KVDelete, Entry: berth.KVEntry{Key: "p/x"}}, []string{"key p/x", "keys p/"}},
		{"delete tree", berth.KVOp{Verb: berth.KVDeleteTree, Entry: berth.KVEntry{Key: "q"}}, []string{"keys q/"}},
		{"delete everything", berth.KVOp{Verb: berth.KVDeleteTree}, []string{"key p/x", "keys p/", "keys q/"}},
		{"lock", berth.KVOp{Verb: berth.KVLock, Entry: berth.KVEntry{Key: "p/x", Session: sessionID}}, []string{"key p/x", "keys p/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			b.fill()
			b.wantFired(func() { b.mustKV(c.op.Verb, c.op.Entry) }, c.fired...)
		})
	}
}

func TestReader_KVList(t *testing.T) {
	b := newBox(t)
	for _, k := range []string{"a/1", "a/2/x", "a/2/y", "a", "b/1", "A/1"} { // indexes 1 to 6
		b.mustKV(berth.KVSet, berth.KVEntry{Key: k})
	}
	keys := func(prefix, sep, want string) {
		t.Helper()
		idx, ks := b.read().KVKeys(nil, prefix, sep)
		if got := fmt.Sprint(idx, " ", strings.Join(ks, " ")); got != want {
			t.Errorf("keys of %q: got %s, want %s", prefix, got, want)
		}
	}
	keys("", "", "6 A/1 a a/1 a/2/x a/2/y b/1")
	keys("", "/", "6 A/ a a/ b/")
	keys("a/", "/", "3 a/1 a/2/")
	keys("a/2", "/", "3 a/2/")
	keys("b", "", "5 b/1")
	keys("none", "/", "6 ")

	b.mustKV(berth.KVDelete, berth.KVEntry{Key: "a/1"}) // 7
	keys("a/", "", "7 a/2/x a/2/y")                     // a deletion raises the prefix
	keys("b/", "", "5 b/1")                             // and nothing else
	b.mustKV(berth.KVDeleteTree, berth.KVEntry{Key: "a/2"})
	keys("a/", "", "8 ")
	keys("a/2/x", "", "8 ")                        // below the tombstone: index of the table
	b.mustKV(berth.KVSet, berth.KVEntry{Key: "c"}) // 9
	b.mustKV(berth.KVSet, berth.KVEntry{Key: "b/2"})
	b.mustKV(berth.KVDelete, berth.KVEntry{Key: "b/2"}) // 11
	keys("a/", "", "11 ")                               // nothing there: index of the table
	keys("b/", "", "11 b/1")
	if idx, es := b.read().KVList(nil, "b"); idx != 11 || len(es) != 1 || es[0].Key != "b/1" {
		t.Errorf("list: %d %v", idx, es)
	}
	if idx, e := b.read().KVGet(nil, "a/1"); idx != 11 || e != nil {
		t.Errorf("a missing key has index %d, want that of the table", idx)
	}

	if !b.read().HasTombstones(0, 8) || b.read().HasTombstones(0, 6) {
		t.Error("HasTombstones is wrong")
	}
	b.do(func(tx *state.Tx, _ uint64) { tx.Reap(0, 10) })
	keys("b/", "", "11 b/1")
	b.do(func(tx *state.Tx, _ uint64) { tx.Reap(0, 11) })
	keys("b/", "", "5 b/1") // its tombstone went
	if b.read().HasTombstones(0, 100) {
		t.Error("tombstones are left")
	}
	b.mustKV(berth.KVDeleteTree, berth.KVEntry{})
	keys("", "", fmt.Sprintf("%d ", b.index))
}

func TestReader_KVDeleted(t *testing.T) {
	b := newBox(t)
	for _, k := range []string{"a", "a/1", "a/1/x", "b"} { // indexes 1 to 4
		b.mustKV(berth.KVSet, berth.KVEntry{Key: k})
	}
	want := func(k string, below bool, want uint64) {
		t.Helper()
		if got := b.read().KVDeleted(k, below); got != want {
			t.Errorf("%q, below %v: got %d, want %d", k, below, got, want)
		}
	}
	want("a", true, 0)
	b.mustKV(berth.KVDelete, berth.KVEntry{Key: "a/1"}) // 5
	want("a/1", false, 5)
	want("a", false, 0)
	want("a", true, 5)
	want("b", true, 0)
	b.mustKV(berth.KVDeleteTree, berth.KVEntry{Key: "a"}) // 6
	want("a/1/x", false, 6)                               // it went with its tree
	want("a/1/x/y", true, 6)
	want("b", true, 0)
	b.mustKV(berth.KVDelete, berth.KVEntry{Key: "b"}) // 7
	b.do(func(tx *state.Tx, _ uint64) { tx.Reap(0, 6) })
	want("never", false, 6) // it cannot be told any more what went then
	want("b", false, 7)
	b.mustKV(berth.KVSet, berth.KVEntry{Key: "c"})
	b.mustKV(berth.KVDeleteTree, berth.KVEntry{})
	want("c", false, b.index)
}

func TestTx_Session_Create(t *testing.T) {
	b := newBox(t)
	b.fill()
	const id = "33333333-0000-0000-0000-000000000000"
	for text, s := range map[string]*berth.Session{
		"Missing session ID":                                       {Node: "a"},
		"Missing node registration":                                {ID: id, Node: "nope"},
		"Invalid Behavior setting 'x'":                             {ID: id, Node: "a", Behavior: "x"},
		"Missing check 'none' registration":                        {ID: id, Node: "a", NodeChecks: []string{"none"}},
		"Missing check 'gone' registration":                        {ID: id, Node: "a", ServiceChecks: []berth.SessionServiceCheck{{ID: "gone"}}},
		"Check 'web-alive' is in critical state":                   {ID: id, Node: "b", NodeChecks: []string{"web-alive"}},
		"a session with this ID exists already; choose another ID": {ID: sessionID, Node: "a"},
	} {
		b.wantErr(b.session(s), text)
	}
	b.wantFired(func() { testutil.NoError(t, b.session(&berth.Session{ID: id, Node: "B", TTL: "10s"})) }, "sessions")
	idx, s := b.read().Session(nil, id)
	if idx != b.index || s.Node != "b" || s.Behavior != berth.SessionRelease || s.CreateIndex != b.index {
		t.Errorf("session is %+v at %d", s, idx)
	}
	if _, ss := b.read().Sessions(nil, "A"); len(ss) != 1 || ss[0].ID != sessionID {
		t.Errorf("sessions on a: %v", ss)
	}
	if _, ss := b.read().Sessions(nil, ""); len(ss) != 2 {
		t.Errorf("%d sessions", len(ss))
	}
	b.wantFired(func() { b.do(func(tx *state.Tx, idx uint64) { tx.SessionDestroy(idx, 0, "unknown") }) })
}

// What ends a session releases its keys, or deletes them, and keeps others from locking them
// for the lock-delay.
func TestTx_Session_Ends(t *testing.T) {
	const now = 1000 * second
	ends := map[string]func(*state.Tx, uint64){
		"destroyed": func(tx *state.Tx, idx uint64) { tx.SessionDestroy(idx, now, sessionID) },
		"node check critical": func(tx *state.Tx, idx uint64) {
			tx.Catalog(idx, now, []berth.CatalogOp{{Register: &berth.Registration{Node: "a", SkipNodeUpdate: true,
				Check: &berth.Check{CheckID: berth.NodeHealthCheckID, Status: berth.StatusCritical}}}})
		},
		"service check deleted": func(tx *state.Tx, idx uint64) {
			tx.Catalog(idx, now, []berth.CatalogOp{{Deregister: &berth.Deregistration{Node: "a", CheckID: "WEB-alive"}}})
		},
		"service deleted": func(tx *state.Tx, idx uint64) {
			tx.Catalog(idx, now, []berth.CatalogOp{{Deregister: &berth.Deregistration{Node: "a", ServiceID: "web-1"}}})
		},
		"node deleted": func(tx *state.Tx, idx uint64) {
			tx.Catalog(idx, now, []berth.CatalogOp{{Deregister: &berth.Deregistration{Node: "a"}}})
		},
		"in a transaction": func(tx *state.Tx, idx uint64) {
			tx.Txn(idx, now, []berth.TxnOp{{Session: &berth.TxnSessionOp{Verb: "delete", Session: berth.Session{ID: sessionID}}}})
		},
	}
	const other = "99999999-0000-0000-0000-000000000000"
	for name, end := range ends {
		for _, behavior := range []string{berth.SessionRelease, berth.SessionDelete} {
			t.Run(name+", "+behavior, func(t *testing.T) {
				b := newBox(t)
				b.fill()
				b.do(func(tx *state.Tx, idx uint64) {
					tx.SessionDestroy(idx, 0, sessionID)
					testutil.NoError(t, tx.SessionCreate(idx, 0, &berth.Session{ID: sessionID, Node: "a", Behavior: behavior, LockDelay: 15 * second,
						NodeChecks: []string{berth.NodeHealthCheckID}, ServiceChecks: []berth.SessionServiceCheck{{ID: "web-alive"}}}))
					testutil.NoError(t, tx.QuerySet(idx, &berth.PreparedQuery{ID: strings.ReplaceAll(queryID, "2", "3"), Session: sessionID, Service: berth.ServiceQuery{Service: "web"}}))
				})
				testutil.NoError(t, b.session(&berth.Session{ID: other, Node: "b"}))
				b.mustKV(berth.KVLock, berth.KVEntry{Key: "lock", Value: []byte("v"), Session: sessionID})
				created := b.index
				b.do(end)
				if _, s := b.read().Session(nil, sessionID); s != nil {
					t.Fatal("the session lives")
				}
				if _, qs := b.read().Queries(nil); len(qs) != 1 {
					t.Errorf("%d prepared queries, want the unbound one", len(qs))
				}
				want := "none"
				if behavior == berth.SessionRelease {
					want = fmt.Sprintf("lock=v flags=0 session= lock=1 create=%d modify=%d", created, b.index)
				}
				b.wantKV("lock", want)
				lock := berth.KVEntry{Key: "lock", Session: other}
				if ok, err := b.kv(now+15*second-1, berth.KVLock, lock); ok || err != nil {
					t.Errorf("locked within the lock-delay: %v %v", ok, err)
				}
				if until := b.read().LockDelay("lock"); until != now+15*second {
					t.Errorf("lock-delay until %d", until)
				}
				if ok, err := b.kv(now+15*second, berth.KVLock, lock); !ok || err != nil {
					t.Errorf("not locked after the lock-delay: %v %v", ok, err)
				}
			})
		}
	}
}

func TestTx_Reap_ForgetsLockDelays(t *testing.T) {
	b := newBox(t)
	b.fill()
	b.mustKV(berth.KVLock, berth.KVEntry{Key: "lock", Session: sessionID})
	b.do(func(tx *state.Tx, idx uint64) { tx.SessionDestroy(idx, second, sessionID) })
	b.do(func(tx *state.Tx, _ uint64) { tx.Reap(15*second, 0) })
	if b.read().LockDelay("lock") != 16*second || b.read().HasTombstones(15*second, 0) {
		t.Error("a running lock-delay was forgotten")
	}
	if !b.read().HasTombstones(16*second, 0) {
		t.Error("an ended lock-delay is not offered for reaping")
	}
	b.do(func(tx *state.Tx, _ uint64) { tx.Reap(16*second, 0) })
	if b.read().LockDelay("lock") != 0 {
		t.Error("an ended lock-delay is left")
	}
}

// An explicit release starts no lock-delay.
func TestTx_KV_UnlockWithoutDelay(t *testing.T) {
	b := newBox(t)
	b.fill()
	b.mustKV(berth.KVLock, berth.KVEntry{Key: "lock", Session: sessionID})
	b.mustKV(berth.KVUnlock, berth.KVEntry{Key: "lock", Session: sessionID})
	b.mustKV(berth.KVLock, berth.KVEntry{Key: "lock", Session: sessionID})
	b.wantKV("lock", fmt.Sprintf("lock= flags=0 session=1111 lock=2 create=%d modify=%d", b.index-2, b.index))
}

func TestTx_Session_Check(t *testing.T) {
	b := newBox(t)
	b.fill()
	b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true, Check: &berth.Check{CheckID: "leader", Type: "session",
		Definition: berth.CheckTarget{SessionName: "leader"}}})
	const id = "33333333-0000-0000-0000-000000000000"
	testutil.NoError(t, b.session(&berth.Session{ID: id, Name: "leader", Node: "a"}))
	if c := b.read().Check("a", "leader"); c.Status != berth.StatusPassing {
		t.Errorf("check is %s while its session lives", c.Status)
	}
	b.do(func(tx *state.Tx, idx uint64) { tx.SessionDestroy(idx, 0, id) })
	if c := b.read().Check("a", "leader"); c.Status != berth.StatusCritical {
		t.Errorf("check is %s after its session", c.Status)
	}
}
