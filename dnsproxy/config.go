package dnsproxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"berth"
	"berth/dnsproxy/socket"
)

// View is one consistent picture of the catalog in local memory. No method blocks.
type View interface {
	// Index is the raft index of the picture.
	Index() uint64
	// Synced is false until the replica was filled once.
	Synced() bool
	// Service gives all instances of a lower-cased service name, whatever their health.
	Service(name string) []*berth.HealthEntry
	// ServiceExists tells whether the lower-cased name has any instance.
	ServiceExists(name string) bool
	// Node finds a node by name, in any case.
	Node(name string) (*berth.Node, bool)
	// Servers are the nodes of service "consul", for NS answers.
	Servers() []*berth.Node
	// Addr is what an address belongs to, nodes first.
	Addr(ip netip.Addr) []berth.Name
	// Lag is how long ago the replica heard from its source.
	Lag() time.Duration
}

// Remote asks other datacenters. Its methods may block until ctx ends. berth.ErrNoPath says
// that the datacenter is unknown. Query is for the local datacenter too; a query that does not
// exist is a nil result, or a berth.InvalidError with status 404.
type Remote interface {
	Service(ctx context.Context, dc, name string) ([]*berth.HealthEntry, error)
	Node(ctx context.Context, dc, name string) (*berth.Node, error)
	Query(ctx context.Context, dc, name string, source netip.Addr) (*berth.QueryResult, error)
}

// Config is everything a Server needs to know. Durations are rounded down to seconds where
// they become TTLs.
type Config struct {
	Logger *slog.Logger
	View   func() View // called once per rebuilt answer
	Remote Remote      // nil: no other datacenters, no prepared queries

	// Addrs are ip:port, UDP and TCP each, bound by New. A wildcard stands for all addresses of
	// the host, each bound on its own, those that come later too.
	Addrs []string
	// OptionalAddrs may be missing on this host now: they are bound when they can be and
	// tried again every few seconds (docker bridges come and go). name:port stands for what the
	// interface of that name has.
	OptionalAddrs []string

	Datacenter    string
	NodeName      string
	AdvertiseAddr netip.Addr // what ns.<domain> resolves to

	Zone    ZoneConfig
	Forward ForwardConfig
	Static  StaticConfig
	Cache   CacheConfig
	Access  AccessConfig
	Limits  Limits

	QueryLog bool // initial state of the query log; SetQueryLog switches it
	// QueryLogger takes the query log at level Info; nil: Logger, at level Debug.
	QueryLogger *slog.Logger
}

// What to answer for a service that exists but has no healthy instance.
const (
	EmptyNXDOMAIN  = "nxdomain"
	EmptyNODATA    = "nodata"
	EmptyLastKnown = "last_known"
)

// When a cut UDP answer carries the TC bit.
const (
	TruncateAuto   = "auto"
	TruncateAlways = "always"
	TruncateNever  = "never"
)

// ZoneConfig is how catalog names are answered (Consul's dns_config).
type ZoneConfig struct {
	Domain            string   // default "consul"
	AltDomain         string   // second suffix, may be empty
	Zones             []string // possible SOA owners below the domain, besides the domain itself
	NodeTTL           time.Duration
	ServiceTTL        map[string]time.Duration // exact name, "prefix*" or "*"
	NegTTL            time.Duration            // SOA minimum
	OnlyPassing       bool                     // leave out instances in warning
	EmptyService      string                   // default EmptyNXDOMAIN
	Truncate          string                   // default TruncateAuto
	ARecordLimit      int                      // 0: no limit
	MaxStale          time.Duration            // answers stop when the replica is older; 0: never
	NodeMetaTXT       bool                     // node metadata as TXT in ADDITIONAL
	SRVWeightScale    int                      // 0 is 1
	NoShortNames      bool                     // do not answer single-label names
	ShortNamesExclude []string                 // default wpad, isatap, localhost
}

// Policies of choosing among upstreams.
const (
	PolicyFastest    = "fastest"
	PolicySequential = "sequential"
	PolicyRoundRobin = "round_robin"
	PolicyAll        = "all"
)

// ForwardConfig is where other names go.
type ForwardConfig struct {
	Upstreams  []string       // ip, ip:port or [ip]:port, each with @source if need be; overrides ResolvConf
	ResolvConf string         // file watched for nameserver lines; "" with no Upstreams: forward nothing
	Domains    []DomainConfig // per-domain upstreams, longest match wins
	LocalZones []string       // never forwarded; unknown names are NXDOMAIN
	Policy     string         // default PolicyFastest
	// NoBogusPriv forwards reverse look-ups of private addresses.
	NoBogusPriv bool
	// NoDomainNeeded forwards single-label names.
	NoDomainNeeded bool
	// ForwardANY passes ANY questions on instead of answering HINFO (RFC 8482).
	ForwardANY bool
	// FilterAAAA answers NODATA to forwarded AAAA questions.
	FilterAAAA bool
	// StopRebind empties forwarded answers that contain private addresses.
	StopRebind bool
	// NoLoopProbe leaves out the active probe for forwarding loops.
	NoLoopProbe bool
	// SourcePorts is where UDP questions are sent from; the zero value is any port.
	SourcePorts PortRange
	// Timeout of one question over all upstreams; default 3.8 s.
	Timeout time.Duration
}

// DomainConfig sends a domain and all below it to its own upstreams. Servers may be empty:
// then the domain is local. The server "#" stands for the default upstreams.
type DomainConfig struct {
	Domain  string
	Servers []string
}

// StaticConfig is data of the administrator; it is answered before anything else.
type StaticConfig struct {
	Hosts      map[string][]netip.Addr // host records, forward and reverse
	Addresses  map[string][]netip.Addr // whole subtree; no address: NXDOMAIN
	CNAMEs     map[string]string
	SRVs       map[string][]SRV
	TXTs       map[string][]string
	PTRs       map[string]string // reverse name or address -> name
	HostsFiles []string          // in /etc/hosts format, files or directories; read again on change
	Expand     string            // domain added to plain names of hosts files; "" for none
	TTL        time.Duration
}

// SRV is a static SRV record.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string
}

// CacheConfig bounds the cache of forwarded answers.
type CacheConfig struct {
	Entries  int           // default 10000; negative: no cache
	Bytes    int           // default 16 MiB
	MaxTTL   time.Duration // default 1 h
	MinTTL   time.Duration // default 0
	MaxNeg   time.Duration // default 15 min
	StaleFor time.Duration // how long an expired entry may stand in; default 24 h, negative: never
	// StaleAfter is how long a client waits for upstreams before it is given an expired entry;
	// default 1.8 s.
	StaleAfter time.Duration
}

// AccessConfig says who may ask.
type AccessConfig struct {
	// Allow is by default loopback, private, unique-local and link-local networks, docker's
	// bridges, and this host itself.
	Allow []netip.Prefix
	Drop  bool // say nothing to others; default is REFUSED
	// RRLPerSecond answers per client /24 or /56 and second, not for loopback; default 200 per
	// second for clients that are not local, negative: no limit.
	RRLPerSecond int
}

// Limits against floods.
type Limits struct {
	Concurrent          int // forwarded questions in flight; default 1000
	PerClient           int // of these, per client address; default 200
	Waiters             int // per identical question; default 256
	TCPConns            int // default 512
	TCPConnsPerAddr     int // default 32
	TCPConnsPerLoopback int // default 256
}

// fill puts defaults into what is zero and reports everything that cannot work.
func (c *Config) fill() error {
	var bad []string
	fail := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if c.Logger == nil {
		fail("Logger is missing")
	}
	if c.View == nil {
		fail("View is missing")
	}
	if c.Datacenter == "" {
		c.Datacenter = "dc1"
	}
	c.Zone.fill(fail)
	c.Forward.fill(fail)
	def(&c.Cache.Entries, 10000)
	def(&c.Cache.Bytes, 16<<20)
	def(&c.Cache.MaxTTL, time.Hour)
	def(&c.Cache.MaxNeg, 15*time.Minute)
	def(&c.Cache.StaleFor, 24*time.Hour)
	def(&c.Cache.StaleAfter, 1800*time.Millisecond)
	def(&c.Access.RRLPerSecond, 200)
	def(&c.Limits.Concurrent, 1000)
	def(&c.Limits.PerClient, 200)
	def(&c.Limits.Waiters, 256)
	def(&c.Limits.TCPConns, 512)
	def(&c.Limits.TCPConnsPerAddr, 32)
	def(&c.Limits.TCPConnsPerLoopback, 256)
	if len(bad) > 0 {
		return fmt.Errorf("dns configuration: %s", strings.Join(bad, "; "))
	}
	return nil
}

func (z *ZoneConfig) fill(fail func(string, ...any)) {
	if z.Domain == "" {
		z.Domain = "consul"
	}
	for _, d := range append([]string{z.Domain, z.AltDomain}, z.Zones...) {
		if _, ok := packName(d); !ok {
			fail("%q is not a domain name", d)
		}
	}
	def(&z.EmptyService, EmptyNXDOMAIN)
	switch z.EmptyService {
	case EmptyNXDOMAIN, EmptyNODATA, EmptyLastKnown:
	default:
		fail("empty_service %q: use nxdomain, nodata or last_known", z.EmptyService)
	}
	def(&z.Truncate, TruncateAuto)
	switch z.Truncate {
	case TruncateAuto, TruncateAlways, TruncateNever:
	default:
		fail("truncate %q: use auto, always or never", z.Truncate)
	}
	def(&z.SRVWeightScale, 1)
	if z.SRVWeightScale < 1 || z.SRVWeightScale > 65535 {
		fail("srv_weight_scale %d: use 1 to 65535", z.SRVWeightScale)
	}
	if z.ARecordLimit < 0 {
		fail("a_record_limit %d: use 0 (no limit) or more", z.ARecordLimit)
	}
	if z.ShortNamesExclude == nil {
		z.ShortNamesExclude = []string{"wpad", "isatap", "localhost"}
	}
}

func (f *ForwardConfig) fill(fail func(string, ...any)) {
	def(&f.Policy, PolicyFastest)
	switch f.Policy {
	case PolicyFastest, PolicySequential, PolicyRoundRobin, PolicyAll:
	default:
		fail("upstream policy %q: use fastest, sequential, round_robin or all", f.Policy)
	}
	def(&f.Timeout, 3800*time.Millisecond)
	if p := f.SourcePorts; p.Min > p.Max || p.Min == 0 && p.Max > 0 {
		fail("source ports %d to %d: use 1 to 65535, the lower one first", p.Min, p.Max)
	}
	for _, s := range f.Upstreams {
		if _, err := parseEndpoint(s); err != nil {
			fail("%v", err)
		}
	}
	for _, d := range f.Domains {
		if _, ok := packName(d.Domain); !ok {
			fail("upstream domain %q is not a domain name", d.Domain)
		}
		for _, s := range d.Servers {
			if _, err := parseEndpoint(s); err != nil && s != "#" {
				fail("upstream of %q: %v", d.Domain, err)
			}
		}
	}
	for _, d := range f.LocalZones {
		if _, ok := packName(d); !ok {
			fail("local zone %q is not a domain name", d)
		}
	}
}

// def sets *p to v when it is zero.
func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// localNets are the networks that may ask by default: private ones, this host under all its
// addresses, and docker's bridges whatever their range.
func localNets() []netip.Prefix {
	nets := append(socket.HostNets(), socket.BridgeNets()...)
	for _, s := range []string{
		"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
		"169.254.0.0/16", "fc00::/7", "fe80::/10",
	} {
		nets = append(nets, netip.MustParsePrefix(s))
	}
	return nets
}
