package registrator

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"berth"
)

// target is where an instance is reached.
type target struct {
	host   string
	port   int
	tagged map[string]berth.ServiceAddress // per family, when there are two
	suffix string                          // to the ID, when a port has several targets
	detail string
	own    string // the container's own endpoint, where checks go; "": not known
}

// pair is an address with the port that goes with it.
type pair struct {
	ip   netip.Addr
	port int
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// targets decides where port p is reached, or why nowhere.
func (b *builder) targets(p portProto) ([]target, string, string) {
	ts, reason, detail := b.detect(p)
	for i := range ts {
		ts[i].own = hostPort(ts[i].host, ts[i].port)
	}
	if ip, port, why := b.addressKey(p); why != "" {
		return nil, ReasonNoAddress, why
	} else if ip.IsValid() {
		if reason != "" || len(ts) == 0 {
			ts = []target{{port: b.portOf(p)}}
		}
		for i := range ts {
			ts[i].host, ts[i].tagged = ip.String(), nil
			if port > 0 {
				ts[i].port = port
			}
		}
		reason, detail = "", ""
	}
	if reason != "" {
		return nil, reason, detail
	}
	b.portKey(p, ts)
	for i := range ts {
		if b.mayCheck(ts[i].host, ts[i].port) {
			ts[i].own = hostPort(ts[i].host, ts[i].port)
		}
	}
	return ts, "", ""
}

// portOf is the port that goes with an address which a key gives: the published one, if there is.
func (b *builder) portOf(p portProto) int {
	if bound := b.bindings(p); len(bound) > 0 && b.mode(p, true) == AddressPublished {
		return bound[0].port
	}
	return p.port
}

// mayCheck reports whether checks that a container's author asks for may go to host:port: what is
// the container's own, or what the operator lets labels name. Else labels could have this host ask
// any other one, with the answer shown in the catalog.
func (b *builder) mayCheck(host string, port int) bool {
	ip := parseAddr(host)
	if b.r.cfg.AllowForeignTargets || (ip.IsValid() && ip == b.labelAddr()) {
		return true
	}
	for _, n := range b.net.networks {
		if ip.IsValid() && (ip == n.ip4 || ip == n.ip6) {
			return true
		}
	}
	v4, v6 := b.hostAddrs()
	switch {
	case !ip.IsValid():
		return false
	case ip != v4 && ip != v6:
		return b.bound()[pair{ip, port}]
	}
	return b.net.networkKind() == "host" || b.bound()[pair{port: port}]
}

// bound are the ports of the host that the container has, with the address they are bound to and
// without.
func (b *builder) bound() map[pair]bool {
	if b.boundTo == nil {
		b.boundTo = map[pair]bool{}
		for p := range b.net.ports {
			for _, x := range b.bindings(p) {
				b.boundTo[pair(x)] = true
				b.boundTo[pair{port: x.port}] = true
			}
		}
	}
	return b.boundTo
}

// portKey advertises another port than the detected one.
func (b *builder) portKey(p portProto, ts []target) {
	v := b.keys.value(p, "port")
	if v == "" {
		return
	}
	n, ok := parsePort(strings.TrimSpace(v))
	if !ok {
		b.drop("port", v, "want a number from 1 to 65535")
		return
	}
	for i := range ts {
		ts[i].port = n
		for k, a := range ts[i].tagged {
			ts[i].tagged[k] = berth.ServiceAddress{Address: a.Address, Port: n}
		}
	}
}

// detect applies the address mode.
func (b *builder) detect(p portProto) ([]target, string, string) {
	bound := b.bindings(p)
	mode := b.mode(p, len(bound) > 0)
	switch kind := b.net.networkKind(); {
	case kind == "host":
		v4, v6 := b.hostAddrs()
		if t, ok := b.choose(p, pair{v4, p.port}, pair{v6, p.port}); ok {
			return []target{t}, "", ""
		}
		return nil, ReasonNoAddress, b.noHostAddr(p)
	case kind == "none" || kind == "container":
		return nil, ReasonNoAddress, "the container has no network of its own; give SERVICE_IP"
	case mode == AddressInternal && kind == "rootless":
		return nil, ReasonNoAddress, "containers of a rootless engine have no address that others reach"
	case mode == AddressInternal:
		return b.internal(p)
	}
	if len(bound) == 0 {
		return nil, ReasonNotPublished, "the port is not published on the host (-p), and address mode is " + mode
	}
	ts, reason, detail := b.published(p, bound)
	if reason == "" && b.r.cfg.IPFromContainer {
		return b.containerHosts(p, ts)
	}
	return ts, reason, detail
}

// containerHosts puts the container's own address into targets.
func (b *builder) containerHosts(p portProto, ts []target) ([]target, string, string) {
	own, reason, detail := b.internal(p)
	if reason != "" {
		return nil, reason, detail
	}
	for i := range ts {
		ts[i].host, ts[i].tagged = own[0].host, nil
	}
	return ts, "", ""
}

// mode is the address mode for p with auto resolved.
func (b *builder) mode(p portProto, bound bool) string {
	mode := b.r.cfg.AddressMode
	if b.c.labels[labelSwarmTask] != "" && mode == AddressPublished {
		mode = AddressAuto // ingress ports do not show at the task
	}
	if v := b.keys.value(p, "address_mode"); v != "" {
		switch v {
		case AddressPublished, AddressInternal, AddressAuto:
			mode = v
		default:
			b.drop("address_mode", v, "want published, internal or auto")
		}
	} else if yes, ok := b.yesNo("internal", b.keys.value(p, "internal")); ok {
		mode = AddressPublished
		if yes {
			mode = AddressInternal
		}
	}
	if mode != AddressAuto {
		return mode
	}
	if bound {
		return AddressPublished
	}
	return AddressInternal
}

// hostAddrs are the addresses of services published on all of the host's addresses.
func (b *builder) hostAddrs() (v4, v6 netip.Addr) {
	v4, v6 = b.r.state.nodeAddr, b.r.state.nodeAddr6
	if ip := parseAddr(b.r.cfg.IP); ip.Is4() {
		v4 = ip
	} else if ip.IsValid() {
		v6 = ip
	}
	if !b.r.routable(v4) {
		v4 = netip.Addr{}
	}
	if !b.r.routable(v6) {
		v6 = netip.Addr{}
	}
	return v4, v6
}

// routable: loopback and link-local addresses are of no use to other hosts.
func (r *Registrator) routable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && (r.cfg.AllowLoopback || !a.IsLoopback())
}

// published turns bindings into targets: address and port belong together, per family.
func (b *builder) published(p portProto, bound []binding) ([]target, string, string) {
	usable, loop := b.usable(bound)
	if len(usable) == 0 {
		switch {
		case loop:
			return nil, ReasonLoopback, "published on loopback only, which other hosts cannot reach"
		case onlyIPv6(bound):
			return nil, ReasonNoAddress, "published on [::] only, and the host has no routable IPv6 address; advertise_addr_ipv6 tells one"
		}
		return nil, ReasonNoAddress, "the host has no routable address; set the advertise address or -ip"
	}
	if !b.r.cfg.AllBindings {
		v4, v6 := firstPerFamily(usable)
		if t, ok := b.choose(p, v4, v6); ok {
			return []target{t}, "", ""
		}
		return nil, ReasonNoAddress, b.noHostAddr(p)
	}
	var out []target
	for _, u := range usable {
		v4, v6 := firstPerFamily([]pair{u})
		if t, ok := b.choose(p, v4, v6); ok {
			t.suffix = ":" + strconv.Itoa(u.port)
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return nil, ReasonNoAddress, "no binding has an address of family " + b.family(p)
	}
	if len(out) == 1 {
		out[0].suffix = ""
	}
	return out, "", ""
}

// usable maps bindings to pairs, leaving out what nobody can reach.
func (b *builder) usable(bound []binding) (out []pair, loopback bool) {
	host4, host6 := b.hostAddrs()
	add := func(ip netip.Addr, port int) {
		if ip.IsValid() {
			out = append(out, pair{ip, port})
		}
	}
	for _, x := range bound {
		switch {
		case b.r.cfg.IP != "" && b.keys.compat: // it replaces bound addresses too
			add(host4, x.port)
			add(host6, x.port)
		case !x.ip.IsValid() || x.ip == netip.IPv4Unspecified():
			add(host4, x.port)
		case x.ip == netip.IPv6Unspecified():
			add(host6, x.port) // and only that: a binding of [::] does not serve IPv4
		case x.ip.IsLoopback():
			loopback = true
			if b.r.cfg.Loopback == "host" {
				add(x.ip, x.port)
			}
		default:
			add(x.ip, x.port)
		}
	}
	return out, loopback
}

func onlyIPv6(bound []binding) bool {
	for _, x := range bound {
		if !x.ip.IsValid() || x.ip.Is4() {
			return false
		}
	}
	return len(bound) > 0
}

func firstPerFamily(list []pair) (v4, v6 pair) {
	for _, x := range list {
		switch {
		case x.ip.Is4() && !v4.ip.IsValid():
			v4 = x
		case x.ip.Is6() && !v6.ip.IsValid():
			v6 = x
		}
	}
	return v4, v6
}

// family is the address family wanted for p.
func (b *builder) family(p portProto) string {
	if v := b.keys.value(p, "address_family"); v != "" {
		switch v {
		case FamilyIPv4, FamilyIPv6, FamilyDual, FamilyPreferIPv6:
			return v
		}
		b.drop("address_family", v, "want ipv4, ipv6, dual or prefer-ipv6")
	}
	return b.r.cfg.AddressFamily
}

// noHostAddr says that no address of the host is of the family wanted for p, and what helps.
func (b *builder) noHostAddr(p portProto) string {
	family := b.family(p)
	v4, v6 := b.hostAddrs()
	if (family == FamilyIPv6 && v6.IsValid()) || (family == FamilyIPv4 && v4.IsValid()) {
		return "not published on an address of family " + family + otherFamily
	}
	return "the host has no routable address of family " + family + " (advertise_addr_ipv4, advertise_addr_ipv6)" + otherFamily
}

const otherFamily = "; SERVICE_ADDRESS_FAMILY asks for another one"

// choose picks the primary pair by the family setting; with two, both are tagged. ok is false when
// there is none of that family.
func (b *builder) choose(p portProto, v4, v6 pair) (t target, ok bool) {
	first, second := v4, pair{}
	switch b.family(p) {
	case FamilyIPv6:
		first = v6
	case FamilyDual:
		second = v6
	case FamilyPreferIPv6:
		first, second = v6, v4
	}
	if !first.ip.IsValid() {
		first, second = second, pair{}
	}
	if !first.ip.IsValid() {
		return target{}, false
	}
	t = target{host: first.ip.String(), port: first.port}
	if second.ip.IsValid() {
		t.tagged = map[string]berth.ServiceAddress{}
		for _, x := range []pair{first, second} {
			key := "lan_ipv4"
			if x.ip.Is6() {
				key = "lan_ipv6"
			}
			t.tagged[key] = berth.ServiceAddress{Address: x.ip.String(), Port: x.port}
		}
	}
	return t, true
}

// portlessTarget is the address of a container that has no port.
func (b *builder) portlessTarget() (target, string, string) {
	p := portProto{0, "tcp"}
	if ip, _, why := b.addressKey(p); why != "" {
		return target{}, ReasonNoAddress, why
	} else if ip.IsValid() {
		return target{host: ip.String()}, "", ""
	}
	if b.mode(p, false) == AddressInternal && b.net.networkKind() == "network" {
		ts, reason, detail := b.internal(p)
		if reason != "" {
			return target{}, reason, detail
		}
		return ts[0], "", ""
	}
	v4, v6 := b.hostAddrs()
	if t, ok := b.choose(p, pair{v4, 0}, pair{v6, 0}); ok {
		return t, "", ""
	}
	return target{}, ReasonNoAddress, b.noHostAddr(p)
}
