package main

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"berth"
)

var catalogSpecs = []spec{
	{name: "catalog datacenters", synopsis: "List the known datacenters, nearest first", make: func() action { return new(datacentersCommand) }},
	{name: "catalog nodes", synopsis: "List the nodes of a datacenter", make: func() action { return new(nodesCommand) }},
	{name: "catalog services", synopsis: "List the services of a datacenter or node", make: func() action { return new(servicesCommand) }},
}

type datacentersCommand struct{ client clientFlags }

func (c *datacentersCommand) flags(f *flagSet) { f.http(&c.client) }

func (c *datacentersCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var dcs []string
	if err := cl.get(e.ctx, "/v1/catalog/datacenters", nil, &dcs); err != nil {
		return e.errorf("Error listing datacenters: %v", err)
	}
	for _, dc := range dcs {
		e.printf("%s", dc)
	}
	return 0
}

// pairs is a flag key=value that may be given several times.
type pairs map[string]string

func (p *pairs) String() string { return "" }

func (p *pairs) Set(text string) error {
	k, v, ok := strings.Cut(text, "=")
	if !ok {
		k, v, ok = strings.Cut(text, ":")
	}
	if !ok || k == "" {
		return errPair
	}
	if *p == nil {
		*p = pairs{}
	}
	(*p)[k] = v
	return nil
}

func (p pairs) add(q url.Values, name, sep string) {
	for _, k := range slices.Sorted(maps.Keys(p)) {
		q.Add(name, k+sep+p[k])
	}
}

type nodesCommand struct {
	client   clientFlags
	detailed bool
	near     string
	meta     pairs
	service  string
	filter   string
}

func (c *nodesCommand) flags(f *flagSet) {
	f.server(&c.client)
	f.BoolVar(&c.detailed, "detailed", false, "show the whole ID, tagged addresses and metadata")
	f.StringVar(&c.near, "near", "", "order by distance from this node; _agent is the agent's")
	f.Var(&c.meta, "node-meta", "only nodes with this metadata, key=value; repeatable")
	f.StringVar(&c.service, "service", "", "only nodes that have an instance of this service")
	f.StringVar(&c.filter, "filter", "", "only nodes for which this expression holds")
}

func (c *nodesCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := query("near", c.near, "filter", c.filter)
	c.meta.add(q, "node-meta", ":")
	nodes, err := c.nodes(e, cl, q)
	if err != nil {
		return e.errorf("Error listing nodes: %v", err)
	}
	if len(nodes) == 0 {
		return e.nothing("No nodes match the given query - try expanding your search.")
	}
	rows := [][]string{{"Node", "ID", "Address", "DC"}}
	if c.detailed {
		rows = [][]string{{"Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"}}
	}
	for _, n := range nodes {
		row := []string{n.Name, shortID(n.ID), n.Address, n.Datacenter}
		if c.detailed {
			row = []string{n.Name, n.ID, n.Address, n.Datacenter, joinMap(n.TaggedAddresses), joinMap(n.Meta)}
		}
		rows = append(rows, row)
	}
	e.table(rows)
	return 0
}

// nodes asks for all nodes, or for those of a service, each once.
func (c *nodesCommand) nodes(e *env, cl *client, q url.Values) ([]berth.Node, error) {
	var nodes []berth.Node
	if c.service == "" {
		return nodes, cl.get(e.ctx, "/v1/catalog/nodes", q, &nodes)
	}
	var entries []struct {
		berth.Node
		NodeMeta map[string]string
	}
	if err := cl.get(e.ctx, "/v1/catalog/service/"+segment(c.service), q, &entries); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, x := range entries {
		if !seen[x.Name] {
			seen[x.Name] = true
			x.Node.Meta = x.NodeMeta
			nodes = append(nodes, x.Node)
		}
	}
	return nodes, nil
}

func shortID(id string) string { return id[:min(8, len(id))] }

func joinMap(m map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, ",")
}

type servicesCommand struct {
	client clientFlags
	node   string
	meta   pairs
	tags   bool
}

func (c *servicesCommand) flags(f *flagSet) {
	f.server(&c.client)
	f.StringVar(&c.node, "node", "", "only services of this node, by name or ID")
	f.Var(&c.meta, "node-meta", "only services on nodes with this metadata, key=value; repeatable")
	f.BoolVar(&c.tags, "tags", false, "show the tags")
}

func (c *servicesCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	services, err := c.services(e, cl)
	if err != nil {
		return e.errorf("Error listing services: %v", err)
	}
	if len(services) == 0 {
		return e.nothing("No services match the given query - try expanding your search.")
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(services)) {
		row := []string{name}
		if c.tags {
			tags := slices.Clone(services[name])
			slices.Sort(tags)
			row = append(row, strings.Join(slices.Compact(tags), ","))
		}
		rows = append(rows, row)
	}
	e.table(rows)
	return 0
}

// services maps names to tags, of the datacenter or of one node.
func (c *servicesCommand) services(e *env, cl *client) (map[string][]string, error) {
	q := query()
	c.meta.add(q, "node-meta", ":")
	all := map[string][]string{}
	if c.node == "" {
		return all, cl.get(e.ctx, "/v1/catalog/services", q, &all)
	}
	var node *struct {
		Services map[string]berth.ServiceInstance
	}
	if err := cl.get(e.ctx, "/v1/catalog/node/"+segment(c.node), q, &node); err != nil {
		return nil, err
	}
	if node != nil {
		for _, s := range node.Services {
			all[s.Name] = append(all[s.Name], s.Tags...)
		}
	}
	return all, nil
}
