package main

import (
	"math"
	"strings"
	"time"

	"berth"
)

var rttSpecs = []spec{{
	name: "rtt", args: "NODE1 [NODE2]", synopsis: "Estimate the round-trip time between two nodes",
	help: "Without NODE2 the distance from this agent's node is shown. With -wan the nodes are servers,\nwritten as name.datacenter.",
	make: func() action { return new(rttCommand) },
}}

type rttCommand struct {
	client clientFlags
	wan    bool
}

func (c *rttCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.BoolVar(&c.wan, "wan", false, "between servers of datacenters")
}

func (c *rttCommand) run(e *env, args []string) int {
	if len(args) < 1 || len(args) > 2 {
		return e.errorf("Error: rtt needs one or two node names")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if len(args) == 1 {
		var self struct {
			Config struct{ NodeName, Datacenter string }
		}
		if err := cl.get(e.ctx, "/v1/agent/self", nil, &self); err != nil {
			return e.errorf("Error: unable to look up this agent's node: %v", err)
		}
		own := self.Config.NodeName
		if c.wan {
			own += "." + self.Config.Datacenter
		}
		args = append(args, own)
	}
	known, err := c.coordinates(e, cl)
	if err != nil {
		return e.errorf("Error getting coordinates: %v", err)
	}
	pool := "LAN"
	if c.wan {
		pool = "WAN"
	}
	for _, name := range args {
		if known[name] == nil {
			return e.errorf("Error: could not find a coordinate for node %q", name)
		}
	}
	d := distance(known[args[0]], known[args[1]])
	e.printf("Estimated %s <-> %s rtt: %.3f ms (using %s coordinates)", args[0], args[1], float64(d)/float64(time.Millisecond), pool)
	return 0
}

// coordinates of all nodes by name; in the WAN by name.datacenter.
func (c *rttCommand) coordinates(e *env, cl *client) (map[string]*berth.Coordinate, error) {
	known := map[string]*berth.Coordinate{}
	if !c.wan {
		var nodes []berth.NodeCoordinate
		if err := cl.get(e.ctx, "/v1/coordinate/nodes", nil, &nodes); err != nil {
			return nil, err
		}
		for _, n := range nodes {
			known[n.Node] = n.Coord
		}
		return known, nil
	}
	var dcs []berth.DatacenterCoordinates
	if err := cl.get(e.ctx, "/v1/coordinate/datacenters", nil, &dcs); err != nil {
		return nil, err
	}
	for _, dc := range dcs {
		for _, n := range dc.Coordinates {
			known[strings.TrimSuffix(n.Node, "."+dc.Datacenter)+"."+dc.Datacenter] = n.Coord
		}
	}
	return known, nil
}

// distance is the Vivaldi estimate: distance in space plus both heights, corrected by both
// adjustments as long as that stays positive.
func distance(a, b *berth.Coordinate) time.Duration {
	sum := 0.0
	for i := range min(len(a.Vec), len(b.Vec)) {
		sum += (a.Vec[i] - b.Vec[i]) * (a.Vec[i] - b.Vec[i])
	}
	d := math.Sqrt(sum) + a.Height + b.Height
	if adjusted := d + a.Adjustment + b.Adjustment; adjusted > 0 {
		d = adjusted
	}
	return time.Duration(d * float64(time.Second))
}
