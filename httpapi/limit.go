package httpapi

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// textTooMany is what a client over its connection limit is told, before the connection ends.
const textTooMany = "HTTP/1.1 429 Too Many Requests\r\n" +
	"Content-Type: text/plain\r\nContent-Length: 81\r\nConnection: close\r\n\r\n" +
	"Your IP is issuing too many concurrent connections, please rate limit your calls\n"

const (
	refusalTime = 500 * time.Millisecond // for a refused client to read its answer
	maxRefusals = 64                     // refusals under way at once; further ones are just closed
)

// limitedListener counts connections by client address. It is safe for concurrent use.
type limitedListener struct {
	net.Listener
	perClient int  // below 0: no limit
	total     int  // 0: no limit
	secure    bool // TLS follows: a refused client cannot be told in plain text

	mu       sync.Mutex // guards what follows
	open     int
	byClient map[netip.Addr]int
	refusing int
	wg       sync.WaitGroup // refusals under way
}

func (s *Server) limitConns(l net.Listener, secure bool) net.Listener {
	return &limitedListener{Listener: l, perClient: s.cfg.Limits.MaxConnsPerClient, total: s.cfg.Limits.MaxConns, secure: secure,
		byClient: make(map[netip.Addr]int)}
}

// Accept gives the next connection that is within the limits; others are answered and closed.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := clientOf(conn)
		if l.take(addr) {
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { l.release(addr) })}, nil
		}
		l.refuse(conn)
	}
}

// Close stops listening and waits for refusals under way.
func (l *limitedListener) Close() error {
	err := l.Listener.Close()
	l.wg.Wait()
	return err
}

// clientOf is the client's address; the zero Addr, which has no limit, for unix sockets.
func clientOf(conn net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (l *limitedListener) take(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total > 0 && l.open >= l.total {
		return false
	}
	if addr.IsValid() && l.perClient >= 0 && l.byClient[addr] >= l.perClient {
		return false
	}
	l.open++
	if addr.IsValid() {
		l.byClient[addr]++
	}
	return true
}

func (l *limitedListener) release(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if !addr.IsValid() {
		return
	}
	if l.byClient[addr]--; l.byClient[addr] == 0 {
		delete(l.byClient, addr)
	}
}

// refuse tells the client why and closes. An answer before the question confuses clients, and
// closing at once could take the answer away from one that is still sending: so a moment is
// given to the request's first bytes, and another to its rest.
func (l *limitedListener) refuse(conn net.Conn) {
	l.mu.Lock()
	busy := l.secure || l.refusing >= maxRefusals
	if !busy {
		l.refusing++
		l.wg.Add(1)
	}
	l.mu.Unlock()
	if busy {
		_ = conn.Close() // refused anyway
		return
	}
	go func() {
		defer l.wg.Done()
		answerRefused(conn)
		l.mu.Lock()
		l.refusing--
		l.mu.Unlock()
	}()
}

// answerRefused writes the answer and closes. Its errors are the refused client's own.
func answerRefused(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(refusalTime))
	_, _ = conn.Read(make([]byte, 512))
	_ = conn.SetDeadline(time.Now().Add(refusalTime))
	if _, err := io.WriteString(conn, textTooMany); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the client sees the end of the answer
	}
	_, _ = io.CopyN(io.Discard, conn, 64<<10)
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

// Close closes the connection and gives its place back, once.
func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
