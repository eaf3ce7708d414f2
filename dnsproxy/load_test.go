package dnsproxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// TestServer_NextAnswerHasTheChange moves a service while others ask for it all the time: the
// first answer after CatalogChanged has the new address, on every socket.
func TestServer_NextAnswerHasTheChange(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	c := newCatalog()
	c.node("n1", "10.0.0.1")
	s := start(t, c, upstreams(u))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { hammer(ctx, s.Addrs()[0]) })
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := s.Reload(s.current()); err != nil {
				t.Error(err)
			}
			s.Stats()
			s.Purge("test")
		}
	})
	for i := range 300 {
		want := fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)
		e := &berth.HealthEntry{
			Node: &berth.Node{Name: "n1", Address: want}, Service: &berth.ServiceInstance{Name: "db", ID: "db", Port: 3306},
		}
		c.mu.Lock()
		c.services["db"] = []*berth.HealthEntry{e}
		c.mu.Unlock()
		s.CatalogChanged([]berth.Change{{Service: "db"}})
		m := ask(t, s, "db.service.consul", "A")
		if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want {
			t.Fatalf("change %d: want %s, got %v", i, want, m.Answer)
		}
	}
	stop()
	wg.Wait()
	testutil.Equal(t, s.Stats().Panics, uint64(0))
}

// hammer asks for what the test changes and for what it does not, without looking at replies.
func hammer(ctx context.Context, addr string) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		for _, q := range []string{"db.service.consul", "none.service.consul", "n1.node.consul", "db", "www.test"} {
			_, _ = conn.Write(packet(0x0100, [4]uint16{1}, question(q, typeA, 1)))
			_, _ = conn.Read(buf)
		}
	}
}
