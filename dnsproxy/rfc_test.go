package dnsproxy

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// rfcCase asks over one transport what an RFC says something about.
type rfcCase struct {
	t   *testing.T
	s   *Server
	u   *fakeUpstream
	net string // udp or tcp
}

// send exchanges a raw packet and parses the reply.
func (c *rfcCase) send(packet []byte) (*dns.Msg, []byte) {
	c.t.Helper()
	var raw []byte
	if c.net == "tcp" {
		raw = overTCP(c.t, c.s.Addrs()[0], packet)
	} else {
		raw = overUDP(c.t, c.s.Addrs()[0], packet, true)
	}
	var m dns.Msg
	testutil.NoError(c.t, m.Unpack(raw))
	return &m, raw
}

// ask sends a question with EDNS (4096) unless change says otherwise.
func (c *rfcCase) ask(name string, typ uint16, change ...func(*dns.Msg)) *dns.Msg {
	c.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), typ)
	m.SetEdns0(4096, false)
	for _, f := range change {
		f(m)
	}
	raw, err := m.Pack()
	testutil.NoError(c.t, err)
	in, _ := c.send(raw)
	return in
}

// want checks an answer as sorted lines.
func (c *rfcCase) want(m *dns.Msg, lines ...string) {
	c.t.Helper()
	if got, want := strings.Join(show(m), "\n"), strings.Join(lines, "\n"); got != want {
		c.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func noEDNS(m *dns.Msg) { m.Extra = nil }

func withDO(m *dns.Msg) { m.IsEdns0().SetDo() }

func withOption(o dns.EDNS0) func(*dns.Msg) {
	return func(m *dns.Msg) { m.IsEdns0().Option = append(m.IsEdns0().Option, o) }
}

const (
	rfcSOA  = "ns test. 300 SOA ns.test. host.test. 1 2 3 4 60"
	zoneSOA = "ns consul. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"
)

// rfcUpstream has what the checklist asks about.
func rfcUpstream(t *testing.T) *fakeUpstream {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "www.test. 300 AAAA 2001:db8::1", "huge.test. 4294967295 A 192.0.2.2",
		"odd.test. 300 TYPE65280 \\# 4 01020304", "svc.test. 300 HTTPS 1 . alpn=h2", "dnssec.test. 300 DNSKEY 257 3 13 AAAA",
		"_dns.test. 300 SVCB 1 ns.test. alpn=dot", ". 300 NS a.root-servers.net.")
	u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
		if strings.EqualFold(r.Question[0].Name, "down.test.") {
			return rcode(dns.RcodeServerFailure)(w, r)
		}
		return false
	})
	return u
}

// TestRFC is the checklist of spec 8, each row over UDP and TCP.
func TestRFC(t *testing.T) {
	for name, check := range rfcChecks {
		for _, proto := range []string{"udp", "tcp"} {
			t.Run(name+" "+proto, func(t *testing.T) {
				u := rfcUpstream(t)
				check(&rfcCase{t: t, s: start(t, sample(), upstreams(u)), u: u, net: proto})
			})
		}
	}
}

var rfcChecks = map[string]func(*rfcCase){
	"1035 header and sections": func(c *rfcCase) {
		m, raw := c.send(packet(0x0100, [4]uint16{1}, webA))
		testutil.Equal(c.t, []bool{m.Response, m.Authoritative, m.RecursionDesired, m.RecursionAvailable, m.Zero}, []bool{true, true, true, true, false})
		testutil.Equal(c.t, int(m.Id), 0x1234)
		testutil.Equal(c.t, string(raw[headerLen:headerLen+len(webA)]), webA)
	},
	"1123 answers over TCP what it answers over UDP": func(c *rfcCase) {
		c.want(c.ask("www.test", typeA), "NOERROR", "an www.test. 300 A 192.0.2.1")
		c.want(c.ask("n2.node.consul", typeA), "NOERROR aa", "an n2.node.consul. 0 A 10.0.0.2")
	},
	"2181 TTL with the top bit is 0": func(c *rfcCase) {
		c.want(c.ask("huge.test", typeA), "NOERROR", "an huge.test. 0 A 192.0.2.2")
		testutil.Equal(c.t, c.s.fwd.cache.find(c.s.key("huge.test", typeA)) == nil, true)
	},
	"2181 one TTL in a set": func(c *rfcCase) {
		ttls := map[uint32]bool{}
		for _, rr := range c.ask("web.service.consul", typeA).Answer {
			ttls[rr.Header().Ttl] = true
		}
		testutil.Equal(c.t, len(ttls), 1)
	},
	"2308 SOA in negative answers": func(c *rfcCase) {
		c.want(c.ask("none.service.consul", typeA), "NXDOMAIN aa", zoneSOA)
		c.want(c.ask("web.service.consul", typeAAAA), "NOERROR aa", zoneSOA)
		c.want(c.ask("none.test", typeA), "NXDOMAIN", rfcSOA)
	},
	"2308 negative TTL is the smaller of SOA and minimum": func(c *rfcCase) {
		c.ask("none.test", typeA)
		e, _ := c.s.fwd.cache.fresh(c.s.key("none.test", typeA), time.Now())
		testutil.Equal(c.t, e.life, uint32(60))
	},
	"2782 SRV target is not compressed": func(c *rfcCase) {
		_, raw := c.send(packet(0x0100, [4]uint16{1}, question("own.service.consul", typeSRV, 1)))
		wire, _ := packName("0a010116.addr.dc1.consul")
		if !strings.Contains(string(raw), string(wire)) {
			c.t.Errorf("no full name in %x", raw)
		}
	},
	"2782 target resolves": func(c *rfcCase) {
		for _, rr := range c.ask("web.service.consul", typeSRV).Answer {
			testutil.Equal(c.t, len(c.ask(rr.(*dns.SRV).Target, typeA).Answer), 1)
		}
	},
	"3225 DO comes back": func(c *rfcCase) {
		testutil.Equal(c.t, c.ask("web.service.consul", typeA, withDO).IsEdns0().Do(), true)
		testutil.Equal(c.t, c.ask("www.test", typeA, withDO).IsEdns0().Do(), true)
		testutil.Equal(c.t, c.ask("www.test", typeA).IsEdns0().Do(), false)
	},
	"3596 AAAA": func(c *rfcCase) {
		c.want(c.ask("six.service.consul", typeAAAA), "NOERROR aa", "an six.service.consul. 0 AAAA 2001:db8::6")
		c.want(c.ask("www.test", typeAAAA), "NOERROR", "an www.test. 300 AAAA 2001:db8::1")
	},
	"3597 unknown types": func(c *rfcCase) {
		m := c.ask("odd.test", 65280)
		testutil.Equal(c.t, len(m.Answer), 1)
		testutil.Equal(c.t, strings.Fields(m.Answer[0].String())[4:], []string{"\\#", "4", "01020304"})
		c.want(c.ask("web.service.consul", 65280), "NOERROR aa", zoneSOA)
	},
	"4035 CD is repeated and AD is not set for local data": func(c *rfcCase) {
		m := c.ask("web.service.consul", typeA, func(m *dns.Msg) { m.CheckingDisabled, m.AuthenticatedData = true, true })
		testutil.Equal(c.t, []bool{m.CheckingDisabled, m.AuthenticatedData}, []bool{true, false})
	},
	"4343 case of the question is kept and does not matter": func(c *rfcCase) {
		c.want(c.ask("wEb.SERVICE.Consul", typeA), "NOERROR aa", "an wEb.SERVICE.Consul. 0 A 10.0.0.1", "an wEb.SERVICE.Consul. 0 A 10.0.0.2")
		c.want(c.ask("WwW.TesT", typeA), "NOERROR", "an WwW.TesT. 300 A 192.0.2.1")
	},
	"5452 random ID and port, matching answers only": func(c *rfcCase) {
		var mu sync.Mutex
		ids, ports := map[uint16]bool{}, map[string]bool{}
		c.u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
			mu.Lock()
			ids[r.Id], ports[w.RemoteAddr().String()] = true, true
			mu.Unlock()
			bad := c.u.answer(r)
			bad.Id++
			_ = w.WriteMsg(bad)
			return false
		})
		for i := range 4 {
			c.want(c.ask(fmt.Sprintf("n%d.test", i), typeA), "NXDOMAIN", rfcSOA)
		}
		mu.Lock()
		defer mu.Unlock()
		testutil.Equal(c.t, []bool{len(ids) > 2, len(ports) > 2}, []bool{true, true})
	},
	"5625 a proxy passes unknown flags, types and large answers": func(c *rfcCase) {
		c.want(c.ask("dnssec.test", typeKEY, withDO), "NOERROR", "an dnssec.test. 300 DNSKEY 257 3 13 AAAA")
		c.want(c.ask("www.test", typeA, noEDNS), "NOERROR", "an www.test. 300 A 192.0.2.1")
	},
	"5936 no zone transfer": func(c *rfcCase) {
		for _, typ := range []uint16{typeAXFR, typeIXFR} {
			for _, name := range []string{"consul", "test"} {
				c.want(c.ask(name, typ), "REFUSED")
			}
		}
	},
	"6303 private reverse zones stay here": func(c *rfcCase) {
		c.want(c.ask("1.2.168.192.in-addr.arpa", typePTR), "NXDOMAIN aa", "ns 168.192.in-addr.arpa. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0")
		testutil.Equal(c.t, c.ask("d.f.ip6.arpa", typePTR).Rcode, dns.RcodeSuccess)
		testutil.Equal(c.t, c.u.queries.Load(), int64(0))
	},
	"6761 localhost and invalid": func(c *rfcCase) {
		c.want(c.ask("localhost", typeA), "NOERROR aa", "an localhost. 0 A 127.0.0.1")
		c.want(c.ask("a.localhost", typeAAAA), "NOERROR aa", "an a.localhost. 0 AAAA ::1")
		testutil.Equal(c.t, c.ask("x.invalid", typeA).Rcode, dns.RcodeNameError)
		testutil.Equal(c.t, c.u.queries.Load(), int64(0))
	},
	"6840 AD only when asked for": func(c *rfcCase) {
		c.u.behave(func(w dns.ResponseWriter, r *dns.Msg) bool {
			m := c.u.answer(r)
			m.AuthenticatedData = true
			_ = w.WriteMsg(m)
			return true
		})
		testutil.Equal(c.t, c.ask("www.test", typeA).AuthenticatedData, false)
		testutil.Equal(c.t, c.ask("www.test", typeA, func(m *dns.Msg) { m.AuthenticatedData = true }).AuthenticatedData, true)
	},
	"6891 OPT if and only if asked": func(c *rfcCase) {
		for _, name := range []string{"web.service.consul", "none.service.consul", "www.test", "down.test"} {
			testutil.Equal(c.t, c.ask(name, typeA, noEDNS).IsEdns0() == nil, true)
			o := c.ask(name, typeA).IsEdns0()
			testutil.Equal(c.t, []int{int(o.UDPSize()), int(o.Version())}, []int{1232, 0})
		}
	},
	"6895 opcodes and classes": func(c *rfcCase) {
		for _, op := range []uint16{1, 2, 4, 5, 6, 7, 15} {
			m, _ := c.send(packet(op<<11, [4]uint16{1}, webA))
			testutil.Equal(c.t, m.Rcode, dns.RcodeNotImplemented)
		}
		m, _ := c.send(packet(0x0100, [4]uint16{1}, question("www.test", typeA, 3)))
		testutil.Equal(c.t, m.Rcode, dns.RcodeRefused)
	},
	"7686 onion stays here": func(c *rfcCase) {
		testutil.Equal(c.t, c.ask("x.onion", typeA).Rcode, dns.RcodeNameError)
		testutil.Equal(c.t, c.u.queries.Load(), int64(0))
	},
	"7766 9210 connection is reused": func(c *rfcCase) {
		conn := dialTCP(c.t, c.s)
		for range 3 {
			testutil.NoError(c.t, writeMessage(conn, packet(0x0100, [4]uint16{1}, webA)))
			_, err := readMessage(conn, 5*time.Second, 5*time.Second, func() {})
			testutil.NoError(c.t, err)
		}
	},
	"7828 keepalive over TCP only": func(c *rfcCase) {
		o := c.ask("web.service.consul", typeA, withOption(&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})).IsEdns0()
		testutil.Equal(c.t, len(o.Option) == 1, c.net == "tcp")
	},
	"7871 subnet with scope 0, not passed on": func(c *rfcCase) {
		var leaked atomic.Bool
		c.u.behave(func(_ dns.ResponseWriter, r *dns.Msg) bool {
			if o := r.IsEdns0(); o != nil && len(o.Option) > 0 {
				leaked.Store(true)
			}
			return false
		})
		ecs := withOption(&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(10, 1, 2, 0)})
		o := c.ask("web.service.consul", typeA, ecs).IsEdns0()
		testutil.Equal(c.t, o.Option[0].(*dns.EDNS0_SUBNET).SourceScope, uint8(0))
		c.want(c.ask("www.test", typeA, ecs), "NOERROR", "an www.test. 300 A 192.0.2.1")
		testutil.Equal(c.t, leaked.Load(), false)
	},
	"7873 9018 cookies are not echoed": func(c *rfcCase) {
		o := c.ask("web.service.consul", typeA, withOption(&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"})).IsEdns0()
		testutil.Equal(c.t, len(o.Option), 0)
	},
	"8020 names with others below them exist": func(c *rfcCase) {
		for _, name := range []string{"consul", "service.consul", "dc1.consul", "service.dc1.consul", "_tcp.service.consul", "_tcp.consul", "node.consul"} {
			testutil.Equal(c.t, c.ask(name, typeA).Rcode, dns.RcodeSuccess)
		}
	},
	"8482 ANY is small elsewhere": func(c *rfcCase) {
		c.want(c.ask("www.test", typeANY), "NOERROR", `an www.test. 3600 HINFO "RFC8482" ""`)
		testutil.Equal(c.t, len(c.ask("web.service.consul", typeANY).Answer), 2)
	},
	"8767 stale answers when upstreams fail": func(c *rfcCase) {
		c.ask("www.test", typeA)
		c.u.behave(rcode(dns.RcodeServerFailure))
		age(c.s, 301*time.Second)
		m := c.ask("www.test", typeA)
		c.want(m, "NOERROR", "an www.test. 30 A 192.0.2.1")
		testutil.Equal(c.t, m.IsEdns0().Option[0].(*dns.EDNS0_EDE).InfoCode, uint16(dns.ExtendedErrorCodeStaleAnswer))
	},
	"8906 every kind of query is answered": func(c *rfcCase) {
		for _, bits := range []uint16{0, 0x0100, 0x0020, 0x0010, 0x0040, 0x0400, 0x0080} {
			m, _ := c.send(packet(bits, [4]uint16{1}, webA))
			testutil.Equal(c.t, len(m.Answer), 2)
		}
		for _, typ := range []uint16{0, 1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 43, 44, 46, 47, 48, 50, 52, 64, 65, 99, 249, 256, 257, 1000, 65535} {
			testutil.Equal(c.t, c.ask("web.service.consul", typ).Rcode, dns.RcodeSuccess)
		}
	},
	"8914 errors say why": func(c *rfcCase) {
		m := c.ask("down.test", typeA)
		testutil.Equal(c.t, m.Rcode, dns.RcodeServerFailure)
		testutil.Equal(c.t, m.IsEdns0().Option[0].(*dns.EDNS0_EDE).InfoCode, uint16(dns.ExtendedErrorCodeNoReachableAuthority))
	},
	"9156 minimised questions on the way down": func(c *rfcCase) {
		for _, name := range []string{"consul", "service.consul", "_green.service.consul", "_web._green.service.consul"} {
			testutil.Equal(c.t, c.ask(name, typeA).Rcode, dns.RcodeSuccess)
			testutil.Equal(c.t, c.ask(name, typeNS).Rcode, dns.RcodeSuccess)
		}
	},
	"9460 HTTPS and SVCB pass": func(c *rfcCase) {
		c.want(c.ask("svc.test", 65), "NOERROR", `an svc.test. 300 HTTPS 1 . alpn="h2"`)
		c.want(c.ask("_dns.test", 64), "NOERROR", `an _dns.test. 300 SVCB 1 ns.test. alpn="dot"`)
		c.want(c.ask("web.service.consul", 65), "NOERROR aa", zoneSOA)
	},
	"9462 resolver.arpa stays here": func(c *rfcCase) {
		testutil.Equal(c.t, c.ask("_dns.resolver.arpa", 64).Rcode, dns.RcodeNameError)
		testutil.Equal(c.t, c.u.queries.Load(), int64(0))
	},
	"9520 failures are remembered": func(c *rfcCase) {
		for range 5 {
			testutil.Equal(c.t, c.ask("down.test", typeA).Rcode, dns.RcodeServerFailure)
		}
		testutil.Equal(c.t, c.u.queries.Load(), int64(1))
	},
	"9619 one question": func(c *rfcCase) {
		for _, n := range []uint16{0, 2} {
			m, _ := c.send(packet(0x0100, [4]uint16{n}, strings.Repeat(webA, int(n))))
			testutil.Equal(c.t, m.Rcode, dns.RcodeFormatError)
		}
	},
	"9715 we advertise 1232 and keep to it": func(c *rfcCase) {
		sizes := make(chan uint16, 8)
		c.u.behave(func(_ dns.ResponseWriter, r *dns.Msg) bool {
			sizes <- r.IsEdns0().UDPSize()
			return false
		})
		testutil.Equal(c.t, c.ask("www.test", typeA).IsEdns0().UDPSize(), uint16(1232))
		testutil.Equal(c.t, <-sizes, uint16(1232))
	},
	"ISC EDNS list": func(c *rfcCase) {
		opt := func(version byte, flags uint16, size uint16, data string) string {
			b := put16([]byte{0, 0, typeOPT}, size)
			b = put16(append(b, 0, version), flags)
			return string(put16(b, uint16(len(data)))) + data
		}
		unknown := "\x00\x64\x00\x02ab"
		for _, q := range []struct {
			name, opt string
			bad, do   bool
		}{
			{"edns0", opt(0, 0, 4096, ""), false, false},
			{"version 100", opt(100, 0, 4096, ""), true, false},
			{"option 100", opt(0, 0, 4096, unknown), false, false},
			{"flag 0x80", opt(0, 0x80, 4096, ""), false, false},
			{"DO", opt(0, 0x8000, 4096, ""), false, true},
			{"DO and size 512", opt(0, 0x8000, 512, ""), false, true},
			{"version 100 and option", opt(100, 0, 4096, unknown), true, false},
			{"version 100 and flag 0x80", opt(100, 0x80, 4096, ""), true, false},
		} {
			m, raw := c.send(packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, q.opt))
			o := m.IsEdns0()
			if o == nil || len(o.Option) != 0 || o.Version() != 0 || o.Do() != q.do || (m.Rcode == dns.RcodeBadVers) != q.bad || (len(m.Answer) == 2) == q.bad {
				c.t.Errorf("%s: %v", q.name, m)
			}
			if raw[len(raw)-3] != 0 || raw[len(raw)-4]&0x7f != 0 {
				c.t.Errorf("%s: flags came back: % x", q.name, raw[len(raw)-optLen:])
			}
		}
		m, _ := c.send(packet(0x0100, [4]uint16{1}, webA))
		testutil.Equal(c.t, m.IsEdns0() == nil, true)
	},
}
