package main

import "net/url"

var clusterSpecs = []spec{
	{name: "join", args: "ADDRESS...", synopsis: "Make this agent join a cluster", make: func() action { return new(joinCommand) }},
	{name: "leave", synopsis: "Make this agent leave the cluster and stop", make: func() action { return new(leaveCommand) }},
	{
		name: "force-leave", args: "NODE", synopsis: "Put a failed member into the left state",
		help: "With -prune the member is also taken off the list.",
		make: func() action { return new(forceLeaveCommand) },
	},
	{name: "reload", synopsis: "Make this agent read its configuration again", make: func() action { return new(reloadCommand) }},
	{name: "keygen", synopsis: "Make a gossip key", make: func() action { return new(keygenCommand) }},
}

type joinCommand struct {
	client clientFlags
	wan    bool
}

func (c *joinCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.BoolVar(&c.wan, "wan", false, "join a server of another datacenter")
}

func (c *joinCommand) run(e *env, args []string) int {
	if len(args) == 0 {
		return e.errorf("Error: name at least one address to join")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := url.Values{}
	if c.wan {
		q.Set("wan", "1")
	}
	joins := 0
	for _, addr := range args {
		if err := cl.put(e.ctx, "/v1/agent/join/"+segment(addr), q, nil, nil); err != nil {
			e.errorf("Error joining address '%s': %v", addr, err)
			continue
		}
		joins++
	}
	if joins == 0 {
		return e.errorf("Failed to join any nodes.")
	}
	e.printf("Successfully joined cluster by contacting %d nodes.", joins)
	return 0
}

type leaveCommand struct{ client clientFlags }

func (c *leaveCommand) flags(f *flagSet) { f.http(&c.client) }

func (c *leaveCommand) run(e *env, args []string) int {
	if len(args) > 0 {
		return e.errorf("Error: leave takes no argument; to make another node leave use force-leave")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if err := cl.put(e.ctx, "/v1/agent/leave", nil, nil, nil); err != nil {
		return e.errorf("Error leaving: %v", err)
	}
	e.printf("Graceful leave complete")
	return 0
}

type forceLeaveCommand struct {
	client     clientFlags
	prune, wan bool
}

func (c *forceLeaveCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.BoolVar(&c.prune, "prune", false, "take the member off the list")
	f.BoolVar(&c.wan, "wan", false, "look in the WAN pool")
}

func (c *forceLeaveCommand) run(e *env, args []string) int {
	if len(args) != 1 {
		return e.errorf("Error: force-leave needs the name of one node")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := url.Values{}
	if c.prune {
		q.Set("prune", "")
	}
	if c.wan {
		q.Set("wan", "1")
	}
	if err := cl.put(e.ctx, "/v1/agent/force-leave/"+segment(args[0]), q, nil, nil); err != nil {
		return e.errorf("Error force leaving: %v", err)
	}
	return 0
}

type reloadCommand struct{ client clientFlags }

func (c *reloadCommand) flags(f *flagSet) { f.http(&c.client) }

func (c *reloadCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if err := cl.put(e.ctx, "/v1/agent/reload", nil, nil, nil); err != nil {
		return e.errorf("Error reloading: %v", err)
	}
	e.printf("Configuration reload triggered")
	return 0
}
