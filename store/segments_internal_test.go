package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"berth/internal/testutil"
)

// A server whose last entries were never committed has them taken back by the next leader; then
// it must be able to read its log after a restart, again and again.
func TestRaftLog_OpensAfterItsEndWasTakenBack(t *testing.T) {
	dir := t.TempDir()
	open := func() *raftNode {
		n, err := openRaft(dir, "n1", 1<<20, hclog.NewNullLogger())
		testutil.NoError(t, err)
		return n
	}
	store := func(n *raftNode, from, to uint64, text string) {
		for i := from; i <= to; i++ {
			testutil.NoError(t, n.logs.StoreLogs([]*raft.Log{{Index: i, Term: 1, Data: fmt.Appendf(nil, "%s %d", text, i)}}))
		}
	}
	n := open()
	store(n, 1, 20, "old")
	for round := range 3 {
		testutil.NoError(t, n.logs.DeleteRange(11, 20))
		n.close()
		n = open()
		if last, err := n.logs.LastIndex(); err != nil || last != 10 {
			t.Fatalf("round %d: the log ends at %d, want 10: %v", round, last, err)
		}
		if err := n.logs.GetLog(11, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("round %d: an entry that was taken back is still read: %v", round, err)
		}
		store(n, 11, 20, "new")
		n.close()
		n = open()
		for i := uint64(1); i <= 20; i++ {
			want, l := fmt.Sprintf("old %d", i), new(raft.Log)
			if i > 10 {
				want = fmt.Sprintf("new %d", i)
			}
			testutil.NoError(t, n.logs.GetLog(i, l))
			testutil.Equal(t, string(l.Data), want)
		}
	}
	testutil.NoError(t, n.logs.DeleteRange(1, 5)) // a snapshot makes the beginning superfluous
	n.close()
	n = open()
	defer n.close()
	first, err := n.logs.FirstIndex()
	testutil.NoError(t, err)
	testutil.Equal(t, first, uint64(6))
}
