package config

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	datacenterPattern = regexp.MustCompile(`^[a-z0-9_-]+$`)
	dnsNamePattern    = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	metaKeyPattern    = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	uuidPattern       = regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)
)

// reservedLabels decide what a DNS name asks for, so a domain cannot be one of them.
var reservedLabels = []string{"service", "node", "query", "addr", "connect", "virtual", "ingress"}

// validate looks at the whole configuration; everything wrong goes to b.problems.
func (b *builder) validate() {
	b.validateNode()
	b.validatePorts()
	b.validateNames()
	b.validateChoices()
	b.validateRanges()
	b.validateKey()
	b.validateTLS()
	b.validateDocker()
}

// validateDocker refuses an endpoint that can never be reached. What the environment or docker's own
// configuration say is not looked at: it may not be meant for berth.
func (b *builder) validateDocker() {
	host := b.cfg.Registrator.Docker.Endpoint
	if host == "" || strings.HasPrefix(host, "/") {
		return
	}
	u, err := url.Parse(host)
	switch {
	case err == nil && (u.Scheme == "unix" || u.Scheme == "npipe") && u.Host+u.Path != "":
	case err == nil && (u.Scheme == "tcp" || u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "":
	case err == nil && u.Scheme == "ssh":
		b.fail("registrator.docker: %q: ssh is not supported, forward the socket (ssh -L) and name that", host)
	default:
		b.fail("registrator.docker: %q is not an endpoint: use unix:///path, tcp://host:port, auto, or off for no Docker", host)
	}
}

func (b *builder) validateNode() {
	n := b.cfg.Node
	if n.DataDir == "" && !b.cfg.Dev {
		b.fail("data_dir cannot be empty: set data_dir, or use -dev to keep nothing")
	}
	for key, dc := range map[string]string{"datacenter": n.Datacenter, "primary_datacenter": n.PrimaryDatacenter} {
		if !datacenterPattern.MatchString(dc) {
			b.fail("%s: %q must be lower-case letters, digits, - and _", key, dc)
		}
	}
	if n.Name == "" {
		b.fail("node_name cannot be empty")
	} else if !dnsNamePattern.MatchString(n.Name) {
		b.warn("node_name %q will not resolve by DNS: it has characters other than letters, digits and -", n.Name)
	} else if len(n.Name) > 63 {
		b.warn("node_name %q will not resolve by DNS: it is longer than 63 characters", n.Name)
	}
	if n.ID != "" && !uuidPattern.MatchString(n.ID) {
		b.fail("node_id: %q is not a UUID", n.ID)
	}
	if len(n.Meta) > 64 {
		b.fail("node_meta: %d pairs are more than 64", len(n.Meta))
	}
	for k, v := range n.Meta {
		switch {
		case !metaKeyPattern.MatchString(k) || len(k) > 128:
			b.fail("node_meta: key %q must be 1 to 128 letters, digits, - and _", k)
		case strings.HasPrefix(k, "consul-"):
			b.fail("node_meta: key %q: the prefix consul- is reserved", k)
		case len(v) > 512:
			b.fail("node_meta: the value of %q is longer than 512 bytes", k)
		}
	}
}

func (b *builder) validatePorts() {
	p := b.cfg.Ports
	ports := []struct {
		key string
		n   int
		off bool // may be off
	}{
		{"ports.dns", p.DNS, true}, {"ports.http", p.HTTP, true}, {"ports.https", p.HTTPS, true},
		{"ports.server", p.Server, false}, {"ports.serf_lan", p.SerfLAN, false}, {"ports.serf_wan", p.SerfWAN, true},
	}
	taken := map[int]string{}
	for _, x := range ports {
		switch {
		case x.n == -1 && x.off:
		case x.n == 0 && x.key == "ports.dns":
		case x.n < 1 || x.n > 65535:
			b.fail("%s: %d is not a port", x.key, x.n)
		case taken[x.n] != "" && b.sameHost(x.key, taken[x.n]):
			b.fail("%s: port %d is also that of %s", x.key, x.n, taken[x.n])
		default:
			taken[x.n] = x.key
		}
	}
}

// sameHost says whether two listeners that have the same port also share an address: clients'
// ports and cluster ports may be on different ones.
func (b *builder) sameHost(x, y string) bool {
	client := func(key string) bool { return key == "ports.dns" || key == "ports.http" || key == "ports.https" }
	a := b.cfg.Addrs
	return client(x) == client(y) || a.Bind.IsUnspecified() || slices.Contains(a.Client, a.Bind)
}

func (b *builder) validateNames() {
	d := b.cfg.DNS
	if d.Domain == "" {
		b.fail("domain cannot be empty")
	}
	for key, domain := range map[string]string{"domain": d.Domain, "alt_domain": d.AltDomain} {
		for label := range strings.SplitSeq(domain, ".") {
			switch {
			case domain == "":
			case label == "" || len(label) > 63:
				b.fail("%s: %q is not a domain name", key, domain)
			case slices.Contains(reservedLabels, strings.ToLower(label)):
				b.fail("%s: %q: the label %q has a meaning in DNS names of the catalog", key, domain, label)
			}
		}
	}
	if strings.EqualFold(d.Domain, d.AltDomain) {
		b.fail("alt_domain is the same as domain")
	}
	for s := range d.Zone.ServiceTTL {
		if i := strings.Index(s, "*"); i >= 0 && i != len(s)-1 {
			b.fail("dns_config.service_ttl: %q: a * can only be the last character", s)
		}
	}
	for _, p := range b.cfg.HTTP.BlockEndpoints {
		if !strings.HasPrefix(p, "/v1/") {
			b.fail("http_config.block_endpoints: %q does not start with /v1/", p)
		}
	}
	if p := val(b.file.UI.ContentPath); !strings.HasPrefix(p, "/") || !strings.HasSuffix(p, "/") || p == "/" || strings.HasPrefix(p, "/v1/") {
		b.fail("ui_config.content_path: %q must start and end with / and not be / or below /v1/", p)
	}
}

// validateChoices checks keys that are one of a few words.
func (b *builder) validateChoices() {
	c, r := b.cfg, b.cfg.Registrator
	for _, x := range []struct {
		key, value string
		of         []string
	}{
		{"log_level", c.Log.Level, []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"}},
		{"acl.default_policy", c.ACL.DefaultPolicy, []string{"allow", "deny"}},
		{"acl.down_policy", val(b.file.ACL.DownPolicy), []string{"allow", "deny", "extend-cache", "async-cache"}},
		{"limits.request_limits.mode", c.Limits.RequestMode, []string{"disabled", "permissive", "enforcing"}},
		{"raft_logstore.backend", val(b.file.LogStore.Backend), []string{"default", "wal", "boltdb"}},
		{"dns_config.empty_service", c.DNS.Zone.EmptyService, []string{"nxdomain", "nodata", "last_known"}},
		{"dns_config.truncate", c.DNS.Zone.Truncate, []string{"auto", "always", "never"}},
		{"dns_config.recursor_strategy", c.DNS.Forward.Policy, []string{"fastest", "sequential", "round_robin", "all", "random"}},
		{"registrator.profile", r.Profile, []string{"native", profileCompat}},
		{"registrator.address_mode", r.Addrs.Mode, []string{"published", "internal", "auto"}},
		{"registrator.address_family", r.Addrs.Family, []string{"ipv4", "ipv6", "dual", "prefer-ipv6"}},
		{"registrator.loopback", r.Addrs.Loopback, []string{"skip", "host"}},
		{"registrator.host_mode_ports", r.Addrs.HostModePorts, []string{"declared", "exposed"}},
		{"registrator.default_name", r.Names.DefaultName, []string{"auto", "image", "compose", "container"}},
		{"registrator.name_port_suffix", r.Names.NamePortSuffix, []string{"multi", "always", "never", "proto"}},
		{"registrator.env_meta", r.Names.EnvMeta, []string{"all", "filtered", "labels", "none"}},
		{"registrator.docker_health", r.Health.Docker, []string{"auto", "off"}},
		{"registrator.health_starting", r.Health.Starting, []string{"critical", "warning", "passing"}},
		{"registrator.deregister", r.Runs.Deregister, []string{"always", "on-success", "never"}},
	} {
		if x.key == "registrator.loopback" && x.value == "local" {
			b.fail("registrator.loopback: local is not possible: all hosts see one catalog, so an instance is there for all or for none; use skip or host")
			continue
		}
		if !slices.Contains(x.of, x.value) {
			b.fail("%s: %q is not one of %s", x.key, x.value, strings.Join(x.of, ", "))
		}
	}
}

func (b *builder) validateRanges() {
	c := b.cfg
	within := func(key string, n, lo, hi int) {
		if n < lo || n > hi {
			b.fail("%s: %d is not within %d to %d", key, n, lo, hi)
		}
	}
	const many = 1 << 30
	within("performance.raft_multiplier", c.Raft.Multiplier, 1, 10)
	within("raft_logstore.wal.segment_size_mb", c.Raft.SegmentSizeMB, 1, 1024)
	within("raft_snapshot_threshold", c.Raft.SnapshotThreshold, 1, many)
	within("raft_trailing_logs", c.Raft.TrailingLogs, 0, many)
	within("check_output_max_size", c.Checks.OutputMaxSize, 1, many)
	within("dns_config.a_record_limit", c.DNS.Zone.ARecordLimit, 0, many)
	within("dns_config.srv_weight_scale", c.DNS.Zone.SRVWeightScale, 1, 65535)
	within("limits.kv_max_value_size", c.Limits.KVMaxValueSize, 1, many)
	within("limits.txn_max_req_len", c.Limits.TxnMaxReqLen, 1, many)
	within("limits.http_max_conns_per_client", c.Limits.HTTPMaxConns, 0, many)
	within("http_config.max_header_bytes", c.HTTP.MaxHeaderBytes, 0, many)
	within("autopilot.max_trailing_logs", val(b.file.Autopilot.MaxTrailingLogs), 0, many)
	within("autopilot.min_quorum", val(b.file.Autopilot.MinQuorum), 0, many)
	for name, p := range map[string]Pool{"gossip_lan": c.Gossip.LAN, "gossip_wan": c.Gossip.WAN} {
		within(name+".gossip_nodes", p.GossipNodes, 1, many)
		within(name+".suspicion_mult", p.SuspicionMult, 1, many)
		within(name+".retransmit_mult", p.RetransmitMult, 1, many)
		b.positive(name+".gossip_interval", p.GossipInterval)
		b.positive(name+".probe_interval", p.ProbeInterval)
		b.positive(name+".probe_timeout", p.ProbeTimeout)
	}
	b.positive("retry_interval", c.Join.Interval)
	b.positive("retry_interval_wan", c.Join.IntervalWAN)
	b.positive("raft_snapshot_interval", c.Raft.SnapshotInterval)
	b.positive("session_ttl_min", c.Raft.SessionTTLMin)
	b.positive("reconnect_timeout", c.Gossip.ReconnectTimeout)
	b.positive("reconnect_timeout_wan", c.Gossip.ReconnectTimeoutWAN)
	b.positive("default_query_time", c.HTTP.DefaultQueryTime)
	b.positive("max_query_time", c.HTTP.MaxQueryTime)
	b.positive("dns_config.recursor_timeout", c.DNS.Forward.Timeout)
	ports := c.DNS.Forward.SourcePorts
	within("dns_config.source_port_min", ports[0], 0, 65535)
	within("dns_config.source_port_max", ports[1], 0, 65535)
	if (ports[0] == 0) != (ports[1] == 0) || ports[0] > ports[1] {
		b.fail("dns_config.source_port_min %d and source_port_max %d: give both, the lower one first", ports[0], ports[1])
	}
	within("limits.http_max_conns", c.Limits.HTTPMaxConnsAll, 0, many)
	within("limits.rpc_max_conns_per_client", c.Limits.RPCMaxConns, 0, many)
	within("limits.rpc_max_burst", c.Limits.RPCMaxBurst, 1, many)
	b.positive("limits.https_handshake_timeout", c.Limits.HTTPSHandshake)
	b.positive("limits.rpc_handshake_timeout", c.Limits.RPCHandshake)
	b.validateRegistratorTimes()
	if d := c.Gossip.AdvertiseReconnectIn; d != 0 && d < time.Second {
		b.fail("advertise_reconnect_timeout: %v is less than 1s", d)
	}
	if d := c.DNS.Zone.MaxStale; d < 0 || d > 0 && d < minMaxStale {
		b.fail("dns_config.max_stale: %v is too short, replicas hear from the leader once a second: use %v or more, or 0 for no limit", d, minMaxStale)
	}
}

// minMaxStale is the shortest max_stale that a healthy replica keeps.
const minMaxStale = 5 * time.Second

// validateRegistratorTimes keeps registrator's rules for options that have no effect here, too: a
// command line that it refused is wrong.
func (b *builder) validateRegistratorTimes() {
	r := b.file.Registrator
	ttl, refresh := val(r.TTL), val(r.TTLRefresh)
	if ttl > 0 && refresh <= 0 || ttl <= 0 && refresh > 0 || ttl > 0 && refresh >= ttl {
		b.fail("registrator.ttl and registrator.ttl_refresh go together, and ttl must be the longer one")
	}
	if val(r.RetryInterval) <= 0 {
		b.fail("registrator.retry_interval: %v is not a positive time", time.Duration(val(r.RetryInterval)))
	}
	for key, d := range map[string]*Seconds{"dead_ttl": r.DeadTTL, "restart_grace": r.RestartGrace} {
		if val(d) <= 0 {
			b.fail("registrator.%s: %v is not a positive time", key, time.Duration(val(d)))
		}
	}
}

func (b *builder) positive(key string, d time.Duration) {
	if d <= 0 {
		b.fail("%s: %v is not a positive time", key, d)
	}
}

func (b *builder) validateKey() {
	if b.cfg.Gossip.Encrypt == "" {
		return
	}
	if err := CheckKey(b.cfg.Gossip.Encrypt); err != nil {
		b.fail("encrypt: %v", err)
	}
}

// CheckKey says what is wrong with a gossip key, nil when nothing is.
func CheckKey(key string) error {
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return fmt.Errorf("the key is not base64: make one with `berth keygen`")
	}
	if n := len(raw); n != 16 && n != 24 && n != 32 {
		return fmt.Errorf("the key has %d bytes instead of 16, 24 or 32: make one with `berth keygen`", n)
	}
	return nil
}

func (b *builder) validateTLS() {
	for name, t := range map[string]TLSConfig{"tls.internal_rpc": b.cfg.TLS.RPC, "tls.https": b.cfg.TLS.HTTPS} {
		if t.MinVersion != "TLSv1_2" && t.MinVersion != "TLSv1_3" {
			b.fail("%s.tls_min_version: %q: use TLSv1_2 or TLSv1_3", name, t.MinVersion)
		}
		if (t.CertFile == "") != (t.KeyFile == "") {
			b.fail("%s: cert_file and key_file go together", name)
		}
		if t.VerifyIncoming && t.CAFile == "" && t.CAPath == "" {
			b.fail("%s.verify_incoming needs ca_file or ca_path", name)
		}
	}
	if len(b.cfg.Addrs.HTTPS) > 0 && b.cfg.TLS.HTTPS.CertFile == "" {
		b.warn("ports.https is ignored: there is no certificate, set tls.https.cert_file and key_file")
		b.cfg.Addrs.HTTPS = nil
	}
}
