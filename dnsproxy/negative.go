package dnsproxy

import "encoding/binary"

// nxdomain says that the name does not exist.
func (b *build) nxdomain() *answer {
	return &answer{rcode: rcodeNXDomain, aa: true, ede: edeNone, set: b.set, soa: b.soa()}
}

// nodata says that the name exists without records of the type.
func (b *build) nodata() *answer {
	return &answer{aa: true, ede: edeNone, set: b.set, soa: b.soa()}
}

// servfail is an answer that says why there is none.
func servfail(set *settings, ede uint16) *answer {
	return &answer{rcode: rcodeServFail, ede: ede, set: set}
}

// soa is the SOA record of the question's zone, for AUTHORITY (RFC 2308). Its owner is the
// longest configured zone around the question; outside of all, the question's name itself.
// The serial is filled in when the answer is written.
func (b *build) soa() []byte {
	return append(put16(nil, 0xc000|uint16(headerLen+b.apex)), b.soaBody(b.at)...)
}

// soaBody is the SOA record without its owner. at is where the domain stands in the
// question's name, or -1.
func (b *build) soaBody(at int) []byte {
	data := append([]byte{2, 'n', 's'}, b.tail(at)...)
	data = append(data, 10)
	data = append(data, "hostmaster"...)
	data = append(data, b.tail(at)...)
	for _, v := range []uint32{0, 3600, 600, 86400, b.set.negTTL} {
		data = put32(data, v)
	}
	return append(rrBody(typeSOA, b.set.negTTL, len(data)), data...)
}

// setSerial fills in the serial of the SOA record that msg ends with.
func setSerial(msg []byte, serial uint32) {
	binary.BigEndian.PutUint32(msg[len(msg)-20:], serial)
}

// tail is a pointer to the domain in the question, or the domain in full.
func (b *build) tail(at int) []byte {
	if at >= 0 {
		return put16(nil, 0xc000|uint16(headerLen+at))
	}
	return b.zone.wire
}
