package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"berth"
)

var maintSpecs = []spec{{
	name: "maint", synopsis: "Take this node or one of its services out of use, and back",
	help: "Without an option, shows what is in maintenance.",
	make: func() action { return new(maintCommand) },
}}

type maintCommand struct {
	client          clientFlags
	enable, disable bool
	reason, service string
}

func (c *maintCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.BoolVar(&c.enable, "enable", false, "take it out of use")
	f.BoolVar(&c.disable, "disable", false, "take it back into use")
	f.StringVar(&c.reason, "reason", "", "why, for people")
	f.StringVar(&c.service, "service", "", "ID of the service; empty is the whole node")
}

func (c *maintCommand) run(e *env, args []string) int {
	switch {
	case len(args) > 0:
		return e.errorf("Error: unexpected argument %q", args[0])
	case c.enable && c.disable:
		return e.errorf("Only one of -enable or -disable may be provided")
	case !c.enable && !c.disable && (c.service != "" || c.reason != ""):
		return e.errorf("-service and -reason need -enable or -disable")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if !c.enable && !c.disable {
		return c.list(e, cl)
	}
	path, what := "/v1/agent/maintenance", "Node maintenance is now "
	if c.service != "" {
		path, what = "/v1/agent/service/maintenance/"+segment(c.service), "Service maintenance is now "
	}
	q := query("enable", strconv.FormatBool(c.enable), "reason", c.reason)
	if err := cl.put(e.ctx, path, q, nil, nil); err != nil {
		return e.errorf("Error changing maintenance: %v", err)
	}
	state, suffix := "disabled", ""
	if c.enable {
		state = "enabled"
	}
	if c.service != "" {
		suffix = " for " + strconv.Quote(c.service)
	}
	e.printf("%s%s%s", what, state, suffix)
	return 0
}

func (c *maintCommand) list(e *env, cl *client) int {
	var self struct{ Config struct{ NodeName string } }
	if err := cl.get(e.ctx, "/v1/agent/self", nil, &self); err != nil {
		return e.errorf("Error querying agent: %v", err)
	}
	var checks map[string]berth.Check
	if err := cl.get(e.ctx, "/v1/agent/checks", nil, &checks); err != nil {
		return e.errorf("Error querying checks: %v", err)
	}
	for _, id := range slices.Sorted(maps.Keys(checks)) {
		ch := checks[id]
		switch {
		case id == berth.NodeMaintenanceCheckID:
			e.printf("Node:\n  Name:   %s\n  Reason: %s\n", self.Config.NodeName, ch.Notes)
		case strings.HasPrefix(id, berth.ServiceMaintenancePrefix):
			e.printf("Service:\n  ID:     %s\n  Reason: %s\n", ch.ServiceID, ch.Notes)
		}
	}
	return 0
}
