package dnsproxy

import (
	"net/netip"
	"strings"
)

// staticData is what the administrator wrote: records of the configuration and hosts files.
// It is built once and replaced as a whole.
type staticData struct {
	names   map[string]*staticName // by lower-cased wire name
	above   map[string]bool        // names that have others below them
	reverse map[netip.Addr][]string
	trees   []staticTree // longest first
	ttl     uint32
}

type staticName struct {
	addrs []netip.Addr
	cname string
	srvs  []SRV
	txts  []string
	ptr   string
}

// staticTree is a domain that is answered, with all below it, by the same addresses.
type staticTree struct {
	domain
	addrs []netip.Addr
}

// newStatic builds the tables from the configuration and the entries of hosts files.
func newStatic(c *StaticConfig, hosts []hostsEntry) *staticData {
	d := &staticData{names: map[string]*staticName{}, above: map[string]bool{}, reverse: map[netip.Addr][]string{}, ttl: seconds(c.TTL)}
	for name, addrs := range c.Hosts {
		for _, ip := range addrs {
			d.addHost(name, ip)
		}
	}
	for _, h := range hosts {
		for _, name := range h.names {
			if c.Expand != "" && !strings.Contains(strings.TrimSuffix(name, "."), ".") {
				d.addHost(name+"."+c.Expand, h.ip)
			}
			d.addHost(name, h.ip)
		}
	}
	for name, target := range c.CNAMEs {
		d.name(name).cname = target
	}
	for name, srvs := range c.SRVs {
		d.name(name).srvs = srvs
	}
	for name, txts := range c.TXTs {
		d.name(name).txts = txts
	}
	for name, target := range c.PTRs {
		if ip, err := netip.ParseAddr(name); err == nil {
			name = nameText(reverseName(ip))
		}
		d.name(name).ptr = target
	}
	for name, addrs := range c.Addresses {
		if dom := newDomain(name); dom.wire != nil {
			d.trees = append(d.trees, staticTree{dom, addrs})
			if len(addrs) > 0 {
				d.addAbove(dom.wire)
			}
		}
	}
	sortTrees(d.trees)
	return d
}

func (d *staticData) addHost(name string, ip netip.Addr) {
	n := d.name(name)
	ip = ip.Unmap().WithZone("")
	for _, have := range n.addrs {
		if have == ip {
			return
		}
	}
	n.addrs = append(n.addrs, ip)
	if len(d.reverse[ip]) < 8 {
		d.reverse[ip] = append(d.reverse[ip], strings.TrimSuffix(name, "."))
	}
}

// name is the entry of a dotted name, made when needed. A name that cannot be packed gets an
// entry that nobody finds; Config checks names before.
func (d *staticData) name(text string) *staticName {
	wire, ok := packName(text)
	if !ok {
		return &staticName{}
	}
	n := d.names[string(wire)]
	if n == nil {
		n = &staticName{}
		d.names[string(wire)] = n
		d.addAbove(wire)
	}
	return n
}

// addAbove records that a name exists, and so all names above it.
func (d *staticData) addAbove(wire []byte) {
	for wire = wire[1+wire[0]:]; len(wire) > 1 && !d.above[string(wire)]; wire = wire[1+wire[0]:] {
		d.above[string(wire)] = true
	}
}

// exists tells whether a lower-cased wire name has records of any type, or names below it.
func (d *staticData) exists(name []byte) bool {
	if d.names[string(name)] != nil || d.above[string(name)] {
		return true
	}
	ip, full, _ := reverseAddr(name)
	return full && len(d.reverse[ip]) > 0
}

// staticPlan answers from static data; false: it has nothing to say about the question.
func (s *Server) staticPlan(set *settings, b *build, q *query) (plan, bool) {
	d := set.static
	if n := d.names[string(q.qname())]; n != nil {
		if p, ok := d.nameAnswer(b, n); ok {
			return p, true
		}
		if q.labels == 1 || q.qtype == typeA || q.qtype == typeAAAA {
			return plan{answer: b.nodata()}, true
		}
	}
	if q.qtype == typePTR || q.qtype == typeANY {
		if ip, full, ok := reverseAddr(q.qname()); ok && full && len(d.reverse[ip]) > 0 {
			a := &answer{aa: true, ede: edeNone, set: set}
			for _, name := range d.reverse[ip] {
				if wire, ok := appendName(nil, name); ok {
					a.recs = append(a.recs, record{body: nameBody(typePTR, d.ttl, wire)})
				}
			}
			a.lead = len(a.recs)
			return plan{answer: a}, true
		}
	}
	for i := range d.trees {
		at, ok := suffix(q.qname(), d.trees[i].wire)
		if !ok {
			continue
		}
		b.apex = at
		if len(d.trees[i].addrs) == 0 {
			return plan{answer: b.nxdomain()}, true
		}
		return plan{answer: b.address(d.ttl, d.trees[i].addrs...)}, true
	}
	return plan{}, false
}

// nameAnswer is what a static name has of the question's type.
func (d *staticData) nameAnswer(b *build, n *staticName) (plan, bool) {
	if n.cname != "" {
		return plan{cname: n.cname, ttl: d.ttl, build: b}, true
	}
	a := &answer{aa: true, ede: edeNone, set: b.set}
	is := func(t uint16) bool { return b.qtype == t || b.qtype == typeANY }
	for _, ip := range n.addrs {
		if ip.Is4() && is(typeA) || ip.Is6() && is(typeAAAA) {
			a.recs = append(a.recs, record{body: addressBody(ip.AsSlice(), d.ttl)})
		}
	}
	a.partial = true
	if is(typeTXT) {
		for _, t := range n.txts {
			if body := txtBody(d.ttl, t); body != nil {
				a.recs = append(a.recs, record{body: body})
			}
		}
	}
	if is(typeSRV) {
		for _, v := range n.srvs {
			if target, ok := appendName(nil, v.Target); ok {
				a.recs = append(a.recs, record{body: srvBody(d.ttl, v.Priority, v.Weight, v.Port, target)})
			}
		}
	}
	if wire, ok := appendName(nil, n.ptr); ok && n.ptr != "" && is(typePTR) {
		a.recs = append(a.recs, record{body: nameBody(typePTR, d.ttl, wire)})
	}
	return plan{answer: a}, len(a.recs) > 0
}
