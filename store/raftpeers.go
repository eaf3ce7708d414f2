package store

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"berth"
)

func cut(build string) (version, rest string, ok bool) { return strings.Cut(build, ":") }

func netSplit(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(p)
	return host, port, err
}

// configuration is raft's membership as this server knows it.
func (s *Store) configuration() []raft.Server {
	if s.node == nil {
		return nil
	}
	r := s.node.raft.Load()
	if r == nil {
		return nil
	}
	return r.GetConfiguration().Configuration().Servers
}

// joinRaft makes raft know a living server: a new one as non-voter, which autopilot promotes;
// a known one under its present address.
func (s *Store) joinRaft(srv server) error {
	r := s.node.raft.Load()
	if srv.id == s.id && srv.addr == s.addr {
		return s.ownAddress(r)
	}
	if s.departing.has(srv.id) {
		return nil
	}
	suffrage, found := raft.Nonvoter, false
	for _, x := range s.configuration() {
		switch {
		case string(x.ID) == srv.id && string(x.Address) == srv.addr:
			return nil
		case string(x.ID) == srv.id:
			suffrage, found = x.Suffrage, true
		case string(x.Address) == srv.addr:
			s.log.Info("a server came back under a new ID: removing its old one from raft", "server", srv.name, "old_id", string(x.ID))
			if err := s.node.wait(r.RemoveServer(x.ID, 0, raftTimeout)); err != nil {
				return fmt.Errorf("remove server %s from raft: %w", x.ID, err)
			}
		}
	}
	if !found && srv.bootstrap {
		return fmt.Errorf("server %q has bootstrap_expect 1 and may lead a cluster of its own: set bootstrap_expect to the same number on all servers, or remove its raft directory", srv.name)
	}
	var err error
	if suffrage == raft.Voter {
		s.log.Info("server has a new address", "server", srv.name, "addr", srv.addr)
		err = s.node.wait(r.AddVoter(raft.ServerID(srv.id), raft.ServerAddress(srv.addr), 0, raftTimeout))
	} else {
		s.log.Info("adding server to raft as non-voter", "server", srv.name, "addr", srv.addr)
		err = s.node.wait(r.AddNonvoter(raft.ServerID(srv.id), raft.ServerAddress(srv.addr), 0, raftTimeout))
	}
	if err != nil {
		return fmt.Errorf("add server %s to raft: %w", srv.addr, err)
	}
	return nil
}

// ownAddress brings this leader's own address in raft up to date.
func (s *Store) ownAddress(r *raft.Raft) error {
	for _, x := range s.configuration() {
		if string(x.ID) == s.id && string(x.Address) != s.addr {
			if err := s.node.wait(r.AddVoter(x.ID, raft.ServerAddress(s.addr), 0, raftTimeout)); err != nil {
				return fmt.Errorf("update this server's address in raft: %w", err)
			}
		}
	}
	return nil
}

// leftRaft takes a server that has left out of raft.
func (s *Store) leftRaft(srv server) error {
	for _, x := range s.configuration() {
		if string(x.ID) != srv.id {
			continue
		}
		s.log.Info("server left, removing it from raft", "server", srv.name)
		if err := s.node.wait(s.node.raft.Load().RemoveServer(x.ID, 0, raftTimeout)); err != nil {
			return fmt.Errorf("remove server %s from raft: %w", srv.name, err)
		}
	}
	return nil
}

// leaveRaft takes this server out of raft before it leaves, and tells whether that was done: it hands leadership over, if it has
// it, and asks the leader to remove it. That must be done before it goes: of two servers the
// one left could not do it alone any more.
func (s *Store) leaveRaft(ctx context.Context) (removed bool) {
	r := s.node.raft.Load()
	if r == nil || s.node.alone() || len(s.configuration()) < 2 {
		return true
	}
	if r.State() == raft.Leader {
		if err := s.node.wait(r.LeadershipTransfer()); err != nil {
			s.log.Warn("leadership could not be handed over before leaving", "err", err)
		}
	}
	err := s.route(ctx, true, func(ctx context.Context, addr string) error {
		if addr == "" {
			return s.leftRaft(server{id: s.id, name: s.cfg.NodeName})
		}
		_, err := s.call(ctx, http.MethodPost, addr, "/internal/store/leave?id="+s.id, nil)
		return err
	})
	if err != nil {
		s.log.Warn("this server could not be removed from raft before leaving", "err", err)
	}
	return err == nil
}

// awaitRemoval waits until the leader has taken this server out of raft, so that the remaining
// ones do not count it for their quorum; 5 s at most.
func (s *Store) awaitRemoval(ctx context.Context) {
	if len(s.configuration()) <= 1 {
		return
	}
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		in := false
		for _, x := range s.configuration() {
			in = in || string(x.ID) == s.id
		}
		if !in {
			return
		}
		if waitOr(ctx, nil, 50*time.Millisecond) != nil {
			return
		}
	}
	s.log.Warn("this server is still a raft member: the leader did not remove it in time")
}

// Peers lists the server ports of all raft members.
func (s *Store) Peers() []string {
	if s.node == nil {
		return s.aliveServers()
	}
	out := []string{}
	for _, x := range s.configuration() {
		out = append(out, string(x.Address))
	}
	return out
}

// RaftConfiguration lists raft's members and the index of the configuration.
func (s *Store) RaftConfiguration(ctx context.Context) ([]berth.Server, uint64, error) {
	if s.node == nil {
		return nil, 0, berth.ErrNotLeader
	}
	r := s.node.raft.Load()
	if r == nil {
		return nil, 0, berth.ErrNoLeader
	}
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, 0, fmt.Errorf("read raft configuration: %w", err)
	}
	names := map[string]string{}
	for _, srv := range s.servers() {
		names[srv.id] = srv.name
	}
	leader := s.leaderAddr()
	stats := s.serverStats(ctx)
	var out []berth.Server
	for _, x := range f.Configuration().Servers {
		name := names[string(x.ID)]
		if name == "" {
			name = "(unknown)"
		}
		out = append(out, berth.Server{
			ID: string(x.ID), Node: name, Address: string(x.Address), Leader: string(x.Address) == leader,
			ProtocolVersion: "3", Voter: x.Suffrage == raft.Voter, LastIndex: stats[string(x.ID)].LastIndex,
		})
	}
	return out, f.Index(), nil
}

// RaftRemovePeer takes a server out of raft by ID or by address, on the leader.
func (s *Store) RaftRemovePeer(_ context.Context, id, address string) error {
	if !s.leads() {
		return berth.ErrNotLeader
	}
	for _, x := range s.configuration() {
		if (id != "" && string(x.ID) == id) || (id == "" && string(x.Address) == address) {
			if err := s.node.wait(s.node.raft.Load().RemoveServer(x.ID, 0, raftTimeout)); err != nil {
				return fmt.Errorf("remove server from raft: %w", err)
			}
			s.log.Warn("server removed from raft by an operator", "id", string(x.ID), "addr", string(x.Address))
			return nil
		}
	}
	if id != "" {
		return berth.Rejected(fmt.Sprintf("id %q was not found in the Raft configuration", id))
	}
	return berth.Rejected(fmt.Sprintf("address %q was not found in the Raft configuration", address))
}

// TransferLeader hands leadership to the server with the ID, or to the one that is furthest
// ahead when id is "". It runs on the leader.
func (s *Store) TransferLeader(_ context.Context, id string) error {
	if !s.leads() {
		return berth.ErrNotLeader
	}
	r := s.node.raft.Load()
	if id == "" {
		if s.node.alone() {
			return berth.Rejected("cannot find peer: there is no other server to lead")
		}
		return s.node.wait(r.LeadershipTransfer())
	}
	for _, x := range s.configuration() {
		if string(x.ID) == id {
			return s.node.wait(r.LeadershipTransferToServer(x.ID, x.Address))
		}
	}
	return berth.Rejected(fmt.Sprintf("id %q was not found in the Raft configuration", id))
}
