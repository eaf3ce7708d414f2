package dnsproxy

import (
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/miekg/dns"
)

// spell is the name as it is sent to u. Once u is known to repeat the spelling of questions
// the letters get random case, which an attacker has to guess too (0x20).
func (u *upstream) spell(q *query) (name []byte, mixed bool) {
	name = append([]byte(nil), q.qname()...)
	mode := u.caseMode.Load()
	if mode == caseBroken {
		if u.caseTill.Load() > time.Now().UnixNano() {
			return name, false
		}
		u.caseMode.CompareAndSwap(caseBroken, caseUnknown)
	}
	for i := range name {
		if c := name[i]; c >= 'a' && c <= 'z' && rand.Uint32()&1 == 0 {
			name[i] = c - 'a' + 'A'
			mixed = true
		}
	}
	return name, mixed
}

// sawCase records whether u kept a random spelling.
func (u *upstream) sawCase(mixed, kept bool) {
	switch {
	case !mixed:
	case kept:
		u.caseMode.CompareAndSwap(caseUnknown, caseKept)
	default:
		u.caseTill.Store(time.Now().Add(time.Hour).UnixNano())
		u.caseMode.Store(caseBroken)
	}
}

// acceptsFold is accepts without regard to the spelling of the question.
func acceptsFold(sent, msg []byte, end int) bool {
	if len(msg) < end || get16(msg, 0) != get16(sent, 0) || msg[2]&0xf8 != 0x80 || get16(msg, 4) != 1 {
		return false
	}
	for i := headerLen; i < end; i++ {
		if lowerTable[sent[i]] != lowerTable[msg[i]] {
			return false
		}
	}
	return true
}

// parses tells whether an answer is well-formed to the last record.
func parses(msg []byte) bool {
	var m dns.Msg
	return m.Unpack(msg) == nil
}

func readFull(conn net.Conn, b []byte) (int, error) { return io.ReadFull(conn, b) }
