//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// The issue's own example: labels make a name, stopping the container unmakes it.
func TestContainer_LabelsBecomeNames(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev")
	port := testutil.FreePort(t)
	id := e.Docker("run", "-d", "-l", "SERVICE_8080_NAME=cadivisor", "-l", "SERVICE_8080_ID=cadivisor",
		"-l", "SERVICE_TAGS=blue", "-p", fmt.Sprintf("%d:8080", port), dockertest.Image)

	for _, name := range []string{"cadivisor.service.consul", "blue.cadivisor.service.consul", "cadivisor."} {
		testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { return a.resolves(name, dns.TypeA) })
		got, _, err := a.answers(name, dns.TypeA)
		testutil.NoError(t, err)
		testutil.Equal(t, got, []string{"127.0.0.1"})
	}
	srv, _, err := a.answers("cadivisor.service.consul", dns.TypeSRV)
	testutil.NoError(t, err)
	if len(srv) != 1 || !strings.HasPrefix(srv[0], fmt.Sprintf("%d ", port)) {
		t.Fatalf("SRV answer %v, want one with port %d", srv, port)
	}
	var instances []struct {
		ServiceID   string
		ServicePort int
	}
	a.getJSON("/v1/catalog/service/cadivisor", &instances)
	if len(instances) != 1 || instances[0].ServiceID != "cadivisor" || instances[0].ServicePort != port {
		t.Fatalf("catalog has %+v", instances)
	}

	e.Docker("stop", id)
	for _, name := range []string{"cadivisor.service.consul", "blue.cadivisor.service.consul", "cadivisor."} {
		testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { return a.gone(name) })
	}
	out, err := a.berth("explain", id[:12])
	if err == nil && !strings.Contains(out, "not-running") {
		t.Errorf("explain does not say why nothing is registered:\n%s", out)
	}
}

// running is the set of container IDs that docker ps shows.
func running(e *dockertest.Engine) []string {
	ids := strings.Fields(e.Docker("ps", "-q", "--no-trunc"))
	slices.Sort(ids)
	return ids
}

// registered is the set of container IDs that the catalog holds instances of.
func registered(a *agent) ([]string, error) {
	b, err := a.get("/v1/catalog/node-services/e2e")
	if err != nil {
		return nil, err
	}
	var node struct {
		Services []struct {
			Meta map[string]string
		}
	}
	if err := json.Unmarshal(b, &node); err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range node.Services {
		if owner := strings.Split(s.Meta["berth-owner"], "/"); len(owner) > 1 {
			ids = append(ids, owner[1])
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func catalogIsDocker(a *agent, e *dockertest.Engine) error {
	want := running(e)
	got, err := registered(a)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("catalog has %d containers, docker ps has %d:\n%v\n%v", len(got), len(want), got, want)
	}
	return err
}

// 50 containers come and go in random order, the engine restarts in between and is killed once:
// afterwards the catalog is what docker ps says.
func TestChurn_CatalogEqualsDockerPs(t *testing.T) {
	t.Parallel()
	e := dockertest.Start(t)
	a := startAgent(t, e.Host(), "-dev")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))

	var mu sync.Mutex // guards alive
	var alive []string
	start := func(n int) {
		policy := "no"
		if n%3 == 0 {
			policy = "always"
		}
		id, err := e.TryDocker("run", "-d", "--restart", policy, "-l", fmt.Sprintf("SERVICE_NAME=churn-%d", n%7),
			"-p", "8080", dockertest.Image)
		if err != nil {
			return // the engine was down: nothing was started
		}
		mu.Lock()
		alive = append(alive, id)
		mu.Unlock()
	}
	remove := func() {
		mu.Lock()
		if len(alive) == 0 {
			mu.Unlock()
			return
		}
		i := rnd.IntN(len(alive))
		id := alive[i]
		alive = slices.Delete(alive, i, i+1)
		mu.Unlock()
		how := [][]string{{"rm", "-f", id}, {"stop", "-t", "1", id}, {"kill", id}}[rnd.IntN(3)]
		_, _ = e.TryDocker(how...)
	}
	for n := range 50 {
		start(n)
		if rnd.IntN(5) < 2 {
			remove()
		}
		switch n {
		case 20:
			e.Restart()
		case 38:
			e.Kill()
			e.Up()
		}
	}
	testutil.Eventually(t, 45*time.Second, 200*time.Millisecond, func() error { return catalogIsDocker(a, e) })
	if len(running(e)) == 0 {
		t.Fatal("nothing is running at the end: the test shows nothing")
	}
}

// Without an engine everything else runs; when one appears its containers are registered.
func TestNoDocker_AgentRunsAndWaits(t *testing.T) {
	t.Parallel()
	e := dockertest.Start(t)
	id := e.Docker("run", "-d", "--restart", "always", "-l", "SERVICE_NAME=late", "-p", "8080", dockertest.Image)
	e.Down()
	a := startAgent(t, e.Host(), "-dev")
	_, err := a.put("/v1/kv/alive", "yes")
	testutil.NoError(t, err)
	if n := strings.Count(strings.ToLower(a.log.String()), "docker"); n == 0 {
		t.Error("the log does not say that Docker cannot be reached")
	}
	e.Up()
	e.Docker("start", id) // the engine does it by itself, unless the ports that it tries are in use
	testutil.Eventually(t, 30*time.Second, 50*time.Millisecond, func() error { return a.resolves("late.service.consul", dns.TypeA) })
	e.Docker("rm", "-f", id)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { return a.gone("late.service.consul") })
}

// pause takes an instance out of DNS, unpause puts it back, rename keeps it, HEALTHCHECK rules.
func TestContainer_PauseRenameHealth(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev")
	id := e.Docker("run", "-d", "--name", "first", "-l", "SERVICE_NAME=pausing", "-p", "8080", dockertest.Image)
	up := func() error { return a.resolves("pausing.service.consul", dns.TypeA) }
	down := func() error { return a.gone("pausing.service.consul") }
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, up)
	e.Docker("pause", id)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, down)
	e.Docker("unpause", id)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, up)
	e.Docker("rename", "first", "second")
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
		var s map[string]struct{ ID string }
		a.getJSON("/v1/agent/services", &s)
		for id := range s {
			if strings.Contains(id, "second") {
				return nil
			}
		}
		return fmt.Errorf("no service ID follows the new name: %v", s)
	})
	e.Docker("restart", "-t", "1", id)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, up)
	e.Docker("kill", id)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, down)

	health := e.Docker("run", "-d", "-l", "SERVICE_NAME=sick", "-p", "8080", "--health-cmd", "none",
		"--health-interval", "1s", "--health-retries", "1", dockertest.Image)
	testutil.Eventually(t, 10*time.Second, 50*time.Millisecond, func() error {
		var checks []struct{ Status string }
		a.getJSON("/v1/health/checks/sick", &checks)
		if len(checks) == 0 || checks[0].Status != "critical" {
			return fmt.Errorf("checks of a container whose HEALTHCHECK cannot run: %+v", checks)
		}
		return nil
	})
	testutil.NoError(t, a.gone("sick.service.consul"))
	e.Docker("rm", "-f", health)
}
