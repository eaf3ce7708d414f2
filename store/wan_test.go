package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
	"berth/store"
)

func TestCluster_RetryJoinFederatesDatacenters(t *testing.T) {
	var log logs
	// Requests for dc2 that run anywhere say where they ran.
	handler := func(n *testcluster.Node) http.Handler { return answer(n, berth.Route{Leader: true, Datacenter: "dc2"}) }
	dc1 := testcluster.New(t, testcluster.Options{Servers: 2, Clients: 1, Handler: handler})
	dc1.WaitLeader(10 * time.Second)
	foreign := fmt.Sprintf("%s:%d", dc1.Nodes[0].IP, testcluster.LANPort) // a server of dc1
	dc2 := testcluster.New(t, testcluster.Options{Servers: 1, Datacenter: "dc2", Handler: handler, Configure: func(_ int, c *store.Config) {
		c.NodeName, c.Logger = "other", slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Join.LAN = []string{foreign}
		c.Join.Interval = 50 * time.Millisecond
	}})
	dc2.WaitLeader(10 * time.Second)
	testutil.Eventually(t, 10*time.Second, 20*time.Millisecond, func() error {
		for _, n := range append(append([]*testcluster.Node{}, dc1.Nodes...), dc2.Nodes...) {
			if got := fmt.Sprint(n.Datacenters()); got != "[dc1 dc2]" && got != "[dc2 dc1]" {
				return fmt.Errorf("%s knows the datacenters %s", n.Name, got)
			}
		}
		return nil
	})
	testutil.NoError(t, log.has("federated with it over WAN"))
	tries := func() int { return log.count("push/pull sync with:  " + foreign) }
	enough := tries() + 3 // a LAN peer may be behind the address later; federation is told once
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		if n := tries(); n < enough {
			return fmt.Errorf("%d tries to join the LAN pool, want %d", n, enough)
		}
		return nil
	})
	testutil.Equal(t, [2]int{log.count("federated with it over WAN"), log.count("msg=joined")}, [2]int{1, 0})
	testutil.Equal(t, len(dc1.Nodes[0].Members(true)), 3) // the other server of dc1 has been taken along
	testutil.Equal(t, len(dc2.Nodes[0].Members(false)), 1)
	for _, n := range dc1.Nodes {
		rec := httptest.NewRecorder()
		handler(n).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/kv/x?dc=dc2", nil))
		testutil.Equal(t, [2]string{rec.Header().Get("X-Ran-At"), rec.Body.String()}, [2]string{"other", "GET /v1/kv/x?dc=dc2  "})
	}
}

func TestStore_Session_Expires(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1, Configure: func(_ int, c *store.Config) { c.SessionTTLMin = 100 * time.Millisecond }})
	c.WaitLeader(10 * time.Second)
	ctx, s := context.Background(), c.Nodes[1]
	create := func() (id string) {
		testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() (err error) {
			id, err = s.SessionCreate(ctx, &berth.Session{Node: "n0", TTL: "300ms"})
			return err
		})
		return id
	}
	lost, kept := create(), create()
	began := time.Now()
	testutil.Eventually(t, 5*time.Second, 20*time.Millisecond, func() error {
		if _, err := s.SessionRenew(ctx, kept); err != nil {
			t.Fatalf("renew: %v", err)
		}
		if x, _, err := c.Nodes[0].Session(ctx, lost, berth.QueryOptions{}); err != nil || x != nil {
			return fmt.Errorf("session that nobody renews is there: %v", err)
		}
		return nil
	})
	if d := time.Since(began); d < 500*time.Millisecond {
		t.Errorf("expired after %v, before twice its TTL", d)
	}
	if _, err := s.SessionRenew(ctx, lost); err != berth.ErrSessionNotFound { //nolint:errorlint // the very value crosses the wire
		t.Errorf("renewing an expired session: %v", err)
	}
	if _, err := s.SessionCreate(ctx, &berth.Session{Node: "n0", TTL: "1ms"}); err == nil {
		t.Error("a TTL below the minimum was taken")
	}
}

func TestStore_Snapshot_SaveAndRestore(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3, Clients: 1})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	ctx, s := context.Background(), c.Nodes[lead]
	testutil.NoError(t, s.Register(ctx, &berth.Registration{Node: "ext", Address: "10.9.9.9", Service: &berth.ServiceInstance{ID: "db", Name: "db"}}))
	var archive bytes.Buffer
	testutil.NoError(t, s.SnapshotSave(ctx, &archive))
	testutil.NoError(t, s.Deregister(ctx, &berth.Deregistration{Node: "ext"}))
	all := func(want int) {
		t.Helper()
		testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
			for _, n := range c.Nodes {
				if got := len(n.View().Service("db")); got != want {
					return fmt.Errorf("%s has %d instances, want %d", n.Name, got, want)
				}
			}
			return nil
		})
	}
	all(0)
	_, meta, err := s.Service(ctx, "db", berth.QueryOptions{})
	testutil.NoError(t, err)
	woken := make(chan int, 1)
	go func() {
		e, _, _ := s.Service(ctx, "db", berth.QueryOptions{MinIndex: meta.Index})
		woken <- len(e)
	}()
	testutil.Eventually(t, 10*time.Second, time.Millisecond, func() error { // a read that begins later does not see a replacement
		stacks := make([]byte, 16<<20)
		for g := range bytes.SplitSeq(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
			// The leader's session timers watch the state, too.
			if bytes.Contains(g, []byte("WatchSet.WatchCtx")) && bytes.Contains(g, []byte("(*Store).Service(")) {
				return nil
			}
		}
		return fmt.Errorf("the read does not block")
	})
	damaged := append([]byte{}, archive.Bytes()...)
	damaged[len(damaged)/2] ^= 0xff
	var invalid *berth.InvalidError
	if err := s.SnapshotRestore(ctx, bytes.NewReader(damaged)); !errors.As(err, &invalid) || invalid.Status != 400 {
		t.Errorf("a damaged archive was restored, or is not the client's fault: %v", err)
	}
	testutil.NoError(t, s.SnapshotRestore(ctx, bytes.NewReader(archive.Bytes())))
	all(1)
	select {
	case n := <-woken:
		testutil.Equal(t, n, 1)
	case <-time.After(5 * time.Second):
		t.Error("the restore did not wake a blocked read")
	}
	testutil.NoError(t, put(c.Nodes[3], "after"))
}

func TestStore_UserEvent(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1})
	c.WaitLeader(10 * time.Second)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
		if n := len(c.Nodes[0].Members(false)); n != 2 {
			return fmt.Errorf("%d members", n)
		}
		return nil
	})
	changed := c.Nodes[0].EventsChanged()
	testutil.NoError(t, c.Nodes[1].FireEvent(context.Background(), &berth.UserEvent{Name: "deploy", Payload: []byte("v2"), NodeFilter: "n.*"}))
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Fatal("no event came")
	}
	e := c.Nodes[0].Events()[0]
	testutil.Equal(t, [4]string{e.Name, string(e.Payload), e.NodeFilter, fmt.Sprint(e.ID != "")}, [4]string{"deploy", "v2", "n.*", "true"})
}
