package store

import (
	"context"
	"fmt"
	"sync"

	"berth"
	"berth/store/command"
)

// keptEvents is how many user events an agent remembers.
const keptEvents = 256

// maxEvent is the size of a user event that gossip carries.
const maxEvent = 512

// eventLog keeps the last user events that came by gossip.
type eventLog struct {
	meant func(*berth.UserEvent) bool // nil: all are

	mu      sync.Mutex // guards events
	events  []*berth.UserEvent
	changed broadcast
}

func (l *eventLog) add(e *berth.UserEvent) {
	l.mu.Lock()
	l.events = append(l.events, e)
	if over := len(l.events) - keptEvents; over > 0 {
		l.events = append([]*berth.UserEvent(nil), l.events[over:]...)
	}
	l.mu.Unlock()
	l.changed.fire()
}

// FireEvent spreads a user event in this datacenter and sets its ID. Every agent decides by the
// event's filters whether it is meant.
func (s *Store) FireEvent(_ context.Context, e *berth.UserEvent) error {
	if e.ID == "" {
		e.ID = newUUID()
	}
	if e.Version == 0 {
		e.Version = 1
	}
	var enc command.Encoder
	b, err := enc.Value(0, e)
	if err != nil {
		return err
	}
	name := "berth:" + e.Name
	if n := len(name) + len(b); n > maxEvent-64 {
		return berth.Rejected(fmt.Sprintf("user event exceeds sane limit of %d bytes before encoding", maxEvent))
	}
	return s.lan.UserEvent(name, b)
}

// FilterEvents sets what decides whether an event's filters mean this agent; others are dropped. It
// runs on the gossip goroutine, so it must not wait. Call it before Run.
func (s *Store) FilterEvents(meant func(*berth.UserEvent) bool) { s.events.meant = meant }

// onEvent runs on the gossip goroutine: it decodes and keeps.
func (s *Store) onEvent(_ string, payload []byte, ltime uint64) {
	if len(payload) < 2 {
		return
	}
	var e berth.UserEvent
	var dec command.Decoder
	if err := dec.Value(payload[1:], &e); err != nil {
		s.log.Debug("user event that cannot be read", "err", err)
		return
	}
	e.LTime = ltime
	if s.events.meant == nil || s.events.meant(&e) {
		s.events.add(&e)
	}
}

// Events are the last events that came and that this agent was meant by, oldest first.
func (s *Store) Events() []*berth.UserEvent {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return append([]*berth.UserEvent(nil), s.events.events...)
}

// EventsChanged is closed when the next event comes.
func (s *Store) EventsChanged() <-chan struct{} { return s.events.changed.wait() }
