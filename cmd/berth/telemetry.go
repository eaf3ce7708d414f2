package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"berth/agent"
	"berth/dnsproxy"
	"berth/internal/config"
	requests "berth/internal/metrics"
	"berth/registrator"

	"github.com/hashicorp/go-metrics"
	promsink "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// telemetry is where metrics go: a minute of them in memory for the API, Prometheus' registry,
// and the collectors of the network that the configuration names.
type telemetry struct {
	memory     *requests.Requests
	components *prometheus.Registry // what components count by themselves
	registry   *prometheus.Registry // Prometheus' own, with all; nil: off
}

// Metrics are gathered in intervals of memoryInterval, for memoryKept.
const (
	memoryInterval = 10 * time.Second
	memoryKept     = time.Minute
)

// openTelemetry makes the process's metrics go to all sinks; the libraries use the same.
func openTelemetry(c config.Telemetry, log *slog.Logger) (*telemetry, error) {
	t := &telemetry{components: prometheus.NewRegistry()}
	var shown, sinks metrics.FanoutSink
	if c.PrometheusRetention > 0 {
		t.registry = prometheus.NewRegistry()
		t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		s, err := promsink.NewPrometheusSinkFrom(promsink.PrometheusOpts{Expiration: c.PrometheusRetention, Registerer: t.registry})
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		shown = append(shown, s)
	}
	t.memory = requests.NewRequests(metrics.NewInmemSink(memoryInterval, memoryKept), memoryInterval, c.PrometheusRetention, shown...)
	if t.registry != nil {
		t.registry.MustRegister(t.memory)
	}
	sinks = append(sinks, t.memory)
	for name, open := range map[string]func() (metrics.MetricSink, error){
		c.StatsdAddr:   func() (metrics.MetricSink, error) { return metrics.NewStatsdSink(c.StatsdAddr) },
		c.StatsiteAddr: func() (metrics.MetricSink, error) { return metrics.NewStatsiteSink(c.StatsiteAddr) },
	} {
		if name == "" {
			continue
		}
		s, err := open()
		if err != nil {
			return nil, fmt.Errorf("telemetry to %s: %w", name, err)
		}
		sinks = append(sinks, s)
	}
	if c.DogstatsdAddr != "" {
		log.Warn("telemetry: dogstatsd_addr is served as statsd, without tags", "addr", c.DogstatsdAddr)
		s, err := metrics.NewStatsdSink(c.DogstatsdAddr)
		if err != nil {
			return nil, fmt.Errorf("telemetry to %s: %w", c.DogstatsdAddr, err)
		}
		sinks = append(sinks, s)
	}
	mc := metrics.DefaultConfig(c.Prefix)
	mc.EnableHostname = !c.DisableHostname && c.PrometheusRetention <= 0
	mc.FilterDefault, mc.AllowedPrefixes = c.FilterDefault, c.AllowPrefixes
	mc.BlockedPrefixes = append(blockedPrefixes(c.Prefix), c.BlockPrefixes...)
	if _, err := metrics.NewGlobal(mc, sinks); err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	return t, nil
}

// blockedPrefixes are what libraries name after what clients send: serf counts user events by name,
// so that anybody who may fire them could make series without end, with names that Prometheus does
// not take. All events are counted as serf.events.
func blockedPrefixes(prefix string) []string {
	if prefix != "" {
		prefix += "."
	}
	return []string{prefix + "serf.events."}
}

// watch adds what components count by themselves.
func (t *telemetry) watch(checks *agent.Agent, dns *dnsproxy.Server, docker *registrator.Registrator) {
	all := []prometheus.Collector{&checkCollector{checks}, &dnsCollector{dns}}
	if docker != nil {
		all = append(all, &dockerCollector{docker})
	}
	t.components.MustRegister(all...)
	if t.registry != nil {
		t.registry.MustRegister(all...)
	}
}

// json is what the API shows.
func (t *telemetry) json() *metricsJSON { return &metricsJSON{t.memory, t.components} }

// desc names one metric of a component.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("berth_"+name, help, labels, nil)
}

func count(ch chan<- prometheus.Metric, name, help string, v uint64) {
	ch <- prometheus.MustNewConstMetric(desc(name, help), prometheus.CounterValue, float64(v))
}

func gauge(ch chan<- prometheus.Metric, name, help string, v float64) {
	ch <- prometheus.MustNewConstMetric(desc(name, help), prometheus.GaugeValue, v)
}

func labelled(ch chan<- prometheus.Metric, kind prometheus.ValueType, name, help, label string, values map[string]float64) {
	d := desc(name, help, label)
	for k, v := range values {
		ch <- prometheus.MustNewConstMetric(d, kind, v, strings.ToValidUTF8(k, "?"))
	}
}

func floats[N uint64 | int](m map[string]N) map[string]float64 {
	out := make(map[string]float64, len(m))
	for k, v := range m {
		out[k] = float64(v)
	}
	return out
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// checkCollector shows this host's services and checks.
type checkCollector struct{ agent *agent.Agent }

// Describe is empty: which metrics there are depends on the checks.
func (*checkCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counts of the moment.
func (c *checkCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.agent.Stats()
	gauge(ch, "agent_services", "services of this host", float64(s.Services))
	labelled(ch, prometheus.GaugeValue, "checks", "checks of this host by status", "status", floats(s.Checks))
	count(ch, "check_status_changes_total", "changes of a check's status", s.Changes)
	d := desc("check_run_seconds", "runs of checks, and the time they took", "type")
	for kind, r := range s.Runs {
		ch <- prometheus.MustNewConstSummary(d, r.Count, r.Took.Seconds(), nil, kind)
	}
}

// dnsCollector shows the DNS server's counts.
type dnsCollector struct{ dns *dnsproxy.Server }

// Describe is empty: which metrics there are depends on the upstreams.
func (*dnsCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counts of the moment.
func (c *dnsCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.dns.Stats()
	count(ch, "dns_queries_total", "questions received", s.Queries)
	count(ch, "dns_tcp_queries_total", "questions received by TCP", s.TCPQueries)
	count(ch, "dns_dropped_total", "datagrams left without an answer", s.Dropped)
	count(ch, "dns_refused_total", "questions of clients that may not ask", s.Refused)
	count(ch, "dns_rate_limited_total", "answers held back from networks that ask too much", s.RateLimited)
	count(ch, "dns_zone_hits_total", "catalog answers that were ready", s.ZoneHits)
	count(ch, "dns_zone_misses_total", "catalog answers that were built", s.ZoneMisses)
	count(ch, "dns_cache_hits_total", "forwarded names answered from the cache", s.CacheHits)
	count(ch, "dns_forwarded_total", "questions that waited for an upstream", s.Forwarded)
	count(ch, "dns_stale_total", "answers with expired data while upstreams failed", s.Stale)
	count(ch, "dns_failed_total", "questions that no upstream answered", s.Failed)
	count(ch, "dns_shed_total", "questions refused because too many wait", s.Shed)
	count(ch, "dns_truncated_total", "answers cut for lack of room", s.Truncated)
	count(ch, "dns_panics_total", "questions whose handling failed", s.Panics)
	count(ch, "dns_socket_drops_total", "datagrams that the kernel dropped", s.SocketDrops)
	gauge(ch, "dns_in_flight", "questions waiting for other hosts", float64(s.InFlight))
	gauge(ch, "dns_tcp_connections", "open TCP connections", float64(s.TCPConns))
	gauge(ch, "dns_cache_entries", "forwarded answers kept", float64(s.CacheEntries))
	gauge(ch, "dns_cache_bytes", "their size", float64(s.CacheBytes))
	gauge(ch, "dns_replica_lag_seconds", "time since the catalog's source was heard", s.ReplicaLag.Seconds())
	gauge(ch, "dns_replica_synced", "1 when the catalog was filled once", bit(s.ReplicaSynced))
	labelled(ch, prometheus.CounterValue, "dns_replies_total", "replies by code", "rcode", floats(s.Rcodes))
	rtt, failed, up := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for _, u := range s.Upstreams {
		name := u.Domain + "@" + u.Address
		rtt[name], failed[name], up[name] = u.RTT.Seconds(), float64(u.Failed), bit(!u.Down && !u.Looping)
	}
	labelled(ch, prometheus.GaugeValue, "dns_upstream_rtt_seconds", "smoothed round-trip time", "upstream", rtt)
	labelled(ch, prometheus.CounterValue, "dns_upstream_failed_total", "questions an upstream left unanswered", "upstream", failed)
	labelled(ch, prometheus.GaugeValue, "dns_upstream_up", "1 when the upstream is asked first", "upstream", up)
}

// dockerCollector shows the registrator's counts.
type dockerCollector struct{ docker *registrator.Registrator }

// Describe is empty: which metrics there are depends on the events seen.
func (*dockerCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counts of the moment.
func (c *dockerCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.docker.Stats()
	gauge(ch, "docker_up", "1 when the engine is connected", bit(s.DockerUp))
	gauge(ch, "docker_synced", "1 when all containers were looked at once", bit(s.Synced))
	count(ch, "docker_events_missed_total", "changes that a list found and no event told", s.EventsMissed)
	count(ch, "docker_reconnects_total", "event streams opened anew", s.Reconnects)
	count(ch, "docker_inspects_total", "containers inspected", s.Inspects)
	count(ch, "docker_inspect_errors_total", "inspects that failed", s.InspectErrors)
	count(ch, "docker_list_errors_total", "lists that failed", s.ListErrors)
	count(ch, "docker_replaces_total", "sets handed to the agent", s.Replaces)
	count(ch, "docker_flaps_damped_total", "starts held back because of a restart loop", s.FlapsDamped)
	count(ch, "docker_panics_total", "containers whose handling failed", s.Panics)
	gauge(ch, "docker_inspect_seconds_sum", "time spent in inspects", s.InspectSeconds)
	gauge(ch, "docker_instances", "instances in the last set", float64(s.Instances))
	gauge(ch, "docker_dirty", "containers waiting to be looked at", float64(s.Dirty))
	labelled(ch, prometheus.CounterValue, "docker_events_total", "events by action", "action", floats(s.Events))
	labelled(ch, prometheus.GaugeValue, "docker_containers", "containers by state", "state", floats(s.Containers))
}
