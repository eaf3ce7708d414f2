package dnsproxy

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// fakeUpstream is a resolver that answers from zone text and may misbehave.
type fakeUpstream struct {
	addr    string
	queries atomic.Int64
	tcp     atomic.Int64

	mu      sync.Mutex
	records map[string][]dns.RR                         // "name. TYPE"
	handle  func(w dns.ResponseWriter, r *dns.Msg) bool // true: it has answered, or will not
}

// newUpstream serves records given as zone lines on UDP and TCP of a free port.
func newUpstream(t testing.TB, lines ...string) *fakeUpstream {
	t.Helper()
	u := &fakeUpstream{records: map[string][]dns.RR{}}
	u.set(t, lines...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	u.addr = l.Addr().String()
	p, err := net.ListenPacket("udp", u.addr)
	testutil.NoError(t, err)
	ready := make(chan struct{}, 2)
	up := func() { ready <- struct{}{} }
	us := &dns.Server{PacketConn: p, Handler: u, NotifyStartedFunc: up, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	ts := &dns.Server{Listener: l, Handler: u, NotifyStartedFunc: up}
	var wg sync.WaitGroup
	wg.Go(func() { _ = us.ActivateAndServe() })
	wg.Go(func() { _ = ts.ActivateAndServe() })
	<-ready
	<-ready
	t.Cleanup(func() { _ = us.Shutdown(); _ = ts.Shutdown(); wg.Wait() })
	return u
}

func (u *fakeUpstream) set(t testing.TB, lines ...string) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.records)
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		testutil.NoError(t, err)
		k := strings.ToLower(rr.Header().Name) + " " + dns.TypeToString[rr.Header().Rrtype]
		u.records[k] = append(u.records[k], rr)
	}
}

// behave installs f before the records; nil takes it away.
func (u *fakeUpstream) behave(f func(w dns.ResponseWriter, r *dns.Msg) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handle = f
}

func (u *fakeUpstream) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	u.queries.Add(1)
	if w.LocalAddr().Network() == "tcp" {
		u.tcp.Add(1)
	}
	u.mu.Lock()
	handle := u.handle
	u.mu.Unlock()
	if handle != nil && handle(w, r) {
		return
	}
	_ = w.WriteMsg(u.answer(r))
}

// answer is the reply from the records: CNAMEs are followed, a missing name is NXDOMAIN with
// the SOA of "test.".
func (u *fakeUpstream) answer(r *dns.Msg) *dns.Msg {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable, m.Compress = true, true
	name := strings.ToLower(r.Question[0].Name)
	for range 8 {
		m.Answer = append(m.Answer, u.records[name+" "+dns.TypeToString[r.Question[0].Qtype]]...)
		c := u.records[name+" CNAME"]
		if len(c) == 0 || r.Question[0].Qtype == dns.TypeCNAME {
			break
		}
		m.Answer = append(m.Answer, c[0])
		name = strings.ToLower(c[0].(*dns.CNAME).Target)
	}
	if len(m.Answer) == 0 {
		m.Ns = u.records["test. SOA"]
		m.Rcode = dns.RcodeNameError
		for k := range u.records {
			if strings.HasPrefix(k, name+" ") {
				m.Rcode = dns.RcodeSuccess
			}
		}
	}
	return m
}
