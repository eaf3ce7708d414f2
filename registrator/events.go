package registrator

import (
	"strconv"
	"strings"
	"time"
)

// ignoredActions say nothing about registration.
var ignoredActions = map[string]bool{
	"create": true, "attach": true, "detach": true, "commit": true, "copy": true, "export": true, "resize": true,
	"top": true, "archive-path": true, "extract-to-dir": true, "prune": true, "checkpoint": true,
	"init": true, "mount": true, "unmount": true, "cleanup": true, "history": true, "exec_died": true, // Podman
}

// observe turns one engine event into a mark. It runs on the goroutine that reads the stream
// and never blocks.
func (r *Registrator) observe(ev event) {
	now := time.Now()
	action, _, _ := strings.Cut(ev.action, ":")
	r.stats.event(action)
	r.lastEventAt.Store(ev.at)
	r.lastEvent.Store(now.UnixNano())
	switch ev.kind {
	case "container":
		r.observeContainer(ev, now)
	case "network":
		switch ev.action {
		case "connect", "disconnect":
			if id := ev.attrs["container"]; id != "" {
				r.dirty.add(id, mark{events: true, look: true}, now)
			}
		case "destroy", "update", "remove":
			r.dirty.addNetwork(ev.id)
		}
	case "daemon":
		if ev.action == "reload" {
			r.relistSoon()
		}
	}
}

func (r *Registrator) observeContainer(ev event, now time.Time) {
	if ev.id == "" {
		return
	}
	action, _, _ := strings.Cut(ev.action, ":")
	if ignoredActions[action] || strings.HasPrefix(action, "exec_") {
		return
	}
	m := mark{events: true, look: true, unknownToo: true}
	switch action {
	case "start", "unpause", "rename":
		m.fast = true
	case "health_status":
		m.fast = !r.podman.Load() // Podman sends one per probe
	case "die", "died":
		ev.action = "die"
		m.fast, m.acts = true, []event{trim(ev)}
	case "destroy", "remove":
		ev.action = "destroy"
		m.fast, m.acts = true, []event{trim(ev)}
	case "pause":
		m.fast, m.acts = true, []event{trim(ev)}
	case "kill":
		// Whether this one asks the container to stop is for its owner to know.
		m = mark{events: true, fast: true, acts: []event{trim(ev)}}
	}
	r.dirty.add(ev.id, m, now)
}

// trim keeps of an event's attributes, which hold all labels, only those needed later.
func trim(ev event) event {
	attrs := map[string]string{}
	for _, k := range []string{"signal", "exitCode", "containerExitCode"} {
		if v, ok := ev.attrs[k]; ok {
			attrs[k] = v
		}
	}
	ev.attrs = attrs
	return ev
}

// exitCode reads a die event's code; Podman names it otherwise.
func (ev *event) exitCode() (int, bool) {
	for _, k := range []string{"exitCode", "containerExitCode"} {
		if n, err := strconv.Atoi(ev.attrs[k]); err == nil {
			return n, true
		}
	}
	return 0, false
}

// seenEvents remembers the last events that acted, so that a replay acts only once.
type seenEvents struct {
	set  map[eventKey]bool
	ring []eventKey
	next int
}

type eventKey struct {
	id, action string
	at         int64
}

const seenSize = 1024

// first reports whether ev was not seen before, and remembers it.
func (s *seenEvents) first(ev *event) bool {
	k := eventKey{ev.id, ev.action + ev.attrs["signal"], ev.at}
	if s.set[k] {
		return false
	}
	if s.set == nil {
		s.set = map[eventKey]bool{}
	}
	if len(s.ring) < seenSize {
		s.ring = append(s.ring, k)
	} else {
		delete(s.set, s.ring[s.next])
		s.ring[s.next] = k
		s.next = (s.next + 1) % seenSize
	}
	s.set[k] = true
	return true
}
