package socket

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// HostAddrs is the addresses of this host.
func HostAddrs() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}

// HostNets is the addresses of this host as networks of one address.
func HostNets() []netip.Prefix {
	var nets []netip.Prefix
	for _, ip := range HostAddrs() {
		nets = append(nets, netip.PrefixFrom(ip, ip.BitLen()))
	}
	return nets
}

// BridgeNets is the networks of docker's bridges, docker0 and br-*.
func BridgeNets() []netip.Prefix {
	var nets []netip.Prefix
	list, _ := net.Interfaces()
	for _, i := range list {
		if i.Name != "docker0" && !strings.HasPrefix(i.Name, "br-") {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				nets = append(nets, p.Masked())
			}
		}
	}
	return nets
}

// IsHost tells whether ip belongs to this host.
func IsHost(ip netip.Addr) bool {
	return ip.IsLoopback() || slices.Contains(HostAddrs(), ip.Unmap())
}

// Wildcard tells whether addr stands for all addresses of the host, now and later. They are
// bound one by one: a reply from a wildcard socket may leave with another source address than
// the question went to, which stubs ignore.
func Wildcard(addr string) bool {
	ap, err := netip.ParseAddrPort(addr)
	return err == nil && ap.Addr().IsUnspecified()
}

// Expand puts the addresses of this host in place of wildcards, and those that an interface has
// now in place of its name.
func Expand(list []string) []string {
	var out []string
	for _, addr := range list {
		if name, port, ok := named(addr); ok {
			out = append(out, addrsOf(name, port)...)
			continue
		}
		if !Wildcard(addr) {
			out = append(out, addr)
			continue
		}
		want := netip.MustParseAddrPort(addr)
		for _, ip := range HostAddrs() {
			if ip.Is4() == want.Addr().Is4() && !ip.IsLinkLocalUnicast() {
				out = append(out, netip.AddrPortFrom(ip, want.Port()).String())
			}
		}
	}
	return out
}

// named splits name:port, where name is no address.
func named(addr string) (name, port string, ok bool) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil || name == "" {
		return "", "", false
	}
	_, err = netip.ParseAddr(name)
	return name, port, err != nil
}

// addrsOf are the IPv4 addresses of an interface with a port; none when it is not there.
func addrsOf(name, port string) (out []string) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	addrs, _ := i.Addrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			out = append(out, net.JoinHostPort(p.Addr().String(), port))
		}
	}
	return out
}
