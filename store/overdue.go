package store

import (
	"context"
	"time"

	"berth"
	"berth/store/state"
)

const (
	overdueLook  = 100 * time.Millisecond // changes of checks are looked at together
	overdueRetry = time.Second
	overdueIdle  = time.Minute
	overdueChunk = 512 // services in one log entry
)

// reapOverdue takes out services whose checks were critical for longer than they allow
// (DeregisterCriticalServiceAfter) and whose agent is dead, until ctx ends. The catalog says since
// when a check is critical, so that a new leader goes on where the last one was.
func (s *Store) reapOverdue(ctx context.Context) {
	for ctx.Err() == nil {
		all, changed, abandon := s.state().Overdue()
		next := time.Now().Add(s.reap(ctx, all))
		t := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-abandon:
		case <-changed:
			_ = waitOr(ctx, nil, min(overdueLook, time.Until(next)))
		}
		t.Stop()
	}
}

// reap deregisters what is due and gives the time until the next one is, at most overdueIdle.
func (s *Store) reap(ctx context.Context, all []state.Overdue) time.Duration {
	next := overdueIdle
	var due []berth.CatalogOp
	for _, o := range all {
		if left := time.Until(o.At); left > 0 {
			next = min(next, left)
			continue
		}
		s.log.Warn("deregistering a service that was critical for too long and whose agent is dead",
			"node", o.Check.Node, "service", o.Check.ServiceName, "id", o.Check.ServiceID, "check", o.Check.CheckID)
		due = append(due, berth.CatalogOp{Deregister: &berth.Deregistration{Node: o.Check.Node, CheckID: o.Check.CheckID, Overdue: true}})
	}
	for len(due) > 0 {
		n := min(len(due), overdueChunk)
		if _, err := s.Write(ctx, due[:n]); err != nil {
			if ctx.Err() == nil {
				s.log.Warn("deregister overdue services, will try again", "err", err)
			}
			return overdueRetry
		}
		due = due[n:]
	}
	return next
}
