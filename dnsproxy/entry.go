package dnsproxy

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// entry is a forwarded answer in wire form: what follows the question, without OPT. Only the
// atomics change after it was made.
type entry struct {
	key    string // name, type
	do, cd bool

	rcode  uint16
	ede    uint16 // extended error, edeNone for answers
	cutOff bool   // upstream said TC and TCP failed
	ad     bool   // upstream validated it and may be trusted in that
	body   []byte
	an, ns int
	ends   []int // offset in body behind each record of ANSWER
	ttls   []int // offsets in body of all TTLs
	spin   struct{ start, size, n int }

	stored int64  // nanoseconds of the forwarder's clock
	life   uint32 // seconds it may be used; 0: only by those who wait for it
	hits   atomic.Uint32
	used   atomic.Int64 // clock of the last use
	busy   atomic.Bool  // is being refreshed
	failed atomic.Int64 // clock of the last refresh that failed
}

var errMalformed = errors.New("malformed answer")

// newEntry turns an accepted answer into an entry for q. It keeps only records of the chain
// from the question on, AUTHORITY of negative answers and for DO, and no ADDITIONAL. Packing
// anew makes it small and leaves no pointer of the upstream's making.
func newEntry(q *query, msg []byte, cfg *CacheConfig) (*entry, error) {
	var m dns.Msg
	if err := m.Unpack(msg); err != nil {
		return nil, errMalformed
	}
	complete := chain(&m, q)
	m.Extra, m.Compress = nil, true
	m.Question[0].Name = strings.ToLower(m.Question[0].Name)
	for _, rr := range m.Answer { // so that owners become pointers to the question
		if h := rr.Header(); strings.EqualFold(h.Name, m.Question[0].Name) {
			h.Name = m.Question[0].Name
		}
	}
	msg, err := m.Pack()
	if err != nil || !parses(msg) { // the library reads records without data that it cannot write
		return nil, errMalformed
	}
	e := &entry{key: string(q.key()), ede: edeNone, do: q.do, cd: q.cd(), rcode: uint16(m.Rcode), ad: m.AuthenticatedData}
	positive := len(m.Answer) > 0 && complete && m.Rcode == dns.RcodeSuccess
	if err := e.cut(msg, headerLen+q.nlen+4, q.do || !positive); err != nil {
		return nil, err
	}
	e.life = e.lifetime(&m, positive, cfg)
	e.findSpin()
	return e, nil
}

// chain drops records of ANSWER that do not belong to the question or its CNAME chain and
// says whether the chain ends in data.
func chain(m *dns.Msg, q *query) (complete bool) {
	name, seen := dns.CanonicalName(m.Question[0].Name), map[string]bool{}
	in := map[string]bool{name: true}
	for !seen[name] && len(seen) < 16 {
		seen[name] = true
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok && q.qtype != typeCNAME && q.qtype != typeANY && dns.CanonicalName(c.Hdr.Name) == name {
				name = dns.CanonicalName(c.Target)
				in[name] = true
				break
			}
		}
	}
	var keep []dns.RR
	for _, rr := range m.Answer {
		h := rr.Header()
		owner := dns.CanonicalName(h.Name)
		if in[owner] || h.Rrtype == typeDNAME || h.Rrtype == typeRRSIG && owner != "." {
			keep = append(keep, rr)
			if owner == name && (h.Rrtype == q.qtype || q.qtype == typeANY) {
				complete = true
			}
		}
	}
	m.Answer = keep
	return complete
}

// cut walks the records of msg from off and keeps ANSWER, and AUTHORITY when asked to.
func (e *entry) cut(msg []byte, off int, authority bool) error {
	base := off
	e.an, e.ns = int(get16(msg, 6)), int(get16(msg, 8))
	if !authority {
		e.ns = 0
	}
	for i := range e.an + e.ns {
		h, ok := readRR(msg, off)
		if !ok {
			return errMalformed
		}
		e.ttls = append(e.ttls, h.ttlOff-base)
		off = h.end
		if i < e.an {
			e.ends = append(e.ends, off-base)
		}
	}
	e.body = append([]byte(nil), msg[base:off]...)
	return nil
}

// lifetime caps all TTLs and says for how long the answer may be used (RFC 2308, RFC 2181).
func (e *entry) lifetime(m *dns.Msg, positive bool, cfg *CacheConfig) uint32 {
	top, low := seconds(cfg.MaxTTL), seconds(cfg.MinTTL)
	life := top
	for i, at := range e.ttls {
		ttl := get32(e.body, at)
		if ttl >= 1<<31 {
			ttl = 0
		}
		ttl = min(max(ttl, low), top)
		binary.BigEndian.PutUint32(e.body[at:], ttl)
		if i < e.an {
			life = min(life, ttl)
		}
	}
	if len(e.body) > 16<<10 || e.rcode != rcodeOK && e.rcode != rcodeNXDomain || m.Truncated {
		return 0
	}
	if positive {
		return life
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok && soa.Hdr.Ttl < 1<<31 {
			return min(life, soa.Hdr.Ttl, soa.Minttl, seconds(cfg.MaxNeg))
		}
	}
	return 0
}

// findSpin finds the address records at the end of ANSWER that can change places: same type,
// same size, owner a pointer, nothing behind them that could point at them.
func (e *entry) findSpin() {
	if e.an < 2 || e.ns > 0 {
		return
	}
	n, size, start := 0, 0, 0
	for i := e.an - 1; i >= 0; i-- {
		at := 0
		if i > 0 {
			at = e.ends[i-1]
		}
		l := e.ends[i] - at
		ok := l == 16 || l == 28
		ok = ok && e.body[at] >= 0xc0 && (get16(e.body, at+2) == typeA || get16(e.body, at+2) == typeAAAA)
		if !ok || n > 0 && (l != size || string(e.body[at:at+4]) != string(e.body[start:start+4])) {
			break
		}
		n, size, start = n+1, l, at
	}
	if n > 1 {
		e.spin.start, e.spin.size, e.spin.n = start, size, n
	}
}

// write makes the reply to q. age is how old the entry is in seconds; stale entries get the
// TTL that RFC 8767 wants.
func (e *entry) write(q *query, out []byte, age uint32, stale bool) ([]byte, bool) {
	ede := e.ede
	if stale {
		ede = edeStale
	}
	flags := uint16(flagRA)
	if e.ad && (q.do || q.bits&flagAD != 0) {
		flags |= flagAD
	}
	out = q.header(out, e.rcode, flags)
	base, room := len(out), q.limit-q.optSize(ede)
	an, ns, cut := e.an, e.ns, false
	if base+len(e.body) > room {
		ns = 0
		for an > 0 && base+e.ends[an-1] > room {
			an, cut = an-1, true
		}
	}
	size := len(e.body)
	if ns != e.ns || an != e.an {
		size = 0
		if an > 0 {
			size = e.ends[an-1]
		}
	}
	out = e.copyBody(out, size)
	for _, at := range e.ttls[:an+ns] {
		ttl := get32(out, base+at)
		switch {
		case stale:
			ttl = 30
		case ttl > age:
			ttl -= age
		default:
			ttl = 0
		}
		binary.BigEndian.PutUint32(out[base+at:], ttl)
	}
	if cut && !q.tcp {
		out[2] |= flagTC >> 8
	}
	return q.finish(out, an, ns, 0, e.rcode, ede), cut
}

// copyBody appends the first size bytes of the body, the address records turned round by one
// more place each time. A cut answer keeps its order.
func (e *entry) copyBody(out []byte, size int) []byte {
	if e.spin.n == 0 || size != len(e.body) {
		return append(out, e.body[:size]...)
	}
	start, end := e.spin.start, e.spin.start+e.spin.size*e.spin.n
	at := start + e.spin.size*(int(e.hits.Load())%e.spin.n)
	out = append(out, e.body[:start]...)
	out = append(out, e.body[at:end]...)
	out = append(out, e.body[start:at]...)
	return append(out, e.body[end:]...)
}

// bytes is about how much memory the entry takes.
func (e *entry) bytes() int {
	return 256 + len(e.key) + len(e.body) + 8*(len(e.ends)+len(e.ttls))
}

// private tells whether an address record of ANSWER points into a private network.
func (e *entry) private() bool {
	for i, end := range e.ends {
		at := e.ttls[i] - 4
		var ip netip.Addr
		switch get16(e.body, at) {
		case typeA, typeAAAA:
			ip, _ = netip.AddrFromSlice(e.body[at+10 : end])
		}
		ip = ip.Unmap()
		if ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsValid() && ip.IsUnspecified() {
			return true
		}
	}
	return false
}
