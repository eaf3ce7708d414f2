package store

import (
	"errors"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"berth/store/transport"
)

// stream is raft's view of port 8300.
type stream struct {
	net.Listener
	t    *transport.Transport
	addr net.Addr
	lost func() // called when another server's connection has ended
}

// Accept gives the next connection of another server.
func (s *stream) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &peerConn{Conn: c, lost: s.lost}, nil
}

// peerConn tells when the other side has ended the connection.
type peerConn struct {
	net.Conn
	lost func()
}

// Read reads, and tells of the end, once: raft closes the connection at the first error.
func (c *peerConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.lost()
	}
	return n, err
}

// Dial connects to another server.
func (s *stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.t.DialRaft(string(addr), timeout)
}

// Addr is the address that others reach this server at.
func (s *stream) Addr() net.Addr { return s.addr }

type advertised string

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }

// addresses finds servers by ID, whatever address raft's configuration has for them: after all
// have changed theirs, nobody leads who could write down the new ones.
type addresses func(id string) string

// ServerAddr gives the address that gossip has; an error makes raft use its own.
func (f addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if a := f(string(id)); a != "" {
		return raft.ServerAddress(a), nil
	}
	return "", errUnknownServer
}

var errUnknownServer = errors.New("gossip does not know the server")
