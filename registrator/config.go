package registrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"

	"berth"
)

// Profiles: sets of defaults.
const (
	ProfileNative      = "native"
	ProfileRegistrator = "registrator" // what gliderlabs/registrator did
)

// Values of Config.Deregister.
const (
	DeregisterAlways    = "always"
	DeregisterOnSuccess = "on-success"
	DeregisterNever     = "never"
)

// Values of Config.AddressMode.
const (
	AddressPublished = "published"
	AddressInternal  = "internal"
	AddressAuto      = "auto"
)

// Values of Config.AddressFamily.
const (
	FamilyIPv4       = "ipv4"
	FamilyIPv6       = "ipv6"
	FamilyDual       = "dual"
	FamilyPreferIPv6 = "prefer-ipv6"
)

// Sink takes the complete set of services that a source wants on this host.
type Sink interface {
	// Replace hands over the complete set that source wants on this host; it never blocks on
	// the network. The definitions are shared: neither side changes them afterwards.
	Replace(source string, desired []berth.ServiceDefinition) error
}

// Config of a Registrator. Logger, Sink, Node and NodeAddress are required; every other zero
// value means the default of the profile. Pointers tell "not set" from false.
type Config struct {
	Logger *slog.Logger
	Sink   Sink
	Node   string // node name, first part of service IDs

	// NodeAddress is this host's routable address now, NodeAddress6 its IPv6 one (may be nil).
	NodeAddress  func() netip.Addr
	NodeAddress6 func() netip.Addr
	// AllowLoopback accepts a loopback node address: a developer's single host.
	AllowLoopback bool

	DataDir string // keeps docker.json; "": nothing is remembered over a restart
	Profile string // native (default) or registrator

	Engine    string // endpoint such as unix:///var/run/docker.sock; "": found as docs/config.md says
	EngineTLS EngineTLS
	Getenv    func(string) string // nil: os.Getenv
	// Dial connects to the engine, Probe to an instance's port while the engine is away; nil: as usual.
	Dial, Probe func(ctx context.Context, network, addr string) (net.Conn, error)

	Resync      time.Duration // list and diff; 0: 30 s
	FullInspect time.Duration // inspect all; 0: 5 min

	IP             string // address of published services instead of the node's
	UseIPFromLabel string // label whose value is the address
	Internal       bool   // legacy form of AddressMode internal
	AddressMode    string // published (default), internal, auto
	AddressFamily  string // ipv4 (default), ipv6, dual, prefer-ipv6
	Networks       []string
	Loopback       string // skip (native) or host: ports published on loopback only
	HostModePorts  string // declared (native) or exposed
	AllBindings    bool   // register each binding of a port
	// IPFromContainer gives published services the container's address instead of the host's; the
	// port stays the published one.
	IPFromContainer bool

	Explicit       bool   // only ports with a NAME
	DefaultName    string // auto (native), image (registrator), compose, container
	NamePortSuffix string // multi (default), always, never, proto
	Constraint     string // which containers are seen
	AllowNames     []string
	AllowCustomID  *bool // default true: IDs outside <node>: are taken
	Kubernetes     bool  // register containers of Kubernetes too

	Tags              string // template or comma list added to all services
	AutoTags          bool
	AllowTagTemplates bool // templates in containers' own SERVICE_TAGS
	AllowTemplateHTTP bool

	EnvMeta string // filtered (default), all, labels, none

	DockerHealth        string // auto (default), off
	HealthStarting      string // critical (default), warning, passing
	AllowScriptChecks   bool
	AllowExecChecks     *bool // default true
	AllowForeignTargets bool  // checks may name addresses other than the instance's

	Deregister       string        // always (default), on-success, never
	DeregisterOnStop *bool         // default true natively, false for registrator: drain on the stop signal
	Drain            time.Duration // keep a draining entry at least this long
	DeadTTL          time.Duration // 0: 1 h
	RestartGrace     time.Duration // 0: 60 s
	FlapDamping      *bool         // default true
	LeaveOnExit      bool          // hand over an empty set when Run ends
}

// EngineTLS are files for a TLS endpoint; empty ones follow DOCKER_CERT_PATH.
type EngineTLS struct {
	CA, Cert, Key string
	SkipVerify    bool
}

// compat: whether the defaults of gliderlabs/registrator apply.
func (c *Config) compat() bool { return c.Profile == ProfileRegistrator }

func on(b *bool) bool { return b != nil && *b }

func orDefault(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

func orBool(b **bool, v bool) {
	if *b == nil {
		*b = &v
	}
}

func orDuration(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// complete fills in defaults.
func (c *Config) complete() {
	pick := func(native, compat string) string {
		if c.compat() {
			return compat
		}
		return native
	}
	orDefault(&c.Profile, ProfileNative)
	orDuration(&c.Resync, 30*time.Second)
	orDuration(&c.FullInspect, 5*time.Minute)
	if c.Internal && c.AddressMode == "" {
		c.AddressMode = AddressInternal
	}
	orDefault(&c.AddressMode, AddressPublished)
	orDefault(&c.AddressFamily, FamilyIPv4)
	orDefault(&c.Loopback, pick("skip", "host"))
	orDefault(&c.HostModePorts, pick("declared", "exposed"))
	orDefault(&c.DefaultName, pick("auto", "image"))
	orDefault(&c.NamePortSuffix, "multi")
	orDefault(&c.EnvMeta, "filtered")
	orDefault(&c.DockerHealth, "auto")
	orDefault(&c.HealthStarting, berth.StatusCritical)
	orDefault(&c.Deregister, DeregisterAlways)
	orBool(&c.AllowCustomID, true)
	orBool(&c.AllowExecChecks, true)
	orBool(&c.DeregisterOnStop, !c.compat())
	orBool(&c.FlapDamping, true)
	orDuration(&c.DeadTTL, time.Hour)
	orDuration(&c.RestartGrace, time.Minute)
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Probe == nil {
		c.Probe = (&net.Dialer{}).DialContext
	}
}

// validate reports all problems at once.
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(name, v string, allowed ...string) {
		for _, a := range allowed {
			if v == a {
				return
			}
		}
		bad("%s: %q is not one of %s", name, v, strings.Join(allowed, ", "))
	}
	if c.Logger == nil || c.Sink == nil || c.NodeAddress == nil {
		bad("logger, sink and node address are required")
	}
	if c.Node == "" {
		bad("node: a name is required")
	}
	oneOf("profile", c.Profile, ProfileNative, ProfileRegistrator)
	oneOf("address_mode", c.AddressMode, AddressPublished, AddressInternal, AddressAuto)
	oneOf("address_family", c.AddressFamily, FamilyIPv4, FamilyIPv6, FamilyDual, FamilyPreferIPv6)
	oneOf("loopback", c.Loopback, "skip", "host")
	oneOf("host_mode_ports", c.HostModePorts, "declared", "exposed")
	oneOf("default_name", c.DefaultName, "auto", "image", "compose", "container")
	oneOf("name_port_suffix", c.NamePortSuffix, "multi", "always", "never", "proto")
	oneOf("env_meta", c.EnvMeta, "filtered", "all", "labels", "none")
	oneOf("docker_health", c.DockerHealth, "auto", "off")
	oneOf("health_starting", c.HealthStarting, berth.StatusCritical, berth.StatusWarning, berth.StatusPassing)
	oneOf("deregister", c.Deregister, DeregisterAlways, DeregisterOnSuccess, DeregisterNever)
	if c.IP != "" {
		if a, err := netip.ParseAddr(c.IP); err != nil || a.IsUnspecified() {
			bad("ip: %q is not an address that others can reach", c.IP)
		}
	}
	if c.Drain < 0 {
		bad("drain: %v is negative", c.Drain)
	}
	for _, g := range append(append([]string(nil), c.AllowNames...), c.Networks...) {
		if _, err := path.Match(g, ""); err != nil {
			bad("pattern %q: %v", g, err)
		}
	}
	return errors.Join(errs...)
}
