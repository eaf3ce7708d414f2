package dnsproxy

import (
	"net/netip"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// handler is a server with one reader's state, without sockets.
type handler struct {
	s   *Server
	q   query
	out []byte
	c   *counters
	raw []byte
}

func newHandler(t testing.TB, c *catalog, name string, typ uint16, edns bool) *handler {
	t.Helper()
	s, err := New(Config{Logger: testutil.Logger(t), View: c.view, Forward: ForwardConfig{Upstreams: []string{"192.0.2.1"}}})
	testutil.NoError(t, err)
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	if edns {
		m.SetEdns0(1232, false)
	}
	raw, err := m.Pack()
	testutil.NoError(t, err)
	h := &handler{s: s, out: make([]byte, 0, 16384), c: s.stats.reader(), raw: raw}
	h.q.src = netip.MustParseAddrPort("127.0.0.1:40000")
	return h
}

func (h *handler) once() []byte {
	reply, _ := h.s.respondGuarded(&h.q, h.raw, h.out, h.c)
	return reply
}

// cached puts an answer of records for the handler's question into the cache.
func (h *handler) cached(t testing.TB, records ...string) {
	t.Helper()
	m := new(dns.Msg)
	testutil.NoError(t, m.Unpack(h.raw))
	m.Response, m.Extra = true, nil
	for _, r := range records {
		rr, err := dns.NewRR(r)
		testutil.NoError(t, err)
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
			continue
		}
		m.Answer = append(m.Answer, rr)
	}
	raw, err := m.Pack()
	testutil.NoError(t, err)
	h.once() // sets q and its hash
	e, err := newEntry(&h.q, raw, h.s.fwd.cache.cfg.Load())
	testutil.NoError(t, err)
	h.s.fwd.cache.put(&h.q, e, time.Now())
}

// hits are the questions that must cost nothing but the answer.
func hits(t testing.TB) map[string]*handler {
	t.Helper()
	out := map[string]*handler{
		"zone A":           newHandler(t, sample(), "web.service.consul.", dns.TypeA, false),
		"zone A EDNS":      newHandler(t, sample(), "web.service.consul.", dns.TypeA, true),
		"zone AAAA nodata": newHandler(t, sample(), "web.service.consul.", dns.TypeAAAA, true),
		"zone SRV":         newHandler(t, sample(), "_web._tcp.service.consul.", dns.TypeSRV, true),
		"zone NXDOMAIN":    newHandler(t, sample(), "none.service.consul.", dns.TypeA, false),
		"short name":       newHandler(t, sample(), "web.", dns.TypeA, false),
		"node":             newHandler(t, sample(), "n1.node.consul.", dns.TypeA, false),
		"PTR":              newHandler(t, sample(), "2.0.0.10.in-addr.arpa.", dns.TypePTR, false),
		"100 of 200 A":     newHandler(t, many(200), "big.service.consul.", dns.TypeA, true),
	}
	out["zone SRV, cut to 512"] = newHandler(t, many(40), "big.service.consul.", dns.TypeSRV, false)
	out["zone SRV, own address"] = newHandler(t, sample(), "own.service.consul.", dns.TypeSRV, true)
	out["zone tag"] = newHandler(t, sample(), "blue.web.service.dc1.consul.", dns.TypeA, true)
	out["zone SOA"] = newHandler(t, sample(), "consul.", dns.TypeSOA, true)
	out["addr"] = newHandler(t, sample(), "0a010101.addr.consul.", dns.TypeA, true)
	out["node TXT"] = newHandler(t, sample(), "n1.node.consul.", dns.TypeTXT, true)
	out["short name NXDOMAIN"] = newHandler(t, sample(), "nosuch.", dns.TypeA, false)
	out["localhost"] = newHandler(t, sample(), "localhost.", dns.TypeA, false)
	out["container client"] = newHandler(t, sample(), "web.service.consul.", dns.TypeA, true).from("172.17.0.9:4000")
	out["container client"].s.rrl.rate = 1 << 30
	fwd := newHandler(t, sample(), "www.example.com.", dns.TypeMX, true)
	fwd.cached(t, "example.com. 300 SOA ns.example.com. host.example.com. 1 2 3 4 60")
	out["forwarded NODATA in cache"] = fwd
	failed := newHandler(t, sample(), "down.example.com.", dns.TypeA, true)
	failed.once()
	failed.s.fwd.cache.put(&failed.q, &entry{key: string(failed.q.key()), rcode: rcodeServFail, ede: edeNetwork, life: failureLimit}, time.Now())
	out["forwarded failure in cache"] = failed
	h := newHandler(t, sample(), "www.example.com.", dns.TypeA, true)
	h.cached(t, "www.example.com. 300 CNAME a.example.com.", "a.example.com. 60 A 192.0.2.1", "a.example.com. 60 A 192.0.2.2")
	out["forwarded in cache"] = h
	return out
}

func TestServer_HitsDoNotAllocate(t *testing.T) {
	for name, h := range hits(t) {
		t.Run(name, func(t *testing.T) {
			if h.once() == nil {
				t.Fatal("no answer at once")
			}
			if n := testing.AllocsPerRun(200, func() { h.once() }); n != 0 {
				t.Fatalf("%v allocations per answer", n)
			}
		})
	}
}

func BenchmarkHit(b *testing.B) {
	for name, h := range hits(b) {
		b.Run(name, func(b *testing.B) {
			h.once()
			b.ReportAllocs()
			for b.Loop() {
				h.once()
			}
		})
	}
}

func BenchmarkRebuild(b *testing.B) {
	h := newHandler(b, many(200), "big.service.consul.", dns.TypeA, true)
	for b.Loop() {
		h.s.marks.any.gen.Add(1)
		raise(h.s.marks.services, "big")
		h.once()
	}
}
