package dnsproxy

import (
	"encoding/hex"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// packet builds a query header with the given flags and counts, followed by body.
func packet(bits uint16, counts [4]uint16, body ...string) []byte {
	b := put16(put16(nil, 0x1234), bits)
	for _, n := range counts {
		b = put16(b, n)
	}
	for _, s := range body {
		b = append(b, s...)
	}
	return b
}

const (
	webA    = "\x03web\x07service\x06consul\x00\x00\x01\x00\x01"
	optRR   = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
	optV1   = "\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00"
	optDO   = "\x00\x00\x29\x02\x00\x00\x00\x80\x00\x00\x00"
	optFlag = "\x00\x00\x29\x04\xd0\x00\x00\x00\x80\x00\x00"
	someA   = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04"
)

func question(name string, typ, class uint16) string {
	wire, _ := packName(name)
	return string(put16(put16(wire, typ), class))
}

// TestServer_Packets is what each kind of packet gets, over UDP and TCP (spec 4, RFC 8906).
func TestServer_Packets(t *testing.T) {
	cases := []struct {
		name    string
		packet  []byte
		want    string // rcode, "" is silence; then flags and counts of interest
		records int    // in ANSWER
	}{
		{"empty", nil, "", 0},
		{"eleven bytes", packet(0, [4]uint16{})[:11], "", 0},
		{"response", packet(0x8180, [4]uint16{1}, webA), "", 0},
		{"plain", packet(0x0100, [4]uint16{1}, webA), "NOERROR qd", 2},
		{"without RD", packet(0, [4]uint16{1}, webA), "NOERROR qd", 2},
		{"status opcode", packet(2<<11, [4]uint16{1}, webA), "NOTIMP qd", 0},
		{"iquery opcode", packet(1<<11, [4]uint16{1}, webA), "NOTIMP qd", 0},
		{"notify", packet(4<<11, [4]uint16{1}, webA), "NOTIMP qd", 0},
		{"update", packet(5<<11, [4]uint16{1}, webA), "NOTIMP qd", 0},
		{"update with records", packet(5<<11, [4]uint16{1, 0, 1}, webA, someA), "NOTIMP qd", 0},
		{"opcode 7 with OPT", packet(7<<11, [4]uint16{1, 0, 0, 1}, webA, optRR), "NOTIMP qd opt", 0},
		{"opcode without question", packet(2<<11, [4]uint16{}), "NOTIMP", 0},
		{"no question", packet(0x0100, [4]uint16{}), "FORMERR", 0},
		{"two questions", packet(0x0100, [4]uint16{2}, webA, webA), "FORMERR", 0},
		{"question promised", packet(0x0100, [4]uint16{1}), "FORMERR", 0},
		{"question cut", packet(0x0100, [4]uint16{1}, webA[:len(webA)-1]), "FORMERR", 0},
		{"name cut", packet(0x0100, [4]uint16{1}, webA[:9]), "FORMERR", 0},
		{"answer promised", packet(0x0100, [4]uint16{1, 1}, webA), "FORMERR qd", 0},
		{"answer in query", packet(0x0100, [4]uint16{1, 1}, webA, someA), "FORMERR qd", 0},
		{"authority in query", packet(0x0100, [4]uint16{1, 0, 1}, webA, someA), "FORMERR qd", 0},
		{"additional promised", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA), "FORMERR qd", 0},
		{"additional record", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, someA), "NOERROR qd", 2},
		{"broken additional record", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, someA[:len(someA)-1]), "FORMERR qd", 0},
		{"trailing bytes", packet(0x0100, [4]uint16{1}, webA, "garbage"), "NOERROR qd", 2},
		{"name loop", packet(0x0100, [4]uint16{1}, "\xc0\x0c\x00\x01\x00\x01"), "FORMERR", 0},
		{"pointer into the header", packet(0x0100, [4]uint16{1}, "\x03web\xc0\x04\x00\x01\x00\x01"), "FORMERR", 0},
		{"forward pointer", packet(0x0100, [4]uint16{1}, "\xc0\x12\x00\x01\x00\x01\x03web\x00"), "FORMERR", 0},
		{"0x40 label", packet(0x0100, [4]uint16{1}, "\x41abc\x00\x00\x01\x00\x01"), "FORMERR", 0},
		{"0x80 label", packet(0x0100, [4]uint16{1}, "\x81abc\x00\x00\x01\x00\x01"), "FORMERR", 0},
		{"name of 256 bytes", packet(0x0100, [4]uint16{1}, strings.Repeat("\x03abc", 64), "\x00\x00\x01\x00\x01"), "FORMERR", 0},
		{"name of 255 bytes", packet(0x0100, [4]uint16{1}, strings.Repeat("\x01a", 123), "\x07service\x00\x00\x01\x00\x01"), "SERVFAIL qd", 0},
		{"NUL in label", packet(0x0100, [4]uint16{1}, "\x04we\x00b\x07service\x06consul\x00\x00\x01\x00\x01"), "NXDOMAIN qd", 0},
		{"dot in label", packet(0x0100, [4]uint16{1}, "\x0bweb.service\x06consul\x00\x00\x01\x00\x01"), "NXDOMAIN qd", 0},
		{"dot in short name", packet(0x0100, [4]uint16{1}, "\x05x.web\x00\x00\x01\x00\x01"), "NXDOMAIN qd", 0},
		{"newline in label", packet(0x0100, [4]uint16{1}, "\x04a\nb \x06consul\x00\x00\x01\x00\x01"), "NXDOMAIN qd", 0},
		{"all flag bits", packet(0x07ff, [4]uint16{1}, webA), "NOERROR qd", 2},
		{"class CH", packet(0x0100, [4]uint16{1}, question("version.bind", 16, 3)), "REFUSED qd", 0},
		{"class ANY", packet(0x0100, [4]uint16{1}, question("web.service.consul", 1, 255)), "REFUSED qd", 0},
		{"class NONE", packet(0x0100, [4]uint16{1}, question("web.service.consul", 1, 254)), "REFUSED qd", 0},
		{"class 0", packet(0x0100, [4]uint16{1}, question("web.service.consul", 1, 0)), "REFUSED qd", 0},
		{"type 0", packet(0x0100, [4]uint16{1}, question("web.service.consul", 0, 1)), "NOERROR qd", 0},
		{"type 65280", packet(0x0100, [4]uint16{1}, question("web.service.consul", 65280, 1)), "NOERROR qd", 0},
		{"AXFR", packet(0x0100, [4]uint16{1}, question("consul", 252, 1)), "REFUSED qd", 0},
		{"IXFR", packet(0x0100, [4]uint16{1, 0, 1}, question("consul", 251, 1), "\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00\x00\x16\x00\x00", strings.Repeat("\x00", 20)), "REFUSED qd", 0},
		{"OPT", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR), "NOERROR qd opt", 2},
		{"two OPT", packet(0x0100, [4]uint16{1, 0, 0, 2}, webA, optRR, optRR), "FORMERR qd", 0},
		{"OPT with an owner", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, "\x01x", optRR), "FORMERR qd", 0},
		{"OPT version 1", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optV1), "BADVERS qd opt", 0},
		{"OPT unknown flag", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optFlag), "NOERROR qd opt", 2},
		{"OPT with DO and 512", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optDO), "NOERROR qd opt", 2},
		{"OPT unknown option", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x08\x00\x64\x00\x04abcd"), "NOERROR qd opt", 2},
		{"OPT cookie", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x0c\x00\x0a\x00\x08abcdefgh"), "NOERROR qd opt", 2},
		{"OPT subnet too short", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x0a\x00\x08\x00\x06\x00\x01\x20\x00\x0a\x00"), "FORMERR qd", 0},
		{"OPT subnet of an unknown family", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x08\x00\x08\x00\x04\x00\x07\x00\x00"), "FORMERR qd", 0},
		{"OPT option cut", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x06\x00\x64\x00\x04ab"), "FORMERR qd", 0},
		{"OPT length lies", packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\xff\x00\x64\x00\x04ab"), "FORMERR qd", 0},
	}
	s := start(t, sample())
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check := func(reply []byte) {
				t.Helper()
				if c.want == "" {
					if reply != nil {
						t.Fatalf("got a reply: %x", reply)
					}
					return
				}
				checkReply(t, c.packet, reply, c.want, c.records)
			}
			check(overUDP(t, s.Addrs()[0], c.packet, c.want != ""))
			if len(c.packet) > 0 {
				check(overTCP(t, s.Addrs()[0], c.packet))
			}
		})
	}
	testutil.Equal(t, s.Stats().Panics, uint64(0))
	Case{"web.service.consul", "MX", nodata}.check(t, s) // still there
}

func checkReply(t *testing.T, query, reply []byte, want string, records int) {
	t.Helper()
	if len(reply) < headerLen {
		t.Fatalf("no reply, want %s", want)
	}
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("reply does not parse: %v\n%s", err, hex.Dump(reply))
	}
	got := dns.RcodeToString[m.Rcode]
	if m.Rcode == 16 {
		got = "BADVERS"
	}
	if len(m.Question) == 1 {
		got += " qd"
	}
	if o := m.IsEdns0(); o != nil {
		got += " opt"
		for _, opt := range o.Option {
			if opt.Option() != dns.EDNS0EDE {
				t.Errorf("option echoed: %v", opt)
			}
		}
		testutil.Equal(t, []uint16{o.UDPSize(), uint16(o.Version()), uint16(o.Z())}, []uint16{1232, 0, 0})
	}
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	testutil.Equal(t, len(m.Answer), records)
	testutil.Equal(t, get16(reply, 0), get16(query, 0))
	sent, back := get16(query, 2), get16(reply, 2)
	if back&(1<<6) != 0 || back&flagAD != 0 || back&flagTC != 0 {
		t.Errorf("flags %04x", back)
	}
	if back&(flagRD|flagCD|0xf<<11) != sent&(flagRD|flagCD|0xf<<11) {
		t.Errorf("flags %04x in reply to %04x", back, sent)
	}
}

// overUDP sends one datagram; without a reply expected it asks a known question right after
// and wants that one's reply to be the first.
func overUDP(t *testing.T, addr string, packet []byte, expect bool) []byte {
	t.Helper()
	c, err := net.Dial("udp", addr)
	testutil.NoError(t, err)
	defer c.Close()
	_, err = c.Write(packet)
	testutil.NoError(t, err)
	if !expect {
		_, err = c.Write([]byte("\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + webA))
		testutil.NoError(t, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 65535)
	n, err := c.Read(buf)
	testutil.NoError(t, err)
	if !expect && get16(buf, 0) == 0xabcd {
		return nil
	}
	return buf[:n]
}

// overTCP sends one message; nil: the connection was closed, or nothing came back in time.
func overTCP(t *testing.T, addr string, packet []byte) []byte {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	testutil.NoError(t, err)
	defer c.Close()
	testutil.NoError(t, writeMessage(c, packet))
	_ = c.(*net.TCPConn).CloseWrite() // it may be closed already
	msg, err := readMessage(c, 5*time.Second, 5*time.Second, func() {})
	if err != nil {
		return nil
	}
	return msg
}

// from makes a handler's client one that is not this host.
func (h *handler) from(src string) *handler {
	h.q.src = netip.MustParseAddrPort(src)
	return h
}

func TestServer_Access(t *testing.T) {
	h := newHandler(t, sample(), "web.service.consul.", dns.TypeA, true)
	for src, want := range map[string]int{
		"127.0.0.1:9": dns.RcodeSuccess, "[::1]:9": dns.RcodeSuccess, "10.1.2.3:9": dns.RcodeSuccess, "172.17.0.2:9": dns.RcodeSuccess,
		"192.168.1.1:9": dns.RcodeSuccess, "169.254.1.1:9": dns.RcodeSuccess, "[fd00::1]:9": dns.RcodeSuccess, "[fe80::1%2]:9": dns.RcodeSuccess,
		"8.8.8.8:9": dns.RcodeRefused, "[2001:db8::1]:9": dns.RcodeRefused, "172.32.0.1:9": dns.RcodeRefused,
	} {
		reply := h.from(src).once()
		testutil.Equal(t, int(reply[3]&0xf), want)
		if want == dns.RcodeRefused && len(reply) > len(h.raw) {
			t.Errorf("refusal has %d bytes, the query had %d", len(reply), len(h.raw))
		}
	}
	for _, src := range []string{"10.0.0.1:0", "0.0.0.0:53", "255.255.255.255:53", "224.0.0.1:53", "[ff02::1]:53"} {
		if reply := h.from(src).once(); reply != nil {
			t.Errorf("replied to %s", src)
		}
	}
	cached := newHandler(t, sample(), "www.example.com.", dns.TypeA, true)
	cached.cached(t, "www.example.com. 300 A 192.0.2.1")
	testutil.Equal(t, int(cached.from("8.8.8.8:9").once()[3]&0xf), dns.RcodeRefused) // before the cache
	set := *h.s.set.Load()
	set.drop = true
	h.s.set.Store(&set)
	if h.from("8.8.8.8:9").once() != nil {
		t.Error("replied though told to drop")
	}
}

func TestServer_ReplySizeByClient(t *testing.T) {
	h := newHandler(t, many(600), "big.service.consul.", dns.TypeA, true)
	h.s.rrl.rate = -1
	opt := len(h.raw) - optLen
	h.raw[opt+3], h.raw[opt+4] = 0xff, 0xff
	for src, limit := range map[string]int{"127.0.0.1:9": 16384, "172.17.0.9:9": 4096, "192.168.0.1:9": 4096} {
		n := len(h.from(src).once())
		if n > limit || n < min(limit, 9000)*9/10 {
			t.Errorf("%s got %d bytes, limit %d", src, n, limit)
		}
	}
	set := *h.s.set.Load()
	set.allow = append(set.allow, netip.MustParsePrefix("0.0.0.0/0"))
	h.s.set.Store(&set)
	if n := len(h.from("8.8.8.8:9").once()); n > ourUDP || n < 1100 {
		t.Errorf("%d bytes to the world", n)
	}
	h.raw[opt-4], h.raw[opt-3] = 0, typeANY
	if reply := h.from("8.8.8.8:9").once(); len(reply) > 512 || reply[2]&2 == 0 {
		t.Errorf("ANY to the world: %d bytes, flags %x", len(reply), reply[2])
	}
}

func TestServer_RateLimit(t *testing.T) {
	h := newHandler(t, sample(), "web.service.consul.", dns.TypeA, false)
	set := *h.s.set.Load()
	set.allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	h.s.set.Store(&set)
	count := func(src string, n int) (full, cut, none int) {
		h.from(src)
		for range n {
			switch reply := h.once(); {
			case reply == nil:
				none++
			case reply[2]&2 != 0:
				cut++
			default:
				full++
			}
		}
		return
	}
	full, cut, none := count("8.8.8.8:9", 1000)
	if full < 200 || full > 400 || cut < 250 || none < 250 { // a second may turn over in between
		t.Errorf("world: %d full, %d cut, %d dropped", full, cut, none)
	}
	full, cut, none = count("127.0.0.1:9", 5000)
	testutil.Equal(t, []int{full, cut, none}, []int{5000, 0, 0})
	full, cut, none = count("172.17.0.2:9", 5000)
	if none != 0 || full < 2000 || cut < 500 {
		t.Errorf("container: %d full, %d cut, %d dropped", full, cut, none)
	}
	testutil.Equal(t, len(h.from("9.9.9.9:9").once()) > 20, true) // another network
}

// TestServer_BadPacketsAreNotLogged: whoever sends garbage fills counters, not disks.
func TestServer_BadPacketsAreNotLogged(t *testing.T) {
	var out safeBuffer
	s := start(t, sample(), func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	began := out.String()
	for _, p := range [][]byte{packet(0, [4]uint16{})[:11], packet(0x8180, [4]uint16{1}, webA)} {
		for range 20 {
			overUDP(t, s.Addrs()[0], p, false)
		}
	}
	for range 20 {
		overUDP(t, s.Addrs()[0], packet(0x0100, [4]uint16{1}, "\xc0\x0c\x00\x01\x00\x01"), true)
		overUDP(t, s.Addrs()[0], packet(0x0100, [4]uint16{1}, webA, "garbage"), true)
	}
	testutil.Equal(t, out.String(), began)
	st := s.Stats()
	testutil.Equal(t, []uint64{st.Dropped, st.Trailing, st.Rcodes["FORMERR"]}, []uint64{40, 20, 20})
}

func TestServer_PanicIsOneFailure(t *testing.T) {
	c := sample()
	h := newHandler(t, c, "web.service.consul.", dns.TypeA, true)
	h.s.view = func() View { panic("catalog is broken") }
	reply := h.once()
	testutil.Equal(t, int(reply[3]&0xf), dns.RcodeServerFailure)
	testutil.Equal(t, h.c.panics.Load(), uint64(1))
	h.s.view = c.view
	testutil.Equal(t, int(h.once()[3]&0xf), dns.RcodeSuccess)
}

func TestServer_SubnetComesBack(t *testing.T) {
	s := start(t, sample())
	m := new(dns.Msg)
	m.SetQuestion("web.service.consul.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(10, 1, 2, 0)}}
	in, _, err := (&dns.Client{}).Exchange(m, s.Addrs()[0])
	testutil.NoError(t, err)
	sub, ok := in.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
	if !ok || sub.SourceNetmask != 24 || sub.SourceScope != 0 || !sub.Address.Equal(net.IPv4(10, 1, 2, 0)) {
		t.Fatalf("%v", in)
	}
}
