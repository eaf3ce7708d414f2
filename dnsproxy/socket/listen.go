// Package socket binds DNS addresses, UDP and TCP together, and moves many datagrams at once.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"

	"berth/internal/sockets"

	"golang.org/x/sys/unix"
)

// Binding is one address with its sockets: TCP, and several UDP sockets that share the port.
type Binding struct {
	Asked string // as configured
	Addr  netip.AddrPort
	UDP   []*net.UDPConn
	TCP   *net.TCPListener
}

// MaxReply is the largest reply over UDP that a Batch has room for.
const MaxReply = 16384

// readers is how many UDP sockets an address gets.
func readers() int { return min(runtime.GOMAXPROCS(0), 4) }

// Listen binds addr. The TCP socket comes first and keeps a second daemon out, which the
// shared UDP port alone would let in.
func Listen(addr string) (*Binding, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("dns listen address %q: use ip:port", addr)
	}
	var last error
	for range 20 { // port 0: the TCP port may be taken for UDP
		b, again, err := tryListen(addr)
		if err == nil {
			return b, nil
		}
		if last = err; !again {
			break
		}
	}
	return nil, last
}

func tryListen(addr string) (b *Binding, again bool, err error) {
	want := netip.MustParseAddrPort(addr)
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), network("tcp", want), addr)
	if err != nil {
		return nil, false, bindError("tcp", addr, err)
	}
	b = &Binding{Asked: addr, TCP: l.(*net.TCPListener)}
	b.Addr = netip.AddrPortFrom(want.Addr(), uint16(l.Addr().(*net.TCPAddr).Port))
	probe, err := lc.ListenPacket(context.Background(), network("udp", want), b.Addr.String())
	if err != nil {
		b.Close()
		return nil, want.Port() == 0, bindError("udp", b.Addr.String(), err)
	}
	probe.Close()
	lc.Control = reusePort
	for range readers() {
		c, err := lc.ListenPacket(context.Background(), network("udp", want), b.Addr.String())
		if err != nil {
			b.Close()
			return nil, want.Port() == 0, bindError("udp", b.Addr.String(), err)
		}
		u := c.(*net.UDPConn)
		growBuffer(u)
		b.UDP = append(b.UDP, u)
	}
	return b, false, nil
}

// network keeps an IPv6 socket from taking the IPv4 port as well.
func network(proto string, ap netip.AddrPort) string {
	if ap.Addr().Is4() {
		return proto + "4"
	}
	return proto + "6"
}

// Close closes all sockets; closing twice is no error.
func (b *Binding) Close() error {
	var first error
	if b.TCP != nil {
		first = b.TCP.Close()
	}
	for _, u := range b.UDP {
		if err := u.Close(); first == nil {
			first = err
		}
	}
	if errors.Is(first, net.ErrClosed) {
		return nil
	}
	return first
}

func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}

// growBuffer asks for a receive buffer that outlives a pause; root gets past the system's cap.
func growBuffer(u *net.UDPConn) {
	const size = 4 << 20
	raw, err := u.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, rcvbufForce, size) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
		}
	})
}

// bindError says what could not be bound and what to do. Who holds a port that is taken is
// looked up by address too: this process has the same port on other addresses.
func bindError(proto, addr string, err error) error {
	ap, perr := netip.ParseAddrPort(addr)
	if perr != nil || !errors.Is(err, syscall.EADDRINUSE) {
		return sockets.Explain(err, "dns", proto, ap.Addr().String(), int(ap.Port()))
	}
	holder := portHolder(proto, addr)
	if holder == "" {
		holder = "another process"
	}
	return fmt.Errorf("listen for dns on %s/%s: port is in use by %s, stop that or give dns another address: %w", addr, proto, holder, err)
}
