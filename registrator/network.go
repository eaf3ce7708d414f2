package registrator

import (
	"net"
	"net/netip"
	"path"
	"sort"
	"strings"
)

// internal uses the container's own address in one of its networks.
func (b *builder) internal(p portProto) ([]target, string, string) {
	n, why := b.network(p)
	if n == nil {
		return nil, ReasonNoAddress, why
	}
	b.out.network = n.name + ": " + why
	if t, ok := b.choose(p, pair{n.ip4, p.port}, pair{n.ip6, p.port}); ok {
		return []target{t}, "", ""
	}
	return nil, ReasonNoAddress, "no address of family " + b.family(p) + " in network " + n.name + otherFamily
}

// network chooses among the container's networks, always the same way: the key, the setting,
// the network that the container was started with, the gateway's priority, the alphabet.
func (b *builder) network(p portProto) (*endpoint, string) {
	var usable []endpoint
	for _, n := range b.net.networks {
		if n.name != "ingress" && (n.ip4.IsValid() || n.ip6.IsValid()) {
			usable = append(usable, n)
		}
	}
	if len(usable) == 0 {
		return nil, "the container has no address in any network"
	}
	if want := b.keys.value(p, "network"); want != "" {
		if n, ok := pickNetwork(usable, want); ok {
			return n, "by SERVICE_NETWORK"
		}
		return nil, "the container has no address in a network " + cut(want, 80)
	}
	for _, want := range b.r.cfg.Networks {
		if n, ok := pickNetwork(usable, want); ok {
			return n, "by the network setting"
		}
	}
	mode := b.net.networkMode
	if mode == "default" || mode == "" {
		mode = "bridge"
	}
	for i := range usable {
		if usable[i].name == mode || (mode != "" && usable[i].id == mode) {
			return &usable[i], "the network it was started with"
		}
	}
	sort.SliceStable(usable, func(i, j int) bool { return usable[i].priority > usable[j].priority })
	if len(usable) == 1 {
		return &usable[0], "its only network"
	}
	return &usable[0], "first of several; SERVICE_NETWORK chooses"
}

// pickNetwork finds a network by name, glob, ID or CIDR.
func pickNetwork(list []endpoint, want string) (*endpoint, bool) {
	want = strings.TrimSpace(want)
	prefix, perr := netip.ParsePrefix(want)
	for i := range list {
		n := &list[i]
		if n.name == want || (n.id != "" && n.id == want) {
			return n, true
		}
	}
	for i := range list {
		n := &list[i]
		if perr == nil && (prefix.Contains(n.ip4) || prefix.Contains(n.ip6)) {
			return n, true
		}
		if ok, err := path.Match(want, n.name); err == nil && ok {
			return n, true
		}
	}
	return nil, false
}

// addressKey is the address that a key or the label of -useIpFromLabel gives. port is set when
// it replaces the detected one too.
func (b *builder) addressKey(p portProto) (ip netip.Addr, port int, problem string) {
	v := b.keys.firstOf(p, "ip", "address")
	if v == "" && b.r.cfg.UseIPFromLabel != "" {
		if a := b.labelAddr(); a.IsValid() {
			return a, 0, ""
		}
		if _, ok := b.c.labels[b.r.cfg.UseIPFromLabel]; ok {
			b.remark("label " + b.r.cfg.UseIPFromLabel + ": not an address that others can reach")
		} else {
			b.remark("label " + b.r.cfg.UseIPFromLabel + " is missing, the usual address is used")
		}
		return netip.Addr{}, 0, ""
	}
	v = strings.TrimSpace(v)
	switch kind, arg, _ := strings.Cut(v, ":"); {
	case v == "":
		return netip.Addr{}, 0, ""
	case v == "host":
		v4, v6 := b.hostAddrs()
		ip := b.preferred(p, v4, v6)
		if !ip.IsValid() {
			return ip, 0, "the host has no routable address"
		}
		return ip, 0, ""
	case kind == "iface":
		a := b.interfaceAddrs(arg)
		return b.preferred(p, a.v4, a.v6), 0, a.problem
	case kind == "network":
		n, ok := pickNetwork(b.net.networks, arg)
		if !ok || !(n.ip4.IsValid() || n.ip6.IsValid()) {
			return netip.Addr{}, 0, "the container has no address in a network " + cut(arg, 80)
		}
		return b.preferred(p, n.ip4, n.ip6), p.port, ""
	}
	a := parseAddr(v)
	switch {
	case !a.IsValid():
		b.drop("ip", v, "want an IP address, host, iface:<name> or network:<name>")
		return netip.Addr{}, 0, ""
	case !b.r.routable(a):
		b.drop("ip", v, "not an address that others can reach")
		return netip.Addr{}, 0, ""
	}
	return a, 0, ""
}

// labelAddr is what the label of -useIpFromLabel says; the zero address when that is of no use.
func (b *builder) labelAddr() netip.Addr {
	if b.r.cfg.UseIPFromLabel == "" {
		return netip.Addr{}
	}
	text := b.c.labels[b.r.cfg.UseIPFromLabel]
	if i := strings.LastIndexByte(text, '/'); i >= 0 {
		text = text[:i]
	}
	a := parseAddr(strings.TrimSpace(text))
	if !b.r.routable(a) {
		return netip.Addr{}
	}
	return a
}

// preferred is the address of the family that p is to have, else that of the other one.
func (b *builder) preferred(p portProto, v4, v6 netip.Addr) netip.Addr {
	f := b.family(p)
	if !v4.IsValid() || (v6.IsValid() && (f == FamilyIPv6 || f == FamilyPreferIPv6)) {
		return v6
	}
	return v4
}

// ifaceAddr is what interfaceAddrs found.
type ifaceAddr struct {
	v4, v6  netip.Addr
	problem string
}

// interfaceAddrs asks the system once per interface, however many ports want to know.
func (b *builder) interfaceAddrs(name string) ifaceAddr {
	a, known := b.ifaces[name]
	if !known {
		if b.ifaces == nil {
			b.ifaces = map[string]ifaceAddr{}
		}
		a = interfaceAddrs(name)
		b.ifaces[name] = a
	}
	return a
}

// interfaceAddrs are the first routable addresses of one of the host's interfaces.
func interfaceAddrs(name string) (out ifaceAddr) {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return ifaceAddr{problem: "the host has no interface " + cut(name, 80)}
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return ifaceAddr{problem: err.Error()}
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		switch ip := p.Addr(); {
		case err != nil || ip.IsLinkLocalUnicast() || ip.IsLoopback():
		case ip.Is4() && !out.v4.IsValid():
			out.v4 = ip
		case ip.Is6() && !out.v6.IsValid():
			out.v6 = ip
		}
	}
	if !out.v4.IsValid() && !out.v6.IsValid() {
		out.problem = "interface " + name + " has no routable address"
	}
	return out
}
