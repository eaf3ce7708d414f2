package registrator_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/registrator"
	"berth/registrator/enginetest"
)

// TestRandomHistories runs random histories of containers with random faults of the engine.
// Once all is quiet, what is desired has to be what the engine's state says. A failure names
// its seed; BERTH_SEED=<n> runs that one alone, BERTH_HISTORIES=<n> more of them.
func TestRandomHistories(t *testing.T) {
	if s := os.Getenv("BERTH_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		history(t, seed, true)
		return
	}
	for _, seed := range []uint64{765052547, 696029124} { // these found something once
		if !t.Run(fmt.Sprint("again seed=", seed), func(t *testing.T) { history(t, seed, false) }) {
			t.Fatalf("run it again with BERTH_SEED=%d", seed)
		}
	}
	n := 200
	if s := os.Getenv("BERTH_HISTORIES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	base := uint64(time.Now().UnixNano()) % 1e9
	t.Logf("seeds %d to %d", base, base+uint64(n)-1)
	for i := range n {
		seed := base + uint64(i)
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { history(t, seed, false) }) {
			t.Fatalf("run it again with BERTH_SEED=%d", seed)
		}
	}
}

// memDir is a directory in memory where there is one: fsync takes real time.
func memDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "regtest")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// player plays one history.
type player struct {
	h        *harness
	rng      *rand.Rand
	dir      string
	ids      []string
	next     int
	gentle   bool // faults of events only: then nothing may stay registered for long
	stale    map[string]time.Time
	releases []func()
	verbose  bool
}

func history(t *testing.T, seed uint64, verbose bool) {
	dir := ""
	if seed%5 == 0 {
		dir = memDir(t)
	}
	synctest.Test(t, func(t *testing.T) {
		eng := enginetest.New()
		stop := eng.Pipe()
		defer stop()
		p := &player{rng: rand.New(rand.NewPCG(seed, 0)), dir: dir, stale: map[string]time.Time{}, verbose: verbose}
		p.gentle = seed%3 == 0
		p.h = startHarness(t, eng, p.config)
		defer func() { p.h.end() }()
		for range 20 + p.rng.IntN(40) {
			p.step(seed)
		}
		p.calm()
		p.check(seed)
	})
}

func (p *player) config(c *registrator.Config) { c.DataDir = p.dir }

func (p *player) say(format string, args ...any) {
	if p.verbose {
		p.h.t.Logf("%s "+format, append([]any{time.Now().Format("15:04:05.000")}, args...)...)
	}
}

func (p *player) step(seed uint64) {
	if p.rng.IntN(4) == 0 {
		p.fault(seed)
	} else {
		p.act()
	}
	pause := []time.Duration{0, time.Millisecond, 15 * time.Millisecond, 400 * time.Millisecond, 5 * time.Second, 20 * time.Second}
	p.h.pass(pause[p.rng.IntN(len(pause))])
	if p.gentle {
		p.checkStale()
	}
}

func (p *player) pick() string {
	if len(p.ids) == 0 {
		return ""
	}
	return p.ids[p.rng.IntN(len(p.ids))]
}

func (p *player) act() {
	e, id := p.h.eng, p.pick()
	op := p.rng.IntN(19)
	p.say("op %d on %.12s", op, id)
	switch op {
	case 0, 1, 2:
		p.run()
	case 3, 4:
		e.Start(id)
	case 5:
		e.Stop(id)
	case 6:
		e.Die(id, p.rng.IntN(3), false)
	case 7:
		e.Die(id, 1, true)
	case 8:
		e.Remove(id)
	case 9:
		e.Pause(id)
	case 10:
		e.Unpause(id)
	case 11:
		p.next++
		e.Rename(id, fmt.Sprint("renamed", p.next))
	case 12:
		e.SetHealth(id, []string{"healthy", "unhealthy"}[p.rng.IntN(2)], "output")
	case 13:
		e.Kill(id, []int{1, 9, 15}[p.rng.IntN(3)])
	case 14: // restart with another port
		e.Stop(id)
		p.next++
		port := fmt.Sprint(20000 + p.next)
		e.Change(id, func(c *enginetest.Container) {
			c.Ports = map[string][]enginetest.Binding{"80/tcp": {{HostPort: port}}}
		})
		e.Start(id)
	case 15:
		e.Vanish(id)
	case 16:
		p.guest(id)
	case 17:
		e.Connect(id, "extra", enginetest.Network{ID: "net-extra", IP: fmt.Sprint("10.9.0.", 1+p.rng.IntN(200))})
	case 18:
		e.Disconnect(id, []string{"bridge", "extra"}[p.rng.IntN(2)])
	}
}

// guest runs a container in another one's network.
func (p *player) guest(owner string) {
	if owner == "" {
		return
	}
	p.next++
	p.ids = append(p.ids, p.h.eng.Run(enginetest.Container{Name: fmt.Sprint("guest", p.next), NetworkMode: "container:" + owner,
		Exposed: []string{"80/tcp"}, Labels: map[string]string{"SERVICE_NAME": "guest"}}))
}

func (p *player) run() {
	p.next++
	c := webContainer(fmt.Sprint("c", p.next), fmt.Sprint(10000+p.next))
	if p.rng.IntN(3) == 0 {
		c.Health = "starting"
	}
	c.AutoRemove = p.rng.IntN(4) == 0
	if p.rng.IntN(6) == 0 {
		c.Labels["SERVICE_ID"] = "shared"
	}
	if p.rng.IntN(4) == 0 {
		c.Labels["SERVICE_ADDRESS_MODE"] = "internal"
	}
	if p.rng.IntN(8) == 0 {
		c.LatePorts = 300 * time.Millisecond
	}
	p.ids = append(p.ids, p.h.eng.Run(c))
}

func (p *player) fault(seed uint64) {
	e, r := p.h.eng, p.rng
	kinds := 12
	if p.gentle {
		kinds = 4
	}
	kind := r.IntN(kinds)
	p.say("fault %d", kind)
	switch kind {
	case 0:
		f := enginetest.Faults{Drop: r.Float64() / 2, Duplicate: r.Float64() / 2, Reorder: r.Float64() / 2}
		if !p.gentle {
			f.InspectError, f.ListError, f.StaleList = r.Float64()/2, r.Float64()/2, r.Float64()/2
			f.InspectDelay = time.Duration(r.IntN(3000)+1) * time.Millisecond
		}
		e.SetFaults(f, seed+uint64(p.next))
	case 1:
		e.SetFaults(enginetest.Faults{}, 1)
	case 2:
		e.CutStreams(r.IntN(2) == 0)
	case 3:
		e.Silence(r.IntN(2) == 0)
	case 4:
		e.Down()
	case 5:
		e.Up()
	case 6:
		p.releases = append(p.releases, e.HangInspect(p.pick()))
	case 7:
		p.release()
	case 8:
		e.FreezeList(1 + r.IntN(3))
	case 9:
		e.SetAPI([]string{"1.24", "1.41", "1.52"}[r.IntN(3)], "1.12")
	case 10: // the agent restarts
		p.h.end()
		p.h = startHarness(p.h.t, e, p.config)
	case 11:
		for range 3 {
			id := p.pick()
			e.Emit(enginetest.Event{Type: "container", Action: []string{"die", "pause", "destroy", "start"}[r.IntN(4)], ID: id,
				At: e.Now().Add(-time.Duration(r.IntN(60)) * time.Second), Attributes: map[string]string{"exitCode": "1"}})
		}
	}
}

func (p *player) release() {
	for _, f := range p.releases {
		f()
	}
	p.releases = nil
}

// calm ends all faults and waits until every timer of the registrator has had its turn: a restart
// that no event told shows only in the inspect of all containers every five minutes.
func (p *player) calm() {
	p.say("calm")
	p.release()
	p.h.eng.SetFaults(enginetest.Faults{}, 1)
	p.h.eng.Silence(false)
	p.h.eng.Up()
	p.h.pass(6 * time.Minute)
}

// endpoint is where c is reached; "": nowhere. sick: c sits in the network of a container that is
// not up, or was started after it.
func (p *player) endpoint(all map[string]enginetest.Container, c enginetest.Container) (addr string, sick bool) {
	owner, shared := strings.CutPrefix(c.NetworkMode, "container:")
	switch {
	case shared:
		o, there := all[owner]
		switch up := there && o.Running && !o.Restarting; {
		case !up, o.StartedAt.After(c.StartedAt):
			return "", true
		case strings.HasPrefix(o.NetworkMode, "container:"):
			at, bad := p.endpoint(all, o)
			return at, bad
		}
		return "192.0.2.10:" + o.Ports["80/tcp"][0].HostPort, false
	case c.Labels["SERVICE_ADDRESS_MODE"] != "internal":
		return "192.0.2.10:" + c.Ports["80/tcp"][0].HostPort, false
	}
	for _, n := range []string{"bridge", "extra"} {
		if net, ok := c.Networks[n]; ok {
			return net.IP + ":80", false
		}
	}
	return "", false
}

// expected is what the engine's state says, written down independently of the registrator. sick are
// the IDs that may be registered or not, but not as passing.
func (p *player) expected() (want []string, sick map[string]bool) {
	type claim struct {
		c    enginetest.Container
		text string
	}
	byID := map[string]claim{}
	all := map[string]enginetest.Container{}
	for _, c := range p.h.eng.Containers() {
		all[c.ID] = c
	}
	sick = map[string]bool{}
	for _, c := range all {
		if !c.Running || c.Restarting {
			continue
		}
		addr, bad := p.endpoint(all, c)
		if bad {
			sick["n1:"+c.Name+":80"] = true
		}
		if addr == "" {
			continue
		}
		id := "n1:" + c.Name + ":80"
		if s := c.Labels["SERVICE_ID"]; s != "" {
			id = s
		}
		st := map[string]string{"": "", "starting": " critical/starting", "healthy": " passing/healthy: output",
			"unhealthy": " critical/unhealthy: output"}[c.Health]
		if c.Paused {
			st = " critical/paused"
		}
		text := fmt.Sprintf("%s at %s of %.12s since %s%s", id, addr, c.ID,
			c.StartedAt.UTC().Format(time.RFC3339Nano), st)
		other, taken := byID[id]
		if taken && (!other.c.Paused && c.Paused || other.c.Paused == c.Paused && (other.c.StartedAt.After(c.StartedAt) ||
			other.c.StartedAt.Equal(c.StartedAt) && other.c.ID > c.ID)) {
			continue
		}
		byID[id] = claim{c, text}
	}
	out := []string{}
	for _, c := range byID {
		out = append(out, c.text)
	}
	sort.Strings(out)
	return out, sick
}

func (r *recorder) registered(sick map[string]bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for id, d := range r.last {
		st := status(d)
		if st != "" {
			st = " " + st
		}
		if sick[id] && strings.HasPrefix(st, " critical/") {
			continue
		}
		out = append(out, fmt.Sprintf("%s at %s:%d of %s since %s%s", id, d.Address, d.Port, d.Meta[berth.MetaContainer], d.Meta[berth.MetaStarted], st))
	}
	sort.Strings(out)
	return out
}

func (p *player) check(seed uint64) {
	want, sick := p.expected()
	got := p.h.rec.registered(sick)
	if strings.Join(want, "\n") != strings.Join(got, "\n") {
		for _, rep := range p.h.reg.Explain("") {
			p.h.t.Logf("explain: %+v", rep)
		}
		p.h.t.Fatalf("seed %d: after all is quiet\n got  %s\n want %s", seed, strings.Join(got, "\n      "), strings.Join(want, "\n      "))
	}
}

// checkStale: whatever events were lost, nothing stays registered for more than 35 s after its
// container ended.
func (p *player) checkStale() {
	live := map[string]bool{}
	for _, c := range p.h.eng.Containers() {
		live[c.ID[:12]] = c.Running
	}
	now := time.Now()
	seen := map[string]bool{}
	p.h.rec.mu.Lock()
	defer p.h.rec.mu.Unlock()
	for _, d := range p.h.rec.last {
		id := d.Meta[berth.MetaContainer]
		if live[id] {
			continue
		}
		seen[id] = true
		if p.stale[id].IsZero() {
			p.stale[id] = now
		}
		if age := now.Sub(p.stale[id]); age > 35*time.Second {
			p.h.t.Fatalf("%s is registered %v after its end", d.ID, age)
		}
	}
	for id := range p.stale {
		if !seen[id] {
			delete(p.stale, id)
		}
	}
}
