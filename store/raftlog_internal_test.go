package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/testutil"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// After a failed write, which seals the library's log, the next write opens it anew.
func TestRaftLog_RecoversAfterAFailedWrite(t *testing.T) {
	l, err := openRaftLog(t.TempDir(), 1<<20, hclog.NewNullLogger())
	testutil.NoError(t, err)
	defer l.Close()
	testutil.NoError(t, l.StoreLog(&raft.Log{Index: 1, Term: 1, Data: []byte("one")}))
	testutil.NoError(t, l.SetUint64([]byte("CurrentTerm"), 7))
	l.w.Close() // any error of the library's log marks it
	if err := l.StoreLog(&raft.Log{Index: 2, Term: 1}); err == nil {
		t.Fatal("a write to a closed log succeeded")
	}
	testutil.NoError(t, l.StoreLog(&raft.Log{Index: 2, Term: 1, Data: []byte("two")}))
	var got raft.Log
	for i, want := range []string{"one", "two"} {
		testutil.NoError(t, l.GetLog(uint64(i+1), &got))
		testutil.Equal(t, string(got.Data), want)
	}
	term, err := l.GetUint64([]byte("CurrentTerm"))
	testutil.NoError(t, err)
	testutil.Equal(t, term, uint64(7))
}

func TestRaftLog_RefusesMissingSegments(t *testing.T) {
	dir := t.TempDir()
	l, err := openRaftLog(dir, 1<<20, hclog.NewNullLogger())
	testutil.NoError(t, err)
	testutil.NoError(t, l.StoreLog(&raft.Log{Index: 1, Term: 1, Data: []byte("one")}))
	testutil.NoError(t, l.Close())
	segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	testutil.NoError(t, err)
	for _, s := range segments {
		testutil.NoError(t, os.Remove(s))
	}
	_, err = openRaftLog(dir, 1<<20, hclog.NewNullLogger())
	if !errors.Is(err, errLogMissing) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("error is %v", err)
	}
}

// A term that cannot be written would end the process: raft waits for it instead, and can still
// be ended.
func TestRaftLog_WaitsToKeepATerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &raftLog{log: hclog.NewNullLogger(), ending: make(chan struct{})}
		var full atomic.Bool
		full.Store(true)
		set := func(*wal.WAL) error {
			if full.Load() {
				return syscall.ENOSPC
			}
			return nil
		}
		kept := make(chan error, 1)
		go func() { kept <- l.keep(set) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(kept) > 0 {
			t.Fatal("a term was taken for kept while the disk was full")
		}
		full.Store(false)
		testutil.NoError(t, <-kept)

		full.Store(true)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			kept <- l.keep(set)
		}()
		time.Sleep(time.Minute)
		l.end()
		<-ended
		if len(kept) > 0 {
			t.Error("a term was taken for kept because raft ended")
		}
	})
}
