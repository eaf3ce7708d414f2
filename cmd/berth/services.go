package main

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"berth"
	"berth/internal/config"
)

var serviceSpecs = []spec{
	{
		name: "services register", args: "[FILE...]", synopsis: "Register services with this agent",
		help: "The services are those of the files (YAML or JSON, as in the agent's configuration), or the\none that the options describe.",
		make: func() action { return new(registerCommand) },
	},
	{
		name: "services deregister", args: "[FILE...]", synopsis: "Deregister services from this agent",
		help: "The services are those of the files, or the one with the given ID.",
		make: func() action { return new(deregisterCommand) },
	},
}

// words is a flag that may be given several times.
type words []string

func (w *words) String() string { return "" }

func (w *words) Set(text string) error {
	*w = append(*w, text)
	return nil
}

type registerCommand struct {
	client clientFlags
	def    berth.ServiceDefinition
	tags   words
	meta   pairs
	tagged pairs
}

func (c *registerCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.def.ID, "id", "", "ID, unique on the node; empty is the name")
	f.StringVar(&c.def.Name, "name", "", "name of the service")
	f.StringVar(&c.def.Address, "address", "", "address of the instance; empty is the node's")
	f.IntVar(&c.def.Port, "port", 0, "port")
	f.StringVar(&c.def.SocketPath, "socket", "", "unix socket instead of address and port")
	f.StringVar(&c.def.Kind, "kind", "", "accepted when empty; there is no service mesh")
	f.Var(&c.tags, "tag", "tag; repeatable")
	f.Var(&c.meta, "meta", "metadata key=value; repeatable")
	f.Var(&c.tagged, "tagged-address", "further address tag=host:port; repeatable")
}

func (c *registerCommand) run(e *env, args []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	defs, err := c.definitions(args)
	if err != nil {
		e.printProblems(err)
		return 1
	}
	for _, d := range defs {
		if err := cl.put(e.ctx, "/v1/agent/service/register", nil, d, nil); err != nil {
			return e.errorf("Error registering service %q: %v", d.Name, err)
		}
		e.printf("Registered service: %s", d.Name)
	}
	return 0
}

// definitions are those of the files, or the one made of flags.
func (c *registerCommand) definitions(files []string) ([]berth.ServiceDefinition, error) {
	if len(files) > 0 {
		return config.ReadServices(files)
	}
	c.def.Tags, c.def.Meta = c.tags, c.meta
	if c.def.Name == "" {
		return nil, fmt.Errorf("services register needs a file, or -name")
	}
	for tag, text := range c.tagged {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			return nil, fmt.Errorf("-tagged-address %s=%s: write it as tag=host:port", tag, text)
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, fmt.Errorf("-tagged-address %s=%s: %q is not a port", tag, text, port)
		}
		if c.def.TaggedAddresses == nil {
			c.def.TaggedAddresses = map[string]berth.ServiceAddress{}
		}
		c.def.TaggedAddresses[tag] = berth.ServiceAddress{Address: host, Port: n}
	}
	return []berth.ServiceDefinition{c.def}, nil
}

type deregisterCommand struct {
	client clientFlags
	id     string
}

func (c *deregisterCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.id, "id", "", "ID of the service instance")
}

func (c *deregisterCommand) run(e *env, args []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	ids := []string{c.id}
	if len(args) > 0 {
		defs, err := config.ReadServices(args)
		if err != nil {
			e.printProblems(err)
			return 1
		}
		ids = nil
		for _, d := range defs {
			ids = append(ids, cmp.Or(d.ID, d.Name))
		}
	}
	for _, id := range ids {
		if strings.TrimSpace(id) == "" {
			return e.errorf("Error: services deregister needs a file, or -id")
		}
		if err := cl.put(e.ctx, "/v1/agent/service/deregister/"+url.PathEscape(id), nil, nil, nil); err != nil {
			return e.errorf("Error deregistering service %q: %v", id, err)
		}
		e.printf("Deregistered service: %s", id)
	}
	return 0
}
