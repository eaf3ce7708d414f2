package store

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"berth"
	"berth/internal/backoff"
)

const (
	barrierTimeout = 2 * time.Minute
	retryReconcile = time.Second
	reapInterval   = 30 * time.Second
)

// monitorLeadership starts the leader's duties when this server gains leadership and ends them,
// waiting for their end, when it loses it. raft's notify channel keeps the order.
func (s *Store) monitorLeadership(ctx context.Context) error {
	var stop func()
	end := func() {
		if stop != nil {
			stop()
			stop = nil
		}
	}
	defer end()
	for {
		select {
		case <-ctx.Done():
			return nil
		case leads := <-s.node.notify:
			end()
			if leads {
				stop = s.startLeading(ctx)
			} else {
				s.log.Info("leadership lost")
			}
		}
	}
}

// startLeading runs lead in a goroutine; the function it returns ends it and waits.
func (s *Store) startLeading(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.lead(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// lead does the leader's work until ctx ends: first everything committed before is applied
// (barrier), then reads and writes are let in, then the duties run.
func (s *Store) lead(ctx context.Context) {
	s.log.Info("leadership gained")
	defer func() {
		s.ready.Store(false)
		s.leaderChanged.fire()
	}()
	if !s.barrier(ctx) {
		return
	}
	s.ready.Store(true)
	s.leaderChanged.fire()
	stopPilot := s.startAutopilot(ctx)
	defer stopPilot()
	var duties sync.WaitGroup
	defer duties.Wait()
	duties.Go(func() { s.expireSessions(ctx) })
	duties.Go(func() { s.reapOverdue(ctx) })
	s.reconcileLoop(ctx)
}

// barrier waits until this leader has applied all earlier entries; false: it does not lead
// any more.
func (s *Store) barrier(ctx context.Context) bool {
	r := s.node.raft.Load()
	pause := backoff.Backoff{Min: 50 * time.Millisecond, Max: time.Second}
	for ctx.Err() == nil {
		err := s.node.wait(r.Barrier(barrierTimeout))
		if err == nil {
			return ctx.Err() == nil
		}
		if r.State() != raft.Leader {
			return false
		}
		s.log.Warn("wait for earlier log entries", "err", err)
		if pause.Wait(ctx) != nil {
			return false
		}
	}
	return false
}

// reconcileLoop makes catalog and raft follow the members: everything now, at each interval and
// when what gossip vouches for was deregistered, single members as gossip tells of them.
func (s *Store) reconcileLoop(ctx context.Context) {
	tick := time.NewTicker(s.cfg.ReconcileInterval)
	defer tick.Stop()
	reap := time.NewTicker(reapInterval)
	defer reap.Stop()
	s.memberEvents.drain() // the full pass sees them
	retry := s.reconcileAll(ctx)
	again := time.NewTimer(retryReconcile)
	defer again.Stop()
	for {
		if retry {
			again.Reset(retryReconcile)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.memberEvents.wake:
			for _, m := range latest(s.memberEvents.drain()) {
				if err := s.reconcileMember(ctx, m); err != nil && ctx.Err() == nil {
					s.log.Warn("reconcile member, will try again", "member", m.Name, "err", err)
					retry = true
				}
			}
		case <-tick.C:
			retry = s.reconcileAll(ctx)
		case <-s.recheck:
			retry = s.reconcileAll(ctx)
		case <-again.C:
			if retry {
				retry = s.reconcileAll(ctx)
			}
		case <-reap.C:
			s.reapTombstones(ctx)
		}
	}
}

// reconcileSoon has the leader's loop look at all members; elsewhere it does nothing.
func (s *Store) reconcileSoon() {
	select {
	case s.recheck <- struct{}{}:
	default:
	}
}

// latest keeps the last event of each member.
func latest(events []berth.Member) []berth.Member {
	at := map[string]int{}
	var out []berth.Member
	for _, m := range events {
		if i, ok := at[m.Name]; ok {
			out[i] = m
			continue
		}
		at[m.Name] = len(out)
		out = append(out, m)
	}
	return out
}
