package dnsproxy

import (
	"context"
	"net"
	"net/netip"
	"time"

	"berth/dnsproxy/socket"
)

// serveUDP reads one socket until it is closed. What local data and the cache can answer is
// answered here; the rest goes to its own goroutine, if there is a slot.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) error {
	c := s.stats.reader()
	b, err := socket.NewBatch(conn)
	if err != nil {
		return err
	}
	q := &query{}
	for {
		n, err := b.Read()
		if err != nil {
			if ctx.Err() != nil || closedErr(err) {
				return nil
			}
			continue
		}
		for i := range n {
			raw, src := b.Packet(i)
			q.src = src
			out := b.Room()
			reply, wait := s.respondGuarded(q, raw, out, c)
			if wait && !s.spawn(ctx, conn, q, c) {
				c.shed.Add(1)
				c.rcode(rcodeServFail)
				reply = q.fail(out, rcodeServFail, edeNone)
			}
			b.Reply(i, reply)
		}
		b.Flush()
	}
}

// respondGuarded is respond with a net under it.
func (s *Server) respondGuarded(q *query, raw, out []byte, c *counters) (reply []byte, wait bool) {
	defer s.guard(q, out, &reply, c)
	return s.respond(q, raw, out, c)
}

// spawn answers a question on its own goroutine; false: too many wait already.
func (s *Server) spawn(ctx context.Context, conn *net.UDPConn, q *query, c *counters) bool {
	if !s.slots.take(q.src.Addr()) {
		return false
	}
	own := q.clone()
	s.later.Go(func() {
		defer s.slots.free(own.src.Addr())
		reply := s.laterGuarded(ctx, own, c)
		if reply = s.limited(own, reply, nil, time.Now(), c); reply != nil {
			_, _ = conn.WriteToUDPAddrPort(reply, writable(conn, own.src))
		}
	})
	return true
}

// writable is an address as the socket's family wants it.
func writable(conn *net.UDPConn, to netip.AddrPort) netip.AddrPort {
	if l, ok := conn.LocalAddr().(*net.UDPAddr); ok && l.IP.To4() == nil && to.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
	}
	return to
}

// laterGuarded is respondLater with a net under it.
func (s *Server) laterGuarded(ctx context.Context, q *query, c *counters) (reply []byte) {
	out := make([]byte, 0, min(q.limit, 4096))
	defer s.guard(q, out, &reply, c)
	return s.respondLater(ctx, q, out, c)
}
