package dnsproxy

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	rrlSlots = 1 << 14
	// rrlLocal is how many times the rate clients in private networks get: containers that
	// look a name up for every connection are no attack. They are never met with silence.
	rrlLocal = 10
)

// limiter is response rate limiting for UDP clients that are not this host: spoofed sources
// must not make us a flood of answers to somebody else. It counts answers per client network
// (/24 or /56) and answer in a fixed table; what shares a slot shares a count.
type limiter struct {
	rate  int
	seed  maphash.Seed
	slots [rrlSlots]atomic.Uint64 // second in the upper half, count in the lower
}

func newLimiter(rate int) *limiter { return &limiter{rate: rate, seed: maphash.MakeSeed()} }

// excess counts one answer to ip's network and says how many of them are over the rate in
// this second. answer tells answers apart; all failures are one.
func (l *limiter) excess(ip netip.Addr, answer uint64, now time.Time) int {
	if l.rate < 0 {
		return 0
	}
	rate := l.rate
	if isLocal(ip) {
		rate *= rrlLocal
	}
	raw := ip.As16()
	net := raw[:7] // /56
	if ip.Is4() {
		net = raw[12:15] // /24
	}
	slot := &l.slots[(maphash.Bytes(l.seed, net)^answer*0x9e3779b97f4a7c15)%rrlSlots]
	second := uint64(now.Unix()) << 32
	for {
		old := slot.Load()
		next := old + 1
		if old&^(1<<32-1) != second {
			next = second + 1
		}
		if slot.CompareAndSwap(old, next) {
			return max(0, int(next&(1<<32-1))-rate)
		}
	}
}

// isLocal tells whether ip is in a private or link-local network.
func isLocal(ip netip.Addr) bool { return ip.IsPrivate() || ip.IsLinkLocalUnicast() }

// limited lets a reply over UDP pass, or takes its place: an empty truncated reply makes an
// honest client come back over TCP; every second one over the rate is dropped.
func (s *Server) limited(q *query, reply, out []byte, now time.Time, c *counters) []byte {
	if q.loopback || q.tcp || len(reply) < headerLen {
		return reply
	}
	answer := q.hash
	if rcode := reply[3] & 0xf; rcode != rcodeOK {
		answer = uint64(rcode)
	}
	over := s.rrl.excess(q.src.Addr(), answer, now)
	if over == 0 {
		return reply
	}
	c.limited.Add(1)
	if over%2 == 0 && !isLocal(q.src.Addr()) {
		return nil
	}
	q.echo = false
	return q.finish(q.header(out, 0, flagTC|flagRA), 0, 0, 0, 0, edeNone)
}

// refuseClient tells a client outside the access list so, in no more bytes than it sent.
func (s *Server) refuseClient(q *query, set *settings, out []byte, c *counters) []byte {
	c.refused.Add(1)
	if set.drop {
		return nil
	}
	ede := uint16(edeProhibited)
	if q.optSize(ede)-optLen > len(q.raw)-q.qend-optLen {
		ede = edeNone
	}
	reply := q.finish(q.header(out, rcodeRefused, 0), 0, 0, 0, rcodeRefused, ede)
	if len(reply) > len(q.raw) {
		return nil
	}
	return reply
}

// validSource refuses sources that a reply must not go to.
func validSource(src netip.AddrPort) bool {
	ip := src.Addr()
	return src.Port() != 0 && ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && ip != broadcast
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
