package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/internal/testutil"
)

func ttlCheck(ttl time.Duration) *berth.CheckDefinition {
	return &berth.CheckDefinition{CheckTarget: berth.CheckTarget{TTL: berth.Duration(ttl)}}
}

// copyDir is what a kill -9 leaves: whatever was written until now.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	testutil.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

func TestAgent_Restart_KeepsWhatTheAPIRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		cfg.DataDir = t.TempDir()
		a := newAgent(t, cfg)
		stop := start(t, a)
		def := berth.ServiceDefinition{ID: "w1", Name: "web", Port: 80, Tags: []string{"a"}, Token: "secret", Check: ttlCheck(time.Hour)}
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.NoError(t, a.RegisterCheck(t.Context(), &berth.CheckDefinition{Name: "mem", CheckTarget: ttlCheck(time.Hour).CheckTarget}))
		testutil.NoError(t, a.UpdateTTL("mem", "warning", "tight"))
		gone := svc("gone", 1)
		testutil.NoError(t, a.RegisterService(t.Context(), &gone, false))
		testutil.NoError(t, a.DeregisterService(t.Context(), "gone"))
		testutil.NoError(t, a.ServiceMaintenance("w1", true, "upgrade"))
		testutil.NoError(t, a.NodeMaintenance(true, ""))
		advance(time.Second)
		want := f.ids()
		testutil.Equal(t, want, "w1 _node_maintenance=critical _service_maintenance:w1=critical mem=warning service:w1=critical")

		cfg.DataDir = copyDir(t, cfg.DataDir) // killed here
		stop()
		f2 := newFake()
		cfg.Catalog = f2
		b := newAgent(t, cfg)
		stop = start(t, b)
		defer stop()
		synctest.Wait()
		testutil.Equal(t, f2.ids(), want)
		testutil.Equal(t, f2.check("mem").Output, "tight")
		testutil.Equal(t, f2.check("_service_maintenance:w1").Notes, "upgrade")
		testutil.Equal(t, f2.services["w1"].Tags, []string{"a"})
		testutil.NoError(t, b.ServiceMaintenance("w1", false, ""))
		testutil.NoError(t, b.NodeMaintenance(false, ""))
		testutil.Equal(t, f2.ids(), "w1 mem=warning service:w1=critical")
	})
}

func TestAgent_Restart_TTLClockGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		cfg.DataDir = t.TempDir()
		a := newAgent(t, cfg)
		stop := start(t, a)
		def := berth.ServiceDefinition{Name: "web", Check: ttlCheck(10 * time.Second)}
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.NoError(t, a.UpdateTTL("service:web", "passing", "beat"))
		advance(4 * time.Second)
		stop()
		advance(3 * time.Second)
		b := newAgent(t, cfg)
		stop = start(t, b)
		advance(2900 * time.Millisecond)
		testutil.Equal(t, f.ids(), "web service:web=passing")
		advance(200 * time.Millisecond)
		testutil.Equal(t, f.ids(), "web service:web=critical")
		testutil.Equal(t, f.check("service:web").Output, "TTL expired (last output before timeout follows): beat")
		stop()
	})
}

func TestAgent_Restart_DroppedContainerStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		cfg.DataDir = t.TempDir()
		a := newAgent(t, cfg)
		stop := start(t, a)
		set := []berth.ServiceDefinition{owned("w1", "e/c/1"), owned("w2", "e/c/1")}
		testutil.NoError(t, a.Replace("docker", set))
		synctest.Wait()
		ok := a.Forget(t.Context(), &berth.Deregistration{Node: "n1", ServiceID: "w1"})
		testutil.Equal(t, ok, true)
		testutil.Equal(t, a.Forget(t.Context(), &berth.Deregistration{Node: "other", ServiceID: "w2"}), false)
		testutil.Equal(t, a.Forget(t.Context(), &berth.Deregistration{Node: "n1", ServiceID: "w2", Owner: "e/c/0"}), false)
		testutil.Equal(t, f.ids(), "w2")
		stop()

		b := newAgent(t, cfg)
		stop = start(t, b)
		defer stop()
		testutil.NoError(t, b.Replace("docker", set))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w2")
		set[0] = owned("w1", "e/c/2") // the container was started anew
		testutil.NoError(t, b.Replace("docker", set))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w1 w2")
	})
}

func TestAgent_DeregisterService_UncoversTheContainerUnderIt(t *testing.T) {
	for name, deregister := range map[string]func(*testing.T, *Agent){
		"agent": func(t *testing.T, a *Agent) { testutil.NoError(t, a.DeregisterService(t.Context(), "w1")) },
		"catalog": func(t *testing.T, a *Agent) {
			testutil.Equal(t, a.Forget(t.Context(), &berth.Deregistration{Node: "n1", ServiceID: "w1"}), true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				cfg := testConfig(f)
				cfg.DataDir = t.TempDir()
				a := newAgent(t, cfg)
				stop := start(t, a)
				set := []berth.ServiceDefinition{owned("w1", "e/c/1")}
				testutil.NoError(t, a.Replace("docker", set))
				over := berth.ServiceDefinition{ID: "w1", Name: "over", Port: 80, Check: ttlCheck(time.Hour)}
				testutil.NoError(t, a.RegisterService(t.Context(), &over, false))
				testutil.Equal(t, f.services["w1"].Name, "over")
				deregister(t, a)
				advance(time.Second)
				testutil.Equal(t, f.ids(), "w1")
				testutil.Equal(t, f.services["w1"].Meta[berth.MetaOwner], "e/c/1")
				stop()

				a = newAgent(t, cfg) // nothing of it is saved
				stop = start(t, a)
				defer stop()
				testutil.NoError(t, a.Replace("docker", set))
				advance(time.Second)
				testutil.Equal(t, f.ids(), "w1")
				testutil.NoError(t, a.DeregisterService(t.Context(), "w1")) // nobody's but the container's: dropped
				testutil.Equal(t, f.ids(), "")
			})
		})
	}
}

func TestAgent_Restart_RegistrationFromConfigWinsOverSavedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		cfg.DataDir = t.TempDir()
		a := newAgent(t, cfg)
		stop := start(t, a)
		def := svc("web", 1)
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		stop()
		for range 2 { // the second start has nothing saved any more
			a = newAgent(t, cfg)
			stop = start(t, a)
			testutil.NoError(t, a.Replace("config", []berth.ServiceDefinition{svc("web", 2)}))
			synctest.Wait()
			testutil.Equal(t, f.services["web"].Port, 2)
			stop()
		}
	})
}

func TestAgent_Register_SaysWhenItCannotBeSaved(t *testing.T) {
	f := newFake()
	cfg := testConfig(f)
	cfg.DataDir = t.TempDir()
	a := newAgent(t, cfg)
	stop := start(t, a)
	defer stop()
	a.saved.file.Close()
	testutil.NoError(t, os.Rename(filepath.Join(cfg.DataDir, "services"), filepath.Join(cfg.DataDir, "away")))
	def := svc("web", 1)
	err := a.RegisterService(t.Context(), &def, false)
	if err == nil || !strings.Contains(err.Error(), "could not be saved") {
		t.Fatalf("registration without a disk: %v", err)
	}
	testutil.NoError(t, os.Rename(filepath.Join(cfg.DataDir, "away"), filepath.Join(cfg.DataDir, "services")))
	other := svc("other", 1)
	testutil.NoError(t, a.RegisterService(t.Context(), &other, false))
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error { return f.differs(a) })
	cfg.DataDir = copyDir(t, cfg.DataDir)
	b := newAgent(t, cfg)
	testutil.Equal(t, len(b.Services()), 2)
	b.shutdown()
}

func TestAgent_Restart_ForgetsWhatHasNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		cfg.DataDir = t.TempDir()
		a := newAgent(t, cfg)
		stop := start(t, a)
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w", "o", ttlCheck(time.Hour))}))
		testutil.NoError(t, a.ServiceMaintenance("w", true, ""))
		testutil.NoError(t, a.UpdateTTL("service:w", "passing", ""))
		testutil.NoError(t, a.RegisterCheck(t.Context(), &berth.CheckDefinition{Name: "extra", ServiceID: "w", CheckTarget: ttlCheck(time.Hour).CheckTarget}))
		stop()
		b := newAgent(t, cfg) // the container has gone
		stop = start(t, b)
		testutil.NoError(t, b.Replace("docker", nil))
		advance(10 * time.Minute)
		testutil.Equal(t, content(b.saved)+content(b.states), "")
		stop()
	})
}
