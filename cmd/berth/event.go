package main

import (
	"strings"

	"berth"
)

var eventSpecs = []spec{{
	name: "event", args: "[PAYLOAD]", synopsis: "Fire a user event",
	help: "The filters are regular expressions; agents that they do not match take no notice.",
	make: func() action { return new(eventCommand) },
}}

type eventCommand struct {
	client                   clientFlags
	name, node, service, tag string
}

func (c *eventCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.client.datacenter, "datacenter", "", "datacenter to fire in; empty is the agent's own")
	f.StringVar(&c.name, "name", "", "name of the event")
	f.StringVar(&c.node, "node", "", "only on nodes whose name matches")
	f.StringVar(&c.service, "service", "", "only on nodes with a service that matches")
	f.StringVar(&c.tag, "tag", "", "only where that service has a tag that matches")
}

func (c *eventCommand) run(e *env, args []string) int {
	switch {
	case c.name == "":
		return e.errorf("Error: Must specify event name using -name")
	case c.tag != "" && c.service == "":
		return e.errorf("Error: Cannot provide tag filter without service filter")
	case len(args) > 1:
		return e.errorf("Error: only one payload can be given, in quotes if it has blanks")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var out berth.UserEvent
	q := query("node", c.node, "service", c.service, "tag", c.tag)
	if err := cl.put(e.ctx, "/v1/event/fire/"+segment(c.name), q, []byte(strings.Join(args, "")), &out); err != nil {
		return e.errorf("Error firing event: %v", err)
	}
	e.printf("Event ID: %s", out.ID)
	return 0
}
