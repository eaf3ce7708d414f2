package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestAgent_SelfAndMembers(t *testing.T) {
	t.Parallel()
	a := dev(t)
	self, err := a.Agent().Self()
	noError(t, err)
	equal(t, self["Config"]["NodeName"], any("n1"))
	equal(t, self["Config"]["Datacenter"], any("dc1"))
	equal(t, self["Member"]["Addr"], any("127.0.0.1"))
	name, err := a.Agent().NodeName()
	noError(t, err)
	equal(t, name, "n1")
	members, err := a.Agent().Members(false)
	noError(t, err)
	if len(members) != 1 || members[0].Name != "n1" || members[0].Status != 1 || !members[0].IsConsulServer() || members[0].Tags["dc"] != "dc1" {
		t.Fatalf("members: %+v", members)
	}
	wan, err := a.Agent().Members(true)
	noError(t, err)
	if len(wan) != 1 || wan[0].Name != "n1.dc1" {
		t.Fatalf("wan members: %+v", wan)
	}
	host, err := a.Agent().Host()
	noError(t, err)
	if host["Memory"] == nil || host["CPU"] == nil {
		t.Fatalf("host: %v", host)
	}
	version, err := a.Agent().Version()
	noError(t, err)
	if version["HumanVersion"] == "" || version["HumanVersion"] == nil {
		t.Fatalf("version: %v", version)
	}
	noError(t, a.Agent().Reload())
}

func TestAgent_Metrics(t *testing.T) {
	t.Parallel()
	a := dev(t)
	eventually(t, 25*time.Second, func() error {
		m, err := a.Agent().Metrics()
		if err != nil {
			return err
		}
		for _, s := range m.Samples {
			if s.Name == "consul.api.http" && s.Labels["method"] == "GET" && s.Labels["path"] == "v1_status_leader" && s.Count > 0 {
				return nil
			}
		}
		return fmt.Errorf("no sample consul.api.http of v1_status_leader: %+v", m.Samples)
	})
}

func TestAgent_ServiceWithChecks(t *testing.T) {
	t.Parallel()
	a := dev(t)
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 8080, Address: "127.0.0.9", Tags: []string{"v1", "blue"}, Meta: map[string]string{"tier": "front"},
		TaggedAddresses: map[string]api.ServiceAddress{"wan": {Address: "198.51.100.7", Port: 80}}, Weights: &api.AgentWeights{Passing: 7, Warning: 2},
		Checks: api.AgentServiceChecks{
			{CheckID: "web-ttl", Name: "ttl", TTL: "60s", Status: "passing"},
			{CheckID: "web-tcp", Name: "tcp", TCP: a.addr(), Interval: "200ms", Timeout: "1s"},
		},
	}))
	service, meta, err := a.Agent().Service("web-1", nil)
	noError(t, err)
	if service.Service != "web" || service.Port != 8080 || service.Weights.Passing != 7 || service.TaggedAddresses["wan"].Port != 80 || service.Meta["tier"] != "front" {
		t.Fatalf("service: %+v", service)
	}
	if service.ContentHash == "" || meta.LastContentHash != service.ContentHash {
		t.Fatalf("hash %q in the body, %q in the header", service.ContentHash, meta.LastContentHash)
	}
	wantHealth(t, a, "web-1", "passing")

	noError(t, a.Agent().UpdateTTL("web-ttl", "slow", "warn"))
	wantHealth(t, a, "web-1", "warning")
	noError(t, a.Agent().FailTTL("web-ttl", "down"))
	wantHealth(t, a, "web-1", "critical")
	checks, err := a.Agent().ChecksWithFilter(`CheckID == "web-ttl"`)
	noError(t, err)
	if len(checks) != 1 || checks["web-ttl"].Output != "down" || checks["web-ttl"].Status != "critical" || checks["web-ttl"].ServiceName != "web" {
		t.Fatalf("checks: %+v", checks)
	}
	noError(t, a.Agent().PassTTL("web-ttl", "up"))
	wantHealth(t, a, "web-1", "passing")

	status, infos, err := a.Agent().AgentHealthServiceByName("web")
	noError(t, err)
	if status != "passing" || len(infos) != 1 || infos[0].Service.ID != "web-1" || len(infos[0].Checks) != 2 {
		t.Fatalf("health by name: %s %+v", status, infos)
	}
	status, _, err = a.Agent().AgentHealthServiceByName("nothing")
	noError(t, err)
	equal(t, status, "critical")

	noError(t, a.Agent().ServiceDeregister("web-1"))
	services, err := a.Agent().ServicesWithFilter(`Service == "web"`)
	noError(t, err)
	equal(t, len(services), 0)
	if err := a.Agent().ServiceDeregister("web-1"); err == nil || !isStatus(err, 404) {
		t.Fatalf("deregistering an unknown service: %v", err)
	}
}

func wantHealth(t *testing.T, a *agent, id, want string) {
	t.Helper()
	eventually(t, 5*time.Second, func() error {
		got, info, err := a.Agent().AgentHealthServiceByID(id)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %s, not %s: %+v", id, got, want, info)
		}
		return err
	})
}

func isStatus(err error, code int) bool {
	e, ok := err.(api.StatusError)
	return ok && e.Code == code
}

func TestAgent_ChecksThatRun(t *testing.T) {
	t.Parallel()
	a := dev(t)
	web := "http://" + a.addr() + "/v1/status/leader"
	for _, c := range []*api.AgentCheckRegistration{
		{ID: "http", Name: "http", AgentServiceCheck: api.AgentServiceCheck{HTTP: web, Interval: "300ms", Header: map[string][]string{"X-Test": {"1"}}}},
		{ID: "tcp", Name: "tcp", AgentServiceCheck: api.AgentServiceCheck{TCP: a.addr(), Interval: "300ms"}},
		{ID: "alias", Name: "alias", AgentServiceCheck: api.AgentServiceCheck{AliasNode: "n1"}},
	} {
		noError(t, a.Agent().CheckRegister(c))
	}
	eventually(t, 10*time.Second, func() error {
		checks, err := a.Agent().Checks()
		if err != nil {
			return err
		}
		for _, id := range []string{"http", "tcp", "alias"} {
			if c := checks[id]; c == nil || c.Status != "passing" {
				return fmt.Errorf("%s: %+v", id, c)
			}
		}
		return nil
	})
	noError(t, a.Agent().CheckDeregister("http"))
	checks, err := a.Agent().Checks()
	noError(t, err)
	if checks["http"] != nil {
		t.Fatal("the check is still there")
	}
}

func TestAgent_TTLRunsOut(t *testing.T) {
	t.Parallel()
	a := dev(t)
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "brief", Port: 1,
		Check: &api.AgentServiceCheck{TTL: "500ms", Status: "passing"}}))
	wantHealth(t, a, "brief", "critical")
	checks, err := a.Agent().Checks()
	noError(t, err)
	if c := checks["service:brief"]; c == nil || c.Type != "ttl" {
		t.Fatalf("check: %+v", c)
	}
}

func TestAgent_Maintenance(t *testing.T) {
	t.Parallel()
	a := dev(t)
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "db", Port: 3306}))
	noError(t, a.Agent().EnableServiceMaintenance("db", "upgrade"))
	wantHealth(t, a, "db", "critical") // what the client makes of the status
	_, info, err := a.Agent().AgentHealthServiceByID("db")
	noError(t, err)
	equal(t, info.AggregatedStatus, "maintenance")
	eventually(t, 5*time.Second, func() error {
		entries, _, err := a.Health().Service("db", "", true, nil)
		if err == nil && len(entries) != 0 {
			err = fmt.Errorf("still healthy in the catalog: %+v", entries[0])
		}
		return err
	})
	noError(t, a.Agent().DisableServiceMaintenance("db"))
	wantHealth(t, a, "db", "passing")
	noError(t, a.Agent().EnableNodeMaintenance("reboot"))
	wantHealth(t, a, "db", "critical")
	checks, err := a.Agent().Checks()
	noError(t, err)
	if c := checks["_node_maintenance"]; c == nil || c.Notes != "reboot" {
		t.Fatalf("node maintenance: %+v", c)
	}
	noError(t, a.Agent().DisableNodeMaintenance())
	wantHealth(t, a, "db", "passing")
}

func TestAgent_ServiceBlocksOnHash(t *testing.T) {
	t.Parallel()
	a := dev(t)
	reg := &api.AgentServiceRegistration{Name: "api", Port: 1000}
	noError(t, a.Agent().ServiceRegister(reg))
	_, meta, err := a.Agent().Service("api", nil)
	noError(t, err)
	answer := make(chan error, 1)
	began := time.Now()
	go func() {
		s, m, err := a.Agent().Service("api", &api.QueryOptions{WaitHash: meta.LastContentHash, WaitTime: 20 * time.Second})
		if err == nil && (s.Port != 2000 || m.LastContentHash == meta.LastContentHash) {
			err = fmt.Errorf("woken with %+v, hash %s", s, m.LastContentHash)
		}
		answer <- err
	}()
	select {
	case err := <-answer:
		t.Fatalf("the read did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	reg.Port = 2000
	noError(t, a.Agent().ServiceRegister(reg))
	noError(t, <-answer)
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("woken only after %v", took)
	}
}

func TestAgent_MonitorAndMetricsStream(t *testing.T) {
	t.Parallel()
	a := dev(t)
	stop := make(chan struct{})
	logs, err := a.Agent().Monitor("debug", stop, nil)
	noError(t, err)
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "seen", Port: 1}))
	timeout := time.After(10 * time.Second)
	for seen := false; !seen; {
		select {
		case line := <-logs:
			seen = line != ""
		case <-timeout:
			t.Fatal("no log line within 10 s")
		}
	}
	close(stop)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	stream, err := a.Agent().MetricsStream(ctx)
	noError(t, err)
	defer stream.Close()
	var info api.MetricsInfo
	noError(t, json.NewDecoder(stream).Decode(&info))
	if len(info.Gauges)+len(info.Counters)+len(info.Samples) == 0 {
		t.Fatalf("an empty interval: %+v", info)
	}
}
