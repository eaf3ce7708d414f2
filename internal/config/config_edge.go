package config

import (
	"net/netip"
	"time"
)

// DNS is about port 53.
type DNS struct {
	Domain    string // without the final dot
	AltDomain string

	Zone    Zone
	Forward Forward
	Static  Static
	Cache   Cache

	AllowFrom     []netip.Prefix // empty: loopback and private networks
	DropRefused   bool
	Reassert      bool // of what `berth host install` wrote
	RateLimit     int  // answers a second for a network that is not local; -1: no limit
	MaxConcurrent int
	MaxPerClient  int
	MaxTCP        int
	LogQueries    bool
}

// Zone is how catalog names are answered.
type Zone struct {
	MaxStale          time.Duration
	NodeTTL           time.Duration
	ServiceTTL        map[string]time.Duration
	NegTTL            time.Duration
	OnlyPassing       bool
	EmptyService      string
	Truncate          string
	ARecordLimit      int
	NodeMetaTXT       bool
	SRVWeightScale    int
	ShortNames        bool
	ShortNamesExclude []string
	Zones             []string
}

// Forward is where other names go.
type Forward struct {
	Upstreams    []string // ip or ip:port; empty: those of ResolvConf
	ResolvConf   string   // "": nothing is forwarded without Upstreams
	Policy       string
	Timeout      time.Duration
	SourcePorts  [2]int // lowest and highest; 0: any
	Domains      []DomainUpstreams
	LocalZones   []string
	BogusPriv    bool
	DomainNeeded bool
	ForwardANY   bool
	FilterAAAA   bool
	StopRebind   bool
	LoopProbe    bool
}

// DomainUpstreams are a domain's own upstreams; none: the domain is local.
type DomainUpstreams struct {
	Domain  string
	Servers []string
}

// Static are the administrator's own records.
type Static struct {
	Hosts      map[string][]netip.Addr
	Addresses  map[string][]netip.Addr
	CNAMEs     map[string]string
	TXTs       map[string][]string
	PTRs       map[string]string
	SRVs       []SRV
	HostsFiles []string
	Expand     string
	TTL        time.Duration
}

// SRV is a static SRV record.
type SRV struct {
	Name, Target           string
	Port, Priority, Weight uint16
}

// Cache bounds the cache of forwarded answers.
type Cache struct {
	Entries        int // -1: no cache
	Bytes          int
	MaxTTL, MinTTL time.Duration
	MaxNeg         time.Duration
	Stale          time.Duration
}

// HTTP is about the API.
type HTTP struct {
	BlockEndpoints   []string
	AllowWriteFrom   []netip.Prefix // empty: all
	Headers          map[string]string
	UseCache         bool
	MaxHeaderBytes   int
	DefaultQueryTime time.Duration
	MaxQueryTime     time.Duration
	MaxStale         time.Duration // of default reads; 0: from the leader
	Debug            bool
	PrintableOnly    bool
	UI               bool
	UIDir            string // "": the built-in one
}

// Limits bound what clients may do.
type Limits struct {
	HTTPMaxConns     int
	HTTPMaxConnsAll  int // 0: no limit
	HTTPSHandshake   time.Duration
	RPCHandshake     time.Duration
	RPCClientTimeout time.Duration
	RPCRate          float64 // -1: no limit
	RPCMaxBurst      int
	RPCMaxConns      int
	KVMaxValueSize   int
	TxnMaxReqLen     int
	RequestMode      string
	ReadRate         float64 // -1: no limit
	WriteRate        float64
}

// TLS holds a block for each listener.
type TLS struct {
	RPC   TLSConfig
	HTTPS TLSConfig
}

// TLSConfig is the TLS of one listener, and of connections to its like.
type TLSConfig struct {
	CAFile, CAPath       string
	CertFile, KeyFile    string
	MinVersion           string
	CipherSuites         []string
	VerifyIncoming       bool
	VerifyOutgoing       bool
	VerifyServerHostname bool
}

// ACL is access control, which this version does not have.
type ACL struct {
	DefaultPolicy string
}

// Registrator says how containers become services.
type Registrator struct {
	Enabled bool
	Profile string // native or registrator
	Names   RegistratorNaming
	Addrs   RegistratorAddressing
	Health  RegistratorChecks
	Runs    RegistratorTiming
	Docker  Docker
}

// RegistratorNaming chooses containers, names and metadata.
type RegistratorNaming struct {
	Explicit       bool
	Tags           string // template
	Constraint     string
	DefaultName    string
	NamePortSuffix string
	EnvMeta        string
	AllowCustomID  bool

	AllowNames        []string // patterns; empty: all
	AutoTags          bool
	AllowTagTemplates bool
	Kubernetes        bool
}

// RegistratorAddressing chooses addresses and ports.
type RegistratorAddressing struct {
	IP              string
	Internal        bool
	IPFromContainer bool
	UseIPFromLabel  string
	Mode            string // published, internal or auto
	Networks        []string
	Family          string
	Loopback        string
	HostModePorts   string
	AllBindings     bool
}

// RegistratorChecks says how health is found.
type RegistratorChecks struct {
	Docker            string // auto or off
	Starting          string // status
	AllowScriptChecks bool
	AllowExecChecks   bool
	AllowTemplateHTTP bool
	AllowTargets      bool // checks may name addresses that are not the container's
}

// RegistratorTiming is about when to look and when to remove.
type RegistratorTiming struct {
	Resync           time.Duration
	FullInspect      time.Duration
	Deregister       string
	DeregisterOnStop bool
	Drain            time.Duration
	DeadTTL          time.Duration
	RestartGrace     time.Duration
	FlapDamping      bool
	LeaveOnExit      bool
}

// Docker says where the engine is.
type Docker struct {
	Endpoint               string // "": look for it
	TLSCA, TLSCert, TLSKey string
	TLSVerify              bool
}
