package dnsproxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// endpoint is where an upstream listens, and the address of this host that it is asked from;
// an invalid one leaves the choice to the kernel.
type endpoint struct {
	netip.AddrPort
	from netip.Addr
}

func (e endpoint) String() string {
	if e.from.IsValid() {
		return e.AddrPort.String() + "@" + e.from.String()
	}
	return e.AddrPort.String()
}

// parseEndpoint reads "1.2.3.4", "1.2.3.4:53", "::1" or "[::1]:53", with "#" for ":" as in
// dnsmasq, and "@ADDRESS" behind it for the address to ask from.
func parseEndpoint(s string) (endpoint, error) {
	to, from, sourced := strings.Cut(s, "@")
	to = strings.Replace(to, "#", ":", 1)
	ap, err := netip.ParseAddrPort(to)
	if err != nil || ap.Port() == 0 {
		a, err := netip.ParseAddr(strings.Trim(to, "[]"))
		if err != nil {
			return endpoint{}, fmt.Errorf("upstream %q: use an IP address, with :port if it is not 53", s)
		}
		ap = netip.AddrPortFrom(a, 53)
	}
	e := endpoint{AddrPort: ap}
	if !sourced {
		return e, nil
	}
	if e.from, err = netip.ParseAddr(from); err != nil || e.from.Is4() != ap.Addr().Is4() {
		return endpoint{}, fmt.Errorf("upstream %q: behind @ is an IP address of this host, of the same family", s)
	}
	return e, nil
}

// endpoints reads those that parse.
func endpoints(servers []string) []endpoint {
	var out []endpoint
	for _, s := range servers {
		if e, err := parseEndpoint(s); err == nil {
			out = append(out, e)
		}
	}
	return out
}

// portTries is how many ports of a range are tried before a question is given up: each is
// random, and another program may hold it.
const portTries = 16

// dial connects to e from a random port; the connection breaks when ctx ends. stop closes it.
func (f *forwarder) dial(ctx context.Context, proto string, e endpoint) (net.Conn, func(), error) {
	ports := f.routes.Load().cfg.SourcePorts
	for try := 1; ; try++ {
		d := net.Dialer{LocalAddr: ports.local(proto, e.from)}
		conn, err := d.DialContext(ctx, proto, e.AddrPort.String())
		switch {
		case err == nil:
			off := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
			return conn, func() { off(); conn.Close() }, nil
		case try == portTries || !errors.Is(err, syscall.EADDRINUSE):
			return nil, nil, err
		}
	}
}

// PortRange is the ports that upstreams are asked from over UDP, both ends included; the zero value is
// any. A range weakens the protection that random ports are: it is for firewalls.
type PortRange struct{ Min, Max uint16 }

// local is the address to ask from; nil leaves all to the kernel.
func (r PortRange) local(proto string, from netip.Addr) net.Addr {
	port := 0
	if proto == "udp" && r.Max > 0 {
		port = int(r.Min) + rand.IntN(int(r.Max)-int(r.Min)+1)
	}
	switch {
	case !from.IsValid() && port == 0:
		return nil
	case proto == "tcp":
		return &net.TCPAddr{IP: from.AsSlice(), Zone: from.Zone()}
	}
	return &net.UDPAddr{IP: from.AsSlice(), Zone: from.Zone(), Port: port}
}
