package store

import (
	"sync"

	"github.com/hashicorp/raft"
)

// raftTransport is the library's, with pipelines that end.
//
// The library stops reading a pipeline's answers at the first one that is a refusal, and hears of that
// only between two sends: with one more it waits for room among the answers, for ever. The follower
// then gets no entry until the leader changes, and since heartbeats go on nobody notices.
type raftTransport struct{ *raft.NetworkTransport }

// AppendEntriesPipeline opens a pipeline to a follower.
func (t raftTransport) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, addr)
	if err != nil {
		return nil, err
	}
	return newPipeline(p), nil
}

// pipeline hands answers on and closes itself after a refusal, which ends a send that waits.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	close   sync.Once
	closed  chan struct{}
	done    chan struct{} // closed when pass has ended
}

func newPipeline(p raft.AppendPipeline) *pipeline {
	w := &pipeline{AppendPipeline: p, answers: make(chan raft.AppendFuture), closed: make(chan struct{}), done: make(chan struct{})}
	go w.pass()
	return w
}

// Consumer gives the answers in the order of the requests, up to the first refusal.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close ends the pipeline.
func (p *pipeline) Close() error {
	p.close.Do(func() { close(p.closed) })
	err := p.AppendPipeline.Close()
	<-p.done
	return err
}

func (p *pipeline) pass() {
	defer close(p.done)
	for {
		var f raft.AppendFuture
		select {
		case f = <-p.AppendPipeline.Consumer():
		case <-p.closed:
			return
		}
		select {
		case p.answers <- f:
		case <-p.closed:
			return
		}
		if a := f.Response(); !a.Success || a.Term > f.Request().Term {
			_ = p.AppendPipeline.Close()
			return
		}
	}
}
