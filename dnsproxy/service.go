package dnsproxy

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"berth"
)

// maxInstances is the most instances of one name that are looked at for an answer; the
// catalog is not trusted to be reasonable.
const maxInstances = 8192

// build is what goes into records of one question besides the catalog.
type build struct {
	set   *settings
	qtype uint16
	zone  *domain // suffix that the client used
	at    int     // offset of the zone in the question's name; -1: not in it
	apex  int     // offset of the SOA's owner in the question's name
	dc    string

	chosen bool                                   // a prepared query has picked the instances by health
	known  func(host []byte, ttl uint32) [][]byte // addresses of host names that need no waiting
	once   bool                                   // the answer holds what known gave
}

// instance is a service instance as it can be answered.
type instance struct {
	node   string
	v4, v6 netip.Addr
	host   string // external host name instead of addresses
	own    bool   // the service has an address of its own
	port   uint16
	weight uint16
}

// healthy picks the instances with tag that may be answered. exists tells that there is any
// instance with that tag at all.
func (b *build) healthy(entries []*berth.HealthEntry, tag string) (out []instance, exists bool) {
	for _, e := range entries {
		if e.Node == nil || e.Service == nil || !hasTag(e.Service.Tags, tag) {
			continue
		}
		exists = true
		status := e.Status()
		if !b.chosen && (status == berth.StatusCritical || b.set.zone.OnlyPassing && status != berth.StatusPassing) {
			continue
		}
		if in, ok := newInstance(e, status, b.set.zone.SRVWeightScale); ok {
			out = append(out, in)
		}
		if len(out) >= maxInstances {
			break
		}
	}
	return out, exists
}

func hasTag(tags []string, tag string) bool {
	if tag == "" {
		return true
	}
	return slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, tag) })
}

// newInstance reads addresses, port and weight; false: it has no address that can be told.
func newInstance(e *berth.HealthEntry, status string, scale int) (instance, bool) {
	in := instance{node: e.Node.Name, own: e.Service.Address != ""}
	var plain, t4, t6 string
	if in.own {
		plain = e.Service.Address
		t4, t6 = e.Service.TaggedAddresses["lan_ipv4"].Address, e.Service.TaggedAddresses["lan_ipv6"].Address
	} else {
		plain, t4, t6 = e.Node.Address, e.Node.TaggedAddresses["lan_ipv4"], e.Node.TaggedAddresses["lan_ipv6"]
	}
	in.v4, in.v6, in.host = addresses(plain, t4, t6)
	if e.Service.Port > 0 && e.Service.Port <= 65535 {
		in.port = uint16(e.Service.Port)
	}
	weight := 1
	if w := e.Service.Weights; w != nil {
		weight = w.Passing
		if status == berth.StatusWarning {
			weight = w.Warning
		}
	}
	in.weight = uint16(min(max(weight, 0)*scale, 65535))
	return in, in.v4.IsValid() || in.v6.IsValid() || in.host != ""
}

// addresses sorts an address and its tagged variants into families. host is set when the
// plain address is no IP and no tagged one exists.
func addresses(plain, t4, t6 string) (v4, v6 netip.Addr, host string) {
	ip, err := netip.ParseAddr(plain)
	ip = ip.Unmap().WithZone("")
	if a, err := netip.ParseAddr(t4); err == nil && a.Unmap().Is4() {
		v4 = a.Unmap()
	} else if ip.Is4() {
		v4 = ip
	}
	if a, err := netip.ParseAddr(t6); err == nil && a.Is6() && !a.Is4In6() {
		v6 = a.WithZone("")
	} else if ip.Is6() {
		v6 = ip
	}
	if err != nil && !v4.IsValid() && !v6.IsValid() {
		if hostName(plain) {
			host = strings.TrimSuffix(plain, ".")
		}
	}
	return v4, v6, host
}

// hostName tells whether an address that is no IP address can be the name of a host. URLs,
// host:port and mistyped IP addresses are not: resolvers would throw the whole answer away.
func hostName(s string) bool {
	wire, ok := packName(s)
	if !ok || len(wire) == 1 {
		return false
	}
	labels := splitLabels(wire)
	for _, label := range labels {
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || strings.Trim(label, "-") == "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// serviceTTL is the TTL for a service: the smallest that its instances ask for, or the
// configured one.
func (b *build) serviceTTL(name string, entries []*berth.HealthEntry) uint32 {
	ttl, set := uint32(0), false
	for _, e := range entries {
		if e.Service == nil {
			continue
		}
		if d, err := time.ParseDuration(e.Service.Meta[berth.MetaDNSTTL]); err == nil && d >= 0 {
			if t := seconds(d); !set || t < ttl {
				ttl, set = t, true
			}
		}
	}
	if set {
		return ttl
	}
	return b.set.serviceTTL(name)
}

// service answers from a service's instances. cname is set instead when they only have an
// external host name, which must be followed.
func (b *build) service(entries []*berth.HealthEntry, tag string, ttl uint32) (a *answer, cname string) {
	list, exists := b.healthy(entries, tag)
	if len(list) == 0 {
		if !exists && tagBelow(entries, tag) {
			return b.nodata(), ""
		}
		a = b.nxdomain()
		if exists && b.set.zone.EmptyService == EmptyNODATA {
			a = b.nodata()
		}
		a.empty = exists
		return a, ""
	}
	switch b.qtype {
	case typeA, typeAAAA, typeANY:
		return b.addressAnswer(list, ttl)
	case typeSRV:
		return b.srvAnswer(list, entries, ttl), ""
	}
	return b.nodata(), ""
}

// tagBelow tells whether a tag with dots ends in "."+tag: the name then has children.
func tagBelow(entries []*berth.HealthEntry, tag string) bool {
	if tag == "" {
		return false
	}
	for _, e := range entries {
		for _, t := range e.Service.Tags {
			if len(t) > len(tag) && strings.HasSuffix(strings.ToLower(t), "."+tag) {
				return true
			}
		}
	}
	return false
}

// addressAnswer is one record per distinct address. Instances of weight 0 count only when
// there are no others.
func (b *build) addressAnswer(list []instance, ttl uint32) (*answer, string) {
	a := &answer{aa: true, ede: edeNone, set: b.set, partial: true, limit: b.set.zone.ARecordLimit}
	weights := map[netip.Addr]uint32{}
	var order []netip.Addr
	add := func(ip netip.Addr, w uint16) {
		if _, ok := weights[ip]; !ok {
			order = append(order, ip)
		}
		weights[ip] = min(weights[ip]+uint32(w), 65535)
	}
	hosts, ips, positive := "", false, false
	for _, in := range list {
		if in.host != "" {
			if hosts == "" {
				hosts = in.host
			}
			continue
		}
		ips = true
		if in.v4.IsValid() && b.qtype != typeAAAA {
			add(in.v4, in.weight)
			positive = positive || in.weight > 0
		}
		if in.v6.IsValid() && b.qtype != typeA {
			add(in.v6, in.weight)
			positive = positive || in.weight > 0
		}
	}
	if !ips {
		return nil, hosts
	}
	for _, ip := range order {
		w := weights[ip]
		if w == 0 && positive {
			continue
		}
		a.recs = append(a.recs, record{body: addressBody(ip.AsSlice(), ttl), weight: uint16(w)})
		a.weighted = a.weighted || w != uint32(a.recs[0].weight)
	}
	if len(a.recs) == 0 {
		return b.nodata(), ""
	}
	return a, ""
}

// srvAnswer is one SRV record per distinct (node, address, port) with the target's addresses
// for ADDITIONAL. A record that cannot be packed is left out.
func (b *build) srvAnswer(list []instance, entries []*berth.HealthEntry, ttl uint32) *answer {
	a := &answer{aa: true, ede: edeNone, set: b.set}
	type id struct {
		node, host string
		v4, v6     netip.Addr
		port       uint16
	}
	seen := map[id]bool{}
	for _, in := range list {
		k := id{in.node, in.host, in.v4, in.v6, in.port}
		if seen[k] {
			continue
		}
		seen[k] = true
		target, v4, v6, ok := b.srvTarget(in)
		if !ok {
			continue
		}
		r := record{body: srvBody(ttl, 1, in.weight, in.port, target), target: 16}
		if v4.IsValid() {
			r.extra = append(r.extra, addressBody(v4.AsSlice(), ttl))
		}
		if v6.IsValid() {
			r.extra = append(r.extra, addressBody(v6.AsSlice(), ttl))
		}
		if in.host != "" && b.known != nil {
			r.extra, b.once = b.known(target, ttl), true
		}
		a.recs = append(a.recs, r)
	}
	if len(a.recs) == 0 {
		return b.nodata()
	}
	if b.set.zone.NodeMetaTXT {
		a.meta = b.nodeMeta(entries, ttl)
	}
	return a
}

// srvBody is a packed SRV record; the target is never compressed (RFC 2782).
func srvBody(ttl uint32, priority, weight, port uint16, target []byte) []byte {
	body := rrBody(typeSRV, ttl, 6+len(target))
	body = put16(put16(put16(body, priority), weight), port)
	return append(body, target...)
}

// srvTarget is a name that the same server resolves to the instance, and the addresses it
// resolves to.
func (b *build) srvTarget(in instance) (name []byte, v4, v6 netip.Addr, ok bool) {
	switch {
	case in.host != "":
		name, ok = appendName(nil, in.host)
		return name, v4, v6, ok
	case !in.own:
		name, ok = b.nodeName(in.node)
		return name, in.v4, in.v6, ok
	case in.v4.IsValid():
		name, ok = b.below(hex.EncodeToString(in.v4.AsSlice()) + ".addr")
		return name, in.v4, v6, ok
	default:
		name, ok = b.below(hex.EncodeToString(in.v6.AsSlice()) + ".addr")
		return name, v4, in.v6, ok
	}
}

// nodeName is <node>.node.<dc>.<zone>.
func (b *build) nodeName(node string) ([]byte, bool) { return b.below(node + ".node") }

// below is <prefix>.<dc>.<zone>.
func (b *build) below(prefix string) ([]byte, bool) {
	return appendName(nil, prefix+"."+b.dc+"."+b.zone.text)
}

// nodeMeta is the metadata of all nodes of entries as TXT records.
func (b *build) nodeMeta(entries []*berth.HealthEntry, ttl uint32) []record {
	var out []record
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Node == nil || seen[e.Node.Name] {
			continue
		}
		seen[e.Node.Name] = true
		owner, ok := b.nodeName(e.Node.Name)
		if !ok {
			continue
		}
		for _, r := range metaRecords(e.Node.Meta, ttl) {
			r.owner = owner
			out = append(out, r)
		}
	}
	return out
}
