package gossip

import (
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"berth/internal/sockets"
)

// network is memberlist's transport with the faults that tests ask for. It lets nothing in
// before deliver runs: serf would otherwise handle messages before it is complete.
type network struct {
	*memberlist.NetTransport
	drop    func(addr string) bool
	packets chan *memberlist.Packet
	streams chan net.Conn
}

// PacketCh gives what deliver lets through.
func (n *network) PacketCh() <-chan *memberlist.Packet { return n.packets }

// StreamCh gives what deliver lets through.
func (n *network) StreamCh() <-chan net.Conn { return n.streams }

// deliver passes packets and streams on until done is closed.
func (n *network) deliver(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case p := <-n.NetTransport.PacketCh():
			select {
			case n.packets <- p:
			case <-done:
				return
			}
		case c := <-n.NetTransport.StreamCh():
			select {
			case n.streams <- c:
			case <-done:
				c.Close()
				return
			}
		}
	}
}

var errDropped = errors.New("link is cut")

// bind opens the pool's TCP and UDP sockets.
func bind(cfg Config, logger *log.Logger) (*network, error) {
	t, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{cfg.BindAddr}, BindPort: cfg.BindPort, Logger: logger,
	})
	if err != nil {
		what, proto := "LAN gossip", "tcp"
		if cfg.WAN {
			what = "WAN gossip"
		}
		if strings.Contains(err.Error(), "UDP") {
			proto = "udp"
		}
		return nil, sockets.Explain(err, what, proto, cfg.BindAddr, cfg.BindPort)
	}
	return &network{NetTransport: t, drop: cfg.Drop, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn)}, nil
}

// FinalAdvertiseAddr is what memberlist announces; the wildcard without an address is refused
// with the remedy.
func (n *network) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	addr, p, err := n.NetTransport.FinalAdvertiseAddr(ip, port)
	if err != nil {
		return nil, 0, fmt.Errorf("choose the address to advertise (set advertise_addr): %w", err)
	}
	return addr, p, nil
}

// WriteTo sends a packet.
func (n *network) WriteTo(b []byte, addr string) (time.Time, error) {
	if n.drop != nil && n.drop(addr) {
		return time.Now(), nil
	}
	return n.NetTransport.WriteTo(b, addr)
}

// WriteToAddress sends a packet.
func (n *network) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return n.WriteTo(b, a.Addr)
}

// DialTimeout opens a stream.
func (n *network) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	if n.drop != nil && n.drop(addr) {
		return nil, errDropped
	}
	return n.NetTransport.DialTimeout(addr, timeout)
}

// DialAddressTimeout opens a stream.
func (n *network) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return n.DialTimeout(a.Addr, timeout)
}
