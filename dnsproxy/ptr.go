package dnsproxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// reverseAddr reads a reverse name. full is false for names that cover a whole network.
func reverseAddr(name []byte) (ip netip.Addr, full, ok bool) {
	labels := splitLabels(name)
	n := len(labels)
	if n < 2 || labels[n-1] != "arpa" {
		return ip, false, false
	}
	switch labels[n-2] {
	case "in-addr":
		var b [4]byte
		for i := range min(4, n-2) {
			v, err := strconv.ParseUint(labels[n-3-i], 10, 8)
			if err != nil || len(labels[n-3-i]) > 1 && labels[n-3-i][0] == '0' {
				return ip, false, true
			}
			b[i] = byte(v)
		}
		return netip.AddrFrom4(b), n == 6, true
	case "ip6":
		var b [16]byte
		for i := range min(32, n-2) {
			l := labels[n-3-i]
			v, err := strconv.ParseUint(l, 16, 8)
			if err != nil || len(l) != 1 {
				return ip, false, true
			}
			b[i/2] |= byte(v) << (4 * (1 - i%2))
		}
		return netip.AddrFrom16(b), n == 34, true
	}
	return ip, false, false
}

// reverseName is the wire name for PTR questions about ip.
func reverseName(ip netip.Addr) []byte {
	var sb strings.Builder
	raw := ip.Unmap().AsSlice()
	for i := len(raw) - 1; i >= 0; i-- {
		if len(raw) == 4 {
			fmt.Fprintf(&sb, "%d.", raw[i])
		} else {
			fmt.Fprintf(&sb, "%x.%x.", raw[i]&15, raw[i]>>4)
		}
	}
	if len(raw) == 4 {
		sb.WriteString("in-addr.arpa")
	} else {
		sb.WriteString("ip6.arpa")
	}
	name, _ := packName(sb.String())
	return name
}

// pointerPlan answers reverse names of catalog addresses.
func (s *Server) pointerPlan(b *build, q *query) (plan, bool) {
	ip, full, ok := reverseAddr(q.qname())
	if !ok || !full {
		return plan{}, false
	}
	m := s.marks.of(kindAddr, "")
	gen := m.gen.Load()
	v := s.view()
	if v == nil || !v.Synced() {
		return plan{}, false
	}
	a := b.pointers(v, ip)
	if a == nil {
		return plan{}, false
	}
	a.mark, a.gen = m, gen
	return plan{answer: a}, true
}

// reversePlan answers reverse names of private networks, which are nobody else's business
// (RFC 6303).
func (s *Server) reversePlan(set *settings, b *build, q *query) (plan, bool) {
	_, full, ok := reverseAddr(q.qname())
	if !ok || set.fwd.NoBogusPriv {
		return plan{}, false
	}
	for i := range privateZones {
		at, in := suffix(q.qname(), privateZones[i].wire)
		if !in {
			continue
		}
		b.apex = at
		m := s.marks.of(kindAddr, "") // an address may come into the catalog
		gen := m.gen.Load()
		a := b.local(at == 0 || !full && validReverse(q.qname()))
		a.mark, a.gen = m, gen
		return plan{answer: a}, true
	}
	return plan{}, false
}

// validReverse tells whether a partial reverse name can have children.
func validReverse(name []byte) bool {
	ip, full, _ := reverseAddr(name)
	return !full && ip.IsValid()
}

// pointers is the names of an address: nodes first, at most 8; nil when there are none.
func (b *build) pointers(v View, ip netip.Addr) *answer {
	a := &answer{aa: true, ede: edeNone, set: b.set}
	for _, n := range v.Addr(ip) {
		prefix := n.Node + ".node"
		if n.Service != "" {
			prefix = strings.ToLower(n.Service) + ".service"
		}
		if name, ok := b.below(prefix); ok {
			a.recs = append(a.recs, record{body: nameBody(typePTR, b.set.nodeTTL, name)})
		}
		if len(a.recs) == 8 {
			break
		}
	}
	if len(a.recs) == 0 {
		return nil
	}
	a.lead = len(a.recs)
	if b.qtype != typePTR && b.qtype != typeANY {
		return b.nodata()
	}
	return a
}

// privateZones are the reverse zones that are never asked of the public DNS (RFC 6303).
var privateZones = func() []domain {
	names := []string{
		"10.in-addr.arpa", "168.192.in-addr.arpa", "0.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa",
		"2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa", "255.255.255.255.in-addr.arpa",
		"d.f.ip6.arpa", "c.f.ip6.arpa", "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa",
		"8.b.d.0.1.0.0.2.ip6.arpa",
	}
	for i := 16; i < 32; i++ {
		names = append(names, fmt.Sprintf("%d.172.in-addr.arpa", i))
	}
	var zones []domain
	for _, n := range names {
		zones = append(zones, newDomain(n))
	}
	for _, ip := range []string{"::", "::1"} {
		name := reverseName(netip.MustParseAddr(ip))
		zones = append(zones, domain{wire: name, text: strings.TrimSuffix(nameText(name), ".")})
	}
	return zones
}()
