package dnsproxy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/dnsproxy/socket"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

const (
	testSOA  = "test. 300 SOA ns.test. host.test. 1 2 3 4 60"
	wwwOne   = "NOERROR\nan www.test. 300 A 192.0.2.1"
	wwwStale = "NOERROR\nan www.test. 30 A 192.0.2.1"
)

func upstreams(list ...*fakeUpstream) func(*Config) {
	return func(c *Config) {
		for _, u := range list {
			c.Forward.Upstreams = append(c.Forward.Upstreams, u.addr)
		}
	}
}

// rcode answers every question with that rcode.
func rcode(code int) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, r *dns.Msg) bool {
		m := new(dns.Msg)
		m.SetRcode(r, code)
		_ = w.WriteMsg(m)
		return true
	}
}

func silent(dns.ResponseWriter, *dns.Msg) bool { return true }

// age makes all cached entries older.
func age(s *Server, d time.Duration) { s.fwd.cache.ahead.Add(int64(d)) }

func TestForwarder_AnswerAndCache(t *testing.T) {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "www.test. 300 A 192.0.2.2", "alias.test. 60 CNAME www.test.")
	s := start(t, sample(), upstreams(u))
	for range 3 {
		Case{"www.test", "A", "NOERROR\nan www.test. 300 A 192.0.2.1\nan www.test. 300 A 192.0.2.2"}.check(t, s)
	}
	testutil.Equal(t, u.queries.Load(), int64(1))
	Case{"ALIAS.test", "A", `NOERROR
		an ALIAS.test. 60 CNAME www.test.
		an www.test. 300 A 192.0.2.1
		an www.test. 300 A 192.0.2.2`}.check(t, s)
	for range 2 {
		Case{"none.test", "A", "NXDOMAIN\nns test. 300 SOA ns.test. host.test. 1 2 3 4 60"}.check(t, s)
		Case{"www.test", "AAAA", "NOERROR\nns test. 300 SOA ns.test. host.test. 1 2 3 4 60"}.check(t, s, "tcp")
	}
	testutil.Equal(t, u.queries.Load(), int64(4))
	age(s, 59*time.Second)
	Case{"none.test", "A", "NXDOMAIN\nns test. 241 SOA ns.test. host.test. 1 2 3 4 60"}.check(t, s)
	age(s, 2*time.Second)
	Case{"none.test", "A", "NXDOMAIN\nns test. 300 SOA ns.test. host.test. 1 2 3 4 60"}.check(t, s)
	testutil.Equal(t, u.queries.Load(), int64(5))
	testutil.Equal(t, s.Purge("www.test"), 2)
	testutil.Equal(t, s.Purge(""), 2)
}

func TestForwarder_CachedAddressesTakeTurns(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1", "www.test. 300 A 192.0.2.2", "www.test. 300 A 192.0.2.3")
	s := start(t, sample(), upstreams(u))
	first := map[string]bool{}
	for range 6 {
		m := ask(t, s, "www.test", "A")
		testutil.Equal(t, len(m.Answer), 3)
		first[m.Answer[0].(*dns.A).A.String()] = true
	}
	testutil.Equal(t, len(first), 3)
}

func TestForwarder_Failover(t *testing.T) {
	for _, code := range []int{dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented, dns.RcodeFormatError} {
		bad := newUpstream(t)
		bad.behave(rcode(code))
		quiet := newUpstream(t)
		quiet.behave(silent)
		good := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "b.test. 300 A 192.0.2.2")
		s := start(t, sample(), upstreams(bad, quiet, good))
		Case{"www.test", "A", wwwOne}.check(t, s)
		Case{"b.test", "A", "NOERROR\nan b.test. 300 A 192.0.2.2"}.check(t, s)
	}
}

func TestForwarder_DeadUpstreamCostsLittle(t *testing.T) {
	gone := fmt.Sprintf("127.0.0.1:%d", testutil.FreePort(t))
	good := newUpstream(t, "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), func(c *Config) { c.Forward.Upstreams = []string{gone, good.addr} })
	began := time.Now()
	Case{"www.test", "A", wwwOne}.check(t, s)
	if d := time.Since(began); d > 300*time.Millisecond {
		t.Fatalf("took %v: a refused connection must move on at once", d)
	}
}

func TestForwarder_NoUpstream(t *testing.T) {
	s := start(t, sample())
	m := ask(t, s, "www.test", "A", "edns=1232")
	testutil.Equal(t, m.Rcode, dns.RcodeServerFailure)
	testutil.Equal(t, m.IsEdns0().Option[0].(*dns.EDNS0_EDE).InfoCode, uint16(dns.ExtendedErrorCodeNotReady))
}

func TestForwarder_FailureIsRemembered(t *testing.T) {
	u := newUpstream(t)
	u.behave(rcode(dns.RcodeServerFailure))
	s := start(t, sample(), upstreams(u))
	for range 5 {
		testutil.Equal(t, ask(t, s, "www.test", "A").Rcode, dns.RcodeServerFailure)
	}
	testutil.Equal(t, u.queries.Load(), int64(1))
	u.behave(nil)
	u.set(t, "www.test. 300 A 192.0.2.1")
	age(s, 6*time.Second)
	Case{"www.test", "A", wwwOne}.check(t, s)
}

func TestForwarder_StaleOnFailure(t *testing.T) {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), upstreams(u))
	Case{"www.test", "A", wwwOne}.check(t, s)
	age(s, 301*time.Second)
	u.behave(rcode(dns.RcodeServerFailure))
	m := ask(t, s, "www.test", "A", "edns=1232")
	testutil.Equal(t, m.Answer[0].Header().Ttl, uint32(30))
	testutil.Equal(t, m.IsEdns0().Option[0].(*dns.EDNS0_EDE).InfoCode, uint16(dns.ExtendedErrorCodeStaleAnswer))
	asked := u.queries.Load()
	Case{"www.test", "A", wwwStale}.check(t, s)
	if u.queries.Load() != asked {
		t.Fatal("asked again right after a refresh that failed")
	}
	age(s, 31*time.Second)
	u.behave(nil)
	u.set(t, testSOA)
	Case{"www.test", "A", "NXDOMAIN\nns test. 300 SOA ns.test. host.test. 1 2 3 4 60"}.check(t, s)
	u.behave(rcode(dns.RcodeServerFailure))
	age(s, 48*time.Hour)
	testutil.Equal(t, ask(t, s, "www.test", "A").Rcode, dns.RcodeServerFailure)
}

func TestForwarder_StaleWhenSlow(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), upstreams(u), func(c *Config) {
		c.Forward.Timeout, c.Cache.StaleAfter = time.Second, 50*time.Millisecond
	})
	Case{"www.test", "A", wwwOne}.check(t, s)
	age(s, 301*time.Second)
	u.behave(silent)
	Case{"www.test", "A", wwwStale}.check(t, s)
}

func TestForwarder_Prefetch(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), upstreams(u))
	for range 4 {
		ask(t, s, "www.test", "A")
	}
	age(s, 280*time.Second)
	Case{"www.test", "A", "NOERROR\nan www.test. 20 A 192.0.2.1"}.check(t, s)
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
		if ttl := ask(t, s, "www.test", "A").Answer[0].Header().Ttl; ttl != 300 {
			return fmt.Errorf("ttl is still %d", ttl)
		}
		return nil
	})
	testutil.Equal(t, u.queries.Load(), int64(2))
}

func TestForwarder_AsksOnceForMany(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	release := make(chan struct{})
	u.behave(func(dns.ResponseWriter, *dns.Msg) bool { <-release; return false })
	s := start(t, sample(), upstreams(u))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { Case{"www.test", "A", wwwOne}.check(t, s, "tcp") })
	}
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if n := s.Stats().InFlight; n < 50 {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	close(release)
	wg.Wait()
	if n := u.queries.Load(); n > 4 { // one, and what the hedge timer sent in the meantime
		t.Fatalf("%d questions upstream", n)
	}
}

func TestForwarder_PerClientLimit(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	release := make(chan struct{})
	u.behave(func(dns.ResponseWriter, *dns.Msg) bool { <-release; return false })
	s := start(t, sample(), upstreams(u), func(c *Config) { c.Limits.PerClient = 5 })
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() { ask(t, s, fmt.Sprintf("n%d.test", i), "A") })
	}
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if n := s.Stats().InFlight; n < 5 {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	for _, f := range []string{"udp", "tcp"} {
		testutil.Equal(t, ask(t, s, "more.test", "A", f).Rcode, dns.RcodeServerFailure)
		testutil.Equal(t, len(ask(t, s, "web.service.consul", "A", f).Answer), 2)
	}
	close(release)
	wg.Wait()
}

func TestForwarder_TruncatedUpstream(t *testing.T) {
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("www.test. 300 A 192.0.2.%d", i+1))
	}
	u := newUpstream(t, lines...)
	u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
		if w.LocalAddr().Network() == "tcp" {
			return false
		}
		m := u.answer(r)
		m.Answer, m.Truncated = nil, true
		_ = w.WriteMsg(m)
		return true
	})
	s := start(t, sample(), upstreams(u))
	m := ask(t, s, "www.test", "A")
	if !m.Truncated || len(m.Answer) < 20 {
		t.Fatalf("udp 512: tc %v, %d records", m.Truncated, len(m.Answer))
	}
	m = ask(t, s, "www.test", "A", "edns=4096")
	if m.Truncated || len(m.Answer) != 100 {
		t.Fatalf("udp 4096: tc %v, %d records", m.Truncated, len(m.Answer))
	}
	testutil.Equal(t, len(ask(t, s, "www.test", "A", "tcp").Answer), 100)
	testutil.Equal(t, u.tcp.Load(), int64(1))
}

func TestForwarder_HostileUpstream(t *testing.T) {
	evil := func(r *dns.Msg, change func(*dns.Msg)) []byte {
		m := new(dns.Msg)
		m.SetReply(r)
		rr, _ := dns.NewRR(r.Question[0].Name + " 300 A 203.0.113.66")
		m.Answer = []dns.RR{rr}
		change(m)
		b, _ := m.Pack()
		return b
	}
	tricks := map[string]func(r *dns.Msg) []byte{
		"wrong id":       func(r *dns.Msg) []byte { return evil(r, func(m *dns.Msg) { m.Id++ }) },
		"wrong question": func(r *dns.Msg) []byte { return evil(r, func(m *dns.Msg) { m.Question[0].Name = "other.test." }) },
		"wrong type":     func(r *dns.Msg) []byte { return evil(r, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX }) },
		"not a response": func(r *dns.Msg) []byte { return evil(r, func(m *dns.Msg) { m.Response = false }) },
		"two questions": func(r *dns.Msg) []byte {
			return evil(r, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
		},
		"no question": func(r *dns.Msg) []byte { return evil(r, func(m *dns.Msg) { m.Question = nil }) },
		"short":       func(r *dns.Msg) []byte { return evil(r, func(*dns.Msg) {})[:5] },
		"cut record":  func(r *dns.Msg) []byte { b := evil(r, func(*dns.Msg) {}); return b[:len(b)-3] },
		"garbage":     func(r *dns.Msg) []byte { return []byte(strings.Repeat("\xc0\x0c", 200)) },
		"empty":       func(*dns.Msg) []byte { return nil },
	}
	for name, trick := range tricks {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, "www.test. 300 A 192.0.2.1")
			u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
				if w.LocalAddr().Network() == "udp" {
					_, _ = w.Write(trick(r))
				}
				return false // the true answer comes second
			})
			s := start(t, sample(), upstreams(u))
			Case{"www.test", "A", wwwOne}.check(t, s)
			testutil.Equal(t, u.queries.Load(), int64(1))
			testutil.Equal(t, s.Stats().Upstreams[0].Suspected, uint64(1))
		})
		t.Run(name+" many times", func(t *testing.T) {
			u := newUpstream(t, "www.test. 300 A 192.0.2.1")
			u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
				if w.LocalAddr().Network() == "tcp" {
					return false
				}
				for range 20 {
					_, _ = w.Write(trick(r))
				}
				return true
			})
			s := start(t, sample(), upstreams(u))
			Case{"www.test", "A", wwwOne}.check(t, s)
			if u.tcp.Load() == 0 {
				t.Fatal("did not go on over TCP")
			}
		})
	}
}

func TestForwarder_ForeignRecordsAreDropped(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
		m := u.answer(r)
		for i, l := range []string{"bank.test. 300 A 203.0.113.66", "bank.test. 300 NS evil.test.", "evil.test. 300 A 203.0.113.66"} {
			rr, _ := dns.NewRR(l)
			*[]*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}[i] = append(*[]*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}[i], rr)
		}
		_ = w.WriteMsg(m)
		return true
	})
	s := start(t, sample(), upstreams(u))
	Case{"www.test", "A", wwwOne}.check(t, s)
	Case{"www.test", "A", wwwOne}.check(t, s)
}

func TestForwarder_UpstreamThatChangesCase(t *testing.T) {
	for _, change := range []func(string) string{strings.ToLower, strings.ToUpper} {
		u := newUpstream(t, "www-long-name.test. 300 A 192.0.2.1", "abcdefgh.test. 300 A 192.0.2.2")
		u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
			m := u.answer(r)
			m.Question[0].Name = change(m.Question[0].Name)
			_ = w.WriteMsg(m)
			return true
		})
		s := start(t, sample(), upstreams(u))
		Case{"www-long-name.test", "A", "NOERROR\nan www-long-name.test. 300 A 192.0.2.1"}.check(t, s)
		Case{"abcdefgh.test", "A", "NOERROR\nan abcdefgh.test. 300 A 192.0.2.2"}.check(t, s)
		testutil.Equal(t, u.queries.Load(), int64(2))
		testutil.Equal(t, s.Stats().Upstreams[0].Suspected, uint64(0))
	}
}

func TestForwarder_UpstreamWithoutEDNS(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1", "b.test. 300 A 192.0.2.2")
	u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
		if r.IsEdns0() == nil {
			return false
		}
		return rcode(dns.RcodeFormatError)(w, r)
	})
	s := start(t, sample(), upstreams(u))
	Case{"www.test", "A", wwwOne}.check(t, s)
	Case{"b.test", "A", "NOERROR\nan b.test. 300 A 192.0.2.2"}.check(t, s)
	testutil.Equal(t, u.queries.Load(), int64(3)) // tried with EDNS once only
	testutil.Equal(t, s.Stats().Upstreams[0].NoEDNS, true)
}

func TestForwarder_DNSSECPassesThrough(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
		m := u.answer(r)
		if o := r.IsEdns0(); o != nil && o.Do() {
			sig, _ := dns.NewRR("www.test. 300 RRSIG A 8 2 300 20300101000000 20200101000000 1 test. AAAA")
			m.Answer = append(m.Answer, sig)
			m.AuthenticatedData = true
		}
		_ = w.WriteMsg(m)
		return true
	})
	s := start(t, sample(), upstreams(u))
	testutil.Equal(t, len(ask(t, s, "www.test", "A").Answer), 1)
	for range 2 {
		m := ask(t, s, "www.test", "A", "do")
		testutil.Equal(t, len(m.Answer), 2)
		testutil.Equal(t, m.AuthenticatedData, true) // the upstream is on this host
		testutil.Equal(t, m.IsEdns0().Do(), true)
	}
}

func TestForwarder_Loop(t *testing.T) {
	c := sample()
	var a, b *Server
	a = start(t, c, func(cfg *Config) { cfg.Forward.ResolvConf = filepath.Join(t.TempDir(), "none") })
	b = start(t, c, func(cfg *Config) { cfg.Forward.Upstreams = a.Addrs() })
	cfg := a.current()
	cfg.Forward = ForwardConfig{Upstreams: b.Addrs()}
	testutil.NoError(t, a.Reload(cfg))
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		if !a.Stats().Upstreams[0].Looping {
			return fmt.Errorf("loop not seen")
		}
		return nil
	})
	began := time.Now()
	testutil.Equal(t, ask(t, a, "www.test", "A").Rcode, dns.RcodeServerFailure)
	if time.Since(began) > time.Second {
		t.Fatal("the question still went round")
	}
	testutil.Equal(t, len(ask(t, a, "web.service.consul", "A").Answer), 2)
}

func TestForwarder_Routing(t *testing.T) {
	def := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "host.corp.test. 300 A 192.0.2.9", "8.8.8.8.in-addr.arpa. 300 PTR dns.test.",
		"open.lan. 300 A 192.0.2.7", "priv.test. 300 A 10.9.9.9")
	corp := newUpstream(t, "host.corp.test. 300 A 10.0.0.77", "5.0.9.10.in-addr.arpa. 300 PTR x.corp.test.", "web.service.dc2.consul. 5 A 10.2.0.1")
	s := start(t, sample(), upstreams(def), func(c *Config) {
		c.Forward.LocalZones = []string{"lan"}
		c.Forward.Domains = []DomainConfig{
			{"corp.test", []string{corp.addr}}, {"10.in-addr.arpa", []string{corp.addr}}, {"dc2.consul", nil},
			{"open.lan", []string{"#"}}, {"service.dc2.consul", []string{corp.addr}},
		}
	})
	for _, c := range []Case{
		{"host.corp.test", "A", "NOERROR\nan host.corp.test. 300 A 10.0.0.77"},
		{"www.test", "A", wwwOne},
		{"x.lan", "A", "NXDOMAIN aa\nns lan. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"lan", "MX", "NOERROR aa\nns lan. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"open.lan", "A", "NOERROR\nan open.lan. 300 A 192.0.2.7"},
		{"web.service.dc2.consul", "A", "NOERROR\nan web.service.dc2.consul. 5 A 10.2.0.1"},
		{"5.0.9.10.in-addr.arpa", "PTR", "NOERROR\nan 5.0.9.10.in-addr.arpa. 300 PTR x.corp.test."},
		{"2.0.0.10.in-addr.arpa", "PTR", "NOERROR aa\nan 2.0.0.10.in-addr.arpa. 0 PTR n2.node.dc1.consul."},
		{"1.1.168.192.in-addr.arpa", "PTR", "NXDOMAIN aa\nns 168.192.in-addr.arpa. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"8.8.8.8.in-addr.arpa", "PTR", "NOERROR\nan 8.8.8.8.in-addr.arpa. 300 PTR dns.test."},
		{"www.test", "ANY", "NOERROR\nan www.test. 3600 HINFO \"RFC8482\" \"\""},
	} {
		c.check(t, s)
	}
	for _, name := range []string{"printer", "wpad", "a.invalid", "b.onion", "c.local", "resolver.arpa"} {
		ask(t, s, name, "A")
		ask(t, s, name, "TXT")
	}
	testutil.Equal(t, def.queries.Load(), int64(3))
}

func TestForwarder_Filters(t *testing.T) {
	u := newUpstream(t, "priv.test. 300 A 10.9.9.9", "priv.test. 300 TXT x", "six.test. 300 AAAA 2001:db8::1", "six.corp. 300 AAAA 2001:db8::1")
	s := start(t, sample(), upstreams(u), func(c *Config) {
		c.Forward.StopRebind, c.Forward.FilterAAAA = true, true
		c.Forward.Domains = []DomainConfig{{"corp", []string{u.addr}}}
	})
	Case{"priv.test", "A", "NOERROR"}.check(t, s) // not NXDOMAIN: other types are there
	Case{"priv.test", "TXT", "NOERROR\nan priv.test. 300 TXT \"x\""}.check(t, s)
	for _, name := range []string{"six.test", "six.corp"} {
		Case{name, "AAAA", "NOERROR"}.check(t, s)
		Case{name, "ANY", "NOERROR\nan " + name + ". 3600 HINFO \"RFC8482\" \"\""}.check(t, s)
	}
}

func TestForwarder_ResolvConfWithoutSelf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	testutil.NoError(t, os.WriteFile(file, []byte("# x\nnameserver 192.0.2.53\nnameserver 127.0.0.1\nnameserver ::1\n"), 0o644))
	s := start(t, sample())
	s.mu.Lock()
	s.binds = append(s.binds, &socket.Binding{Addr: netip.MustParseAddrPort("127.0.0.1:53")})
	s.mu.Unlock()
	cfg := s.current()
	cfg.Forward.ResolvConf = file
	testutil.NoError(t, s.Reload(cfg))
	testutil.Equal(t, s.upstreamText(), []string{"192.0.2.53:53", "[::1]:53"})
}

func TestForwarder_ResolvConfChanges(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "resolv.conf")
	s := start(t, sample(), func(c *Config) { c.Forward.ResolvConf = file })
	for _, ip := range []string{"192.0.2.1", "192.0.2.2"} {
		tmp := filepath.Join(dir, "tmp")
		testutil.NoError(t, os.WriteFile(tmp, []byte("nameserver "+ip+"\n"), 0o644))
		testutil.NoError(t, os.Rename(tmp, file))
		testutil.Eventually(t, 8*time.Second, 10*time.Millisecond, func() error {
			if got := s.upstreamText(); len(got) != 1 || got[0] != ip+":53" {
				return fmt.Errorf("upstreams are %v", got)
			}
			return nil
		})
	}
	testutil.NoError(t, os.Remove(file))
	s.filesChanged()
	testutil.Equal(t, s.upstreamText(), []string{"192.0.2.2:53"})
}
