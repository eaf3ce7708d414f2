package dnsproxy

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"berth"
)

// node answers <node>.node. cname is set instead when the node's address is a host name and
// the question needs it followed.
func (b *build) node(n *berth.Node) (a *answer, cname string) {
	v4, v6, host := addresses(n.Address, n.TaggedAddresses["lan_ipv4"], n.TaggedAddresses["lan_ipv6"])
	ttl := b.set.nodeTTL
	a = &answer{aa: true, ede: edeNone, set: b.set, partial: true}
	if host != "" && (b.qtype == typeA || b.qtype == typeAAAA || b.qtype == typeANY || b.qtype == typeCNAME) {
		return nil, host
	}
	if v4.IsValid() && (b.qtype == typeA || b.qtype == typeANY) {
		a.recs = append(a.recs, record{body: addressBody(v4.AsSlice(), ttl)})
	}
	if v6.IsValid() && (b.qtype == typeAAAA || b.qtype == typeANY) {
		a.recs = append(a.recs, record{body: addressBody(v6.AsSlice(), ttl)})
	}
	if b.qtype == typeTXT || b.qtype == typeANY {
		a.recs = append(a.recs, metaRecords(n.Meta, ttl)...)
	}
	if len(a.recs) == 0 {
		return b.nodata(), ""
	}
	a.lead = len(a.recs)
	if b.set.zone.NodeMetaTXT && b.qtype != typeTXT && b.qtype != typeANY {
		a.meta = metaRecords(n.Meta, ttl)
	}
	return a, ""
}

// metaRecords is one TXT record per metadata key, key=value quoted as RFC 1464 says; the key
// prefix rfc1035- stands for the value alone.
func metaRecords(meta map[string]string, ttl uint32) []record {
	keys := make([]string, 0, len(meta))
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []record
	for _, k := range keys {
		text := meta[k]
		if !strings.HasPrefix(strings.ToLower(k), "rfc1035-") {
			text = rfc1464(k) + "=" + text
		}
		if body := txtBody(ttl, text); body != nil {
			out = append(out, record{body: body})
		}
	}
	return out
}

// rfc1464 quotes an attribute name: '=' and '`' anywhere, blanks at the edges.
func rfc1464(key string) string {
	first := len(key) - len(strings.TrimLeft(key, " \t"))
	last := len(strings.TrimRight(key, " \t"))
	var sb strings.Builder
	for i := range len(key) {
		if c := key[i]; c == '=' || c == '`' || i < first || i >= last {
			sb.WriteByte('`')
		}
		sb.WriteByte(key[i])
	}
	return sb.String()
}

// addr answers <hex>.addr: the digits are the address, the catalog is not asked.
func (b *build) addr(digits string) *answer {
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return b.nxdomain()
	}
	ip, _ := netip.AddrFromSlice(raw)
	want := uint16(typeA)
	if ip.Is6() {
		want = typeAAAA
	}
	if b.qtype != want && b.qtype != typeANY {
		return b.nodata()
	}
	return b.address(b.set.nodeTTL, ip)
}

// address is a plain answer of the given addresses that fit the question's type.
func (b *build) address(ttl uint32, ips ...netip.Addr) *answer {
	a := &answer{aa: true, ede: edeNone, set: b.set, partial: true}
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.IsValid() && b.qtype == typeANY || ip.Is4() == (b.qtype == typeA) && ip.Is6() == (b.qtype == typeAAAA) {
			a.recs = append(a.recs, record{body: addressBody(ip.AsSlice(), ttl)})
		}
	}
	if len(a.recs) == 0 {
		return b.nodata()
	}
	return a
}
