package store

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"berth/store/transport"
)

// openTLS chooses the server port's security: what the configuration gives, else mutual TLS
// from the gossip key, else none, with one warning.
func (s *Store) openTLS() error {
	switch {
	case s.cfg.TLS != nil:
		s.tls = s.cfg.TLS
	case s.lan.Encrypted():
		k, err := transport.NewKeyTLS(s.lan.Keys)
		if err != nil {
			return err
		}
		s.tls = k
	case s.cfg.DataDir != "":
		s.log.Warn("no encrypt key is set: gossip and the server port are in clear text, and anybody who reaches them can change the catalog")
	}
	return nil
}

// After a key was removed, what is under way on connections that were made with it has retireGrace.
const (
	retireLook  = time.Second
	retireGrace = 5 * time.Second
)

// retireKeys ends the server port's connections under keys that have left the keyring.
func (s *Store) retireKeys(ctx context.Context) error {
	k, ok := s.tls.(*transport.KeyTLS)
	if !ok {
		return nil
	}
	tick := time.NewTicker(retireLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if k.Shrunk() {
			s.trans.Retire(ctx, retireGrace)
		}
	}
}

var errCut = errors.New("link is cut")

// dropDial dials unless drop says that the link is cut; connections die when it is cut later.
func dropDial(drop func(addr string) bool) func(context.Context, string) (net.Conn, error) {
	d := &net.Dialer{}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		if drop(addr) {
			<-ctx.Done() // packets vanish: no refusal comes back
			return nil, errCut
		}
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &cutConn{Conn: c, cut: func() bool { return drop(addr) }, closed: make(chan struct{})}, nil
	}
}

// cutConn loses what is written while its link is cut, as a partition does.
type cutConn struct {
	net.Conn
	cut    func() bool
	once   sync.Once
	closed chan struct{}
}

// Close ends a Read that waits for the link.
func (c *cutConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Write loses p while the link is cut.
func (c *cutConn) Write(p []byte) (int, error) {
	if c.cut() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Read gives nothing while the link is cut.
func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for n > 0 && c.cut() { // TCP would retransmit after the cut heals
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		case <-time.After(10 * time.Millisecond):
		}
	}
	return n, err
}
