//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth"
	"berth/internal/dockertest"
	"berth/internal/testutil"
	"berth/registrator/enginetest"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// Rows of the registrator's failure table that need more than the registrator; the others are in
// package registrator.

// newAgent is an agent with a data directory and ports of its own that was not started yet.
func newAgent(t testing.TB, name, dockerHost string, args ...string) *agent {
	t.Helper()
	a := &agent{t: t, http: testutil.FreePort(t), dns: testutil.FreePort(t), log: &syncBuffer{}}
	if dockerHost == "" {
		dockerHost = "unix://" + filepath.Join(t.TempDir(), "no-engine.sock")
	}
	a.env = append(os.Environ(), "DOCKER_HOST="+dockerHost)
	a.args = append([]string{
		"agent", "-node", name, "-bind", "127.0.0.1", "-data-dir", t.TempDir(), "-http-port", fmt.Sprint(a.http),
		"-dns-port", fmt.Sprint(a.dns), "-server-port", fmt.Sprint(testutil.FreePort(t)),
		"-serf-lan-port", fmt.Sprint(testutil.FreePort(t)), "-serf-wan-port", fmt.Sprint(testutil.FreePort(t)),
	}, args...)
	t.Cleanup(func() {
		a.stop()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", name, tail(a.log.String(), 6000))
		}
	})
	return a
}

// flag is the value of one of the agent's flags.
func (a *agent) flag(name string) string {
	for i, f := range a.args {
		if f == name {
			return a.args[i+1]
		}
	}
	return ""
}

func (a *agent) join() []string {
	return []string{"-retry-join", "127.0.0.1:" + a.flag("-serf-lan-port"), "-config", "retry_interval: 200ms"}
}

// twoNodes is a server without containers and a second node that watches e.
func twoNodes(t testing.TB, e *dockertest.Engine, server bool) (a, b *agent) {
	t.Helper()
	if !server {
		a = newAgent(t, "a", "", "-server", "-bootstrap-expect", "1")
		b = newAgent(t, "b", e.Host(), a.join()...)
	} else {
		a = newAgent(t, "a", "", "-server", "-bootstrap-expect", "2")
		b = newAgent(t, "b", e.Host(), append(a.join(), "-server", "-bootstrap-expect", "2")...)
	}
	a.start()
	b.start()
	a.waitLeader()
	b.waitLeader()
	return a, b
}

func (a *agent) named(name string) func() error {
	return func() error { return a.resolves(name+".service.consul", dns.TypeA) }
}

func (a *agent) unnamed(name string) func() error {
	return func() error { return a.gone(name + ".service.consul") }
}

const soon = 10 * time.Second

// A host loses power: the others leave its instances out. When it is back, so are they.
func TestFailure34_HostPowerOff(t *testing.T) {
	e := dockertest.Shared(t)
	a, b := twoNodes(t, e, false)
	e.Docker("run", "-d", "-l", "SERVICE_NAME=far", "-p", "8080", dockertest.Image)
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("far"))
	b.kill()
	off := time.Now()
	testutil.Eventually(t, 30*time.Second, 10*time.Millisecond, a.unnamed("far"))
	t.Logf("out of DNS %v after the power went", time.Since(off).Round(time.Millisecond))
	b.start()
	testutil.Eventually(t, 30*time.Second, 10*time.Millisecond, a.named("far"))
}

// Without a leader nothing can be written: DNS goes on with what is known of others and what is true
// of this host. When there is a leader again the catalog is what Docker says, without a gap.
func TestFailure35_NoLeader(t *testing.T) {
	e := dockertest.Shared(t)
	a, b := twoNodes(t, e, true)
	gone := e.Docker("run", "-d", "-l", "SERVICE_NAME=before", "-p", "8080", dockertest.Image)
	e.Docker("run", "-d", "-l", "SERVICE_NAME=stays", "-p", "8080", dockertest.Image)
	testutil.Eventually(t, soon, 10*time.Millisecond, b.named("before"))
	testutil.Eventually(t, soon, 10*time.Millisecond, b.named("stays"))
	a.kill()
	testutil.Eventually(t, 30*time.Second, 20*time.Millisecond, func() error {
		if body, err := b.get("/v1/status/leader"); err == nil && string(body) != `""` {
			return fmt.Errorf("there is a leader: %s", body)
		}
		return nil
	})
	e.Docker("run", "-d", "-l", "SERVICE_NAME=during", "-p", "8080", dockertest.Image)
	e.Docker("rm", "-f", gone)
	testutil.NoError(t, b.named("stays")())
	testutil.Eventually(t, soon, 10*time.Millisecond, b.named("during")) // this host's own are known all the same
	testutil.Eventually(t, soon, 10*time.Millisecond, b.unnamed("before"))
	out, err := b.berth("explain")
	if err != nil || !strings.Contains(out, "during") {
		t.Errorf("explain without a leader: %v\n%s", err, out)
	}
	a.start()
	testutil.Eventually(t, 30*time.Second, 5*time.Millisecond, func() error {
		for _, n := range []string{"during", "stays"} {
			if err := b.named(n)(); err != nil {
				t.Fatalf("lost while a leader came: %v", err)
			}
		}
		if body, err := b.get("/v1/catalog/service/during"); err != nil || !strings.Contains(string(body), "during") {
			return fmt.Errorf("not in the catalog: %v", err)
		}
		return a.named("during")()
	})
	testutil.Eventually(t, soon, 20*time.Millisecond, a.unnamed("before"))
	testutil.NoError(t, b.unnamed("before")())
}

// The catalog refuses one instance: the others are registered, and explain says why.
func TestFailure36_WriteRefused(t *testing.T) {
	eng := enginetest.New()
	sock := filepath.Join(t.TempDir(), "docker.sock")
	eng.Serve(t, sock)
	a := startAgent(t, "unix://"+sock, "-dev")
	run := func(name, hostPort, checkName string) string {
		return eng.Run(enginetest.Container{Name: name, Labels: map[string]string{"SERVICE_NAME": name, "SERVICE_CHECK_TTL": "1h",
			"SERVICE_CHECK_INITIAL_STATUS": "passing", "SERVICE_CHECK_NAME": checkName},
			Ports: map[string][]enginetest.Binding{"80/tcp": {{HostIP: "0.0.0.0", HostPort: hostPort}}}})
	}
	bad := run("refused", "25001", "a\x00b")
	for i := range 5 {
		run(fmt.Sprint("fine", i), fmt.Sprint(25002+i), "x")
	}
	for i := range 5 {
		testutil.Eventually(t, soon, 10*time.Millisecond, a.named(fmt.Sprint("fine", i)))
	}
	testutil.Eventually(t, soon, 10*time.Millisecond, a.unnamed("refused"))
	testutil.Eventually(t, soon, 20*time.Millisecond, func() error {
		p := a.port(bad)
		if p.Reason != "refused" || !strings.Contains(p.Detail, "zero byte") {
			return fmt.Errorf("explain says %+v", p)
		}
		return nil
	})
	eng.Change(bad, func(c *enginetest.Container) { c.Labels["SERVICE_CHECK_NAME"] = "ab" })
	eng.Stop(bad)
	eng.Start(bad)
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("refused"))
	testutil.Equal(t, a.port(bad).Reason, "")
}

// An ID that the API has registered on this host is not a container's to take.
func TestFailure36_IDTakenByAPI(t *testing.T) {
	eng := enginetest.New()
	sock := filepath.Join(t.TempDir(), "docker.sock")
	eng.Serve(t, sock)
	a := startAgent(t, "unix://"+sock, "-dev")
	_, err := a.put("/v1/agent/service/register", `{"Name":"mine","ID":"mine-1","Address":"127.0.0.7","Port":1}`)
	testutil.NoError(t, err)
	id := eng.Run(enginetest.Container{Name: "thief", Labels: map[string]string{"SERVICE_NAME": "mine", "SERVICE_ID": "mine-1"},
		Ports: map[string][]enginetest.Binding{"80/tcp": {{HostPort: "25001"}}}})
	testutil.Eventually(t, soon, 20*time.Millisecond, func() error {
		if p := a.port(id); p.Reason != "id-taken" || !strings.Contains(p.Detail, "API") {
			return fmt.Errorf("explain says %+v", p)
		}
		return nil
	})
	got, _, err := a.answers("mine.service.consul", dns.TypeA)
	testutil.NoError(t, err)
	testutil.Equal(t, got, []string{"127.0.0.7"})
}

// port is what explain says of a container's only port; empty while the container is not known.
func (a *agent) port(container string) berth.PortReport {
	a.t.Helper()
	var reps []berth.ContainerReport
	if b, err := a.get("/v1/agent/explain?container=" + container); err == nil {
		testutil.NoError(a.t, json.Unmarshal(b, &reps))
	}
	if len(reps) != 1 || len(reps[0].Ports) != 1 {
		return berth.PortReport{}
	}
	return reps[0].Ports[0]
}

// checksOf are the checks of a service as the agent knows them: the catalog learns an output alone
// much later.
func (a *agent) checksOf(service string) []berth.Check {
	a.t.Helper()
	var all map[string]berth.Check
	a.getJSON("/v1/agent/checks", &all)
	var out []berth.Check
	for _, c := range all {
		if c.ServiceName == service {
			out = append(out, c)
		}
	}
	return out
}

// Check targets that hang, send without end or redirect for ever cost their own check only.
func TestFailure40_BadCheckTargets(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret of another host") }))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	})
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	target := httptest.NewServer(mux)
	defer target.Close()
	_, port, err := net.SplitHostPort(target.Listener.Addr().String())
	testutil.NoError(t, err)

	eng := enginetest.New()
	sock := filepath.Join(t.TempDir(), "docker.sock")
	eng.Serve(t, sock)
	a := startAgent(t, "unix://"+sock, "-dev")
	for _, path := range []string{"hang", "endless", "loop", "away", "ok"} {
		eng.Run(enginetest.Container{Name: path, Ports: map[string][]enginetest.Binding{"80/tcp": {{HostPort: port}}},
			Labels: map[string]string{"SERVICE_NAME": path, "SERVICE_CHECK_HTTP": "/" + path, "SERVICE_CHECK_INTERVAL": "1s"}})
	}
	for path, want := range map[string]string{"hang": "critical", "endless": "passing", "loop": "critical", "away": "critical", "ok": "passing"} {
		testutil.Eventually(t, soon, 20*time.Millisecond, func() error {
			checks := a.checksOf(path)
			if len(checks) != 1 || checks[0].Status != want || checks[0].Output == "" {
				return fmt.Errorf("checks of %s: %d", path, len(checks))
			}
			if strings.Contains(checks[0].Output, "secret") || len(checks[0].Output) > 8<<10 {
				t.Errorf("output of %s: %d bytes %.200s", path, len(checks[0].Output), checks[0].Output)
			}
			return nil
		})
	}
	testutil.NoError(t, a.named("ok")())
	testutil.NoError(t, a.gone("away.service.consul"))
}

// Exec checks: one that succeeds, one whose command does not exist, one that never ends and of
// which no second one is started.
func TestFailure41_ExecChecks(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev", "-config", "registrator: {docker: "+e.Host()+"}")
	run := func(name, command string) string {
		return e.Docker("run", "-d", "-l", "SERVICE_NAME="+name, "-l", "SERVICE_CHECK_DOCKER="+command, "-l", "SERVICE_CHECK_SHELL=none",
			"-l", "SERVICE_CHECK_INTERVAL=1", "-l", "SERVICE_CHECK_TIMEOUT=1s", "-p", "8080", dockertest.Image)
	}
	run("good", "/webapp -check http://127.0.0.1:8080/health")
	run("missing", "/bin/nothing")
	hangs := run("hangs", "/webapp 9999")
	e.Docker("run", "-d", "-l", "SERVICE_NAME=noshell", "-l", "SERVICE_CHECK_DOCKER=true", "-l", "SERVICE_CHECK_INTERVAL=1",
		"-p", "8080", dockertest.Image)
	output := func(name, status, text string) func() error {
		return func() error {
			checks := a.checksOf(name)
			if len(checks) != 1 || checks[0].Status != status || !strings.Contains(checks[0].Output, text) {
				return fmt.Errorf("%s: %+v, want %s with %q", name, checks, status, text)
			}
			return nil
		}
	}
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, output("good", "passing", ""))
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("good"))
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, output("missing", "critical", "no such file"))
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, output("noshell", "critical", "/bin/sh"))
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, output("hangs", "critical", "still runs"))
	began := time.Now()
	testutil.Eventually(t, 15*time.Second, 500*time.Millisecond, func() error {
		if n := strings.Count(e.Docker("top", hangs), "/webapp 9999"); n != 1 {
			t.Fatalf("%d commands of the check run in the container, want 1", n)
		}
		if time.Since(began) < 5*time.Second {
			return fmt.Errorf("watching")
		}
		return nil
	})
}

// A DNS port that was asked for and that somebody has ends the start with status 4 and a name.
func TestFailure43_DNSPortBusy(t *testing.T) {
	var port int // held for both protocols: else another test's connection may have it
	for held := false; !held; {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		testutil.NoError(t, err)
		defer l.Close()
		port = l.Addr().(*net.TCPAddr).Port
		if p, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			defer p.Close()
			held = true
		}
	}
	a := newAgent(t, "busy", "", "-server", "-bootstrap-expect", "1", "-dns-port", fmt.Sprint(port))
	a.start()
	select {
	case <-a.stopped:
	case <-time.After(soon):
		t.Fatal("the agent runs without its DNS port")
	}
	testutil.Equal(t, a.cmd.ProcessState.ExitCode(), 4)
	for _, want := range []string{fmt.Sprint(port), "in use by", filepath.Base(os.Args[0])[:8], fmt.Sprint(os.Getpid())} {
		if !strings.Contains(a.log.String(), want) {
			t.Errorf("the message does not name %q:\n%s", want, a.log)
		}
	}
}

// netns is a network namespace with its own loopback; run runs a command in it.
func netns(t *testing.T) (run func(name string, args ...string) (string, error), name string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	name = fmt.Sprintf("berth%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	run = func(cmd string, args ...string) (string, error) {
		out, err := exec.Command("ip", append([]string{"netns", "exec", name, cmd}, args...)...).CombinedOutput()
		return string(out), err
	}
	_, err := run("ip", "link", "set", "lo", "up")
	testutil.NoError(t, err)
	return run, name
}

// docker0 comes after the agent: DNS answers on it then. An optional address that somebody has is
// bound when it is free.
func TestFailure44_Docker0ComesLater(t *testing.T) {
	t.Parallel()
	run, ns := netns(t)
	holder := heldIn(t, ns, "127.0.0.1:53")
	a := newAgent(t, "later", "")
	a.args = []string{"agent", "-node", "later", "-bind", "127.0.0.1", "-server", "-bootstrap-expect", "1", "-data-dir", t.TempDir()}
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns, berthBin(t)}, a.args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = a.env, a.log, a.log
	testutil.NoError(t, cmd.Start())
	a.cmd, a.stopped = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(a.stopped) }()
	ask := func(addr string) func() error {
		return func() error {
			out, err := run(berthBin(t), "resolve", "-dns-addr", addr, "-timeout", "1s", "consul.service.consul")
			if err != nil {
				return fmt.Errorf("at %s: %v %s", addr, err, out)
			}
			return nil
		}
	}
	testutil.Eventually(t, 15*time.Second, 50*time.Millisecond, ask("127.0.0.1:8600"))
	if ask("172.17.0.1:53")() == nil {
		t.Fatal("docker0 answers before it is there")
	}
	for _, c := range []string{"ip link add docker0 type bridge", "ip addr add 172.17.0.1/16 dev docker0", "ip link set docker0 up"} {
		f := strings.Fields(c)
		if out, err := run(f[0], f[1:]...); err != nil {
			t.Fatalf("%s: %v %s", c, err, out)
		}
	}
	testutil.Eventually(t, 15*time.Second, 50*time.Millisecond, ask("172.17.0.1:53"))
	holder.Close()
	testutil.Eventually(t, 45*time.Second, 200*time.Millisecond, ask("127.0.0.1:53"))
}

// heldIn binds a UDP address inside a network namespace.
func heldIn(t *testing.T, ns, addr string) io.Closer {
	t.Helper()
	type result struct {
		c   io.Closer
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine: it is of another namespace
		f, err := os.Open("/var/run/netns/" + ns)
		if err != nil {
			done <- result{err: err}
			return
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: err}
			return
		}
		c, err := net.ListenPacket("udp4", addr)
		done <- result{c, err}
	}()
	r := <-done
	if r.err != nil {
		t.Skipf("cannot bind inside a network namespace: %v", r.err)
	}
	t.Cleanup(func() { r.c.Close() })
	return r.c
}

// An agent that does not run until the others give it up. When it wakes it looks first, and what
// changed meanwhile is right at once, on both nodes.
func TestFailure48_PausedAgent(t *testing.T) {
	t.Parallel()
	e := dockertest.Start(t)
	a, b := twoNodes(t, e, false)
	old := e.Docker("run", "-d", "-l", "SERVICE_NAME=old", "-p", "8080", dockertest.Image)
	e.Docker("run", "-d", "-l", "SERVICE_NAME=stays", "-p", "8080", dockertest.Image)
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("old"))
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("stays"))
	testutil.NoError(t, b.cmd.Process.Signal(syscall.SIGSTOP))
	paused := time.Now()
	e.Docker("rm", "-f", old)
	e.Docker("run", "-d", "-l", "SERVICE_NAME=new", "-p", "8080", dockertest.Image)
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, a.unnamed("stays")) // given up
	t.Logf("the others gave it up after %v", time.Since(paused).Round(time.Millisecond))
	testutil.NoError(t, b.cmd.Process.Signal(syscall.SIGCONT))
	woke := time.Now()
	for _, x := range []*agent{a, b} {
		testutil.Eventually(t, 15*time.Second, 10*time.Millisecond, x.named("new"))
		testutil.Eventually(t, 15*time.Second, 10*time.Millisecond, x.named("stays"))
		testutil.Eventually(t, 15*time.Second, 10*time.Millisecond, x.unnamed("old"))
	}
	t.Logf("right on both nodes %v after it woke", time.Since(woke).Round(time.Millisecond))
	var nodes []struct{ Node string }
	body, err := a.get("/v1/catalog/nodes")
	testutil.NoError(t, err)
	testutil.NoError(t, json.Unmarshal(body, &nodes))
	testutil.Equal(t, len(nodes), 2)
}
