package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// expand resolves a go-sockaddr template in the value of key; other text stays as it is.
func (b *builder) expand(key, text string) string {
	if !strings.Contains(text, "{{") {
		return strings.TrimSpace(text)
	}
	out, err := b.host.Template(text)
	if err != nil {
		b.fail("%s: template %q: %v", key, text, err)
		return ""
	}
	if strings.TrimSpace(out) == "" {
		b.fail("%s: template %q gives no address on this host", key, text)
	}
	return strings.TrimSpace(out)
}

// addr reads the IP address of key; unset or bad is def.
func (b *builder) addr(key string, text *string, def netip.Addr) netip.Addr {
	if val(text) == "" {
		return def
	}
	s := b.expand(key, *text)
	if s == "" {
		return def
	}
	if strings.ContainsAny(s, " \t") {
		b.fail("%s: %q is more than one address: choose one", key, s)
		return def
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		b.fail("%s: %q is not an IP address", key, s)
		return def
	}
	return a
}

// addrList reads the space-separated addresses of key.
func (b *builder) addrList(key string, text *string) []netip.Addr {
	var list []netip.Addr
	for s := range strings.FieldsSeq(b.expand(key, val(text))) {
		a, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			b.fail("%s: %q is not an IP address", key, s)
			continue
		}
		list = append(list, a)
	}
	return list
}

func (b *builder) addrs() {
	f, a := b.file, &b.cfg.Addrs
	a.Bind = b.addr("bind_addr", f.BindAddr, netip.IPv4Unspecified())
	a.Client = b.addrList("client_addr", f.ClientAddr)
	if len(a.Client) == 0 {
		b.fail("client_addr cannot be empty")
	}
	a.SerfLAN = b.addr("serf_lan", f.SerfLAN, a.Bind)
	a.SerfWAN = b.addr("serf_wan", f.SerfWAN, a.Bind)
	b.advertise()
	a.SerfLANAllowed = b.prefixes("serf_lan_allowed_cidrs", f.SerfLANAllowed)
	a.SerfWANAllowed = b.prefixes("serf_wan_allowed_cidrs", f.SerfWANAllowed)
	a.Unix = UnixSockets{val(f.UnixSockets.User), val(f.UnixSockets.Group), val(f.UnixSockets.Mode)}
	if m := a.Unix.Mode; m != "" {
		if _, err := strconv.ParseUint(m, 8, 12); err != nil {
			b.fail("unix_sockets.mode: %q is not an octal mode such as 0660", m)
		}
	}
	a.HTTP = b.listeners("http", f.Addresses.HTTP, b.cfg.Ports.HTTP)
	a.HTTPS = b.listeners("https", f.Addresses.HTTPS, b.cfg.Ports.HTTPS)
	b.dnsListeners()
}

// advertise chooses the addresses told to others.
func (b *builder) advertise() {
	f, a := b.file, &b.cfg.Addrs
	given := f.AdvertiseAddr
	if val(given) == "" {
		given = ofFamily(a.Bind, f.AdvertiseIPv4, f.AdvertiseIPv6)
	}
	a.Advertise = b.addr("advertise_addr", given, a.Bind)
	if val(given) == "" && a.Bind.IsUnspecified() {
		found, err := advertisable(b.host)
		if err != nil && b.cfg.Dev {
			found, err = netip.MustParseAddr("127.0.0.1"), nil
		}
		if err != nil {
			b.fail("%v", err)
		}
		a.Advertise = found
	}
	if a.Advertise.IsValid() && a.Advertise.IsUnspecified() {
		b.fail("advertise_addr: %s is not an address that others can reach", a.Advertise)
	}
	wan := f.AdvertiseWAN
	if val(wan) == "" {
		wan = ofFamily(a.Advertise, f.AdvertiseWANIPv4, f.AdvertiseWANIPv6)
	}
	a.AdvertiseWAN = b.addr("advertise_addr_wan", wan, a.Advertise)
	tag := func(name string, text *string) {
		if got := b.addr("tagged address "+name, text, netip.Addr{}); got.IsValid() {
			b.cfg.Node.TaggedAddresses[name] = got.String()
		}
	}
	tag("lan_ipv4", f.AdvertiseIPv4)
	tag("lan_ipv6", f.AdvertiseIPv6)
	tag("wan_ipv4", f.AdvertiseWANIPv4)
	tag("wan_ipv6", f.AdvertiseWANIPv6)
}

// ofFamily is the text for the family of like: an address of the other one never takes its place.
func ofFamily(like netip.Addr, v4, v6 *string) *string {
	if like.Is6() {
		return v6
	}
	return v4
}

// listeners are the addresses of an HTTP listener; none when its port is off and no unix
// socket was given.
func (b *builder) listeners(name string, given *string, port int) []string {
	var list []string
	for s := range strings.FieldsSeq(b.expand("addresses."+name, val(given))) {
		if path, ok := strings.CutPrefix(s, "unix://"); ok {
			if path == "" {
				b.fail("addresses.%s: %q names no file", name, s)
			}
			list = append(list, s)
			continue
		}
		ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			b.fail("addresses.%s: %q is neither an IP address nor unix:///path", name, s)
			continue
		}
		if port > 0 {
			list = append(list, netip.AddrPortFrom(ip, uint16(port)).String())
		}
	}
	if val(given) == "" && port > 0 {
		list = withPort(b.cfg.Addrs.Client, port)
	}
	return list
}

func withPort(addrs []netip.Addr, port int) []string {
	list := make([]string, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, net.JoinHostPort(a.String(), strconv.Itoa(port)))
	}
	return list
}

// defaultDNSPort is where DNS always listens unless told otherwise.
const defaultDNSPort = 8600

// dnsListeners: what was asked for, or 8600 on the client addresses and 53 on local ones.
func (b *builder) dnsListeners() {
	a, port := &b.cfg.Addrs, b.cfg.Ports.DNS
	if port < 0 {
		return
	}
	addrs := a.Client
	given := val(b.file.Addresses.DNS) != ""
	if given {
		addrs = b.addrList("addresses.dns", b.file.Addresses.DNS)
	}
	if port > 0 {
		a.DNS = withPort(addrs, port)
		return
	}
	a.DNS = withPort(addrs, defaultDNSPort)
	if given || b.cfg.Dev || !b.host.LowPorts() {
		return
	}
	bridge := "docker0" // docker may start after this agent
	if ip := dockerBridge(b.host); ip.IsValid() {
		bridge = ip.String()
	}
	for _, host := range []string{"127.0.0.1", "::1", bridge, a.Advertise.String()} {
		if addr := net.JoinHostPort(host, "53"); !slices.Contains(a.DNSOptional, addr) {
			a.DNSOptional = append(a.DNSOptional, addr)
		}
	}
}

// prefixes reads networks; a bare address is a network of one.
func (b *builder) prefixes(key string, texts []string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		if p, err := netip.ParsePrefix(s); err == nil {
			list = append(list, p.Masked())
		} else if a, err := netip.ParseAddr(s); err == nil {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
		} else {
			b.fail("%s: %q is not a network such as 10.0.0.0/8", key, s)
		}
	}
	return list
}
