package state_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"berth"
	"berth/internal/testutil"
)

func TestTx_Catalog_WhichWatchesFire(t *testing.T) {
	web1 := func(change func(*berth.ServiceInstance)) *berth.Registration {
		s := &berth.ServiceInstance{ID: "web-1", Name: "web", Tags: []string{"v1"}, Port: 80, Address: "10.1.0.1"}
		change(s)
		return &berth.Registration{Node: "a", SkipNodeUpdate: true, Service: s}
	}
	check := func(node, id, service, status string) *berth.Registration {
		name := "alive"
		if id == berth.NodeHealthCheckID {
			name = berth.NodeHealthCheckName
		}
		return &berth.Registration{Node: node, SkipNodeUpdate: true,
			Check: &berth.Check{CheckID: id, Name: name, Status: status, ServiceID: service}}
	}
	onA := []string{"all on a"}
	checkOnA := []string{"all on a", "checks on a", "any check"}
	for _, c := range []struct {
		name  string
		op    berth.CatalogOp
		fired []string
	}{
		{"nothing new", berth.CatalogOp{Register: web1(func(*berth.ServiceInstance) {})}, nil},
		{"nothing new about the node", berth.CatalogOp{Register: &berth.Registration{Node: "b", Address: "10.0.0.2", Datacenter: "dc1"}}, nil},
		{"nothing new about a check", berth.CatalogOp{Register: check("a", "web-alive", "web-1", "passing")}, nil},
		{"port", berth.CatalogOp{Register: web1(func(s *berth.ServiceInstance) { s.Port = 81 })},
			append(onA, "web", "checks of web")},
		{"tags", berth.CatalogOp{Register: web1(func(s *berth.ServiceInstance) { s.Tags = []string{"v3"} })},
			append(checkOnA, "web", "checks of web", "services")}, // its check carries the tags
		{"another name", berth.CatalogOp{Register: web1(func(s *berth.ServiceInstance) { s.Name = "db" })},
			append(checkOnA, "web", "checks of web", "services", "db", "usage")},
		{"new instance", berth.CatalogOp{Register: web1(func(s *berth.ServiceInstance) { s.ID = "web-9" })},
			append(onA, "web", "checks of web", "services", "usage")},
		{"new instance of another service", berth.CatalogOp{Register: web1(func(s *berth.ServiceInstance) { s.ID, s.Name = "x", "x" })},
			append(onA, "services", "usage")},
		{"output of a service check", berth.CatalogOp{Register: &berth.Registration{Node: "a", SkipNodeUpdate: true,
			Check: &berth.Check{CheckID: "web-alive", Name: "alive", Status: "passing", ServiceID: "web-1", Output: "200 OK"}}},
			append(checkOnA, "web", "checks of web")},
		{"service check warning", berth.CatalogOp{Register: check("a", "web-alive", "web-1", "warning")},
			append(checkOnA, "web", "checks of web")},
		{"service check critical ends the session", berth.CatalogOp{Register: check("a", "web-alive", "web-1", "critical")},
			append(checkOnA, "web", "checks of web", "critical", "session", "sessions", "sessions on a")},
		{"check moves to another service", berth.CatalogOp{Register: check("a", "web-alive", "db-1", "passing")},
			append(checkOnA, "web", "checks of web", "db")},
		{"node check raises all services on the node", berth.CatalogOp{Register: check("a", berth.NodeHealthCheckID, "", "warning")},
			append(checkOnA, "web", "checks of web", "db")},
		{"node address", berth.CatalogOp{Register: &berth.Registration{Node: "b", Address: "10.0.0.9", Datacenter: "dc1"}},
			[]string{"nodes", "node b", "all on b", "checks on b", "web", "checks of web"}},
		{"new node", berth.CatalogOp{Register: &berth.Registration{Node: "d", Address: "10.0.0.4"}},
			[]string{"nodes", "usage"}},
		{"instance leaves", berth.CatalogOp{Deregister: &berth.Deregistration{Node: "b", ServiceID: "web-2"}},
			[]string{"all on b", "checks on b", "any check", "critical", "web", "checks of web", "services", "usage"}},
		{"last instance leaves", berth.CatalogOp{Deregister: &berth.Deregistration{Node: "a", ServiceID: "db-1"}},
			append(onA, "db", "services", "usage")},
		{"check leaves", berth.CatalogOp{Deregister: &berth.Deregistration{Node: "b", CheckID: "web-alive"}},
			[]string{"all on b", "checks on b", "any check", "critical", "web", "checks of web"}},
		{"node leaves", berth.CatalogOp{Deregister: &berth.Deregistration{Node: "b"}},
			[]string{"nodes", "node b", "all on b", "checks on b", "any check", "critical", "web", "checks of web", "services", "usage"}},
		{"unknown things leave", berth.CatalogOp{Deregister: &berth.Deregistration{Node: "b", ServiceID: "none"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			b.fill()
			b.wantFired(func() {
				if errs := b.ops(c.op); errs != nil {
					t.Fatal(errs)
				}
			}, c.fired...)
		})
	}
}

// Every fired watch must come with a larger index, or a blocking query would go on waiting.
func TestReader_IndexGrowsWithResult(t *testing.T) {
	b := newBox(t)
	b.fill()
	before := b.index
	web, _ := b.read().Service(nil, "web")
	b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true,
		Check: &berth.Check{CheckID: berth.NodeHealthCheckID, Name: berth.NodeHealthCheckName, Status: berth.StatusCritical}})
	for name, got := range map[string]uint64{
		"service web":  first(b.read().Service(nil, "WEB")),
		"service db":   first(b.read().Service(nil, "db")),
		"checks of a":  first(b.read().NodeChecks(nil, "a")),
		"all of a":     first(b.read().NodeServices(nil, "a")),
		"state checks": first(b.read().StateChecks(nil, berth.StatusCritical)),
		"sessions":     first(b.read().Sessions(nil, "")), // bound to serfHealth
	} {
		if got != b.index {
			t.Errorf("%s has index %d, want %d (web had %d)", name, got, b.index, web)
		}
	}
	for name, got := range map[string]uint64{
		"nodes":    first(b.read().Nodes(nil)),
		"node a":   first(b.read().Node(nil, "a")),
		"services": first(b.read().Services(nil)),
		"all of b": first(b.read().NodeServices(nil, "b")),
		"usage":    first(b.read().Usage(nil)),
	} {
		if got > before {
			t.Errorf("%s has index %d though nothing of it changed after %d", name, got, before)
		}
	}
}

func first[T any](idx uint64, _ T) uint64 { return idx }

func TestReader_IndexOfWhatWent(t *testing.T) {
	b := newBox(t)
	if idx, es := b.read().Service(nil, "web"); idx != 0 || es != nil {
		t.Fatalf("empty store: index %d, %d entries", idx, len(es))
	}
	b.fill()
	never, _ := b.read().Service(nil, "never")
	if never == 0 || never > b.index {
		t.Fatalf("index of a service that never was is %d", never)
	}
	b.deregister(&berth.Deregistration{Node: "a", ServiceID: "db-1"})
	if got := first(b.read().Service(nil, "db")); got != b.index {
		t.Errorf("service gone at %d has index %d", b.index, got)
	}
	b.deregister(&berth.Deregistration{Node: "b"})
	if got := first(b.read().NodeServices(nil, "b")); got != b.index {
		t.Errorf("node gone at %d has index %d", b.index, got)
	}
	// Removal of what is on a node is not in any row left: the node's index must still grow.
	b.deregister(&berth.Deregistration{Node: "a", CheckID: "web-alive"})
	if got := first(b.read().NodeChecks(nil, "a")); got != b.index {
		t.Errorf("check gone at %d, node checks have index %d", b.index, got)
	}
}

func TestTx_Catalog_NoopKeepsModifyIndex(t *testing.T) {
	b := newBox(t)
	b.fill()
	hash := b.read().CatalogHash()
	n := len(b.commits)
	b.register(&berth.Registration{Node: "a", ID: idA, Address: "10.0.0.1", Datacenter: "dc1", NodeMeta: map[string]string{"rack": "r1"},
		TaggedAddresses: map[string]string{},
		Service:         &berth.ServiceInstance{ID: "web-1", Name: "web", Tags: []string{"v1"}, Port: 80, Address: "10.1.0.1", Meta: map[string]string{}},
		Checks:          []*berth.Check{{CheckID: "web-alive", Name: "alive", Status: berth.StatusPassing, ServiceID: "web-1"}}})
	if b.read().CatalogHash() != hash {
		t.Error("a registration with nothing new changed a row")
	}
	c := b.commits[n]
	if c.Index != b.index || c.Changes != nil || c.Deltas != nil {
		t.Errorf("a registration with nothing new was announced: %+v", c)
	}
}

func TestTx_Catalog_Defaults(t *testing.T) {
	b := newBox(t)
	b.register(&berth.Registration{Node: "n", Address: "10.0.0.1", Service: &berth.ServiceInstance{Name: "api"},
		Checks: []*berth.Check{{Name: "ping", ServiceID: "api"}, {Name: "disk"}}})
	_, es := b.read().Service(nil, "api")
	if len(es) != 1 {
		t.Fatalf("%d entries", len(es))
	}
	s := es[0].Service
	testutil.Equal(t, []any{s.ID, s.Node, *s.Weights, s.CreateIndex, s.ModifyIndex},
		[]any{"api", "n", berth.Weights{Passing: 1, Warning: 1}, uint64(1), uint64(1)})
	var got []string
	for _, c := range es[0].Checks { // the node's own come first
		got = append(got, fmt.Sprint(c.Node, " ", c.CheckID, " ", c.Status, " ", c.ServiceID, " ", c.ServiceName))
	}
	testutil.Equal(t, got, []string{"n disk critical  ", "n ping critical api api"})
}

func TestTx_Catalog_Errors(t *testing.T) {
	reg := func(change func(*berth.Registration)) *berth.Registration {
		r := &berth.Registration{Node: "a", Address: "10.0.0.1", Datacenter: "dc1"}
		change(r)
		return r
	}
	for _, c := range []struct {
		text string
		r    *berth.Registration
	}{
		{"Must provide node", &berth.Registration{Address: "10.0.0.1"}},
		{"Must provide address if SkipNodeUpdate is not set", &berth.Registration{Node: "a"}},
		{`Bad node ID: "x" is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, reg(func(r *berth.Registration) { r.ID = "x" })},
		{"Must provide service name (Service.Service)", reg(func(r *berth.Registration) { r.Service = &berth.ServiceInstance{} })},
		{"Must provide service name (Service.Service) when service ID is provided",
			reg(func(r *berth.Registration) { r.Service = &berth.ServiceInstance{ID: "x"} })},
		{"Invalid service address", reg(func(r *berth.Registration) { r.Service = &berth.ServiceInstance{Name: "x", Address: "0.0.0.0"} })},
		{"Invalid service address", reg(func(r *berth.Registration) { r.Service = &berth.ServiceInstance{Name: "x", Address: "::"} })},
		{"Node 'b' for check 'c' doesn't match register request node 'a'",
			reg(func(r *berth.Registration) { r.Check = &berth.Check{Node: "b", CheckID: "c"} })},
		{"Unknown service ID 'x' for check ID 'c'", reg(func(r *berth.Registration) { r.Check = &berth.Check{CheckID: "c", ServiceID: "x"} })},
		{"Unknown service ID 'web-2' for check ID 'c'", reg(func(r *berth.Registration) { r.Check = &berth.Check{CheckID: "c", ServiceID: "web-2"} })},
		{`status "fine" of check 'c' is not known; use passing, warning or critical`,
			reg(func(r *berth.Registration) { r.Check = &berth.Check{CheckID: "c", Status: "fine"} })},
		{`node name "a\x00b" contains a zero byte; take it out`, reg(func(r *berth.Registration) { r.Node = "a\x00b" })},
		{fmt.Sprintf(`registering node with ID "%s" (10.0.0.1): Node name a is reserved by node %s with name a (10.0.0.1)`, queryID, idA),
			reg(func(r *berth.Registration) { r.ID = queryID })},
		{fmt.Sprintf(`renaming node c with ID "%s" (10.0.0.1): Node name a is reserved by node %s with name a (10.0.0.1)`, idC, idA),
			reg(func(r *berth.Registration) { r.ID = idC })},
	} {
		t.Run(c.text, func(t *testing.T) {
			b := newBox(t)
			b.fill()
			hash := b.read().Hash()
			b.wantErr(b.tryRegister(c.r), c.text)
			if b.read().Hash() != hash {
				t.Error("the refused registration left something behind")
			}
		})
	}
	b := newBox(t)
	errs := b.ops(berth.CatalogOp{Register: &berth.Registration{Node: "ok", Address: "1.2.3.4"}}, berth.CatalogOp{Deregister: &berth.Deregistration{}}, berth.CatalogOp{})
	if errs[0] != nil || errs[1].Error() != "Must provide node" || errs[2] == nil {
		t.Errorf("errors of a batch: %v", errs)
	}
	if _, n := b.read().Node(nil, "ok"); n == nil {
		t.Error("a bad op kept a good one of the same batch from being taken")
	}
}

func TestTx_Catalog_NodeIdentity(t *testing.T) {
	t.Run("rename by ID removes the old record", func(t *testing.T) {
		b := newBox(t)
		b.fill()
		b.register(&berth.Registration{ID: idA, Node: "a2", Address: "10.0.0.1"})
		if _, ns := b.read().NodeServices(nil, "a"); ns != nil {
			t.Error("the old name is still there")
		}
		_, n := b.read().Node(nil, "a2")
		if n == nil || n.ID != idA {
			t.Fatalf("renamed node is %+v", n)
		}
		if _, s := b.read().Session(nil, sessionID); s != nil {
			t.Error("the old node's session survived")
		}
	})
	t.Run("a dead node's name may be taken", func(t *testing.T) {
		b := newBox(t)
		b.fill()
		b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true,
			Check: &berth.Check{CheckID: berth.NodeHealthCheckID, Status: berth.StatusCritical}})
		b.register(&berth.Registration{ID: idC, Node: "a", Address: "10.0.0.3"})
		if _, n := b.read().Node(nil, "a"); n.ID != idC || n.Address != "10.0.0.3" {
			t.Errorf("node a is %+v", n)
		}
		if _, n := b.read().Node(nil, "c"); n != nil {
			t.Error("the node is there under both names")
		}
	})
	t.Run("a node registered by hand gets its ID", func(t *testing.T) {
		b := newBox(t)
		b.register(&berth.Registration{Node: "x", Address: "10.0.0.1", Service: &berth.ServiceInstance{Name: "s"}})
		b.register(&berth.Registration{ID: idA, Node: "x", Address: "10.0.0.1"})
		_, ns := b.read().NodeServices(nil, "x")
		if ns.Node.ID != idA || len(ns.Services) != 1 || ns.Node.CreateIndex != 1 {
			t.Errorf("node is %+v with %d services", ns.Node, len(ns.Services))
		}
	})
	t.Run("a registration without ID keeps it", func(t *testing.T) {
		b := newBox(t)
		b.fill()
		b.register(&berth.Registration{Node: "a", Address: "10.9.9.9"})
		if _, n := b.read().Node(nil, "a"); n.ID != idA || n.Address != "10.9.9.9" {
			t.Errorf("node is %+v", n)
		}
	})
	t.Run("names are compared without case, and take the newest spelling", func(t *testing.T) {
		b := newBox(t)
		b.fill()
		b.register(&berth.Registration{ID: idA, Node: "A", Address: "10.0.0.1", Datacenter: "dc1", NodeMeta: map[string]string{"rack": "r1"}})
		_, ns := b.read().NodeServices(nil, "a")
		if ns.Node.Name != "A" || len(ns.Services) != 2 || ns.Services[0].Node != "A" || len(ns.Checks) != 2 || ns.Checks[0].Node != "A" {
			t.Errorf("got %+v, services %+v, checks %+v", ns.Node, ns.Services, ns.Checks)
		}
		if _, nodes := b.read().Nodes(nil); len(nodes) != 3 {
			t.Errorf("%d nodes", len(nodes))
		}
	})
	t.Run("by prefix of the ID", func(t *testing.T) {
		b := newBox(t)
		b.fill()
		if _, ns := b.read().NodeServices(nil, "BBBBb"); ns == nil || ns.Node.Name != "b" {
			t.Errorf("got %+v", ns)
		}
		if _, ns := b.read().NodeServices(nil, "bbb"); ns != nil {
			t.Errorf("three characters found %+v", ns.Node)
		}
	})
}

// The death of an old container must never remove its successor.
func TestTx_Catalog_DeregisterOwner(t *testing.T) {
	b := newBox(t)
	b.fill()
	own := func(owner string) *berth.Registration {
		return &berth.Registration{Node: "a", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "web-1", Name: "web",
			Meta: map[string]string{berth.MetaOwner: owner}}}
	}
	b.register(own("e/new/2"))
	b.wantFired(func() {
		b.deregister(&berth.Deregistration{Node: "a", ServiceID: "web-1", Owner: "e/old/1"})
	})
	if b.read().Instance("a", "web-1") == nil {
		t.Fatal("the successor was removed")
	}
	if errs := b.ops(berth.CatalogOp{Deregister: &berth.Deregistration{Node: "a", Owner: "e/old/1"}}); errs == nil {
		t.Fatal("an owner without an instance was taken, which removes the node")
	}
	b.deregister(&berth.Deregistration{Node: "a", ServiceID: "web-1", Owner: "e/new/2"})
	if b.read().Instance("a", "web-1") != nil || b.read().Check("a", "web-alive") != nil {
		t.Fatal("the instance, or its check, is still there")
	}
}

func TestReader_Services(t *testing.T) {
	b := newBox(t)
	b.fill()
	b.register(&berth.Registration{Node: "c", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "w", Name: "Web", Tags: []string{"big"}}})
	_, names := b.read().Services(nil)
	testutil.Equal(t, names, map[string][]string{"web": {"v1", "v2"}, "Web": {"big"}, "db": {}})
	if _, es := b.read().Service(nil, "WEB"); len(es) != 3 {
		t.Errorf("%d entries for all spellings", len(es))
	}
	idx, u := b.read().Usage(nil)
	testutil.Equal(t, []any{idx, u}, []any{b.index, berth.Usage{Nodes: 3, Services: 2, ServiceInstances: 4}})
}

// A check always shows the service's present name and tags.
func TestTx_Catalog_ChecksFollowTheirService(t *testing.T) {
	b := newBox(t)
	b.fill()
	b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "web-1", Name: "shop", Tags: []string{"v9"}}})
	_, cs := b.read().ServiceChecks(nil, "shop")
	if len(cs) != 1 || cs[0].ServiceName != "shop" || !slices.Equal(cs[0].ServiceTags, []string{"v9"}) || cs[0].ModifyIndex != b.index {
		t.Errorf("checks are %+v", cs)
	}
}

func TestView(t *testing.T) {
	b := newBox(t)
	b.fill()
	b.register(&berth.Registration{Node: "c", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "consul", Name: "consul", Port: 8300}})
	b.register(&berth.Registration{Node: "c", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "six", Name: "six", Address: "2001:db8::1"}})
	b.register(&berth.Registration{Node: "c", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "near", Name: "near", Address: "10.0.0.1"}})
	v := b.s.View()
	if v.Index() != b.index {
		t.Errorf("index %d, want %d", v.Index(), b.index)
	}
	if n, ok := v.Node("A"); !ok || n.Name != "a" {
		t.Errorf("node A is %v, %v", n, ok)
	}
	if _, ok := v.Node("nope"); ok || v.ServiceExists("nope") || v.Service("nope") != nil || !v.ServiceExists("web") {
		t.Error("existence is wrong")
	}
	if s := v.Servers(); len(s) != 1 || s[0].Name != "c" {
		t.Errorf("servers are %v", s)
	}
	for ip, want := range map[string][]berth.Name{
		"10.0.0.1":         {{Node: "a"}, {Node: "c", Service: "near"}},
		"::ffff:10.0.0.1":  {{Node: "a"}, {Node: "c", Service: "near"}},
		"10.1.0.1":         {{Node: "a", Service: "web"}},
		"2001:db8::1":      {{Node: "c", Service: "six"}},
		"10.0.0.77":        nil,
		"2001:db8:0:0::1":  {{Node: "c", Service: "six"}},
		"fe80::1%eth0":     nil,
		"255.255.255.255":  nil,
		"2001:db8::1:0:77": nil,
	} {
		if got := v.Addr(netip.MustParseAddr(ip)); !slices.Equal(got, want) {
			t.Errorf("%s belongs to %v, want %v", ip, got, want)
		}
	}
	if v.Addr(netip.Addr{}) != nil {
		t.Error("no address belongs to somebody")
	}
	b.register(&berth.Registration{Node: "c", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "near", Name: "near", Address: "10.0.0.8"}})
	b.deregister(&berth.Deregistration{Node: "c", ServiceID: "six"})
	if got := b.s.View().Addr(netip.MustParseAddr("10.0.0.1")); len(got) != 1 {
		t.Errorf("after the move: %v", got)
	}
	if got := b.s.View().Addr(netip.MustParseAddr("2001:db8::1")); got != nil {
		t.Errorf("after the removal: %v", got)
	}
	if got := v.Addr(netip.MustParseAddr("2001:db8::1")); len(got) != 1 {
		t.Error("an old view changed")
	}
}

func TestCommit_Changes(t *testing.T) {
	b := newBox(t)
	b.fill()
	for _, c := range []struct {
		name string
		op   berth.CatalogOp
		want []berth.Change
	}{
		{"instance", berth.CatalogOp{Register: &berth.Registration{Node: "a", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "db-1", Name: "DB", Port: 1}}},
			[]berth.Change{{Service: "db"}}},
		{"node check", berth.CatalogOp{Register: &berth.Registration{Node: "a", SkipNodeUpdate: true, Check: &berth.Check{CheckID: "disk"}}},
			[]berth.Change{{Service: "db"}, {Service: "web"}}},
		{"node row", berth.CatalogOp{Register: &berth.Registration{Node: "B", Address: "10.0.0.7"}},
			[]berth.Change{{Service: "web"}, {Node: "b"}}},
		{"node goes", berth.CatalogOp{Deregister: &berth.Deregistration{Node: "a"}},
			[]berth.Change{{Service: "db"}, {Service: "web"}, {Node: "a"}}},
	} {
		if errs := b.ops(c.op); errs != nil {
			t.Fatal(errs)
		}
		if got := b.lastCommit(); got.Index != b.index || !slices.Equal(got.Changes, c.want) {
			t.Errorf("%s: got %+v at %d, want %+v", c.name, got.Changes, got.Index, c.want)
		}
	}
	b.mustKV(berth.KVSet, berth.KVEntry{Key: "k"})
	if got := b.lastCommit(); got.Index != b.index || got.Changes != nil || got.Deltas != nil {
		t.Errorf("a KV write announced %+v", got)
	}
}

// Readers of one snapshot must not see later writes, and Store.Index must follow commits.
func TestStore_SnapshotsAreImmutable(t *testing.T) {
	b := newBox(t)
	b.fill()
	r, hash, idx := b.read(), b.read().Hash(), b.s.Index()
	_, before := r.Service(nil, "web")
	b.deregister(&berth.Deregistration{Node: "a"})
	if r.Hash() != hash || r.Index() != idx || b.s.Index() != idx+1 {
		t.Error("a snapshot changed")
	}
	_, after := r.Service(nil, "web")
	if len(before) != 2 || len(after) != 2 {
		t.Errorf("the snapshot's service has %d, then %d instances", len(before), len(after))
	}
	_, now := b.read().Service(nil, "web")
	if len(now) != 1 {
		t.Errorf("%d instances now", len(now))
	}
}
