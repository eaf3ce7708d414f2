package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-sockaddr/template"
)

// Host is what Load wants to know about the machine. Tests give their own.
type Host interface {
	// Hostname is the machine's name.
	Hostname() (string, error)
	// Interfaces lists the addresses of interfaces that are up, in the kernel's order.
	Interfaces() ([]HostAddr, error)
	// LowPorts says whether this process may bind port 53.
	LowPorts() bool
	// Template expands a go-sockaddr template.
	Template(text string) (string, error)
}

// HostAddr is one address of the machine.
type HostAddr struct {
	Interface string
	Addr      netip.Addr
}

// machine is the Host that Load uses unless told otherwise.
type machine struct{}

func (machine) Hostname() (string, error) { return os.Hostname() }

func (machine) Template(text string) (string, error) { return template.Parse(text) }

func (machine) Interfaces() ([]HostAddr, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var all []HostAddr
	for _, i := range ifs {
		for _, addr := range addrsOf(i) {
			all = append(all, HostAddr{i.Name, addr})
		}
	}
	return all, nil
}

// addrsOf are the addresses of an interface that is up. Each call makes the kernel list those of all.
func addrsOf(i net.Interface) (list []netip.Addr) {
	if i.Flags&net.FlagUp == 0 {
		return nil
	}
	addrs, err := i.Addrs()
	if err != nil {
		return nil // it went away
	}
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(p.IP); ok {
				list = append(list, addr.Unmap())
			}
		}
	}
	return list
}

// InterfaceHas tells whether this machine's interface of that name is up and has the address.
func InterfaceHas(name string, addr netip.Addr) bool {
	i, err := net.InterfaceByName(name)
	return err == nil && slices.Contains(addrsOf(*i), addr)
}

// capNetBindService is the bit of the capability in /proc/self/status.
const capNetBindService = 10

func (machine) LowPorts() bool {
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n <= 53 {
			return true
		}
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return os.Geteuid() == 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return err == nil && caps&(1<<capNetBindService) != 0
		}
	}
	return false
}

// containerBridge says whether an interface belongs to containers, so that its address means
// nothing to other hosts.
func containerBridge(name string) bool {
	for _, prefix := range []string{"docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "podman", "lxc", "lxdbr"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// advertisable chooses the address that others shall use: the only private IPv4 address, else
// the only public one.
func advertisable(h Host) (netip.Addr, error) {
	all, err := h.Interfaces()
	if err != nil {
		return netip.Addr{}, err
	}
	var private, public []string
	for _, a := range all {
		switch {
		case !a.Addr.Is4() || !a.Addr.IsGlobalUnicast() || containerBridge(a.Interface):
		case a.Addr.IsPrivate():
			private = append(private, a.Addr.String())
		default:
			public = append(public, a.Addr.String())
		}
	}
	const remedy = "set bind_addr or advertise_addr to the one that other hosts reach"
	kind, found := "private", private
	if len(private) == 0 {
		kind, found = "public", public
	}
	switch len(found) {
	case 0:
		return netip.Addr{}, fmt.Errorf("this host has no IPv4 address besides loopback: %s, or use -dev", remedy)
	case 1:
		return netip.ParseAddr(found[0])
	}
	return netip.Addr{}, fmt.Errorf("this host has several %s IPv4 addresses (%s): %s", kind, strings.Join(found, ", "), remedy)
}

// dockerBridge is the address of docker0, if there is one.
func dockerBridge(h Host) netip.Addr {
	all, err := h.Interfaces()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range all {
		if a.Interface == "docker0" && a.Addr.Is4() {
			return a.Addr
		}
	}
	return netip.Addr{}
}
