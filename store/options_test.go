package store_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
	"berth/store"
	"berth/store/gossip"
)

func (l *logs) eventually(t *testing.T, want string) {
	t.Helper()
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error { return l.has(want) })
}

// nodeKnown says whether the catalog of n's cluster has a node.
func nodeKnown(n *testcluster.Node, name string) (bool, error) {
	ns, _, err := n.Node(context.Background(), name, berth.QueryOptions{})
	return ns != nil && ns.Node != nil, err
}

func TestOptions_ReconnectIn_NodeIsForgottenByItsOwnTime(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 2, Configure: func(i int, cfg *store.Config) {
		cfg.Gossip.LAN = gossip.Timing{ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond, SuspicionMult: 1, GossipInterval: 20 * time.Millisecond}
		if i == 1 {
			cfg.Gossip.ReconnectIn = time.Second
		}
	}})
	c.WaitLeader(10 * time.Second)
	server := c.Nodes[0]
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		for _, name := range []string{"n1", "n2"} {
			if ok, err := nodeKnown(server, name); !ok {
				return fmt.Errorf("%s is not in the catalog: %v", name, err)
			}
		}
		return nil
	})
	c.Kill(1)
	c.Kill(2)
	testutil.Eventually(t, 15*time.Second, 20*time.Millisecond, func() error {
		if ok, err := nodeKnown(server, "n1"); ok || err != nil {
			return fmt.Errorf("the node that shall be forgotten after 1s is still there: %v", err)
		}
		return nil
	})
	if ok, _ := nodeKnown(server, "n2"); !ok {
		t.Error("a node without a time of its own was forgotten, too")
	}
}

func TestOptions_GossipTiming_FailureIsSeenSooner(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1, Configure: func(_ int, cfg *store.Config) {
		cfg.Gossip.LAN = gossip.Timing{ProbeInterval: 50 * time.Millisecond, ProbeTimeout: 25 * time.Millisecond, SuspicionMult: 1, GossipInterval: 10 * time.Millisecond}
	}})
	c.WaitLeader(10 * time.Second)
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		if n := len(c.Nodes[0].Members(false)); n != 2 {
			return fmt.Errorf("%d members", n)
		}
		return nil
	})
	c.Kill(1)
	testutil.Eventually(t, 1500*time.Millisecond, 5*time.Millisecond, func() error { // the default takes over 4 s
		for _, m := range c.Nodes[0].Members(false) {
			if m.Name == "n1" && m.Status != berth.MemberFailed {
				return fmt.Errorf("n1 is %v", m.Status)
			}
		}
		return nil
	})
}

func TestOptions_SerfBind(t *testing.T) {
	cfg := serverConfig(t, "")
	cfg.Net.BindLAN, cfg.Net.BindWAN = "127.0.0.2", "127.0.0.3"
	cfg.Net.LANPort, cfg.Net.WANPort = testutil.FreePort(t), testutil.FreePort(t)
	s, _ := run(t, cfg)
	waitLeader(t, s)
	for _, x := range []struct {
		ip   string
		port int
	}{{"127.0.0.2", cfg.Net.LANPort}, {"127.0.0.3", cfg.Net.WANPort}} {
		l, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", x.ip, x.port))
		if err == nil {
			l.Close()
			t.Errorf("gossip does not listen on %s:%d", x.ip, x.port)
		}
	}
	l, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", cfg.Net.LANPort))
	if err != nil {
		t.Errorf("LAN gossip listens on bind_addr: %v", err)
	} else {
		l.Close()
	}
}

func TestOptions_AllowedNetworks(t *testing.T) {
	t.Run("members from elsewhere stay out", func(t *testing.T) {
		c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1, Configure: func(i int, cfg *store.Config) {
			if i == 0 {
				cfg.Net.AllowedLAN = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(cfg.Net.BindAddr), 32)}
			}
		}})
		c.WaitLeader(10 * time.Second)
		if _, err := c.Nodes[1].Join([]string{fmt.Sprintf("%s:%d", c.Nodes[0].IP, testcluster.LANPort)}, false); err != nil {
			t.Logf("join: %v", err) // answered or not: the stranger must not be taken for a member
		}
		testutil.Equal(t, len(c.Nodes[0].Members(false)), 1)
	})
	t.Run("an agent that shuts itself out does not start", func(t *testing.T) {
		cfg := serverConfig(t, "")
		cfg.Net.AllowedLAN = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		s, err := store.New(cfg)
		if err == nil {
			s.Close()
			t.Fatal("started")
		}
		testutil.Equal(t, err.Error(), "this agent's own address 127.0.0.1 is outside serf_lan_allowed_cidrs: add its network there")
	})
}

func TestOptions_NoKeyringFile(t *testing.T) {
	for name, off := range map[string]bool{"kept": false, "not kept": true} {
		t.Run(name, func(t *testing.T) {
			cfg := serverConfig(t, t.TempDir())
			cfg.EncryptKey, cfg.Gossip.NoKeyringFile = key1, off
			s, _ := run(t, cfg)
			waitLeader(t, s)
			_, err := os.Stat(filepath.Join(cfg.DataDir, "serf", "local.keyring"))
			testutil.Equal(t, os.IsNotExist(err), off)
		})
	}
}

// TestOptions_EncryptionIsTurnedOn: a cluster in clear text gets its key one agent after the
// other, and works meanwhile.
func TestOptions_EncryptionIsTurnedOn(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1})
	c.WaitLeader(10 * time.Second)
	works := func(step string) {
		t.Helper()
		testutil.Eventually(t, 10*time.Second, 20*time.Millisecond, func() error {
			if err := put(c.Nodes[1], "key"); err != nil {
				return fmt.Errorf("%s: %w", step, err)
			}
			return nil
		})
	}
	for _, step := range []store.GossipConfig{{TakeClear: true, SendClear: true}, {TakeClear: true}, {}} {
		for i := range c.Nodes {
			c.Config(i).EncryptKey, c.Config(i).Gossip = key1, step
			c.Restart(i)
			works(fmt.Sprintf("%+v at node %d", step, i))
		}
	}
}

func TestOptions_RaftLogSegments(t *testing.T) {
	dir := t.TempDir()
	cfg := serverConfig(t, dir)
	cfg.Raft.SegmentBytes, cfg.Raft.NoPreVote = 1<<20, true
	s, stop := run(t, cfg)
	waitLeader(t, s)
	stop()
	files, err := filepath.Glob(filepath.Join(dir, "raft", "wal", "*.wal"))
	testutil.NoError(t, err)
	if len(files) == 0 {
		t.Fatal("no log files")
	}
	info, err := os.Stat(files[0])
	testutil.NoError(t, err)
	if info.Size() > 2<<20 {
		t.Errorf("a log file has %d bytes, segments shall have 1 MiB", info.Size())
	}
}

// ask sends one request through the node's handler as a user would.
func ask(n *testcluster.Node, route berth.Route, method, url string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	answer(n, route).ServeHTTP(rec, httptest.NewRequest(method, url, nil))
	return rec
}

func TestOptions_RequestLimits(t *testing.T) {
	for _, mode := range []string{store.LimitsOff, store.LimitsPermissive, store.LimitsEnforcing} {
		t.Run(mode, func(t *testing.T) {
			var log logs
			leader := berth.Route{Leader: true}
			c := testcluster.New(t, testcluster.Options{
				Servers: 1, Clients: 1, Handler: func(n *testcluster.Node) http.Handler { return answer(n, leader) },
				Configure: func(i int, cfg *store.Config) {
					cfg.Limits = store.Limits{Mode: mode, WriteRate: 2}
					if i == 0 {
						cfg.Logger = log.logger()
					}
				},
			})
			c.WaitLeader(10 * time.Second)
			codes := map[int]int{}
			for range 20 {
				rec := ask(c.Nodes[1], leader, http.MethodPut, "/v1/kv/a")
				codes[rec.Code]++
				if rec.Code == http.StatusTooManyRequests && rec.Body.String() != "rate limit exceeded, try again later or against a different server" {
					t.Errorf("refused with %q", rec.Body)
				}
			}
			for range 20 { // reads have no limit
				testutil.Equal(t, ask(c.Nodes[0], leader, http.MethodGet, "/v1/kv/a").Code, http.StatusTeapot)
			}
			switch refused := codes[http.StatusTooManyRequests]; mode {
			case store.LimitsEnforcing:
				if refused == 0 || codes[http.StatusTeapot] == 0 {
					t.Errorf("answers: %v", codes)
				}
				testutil.NoError(t, c.Nodes[0].SetLimits(store.Limits{}))
				testutil.Equal(t, ask(c.Nodes[1], leader, http.MethodPut, "/v1/kv/a").Code, http.StatusTeapot)
			default:
				testutil.Equal(t, refused, 0)
			}
			if mode != store.LimitsOff {
				log.eventually(t, "requests are over their limit")
			}
		})
	}
}

func TestOptions_ForwardLimits(t *testing.T) {
	const limit = time.Second // no busy machine keeps a quick answer for so long
	leader := berth.Route{Leader: true}
	slow := make(chan struct{})
	t.Cleanup(func() { close(slow) })
	c := testcluster.New(t, testcluster.Options{
		Servers: 1, Clients: 1,
		Handler: func(n *testcluster.Node) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/slow" {
					select {
					case <-slow:
					case <-r.Context().Done():
					case <-time.After(limit * 3 / 2):
					}
				}
				answer(n, leader).ServeHTTP(w, r)
			})
		},
		Configure: func(i int, cfg *store.Config) {
			cfg.Limits = store.Limits{ForwardRate: 0.001, ForwardBurst: 4, ForwardTimeout: limit}
		},
	})
	c.WaitLeader(10 * time.Second)
	client := c.Nodes[1]
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		if client.Leader() == "" {
			return fmt.Errorf("no leader is known")
		}
		return nil
	})
	testutil.Equal(t, ask(client, leader, http.MethodGet, "/v1/fast").Code, http.StatusTeapot)
	rec := ask(client, leader, http.MethodGet, "/v1/slow")
	testutil.Equal(t, rec.Code, http.StatusInternalServerError)
	testutil.Equal(t, ask(client, leader, http.MethodGet, "/v1/slow?index=7").Code, http.StatusTeapot)
	testutil.Equal(t, ask(client, leader, http.MethodGet, "/v1/fast").Code, http.StatusTeapot)
	rec = ask(client, leader, http.MethodGet, "/v1/fast")
	testutil.Equal(t, rec.Code, http.StatusTooManyRequests)
	testutil.Equal(t, rec.Body.String(), "RPC rate limit exceeded")
	testutil.NoError(t, client.SetLimits(store.Limits{}))
	testutil.Equal(t, ask(client, leader, http.MethodGet, "/v1/fast").Code, http.StatusTeapot)
}
