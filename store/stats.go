package store

import (
	"maps"
	"runtime"
	"strconv"
)

func parseUint(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Stats are counters for `berth info`: raft's, gossip's and the store's own.
func (s *Store) Stats() map[string]map[string]string {
	out := map[string]map[string]string{
		"consul": {
			"server": strconv.FormatBool(s.node != nil), "leader": strconv.FormatBool(s.leads()), "leader_addr": s.leaderAddr(),
			"known_servers": strconv.Itoa(len(s.aliveServers())), "known_datacenters": strconv.Itoa(max(1, len(s.knownDatacenters()))),
		},
		"serf_lan": s.lan.Stats(),
		"runtime":  {"goroutines": strconv.Itoa(runtime.NumGoroutine()), "version": runtime.Version(), "arch": runtime.GOARCH, "os": runtime.GOOS, "cpu_count": strconv.Itoa(runtime.NumCPU())},
	}
	if s.wan != nil {
		out["serf_wan"] = s.wan.Stats()
	}
	if s.node != nil {
		if r := s.node.raft.Load(); r != nil {
			out["raft"] = maps.Clone(r.Stats())
		}
	}
	if r := s.catalog.replica; r != nil {
		out["replica"] = map[string]string{
			"index": strconv.FormatUint(r.state().Index(), 10), "snapshots": strconv.FormatUint(r.snapshots.Load(), 10), "resumed": strconv.FormatUint(r.resumed.Load(), 10),
		}
	}
	return out
}

func (s *Store) knownDatacenters() []string {
	if s.node == nil {
		return nil
	}
	return s.Datacenters()
}
