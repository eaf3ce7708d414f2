//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// The engine goes away and comes back while containers run on (live-restore), once told to and
// once killed: names stay, and afterwards the catalog is what docker ps says.
func TestEngine_LiveRestore(t *testing.T) {
	t.Parallel()
	e := dockertest.Start(t, "--live-restore")
	a := startAgent(t, e.Host(), "-dev")
	e.Docker("run", "-d", "-l", "SERVICE_NAME=alive", "-p", "8080", dockertest.Image)
	doomed := e.Docker("run", "-d", "-l", "SERVICE_NAME=doomed", "-p", "8080", dockertest.Image)
	for _, n := range []string{"alive", "doomed"} {
		testutil.Eventually(t, soon, 10*time.Millisecond, a.named(n))
	}
	before, err := registered(a)
	testutil.NoError(t, err)
	for i, end := range []func(){e.Down, e.Kill} {
		end()
		testutil.NoError(t, a.named("alive")())
		if i == 0 {
			crash(t, doomed)
		}
		e.Up()
		testutil.Eventually(t, 40*time.Second, 50*time.Millisecond, func() error { return catalogIsDocker(a, e) })
		testutil.Eventually(t, soon, 10*time.Millisecond, a.named("alive"))
		testutil.Eventually(t, soon, 10*time.Millisecond, a.unnamed("doomed"))
	}
	after, err := registered(a)
	testutil.NoError(t, err)
	testutil.Equal(t, len(before), 2)
	testutil.Equal(t, len(after), 1)
}

// crash ends a container's process behind the engine's back.
func crash(t testing.TB, id string) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cgroup")
	testutil.NoError(t, err)
	for _, p := range procs {
		if b, err := os.ReadFile(p); err != nil || !strings.Contains(string(b), id) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		testutil.NoError(t, err)
		testutil.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		return
	}
	t.Fatalf("no process of container %s", id)
}

// A container in another one's network has that one's addresses, and none of worth when that one
// restarts without it.
func TestEngine_NetworkContainer(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev")
	e.Docker("run", "-d", "--name", "owner", "-l", "SERVICE_8080_NAME=owner", "-l", "SERVICE_9000_IGNORE=yes",
		"-p", "8080", "-p", "25901:9000", dockertest.Image)
	e.Docker("run", "-d", "--name", "guest", "--network", "container:owner", "-l", "SERVICE_9000_NAME=guest", dockertest.Image, "9000")
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("owner"))
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("guest"))
	srv, _, err := a.answers("guest.service.consul", dns.TypeSRV)
	testutil.NoError(t, err)
	if len(srv) != 1 || !strings.HasPrefix(srv[0], "25901 ") {
		t.Fatalf("SRV %v, want the owner's port 25901", srv)
	}
	e.Docker("restart", "-t", "1", "owner")
	testutil.Eventually(t, soon, 10*time.Millisecond, a.unnamed("guest"))
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("owner"))
	e.Docker("restart", "-t", "1", "guest")
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("guest"))
	e.Docker("rm", "-f", "owner")
	testutil.Eventually(t, soon, 10*time.Millisecond, a.unnamed("guest"))
}

// In internal mode the address follows the container from network to network.
func TestEngine_UserNetworks(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev", "-docker-internal")
	third := os.Getpid() % 200
	for i, n := range []string{"front", "back"} {
		e.Docker("network", "create", "--subnet", fmt.Sprintf("10.%d.%d.0/24", 214+i, third), n)
		t.Cleanup(func() { _, _ = e.TryDocker("network", "rm", n) })
	}
	id := e.Docker("run", "-d", "--network", "front", "-l", "SERVICE_NAME=mover", "--expose", "8080", dockertest.Image)
	t.Cleanup(func() { _, _ = e.TryDocker("rm", "-f", id) })
	at := func(network string) func() error {
		return func() error {
			want := e.Docker("inspect", "-f", `{{.NetworkSettings.Networks.`+network+`.IPAddress}}`, id)
			got, _, err := a.answers("mover.service.consul", dns.TypeA)
			if err == nil && (len(got) != 1 || got[0] != want) {
				err = fmt.Errorf("answer %v, want %s", got, want)
			}
			return err
		}
	}
	testutil.Eventually(t, soon, 10*time.Millisecond, at("front"))
	e.Docker("network", "connect", "back", id)
	testutil.Eventually(t, soon, 10*time.Millisecond, at("front")) // the one it was started with
	e.Docker("network", "disconnect", "front", id)
	testutil.Eventually(t, soon, 10*time.Millisecond, at("back"))
	e.Docker("network", "connect", "front", id)
	testutil.Eventually(t, soon, 10*time.Millisecond, at("front"))
}

// A port published on an IPv6 address of the host is an AAAA record and answers there.
func TestEngine_IPv6(t *testing.T) {
	e := dockertest.Shared(t)
	addr := fmt.Sprintf("fd00:213::%x", os.Getpid()&0xffff)
	if out, err := exec.Command("ip", "-6", "addr", "add", addr+"/128", "dev", "lo").CombinedOutput(); err != nil {
		t.Skipf("no IPv6 here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "-6", "addr", "del", addr+"/128", "dev", "lo").Run() })
	a := startAgent(t, e.Host(), "-dev")
	e.Docker("run", "-d", "-l", "SERVICE_NAME=six", "-l", "SERVICE_ADDRESS_FAMILY=ipv6", "-l", "SERVICE_CHECK_HTTP=/health",
		"-l", "SERVICE_CHECK_INTERVAL=1", "-p", "["+addr+"]:25902:8080", dockertest.Image)
	testutil.Eventually(t, soon, 10*time.Millisecond, func() error { return a.resolves("six.service.consul", dns.TypeAAAA) })
	got, _, err := a.answers("six.service.consul", dns.TypeAAAA)
	testutil.NoError(t, err)
	if len(got) != 1 || !strings.Contains(got[0], addr) {
		t.Fatalf("AAAA %v, want %s", got, addr)
	}
	got, _, err = a.answers("six.service.consul", dns.TypeA)
	testutil.NoError(t, err)
	testutil.Equal(t, len(got), 0)
}

func TestEngine_HostMode(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev")
	port := fmt.Sprint(testutil.FreePort(t))
	e.Docker("run", "-d", "--network", "host", "-l", "SERVICE_"+port+"_NAME=hosted", "-l", "SERVICE_CHECK_HTTP=/health",
		"-l", "SERVICE_CHECK_INTERVAL=1", dockertest.Image, port)
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("hosted"))
	srv, _, err := a.answers("hosted.service.consul", dns.TypeSRV)
	testutil.NoError(t, err)
	if len(srv) != 1 || !strings.HasPrefix(srv[0], port+" ") {
		t.Fatalf("SRV %v, want port %s", srv, port)
	}
}

// A crash with a restart policy: out of DNS, back with the new incarnation. One that always fails
// is not registered in the end.
func TestEngine_RestartPolicies(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev")
	id := e.Docker("run", "-d", "--restart", "always", "-l", "SERVICE_NAME=phoenix", "-p", "8080", dockertest.Image)
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("phoenix"))
	first, err := stateTime(e, id, "StartedAt")
	testutil.NoError(t, err)
	crash(t, id)
	testutil.Eventually(t, 20*time.Second, 10*time.Millisecond, func() error {
		var instances []struct{ ServiceMeta map[string]string }
		a.getJSON("/v1/health/service/phoenix?passing", &instances)
		b, err := a.get("/v1/catalog/service/phoenix")
		if err != nil || strings.Contains(string(b), first.UTC().Format("15:04:05.000")) {
			return fmt.Errorf("the catalog still has the incarnation of %v", first)
		}
		return a.named("phoenix")()
	})
	e.Docker("run", "-d", "--restart", "on-failure:3", "--name", "broken", "-l", "SERVICE_NAME=broken", "-p", "8080", dockertest.Image, "not-a-port")
	testutil.Eventually(t, 20*time.Second, 50*time.Millisecond, func() error {
		if s := e.Docker("inspect", "-f", "{{.State.Status}}", "broken"); s != "exited" {
			return fmt.Errorf("it is %s", s)
		}
		return a.gone("broken.service.consul")
	})
	testutil.Eventually(t, soon, 20*time.Millisecond, func() error { return catalogIsDocker(a, e) })
}

// HEALTHCHECK of the image decides, both ways.
func TestEngine_Healthcheck(t *testing.T) {
	e := dockertest.Shared(t)
	dir := t.TempDir()
	file := "FROM " + dockertest.Image + "\nHEALTHCHECK --interval=1s --retries=1 CMD [\"/webapp\", \"-check\", \"http://127.0.0.1:8080/health\"]\n" +
		"CMD [\"-health\", \"/state/sick\", \"8080\"]\n"
	testutil.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o600))
	e.Docker("build", "-q", "-t", "sickly", dir)
	a := startAgent(t, e.Host(), "-dev")
	state := t.TempDir()
	e.Docker("run", "-d", "-v", state+":/state", "-l", "SERVICE_NAME=patient", "-p", "8080", "sickly")
	testutil.Eventually(t, 20*time.Second, 10*time.Millisecond, a.named("patient"))
	for range 2 {
		testutil.NoError(t, os.WriteFile(filepath.Join(state, "sick"), nil, 0o600))
		testutil.Eventually(t, 20*time.Second, 10*time.Millisecond, a.unnamed("patient"))
		testutil.NoError(t, os.Remove(filepath.Join(state, "sick")))
		testutil.Eventually(t, 20*time.Second, 10*time.Millisecond, a.named("patient"))
	}
}

// The instance leaves DNS at the stop signal, while the process goes on serving what it has.
func TestEngine_DrainOnStop(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev")
	port := testutil.FreePort(t)
	id := e.Docker("run", "-d", "-l", "SERVICE_NAME=drained", "-p", fmt.Sprintf("%d:8080", port), dockertest.Image, "-drain", "8s", "8080")
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("drained"))
	client := http.Client{Timeout: 3 * time.Second}
	serves := func() error {
		resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	testutil.Eventually(t, soon, 10*time.Millisecond, serves) // before that the signal ends it at once
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { _, err := e.TryDocker("stop", "-t", "20", id); stopped <- err }()
	testutil.Eventually(t, 3*time.Second, time.Millisecond, a.unnamed("drained"))
	out := time.Since(began)
	if err := serves(); err != nil {
		t.Fatalf("it left DNS after %v, when it did not serve any more: %v", out, err)
	}
	testutil.NoError(t, <-stopped)
	t.Logf("out of DNS %v after docker stop was called, ended after %v", out.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	e.Docker("start", id)
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("drained"))
	testutil.Eventually(t, soon, 10*time.Millisecond, serves) // a container's first process is deaf to signals before it handles them
	e.Docker("kill", "-s", "HUP", id)                         // ends this program, but says nothing about stopping
	testutil.Eventually(t, soon, 10*time.Millisecond, a.unnamed("drained"))
}

// Many containers at once, started and removed: the catalog is docker ps each time. BERTH_STORM is
// how many; the machine decides what it can bear.
func TestEngine_Storm(t *testing.T) {
	n := 60
	if s, err := strconv.Atoi(os.Getenv("BERTH_STORM")); err == nil {
		n = s
	}
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev")
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	began := time.Now()
	for i := range n {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			_, _ = e.TryDocker("run", "-d", "-l", fmt.Sprintf("SERVICE_NAME=storm%d", i%20), "--expose", "8080", "-P", dockertest.Image)
			if i%3 == 0 {
				if ids, err := e.TryDocker("ps", "-q", "-n", "1"); err == nil && ids != "" {
					_, _ = e.TryDocker("rm", "-f", ids)
				}
			}
		}()
	}
	wg.Wait()
	up := time.Now()
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, func() error { return catalogIsDocker(a, e) })
	t.Logf("%d runs in %v, catalog equal %v later, %d alive", n, up.Sub(began).Round(time.Second), time.Since(up).Round(time.Millisecond), len(running(e)))
	e.Docker(append([]string{"rm", "-f"}, running(e)...)...)
	removed := time.Now()
	testutil.Eventually(t, 30*time.Second, 5*time.Millisecond, func() error {
		got, err := registered(a)
		if err == nil && len(got) > 0 {
			err = fmt.Errorf("%d are still there", len(got))
		}
		return err
	})
	t.Logf("all gone %v after docker rm -f returned", time.Since(removed).Round(time.Millisecond))
}
