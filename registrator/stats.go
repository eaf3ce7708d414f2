package registrator

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of what the registrator has done since it was made.
type Stats struct {
	DockerUp       bool
	Synced         bool
	Events         map[string]uint64 // by action
	EventsMissed   uint64            // changes that a list found and no event told
	Reconnects     uint64
	Inspects       uint64
	InspectErrors  uint64
	InspectSeconds float64 // sum
	ListErrors     uint64
	Replaces       uint64
	ReplaceErrors  uint64
	FlapsDamped    uint64
	Panics         uint64
	Instances      int // in the last set handed over
	Dirty          int // containers waiting to be looked at
	InFlight       int
	Containers     map[string]int // by state
	LastEvent      time.Time
	LastList       time.Time
}

type counters struct {
	up                                                 atomic.Bool
	missed, reconnects, inspects, inspectErrors        atomic.Uint64
	listErrors, replaces, replaceErrors, flaps, panics atomic.Uint64
	inspectNanos, instances                            atomic.Int64

	mu     sync.Mutex // guards events
	events map[string]uint64
}

const maxActions = 64 // kinds of action counted apart; an engine has about 40

func (c *counters) event(action string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = map[string]uint64{}
	}
	if _, known := c.events[action]; !known && len(c.events) >= maxActions {
		action = "other"
	}
	c.events[action]++
}

func (c *counters) inspect(res *result) {
	c.inspects.Add(1)
	c.inspectNanos.Add(int64(res.took))
	if res.err != nil && res.err != errGone {
		c.inspectErrors.Add(1)
	}
}

// Stats returns the counters now. It may be called from any goroutine.
func (r *Registrator) Stats() Stats {
	c := &r.stats
	out := Stats{
		DockerUp: c.up.Load(), EventsMissed: c.missed.Load(), Reconnects: c.reconnects.Load(),
		Inspects: c.inspects.Load(), InspectErrors: c.inspectErrors.Load(),
		InspectSeconds: time.Duration(c.inspectNanos.Load()).Seconds(), ListErrors: c.listErrors.Load(),
		Replaces: c.replaces.Load(), ReplaceErrors: c.replaceErrors.Load(), FlapsDamped: c.flaps.Load(),
		Panics: c.panics.Load(), Instances: int(c.instances.Load()), Dirty: r.dirty.depth(),
		Events: map[string]uint64{}, Containers: map[string]int{},
	}
	if t := r.lastEvent.Load(); t > 0 {
		out.LastEvent = time.Unix(0, t)
	}
	c.mu.Lock()
	for k, v := range c.events {
		out.Events[k] = v
	}
	c.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	out.Synced, out.LastList = r.state.synced, r.state.listAt
	out.InFlight = len(r.state.inflight)
	for _, rec := range r.state.records {
		if rec.last != nil {
			out.Containers[rec.last.state.text()]++
		}
	}
	return out
}
