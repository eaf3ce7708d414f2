//go:build fault

package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"berth/internal/testutil"
)

// event is one kind of fault; it begins, lasts, and is undone before it returns.
type event struct {
	name  string
	share int // of all events
	run   func(s *schedule)
}

// schedule draws faults from a seed. All draws are made by one goroutine, so that a seed always
// gives the same faults in the same order.
type schedule struct {
	*Cluster
	rnd *rand.Rand
}

var events = []event{
	{"leader killed", 4, func(s *schedule) { s.restartAfter((*host).Kill, s.lead()) }},
	{"follower killed", 3, func(s *schedule) { s.restartAfter((*host).Kill, s.follow()) }},
	{"leader stopped", 2, func(s *schedule) { s.restartAfter((*host).Stop, s.lead()) }},
	{"client killed", 2, func(s *schedule) { s.restartAfter((*host).Kill, s.pick(s.clients[1:])) }},
	{"all servers killed", 1, func(s *schedule) { s.restartAfter((*host).Kill, s.servers...) }},
	{"leader paused", 2, func(s *schedule) { s.lead().Pause(s.between(300, 4000)) }},
	{"follower paused", 2, func(s *schedule) { s.follow().Pause(s.between(300, 6000)) }},
	{"leader cut off", 3, func(s *schedule) { s.Isolate(s.lead()); s.healAfter(1000, 7000) }},
	{"follower cut off", 2, func(s *schedule) { s.Isolate(s.follow()); s.healAfter(1000, 8000) }},
	{"client cut off from the leader", 1, func(s *schedule) { s.Partition(s.pick(s.clients), s.lead()); s.healAfter(1000, 6000) }},
	{"leader hears, is not heard", 2, func(s *schedule) { s.oneWay(s.lead(), true); s.healAfter(1000, 6000) }},
	{"leader is heard, hears not", 2, func(s *schedule) { s.oneWay(s.lead(), false); s.healAfter(1000, 6000) }},
	{"two servers cut off from one another", 2, func(s *schedule) { s.Partition(s.lead(), s.follow()); s.healAfter(1000, 7000) }},
	{"packets lost", 2, func(s *schedule) { s.lossy(); s.healAfter(1000, 5000) }},
	{"a slow link", 1, func(s *schedule) { s.Slow(s.lead(), 400); s.healAfter(1000, 5000) }},
	{"UDP blocked", 1, func(s *schedule) { s.BlockUDP(s.lead(), s.follow()); s.healAfter(2000, 8000) }},
	{"data wiped", 1, func(s *schedule) { s.wipe() }},
	{"new address", 1, func(s *schedule) { s.move() }},
	{"server leaves and returns", 1, func(s *schedule) { s.leave() }},
}

// draw gives the next event.
func (s *schedule) draw() event {
	sum := 0
	for _, e := range events {
		sum += e.share
	}
	n := s.rnd.IntN(sum)
	for _, e := range events {
		if n -= e.share; n < 0 {
			return e
		}
	}
	return events[0]
}

func (s *schedule) between(low, high int) time.Duration {
	return time.Duration(low+s.rnd.IntN(high-low)) * time.Millisecond
}

func (s *schedule) pick(hosts []*host) *host { return hosts[s.rnd.IntN(len(hosts))] }

// lead is the leader, or the first server while there is none that all agree on.
func (s *schedule) lead() *host {
	if h, err := s.leader("dc1"); err == nil {
		return h
	}
	return s.servers[0]
}

func (s *schedule) follow() *host {
	lead := s.lead()
	i := s.rnd.IntN(len(s.servers))
	if s.servers[i] == lead {
		i++
	}
	return s.servers[i%len(s.servers)]
}

func (s *schedule) restartAfter(end func(*host), hosts ...*host) {
	pause := s.between(200, 6000)
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() { end(h) })
	}
	wg.Wait()
	time.Sleep(pause)
	for _, h := range hosts {
		h.Start()
	}
}

func (s *schedule) healAfter(low, high int) {
	time.Sleep(s.between(low, high))
	s.Heal()
}

func (s *schedule) oneWay(h *host, heard bool) {
	for _, other := range s.hosts {
		switch {
		case other == h:
		case heard:
			s.OneWay(h, other)
		default:
			s.OneWay(other, h)
		}
	}
}

func (s *schedule) lossy() {
	share := 0.05 + s.rnd.Float64()*0.3
	for _, h := range s.hosts {
		s.Lossy(h, share)
	}
}

// wipe takes the data of a server away, when the others have it all.
func (s *schedule) wipe() {
	h := s.follow()
	if s.voters(3) != nil {
		return
	}
	h.Kill()
	testutil.NoError(s.t, h.WipeData())
	h.Start()
	s.waitVoters(3, patience(90*time.Second))
}

func (s *schedule) move() {
	h := s.follow()
	h.Kill()
	s.ChangeIP(h)
	h.Start()
}

func (s *schedule) leave() {
	h := s.follow()
	if s.voters(3) != nil {
		return
	}
	if out, err := h.berth("leave"); err != nil {
		s.t.Logf("leave of %s: %v: %s", h.name, err, out)
	}
	if err := h.awaitExit(patience(25 * time.Second)); err != nil {
		s.t.Errorf("leave: %v", err)
	}
	h.Kill()
	h.Start()
	s.waitVoters(3, patience(90*time.Second))
}

// settings of a run from the environment.
func runSettings(t *testing.T) (seed uint64, d time.Duration) {
	t.Helper()
	seed, d = uint64(time.Now().UnixNano())%1_000_000, 60*time.Second
	var err error
	if v := os.Getenv("BERTH_SEED"); v != "" {
		seed, err = strconv.ParseUint(v, 10, 64)
		testutil.NoError(t, err)
	}
	if v := os.Getenv("BERTH_FAULT_DURATION"); v != "" {
		d, err = time.ParseDuration(v)
		testutil.NoError(t, err)
	}
	return seed, d
}

func TestSchedule(t *testing.T) {
	t.Parallel() // takes none of the places of beside: it is the longest
	seed, d := runSettings(t)
	t.Logf("BERTH_SEED=%d BERTH_FAULT_DURATION=%v", seed, d)
	c := newCluster(t, options{servers: 3, clients: 3})
	s := &schedule{Cluster: c, rnd: rand.New(rand.NewPCG(seed, 0))}
	steady := c.clients[0] // is never killed
	testutil.NoError(t, steady.put("/v1/catalog/register", `{"Node":"steady","Address":"10.214.200.2","Service":{"ID":"steady","Service":"steady","Port":80}}`))
	c.eventually(patience(5*time.Second), func() error { return steady.resolves("steady.service.consul", 1) })
	dns := steady.streamDNS(t, "steady.service.consul")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load sync.WaitGroup
	rec, regs, smp := newRecorder(), &registrations{want: map[string]bool{}}, &sampler{samples: map[*host][]usage{}}
	for i := range 6 {
		load.Go(func() { rec.run(ctx, c.hosts, seed+uint64(i)) })
	}
	for i, h := range c.clients {
		load.Go(func() { regs.agent(ctx, h, seed+uint64(i)) })
	}
	load.Go(func() { regs.catalog(ctx, c.hosts, seed) })
	load.Go(func() { smp.run(ctx, c.hosts) })
	acks := startWriters(t, "acked", c.clients...)

	s.run(t, d)

	cancel()
	load.Wait()
	acks.stop()
	settled := time.Now()
	c.waitVoters(3, patience(90*time.Second))
	for _, h := range c.hosts {
		c.eventually(patience(60*time.Second), func() error { return regs.hold(h) })
	}
	c.agree(patience(30 * time.Second))
	t.Logf("healed and agreed %v after the last fault; %d registrations acknowledged", time.Since(settled).Round(time.Millisecond), regs.n)
	acks.present(t, c.servers[0], "acked")
	dns.withoutGap(t)
	rec.check(t, patience(max(60*time.Second, d/5)))
	smp.noGrowth(t, c.hosts)
	for _, h := range c.hosts {
		if bad := h.linesWith("panic:"); len(bad) > 0 {
			t.Errorf("%s panicked: %v", h.name, bad)
		}
	}
}

// run makes faults until the time is over, with calm between them, and leaves everything whole.
func (s *schedule) run(t *testing.T, d time.Duration) {
	counts := map[string]int{}
	for began := time.Now(); time.Since(began) < d; {
		time.Sleep(s.between(500, 6000))
		e := s.draw()
		counts[e.name]++
		at := time.Now()
		e.run(s)
		t.Logf("%6.1fs %s, for %v", at.Sub(began).Seconds(), e.name, time.Since(at).Round(time.Millisecond))
		for _, h := range s.hosts {
			if !h.running() {
				t.Errorf("%s has ended by itself:\n%s", h.name, h.tail(2000))
				h.Start()
			}
		}
	}
	s.Heal()
	t.Log(fmt.Sprint("faults: ", counts))
}
