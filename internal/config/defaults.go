package config

import "time"

// Defaults is the bottom layer: every key that has a default.
func Defaults() *File {
	f := new(File)
	f.Datacenter = new("dc1")
	f.BindAddr, f.ClientAddr = new("0.0.0.0"), new("127.0.0.1")
	f.Ports = PortKeys{
		HTTP: new(8500), HTTPS: new(-1), Server: new(8300), SerfLAN: new(8301), SerfWAN: new(8302),
	}
	f.RetryInterval, f.RetryIntervalWAN = new(30*time.Second), new(30*time.Second)
	f.RetryMax, f.RetryMaxWAN = new(0), new(0)
	f.ReconnectTimeout, f.ReconnectWAN = new(72*time.Hour), new(72*time.Hour)
	f.EncryptVerifyIn, f.EncryptVerifyOut = new(true), new(true)
	f.DisableHostNodeID = new(true)
	f.GossipLAN = GossipPool{new(3), new(200 * time.Millisecond), new(time.Second), new(500 * time.Millisecond), new(4), new(4)}
	f.GossipWAN = GossipPool{new(3), new(500 * time.Millisecond), new(5 * time.Second), new(3 * time.Second), new(6), new(4)}
	raftDefaults(f)
	dnsDefaults(f)
	httpDefaults(f)
	registratorDefaults(f)
	f.UpdateInterval, f.OutputMaxSize = new(5*time.Minute), new(4096)
	f.Level, f.RotateDuration, f.SyslogFacility = new("INFO"), new(24*time.Hour), new("LOCAL0")
	f.RotateBytes, f.RotateMaxFiles = new(0), new(0)
	f.Telemetry.Prefix, f.Telemetry.FilterDefault = new("consul"), new(true)
	f.Telemetry.PrometheusRetained, f.Telemetry.RetryFailed = new(time.Minute), new(true)
	f.DisableRemoteExec = new(true)
	f.UseStreaming, f.RPC.EnableStreaming = new(true), new(true)
	return f
}

func raftDefaults(f *File) {
	f.Performance = PerformanceKeys{new(1), new(5 * time.Second), new(7 * time.Second)}
	f.RaftProtocol, f.SnapshotThreshold, f.TrailingLogs = new(3), new(16384), new(10240)
	f.SnapshotInterval = new(30 * time.Second)
	f.LogStore.Backend, f.LogStore.WAL.SegmentSizeMB = new("default"), new(64)
	f.SessionTTLMin, f.TombstoneTTL = new(10*time.Second), new(15*time.Minute)
	f.RejoinAgeMax = new(168 * time.Hour)
	f.Autopilot = AutopilotKeys{
		CleanupDeadServers: new(true), LastContactThreshold: new(200 * time.Millisecond),
		MaxTrailingLogs: new(250), MinQuorum: new(0), ServerStabilizationTime: new(10 * time.Second),
	}
}

func dnsDefaults(f *File) {
	f.Domain = new("consul")
	f.DNS.Zone = ZoneKeys{
		AllowStale: new(true), MaxStale: new(87600 * time.Hour), NodeTTL: new(time.Duration(0)),
		ServiceTTL: map[string]time.Duration{"*": 0}, NegTTL: new(time.Duration(0)),
		EmptyService: new("nxdomain"), Truncate: new("auto"), ARecordLimit: new(0),
		SRVWeightScale: new(1), ShortNames: new(true),
		ShortNamesExclude: []string{"wpad", "isatap", "localhost"},
		SOA:               SOAKeys{Refresh: new(3600), Retry: new(600), Expire: new(86400)},
	}
	f.DNS.Forward = ForwardKeys{
		ResolvConf: new("/etc/resolv.conf"), RecursorStrategy: new("fastest"),
		RecursorTimeout: new(3800 * time.Millisecond),
		BogusPriv:       new(true), DomainNeeded: new(true), LoopProbe: new(true),
	}
	f.DNS.Cache = CacheKeys{
		CacheEntries: new(10000), CacheBytes: new(16 << 20), CacheMaxTTL: new(time.Hour),
		CacheMinTTL: new(time.Duration(0)), CacheMaxNeg: new(15 * time.Minute), CacheStale: new(24 * time.Hour),
	}
	f.DNS.Limits = DNSLimitKeys{new(1000), new(200), new(512), new(200)}
	f.DNS.Static.TTL = new(time.Duration(0))
}

func httpDefaults(f *File) {
	f.HTTP.UseCache, f.HTTP.MaxHeaderBytes = new(true), new(0)
	f.DefaultQueryTime, f.MaxQueryTime = new(300*time.Second), new(600*time.Second)
	f.HTTPKeys.MaxStale = new(time.Duration(0))
	f.UI.ContentPath = new("/ui/")
	f.Limits = LimitKeys{
		HTTPMaxConns: new(200), HTTPMaxConnsAll: new(0), HTTPSHandshake: new(5 * time.Second), RPCHandshake: new(5 * time.Second),
		RPCClientTimeout: new(time.Minute), RPCRate: new(-1.0), RPCMaxBurst: new(1000), RPCMaxConns: new(100),
		KVMaxValueSize: new(512 << 10), TxnMaxReqLen: new(512 << 10),
		Request: RequestLimitKeys{new("disabled"), new(-1.0), new(-1.0)},
	}
	f.TLS.Defaults.MinVersion = new("TLSv1_2")
	f.ACL = ACLKeys{
		DefaultPolicy: new("allow"), DownPolicy: new("extend-cache"),
		TokenTTL: new(30 * time.Second), PolicyTTL: new(30 * time.Second), RoleTTL: new(30 * time.Second),
	}
}

func registratorDefaults(f *File) {
	r := &f.Registrator
	r.Enabled, r.Profile = new(true), new("native")
	r.DefaultName, r.NamePortSuffix, r.EnvMeta = new("auto"), new("multi"), new("filtered")
	r.AllowCustomID = new(true)
	r.AddressMode, r.AddressFamily = new("published"), new("ipv4")
	r.Loopback, r.HostModePorts = new("skip"), new("declared")
	r.DockerHealth, r.HealthStarting, r.AllowExecChecks = new("auto"), new("critical"), new(true)
	r.Resync, r.FullInspect = new(Seconds(30*time.Second)), new(Seconds(5*time.Minute))
	r.Cleanup, r.Deregister, r.DeregisterOnStop = new(true), new("always"), new(true)
	r.Drain, r.TTL, r.TTLRefresh = new(Seconds(0)), new(Seconds(0)), new(Seconds(0))
	r.RetryAttempts, r.RetryInterval = new(-1), new(Millis(2*time.Second))
	r.DeadTTL, r.RestartGrace, r.FlapDamping = new(Seconds(time.Hour)), new(Seconds(time.Minute)), new(true)
	r.Docker, r.TLSVerify = new("auto"), new(true)
}

// devLayer is what -dev changes: one server on the loopback that keeps nothing.
func devLayer() *File {
	f := new(File)
	f.BindAddr, f.Server, f.Bootstrap = new("127.0.0.1"), new(true), new(true)
	f.DisableKeyringFile, f.EnableDebug, f.UI.Enabled = new(true), new(true), new(true)
	for _, g := range []*GossipPool{&f.GossipLAN, &f.GossipWAN} {
		g.GossipInterval, g.ProbeInterval = new(100*time.Millisecond), new(100*time.Millisecond)
		g.ProbeTimeout, g.SuspicionMult = new(100*time.Millisecond), new(3)
	}
	return f
}

// compatLayer are gliderlabs/registrator's defaults.
func compatLayer() *File {
	f := new(File)
	r := &f.Registrator
	r.Loopback, r.DefaultName = new("host"), new("image")
	r.HostModePorts, r.RetryAttempts = new("exposed"), new(0)
	r.DeregisterOnStop = new(false)
	return f
}
