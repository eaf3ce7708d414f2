package enginetest

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// Faults are misbehaviours with a probability each.
type Faults struct {
	Drop, Duplicate, Reorder float64       // of events
	InspectError             float64       // answer 500
	InspectDelay             time.Duration // at most; random
	ListError                float64
	StaleList                float64 // answer what was true at the last list
}

// SetFaults replaces the random faults, rolled from seed.
func (e *Engine) SetFaults(f Faults, seed uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = f
	e.rng = rand.New(rand.NewPCG(seed, seed))
	if f.Reorder == 0 {
		held := e.held
		e.held = nil
		for _, ev := range held {
			e.deliver(ev)
		}
	}
}

// SetID gives the engine another identity.
func (e *Engine) SetID(id string) { e.set(func() { e.id = id }) }

// SetAPI sets the newest and oldest API version that is served.
func (e *Engine) SetAPI(newest, oldest string) { e.set(func() { e.api, e.min = newest, oldest }) }

// SetPodman makes it speak Podman's dialect.
func (e *Engine) SetPodman() { e.set(func() { e.podman = true }) }

// SetRootless makes it a rootless engine.
func (e *Engine) SetRootless() { e.set(func() { e.rootless = true }) }

// SetClock sets the engine's clock off by d.
func (e *Engine) SetClock(d time.Duration) { e.set(func() { e.clock = d }) }

// DenyInfo answers /info and /version with 403, as a socket proxy does.
func (e *Engine) DenyInfo() { e.set(func() { e.infoDenied = true }) }

// Silence keeps event streams open but sends nothing more on them; nor does it replay what
// was said meanwhile when set to false.
func (e *Engine) Silence(on bool) { e.set(func() { e.silent = on }) }

func (e *Engine) set(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// FailInspect makes inspects of id ("" for all) answer with an HTTP status; 0 ends that.
func (e *Engine) FailInspect(id string, status int) {
	e.set(func() {
		if status == 0 {
			delete(e.failed, id)
		} else {
			e.failed[id] = status
		}
	})
}

// HangInspect makes inspects of id ("" for all) wait until release is called.
func (e *Engine) HangInspect(id string) (release func()) {
	ch := make(chan struct{})
	e.set(func() { e.hung[id] = ch })
	return func() {
		e.set(func() {
			if e.hung[id] == ch {
				delete(e.hung, id)
				close(ch)
			}
		})
	}
}

// HangList makes lists wait until release is called.
func (e *Engine) HangList() (release func()) {
	ch := make(chan struct{})
	e.set(func() { e.listHung = ch })
	return func() { e.set(func() { e.listHung = nil; close(ch) }) }
}

// HangPing makes pings wait until release is called.
func (e *Engine) HangPing() (release func()) {
	ch := make(chan struct{})
	e.set(func() { e.pingHung = ch })
	return func() { e.set(func() { e.pingHung = nil; close(ch) }) }
}

// FreezeList makes the next n lists answer what is true now.
func (e *Engine) FreezeList(n int) {
	e.set(func() { e.staleList, e.staleLeft = e.copies(), n })
}

// EmptyList makes lists show nothing, as behind a proxy's filter.
func (e *Engine) EmptyList(on bool) { e.set(func() { e.emptyList = on }) }

// CutStreams ends all event streams. Abrupt: the connection breaks, else a clean end.
func (e *Engine) CutStreams(abrupt bool) {
	e.set(func() {
		for s := range e.subs {
			s.end(abrupt)
		}
	})
}

// Streams is how many event streams are open.
func (e *Engine) Streams() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.subs)
}

// Down closes all connections and takes no new ones until Up.
func (e *Engine) Down() {
	e.mu.Lock()
	e.down = true
	for s := range e.subs {
		s.end(true)
	}
	conns := e.conns
	e.conns = nil
	e.mu.Unlock()
	for c := range conns {
		c.Close()
	}
}

// Up ends Down. The ring of past events is empty, as after a restart.
func (e *Engine) Up() {
	e.set(func() { e.down, e.ring = false, nil })
}

// wait blocks on ch, if any, or until the request ends.
func wait(r *http.Request, ch <-chan struct{}) {
	if ch == nil {
		return
	}
	select {
	case <-ch:
	case <-r.Context().Done():
	}
}

func (e *Engine) copies() []*Container {
	out := make([]*Container, 0, len(e.containers))
	for _, c := range e.containers {
		cc := *c
		out = append(out, &cc)
	}
	return out
}
