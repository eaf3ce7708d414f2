package registrator_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/registrator"
	"berth/registrator/enginetest"
)

func slogOf(l *logCount) *slog.Logger { return slog.New(l) }

func has(id string) func(map[string]berth.ServiceDefinition) bool {
	return func(m map[string]berth.ServiceDefinition) bool { _, ok := m[id]; return ok }
}

func deniedDial(tries *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		tries.Add(1)
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	}
}

func withHealth(status string) func(*enginetest.Container) {
	return func(c *enginetest.Container) { c.Health = status }
}

func TestFailure12_DiesBeforeInspect(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		id := h.web("web", "1000")
		h.eng.Die(id, 0, false)
		h.pass(time.Second)
		h.want("nothing is registered")
		testutil.Equal(t, h.explain("web").Reason, registrator.ReasonNotRunning)
	})
}

func TestFailure13_AutoRemoved(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		rm := func(c *enginetest.Container) { c.AutoRemove = true }
		h.pass(time.Second)
		h.eng.Die(h.web("short", "1000", rm), 0, false)
		id := h.web("long", "1001", rm)
		h.pass(10 * time.Millisecond)
		h.want("only the one that lives", sid("long"))
		h.eng.Die(id, 1, false)
		h.pass(5 * time.Millisecond)
		h.want("gone")
		testutil.Equal(t, len(h.reg.Explain("")), 0)
	})
}

func TestFailure14_RestartLoop(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(10 * time.Millisecond)
		sets := h.rec.count()
		for range 1000 {
			h.eng.Die(id, 1, false)
			h.eng.Start(id)
		}
		h.pass(31 * time.Second) // the longest damping
		if n := h.rec.count() - sets; n > 10 {
			t.Fatalf("%d sets for one burst", n)
		}
		h.want("up in the end", sid("web"))
	})
}

func TestFailure14_FlapDamping(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(time.Second)
		for range 4 {
			h.eng.Die(id, 1, false)
			h.pass(100 * time.Millisecond)
			h.eng.Start(id)
			h.pass(100 * time.Millisecond)
		}
		h.want("damped")
		testutil.Equal(t, h.explain("web").Reason, registrator.ReasonFlapping)
		h.pass(5 * time.Second)
		h.want("and back", sid("web"))
	})
}

func TestFailure20_PortsComeLate(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.web("late", "1000", func(c *enginetest.Container) { c.LatePorts = 600 * time.Millisecond })
		h.web("never", "1001", func(c *enginetest.Container) { c.LatePorts = time.Hour })
		h.pass(10 * time.Millisecond)
		h.want("not yet")
		h.pass(time.Second)
		h.want("a retry finds them", sid("late"))
		h.pass(5 * time.Second)
		testutil.Equal(t, h.explain("never").Ports[0].Reason, registrator.ReasonNotPublished)
	})
}

func TestFailure21_HostPortChanges(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(time.Second)
		h.eng.Stop(id)
		h.eng.Change(id, func(c *enginetest.Container) {
			c.Ports = map[string][]enginetest.Binding{"80/tcp": {{HostPort: "2000"}}}
		})
		h.eng.Start(id)
		h.pass(10 * time.Millisecond)
		d, _ := h.rec.get(sid("web"))
		testutil.Equal(t, d.Port, 2000)
	})
}

func TestFailure22_RenameAndSwap(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		blue, green := h.web("blue", "1000"), h.web("green", "1001")
		h.pass(time.Second)
		sets := h.rec.count()
		h.eng.Rename(blue, "azure")
		h.pass(5 * time.Millisecond)
		h.want("renamed", sid("azure"), sid("green"))
		testutil.Equal(t, h.rec.count(), sets+1) // new and old in one set
		h.eng.Rename(green, "blue")
		h.eng.Rename(blue, "green")
		h.pass(5 * time.Millisecond)
		h.want("swapped", sid("blue"), sid("green"))
		a, _ := h.rec.get(sid("blue"))
		b, _ := h.rec.get(sid("green"))
		testutil.Equal(t, []int{a.Port, b.Port}, []int{1001, 1000})
		if a.Meta[berth.MetaOwner] == b.Meta[berth.MetaOwner] || !strings.Contains(a.Meta[berth.MetaOwner], green) {
			t.Fatalf("owners: %q, %q", a.Meta[berth.MetaOwner], b.Meta[berth.MetaOwner])
		}
	})
}

func TestFailure23_DuplicateID(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		same := func(c *enginetest.Container) { c.Labels["SERVICE_ID"] = "the-id" }
		h.web("old", "1000", same)
		h.pass(time.Second)
		young := h.web("young", "1001", same)
		h.pass(10 * time.Millisecond)
		h.want("one of them", "the-id")
		d, _ := h.rec.get("the-id")
		testutil.Equal(t, d.Name, "young")
		p := h.explain("old").Ports[0]
		testutil.Equal(t, p.Reason, registrator.ReasonDuplicate)
		if !strings.Contains(p.Detail, "young") {
			t.Fatalf("detail: %q", p.Detail)
		}
		h.eng.Die(young, 0, false)
		h.pass(5 * time.Millisecond)
		d, _ = h.rec.get("the-id")
		testutil.Equal(t, d.Name, "old")
		testutil.Equal(t, h.explain("old").Ports[0].Reason, "")
	})
}

func TestFailure24_MovedBetweenNetworks(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) { c.Internal = true }, func(t *testing.T, h *harness) {
		id := h.web("web", "1000", func(c *enginetest.Container) {
			c.NetworkMode = "front"
			c.Networks = map[string]enginetest.Network{"front": {ID: "f", IP: "10.1.0.2"}}
		})
		h.pass(time.Second)
		d, _ := h.rec.get(sid("web"))
		testutil.Equal(t, d.Address, "10.1.0.2")
		h.eng.Connect(id, "back", enginetest.Network{ID: "b", IP: "10.2.0.2"})
		h.eng.Disconnect(id, "front")
		h.pass(30 * time.Millisecond)
		d, _ = h.rec.get(sid("web"))
		testutil.Equal(t, d.Address, "10.2.0.2")
	})
}

func TestFailure25_NetworkOwnerRestarts(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		owner := h.web("vpn", "1000")
		guest := h.eng.Run(enginetest.Container{Name: "guest", NetworkMode: "container:" + owner, Exposed: []string{"80/tcp"},
			Labels: map[string]string{"SERVICE_NAME": "guest"}})
		h.pass(time.Second)
		h.want("guest has the owner's port", sid("guest"), sid("vpn"))
		d, _ := h.rec.get(sid("guest"))
		testutil.Equal(t, d.Port, 1000)
		h.eng.Stop(owner)
		h.pass(10 * time.Millisecond)
		h.want("owner stopped", sid("guest")+" critical/network owner vpn is not running")
		h.pass(time.Second)
		h.eng.Start(owner)
		h.pass(10 * time.Millisecond)
		h.want("owner restarted", sid("guest")+" critical/network owner vpn has restarted, this container has not", sid("vpn"))
		h.pass(time.Second)
		h.eng.Stop(guest)
		h.eng.Start(guest)
		h.pass(10 * time.Millisecond)
		h.want("guest restarted", sid("guest"), sid("vpn"))
		h.eng.Remove(owner)
		h.pass(10 * time.Millisecond)
		h.want("owner gone", sid("guest")+" critical/network owner "+owner[:12]+" is gone")
	})
}

// A guest that gets another name while its network owner is down is critical under that name.
func TestFailure25_GuestRenamedMeanwhile(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		owner := h.web("vpn", "1000")
		guest := h.eng.Run(enginetest.Container{Name: "guest", NetworkMode: "container:" + owner, Exposed: []string{"80/tcp"}})
		h.pass(time.Second)
		h.eng.Stop(owner)
		h.pass(time.Second)
		h.eng.Rename(guest, "other")
		h.pass(time.Second)
		h.want("under its new name", sid("other")+" critical/network owner vpn is not running")
	})
}

// Who joins a container that sits in a dead network sits there too.
func TestFailure25_NestedOwner(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		owner := h.web("vpn", "1000")
		guest := h.eng.Run(enginetest.Container{Name: "guest", NetworkMode: "container:" + owner, Exposed: []string{"80/tcp"}})
		h.pass(time.Second)
		h.eng.Stop(owner)
		h.pass(time.Second)
		h.eng.Start(owner)
		h.pass(time.Second)
		h.eng.Run(enginetest.Container{Name: "inner", NetworkMode: "container:" + guest, Exposed: []string{"80/tcp"}})
		h.pass(time.Second)
		h.want("both", sid("vpn"), sid("guest")+" critical/network owner vpn has restarted, this container has not",
			sid("inner")+" critical/network owner vpn has restarted, this container has not")
	})
}

func TestFailure26_Pause(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000", withHealth("starting"))
		h.eng.SetHealth(id, "healthy", "fine")
		h.pass(time.Second)
		h.eng.Pause(id)
		h.pass(5 * time.Millisecond)
		h.want("paused", sid("web")+" critical/paused")
		h.pass(time.Minute)
		h.eng.Unpause(id)
		h.pass(5 * time.Millisecond)
		h.want("restored at once", sid("web")+" passing/healthy: fine")
	})
}

func TestFailure27_HealthAndOOM(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000", withHealth("starting"))
		h.pass(10 * time.Millisecond)
		h.want("starting", sid("web")+" critical/starting")
		h.eng.SetHealth(id, "healthy", "ok")
		h.pass(5 * time.Millisecond)
		h.want("healthy", sid("web")+" passing/healthy: ok")
		sets := h.rec.count()
		h.eng.SetHealth(id, "healthy", "ok again")
		h.pass(2 * time.Minute)
		testutil.Equal(t, h.rec.count(), sets) // no write for each probe
		h.eng.Emit(enginetest.Event{Type: "container", Action: "oom", ID: id})
		h.eng.SetHealth(id, "unhealthy", "bad")
		h.pass(5 * time.Millisecond)
		h.want("unhealthy", sid("web")+" critical/unhealthy: bad")
		h.eng.SetHealth(id, "healthy", "back")
		h.pass(5 * time.Millisecond)
		h.want("restored", sid("web")+" passing/healthy: back")
		h.eng.Stop(id)
		h.eng.Start(id) // no event says that health starts anew
		h.pass(5 * time.Millisecond)
		h.want("after a restart", sid("web")+" critical/starting")
		testutil.Equal(t, h.reg.Stats().Events["oom"], uint64(1))
	})
}

func TestFailure28_StopWithLongGrace(t *testing.T) {
	for name, tc := range map[string]struct {
		stopSignal string
		signal     int
	}{"TERM": {"", 15}, "QUIT": {"SIGQUIT", 3}, "number": {"28", 28}, "RTMIN": {"SIGRTMIN+3", 37}, "KILL": {"SIGQUIT", 9}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, nil, func(t *testing.T, h *harness) {
				grace := 60
				id := h.web("web", "1000", func(c *enginetest.Container) { c.StopSignal, c.StopTimeout = tc.stopSignal, &grace })
				h.pass(time.Second)
				h.eng.Kill(id, tc.signal)
				h.pass(5 * time.Millisecond)
				h.want("out at the signal", sid("web")+" critical/draining")
				h.pass(50 * time.Second)
				h.want("still there", sid("web")+" critical/draining")
				h.eng.Die(id, 0, false)
				h.pass(5 * time.Millisecond)
				h.want("gone at die")
			})
		})
	}
}

func TestFailure28_DrainTime(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) { c.Drain = 10 * time.Second }, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		rm := h.web("rm", "1001", func(c *enginetest.Container) { c.AutoRemove = true })
		h.pass(time.Second)
		h.eng.Stop(id)
		h.eng.Stop(rm)
		h.pass(9 * time.Second)
		h.want("kept critical for the drain time", sid("rm")+" critical/draining", sid("web")+" critical/exited with code 143")
		h.pass(2 * time.Second)
		h.want("then gone")
	})
}

func TestFailure29_OtherSignals(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000", func(c *enginetest.Container) { c.StopSignal = "SIGQUIT" })
		h.pass(time.Second)
		sets := h.rec.count()
		for _, sig := range []int{1, 10, 12, 15, 28} {
			h.eng.Kill(id, sig)
		}
		h.pass(time.Second)
		h.want("nothing happens", sid("web"))
		testutil.Equal(t, h.rec.count(), sets)
	})
}

func TestFailure30_StopRefused(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(time.Second)
		h.eng.Kill(id, 15)
		h.pass(14 * time.Second)
		h.want("draining", sid("web")+" critical/draining")
		h.pass(2 * time.Second)
		h.want("back after stop timeout and 5 s", sid("web"))
	})
}

func TestFailure31_OnSuccess(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) { c.Deregister = registrator.DeregisterOnSuccess }, func(t *testing.T, h *harness) {
		codes := map[string]int{"zero": 0, "term": 143, "fail": 1}
		ids := map[string]string{}
		for n := range codes {
			ids[n] = h.web(n, fmt.Sprint(1000+len(ids)))
		}
		h.pass(time.Second)
		for n, code := range codes {
			h.eng.Die(ids[n], code, false)
		}
		h.pass(5 * time.Millisecond)
		h.want("failed one stays", sid("fail")+" critical/exited with code 1")
		h.pass(59 * time.Minute)
		h.want("still", sid("fail")+" critical/exited with code 1")
		h.pass(2 * time.Minute)
		h.want("until dead-ttl")
	})
}

func TestFailure31_NeverAndRestart(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) { c.Deregister = registrator.DeregisterNever }, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(time.Second)
		h.eng.Die(id, 0, false)
		h.pass(5 * time.Millisecond)
		h.want("kept", sid("web")+" critical/exited with code 0")
		h.pass(3 * time.Hour)
		h.want("kept as long as the container is there", sid("web")+" critical/exited with code 0")
		h.eng.Start(id)
		h.pass(5 * time.Millisecond)
		h.want("restored", sid("web"))
		h.eng.Remove(id)
		h.pass(5 * time.Millisecond)
		h.want("destroyed")
	})
}

func TestRestartPolicyBackoff(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000", func(c *enginetest.Container) { c.Restart = "always" })
		h.pass(time.Second)
		h.eng.Die(id, 1, true)
		h.pass(5 * time.Millisecond)
		h.want("in back-off", sid("web")+" critical/restarting")
		h.eng.Start(id)
		h.pass(5 * time.Millisecond)
		h.want("up", sid("web"))
		h.eng.Die(id, 1, true)
		h.pass(61 * time.Second)
		h.want("given up after the grace time")
		h.eng.Start(id)
		h.pass(5 * time.Millisecond)
		h.want("and back", sid("web"))
	})
}

// The inspect does not answer: the die event alone has to do.
func TestDieWithoutInspect(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(time.Second)
		release := h.eng.HangInspect(id)
		defer release()
		h.eng.Die(id, 0, false)
		h.pass(50 * time.Millisecond)
		h.want("critical at once", sid("web")+" critical/exited")
		h.pass(2 * time.Second)
		h.want("believed after 2 s")
	})
}

// One write when the inspect answers at once.
func TestDieIsOneSet(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(time.Second)
		sets := h.rec.count()
		h.eng.Die(id, 1, false)
		h.pass(time.Second)
		h.want("gone")
		testutil.Equal(t, h.rec.count(), sets+1)
	})
}

func TestFailure32_AgentRestarts(t *testing.T) {
	dir := t.TempDir()
	bubble(t, nil, func(c *registrator.Config) { c.DataDir = dir }, func(t *testing.T, h *harness) {
		stays := h.web("stays", "1000")
		goes := h.web("goes", "1001")
		h.pass(2 * time.Second)
		h.end()
		h.eng.Remove(goes)
		release := h.eng.HangInspect(stays)
		h2 := startHarness(t, h.eng, func(c *registrator.Config) { c.DataDir = dir })
		defer func() { h2.end() }()
		h2.want("nothing flaps before docker was asked", sid("stays")) // the one that is gone is removed by an inspect
		told := h2.explain("stays").Ports
		testutil.Equal(t, []string{told[0].ServiceID, told[0].Address, told[0].Detail}, []string{sid("stays"), "192.0.2.10:1000", "as registered before the agent's start"})
		release()
		h2.pass(10 * time.Second)
		h2.want("reconciled", sid("stays"))
		d, _ := h2.rec.get(sid("stays"))
		testutil.Equal(t, d.Port, 1000)
	})
}

// What is to happen at a container's end is up to its key also when no agent ran meanwhile.
func TestFailure32_EndedWhileAway(t *testing.T) {
	dir := t.TempDir()
	bubble(t, nil, func(c *registrator.Config) { c.DataDir = dir }, func(t *testing.T, h *harness) {
		kept := h.web("kept", "1000", func(c *enginetest.Container) { c.Labels["SERVICE_DEREGISTER"] = "never" })
		goes := h.web("goes", "1001")
		h.pass(2 * time.Second)
		h.end()
		h.eng.Stop(kept)
		h.eng.Stop(goes)
		h2 := startHarness(t, h.eng, func(c *registrator.Config) { c.DataDir = dir })
		defer func() { h2.end() }()
		h2.pass(10 * time.Second)
		h2.want("by key", sid("kept")+" critical/exited with code 143")
		h.eng.Remove(kept)
		h2.pass(time.Minute)
		h2.want("destroyed")
	})
}

func TestFailure32_DockerAwayAtRestart(t *testing.T) {
	dir := t.TempDir()
	bubble(t, nil, func(c *registrator.Config) { c.DataDir = dir }, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(2 * time.Second)
		h.end()
		h.eng.Down()
		h2 := startHarness(t, h.eng, func(c *registrator.Config) { c.DataDir = dir })
		defer func() { h2.end() }()
		h2.pass(time.Minute)
		h2.want("what was registered is kept", sid("web"))
		h2.eng.Up()
		h2.pass(13 * time.Second)
		h2.want("and verified", sid("web"))
	})
}

func TestFailure33_HostReboots(t *testing.T) {
	dir := t.TempDir()
	bubble(t, nil, func(c *registrator.Config) { c.DataDir = dir }, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(2 * time.Second)
		h.end()
		path := filepath.Join(dir, "docker.json")
		b, err := os.ReadFile(path)
		testutil.NoError(t, err)
		i := strings.Index(string(b), `"BootID":"`) + len(`"BootID":"`)
		b[i], b[i+1], b[i+2] = 'x', 'x', 'x'
		testutil.NoError(t, os.WriteFile(path, b, 0o600))
		h.eng.Down()
		h2 := startHarness(t, h.eng, func(c *registrator.Config) { c.DataDir = dir })
		defer func() { h2.end() }()
		testutil.Equal(t, h2.rec.count(), 1)
		h2.want("dropped before docker is there")
	})
}

func TestFailure39_BadLabels(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.web("bad", "1000", func(c *enginetest.Container) {
			c.Labels["SERVICE_BIG"] = strings.Repeat("x", 5000)
			c.Labels["SERVICE_CHECK_HTTP"] = "/health"
			c.Labels["SERVICE_CHECK_INTERVAL"] = "soon"
			c.Labels["SERVICE_WEIGHT"] = "heavy"
			c.Labels["SERVICE_TTL"] = "-3"
			c.Labels["SERVICE_CHECK_HEADER"] = "{"
		})
		h.pass(10 * time.Millisecond)
		h.want("registered all the same", sid("bad"))
		d, _ := h.rec.get(sid("bad"))
		testutil.Equal(t, d.Checks[0].Interval.D(), 10*time.Second)
		dropped := strings.Join(h.explain("bad").Dropped, "\n")
		for _, k := range []string{"SERVICE_BIG", "SERVICE_CHECK_INTERVAL", "SERVICE_WEIGHT", "SERVICE_TTL", "SERVICE_CHECK_HEADER"} {
			if !strings.Contains(dropped, k) {
				t.Errorf("%s is not reported:\n%s", k, dropped)
			}
		}
		warned := h.log.warnings.Load()
		h.pass(20 * time.Minute)
		testutil.Equal(t, h.log.warnings.Load(), warned) // once
		if !strings.Contains(dropped, "label SERVICE_CHECK_INTERVAL=soon: want a duration") {
			t.Errorf("the label is not named:\n%s", dropped)
		}
		testutil.Equal(t, h.log.times("settings of the container are not taken, berth explain shows all"), int64(1))
		testutil.Equal(t, h.log.times("a setting of the container is not taken"), int64(0))
	})
}

func TestStopSignal_IsNoNewsOfAContainerThatHasNoService(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		ignored := h.web("ignored", "1001", func(c *enginetest.Container) { c.Labels["SERVICE_IGNORE"] = "true" })
		id := h.web("web", "1000")
		h.pass(time.Second)
		h.eng.Kill(ignored, 15)
		h.pass(5 * time.Millisecond)
		testutil.Equal(t, h.log.times("container is told to stop, draining"), int64(0))
		h.eng.Kill(id, 15)
		h.pass(5 * time.Millisecond)
		testutil.Equal(t, h.log.times("container is told to stop, draining"), int64(1))
	})
}

func TestFailure42_StateFileCorrupt(t *testing.T) {
	dir := t.TempDir()
	testutil.NoError(t, os.WriteFile(filepath.Join(dir, "docker.json"), []byte("{ not json"), 0o600))
	bubble(t, nil, func(c *registrator.Config) { c.DataDir = dir }, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(2 * time.Second)
		h.want("works without it", sid("web"))
		if !h.log.has("cannot be read") {
			t.Fatal("no warning")
		}
	})
}

func TestFailure47_SecondAgent(t *testing.T) {
	dir := t.TempDir()
	bubble(t, nil, func(c *registrator.Config) { c.DataDir = dir }, func(t *testing.T, h *harness) {
		r, err := registrator.New(registrator.Config{Logger: slogOf(h.log), Sink: h.rec, Node: "n2", DataDir: dir,
			NodeAddress: nodeAddr, Engine: "unix:///fake", Dial: h.eng.Dial})
		testutil.NoError(t, err)
		err = r.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "another agent") {
			t.Fatalf("second agent: %v", err)
		}
	})
}

func TestFailure49_MemoryBounded(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		for round := range 5 {
			var ids []string
			for i := range 60 {
				ids = append(ids, h.web(fmt.Sprint("w", round, "-", i), fmt.Sprint(1000+i)))
			}
			h.pass(time.Second)
			for _, id := range ids {
				h.eng.Remove(id)
			}
			h.pass(time.Second)
		}
		h.want("none left")
		testutil.Equal(t, len(h.reg.Explain("")), 0)
		testutil.Equal(t, h.eng.Streams(), 1)
		testutil.Equal(t, h.reg.Stats().Dirty, 0)
	})
}

func TestSinkRefusesForAWhile(t *testing.T) {
	rec := newRecorder()
	sink := &failingSink{next: rec}
	sink.left.Store(3)
	bubble(t, nil, func(c *registrator.Config) { c.Sink = sink }, func(t *testing.T, h *harness) {
		h.rec = rec
		h.web("web", "1000")
		h.pass(5 * time.Second)
		h.want("tried until it was taken", sid("web"))
	})
}

func TestLeaveOnExit(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) { c.LeaveOnExit = true }, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(time.Second)
		h.want("registered", sid("web"))
		h.end()
		h.want("taken out at exit")
	})
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(time.Second)
		h.end()
		h.want("left in place by default", sid("web"))
	})
}
