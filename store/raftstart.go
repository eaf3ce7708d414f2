package store

import (
	"context"

	"github.com/hashicorp/raft"

	"berth"
)

// startRaft runs raft. A server that is the only voter leads at once.
func (s *Store) startRaft() error {
	if s.node == nil {
		return nil
	}
	if err := s.node.start(s.cfg.Raft, s.raftFSM(), s.throwAwayFSM, s.trans, s.addr, s.addressOf); err != nil {
		return err
	}
	if s.node.alone() {
		s.node.electNow()
	}
	return nil
}

// watchLeader wakes whoever waits for a leader when raft's idea of it changes.
func (s *Store) watchLeader(ctx context.Context) error {
	ch := make(chan raft.Observation, 16)
	obs := raft.NewObserver(ch, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r := s.node.raft.Load()
	r.RegisterObserver(obs)
	defer r.DeregisterObserver(obs)
	last := ""
	for {
		if now := s.leaderAddr(); now != last {
			last = now
			if now != "" && now != s.addr {
				s.log.Info("new leader", "leader", now)
			}
			s.leaderChanged.fire()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ch:
		}
	}
}

// learnLeader remembers, on a client, who servers say leads.
func (s *Store) learnLeader(addr string) {
	if s.node != nil {
		return
	}
	if old := s.leaderHint.Load(); old != nil && *old == addr {
		return
	}
	s.leaderHint.Store(&addr)
	s.leaderChanged.fire()
}

// unprefer forgets a server that did not answer.
func (s *Store) unprefer(addr string) {
	if p := s.preferred.Load(); p != nil && *p == addr {
		s.preferred.CompareAndSwap(p, nil)
	}
	if p := s.leaderHint.Load(); p != nil && *p == addr {
		s.leaderHint.CompareAndSwap(p, nil)
	}
}

// verifyLeader makes sure, by asking a quorum, that this server still leads.
func (s *Store) verifyLeader() error {
	if !s.leads() {
		return berth.ErrNotLeader
	}
	if err := s.node.wait(s.node.raft.Load().VerifyLeader()); err != nil {
		return berth.ErrNotLeader
	}
	return nil
}
