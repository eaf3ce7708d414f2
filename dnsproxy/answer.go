package dnsproxy

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// record is one resource record of an answer, packed.
type record struct {
	owner  []byte   // full wire name; nil: the question's name
	body   []byte   // type, class, TTL, length, data
	target int      // offset in body of the name that extra belongs to; 0: none
	extra  [][]byte // bodies of address records of that name, for ADDITIONAL
	weight uint16   // for address records: share of first places
}

// answer is a reply to one (name, type), packed as far as it can be before the query is
// known. It is never changed once it can be found by others.
type answer struct {
	rcode uint16
	aa    bool
	tc    bool   // cut at the source, whatever fits
	empty bool   // of a service whose instances are all unhealthy
	ede   uint16 // extended error, or edeNone

	recs     []record // ANSWER; the first lead of them keep their place
	lead     int
	weighted bool // the weights of recs differ
	limit    int  // most records of ANSWER besides the lead; 0: all
	partial  bool // a cut set is useful without TC (A, AAAA, ANY)
	dated    bool // the first of recs is an SOA without its serial

	auth []record // AUTHORITY
	meta []record // ADDITIONAL, first to go
	glue []record // ADDITIONAL
	soa  []byte   // AUTHORITY of negative answers: a whole record, without its serial
	mark *mark    // what it was made from; nil: only settings
	gen  uint64   // of mark
	own  bool     // mark is of one service or node
	born int64    // when it was made, unix nanoseconds
	key  string   // name and type it answers; "" if it is not kept
	set  *settings
}

// mark goes up whenever the catalog rows that an answer was made from have changed.
type mark struct{ gen atomic.Uint64 }

// maxAge is when an answer is built anew though nothing has called it stale: a lost
// notification must not be wrong for ever.
const maxAge = 10 * time.Second

// fresh tells whether the answer still says what the catalog and the settings say.
func (a *answer) fresh(set *settings, now time.Time) bool {
	return a.set == set && (a.mark == nil || a.mark.gen.Load() == a.gen) && now.UnixNano()-a.born < int64(maxAge)
}

// header writes the head of a reply and repeats the question.
func (q *query) header(out []byte, rcode uint16, flags uint16) []byte {
	bits := flagQR | q.bits&(0xf<<11|flagRD|flagCD) | flags | rcode&0xf
	if q.qend == 0 {
		var h [headerLen]byte
		binary.BigEndian.PutUint16(h[0:], q.id)
		binary.BigEndian.PutUint16(h[2:], bits)
		return append(out, h[:]...)
	}
	start := len(out)
	out = append(out, q.raw[:q.qend]...)
	h := out[start:]
	binary.BigEndian.PutUint16(h[2:], bits)
	binary.BigEndian.PutUint64(h[4:], 1<<48) // QDCOUNT 1, the others 0
	return out
}

// optSize is what finish will need.
func (q *query) optSize(ede uint16) int {
	if !q.opt {
		return 0
	}
	n := optLen
	if ede != edeNone {
		n += 6
	}
	if q.alive && q.tcp {
		n += 6
	}
	if q.echo {
		n += 4 + q.ecsLen
	}
	return n
}

// finish writes the section counts and appends our OPT record when the client sent one.
func (q *query) finish(out []byte, an, ns, ar int, rcode, ede uint16) []byte {
	if q.opt {
		ar++
		out = append(out, 0, 0, typeOPT, ourUDP>>8, ourUDP&0xff, byte(rcode>>4), 0, 0, 0)
		if q.do {
			out[len(out)-2] = 1 << 7
		}
		out = put16(out, uint16(q.optSize(ede)-optLen))
		if ede != edeNone {
			out = put16(put16(put16(out, optEDE), 2), ede)
		}
		if q.alive && q.tcp {
			out = put16(put16(put16(out, optKeepalive), 2), uint16(tcpIdle.Milliseconds()/100))
		}
		if q.echo {
			out = put16(put16(out, optSubnet), uint16(q.ecsLen))
			out = append(out, q.ecs[:q.ecsLen]...)
		}
	}
	binary.BigEndian.PutUint16(out[6:], uint16(an))
	binary.BigEndian.PutUint16(out[8:], uint16(ns))
	binary.BigEndian.PutUint16(out[10:], uint16(ar))
	return out
}

// fail writes a reply without records.
func (q *query) fail(out []byte, rcode, ede uint16) []byte {
	return q.finish(q.header(out, rcode, flagRA), 0, 0, 0, rcode, ede)
}

// write makes the reply to q in out, which must be empty with room for q.limit bytes. What
// does not fit goes in this order: metadata, glue and addresses in ADDITIONAL from the end,
// records of ANSWER. truncated tells that records of ANSWER are missing for lack of room.
func (a *answer) write(q *query, out []byte, now uint32) (reply []byte, truncated bool) {
	ede := a.ede
	if q.ede != edeNone {
		ede = q.ede
	}
	flags := uint16(flagRA)
	if a.aa {
		flags |= flagAA
		q.echo = q.ecsLen > 0
	}
	if a.tc {
		flags |= flagTC
	}
	out = q.header(out, a.rcode, flags)
	room := q.limit - q.optSize(ede)
	an, ns, ar := 0, 0, 0
	if len(a.recs) > 0 {
		first := len(out)
		out, an, truncated = a.answers(q, out, room)
		if a.dated && an > 0 {
			setSerial(out[:first+2+len(a.recs[0].body)], now)
		}
		out, ar = a.additional(q, out, first, an, room)
	}
	if a.soa != nil && len(out)+len(a.soa) <= room {
		out = append(out, a.soa...)
		setSerial(out, now)
		ns = 1
	}
	if !truncated {
		out, ns, ar = a.rest(out, ns, ar, room)
	}
	if truncated && a.signal(q, an) {
		out[2] |= flagTC >> 8
	}
	return q.finish(out, an, ns, ar, a.rcode, ede), truncated
}

// answers appends as many records of ANSWER as fit, in random order behind the lead.
func (a *answer) answers(q *query, out []byte, room int) (_ []byte, n int, cut bool) {
	want := len(a.recs)
	if a.limit > 0 {
		want = min(want, a.lead+a.limit)
	}
	perm := q.order(len(a.recs))
	for i := range want {
		if i >= a.lead {
			a.draw(perm, i)
		}
		r := &a.recs[perm[i]]
		if len(out)+max(2, len(r.owner))+len(r.body) > room {
			return out, i, true
		}
		out = r.append(out)
	}
	return out, want, false
}

// order is the identity permutation of n in q's scratch.
func (q *query) order(n int) []uint16 {
	if n > 65535 {
		n = 65535
	}
	for len(q.perm) < n {
		q.perm = append(q.perm, 0)
	}
	p := q.perm[:n]
	for i := range p {
		p[i] = uint16(i)
	}
	return p
}

// draw picks which of the records not yet placed comes at place i. The first places follow
// the weights, the others are a uniform shuffle.
func (a *answer) draw(perm []uint16, i int) {
	left := len(perm) - i
	if left < 2 {
		return
	}
	j := i
	if a.weighted && i < a.lead+16 {
		total := uint32(0)
		for _, p := range perm[i:] {
			total += uint32(a.recs[p].weight)
		}
		if total > 0 {
			for x := rand.Uint32N(total); j < len(perm)-1; j++ {
				w := uint32(a.recs[perm[j]].weight)
				if x < w {
					break
				}
				x -= w
			}
		}
	} else {
		j += int(rand.Uint32N(uint32(left)))
	}
	perm[i], perm[j] = perm[j], perm[i]
}

func (r *record) append(out []byte) []byte {
	if r.owner == nil {
		out = append(out, 0xc0, headerLen)
	} else {
		out = append(out, r.owner...)
	}
	return append(out, r.body...)
}

// additional appends the addresses of the n records of ANSWER just written at first, one set
// per record in the same order, repeats kept: HAProxy uses up one per SRV record.
func (a *answer) additional(q *query, out []byte, first, n, room int) ([]byte, int) {
	ar := 0
	for _, p := range q.perm[:n] {
		r := &a.recs[p]
		at := first + max(2, len(r.owner)) + r.target
		first = at - r.target + len(r.body)
		for _, body := range r.extra {
			if at < 0x4000 {
				if len(out)+2+len(body) > room {
					return out, ar
				}
				out = put16(out, 0xc000|uint16(at))
			} else {
				name := r.body[r.target:]
				if len(out)+len(name)+len(body) > room {
					return out, ar
				}
				out = append(out, name...)
			}
			out = append(out, body...)
			ar++
		}
	}
	return out, ar
}

// rest appends AUTHORITY, glue and metadata as far as they fit. AUTHORITY comes first only
// when nothing is in ADDITIONAL yet, which holds for all answers that have both.
func (a *answer) rest(out []byte, ns, ar, room int) ([]byte, int, int) {
	fits := func(r *record) bool { return len(out)+max(2, len(r.owner))+len(r.body) <= room }
	for i := range a.auth {
		if ar > 0 || !fits(&a.auth[i]) {
			break
		}
		out = a.auth[i].append(out)
		ns++
	}
	for _, set := range [2][]record{a.glue, a.meta} {
		for i := range set {
			if !fits(&set[i]) {
				break
			}
			out = set[i].append(out)
			ar++
		}
	}
	return out, ns, ar
}

// signal decides whether an answer cut to n records carries TC. HAProxy throws a truncated A
// answer away, so a client with EDNS and a small buffer gets a random subset without TC instead.
// An answer cut to nothing always does: it must not look like NODATA.
func (a *answer) signal(q *query, n int) bool {
	if q.tcp {
		return false
	}
	if n == 0 {
		return true
	}
	if a.set != nil {
		switch a.set.zone.Truncate {
		case TruncateAlways:
			return true
		case TruncateNever:
			return false
		}
	}
	addresses := q.qtype == typeA || q.qtype == typeAAAA || q.qtype == typeANY
	return !(a.partial && addresses && q.opt && q.size < ourUDP)
}

// addressBody is the packed A or AAAA record of an address, without owner.
func addressBody(ip []byte, ttl uint32) []byte {
	typ := uint16(typeA)
	if len(ip) == 16 {
		typ = typeAAAA
	}
	return append(rrBody(typ, ttl, len(ip)), ip...)
}

// rrBody is the fixed part of a record of class IN whose data has n bytes.
func rrBody(typ uint16, ttl uint32, n int) []byte {
	b := make([]byte, 0, 10+n)
	b = put16(put16(b, typ), classIN)
	return put16(put32(b, ttl), uint16(n))
}

// nameBody is a packed record whose data is one name.
func nameBody(typ uint16, ttl uint32, name []byte) []byte {
	return append(rrBody(typ, ttl, len(name)), name...)
}

// txtBody is a packed TXT record; longer strings are split (RFC 1035 3.3.14).
func txtBody(ttl uint32, text string) []byte {
	var data []byte
	for first := true; first || text != ""; first = false {
		n := min(len(text), 255)
		data = append(append(data, byte(n)), text[:n]...)
		text = text[n:]
	}
	if len(data) > 0xffff {
		return nil
	}
	return append(rrBody(typeTXT, ttl, len(data)), data...)
}
