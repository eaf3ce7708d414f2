package socket_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"berth/dnsproxy/socket"
	"berth/internal/testutil"
)

func TestListen_TakenAddressIsNamed(t *testing.T) {
	both, err := socket.Listen("127.0.0.1:0") // a port that nobody has, for UDP or TCP
	testutil.NoError(t, err)
	addr := both.Addr.String()
	testutil.NoError(t, both.Close())
	l, err := net.ListenPacket("udp", addr)
	testutil.NoError(t, err)
	defer l.Close()
	_, err = socket.Listen(addr)
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "pid ") {
		t.Fatalf("error does not name address and holder: %v", err)
	}
	if _, err = socket.Listen("localhost:53"); err == nil || !strings.Contains(err.Error(), "ip:port") {
		t.Fatalf("error does not say what is wanted: %v", err)
	}
}

func TestListen_SecondTimeFails(t *testing.T) {
	b, err := socket.Listen("127.0.0.1:0")
	testutil.NoError(t, err)
	if _, err := socket.Listen(b.Addr.String()); err == nil {
		t.Fatal("two servers share a port")
	}
	testutil.NoError(t, b.Close())
	testutil.NoError(t, b.Close())
	again, err := socket.Listen(b.Addr.String())
	testutil.NoError(t, err)
	testutil.NoError(t, again.Close())
}

func TestBatch_AnswersEveryDatagram(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			b, err := socket.Listen(addr)
			if err != nil && addr[0] == '[' {
				t.Skip("no IPv6 here")
			}
			testutil.NoError(t, err)
			done := make(chan struct{}, len(b.UDP))
			for _, c := range b.UDP {
				go func() { echo(t, c); done <- struct{}{} }()
			}
			defer func() {
				b.Close()
				for range b.UDP {
					<-done
				}
			}()
			c, err := net.Dial("udp", b.Addr.String())
			testutil.NoError(t, err)
			defer c.Close()
			_, err = c.Write(make([]byte, 4000)) // no query: read as empty
			testutil.NoError(t, err)
			seen := map[string]bool{}
			buf := make([]byte, 16384)
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			for i := range 100 {
				_, err := fmt.Fprintf(c, "datagram %d from %v", i, c.LocalAddr())
				testutil.NoError(t, err)
				for i%10 == 9 && len(seen) <= i { // no more at once than the client's buffer takes
					l, err := c.Read(buf)
					testutil.NoError(t, err)
					text := strings.TrimRight(string(buf[:l]), ".")
					if !strings.HasSuffix(text, c.LocalAddr().String()) {
						t.Fatalf("reply is %q", text)
					}
					seen[text] = true
				}
			}
		})
	}
}

// echo sends each datagram back, made longer so that replies fill more than one flush.
func echo(t *testing.T, c *net.UDPConn) {
	b, err := socket.NewBatch(c)
	if err != nil {
		t.Error(err)
		return
	}
	for {
		n, err := b.Read()
		if err != nil {
			return
		}
		for i := range n {
			msg, src := b.Packet(i)
			if len(msg) == 0 {
				continue
			}
			if !src.Addr().IsLoopback() {
				t.Errorf("source %v", src)
			}
			b.Reply(i, append(append(b.Room(), msg...), strings.Repeat(".", 8000)...))
		}
		b.Flush()
	}
}
