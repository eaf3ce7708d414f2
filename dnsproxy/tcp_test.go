package dnsproxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// quick shortens what TCP clients may take, before the server runs.
func quickTCP(t *testing.T, c *catalog, change ...func(*Config)) *Server {
	t.Helper()
	cfg := Config{Logger: testutil.Logger(t), View: c.view, Addrs: []string{"127.0.0.1:0"}, Forward: ForwardConfig{NoLoopProbe: true}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	testutil.NoError(t, err)
	s.tcpTimes = tcpTimes{first: 200 * time.Millisecond, message: 200 * time.Millisecond, write: 200 * time.Millisecond, idle: 400 * time.Millisecond}
	testutil.Start(t, s.Run)
	return s
}

func dialTCP(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0])
	testutil.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// closedWithin reads until the server closes and fails unless that takes between lo and hi.
func closedWithin(t *testing.T, c net.Conn, lo, hi time.Duration) {
	t.Helper()
	began := time.Now()
	_, err := io.Copy(io.Discard, c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatal("the server did not close")
	}
	if d := time.Since(began); d < lo || d > hi {
		t.Fatalf("closed after %v, want %v to %v", d, lo, hi)
	}
}

func TestTCP_SlowClients(t *testing.T) {
	s := quickTCP(t, sample())
	query := packet(0x0100, [4]uint16{1}, webA)
	framed := append(put16(nil, uint16(len(query))), query...)
	t.Run("length 0", func(t *testing.T) { // not by a time limit: the shortest of this server is 2 s
		c := dialTCP(t, start(t, sample()))
		_, _ = c.Write([]byte{0, 0})
		closedWithin(t, c, 0, 1500*time.Millisecond)
	})
	t.Run("says nothing", func(t *testing.T) {
		closedWithin(t, dialTCP(t, s), 100*time.Millisecond, 3*time.Second)
	})
	t.Run("length then nothing", func(t *testing.T) {
		c := dialTCP(t, s)
		_, _ = c.Write(framed[:2])
		closedWithin(t, c, 100*time.Millisecond, 3*time.Second)
	})
	t.Run("byte by byte", func(t *testing.T) {
		c := dialTCP(t, s)
		began := time.Now()
		for i := 0; ; i++ { // would take 2 s
			if _, err := c.Write(framed[i%len(framed) : i%len(framed)+1]); err != nil {
				break
			}
			if time.Since(began) > 5*time.Second {
				t.Fatal("slow bytes keep the connection open")
			}
			_ = c.SetReadDeadline(time.Now().Add(40 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); err == io.EOF {
				break
			}
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Fatalf("open for %v", d)
		}
	})
	t.Run("idle after a query", func(t *testing.T) {
		c := dialTCP(t, s)
		_, _ = c.Write(framed)
		closedWithin(t, c, 300*time.Millisecond, 3*time.Second)
	})
}

func TestTCP_ClientThatDoesNotRead(t *testing.T) {
	s := quickTCP(t, many(600))
	c := dialTCP(t, s)
	query := packet(0x0100, [4]uint16{1}, "\x03big\x07service\x06consul\x00\x00\x21\x00\x01")
	framed := append(put16(nil, uint16(len(query))), query...)
	began := time.Now()
	for {
		_ = c.SetWriteDeadline(time.Now().Add(3 * time.Second))
		if _, err := c.Write(framed); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the server waits for a client that does not read")
			}
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("never closed")
		}
	}
}

func TestTCP_Pipelining(t *testing.T) {
	u := newUpstream(t, "slow.test. 300 A 192.0.2.1")
	release := make(chan struct{})
	u.behave(func(dns.ResponseWriter, *dns.Msg) bool { <-release; return false })
	s := start(t, sample(), upstreams(u))
	c := dialTCP(t, s)
	send := func(id uint16, q string) {
		m := packet(0x0100, [4]uint16{1}, q)
		binary.BigEndian.PutUint16(m, id)
		testutil.NoError(t, writeMessage(c, m))
	}
	recv := func() uint16 {
		m, err := readMessage(c, 5*time.Second, 5*time.Second, func() {})
		testutil.NoError(t, err)
		return get16(m, 0)
	}
	send(1, question("slow.test", typeA, 1))
	for id := uint16(2); id < 200; id++ {
		send(id, webA)
	}
	seen := map[uint16]bool{}
	for range 198 { // all but the slow one
		seen[recv()] = true
	}
	if len(seen) != 198 || seen[1] {
		t.Fatalf("%d replies, slow one among them: %v", len(seen), seen[1])
	}
	close(release)
	testutil.Equal(t, recv(), uint16(1))
}

// idleConns says whether exactly n connections are idle.
func idleConns(s *Server, n int) error {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	idle := 0
	for c := range s.conns.conns {
		if c.idle != 0 {
			idle++
		}
	}
	if idle != n {
		return fmt.Errorf("%d connections are idle, want %d", idle, n)
	}
	return nil
}

func TestTCP_ConnectionLimits(t *testing.T) {
	s := start(t, sample(), func(c *Config) { c.Limits.TCPConnsPerLoopback = 5 })
	var conns []net.Conn
	for i := range 5 {
		c := dialTCP(t, s)
		conns = append(conns, c)
		testutil.NoError(t, writeMessage(c, packet(0x0100, [4]uint16{1}, webA)))
		_, err := readMessage(c, 5*time.Second, 5*time.Second, func() {})
		testutil.NoError(t, err)
		// One after the other, so that the first one is idle for longest.
		testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error { return idleConns(s, i+1) })
	}
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A", "tcp").Answer), 2) // the oldest idle one goes
	_ = conns[0].SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conns[0].Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("oldest idle connection is still open: %v", err)
	}
	if n := s.Stats().TCPConns; n > 5 {
		t.Fatalf("%d connections", n)
	}
}

// TestTCP_PlacesOfThisHost: clients from elsewhere neither take all places nor push out the
// connections of this host.
func TestTCP_PlacesOfThisHost(t *testing.T) {
	var table connTable
	table.init(Limits{TCPConns: 100, TCPConnsPerAddr: 5, TCPConnsPerLoopback: 50})
	conn := func(src string) *tcpConn {
		return &tcpConn{conn: &net.TCPConn{}, src: netip.AddrPortFrom(netip.MustParseAddr(src), 9)}
	}
	own := conn("127.0.0.1")
	testutil.Equal(t, table.add(own), true)
	for i := range 200 {
		testutil.Equal(t, table.add(conn(fmt.Sprintf("10.0.0.%d", 1+i%60))), true) // idle ones make room
	}
	testutil.Equal(t, table.size(), 92)
	for range 8 {
		testutil.Equal(t, table.add(conn("::1")), true)
	}
	testutil.Equal(t, table.size(), 100)
	if _, ok := table.conns[own]; !ok {
		t.Error("the connection of this host was closed")
	}
}

func TestTCP_BusyConnectionsAreKept(t *testing.T) {
	u := newUpstream(t)
	release := make(chan struct{})
	defer close(release)
	u.behave(func(dns.ResponseWriter, *dns.Msg) bool { <-release; return true })
	s := start(t, sample(), upstreams(u), func(c *Config) { c.Limits.TCPConnsPerLoopback = 2 })
	for i := range 2 {
		testutil.NoError(t, writeMessage(dialTCP(t, s), packet(0x0100, [4]uint16{1}, question(fmt.Sprintf("n%d.test", i), 1, 1))))
	}
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if n := s.Stats().InFlight; n != 2 {
			return fmt.Errorf("%d in flight", n)
		}
		return nil
	})
	closedWithin(t, dialTCP(t, s), 0, 2*time.Second)
	testutil.Equal(t, s.Stats().RefusedConns, uint64(1))
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 2)
}

func TestTCP_Keepalive(t *testing.T) {
	s := start(t, sample())
	m := new(dns.Msg)
	m.SetQuestion("web.service.consul.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	in, _, err := (&dns.Client{Net: "tcp"}).Exchange(m, s.Addrs()[0])
	testutil.NoError(t, err)
	ka, ok := in.IsEdns0().Option[0].(*dns.EDNS0_TCP_KEEPALIVE)
	if !ok || ka.Timeout != 100 {
		t.Fatalf("%v", in)
	}
	in, _, err = (&dns.Client{}).Exchange(m, s.Addrs()[0])
	testutil.NoError(t, err)
	testutil.Equal(t, len(in.IsEdns0().Option), 0)
}
