package registrator_test

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/registrator"
)

type defs = map[string]berth.ServiceDefinition

// is: the instance is registered with this docker status ("" for none).
func is(id, st string) func(defs) bool {
	return func(m defs) bool {
		d, ok := m[id]
		return ok && strings.HasPrefix(status(d), st) && (st != "" || status(d) == "")
	}
}

func gone(id string) func(defs) bool {
	return func(m defs) bool { _, ok := m[id]; return !ok }
}

const realLimit = 30 * time.Second

func TestRealPublishAll(t *testing.T) {
	_, rec := startReal(t, nil)
	name := uniq(t, "pall")
	runContainer(t, name, "-P", "-l", "SERVICE_NAME=pall")
	rec.await(t, realLimit, "registered", is(sid(name), ""))
	d, _ := rec.get(sid(name))
	testutil.Equal(t, fmt.Sprint(d.Port), docker(t, "inspect", "-f", `{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}`, name))
	old := d.Port
	docker(t, "restart", "-t", "5", name)
	rec.await(t, realLimit, "registered again with the port of now", func(m defs) bool {
		want := docker(t, "inspect", "-f", `{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}`, name)
		return fmt.Sprint(m[sid(name)].Port) == want
	})
	d, _ = rec.get(sid(name))
	t.Logf("port %d before, %d after the restart", old, d.Port)
}

func TestRealHostMode(t *testing.T) {
	_, rec := startReal(t, nil)
	name := uniq(t, "host")
	port := fmt.Sprint(testutil.FreePort(t))
	runContainer(t, name, "--network", "host", "-l", "SERVICE_PORTS="+port, "-l", "SERVICE_NAME=h", "--", "-port", port)
	id := realNode + ":" + name + ":" + port
	rec.await(t, realLimit, "registered", is(id, ""))
	d, _ := rec.get(id)
	testutil.Equal(t, d.Address+":"+fmt.Sprint(d.Port), "192.0.2.10:"+port)
}

func TestRealContainerMode(t *testing.T) {
	_, rec := startReal(t, nil)
	owner, guest := uniq(t, "owner"), uniq(t, "guest")
	runContainer(t, owner, "-p", "80")
	runContainer(t, guest, "--network", "container:"+owner, "-l", "SERVICE_80_NAME=guest", "--", "-port", "81")
	rec.await(t, realLimit, "guest registered", is(sid(guest), ""))
	a, _ := rec.get(sid(owner))
	b, _ := rec.get(sid(guest))
	testutil.Equal(t, a.Port, b.Port)
	docker(t, "restart", "-t", "5", owner)
	rec.await(t, realLimit, "guest is in a dead network", is(sid(guest), "critical/network owner"))
	docker(t, "restart", "-t", "5", guest)
	rec.await(t, realLimit, "guest is back", is(sid(guest), ""))
}

func TestRealUserNetworks(t *testing.T) {
	_, rec := startReal(t, func(c *registrator.Config) { c.Internal = true })
	name, front, back := uniq(t, "net"), uniq(t, "front"), uniq(t, "back")
	for _, n := range []string{front, back} {
		docker(t, "network", "create", "--label", realLabel, n)
		t.Cleanup(func() { dockerTry("network", "rm", n) }) //nolint:errcheck // may be gone
	}
	id := runContainer(t, name, "--network", front)
	t.Cleanup(func() { dockerTry("rm", "-f", name) }) //nolint:errcheck // before the networks
	ip := func(n string) string {
		return docker(t, "inspect", "-f", fmt.Sprintf(`{{with index .NetworkSettings.Networks %q}}{{.IPAddress}}{{end}}`, n), id)
	}
	first := ip(front)
	rec.await(t, realLimit, "by the first network", func(m defs) bool { return m[sid(name)].Address == first })
	docker(t, "network", "connect", back, id)
	docker(t, "network", "disconnect", front, id)
	second := ip(back)
	rec.await(t, realLimit, "by the second network", func(m defs) bool { return m[sid(name)].Address == second })
}

func TestRealPauseRename(t *testing.T) {
	_, rec := startReal(t, nil)
	name := uniq(t, "pause")
	id := runContainer(t, name, "-p", "80")
	rec.await(t, realLimit, "registered", is(sid(name), ""))
	docker(t, "pause", id)
	rec.await(t, realLimit, "paused", is(sid(name), "critical/paused"))
	docker(t, "unpause", id)
	rec.await(t, realLimit, "unpaused", is(sid(name), ""))
	docker(t, "rename", id, name+"-new")
	t.Cleanup(func() { dockerTry("rm", "-f", id) }) //nolint:errcheck // may be gone
	rec.await(t, realLimit, "renamed", func(m defs) bool { return is(sid(name+"-new"), "")(m) && gone(sid(name))(m) })
}

func TestRealSignals(t *testing.T) {
	_, rec := startReal(t, nil)
	name := uniq(t, "sig")
	id := runContainer(t, name, "-p", "80", "--stop-signal", "SIGQUIT", "--stop-timeout", "20", "--", "-slow", "1s")
	rec.await(t, realLimit, "registered", is(sid(name), ""))
	awaitReady(t, id)
	sets := rec.count()
	docker(t, "kill", "-s", "HUP", id)
	docker(t, "kill", "-s", "USR1", id)
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { _, err := dockerTry("stop", id); stopped <- err }()
	at := rec.await(t, realLimit, "draining", is(sid(name), "critical/draining"))
	t.Logf("docker stop to draining: %v, with the start of the command", at.Sub(began))
	testutil.Equal(t, rec.count(), sets+1) // HUP and USR1 did nothing
	testutil.NoError(t, <-stopped)
	rec.await(t, realLimit, "gone", gone(sid(name)))
}

func TestRealStopRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the stop timeout")
	}
	_, rec := startReal(t, nil)
	name := uniq(t, "ignore")
	id := runContainer(t, name, "-p", "80", "--stop-timeout", "1", "--", "-ignore")
	rec.await(t, realLimit, "registered", is(sid(name), ""))
	awaitReady(t, id)
	docker(t, "kill", "-s", "TERM", id)
	rec.await(t, realLimit, "draining", is(sid(name), "critical/draining"))
	rec.await(t, realLimit, "back after 6 s", is(sid(name), ""))
}

func TestRealHealth(t *testing.T) {
	_, rec := startReal(t, nil)
	name := uniq(t, "health")
	id := runContainer(t, name, "-p", "80", "--health-cmd", "/app", "--health-interval", "1s", "--health-retries", "1",
		"--health-start-period", "1s", "--health-timeout", "5s", "--entrypoint", "/app")
	// FROM scratch has no shell for --health-cmd: every probe fails.
	rec.await(t, realLimit, "starting", func(m defs) bool { _, ok := m[sid(name)]; return ok })
	rec.await(t, 20*time.Second, "unhealthy", is(sid(name), "critical/unhealthy"))
	docker(t, "rm", "-f", id)
	rec.await(t, realLimit, "gone", gone(sid(name)))
}

// An image with a HEALTHCHECK of its own, in exec form.
func TestRealHealthTransitions(t *testing.T) {
	_, rec := startReal(t, nil)
	dir := t.TempDir()
	testutil.NoError(t, os.WriteFile(dir+"/Dockerfile", []byte("FROM "+realImage+"\nHEALTHCHECK --interval=1s --timeout=5s --retries=1 CMD [\"/app\", \"-probe\", \"/ok\"]\n"), 0o644))
	docker(t, "build", "-q", "-t", realImage+":health", dir)
	name := uniq(t, "health")
	t.Cleanup(func() { dockerTry("rm", "-f", name) }) //nolint:errcheck // may be gone
	id := docker(t, "run", "-d", "--name", name, "--label", realLabel, "-p", "80", realImage+":health")
	rec.await(t, realLimit, "critical until healthy", is(sid(name), "critical/"))
	docker(t, "exec", id, "/app", "-touch", "/ok")
	rec.await(t, 20*time.Second, "healthy", is(sid(name), "passing/healthy: file is there"))
	docker(t, "exec", id, "/app", "-remove", "/ok")
	rec.await(t, 20*time.Second, "unhealthy", is(sid(name), "critical/unhealthy: no file"))
	docker(t, "exec", id, "/app", "-touch", "/ok")
	rec.await(t, 20*time.Second, "healthy again", is(sid(name), "passing/healthy"))
}

func TestRealAutoRemoveAndModes(t *testing.T) {
	_, rec := startReal(t, func(c *registrator.Config) { c.Deregister = registrator.DeregisterOnSuccess })
	ok, bad, rm := uniq(t, "ok"), uniq(t, "bad"), uniq(t, "rm")
	runContainer(t, ok, "-p", "80", "--", "-after", "1s")
	runContainer(t, bad, "-p", "80", "--", "-after", "1s", "-exit", "3")
	runContainer(t, rm, "--rm", "-p", "80", "--", "-after", "1s")
	rec.await(t, realLimit, "failed one is kept, the others go", func(m defs) bool {
		return gone(sid(ok))(m) && gone(sid(rm))(m) && is(sid(bad), "critical/exited with code 3")(m)
	})
	docker(t, "rm", bad)
	rec.await(t, realLimit, "destroy removes it", gone(sid(bad)))
}

func TestRealRestartPolicy(t *testing.T) {
	reg, rec := startReal(t, nil)
	name := uniq(t, "loop")
	runContainer(t, name, "-p", "80", "--restart", "always", "--", "-after", "300ms", "-exit", "1")
	rec.await(t, realLimit, "in back-off", is(sid(name), "critical/restart"))
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, func() error {
		if r := reg.Explain(name); len(r) != 1 || r[0].Reason != registrator.ReasonFlapping {
			return fmt.Errorf("not damped: %+v", r)
		}
		return nil
	})
	docker(t, "rm", "-f", name)
	rec.await(t, realLimit, "gone", gone(sid(name)))
}

func TestRealStorm(t *testing.T) {
	_, rec := startReal(t, nil)
	const n = 20
	names := make([]string, n)
	var wg sync.WaitGroup
	for i := range names {
		names[i] = uniq(t, fmt.Sprint("storm", i))
		t.Cleanup(func() { dockerTry("rm", "-f", names[i]) }) //nolint:errcheck // may be gone
		wg.Go(func() {
			dockerTry("run", "-d", "--name", names[i], "--label", realLabel, "-p", "80", realImage) //nolint:errcheck // seen below
		})
	}
	wg.Wait()
	rec.await(t, realLimit, "all registered", func(m defs) bool { return len(m) == n })
	docker(t, append([]string{"rm", "-f"}, names...)...)
	at := rec.await(t, realLimit, "all gone", func(m defs) bool { return len(m) == 0 })
	t.Logf("docker rm -f of %d returned %v after the last one was taken out", n, time.Since(at))
}

// TestRealLatency measures from the engine's own time stamps to the set handed over.
func TestRealLatency(t *testing.T) {
	_, rec := startReal(t, nil)
	rounds := 15
	if testing.Short() {
		rounds = 3
	}
	var up, drain, killed, crashed, removed []time.Duration
	for i := range rounds {
		name := uniq(t, fmt.Sprint("lat", i))
		id := runContainer(t, name, "-p", "80")
		at := rec.await(t, realLimit, "registered", is(sid(name), ""))
		up = append(up, at.Sub(startedAt(t, id)))
		began := time.Now()
		done := make(chan error, 1)
		go func() { _, err := dockerTry("kill", id); done <- err }()
		out := func(m defs) bool { return status(m[sid(name)]) != "" || gone(sid(name))(m) }
		first := rec.await(t, realLimit, "out", out)
		rec.await(t, realLimit, "gone", gone(sid(name)))
		testutil.NoError(t, <-done)
		drain = append(drain, first.Sub(began))
		killed = append(killed, first.Sub(finishedAt(t, id)))
		docker(t, "rm", "-f", id)

		id = runContainer(t, name, "-p", "80", "--", "-after", "1s", "-exit", "1")
		rec.await(t, realLimit, "registered", is(sid(name), ""))
		first = rec.await(t, realLimit, "out", out)
		at = rec.await(t, realLimit, "gone", gone(sid(name)))
		fin := finishedAt(t, id)
		crashed, removed = append(crashed, first.Sub(fin)), append(removed, at.Sub(fin))
		docker(t, "rm", "-f", id)
	}
	show := func(what string, d []time.Duration) time.Duration {
		slices.Sort(d)
		t.Logf("%s: median %v, best %v, worst %v of %d", what, d[len(d)/2], d[0], d[len(d)-1], len(d))
		return d[len(d)/2]
	}
	med := show("StartedAt to Replace", up)
	show("command docker kill to critical", drain)
	show("killed: FinishedAt to critical", killed)
	show("crashed: FinishedAt to critical", crashed)
	show("crashed: FinishedAt to removed", removed)
	if med > time.Second {
		t.Errorf("registration takes %v", med)
	}
}

func finishedAt(t testing.TB, id string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, docker(t, "inspect", "-f", "{{.State.FinishedAt}}", id))
	testutil.NoError(t, err)
	return at
}

// TestRealEngineFacts records what this engine does, for DESIGN.md.
func TestRealEngineFacts(t *testing.T) {
	needDocker(t)
	name := uniq(t, "facts")
	since := time.Now()
	id := runContainer(t, name, "-p", "[::1]:0:80", "-p", "0:81")
	docker(t, "stop", "-t", "5", id)
	docker(t, "start", id)
	docker(t, "kill", id)
	out := docker(t, "events", "--since", fmt.Sprint(since.Unix()), "--until", fmt.Sprint(time.Now().Unix()+1),
		"--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.signal}} {{.Actor.ID}} {{.Actor.Attributes.container}}")
	var seq []string
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, id) {
			f := strings.Fields(line)
			seq = append(seq, strings.ReplaceAll(f[0]+" "+f[1]+" "+f[2], id, ""))
		}
	}
	t.Logf("events: %s", strings.Join(seq, "; "))
	if !slices.ContainsFunc(seq, func(s string) bool { return strings.HasPrefix(s, "container kill 15") }) {
		t.Error("a kill event carries no signal: stops cannot be drained on this engine")
	}
	sort.Strings(seq)
}
