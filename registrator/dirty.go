package registrator

import (
	"sync"
	"time"
)

const (
	debounceQuiet = 25 * time.Millisecond  // after the last mark
	debounceMax   = 250 * time.Millisecond // after the first
)

// mark is why a container has to be looked at.
type mark struct {
	first, last time.Time
	fast        bool    // look now
	events      bool    // an event said so, not a timer
	look        bool    // inspect, if anything is known about the container
	unknownToo  bool    // inspect in any case
	acts        []event // die, kill, pause, destroy: what acts before the inspect; few, latest per action
}

func (m *mark) due() time.Time {
	if m.fast {
		return m.first
	}
	q := m.last.Add(debounceQuiet)
	if limit := m.first.Add(debounceMax); limit.Before(q) {
		return limit
	}
	return q
}

// dirtySet holds which containers have to be looked at. It is a set and not a queue: however
// many events come, it is bounded by the number of containers, so that the reader of events
// never waits. All methods may be called from any goroutine.
type dirtySet struct {
	mu       sync.Mutex // guards marks, networks
	marks    map[string]*mark
	networks map[string]bool // every container on these is dirty
	signal   chan struct{}   // 1 slot: something was added
}

func newDirtySet() *dirtySet {
	return &dirtySet{marks: map[string]*mark{}, networks: map[string]bool{}, signal: make(chan struct{}, 1)}
}

// add merges m into what is known of id.
func (d *dirtySet) add(id string, m mark, now time.Time) {
	d.mu.Lock()
	cur := d.marks[id]
	if cur == nil {
		cur = &mark{first: now}
		d.marks[id] = cur
	}
	cur.last = now
	cur.fast = cur.fast || m.fast
	cur.events = cur.events || m.events
	cur.look = cur.look || m.look
	cur.unknownToo = cur.unknownToo || m.unknownToo
	for _, a := range m.acts {
		cur.act(a)
	}
	d.mu.Unlock()
	d.wake()
}

// act keeps the newest event of each action (and signal).
func (m *mark) act(a event) {
	for i, b := range m.acts {
		if b.action == a.action && b.attrs["signal"] == a.attrs["signal"] {
			if a.at > b.at {
				m.acts[i] = a
			}
			return
		}
	}
	m.acts = append(m.acts, a)
}

func (d *dirtySet) addNetwork(id string) {
	d.mu.Lock()
	d.networks[id] = true
	d.mu.Unlock()
	d.wake()
}

func (d *dirtySet) wake() {
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// take removes and returns what is due, and says when the next is (zero: nothing left).
func (d *dirtySet) take(now time.Time) (due map[string]*mark, networks map[string]bool, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.networks) > 0 {
		networks, d.networks = d.networks, map[string]bool{}
	}
	for id, m := range d.marks {
		t := m.due()
		if t.After(now) {
			if next.IsZero() || t.Before(next) {
				next = t
			}
			continue
		}
		if due == nil {
			due = map[string]*mark{}
		}
		due[id] = m
		delete(d.marks, id)
	}
	return due, networks, next
}

func (d *dirtySet) depth() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.marks)
}
