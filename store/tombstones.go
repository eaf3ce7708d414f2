package store

import (
	"context"
	"time"

	"berth/store/command"
)

// graves remembers when which raft index was reached, so that tombstones go after their time.
type graves struct{ marks []mark }

type mark struct {
	at    time.Time
	index uint64
}

// reapTombstones forgets deletions older than the tombstones' time, as the leader.
func (s *Store) reapTombstones(ctx context.Context) {
	st, t := s.state(), time.Now()
	s.graves.marks = append(s.graves.marks, mark{t, st.Index()})
	upTo := uint64(0)
	for len(s.graves.marks) > 0 && t.Sub(s.graves.marks[0].at) >= s.cfg.TombstoneTTL {
		upTo = s.graves.marks[0].index
		s.graves.marks = s.graves.marks[1:]
	}
	if !st.Read().HasTombstones(t.UnixNano(), upTo) {
		return
	}
	if _, err := s.propose(ctx, &command.Reap{Now: t.UnixNano(), Index: upTo}); err != nil && ctx.Err() == nil {
		s.log.Warn("reap tombstones", "err", err)
	}
}
