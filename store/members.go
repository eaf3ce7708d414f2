package store

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth"
	"berth/store/gossip"
)

// Gossip tags; the names are those that Consul's users know from `consul members`.
const (
	roleServer = "consul"
	roleClient = "node"
)

// gossipTags are what this agent tells all members about itself.
func (s *Store) gossipTags() map[string]string {
	t := map[string]string{
		"role": roleClient, "dc": s.cfg.Datacenter, "id": s.id, "segment": "", "build": s.cfg.Version + ":",
		"vsn": "2", "vsn_min": "2", "vsn_max": "3", "berth": "1",
	}
	if r := s.cfg.Gossip.ReconnectIn; r > 0 {
		t[gossip.ReconnectTag] = strconv.FormatInt(int64(r/time.Second), 10)
	}
	if !s.cfg.Server {
		return t
	}
	maps.Copy(t, map[string]string{"role": roleServer, "port": strconv.Itoa(s.port), "raft_vsn": "3", "acls": "0", "ft_fs": "1", "ft_si": "1"})
	if s.wan != nil {
		t["wan_join_port"] = strconv.Itoa(s.wan.Port())
	}
	switch {
	case s.cfg.BootstrapExpect == 1:
		t["bootstrap"] = "1"
	case s.cfg.BootstrapExpect > 1:
		t["expect"] = strconv.Itoa(s.cfg.BootstrapExpect)
	}
	if s.cfg.NonVoter {
		t["nonvoter"] = "1"
	}
	if s.cfg.TLS != nil || s.cfg.EncryptKey != "" {
		t["use_tls"] = "1"
	}
	return t
}

// server is a member that runs raft, as its gossip tags say.
type server struct {
	name       string // node name, without datacenter
	id         string
	datacenter string
	addr       string // ip:port of its server port
	build      string
	expect     int
	bootstrap  bool
	nonVoter   bool
	status     berth.MemberStatus
	wanPort    string
}

// parseServer reads a member's tags; false for clients and for what makes no sense.
func parseServer(m berth.Member) (server, bool) {
	port, err := strconv.Atoi(m.Tags["port"])
	if m.Tags["role"] != roleServer || err != nil || port < 1 || port > 65535 || m.Tags["id"] == "" {
		return server{}, false
	}
	expect, _ := strconv.Atoi(m.Tags["expect"]) // absent: 0
	build, _, _ := strings.Cut(m.Tags["build"], ":")
	return server{
		name: strings.TrimSuffix(m.Name, "."+m.Tags["dc"]), id: m.Tags["id"], datacenter: m.Tags["dc"],
		addr: net.JoinHostPort(m.Addr, m.Tags["port"]), build: build, expect: expect, bootstrap: m.Tags["bootstrap"] == "1",
		nonVoter: m.Tags["nonvoter"] == "1", status: m.Status, wanPort: m.Tags["wan_join_port"],
	}, true
}

// servers lists the servers of this datacenter that gossip knows, of any status.
func (s *Store) servers() []server {
	var out []server
	for _, m := range s.lan.Members() {
		if srv, ok := parseServer(m); ok {
			out = append(out, srv)
		}
	}
	return out
}

// addressOf is the server port of the living server with an ID; "" when gossip has none.
func (s *Store) addressOf(id string) string {
	if id == s.id {
		return s.addr
	}
	for _, srv := range s.servers() {
		if srv.id == id && srv.status == berth.MemberAlive {
			return srv.addr
		}
	}
	return ""
}

// aliveServers lists the addresses of the servers that gossip says are up.
func (s *Store) aliveServers() []string {
	var out []string
	for _, srv := range s.servers() {
		if srv.status == berth.MemberAlive {
			out = append(out, srv.addr)
		}
	}
	return out
}

// onLAN runs on the gossip goroutine: copy and signal only.
func (s *Store) onLAN(members []berth.Member) {
	for _, m := range members {
		if srv, ok := parseServer(m); ok && (m.Status == berth.MemberFailed || m.Status == berth.MemberLeft) {
			s.gone.put(srv.addr)
		}
	}
	s.memberEvents.put(members...)
	s.membersChanged.fire()
}

// onWAN runs on the gossip goroutine.
func (s *Store) onWAN(members []berth.Member) {
	for _, m := range members {
		if srv, ok := parseServer(m); ok && (m.Status == berth.MemberFailed || m.Status == berth.MemberLeft) {
			s.gone.put(srv.addr)
		}
	}
	s.wanChanged.fire()
}

// dropGone leaves servers that gossip says are gone, off the gossip goroutine.
func (s *Store) dropGone(ctx context.Context) error {
	for {
		addrs, err := s.gone.take(ctx)
		if err != nil {
			return nil //nolint:nilerr // the context ended
		}
		for _, a := range addrs {
			s.trans.Forget(a)
		}
	}
}

// Members lists the members of the LAN pool, or of the WAN pool (nil on clients).
func (s *Store) Members(wan bool) []berth.Member {
	if !wan {
		return s.lan.Members()
	}
	if s.wan == nil {
		return nil
	}
	return s.wan.Members()
}

// LocalMember is this agent in the LAN pool.
func (s *Store) LocalMember() berth.Member { return s.lan.Local() }

// Leave takes this agent out of the cluster for good: a server first hands over leadership and
// waits to be taken out of raft. It blocks until the news has spread; Run goes on.
func (s *Store) Leave(ctx context.Context) error {
	s.log.Info("leaving the cluster")
	s.leaving.Store(true)
	removed := s.node == nil || s.leaveRaft(ctx)
	var wan sync.WaitGroup
	defer wan.Wait()
	if s.wan != nil {
		wan.Go(func() {
			if err := s.wan.Leave(); err != nil {
				s.log.Warn("leave WAN pool", "err", err)
			}
		})
	}
	if err := s.lan.Leave(); err != nil {
		return fmt.Errorf("leave LAN pool: %w", err)
	}
	if !removed {
		s.awaitRemoval(ctx) // the leader does it, too, when it hears of the leave
	}
	return nil
}

// ForceLeave turns failed members that match node (a name, or a pattern with * and ?) into
// left ones; prune forgets them altogether.
func (s *Store) ForceLeave(node string, prune, wan bool) error {
	pool := s.lan
	if wan {
		if pool = s.wan; pool == nil {
			return berth.Invalid("this agent is not a server: it has no WAN pool")
		}
	}
	var names []string
	for _, m := range pool.Members() {
		if m.Name != s.cfg.NodeName && (m.Name == node || (strings.ContainsAny(node, "*?") && matches(node, m.Name) && m.Status == berth.MemberFailed)) {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 && node == s.cfg.NodeName {
		return nil // who answers has not failed
	}
	if len(names) == 0 {
		return berth.Rejected(fmt.Sprintf("agent: No node found with name '%s'", node))
	}
	for _, n := range names {
		if err := pool.ForceLeave(n, prune); err != nil {
			return fmt.Errorf("force-leave %q: %w", n, err)
		}
	}
	if !wan && s.wan != nil && !strings.ContainsAny(node, "*?") {
		wanName := node + "." + s.cfg.Datacenter
		if slices.ContainsFunc(s.wan.Members(), func(m berth.Member) bool { return m.Name == wanName && m.Status == berth.MemberFailed }) {
			return s.wan.ForceLeave(wanName, prune)
		}
	}
	return nil
}
