package store

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/go-memdb"

	"berth"
	"berth/store/state"
)

const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
	waitJitter  = 16 // up to 1/16 of the wait is added, so that pollers spread
)

// query reads one result from a snapshot, returning the result's index and adding to ws what
// fires when the result changes. It may be called several times; the last call counts.
type query func(ws memdb.WatchSet, r *state.Reader) uint64

// read runs a query on this agent's state. With MinIndex it waits until the result's own index
// is larger, the wait is over (then the present result is the answer), the state is replaced
// by a restore, or ctx ends, whose error it then returns.
func (s *Store) read(ctx context.Context, o berth.QueryOptions, q query) (berth.QueryMeta, error) {
	if o.Consistency == berth.ConsistencyConsistent {
		if err := s.verifyLeader(); err != nil {
			return berth.QueryMeta{Index: 1}, err
		}
	}
	if rep := s.catalog.replica; rep != nil && !rep.synced() {
		return berth.QueryMeta{Index: 1}, berth.ErrUnsynced
	}
	if o.MinIndex == 0 {
		return s.meta(q(nil, s.state().Read())), nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, waitTime(o.MaxWait), errWaited)
	defer cancel()
	first := s.state()
	for {
		st := s.state()
		ws := memdb.NewWatchSet()
		ws.Add(st.AbandonCh())
		idx := q(ws, st.Read())
		if idx > o.MinIndex || st != first { // replaced: indexes of before mean nothing now
			return s.meta(idx), nil
		}
		if err := ws.WatchCtx(ctx); err != nil {
			if context.Cause(ctx) == errWaited { //nolint:errorlint // the very value
				return s.meta(idx), nil
			}
			return s.meta(idx), ctx.Err()
		}
	}
}

type waitOver struct{}

func (waitOver) Error() string { return "wait is over" }

var errWaited error = waitOver{}

// waitTime is how long a blocking read waits: 5 minutes unless asked, 10 at most, plus jitter.
func waitTime(asked time.Duration) time.Duration {
	if asked <= 0 {
		asked = defaultWait
	}
	asked = min(asked, maxWait)
	return asked + rand.N(asked/waitJitter+1)
}

// meta goes with a result; its index is never 0.
func (s *Store) meta(idx uint64) berth.QueryMeta {
	return berth.QueryMeta{Index: max(idx, 1), LastContact: s.lastContact(), KnownLeader: s.leaderAddr() != ""}
}
