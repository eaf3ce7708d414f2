package dnsproxy

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// upstream is one resolver that questions are forwarded to, with what experience says of it.
type upstream struct {
	addr endpoint

	srtt     atomic.Int64 // smoothed round trip, nanoseconds; 0: unknown
	fails    atomic.Int32 // consecutive
	downTill atomic.Int64 // unix nanoseconds; asked last until then
	noEDNS   atomic.Int64 // unix nanoseconds until which it is asked without EDNS
	caseMode atomic.Int32 // caseUnknown, caseKept, caseBroken
	caseTill atomic.Int64 // unix nanoseconds until which caseBroken holds
	loop     atomic.Bool  // our own questions come back from it
	mute     atomic.Bool  // the last attempt got no answer of any kind
	inFlight atomic.Int32

	sent, answered, failed, spoofs atomic.Uint64
}

const (
	caseUnknown = iota
	caseKept
	caseBroken
)

// done records how an exchange ended.
func (u *upstream) done(rtt time.Duration, err error, now time.Time) {
	u.mute.Store(err != nil && !errors.Is(err, errRcode))
	if err != nil {
		u.failed.Add(1)
		n := u.fails.Add(1)
		if n >= 2 {
			pause := min(500*time.Millisecond<<min(n-2, 6), 30*time.Second)
			u.downTill.Store(now.Add(pause).UnixNano())
		}
		return
	}
	u.answered.Add(1)
	u.back()
	old := u.srtt.Load()
	if old == 0 {
		u.srtt.Store(int64(rtt))
		return
	}
	u.srtt.Store(old + (int64(rtt)-old)/8)
}

// back forgets failures: the upstream has said something.
func (u *upstream) back() {
	u.mute.Store(false)
	u.fails.Store(0)
	u.downTill.Store(0)
}

// beaten records that another upstream answered first: this one takes at least that long.
func (u *upstream) beaten(rtt time.Duration) {
	if old := u.srtt.Load(); int64(rtt) > old {
		u.srtt.Store(old + (2*int64(rtt)-old)/4)
	}
}

// down tells whether the upstream failed lately and is given a pause.
func (u *upstream) down(now time.Time) bool { return u.downTill.Load() > now.UnixNano() }

// hedge is how long to wait for the upstream before another one is asked too.
func (u *upstream) hedge() time.Duration {
	rtt := time.Duration(u.srtt.Load())
	if rtt == 0 {
		return 400 * time.Millisecond
	}
	return min(max(3*rtt, 150*time.Millisecond), 800*time.Millisecond)
}

// group is a set of upstreams that can stand in for one another.
type group struct {
	id     int // of the rule; -1 is the default
	policy string
	ups    []*upstream
	turn   atomic.Uint64
	probed atomic.Int64 // when another than the best one was last tried first
	busy   atomic.Int32 // exchanges under way
	silent atomic.Bool  // was found lost, and looked after since
}

// order is the upstreams as they should be asked now. Those in a loop are left out, those
// that are down come last.
func (g *group) order(now time.Time) []*upstream {
	list := make([]*upstream, 0, len(g.ups))
	for _, u := range g.ups {
		if !u.loop.Load() {
			list = append(list, u)
		}
	}
	if len(list) < 2 {
		return list
	}
	turn := g.turn.Add(1)
	switch g.policy {
	case PolicyRoundRobin:
		n := int(turn % uint64(len(list)))
		list = append(list[n:], list[:n]...)
	case PolicyFastest:
		slices.SortStableFunc(list, func(a, b *upstream) int { return int(a.srtt.Load()/1e5 - b.srtt.Load()/1e5) })
		last := g.probed.Load()
		if turn%50 == 0 || now.UnixNano()-last > int64(20*time.Second) && g.probed.CompareAndSwap(last, now.UnixNano()) {
			n := 1 + int(turn/50)%(len(list)-1)
			list[0], list[n] = list[n], list[0]
		}
	}
	slices.SortStableFunc(list, func(a, b *upstream) int {
		switch da, db := a.down(now), b.down(now); {
		case da == db:
			return 0
		case da:
			return 1
		}
		return -1
	})
	return list
}
