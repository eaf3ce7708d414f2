package registrator_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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

// The numbers are those of the table of failures that the registrator is specified against.

func TestFailure01_NoDockerAtStart(t *testing.T) {
	bubble(t, func(e *enginetest.Engine) { e.Down() }, nil, func(t *testing.T, h *harness) {
		h.pass(5 * time.Minute)
		if err := h.reg.Ready(); err == nil || !strings.Contains(err.Error(), "docker is not connected") {
			t.Fatalf("Ready: %v", err)
		}
		if h.reg.Stats().DockerUp {
			t.Fatal("docker is said to be up")
		}
		testutil.Equal(t, h.rec.count(), 0) // nothing may be removed before anything is known
		testutil.Equal(t, h.log.warnings.Load(), int64(1))
		h.eng.Up()
		h.web("web", "1000")
		h.pass(13 * time.Second)
		h.want("after docker came", sid("web"))
		testutil.NoError(t, h.reg.Ready())
	})
}

// Real sockets: the file is missing first and replaced later.
func TestFailure02_SocketReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	rec := newRecorder()
	log := &logCount{}
	r, err := registrator.New(registrator.Config{Logger: slogOf(log), Sink: rec, Node: realNode, Engine: "unix://" + path,
		NodeAddress: func() netip.Addr { return netip.MustParseAddr("192.0.2.10") }})
	testutil.NoError(t, err)
	testutil.Start(t, r.Run)
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
		if !log.has("no such file", "mount its folder") {
			return errors.New("no line says what to do")
		}
		return nil
	})
	first := enginetest.New()
	first.Run(webContainer("one", "1000"))
	t.Run("first", func(t *testing.T) {
		first.Serve(t, path)
		rec.await(t, 5*time.Second, "one", has(sid("one")))
	})
	os.Remove(path)
	second := enginetest.New()
	second.Run(webContainer("two", "1000"))
	second.Serve(t, path)
	rec.await(t, 15*time.Second, "two", has(sid("two")))
}

func TestFailure03_PermissionDenied(t *testing.T) {
	var tries atomic.Int64
	bubble(t, nil, func(c *registrator.Config) { c.Dial = deniedDial(&tries) }, func(t *testing.T, h *harness) {
		h.pass(35 * time.Second)
		if n := tries.Load(); n < 3 || n > 12 { // a try may dial more than once
			t.Fatalf("%d dials in 35 s, want one try every 10 s", n)
		}
		if !h.log.has("permission denied", "group") {
			t.Fatal("no line names the group")
		}
		testutil.Equal(t, h.log.warnings.Load(), int64(1))
	})
}

func TestFailure04_DockerRestarts(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		gone, back := h.web("gone", "1000"), h.web("back", "1001")
		h.pass(10 * time.Millisecond)
		h.want("before", sid("back"), sid("gone"))
		h.eng.Down() // some of the events of the shutdown never arrive
		h.eng.Die(gone, 0, false)
		h.eng.Die(back, 0, false)
		h.pass(3 * time.Second)
		h.want("while down", sid("back"), sid("gone"))
		h.eng.Up()
		h.eng.Start(back)
		h.pass(13 * time.Second)
		h.want("after", sid("back"))
	})
}

func TestFailure05_LiveRestore(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000", withHealth("healthy"))
		h.eng.SetHealth(id, "healthy", "ok")
		h.pass(10 * time.Millisecond)
		h.want("before", sid("web")+" passing/healthy: ok")
		h.eng.Down()
		h.eng.Change(id, func(c *enginetest.Container) { c.Health, c.HealthOutput = "unhealthy", "no" })
		h.pass(5 * time.Second)
		h.want("during the gap", sid("web")+" passing/healthy: ok")
		h.eng.Up()
		h.pass(13 * time.Second)
		h.want("health is read anew", sid("web")+" critical/unhealthy: no")
	})
}

// A killed daemon leaves containers running or not: a port that refuses connections tells.
func TestFailure06_DockerKilled(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) {
		c.Probe = func(_ context.Context, _, addr string) (net.Conn, error) {
			if addr == "192.0.2.10:1001" {
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			}
			client, server := net.Pipe()
			server.Close()
			return client, nil
		}
	}, func(t *testing.T, h *harness) {
		h.web("alive", "1000")
		h.web("dead", "1001")
		h.pass(10 * time.Millisecond)
		h.eng.Down()
		h.pass(5 * time.Second)
		h.want("at first everything stays", sid("alive"), sid("dead"))
		if d := h.explain("alive").Detail; !strings.Contains(d, "unverified") {
			t.Fatalf("explain: %q", d)
		}
		h.pass(30 * time.Second)
		h.want("later the dead port shows", sid("alive"), sid("dead")+" critical/docker does not answer and the port refuses connections")
		h.eng.Up()
		h.pass(13 * time.Second)
		h.want("docker knows better", sid("alive"), sid("dead"))
	})
}

func TestFailure07_SilentStream(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("old", "1000")
		h.pass(31 * time.Second)
		h.eng.Silence(true)
		h.eng.Stop(id)
		h.web("new", "1001")
		h.pass(30 * time.Second)
		h.want("the list repairs within 30 s", sid("new"))
		h.pass(6 * time.Second)
		if n := h.reg.Stats().EventsMissed; n != 2 {
			t.Fatalf("%d events missed, want 2", n)
		}
	})
}

// A wedged daemon keeps connections open and answers nothing.
func TestFailure07_WedgedDaemonIsLeft(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		before := h.reg.Stats().Reconnects
		release := h.eng.HangPing()
		h.pass(20 * time.Second)
		if h.reg.Stats().Reconnects == before {
			t.Fatal("the connection is kept though pings hang")
		}
		release()
		h.web("web", "1000")
		h.pass(25 * time.Second)
		h.want("after", sid("web"))
	})
}

func TestFailure07_MissedEventsResubscribe(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		streams := h.eng.Requests("events")
		h.eng.Silence(true)
		for i := range 4 {
			h.web(fmt.Sprint("w", i), fmt.Sprint(1000+i))
		}
		h.pass(40 * time.Second)
		if h.eng.Requests("events") == streams {
			t.Fatal("the stream that loses events is kept")
		}
	})
}

func TestFailure08_StreamCutByProxy(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(10 * time.Millisecond)
		sets := h.rec.count()
		for range 5 {
			h.pass(10 * time.Minute)
			h.eng.CutStreams(false)
		}
		h.pass(10 * time.Second)
		testutil.Equal(t, h.rec.count(), sets) // no flap
		testutil.Equal(t, h.log.warnings.Load(), int64(0))
		h.web("new", "1001")
		h.pass(10 * time.Millisecond)
		h.want("events flow", sid("new"), sid("web"))
	})
}

func TestFailure08_EventsOfTheGapAreReplayed(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) { c.Deregister = registrator.DeregisterOnSuccess }, func(t *testing.T, h *harness) {
		id := h.web("web", "1000", func(c *enginetest.Container) { c.AutoRemove = true })
		h.pass(time.Second)
		h.eng.CutStreams(true)
		h.eng.Die(id, 0, false)
		h.web("other", "1001")
		h.pass(time.Second)
		h.want("after the gap", sid("other"))
	})
}

func TestFailure09_EventsDropped(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		h.eng.SetFaults(enginetest.Faults{Drop: 1}, 1)
		ids := []string{}
		for i := range 20 {
			ids = append(ids, h.web(fmt.Sprint("w", i), fmt.Sprint(1000+i)))
		}
		h.pass(31 * time.Second)
		testutil.Equal(t, len(h.rec.describe()), 20)
		for _, id := range ids[1:] {
			h.eng.Remove(id)
		}
		h.pass(31 * time.Second)
		h.want("removed too", sid("w0"))
		h.pass(6 * time.Second)
		if h.reg.Stats().EventsMissed < 20 {
			t.Fatalf("missed events are not counted: %d", h.reg.Stats().EventsMissed)
		}
	})
}

// Both events of a restart are lost: the uptime in the list gives it away.
// Removing containers is nothing that events did not tell, and no reason to connect again.
func TestFailure09_RemovalsAreNotMissed(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		for i := range 10 {
			h.web(fmt.Sprint("w", i), fmt.Sprint(1000+i))
		}
		h.pass(time.Minute)
		for _, c := range h.eng.Containers() {
			h.eng.Remove(c.ID)
		}
		h.pass(2 * time.Minute)
		h.want("all removed")
		if s := h.reg.Stats(); s.EventsMissed != 0 || s.Reconnects != 0 {
			t.Errorf("%d events missed, %d reconnects", s.EventsMissed, s.Reconnects)
		}
	})
}

func TestFailure09_MissedRestart(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(10 * time.Minute)
		h.eng.SetFaults(enginetest.Faults{Drop: 1}, 1)
		h.eng.Stop(id)
		h.eng.Start(id)
		h.pass(31 * time.Second)
		d, _ := h.rec.get(sid("web"))
		testutil.Equal(t, d.Meta[berth.MetaStarted], h.eng.Containers()[0].StartedAt.UTC().Format(time.RFC3339Nano))
	})
}

func TestFailure10_EventsReorderedDuplicatedReplayed(t *testing.T) {
	bubble(t, nil, func(c *registrator.Config) { c.FlapDamping = no() }, func(t *testing.T, h *harness) {
		h.eng.SetFaults(enginetest.Faults{Reorder: 0.5, Duplicate: 0.5}, 7)
		id := h.web("web", "1000")
		for range 3 {
			h.eng.Stop(id)
			h.eng.Start(id)
		}
		h.eng.SetFaults(enginetest.Faults{}, 1)
		h.pass(10 * time.Millisecond)
		h.want("after the mess", sid("web"))
		sets := h.rec.count()
		old := h.eng.Now().Add(-time.Hour)
		for _, a := range []string{"die", "pause", "kill", "destroy"} {
			h.eng.Emit(enginetest.Event{Type: "container", Action: a, ID: id, At: old, Attributes: map[string]string{"signal": "15", "exitCode": "1"}})
		}
		h.pass(time.Second)
		h.want("after a replay", sid("web"))
		testutil.Equal(t, h.rec.count(), sets)
	})
}

func TestFailure11_ClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{-72 * time.Hour, 72 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			bubble(t, func(e *enginetest.Engine) { e.SetClock(skew) }, nil, func(t *testing.T, h *harness) {
				id := h.web("web", "1000")
				h.pass(10 * time.Millisecond)
				h.want("skewed", sid("web"))
				h.eng.CutStreams(true)
				h.eng.Stop(id)
				h.pass(time.Second)
				h.want("stopped in a gap")
				h.eng.SetClock(skew - time.Hour) // steps back
				h.eng.CutStreams(true)
				h.pass(time.Second)
				id = h.web("two", "1001")
				h.pass(10 * time.Millisecond)
				h.want("after the step", sid("two"))
				h.eng.Die(id, 0, false)
				h.pass(10 * time.Millisecond)
				h.want("and gone")
			})
		})
	}
}

func TestFailure15_ThousandStarts(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		for i := range 1000 {
			h.web(fmt.Sprint("w", i), fmt.Sprint(1000+i))
		}
		h.eng.SetFaults(enginetest.Faults{InspectDelay: 20 * time.Millisecond}, 1)
		h.pass(10 * time.Second)
		testutil.Equal(t, len(h.rec.describe()), 1000)
	})
}

func TestFailure16_OneInspectHangs(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		stuck := h.web("stuck", "1000")
		h.pass(10 * time.Millisecond)
		release := h.eng.HangInspect(stuck)
		h.eng.Pause(stuck)
		h.web("other", "1001")
		h.pass(20 * time.Millisecond)
		h.want("others go on", sid("other"), sid("stuck")+" critical/paused")
		h.pass(6 * time.Second)
		if d := h.explain("stuck").Detail; !strings.Contains(d, "inspect fails") {
			t.Fatalf("explain: %q", d)
		}
		h.pass(time.Minute)
		h.want("kept", sid("other"), sid("stuck")+" critical/paused")
		h.eng.Unpause(stuck)
		release()
		h.pass(61 * time.Second)
		h.want("released", sid("other"), sid("stuck"))
	})
}

func TestFailure16_FirstPassWithHangingInspect(t *testing.T) {
	var release func()
	bubble(t, func(e *enginetest.Engine) {
		release = e.HangInspect(e.Run(webContainer("stuck", "1000")))
		e.Run(webContainer("other", "1001"))
	}, nil, func(t *testing.T, h *harness) {
		h.pass(4 * time.Second)
		testutil.Equal(t, h.rec.count(), 0) // a partial set would take out what the catalog has
		h.pass(2 * time.Second)
		h.want("the rest does not wait for ever", sid("other"))
		release()
		h.pass(10 * time.Second)
		h.want("complete", sid("other"), sid("stuck"))
	})
}

func TestFailure17_ListHangs(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.pass(time.Second)
		release := h.eng.HangList()
		h.pass(31 * time.Second)
		h.web("web", "1000")
		h.pass(10 * time.Millisecond)
		h.want("events go on", sid("web"))
		h.pass(20 * time.Second)
		if h.reg.Stats().ListErrors == 0 {
			t.Fatal("the list did not time out")
		}
		release()
	})
}

func TestFailure18_StaleListAfterDie(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(20 * time.Second)
		h.eng.FreezeList(2)
		h.eng.Die(id, 0, false)
		h.pass(5 * time.Millisecond)
		h.want("die wins")
		for range 60 {
			h.pass(time.Second)
			h.want("a list that is behind adds nothing")
		}
	})
}

func TestFailure19_ListSuddenlyEmpty(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		h.web("web", "1000")
		h.pass(20 * time.Second)
		before := h.rec.count()
		h.eng.EmptyList(true)
		h.pass(2 * time.Minute)
		h.want("an inspect proves that it is there", sid("web"))
		testutil.Equal(t, h.rec.count(), before)
	})
}

func TestFailure19_AnotherEngineAnswers(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, h *harness) {
		id := h.web("web", "1000")
		h.pass(20 * time.Second)
		h.eng.Down()
		h.eng.SetID("ENGINE:TWO")
		h.eng.Vanish(id)
		h.eng.Up()
		h.pass(13 * time.Second)
		h.want("held", sid("web"))
		if !h.log.has("another docker engine answers") {
			t.Fatal("no warning")
		}
		h.pass(35 * time.Second)
		h.want("then removed")
	})
}

func TestFailure37_NodeAddressChanges(t *testing.T) {
	addr := atomic.Pointer[netip.Addr]{}
	set := func(s string) { a := netip.MustParseAddr(s); addr.Store(&a) }
	set("192.0.2.1")
	bubble(t, nil, func(c *registrator.Config) { c.NodeAddress = func() netip.Addr { return *addr.Load() } }, func(t *testing.T, h *harness) {
		for i := range 5 {
			h.web(fmt.Sprint("w", i), fmt.Sprint(1000+i))
		}
		h.pass(time.Second)
		sets := h.rec.count()
		set("192.0.2.2")
		h.pass(6 * time.Second)
		testutil.Equal(t, h.rec.count(), sets+1)
		for i := range 5 {
			d, _ := h.rec.get(sid(fmt.Sprint("w", i)))
			testutil.Equal(t, d.Address, "192.0.2.2")
		}
	})
}

func TestFailure38_LoopbackNodeAddress(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "169.254.1.1"} {
		bubble(t, nil, func(c *registrator.Config) {
			c.NodeAddress = func() netip.Addr { return netip.MustParseAddr(a) }
		}, func(t *testing.T, h *harness) {
			h.web("web", "1000")
			h.pass(10 * time.Millisecond)
			h.want("never registered")
			testutil.Equal(t, h.explain("web").Ports[0].Reason, registrator.ReasonNoAddress)
			if !h.log.has("of no use to other hosts", "advertise address") {
				t.Fatal("no warning at the start")
			}
		})
	}
}

func TestFailure45_APIVersions(t *testing.T) {
	for _, v := range [][2]string{{"1.24", "1.12"}, {"1.41", "1.12"}, {"1.52", "1.44"}} {
		t.Run(v[0], func(t *testing.T) {
			bubble(t, func(e *enginetest.Engine) { e.SetAPI(v[0], v[1]) }, nil, func(t *testing.T, h *harness) {
				id := h.web("web", "1000")
				h.pass(10 * time.Millisecond)
				h.want("registered", sid("web"))
				h.eng.Down()
				h.eng.SetAPI("1.30", "1.12") // downgraded while away
				h.eng.Up()
				h.pass(13 * time.Second)
				h.eng.Stop(id)
				h.pass(10 * time.Millisecond)
				h.want("negotiated again")
			})
		})
	}
}

func TestFailure46_Podman(t *testing.T) {
	bubble(t, func(e *enginetest.Engine) { e.SetPodman() }, func(c *registrator.Config) {
		c.Deregister = registrator.DeregisterOnSuccess
	}, func(t *testing.T, h *harness) {
		ok, bad := h.web("ok", "1000"), h.web("bad", "1001")
		h.pass(300 * time.Millisecond)
		h.want("registered", sid("bad"), sid("ok"))
		h.eng.Stop(ok)
		h.eng.Die(bad, 3, false)
		h.pass(300 * time.Millisecond)
		h.want("died events and their exit code are read", sid("bad")+" critical/exited with code 3")
		h.eng.Remove(bad)
		h.pass(300 * time.Millisecond)
		h.want("remove is destroy")
	})
}

func TestFailure46_PodmanRootlessNetwork(t *testing.T) {
	bubble(t, func(e *enginetest.Engine) { e.SetPodman() }, func(c *registrator.Config) { c.Internal = true }, func(t *testing.T, h *harness) {
		h.web("web", "1000", func(c *enginetest.Container) {
			c.NetworkMode, c.Networks = "slirp4netns", map[string]enginetest.Network{}
		})
		h.pass(300 * time.Millisecond)
		h.want("no address to register")
		testutil.Equal(t, h.explain("web").Ports[0].Reason, registrator.ReasonNoAddress)
	})
}
