package dnsproxy

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// tcpParallel is how many questions of one connection are answered at once.
const tcpParallel = 32

// tcpIdle is how long a connection may stay without a question under way; clients that ask
// (RFC 7828) are told.
const tcpIdle = 10 * time.Second

// tcpTimes is how long a client may take over things.
type tcpTimes struct {
	first   time.Duration // to the first byte of the first query
	message time.Duration // from the first byte of a message to its last
	write   time.Duration // to take a reply
	idle    time.Duration
}

var defaultTCPTimes = tcpTimes{first: 3 * time.Second, message: 2 * time.Second, write: 2 * time.Second, idle: tcpIdle}

// serveTCP accepts until the listener is closed, then waits for its connections.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	c := s.stats.reader()
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			if ctx.Err() != nil || closedErr(err) {
				return nil
			}
			select { // out of descriptors
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		tc := newTCPConn(s, conn, c)
		if !s.conns.add(tc) {
			c.refusedConns.Add(1)
			conn.Close()
			continue
		}
		conns.Go(func() {
			defer s.conns.remove(tc)
			tc.serve(ctx)
		})
	}
}

// tcpConn is one client connection.
type tcpConn struct {
	s     *Server
	conn  *net.TCPConn
	src   netip.AddrPort
	c     *counters
	slots chan struct{} // held by questions being answered

	write sync.Mutex // one reply at a time

	idle    int64 // when it fell idle; 0: busy; guarded by the connTable
	pending int   // questions begun and not answered; guarded by the connTable
}

func newTCPConn(s *Server, conn *net.TCPConn, c *counters) *tcpConn {
	src := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	return &tcpConn{
		s: s, conn: conn, c: c, src: netip.AddrPortFrom(src.Addr().Unmap(), src.Port()),
		slots: make(chan struct{}, tcpParallel),
	}
}

// serve answers the queries of the connection, up to tcpParallel of them at a time and in
// whatever order they are done. It returns when the client leaves, misbehaves or is idle.
func (t *tcpConn) serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { t.conn.Close() })
	defer stop()
	var busy sync.WaitGroup
	defer t.conn.Close()
	defer busy.Wait()
	if !t.s.set.Load().allowed(t.src.Addr()) {
		t.c.refused.Add(1)
		return
	}
	for wait := t.s.tcpTimes.first; ; wait = t.s.tcpTimes.idle {
		msg, err := readMessage(t.conn, wait, t.s.tcpTimes.message, func() { t.s.conns.busy(t) })
		if err != nil {
			return
		}
		t.slots <- struct{}{}
		busy.Go(func() {
			t.answer(ctx, msg)
			<-t.slots
			t.s.conns.rest(t)
		})
	}
}

// answer answers one query of the connection.
func (t *tcpConn) answer(ctx context.Context, msg []byte) {
	q := &query{src: t.src, tcp: true}
	out := make([]byte, 0, 1024)
	reply, wait := t.s.respondGuarded(q, msg, out, t.c)
	if wait {
		if t.s.slots.take(t.src.Addr()) {
			reply = t.s.laterGuarded(ctx, q, t.c)
			t.s.slots.free(t.src.Addr())
		} else {
			t.c.shed.Add(1)
			reply = q.fail(out, rcodeServFail, edeNone)
		}
	}
	if reply == nil {
		return
	}
	t.write.Lock()
	defer t.write.Unlock()
	_ = t.conn.SetWriteDeadline(time.Now().Add(t.s.tcpTimes.write))
	if writeMessage(t.conn, reply) != nil {
		t.conn.Close() // a client that does not read gets nothing more
	}
}

// readMessage reads one message. Its first byte must come within wait, the others within rest
// of it; begun is called in between.
func readMessage(conn net.Conn, wait, rest time.Duration, begun func()) ([]byte, error) {
	var head [2]byte
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	if _, err := io.ReadFull(conn, head[:1]); err != nil {
		return nil, err
	}
	begun()
	_ = conn.SetReadDeadline(time.Now().Add(rest))
	if _, err := io.ReadFull(conn, head[1:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n < headerLen {
		return nil, io.ErrUnexpectedEOF
	}
	msg := make([]byte, n)
	_, err := io.ReadFull(conn, msg)
	return msg, err
}

// writeMessage writes a message with its length in one piece.
func writeMessage(conn net.Conn, msg []byte) error {
	_, err := conn.Write(append(put16(make([]byte, 0, 2+len(msg)), uint16(len(msg))), msg...))
	return err
}
