package dnsproxy

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// start runs a server on a free port of 127.0.0.1.
func start(t testing.TB, c *catalog, change ...func(*Config)) *Server {
	t.Helper()
	cfg := Config{
		Logger: testutil.Logger(t), View: c.view, Addrs: []string{"127.0.0.1:0"}, Datacenter: "dc1", NodeName: "n1",
		AdvertiseAddr: netip.MustParseAddr("10.0.0.1"),
		Forward:       ForwardConfig{NoLoopProbe: true},
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	testutil.NoError(t, err)
	testutil.Start(t, s.Run)
	return s
}

// ask sends one question; the type may have the flags "edns=N", "do", "tcp" and "cd" behind it.
func ask(t testing.TB, s *Server, name, typ string, flags ...string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.StringToType[typ])
	c := &dns.Client{Timeout: 5 * time.Second, UDPSize: 65535}
	for _, f := range flags {
		switch {
		case f == "tcp":
			c.Net = "tcp"
		case f == "do":
			m.SetEdns0(4096, true)
		case strings.HasPrefix(f, "edns="):
			size := 0
			for _, d := range f[5:] {
				size = size*10 + int(d-'0')
			}
			m.SetEdns0(uint16(size), false)
		}
	}
	in, _, err := c.ExchangeContext(context.Background(), m, s.Addrs()[0])
	testutil.NoError(t, err)
	return in
}

// show is an answer as sorted lines: flags, then each record with its section.
func show(m *dns.Msg) []string {
	head := dns.RcodeToString[m.Rcode]
	if m.Authoritative {
		head += " aa"
	}
	if m.Truncated {
		head += " tc"
	}
	var out []string
	for i, sec := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range sec {
			if rr.Header().Rrtype == dns.TypeOPT {
				continue
			}
			if soa, ok := rr.(*dns.SOA); ok {
				soa.Serial = min(soa.Serial, 1) // the time; never 0
			}
			text := strings.Join(strings.Fields(strings.Replace(rr.String(), "\tIN\t", " ", 1)), " ")
			out = append(out, []string{"an ", "ns ", "ar "}[i]+text)
		}
	}
	slices.Sort(out)
	return append([]string{head}, out...)
}

// Case is one question and the whole answer to it as sorted zone text.
type Case struct {
	name, typ string
	want      string
}

func (c Case) check(t *testing.T, s *Server, flags ...string) {
	t.Helper()
	got := strings.Join(show(ask(t, s, c.name, c.typ, flags...)), "\n")
	var want []string
	for _, l := range strings.Split(strings.TrimSpace(c.want), "\n") {
		want = append(want, strings.TrimSpace(l))
	}
	slices.Sort(want[1:])
	if got != strings.Join(want, "\n") {
		t.Errorf("%s %s %v\ngot:\n%s\nwant:\n%s", c.name, c.typ, flags, got, strings.Join(want, "\n"))
	}
}

const (
	nodata   = "NOERROR aa\nns consul. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"
	nxdomain = "NXDOMAIN aa\nns consul. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"
)

// sample is the catalog that most cases ask about.
func sample() *catalog {
	c := newCatalog()
	c.node("n1", "10.0.0.1", "role", "db", "rfc1035-note", "plain", "a=b", "x")
	c.node("n2", "10.0.0.2")
	c.node("n6", "2001:db8::6")
	c.node("Dotted.Node", "10.0.0.3")
	c.add("n1", "consul", "", 8300)
	c.add("n1", "web", "", 80, tags("v1.2", "blue"))
	c.add("n2", "web", "", 81, tags("green"))
	c.add("n2", "web", "", 82, tags("green"), status(berth.StatusCritical))
	c.add("n1", "own", "10.1.1.22", 90, weights(10, 1))
	c.add("n6", "six", "", 70)
	c.add("n1", "Upper", "", 60, tags("V1"))
	c.add("n1", "two", "10.1.1.1", 1)
	c.add("n1", "two", "10.1.1.1", 2)
	c.add("n1", "my_app", "", 50)
	c.add("n1", "node", "", 51)
	c.add("n1", "sick", "", 52, status(berth.StatusCritical))
	c.add("n1", "warn", "", 53, status(berth.StatusWarning), weights(1, 7))
	c.add("n1", "udp", "", 54, tags("udp"))
	return c
}

func TestServer_ZoneAnswers(t *testing.T) {
	s := start(t, sample())
	web := "NOERROR aa\nan web.service.consul. 0 A 10.0.0.1\nan web.service.consul. 0 A 10.0.0.2"
	cases := []Case{
		{"web.service.consul", "A", web},
		{"web.service.dc1.consul", "A", strings.ReplaceAll(web, "service", "service.dc1")},
		{"web.service.dc1.dc.consul", "A", strings.ReplaceAll(web, "service", "service.dc1.dc")},
		{"web.service.consul", "ANY", web},
		{"web.service.consul", "AAAA", nodata},
		{"web.service.consul", "TXT", nodata},
		{"web.service.consul", "NS", nodata},
		{"web.service.consul", "SOA", nodata},
		{"web.service.consul", "MX", nodata},
		{"web.service.consul", "DS", nodata},
		{"web.service.consul", "HTTPS", nodata},
		{"web.service.consul", "SRV", `NOERROR aa
			an web.service.consul. 0 SRV 1 1 80 n1.node.dc1.consul.
			an web.service.consul. 0 SRV 1 1 81 n2.node.dc1.consul.
			ar n1.node.dc1.consul. 0 A 10.0.0.1
			ar n2.node.dc1.consul. 0 A 10.0.0.2`},
		{"WEB.Service.consul", "A", strings.ReplaceAll(web, "web.service", "WEB.Service")},
		{"blue.web.service.consul", "A", "NOERROR aa\nan blue.web.service.consul. 0 A 10.0.0.1"},
		{"v1.2.web.service.consul", "A", "NOERROR aa\nan v1.2.web.service.consul. 0 A 10.0.0.1"},
		{"2.web.service.consul", "A", nodata},
		{"_web._green.service.consul", "SRV", `NOERROR aa
			an _web._green.service.consul. 0 SRV 1 1 81 n2.node.dc1.consul.
			ar n2.node.dc1.consul. 0 A 10.0.0.2`},
		{"_web._tcp.service.consul", "A", strings.ReplaceAll(web, "web.service", "_web._tcp.service")},
		{"_web._udp.service.consul", "A", nxdomain},
		{"_udp._udp.service.consul", "A", "NOERROR aa\nan _udp._udp.service.consul. 0 A 10.0.0.1"},
		{"_udp._tcp.consul", "SRV", "NOERROR aa\nan _udp._tcp.consul. 0 SRV 1 1 54 n1.node.dc1.consul.\nar n1.node.dc1.consul. 0 A 10.0.0.1"},
		{"_udp._tcp.dc1.consul", "SRV", "NOERROR aa\nan _udp._tcp.dc1.consul. 0 SRV 1 1 54 n1.node.dc1.consul.\nar n1.node.dc1.consul. 0 A 10.0.0.1"},
		{"_none._tcp.consul", "A", nxdomain},
		{"_tcp.service.consul", "A", nodata},
		{"_tcp.consul", "A", nodata},
		{"_green.service.consul", "A", nodata}, // _web._green is below it
		{"_green.service.dc1.consul", "SRV", nodata},
		{"ns.consul", "ANY", "NOERROR aa\nan ns.consul. 0 A 10.0.0.1"},
		{"own.service.consul", "SRV", `NOERROR aa
			an own.service.consul. 0 SRV 1 10 90 0a010116.addr.dc1.consul.
			ar 0a010116.addr.dc1.consul. 0 A 10.1.1.22`},
		{"six.service.consul", "AAAA", "NOERROR aa\nan six.service.consul. 0 AAAA 2001:db8::6"},
		{"six.service.consul", "A", nodata},
		{"six.service.consul", "SRV", `NOERROR aa
			an six.service.consul. 0 SRV 1 1 70 n6.node.dc1.consul.
			ar n6.node.dc1.consul. 0 AAAA 2001:db8::6`},
		{"v1.upper.service.consul", "A", "NOERROR aa\nan v1.upper.service.consul. 0 A 10.0.0.1"},
		{"two.service.consul", "A", "NOERROR aa\nan two.service.consul. 0 A 10.1.1.1"},
		{"two.service.consul", "SRV", `NOERROR aa
			an two.service.consul. 0 SRV 1 1 1 0a010101.addr.dc1.consul.
			an two.service.consul. 0 SRV 1 1 2 0a010101.addr.dc1.consul.
			ar 0a010101.addr.dc1.consul. 0 A 10.1.1.1
			ar 0a010101.addr.dc1.consul. 0 A 10.1.1.1`},
		{"my_app.service.consul", "A", "NOERROR aa\nan my_app.service.consul. 0 A 10.0.0.1"},
		{"node.service.consul", "A", "NOERROR aa\nan node.service.consul. 0 A 10.0.0.1"},
		{"warn.service.consul", "SRV", "NOERROR aa\nan warn.service.consul. 0 SRV 1 7 53 n1.node.dc1.consul.\nar n1.node.dc1.consul. 0 A 10.0.0.1"},
		{"sick.service.consul", "A", nxdomain},
		{"none.service.consul", "A", nxdomain},
		{"red.web.service.consul", "A", nxdomain},
		{"web.service.dc9.consul", "A", nxdomain},
		{"web.service.dc1.dc1.consul", "A", nxdomain},
		{"web.service.dc1.peer.consul", "A", nxdomain},
		{"web.connect.consul", "A", nxdomain},
		{"web.virtual.consul", "A", nxdomain},
		{"web.ingress.consul", "A", nxdomain},
		{"q.query.consul", "A", nxdomain},
		{"consul.service.consul", "A", "NOERROR aa\nan consul.service.consul. 0 A 10.0.0.1"},
		{"n1.node.consul", "A", "NOERROR aa\nan n1.node.consul. 0 A 10.0.0.1"},
		{"N1.node.dc1.consul", "A", "NOERROR aa\nan N1.node.dc1.consul. 0 A 10.0.0.1"},
		{"dotted.node.node.consul", "A", "NOERROR aa\nan dotted.node.node.consul. 0 A 10.0.0.3"},
		{"n1.node.consul", "AAAA", nodata},
		{"n1.node.consul", "SRV", nodata},
		{"n9.node.consul", "A", nxdomain},
		{"n9.node.consul", "MX", nxdomain},
		{"n1.node.consul", "TXT", `NOERROR aa
			an n1.node.consul. 0 TXT "role=db"
			an n1.node.consul. 0 TXT "plain"
			an n1.node.consul. 0 TXT "a` + "`" + `=b=x"`},
		{"0a010101.addr.consul", "A", "NOERROR aa\nan 0a010101.addr.consul. 0 A 10.1.1.1"},
		{"0a010101.addr.dc1.consul", "AAAA", nodata},
		{"20010db8000000000000000000000006.addr.consul", "AAAA", "NOERROR aa\nan 20010db8000000000000000000000006.addr.consul. 0 AAAA 2001:db8::6"},
		{"0a0101.addr.consul", "A", nxdomain},
		{"zz010101.addr.consul", "A", nxdomain},
		{"consul", "A", nodata},
		{"service.consul", "A", nodata},
		{"node.consul", "A", nodata},
		{"addr.consul", "A", nodata},
		{"query.consul", "A", nodata},
		{"dc1.consul", "A", nodata},
		{"service.dc1.consul", "A", nodata},
		{"dc9.consul", "A", nxdomain},
		{"foo.bar.consul", "A", nxdomain},
		{"ns.consul", "A", "NOERROR aa\nan ns.consul. 0 A 10.0.0.1"},
		{"ns.consul", "AAAA", nodata},
		{"consul", "SOA", `NOERROR aa
			an consul. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0
			ns consul. 0 NS n1.node.dc1.consul.
			ar n1.node.dc1.consul. 0 A 10.0.0.1`},
		{"consul", "NS", `NOERROR aa
			an consul. 0 NS n1.node.dc1.consul.
			ar n1.node.dc1.consul. 0 A 10.0.0.1`},
		{"2.0.0.10.in-addr.arpa", "PTR", "NOERROR aa\nan 2.0.0.10.in-addr.arpa. 0 PTR n2.node.dc1.consul."},
		{"22.1.1.10.in-addr.arpa", "PTR", "NOERROR aa\nan 22.1.1.10.in-addr.arpa. 0 PTR own.service.dc1.consul."},
		{"9.9.9.10.in-addr.arpa", "PTR", "NXDOMAIN aa\nns 10.in-addr.arpa. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"9.10.in-addr.arpa", "PTR", "NOERROR aa\nns 10.in-addr.arpa. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"web", "A", "NOERROR aa\nan web. 0 A 10.0.0.1\nan web. 0 A 10.0.0.2"},
		{"web", "AAAA", "NOERROR aa\nns web. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"nosuch", "A", "NXDOMAIN aa\nns nosuch. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"wpad", "A", "NXDOMAIN aa\nns wpad. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
		{"localhost", "A", "NOERROR aa\nan localhost. 0 A 127.0.0.1"},
		{"x.localhost", "AAAA", "NOERROR aa\nan x.localhost. 0 AAAA ::1"},
		{"x.onion", "A", "NXDOMAIN aa\nns onion. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"},
	}
	for _, c := range cases {
		c.check(t, s)
		c.check(t, s, "tcp")
		c.check(t, s, "edns=1232") // from the table of answers this time
	}
}

func TestServer_NotSynced(t *testing.T) {
	c := sample()
	c.unsynced = true
	s := start(t, c)
	m := ask(t, s, "web.service.consul", "A", "edns=1232")
	testutil.Equal(t, m.Rcode, dns.RcodeServerFailure)
	ede, ok := m.IsEdns0().Option[0].(*dns.EDNS0_EDE)
	if !ok || ede.InfoCode != dns.ExtendedErrorCodeNotReady {
		t.Fatalf("no EDE 14 in %v", m)
	}
	c.mu.Lock()
	c.unsynced = false
	c.mu.Unlock()
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 2)
}

func TestServer_CatalogChanged(t *testing.T) {
	c := sample()
	s := start(t, c)
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 2)
	c.node("n4", "10.0.0.4")
	c.add("n4", "web", "", 80)
	s.CatalogChanged([]berth.Change{{Service: "web"}})
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 3)
	testutil.Equal(t, ask(t, s, "n5.node.consul", "A").Rcode, dns.RcodeNameError)
	c.node("n5", "10.0.0.5")
	s.CatalogChanged([]berth.Change{{Node: "n5"}})
	testutil.Equal(t, len(ask(t, s, "n5.node.consul", "A").Answer), 1)
	c.mu.Lock()
	c.services["web"] = nil
	c.mu.Unlock()
	s.CatalogChanged([]berth.Change{{All: true}})
	testutil.Equal(t, ask(t, s, "web.service.consul", "A").Rcode, dns.RcodeNameError)
}
