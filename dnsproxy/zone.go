package dnsproxy

import (
	"math/rand/v2"
	"net/netip"
	"strings"
)

// plan is how a question will be answered: exactly one member is set.
type plan struct {
	answer *answer
	once   bool      // answer is for this question only
	remote *zoneName // catalog name that takes a look elsewhere: see remote.go
	cname  string    // host name to follow, see chase.go
	ttl    uint32    // of the CNAME
	group  *group    // upstreams to ask
	build  *build
}

// plan decides how to answer q. A name that static data has with another type, or has names
// below, exists, whatever the rest says.
func (s *Server) plan(set *settings, q *query) plan {
	p := s.firstPlan(set, q)
	if p.answer != nil && p.answer.rcode == rcodeNXDomain && set.static.exists(q.qname()) {
		a := *p.answer
		a.rcode, a.empty = rcodeOK, false
		p.answer = &a
	}
	return p
}

// firstPlan is what answers q first, in this order: static data, special names, per-domain
// upstreams longer than our domain, catalog names, short names, reverse names, the rest.
func (s *Server) firstPlan(set *settings, q *query) plan {
	b := &build{set: set, qtype: q.qtype, zone: &set.suffixes[len(set.suffixes)-1], at: -1, dc: set.dc, known: s.known}
	for i := range set.suffixes {
		if set.suffixes[i].text == strings.ToLower(strings.TrimSuffix(set.zone.Domain, ".")) {
			b.zone = &set.suffixes[i]
		}
	}
	rule, ruleAt := set.ruleOf(q.qname())
	if rule != nil && rule.index < 0 {
		b.apex = ruleAt
	}
	if p, ok := s.staticPlan(set, b, q); ok {
		return p
	}
	if s.fwd.probeBack(q) {
		return plan{answer: b.nxdomain(), once: true}
	}
	if p, ok := s.pointerPlan(b, q); ok {
		return p
	}
	if zone, at := set.suffixOf(q.qname()); zone != nil && (rule == nil || ruleAt >= at) {
		b.zone, b.at, b.apex = zone, at, at
		for i := range set.apexes {
			if a, ok := suffix(q.qname(), set.apexes[i].wire); ok {
				b.apex = a
				break
			}
		}
		return s.catalogPlan(b, splitLabels(q.name[:at]))
	}
	if rule != nil {
		if rule.index < 0 {
			return plan{answer: b.local(ruleAt == 0)}
		}
		return s.forwardPlan(b, q, rule.index)
	}
	return s.otherPlan(set, b, q)
}

// local is the answer in a zone of which we know nothing but that it is ours.
func (b *build) local(apex bool) *answer {
	if apex {
		return b.nodata()
	}
	return b.nxdomain()
}

// catalogPlan answers a name under the catalog domain from the local replica, or says that it
// belongs to another datacenter.
func (s *Server) catalogPlan(b *build, labels []string) plan {
	n := parseZoneName(labels)
	n.zone, n.at = b.zone, b.at
	switch n.kind {
	case kindNone:
		return plan{answer: b.nxdomain()}
	case kindAddr:
		return plan{answer: b.addr(n.name)}
	case kindNS:
		return plan{answer: b.address(b.set.nodeTTL, b.set.self)}
	}
	if n.dc != "" && n.dc != b.set.dc || n.kind == kindQuery {
		if s.remote == nil {
			return plan{answer: b.nxdomain()}
		}
		if n.dc != "" {
			b.dc = n.dc
		}
		if p, ok := s.warmPlan(b, &n); ok {
			return p
		}
		return plan{remote: &n, build: b}
	}
	m := s.marks.of(n.kind, n.name) // before the view: a change after it makes the answer stale
	gen := m.gen.Load()
	v := s.view()
	if v == nil || !v.Synced() {
		return plan{answer: servfail(b.set, edeNotReady)}
	}
	if b.set.tooOld(v) {
		return plan{answer: servfail(b.set, edeNoReachable)}
	}
	if m == &s.marks.any && n.inCatalog(v) {
		s.marks.add(n.kind, n.name)
		m = s.marks.of(n.kind, n.name)
		gen = m.gen.Load()
		v = s.view()
	}
	p := s.replicaPlan(b, &n, v)
	if p.answer != nil {
		p.answer.mark, p.answer.gen, p.answer.own = m, gen, m != &s.marks.any
	}
	return p
}

// inCatalog tells whether a service or node of that name is there.
func (n *zoneName) inCatalog(v View) bool {
	switch n.kind {
	case kindService:
		return v.ServiceExists(n.name)
	case kindNode:
		_, ok := v.Node(n.name)
		return ok
	}
	return false
}

// replicaPlan answers a name of the local datacenter from v.
func (s *Server) replicaPlan(b *build, n *zoneName, v View) plan {
	switch n.kind {
	case kindApex:
		return plan{answer: b.apexAnswer(v)}
	case kindEmpty:
		return plan{answer: b.nodata()}
	case kindNode:
		node, ok := v.Node(n.name)
		if !ok || node == nil {
			return plan{answer: b.nxdomain()}
		}
		a, cname := b.node(node)
		return plan{answer: a, cname: cname, ttl: b.set.nodeTTL, build: b}
	}
	entries := v.Service(n.name)
	if n.open && len(entries) == 0 {
		return plan{answer: b.nodata()}
	}
	ttl := b.serviceTTL(n.name, entries)
	a, cname := b.service(entries, n.tag, ttl)
	return plan{answer: a, once: b.once, cname: cname, ttl: ttl, build: b}
}

// apexAnswer is for the catalog domain itself.
func (b *build) apexAnswer(v View) *answer {
	a := &answer{aa: true, ede: edeNone, set: b.set}
	switch b.qtype {
	case typeSOA:
		a.recs, a.dated = []record{{body: b.soaBody(b.at)}}, true
		a.auth, a.glue = b.nameServers(v)
	case typeNS:
		var ns []record
		ns, a.glue = b.nameServers(v)
		a.recs = ns
	default:
		return b.nodata()
	}
	a.lead = len(a.recs)
	return a
}

// nameServers is up to three server nodes as NS records of the apex, with their addresses.
func (b *build) nameServers(v View) (ns, glue []record) {
	servers := append(v.Servers()[:0:0], v.Servers()...)
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	ttl := b.set.nodeTTL
	add := func(name []byte, ips ...netip.Addr) {
		ns = append(ns, record{body: nameBody(typeNS, ttl, name)})
		for _, ip := range ips {
			if ip.IsValid() {
				glue = append(glue, record{owner: name, body: addressBody(ip.AsSlice(), ttl)})
			}
		}
	}
	for _, n := range servers[:min(3, len(servers))] {
		name, ok := b.nodeName(n.Name)
		if !ok {
			continue
		}
		v4, v6, _ := addresses(n.Address, n.TaggedAddresses["lan_ipv4"], n.TaggedAddresses["lan_ipv6"])
		add(name, v4, v6)
	}
	if len(ns) == 0 {
		name, _ := appendName(nil, "ns."+b.zone.text)
		add(name, b.set.self)
	}
	return ns, glue
}

// otherPlan is for names that are neither static nor under a configured domain.
func (s *Server) otherPlan(set *settings, b *build, q *query) plan {
	if p, ok := specialPlan(b, q); ok {
		return p
	}
	if q.labels == 1 {
		if p, ok := s.shortPlan(set, b, q); ok {
			return p
		}
	}
	if p, ok := s.reversePlan(set, b, q); ok {
		return p
	}
	return s.forwardPlan(b, q, -1)
}

// forwardPlan asks the upstreams of a rule, except for what is not passed on.
func (s *Server) forwardPlan(b *build, q *query, rule int) plan {
	switch {
	case q.qtype == typeANY && !b.set.fwd.ForwardANY:
		return plan{answer: b.minimalANY(q)}
	case q.qtype == typeAAAA && b.set.fwd.FilterAAAA:
		return plan{answer: &answer{ede: edeNone, set: b.set}}
	}
	return plan{group: s.fwd.routes.Load().group(rule)}
}

// shortPlan answers a single label as the service of that name: resolvers in HAProxy, nginx
// and containers with ndots:0 use no search list (spec 5.5). Unknown labels are not forwarded.
func (s *Server) shortPlan(set *settings, b *build, q *query) (plan, bool) {
	switch q.qtype {
	case typeSOA, typeNS, typeDS, typeKEY:
		return plan{group: s.fwd.routes.Load().group(-1)}, true
	}
	label := string(q.name[1 : q.nlen-1])
	if !set.zone.NoShortNames && !set.exclude[label] {
		switch q.qtype {
		case typeA, typeAAAA, typeSRV, typeANY:
			p := s.catalogPlan(b, []string{label, "service"})
			if p.answer == nil || p.answer.rcode != rcodeNXDomain || !set.fwd.NoDomainNeeded {
				return p, true
			}
		default:
			if p := s.catalogPlan(b, []string{label, "service"}); p.answer != nil && p.answer.rcode != rcodeNXDomain {
				return p, true
			}
		}
	}
	if set.fwd.NoDomainNeeded {
		return plan{}, false
	}
	return plan{answer: b.nxdomain()}, true
}

// minimalANY answers ANY outside our zones (RFC 8482): ask again over TCP, or HINFO.
func (b *build) minimalANY(q *query) *answer {
	if !q.tcp && !q.loopback {
		return &answer{tc: true, ede: edeNone, set: b.set}
	}
	data := append([]byte{7}, "RFC8482\x00"...)
	return &answer{ede: edeNone, set: b.set, recs: []record{{body: append(rrBody(typeHINFO, 3600, len(data)), data...)}}}
}

// specialNames are never forwarded (RFC 6761, 7686, 9462).
var specialNames = []domain{
	newDomain("localhost"), newDomain("invalid"), newDomain("onion"), newDomain("local"), newDomain("resolver.arpa"),
}

// specialPlan answers special names: localhost and all below it is this host.
func specialPlan(b *build, q *query) (plan, bool) {
	for i := range specialNames {
		at, ok := suffix(q.qname(), specialNames[i].wire)
		if !ok {
			continue
		}
		b.apex = at
		if i == 0 {
			return plan{answer: b.address(b.set.nodeTTL, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())}, true
		}
		return plan{answer: b.local(at == 0)}, true
	}
	return plan{}, false
}
