package dnsproxy

import (
	"net/netip"

	"github.com/miekg/dns"
)

// query is one question as it came in, in a form that costs no allocation. A reader owns one
// and uses it for every packet; clone makes a copy that outlives the packet.
type query struct {
	raw  []byte // the packet; the question is raw[headerLen:qend]
	qend int    // 0: there is no question to repeat
	id   uint16
	bits uint16 // flags word of the query

	name   [maxName + 2]byte // lower-cased wire name, then the type
	nlen   int
	labels int
	qtype  uint16
	qclass uint16
	hash   uint64

	opt     bool
	do      bool
	tail    bool     // bytes behind the last record
	alive   bool     // carries edns-tcp-keepalive
	ecs     [20]byte // client subnet as sent, with scope 0; see echo
	ecsLen  int
	echo    bool // repeat ecs in the reply: only answers of our own zones do
	version uint8
	size    uint16 // advertised by the client

	src      netip.AddrPort
	tcp      bool
	loopback bool
	limit    int // largest reply
	ede      uint16
	perm     []uint16 // scratch for shuffles
}

// qname is the lower-cased wire name.
func (q *query) qname() []byte { return q.name[:q.nlen] }

// key is the wire name followed by the type: what local answers are found by.
func (q *query) key() []byte { return q.name[:q.nlen+2] }

func (q *query) cd() bool { return q.bits&flagCD != 0 }

// clone copies the query and its packet.
func (q *query) clone() *query {
	c := *q
	c.raw = append([]byte(nil), q.raw[:max(q.qend, min(len(q.raw), headerLen))]...)
	c.perm = nil
	return &c
}

// verdict is what parsing says to do with a packet.
type verdict int

const (
	parseOK   verdict = iota
	parseDrop         // say nothing
	parseErr          // answer with the returned rcode
)

// parse reads a packet into q. The common query (one question, at most one OPT record) is
// read by hand; other record counts go through the library.
func (q *query) parse(raw []byte) (verdict, uint16) {
	q.raw, q.qend, q.nlen, q.labels = raw, 0, 0, 0
	q.ecsLen, q.echo = 0, false
	q.opt, q.do, q.alive, q.tail, q.version, q.size, q.ede = false, false, false, false, 0, 0, edeNone
	if len(raw) < headerLen {
		return parseDrop, 0
	}
	q.id, q.bits = get16(raw, 0), get16(raw, 2)
	if q.bits&flagQR != 0 {
		return parseDrop, 0
	}
	qd, an, ns, ar := get16(raw, 4), get16(raw, 6), get16(raw, 8), get16(raw, 10)
	off, ok := headerLen, true
	if qd == 1 {
		off, ok = q.question(headerLen)
	}
	if q.bits>>11&0xf != 0 {
		if qd == 1 && ok && an == 0 && ns == 0 {
			q.additional(off, int(ar))
		}
		return parseErr, rcodeNotImp
	}
	if qd != 1 || !ok {
		return parseErr, rcodeFormErr
	}
	if an != 0 || ns != 0 {
		if q.qtype == typeIXFR && an == 0 && ns == 1 { // RFC 1995: carries the client's SOA
			return parseErr, rcodeRefused
		}
		return parseErr, rcodeFormErr
	}
	if ar == 0 {
		q.tail = off < len(raw)
		return parseOK, 0
	}
	if !q.additional(off, int(ar)) {
		return parseErr, rcodeFormErr
	}
	return parseOK, 0
}

// question reads the question at off. A compressed name there can only point into the header
// and is refused.
func (q *query) question(off int) (int, bool) {
	raw, n, labels := q.raw, 0, 0
	for {
		if off >= len(raw) {
			return 0, false
		}
		l := int(raw[off])
		if l > 63 || n+l+1 > maxName || off+1+l > len(raw) {
			return 0, false
		}
		q.name[n] = byte(l)
		n++
		off++
		if l == 0 {
			break
		}
		for i, c := range raw[off : off+l] {
			q.name[n+i] = lowerTable[c]
		}
		n += l
		off += l
		labels++
	}
	if off+4 > len(raw) {
		return 0, false
	}
	q.nlen, q.labels = n, labels
	q.qtype, q.qclass = get16(raw, off), get16(raw, off+2)
	q.name[n], q.name[n+1] = raw[off], raw[off+1]
	q.qend = off + 4
	return q.qend, true
}

// additional reads n records from off: at most one OPT with the root as owner. Other records
// (TSIG, SIG) are checked by the library and otherwise ignored.
func (q *query) additional(off, n int) bool {
	other, opts := false, 0
	for range n {
		h, ok := readRR(q.raw, off)
		if !ok {
			return false
		}
		off = h.end
		if h.typ != typeOPT {
			other = true
			continue
		}
		opts++
		if opts > 1 || q.raw[h.owner] != 0 || !q.options(q.raw[h.rdata:h.end]) {
			q.opt = false
			return false
		}
		q.opt, q.size = true, h.class
		q.version, q.do = uint8(h.ttl>>16), h.ttl&(1<<15) != 0
	}
	q.tail = off < len(q.raw)
	if other {
		var m dns.Msg
		return m.Unpack(q.raw) == nil
	}
	return true
}

// options walks the option list of an OPT record (RFC 6891 6.1.2). Of all options only
// edns-tcp-keepalive (RFC 7828) and the client's subnet (RFC 7871) mean anything to us.
func (q *query) options(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		n := 4 + int(get16(b, 2))
		if n > len(b) {
			return false
		}
		switch get16(b, 0) {
		case optKeepalive:
			q.alive = true
		case optSubnet:
			if !q.subnet(b[4:n]) {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

// subnet keeps the client subnet option for the reply; a malformed one is FORMERR.
func (q *query) subnet(b []byte) bool {
	if len(b) < 4 || len(b) > len(q.ecs) {
		return false
	}
	bits := int(b[2])
	switch get16(b, 0) {
	case 0:
		bits = 0
	case 1:
		if bits > 32 {
			return false
		}
	case 2:
		if bits > 128 {
			return false
		}
	default:
		return false
	}
	if len(b) != 4+(bits+7)/8 {
		return false
	}
	q.ecsLen = copy(q.ecs[:], b)
	q.ecs[3] = 0
	return true
}

// suffix reports whether name ends in the wire name zone at a label boundary, and where.
func suffix(name, zone []byte) (int, bool) {
	at := len(name) - len(zone)
	if at < 0 || string(name[at:]) != string(zone) {
		return 0, false
	}
	for i := 0; i <= at; {
		if i == at {
			return at, true
		}
		i += 1 + int(name[i])
	}
	return 0, false
}

// splitLabels gives the labels of a wire name as strings, the leftmost first, without root.
func splitLabels(name []byte) []string {
	var out []string
	for i := 0; i < len(name) && name[i] != 0; i += 1 + int(name[i]) {
		out = append(out, string(name[i+1:i+1+int(name[i])]))
	}
	return out
}
