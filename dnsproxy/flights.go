package dnsproxy

import (
	"net/netip"
	"sync"
)

// flights merges identical questions: one exchange with the upstreams, many who wait. It is
// what makes guessing IDs no easier by asking more often.
type flights struct {
	max int

	mu sync.Mutex // guards m and waiters of its flights
	m  map[flightKey]*flight
}

type flightKey struct {
	name   string
	do, cd bool
	group  int
}

type flight struct {
	done    chan struct{} // closed when entry and err are set
	poke    chan struct{} // a client has asked again
	back    chan struct{} // upstreams that were silent answer again
	first   netip.AddrPort
	waiters int
	entry   *entry
	err     error
}

func (f *flights) init(limit int) { f.max, f.m = limit, map[flightKey]*flight{} }

func (q *query) flightKey(g *group) flightKey {
	return flightKey{string(q.key()), q.do, q.cd(), g.id}
}

// join finds or makes the flight for q. lead: the caller does the work and calls land. ok is
// false when too many wait already.
func (f *flights) join(q *query, g *group) (fl *flight, lead, ok bool) {
	k := q.flightKey(g)
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.m[k]; fl != nil {
		if fl.waiters >= f.max {
			return nil, false, false
		}
		fl.waiters++
		if fl.first == q.src {
			select {
			case fl.poke <- struct{}{}:
			default:
			}
		}
		return fl, false, true
	}
	fl = &flight{done: make(chan struct{}), poke: make(chan struct{}, 1), back: make(chan struct{}, 1), first: q.src}
	f.m[k] = fl
	return fl, true, true
}

// resume has every question under way sent once more.
func (f *flights) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.m {
		select {
		case fl.back <- struct{}{}:
		default:
		}
	}
}

// land hands the result to all who wait.
func (f *flights) land(q *query, g *group, fl *flight, e *entry, err error) {
	fl.entry, fl.err = e, err
	f.mu.Lock()
	delete(f.m, q.flightKey(g))
	f.mu.Unlock()
	close(fl.done)
}
