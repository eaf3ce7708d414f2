package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"berth"
)

// leaderState is what this agent knows about the leader.
func (s *Store) leaderAddr() string {
	if s.node != nil {
		if r := s.node.raft.Load(); r != nil {
			addr, _ := r.LeaderWithID()
			if addr == "" && s.node.ended() {
				addr = s.node.successor // raft itself forgets it when it ends
			}
			return string(addr)
		}
		return ""
	}
	if a := s.leaderHint.Load(); a != nil {
		return *a
	}
	return ""
}

// Leader is the server port of the leader, "ip:port", or "" while there is none.
func (s *Store) Leader() string { return s.leaderAddr() }

// leads tells whether this server is the leader and has caught up with the log, so that it may
// answer reads and take writes.
func (s *Store) leads() bool {
	if s.node == nil || !s.ready.Load() {
		return false
	}
	r := s.node.raft.Load()
	return r != nil && r.State() == raft.Leader
}

// anyServer picks a server for what any server can do: the one that served last while it is
// up, else a random one; avoid is not picked again while there is another.
func (s *Store) anyServer(avoid string) string {
	alive := s.aliveServers()
	if p := s.preferred.Load(); p != nil && *p != avoid && slices.Contains(alive, *p) {
		return *p
	}
	if others := slices.DeleteFunc(slices.Clone(alive), func(a string) bool { return a == avoid }); len(others) > 0 {
		alive = others
	}
	if len(alive) == 0 {
		return ""
	}
	a := alive[rand.IntN(len(alive))]
	s.preferred.Store(&a)
	return a
}

// target says where a request that needs the leader, or any server, goes next: here, to an
// address, or nowhere yet ("").
func (s *Store) target(leader bool, avoid string) (addr string, here bool) {
	if s.node != nil {
		if !leader || s.leads() {
			return "", true
		}
		if a := s.leaderAddr(); a != s.addr && a != avoid {
			return a, false
		}
		return "", false
	}
	if leader {
		if a := s.leaderAddr(); a != "" && a != avoid && slices.Contains(s.aliveServers(), a) {
			return a, false
		}
	}
	return s.anyServer(avoid), false
}

// errRetry: an attempt surely changed nothing and may be made again, elsewhere.
var errRetry = errors.New("try again")

// attempt runs one try of a request: at addr, or here when addr is "".
type attempt func(ctx context.Context, addr string) error

// route makes attempts until one does not ask for another, for as long as a leader (or any
// server) may be waited for. When this server's raft has ended nobody is waited for: the attempt
// goes to whom it handed over to, if anybody.
func (s *Store) route(ctx context.Context, leader bool, try attempt) error {
	if s.node != nil && (!leader || s.leads()) { // nothing has to be waited for
		if err := try(ctx, ""); !errors.Is(err, errRetry) {
			return err
		}
	}
	deadline := time.NewTimer(s.cfg.HoldTimeout)
	defer deadline.Stop()
	var raftEnd chan struct{}
	if s.node != nil {
		raftEnd = s.node.stopped
	}
	avoid := ""
	for n := 0; ; n++ {
		last := s.node != nil && s.node.ended()
		leaderChange, memberChange := s.leaderChanged.wait(), s.membersChanged.wait()
		addr, here := s.target(leader, avoid)
		if here || addr != "" {
			err := try(ctx, addr)
			if !errors.Is(err, errRetry) {
				return err
			}
			avoid = addr
		}
		if last {
			return s.nobody()
		}
		pause := time.NewTimer(retryPause(n))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-deadline.C:
			pause.Stop()
			return s.nobody()
		case <-leaderChange:
		case <-memberChange:
		case <-raftEnd:
			avoid = ""
		case <-pause.C:
			avoid = ""
		}
		pause.Stop()
	}
}

// retryPause grows from 5 ms to 250 ms with jitter; changes of leader or members cut it short.
func retryPause(n int) time.Duration {
	d := min(5*time.Millisecond<<min(n, 6), 250*time.Millisecond)
	return d/2 + rand.N(d)
}

// nobody is why a request found no server to run on.
func (s *Store) nobody() error {
	if s.node == nil && len(s.aliveServers()) == 0 {
		return berth.ErrNoServers
	}
	return berth.ErrNoLeader
}
