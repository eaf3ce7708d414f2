package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/internal/testutil"
)

func TestAgent_TTL_ExpiresAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		def := berth.CheckDefinition{Name: "mem", CheckTarget: berth.CheckTarget{TTL: berth.Duration(10 * time.Second)}}
		testutil.NoError(t, a.RegisterCheck(t.Context(), &def))
		for range 5 {
			testutil.NoError(t, a.UpdateTTL("mem", "passing", strings.Repeat("y", 5000)))
			advance(9 * time.Second)
			testutil.Equal(t, f.check("mem").Status, "passing")
		}
		advance(2 * time.Second)
		testutil.Equal(t, f.check("mem").Status, "critical")
		testutil.NoError(t, a.UpdateTTL("mem", "warning", "again"))
		testutil.Equal(t, f.check("mem").Status, "warning")
		if err := a.UpdateTTL("mem", "bad", ""); err == nil || err.Error() != "Invalid check status: 'bad'" {
			t.Fatalf("bad status: %v", err)
		}
		testutil.Equal(t, a.UpdateTTL("none", "passing", ""), berth.ErrUnknownCheck)
		testutil.NoError(t, a.NodeMaintenance(true, ""))
		testutil.Equal(t, a.UpdateTTL(berth.NodeMaintenanceCheckID, "passing", ""), berth.ErrNotTTL)
	})
}

func TestAgent_Output_IsReplicatedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f)) // check_update_interval 5m
		defer start(t, a)()
		def := berth.CheckDefinition{Name: "mem", CheckTarget: berth.CheckTarget{TTL: berth.Duration(time.Hour)}}
		testutil.NoError(t, a.RegisterCheck(t.Context(), &def))
		testutil.NoError(t, a.UpdateTTL("mem", "passing", "0"))
		before := f.writes()
		for i := range 1000 { // 2000 s
			testutil.NoError(t, a.UpdateTTL("mem", "passing", fmt.Sprint(i)))
			advance(2 * time.Second)
		}
		testutil.Equal(t, a.Checks()[0].Output, "999")
		if n := f.writes() - before; n < 4 || n > 14 { // one in 2.5 to 7.5 minutes
			t.Fatalf("%d writes for 1000 changes of output in 2000 s", n)
		}
		testutil.NoError(t, a.UpdateTTL("mem", "warning", "now"))
		testutil.Equal(t, f.check("mem").Output, "now") // goes with the status
	})
}

func TestAgent_Reregistration_DoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		register := func(replace bool, port int, checks ...*berth.CheckDefinition) {
			t.Helper()
			def := berth.ServiceDefinition{Name: "web", Port: port, Checks: checks}
			testutil.NoError(t, a.RegisterService(t.Context(), &def, replace))
		}
		register(false, 1, ttlCheck(time.Minute))
		testutil.NoError(t, a.UpdateTTL("service:web", "passing", "ok"))
		extra := &berth.CheckDefinition{Name: "extra", ServiceID: "web", CheckTarget: ttlCheck(time.Hour).CheckTarget}
		testutil.NoError(t, a.RegisterCheck(t.Context(), extra))
		register(false, 2, ttlCheck(2*time.Minute))
		testutil.Equal(t, f.ids(), "web extra=critical service:web=passing")
		testutil.Equal(t, f.services["web"].Port, 2)
		register(true, 2, ttlCheck(2*time.Minute))
		testutil.Equal(t, f.ids(), "web service:web=passing")
		register(true, 2, ttlCheck(time.Minute), ttlCheck(time.Minute))
		testutil.Equal(t, f.ids(), "web service:web:1=critical service:web:2=critical")
		for _, batch := range f.batches {
			for _, op := range batch {
				if r := op.Register; r != nil && r.Check != nil && r.Check.CheckID == "service:web" && r.Check.Status == "critical" {
					t.Fatal("status fell back in between")
				}
			}
		}
		bad := *extra
		bad.ServiceID = "nope"
		testutil.Equal(t, a.RegisterCheck(t.Context(), &bad), berth.ErrUnknownService)
	})
}

func TestAgent_NewContainer_StartsCritical(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w", "e/c1/1", ttlCheck(time.Hour))}))
		synctest.Wait()
		testutil.NoError(t, a.UpdateTTL("service:w", "passing", "ok"))
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w", "e/c2/2", ttlCheck(time.Hour))}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w service:w=critical")
	})
}

func TestAgent_PassiveCheck_FollowsItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		for _, says := range [][2]string{
			{"critical", "starting"}, {"critical", "unhealthy: no route"}, {"passing", "healthy"}, {"critical", "paused"}, {"warning", ""},
		} {
			testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w", "o", &berth.CheckDefinition{
				ID: "docker:w", Name: "Docker", Passive: true, Type: "docker", Status: says[0], Output: says[1],
			})}))
			synctest.Wait()
			c := f.check("docker:w")
			testutil.Equal(t, []string{c.Status, c.Output, c.Type}, []string{says[0], says[1], "docker"})
		}
	})
}

func TestAgent_Conflict_APIBeatsDockerUntilItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w", "o", ttlCheck(time.Hour))}))
		def := svc("w", 9999)
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.Equal(t, f.ids(), "w")
		testutil.Equal(t, f.services["w"].Port, 9999)
		testutil.NoError(t, a.Replace("docker", nil))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w")
	})
}

func TestAgent_ConfigChecks_BelongToAnySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		testutil.NoError(t, a.ReplaceChecks("config", []berth.CheckDefinition{
			{Name: "disk", CheckTarget: ttlCheck(time.Hour).CheckTarget},
			{Name: "of w", ServiceID: "w", CheckTarget: ttlCheck(time.Hour).CheckTarget},
		}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "disk=critical")
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w", "o")}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w disk=critical of w=critical")
		testutil.Equal(t, f.check("of w").ServiceName, "web")
		testutil.NoError(t, a.Replace("docker", nil))
		testutil.NoError(t, a.ReplaceChecks("config", nil))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "")
	})
}

func TestAgent_CriticalForTooLong_ServiceGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		reaped := ttlCheck(time.Minute)
		reaped.DeregisterCriticalServiceAfter = berth.Duration(5 * time.Second)
		def := berth.ServiceDefinition{Name: "api", Check: reaped}
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("d", "o", reaped)}))
		testutil.NoError(t, a.UpdateTTL("service:api", "passing", ""))
		testutil.NoError(t, a.UpdateTTL("service:d", "passing", ""))
		advance(65*time.Second - time.Millisecond)
		testutil.Equal(t, f.ids(), "api d service:api=critical service:d=critical")
		advance(2 * time.Millisecond)
		testutil.Equal(t, f.ids(), "")
		testutil.Equal(t, len(a.Services()), 0)
		testutil.Equal(t, len(a.Checks()), 0)
		testutil.Equal(t, a.UpdateTTL("service:api", "passing", ""), berth.ErrUnknownCheck)
		// The container is there still: its service returns when its check recovers.
		testutil.NoError(t, a.UpdateTTL("service:d", "passing", "back"))
		testutil.Equal(t, f.ids(), "d service:d=passing")
		// Or when nothing asks for its absence any more.
		advance(66 * time.Second)
		testutil.Equal(t, f.ids(), "")
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("d", "o")}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "d")
	})
}

// A restart does not give a critical service its time anew, but a moment to show that it recovered.
func TestAgent_Restart_CriticalTimeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		cfg.DataDir = t.TempDir()
		reaped := ttlCheck(time.Hour)
		reaped.DeregisterCriticalServiceAfter = berth.Duration(time.Minute)
		a := newAgent(t, cfg)
		stop := start(t, a)
		for _, name := range []string{"api", "well"} {
			testutil.NoError(t, a.RegisterService(t.Context(), &berth.ServiceDefinition{Name: name, Check: reaped}, false))
		}
		advance(40 * time.Second)
		stop()
		a = newAgent(t, cfg)
		stop = start(t, a)
		advance(20*time.Second - time.Millisecond)
		testutil.Equal(t, f.ids(), "api well service:api=critical service:well=critical")
		advance(2 * time.Millisecond)
		testutil.Equal(t, f.ids(), "")
		stop()

		a = newAgent(t, cfg)
		stop = start(t, a)
		for _, name := range []string{"api", "well"} {
			testutil.NoError(t, a.RegisterService(t.Context(), &berth.ServiceDefinition{Name: name, Check: reaped}, false))
		}
		advance(time.Second)
		stop()
		time.Sleep(time.Hour) // off for longer than the time
		a = newAgent(t, cfg)
		defer start(t, a)()
		testutil.NoError(t, a.UpdateTTL("service:well", "passing", ""))
		advance(10*time.Second - time.Millisecond)
		testutil.Equal(t, f.ids(), "api well service:api=critical service:well=passing")
		advance(2 * time.Millisecond)
		testutil.Equal(t, strings.Contains(f.ids(), "api"), false)
		testutil.Equal(t, strings.Contains(f.ids(), "well"), true)
	})
}

func TestAgent_Alias_FollowsLocalService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		alias := &berth.CheckDefinition{CheckTarget: berth.CheckTarget{AliasService: "db"}}
		def := berth.ServiceDefinition{Name: "web", Check: alias}
		testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		testutil.Equal(t, f.ids(), "web service:web=critical")
		testutil.Equal(t, f.check("service:web").Output, "Service db could not be found on node n1")
		db := berth.ServiceDefinition{Name: "db", Check: ttlCheck(time.Hour)}
		testutil.NoError(t, a.RegisterService(t.Context(), &db, false))
		testutil.Equal(t, f.check("service:web").Status, "critical")
		testutil.NoError(t, a.UpdateTTL("service:db", "warning", "slow"))
		testutil.Equal(t, f.check("service:web").Status, "warning")
		testutil.NoError(t, a.UpdateTTL("service:db", "passing", "fast"))
		testutil.Equal(t, f.check("service:web").Status, "passing")
		testutil.NoError(t, a.NodeMaintenance(true, ""))
		testutil.Equal(t, f.check("service:web").Status, "critical")
		testutil.NoError(t, a.NodeMaintenance(false, ""))
		testutil.Equal(t, f.check("service:web").Status, "passing")
		testutil.NoError(t, a.DeregisterService(t.Context(), "db"))
		testutil.Equal(t, f.check("service:web").Status, "critical")
	})
}

func TestAgent_Alias_OfAliasEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		for x, y := range map[string]string{"a": "b", "b": "a"} {
			def := berth.ServiceDefinition{Name: x, Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{AliasService: y}}}
			testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
		}
		testutil.Equal(t, len(a.Checks()), 2)
	})
}

type oneNode struct {
	state chan *berth.NodeServices // sent at each change
}

func (n *oneNode) Node(ctx context.Context, _ string, q berth.QueryOptions) (*berth.NodeServices, berth.QueryMeta, error) {
	select {
	case s := <-n.state:
		return s, berth.QueryMeta{Index: q.MinIndex + 1}, nil
	case <-ctx.Done():
		return nil, berth.QueryMeta{}, ctx.Err()
	}
}

func TestAgent_Alias_FollowsOtherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		nodes := &oneNode{state: make(chan *berth.NodeServices)}
		cfg.Nodes = nodes
		a := newAgent(t, cfg)
		defer start(t, a)()
		testutil.NoError(t, a.RegisterCheck(t.Context(), &berth.CheckDefinition{
			Name: "their db", CheckTarget: berth.CheckTarget{AliasNode: "n2", AliasService: "db"},
		}))
		state := func(status string) *berth.NodeServices {
			return &berth.NodeServices{
				Node: &berth.Node{Name: "n2"}, Services: []*berth.ServiceInstance{{ID: "db"}},
				Checks: []*berth.Check{
					{CheckID: "x", ServiceID: "other", Status: "critical"},
					{CheckID: "c", ServiceID: "db", Name: "ping", Status: status, Output: "out"},
				},
			}
		}
		for _, status := range []string{"passing", "critical", "warning"} {
			nodes.state <- state(status)
			synctest.Wait()
			testutil.Equal(t, f.check("their db").Status, status)
		}
		testutil.Equal(t, f.check("their db").Output, `Aliased check "ping" failing: out`)
		nodes.state <- nil
		synctest.Wait()
		testutil.Equal(t, f.check("their db").Status, "critical")
	})
}

func TestAgent_HTTPCheck_RunsAtOnceAndStopsWithItsService(t *testing.T) {
	var hits, fail atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		if fail.Load() != 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, "hello")
	}))
	defer srv.Close()
	f := newFake()
	a := newAgent(t, testConfig(f))
	defer start(t, a)()
	begin := time.Now()
	def := berth.ServiceDefinition{Name: "web", Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{HTTP: srv.URL, Interval: berth.Duration(time.Second)}}}
	testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
	is := func(status string) func() error {
		return func() error {
			if got := f.check("service:web"); got.Status != status {
				return fmt.Errorf("check is %s: %s", got.Status, got.Output)
			}
			return nil
		}
	}
	testutil.Eventually(t, 5*time.Second, time.Millisecond, is("passing"))
	if d := time.Since(begin); d > 900*time.Millisecond {
		t.Fatalf("first result after %v", d)
	}
	testutil.Equal(t, f.check("service:web").Output, "HTTP GET "+srv.URL+": 200 OK Output: hello")
	fail.Store(1)
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, is("critical"))
	testutil.NoError(t, a.DeregisterService(t.Context(), "web"))
	testutil.Equal(t, f.ids(), "")
}

// The listener of a check that passed before a restart is gone afterwards.
func TestAgent_Restart_StatusIsKeptUntilTheFirstResult(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	f := newFake()
	cfg := testConfig(f)
	cfg.DataDir = t.TempDir()
	a := newAgent(t, cfg)
	stop := start(t, a)
	def := berth.ServiceDefinition{Name: "web", Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{TCP: l.Addr().String(), Interval: berth.Duration(time.Hour)}}}
	testutil.NoError(t, a.RegisterService(t.Context(), &def, false))
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if s := f.check("service:web").Status; s != "passing" {
			return fmt.Errorf("check is %s", s)
		}
		return nil
	})
	stop()
	l.Close()
	b := newAgent(t, cfg)
	testutil.Equal(t, b.Checks()[0].Status, "passing")
	testutil.Equal(t, b.Checks()[0].Output, "TCP connect "+l.Addr().String()+": Success")
	defer start(t, b)()
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if s := f.check("service:web").Status; s != "critical" {
			return fmt.Errorf("check is %s", s)
		}
		return nil
	})
}

func TestAgent_Watch_ClosesAtChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		def := berth.ServiceDefinition{Name: "web", Check: ttlCheck(time.Minute)}
		for i, change := range []func() error{
			func() error { return a.RegisterService(t.Context(), &def, false) },
			func() error { return a.UpdateTTL("service:web", "passing", "a") },
			func() error { return a.UpdateTTL("service:web", "passing", "b") },
			func() error { return a.DeregisterCheck(t.Context(), "service:web") },
			func() error { return a.DeregisterService(t.Context(), "web") },
		} {
			w := a.Watch()
			testutil.NoError(t, change())
			select {
			case <-w:
			default:
				t.Fatalf("change %d was not announced", i)
			}
		}
		w := a.Watch()
		a.Sync(true)
		synctest.Wait()
		select {
		case <-w:
			t.Fatal("announced without a change")
		default:
		}
	})
}

func TestAgent_AfterItsEnd_RefusesCalls(t *testing.T) {
	a := newAgent(t, testConfig(newFake()))
	start(t, a)()
	def := svc("w", 1)
	errs := []error{
		a.RegisterService(t.Context(), &def, false), a.DeregisterService(t.Context(), "w"), a.Replace("docker", nil),
		a.ReplaceChecks("config", nil), a.RegisterCheck(t.Context(), &berth.CheckDefinition{Name: "c", CheckTarget: ttlCheck(1).CheckTarget}),
		a.DeregisterCheck(t.Context(), "c"), a.UpdateTTL("c", "passing", ""), a.NodeMaintenance(true, ""),
	}
	for i, err := range errs {
		if err != berth.ErrClosed {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if slices.Contains(errs, nil) {
		t.Fatal("a call was accepted")
	}
}
