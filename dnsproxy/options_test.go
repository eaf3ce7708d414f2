package dnsproxy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/dnsproxy/socket"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

func TestZone_TTLs(t *testing.T) {
	c := sample()
	c.add("n1", "front-a", "", 1)
	c.add("n1", "meta", "", 1, func(e *berth.HealthEntry) { e.Service.Meta = map[string]string{berth.MetaDNSTTL: "42s"} })
	s := start(t, c, func(cfg *Config) {
		cfg.Zone.NodeTTL, cfg.Zone.NegTTL = 3*time.Second, 4*time.Second
		cfg.Zone.ServiceTTL = map[string]time.Duration{"*": time.Second, "front*": 2 * time.Second, "front-a": 6 * time.Second, "f*": time.Hour}
	})
	for name, ttl := range map[string]uint32{
		"web.service.consul": 1, "front-a.service.consul": 6, "meta.service.consul": 42, "n1.node.consul": 3, "web": 1,
	} {
		testutil.Equal(t, ask(t, s, name, "A").Answer[0].Header().Ttl, ttl)
	}
	soa := ask(t, s, "none.service.consul", "A").Ns[0].(*dns.SOA)
	testutil.Equal(t, []uint32{soa.Hdr.Ttl, soa.Minttl}, []uint32{4, 4})
}

func TestZone_DomainsAndApexes(t *testing.T) {
	s := start(t, sample(), func(c *Config) {
		c.Zone.Domain, c.Zone.AltDomain, c.Zone.Zones = "consul.", "Alt.Example", []string{"service.consul"}
	})
	for _, c := range []Case{
		{"web.service.alt.example", "SRV", `NOERROR aa
			an web.service.alt.example. 0 SRV 1 1 80 n1.node.dc1.alt.example.
			an web.service.alt.example. 0 SRV 1 1 81 n2.node.dc1.alt.example.
			ar n1.node.dc1.alt.example. 0 A 10.0.0.1
			ar n2.node.dc1.alt.example. 0 A 10.0.0.2`},
		{"none.service.alt.example", "A", "NXDOMAIN aa\nns alt.example. 0 SOA ns.alt.example. hostmaster.alt.example. 1 3600 600 86400 0"},
		{"web.service.consul", "AAAA", "NOERROR aa\nns service.consul. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"n1.node.consul", "AAAA", nodata},
		{"alt.example", "NS", "NOERROR aa\nan alt.example. 0 NS n1.node.dc1.alt.example.\nar n1.node.dc1.alt.example. 0 A 10.0.0.1"},
	} {
		c.check(t, s)
	}
}

func TestZone_EmptyService(t *testing.T) {
	for mode, want := range map[string]string{EmptyNXDOMAIN: "NXDOMAIN", EmptyNODATA: "NOERROR", EmptyLastKnown: "10.0.0.1"} {
		c := newCatalog()
		c.node("n1", "10.0.0.1")
		e := c.add("n1", "web", "", 80)
		s := start(t, c, func(cfg *Config) { cfg.Zone.EmptyService = mode })
		testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 1)
		sick := *e
		sick.Checks = []*berth.Check{{Status: berth.StatusCritical}}
		c.mu.Lock()
		c.services["web"] = []*berth.HealthEntry{&sick}
		c.mu.Unlock()
		s.CatalogChanged([]berth.Change{{Service: "web"}})
		for range 2 {
			m := ask(t, s, "web.service.consul", "A")
			got := dns.RcodeToString[m.Rcode]
			if len(m.Answer) == 1 {
				got = m.Answer[0].(*dns.A).A.String()
			}
			testutil.Equal(t, got, want)
		}
		c.mu.Lock()
		delete(c.services, "web")
		c.mu.Unlock()
		s.CatalogChanged([]berth.Change{{Service: "web"}})
		testutil.Equal(t, ask(t, s, "web.service.consul", "A").Rcode, dns.RcodeNameError)
	}
}

func TestZone_OnlyPassing(t *testing.T) {
	s := start(t, sample(), func(c *Config) { c.Zone.OnlyPassing = true })
	testutil.Equal(t, ask(t, s, "warn.service.consul", "A").Rcode, dns.RcodeNameError)
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 2)
}

func TestZone_WeightsShapeTheOrder(t *testing.T) {
	c := newCatalog()
	for name, w := range map[string]int{"heavy": 9, "light": 1, "none": 0} {
		c.node(name, map[string]string{"heavy": "10.0.0.9", "light": "10.0.0.1", "none": "10.0.0.100"}[name])
		c.add(name, "web", "", 80, weights(w, w))
	}
	s := start(t, c, func(cfg *Config) { cfg.Zone.SRVWeightScale = 256 })
	first := map[string]int{}
	for range 400 {
		m := ask(t, s, "web.service.consul", "A")
		testutil.Equal(t, len(m.Answer), 2)
		first[m.Answer[0].(*dns.A).A.String()]++
	}
	if n := first["10.0.0.9"]; n < 320 || n > 395 {
		t.Fatalf("weight 9 of 10 came first %d of 400 times", n)
	}
	got := map[uint16]bool{}
	for _, rr := range ask(t, s, "web.service.consul", "SRV").Answer {
		got[rr.(*dns.SRV).Weight] = true
	}
	testutil.Equal(t, got, map[uint16]bool{9 * 256: true, 256: true, 0: true})
}

func TestZone_NodeMetaTXT(t *testing.T) {
	s := start(t, sample(), func(c *Config) { c.Zone.NodeMetaTXT = true })
	m := ask(t, s, "web.service.consul", "SRV", "edns=4096")
	testutil.Equal(t, len(m.Extra), 2+3+1) // addresses, metadata of n1, OPT
	testutil.Equal(t, m.Extra[0].Header().Rrtype, dns.TypeA)
}

func TestZone_ShortNamesOff(t *testing.T) {
	s := start(t, sample(), func(c *Config) { c.Zone.NoShortNames = true })
	testutil.Equal(t, ask(t, s, "web", "A").Rcode, dns.RcodeNameError)
}

func TestZone_UnpackableRecordsAreLeftOut(t *testing.T) {
	c := sample()
	c.node("bad node", "10.0.0.8")
	c.node(strings.Repeat("x", 64), "10.0.0.9")
	c.add("bad node", "web", "", 9)
	c.add(strings.Repeat("x", 64), "web", "", 9)
	c.add("n1", "web", "no such host\x00name", 9)
	s := start(t, c)
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "SRV").Answer), 2)
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 4)
}

// TestZone_AddressesThatAreNone: of what is no address and no host name nothing is said.
func TestZone_AddressesThatAreNone(t *testing.T) {
	c := sample()
	for i, a := range []string{"-", "http://db.test/", "10.0.0.300", "10.0.0.1:80", "a..b", "*.test", "n\u00f6.test", "."} {
		c.add("n1", "odd", a, i+1)
		c.add("n1", "none", a, i+1)
	}
	c.add("n1", "odd", "My_db-1.Test.", 99)
	s := start(t, c)
	Case{"odd.service.consul", "SRV", "NOERROR aa\nan odd.service.consul. 0 SRV 1 1 99 My_db-1.Test."}.check(t, s)
	Case{"odd.service.consul", "A", "NOERROR aa\nan odd.service.consul. 0 CNAME My_db-1.Test."}.check(t, s)
	Case{"none.service.consul", "A", nxdomain}.check(t, s)
}

func TestServer_ReloadTakesOver(t *testing.T) {
	s := start(t, sample())
	testutil.Equal(t, ask(t, s, "web.service.consul", "A").Answer[0].Header().Ttl, uint32(0))
	cfg := s.current()
	cfg.Zone.ServiceTTL = map[string]time.Duration{"*": 8 * time.Second}
	cfg.Zone.AltDomain = "berth"
	testutil.NoError(t, s.Reload(cfg))
	testutil.Equal(t, ask(t, s, "web.service.consul", "A").Answer[0].Header().Ttl, uint32(8))
	testutil.Equal(t, len(ask(t, s, "web.service.berth", "A").Answer), 2)
	cfg.Zone.Truncate = "sometimes"
	if err := s.Reload(cfg); err == nil || !strings.Contains(err.Error(), "sometimes") {
		t.Fatalf("error is %v", err)
	}
	testutil.Equal(t, len(ask(t, s, "web.service.berth", "A").Answer), 2)
}

func TestNew_Errors(t *testing.T) {
	c := sample()
	_, err := New(Config{Logger: testutil.Logger(t), View: c.view, Zone: ZoneConfig{Domain: "a..b", EmptyService: "x"},
		Forward: ForwardConfig{Upstreams: []string{"dns.example"}, Policy: "best"}})
	for _, want := range []string{`"a..b"`, `"x"`, `"dns.example"`, `"best"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("error does not name %s: %v", want, err)
		}
	}
	// A port that is free for TCP too: it must be the UDP socket that stands in the way.
	l, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", testutil.FreePort(t)))
	testutil.NoError(t, err)
	defer l.Close()
	_, err = New(Config{Logger: testutil.Logger(t), View: c.view, Addrs: []string{l.LocalAddr().String()}})
	if err == nil || !strings.Contains(err.Error(), l.LocalAddr().String()) || !strings.Contains(err.Error(), "pid ") {
		t.Fatalf("error does not name address and holder: %v", err)
	}
	first, err := New(Config{Logger: testutil.Logger(t), View: c.view, Addrs: []string{"127.0.0.1:0", "[::1]:0"}})
	testutil.NoError(t, err)
	defer first.Close()
	if _, err = New(Config{Logger: testutil.Logger(t), View: c.view, Addrs: first.Addrs()[:1]}); err == nil {
		t.Fatal("two servers share a port")
	}
}

func TestServer_OptionalAddress(t *testing.T) {
	busy := fmt.Sprintf("127.9.8.7:%d", testutil.FreePort(t))
	l, err := net.ListenPacket("udp", busy)
	testutil.NoError(t, err)
	defer l.Close()
	s, err := New(Config{Logger: testutil.Logger(t), View: sample().view, Addrs: []string{"127.0.0.1:0"}, OptionalAddrs: []string{busy, "192.0.2.77:53"}})
	testutil.NoError(t, err)
	testutil.Equal(t, len(s.Addrs()), 1)
	l.Close()
	s.unbound[busy] = missing{} // do not wait for its next turn
	testutil.Start(t, s.Run)
	testutil.Eventually(t, 10*time.Second, 20*time.Millisecond, func() error {
		c := &dns.Client{Timeout: time.Second}
		m := new(dns.Msg)
		m.SetQuestion("web.service.consul.", dns.TypeA)
		_, _, err := c.Exchange(m, busy)
		return err
	})
	testutil.Equal(t, len(s.Addrs()), 2)
}

func TestServer_WildcardBindsEachAddress(t *testing.T) {
	port := testutil.FreePort(t)
	s := start(t, sample(), func(c *Config) { c.Addrs = []string{fmt.Sprintf("0.0.0.0:%d", port)} })
	if len(s.Addrs()) != len(socket.Expand([]string{"0.0.0.0:1"})) {
		t.Fatalf("bound %v", s.Addrs())
	}
	for _, a := range s.Addrs() {
		if socket.Wildcard(a) {
			t.Fatalf("bound %v", a)
		}
		m := new(dns.Msg)
		m.SetQuestion("web.service.consul.", dns.TypeA)
		in, _, err := (&dns.Client{Timeout: time.Second}).Exchange(m, a)
		testutil.NoError(t, err)
		testutil.Equal(t, len(in.Answer), 2)
	}
	if !s.own(netip.MustParseAddrPort(s.Addrs()[0])) {
		t.Fatal("does not know its own address")
	}
}

func TestServer_QueryLog(t *testing.T) {
	s := start(t, sample())
	before := s.qlog.seen.Load()
	ask(t, s, "web.service.consul", "A")
	testutil.Equal(t, s.qlog.seen.Load(), before)
	s.SetQueryLog(true, 1)
	ask(t, s, "web.service.consul", "A")
	testutil.Equal(t, s.qlog.seen.Load(), before+1)
}

func TestServer_Stats(t *testing.T) {
	s := start(t, sample())
	ask(t, s, "web.service.consul", "A")
	ask(t, s, "web.service.consul", "A", "tcp")
	ask(t, s, "none.service.consul", "A")
	st := s.Stats()
	testutil.Equal(t, []uint64{st.Queries, st.TCPQueries, st.ZoneHits, st.ZoneMisses, st.Rcodes["NOERROR"], st.Rcodes["NXDOMAIN"]},
		[]uint64{3, 1, 1, 2, 2, 1})
	testutil.Equal(t, st.ReplicaSynced, true)
	testutil.Equal(t, st.BoundAddresses, s.Addrs())
}

func TestReverse_Names(t *testing.T) {
	for _, text := range []string{"10.0.0.1", "192.168.254.3", "2001:db8::42", "::1"} {
		want := netip.MustParseAddr(text)
		got, full, ok := reverseAddr(reverseName(want))
		if got != want || !full || !ok {
			t.Errorf("%s became %v", want, got)
		}
	}
}

// TestServer_OptionalAddrs_InterfaceName: an interface's name stands for what it has.
func TestServer_OptionalAddrs_InterfaceName(t *testing.T) {
	port := testutil.FreePort(t)
	s, err := New(Config{Logger: testutil.Logger(t), View: sample().view, Addrs: []string{"127.0.0.1:0"},
		OptionalAddrs: []string{fmt.Sprintf("lo:%d", port), "docker99:53"}})
	testutil.NoError(t, err)
	defer s.Close()
	addrs := s.Addrs()
	testutil.Equal(t, addrs[1:], []string{fmt.Sprintf("127.0.0.1:%d", port)})
}

func TestForwarder_AsksFromTheGivenAddressAndPorts(t *testing.T) {
	u := newUpstream(t, "www.test. 0 A 192.0.2.1")
	var mu sync.Mutex
	var from []netip.AddrPort
	u.behave(func(w dns.ResponseWriter, _ *dns.Msg) bool {
		mu.Lock()
		defer mu.Unlock()
		from = append(from, netip.MustParseAddrPort(w.RemoteAddr().String()))
		return false
	})
	// One port of the range is taken by somebody else.
	held, err := net.ListenPacket("udp", "127.0.0.9:0")
	testutil.NoError(t, err)
	defer held.Close()
	low := held.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	ports := PortRange{low - 3, low}
	s := start(t, sample(), func(c *Config) {
		c.Forward.NoLoopProbe, c.Forward.SourcePorts = true, ports
		c.Forward.Upstreams = []string{u.addr + "@127.0.0.9"}
	})
	for range 12 {
		Case{"www.test", "A", "NOERROR\nan www.test. 0 A 192.0.2.1"}.check(t, s)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, ap := range from {
		if ap.Addr().String() != "127.0.0.9" || ap.Port() < ports.Min || ap.Port() > ports.Max {
			t.Errorf("asked from %v, want 127.0.0.9 with a port of %v", ap, ports)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.2": "10.0.0.2:53", "10.0.0.2#5353": "10.0.0.2:5353", "::1": "[::1]:53", "[::1]:54@::2": "[::1]:54@::2",
		"10.0.0.2@192.0.2.7": "10.0.0.2:53@192.0.2.7", "10.0.0.2@": "", "10.0.0.2@eth0": "", "10.0.0.2@::1": "", "x": "", "10.0.0.2:0": "",
	} {
		got := ""
		if e, err := parseEndpoint(in); err == nil {
			got = e.String()
		}
		testutil.Equal(t, got, want)
	}
}
