package store

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strconv"
	"time"

	"berth"
)

// Outputs of the serfHealth check; tools match on them.
const (
	outputAlive  = "Agent alive and reachable"
	outputFailed = "Agent not live or unreachable"
)

// reconcileAll makes the catalog and raft match all members, and takes nodes out that gossip
// has forgotten. It returns whether something failed and should be tried again soon.
func (s *Store) reconcileAll(ctx context.Context) (retry bool) {
	members := s.lan.Members()
	known := make(map[string]bool, len(members))
	for _, m := range members {
		known[m.Name] = true
		if err := s.reconcileMember(ctx, m); err != nil {
			if ctx.Err() != nil {
				return false
			}
			s.log.Warn("reconcile member, will try again", "member", m.Name, "err", err)
			retry = true
		}
	}
	if len(members) == 0 {
		return true // gossip has not started yet
	}
	for _, node := range s.gossipNodes() {
		if known[node] {
			continue
		}
		if err := s.nodeUnknown(ctx, node); err != nil && ctx.Err() == nil {
			s.log.Warn("reconcile a node that gossip does not know, will try again", "node", node, "err", err)
			retry = true
		}
	}
	return retry
}

// forgetAfter is how long a server has to run before it takes out nodes that gossip does not
// know.
const forgetAfter = 10 * time.Minute

// nodeUnknown deals with a node that was registered because gossip knew it, and that gossip
// does not know now. This server may have been restarted and not have met the node again; so
// for some time nothing is done, then the node counts as failed, and in the end it is taken
// out.
func (s *Store) nodeUnknown(ctx context.Context, node string) error {
	switch up := time.Since(s.born); {
	case up < staleGrace:
		return nil
	case up < min(forgetAfter, s.cfg.ReconnectAfter):
		return s.nodeFailed(ctx, berth.Member{Name: node})
	}
	s.log.Info("deregistering a node that gossip has forgotten", "node", node)
	return s.Deregister(ctx, &berth.Deregistration{Node: node})
}

// reconcileMember makes the catalog and raft match one member.
func (s *Store) reconcileMember(ctx context.Context, m berth.Member) error {
	srv, isServer := parseServer(m)
	if m.Status == berth.MemberFailed || m.Status == berth.MemberLeft {
		s.departing.gone(srv.id)
	}
	var err error
	switch m.Status {
	case berth.MemberAlive:
		if isServer {
			err = s.joinRaft(srv)
		}
		return errors.Join(err, s.nodeAlive(ctx, m))
	case berth.MemberFailed:
		return s.nodeFailed(ctx, m)
	case berth.MemberLeft:
		if m.Name == s.cfg.NodeName {
			return nil // a server that leaves is deregistered by the next leader
		}
		if isServer {
			err = s.leftRaft(srv)
		}
		return errors.Join(err, s.nodeLeft(ctx, m))
	}
	return nil
}

// nodeAlive registers the member's node, its serfHealth check, and service consul for servers,
// unless the catalog has them already.
func (s *Store) nodeAlive(ctx context.Context, m berth.Member) error {
	have := s.nodeStateHere(m.Name)
	r := &berth.Registration{
		ID: m.Tags["id"], Node: m.Name, Address: m.Addr, Datacenter: s.cfg.Datacenter,
		TaggedAddresses: s.taggedAddresses(m), NodeMeta: nodeMeta(m),
		Check: healthCheck(m.Name, berth.StatusPassing, outputAlive),
	}
	if m.Name == s.cfg.NodeName {
		maps.Copy(r.TaggedAddresses, s.cfg.TaggedAddresses)
		maps.Copy(r.NodeMeta, s.cfg.NodeMeta)
	}
	if srv, ok := parseServer(m); ok {
		r.Service = consulService(srv, m)
	}
	if have != nil && have.Node != nil {
		n := have.Node
		if n.Address == r.Address && n.ID == r.ID && hasCheck(have, r.Check) && hasService(have, r.Service) {
			return nil
		}
		keepAgentFields(r, n)
		if n.ID != "" && r.ID != "" && n.ID != r.ID {
			return s.nodeReplaced(ctx, n, r)
		}
	}
	return s.Register(ctx, r)
}

// nodeReplaced gives a node name to the agent that gossip knows by it now: the former one, of
// another ID, is gone, and the catalog keeps a name for its holder only while that lives.
func (s *Store) nodeReplaced(ctx context.Context, old *berth.Node, r *berth.Registration) error {
	s.log.Info("a node came back with another node ID, its name is the new one's now", "node", r.Node, "old_id", old.ID, "new_id", r.ID)
	dead := &berth.Registration{Node: old.Name, Address: old.Address, ID: old.ID, SkipNodeUpdate: true, Check: healthCheck(old.Name, berth.StatusCritical, outputFailed)}
	errs, err := s.Write(ctx, []berth.CatalogOp{{Register: dead}, {Register: r}})
	return errors.Join(append(errs, err)...)
}

// keepAgentFields leaves what the node's own agent has put into its row: only addresses that
// follow the member's address are renewed.
func keepAgentFields(r *berth.Registration, n *berth.Node) {
	for k, v := range n.TaggedAddresses {
		if _, ok := r.TaggedAddresses[k]; !ok || n.Address == r.Address {
			r.TaggedAddresses[k] = v
		}
	}
	for k, v := range n.Meta {
		if k != berth.MetaNodeVersion {
			r.NodeMeta[k] = v
		}
	}
}

func (s *Store) taggedAddresses(m berth.Member) map[string]string {
	wan := m.Addr
	if m.Name == s.cfg.NodeName {
		wan = s.cfg.Net.AdvertiseAddrWAN
	}
	family := func(a string) string {
		if ip, err := netip.ParseAddr(a); err == nil && ip.Unmap().Is6() {
			return "_ipv6"
		}
		return "_ipv4"
	}
	return map[string]string{"lan": m.Addr, "lan" + family(m.Addr): m.Addr, "wan": wan, "wan" + family(wan): wan}
}

func nodeMeta(m berth.Member) map[string]string {
	version, _, _ := cut(m.Tags["build"])
	return map[string]string{"consul-network-segment": "", berth.MetaNodeVersion: version}
}

func healthCheck(node, status, output string) *berth.Check {
	return &berth.Check{Node: node, CheckID: berth.NodeHealthCheckID, Name: berth.NodeHealthCheckName, Status: status, Output: output}
}

func consulService(srv server, m berth.Member) *berth.ServiceInstance {
	_, port, _ := netSplit(srv.addr)
	return &berth.ServiceInstance{
		Node: m.Name, ID: berth.ConsulServiceID, Name: berth.ConsulServiceName, Port: port, Tags: []string{},
		Meta: map[string]string{
			"version": srv.build, "raft_version": m.Tags["raft_vsn"], "non_voter": strconv.FormatBool(srv.nonVoter), "read_replica": strconv.FormatBool(srv.nonVoter),
			"serf_protocol_current": strconv.Itoa(int(m.ProtocolCur)), "serf_protocol_min": strconv.Itoa(int(m.ProtocolMin)), "serf_protocol_max": strconv.Itoa(int(m.ProtocolMax)),
		},
		Weights: &berth.Weights{Passing: 1, Warning: 1},
	}
}

func hasCheck(have *berth.NodeServices, c *berth.Check) bool {
	for _, x := range have.Checks {
		if x.CheckID == c.CheckID {
			return x.Status == c.Status && x.Output == c.Output
		}
	}
	return false
}

func hasService(have *berth.NodeServices, i *berth.ServiceInstance) bool {
	if i == nil {
		return true
	}
	for _, x := range have.Services {
		if x.ID == i.ID {
			return x.Port == i.Port && maps.Equal(x.Meta, i.Meta)
		}
	}
	return false
}

// nodeFailed marks the node's serfHealth check critical; its instances stay registered, and
// health queries leave them out.
func (s *Store) nodeFailed(ctx context.Context, m berth.Member) error {
	check := healthCheck(m.Name, berth.StatusCritical, outputFailed)
	have := s.nodeStateHere(m.Name)
	if have == nil || have.Node == nil || hasCheck(have, check) {
		return nil
	}
	s.log.Info("member failed, its instances leave health answers", "member", m.Name)
	return s.Register(ctx, &berth.Registration{Node: m.Name, Address: have.Node.Address, ID: have.Node.ID, SkipNodeUpdate: true, Check: check})
}

// nodeLeft takes the node out with everything on it.
func (s *Store) nodeLeft(ctx context.Context, m berth.Member) error {
	have := s.nodeStateHere(m.Name)
	if have == nil || have.Node == nil {
		return nil
	}
	if id := m.Tags["id"]; id != "" && have.Node.ID != "" && have.Node.ID != id {
		return nil // the name belongs to another agent by now
	}
	s.log.Info("member left, deregistering its node", "member", m.Name)
	return s.Deregister(ctx, &berth.Deregistration{Node: m.Name})
}
