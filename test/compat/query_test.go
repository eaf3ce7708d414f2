package compat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestPreparedQuery(t *testing.T) {
	t.Parallel()
	a := server(t)
	registerExternal(t, a, "ext1", "10.0.0.1", "geo-db", "passing", "primary")
	registerExternal(t, a, "ext2", "10.0.0.2", "geo-db", "warning", "replica")
	registerExternal(t, a, "ext3", "10.0.0.3", "geo-db", "critical", "replica")
	pq := a.PreparedQuery()
	def := &api.PreparedQueryDefinition{
		Name: "db",
		Service: api.ServiceQuery{Service: "geo-db", OnlyPassing: false, Near: "_agent", Tags: []string{"!old"}, NodeMeta: map[string]string{},
			Failover: api.QueryFailoverOptions{NearestN: 2, Datacenters: []string{"dc2", "dc3"}}},
		DNS: api.QueryDNSOptions{TTL: "7s"},
	}
	id, _, err := pq.Create(def, nil)
	noError(t, err)
	got := must(pq.Get(id, nil))(t)
	if len(got) != 1 || got[0].Name != "db" || got[0].Service.Failover.NearestN != 2 || !slices.Equal(got[0].Service.Failover.Datacenters, []string{"dc2", "dc3"}) || got[0].DNS.TTL != "7s" {
		t.Fatalf("got %+v", got)
	}
	for _, name := range []string{id, "db"} {
		r := must(pq.Execute(name, nil))(t)
		if r.Service != "geo-db" || r.Datacenter != "dc1" || r.DNS.TTL != "7s" || r.Failovers != 0 {
			t.Fatalf("result: %+v", r)
		}
		equal(t, nodesOf(r.Nodes), []string{"ext1", "ext2"})
	}
	def.ID, def.Service.OnlyPassing = id, true
	_, err = pq.Update(def, nil)
	noError(t, err)
	equal(t, nodesOf(must(pq.Execute("db", nil))(t).Nodes), []string{"ext1"})
	equal(t, len(must(pq.List(nil))(t)), 1)

	_, _, err = pq.Create(&api.PreparedQueryDefinition{Name: "geo-", Template: api.QueryTemplate{Type: "name_prefix_match", Regexp: "^geo-(.+?)-(primary|replica)$"},
		Service: api.ServiceQuery{Service: "geo-${match(1)}", Tags: []string{"${match(2)}"}}}, nil)
	noError(t, err)
	r := must(pq.Execute("geo-db-replica", nil))(t)
	equal(t, r.Service, "geo-db")
	equal(t, nodesOf(r.Nodes), []string{"ext2"})

	_, err = pq.Delete(id, nil)
	noError(t, err)
	if _, _, err := pq.Get(id, nil); !isStatus(err, 404) {
		t.Fatalf("a deleted query: %v", err)
	}
}

func nodesOf(entries []api.ServiceEntry) (out []string) {
	for _, e := range entries {
		out = append(out, e.Node.Node)
	}
	slices.Sort(out)
	return out
}

// Two datacenters: requests for the other one, and a query that goes there when there is
// nothing here.
func TestFederation_FailoverOfQueries(t *testing.T) {
	t.Parallel()
	one := server(t)
	two := startAgent(t, "n2", "127.0.0.2", "-server", "-bootstrap-expect", "1", "-data-dir", t.TempDir(), "-datacenter", "dc2",
		"-join-wan", fmt.Sprintf("127.0.0.1:%d", one.serfWAN))
	for _, a := range []*agent{one, two} {
		eventually(t, 30*time.Second, func() error {
			dcs, err := a.Catalog().Datacenters()
			if err == nil && len(dcs) != 2 {
				err = fmt.Errorf("%s knows %v", a.node, dcs)
			}
			return err
		})
	}
	registerExternal(t, two, "far1", "10.2.0.1", "pay", "passing")
	nodes := must(one.Catalog().Nodes(&api.QueryOptions{Datacenter: "dc2"}))(t)
	if len(nodes) != 2 || nodes[1].Node != "n2" || nodes[1].Datacenter != "dc2" {
		t.Fatalf("nodes of dc2 asked in dc1: %+v", nodes)
	}
	_, err := one.KV().Put(&api.KVPair{Key: "from-dc1", Value: []byte("x")}, &api.WriteOptions{Datacenter: "dc2"})
	noError(t, err)
	if p := must(two.KV().Get("from-dc1", nil))(t); p == nil {
		t.Fatal("a write for dc2 did not get there")
	}
	if p := must(one.KV().Get("from-dc1", nil))(t); p != nil {
		t.Fatal("a write for dc2 stayed in dc1")
	}
	if _, _, err := one.Catalog().Nodes(&api.QueryOptions{Datacenter: "dc9"}); err == nil {
		t.Fatal("an unknown datacenter answered")
	}
	for name, failover := range map[string]api.QueryFailoverOptions{
		"nearest": {NearestN: 1}, "list": {Datacenters: []string{"dc9", "dc2"}}, "targets": {Targets: []api.QueryFailoverTarget{{Datacenter: "dc2"}}},
	} {
		_, _, err := one.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: name, Service: api.ServiceQuery{Service: "pay", Failover: failover}}, nil)
		noError(t, err)
		r := must(one.PreparedQuery().Execute(name, nil))(t)
		if r.Datacenter != "dc2" || r.Failovers < 1 {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		equal(t, nodesOf(r.Nodes), []string{"far1"})
	}
	registerExternal(t, one, "near1", "10.1.0.1", "pay", "passing")
	r := must(one.PreparedQuery().Execute("nearest", nil))(t)
	if r.Datacenter != "dc1" || r.Failovers != 0 {
		t.Fatalf("with an instance here: %+v", r)
	}
	equal(t, nodesOf(r.Nodes), []string{"near1"})
	wan, err := two.Agent().Members(true)
	noError(t, err)
	equal(t, len(wan), 2)
}
