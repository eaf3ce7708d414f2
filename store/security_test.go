package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
	"berth/store"
)

const (
	key1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	key2 = "YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="
)

// logs keeps what a node logs at warning level and above.
type logs struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) has(want string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !strings.Contains(l.buf.String(), want) {
		return fmt.Errorf("log has no %q:\n%s", want, l.buf.String())
	}
	return nil
}

func (l *logs) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestCluster_Encrypted(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3, Clients: 1, Key: key1})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	testutil.NoError(t, put(c.Nodes[3], "k"))
	ctx := context.Background()
	t.Run("a plain client is refused", func(t *testing.T) {
		if resp, err := http.Get("http://" + c.Nodes[lead].Addr() + "/internal/store/who"); err == nil {
			resp.Body.Close()
			t.Error("answered")
		}
	})
	t.Run("keys are rotated", func(t *testing.T) {
		for _, op := range [][2]string{{"install", key2}, {"use", key2}, {"remove", key1}} {
			resp, err := c.Nodes[lead].Keyring(ctx, op[0], op[1], 0, false)
			testutil.NoError(t, err)
			for _, r := range resp {
				if r.Error != "" {
					t.Fatalf("%s: %+v", op[0], r)
				}
			}
		}
		resp, err := c.Nodes[lead].Keyring(ctx, "list", "", 0, false)
		testutil.NoError(t, err)
		for _, r := range resp {
			testutil.Equal(t, r.Keys, map[string]int{key2: r.NumNodes})
			testutil.Equal(t, r.PrimaryKeys, map[string]int{key2: r.NumNodes})
		}
		c.Config((lead + 1) % 3).EncryptKey = key2
		c.Restart((lead + 1) % 3) // its new connections use the new key
		testutil.Eventually(t, 10*time.Second, 20*time.Millisecond, func() error { return put(c.Nodes[(lead+1)%3], "k2") })
	})
}

func TestCluster_WrongKeyIsNamedInBothLogs(t *testing.T) {
	var inside, outside logs
	c := testcluster.New(t, testcluster.Options{Servers: 1, Key: key1, Configure: func(_ int, cfg *store.Config) { cfg.Logger = inside.logger() }})
	c.WaitLeader(10 * time.Second)
	cfg := serverConfig(t, "")
	cfg.NodeName, cfg.Server, cfg.BootstrapExpect = "stranger", false, 0
	cfg.EncryptKey, cfg.Logger = key2, outside.logger()
	cfg.Join = store.JoinConfig{LAN: []string{fmt.Sprintf("%s:%d", c.Nodes[0].IP, testcluster.LANPort)}, Interval: 200 * time.Millisecond}
	run(t, cfg)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { return outside.has("encrypt key differs") })
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { return inside.has("encrypt key differs") })
	testutil.Equal(t, len(c.Nodes[0].Members(false)), 1)
}

func TestCluster_MergeIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(cfg *store.Config, id string)
		want   string
	}{
		"another datacenter": {func(cfg *store.Config, _ string) { cfg.Datacenter = "dc9" }, "wrong datacenter"},
		"a cloned node ID":   {func(cfg *store.Config, id string) { cfg.NodeID = id }, "conflicting node ID"},
		"a taken name":       {func(cfg *store.Config, _ string) { cfg.NodeName = "n0" }, "set a different node_name"},
	} {
		t.Run(name, func(t *testing.T) {
			var log logs
			c := testcluster.New(t, testcluster.Options{Servers: 1})
			c.WaitLeader(10 * time.Second)
			cfg := serverConfig(t, "")
			cfg.NodeName, cfg.Server, cfg.BootstrapExpect, cfg.Logger = "x", false, 0, log.logger()
			cfg.Join = store.JoinConfig{LAN: []string{fmt.Sprintf("%s:%d", c.Nodes[0].IP, testcluster.LANPort)}, Interval: 200 * time.Millisecond}
			tc.change(&cfg, c.Nodes[0].ID())
			run(t, cfg)
			testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { return log.has(tc.want) })
			testutil.Equal(t, len(c.Nodes[0].Members(false)), 1)
		})
	}
}

// answer is a handler as httpapi has one: it lets the store decide where it runs.
func answer(n *testcluster.Node, route berth.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Forward(w, r, route) {
			return
		}
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body)
		w.Header().Set("X-Ran-At", n.Name)
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("X-Consul-Token"), body)
	})
}

// An answer that breaks off where it is made does not look whole to the client.
func TestStore_ForwardBrokenAnswer(t *testing.T) {
	for name, length := range map[string]string{"unknown length": "", "known length": "100000"} {
		t.Run(name, func(t *testing.T) {
			broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_, _ = io.WriteString(w, strings.Repeat("x", 50_000))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
			c := testcluster.New(t, testcluster.Options{Servers: 1, Clients: 1, Handler: func(*testcluster.Node) http.Handler { return broken }})
			c.WaitLeader(10 * time.Second)
			agent := httptest.NewServer(answer(c.Nodes[1], berth.Route{Leader: true}))
			defer agent.Close()
			resp, err := http.Get(agent.URL + "/v1/x")
			testutil.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err == nil {
				t.Errorf("status %d and %d bytes, as if they were all", resp.StatusCode, len(body))
			}
		})
	}
}

func TestStore_Forward(t *testing.T) {
	var c *testcluster.Cluster
	leader := berth.Route{Leader: true}
	c = testcluster.New(t, testcluster.Options{Servers: 3, Clients: 1, Handler: func(n *testcluster.Node) http.Handler { return answer(n, leader) }})
	lead := c.WaitLeader(10 * time.Second)
	c.WaitVoters(3, 10*time.Second)
	for _, n := range c.Nodes {
		req := httptest.NewRequest(http.MethodPut, "/v1/kv/a%2Fb?x=1&y=%20", strings.NewReader("the body"))
		req.Header.Set("X-Consul-Token", "secret")
		rec := httptest.NewRecorder()
		answer(n, leader).ServeHTTP(rec, req)
		testutil.Equal(t, rec.Code, http.StatusTeapot)
		testutil.Equal(t, rec.Body.String(), "PUT /v1/kv/a%2Fb?x=1&y=%20 secret the body")
		testutil.Equal(t, rec.Header().Get("X-Ran-At"), c.Nodes[lead].Name)
	}
	t.Run("keys that a file system would tidy up", func(t *testing.T) {
		for _, path := range []string{"/v1/kv/a//b", "/v1/kv//a", "/v1/kv/a/../b/./c", "/v1/kv/..", "/v1/kv/a/%2e%2e/b"} {
			for _, n := range c.Nodes {
				rec := ask(n, leader, http.MethodPut, path)
				testutil.Equal(t, rec.Code, http.StatusTeapot)
				testutil.Equal(t, rec.Body.String(), "PUT "+path+"  ")
			}
		}
	})
	t.Run("stale reads of what only servers have", func(t *testing.T) {
		client := c.Nodes[3]
		testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
			if !client.View().Synced() {
				return errors.New("the replica is not filled")
			}
			return nil
		})
		for _, servers := range []bool{false, true, true, true} { // servers that do not lead say so here
			rec := ask(client, berth.Route{Stale: true, Servers: servers}, http.MethodGet, "/v1/x?stale")
			testutil.Equal(t, rec.Code, http.StatusTeapot)
			testutil.Equal(t, rec.Header().Get("X-Ran-At") != client.Name, servers)
		}
	})
	t.Run("a body that cannot be read", func(t *testing.T) {
		for err, want := range map[error]int{&berth.InvalidError{Status: 413, Text: "too large"}: 413, io.ErrUnexpectedEOF: 400} {
			rec := httptest.NewRecorder()
			answer(c.Nodes[3], leader).ServeHTTP(rec, httptest.NewRequest(http.MethodPut, "/v1/kv/a", iotest.ErrReader(err)))
			testutil.Equal(t, [2]string{fmt.Sprint(rec.Code), rec.Body.String()}, [2]string{fmt.Sprint(want), err.Error()})
		}
	})
	t.Run("unknown datacenter", func(t *testing.T) {
		for _, n := range c.Nodes[:3] {
			rec := httptest.NewRecorder()
			answer(n, berth.Route{Datacenter: "nowhere"}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/catalog/nodes?dc=nowhere", nil))
			testutil.Equal(t, [2]string{fmt.Sprint(rec.Code), rec.Body.String()}, [2]string{"500", "No path to datacenter"})
		}
	})
	t.Run("held while there is no leader", func(t *testing.T) {
		c.Kill(lead)
		rec := httptest.NewRecorder()
		other := c.Nodes[(lead+1)%3]
		answer(other, leader).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/x", nil))
		testutil.Equal(t, rec.Code, http.StatusTeapot)
	})
}
