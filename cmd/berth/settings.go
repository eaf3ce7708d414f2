package main

import (
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"time"

	"berth"
	"berth/agent"
	"berth/dnsproxy"
	"berth/httpapi"
	"berth/internal/config"
	"berth/internal/hostdns"
	"berth/registrator"
	"berth/store"
	"berth/store/gossip"
)

// consulVersion is the version of Consul whose API this agent speaks, as clients look for it.
const consulVersion = "1.21.4"

func storeConfig(c *config.Config, log *slog.Logger) store.Config {
	return store.Config{
		Logger: log, NodeName: c.Node.Name, NodeID: c.Node.ID, Datacenter: c.Node.Datacenter, DataDir: c.Node.DataDir,
		Version: version, Server: c.Server.Enabled, NonVoter: c.Server.NonVoter, BootstrapExpect: c.Server.BootstrapExpect,
		Net: store.NetConfig{
			BindAddr: c.Addrs.Bind.String(), AdvertiseAddr: c.Addrs.Advertise.String(), AdvertiseAddrWAN: c.Addrs.AdvertiseWAN.String(),
			ServerPort: c.Ports.Server, LANPort: c.Ports.SerfLAN, WANPort: c.Ports.SerfWAN,
			BindLAN: c.Addrs.SerfLAN.String(), BindWAN: c.Addrs.SerfWAN.String(),
			AllowedLAN: c.Addrs.SerfLANAllowed, AllowedWAN: c.Addrs.SerfWANAllowed,
		},
		Join: store.JoinConfig{
			LAN: c.Join.LAN, WAN: c.Join.WAN, Interval: c.Join.Interval, IntervalWAN: c.Join.IntervalWAN,
			Max: c.Join.Max, MaxWAN: c.Join.MaxWAN,
		},
		Raft: raftConfig(c), Limits: limitsConfig(c),
		Gossip: store.GossipConfig{
			LAN: timing(c.Gossip.LAN), WAN: timing(c.Gossip.WAN),
			TakeClear: !c.Gossip.VerifyIncoming, SendClear: !c.Gossip.VerifyOutgoing,
			NoKeyringFile: !c.Gossip.KeyringFile, ReconnectAfterWAN: c.Gossip.ReconnectTimeoutWAN,
			ReconnectIn: c.Gossip.AdvertiseReconnectIn,
		},
		NodeMeta: c.Node.Meta, TaggedAddresses: c.Node.TaggedAddresses,
		EncryptKey: c.Gossip.Encrypt, RejoinAfter: c.Join.RejoinAfterLeave, NoCoordinates: !c.Gossip.Coordinates,
		ReconnectAfter: c.Gossip.ReconnectTimeout, HoldTimeout: c.Raft.HoldTimeout,
		SessionTTLMin: c.Raft.SessionTTLMin, TombstoneTTL: c.Raft.TombstoneTTL, Autopilot: &c.Raft.Autopilot,
	}
}

// raftConfig is also applied anew by a reload, as far as raft can.
func raftConfig(c *config.Config) store.RaftConfig {
	r := c.Raft
	return store.RaftConfig{
		Multiplier: r.Multiplier, SnapshotThreshold: uint64(r.SnapshotThreshold), SnapshotInterval: r.SnapshotInterval,
		TrailingLogs: uint64(r.TrailingLogs), NoPreVote: !r.PreVote, SegmentBytes: r.SegmentSizeMB << 20,
	}
}

// limitsConfig is also applied anew by a reload.
func limitsConfig(c *config.Config) store.Limits {
	l := c.Limits
	return store.Limits{
		Handshake: l.RPCHandshake, ConnsPerAddr: l.RPCMaxConns, ForwardTimeout: l.RPCClientTimeout,
		ForwardRate: l.RPCRate, ForwardBurst: l.RPCMaxBurst, Mode: l.RequestMode, ReadRate: l.ReadRate, WriteRate: l.WriteRate,
	}
}

func timing(p config.Pool) gossip.Timing { return gossip.Timing(p) }

func agentConfig(c *config.Config, log *slog.Logger, st *store.Store) agent.Config {
	var sources []string // whose word is waited for before their entries are taken out
	if c.Registrator.Enabled {
		sources = append(sources, berth.SourceDocker)
	}
	return agent.Config{
		Sources: sources,
		Logger:  log, Node: c.Node.Name, NodeID: st.ID(), Datacenter: c.Node.Datacenter, Address: c.Addrs.Advertise.String(),
		NodeMeta: nodeMeta(c), TaggedAddresses: taggedAddresses(c), DataDir: c.Node.DataDir, Catalog: st, Nodes: st,
		ClusterSize:         func() int { return len(st.Members(false)) },
		CheckUpdateInterval: c.Checks.UpdateInterval, CheckOutputMaxSize: c.Checks.OutputMaxSize,
		DiscardCheckOutput: c.Checks.DiscardOutput, EnableScriptChecks: c.Checks.ScriptsRemote,
		EnableLocalScriptChecks: c.Checks.ScriptsLocal, Docker: registrator.Clients(registratorConfig(c, log, nil)),
	}
}

// taggedAddresses and nodeMeta are what the node's row has, with what the leader would add when
// it sees the node join: whichever of the two writes first or last, the row is the same.
func taggedAddresses(c *config.Config) map[string]string {
	m := map[string]string{}
	for tag, addr := range map[string]netip.Addr{"lan": c.Addrs.Advertise, "wan": c.Addrs.AdvertiseWAN} {
		family := "_ipv4"
		if addr.Unmap().Is6() {
			family = "_ipv6"
		}
		m[tag], m[tag+family] = addr.String(), addr.String()
	}
	maps.Copy(m, c.Node.TaggedAddresses)
	return m
}

func nodeMeta(c *config.Config) map[string]string {
	m := map[string]string{"consul-network-segment": "", berth.MetaNodeVersion: version}
	maps.Copy(m, c.Node.Meta)
	return m
}

func registratorConfig(c *config.Config, log *slog.Logger, sink registrator.Sink) registrator.Config {
	r := c.Registrator
	return registrator.Config{
		Logger: log, Sink: sink, Node: c.Node.Name, NodeAddress: ipv4(c), NodeAddress6: ipv6(c), AllowLoopback: c.Addrs.Advertise.IsLoopback(),
		DataDir: c.Node.DataDir, Profile: r.Profile, Engine: r.Docker.Endpoint,
		EngineTLS: registrator.EngineTLS{CA: r.Docker.TLSCA, Cert: r.Docker.TLSCert, Key: r.Docker.TLSKey, SkipVerify: !r.Docker.TLSVerify},
		Resync:    r.Runs.Resync, FullInspect: r.Runs.FullInspect,
		IP: r.Addrs.IP, UseIPFromLabel: r.Addrs.UseIPFromLabel, Internal: r.Addrs.Internal, AddressMode: r.Addrs.Mode,
		AddressFamily: r.Addrs.Family, Networks: r.Addrs.Networks, Loopback: r.Addrs.Loopback, HostModePorts: r.Addrs.HostModePorts,
		AllBindings: r.Addrs.AllBindings, IPFromContainer: r.Addrs.IPFromContainer,
		Explicit: r.Names.Explicit, DefaultName: r.Names.DefaultName, NamePortSuffix: r.Names.NamePortSuffix,
		Constraint: r.Names.Constraint, AllowCustomID: &r.Names.AllowCustomID, Tags: r.Names.Tags,
		AllowNames: r.Names.AllowNames, AutoTags: r.Names.AutoTags, AllowTagTemplates: r.Names.AllowTagTemplates, Kubernetes: r.Names.Kubernetes,
		AllowTemplateHTTP: r.Health.AllowTemplateHTTP, EnvMeta: r.Names.EnvMeta,
		DockerHealth: r.Health.Docker, HealthStarting: r.Health.Starting,
		AllowScriptChecks: r.Health.AllowScriptChecks, AllowExecChecks: &r.Health.AllowExecChecks,
		AllowForeignTargets: r.Health.AllowTargets,
		Deregister:          r.Runs.Deregister, DeregisterOnStop: &r.Runs.DeregisterOnStop, Drain: r.Runs.Drain,
		DeadTTL: r.Runs.DeadTTL, RestartGrace: r.Runs.RestartGrace, FlapDamping: &r.Runs.FlapDamping, LeaveOnExit: r.Runs.LeaveOnExit,
	}
}

// checkRegistrator says what is wrong with the settings that the configuration cannot judge:
// templates, patterns, constraints.
func checkRegistrator(c *config.Config) error {
	if !c.Registrator.Enabled {
		return nil
	}
	_, err := registrator.New(registratorConfig(c, slog.Default(), noSink{}))
	return err
}

type noSink struct{}

func (noSink) Replace(string, []berth.ServiceDefinition) error { return nil }

// ipv4 is the host's IPv4 address for containers' services, the advertised one if there is none.
func ipv4(c *config.Config) func() netip.Addr {
	a := c.Addrs.Advertise
	if other, err := netip.ParseAddr(c.Node.TaggedAddresses["lan_ipv4"]); a.Is6() && err == nil { // of advertise_addr_ipv4
		a = other
	}
	return func() netip.Addr { return a }
}

// ipv6 is the host's IPv6 address for containers' services; nil: none.
func ipv6(c *config.Config) func() netip.Addr {
	a := c.Addrs.Advertise
	if !a.Is6() {
		a, _ = netip.ParseAddr(c.Node.TaggedAddresses["lan_ipv6"]) // of advertise_addr_ipv6; validated there
	}
	if !a.IsValid() {
		return nil
	}
	return func() netip.Addr { return a }
}

func httpConfig(c *config.Config, log *slog.Logger, nodeID string) httpapi.Config {
	out := httpapi.Config{
		Logger: log, Addrs: c.Addrs.HTTP, TLSAddrs: c.Addrs.HTTPS,
		UnixSocket: httpapi.UnixSocket{User: c.Addrs.Unix.User, Group: c.Addrs.Unix.Group, Mode: c.Addrs.Unix.Mode},
		Self: httpapi.Self{
			NodeName: c.Node.Name, NodeID: nodeID, Datacenter: c.Node.Datacenter, PrimaryDatacenter: c.Node.PrimaryDatacenter,
			Server: c.Server.Enabled, Version: consulVersion, Revision: version, BuildDate: "1970-01-01T00:00:01Z",
			NodeMeta: c.Node.Meta, DebugConfig: c.Debug(),
		},
		Dev: c.Dev, Debug: c.HTTP.Debug, BlockEndpoints: c.HTTP.BlockEndpoints, AllowWriteFrom: c.HTTP.AllowWriteFrom, ResponseHeaders: c.HTTP.Headers,
		NoCache: !c.HTTP.UseCache, DisableCoordinates: !c.Gossip.Coordinates, DefaultPolicy: c.ACL.DefaultPolicy, TranslateWANAddrs: c.Node.TranslateWANAddrs,
		AllowUnprintable: !c.HTTP.PrintableOnly, DefaultQueryTime: c.HTTP.DefaultQueryTime, MaxQueryTime: c.HTTP.MaxQueryTime,
		DiscoveryMaxStale: c.HTTP.MaxStale, SessionTTLMin: c.Raft.SessionTTLMin,
		Limits: httpapi.Limits{
			MaxConnsPerClient: orNoLimit(c.Limits.HTTPMaxConns), MaxConns: c.Limits.HTTPMaxConnsAll, HandshakeTimeout: c.Limits.HTTPSHandshake, KVMaxValueSize: int64(c.Limits.KVMaxValueSize),
			TxnMaxRequestLen: int64(c.Limits.TxnMaxReqLen), MaxHeaderBytes: c.HTTP.MaxHeaderBytes,
		},
	}
	switch {
	case c.HTTP.UIDir != "":
		out.UI = http.StripPrefix("/ui/", http.FileServer(http.Dir(c.HTTP.UIDir)))
	case c.HTTP.UI:
		out.UI = httpapi.UI()
	}
	return out
}

func dnsConfig(c *config.Config, log *slog.Logger) dnsproxy.Config {
	z, f, s, k := c.DNS.Zone, c.DNS.Forward, c.DNS.Static, c.DNS.Cache
	out := dnsproxy.Config{
		Logger: log, Addrs: c.Addrs.DNS, OptionalAddrs: c.Addrs.DNSOptional,
		Datacenter: c.Node.Datacenter, NodeName: c.Node.Name, AdvertiseAddr: c.Addrs.Advertise, QueryLog: c.DNS.LogQueries,
		Zone: dnsproxy.ZoneConfig{
			Domain: c.DNS.Domain, AltDomain: c.DNS.AltDomain, Zones: z.Zones, NodeTTL: z.NodeTTL, ServiceTTL: z.ServiceTTL,
			NegTTL: z.NegTTL, OnlyPassing: z.OnlyPassing, EmptyService: z.EmptyService, Truncate: z.Truncate, ARecordLimit: z.ARecordLimit, MaxStale: z.MaxStale,
			NodeMetaTXT: z.NodeMetaTXT, SRVWeightScale: z.SRVWeightScale, NoShortNames: !z.ShortNames, ShortNamesExclude: z.ShortNamesExclude,
		},
		Forward: dnsproxy.ForwardConfig{
			Upstreams: f.Upstreams, ResolvConf: hostdns.UpstreamsFile(f.ResolvConf), LocalZones: f.LocalZones, Policy: f.Policy, NoBogusPriv: !f.BogusPriv,
			NoDomainNeeded: !f.DomainNeeded, ForwardANY: f.ForwardANY, FilterAAAA: f.FilterAAAA, StopRebind: f.StopRebind,
			NoLoopProbe: !f.LoopProbe, Timeout: f.Timeout,
			SourcePorts: dnsproxy.PortRange{Min: uint16(f.SourcePorts[0]), Max: uint16(f.SourcePorts[1])},
		},
		Static: dnsproxy.StaticConfig{
			Hosts: s.Hosts, Addresses: s.Addresses, CNAMEs: s.CNAMEs, TXTs: s.TXTs, PTRs: s.PTRs, HostsFiles: s.HostsFiles,
			Expand: s.Expand, TTL: s.TTL, SRVs: map[string][]dnsproxy.SRV{},
		},
		Cache: dnsproxy.CacheConfig{
			Entries: k.Entries, Bytes: k.Bytes, MaxTTL: k.MaxTTL, MinTTL: k.MinTTL, MaxNeg: k.MaxNeg, StaleFor: orNever(k.Stale),
		},
		Access: dnsproxy.AccessConfig{Allow: c.DNS.AllowFrom, Drop: c.DNS.DropRefused, RRLPerSecond: c.DNS.RateLimit},
		Limits: dnsproxy.Limits{Concurrent: c.DNS.MaxConcurrent, PerClient: c.DNS.MaxPerClient, TCPConns: c.DNS.MaxTCP},
	}
	for _, d := range f.Domains {
		out.Forward.Domains = append(out.Forward.Domains, dnsproxy.DomainConfig{Domain: d.Domain, Servers: d.Servers})
	}
	for _, r := range s.SRVs {
		srv := dnsproxy.SRV{Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: r.Target}
		out.Static.SRVs[r.Name] = append(out.Static.SRVs[r.Name], srv)
	}
	return out
}

// orNoLimit: in the configuration 0 is no limit, in the HTTP server it is the default.
func orNoLimit(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// orNever: in the configuration 0 is "not at all", in the DNS server it is "the default".
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
