//go:build fault

package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"berth/internal/testutil"
)

// dnsStream asks one host's DNS server for one name every 5 ms.
type dnsStream struct {
	conn net.Conn
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the rest
	waiting map[uint16]time.Time
	report  dnsReport
}

// dnsReport says what came of the questions.
type dnsReport struct {
	sent, lost int
	bad        []string // answers without an address, the first few
	nBad       int
	worst      time.Duration
}

func (r dnsReport) String() string {
	return fmt.Sprintf("%d questions, %d lost, %d without an address, slowest %v", r.sent, r.lost, r.nBad, r.worst.Round(10*time.Microsecond))
}

const dnsEvery = 5 * time.Millisecond

// streamDNS starts a stream; name must resolve already.
func (h *host) streamDNS(t testing.TB, name string) *dnsStream {
	t.Helper()
	conn, err := dialIn(context.Background(), h.ns, "udp", dnsAddr)
	testutil.NoError(t, err)
	s := &dnsStream{conn: conn, stop: make(chan struct{}), waiting: map[uint16]time.Time{}}
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeA)
	packed, err := q.Pack()
	testutil.NoError(t, err)
	s.wg.Go(func() { s.ask(packed) })
	s.wg.Go(s.read)
	t.Cleanup(func() { s.end() })
	return s
}

func (s *dnsStream) ask(q []byte) {
	tick := time.NewTicker(dnsEvery)
	defer tick.Stop()
	for id := uint16(1); ; id++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		q[0], q[1] = byte(id>>8), byte(id)
		s.mu.Lock()
		s.waiting[id] = time.Now()
		s.report.sent++
		s.mu.Unlock()
		_, _ = s.conn.Write(q) // what is not sent is lost
	}
}

func (s *dnsStream) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() || isClosed(err) {
				return
			}
			continue // refused: nobody listens
		}
		m := new(dns.Msg)
		err = m.Unpack(buf[:n])
		s.mu.Lock()
		if at, ok := s.waiting[m.Id]; ok {
			s.report.worst = max(s.report.worst, time.Since(at))
			delete(s.waiting, m.Id)
			if err != nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
				s.report.nBad++
				if len(s.report.bad) < 5 {
					s.report.bad = append(s.report.bad, fmt.Sprintf("%s %s, %d answers", at.Format("15:04:05.000"), dns.RcodeToString[m.Rcode], len(m.Answer)))
				}
			}
		}
		s.mu.Unlock()
	}
}

func isClosed(err error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Err == net.ErrClosed //nolint:errorlint // net wraps it once
}

// end stops the stream, gives the last answers two seconds, and says what came of it.
func (s *dnsStream) end() dnsReport {
	s.mu.Lock()
	ended := closed(s.stop)
	if !ended {
		close(s.stop)
	}
	s.mu.Unlock()
	if !ended {
		_ = s.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		s.wg.Wait()
		s.conn.Close()
		s.report.lost = len(s.waiting)
	}
	return s.report
}

// withoutGap ends the stream and fails the test when a question was lost or had no address.
func (s *dnsStream) withoutGap(t testing.TB) {
	t.Helper()
	r := s.end()
	t.Logf("DNS: %v", r)
	if r.lost > 0 || r.nBad > 0 || r.sent == 0 {
		t.Errorf("DNS had a gap: %v %v", r, r.bad)
	}
}

// stalls measures for how long this machine did not let a ready goroutine run, or a write reach its
// disk: what a limit that is promised for an idle machine must be forgiven on a busy one.
type stalls struct {
	stop chan struct{}
	done sync.WaitGroup
	sum  atomic.Int64
}

// A step that takes so much longer than it should is a stall.
const stallNoise = 20 * time.Millisecond

func measureStalls() *stalls {
	s := &stalls{stop: make(chan struct{})}
	const step = 5 * time.Millisecond
	s.done.Go(func() { s.watch(step, func() { time.Sleep(step) }) })
	s.done.Go(s.watchDisk)
	return s
}

// watch adds up by how much f takes longer than it should.
func (s *stalls) watch(should time.Duration, f func()) {
	for !closed(s.stop) {
		began := time.Now()
		f()
		if late := time.Since(began) - should; late > stallNoise {
			s.sum.Add(int64(late))
		}
	}
}

func (s *stalls) watchDisk() {
	f, err := os.CreateTemp(baseDir, "stalls")
	if err != nil {
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const pause = 20 * time.Millisecond
	s.watch(pause, func() {
		_, _ = f.WriteString("x")
		_ = f.Sync()
		time.Sleep(pause)
	})
}

func (s *stalls) end() time.Duration {
	close(s.stop)
	s.done.Wait()
	return time.Duration(s.sum.Load())
}

// writers put growing numbers under a bounded set of keys, through several hosts, and remember
// what was acknowledged. Each key has one writer.
type writers struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex // guards the rest
	acked  map[string]int
	n      int
	failed map[string]int // by error
}

// writerKeys is the number of keys of one writer.
const writerKeys = 500

func startWriters(t testing.TB, prefix string, hosts ...*host) *writers {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{cancel: cancel, acked: map[string]int{}, failed: map[string]int{}}
	for i, h := range hosts {
		w.wg.Go(func() { w.write(ctx, h, fmt.Sprintf("%s/%d", prefix, i)) })
	}
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *writers) write(ctx context.Context, h *host, prefix string) {
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%s/%03d", prefix, n%writerKeys)
		call, cancel := context.WithTimeout(ctx, requestLimit)
		_, _, err := h.do(call, "PUT", "/v1/kv/"+key, strconv.Itoa(n))
		cancel()
		w.mu.Lock()
		switch {
		case err == nil:
			w.acked[key] = n
			w.n++
		case ctx.Err() == nil:
			w.failed[err.Error()]++
		}
		w.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *writers) stop() map[string]int {
	w.cancel()
	w.wg.Wait()
	return w.acked
}

// present stops the writers and checks that every acknowledged write can be read.
func (w *writers) present(t testing.TB, h *host, prefix string) {
	t.Helper()
	acked := w.stop()
	var got map[string]string
	testutil.Eventually(t, patience(5*time.Second), 20*time.Millisecond, func() (err error) { // as for write
		got, err = h.kvTree(prefix)
		return err
	})
	lost := 0
	for k, v := range acked {
		if have, err := strconv.Atoi(got[k]); err != nil || have < v { // more: a later one was taken, its answer lost
			if lost++; lost < 5 {
				t.Errorf("acknowledged write of %s = %d is lost: %q", k, v, got[k])
			}
		}
	}
	t.Logf("%d acknowledged writes of %d keys, %d lost, failed: %v", w.n, len(acked), lost, w.failed)
	if len(acked) == 0 {
		t.Error("no write was acknowledged at all")
	}
}

// kvTree reads all keys below a prefix through a quorum.
func (h *host) kvTree(prefix string) (map[string]string, error) {
	var all []struct {
		Key   string
		Value []byte
	}
	b, err := h.get("/v1/kv/" + prefix + "?recurse&consistent")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, e := range all {
		out[e.Key] = string(e.Value)
	}
	return out, nil
}
