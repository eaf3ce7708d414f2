package dnsproxy

import (
	"net/netip"
	"sync"
)

// slots bounds the questions that wait for other hosts, in all and per client address.
type slots struct {
	mu        sync.Mutex // guards what follows
	max, each int
	used      int
	clients   map[netip.Addr]int
}

func (s *slots) init(limit, each int) {
	s.max, s.each, s.clients = limit, each, map[netip.Addr]int{}
}

// take reserves a slot for a client; false: there is none.
func (s *slots) take(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.max || s.clients[ip] >= s.each {
		return false
	}
	s.used++
	s.clients[ip]++
	return true
}

// free gives a slot back.
func (s *slots) free(ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.clients[ip]--; s.clients[ip] <= 0 {
		delete(s.clients, ip)
	}
}

// inUse is how many slots are taken.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}
