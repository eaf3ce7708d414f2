package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Timing of a pool; what is zero is memberlist's default for its kind of network.
type Timing struct {
	GossipNodes    int           // members told at a time
	GossipInterval time.Duration // between rounds of gossip
	ProbeInterval  time.Duration // between probes
	ProbeTimeout   time.Duration // of one probe
	SuspicionMult  int           // how long a suspect may defend itself
	RetransmitMult int           // how often a message is repeated
}

// ReconnectTag is the gossip tag in which a member tells, as whole seconds, how long the others
// shall remember it after it failed.
const ReconnectTag = "rc_tm"

// reapEvery is how often members are looked at that may be forgotten: their own times can be as
// short as a second.
const reapEvery = time.Second

func (t *Timing) apply(c *memberlist.Config) {
	set := func(to *int, n int) {
		if n > 0 {
			*to = n
		}
	}
	set(&c.GossipNodes, t.GossipNodes)
	set(&c.SuspicionMult, t.SuspicionMult)
	set(&c.RetransmitMult, t.RetransmitMult)
	setIf(&c.GossipInterval, t.GossipInterval)
	setIf(&c.ProbeInterval, t.ProbeInterval)
	setIf(&c.ProbeTimeout, t.ProbeTimeout)
}

// allow limits the pool to members in the allowed networks.
func (c *Config) allow(to *memberlist.Config) {
	for _, p := range c.Allowed {
		to.CIDRsAllowed = append(to.CIDRsAllowed, net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		})
	}
}

// checkAllowed refuses an agent that its own rules shut out.
func (c *Config) checkAllowed() error {
	own, err := netip.ParseAddr(c.AdvertiseAddr)
	if len(c.Allowed) == 0 || err != nil {
		return nil
	}
	for _, p := range c.Allowed {
		if p.Contains(own.Unmap()) {
			return nil
		}
	}
	key := "serf_lan_allowed_cidrs"
	if c.WAN {
		key = "serf_wan_allowed_cidrs"
	}
	return fmt.Errorf("this agent's own address %s is outside %s: add its network there", own, key)
}

// memberTimes lets each failed member be remembered for as long as its own tag says.
type memberTimes struct{}

// ReconnectTimeout is the member's own time, or the pool's.
func (memberTimes) ReconnectTimeout(m *serf.Member, pool time.Duration) time.Duration {
	if s, err := strconv.ParseUint(m.Tags[ReconnectTag], 10, 31); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	return pool
}
