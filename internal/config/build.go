package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"berth"
)

// profileCompat is the registrator profile with gliderlabs' defaults.
const profileCompat = "registrator"

// builder turns the merged layers into a Config.
type builder struct {
	file     *File // all layers
	user     *File // without defaults
	host     Host
	cfg      *Config
	problems []string
	warnings []string
}

func (b *builder) fail(format string, args ...any) {
	b.problems = append(b.problems, fmt.Sprintf(format, args...))
}

func (b *builder) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

// val is what p points at, or the zero value.
func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// or is what p points at, or def.
func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

func (b *builder) build() {
	b.node()
	b.server()
	f := b.file
	b.cfg.Ports = Ports{
		DNS: val(f.Ports.DNS), HTTP: val(f.Ports.HTTP), HTTPS: val(f.Ports.HTTPS),
		Server: val(f.Ports.Server), SerfLAN: val(f.Ports.SerfLAN), SerfWAN: val(f.Ports.SerfWAN),
	}
	b.addrs()
	b.join()
	b.gossip()
	b.raft()
	b.dns()
	b.http()
	b.tls()
	b.acl()
	b.registrator()
	b.logging()
	b.definitions()
	b.cfg.Checks = Checks{
		ScriptsRemote: val(f.ScriptChecks), ScriptsLocal: val(f.ScriptChecks) || val(f.LocalScriptChecks),
		AgentTLS: val(f.AgentTLS), UpdateInterval: val(f.UpdateInterval),
		OutputMaxSize: val(f.OutputMaxSize), DiscardOutput: val(f.DiscardOutput),
		RemoteExec: !val(f.DisableRemoteExec),
	}
	b.cfg.Leave = Leave{
		OnTerminate: or(f.LeaveOnTerminate, !b.cfg.Server.Enabled),
		OnInterrupt: !or(f.SkipLeaveOnInterrupt, b.cfg.Server.Enabled),
		DrainTime:   val(f.Performance.LeaveDrainTime),
	}
	b.cfg.AutoReload = val(f.AutoReload)
}

func (b *builder) node() {
	f := b.file
	n := Node{
		Name: strings.TrimSpace(val(f.NodeName)), ID: strings.ToLower(val(f.NodeID)),
		Datacenter: strings.ToLower(val(f.Datacenter)), PrimaryDatacenter: strings.ToLower(val(f.PrimaryDatacenter)),
		Meta: f.NodeMeta, DataDir: val(f.DataDir), PIDFile: val(f.PIDFile),
		TaggedAddresses: map[string]string{}, TranslateWANAddrs: val(f.TranslateWANAddrs),
	}
	if n.Meta == nil {
		n.Meta = map[string]string{}
	}
	if n.Name == "" {
		name, err := b.host.Hostname()
		if err != nil {
			b.fail("node_name is not set and the host has no name: %v", err)
		}
		n.Name = name
	}
	if n.PrimaryDatacenter == "" {
		n.PrimaryDatacenter = n.Datacenter
	}
	if b.cfg.Dev && n.DataDir != "" {
		b.warn("data_dir is not used: -dev keeps nothing")
		n.DataDir = ""
	}
	b.cfg.Node = n
	for tag, text := range f.TaggedAddresses {
		if a := b.expand("tagged_addresses."+tag, text); a != "" {
			b.cfg.Node.TaggedAddresses[tag] = a
		}
	}
}

func (b *builder) server() {
	f := b.file
	bootstrap, expect := val(f.Bootstrap), val(f.BootstrapExpect)
	if b.cfg.Dev && b.user.Bootstrap == nil && expect > 0 {
		bootstrap = false
	}
	s := Server{Enabled: val(f.Server), NonVoter: val(f.NonVoter), BootstrapExpect: expect}
	switch {
	case (bootstrap || expect > 0) && !s.Enabled:
		b.fail("bootstrap and bootstrap_expect need server: set server = true or remove them")
	case bootstrap && expect > 0:
		b.fail("bootstrap and bootstrap_expect are mutually exclusive: keep bootstrap_expect")
	case expect < 0:
		b.fail("bootstrap_expect: %d is not a number of servers", expect)
	case expect == 2:
		b.warn("bootstrap_expect = 2: two servers survive the loss of none, use 3")
	case expect > 2 && expect%2 == 0:
		b.warn("bootstrap_expect = %d: an even number of servers survives no more losses than one server less", expect)
	}
	if bootstrap {
		s.BootstrapExpect = 1
	}
	if s.NonVoter && !s.Enabled {
		b.fail("read_replica needs server: set server = true or remove it")
	}
	b.cfg.Server = s
}

func (b *builder) join() {
	f := b.file
	b.cfg.Join = Join{
		LAN: b.joinList("retry_join", f.RetryJoin), WAN: b.joinList("retry_join_wan", f.RetryJoinWAN),
		Interval: val(f.RetryInterval), IntervalWAN: val(f.RetryIntervalWAN),
		Max: val(f.RetryMax), MaxWAN: val(f.RetryMaxWAN), RejoinAfterLeave: val(f.RejoinAfterLeave),
	}
}

func (b *builder) joinList(key string, texts []string) []string {
	var list []string
	for _, text := range texts {
		if strings.HasPrefix(strings.TrimSpace(text), "provider=") {
			b.fail("%s: %q: cloud providers are not asked; give host names, they are looked up again at every try", key, text)
			continue
		}
		for s := range strings.FieldsSeq(b.expand(key, text)) {
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list
}

func (b *builder) gossip() {
	f := b.file
	b.cfg.Gossip = Gossip{
		Encrypt: val(f.Encrypt), VerifyIncoming: val(f.EncryptVerifyIn), VerifyOutgoing: val(f.EncryptVerifyOut),
		KeyringFile: !val(f.DisableKeyringFile), Coordinates: !val(f.DisableCoordinates),
		LAN: pool(f.GossipLAN), WAN: pool(f.GossipWAN),
		ReconnectTimeout: val(f.ReconnectTimeout), ReconnectTimeoutWAN: val(f.ReconnectWAN),
		AdvertiseReconnectIn: val(f.AdvertiseReconn),
	}
}

func pool(g GossipPool) Pool {
	return Pool{
		val(g.GossipNodes), val(g.GossipInterval), val(g.ProbeInterval), val(g.ProbeTimeout),
		val(g.SuspicionMult), val(g.RetransmitMult),
	}
}

func (b *builder) raft() {
	f, a := b.file, b.file.Autopilot
	b.cfg.Raft = Raft{
		Multiplier:        val(f.Performance.RaftMultiplier),
		SnapshotThreshold: val(f.SnapshotThreshold), SnapshotInterval: val(f.SnapshotInterval),
		TrailingLogs: val(f.TrailingLogs), PreVote: !val(f.PreVoteDisabled),
		SegmentSizeMB: val(f.LogStore.WAL.SegmentSizeMB), HoldTimeout: val(f.Performance.RPCHoldTimeout),
		SessionTTLMin: val(f.SessionTTLMin), TombstoneTTL: val(f.TombstoneTTL),
		Autopilot: berth.AutopilotConfig{
			CleanupDeadServers:      val(a.CleanupDeadServers),
			LastContactThreshold:    berth.Duration(val(a.LastContactThreshold)),
			MaxTrailingLogs:         uint64(max(0, val(a.MaxTrailingLogs))),
			MinQuorum:               uint(max(0, val(a.MinQuorum))),
			ServerStabilizationTime: berth.Duration(val(a.ServerStabilizationTime)),
		},
	}
	if val(f.RaftProtocol) != 3 {
		b.warn("raft_protocol = %d is ignored: 3 is the only one", val(f.RaftProtocol))
	}
	if s := val(f.LogStore.Backend); s == "boltdb" {
		b.warn("raft_logstore.backend = boltdb is ignored: the log store is the WAL")
	}
}

func (b *builder) tls() {
	d := b.file.TLS.Defaults
	block := func(name string, t TLSBlock) TLSConfig {
		return TLSConfig{
			CAFile: first(t.CAFile, d.CAFile), CAPath: first(t.CAPath, d.CAPath),
			CertFile: first(t.CertFile, d.CertFile), KeyFile: first(t.KeyFile, d.KeyFile),
			MinVersion:           b.minTLS(name, first(t.MinVersion, d.MinVersion)),
			CipherSuites:         commaList(first(t.CipherSuites, d.CipherSuites)),
			VerifyIncoming:       first(t.VerifyIncoming, d.VerifyIncoming),
			VerifyOutgoing:       first(t.VerifyOutgoing, d.VerifyOutgoing),
			VerifyServerHostname: first(t.VerifyServerHostname, d.VerifyServerHostname),
		}
	}
	b.cfg.TLS = TLS{RPC: block("tls.internal_rpc", b.file.TLS.InternalRPC), HTTPS: block("tls.https", b.file.TLS.HTTPS)}
}

// minTLS reads a version in Consul's spellings, those before 1.12 too. Older ones than 1.2 are not
// spoken, which is the safe side.
func (b *builder) minTLS(name, v string) string {
	switch strings.ToLower(v) {
	case "tls12", "tls_auto", "tlsv1_2":
		return "TLSv1_2"
	case "tls13", "tlsv1_3":
		return "TLSv1_3"
	case "tls10", "tls11", "tlsv1_0", "tlsv1_1":
		b.warn("%s.tls_min_version = %s is ignored: TLSv1_2 is the oldest that is spoken", name, v)
		return "TLSv1_2"
	}
	return v
}

// first is the value of the first pointer that is set.
func first[T any](ps ...*T) T {
	for _, p := range ps {
		if p != nil {
			return *p
		}
	}
	var zero T
	return zero
}

// commaLists takes apart texts that have several items each, as flags may.
func commaLists(texts []string) []string { return commaList(strings.Join(texts, ",")) }

func commaList(s string) []string {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// acl refuses access control, which is not there: an agent that is told to guard its API must not
// leave it open.
func (b *builder) acl() {
	a := b.file.ACL
	b.cfg.ACL = ACL{DefaultPolicy: val(a.DefaultPolicy)}
	if val(a.Enabled) {
		b.fail("acl.enabled: this version has no access control, so the API would stay open: remove the key, " +
			"and guard the API by client_addr, http_config.allow_write_http_from, http_config.block_endpoints or tls.https.verify_incoming")
	}
	if user := b.user.ACL; user.Tokens != (TokenKeys{}) {
		b.warn("acl.tokens are ignored: without acl.enabled nothing asks for a token")
	}
}

func (b *builder) logging() {
	f, t := b.file, b.file.Telemetry
	b.cfg.Log = Log{
		Level: strings.ToUpper(val(f.Level)), JSON: val(f.JSON), File: val(f.File),
		RotateBytes: val(f.RotateBytes), RotateDuration: val(f.RotateDuration), RotateMaxFiles: val(f.RotateMaxFiles),
		Syslog: val(f.Syslog), SyslogFacility: val(f.SyslogFacility),
	}
	b.cfg.Telemetry = Telemetry{
		Prefix: val(t.Prefix), FilterDefault: val(t.FilterDefault), PrometheusRetention: val(t.PrometheusRetained),
		StatsdAddr: val(t.StatsdAddr), StatsiteAddr: val(t.StatsiteAddr),
		DogstatsdAddr:   val(t.DogstatsdAddr),
		DisableHostname: val(t.DisableHostname),
	}
	for _, p := range t.PrefixFilter {
		switch {
		case strings.HasPrefix(p, "+"):
			b.cfg.Telemetry.AllowPrefixes = append(b.cfg.Telemetry.AllowPrefixes, p[1:])
		case strings.HasPrefix(p, "-"):
			b.cfg.Telemetry.BlockPrefixes = append(b.cfg.Telemetry.BlockPrefixes, p[1:])
		default:
			b.fail("telemetry.prefix_filter: %q starts with neither + nor -", p)
		}
	}
}

func (b *builder) registrator() {
	r := b.file.Registrator
	c := Registrator{
		Enabled: val(r.Enabled), Profile: val(r.Profile),
		Names: RegistratorNaming{
			Explicit: val(r.Explicit), Tags: val(r.Tags), Constraint: val(r.Constraint), DefaultName: val(r.DefaultName),
			NamePortSuffix: val(r.NamePortSuffix), EnvMeta: val(r.EnvMeta), AllowCustomID: val(r.AllowCustomID),
			AllowNames: commaLists(r.AllowNames), AutoTags: val(r.AutoTags), AllowTagTemplates: val(r.AllowTagTemplates),
			Kubernetes: val(r.Kubernetes),
		},
		Addrs: RegistratorAddressing{
			IP: b.expand("registrator.ip", val(r.IP)), Internal: val(r.Internal), IPFromContainer: val(r.IPFromContainer),
			UseIPFromLabel: val(r.UseIPFromLabel), Mode: val(r.AddressMode), Networks: commaLists(r.Network),
			Family: val(r.AddressFamily), Loopback: val(r.Loopback), HostModePorts: val(r.HostModePorts),
			AllBindings: val(r.AllBindings),
		},
		Health: RegistratorChecks{
			Docker: val(r.DockerHealth), Starting: val(r.HealthStarting), AllowScriptChecks: val(r.AllowScriptChecks),
			AllowExecChecks: val(r.AllowExecChecks), AllowTemplateHTTP: val(r.AllowTemplateHTTP),
			AllowTargets: val(r.AllowTargets),
		},
		Runs: RegistratorTiming{
			Resync: time.Duration(val(r.Resync)), FullInspect: time.Duration(val(r.FullInspect)),
			Deregister: val(r.Deregister), DeregisterOnStop: val(r.DeregisterOnStop), Drain: time.Duration(val(r.Drain)),
			DeadTTL: time.Duration(val(r.DeadTTL)), RestartGrace: time.Duration(val(r.RestartGrace)),
			FlapDamping: val(r.FlapDamping), LeaveOnExit: val(r.LeaveOnExit),
		},
		Docker: Docker{
			Endpoint: val(r.Docker), TLSCA: val(r.TLSCA), TLSCert: val(r.TLSCert), TLSKey: val(r.TLSKey),
			TLSVerify: val(r.TLSVerify),
		},
	}
	switch c.Docker.Endpoint {
	case "auto":
		c.Docker.Endpoint = ""
	case "off", "false":
		c.Docker.Endpoint, c.Enabled = "", false
	}
	if c.Runs.Resync <= 0 {
		c.Runs.Resync = 30 * time.Second
	}
	if c.Addrs.Internal {
		c.Addrs.Mode = "internal"
	}
	b.cfg.Registrator = c
}
