package dnsproxy

import (
	"context"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// maxChain is the most CNAME records in an answer of ours.
const maxChain = 8

// elsewhere answers what the local replica cannot: names of other datacenters, prepared
// queries, and host names that must be followed. It blocks.
func (s *Server) elsewhere(ctx context.Context, q *query, p *plan) *answer {
	if p.remote != nil {
		*p = s.remotePlan(ctx, q, p.build, p.remote)
		if p.answer != nil {
			return p.answer
		}
	}
	return s.chase(ctx, q, p)
}

// chase answers with a CNAME to a host name and what that name has of the question's type:
// local data, or what upstreams say. When that fails the bare CNAME is the answer.
func (s *Server) chase(ctx context.Context, q *query, p *plan) *answer {
	a := &answer{aa: true, ede: edeNone, set: p.build.set}
	seen := map[string]bool{string(q.qname()): true}
	var owner []byte // nil: the question's name
	for next := *p; ; {
		target, ok := appendName(nil, next.cname)
		if !ok {
			return servfail(p.build.set, edeNone)
		}
		a.recs = append(a.recs, record{owner: owner, body: nameBody(typeCNAME, next.ttl, target)})
		a.lead = len(a.recs)
		sub := q.about(target, q.qtype)
		if q.qtype == typeCNAME || q.qtype == typeANY || seen[string(sub.qname())] || a.lead == maxChain {
			return a
		}
		seen[string(sub.qname())] = true
		sub.hash = s.answers.hash(sub)
		owner, next = target, s.plan(p.build.set, sub)
		if next.remote != nil {
			next = s.remotePlan(ctx, sub, next.build, next.remote)
		}
		switch {
		case next.answer != nil:
			a.take(next.answer, target)
			return a
		case next.group != nil:
			s.fetch(ctx, next.group, sub, a)
			return a
		}
	}
}

// about is a query like q for another name and type.
func (q *query) about(name []byte, qtype uint16) *query {
	sub := &query{qtype: qtype, qclass: classIN, do: q.do, opt: q.opt, src: q.src, tcp: q.tcp, loopback: q.loopback,
		ede: edeNone, bits: q.bits, nlen: len(name)}
	for i, c := range name {
		sub.name[i] = lowerTable[c]
	}
	sub.labels = len(splitLabels(name))
	copy(sub.name[len(name):], put16(nil, qtype))
	sub.raw = append(make([]byte, headerLen, headerLen+len(name)+4), name...)
	sub.raw = put16(put16(sub.raw, qtype), classIN)
	sub.qend = len(sub.raw)
	return sub
}

// take adds the records of another local answer, which are about name.
func (a *answer) take(other *answer, name []byte) {
	for _, r := range other.recs {
		if r.owner == nil {
			r.owner = name
		}
		a.recs = append(a.recs, r)
	}
	if other.rcode == rcodeServFail {
		a.ede = other.ede
	}
}

// fetch adds what upstreams say about sub.
func (s *Server) fetch(ctx context.Context, g *group, sub *query, a *answer) {
	now := time.Now()
	e, age := s.fwd.cache.fresh(sub, now)
	if e == nil {
		var err error
		age = 0
		if e, err = s.fwd.lookup(ctx, g, sub, 0); err != nil {
			e = s.fwd.cache.stale(sub, now)
			a.ede = edeNoReachable
		}
	}
	if e == nil || e.rcode == rcodeServFail {
		a.ede = edeNoReachable
		return
	}
	a.recs = append(a.recs, e.records(sub, age)...)
	for a.lead < len(a.recs) && get16(a.recs[a.lead].body, 0) == typeCNAME {
		a.lead++
	}
}

// records is ANSWER of the entry as records with full names.
func (e *entry) records(q *query, age uint32) []record {
	q.limit = maxTCP
	msg, _ := e.write(q, make([]byte, 0, 512), age, false)
	var m dns.Msg
	if m.Unpack(msg) != nil {
		return nil
	}
	var out []record
	buf := make([]byte, maxTCP)
	for _, rr := range m.Answer {
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			continue
		}
		at, ok := skipName(buf[:n], 0)
		if !ok {
			continue
		}
		wire := append([]byte(nil), buf[:n]...)
		out = append(out, record{owner: wire[:at:at], body: wire[at:]})
	}
	return out
}

// known is the addresses of a host name that need no waiting: what the cache has.
func (s *Server) known(host []byte, ttl uint32) (extra [][]byte) {
	for _, typ := range []uint16{typeA, typeAAAA} {
		q := (&query{}).about(host, typ)
		q.hash = s.answers.hash(q)
		e, age := s.fwd.cache.fresh(q, time.Now())
		if e == nil {
			continue
		}
		for _, r := range e.records(q, age) {
			if t := get16(r.body, 0); t == typ {
				if ip, ok := netip.AddrFromSlice(r.body[10:]); ok {
					extra = append(extra, addressBody(ip.AsSlice(), min(ttl, get32(r.body, 4))))
				}
			}
		}
	}
	return extra
}
