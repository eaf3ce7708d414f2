package config

import (
	"net/netip"
	"slices"
	"time"

	"berth"
)

// Config is what an agent runs with: complete and valid. It is read-only after Load.
type Config struct {
	Dev         bool
	Node        Node
	Server      Server
	Addrs       Addrs
	Ports       Ports
	Join        Join
	Gossip      Gossip
	Raft        Raft
	DNS         DNS
	HTTP        HTTP
	TLS         TLS
	ACL         ACL
	Limits      Limits
	Checks      Checks
	Definitions Definitions
	Registrator Registrator
	Log         Log
	Telemetry   Telemetry
	Leave       Leave
	AutoReload  bool

	Warnings []string // for the log, once it is open
	Files    []string // configuration files that were read, in order

	sources Sources
	file    *File // all layers merged
}

// Reload reads the same files, environment and flags again.
func (c *Config) Reload() (*Config, error) { return Load(c.sources) }

// AdvertisedOn names the interface that has the advertised address now, "" when the host has it not.
// It asks for the addresses of each interface: for a look every few seconds see InterfaceHas.
func (c *Config) AdvertisedOn() (string, error) {
	h := c.sources.Host
	if h == nil {
		h = machine{}
	}
	all, err := h.Interfaces()
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(all, func(a HostAddr) bool { return a.Addr == c.Addrs.Advertise }); i >= 0 {
		return all[i].Interface, nil
	}
	return "", nil
}

// Node is this agent's identity.
type Node struct {
	Name              string
	ID                string // "": the one kept in DataDir, or a new one
	Datacenter        string
	PrimaryDatacenter string
	Meta              map[string]string
	DataDir           string // "": keep nothing
	PIDFile           string
	TaggedAddresses   map[string]string // given by the user, without lan and wan
	TranslateWANAddrs bool
}

// Server is the agent's part in raft.
type Server struct {
	Enabled         bool
	NonVoter        bool
	BootstrapExpect int // 1: elect at once; 0: be added by others
}

// Addrs are the addresses to listen on and to tell others.
type Addrs struct {
	Bind         netip.Addr
	Client       []netip.Addr
	Advertise    netip.Addr
	AdvertiseWAN netip.Addr
	SerfLAN      netip.Addr
	SerfWAN      netip.Addr

	HTTP  []string // host:port or unix:///path; empty: off
	HTTPS []string
	DNS   []string // host:port; must be bound
	// DNSOptional are bound when they are free and present, and tried again when not; docker0:53 is
	// what that bridge will have.
	DNSOptional []string

	SerfLANAllowed []netip.Prefix // empty: all
	SerfWANAllowed []netip.Prefix
	Unix           UnixSockets
}

// UnixSockets is who owns unix sockets; empty members: as created.
type UnixSockets struct {
	User, Group string
	Mode        string // octal
}

// Ports are the port numbers; -1 is off. DNS is what the user asked for, 0 when nothing.
type Ports struct {
	DNS, HTTP, HTTPS, Server, SerfLAN, SerfWAN int
}

// Join says whom to meet.
type Join struct {
	LAN, WAN         []string
	Interval         time.Duration
	IntervalWAN      time.Duration
	Max, MaxWAN      int // 0: for ever
	RejoinAfterLeave bool
}

// Gossip is about both pools.
type Gossip struct {
	Encrypt              string // base64; "": clear text
	VerifyIncoming       bool
	VerifyOutgoing       bool
	KeyringFile          bool
	Coordinates          bool
	LAN, WAN             Pool
	ReconnectTimeout     time.Duration
	ReconnectTimeoutWAN  time.Duration
	AdvertiseReconnectIn time.Duration // 0: as others have it
}

// Pool is the timing of one gossip pool.
type Pool struct {
	GossipNodes    int
	GossipInterval time.Duration
	ProbeInterval  time.Duration
	ProbeTimeout   time.Duration
	SuspicionMult  int
	RetransmitMult int
}

// Raft tunes raft and the servers' duties.
type Raft struct {
	Multiplier        int
	SnapshotThreshold int
	SnapshotInterval  time.Duration
	TrailingLogs      int
	PreVote           bool
	SegmentSizeMB     int
	HoldTimeout       time.Duration // how long a request waits for a leader
	SessionTTLMin     time.Duration
	TombstoneTTL      time.Duration
	Autopilot         berth.AutopilotConfig
}

// Leave says what ends with leaving the cluster.
type Leave struct {
	OnTerminate bool // SIGTERM
	OnInterrupt bool // SIGINT
	DrainTime   time.Duration
}

// Checks says how checks run.
type Checks struct {
	ScriptsRemote  bool // script checks registered by API may run
	ScriptsLocal   bool // script checks of configuration files may run
	AgentTLS       bool
	UpdateInterval time.Duration
	OutputMaxSize  int
	DiscardOutput  bool
	RemoteExec     bool
}

// Definitions are the services, checks and watches of configuration files.
type Definitions struct {
	Services []berth.ServiceDefinition
	Checks   []berth.CheckDefinition
	Watches  []Watch
}

// Watch runs a handler when what it looks at changes.
type Watch struct {
	Type    string
	Params  map[string]any // key, prefix, service, tag, ...
	Args    []string       // command; empty: HTTP
	HTTP    WatchHTTP
	Timeout time.Duration // of one run of the handler
}

// WatchHTTP is a handler that posts the result.
type WatchHTTP struct {
	URL           string
	Method        string
	Header        map[string][]string
	TLSSkipVerify bool
}

// Log is about the log.
type Log struct {
	Level          string // TRACE, DEBUG, INFO, WARN, ERROR
	JSON           bool
	File           string
	RotateBytes    int
	RotateDuration time.Duration
	RotateMaxFiles int
	Syslog         bool
	SyslogFacility string
}

// Telemetry is about metrics.
type Telemetry struct {
	Prefix              string
	FilterDefault       bool
	AllowPrefixes       []string
	BlockPrefixes       []string
	PrometheusRetention time.Duration // 0: off
	StatsdAddr          string
	StatsiteAddr        string
	DogstatsdAddr       string
	DisableHostname     bool
}
