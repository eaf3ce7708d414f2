package httpapi

import (
	"net/netip"

	"berth"
)

// resolveNear turns the names that only the agent that was asked can resolve into a node name:
// "_agent" is that agent's node, "_ip" the node that has the client's address.
func resolveNear(c *call, _ *berth.Route) error {
	name := c.form.Get("near")
	switch {
	case name == "":
		return nil
	case c.dc != "":
		name = "" // a node of that name there would be another one
	case name == "_agent":
		name = c.s.cfg.Self.NodeName
	case name == "_ip":
		name = c.nodeOf(source(c.r))
	}
	c.opts.Near = name
	if name != c.form.Get("near") {
		c.form = c.form.with("near", name)
		c.r.URL.RawQuery = c.form.Encode()
	}
	return nil
}

// headerAgent names the node of the agent that was asked, for prepared queries.
const headerAgent = "X-Berth-Agent"

// noteSource sends along who asks, since a prepared query may say itself that it sorts by that.
func noteSource(c *call, to *berth.Route) error {
	if c.local || c.r.Header.Get(headerAgent) == "" {
		c.r.Header.Set(headerAgent, c.s.cfg.Self.NodeName)
	}
	if c.dc != "" {
		c.r.Header.Set(headerAgent, "-") // which is no node's name there
	}
	if ip := source(c.r); ip.IsValid() {
		c.r.Header.Set("X-Forwarded-For", ip.String())
	}
	return resolveNear(c, to)
}

// querySource is what noteSource noted.
func (c *call) querySource() berth.QuerySource {
	return berth.QuerySource{Near: c.form.Get("near"), Agent: c.r.Header.Get(headerAgent), IP: source(c.r)}
}

// nodeOf is the name of the node with an address, as this agent's replica has it; "" if none.
func (c *call) nodeOf(addr netip.Addr) string {
	nodes, _, err := c.s.cfg.Store.Nodes(c.ctx, berth.QueryOptions{Consistency: berth.ConsistencyStale, Token: c.opts.Token})
	if err != nil || !addr.IsValid() {
		return ""
	}
	for _, n := range nodes {
		if a, err := netip.ParseAddr(n.Address); err == nil && a.Unmap() == addr {
			return n.Name
		}
	}
	return ""
}
