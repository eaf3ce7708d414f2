package store

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"time"

	"berth"
	"berth/internal/sockets"
	"berth/store/gossip"
	"berth/store/transport"
)

// Config of a Store. The zero value of a field that is not required means its default.
type Config struct {
	Logger     *slog.Logger
	NodeName   string // required
	NodeID     string // UUID; "": from DataDir/node-id, made when missing
	Datacenter string // "" is dc1
	DataDir    string // "": everything in memory
	Version    string // berth's version, shown to others

	// Fatal is called when the server's log is damaged, or of a version that this one cannot read, with
	// what to do about it. The server cannot go on: it does not return. nil: panics.
	Fatal func(error)

	Server          bool
	NonVoter        bool // a server that never votes
	BootstrapExpect int  // servers to wait for before the first election; 1: elect at once

	Net  NetConfig
	Join JoinConfig
	Raft RaftConfig

	NodeMeta        map[string]string
	TaggedAddresses map[string]string // added to lan and wan

	EncryptKey     string        // base64 gossip key; "": clear text everywhere
	TLS            transport.TLS // overrides what EncryptKey gives on the server port
	Gossip         GossipConfig
	Limits         Limits
	RejoinAfter    bool // rejoin known members even after a leave
	NoCoordinates  bool
	ReconnectAfter time.Duration // how long a failed member is remembered, default 72 h
	TombstoneAfter time.Duration // how long a left member is remembered, default 24 h
	LeaveDelay     time.Duration // how long a leave is given to spread, default 1 s

	HoldTimeout       time.Duration          // how long a request waits for a leader, default 7 s
	ReconcileInterval time.Duration          // leader's full pass over the members, default 60 s
	SessionTTLMin     time.Duration          // default 10 s
	TombstoneTTL      time.Duration          // how long deleted KV keys hold their index, default 15 min
	Autopilot         *berth.AutopilotConfig // first autopilot settings of a new cluster
}

// NetConfig says where the store listens and what it tells others.
type NetConfig struct {
	BindAddr         string // "" is 0.0.0.0
	AdvertiseAddr    string // "": BindAddr, or a private address of this host
	AdvertiseAddrWAN string // "": AdvertiseAddr
	ServerPort       int    // 0 any, -1 none (clients only)
	LANPort          int    // 0 any
	WANPort          int    // 0 any, -1 no WAN pool
	BindLAN, BindWAN string // of gossip; "": BindAddr

	AllowedLAN, AllowedWAN []netip.Prefix // networks that members may be in; empty: all

	// Drop says whether what this store sends to addr is lost; for tests.
	Drop func(addr string) bool
}

// GossipConfig tunes the gossip pools.
type GossipConfig struct {
	LAN, WAN gossip.Timing

	// On the way to an encrypted cluster: with EncryptKey set, clear text is still taken in, and
	// sent out, by gossip and on the server port.
	TakeClear, SendClear bool

	NoKeyringFile     bool          // keep no keys in DataDir
	ReconnectAfterWAN time.Duration // how long a failed member of the WAN pool is remembered; 0: ReconnectAfter
	// ReconnectIn is how long the others shall remember this agent after it failed, in whole
	// seconds; 0: as they remember all.
	ReconnectIn time.Duration
}

// JoinConfig names the agents to meet.
type JoinConfig struct {
	LAN      []string      // host, host:port; looked up again at each try, for ever
	WAN      []string      // servers only
	Interval time.Duration // between tries, default 30 s
	// IntervalWAN is the same for WAN; 0: Interval.
	IntervalWAN time.Duration
	Max         int // give up after so many failed tries; 0: never
	MaxWAN      int
}

// RaftConfig tunes raft.
type RaftConfig struct {
	Multiplier        int           // 1 (default) to 10: scales the timeouts
	SnapshotThreshold uint64        // entries between snapshots, default 16384
	SnapshotInterval  time.Duration // default 30 s
	TrailingLogs      uint64        // entries kept after a snapshot, default 10240
	NoPreVote         bool          // elections without a vote before the vote
	SegmentBytes      int           // size of a file of the log, default 64 MiB
}

// Default ports.
const (
	DefaultServerPort = 8300
	DefaultLANPort    = 8301
	DefaultWANPort    = 8302
)

var (
	validDatacenter = regexp.MustCompile(`^[a-z0-9_-]+$`)
	errNoName       = errors.New("node name is empty: set node_name")
)

// complete checks the configuration, fills in defaults and chooses the addresses.
func (c *Config) complete() error {
	if c.Logger == nil {
		return errors.New("store: Config.Logger is nil")
	}
	if c.NodeName == "" {
		return errNoName
	}
	setDefault(&c.Datacenter, "dc1")
	if !validDatacenter.MatchString(c.Datacenter) {
		return fmt.Errorf("datacenter %q: use lower-case letters, digits, - and _ only", c.Datacenter)
	}
	if c.BootstrapExpect > 0 && !c.Server {
		return errors.New("bootstrap_expect is for servers only: remove it or set server")
	}
	if c.BootstrapExpect < 0 {
		return fmt.Errorf("bootstrap_expect %d: use the number of servers, 1 or more", c.BootstrapExpect)
	}
	if c.Raft.Multiplier < 0 || c.Raft.Multiplier > 10 {
		return fmt.Errorf("raft_multiplier %d: use 1 to 10", c.Raft.Multiplier)
	}
	setDefault(&c.Raft.Multiplier, 1)
	setDefault(&c.Raft.SnapshotThreshold, 16384)
	setDefault(&c.Raft.SnapshotInterval, 30*time.Second)
	setDefault(&c.Raft.TrailingLogs, 10240)
	setDefault(&c.Raft.SegmentBytes, 64<<20)
	setDefault(&c.Join.Interval, 30*time.Second)
	setDefault(&c.Join.IntervalWAN, c.Join.Interval)
	setDefault(&c.ReconnectAfter, 72*time.Hour)
	setDefault(&c.Gossip.ReconnectAfterWAN, c.ReconnectAfter)
	if r := c.Gossip.ReconnectIn; r != 0 && r < time.Second {
		return fmt.Errorf("advertise_reconnect_timeout %v: use 1s or more", r)
	}
	setDefault(&c.TombstoneAfter, 24*time.Hour)
	setDefault(&c.LeaveDelay, time.Second)
	setDefault(&c.HoldTimeout, 7*time.Second)
	setDefault(&c.ReconcileInterval, time.Minute)
	setDefault(&c.SessionTTLMin, 10*time.Second)
	setDefault(&c.TombstoneTTL, 15*time.Minute)
	return c.Net.complete()
}

func (n *NetConfig) complete() error {
	setDefault(&n.BindAddr, "0.0.0.0")
	bind, err := netip.ParseAddr(n.BindAddr)
	if err != nil {
		return fmt.Errorf("bind address %q is not an IP address: %w", n.BindAddr, err)
	}
	if n.AdvertiseAddr == "" {
		n.AdvertiseAddr = n.BindAddr
		if bind.IsUnspecified() {
			a, err := sockets.PrivateAddr()
			if err != nil {
				return err
			}
			n.AdvertiseAddr = a.String()
		}
	}
	setDefault(&n.BindLAN, n.BindAddr)
	setDefault(&n.BindWAN, n.BindAddr)
	setDefault(&n.AdvertiseAddrWAN, n.AdvertiseAddr)
	for _, a := range []*string{&n.AdvertiseAddr, &n.AdvertiseAddrWAN} {
		ip, err := netip.ParseAddr(*a)
		if err != nil {
			r, rerr := net.ResolveIPAddr("ip", *a)
			if rerr != nil {
				return fmt.Errorf("advertise address %q is neither an IP address nor a name that resolves: %w", *a, rerr)
			}
			ip, _ = netip.AddrFromSlice(r.IP)
		}
		if ip = ip.Unmap(); ip.IsUnspecified() {
			return fmt.Errorf("advertise address %q cannot be reached by others: set advertise_addr to this host's address", *a)
		}
		*a = ip.String()
	}
	return nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
