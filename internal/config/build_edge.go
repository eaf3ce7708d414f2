package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

func (b *builder) dns() {
	f, z, fw := b.file, b.file.DNS.Zone, b.file.DNS.Forward
	d := DNS{
		Domain: strings.Trim(val(f.Domain), "."), AltDomain: strings.Trim(val(f.AltDomain), "."),
		Zone: Zone{
			MaxStale: val(z.MaxStale), NodeTTL: val(z.NodeTTL), ServiceTTL: z.ServiceTTL, NegTTL: val(z.NegTTL),
			OnlyPassing: val(z.OnlyPassing), EmptyService: val(z.EmptyService), Truncate: val(z.Truncate),
			ARecordLimit: val(z.ARecordLimit), NodeMetaTXT: val(z.NodeMetaTXT), SRVWeightScale: val(z.SRVWeightScale),
			ShortNames: val(z.ShortNames), ShortNamesExclude: z.ShortNamesExclude, Zones: z.Zones,
		},
		Forward: Forward{
			Upstreams: b.upstreams("recursors", f.Recursors), ResolvConf: val(fw.ResolvConf),
			Policy: val(fw.RecursorStrategy), Timeout: val(fw.RecursorTimeout),
			SourcePorts: [2]int{val(fw.SourcePortMin), val(fw.SourcePortMax)}, LocalZones: fw.LocalZones,
			BogusPriv: val(fw.BogusPriv), DomainNeeded: val(fw.DomainNeeded), ForwardANY: val(fw.ForwardANY),
			FilterAAAA: val(fw.FilterAAAA), StopRebind: val(fw.StopRebind), LoopProbe: val(fw.LoopProbe),
		},
		AllowFrom:   b.prefixes("dns_config.allow_from", fw.AllowFrom),
		DropRefused: val(fw.RefuseSilently), Reassert: val(fw.Reassert), LogQueries: val(fw.LogQueries),
		MaxConcurrent: val(f.DNS.Limits.Concurrent), MaxPerClient: val(f.DNS.Limits.PerClient),
		MaxTCP: val(f.DNS.Limits.TCPConns), RateLimit: val(f.DNS.Limits.RRLPerSecond),
	}
	c := f.DNS.Cache
	d.Cache = Cache{
		val(c.CacheEntries), val(c.CacheBytes), val(c.CacheMaxTTL), val(c.CacheMinTTL), val(c.CacheMaxNeg), val(c.CacheStale),
	}
	if val(z.EnableTruncate) && b.user.DNS.Zone.Truncate == nil {
		d.Zone.Truncate = "always"
	}
	if n := val(z.SOA.MinTTL); n > 0 && b.user.DNS.Zone.NegTTL == nil {
		d.Zone.NegTTL = time.Duration(n) * time.Second
	}
	if d.Forward.Policy == "random" {
		d.Forward.Policy = "round_robin"
	}
	for i, own := range fw.Domains {
		if val(own.Domain) == "" {
			b.fail("dns_config.upstreams[%d]: domain is missing", i)
			continue
		}
		key := "dns_config.upstreams." + val(own.Domain)
		b.names(key, val(own.Domain))
		servers := own.Servers
		if !slices.Equal(servers, []string{"#"}) {
			servers = b.upstreams(key, servers)
		}
		d.Forward.Domains = append(d.Forward.Domains, DomainUpstreams{val(own.Domain), servers})
	}
	b.names("dns_config.local_zones", fw.LocalZones...)
	b.names("dns_config.zones", z.Zones...)
	d.Static = b.static()
	b.cfg.DNS = d
}

// upstreams expands templates and checks that each is an address, with or without a port.
func (b *builder) upstreams(key string, texts []string) []string {
	var list []string
	for _, text := range texts {
		for s := range strings.FieldsSeq(b.expand(key, text)) {
			to, from, sourced := strings.Cut(s, "@")
			if _, err := netip.ParseAddr(from); sourced && err != nil {
				b.fail("%s: %q has no IP address of this host behind @", key, s)
			}
			ap, errPort := netip.ParseAddrPort(strings.Replace(to, "#", ":", 1))
			_, errAddr := netip.ParseAddr(strings.Trim(to, "[]"))
			if (errPort != nil || ap.Port() == 0) && errAddr != nil {
				b.fail("%s: %q is not an IP address, with :port if it is not 53", key, s)
			}
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list
}

func (b *builder) static() Static {
	k := b.file.DNS.Static
	s := Static{
		Hosts: b.addrMap("hosts", k.Hosts), Addresses: b.addrMap("addresses", k.Addresses), CNAMEs: k.CNAMEs,
		TXTs: k.TXTs, PTRs: k.PTRs, HostsFiles: k.HostsFiles, Expand: strings.Trim(val(k.Expand), "."), TTL: val(k.TTL),
	}
	if s.Expand != "" {
		b.names("dns_config.static.expand_hosts", s.Expand)
	}
	b.names("dns_config.static.hosts", slices.Collect(maps.Keys(k.Hosts))...)
	b.names("dns_config.static.addresses", slices.Collect(maps.Keys(k.Addresses))...)
	b.names("dns_config.static.txt", slices.Collect(maps.Keys(k.TXTs))...)
	for key, m := range map[string]map[string]string{"dns_config.static.cnames": k.CNAMEs, "dns_config.static.ptr": k.PTRs} {
		b.names(key, slices.Collect(maps.Keys(m))...)
		b.names(key, slices.Collect(maps.Values(m))...)
	}
	for i, r := range k.SRVs {
		if val(r.Name) == "" || val(r.Target) == "" {
			b.fail("dns_config.static.srv[%d]: name and target are needed", i)
			continue
		}
		key := fmt.Sprintf("dns_config.static.srv[%d]", i)
		b.names(key, val(r.Name))
		if val(r.Target) != "." { // there is no such service (RFC 2782)
			b.names(key, val(r.Target))
		}
		for name, n := range map[string]int{"port": val(r.Port), "priority": val(r.Priority), "weight": val(r.Weight)} {
			if n < 0 || n > 65535 {
				b.fail("dns_config.static.srv[%d].%s: %d is not within 0 to 65535", i, name, n)
			}
		}
		s.SRVs = append(s.SRVs, SRV{
			val(r.Name), val(r.Target), uint16(val(r.Port)), uint16(val(r.Priority)), uint16(val(r.Weight)),
		})
	}
	return s
}

// names checks that each is a DNS name, and not the root: nothing is said of all names at once.
func (b *builder) names(key string, names ...string) {
	for _, name := range names {
		text := strings.TrimSuffix(name, ".")
		bad := len(text) > 253 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f })
		for label := range strings.SplitSeq(text, ".") {
			bad = bad || len(label) > 63 || label == ""
		}
		if bad {
			b.fail("%s: %q is not a domain name", key, name)
		}
	}
}

func (b *builder) addrMap(key string, texts map[string][]string) map[string][]netip.Addr {
	m := make(map[string][]netip.Addr, len(texts))
	for name, list := range texts {
		m[name] = []netip.Addr{}
		for _, s := range list {
			a, err := netip.ParseAddr(s)
			if err != nil {
				b.fail("dns_config.static.%s: %q of %s is not an IP address", key, s, name)
				continue
			}
			m[name] = append(m[name], a)
		}
	}
	return m
}

func (b *builder) http() {
	f, l := b.file, b.file.Limits
	b.cfg.HTTP = HTTP{
		BlockEndpoints: f.HTTP.BlockEndpoints, AllowWriteFrom: b.prefixes("http_config.allow_write_http_from", f.HTTP.AllowWriteFrom),
		Headers: f.HTTP.Headers, UseCache: val(f.HTTP.UseCache), MaxHeaderBytes: val(f.HTTP.MaxHeaderBytes),
		DefaultQueryTime: val(f.DefaultQueryTime), MaxQueryTime: val(f.MaxQueryTime), MaxStale: val(f.HTTPKeys.MaxStale),
		Debug: val(f.EnableDebug), PrintableOnly: !val(f.NoPrintFilter),
		UI: val(f.UI.Enabled) || val(f.UI.Dir) != "", UIDir: val(f.UI.Dir),
	}
	b.cfg.Limits = Limits{
		HTTPMaxConns: val(l.HTTPMaxConns), HTTPMaxConnsAll: val(l.HTTPMaxConnsAll), HTTPSHandshake: val(l.HTTPSHandshake), RPCHandshake: val(l.RPCHandshake),
		RPCClientTimeout: val(l.RPCClientTimeout), RPCRate: val(l.RPCRate), RPCMaxBurst: val(l.RPCMaxBurst),
		RPCMaxConns: val(l.RPCMaxConns), KVMaxValueSize: val(l.KVMaxValueSize), TxnMaxReqLen: val(l.TxnMaxReqLen),
		RequestMode: val(l.Request.Mode), ReadRate: val(l.Request.ReadRate), WriteRate: val(l.Request.WriteRate),
	}
}
