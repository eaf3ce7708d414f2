package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"berth"
)

var operatorSpecs = []spec{
	{name: "operator raft list-peers", synopsis: "List the servers that take part in raft", make: func() action { return new(listPeers) }},
	{name: "operator raft remove-peer", synopsis: "Take a server out of raft", make: func() action { return new(removePeer) }},
	{name: "operator raft transfer-leader", synopsis: "Make another server the leader", make: func() action { return new(transferLeader) }},
	{name: "operator usage instances", synopsis: "Count services and instances", make: func() action { return new(usageCommand) }},
}

type raftConfiguration struct {
	Servers []berth.Server
	Index   uint64
}

type listPeers struct {
	client   clientFlags
	detailed bool
}

func (c *listPeers) flags(f *flagSet) {
	f.server(&c.client)
	f.BoolVar(&c.detailed, "detailed", false, "accepted; everything is shown")
}

func (c *listPeers) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var conf raftConfiguration
	if err := cl.get(e.ctx, "/v1/operator/raft/configuration", nil, &conf); err != nil {
		return e.errorf("Error getting peers: %v", err)
	}
	e.table(peerRows(conf.Servers))
	return 0
}

func peerRows(servers []berth.Server) [][]string {
	var lead uint64
	for _, s := range servers {
		if s.Leader {
			lead = s.LastIndex
		}
	}
	rows := [][]string{{"Node", "ID", "Address", "State", "Voter", "RaftProtocol", "Commit Index", "Trails Leader By"}}
	for _, s := range servers {
		state, trails := "follower", "-"
		switch {
		case s.Leader:
			state = "leader"
		case lead >= s.LastIndex && s.LastIndex > 0:
			n := lead - s.LastIndex
			trails = fmt.Sprintf("%d commits", n)
			if n == 1 {
				trails = "1 commit"
			}
		}
		rows = append(rows, []string{
			s.Node, s.ID, s.Address, state, fmt.Sprint(s.Voter), cmp.Or(s.ProtocolVersion, "3"), fmt.Sprint(s.LastIndex), trails,
		})
	}
	return rows
}

type removePeer struct {
	client      clientFlags
	address, id string
}

func (c *removePeer) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.address, "address", "", "address of the server, host:port")
	f.StringVar(&c.id, "id", "", "ID of the server")
}

func (c *removePeer) run(e *env, _ []string) int {
	if (c.address == "") == (c.id == "") {
		return e.errorf("Error removing peer: give either -address or -id")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if err := cl.call(e.ctx, "DELETE", "/v1/operator/raft/peer", query("address", c.address, "id", c.id), nil, nil); err != nil {
		return e.errorf("Error removing peer: %v", err)
	}
	if c.id != "" {
		e.printf("Removed peer with id %q", c.id)
	} else {
		e.printf("Removed peer with address %q", c.address)
	}
	return 0
}

type transferLeader struct {
	client clientFlags
	id     string
}

func (c *transferLeader) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.id, "id", "", "ID of the server to lead; empty lets raft choose")
}

func (c *transferLeader) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var out struct{ Success bool }
	if err := cl.call(e.ctx, "POST", "/v1/operator/raft/transfer-leader", query("id", c.id), nil, &out); err != nil {
		return e.errorf("Error transferring leadership: %v", err)
	}
	if !out.Success {
		return e.errorf("Error transferring leadership: the server refused")
	}
	e.printf("Success")
	return 0
}

type usageCommand struct {
	client            clientFlags
	all, bill, connct bool
}

func (c *usageCommand) flags(f *flagSet) {
	f.server(&c.client)
	f.BoolVar(&c.all, "all-datacenters", false, "count in all datacenters")
	f.BoolVar(&c.bill, "billable", false, "accepted; every instance is an ordinary one")
	f.BoolVar(&c.connct, "connect", false, "accepted; there is no service mesh")
}

func (c *usageCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := query()
	if c.all {
		q.Set("global", "")
	}
	var out struct{ Usage map[string]berth.Usage }
	if err := cl.get(e.ctx, "/v1/operator/usage", q, &out); err != nil {
		return e.errorf("Error fetching usage: %v", err)
	}
	rows := [][]string{{"Datacenter", "Nodes", "Services", "Service instances"}}
	var sum berth.Usage
	for _, dc := range slices.Sorted(maps.Keys(out.Usage)) {
		u := out.Usage[dc]
		sum.Nodes, sum.Services, sum.ServiceInstances = sum.Nodes+u.Nodes, sum.Services+u.Services, sum.ServiceInstances+u.ServiceInstances
		rows = append(rows, usageRow(dc, u))
	}
	e.table(append(rows, usageRow("Total", sum)))
	return 0
}

func usageRow(name string, u berth.Usage) []string {
	return []string{name, fmt.Sprint(u.Nodes), fmt.Sprint(u.Services), fmt.Sprint(u.ServiceInstances)}
}

// indented is v as JSON with four blanks, as the commands print it.
func indented(v any) string {
	text, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}
