package state_test

import (
	"context"
	"sync"
	"testing"

	"berth"
	"berth/store/state"

	"github.com/hashicorp/go-memdb"
)

// A waiter that woke to the state it had would find its watch fired already and read again and
// again; ten thousand of them would keep the writer from the processor.
func TestTx_Commit_WhoIsWokenReadsTheNewState(t *testing.T) {
	b := newBox(t)
	set := func() {
		b.do(func(tx *state.Tx, idx uint64) {
			tx.KV(idx, 0, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "k", Flags: idx}})
		})
	}
	set()
	early := 0
	for range 3000 {
		before := b.read()
		ws := memdb.NewWatchSet()
		before.KVGet(ws, "k")
		ctx, cancel := context.WithCancel(t.Context())
		var waiter sync.WaitGroup
		ready := make(chan struct{})
		waiter.Go(func() {
			close(ready)
			if ws.WatchCtx(ctx) == nil && b.read() == before {
				early++
			}
		})
		<-ready
		set()
		waiter.Wait()
		cancel()
	}
	if early > 0 {
		t.Errorf("%d of 3000 waiters were woken before the new state could be read", early)
	}
}
