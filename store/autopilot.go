package store

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"berth"
	"berth/store/command"
)

// defaultAutopilot is the configuration of a cluster that nobody has set one for.
var defaultAutopilot = berth.AutopilotConfig{
	CleanupDeadServers: true, LastContactThreshold: berth.Duration(200 * time.Millisecond), MaxTrailingLogs: 250,
	ServerStabilizationTime: berth.Duration(10 * time.Second),
}

// pilot connects the autopilot library, which runs on the leader, with the store.
type pilot struct {
	s *Store
	*autopilot.Autopilot
}

// startAutopilot runs autopilot until the function it returns is called, which waits.
func (s *Store) startAutopilot(ctx context.Context) (stop func()) {
	s.initAutopilot(ctx)
	stabilize := s.autopilotConfig().ServerStabilizationTime.D()
	every := min(autopilot.DefaultReconcileInterval, max(200*time.Millisecond, stabilize))
	p := &pilot{s: s}
	p.Autopilot = autopilot.New(s.node.raft.Load(), p, autopilot.WithLogger(s.node.log), autopilot.WithPromoter(promoter{s, time.Now(), autopilot.DefaultPromoter()}),
		autopilot.WithUpdateInterval(min(autopilot.DefaultUpdateInterval, every)), autopilot.WithReconcileInterval(every))
	p.Start(ctx)
	s.pilot.Store(p)
	return func() {
		s.pilot.Store(nil)
		select {
		case <-p.Stop():
		case <-s.node.stopped: // it may wait for an answer of raft that never comes
		}
	}
}

// initAutopilot writes the first autopilot configuration into a new cluster.
func (s *Store) initAutopilot(ctx context.Context) {
	if s.storedAutopilot() != nil {
		return
	}
	c := defaultAutopilot
	if s.cfg.Autopilot != nil {
		c = *s.cfg.Autopilot
	}
	if _, err := s.propose(ctx, &command.Autopilot{Config: c}); err != nil && ctx.Err() == nil {
		s.log.Warn("write autopilot configuration", "err", err)
	}
}

func (s *Store) autopilotConfig() berth.AutopilotConfig {
	if c := s.storedAutopilot(); c != nil {
		return *c
	}
	return defaultAutopilot
}

// AutopilotConfig is the stored configuration.
func (s *Store) AutopilotConfig() (berth.AutopilotConfig, error) {
	if s.node == nil {
		return berth.AutopilotConfig{}, berth.ErrNotLeader
	}
	return s.autopilotConfig(), nil
}

// SetAutopilotConfig stores a configuration; with cas only over the one with its ModifyIndex.
func (s *Store) SetAutopilotConfig(ctx context.Context, c berth.AutopilotConfig, cas bool) (bool, error) {
	res, err := s.propose(ctx, &command.Autopilot{Config: c, CAS: cas})
	return err == nil && (res.OK || !cas), err
}

// AutopilotHealth is what the leader thinks of the servers.
func (s *Store) AutopilotHealth() (berth.AutopilotHealth, error) {
	p := s.pilot.Load()
	if p == nil {
		return berth.AutopilotHealth{}, berth.ErrNotLeader
	}
	st := p.GetState()
	out := berth.AutopilotHealth{Healthy: st.Healthy, FailureTolerance: st.FailureTolerance}
	for _, x := range st.Servers {
		out.Servers = append(out.Servers, berth.ServerHealth{
			ID: string(x.Server.ID), Name: x.Server.Name, Address: string(x.Server.Address), SerfStatus: string(x.Server.NodeStatus),
			Version: x.Server.Version, Leader: x.State == autopilot.RaftLeader, LastContact: berth.Duration(x.Stats.LastContact),
			LastTerm: x.Stats.LastTerm, LastIndex: x.Stats.LastIndex, Healthy: x.Health.Healthy, Voter: x.HasVotingRights(), StableSince: x.Health.StableSince,
		})
	}
	slices.SortFunc(out.Servers, func(a, b berth.ServerHealth) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// AutopilotConfig gives the library its configuration.
func (p *pilot) AutopilotConfig() *autopilot.Config {
	c := p.s.autopilotConfig()
	return &autopilot.Config{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: c.LastContactThreshold.D(), MaxTrailingLogs: c.MaxTrailingLogs,
		MinQuorum: c.MinQuorum, ServerStabilizationTime: c.ServerStabilizationTime.D(),
	}
}

// NotifyState does nothing: health is read when asked for.
func (p *pilot) NotifyState(*autopilot.State) {}

// FetchServerStats asks all servers for their raft positions.
func (p *pilot) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	out := map[raft.ServerID]*autopilot.ServerStats{}
	for id, st := range p.s.serverStats(ctx) {
		if _, ok := servers[raft.ServerID(id)]; ok {
			out[raft.ServerID(id)] = &autopilot.ServerStats{LastContact: st.LastContact, LastTerm: st.LastTerm, LastIndex: st.LastIndex}
		}
	}
	return out
}

// KnownServers lists the servers that gossip knows.
func (p *pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	out := map[raft.ServerID]*autopilot.Server{}
	for _, srv := range p.s.servers() {
		status := autopilot.NodeFailed
		switch srv.status {
		case berth.MemberAlive:
			status = autopilot.NodeAlive
		case berth.MemberLeft:
			status = autopilot.NodeLeft
		}
		if old := out[raft.ServerID(srv.id)]; old != nil && old.NodeStatus == autopilot.NodeAlive {
			continue
		}
		out[raft.ServerID(srv.id)] = &autopilot.Server{
			ID: raft.ServerID(srv.id), Name: srv.name, Address: raft.ServerAddress(srv.addr), NodeStatus: status,
			Version: srv.build, RaftVersion: 3, IsLeader: srv.id == p.s.id, NodeType: autopilot.NodeVoter,
		}
	}
	return out
}

// RemoveFailedServer makes gossip forget a dead server; reconcile then takes it out of raft.
func (p *pilot) RemoveFailedServer(srv *autopilot.Server) {
	p.s.tasks.Go(func() {
		p.s.log.Info("a dead server is removed, since it has been replaced", "server", srv.Name)
		if err := p.s.lan.ForceLeave(srv.Name, false); err != nil {
			p.s.log.Warn("remove dead server", "server", srv.Name, "err", err)
		}
	})
}

// promoter never promotes servers that are configured not to vote, and keeps dead voters until
// their removal makes the rest safer.
type promoter struct {
	s     *Store
	since time.Time // of the leadership
	autopilot.Promoter
}

// CalculatePromotionsAndDemotions leaves non-voters out.
func (p promoter) CalculatePromotionsAndDemotions(c *autopilot.Config, st *autopilot.State) autopilot.RaftChanges {
	changes := p.Promoter.CalculatePromotionsAndDemotions(c, st)
	never := map[raft.ServerID]bool{}
	for _, srv := range p.s.servers() {
		never[raft.ServerID(srv.id)] = srv.nonVoter
	}
	changes.Promotions = slices.DeleteFunc(changes.Promotions, func(id raft.ServerID) bool { return never[id] })
	return changes
}

// staleGrace is how long after an election servers that gossip does not know are left alone:
// it may just not have found them again.
const staleGrace = 30 * time.Second

// FilterFailedServerRemovals lets dead voters be removed only when that lowers the number of
// voters a quorum needs. With 1 dead of 3 it does not: 2 of 2 would be needed instead of 2 of
// 3, and the dead one's return would help no more. Once a replacement votes it does.
func (p promoter) FilterFailedServerRemovals(c *autopilot.Config, st *autopilot.State, f *autopilot.FailedServers) *autopilot.FailedServers {
	f = p.Promoter.FilterFailedServerRemovals(c, st, f)
	if time.Since(p.since) < staleGrace {
		f.StaleVoters, f.StaleNonVoters = nil, nil
	}
	voters := 0
	for _, x := range p.s.configuration() {
		if x.Suffrage == raft.Voter {
			voters++
		}
	}
	if dead := len(f.FailedVoters) + len(f.StaleVoters); (voters-dead)/2 >= voters/2 {
		f.FailedVoters, f.StaleVoters = nil, nil
	}
	return f
}

// raftStats is a server's position in the log.
type raftStats struct {
	LastContact time.Duration // since it heard from the leader; negative: never
	LastTerm    uint64
	LastIndex   uint64
}

func (s *Store) ownStats() raftStats {
	r := s.node.raft.Load()
	if r == nil {
		return raftStats{LastContact: -1}
	}
	st := raftStats{LastIndex: r.LastIndex(), LastTerm: parseUint(r.Stats()["last_log_term"])}
	if r.State() != raft.Leader {
		st.LastContact = -1
		if t := r.LastContact(); !t.IsZero() {
			st.LastContact = time.Since(t)
		}
	}
	return st
}

func (s *Store) serveStats(w http.ResponseWriter, _ *http.Request) { answerJSON(w, s.ownStats()) }

// serverStats asks the living servers for their positions, all at once, for 2 s at most; who
// does not answer is missing.
func (s *Store) serverStats(ctx context.Context) map[string]raftStats {
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]raftStats{s.id: s.ownStats()}
	for _, srv := range s.servers() {
		if srv.id == s.id || srv.status != berth.MemberAlive {
			continue
		}
		wg.Go(func() {
			var st raftStats
			if err := s.callJSON(ctx, http.MethodGet, srv.addr, "/internal/store/stats", nil, &st, 2*time.Second); err != nil {
				return
			}
			mu.Lock()
			out[srv.id] = st
			mu.Unlock()
		})
	}
	wg.Wait()
	return out
}
