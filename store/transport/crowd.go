package transport

import (
	"net"
	"sync"
)

// crowd counts incoming connections by address. It is safe for concurrent use.
type crowd struct {
	limit int // 0: none

	mu   sync.Mutex // guards open
	open map[string]int
}

// enter takes a place for a connection from addr; leave, which may be called once, gives it
// back. false: there is none.
func (c *crowd) enter(addr net.Addr) (leave func(), ok bool) {
	if c.limit <= 0 {
		return func() {}, true
	}
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		host = addr.String()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[host] >= c.limit {
		return nil, false
	}
	if c.open == nil {
		c.open = map[string]int{}
	}
	c.open[host]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[host]--; c.open[host] == 0 {
			delete(c.open, host)
		}
	}, true
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close closes the connection and gives its place back, once.
func (c *countedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
