package compat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/serf/coordinate"
)

// registerExternal puts a node with one service and one check into the catalog.
func registerExternal(t *testing.T, a *agent, node, address, service, status string, tags ...string) {
	t.Helper()
	_, err := a.Catalog().Register(&api.CatalogRegistration{
		Node: node, Address: address, NodeMeta: map[string]string{"rack": node[len(node)-1:]},
		Service: &api.AgentService{ID: service + "-" + node, Service: service, Port: 80, Tags: tags, Meta: map[string]string{"on": node}},
		Checks: api.HealthChecks{
			{Node: node, CheckID: "serf-" + node, Name: "node", Status: "passing"},
			{Node: node, CheckID: "c-" + node, Name: "service", Status: status, ServiceID: service + "-" + node},
		},
	}, nil)
	noError(t, err)
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	a := server(t)
	registerExternal(t, a, "ext1", "10.0.0.1", "redis", "passing", "primary")
	registerExternal(t, a, "ext2", "10.0.0.2", "redis", "critical", "replica")

	dcs, err := a.Catalog().Datacenters()
	noError(t, err)
	equal(t, dcs, []string{"dc1"})
	nodes := must(a.Catalog().Nodes(nil))(t)
	if len(nodes) != 3 || nodes[0].Node != "ext1" || nodes[0].Meta["rack"] != "1" {
		t.Fatalf("nodes: %+v", nodes)
	}
	nodes = must(a.Catalog().Nodes(&api.QueryOptions{NodeMeta: map[string]string{"rack": "2"}}))(t)
	if len(nodes) != 1 || nodes[0].Node != "ext2" {
		t.Fatalf("nodes by meta: %+v", nodes)
	}
	services := must(a.Catalog().Services(nil))(t)
	tags := services["redis"]
	slices.Sort(tags)
	equal(t, tags, []string{"primary", "replica"})
	if _, ok := services["consul"]; !ok {
		t.Fatalf("services: %v", services)
	}
	one := must(a.Catalog().Service("redis", "primary", nil))(t)
	if len(one) != 1 || one[0].Node != "ext1" || one[0].Address != "10.0.0.1" || one[0].ServicePort != 80 || one[0].ServiceMeta["on"] != "ext1" {
		t.Fatalf("service: %+v", one)
	}
	one = must(a.Catalog().Service("redis", "", &api.QueryOptions{Filter: `ServiceMeta.on == "ext2"`}))(t)
	if len(one) != 1 || one[0].Node != "ext2" {
		t.Fatalf("service by filter: %+v", one)
	}
	node := must(a.Catalog().Node("ext1", nil))(t)
	if node.Services["redis-ext1"] == nil {
		t.Fatalf("node: %+v", node)
	}
	list := must(a.Catalog().NodeServiceList("ext1", nil))(t)
	if len(list.Services) != 1 || list.Services[0].Service != "redis" {
		t.Fatalf("node services: %+v", list)
	}
	_, err = a.Catalog().Deregister(&api.CatalogDeregistration{Node: "ext1", ServiceID: "redis-ext1"}, nil)
	noError(t, err)
	_, err = a.Catalog().Deregister(&api.CatalogDeregistration{Node: "ext2"}, nil)
	noError(t, err)
	equal(t, len(must(a.Catalog().Service("redis", "", nil))(t)), 0)
	nodes = must(a.Catalog().Nodes(nil))(t)
	equal(t, len(nodes), 2)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	a := server(t)
	registerExternal(t, a, "ext1", "10.0.0.1", "redis", "passing", "primary", "v7")
	registerExternal(t, a, "ext2", "10.0.0.2", "redis", "warning", "replica", "v7")
	registerExternal(t, a, "ext3", "10.0.0.3", "redis", "critical", "replica", "v6")

	for _, c := range []struct {
		name    string
		passing bool
		tags    []string
		q       *api.QueryOptions
		want    []string
	}{
		{"all", false, nil, nil, []string{"ext1", "ext2", "ext3"}},
		{"passing", true, nil, nil, []string{"ext1"}},
		{"tag", false, []string{"replica"}, nil, []string{"ext2", "ext3"}},
		{"two tags", false, []string{"replica", "v7"}, nil, []string{"ext2"}},
		{"filter", false, nil, &api.QueryOptions{Filter: `Checks.Status == "critical" and Service.Tags contains "v6"`}, []string{"ext3"}},
		{"filter on the node", false, nil, &api.QueryOptions{Filter: `Node.Meta.rack != "1"`}, []string{"ext2", "ext3"}},
		{"node meta", false, nil, &api.QueryOptions{NodeMeta: map[string]string{"rack": "3"}}, []string{"ext3"}},
		{"stale", true, nil, &api.QueryOptions{AllowStale: true}, []string{"ext1"}},
		{"consistent", true, nil, &api.QueryOptions{RequireConsistent: true}, []string{"ext1"}},
	} {
		entries := must(a.Health().ServiceMultipleTags("redis", c.tags, c.passing, c.q))(t)
		var got []string
		for _, e := range entries {
			got = append(got, e.Node.Node)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if _, _, err := a.Health().Service("redis", "", false, &api.QueryOptions{Filter: "Nope == 1"}); !isStatus(err, 400) {
		t.Errorf("a filter on an unknown member: %v", err)
	}
	checks := must(a.Health().Checks("redis", nil))(t)
	equal(t, len(checks), 3)
	equal(t, checks.AggregatedStatus(), "critical")
	checks = must(a.Health().Node("ext2", nil))(t)
	equal(t, len(checks), 2)
	checks = must(a.Health().State("critical", nil))(t)
	if len(checks) != 1 || checks[0].Node != "ext3" {
		t.Fatalf("critical checks: %+v", checks)
	}
}

func TestHealth_Blocks(t *testing.T) {
	t.Parallel()
	a := server(t)
	registerExternal(t, a, "ext1", "10.0.0.1", "redis", "passing")
	_, meta, err := a.Health().Service("redis", "", true, nil)
	noError(t, err)
	type answer struct {
		n    int
		meta *api.QueryMeta
		err  error
	}
	got := make(chan answer, 1)
	wait := func(index uint64, limit time.Duration) {
		entries, m, err := a.Health().Service("redis", "", true, &api.QueryOptions{WaitIndex: index, WaitTime: limit})
		got <- answer{len(entries), m, err}
	}
	go wait(meta.LastIndex, 20*time.Second)
	registerExternal(t, a, "other", "10.0.0.9", "mysql", "passing")
	select {
	case g := <-got:
		t.Fatalf("woken by another service: %+v", g)
	case <-time.After(300 * time.Millisecond):
	}
	registerExternal(t, a, "ext2", "10.0.0.2", "redis", "passing")
	select {
	case g := <-got:
		noError(t, g.err)
		if g.n != 2 || g.meta.LastIndex <= meta.LastIndex || !g.meta.KnownLeader {
			t.Fatalf("got %+v", g)
		}
		began := time.Now()
		wait(g.meta.LastIndex, 300*time.Millisecond)
		same := <-got
		if same.meta.LastIndex != g.meta.LastIndex || time.Since(began) < 300*time.Millisecond {
			t.Fatalf("a wait without a change: index %d after %v", same.meta.LastIndex, time.Since(began))
		}
	case <-time.After(5 * time.Second):
		t.Fatal("not woken within 5 s")
	}
}

func TestCoordinates_Near(t *testing.T) {
	t.Parallel()
	a := server(t)
	// The agent sends its own position only after some seconds.
	_, err := a.Coordinate().Update(&api.CoordinateEntry{Node: "n1", Coord: coordinate.NewCoordinate(coordinate.DefaultConfig())}, nil)
	noError(t, err)
	for i, height := range []float64{0.3, 0.1, 0.2} {
		node := fmt.Sprintf("ext%d", i)
		registerExternal(t, a, node, fmt.Sprintf("10.0.0.%d", i), "redis", "passing")
		c := coordinate.NewCoordinate(coordinate.DefaultConfig())
		c.Vec[0] += height
		_, err := a.Coordinate().Update(&api.CoordinateEntry{Node: node, Coord: c}, nil)
		noError(t, err)
	}
	order := func(near string) (out []string) {
		for _, e := range must(a.Health().Service("redis", "", true, &api.QueryOptions{Near: near}))(t) {
			out = append(out, e.Node.Node)
		}
		return out
	}
	for near, want := range map[string][]string{"_agent": {"ext1", "ext2", "ext0"}, "n1": {"ext1", "ext2", "ext0"}, "ext0": {"ext0", "ext2", "ext1"}} {
		eventually(t, 10*time.Second, func() error { // positions are written in batches
			if got := order(near); !slices.Equal(got, want) {
				return fmt.Errorf("near %s: got %v, want %v", near, got, want)
			}
			return nil
		})
	}
	nodes := must(a.Catalog().Nodes(&api.QueryOptions{Near: "_agent"}))(t)
	equal(t, nodes[0].Node, "n1")
	all := must(a.Coordinate().Nodes(nil))(t)
	equal(t, len(all), 4)
	dcs, err := a.Coordinate().Datacenters()
	noError(t, err)
	if len(dcs) != 1 || dcs[0].Datacenter != "dc1" || len(dcs[0].Coordinates) != 1 {
		t.Fatalf("datacenters' coordinates: %+v", dcs)
	}
}
