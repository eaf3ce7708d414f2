package hostdns

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Places, below Host.Root.
const (
	resolvConf    = "/etc/resolv.conf"
	stateFile     = "/var/lib/berth/host-dns.json"
	upstreamsFile = "/var/lib/berth/host-upstreams.conf"
	daemonJSON    = "/etc/docker/daemon.json"
	resolvedStub  = "/run/systemd/resolve/stub-resolv.conf"
	resolvedReal  = "/run/systemd/resolve/resolv.conf"
	managerReal   = "/run/NetworkManager/no-stub-resolv.conf"
)

// Errors that callers tell apart.
var (
	// ErrUsage: the options make no sense together, or one of them is wrong.
	ErrUsage = errors.New("wrong options")
	// ErrRolledBack: the change was made, did not hold, and was undone.
	ErrRolledBack = errors.New("rolled back")
	// ErrNotInstalled: there is no record of an installation.
	ErrNotInstalled = errors.New("berth is not installed as this host's resolver")
	// ErrReassertLimit: the file was written again too often within the last hour.
	ErrReassertLimit = errors.New("written again 3 times within an hour, giving up until the hour is over")
)

// Host is the machine that is changed. The zero value with Out set is the one this process
// runs on.
type Host struct {
	Root string    // all paths are below it; "" is /
	Run  Runner    // runs other programs; nil: really
	Out  io.Writer // what people read

	// Ask asks a yes-or-no question. nil: the answer is no.
	Ask func(question string) bool
	// Reload makes the agent read its configuration again; nil: it is not told.
	Reload func(ctx context.Context) error
	Port   uint16           // of the listener; 0 is 53
	UID    func() int       // nil: of this process
	Addrs  func() []Address // of interfaces; nil: this machine's
	Settle time.Duration    // how long the new resolver may take to work; 0 is 5 s
	Now    func() time.Time // nil: time.Now
}

// Address is an address of one of the host's interfaces.
type Address struct {
	Interface string
	Addr      netip.Addr
}

// path is where name lies on this host.
func (h *Host) path(name string) string {
	if h.Root == "" {
		return name
	}
	return filepath.Join(h.Root, name)
}

func (h *Host) runner() Runner {
	if h.Run == nil {
		return system{}
	}
	return h.Run
}

func (h *Host) uid() int {
	if h.UID == nil {
		return os.Geteuid()
	}
	return h.UID()
}

func (h *Host) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

func (h *Host) port() uint16 { return cmp.Or(h.Port, 53) }

func (h *Host) settle() time.Duration { return cmp.Or(h.Settle, 5*time.Second) }

func (h *Host) addrs() []Address {
	if h.Addrs != nil {
		return h.Addrs()
	}
	return interfaceAddrs()
}

// Modes of installing.
const (
	Auto           = "auto"
	ResolvConfFile = "resolvconf-file"
	Resolved       = "resolved"
	NetworkManager = "networkmanager"
	ResolvConf     = "resolvconf"
	Docker         = "docker"
	Print          = "print"
)

// Modes is all of them, as people write them.
var Modes = [...]string{Auto, ResolvConfFile, Resolved, NetworkManager, ResolvConf, Docker, Print}

// Places of berth's domain in the search list.
const (
	First = "first"
	Last  = "last"
	None  = "none"
)
