package dnsproxy

import (
	"net/netip"
	"sync"
	"time"
)

// connTable bounds TCP connections: in all, per address, with some kept for this host. When
// it is full the connection idle for longest makes room, but none of this host for one from elsewhere.
type connTable struct {
	limits Limits

	mu    sync.Mutex // guards what follows, and idle and pending of the connections
	conns map[*tcpConn]struct{}
	each  map[netip.Addr]int
}

func (t *connTable) init(l Limits) {
	t.limits, t.conns, t.each = l, map[*tcpConn]struct{}{}, map[netip.Addr]int{}
}

// add takes a connection in; false: there is no room for it.
func (t *connTable) add(c *tcpConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ip := c.src.Addr()
	total, each := t.limits.TCPConns, t.limits.TCPConnsPerLoopback
	if !ip.IsLoopback() {
		total -= (total*8 + 99) / 100
		each = t.limits.TCPConnsPerAddr
	}
	if t.each[ip] >= each && !t.evict(func(o *tcpConn) bool { return o.src.Addr() == ip }) {
		return false
	}
	if len(t.conns) >= total && !t.evict(func(o *tcpConn) bool { return ip.IsLoopback() || !o.src.Addr().IsLoopback() }) {
		return false
	}
	c.idle = time.Now().UnixNano()
	t.conns[c] = struct{}{}
	t.each[ip]++
	return true
}

// evict closes the connection idle for longest among those that match; false: none is idle.
// The caller holds mu.
func (t *connTable) evict(match func(*tcpConn) bool) bool {
	var oldest *tcpConn
	for c := range t.conns {
		if c.idle != 0 && match(c) && (oldest == nil || c.idle < oldest.idle) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	t.drop(oldest)
	oldest.conn.Close()
	return true
}

// drop forgets a connection. The caller holds mu.
func (t *connTable) drop(c *tcpConn) {
	if _, ok := t.conns[c]; !ok {
		return
	}
	delete(t.conns, c)
	if t.each[c.src.Addr()]--; t.each[c.src.Addr()] <= 0 {
		delete(t.each, c.src.Addr())
	}
}

func (t *connTable) remove(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(c)
}

// busy says that a message is coming in.
func (t *connTable) busy(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.idle = 0
	c.pending++
}

// rest says that a question is answered.
func (t *connTable) rest(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.pending--; c.pending == 0 {
		c.idle = time.Now().UnixNano()
	}
}

// size is how many connections there are.
func (t *connTable) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}
