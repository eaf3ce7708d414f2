package socket

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batchSize  = 32
	batchArena = 64 << 10
	batchIn    = 2048 // longer datagrams are no queries

	rcvbufForce = unix.SO_RCVBUFFORCE
)

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// Batch reads and writes datagrams of one socket many at a time: recvmmsg takes what waits,
// sendmmsg sends the replies. It is for one goroutine.
type Batch struct {
	raw   syscall.RawConn
	in    [batchSize]mmsghdr
	out   [batchSize]mmsghdr
	iovIn [batchSize]unix.Iovec
	iovUp [batchSize]unix.Iovec
	peers [batchSize]unix.RawSockaddrInet6
	bufs  [batchSize][batchIn]byte
	arena []byte // replies, one behind the other
	used  int
	sends int

	got, done int
	errno     syscall.Errno
	recv      func(fd uintptr) bool
	send      func(fd uintptr) bool
}

// NewBatch makes the batch of a socket.
func NewBatch(conn *net.UDPConn) (*Batch, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &Batch{raw: raw, arena: make([]byte, batchArena)}
	for i := range b.in {
		b.iovIn[i].Base = &b.bufs[i][0]
		b.iovIn[i].SetLen(batchIn)
		h := &b.in[i].hdr
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&b.peers[i])), &b.iovIn[i]
		h.SetIovlen(1)
		o := &b.out[i].hdr
		o.Iov = &b.iovUp[i]
		o.SetIovlen(1)
	}
	b.recv, b.send = b.recvmmsg, b.sendmmsg
	return b, nil
}

// Read waits for datagrams and says how many there are. An error without errno is final.
func (b *Batch) Read() (int, error) {
	for i := range b.in {
		b.in[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	b.got, b.errno = 0, 0
	if err := b.raw.Read(b.recv); err != nil {
		return 0, err
	}
	return b.got, nil
}

func (b *Batch) recvmmsg(fd uintptr) bool {
	for {
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			b.got = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default: // an ICMP error about an earlier reply
			b.errno = e
			return true
		}
	}
}

// Packet is the i-th datagram and where it came from. A datagram that was cut is empty.
func (b *Batch) Packet(i int) ([]byte, netip.AddrPort) {
	n := b.in[i].n
	if b.in[i].hdr.Flags&unix.MSG_TRUNC != 0 || n > batchIn {
		n = 0
	}
	p := &b.peers[i]
	port := p.Port<<8 | p.Port>>8
	if p.Family == unix.AF_INET {
		p4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(p))
		return b.bufs[i][:n], netip.AddrPortFrom(netip.AddrFrom4(p4.Addr), port)
	}
	ip := netip.AddrFrom16(p.Addr).Unmap()
	if ip.Is6() && ip.IsLinkLocalUnicast() {
		ip = ip.WithZone(strconv.Itoa(int(p.Scope_id)))
	}
	return b.bufs[i][:n], netip.AddrPortFrom(ip, port)
}

// Room is an empty slice for the next reply.
func (b *Batch) Room() []byte {
	if len(b.arena)-b.used < MaxReply || b.sends == batchSize {
		b.Flush()
	}
	return b.arena[b.used:b.used:len(b.arena)]
}

// Reply queues what was written into Room as the answer to the i-th datagram.
func (b *Batch) Reply(i int, msg []byte) {
	if len(msg) == 0 {
		return
	}
	v := &b.iovUp[b.sends]
	v.Base = &msg[0]
	v.SetLen(len(msg))
	h := &b.out[b.sends].hdr
	h.Name, h.Namelen = b.in[i].hdr.Name, b.in[i].hdr.Namelen
	b.sends++
	b.used += len(msg)
}

// Flush sends the queued replies. What the kernel does not take now is lost, as UDP may.
func (b *Batch) Flush() {
	if b.sends > 0 {
		b.done = 0
		_ = b.raw.Write(b.send)
	}
	b.sends, b.used = 0, 0
}

func (b *Batch) sendmmsg(fd uintptr) bool {
	for b.done < b.sends {
		n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[b.done])), uintptr(b.sends-b.done), 0, 0, 0)
		switch e {
		case 0:
			b.done += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default: // this one cannot be sent
			b.done++
		}
	}
	return true
}
