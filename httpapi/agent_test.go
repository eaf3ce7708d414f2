package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"

	"berth"
	"berth/httpapi"
	"berth/internal/testutil"
)

func TestAgentRegister_Refusals(t *testing.T) {
	h := newHarness(t)
	const service, check = "/v1/agent/service/register", "/v1/agent/check/register"
	for _, c := range []struct {
		path, body string
		status     int
		text       string
	}{
		{service, ``, 400, "Request decode failed: EOF"},
		{service, `{"Name":"a"} x`, 400, "Request decode failed: "},
		{service, `{"Port":1}`, 400, "Missing service name"},
		{service, `{"Name":"a","Bogus":1}`, 400, `Request decode failed: json: unknown field "Bogus"`},
		{service, `{"Name":"a","Check":{"Bogus":1}}`, 400, `json: unknown field "Bogus"`},
		{service, `{"Name":"a","Check":{"TTL":"1s","Passive":true}}`, 400, `json: unknown field "Passive"`},
		{service, `{"Name":"a","Address":"0.0.0.0"}`, 400, "Invalid service address"},
		{service, `{"Name":"a","Address":"[::]"}`, 400, "Invalid service address"},
		{service, `{"Name":"a","Weights":{"Passing":0,"Warning":1}}`, 400, "Invalid Weights: "},
		{service, `{"Name":"a","Weights":{"Passing":65536}}`, 400, "Invalid Weights: "},
		{service, `{"Name":"a","Meta":{"a b":"c"}}`, 400, "Invalid Service Meta: "},
		{service, `{"Name":"a","Meta":{"":"c"}}`, 400, "Invalid Service Meta: "},
		{service, `{"Name":"a","Meta":{"consul-x":"c"}}`, 400, "reserved prefix"},
		{service, `{"Name":"a","Meta":{"berth-owner":"c"}}`, 400, "reserved prefix"},
		{service, `{"Name":"a","Meta":{"k":"` + strings.Repeat("v", 513) + `"}}`, 400, "longer than 512"},
		{service, `{"Name":"a","Meta":{"` + strings.Repeat("k", 129) + `":"v"}}`, 400, "longer than 128"},
		{service, `{"Name":"a","Kind":"connect-proxy"}`, 400, "Validation failed: "},
		{service, `{"Name":"a","Port":-1}`, 400, "Validation failed: "},
		{service, `{"Name":"a","Port":80,"SocketPath":"/s"}`, 400, "Validation failed: "},
		{service, `{"Name":"a","Check":{"TTL":"1s","Status":"x"}}`, 400, "Status for checks must 'passing', 'warning', 'critical'"},
		{service, `{"Name":"a","Check":{}}`, 400, "Invalid check: TTL must be > 0 for TTL checks"},
		{service, `{"Name":"a","Check":{"HTTP":"x","Interval":"1s","TTL":"1s"}}`, 400, "Invalid check: Interval and TTL cannot both be specified"},
		{service, `{"Name":"a","Check":{"TCP":"x"}}`, 400, "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"},
		{service, `{"Name":"a","Check":{"AliasService":"x","Interval":"1s"}}`, 400, "Interval cannot be set for Alias checks"},
		{service, `{"Name":"a","Check":{"AliasNode":"x","TTL":"1s"}}`, 400, "TTL must be not be set for Alias checks"},
		{service, `{"Name":"a","Check":{"TTL":"1s","OutputMaxSize":-1}}`, 400, "MaxOutputMaxSize must be positive"},
		{service, `{"Name":"a","Check":{"TTL":"1s","FailuresBeforeWarning":3,"FailuresBeforeCritical":2}}`, 400, "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"},
		{service, `{"Name":"a","Check":{"TTL":"1s","SuccessBeforePassing":-2}}`, 400, "cannot be negative"},
		{service, `{"Name":"a","Check":{"DockerContainerID":"x","Interval":"1s"}}`, 400, "needs ScriptArgs"},
		{service, `{"Name":"a","Check":{"TTL":"soon"}}`, 400, "Request decode failed: "},
		{service, `{"Name":"a","Check":{"Args":["true"],"Interval":"1s"}}`, 500, "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"},
		{check, `{"TTL":"1s"}`, 400, "Missing check name"},
		{check, `{"Name":"c","TTL":"1s","Status":"x"}`, 400, "Bad check status"},
		{check, `{"Name":"c"}`, 400, "Invalid check: "},
		{check, `{"Name":"c","TTL":"1s","ServiceID":"none"}`, 404, `ServiceID "none" does not exist`},
		{"/v1/agent/check/update/none", `{"Status":"passing"}`, 404, `Unknown check ID "none"`},
		{"/v1/agent/check/update/none", `{}`, 400, "Invalid check status: ''"},
		{"/v1/agent/check/pass/", ``, 400, "Missing check ID"},
		{"/v1/agent/check/deregister/none", ``, 404, "Unknown check ID"},
		{"/v1/agent/check/deregister/", ``, 400, "Missing check ID"},
		{"/v1/agent/service/deregister/", ``, 400, "Missing service ID"},
		{"/v1/agent/service/maintenance/", ``, 400, "Missing service ID"},
		{"/v1/agent/service/maintenance/none?enable=true", ``, 404, `Unknown service ID "none"`},
		{"/v1/agent/maintenance", ``, 400, "Missing value for enable"},
		{"/v1/agent/maintenance?enable=perhaps", ``, 400, `Invalid value for enable: "perhaps"`},
		{"/v1/agent/join/", ``, 400, "Missing address"},
		{"/v1/agent/force-leave/none", ``, 500, "agent: No node found with name 'none'"},
		{"/v1/agent/force-leave/", ``, 400, "Missing node name"},
		{"/v1/agent/reload", ``, 404, "no configuration"},
		{"/v1/agent/token/default", `{}`, 401, "ACL support disabled"},
	} {
		h.want("PUT", c.path, c.body, c.status, c.text)
	}
}

// All spellings of a member reach the agent as the same definition.
func TestAgentRegister_Spellings(t *testing.T) {
	h := newHarness(t)
	forms := []string{
		`{"Name":"web","EnableTagOverride":true,"TaggedAddresses":{"lan":{"Address":"1.2.3.4","Port":5}},"Check":{"CheckID":"c","H2PING":"h:1","Interval":"10s",
			"H2PingUseTLS":false,"TLSServerName":"s","TLSSkipVerify":true,"DeregisterCriticalServiceAfter":"1m","SuccessBeforePassing":1,"FailuresBeforeWarning":2,
			"FailuresBeforeCritical":3,"OutputMaxSize":9,"DisableRedirects":true,"TCPUseTLS":true,"GRPCUseTLS":true}}`,
		`{"name":"web","enable_tag_override":true,"tagged_addresses":{"lan":{"address":"1.2.3.4","port":5}},"check":{"id":"c","h2ping":"h:1","interval":10000000000,
			"h2ping_use_tls":false,"tls_server_name":"s","tls_skip_verify":true,"deregister_critical_service_after":"60s","success_before_passing":1,
			"failures_before_warning":2,"failures_before_critical":3,"output_max_size":9,"disable_redirects":true,"tcp_use_tls":true,"grpc_use_tls":true}}`,
	}
	var defs []*berth.ServiceDefinition
	for _, body := range forms {
		h.want("PUT", "/v1/agent/service/register", body, 200, "")
		defs = append(defs, h.agent.lastDef)
	}
	if !reflect.DeepEqual(defs[0], defs[1]) {
		t.Fatalf("got  %+v %+v\nwant %+v %+v", defs[1], defs[1].Check, defs[0], defs[0].Check)
	}
	testutil.Equal(t, defs[0].Check.DeregisterCriticalServiceAfter.D(), time.Minute)
	h.want("PUT", "/v1/agent/service/register", `{"Name":"web","Check":{"H2PING":"h:1","Interval":"1s"},"Connect":{"Native":true},"Proxy":null}`, 200, "")
	testutil.Equal(t, h.agent.lastDef.Check.H2PingUseTLS, true)
	h.want("PUT", "/v1/agent/check/register", `{"Name":"c","service_id":"web","alias_service":"web"}`, 200, "")
	h.want("GET", "/v1/agent/checks", "", 200, `"CheckID":"c"`)
	h.want("PUT", "/v1/agent/check/deregister/c", "", 200, "")
	h.want("PUT", "/v1/agent/check/deregister/c", "", 404, "Unknown check ID")
	h.want("PUT", "/v1/agent/check/register", `{"Name":"c","service_id":"web","alias_service":"web"}`, 200, "")
	testutil.Equal(t, h.agent.lastChk.AliasService+h.agent.lastChk.ServiceID, "webweb")
	for query, want := range map[string]bool{"": false, "?replace-existing-checks": true, "?replace-existing-checks=true": true, "?replace-existing-checks=false": false} {
		h.want("PUT", "/v1/agent/service/register"+query, `{"Name":"web"}`, 200, "")
		testutil.Equal(t, h.agent.replaced, want)
	}
}

func TestAgentHealth_StatusIsTheAnswer(t *testing.T) {
	h := newHarness(t)
	h.want("PUT", "/v1/agent/service/register", `{"Name":"web","Checks":[{"TTL":"1m","Status":"passing"}]}`, 200, "")
	h.want("PUT", "/v1/agent/service/register", `{"ID":"web2","Name":"web"}`, 200, "")
	state := func(status int, word string) {
		t.Helper()
		for _, path := range []string{"id/web", "name/web"} {
			w := h.want("GET", "/v1/agent/health/service/"+path+"?format=text", "", status, word)
			testutil.Equal(t, w.Body.String(), word)
			w = h.want("GET", "/v1/agent/health/service/"+path, "", status, `"AggregatedStatus":"`+word)
			testutil.Equal(t, w.Header().Get("X-Consul-Reason"), word)
		}
	}
	state(200, "passing")
	h.want("PUT", "/v1/agent/check/warn/service:web", "", 200, "")
	state(429, "warning")
	h.want("PUT", "/v1/agent/check/fail/service:web", "", 200, "")
	state(503, "critical")
	h.want("PUT", "/v1/agent/maintenance?enable=true", "", 200, "")
	state(503, "maintenance")
	h.want("GET", "/v1/agent/health/service/id/web2", "", 503, "_node_maintenance")
	h.want("GET", "/v1/agent/health/service/id/none", "", 404, `{"AggregatedStatus":"critical","Service":null,"Checks":null}`)
	testutil.Equal(t, h.want("GET", "/v1/agent/health/service/id/none", "", 404, "", "Accept", "text/plain").Body.String(), "ServiceId none not found")
}

func TestAgent_SelfAndOthers(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) {
		c.Self.NodeMeta = map[string]string{"rack": "r1"}
		c.Self.Revision = "0123456789abcdef"
		c.Explainer = explainer{}
	})
	var self struct {
		Config struct {
			NodeName, Datacenter, Version string
			Server                        bool
		}
		Member struct{ Addr string }
		Stats  map[string]map[string]string
		Meta   map[string]string
		Coord  struct{ Vec []float64 }
	}
	testutil.NoError(t, json.Unmarshal(h.do("GET", "/v1/agent/self", "").Body.Bytes(), &self))
	testutil.Equal(t, self.Config.NodeName+self.Config.Datacenter+self.Config.Version+self.Member.Addr, "n1dc11.21.4127.0.0.1")
	testutil.Equal(t, self.Meta, map[string]string{"rack": "r1", "consul-network-segment": "", "consul-version": "1.21.4"})
	testutil.Equal(t, []string{self.Stats["build"]["revision"], self.Stats["consul"]["server"], self.Stats["agent"]["services"]}, []string{"01234567", "true", "0"})
	testutil.Equal(t, len(self.Coord.Vec), 8)

	h.want("GET", "/v1/agent/explain", "", 200, `"Container":"c1"`)
	h.want("GET", "/v1/agent/explain?container=none", "", 404, "No container matches none")
	h.want("GET", "/v1/agent/host", "", 200, `"Memory":{"total":`)
	h.want("PUT", "/v1/agent/join/10.0.0.9?wan=1", "", 200, "")
	testutil.Equal(t, h.store.joined, []string{"10.0.0.9"})
	h.want("PUT", "/v1/agent/leave", "", 200, "")
	testutil.Equal(t, h.store.left.Load(), true)
	h.want("GET", `/v1/agent/members?filter=Tags.role=="consul"`, "", 200, `"Name":"n1"`)
	h.want("GET", `/v1/agent/members?segment=_all&filter=Tags.role=="node"`, "", 200, `[]`)
	newHarness(t).want("GET", "/v1/agent/explain", "", 404, "not enabled")
}

type explainer struct{}

func (explainer) Explain(container string) []berth.ContainerReport {
	if container == "" {
		return []berth.ContainerReport{{Container: "c1"}}
	}
	return nil
}

func TestAgent_ReloadAndLeaveHooks(t *testing.T) {
	broken := errors.New("line 3: unknown key")
	h := newHarness(t, func(c *httpapi.Config) {
		c.Reload = func(context.Context) error { return broken }
		c.Leave = func(context.Context) error { return nil }
	})
	h.want("PUT", "/v1/agent/reload", "", 500, "line 3: unknown key")
	broken = nil
	h.want("PUT", "/v1/agent/reload", "", 200, "")
	h.want("PUT", "/v1/agent/leave", "", 200, "")
	testutil.Equal(t, h.store.left.Load(), false)
}

func TestAgent_Metrics(t *testing.T) {
	sink := metrics.NewInmemSink(time.Hour, 2*time.Hour)
	sink.SetGauge([]string{"consul", "runtime"}, 7)
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "consul_runtime"})
	gauge.Set(7)
	registry.MustRegister(gauge)
	h := newHarness(t, func(c *httpapi.Config) { c.Metrics, c.Gatherer = sink, registry })
	h.want("GET", "/v1/agent/metrics", "", 200, `"Name":"consul.runtime","Value":7`)
	h.want("GET", "/v1/agent/metrics?format=prometheus", "", 200, "\nconsul_runtime 7\n")
	h.want("GET", "/v1/agent/metrics", "", 200, "\nconsul_runtime 7\n", "Accept", "text/plain;version=0.0.4, text/plain; version=0.4.0")
	off := newHarness(t)
	off.want("GET", "/v1/agent/metrics?format=prometheus", "", 415, "Prometheus is not enabled since its retention time is not positive")
	off.want("GET", "/v1/agent/metrics", "", 404, "no metrics")
	off.want("GET", "/v1/agent/metrics/stream", "", 404, "no metrics")
}

// logTap is a Logs that gives the same lines to everybody and then ends.
type logTap struct {
	level  slog.Level
	asJSON bool
}

func (l *logTap) Watch(level slog.Level, asJSON bool) (lines <-chan []byte, stop func()) {
	l.level, l.asJSON = level, asJSON
	c := make(chan []byte, 2)
	c <- []byte("one\n")
	c <- []byte("two\n")
	close(c)
	return c, func() {}
}

func TestAgent_Monitor(t *testing.T) {
	tap := &logTap{}
	h := newHarness(t, func(c *httpapi.Config) { c.Logs = tap })
	w := h.want("GET", "/v1/agent/monitor?loglevel=warn&logjson", "", 200, "one\ntwo\n")
	testutil.Equal(t, *tap, logTap{slog.LevelWarn, true})
	testutil.Equal(t, w.Header().Get("Content-Type"), "text/plain; charset=utf-8")
	h.want("GET", "/v1/agent/monitor", "", 200, "one\ntwo\n")
	testutil.Equal(t, *tap, logTap{slog.LevelInfo, false})
	newHarness(t).want("GET", "/v1/agent/monitor", "", 404, "does not offer its log")
}

func TestCatalogDeregister_OwnersForget(t *testing.T) {
	h := catalogOf(t)
	h.want("PUT", "/v1/catalog/deregister", `{"Node":"n1","ServiceID":"web"}`, 200, "true")
	testutil.Equal(t, h.agent.forgotten(), []berth.Deregistration{{Node: "n1", ServiceID: "web"}})
	h.want("PUT", "/v1/catalog/deregister", `{"Node":"a","ServiceID":"web"}`, 200, "true")
	testutil.Equal(t, len(h.agent.forgotten()), 1) // another agent's: the catalog leaves word for it
	h.want("PUT", "/v1/catalog/deregister", `{"Node":"n1","ServiceID":"web","Owner":"x"}`, 400, `unknown field "Owner"`)
	testutil.Equal(t, len(h.agent.forgotten()), 1)
	h.h = h.srv.InternalHandler()
	h.want("GET", "/internal/agent/forget", ``, 404, "")
}

// The handler for port 8300 has no gates, runs sessions for the node they name, and lets the
// store see who forwarded.
func TestInternalHandler_SkipsTheGates(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) { c.BlockEndpoints = []string{"/v1/"} })
	h.want("GET", "/v1/status/leader", "", 403, "")
	var via []string
	h.store.forward = func(_ http.ResponseWriter, r *http.Request, _ berth.Route) bool {
		via = append(via, r.Header.Get("X-Berth-Via"))
		return false
	}
	h.h = h.srv.InternalHandler()
	h.want("GET", "/v1/status/leader", "", 200, "8300", "X-Berth-Via", "lan")
	h.want("PUT", "/v1/session/create", `{"NodeChecks":[]}`, 200, "ID", "X-Berth-Via", "lan")
	open := newHarness(t)
	open.store.forward = h.store.forward
	open.want("GET", "/v1/status/leader", "", 200, "8300", "X-Berth-Via", "lan")
	testutil.Equal(t, via, []string{"lan", "lan", ""})
}
