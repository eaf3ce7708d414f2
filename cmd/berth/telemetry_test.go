package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/internal/testutil"
)

// Checks, DNS and requests are in both forms of the metrics, and Prometheus' own parser takes its form.
func TestLive_Metrics(t *testing.T) {
	a := startLive(t, "-config", `{telemetry: {prometheus_retention_time: 60s}, checks: [{name: own, tcp: "localhost:1", interval: 1s, timeout: 1s}, {name: up, ttl: 1h, status: passing}]}`)
	a.want("event", "-name", `de ploy{"é"}`)
	a.want("event", "-name", "deploy")
	names := []string{"berth_checks", "berth_agent_services", "berth_check_status_changes_total", "berth_check_run_seconds_count", "berth_dns_queries_total", "berth_dns_replica_synced"}
	testutil.Eventually(t, 20*time.Second, 50*time.Millisecond, func() error {
		var seen struct {
			Gauges []struct {
				Name   string
				Value  float64
				Labels map[string]string
			}
		}
		testutil.NoError(t, json.Unmarshal([]byte(a.get("/v1/agent/metrics")), &seen))
		got := map[string]bool{}
		for _, g := range seen.Gauges {
			got[g.Name] = true
			if want, ok := map[string]float64{"passing": 1, "critical": 1, "warning": 0}[g.Labels["status"]]; g.Name == "berth_checks" && (!ok || g.Value != want) {
				return fmt.Errorf("%+v", g)
			}
		}
		for _, name := range names {
			if !got[name] {
				return fmt.Errorf("JSON has no %s", name)
			}
		}
		return nil
	})
	text := a.get("/v1/agent/metrics?format=prometheus")
	for _, name := range append(names, "consul_api_http", "consul_raft_apply", "consul_memberlist_", "consul_serf_") {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("Prometheus is not given %s", name)
		}
	}
	if !strings.Contains(text, "\nconsul_serf_events ") || strings.Contains(text, "consul_serf_events_") {
		t.Error("events shall be counted, but not by the names that clients give them")
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) .+|[a-z_][a-zA-Z0-9_]*({([a-zA-Z_]+="[^"]*",?)+})? (NaN|[+-]?Inf|[-+.e0-9]+))$`)
	for l := range strings.Lines(text) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("not Prometheus' text: %q", l)
		}
	}
	if !strings.Contains(text, `berth_check_run_seconds_count{type="tcp"}`) {
		t.Error("runs are not counted by type")
	}
}

// get is the body of a GET request, which has to succeed.
func (a *liveAgent) get(path string) string {
	a.t.Helper()
	r, err := http.Get("http://" + a.addr + path)
	testutil.NoError(a.t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	testutil.NoError(a.t, err)
	testutil.Equal(a.t, r.StatusCode, http.StatusOK)
	return string(body)
}
