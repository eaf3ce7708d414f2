package registrator_test

import (
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/registrator"
	"berth/registrator/enginetest"
)

// 300 containers start and die in random order within 10 s: sets do not outnumber changes, and
// nothing is left behind.
func TestStorm(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		base := runtime.NumGoroutine()
		rng := rand.New(rand.NewPCG(3, 4))
		h.eng.SetFaults(enginetest.Faults{InspectDelay: 5 * time.Millisecond}, 1)
		sets, changes := h.rec.count(), 0
		live := []string{}
		for i := range 600 {
			if len(live) > 0 && (i >= 300 || rng.IntN(3) == 0) {
				k := rng.IntN(len(live))
				h.eng.Remove(live[k])
				live = append(live[:k], live[k+1:]...)
				changes += 2 // critical at the signal, then gone
			} else if i < 300 {
				live = append(live, h.web(fmt.Sprint("s", i), fmt.Sprint(2000+i)))
				changes++
			}
			h.pass(time.Duration(rng.IntN(33)) * time.Millisecond)
		}
		for _, id := range live {
			h.eng.Remove(id)
			changes += 2
		}
		h.pass(2 * time.Minute)
		h.want("all gone")
		if n := h.rec.count() - sets; n > changes {
			t.Errorf("%d sets for %d changes", n, changes)
		}
		if n := runtime.NumGoroutine(); n > base+25 { // idle connections have two each on either side
			t.Errorf("%d goroutines, %d before", n, base)
		}
		testutil.Equal(t, len(h.reg.Explain("")), 0)
	})
}

func TestLeaveOnExitForgets(t *testing.T) {
	dir := t.TempDir()
	bubble(t, nil, func(c *registrator.Config) { c.DataDir, c.LeaveOnExit = dir, true }, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(2 * time.Second)
		h.end()
		if _, err := os.Stat(filepath.Join(dir, "docker.json")); !os.IsNotExist(err) {
			t.Fatalf("the memory is still there: %v", err)
		}
	})
}

// The node gets another name: old IDs go when the new ones come, not before.
func TestNodeRenamed(t *testing.T) {
	dir := t.TempDir()
	bubble(t, nil, func(c *registrator.Config) { c.DataDir = dir }, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(2 * time.Second)
		h.end()
		h2 := startHarness(t, h.eng, func(c *registrator.Config) { c.DataDir, c.Node = dir, "n2" })
		defer func() { h2.end() }()
		h2.pass(time.Second)
		h2.want("under the new name", "n2:web:80")
		testutil.Equal(t, h2.rec.count(), 1) // no empty set before
	})
}

func TestRefreshListsAndRebuilds(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		h.eng.SetFaults(enginetest.Faults{Drop: 1}, 1)
		h.web("web", "1000")
		h.pass(time.Second)
		h.want("not seen")
		h.reg.Refresh()
		h.pass(10 * time.Millisecond)
		h.want("seen at once", sid("web"))
	})
}

func TestPerContainerKeys(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		label := func(k, v string) func(*enginetest.Container) {
			return func(c *enginetest.Container) { c.Labels[k] = v }
		}
		kept := h.web("kept", "1000", label("SERVICE_DEREGISTER", "never"))
		quiet := h.web("quiet", "1001", label("SERVICE_DEREGISTER_ON_STOP", "false"))
		slow := h.web("slow", "1002", label("SERVICE_DRAIN", "5s"))
		noHealth := h.web("nohealth", "1003", withHealth("starting"), label("SERVICE_CHECK_DOCKER_HEALTH", "false"))
		beat := h.web("beat", "1004", label("SERVICE_CHECK_TTL", "30s"), label("SERVICE_CHECK_TTL_FROM", "docker"))
		h.pass(time.Second)
		h.want("all up", sid("kept"), sid("quiet"), sid("slow"), sid("nohealth"), sid("beat"))
		d, _ := h.rec.get(sid("beat"))
		testutil.Equal(t, []any{d.Checks[0].Passive, d.Checks[0].Type, d.Checks[0].Status}, []any{true, berth.CheckTTL, berth.StatusPassing})
		h.eng.Kill(quiet, 15)
		h.eng.Pause(beat)
		h.eng.Stop(kept)
		h.eng.Stop(slow)
		h.eng.SetHealth(noHealth, "unhealthy", "")
		h.pass(time.Second)
		h.want("each as it asked", sid("kept")+" critical/exited with code 143", sid("quiet"), sid("nohealth"),
			sid("slow")+" critical/exited with code 143", sid("beat")+" critical/paused")
		d, _ = h.rec.get(sid("beat"))
		testutil.Equal(t, d.Checks[0].Status, berth.StatusCritical)
		h.pass(5 * time.Second)
		h.want("drained", sid("kept")+" critical/exited with code 143", sid("quiet"), sid("nohealth"), sid("beat")+" critical/paused")
	})
}

func TestInfoDeniedByProxy(t *testing.T) {
	bubble(t, func(e *enginetest.Engine) { e.DenyInfo() }, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(10 * time.Millisecond)
		h.want("works without /info", sid("web"))
		h.eng.Stop(id)
		h.pass(10 * time.Millisecond)
		h.want("events too")
	})
}

func TestRootlessHostMode(t *testing.T) {
	bubble(t, func(e *enginetest.Engine) { e.SetRootless() }, nil, func(t *testing.T, h *harness) {
		h.web("web", "1000", func(c *enginetest.Container) { c.NetworkMode = "host"; c.Exposed = []string{"80/tcp"} })
		h.pass(10 * time.Millisecond)
		h.want("its host network is not the host's")
		testutil.Equal(t, h.explain("web").Reason, registrator.ReasonNoPorts)
	})
}

func TestImageByIDIsLookedUp(t *testing.T) {
	const img = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	bubble(t, func(e *enginetest.Engine) { e.Tag(img, "shop/cart:2") }, nil, func(t *testing.T, h *harness) {
		h.web("x", "1000", func(c *enginetest.Container) { c.Image, c.ImageID, c.Labels = img, img, nil })
		h.pass(10 * time.Millisecond)
		d, _ := h.rec.get(sid("x"))
		testutil.Equal(t, d.Name, "cart")
	})
}

func TestTagTemplateOverInspect(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) {
		c.Tags, c.AllowTagTemplates = `{{.Config.Hostname}},{{index .Config.Labels "team"}}`, true
	}, func(t *testing.T, h *harness) {
		h.web("web", "1000", func(c *enginetest.Container) {
			c.Hostname, c.Labels["team"], c.Labels["SERVICE_TAGS"] = "box", "blue", `{{toUpper .Name}},$SERVICE_PORT`
		})
		h.web("bad", "1001", func(c *enginetest.Container) { c.Labels["SERVICE_TAGS"] = `{{.No.Such}}` })
		h.pass(10 * time.Millisecond)
		d, _ := h.rec.get(sid("web"))
		testutil.Equal(t, d.Tags, []string{"/WEB", "1000", "box", "blue"})
		h.want("a bad template costs its tags only", sid("web"), sid("bad"))
	})
}

func TestTLSEndpoint(t *testing.T) {
	eng := enginetest.New()
	srv := httptest.NewTLSServer(eng)
	defer srv.Close()
	eng.Run(webContainer("web", "1000"))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	testutil.NoError(t, os.WriteFile(ca, block, 0o600))
	for name, files := range map[string]registrator.EngineTLS{"with CA": {CA: ca}, "unverified": {SkipVerify: true}} {
		t.Run(name, func(t *testing.T) {
			rec := newRecorder()
			r, err := registrator.New(registrator.Config{Logger: testutil.Logger(t), Sink: rec, Node: realNode, NodeAddress: nodeAddr,
				Engine: "tcp://" + srv.Listener.Addr().String(), EngineTLS: files})
			testutil.NoError(t, err)
			testutil.Start(t, r.Run)
			rec.await(t, 5*time.Second, "registered", has(sid("web")))
		})
	}
}

// In real time, over a real socket: 1000 containers within 10 s.
func TestFailure15_ThousandStartsInRealTime(t *testing.T) {
	eng := enginetest.New()
	path := filepath.Join(t.TempDir(), "docker.sock")
	eng.Serve(t, path)
	rec := newRecorder()
	r, err := registrator.New(registrator.Config{Logger: slogOf(&logCount{}), Sink: rec, Node: realNode, NodeAddress: nodeAddr, Engine: "unix://" + path})
	testutil.NoError(t, err)
	testutil.Start(t, r.Run)
	testutil.Eventually(t, 10*time.Second, time.Millisecond, r.Ready)
	began := time.Now()
	for i := range 1000 {
		eng.Run(webContainer(fmt.Sprint("w", i), fmt.Sprint(1000+i)))
	}
	at := rec.await(t, 10*time.Second, "all of them", func(m defs) bool { return len(m) == 1000 })
	st := r.Stats()
	t.Logf("%v, %d inspects, %d sets", at.Sub(began), st.Inspects, st.Replaces)
}
