package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/agent"
	"berth/internal/config"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

// hosts is a cluster whose clients have agents, as real hosts do.
type hosts struct {
	*testcluster.Cluster
	t      *testing.T
	dir    string
	agents map[int]*agent.Agent
	stops  map[int]func()

	mu   sync.Mutex // guards told
	told map[string]func([]berth.Change)
}

// onChange passes a node's changes on to what runs there now.
func (h *hosts) onChange(n *testcluster.Node) http.Handler {
	n.OnChange(func(changes []berth.Change) {
		h.mu.Lock()
		f := h.told[n.IP]
		h.mu.Unlock()
		if f != nil {
			f(changes)
		}
	})
	return http.NotFoundHandler()
}

func newHosts(t *testing.T) *hosts {
	h := &hosts{t: t, dir: t.TempDir(), agents: map[int]*agent.Agent{}, stops: map[int]func(){}, told: map[string]func([]berth.Change){}}
	h.Cluster = testcluster.New(t, testcluster.Options{Servers: 1, Clients: 2, Disk: true, Handler: h.onChange})
	h.WaitLeader(10 * time.Second)
	t.Cleanup(func() {
		for _, stop := range h.stops {
			stop()
		}
	})
	return h
}

// up starts the agent of a node, and what has it forget; def is what its docker wants.
func (h *hosts) up(i int, defs ...berth.ServiceDefinition) {
	h.t.Helper()
	n := h.Nodes[i]
	a, err := agent.New(agent.Config{
		Logger: testutil.Logger(h.t), Node: n.Name, NodeID: n.ID(), Datacenter: "dc1", Address: n.IP, Catalog: n.Store,
		DataDir: filepath.Join(h.dir, fmt.Sprint(i)), Sources: []string{berth.SourceDocker},
	})
	testutil.NoError(h.t, err)
	d := &daemon{cfg: &config.Config{Node: config.Node{Name: n.Name}}, log: testutil.Logger(h.t), store: n.Store, agent: a}
	f := newForgotten(d)
	h.mu.Lock()
	h.told[n.IP] = f.changed
	h.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- a.Run(ctx) }()
	go func() { done <- f.run(ctx) }()
	h.agents[i] = a
	h.stops[i] = func() {
		cancel()
		<-done
		<-done
		delete(h.stops, i)
	}
	testutil.NoError(h.t, a.Replace(berth.SourceDocker, defs))
}

// ids are the catalog's instances on a node.
func (h *hosts) ids(i int) string {
	ns, err := h.Nodes[0].NodeState(context.Background(), h.Nodes[i].Name)
	if err != nil {
		return err.Error()
	}
	var ids []string
	for _, s := range ns.Services {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func (h *hosts) want(i int, ids string) {
	h.t.Helper()
	testutil.Eventually(h.t, 15*time.Second, 10*time.Millisecond, func() error {
		if got := h.ids(i); got != ids {
			return fmt.Errorf("the catalog has %q on node %d, want %q", got, i, ids)
		}
		return nil
	})
}

// heeded waits until nothing is left to be forgotten on a node.
func (h *hosts) heeded(i int) {
	h.t.Helper()
	testutil.Eventually(h.t, 15*time.Second, 10*time.Millisecond, func() error {
		ns, err := h.Nodes[0].NodeState(context.Background(), h.Nodes[i].Name)
		if err != nil || ns.Node == nil || len(ns.Node.Forgotten) > 0 {
			return fmt.Errorf("not heeded: %+v %w", ns, err)
		}
		return nil
	})
}

// deregister does what the API does, at node i.
func (h *hosts) deregister(i int, d berth.Deregistration) {
	h.t.Helper()
	d.Forget = true
	testutil.NoError(h.t, h.Nodes[i].Deregister(context.Background(), &d))
}

// compared waits until the agent of a node has compared all it wants with the catalog.
func (h *hosts) compared(i int) {
	h.t.Helper()
	a := h.agents[i]
	a.Sync(true)
	testutil.NoError(h.t, a.RegisterService(context.Background(), &berth.ServiceDefinition{Name: "marker"}, false))
	h.t.Log("compared")
	testutil.NoError(h.t, a.DeregisterService(context.Background(), "marker"))
}

func container(id, owner string) berth.ServiceDefinition {
	return berth.ServiceDefinition{ID: id, Name: "web", Port: 80, Meta: map[string]string{berth.MetaSource: berth.SourceDocker, berth.MetaOwner: owner}}
}

func TestForgotten_WhatIsDeregisteredElsewhereStaysAway(t *testing.T) {
	h := newHosts(t)
	h.up(1, container("w1", "e/c/1"), container("w2", "e/c/1"))
	testutil.NoError(t, h.agents[1].RegisterService(context.Background(), &berth.ServiceDefinition{Name: "api"}, false))
	h.want(1, "api w1 w2")
	h.deregister(2, berth.Deregistration{Node: h.Nodes[1].Name, ServiceID: "w1"})
	h.deregister(0, berth.Deregistration{Node: h.Nodes[1].Name, ServiceID: "api"})
	h.heeded(1)
	h.compared(1)
	h.want(1, "w2")
	testutil.NoError(t, h.agents[1].Replace(berth.SourceDocker, []berth.ServiceDefinition{container("w1", "e/c/2"), container("w2", "e/c/1")}))
	h.want(1, "w1 w2") // its container was started anew
}

func TestForgotten_TheOwnerWasAway(t *testing.T) {
	h := newHosts(t)
	h.up(1, container("w1", "e/c/1"), container("w2", "e/c/1"))
	h.want(1, "w1 w2")
	h.stops[1]()
	h.Stop(1)
	h.deregister(2, berth.Deregistration{Node: h.Nodes[1].Name, ServiceID: "w1"})
	h.want(1, "w2")
	h.Start(1)
	h.up(1, container("w1", "e/c/1"), container("w2", "e/c/1"))
	h.heeded(1)
	h.compared(1)
	h.want(1, "w2")
}

// TestForgotten_OnlyWhatAUserTookOut: what goes for another reason is registered again.
func TestForgotten_OnlyWhatAUserTookOut(t *testing.T) {
	h := newHosts(t)
	h.up(1, container("w1", "e/c/1"))
	h.want(1, "w1")
	ctx := context.Background()
	node := h.Nodes[1].Name
	for name, lose := range map[string]func() error{
		"the node is taken out": func() error { return h.Nodes[0].Deregister(ctx, &berth.Deregistration{Node: node}) },
		"the entry is lost": func() error {
			return h.Nodes[0].Deregister(ctx, &berth.Deregistration{Node: node, ServiceID: "w1"})
		},
		"the node is taken out after a user's deregistration": func() error {
			_, err := h.Nodes[0].Write(ctx, []berth.CatalogOp{
				{Deregister: &berth.Deregistration{Node: node, ServiceID: "w1", Forget: true}}, {Deregister: &berth.Deregistration{Node: node}},
			})
			return err
		},
	} {
		testutil.NoError(t, lose())
		h.agents[1].Sync(true)
		t.Log(name)
		h.want(1, "w1")
	}
}
