package compat

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestStatusAndRaft(t *testing.T) {
	t.Parallel()
	a := server(t)
	leader, err := a.Status().Leader()
	noError(t, err)
	peers, err := a.Status().Peers()
	noError(t, err)
	equal(t, peers, []string{leader})
	raft, err := a.Operator().RaftGetConfiguration(nil)
	noError(t, err)
	if len(raft.Servers) != 1 || !raft.Servers[0].Leader || !raft.Servers[0].Voter || raft.Servers[0].Address != leader || raft.Servers[0].Node != "n1" {
		t.Fatalf("servers: %+v", raft.Servers)
	}
	if err := a.Operator().RaftRemovePeerByAddress("127.0.0.1:1", nil); err == nil {
		t.Fatal("an unknown peer was removed")
	}
}

func TestRaft_ThreeServers(t *testing.T) {
	t.Parallel()
	first := startAgent(t, "n1", "127.0.0.1", "-server", "-bootstrap-expect", "1", "-data-dir", t.TempDir())
	join := fmt.Sprintf("127.0.0.1:%d", first.serfLAN)
	second := startAgent(t, "n2", "127.0.0.2", "-server", "-data-dir", t.TempDir(), "-retry-join", join)
	client := startAgent(t, "n3", "127.0.0.3", "-data-dir", t.TempDir(), "-retry-join", join)

	eventually(t, 40*time.Second, func() error {
		raft, err := first.Operator().RaftGetConfiguration(nil)
		if err != nil {
			return err
		}
		voters := 0
		for _, s := range raft.Servers {
			if s.Voter {
				voters++
			}
		}
		if voters != 2 {
			return fmt.Errorf("%d voters", voters)
		}
		return nil
	})
	_, err := client.KV().Put(&api.KVPair{Key: "by-client", Value: []byte("x")}, nil)
	noError(t, err)
	for _, a := range []*agent{first, second, client} {
		if p := must(a.KV().Get("by-client", nil))(t); p == nil {
			t.Fatalf("%s does not have the key", a.node)
		}
	}
	moved, err := first.Operator().RaftLeaderTransfer("", nil)
	noError(t, err)
	equal(t, moved.Success, true)
	eventually(t, 10*time.Second, func() error {
		raft, err := client.Operator().RaftGetConfiguration(nil)
		if err != nil {
			return err
		}
		for _, s := range raft.Servers {
			if s.Leader && s.Node == "n2" {
				return nil
			}
		}
		return fmt.Errorf("n2 does not lead: %+v", raft.Servers)
	})
	// berth answers before the node has left, so the others are given some time.
	_ = client.Agent().Leave() // the connection may be cut, as with Consul
	eventually(t, 10*time.Second, func() error {
		members, err := first.Agent().Members(false)
		if err != nil {
			return err
		}
		for _, m := range members {
			if m.Name == "n3" && m.Status != 3 {
				return fmt.Errorf("n3 has status %d", m.Status)
			}
		}
		return nil
	})
	noError(t, first.Agent().ForceLeavePrune("n3"))
	if err := first.Agent().ForceLeave("nobody"); err == nil {
		t.Fatal("force-leave of an unknown node")
	}
	noError(t, first.Agent().ForceLeave("n1")) // itself: nothing to do
}

func TestAutopilotAndUsage(t *testing.T) {
	t.Parallel()
	a := server(t)
	conf, err := a.Operator().AutopilotGetConfiguration(nil)
	noError(t, err)
	equal(t, conf.CleanupDeadServers, true)
	conf.CleanupDeadServers, conf.MaxTrailingLogs = false, 300
	ok, err := a.Operator().AutopilotCASConfiguration(conf, nil)
	noError(t, err)
	equal(t, ok, true)
	ok, err = a.Operator().AutopilotCASConfiguration(conf, nil)
	noError(t, err)
	equal(t, ok, false)
	conf, err = a.Operator().AutopilotGetConfiguration(nil)
	noError(t, err)
	equal(t, conf.MaxTrailingLogs, uint64(300))
	eventually(t, 20*time.Second, func() error {
		health, err := a.Operator().AutopilotServerHealth(nil)
		if err == nil && (!health.Healthy || len(health.Servers) != 1 || !health.Servers[0].Leader) {
			err = fmt.Errorf("health: %+v", health)
		}
		return err
	})
	state, err := a.Operator().AutopilotState(nil)
	noError(t, err)
	equal(t, len(state.Voters), 1)
	registerExternal(t, a, "ext1", "10.0.0.1", "redis", "passing")
	usage := must(a.Operator().Usage(nil))(t)
	if u := usage.Usage["dc1"]; u.Nodes != 2 || u.Services != 2 || u.ServiceInstances != 2 {
		t.Fatalf("usage: %+v", u)
	}
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	const key, other = "pUqJrVyVRj5jsiYEkM/tFQ==", "HvY8ubRZMgafUOWvrOadwA=="
	a := server(t, "-encrypt", key)
	op := a.Operator()
	noError(t, op.KeyringInstall(other, nil))
	noError(t, op.KeyringUse(other, nil))
	if err := op.KeyringRemove(other, nil); err == nil {
		t.Fatal("the primary key was removed")
	}
	noError(t, op.KeyringRemove(key, nil))
	rings, err := op.KeyringList(nil)
	noError(t, err)
	equal(t, len(rings), 2) // WAN and LAN
	for _, r := range rings {
		if r.Keys[other] != 1 || r.Keys[key] != 0 || r.PrimaryKeys[other] != 1 || r.NumNodes != 1 {
			t.Fatalf("ring: %+v", r)
		}
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	a := server(t)
	registerExternal(t, a, "ext1", "10.0.0.1", "redis", "passing", "primary")
	_, err := a.KV().Put(&api.KVPair{Key: "k", Value: []byte("v"), Flags: 9}, nil)
	noError(t, err)
	session, _, err := a.Session().CreateNoChecks(&api.SessionEntry{Name: "kept", Node: "ext1"}, nil)
	noError(t, err)
	query, _, err := a.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: "q", Service: api.ServiceQuery{Service: "redis"}}, nil)
	noError(t, err)
	snap, _, err := a.Snapshot().Save(nil)
	noError(t, err)
	archive, err := io.ReadAll(snap)
	noError(t, err)
	snap.Close()

	b := server(t)
	_, err = b.KV().Put(&api.KVPair{Key: "before", Value: []byte("goes")}, nil)
	noError(t, err)
	if err := b.Snapshot().Restore(nil, bytes.NewReader(archive[:len(archive)/2])); err == nil {
		t.Fatal("half a snapshot was taken")
	}
	noError(t, b.Snapshot().Restore(nil, bytes.NewReader(archive)))
	if p := must(b.KV().Get("k", nil))(t); p == nil || string(p.Value) != "v" || p.Flags != 9 {
		t.Fatalf("key: %+v", p)
	}
	if p := must(b.KV().Get("before", nil))(t); p != nil {
		t.Fatal("a key from before the restore is still there")
	}
	entries := must(b.Health().Service("redis", "primary", true, nil))(t)
	if len(entries) != 1 || entries[0].Node.Address != "10.0.0.1" || len(entries[0].Checks) != 2 {
		t.Fatalf("entries: %+v", entries)
	}
	if s := must(b.Session().Info(session, nil))(t); s == nil || s.Name != "kept" {
		t.Fatalf("session: %+v", s)
	}
	equal(t, nodesOf(must(b.PreparedQuery().Execute(query, nil))(t).Nodes), []string{"ext1"})
	eventually(t, 20*time.Second, func() error { // its own node is put back
		checks, _, err := b.Health().Node("n1", nil)
		if err == nil && checks.AggregatedStatus() != "passing" {
			err = fmt.Errorf("own checks: %+v", checks)
		}
		return err
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()
	a := dev(t)
	woken := make(chan error, 1)
	_, meta, err := a.Event().List("deploy", nil)
	noError(t, err)
	go func() {
		events, _, err := a.Event().List("deploy", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 20 * time.Second})
		if err == nil && (len(events) != 1 || string(events[0].Payload) != "v2") {
			err = fmt.Errorf("events: %+v", events)
		}
		woken <- err
	}()
	id, _, err := a.Event().Fire(&api.UserEvent{Name: "deploy", Payload: []byte("v2"), NodeFilter: "n."}, nil)
	noError(t, err)
	select {
	case err := <-woken:
		noError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the event did not arrive within 10 s")
	}
	events, meta, err := a.Event().List("", nil)
	noError(t, err)
	if len(events) != 1 || events[0].ID != id || meta.LastIndex != a.Event().IDToIndex(id) {
		t.Fatalf("events %+v, index %d", events, meta.LastIndex)
	}
}
