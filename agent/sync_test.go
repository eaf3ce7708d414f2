package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/internal/testutil"
)

func TestAgent_RegisterService_IsInTheCatalogWhenAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.delay = 300 * time.Millisecond
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		def := berth.ServiceDefinition{Name: "web", Port: 80, Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{TTL: berth.Duration(time.Minute)}}}
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.Equal(t, f.ids(), "web service:web=critical")
		testutil.Equal(t, f.check("service:web").Name, "Service 'web' check")
		testutil.NoError(t, a.UpdateTTL("service:web", "passing", "fine"))
		testutil.Equal(t, f.ids(), "web service:web=passing")
		testutil.NoError(t, a.DeregisterService(t.Context(), "web"))
		testutil.Equal(t, f.ids(), "")
		if err := a.DeregisterService(t.Context(), "web"); !errors.Is(err, berth.ErrUnknownService) {
			t.Fatalf("second deregistration: %v", err)
		}
	})
}

func TestAgent_RegisterService_IsAcceptedAfterTwoSecondsWithoutCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.down = berth.ErrNoLeader
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		begin := time.Now()
		def := svc("web", 80)
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.Equal(t, time.Since(begin), 2*time.Second)
		testutil.Equal(t, len(a.Services()), 1)
		f.set(func() { f.down = nil })
		a.Sync(false)
		synctest.Wait()
		testutil.Equal(t, f.ids(), "web")
	})
}

func TestAgent_Sync_RetriesForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.down = berth.ErrNoServers
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{svc("old", 1)}))
		advance(time.Hour)
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{svc("new", 1)}))
		f.set(func() { f.down = nil })
		advance(7 * time.Second) // longest pause
		testutil.Equal(t, f.ids(), "new")
	})
}

func TestAgent_Replace_WritesOneBatchRegistrationsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("a", "o1"), owned("b", "o1")}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "a b")
		n := f.writes()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("b", "o1"), owned("c", "o2"), owned("d", "o2")}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "b c d")
		testutil.Equal(t, f.writes(), n+1)
		last := f.batches[n]
		testutil.Equal(t, len(last), 3)
		if last[0].Register == nil || last[1].Register == nil || last[2].Deregister == nil {
			t.Fatalf("deregistration is not last: %+v", last)
		}
		testutil.Equal(t, last[2].Deregister.Owner, "o1")
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("b", "o1"), owned("c", "o2"), owned("d", "o2")}))
		synctest.Wait()
		testutil.Equal(t, f.writes(), n+1) // nothing changed, nothing written
	})
}

func TestAgent_Compare_RemovesStrangersAndRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.services["stranger"] = &berth.ServiceInstance{ID: "stranger", Name: "x"}
		f.services["consul"] = &berth.ServiceInstance{ID: "consul", Name: "consul", Port: 8300}
		f.checks["serfHealth"] = &berth.Check{CheckID: "serfHealth", Status: "passing"}
		f.checks["odd"] = &berth.Check{CheckID: "odd", Status: "passing"}
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		def := svc("web", 80)
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.Equal(t, f.ids(), "consul web serfHealth=passing")
		testutil.Equal(t, f.node.Meta["rack"], "r1")

		f.set(func() {
			f.deregister(&berth.Deregistration{Node: "n1"})
			f.services["stranger"] = &berth.ServiceInstance{ID: "stranger", Name: "x"}
		})
		advance(2*time.Minute + time.Second) // the longest interval of a small cluster
		testutil.Equal(t, f.ids(), "web")
		testutil.Equal(t, f.node.Address, "10.0.0.1")
		f.set(func() { delete(f.services, "web") })
		a.Sync(true)
		synctest.Wait()
		testutil.Equal(t, f.ids(), "web")
	})
}

func TestAgent_Compare_WaitsForDockerToSpeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		row := newAgent(t, testConfig(f)).serviceRow(&berth.ServiceDefinition{ID: "gone", Name: "web", Meta: owned("", "o").Meta})
		f.services["gone"] = row
		f.checks["docker:gone"] = &berth.Check{CheckID: "docker:gone", ServiceID: "gone", Status: "passing"}
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		synctest.Wait()
		testutil.Equal(t, f.ids(), "gone docker:gone=passing")
		testutil.NoError(t, a.Replace("docker", nil))
		a.Sync(true)
		synctest.Wait()
		testutil.Equal(t, f.ids(), "")
	})
}

func TestAgent_Compare_AnnouncedSourceIsAwaitedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.services["there"] = &berth.ServiceInstance{ID: "there", Name: "web", Meta: owned("", "o").Meta}
		cfg := testConfig(f)
		cfg.Sources = []string{berth.SourceDocker}
		a := newAgent(t, cfg)
		defer start(t, a)()
		advance(24 * time.Hour) // the engine hangs
		testutil.Equal(t, f.ids(), "there")
		testutil.NoError(t, a.Replace("docker", nil))
		advance(time.Second) // not at the next timed compare
		testutil.Equal(t, f.ids(), "")
	})
}

func TestAgent_Compare_SilentSourceIsCleanedUpInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.services["gone"] = &berth.ServiceInstance{ID: "gone", Name: "web", Meta: owned("", "o").Meta}
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		advance(5 * time.Minute)
		testutil.Equal(t, f.ids(), "")
	})
}

func TestAgent_Compare_TakesTagsOfTheCatalogWhenOverridden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		for _, override := range []bool{true, false} {
			def := berth.ServiceDefinition{
				Name: fmt.Sprint("s", override), Tags: []string{"mine"}, EnableTagOverride: override,
				Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{TTL: berth.Duration(time.Hour)}},
			}
			testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		}
		f.set(func() {
			for id, s := range f.services {
				c := *s
				c.Tags = []string{"theirs"}
				f.services[id] = &c
			}
		})
		a.Sync(true)
		synctest.Wait()
		testutil.Equal(t, f.services["strue"].Tags, []string{"theirs"})
		testutil.Equal(t, f.services["sfalse"].Tags, []string{"mine"})
		testutil.Equal(t, a.Services()[1].Tags, []string{"theirs"})
	})
}

// Who changes tags in the catalog often sends no more than name and tags.
func TestAgent_Compare_TakesTagsThoughTheRestIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		def := berth.ServiceDefinition{Name: "s", Tags: []string{"mine"}, EnableTagOverride: true, Meta: map[string]string{"k": "v"}}
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		for _, tags := range [][]string{{"theirs"}, {"again"}, {}} {
			f.set(func() {
				f.services["s"] = &berth.ServiceInstance{ID: "s", Name: "s", Tags: tags, Weights: &berth.Weights{Passing: 9, Warning: 9}}
			})
			a.Sync(true)
			synctest.Wait()
			got := f.services["s"]
			testutil.Equal(t, got.Tags, tags)
			testutil.Equal(t, a.Services()[0].Tags, tags)
			testutil.Equal(t, got.Meta, def.Meta)
			testutil.Equal(t, got.EnableTagOverride, true)
			testutil.Equal(t, got.Weights.Passing, 1)
		}
	})
}

// Tags that this host once wrote itself are not those of others, when it lets them be changed later.
func TestAgent_Compare_OldTagsOfItsOwnAreNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.services["s"] = &berth.ServiceInstance{ID: "s", Name: "s", Tags: []string{"old"}, Weights: &berth.Weights{Passing: 1, Warning: 1}}
		a := newAgent(t, testConfig(f))
		def := berth.ServiceDefinition{Name: "s", Tags: []string{"new"}, EnableTagOverride: true}
		testutil.NoError(t, a.Replace("config", []berth.ServiceDefinition{def}))
		defer start(t, a)()
		synctest.Wait()
		testutil.Equal(t, f.services["s"].Tags, []string{"new"})
	})
}

func TestAgent_Compare_NodeKeepsWhatTheLeaderAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.node = &berth.Node{
			ID: testConfig(nil).NodeID, Name: "n1", Address: "10.0.0.9",
			TaggedAddresses: map[string]string{"lan": "10.0.0.9", "lan_ipv4": "10.0.0.9", "wan": "192.0.2.1", "wan_ipv4": "192.0.2.1", "old": "x"},
			Meta:            map[string]string{"consul-version": "1.21.0", "old": "x"},
		}
		a := newAgent(t, testConfig(f)) // with another address
		defer start(t, a)()
		synctest.Wait()
		testutil.Equal(t, f.node.TaggedAddresses, map[string]string{"lan": "10.0.0.1", "lan_ipv4": "10.0.0.1", "wan": "192.0.2.1", "wan_ipv4": "192.0.2.1"})
		testutil.Equal(t, f.node.Meta, map[string]string{"consul-version": "1.21.0", "rack": "r1"})
		n := f.writes()
		a.Sync(true)
		synctest.Wait()
		testutil.Equal(t, f.writes(), n)
	})
}

func TestAgent_Refusal_IsTriedAgainAndStopsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.refuse = func(op berth.CatalogOp) error {
			if r := op.Register; r != nil && r.Service != nil && r.Service.ID == "bad" {
				return errors.New("Permission denied")
			}
			return nil
		}
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		for _, id := range []string{"bad", "good"} {
			def := svc(id, 80)
			testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		}
		testutil.Equal(t, f.ids(), "good")
		f.set(func() { f.refuse = nil })
		advance(time.Minute)
		testutil.Equal(t, f.ids(), "bad good")
	})
}

// A check-only write is refused once the service was taken out behind the agent's back.
func TestAgent_Refusal_OfACheckBringsTheServiceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		defer stop()
		def := berth.ServiceDefinition{Name: "web", Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{TTL: berth.Duration(time.Hour)}}}
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		f.set(func() { f.deregister(&berth.Deregistration{ServiceID: "web"}) })
		testutil.NoError(t, a.UpdateTTL("service:web", "passing", ""))
		advance(8 * time.Second)
		testutil.Equal(t, f.ids(), "web service:web=passing")
	})
}

func TestSyncScale(t *testing.T) {
	for nodes, want := range map[int]int{1: 1, 128: 1, 129: 2, 256: 2, 257: 3, 512: 3, 8192: 7} {
		if got := syncScale(nodes); got != want {
			t.Errorf("syncScale(%d) = %d, want %d", nodes, got, want)
		}
	}
}

// Whatever fails in between: after quiescence the catalog is as desired.
func TestAgent_Faults_CatalogConverges(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { convergence(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func convergence(t *testing.T, rng *rand.Rand) {
	f := newFake()
	a := newAgent(t, testConfig(f))
	stop := start(t, a)
	defer stop()
	for range 150 {
		randomFault(f, rng)
		randomChange(t, a, rng)
		advance(time.Duration(rng.IntN(3000)) * time.Millisecond)
	}
	f.set(func() { f.down, f.delay, f.lose, f.before = nil, 0, 0, nil })
	advance(25 * time.Second) // one call's deadline and the longest pause
	if err := f.differs(a); err != nil {
		t.Fatal(err)
	}
}

func randomFault(f *fakeCatalog, rng *rand.Rand) {
	f.set(func() {
		f.down, f.delay, f.before = nil, 0, nil
		switch rng.IntN(6) {
		case 0:
			f.down = berth.ErrNoLeader
		case 1:
			f.delay = time.Duration(rng.IntN(20)) * time.Second
		case 2:
			f.lose = 2
		case 3:
			f.before = func([]berth.CatalogOp) error { return errors.New("broken pipe") }
		}
	})
}

func randomChange(t *testing.T, a *Agent, rng *rand.Rand) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // do not wait
	id := fmt.Sprint("s", rng.IntN(8))
	switch rng.IntN(6) {
	case 0, 1:
		var defs []berth.ServiceDefinition
		for i := range 8 {
			if rng.IntN(2) == 0 {
				defs = append(defs, owned(fmt.Sprint("s", i), fmt.Sprint("o", rng.IntN(2)), &berth.CheckDefinition{
					ID: fmt.Sprint("docker:s", i), Passive: true, Type: "docker", Status: []string{"passing", "critical"}[rng.IntN(2)],
				}))
			}
		}
		testutil.NoError(t, a.Replace("docker", defs))
	case 2, 3:
		def := svc(id, rng.IntN(100))
		def.Check = &berth.CheckDefinition{CheckTarget: berth.CheckTarget{TTL: berth.Duration(30 * time.Second)}}
		testutil.NoError(t, a.RegisterService(ctx, &def, rng.IntN(2) == 0))
	case 4:
		if err := a.DeregisterService(ctx, id); err != nil && !errors.Is(err, berth.ErrUnknownService) {
			t.Fatal(err)
		}
	case 5:
		if _, err := a.refreshTTL("service:"+id, "passing", ""); err != nil && !strings.Contains(err.Error(), "unknown") {
			t.Fatal(err)
		}
	}
}

func TestAgent_Run_WritesTheLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		stop := start(t, a)
		synctest.Wait()
		f.set(func() { f.delay = 500 * time.Millisecond })
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{svc("a", 1)}))
		synctest.Wait()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{svc("b", 1)}))
		stop()
		testutil.Equal(t, f.ids(), "b")
	})
}
