package dnsproxy

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
)

// moving is a catalog whose service db has been changed n times: n is in its port and in its
// node's address.
type moving struct {
	*catalog
	s         *Server
	begun     atomic.Uint32 // changes begun
	committed atomic.Uint32 // changes that CatalogChanged has returned from
}

func (m *moving) change() {
	n := m.begun.Add(1)
	e := &berth.HealthEntry{
		Node:    &berth.Node{Name: fmt.Sprintf("n%d", n), Address: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255)},
		Service: &berth.ServiceInstance{Name: "db", ID: "db", Port: int(n & 0xffff)},
	}
	m.mu.Lock()
	m.services["db"] = []*berth.HealthEntry{e}
	m.mu.Unlock()
	m.s.CatalogChanged([]berth.Change{{Service: "db"}, {Node: e.Node.Name}})
	m.committed.Store(n)
}

// drive makes rate changes a second until ctx ends.
func (m *moving) drive(ctx context.Context, rate int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for made := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for ; made < int(time.Since(began).Seconds()*float64(rate)); made++ {
			m.change()
		}
	}
}

// version is the change that a reply was made from. SRV replies say it twice, and both must be
// the same.
func version(reply []byte) (uint32, error) {
	var a, port uint32
	an, ar := int(get16(reply, 6)), int(get16(reply, 10))
	off, ok := skipName(reply, headerLen)
	off += 4
	for range an + ar {
		h, fine := readRR(reply, off)
		if !ok || !fine {
			return 0, fmt.Errorf("reply does not parse: %x", reply)
		}
		switch h.typ {
		case typeA:
			ip := netip.AddrFrom4([4]byte(reply[h.rdata:h.end])).As4()
			a = binary.BigEndian.Uint32(ip[:]) & 0xffffff
		case typeSRV:
			port = uint32(get16(reply, h.rdata+4))
		}
		off = h.end
	}
	if an == 0 || port != 0 && port != a&0xffff {
		return 0, fmt.Errorf("%d records, port of change %d, address of change %d", an, port, a)
	}
	return a, nil
}

func (m *moving) dial() net.Conn {
	conn, err := net.Dial("udp", m.s.Addrs()[0])
	if err != nil {
		panic(err) // no descriptors: nothing can go on
	}
	return conn
}

// watch asks in bursts and checks that each answer is from a change that was the latest one at
// some moment between the question and the answer.
func (m *moving) watch(ctx context.Context, t *testing.T, burst int) (answered int) {
	conn := m.dial()
	defer func() { conn.Close() }()
	buf, packets := make([]byte, 4096), [][]byte{}
	for _, typ := range []uint16{typeA, typeSRV} {
		for _, name := range []string{"db.service.consul", "db", "_db._tcp.service.consul"} {
			packets = append(packets, packet(0x0100, [4]uint16{1, 0, 0, 1}, question(name, typ, 1), optRR))
		}
	}
	for ctx.Err() == nil {
		low := m.committed.Load()
		for i := range burst {
			_, _ = conn.Write(packets[i%len(packets)])
		}
		for range burst {
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			n, err := conn.Read(buf)
			if err != nil {
				conn.Close() // a datagram was lost on a full socket, or comes late: not our subject
				conn = m.dial()
				break
			}
			got, err := version(buf[:n])
			if high := m.begun.Load(); err != nil || got < low || got > high {
				t.Errorf("answer of change %d, the latest was %d to %d: %v", got, low, high, err)
				return answered
			}
			answered++
		}
	}
	return answered
}

// TestServer_ChangesAtFullRate changes a service 1,000 times a second while it is asked for as
// fast as this machine can, in all forms: no answer is older than its question.
func TestServer_ChangesAtFullRate(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 3 s of both processors")
	}
	m := &moving{catalog: newCatalog()}
	m.s = start(t, m.catalog)
	m.change()
	began := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	var wg sync.WaitGroup
	var answered atomic.Int64
	wg.Go(func() { m.drive(ctx, 1000) })
	for range 4 {
		wg.Go(func() { answered.Add(int64(m.watch(ctx, t, 24))) })
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	t.Logf("%.0f answers/s at %.0f changes/s", float64(answered.Load())/took, float64(m.committed.Load())/took)
	if n := m.committed.Load(); n < 2000 {
		t.Errorf("only %d changes in 3 s", n)
	}
	if n := answered.Load(); n < 3000 {
		t.Errorf("only %d answers in 3 s", n)
	}
	testutil.Equal(t, m.s.Stats().Panics, uint64(0))
}
