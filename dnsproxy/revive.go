package dnsproxy

import (
	"context"
	"time"
)

// Times of looking for the return of upstreams that are all silent.
const (
	reviveEvery = 500 * time.Millisecond
	reviveWait  = time.Second     // for the answer to one probe
	reviveIdle  = 2 * time.Minute // nobody has asked for so long: the next question will tell
)

// lost tells whether no upstream of the group answers at all. One that answers with an error
// is there.
func (g *group) lost() bool {
	for _, u := range g.ups {
		if !u.mute.Load() && !u.loop.Load() {
			return false
		}
	}
	return len(g.ups) > 0
}

// revive sends a small question to each upstream of the groups that are lost. Clients see the
// return of an upstream within a second, not when a remembered failure ends.
func (f *forwarder) revive(ctx context.Context, now time.Time) {
	if f.cache.clock(now)-f.asked.Load() > int64(reviveIdle) {
		return
	}
	r := f.routes.Load()
	for i, g := range append([]*group{r.def}, r.domains...) {
		if i > 0 && g == r.def || !g.lost() {
			continue
		}
		if g.silent.CompareAndSwap(false, true) {
			f.s.log.Warn("no upstream answers; names in the cache are still answered", "upstreams", g.text())
		}
		for _, u := range g.ups {
			if !u.loop.Load() {
				f.s.later.Go(func() { f.reviveOne(ctx, g, u) })
			}
		}
	}
}

// reviveOne asks u for the name servers of the root; any answer will do.
func (f *forwarder) reviveOne(ctx context.Context, g *group, u *upstream) {
	ctx, stop := context.WithTimeout(ctx, reviveWait)
	defer stop()
	q := &query{qtype: typeNS, qclass: classIN, nlen: 1}
	packet := upstreamQuery(q, q.qname(), false)
	if _, err := f.overUDP(ctx, u, packet, headerLen+q.nlen+4, false); err == nil {
		u.back()
		f.back(g)
	}
}

// back is called when a group that was lost answers again: failures of before are forgotten,
// and questions that wait are sent once more.
func (f *forwarder) back(g *group) {
	if !g.silent.CompareAndSwap(true, false) {
		return
	}
	f.cache.recovered.Store(f.cache.clock(time.Now()))
	f.s.log.Info("upstreams answer again", "upstreams", g.text())
	f.flights.resume()
}

// text is the addresses of the group's upstreams.
func (g *group) text() []string {
	var out []string
	for _, u := range g.ups {
		out = append(out, u.addr.String())
	}
	return out
}
