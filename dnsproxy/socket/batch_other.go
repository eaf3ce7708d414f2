//go:build !linux

package socket

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

const rcvbufForce = unix.SO_RCVBUF

// Batch reads and writes datagrams of one socket, here one at a time.
type Batch struct {
	conn *net.UDPConn
	buf  [2048]byte
	n    int
	src  netip.AddrPort
	out  [MaxReply]byte
}

// NewBatch makes the batch of a socket.
func NewBatch(conn *net.UDPConn) (*Batch, error) { return &Batch{conn: conn}, nil }

// Read waits for a datagram.
func (b *Batch) Read() (int, error) {
	n, src, err := b.conn.ReadFromUDPAddrPort(b.buf[:])
	b.n, b.src = n, src
	return 1, err
}

// Packet is the datagram and where it came from.
func (b *Batch) Packet(int) ([]byte, netip.AddrPort) {
	return b.buf[:b.n], netip.AddrPortFrom(b.src.Addr().Unmap(), b.src.Port())
}

// Room is an empty slice for the reply.
func (b *Batch) Room() []byte { return b.out[:0] }

// Reply sends what was written into Room.
func (b *Batch) Reply(_ int, msg []byte) { _, _ = b.conn.WriteToUDPAddrPort(msg, b.src) }

// Flush does nothing here: Reply has sent.
func (b *Batch) Flush() {}
