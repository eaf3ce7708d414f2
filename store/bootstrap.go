package store

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"berth"
	"berth/internal/backoff"
)

// promiseFor is how long a server's promise to let another one bootstrap holds.
const promiseFor = 10 * time.Second

// loneBootstrapWait is how long a server with bootstrap_expect 1 and a join list looks for an
// existing cluster first, so that one that lost its data rejoins instead of starting anew.
const loneBootstrapWait = 3 * time.Second

// bootstrapLoop writes raft's first configuration once the expected servers have met. It ends
// when this server has a configuration, its own or one that a leader sent.
//
// Of the servers that meet, the one with the lowest ID asks all others for a promise that
// nobody else bootstraps; only with all promises it writes the configuration, and the others
// get it from it by replication. A server that has been in a cluster never promises.
func (s *Store) bootstrapLoop(ctx context.Context) error {
	if s.cfg.BootstrapExpect == 0 || !s.node.empty() {
		return nil
	}
	if s.cfg.BootstrapExpect == 1 {
		return s.bootstrapAlone(ctx)
	}
	pause := backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for s.node.empty() {
		changed := s.membersChanged.wait()
		wait := 10 * time.Second
		if set := s.expected(); set != nil && set[0].id == s.id {
			done, err := s.bootstrapWith(ctx, set)
			if err != nil || done {
				return err
			}
			wait = pause.Next()
		}
		if err := waitOr(ctx, changed, wait); err != nil {
			return nil //nolint:nilerr // the context ended
		}
	}
	return nil
}

// expected is the set of servers to start with, lowest ID first; nil while some are missing.
func (s *Store) expected() []server {
	var set []server
	for _, srv := range s.servers() {
		if srv.status != berth.MemberAlive || srv.nonVoter {
			continue
		}
		if srv.expect != 0 && srv.expect != s.cfg.BootstrapExpect {
			s.log.Error("servers disagree on bootstrap_expect: give all the same number", "server", srv.name, "theirs", srv.expect, "ours", s.cfg.BootstrapExpect)
			return nil
		}
		if srv.expect != 0 {
			set = append(set, srv)
		}
	}
	if len(set) < s.cfg.BootstrapExpect {
		return nil
	}
	slices.SortFunc(set, func(a, b server) int { return strings.Compare(a.id, b.id) })
	return set
}

// bootstrapWith collects the promises and writes the configuration. done is false when
// somebody could not be asked or has promised otherwise, for now.
func (s *Store) bootstrapWith(ctx context.Context, set []server) (done bool, err error) {
	if !s.promise.give(s.id) {
		return false, nil
	}
	servers := []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(s.id), Address: raft.ServerAddress(s.addr)}}
	for _, srv := range set {
		if srv.id == s.id {
			continue
		}
		ok, err := s.askPromise(ctx, srv.addr)
		if err != nil || !ok {
			s.log.Debug("server does not let this one bootstrap yet", "server", srv.name, "err", err)
			return false, nil
		}
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(srv.id), Address: raft.ServerAddress(srv.addr)})
	}
	if !s.node.empty() {
		return true, nil
	}
	s.log.Info("bootstrapping raft", "servers", len(servers))
	if err := s.node.bootstrap(servers); err != nil {
		return false, err
	}
	s.node.electNow()
	return true, nil
}

// bootstrapAlone starts a cluster of one at once, or, when there are addresses to join, after
// a short look for a cluster that exists already.
func (s *Store) bootstrapAlone(ctx context.Context) error {
	if len(s.cfg.Join.LAN) > 0 && !s.lan.OnlySelf(ctx, s.cfg.Join.LAN) {
		deadline := time.Now().Add(loneBootstrapWait)
		for time.Now().Before(deadline) {
			changed := s.membersChanged.wait()
			for _, srv := range s.servers() {
				if srv.id == s.id || srv.status != berth.MemberAlive {
					continue
				}
				if ok, err := s.askPromise(ctx, srv.addr); err == nil && !ok {
					s.log.Info("an existing cluster was found: not bootstrapping a new one", "server", srv.name)
					return nil
				}
			}
			if err := waitOr(ctx, changed, 200*time.Millisecond); err != nil {
				return nil //nolint:nilerr // the context ended
			}
		}
	}
	if !s.node.empty() {
		return nil
	}
	if err := s.node.bootstrap([]raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(s.id), Address: raft.ServerAddress(s.addr)}}); err != nil {
		return err
	}
	s.node.electNow()
	return nil
}

func (s *Store) askPromise(ctx context.Context, addr string) (ok bool, err error) {
	err = s.callJSON(ctx, http.MethodPost, addr, "/internal/store/bootstrap?id="+s.id, nil, &ok, 3*time.Second)
	return ok, err
}

// serveBootstrap answers whether this server lets the asking one bootstrap.
func (s *Store) serveBootstrap(w http.ResponseWriter, r *http.Request) {
	answerJSON(w, s.node.empty() && s.promise.give(r.URL.Query().Get("id")))
}
