package compat

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestKV(t *testing.T) {
	t.Parallel()
	a := server(t)
	kv := a.KV()
	for _, key := range []string{"app/a", "app/b/1", "app/b/2", "app/ü", "other"} {
		_, err := kv.Put(&api.KVPair{Key: key, Value: []byte("v-" + key), Flags: 42}, nil)
		noError(t, err)
	}
	pair := must(kv.Get("app/a", nil))(t)
	if string(pair.Value) != "v-app/a" || pair.Flags != 42 || pair.CreateIndex == 0 {
		t.Fatalf("got %+v", pair)
	}
	if missing := must(kv.Get("nothing", nil))(t); missing != nil {
		t.Fatalf("got %+v", missing)
	}
	equal(t, len(must(kv.List("app/", nil))(t)), 4)
	equal(t, must(kv.Keys("app/", "/", nil))(t), []string{"app/a", "app/b/", "app/ü"})

	pair.Value = []byte("second")
	ok, _, err := kv.CAS(pair, nil)
	noError(t, err)
	equal(t, ok, true)
	ok, _, err = kv.CAS(pair, nil) // its index has passed
	noError(t, err)
	equal(t, ok, false)
	ok, _, err = kv.CAS(&api.KVPair{Key: "app/a", Value: []byte("new"), ModifyIndex: 0}, nil)
	noError(t, err)
	equal(t, ok, false)
	ok, _, err = kv.DeleteCAS(pair, nil)
	noError(t, err)
	equal(t, ok, false)
	ok, _, err = kv.DeleteCAS(must(kv.Get("app/a", nil))(t), nil)
	noError(t, err)
	equal(t, ok, true)
	_, err = kv.DeleteTree("app/", nil)
	noError(t, err)
	equal(t, must(kv.Keys("", "", nil))(t), []string{"other"})
	_, err = kv.Put(&api.KVPair{Key: "big", Value: make([]byte, 512<<10)}, nil)
	noError(t, err)
	equal(t, len(must(kv.Get("big", nil))(t).Value), 512<<10)
	if _, err = kv.Put(&api.KVPair{Key: "big", Value: make([]byte, 512<<10+1)}, nil); !isStatus(err, 413) {
		t.Fatalf("a value over the limit: %v", err)
	}
}

func TestKV_Blocks(t *testing.T) {
	t.Parallel()
	a := server(t)
	put := func(key string) {
		_, err := a.KV().Put(&api.KVPair{Key: key, Value: []byte("x")}, nil)
		noError(t, err)
	}
	put("p/a")
	_, meta, err := a.KV().List("p/", nil)
	noError(t, err)
	woken := make(chan int, 1)
	go func() {
		pairs, _, err := a.KV().List("p/", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 20 * time.Second})
		if err != nil {
			t.Error(err)
		}
		woken <- len(pairs)
	}()
	put("q/b")
	select {
	case <-woken:
		t.Fatal("woken by another prefix")
	case <-time.After(300 * time.Millisecond):
	}
	_, err = a.KV().Delete("p/a", nil)
	noError(t, err)
	select {
	case n := <-woken:
		equal(t, n, 0)
	case <-time.After(5 * time.Second):
		t.Fatal("a deletion did not wake the reader")
	}
}

func TestTxn(t *testing.T) {
	t.Parallel()
	a := server(t)
	node := &api.Node{Node: "txn-node", Address: "10.1.1.1"}
	ok, resp, _, err := a.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "t/a", Value: []byte("1"), Flags: 3}},
		{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "t/b"}},
		{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "t/a"}},
		{Node: &api.NodeTxnOp{Verb: api.NodeSet, Node: *node}},
		{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: "txn-node", Service: api.AgentService{ID: "s1", Service: "s", Port: 5}}},
		{Check: &api.CheckTxnOp{Verb: api.CheckSet, Check: api.HealthCheck{Node: "txn-node", CheckID: "c1", Name: "c", Status: "passing", ServiceID: "s1"}}},
	}, nil)
	noError(t, err)
	if !ok || len(resp.Errors) != 0 || len(resp.Results) != 5 || string(resp.Results[1].KV.Value) != "1" {
		t.Fatalf("ok %v: %+v", ok, resp)
	}
	entries := must(a.Health().Service("s", "", true, nil))(t)
	if len(entries) != 1 || entries[0].Checks[0].CheckID != "c1" {
		t.Fatalf("entries: %+v", entries)
	}

	ok, resp, _, err = a.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "t/a", Value: []byte("2")}},
		{KV: &api.KVTxnOp{Verb: api.KVCAS, Key: "t/a", Value: []byte("3"), Index: 1}},
	}, nil)
	noError(t, err)
	if ok || len(resp.Errors) != 1 || resp.Errors[0].OpIndex != 1 {
		t.Fatalf("ok %v: %+v", ok, resp)
	}
	equal(t, string(must(a.KV().Get("t/a", nil))(t).Value), "1")

	ok, kv, _, err := a.KV().Txn(api.KVTxnOps{{Verb: api.KVGetTree, Key: "t/"}}, &api.QueryOptions{AllowStale: true})
	noError(t, err)
	if !ok || len(kv.Results) != 1 || kv.Results[0].Key != "t/a" {
		t.Fatalf("read-only: %v %+v", ok, kv)
	}
}

// A reader that starts to wait just after the key went is answered, too: the holder of a lock
// learns by this that somebody deleted it.
func TestKV_DeletionWakesReaders(t *testing.T) {
	t.Parallel()
	a := server(t)
	for i := range 100 {
		_, err := a.KV().Put(&api.KVPair{Key: "wake/key", Value: []byte("x")}, nil)
		noError(t, err)
		done := make(chan error, 1)
		go func() {
			q := &api.QueryOptions{RequireConsistent: true, WaitTime: 10 * time.Second}
			for {
				p, m, err := a.KV().Get("wake/key", q)
				if err != nil || p == nil {
					done <- err
					return
				}
				q.WaitIndex = m.LastIndex
			}
		}()
		_, err = a.KV().Delete("wake/key", nil)
		noError(t, err)
		select {
		case err := <-done:
			noError(t, err)
		case <-time.After(5 * time.Second):
			t.Fatalf("round %d: the reader still waits for a key that went 5 s ago", i)
		}
	}
}
