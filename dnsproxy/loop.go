package dnsproxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"berth/dnsproxy/socket"
)

// probeAgain is how often a disabled upstream is looked at again.
const probeAgain = 60 * time.Second

var loopZone = newDomain("loop.test")

// probes finds upstreams that send our questions back to us: a question for
// <secret>.<n>.loop.test goes to each of them, and n is disabled when it comes in again.
type probes struct {
	wake chan struct{}

	mu   sync.Mutex // guards what follows
	sent map[string]*upstream
}

func (p *probes) init() {
	p.wake, p.sent = make(chan struct{}, 1), map[string]*upstream{}
}

// poke asks for a round of probes soon.
func (p *probes) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// looping tells whether any upstream is disabled.
func (f *forwarder) looping() bool {
	for _, u := range f.routes.Load().upstreams() {
		if u.loop.Load() {
			return true
		}
	}
	return false
}

// probe sends a probe to each upstream and takes back those whose probe does not return.
func (f *forwarder) probe(ctx context.Context) {
	var round sync.WaitGroup
	n := 0
	for _, u := range f.routes.Load().upstreams() {
		n++
		round.Go(func() { f.probeOne(ctx, u, n) })
	}
	round.Wait()
}

func (f *forwarder) probeOne(ctx context.Context, u *upstream, n int) {
	var secret [16]byte
	_, _ = rand.Read(secret[:])
	text := hex.EncodeToString(secret[:])
	name, _ := packName(text + "." + strconv.Itoa(n) + ".loop.test")
	q := &query{qtype: typeTXT, qclass: classIN, nlen: len(name)}
	copy(q.name[:], name)
	f.probes.mu.Lock()
	f.probes.sent[text] = u
	f.probes.mu.Unlock()
	before := u.loop.Load()
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	packet := upstreamQuery(q, q.qname(), false)
	_, err := f.overUDP(ctx, u, packet, headerLen+q.nlen+4, false)
	f.probes.mu.Lock()
	_, quiet := f.probes.sent[text]
	delete(f.probes.sent, text)
	f.probes.mu.Unlock()
	if before && quiet && err == nil && u.loop.CompareAndSwap(true, false) {
		f.s.log.Info("upstream no longer sends questions back, using it again", "upstream", u.addr.String())
	}
}

// probeBack tells whether a question is one of our probes, and disables the upstream it went to.
func (f *forwarder) probeBack(q *query) bool {
	if q.labels != 4 || q.name[0] != 32 {
		return false
	}
	if _, ok := suffix(q.qname(), loopZone.wire); !ok {
		return false
	}
	f.probes.mu.Lock()
	u := f.probes.sent[string(q.name[1:33])]
	delete(f.probes.sent, string(q.name[1:33]))
	f.probes.mu.Unlock()
	if u == nil {
		return false
	}
	if u.loop.CompareAndSwap(false, true) {
		f.s.log.Warn("upstream sends our own questions back, not using it: "+
			"check its forwarders, and that resolv.conf does not name this host", "upstream", u.addr.String(), "back_from", q.src)
		f.probes.poke()
	}
	return true
}

// suspicious tells whether a question that waits comes from an upstream that was asked it.
func (f *forwarder) suspicious(g *group, q *query) bool {
	for _, u := range g.ups {
		if u.addr.Addr() == q.src.Addr() && !u.loop.Load() && !q.src.Addr().IsLoopback() {
			return true
		}
	}
	return false
}

// own tells whether ap is one of our listeners: a question sent there would come back.
func (s *Server) own(ap netip.AddrPort) bool {
	for _, b := range s.bound() {
		if b.Addr == ap || b.Addr.Port() == ap.Port() && b.Addr.Addr().IsUnspecified() && socket.IsHost(ap.Addr()) {
			return true
		}
	}
	return false
}
