package dnsproxy

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func seeds(f *testing.F) {
	add := func(p []byte) { f.Add(p) }
	add(packet(0x0100, [4]uint16{1}, webA))
	add(packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR))
	add(packet(0x0110, [4]uint16{1, 0, 0, 1}, webA, optDO))
	add(packet(0x0100, [4]uint16{1, 0, 0, 2}, webA, optRR, someA))
	add(packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x0c\x00\x0b\x00\x00\x00\x0c\x00\x00"))
	add(packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x0c\x00\x08\x00\x08\x00\x01\x20\x00\x0a\x00\x00\x01"))
	add(packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x0b\x00\x08\x00\x07\x00\x02\x18\x00\x20\x01\x0d"))
	for code := byte(1); code < 20; code++ {
		add(packet(0x0100, [4]uint16{1, 0, 0, 1}, webA, optRR[:10], "\x07\x00"+string(rune(code))+"\x00\x03abc"))
	}
	add(packet(0x0100, [4]uint16{1}, "\xc0\x0c\x00\x01\x00\x01"))
	add(packet(0x2100, [4]uint16{1}, webA))
	add(packet(0x0100, [4]uint16{1, 0, 1}, question("consul", 251, 1), someA))
	for _, name := range []string{
		"_web._tcp.service.consul", "v1.2.web.service.dc1.consul", "n1.node.consul", "0a010101.addr.consul", "consul", "web",
		"2.0.0.10.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa", "q.query.consul", "x.loop.test", "www.example.com", "localhost", ".",
	} {
		for _, typ := range []uint16{typeA, typeSRV, typeANY, typePTR, typeSOA} {
			add(packet(0x0100, [4]uint16{1, 0, 0, 1}, question(name, typ, 1), optRR))
		}
	}
}

// FuzzParse compares the hand parser with the library: what one takes for a query the other
// must read in the same way.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q query
		what, rcode := q.parse(raw)
		var m dns.Msg
		err := m.Unpack(raw)
		if what == parseDrop {
			if len(raw) >= headerLen && raw[2]&0x80 == 0 {
				t.Fatal("dropped a query")
			}
			return
		}
		if what == parseErr {
			if rcode == rcodeFormErr && err == nil && wellFormed(raw, &m) && !hasSubnet(&m) {
				t.Fatalf("refused a good query: %v", &m)
			}
			return
		}
		if err != nil && q.opt { // the library looks into options that mean nothing to us
			err = m.Unpack(plainOptions(raw))
		}
		if err != nil {
			t.Fatalf("took what the library refuses: %v", err)
		}
		if len(m.Question) != 1 || len(m.Answer)+len(m.Ns) != 0 {
			t.Fatalf("took a message with other sections: %v", &m)
		}
		wire := make([]byte, 300)
		n, err := dns.PackDomainName(dns.CanonicalName(m.Question[0].Name), wire, 0, nil, false)
		if err != nil || !bytes.Equal(wire[:n], q.qname()) {
			t.Fatalf("name %q, library %q (%v)", q.qname(), wire[:n], err)
		}
		if q.qtype != m.Question[0].Qtype || q.qclass != m.Question[0].Qclass || q.id != m.Id {
			t.Fatalf("type %d class %d id %d, library %v", q.qtype, q.qclass, q.id, &m)
		}
		o := m.IsEdns0()
		if q.opt != (o != nil) {
			t.Fatalf("opt %v, library %v", q.opt, o)
		}
		if o != nil && (q.size != o.UDPSize() || q.do != o.Do() || q.version != o.Version()) {
			t.Fatalf("size %d do %v version %d, library %v", q.size, q.do, q.version, o)
		}
	})
}

// plainOptions is a query whose EDNS options all have a code for local use.
func plainOptions(raw []byte) []byte {
	out := bytes.Clone(raw)
	off, _ := skipName(out, headerLen)
	off += 4
	for range get16(out, 10) {
		h, ok := readRR(out, off)
		if !ok {
			return out
		}
		if h.typ == typeOPT {
			for p := h.rdata; p+4 <= h.end; p += 4 + int(get16(out, p+2)) {
				out[p], out[p+1] = 0xfd, 0xe9
			}
		}
		off = h.end
	}
	return out
}

// hasSubnet tells whether there is a client subnet, which we are stricter about.
func hasSubnet(m *dns.Msg) bool {
	o := m.IsEdns0()
	return o != nil && slices.ContainsFunc(o.Option, func(x dns.EDNS0) bool { return x.Option() == dns.EDNS0SUBNET })
}

// wellFormed tells whether a message that the library read is a query that we must take: one
// uncompressed question, nothing in other sections but one OPT of the root.
func wellFormed(raw []byte, m *dns.Msg) bool {
	if len(m.Question) != 1 || get16(raw, 4) != 1 || get16(raw, 6) != 0 || get16(raw, 8) != 0 || len(m.Extra) != int(get16(raw, 10)) {
		return false
	}
	end := headerLen
	for ; end < len(raw) && raw[end] != 0; end += 1 + int(raw[end]) {
		if raw[end] > 63 {
			return false
		}
	}
	if end+5 > len(raw) { // the library takes a name without type and class
		return false
	}
	opts := 0
	for _, rr := range m.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			opts++
			if rr.Header().Name != "." {
				return false
			}
		}
	}
	return opts < 2 && len(m.Extra) == opts
}

// FuzzRespond sends any packet through all that answers without waiting. A reply must parse,
// fit, and belong to the packet.
func FuzzRespond(f *testing.F) {
	seeds(f)
	c := sample()
	s, err := New(Config{
		Logger: slog.New(slog.DiscardHandler), View: c.view, Access: AccessConfig{RRLPerSecond: -1},
		Zone:   ZoneConfig{AltDomain: "alt.example", Zones: []string{"service.consul"}, NodeMetaTXT: true},
		Static: StaticConfig{CNAMEs: map[string]string{"a.test": "b.test"}, TXTs: map[string][]string{"t.test": {"x"}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	s.binds = nil
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, client := range []string{"127.0.0.1:53", "10.0.0.1:53", "8.8.8.8:53"} {
			for _, tcp := range []bool{false, true} {
				q := &query{src: netip.MustParseAddrPort(client), tcp: tcp}
				reply, wait := s.respond(q, raw, make([]byte, 0, maxTCP), s.stats.reader())
				if len(s.stats.readers) > 1000 {
					s.stats.readers = nil
				}
				if wait || reply == nil {
					continue
				}
				if len(reply) > q.limit {
					t.Fatalf("%d bytes, limit %d", len(reply), q.limit)
				}
				var m dns.Msg
				if err := m.Unpack(reply); err != nil {
					t.Fatalf("reply does not parse: %v\n%x", err, reply)
				}
				if m.Id != get16(raw, 0) || !m.Response {
					t.Fatal("reply to something else")
				}
				if client[0] == '8' && len(reply) > len(raw) {
					t.Fatalf("%d bytes to a stranger who sent %d", len(reply), len(raw))
				}
				if m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0 && !m.Truncated && len(m.Ns) == 0 {
					t.Fatalf("nothing at all: %v", &m)
				}
			}
		}
	})
}

// FuzzEntry makes cache entries from any answer of an upstream and writes replies from them.
func FuzzEntry(f *testing.F) {
	q0 := question("www.test", typeA, 1)
	a := "\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01"
	f.Add(packet(0x8180, [4]uint16{1, 2}, q0, a, a))
	f.Add(packet(0x8183, [4]uint16{1, 0, 1}, q0, "\xc0\x10\x00\x06\x00\x01\x00\x00\x01\x2c\x00\x18\x00\x00", strings.Repeat("\x01", 22)))
	f.Add(packet(0x8180, [4]uint16{1, 2, 0, 1}, q0, "\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x04\x01x\xc0\x10", "\xc0\x26\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01", optRR))
	cfg := CacheConfig{MaxTTL: 3600e9, MaxNeg: 900e9}
	f.Fuzz(func(t *testing.T, msg []byte) {
		query0 := packet(0x0100, [4]uint16{1, 0, 0, 1}, q0, optRR)
		var q query
		q.parse(query0)
		if len(msg) < q.qend || !acceptsFold(append(msg[:2:2], query0[2:]...), msg, q.qend) || !parses(msg) {
			return
		}
		e, err := newEntry(&q, msg, &cfg)
		if err != nil {
			return
		}
		for _, limit := range []int{512, 600, 1232, maxTCP} {
			q.limit = limit
			reply, _ := e.write(&q, make([]byte, 0, maxTCP), 1, false)
			if len(reply) > limit {
				t.Fatalf("%d bytes, limit %d", len(reply), limit)
			}
			var m dns.Msg
			if err := m.Unpack(reply); err != nil {
				t.Fatalf("reply does not parse: %v\nfrom %x\nis   %x", err, msg, reply)
			}
			e.hits.Add(1)
		}
	})
}

// FuzzFiles reads any hosts file and resolv.conf.
func FuzzFiles(f *testing.F) {
	f.Add([]byte("127.0.0.1 localhost # x\n::1 a b c\nnameserver 1.2.3.4\nnameserver fe80::1%eth0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _ := parseHosts(data)
		newStatic(&StaticConfig{Expand: "lan"}, list)
		for _, ap := range parseResolvConf(data) {
			if !ap.IsValid() {
				t.Fatal("invalid upstream")
			}
		}
	})
}
