package agent

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"berth"
)

// compare marks exactly what differs between remote, the catalog's view of this node, and
// the local state. a.mu is held.
func (a *Agent) compare(remote *berth.NodeServices) {
	d := newDirtySet()
	if remote == nil {
		remote = &berth.NodeServices{}
	}
	a.completeNode(remote.Node)
	d.node = !a.sameNode(remote.Node)
	kept := a.compareServices(d, remote.Services)
	a.compareChecks(d, remote.Checks, kept)
	a.dirty = d
}

// compareServices returns the IDs of remote services that are unknown here and stay.
func (a *Agent) compareServices(d *dirtySet, remote []*berth.ServiceInstance) (kept idSet) {
	kept = idSet{}
	have := make(map[string]*berth.ServiceInstance, len(remote))
	for _, r := range remote {
		have[r.ID] = r
		svc := a.services[r.ID]
		switch {
		case svc != nil && !svc.hidden:
		case svc == nil && (r.Name == berth.ConsulServiceName || a.awaited(r)):
			kept.add(r.ID)
		default:
			d.removeService(r.ID, r.Meta[berth.MetaOwner])
		}
	}
	for id, svc := range a.services {
		if svc.hidden {
			continue
		}
		r := have[id]
		if r != nil && svc.row.EnableTagOverride {
			a.heedTags(id, svc, r)
		}
		if r == nil || !sameService(svc.row, r) {
			d.putService(id)
		}
	}
	return kept
}

// awaited says whether the service is of a source that has not spoken yet since the start.
func (a *Agent) awaited(r *berth.ServiceInstance) bool {
	name := r.Meta[berth.MetaSource]
	if name == "" || !(slices.Contains(a.cfg.Sources, name) || time.Now().Before(a.noRemove)) {
		return false
	}
	for _, s := range a.sources {
		if s.name == name {
			return !s.spoken
		}
	}
	return true
}

// heedTags adopts the catalog's tags, unless they are of a time when this host did not let others
// change them. Who changes them need not repeat EnableTagOverride.
func (a *Agent) heedTags(id string, svc *local, r *berth.ServiceInstance) {
	svc.lent = svc.lent || r.EnableTagOverride
	if svc.lent && !slices.Equal(svc.row.Tags, r.Tags) {
		a.adoptTags(id, svc, r.Tags)
	}
}

// adoptTags takes over tags that somebody set in the catalog, as EnableTagOverride allows.
func (a *Agent) adoptTags(id string, svc *local, tags []string) {
	row := *svc.row
	row.Tags = tags
	svc.row = &row
	for cid := range a.byService[id] {
		c := a.checks[cid]
		crow := *c.row
		crow.ServiceTags = tags
		c.row = &crow
	}
	a.localChange()
}

func (a *Agent) compareChecks(d *dirtySet, remote []*berth.Check, kept idSet) {
	have := make(map[string]*berth.Check, len(remote))
	for _, r := range remote {
		have[r.CheckID] = r
		if c := a.checks[r.CheckID]; c != nil && a.published(c) {
			continue
		}
		_, keep := kept[r.ServiceID]
		_, going := d.goneServices[r.ServiceID]
		if r.CheckID != berth.NodeHealthCheckID && !(keep && r.ServiceID != "") && !going {
			d.removeCheck(r.CheckID)
		}
	}
	for id, c := range a.checks {
		if !a.published(c) {
			continue
		}
		r := have[id]
		switch {
		case r == nil || !sameCheck(c.row, r, true):
			d.putCheck(id)
		case c.row.Output != r.Output:
			a.deferOutputIn(c, d)
		}
	}
}

// deferOutputIn is deferOutput while d is being made.
func (a *Agent) deferOutputIn(c *probed, d *dirtySet) {
	if a.cfg.CheckUpdateInterval <= 0 {
		d.putCheck(c.id)
		return
	}
	a.deferOutput(c)
}

// completeNode works out this node's row. The leader, who sees the node join, adds its lan and
// wan addresses and metadata under consul-; those stay, but for an address that was left.
// a.mu is held.
func (a *Agent) completeNode(remote *berth.Node) {
	row := &berth.Node{
		ID: a.cfg.NodeID, Name: a.cfg.Node, Address: a.cfg.Address, Datacenter: a.cfg.Datacenter,
		TaggedAddresses: map[string]string{}, Meta: map[string]string{},
	}
	if remote != nil {
		for tag, addr := range remote.TaggedAddresses {
			if addr == remote.Address {
				addr = row.Address
			}
			if ofLeader(tag, addr) {
				row.TaggedAddresses[tag] = addr
			}
		}
		for k, v := range remote.Meta {
			if strings.HasPrefix(k, "consul-") {
				row.Meta[k] = v
			}
		}
	}
	maps.Copy(row.TaggedAddresses, a.cfg.TaggedAddresses)
	maps.Copy(row.Meta, a.cfg.NodeMeta)
	a.node = row
}

// ofLeader says whether the leader gives a node that address under that tag: lan, wan, or one
// of them with the address's family.
func ofLeader(tag, addr string) bool {
	kind, family, _ := strings.Cut(tag, "_")
	if kind != "lan" && kind != "wan" {
		return false
	}
	ip, err := netip.ParseAddr(addr)
	return family == "" || (err == nil && family == familyOf(ip))
}

func (a *Agent) sameNode(n *berth.Node) bool {
	return n != nil && n.Address == a.node.Address && (a.node.ID == "" || n.ID == a.node.ID) &&
		maps.Equal(n.TaggedAddresses, a.node.TaggedAddresses) && maps.Equal(n.Meta, a.node.Meta)
}

// sameService says whether two rows are equal in what a user can set.
func sameService(x, y *berth.ServiceInstance) bool {
	return x.ID == y.ID && x.Name == y.Name && x.Kind == y.Kind && x.Address == y.Address && x.Port == y.Port &&
		x.SocketPath == y.SocketPath && x.EnableTagOverride == y.EnableTagOverride &&
		slices.Equal(x.Tags, y.Tags) && maps.Equal(x.Meta, y.Meta) &&
		maps.Equal(x.TaggedAddresses, y.TaggedAddresses) && weightsOf(x) == weightsOf(y)
}

func weightsOf(s *berth.ServiceInstance) berth.Weights {
	if s.Weights == nil {
		return berth.Weights{Passing: 1, Warning: 1}
	}
	return *s.Weights
}

// sameCheck says whether two rows are equal, but for their output if that is ignored.
func sameCheck(x, y *berth.Check, ignoreOutput bool) bool {
	return x.CheckID == y.CheckID && x.Name == y.Name && x.Status == y.Status && x.Notes == y.Notes &&
		(ignoreOutput || x.Output == y.Output) &&
		x.ServiceID == y.ServiceID && x.ServiceName == y.ServiceName && slices.Equal(x.ServiceTags, y.ServiceTags) &&
		x.Type == y.Type && x.Interval == y.Interval && x.Timeout == y.Timeout && x.ExposedPort == y.ExposedPort && x.DeregisterAfter == y.DeregisterAfter &&
		sameTarget(&x.Definition, &y.Definition)
}

func sameTarget(x, y *berth.CheckTarget) bool {
	if len(x.Header)+len(y.Header)+len(x.ScriptArgs)+len(y.ScriptArgs) > 0 {
		return reflect.DeepEqual(x, y)
	}
	p, q := *x, *y // nil and empty are the same
	p.Header, q.Header, p.ScriptArgs, q.ScriptArgs = nil, nil, nil, nil
	return reflect.DeepEqual(&p, &q)
}
