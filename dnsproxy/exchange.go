package dnsproxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// errRcode: the upstream said that it has no answer.
var errRcode = errors.New("upstream cannot answer")

// maxSpoofs is how many datagrams that are not the answer one exchange bears before it goes
// on over TCP.
const maxSpoofs = 8

// resendEvery is how long nothing may come from an upstream before the question is sent again.
const resendEvery = 900 * time.Millisecond

// upstreamQuery builds the packet for an upstream. name is the wire name to ask for, as it
// shall be spelled.
func upstreamQuery(q *query, name []byte, edns bool) []byte {
	b := make([]byte, headerLen, headerLen+len(name)+4+optLen)
	_, _ = rand.Read(b[:2])
	bits := uint16(flagRD) | q.bits&flagCD
	if q.do {
		bits |= flagAD
	}
	binary.BigEndian.PutUint16(b[2:], bits)
	b[5] = 1
	b = append(b, name...)
	b = put16(put16(b, q.qtype), classIN)
	if edns {
		b[11] = 1
		b = append(b, 0, 0, typeOPT, ourUDP>>8, ourUDP&0xff, 0, 0, 0, 0, 0, 0)
		if q.do {
			b[len(b)-4] = 1 << 7
		}
	}
	return b
}

// accepts tells whether msg answers sent: same ID, a plain response, and the same question to
// the byte.
func accepts(sent, msg []byte, end int) bool {
	return len(msg) >= end && get16(msg, 0) == get16(sent, 0) && msg[2]&0xf8 == 0x80 &&
		get16(msg, 4) == 1 && string(msg[headerLen:end]) == string(sent[headerLen:end])
}

// exchange asks u until ctx ends: UDP, then TCP when the answer is cut or somebody guesses.
// The answer has rcode NOERROR or NXDOMAIN and parses.
func (f *forwarder) exchange(ctx context.Context, u *upstream, q *query) (*entry, error) {
	u.sent.Add(1)
	u.inFlight.Add(1)
	defer u.inFlight.Add(-1)
	start := time.Now()
	edns := u.noEDNS.Load() < start.UnixNano()
	e, err := f.attempt(ctx, u, q, edns)
	if edns && errors.Is(err, errNoEDNS) {
		if e, err = f.attempt(ctx, u, q, false); err == nil {
			u.noEDNS.Store(start.Add(time.Hour).UnixNano())
		}
	}
	switch took := time.Since(start); {
	case err != nil && errors.Is(context.Cause(ctx), errAnswered):
		u.beaten(took)
	case err != nil && errors.Is(err, context.Canceled): // we are stopping
	default:
		u.done(took, err, time.Now())
	}
	return e, err
}

// errNoEDNS: the upstream does not know EDNS.
var errNoEDNS = fmt.Errorf("%w: no EDNS", errRcode)

func (f *forwarder) attempt(ctx context.Context, u *upstream, q *query, edns bool) (*entry, error) {
	name, mixed := u.spell(q)
	packet := upstreamQuery(q, name, edns)
	msg, err := f.overUDP(ctx, u, packet, headerLen+q.nlen+4, mixed)
	if err != nil {
		return nil, err
	}
	if msg == nil || msg[2]&(flagTC>>8) != 0 {
		full, err := f.overTCP(ctx, u, packet, headerLen+q.nlen+4)
		switch {
		case err == nil:
			msg = full
		case msg == nil:
			return nil, err
		}
	}
	switch rcode := uint16(msg[3] & 0xf); rcode {
	case rcodeOK, rcodeNXDomain:
	case rcodeFormErr, rcodeNotImp:
		if edns && !hasOPT(msg, headerLen+q.nlen+4) {
			return nil, errNoEDNS
		}
		return nil, fmt.Errorf("%w: rcode %d", errRcode, rcode)
	default:
		return nil, fmt.Errorf("%w: rcode %d", errRcode, rcode)
	}
	copy(msg[headerLen:], q.qname())
	e, err := newEntry(q, msg, f.cache.cfg.Load())
	if err != nil {
		return nil, err
	}
	if f.routes.Load().cfg.StopRebind && e.private() {
		return &entry{key: e.key, do: e.do, cd: e.cd, ede: edeBlocked}, nil // the name may have harmless addresses of another type
	}
	if e.rcode == rcodeNXDomain && f.s.set.Load().static.exists(q.qname()) {
		e.rcode = rcodeOK // it exists here, with other types
	}
	e.ad = e.ad && u.addr.Addr().IsLoopback()
	e.cutOff = msg[2]&(flagTC>>8) != 0
	return e, nil
}

// hasOPT tells whether the answer carries an OPT record.
func hasOPT(msg []byte, off int) bool {
	n := int(get16(msg, 6)) + int(get16(msg, 8)) + int(get16(msg, 10))
	for range n {
		h, ok := readRR(msg, off)
		if !ok {
			return false
		}
		if h.typ == typeOPT {
			return true
		}
		off = h.end
	}
	return false
}

// overUDP sends packet from a fresh socket with a random port and waits for its answer.
// Whatever else comes in is dropped and counted; a nil answer without an error says: go to TCP.
// While nothing comes it is sent again: it may have been lost, or the upstream been away. For one
// that is known to be silent, revive does that.
func (f *forwarder) overUDP(ctx context.Context, u *upstream, packet []byte, end int, mixed bool) ([]byte, error) {
	conn, stop, err := f.dial(ctx, "udp", u.addr)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for drops := 0; drops < maxSpoofs; {
		_ = conn.SetReadDeadline(time.Now().Add(resendEvery))
		if ctx.Err() != nil { // after the deadline was set, which may have undone that of dial
			return nil, ctx.Err()
		}
		n, err := conn.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			if u.mute.Load() {
				continue
			}
			if _, err = conn.Write(packet); err == nil {
				continue
			}
			return nil, err
		case err != nil:
			return nil, err
		}
		msg := buf[:n]
		if (accepts(packet, msg, end) || !mixed && acceptsFold(packet, msg, end)) && parses(msg) {
			u.sawCase(mixed, true)
			return msg, nil
		}
		if mixed && acceptsFold(packet, msg, end) && parses(msg) {
			if u.caseMode.Load() == caseUnknown { // this was the probe: it does not keep the spelling
				u.sawCase(true, false)
				return msg, nil
			}
			u.sawCase(true, false)
			return nil, nil
		}
		u.spoofs.Add(1)
		drops++
	}
	return nil, nil
}

// overTCP asks again over TCP with the time that is left.
func (f *forwarder) overTCP(ctx context.Context, u *upstream, packet []byte, end int) ([]byte, error) {
	conn, stop, err := f.dial(ctx, "tcp", u.addr)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := writeMessage(conn, packet); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := readFull(conn, head[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := readFull(conn, msg); err != nil {
		return nil, err
	}
	if !accepts(packet, msg, end) && !acceptsFold(packet, msg, end) || !parses(msg) {
		return nil, errMalformed
	}
	return msg, nil
}
