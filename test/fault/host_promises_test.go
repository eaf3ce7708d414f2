//go:build fault

package fault

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
)

// Two gossip keys.
const (
	testKey  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherKey = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

func TestPromise_AgentKilled_HostFailsAndReturnsAsDockerSays(t *testing.T) {
	beside(t)
	engine := dockertest.Start(t)
	c := newCluster(t, options{servers: 1, clients: 1, configure: func(h *host) {
		if !h.server {
			h.env = []string{"DOCKER_HOST=" + engine.Host()}
		}
	}})
	server, client := c.servers[0], c.clients[0]
	engine.Docker("run", "-d", "--name", "host-a", "-l", "SERVICE_NAME=web-a", "-p", "8080", dockertest.Image)
	engine.Docker("run", "-d", "--name", "host-b", "-l", "SERVICE_NAME=web-b", "-p", "8080", dockertest.Image)
	for _, name := range []string{"web-a", "web-b"} {
		c.eventually(patience(10*time.Second), func() error { return server.resolves(name+".service.consul", 1) })
	}
	client.Kill()
	killed := time.Now()
	c.eventually(patience(15*time.Second), func() error { return server.resolves("web-a.service.consul", 0) })
	t.Logf("its instances left DNS %v after the agent was killed", time.Since(killed).Round(time.Millisecond))
	if out := engine.Docker("ps", "-q"); len(strings.Fields(out)) != 2 {
		t.Errorf("containers that run without the agent: %q", out)
	}
	engine.Docker("rm", "-f", "host-b")
	engine.Docker("run", "-d", "--name", "host-c", "-l", "SERVICE_NAME=web-c", "-p", "8080", dockertest.Image)
	back := time.Now()
	client.Start()
	for name, n := range map[string]int{"web-a": 1, "web-b": 0, "web-c": 1} {
		c.eventually(patience(15*time.Second), func() error { return server.resolves(name+".service.consul", n) })
	}
	t.Logf("all is as Docker says %v after its return", time.Since(back).Round(time.Millisecond))
}

func TestPromise_DockerRestarts_RepairedWithin35s(t *testing.T) {
	beside(t)
	engine := dockertest.Start(t)
	c := newCluster(t, options{servers: 1, clients: 1, configure: func(h *host) {
		if !h.server {
			h.env = []string{"DOCKER_HOST=" + engine.Host()}
		}
	}})
	server := c.servers[0]
	port := testutil.FreePort(t) // it must be free after the restart, too
	engine.Docker("run", "-d", "--restart", "always", "-l", "SERVICE_NAME=stays", "-p", fmt.Sprintf("%d:8080", port), dockertest.Image)
	engine.Docker("run", "-d", "-l", "SERVICE_NAME=dies", "-p", "8080", dockertest.Image)
	for _, name := range []string{"stays", "dies"} {
		c.eventually(patience(10*time.Second), func() error { return server.resolves(name+".service.consul", 1) })
	}
	engine.Kill()
	engine.Up()
	began := time.Now()
	for name, n := range map[string]int{"stays": 1, "dies": 0} {
		c.eventually(35*time.Second, func() error { return server.resolves(name+".service.consul", n) })
	}
	t.Logf("repaired %v after dockerd was back", time.Since(began).Round(time.Millisecond))
}

// newSmallDisks runs three servers, each on a disk that is soon filled, and a client.
func newSmallDisks(t *testing.T) *Cluster {
	t.Helper()
	c := newCluster(t, options{servers: 3, clients: 1, stopped: true, configure: func(h *host) {
		h.set(map[string]any{"raft_logstore": map[string]any{"wal": map[string]any{"segment_size_mb": 1}}, "raft_snapshot_threshold": 500})
	}})
	for _, h := range c.servers {
		c.SmallDisk(h, 32)
	}
	for _, h := range c.hosts {
		h.Start()
	}
	c.waitVoters(3, patience(30*time.Second))
	return c
}

func TestPromise_FullDisk_StepsDown(t *testing.T) {
	beside(t)
	c := newSmallDisks(t)
	client := c.clients[0]
	acks := startWriters(t, "acked", client, client)
	lead := c.waitLeader("dc1", patience(5*time.Second))
	free := c.FillDisk(lead)
	large := strings.Repeat("x", 100<<10) // the log has its next megabyte already
	for n := range 20 {
		if client.putWithin(2*time.Second, fmt.Sprintf("/v1/kv/large/%d", n%4), large) != nil {
			break
		}
	}
	began := time.Now()
	c.eventually(patience(20*time.Second), func() error {
		var next string
		if err := client.getJSON("/v1/status/leader", &next); err != nil {
			return err
		}
		if next == "" || strings.HasPrefix(next, lead.addr()+":") {
			return fmt.Errorf("the leader is %q", next)
		}
		return client.putWithin(2*time.Second, "/v1/kv/elsewhere", "x")
	})
	t.Logf("another server leads and writes %v after the leader could not write", time.Since(began).Round(time.Millisecond))
	for until := time.Now().Add(8 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		c.write(client, "elsewhere") // and it stays so
	}
	c.eventually(patience(5*time.Second), func() error { return lead.logged("no space left on device") })
	t.Log(lead.linesWith("no space left on device")[0])
	if !lead.running() || len(lead.linesWith("panic:")) > 0 {
		t.Errorf("%s has ended or panicked:\n%s", lead.name, lead.tail(3000))
	}
	free()
	c.waitVoters(3, patience(60*time.Second))
	c.write(lead, "again")
	acks.present(t, client, "acked")
	c.agree(patience(20 * time.Second))
}

// A follower that cannot write misses entries; the leader sends them as soon as it can.
func TestPromise_FullDiskOfAFollower_CatchesUp(t *testing.T) {
	beside(t)
	c := newSmallDisks(t)
	client := c.clients[0]
	acks := startWriters(t, "acked", slices.Repeat([]*host{client}, 24)...)
	large := strings.Repeat("x", 100<<10)
	for round := range 4 {
		h := c.follower()
		said := len(h.linesWith("no space left on device"))
		free := c.FillDisk(h)
		c.eventually(patience(20*time.Second), func() error {
			if err := client.putWithin(2*time.Second, "/v1/kv/large", large); err != nil {
				return err
			}
			if len(h.linesWith("no space left on device")) == said {
				return fmt.Errorf("%s can still write", h.name)
			}
			return nil
		})
		free()
		began, value := time.Now(), fmt.Sprint("round ", round)
		c.eventually(patience(5*time.Second), func() error { return client.put("/v1/kv/round", value) })
		c.eventually(patience(10*time.Second), func() error {
			b, err := h.get("/v1/kv/round?raw&stale")
			if err == nil && string(b) != value {
				err = fmt.Errorf("%s has %q", h.name, b)
			}
			return err
		})
		t.Logf("%s has all entries %v after its disk had room again", h.name, time.Since(began).Round(time.Millisecond))
	}
	acks.present(t, client, "acked")
	c.agree(patience(20 * time.Second))
}

func TestPromise_StalledServer_IsReplacedAndReturns(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 1})
	acks := startWriters(t, "acked", c.clients[0])
	lead := c.waitLeader("dc1", patience(5*time.Second))
	began := time.Now()
	stalled := make(chan struct{})
	go func() { lead.Pause(8 * time.Second); close(stalled) }()
	c.eventually(patience(8*time.Second), func() error { return c.clients[0].putWithin(5*time.Second, "/v1/kv/elsewhere", "x") })
	t.Logf("the next write was accepted %v after the leader stalled", time.Since(began).Round(time.Millisecond))
	<-stalled
	c.waitVoters(3, patience(30*time.Second))
	c.write(lead, "again")
	acks.present(t, c.clients[0], "acked")
	c.agree(patience(10 * time.Second))
}

func TestPromise_HostileInput_NothingDiesNothingIsStoredHalf(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 1, clients: 1, key: testKey})
	server, client := c.servers[0], c.clients[0]
	testutil.NoError(t, client.register("web", "web", 80))
	c.eventually(patience(5*time.Second), func() error { return server.resolves("web.service.consul", 1) })
	var before map[string]string
	c.eventually(patience(10*time.Second), func() (err error) { // the leader has said of both hosts what it has to say
		before, err = server.state()
		if n := strings.Count(before["/v1/health/state/any?stale"], `"CheckID":"serfHealth"`); err == nil && n != 2 {
			err = fmt.Errorf("serfHealth of %d hosts", n)
		}
		return err
	})
	rnd := rand.New(rand.NewPCG(1, 1))
	noise := func() []byte {
		b := make([]byte, 1+rnd.IntN(1400))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	for range 200 {
		for _, to := range []string{"udp " + server.addr() + ":8301", "udp " + server.addr() + ":8302", "udp " + dnsAddr,
			"tcp " + server.addr() + ":8300", "tcp " + server.addr() + ":8301", "tcp " + server.addr() + ":8302", "tcp " + httpAddr, "tcp " + dnsAddr} {
			network, addr, _ := strings.Cut(to, " ")
			conn, err := dialIn(t.Context(), server.ns, network, addr)
			if err != nil {
				continue // the port has had enough for a moment
			}
			_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = conn.Write(noise())
			conn.Close()
		}
	}
	bodies := map[string]string{
		"/v1/agent/service/register": `{"Name":"half","Port":99999999}`, "/v1/catalog/register": `{"Node":"half","Address":"x","Service":{"Service":"half","Port":-5},"Checks":[{"Name":7}]}`,
		"/v1/txn": `[{"KV":{"Verb":"set","Key":"half","Value":"eA=="}},{"KV":{"Verb":"nonsense","Key":"x"}}]`, "/v1/session/create": `{"TTL":"never"}`,
	}
	for path, body := range bodies {
		for _, b := range []string{body, string(noise()), body[:len(body)/2], strings.Repeat("[", 100_000)} {
			if _, _, err := server.do(t.Context(), http.MethodPut, path, b); err == nil {
				t.Errorf("PUT %s took %.80q", path, b)
			}
		}
	}
	testutil.NoError(t, server.resolves("web.service.consul", 1))
	after, err := server.state()
	testutil.NoError(t, err)
	for path, v := range before {
		testutil.Equal(t, after[path], v)
	}
	c.write(client, "after")
	testutil.NoError(t, client.memberIs("s1", memberAlive))
	if bad := server.linesWith("panic"); len(bad) > 0 {
		t.Errorf("panics: %v", bad)
	}
}

func TestPromise_WrongKey_IsNamedInBothLogs(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 1, clients: 1, key: testKey, stopped: true})
	server, client := c.servers[0], c.clients[0]
	client.set(map[string]any{"encrypt": otherKey})
	server.Start()
	c.waitLeader("dc1", patience(10*time.Second))
	client.Start()
	for _, h := range c.hosts {
		c.eventually(patience(20*time.Second), func() error { return h.logged("encrypt key") })
		t.Logf("%s: %s", h.name, h.linesWith("encrypt key")[0])
	}
	all, err := server.members(false)
	testutil.NoError(t, err)
	if len(all) != 1 {
		t.Errorf("the server has members %v", all)
	}
	if _, _, err := client.do(t.Context(), http.MethodGet, "/v1/catalog/nodes", ""); err == nil {
		t.Error("an agent without the key reads the catalog")
	}
}

func TestSoleServer_ThatJoinsItselfByName_IsQuiet(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 1})
	time.Sleep(5 * time.Second)
	if said := c.servers[0].linesWith("joined"); len(said) > 0 {
		t.Errorf("it says that it joined itself %d times in 5 s: %s", len(said), said[0])
	}
	if said := c.servers[0].linesWith("join failed"); len(said) > 0 {
		t.Errorf("it says that it cannot join: %s", said[0])
	}
}

func TestFederation_FirstAnswerIsQuick(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 1, clients: 1, datacenters: 2})
	remote := c.of("dc2")[0]
	testutil.NoError(t, remote.register("far", "far", 80))
	c.eventually(patience(10*time.Second), func() error { return remote.resolves("far.service.consul", 1) })
	c.eventually(patience(40*time.Second), func() error {
		all, err := c.servers[0].members(true)
		if err == nil && len(all) != 2 {
			err = fmt.Errorf("WAN members: %v", all)
		}
		return err
	})
	for _, h := range []*host{c.servers[0], c.clients[0]} {
		meter := measureStalls()
		began := time.Now()
		got, rcode, err := h.lookup("far.service.dc2.consul", 10*time.Second)
		took := time.Since(began)
		t.Logf("%s: the first answer about another datacenter took %v", h.name, took.Round(100*time.Microsecond))
		if err != nil || len(got) != 1 {
			t.Errorf("%s: rcode %d, %v: %v", h.name, rcode, got, err)
		}
		if stalled := meter.end(); took > time.Second+stalled {
			t.Errorf("%s: the first answer took %v, stalls of this machine %v", h.name, took, stalled)
		}
	}
	remote.end(syscall.SIGKILL)
	began := time.Now()
	c.eventually(patience(60*time.Second), func() error {
		ctx := t.Context()
		at := time.Now()
		_, _, err := c.clients[0].do(ctx, http.MethodGet, "/v1/catalog/nodes?dc=dc2", "")
		if took := time.Since(at); err == nil || took > time.Second {
			return fmt.Errorf("a request to a dead datacenter: %v after %v", err, took)
		}
		return nil
	})
	t.Logf("a dead datacenter is an error within a second %v after its death", time.Since(began).Round(time.Millisecond))
	c.write(c.clients[0], "local")
}

func TestDamagedLog_IsNamedWithARemedy(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 1, configure: func(h *host) {
		h.set(map[string]any{"raft_logstore": map[string]any{"wal": map[string]any{"segment_size_mb": 1}}})
	}})
	server := c.servers[0]
	testutil.NoError(t, server.put("/v1/kv/marked", "the-marked-entry"))
	for n := range 20 { // the first segment of the log is full and closed
		testutil.NoError(t, server.put(fmt.Sprintf("/v1/kv/large/%d", n), strings.Repeat("x", 100<<10)))
	}
	server.Kill()
	segments, err := filepath.Glob(filepath.Join(server.dataDir(), "raft", "wal", "*.wal"))
	testutil.NoError(t, err)
	damaged := 0
	for _, file := range segments {
		b, err := os.ReadFile(file)
		testutil.NoError(t, err)
		if at := bytes.Index(b, []byte("the-marked-entry")); at > 0 {
			copy(b[at-60:at+16], bytes.Repeat([]byte{0xc1}, 76))
			testutil.NoError(t, os.WriteFile(file, b, 0o600))
			damaged++
		}
	}
	if damaged == 0 {
		t.Fatal("the entry is in no segment")
	}
	testutil.NoError(t, server.start())
	testutil.NoError(t, server.awaitExit(patience(10*time.Second)))
	if code := server.exitCode(); code == 0 {
		t.Error("it ended with status 0")
	}
	said := server.linesWith("is damaged", filepath.Join(server.dataDir(), "raft"), "log entry ", "rejoins empty")
	if len(said) != 1 || len(server.linesWith("goroutine ")) > 0 {
		t.Errorf("it does not say in one line what is damaged and what to do: %v\n%s", said, server.tail(3000))
	}
	t.Log(said)
}
