package store

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"berth/internal/testutil"
)

// A follower that cannot write refuses entries while more are on their way. A send that was left
// waiting then would end replication to it, until the leader changes.
func TestPipeline_ARefusalEndsWaitingSends(t *testing.T) {
	open := func() *raft.NetworkTransport {
		tr, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
		testutil.NoError(t, err)
		t.Cleanup(func() { tr.Close() })
		return tr
	}
	leader, follower := raftTransport{open()}, open()
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	go func() {
		for {
			select {
			case rpc := <-follower.Consumer():
				rpc.Respond(&raft.AppendEntriesResponse{Term: 1}, nil)
			case <-ended:
				return
			}
		}
	}()
	p, err := leader.AppendEntriesPipeline("f", follower.LocalAddr())
	testutil.NoError(t, err)
	defer p.Close()
	refused := make(chan struct{})
	go func() { // as the library does: it reads no further
		defer close(refused)
		if a := (<-p.Consumer()).Response(); a.Success {
			t.Error("the entries were taken")
		}
	}()
	sent := make(chan error, 1)
	go func() {
		for {
			if _, err := p.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, new(raft.AppendEntriesResponse)); err != nil {
				sent <- err
				return
			}
		}
	}()
	<-refused
	select {
	case <-sent:
	case <-time.After(5 * time.Second):
		t.Error("a send waits for room among answers that nobody reads any more")
	}
}
