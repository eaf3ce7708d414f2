package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/store"
)

func serverConfig(t testing.TB, dir string) store.Config {
	return store.Config{
		Logger: testutil.Logger(t), NodeName: "n1", Datacenter: "dc1", DataDir: dir, Version: "0.0.1", Server: true, BootstrapExpect: 1,
		Net: store.NetConfig{BindAddr: "127.0.0.1"},
	}
}

// run starts a store and stops it with the test, or when stop is called.
func run(t testing.TB, cfg store.Config) (s *store.Store, stop func()) {
	t.Helper()
	s, err := store.New(cfg)
	testutil.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(15 * time.Second):
				t.Error("Run did not end within 15 s")
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
}

func waitLeader(t testing.TB, s *store.Store) {
	t.Helper()
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if s.Leader() == "" {
			return fmt.Errorf("no leader")
		}
		return nil
	})
}

func TestStore_ColdStart(t *testing.T) {
	for name, dir := range map[string]string{"in memory": "", "with a data directory": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			s, _ := run(t, serverConfig(t, dir))
			waitLeader(t, s)
			t.Logf("leader known after %v", time.Since(began))
			_, err := s.KVApply(context.Background(), berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "a", Value: []byte("b")}})
			testutil.NoError(t, err)
			t.Logf("first write after %v", time.Since(began))
			if d := time.Since(began); d > 2*time.Second {
				t.Errorf("cold start took %v", d)
			}
		})
	}
}

// registered waits until gossip's news about the server itself are in the catalog.
func registered(t testing.TB, s *store.Store) *berth.NodeServices {
	t.Helper()
	var ns *berth.NodeServices
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() (err error) {
		if ns, _, err = s.Node(context.Background(), "n1", berth.QueryOptions{}); err == nil && ns == nil {
			err = fmt.Errorf("own node is not registered")
		}
		return err
	})
	return ns
}

func TestStore_Leader_RegistersItself(t *testing.T) {
	s, _ := run(t, serverConfig(t, ""))
	ns := registered(t, s)
	testutil.Equal(t, ns.Node.Address, "127.0.0.1")
	testutil.Equal(t, ns.Node.ID, s.ID())
	testutil.Equal(t, ns.Node.TaggedAddresses, map[string]string{"lan": "127.0.0.1", "lan_ipv4": "127.0.0.1", "wan": "127.0.0.1", "wan_ipv4": "127.0.0.1"})
	testutil.Equal(t, ns.Node.Meta, map[string]string{"consul-network-segment": "", "consul-version": "0.0.1"})
	testutil.Equal(t, len(ns.Services), 1)
	testutil.Equal(t, ns.Services[0].ID, "consul")
	testutil.Equal(t, len(ns.Checks), 1)
	testutil.Equal(t, [3]string{ns.Checks[0].CheckID, ns.Checks[0].Status, ns.Checks[0].Output}, [3]string{"serfHealth", "passing", "Agent alive and reachable"})
	if !s.View().Synced() || len(s.View().Servers()) != 1 {
		t.Error("DNS does not see the server")
	}
}

// A living member that somebody takes out of the catalog is back at once, with its serfHealth.
func TestStore_Leader_PutsALivingMemberBack(t *testing.T) {
	s, _ := run(t, serverConfig(t, ""))
	registered(t, s)
	ctx := context.Background()
	for what, takeOut := range map[string]func() error{
		"node":       func() error { return s.Deregister(ctx, &berth.Deregistration{Node: "n1"}) },
		"serfHealth": func() error { return s.Deregister(ctx, &berth.Deregistration{Node: "n1", CheckID: "serfHealth"}) },
		"transaction": func() error {
			_, err := s.Txn(ctx, []berth.TxnOp{{Node: &berth.TxnNodeOp{Verb: "delete", Node: berth.Node{Name: "n1"}}}})
			return err
		},
	} {
		testutil.NoError(t, takeOut())
		testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
			ns, _, err := s.Node(ctx, "n1", berth.QueryOptions{})
			if err == nil && (ns == nil || len(ns.Checks) != 1 || ns.Checks[0].CheckID != "serfHealth" || len(ns.Services) != 1) {
				err = fmt.Errorf("%s was taken out and is not back: %+v", what, ns)
			}
			return err
		})
	}
}

func TestStore_Restart_KeepsWhatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s, stop := run(t, serverConfig(t, dir))
	waitLeader(t, s)
	ctx := context.Background()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := s.Register(ctx, &berth.Registration{Node: fmt.Sprint("host", i), Address: "10.0.0.1", Service: &berth.ServiceInstance{ID: "web", Name: "web"}}); err != nil {
				t.Errorf("register: %v", err)
			}
		})
	}
	wg.Wait()
	id := s.ID()
	stop()

	began := time.Now()
	s, _ = run(t, serverConfig(t, dir))
	waitLeader(t, s)
	t.Logf("leader after restart in %v", time.Since(began))
	testutil.Equal(t, s.ID(), id)
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		entries, _, err := s.Service(ctx, "web", berth.QueryOptions{})
		if err == nil && len(entries) != 200 {
			err = fmt.Errorf("%d instances", len(entries))
		}
		return err
	})
}

func TestStore_BlockingRead(t *testing.T) {
	s, _ := run(t, serverConfig(t, ""))
	registered(t, s)
	ctx := context.Background()
	put := func(key string) {
		t.Helper()
		_, err := s.KVApply(ctx, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: key, Value: []byte(time.Now().String())}})
		testutil.NoError(t, err)
	}
	put("a")
	_, meta, err := s.KVGet(ctx, "a", berth.QueryOptions{})
	testutil.NoError(t, err)

	t.Run("answers when its own key changes, not before", func(t *testing.T) {
		answered := make(chan berth.QueryMeta, 1)
		go func() {
			_, m, _ := s.KVGet(ctx, "a", berth.QueryOptions{MinIndex: meta.Index})
			answered <- m
		}()
		for range 20 {
			put("b")
		}
		select {
		case <-answered:
			t.Fatal("another key's change answered the read")
		default:
		}
		put("a")
		select {
		case m := <-answered:
			if m.Index <= meta.Index {
				t.Errorf("index %d is not above %d", m.Index, meta.Index)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("not answered")
		}
	})
	t.Run("gives the present result when the wait is over", func(t *testing.T) {
		e, m, err := s.KVGet(ctx, "b", berth.QueryOptions{MinIndex: 1 << 40, MaxWait: 20 * time.Millisecond})
		testutil.NoError(t, err)
		if e == nil || m.Index == 0 {
			t.Errorf("got %v, index %d", e, m.Index)
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		cctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, _, err := s.KVGet(cctx, "b", berth.QueryOptions{MinIndex: 1 << 40}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a missing key answers when it appears", func(t *testing.T) {
		_, m, err := s.KVGet(ctx, "later", berth.QueryOptions{})
		testutil.NoError(t, err)
		answered := make(chan *berth.KVEntry, 1)
		go func() {
			e, _, _ := s.KVGet(ctx, "later", berth.QueryOptions{MinIndex: m.Index})
			answered <- e
		}()
		put("b")
		put("later")
		select {
		case e := <-answered:
			if e == nil {
				t.Error("answered while the key was missing")
			}
		case <-time.After(5 * time.Second):
			t.Fatal("not answered")
		}
	})
}

func TestNew_RefusesWhatCannotWork(t *testing.T) {
	dir := t.TempDir()
	s, _ := run(t, serverConfig(t, dir))
	waitLeader(t, s)
	taken := serverConfig(t, "")
	fmt.Sscanf(s.Addr(), "127.0.0.1:%d", &taken.Net.ServerPort)
	file := serverConfig(t, "/dev/null/x")
	expect := serverConfig(t, "")
	expect.Server = false
	noName := serverConfig(t, "")
	noName.NodeName = ""
	key := serverConfig(t, "")
	key.EncryptKey = "c2hvcnQ="
	for name, c := range map[string]struct {
		cfg  store.Config
		want string
	}{
		"a data directory in use":      {serverConfig(t, dir), "in use by another agent (pid "},
		"a port in use":                {taken, "port is in use by "},
		"a data directory in a file":   {file, "/dev/null/x"},
		"bootstrap_expect on a client": {expect, "bootstrap_expect is for servers only"},
		"no node name":                 {noName, "set node_name"},
		"a short key":                  {key, "berth keygen"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := store.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
