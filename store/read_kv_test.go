package store_test

import (
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
)

// A read that begins to wait after the key went, with an index from before, is answered at once.
// Without this the holder of a lock does not learn that somebody deleted it.
func TestStore_KVGet_DeletedBeforeTheWaitBegan(t *testing.T) {
	s, _ := run(t, serverConfig(t, ""))
	waitLeader(t, s)
	ctx := t.Context()
	_, err := s.KVApply(ctx, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "lock"}})
	testutil.NoError(t, err)
	_, before, err := s.KVGet(ctx, "lock", berth.QueryOptions{})
	testutil.NoError(t, err)
	_, err = s.KVApply(ctx, berth.KVOp{Verb: berth.KVDelete, Entry: berth.KVEntry{Key: "lock"}})
	testutil.NoError(t, err)

	began := time.Now()
	e, after, err := s.KVGet(ctx, "lock", berth.QueryOptions{MinIndex: before.Index, MaxWait: 5 * time.Second})
	testutil.NoError(t, err)
	if took := time.Since(began); e != nil || after.Index <= before.Index || took > 2*time.Second {
		t.Fatalf("got %+v, index %d after %d, in %v", e, after.Index, before.Index, took)
	}

	// Who knows that the key is gone waits on, whatever happens to others.
	answered := make(chan uint64, 1)
	go func() {
		_, m, err := s.KVGet(ctx, "lock", berth.QueryOptions{MinIndex: after.Index, MaxWait: 300 * time.Millisecond})
		if err != nil {
			t.Error(err)
		}
		answered <- m.Index
	}()
	_, err = s.KVApply(ctx, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "other"}})
	testutil.NoError(t, err)
	testutil.Equal(t, <-answered, after.Index)
	if time.Since(began) < 300*time.Millisecond {
		t.Fatal("another key's change answered the read")
	}
}
