package dnsproxy

import (
	"net/netip"

	"berth/dnsproxy/socket"
)

// allowed tells whether a client may ask at all. It runs before everything that costs.
func (s *settings) allowed(ip netip.Addr) bool {
	if ip.IsLoopback() {
		for i := range s.allow {
			if s.allow[i].Contains(ip) {
				return true
			}
		}
		return false
	}
	ip = ip.WithZone("")
	for i := range s.allow {
		if s.allow[i].Contains(ip) {
			return true
		}
	}
	return false
}

// limitFor is the largest UDP reply to a client (spec 1.6).
func (q *query) limitFor() int {
	if q.tcp {
		return maxTCP
	}
	if !q.opt {
		return minUDP
	}
	size := max(int(q.size), minUDP)
	switch ip := q.src.Addr(); {
	case ip.IsLoopback():
		return min(size, socket.MaxReply)
	case isLocal(ip):
		return min(size, 4096)
	case q.qtype == typeANY:
		return minUDP
	}
	return min(size, ourUDP)
}
