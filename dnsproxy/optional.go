package dnsproxy

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"berth/dnsproxy/socket"
	"berth/internal/run"
)

// How often missing addresses are tried: those that are not there, and those that somebody
// else has.
const (
	bindAgain = 3 * time.Second
	bindTaken = 30 * time.Second
)

// missing is an address that could not be bound.
type missing struct {
	reason string
	next   time.Time
}

// bindOptional binds what it can of the addresses that may be missing and are not bound, and
// says which ones it bound.
func (s *Server) bindOptional(failed map[string]missing) []*socket.Binding {
	var added []*socket.Binding
	have := map[string]bool{}
	for _, b := range s.bound() {
		have[b.Asked] = true
	}
	want := slices.Clone(s.cfg.OptionalAddrs)
	for _, addr := range s.cfg.Addrs {
		if socket.Wildcard(addr) {
			want = append(want, addr)
		}
	}
	for _, addr := range socket.Expand(want) {
		if have[addr] || time.Now().Before(failed[addr].next) {
			continue
		}
		b, err := socket.Listen(addr)
		if err != nil {
			m := missing{err.Error(), time.Now().Add(bindAgain / 2)}
			if errors.Is(err, syscall.EADDRINUSE) {
				m.next = time.Now().Add(bindTaken)
			}
			if failed[addr].reason != m.reason { // once per reason
				s.log.Info("dns address cannot be bound now, trying again", "addr", addr, "err", err)
			}
			failed[addr] = m
			continue
		}
		delete(failed, addr)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			b.Close()
			return added
		}
		s.binds = append(s.binds, b)
		s.mu.Unlock()
		added = append(added, b)
	}
	return added
}

// followAddrs binds optional addresses as they come: docker makes and removes bridges. A
// socket on an address that went away goes on working when the address returns.
func (s *Server) followAddrs(ctx context.Context, g *run.Group, failed map[string]missing) error {
	if len(s.cfg.OptionalAddrs) == 0 && !slices.ContainsFunc(s.cfg.Addrs, socket.Wildcard) {
		return nil
	}
	t := time.NewTicker(bindAgain)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		added := s.bindOptional(failed)
		for _, b := range added {
			s.log.Info("dns address bound", "addr", b.Addr)
			s.serve(ctx, g, b)
		}
		if len(added) > 0 { // who is local has changed, and what is an upstream
			s.filesChanged()
		}
	}
}
