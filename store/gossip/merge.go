package gossip

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// merge refuses members that do not belong here. memberlist calls it for every peer of a join and
// for every member that announces itself, from network goroutines; it looks only at copies. It
// stands where serf would put its own, since serf does not say which peers are dead.
type merge struct {
	p *Pool

	mu     sync.Mutex // guards warned
	warned map[string]time.Time
}

// NotifyMerge returns why the peers cannot be in one pool with this agent, or nil.
func (m *merge) NotifyMerge(peers []*memberlist.Node) error {
	for _, n := range peers {
		if err := m.check(n); err != nil {
			m.warn(n, err)
			return err
		}
	}
	return nil
}

// NotifyAlive returns why a member that announces itself cannot be in this pool, or nil.
func (m *merge) NotifyAlive(peer *memberlist.Node) error {
	return m.NotifyMerge([]*memberlist.Node{peer})
}

func (m *merge) check(n *memberlist.Node) error {
	cfg := m.p.cfg
	if len(n.Addr) != net.IPv4len && len(n.Addr) != net.IPv6len {
		return fmt.Errorf("member %q has an address of %d bytes", n.Name, len(n.Addr))
	}
	tags, err := decodeTags(n.Meta)
	if err != nil {
		return fmt.Errorf("member %q at %s has tags that cannot be read: %w", n.Name, n.Addr, err)
	}
	gone := n.State == memberlist.StateDead || n.State == memberlist.StateLeft
	if n.Name == cfg.Name {
		// An agent that lost its data has a new ID; its peers know the former one for a while.
		former := gone || m.p.own(n.Address())
		if id := tags["id"]; id != "" && id != cfg.NodeID && !former {
			return fmt.Errorf("member %q at %s has this agent's name but another node ID: set a different node_name on one of them", n.Name, n.Addr)
		}
		return nil
	}
	if dc := tags["dc"]; !cfg.WAN && dc != cfg.Datacenter {
		return fmt.Errorf("member %q at %s part of wrong datacenter %q, this one is %q: join it over WAN (retry_join_wan) or set its datacenter", n.Name, n.Addr, dc, cfg.Datacenter)
	}
	if cfg.WAN && tags["role"] != "consul" {
		return fmt.Errorf("member %q at %s is not a server: only servers join the WAN pool", n.Name, n.Addr)
	}
	if n.State == memberlist.StateLeft {
		return nil
	}
	return m.checkID(n, tags["id"])
}

// checkID refuses a node ID that another living member has.
func (m *merge) checkID(n *memberlist.Node, id string) error {
	if id == "" {
		return nil
	}
	if id == m.p.cfg.NodeID {
		return fmt.Errorf("member %q at %s has conflicting node ID %q with this agent: it was cloned with its data directory; delete node-id in one of the data directories", n.Name, n.Addr, id)
	}
	s := m.p.serf.Load()
	if s == nil {
		return nil
	}
	for _, other := range s.Members() {
		if other.Tags["id"] == id && other.Name != n.Name && other.Status == serf.StatusAlive {
			return fmt.Errorf("member %q at %s has conflicting node ID %q with member %q: delete node-id in one of their data directories", n.Name, n.Addr, id, other.Name)
		}
	}
	return nil
}

// tagMagic begins tags in serf's encoding.
const tagMagic = 255

// decodeTags reads a member's tags as serf encodes them.
func decodeTags(meta []byte) (map[string]string, error) {
	if len(meta) == 0 || meta[0] != tagMagic {
		return map[string]string{"role": string(meta)}, nil
	}
	tags := map[string]string{}
	err := codec.NewDecoderBytes(meta[1:], &codec.MsgpackHandle{}).Decode(&tags)
	return tags, err
}

// warn logs a refusal once a minute per peer.
func (m *merge) warn(n *memberlist.Node, err error) {
	m.mu.Lock()
	key := n.Name + "/" + n.Addr.String()
	if m.warned == nil || len(m.warned) > 1000 {
		m.warned = map[string]time.Time{}
	}
	recent := time.Since(m.warned[key]) < time.Minute
	if !recent {
		m.warned[key] = time.Now()
	}
	m.mu.Unlock()
	if !recent {
		m.p.log.Warn("gossip peer refused", "peer", n.Name, "addr", n.Addr.String(), "err", err)
	}
}
