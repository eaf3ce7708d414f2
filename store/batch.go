package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/hashicorp/raft"

	"berth"
	"berth/store/command"
)

const (
	maxBatchEntries = 512
	maxBatchBytes   = 512 * 1024
	maxInFlight     = 3 // batches given to raft and not yet applied
	enqueueTimeout  = 5 * time.Second
)

// proposal is one command on its way into the log, with the place for its own result.
type proposal struct {
	data   []byte
	result command.Result
	err    error
	done   chan struct{}
}

// batcher turns proposals that come at the same time into one log entry. While raft writes one
// batch the next one gathers, so that batches grow with the load and a lone writer never waits.
type batcher struct {
	queue  chan *proposal
	flight chan flight
	node   *raftNode
}

type flight struct {
	future raft.ApplyFuture
	props  []*proposal
}

func newBatcher(n *raftNode) *batcher {
	return &batcher{queue: make(chan *proposal, 4*maxBatchEntries), flight: make(chan flight, maxInFlight-1), node: n}
}

// propose waits until the command has been applied here and gives the FSM's answer.
func (b *batcher) propose(ctx context.Context, data []byte) (command.Result, error) {
	p := &proposal{data: data, done: make(chan struct{})}
	select {
	case b.queue <- p:
	case <-ctx.Done():
		return command.Result{}, ctx.Err()
	}
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return command.Result{}, ctx.Err()
	}
}

// run moves proposals from the queue to raft until ctx ends; then everything still waiting is
// refused.
func (b *batcher) run(ctx context.Context) error {
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		for f := range b.flight {
			b.deliver(f)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			close(b.flight)
			<-delivered
			b.refuse()
			return nil
		case p := <-b.queue:
			b.apply(b.gather(p))
		}
	}
}

// gather takes what else is queued, and what is queued by those who are ready to run, up to the
// limits of a batch.
func (b *batcher) gather(first *proposal) []*proposal {
	props, size := []*proposal{first}, len(first.data)
	for yielded := false; len(props) < maxBatchEntries && size < maxBatchBytes; {
		select {
		case p := <-b.queue:
			props, size = append(props, p), size+len(p.data)
		default:
			if yielded {
				return props
			}
			yielded = true
			runtime.Gosched()
		}
	}
	return props
}

func (b *batcher) apply(props []*proposal) {
	data := props[0].data
	if len(props) > 1 {
		all := make([][]byte, len(props))
		for i, p := range props {
			all[i] = p.data
		}
		var err error
		if data, err = command.Encode(&command.Batch{Members: all}); err != nil {
			finish(props, err)
			return
		}
	}
	r := b.node.raft.Load()
	if r == nil {
		finish(props, berth.ErrNotLeader)
		return
	}
	b.flight <- flight{r.Apply(data, enqueueTimeout), props}
}

func (b *batcher) deliver(f flight) {
	if err := b.node.wait(f.future); err != nil {
		finish(f.props, applyError(err))
		return
	}
	res, ok := f.future.Response().(command.Result)
	switch {
	case !ok:
		finish(f.props, fmt.Errorf("raft gave %T for a command", f.future.Response()))
		return
	case len(f.props) == 1:
		f.props[0].result = res
	case len(res.Members) != len(f.props):
		finish(f.props, fmt.Errorf("batch of %d commands gave %d results: %w", len(f.props), len(res.Members), res.Err))
		return
	default:
		for i, p := range f.props {
			p.result = res.Members[i]
		}
	}
	finish(f.props, nil)
}

func finish(props []*proposal, err error) {
	for _, p := range props {
		p.err = err
		close(p.done)
	}
}

// refuse answers what is left in the queue when the store stops.
func (b *batcher) refuse() {
	for {
		select {
		case p := <-b.queue:
			finish([]*proposal{p}, berth.ErrClosed)
		default:
			return
		}
	}
}

// applyError tells errors that mean "surely not written" (ErrNotLeader) from those that leave
// it open.
func applyError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return berth.ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return errUncertain
	case errors.Is(err, raft.ErrRaftShutdown):
		return berth.ErrClosed
	}
	return err
}

// errUncertain: leadership was lost while the write was on its way; it may or may not happen.
var errUncertain = errors.New("leadership was lost while the write was committed: it may have been applied or not")
