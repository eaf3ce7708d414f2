package store

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"berth"
	"berth/internal/backoff"
)

// ttlGrace is how many TTLs a session lives after its last renewal.
const ttlGrace = 2

// sessionTimers holds when each session with a TTL ends. It lives with a leadership: a new
// leader gives every session its full time again.
type sessionTimers struct {
	ends map[string]time.Time
}

// expireSessions destroys sessions that were not renewed in time, until ctx ends. It follows
// the sessions table, so that it does not matter who created a session.
func (s *Store) expireSessions(ctx context.Context) {
	timers := sessionTimers{ends: map[string]time.Time{}}
	s.renewals.drain() // those before this leadership
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		next := timers.follow(s.sessionsHere(ws), time.Now())
		timers.destroyOverdue(ctx, s, s.SessionDestroy)
		wctx, cancel := context.WithDeadline(ctx, next)
		select {
		case <-wctx.Done():
		case <-s.renewals.wake:
		case <-ws.WatchCh(wctx):
		}
		cancel()
		timers.renew(s.renewals.drain())
	}
}

// follow takes in new sessions, drops ended ones, and says when to look again.
func (t *sessionTimers) follow(all []*berth.Session, now time.Time) time.Time {
	next := now.Add(time.Minute)
	seen := make(map[string]bool, len(all))
	for _, x := range all {
		ttl, ok := sessionTTL(x)
		if !ok {
			continue
		}
		seen[x.ID] = true
		end, known := t.ends[x.ID]
		if !known {
			end = now.Add(ttlGrace * ttl)
			t.ends[x.ID] = end
		}
		if end.Before(next) {
			next = end
		}
	}
	for id := range t.ends {
		if !seen[id] {
			delete(t.ends, id)
		}
	}
	return next
}

func (t *sessionTimers) renew(all []renewal) {
	for _, r := range all {
		if _, ok := t.ends[r.id]; ok {
			t.ends[r.id] = r.end
		}
	}
}

func sessionTTL(x *berth.Session) (time.Duration, bool) {
	ttl, err := time.ParseDuration(x.TTL)
	return ttl, err == nil && ttl > 0
}

// destroyOverdue ends sessions that are over their time. Each takes a write, so renewals that come in
// meanwhile are heard before the next one.
func (t *sessionTimers) destroyOverdue(ctx context.Context, s *Store, destroy func(ctx context.Context, id string) error) {
	pause := backoff.Backoff{Min: 100 * time.Millisecond, Max: 2 * time.Second}
	for id := range t.ends {
		now := time.Now()
		t.renew(s.renewals.drain())
		if now.Before(t.ends[id]) {
			continue
		}
		if err := destroy(ctx, id); err != nil {
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("destroy expired session, will try again", "session", id, "err", err)
			t.ends[id] = time.Now().Add(pause.Next())
			continue
		}
		s.log.Debug("session expired", "session", id)
		delete(t.ends, id)
	}
}

// renewal is a session whose end has moved.
type renewal struct {
	id  string
	end time.Time
}

// SessionRenew gives a session its full time again; berth.ErrSessionNotFound for unknown ones.
func (s *Store) SessionRenew(ctx context.Context, id string) (*berth.Session, error) {
	var out *berth.Session
	err := s.route(ctx, true, func(ctx context.Context, addr string) error {
		var err error
		if addr == "" {
			out, err = s.renewHere(id)
			return err
		}
		b, err := s.call(ctx, http.MethodPost, addr, "/internal/store/renew?id="+queryEscape(id), nil)
		if err != nil {
			return err
		}
		out = &berth.Session{}
		return decodeJSON(b, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Store) renewHere(id string) (*berth.Session, error) {
	for _, x := range s.sessionsHere(nil) {
		if !strings.EqualFold(x.ID, id) {
			continue
		}
		if ttl, ok := sessionTTL(x); ok {
			s.renewals.put(renewal{x.ID, time.Now().Add(ttlGrace * ttl)})
		}
		return x, nil
	}
	return nil, berth.ErrSessionNotFound
}

func (s *Store) serveRenew(w http.ResponseWriter, r *http.Request) {
	if s.refuseOrRunHere(w, r) {
		return
	}
	x, err := s.renewHere(r.URL.Query().Get("id"))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, err.Error())
		return
	}
	answerJSON(w, x)
}
