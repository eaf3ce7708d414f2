package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth"
	"berth/internal/config"
	"berth/internal/testutil"
)

// liveAgent is a whole agent in this process, on a loopback address of its own.
type liveAgent struct {
	t    *testing.T
	addr string // of its HTTP API
	log  lockedBuffer
	stop func() error
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var liveAgents atomic.Uint32

// startLive runs `berth agent -dev` without Docker and DNS, and waits until it can be written to.
func startLive(t *testing.T, args ...string) *liveAgent {
	t.Helper()
	pid := os.Getpid()
	ip := fmt.Sprintf("127.%d.%d.%d", 1+pid>>8%250, pid%256, liveAgents.Add(1))
	a := &liveAgent{t: t, addr: ip + ":18500"}
	set := flag.NewFlagSet("agent", flag.ContinueOnError)
	flags := config.AgentFlags(set)
	testutil.NoError(t, set.Parse(append([]string{
		"-dev", "-docker", "off", "-node", "n1", "-bind", ip, "-client", ip, "-http-port", "18500", "-dns-port", "-1",
		"-server-port", "18300", "-serf-lan-port", "18301", "-serf-wan-port", "18302",
	}, args...)))
	cfg, err := config.Load(flags.Sources(nil))
	testutil.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runAgent(ctx, cfg, &a.log) }()
	a.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Errorf("agent: %v", err)
		}
	})
	testutil.Eventually(t, 20*time.Second, 10*time.Millisecond, func() error {
		if r := a.run("kv", "put", "up", "yes"); r.status != 0 {
			return fmt.Errorf("%s", r.stderr)
		}
		return nil
	})
	return a
}

// run runs a command against the agent.
func (a *liveAgent) run(args ...string) result {
	a.t.Helper()
	return berthCommand(a.t, []string{"BERTH_HTTP_ADDR=" + a.addr}, "", args...)
}

// want runs a command that has to succeed, and gives its output.
func (a *liveAgent) want(args ...string) string {
	a.t.Helper()
	r := a.run(args...)
	if r.status != 0 {
		a.t.Fatalf("berth %s: status %d: %s", strings.Join(args, " "), r.status, r.stderr)
	}
	return r.stdout
}

func (a *liveAgent) client() *client {
	a.t.Helper()
	cl, err := (&env{vars: []string{"BERTH_HTTP_ADDR=" + a.addr}}).client(&clientFlags{})
	testutil.NoError(a.t, err)
	return cl
}

// An agent that the filters of an event do not mean has never heard of it.
func TestLive_EventsForOthers(t *testing.T) {
	a := startLive(t)
	a.want("services", "register", "-name", "web", "-tag", "blue")
	for _, filters := range [][]string{{"-node", "elsewhere"}, {"-service", "absent"}, {"-service", "web", "-tag", "green"}, {"-service", "^web$", "-tag", "blue"}} {
		a.want(append(append([]string{"event", "-name", "deploy"}, filters...), "v2")...)
	}
	var events []berth.UserEvent
	testutil.NoError(t, a.client().get(t.Context(), "/v1/event/list", query("index", "1", "wait", "10s"), &events))
	testutil.Equal(t, len(events), 1)
	testutil.Equal(t, events[0].TagFilter, "blue")
}

func TestLive_SnapshotInspect(t *testing.T) {
	a := startLive(t)
	for _, k := range []string{"app/web/port", "app/web/host", "app/db/port", "other"} {
		a.want("kv", "put", k, "value")
	}
	file := filepath.Join(t.TempDir(), "backup.snap")
	a.want("snapshot", "save", file)
	out := strings.Join(strings.Fields(a.want("snapshot", "inspect", "-kvdetails", "-kvfilter", "app", file)), " ")
	for _, want := range []string{"Checksum verified", "Type Count Size ---- ---- ----", " KVS 5 ", " Node 1 ", " Service 1 ", " Check 1 ", " Total ", "Key Name Count Size", " app/web 2 ", " app/db 1 "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	stats, err := jsonOf[snapshotStats]([]byte(a.want("snapshot", "inspect", "-format", "json", file)))
	testutil.NoError(t, err)
	sum := 0
	for _, s := range stats.Stats {
		sum += s.Sum
	}
	testutil.Equal(t, sum, stats.TotalSize)
	if int64(sum) >= stats.Meta.Size || sum < 500 {
		t.Errorf("rows have %d bytes of %d", sum, stats.Meta.Size)
	}
}

// The log as tools read it: Consul's lines, and JSON when it is asked for.
func TestLive_Monitor(t *testing.T) {
	a := startLive(t)
	for _, c := range []struct{ query, want string }{
		{"?loglevel=debug", " [INFO]  agent.agent: maintenance mode changed: "},
		{"?loglevel=debug&logjson", `"level":"INFO","msg":"maintenance mode changed"`},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		resp, err := a.client().open(ctx, "GET", "/v1/agent/monitor"+c.query, nil, nil)
		testutil.NoError(t, err)
		a.want("maint", "-enable")
		a.want("maint", "-disable")
		text := make([]byte, 0, 4096)
		for !strings.Contains(string(text), c.want) {
			b := make([]byte, 4096)
			n, err := resp.Body.Read(b)
			text = append(text, b[:n]...)
			if err != nil && err != io.EOF {
				t.Errorf("%s: no %q in %s", c.query, c.want, text)
				break
			}
		}
		resp.Body.Close()
		cancel()
	}
}

// A script on stdin, and what is said when no agent takes part.
func TestLive_Exec(t *testing.T) {
	a := startLive(t, "-config", "disable_remote_exec: false")
	r := berthCommand(t, []string{"BERTH_HTTP_ADDR=" + a.addr}, "#!/bin/sh\necho one\necho two\n", "exec", "-wait", "500ms", "-")
	if r.status != 0 || !strings.Contains(r.stdout, "    n1: one\n    n1: two\n") || !strings.HasSuffix(r.stdout, "1 / 1 node(s) completed / acknowledged\n") {
		t.Errorf("a script: %+v", r)
	}
	r = a.run("exec", "-wait", "100ms", "-node", "elsewhere", "uptime")
	if r.status != 0 || r.stdout != "0 / 0 node(s) completed / acknowledged\n" || !strings.Contains(r.stderr, "disable_remote_exec = false") {
		t.Errorf("nobody: %+v", r)
	}
}

// A configuration that the agent cannot take leaves everything as it is.
func TestLive_ReloadOfABrokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yaml")
	write := func(text string) { testutil.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("services: [{name: web, port: 80}, {name: db, port: 5432}]")
	a := startLive(t, "-config-file", file)
	ports := func() (out [2]int) {
		services := map[string]*berth.ServiceInstance{}
		testutil.NoError(t, a.client().get(t.Context(), "/v1/agent/services", nil, &services))
		for i, id := range []string{"web", "db"} {
			if s := services[id]; s != nil {
				out[i] = s.Port
			}
		}
		return out
	}
	for _, broken := range []string{
		`{name: web, port: 81, meta: {"bad key": x}}`, `{name: web, port: 81, check: {args: ["true"], interval: 10s}}`, `{name: web, port: 81, check: {id: serfHealth, ttl: 10s}}`,
	} {
		write("services: [" + broken + ", {name: db, port: 5433}]")
		if r := a.run("reload"); r.status != 1 || !strings.Contains(r.stderr, `service "web" of config: `) {
			t.Errorf("%s: reload: %d %s", broken, r.status, r.stderr)
		}
		testutil.Equal(t, ports(), [2]int{80, 5432})
	}
	write("services: [{name: web, port: 81}, {name: db, port: 5432}]")
	a.want("reload")
	testutil.Equal(t, ports(), [2]int{81, 5432})
}

// A prepared query that does not exist is not made by an update.
func TestLive_UpdateOfNoPreparedQuery(t *testing.T) {
	a := startLive(t)
	err := a.client().put(t.Context(), "/v1/query/8f246b77-f3e1-ff88-5b48-8ec93abf3e05", nil, []byte(`{"Name":"q","Service":{"Service":"web"}}`), nil)
	if err == nil || !strings.Contains(err.Error(), "Cannot modify non-existent prepared query: '8f246b77-f3e1-ff88-5b48-8ec93abf3e05'") {
		t.Fatalf("got %v", err)
	}
}
