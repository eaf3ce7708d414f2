package dnsproxy

import (
	"encoding/binary"
	"strings"

	"github.com/miekg/dns"
)

// Wire constants (RFC 1035, RFC 6891).
const (
	headerLen = 12
	optLen    = 11
	maxName   = 255
	minUDP    = 512
	ourUDP    = 1232 // what we advertise, and the most that goes past this site (RFC 9715)
	maxTCP    = 65535

	optSubnet    = 8
	optKeepalive = 11
	optEDE       = 15

	typeA     = 1
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeHINFO = 13
	typeTXT   = 16
	typeAAAA  = 28
	typeSRV   = 33
	typeDNAME = 39
	typeOPT   = 41
	typeDS    = 43
	typeRRSIG = 46
	typeKEY   = 48 // DNSKEY
	typeIXFR  = 251
	typeAXFR  = 252
	typeANY   = 255

	classIN = 1
	classCH = 3

	rcodeOK       = 0
	rcodeFormErr  = 1
	rcodeServFail = 2
	rcodeNXDomain = 3
	rcodeNotImp   = 4
	rcodeRefused  = 5
	rcodeBadVers  = 16

	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagRA = 1 << 7
	flagAD = 1 << 5
	flagCD = 1 << 4
)

// Extended DNS error codes (RFC 8914).
const (
	edeNone        = 0xffff
	edeOther       = 0
	edeStale       = 3
	edeNotReady    = 14
	edeBlocked     = 15
	edeProhibited  = 18
	edeNoReachable = 22
	edeNetwork     = 23
)

func put16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func put32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func get16(b []byte, i int) uint16    { return binary.BigEndian.Uint16(b[i:]) }
func get32(b []byte, i int) uint32    { return binary.BigEndian.Uint32(b[i:]) }

// packName turns dotted text into a lower-cased wire name. There is no escaping: a label
// holds letters, digits, '-', '_' and what else is neither a dot nor a control byte. The
// empty text and "." are the root.
func packName(s string) ([]byte, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return []byte{0}, true
	}
	return appendName(make([]byte, 0, len(s)+2), strings.ToLower(s))
}

// appendName appends dotted text as labels and the root, as it is spelled. False: a label is
// empty, too long, holds a control byte or a space, or the whole is too long.
func appendName(b []byte, s string) ([]byte, bool) {
	start := len(b)
	for s = strings.TrimSuffix(s, "."); s != ""; {
		var label string
		label, s, _ = strings.Cut(s, ".")
		if len(label) == 0 || len(label) > 63 {
			return b[:start], false
		}
		for i := range len(label) {
			if c := label[i]; c <= ' ' || c == 0x7f {
				return b[:start], false
			}
		}
		b = append(b, byte(len(label)))
		b = append(b, label...)
	}
	b = append(b, 0)
	if len(b)-start > maxName {
		return b[:start], false
	}
	return b, true
}

// nameText shows a wire name as dotted text for people: bytes that are no plain letters are
// written \DDD, so a name can neither forge a log line nor hide a dot.
func nameText(name []byte) string {
	if len(name) <= 1 {
		return "."
	}
	var sb strings.Builder
	for i := 0; i < len(name) && name[i] != 0; {
		n := int(name[i])
		if i+1+n > len(name) {
			break
		}
		for _, c := range name[i+1 : i+1+n] {
			if c <= ' ' || c >= 0x7f || c == '.' || c == '\\' || c == '"' {
				sb.WriteByte('\\')
				sb.WriteByte('0' + c/100)
				sb.WriteByte('0' + c/10%10)
				sb.WriteByte('0' + c%10)
				continue
			}
			sb.WriteByte(c)
		}
		sb.WriteByte('.')
		i += 1 + n
	}
	return sb.String()
}

// lowerTable maps ASCII capitals to small letters and leaves other bytes alone.
var lowerTable = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = byte(c) + 'a' - 'A'
	}
	return t
}()

// skipName returns the offset behind the name at off; a pointer ends a name. It checks only
// what it needs to stay inside msg.
func skipName(msg []byte, off int) (int, bool) {
	for {
		if off >= len(msg) {
			return 0, false
		}
		switch n := int(msg[off]); {
		case n == 0:
			return off + 1, true
		case n >= 0xc0:
			return off + 2, off+2 <= len(msg)
		case n > 63:
			return 0, false
		default:
			off += 1 + n
		}
	}
}

// rrHead is the fixed part of a resource record in a message.
type rrHead struct {
	owner, ttlOff, rdata, end int // offsets
	typ, class                uint16
	ttl                       uint32
}

// readRR reads the record that starts at off.
func readRR(msg []byte, off int) (rrHead, bool) {
	h := rrHead{owner: off}
	p, ok := skipName(msg, off)
	if !ok || p+10 > len(msg) {
		return h, false
	}
	h.typ, h.class, h.ttlOff, h.ttl = get16(msg, p), get16(msg, p+2), p+4, get32(msg, p+4)
	h.rdata = p + 10
	h.end = h.rdata + int(get16(msg, p+8))
	return h, h.end <= len(msg)
}

// typeText is the name of a record type.
func typeText(t uint16) string { return dns.Type(t).String() }

// rcodeText is the name of an rcode.
func rcodeText(r uint16) string { return dns.RcodeToString[int(r)] }
